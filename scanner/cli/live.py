"""`sandscan live`: a look at a running container, once or until it is stopped."""

import contextlib
import os
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from scanner.cli.launching import launch_files, of_launch
from scanner.cli.options import Common, answer, episode, manner, takes_common, use_color, user_rules
from scanner.model import Severity

if TYPE_CHECKING:
    from collections.abc import Callable

    from scanner.model import Report

EPILOG = """\b
CONTAINER is a name or an id of the local engine, or of the one in DOCKER_HOST
(Podman too). Nothing is executed in it: processes, programs and sockets are
read from this machine's /proc. Root sees all of it; whatever could not be
seen is named, and the report is then incomplete. Where the engine runs on
another machine, it tells command lines alone.

\b
Examples:
  sudo sandscan live agent
  sudo sandscan live agent --episode 4711 -o jsonl=run.jsonl -o text
  sudo sandscan live agent --watch --interval 1 -o jsonl

\b
With --watch new findings are shown as they come, on standard error, and
-o jsonl writes each line when it is known. Ctrl-C ends it, with the report on
all that was seen; a second one ends it at once.

\b
Exit codes: 0 nothing at or above --fail-on, 1 findings, 2 wrong usage or no
such container, 3 incomplete (something could not be seen: never taken for
clean)."""


@click.command(epilog=EPILOG)
@click.argument("container")
@click.option("--watch", is_flag=True, help="Look again and again until the container ends or Ctrl-C.")
@click.option(
    "--interval",
    type=click.FloatRange(0.1, 3600),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="Between two looks of --watch.",
)
@answer
@episode
@launch_files("A launch file of the container: what it reaches goes into the same report. Repeatable.")
@user_rules
@manner
@takes_common
def live(
    container: str,
    common: Common,
    watch: bool,
    interval: float,
    episode: str | None,
    launches: tuple[str, ...],
    **launch: Any,
) -> int:
    """What runs in the container now? Processes and their programs, deleted ones and ones without a file too; command lines,
    sockets with their other ends, logins, routes and firewall, judged by the rules on miners and tunnels."""
    from scanner.cli.baselines import apart
    from scanner.cli.finishing import finish, only
    from scanner.cli.output import check
    from scanner.cli.progress import bar
    from scanner.pipeline import Options
    from scanner.runtime import live as looking
    from scanner.sources.plugin import SourceOptions

    container = container.removeprefix("container:")  # as diff has it
    wanted = check(common.outputs, launched=bool(launches))
    judged = of_launch(launches, launch)
    options = looking.LiveOptions(
        scanning=Options(source=SourceOptions(limits=common.limits), rules=common.rule_paths, limits=common.limits),
        episode=episode,
        launches=launches,
        egress=judged,
    )
    least = Severity(common.severity)
    if watch:
        lines = [one for one in wanted if one[0].name == "jsonl"]
        wanted = [one for one in wanted if one[0].name != "jsonl"]
        stop = _stopped_by_signals()
        if not common.quiet:
            click.echo(f"sandscan: looks every {interval:g} s; Ctrl-C ends it with a report", err=True)
        with _Lines(lines) as writer:
            settle = apart(common.baseline)

            def told(fresh: "Report") -> None:
                aside = settle(fresh)  # what it notes is of the whole run, and stands in the report at the end
                fresh = only(replace(aside, notifications=fresh.notifications), least)
                writer.write(fresh)
                if not common.quiet:
                    _tell(fresh)

            report = looking.follow(container, options, stop, interval, told)
    else:
        with bar(common.shows_progress, use_color(common.color, sys.stderr)) as progress:
            report = looking.live(container, options, progress)
    code = finish(report, common, wanted)
    if not common.quiet and not report.complete and os.geteuid():
        click.echo(f"sandscan: root sees more of it: sudo sandscan live {container}", err=True)
    return code


def _stopped_by_signals() -> threading.Event:
    """Set by Ctrl-C or SIGTERM; the second one ends the command where it stands."""
    from scanner.cli.stop import at_once

    stop = threading.Event()

    def stopped(_: int, __: FrameType | None) -> None:
        at_once()
        stop.set()

    signal.signal(signal.SIGINT, stopped)
    signal.signal(signal.SIGTERM, stopped)
    return stop


def _tell(fresh: "Report") -> None:
    """New findings, one line each."""
    for finding in fresh.findings:
        click.echo(f"{finding.severity.value.upper():<8} {finding.rule_id}  {finding.message}", err=True)


class _Lines:
    """JSON lines that are written as they are known: to a file that begins anew, or to standard output."""

    def __init__(self, wanted: "list[tuple[Any, Path | None]]") -> None:
        self._wanted = wanted
        self._files: list[tuple[Callable[[Report], str], Any]] = []
        self._begun = False

    def __enter__(self) -> "_Lines":
        from scanner.errors import ReportError
        from scanner.reports.plugin import RenderOptions

        for one, path in self._wanted:
            try:
                stream = sys.stdout.buffer if path is None else path.open("wb")
            except OSError as e:
                raise ReportError(f"cannot write to {path}: {e.strerror or e}") from e

            def render(report: "Report", render: Any = one.render) -> str:
                return str(render(report, RenderOptions()))

            self._files.append((render, stream))
        return self

    def write(self, fresh: "Report") -> None:
        """The lines of what is new; the run itself is told once. Raises ReportError where they cannot be written."""
        from scanner.errors import ReportError

        for render, stream in self._files:
            lines = render(fresh).splitlines(keepends=True)
            kept = [line for line in lines if not (self._begun and '"type":"run"' in line[:40].replace(" ", ""))]
            try:
                stream.write("".join(kept).encode("utf-8", "backslashreplace"))
                stream.flush()
            except BrokenPipeError:
                raise
            except OSError as e:
                raise ReportError(f"cannot write the lines of the watch: {e.strerror or e}") from e
        self._begun = True

    def __exit__(self, *_: object) -> None:
        for _render, stream in self._files:
            if stream is not sys.stdout.buffer:
                with contextlib.suppress(OSError):  # what could not be written was said
                    stream.close()
