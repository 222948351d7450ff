"""`sandscan egress`: what the sandboxes of a launch reach, by which paths, and what closes them."""

import gc
import sys
from typing import TYPE_CHECKING, Any

import click

from scanner.cli.configured import from_file
from scanner.cli.launching import egress_options, launch_options
from scanner.cli.options import Common, answer, color, takes_common, use_color, width
from scanner.errors import UsageError

if TYPE_CHECKING:
    from scanner.egressing import EgressOptions

EPILOG = """\b
FILE is any of these, recognised by its content:
  a Compose file, a devcontainer.json, docker inspect's JSON, Kubernetes
  manifests, Helm values and task files of evaluation harnesses, policies of
  hosted sandboxes
  a folder            a Compose project as docker compose reads it, else every
                      manifest in it
  container:NAME      a container of the local engine, as it runs
  -                   standard input

\b
Examples:
  sandscan egress compose.yaml
  sandscan egress compose.yaml --image agent=archive:agent.tar
  sandscan egress compose.yaml -o html=reach.html -o text
  sandscan egress k8s/ --assume cni.enforces=true --keep api.example.com:443
  sandscan egress compose.yaml --explain deny
  sandscan egress compose.yaml --sandbox agent --fix | git apply
  sandscan egress --diff old/compose.yaml compose.yaml
  sandscan egress --command 'docker run --network none -v /:/host agent'

\b
Exit codes: 0 nothing at or above --fail-on, 1 findings (with --diff:
something opens; with --fix: the patch does not close everything), 2 wrong
usage or no such file, 3 incomplete: never taken for closed."""


@click.command(epilog=EPILOG)
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option(
    "--command",
    "commands",
    multiple=True,
    metavar="'docker run …'",
    help="A command line instead of a file. Repeatable.",
)
@click.option(
    "--image",
    "images",
    multiple=True,
    metavar="[SANDBOX=]TARGET",
    help="The image to scan for tools and credentials, of one sandbox or of all. Repeatable.",
)
@launch_options
@click.option("--list-assumptions", is_flag=True, help="Show what --assume takes, and end.")
@click.option(
    "--explain",
    type=click.Choice(["allow", "deny"]),
    help="Show every path, or everything that stands in the way, with its line.",
)
@click.option("--fix", is_flag=True, help="Print the cuts as a unified diff of the files.")
@click.option(
    "--diff", nargs=2, metavar="OLD NEW", help="Show what a change opens and closes; exit 1 if it opens anything."
)
@answer
@click.option("-v", "--verbose", is_flag=True, help="Everything, nothing folded.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, no warnings on standard error.")
@color
@takes_common
def egress(
    files: tuple[str, ...],
    common: Common,
    list_assumptions: bool,
    explain: str | None,
    fix: bool,
    diff: tuple[str, str] | None,
    **launch: Any,
) -> int:
    """Can the sandboxes of a launch get out? By which paths, and what closes them?

    For each sandbox and each destination: open, limited, closed or unknown, and what plain sockets alone reach.
    """
    if list_assumptions:
        _list()
        return 0
    gc.set_threshold(200_000, 50, 100)  # frozen values hold no cycles; looking for some all the time costs an eighth
    if (fix or diff) and common.outputs and not from_file("outputs"):
        raise UsageError("--fix and --diff print their own; leave -o out")
    if fix and diff:
        raise UsageError("--fix and --diff are two commands; give one of them")
    from scanner.cli.output import check

    wanted = check(common.outputs)
    if diff:
        if files or launch["commands"]:
            raise UsageError("--diff takes the old launch and the new one, and no further files")
        return _diff(*diff, egress_options(**launch, cuts=False), common)
    options = egress_options(**launch)
    if fix:
        return _fix(files, options, common)
    from scanner.cli.finishing import finish
    from scanner.cli.progress import bar
    from scanner.egressing import judge_launch

    with bar(bool(options.images) and common.shows_progress, use_color(common.color, sys.stderr)) as progress:
        report = judge_launch(files, options, _scanning(options), progress)
    return finish(report, common, wanted, explain)


def _scanning(options: "EgressOptions") -> Any:
    """How images are scanned, None without any: then nothing of the scanner need be loaded."""
    if not options.images:
        return None
    from scanner.cache import Cache
    from scanner.pipeline import Options

    return Options(cache=Cache())


def _list() -> None:
    from scanner.model.assumption import KNOWN

    room = max(len(one.key) for one in KNOWN)
    for one in KNOWN:
        click.echo(f"{one.key:<{room}}  {one.summary}\n{'':<{room}}  {one.values}")


def _fix(files: tuple[str, ...], options: "EgressOptions", common: Common) -> int:
    """The patch alone on standard output, so that another program can apply it; what it leaves open on standard error."""
    from scanner.cli.finishing import warn
    from scanner.egressing import fix, judge_launch
    from scanner.reports import reach

    report = judge_launch(files, options, _scanning(options))
    made = fix(report, files, options)
    sys.stdout.write(made.diff)
    sys.stdout.flush()
    sandboxes = report.egress.sandboxes if report.egress else ()
    left = [reach.cut(cut, one) for one in sandboxes for cut in one.cuts if not cut.possible]
    by_hand = [reach.action(one) for one in made.by_hand]
    if not common.quiet:
        for action in by_hand:
            click.echo(f"sandscan: to be done by hand: {action}", err=True)
        for sentence in dict.fromkeys(left):
            click.echo(f"sandscan: {sentence}", err=True)
        warn(report)
    if not report.complete:
        return 3
    return int(bool(left or by_hand))


def _diff(old: str, new: str, options: "EgressOptions", common: Common) -> int:
    from scanner.cli.finishing import warn
    from scanner.egress.difference import difference
    from scanner.egressing import judge_launch
    from scanner.reports.difference import render
    from scanner.reports.plugin import RenderOptions

    before, after = (judge_launch([one], options, _scanning(options)) for one in (old, new))
    if before.egress is None or after.egress is None:
        raise AssertionError("a judged launch has its reach")
    changes = difference(before.egress, after.egress)
    shown = RenderOptions(width=width(), color=use_color(common.color, sys.stdout), verbose=common.verbose)
    sys.stdout.write(render(changes, old, new, shown))
    for report in (before, after):
        if not common.quiet:
            warn(report)
    if not (before.complete and after.complete):
        return 3
    return int(any(one.opens for one in changes))
