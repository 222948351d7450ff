"""`sandscan scan`: one target, one report."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from scanner.cli.launching import launch_options, of_launch
from scanner.cli.options import answer, manner, no_cache, use_color, user_rules, width
from scanner.model import Limits, Report, Severity

EPILOG = """\b
Targets:
  docker:NAME[:TAG]             the local engine, or the one DOCKER_HOST names (Podman too)
  archive:FILE[:NAME|@DIGEST]   docker save, podman save; plain, gzip or zstd; - for standard input
  oci:DIR[:TAG|@DIGEST]         an OCI image layout
  registry:HOST/NAME[:TAG]      straight from a registry, without an engine
  rootfs:DIR or rootfs:FILE     a tree, or docker export
  anything else                 a path is recognised by its content, else an image of the engine

\b
Examples:
  sandscan scan archive:app.tar
  sandscan scan app:latest -o sarif=app.sarif -o text --fail-on medium
  sandscan scan rootfs:/srv/tree --rules my.yar --no-cache
  sandscan scan agent:latest --launch compose.yaml -o html=reach.html -o text"""


@click.command(epilog=EPILOG)
@click.argument("target")
@answer
@click.option(
    "--launch",
    "launches",
    multiple=True,
    metavar="FILE",
    help="A launch file of the image: what its sandboxes reach goes into the same report. Repeatable.",
)
@launch_options
@user_rules
@click.option(
    "--platform", metavar="OS/ARCH", help="Of a multi-platform image, such as linux/arm64.  [default: this machine's]"
)
@click.option(
    "--engine-access",
    type=click.Choice(["auto", "api", "direct"]),
    default="auto",
    show_default=True,
    help="Read a local engine's images through its API, or as root straight from its layer directories.",
)
@click.option("--insecure-registry", is_flag=True, help="Speak plain HTTP to a registry that is not on this machine.")
@no_cache
@click.option("--no-prefilter", is_flag=True, help="Match every file against every rule: slow, the same findings.")
@manner
def scan(
    target: str,
    outputs: tuple[str, ...],
    fail_on: str,
    severity: str,
    launches: tuple[str, ...],
    rules: tuple[str, ...],
    platform: str | None,
    engine_access: str,
    insecure_registry: bool,
    no_cache: bool,
    no_prefilter: bool,
    limits: Limits,
    verbose: bool,
    quiet: bool,
    no_progress: bool,
    color: str,
    **launch: Any,
) -> int:
    """Scan an image, an archive of one, or a tree: does it mine, does it hold a door, does it open a tunnel?"""
    from scanner.cache import Cache
    from scanner.cli.output import check, emit
    from scanner.cli.progress import bar
    from scanner.cli.stop import gently
    from scanner.pipeline import Options
    from scanner.pipeline import scan as run
    from scanner.sources.plugin import SourceOptions

    wanted = check(outputs, launched=bool(launches))
    judged = of_launch(launches, launch)
    options = Options(
        source=SourceOptions(platform, engine_access, insecure_registry, limits),
        rules=tuple(Path(r) for r in rules),
        limits=limits,
        cache=None if no_cache else Cache(),
        use_prefilter=not no_prefilter,
    )
    shown = sys.stderr.isatty() and not quiet and not no_progress
    with bar(shown, use_color(color, sys.stderr)) as progress:
        report = run(target, options, progress)
    if judged is not None:
        from scanner.egressing import with_launch

        report = with_launch(report, launches, judged)
    gently()
    emit(only(report, Severity(severity)), wanted, color=use_color(color, sys.stdout), width=width(), verbose=verbose)
    if not quiet:
        warn(report)
    return exit_code(report, fail_on)


def exit_code(report: Report, fail_on: str) -> int:
    """3 if anything was not read, else 1 if a finding reaches the threshold, else 0."""
    if not report.complete:
        return 3
    worst = report.worst()
    return int(fail_on != "never" and worst is not None and worst.rank >= Severity(fail_on).rank)


def only(report: Report, least: Severity) -> Report:
    """The report without what is less severe; how many were left out stays in its statistics."""
    kept = tuple(f for f in report.findings if f.severity.rank >= least.rank)
    if len(kept) == len(report.findings):
        return report
    left_out = len(report.findings) - len(kept)
    return replace(report, findings=kept, statistics={**report.statistics, "left_out_by_severity": left_out})


def warn(report: Report) -> None:
    """What could not be read, on standard error too: a report in a file is easily not looked at."""
    unread = [n for n in report.notifications if n.incomplete]
    for note in unread[:5]:
        where = "" if note.path is None else f"{_shown(note.path, note.inner)}: "
        click.echo(f"sandscan: {note.level.value}: {where}{note.message}", err=True)
    if len(unread) > 5:
        click.echo(f"sandscan: and {len(unread) - 5} more; they are in the report", err=True)
    if unread:
        click.echo("sandscan: the scan is incomplete, so it is not clean whatever it found (exit code 3)", err=True)


def _shown(path: bytes, inner: tuple[bytes, ...]) -> str:
    from scanner.model import printable

    return printable(b"!/".join((path, *inner)))
