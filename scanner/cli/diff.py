"""`sandscan diff`: what a run changed, judged by the rules on images and by those on changes."""

import sys
from typing import Any

import click

from scanner.cli.launching import launch_files, of_launch
from scanner.cli.options import (
    Common,
    answer,
    episode,
    expectations,
    manner,
    sources,
    takes_common,
    use_color,
    user_rules,
)
from scanner.errors import UsageError
from scanner.model import printable

EPILOG = """\b
AFTER, what the run left:
  container:ID           a container of the local engine, running or stopped;
                         BEFORE is its own image if left out
  upper:DIR              an overlay's upper directory
  rootfs:DIR|FILE        a tree, or docker export
  anything scan takes    an image, such as one that docker commit made
BEFORE is any image that scan takes.

\b
Examples:
  sandscan diff container:abc
  sandscan diff container:abc --episode 4711 -o jsonl=changes.jsonl -o text
  sandscan diff docker:app:1 rootfs:export.tar
  sandscan diff app:1 upper:/var/lib/docker/overlay2/ID/diff
  sandscan diff app:1 app:2 --expect '/work/**' --fail-on medium
  sandscan diff container:abc --policy expected.yaml

\b
A policy file:
  expect:
    - path: /work/**              * and ? stay within a folder, ** does not
      change: [added, modified]   also metadata, deleted; all if left out
      reason: the task's own folder
      rules: [drift/*]            not reported there; drift/* if left out
Set-user-id bits, capabilities, accounts, keys, preloading and the rules on
images stay unless an entry names the rule in full. What is expected stays in
the report's list of changes, with the reason.

\b
Exit codes: 0 nothing at or above --fail-on, 1 findings, 2 wrong usage or no
such target, 3 incomplete (something could not be read: never taken for
clean)."""


@click.command(epilog=EPILOG)
@click.argument("targets", nargs=-1, required=True, metavar="[BEFORE] AFTER")
@answer
@expectations
@episode
@launch_files("A launch file of the container: what it reaches goes into the same report. Repeatable.")
@user_rules
@sources
@manner
@takes_common
def diff(
    targets: tuple[str, ...],
    common: Common,
    expected: tuple[str, ...],
    policies: tuple[str, ...],
    episode: str | None,
    launches: tuple[str, ...],
    platform: str | None,
    engine_access: str,
    insecure_registry: bool,
    no_cache: bool,
    **launch: Any,
) -> int:
    """What did the run change? Files by content, whatever their size and time say, judged as in an image, and for what
    a run should not do: new programs, rights, accounts, keys, start-up files, preloaded code, deleted traces."""
    if len(targets) > 2:
        raise UsageError("name one AFTER, or a BEFORE and an AFTER: sandscan diff [BEFORE] AFTER")
    before, after = (None, targets[0]) if len(targets) == 1 else targets
    if before is None and not after.startswith("container:"):
        name = printable(after)
        hint = "" if ":" in after else f". If {name} is a container, write container:{name}"
        raise UsageError(
            f"only a container knows what it was made from; name an image before: sandscan diff IMAGE {name}{hint}"
        )

    from scanner.cache import Cache
    from scanner.cli.finishing import finish
    from scanner.cli.output import check
    from scanner.cli.progress import bar
    from scanner.pipeline import Options
    from scanner.runtime.diff import DiffOptions
    from scanner.runtime.diff import diff as run
    from scanner.runtime.drift.policy import gathered
    from scanner.sources.plugin import SourceOptions

    wanted = check(common.outputs, launched=bool(launches))
    judged = of_launch(launches, launch)
    options = DiffOptions(
        scanning=Options(
            source=SourceOptions(platform, engine_access, insecure_registry, common.limits),
            rules=common.rule_paths,
            limits=common.limits,
            cache=None if no_cache else Cache(),
        ),
        policy=gathered(expected, policies),
        episode=episode,
        launches=launches,
        egress=judged,
    )
    with bar(common.shows_progress, use_color(common.color, sys.stderr)) as progress:
        report = run(before, after, options, progress)
    return finish(report, common, wanted)
