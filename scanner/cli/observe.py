"""`sandscan observe`: run an image where nothing can leave, and report what it tries."""

import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from scanner.cli.launching import launch_files, of_launch
from scanner.cli.options import (
    Common,
    answer,
    engine_access,
    episode,
    expectations,
    manner,
    no_cache,
    takes_common,
    use_color,
    user_rules,
)
from scanner.errors import UsageError
from scanner.model import printable

if TYPE_CHECKING:
    from scanner.pipeline import Step
    from scanner.runtime.observe import Watching

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_LEAST = 8 << 20
"""Bytes of memory or disk: with less no program starts."""

EPILOG = """\b
The guest has an address, a resolver and a route, and every address and every
port answers it: nothing it sends leaves. It runs with Docker's default
capabilities less NET_RAW, within the limits, and is removed afterwards,
whatever ends the observation. A first Ctrl-C while it runs ends the run and
gives the report. Needs root and an engine on this machine (Docker; Podman's
socket).

\b
Examples:
  sudo sandscan observe agent:latest
  sudo sandscan observe agent:latest --seconds 300 -- python main.py
  sudo sandscan observe agent:latest --pcap agent.pcap -o json=agent.json
  sudo sandscan observe agent:latest --launch compose.yaml --sandbox agent
  sudo sandscan observe --clean      remove what a killed observation left,
                                     and the pause image

\b
Exit codes: 0 nothing at or above --fail-on, 1 findings, 2 wrong usage or no
such image, 3 incomplete (something could not be seen: never taken for clean),
130 interrupted."""


def _bytes(_: click.Context, __: click.Parameter, value: str) -> int:
    """`512m`, `2g`, or a number of bytes."""
    found = re.fullmatch(r"(\d{1,15})([kmg]?)(?:i?b)?", value.lower())
    if found is None or (size := int(found[1]) * _UNITS[found[2]]) < _LEAST:
        raise click.BadParameter(f"{printable(value)}: write a size of at least 8m, such as 512m or 2g")
    return size


class _Dashed(click.Command):
    """What follows `--` is the guest's command whole, where no image stands before it too: its first word is no image."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        at = args.index("--") if "--" in args else len(args)
        rest = super().parse_args(ctx, args[:at])
        ctx.params["command"] = (*(ctx.params.get("command") or ()), *args[at + 1 :])
        return rest


@click.command(cls=_Dashed, epilog=EPILOG)
@click.argument("image", required=False)
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND...]")
@click.option(
    "--seconds", type=click.FloatRange(0.1, 86_400), default=60, show_default=True, help="How long it runs at most."
)
@click.option("--cpus", type=click.FloatRange(0.01, 4096), default=2, show_default=True, help="Processors.")
@click.option(
    "--memory",
    metavar="SIZE",
    callback=_bytes,
    default="2g",
    show_default=True,
    help="Memory, without swap; its tmpfs count.",
)
@click.option("--pids", type=click.IntRange(2, 1 << 22), default=512, show_default=True, help="Processes and threads.")
@click.option(
    "--disk", metavar="SIZE", callback=_bytes, default="2g", show_default=True, help="What it may write to disk."
)
@click.option("--user", metavar="USER[:GROUP]", help="Who runs the command.  [default: the launch's or the image's]")
@click.option(
    "--guest-env",
    "variables",
    multiple=True,
    metavar="NAME=VALUE",
    help="A variable of the guest's environment. Repeatable.",
)
@click.option("--pcap", metavar="FILE", type=click.Path(), help="Keep every packet, for Wireshark.")
@episode
@expectations
@click.option("--clean", is_flag=True, help="Remove what killed observations left, and the pause image, and end.")
@answer
@launch_files(
    "Run it as this launch file would, less what would let it out; what it tries is joined with what it could reach. Repeatable."
)
@user_rules
@engine_access
@no_cache
@manner
@takes_common
def observe(
    image: str | None,
    common: Common,
    command: tuple[str, ...],
    seconds: float,
    cpus: float,
    memory: int,
    pids: int,
    disk: int,
    user: str | None,
    variables: tuple[str, ...],
    pcap: str | None,
    episode: str | None,
    expected: tuple[str, ...],
    policies: tuple[str, ...],
    clean: bool,
    launches: tuple[str, ...],
    engine_access: str,
    no_cache: bool,
    sandboxes: tuple[str, ...],
    **launch: Any,
) -> int:
    """Run an image where nothing can leave: what does it reach for, start, change and leave behind?"""
    from scanner.cli.stop import gently

    gently()  # whatever ends it, the guest is taken away
    if clean:
        return _clean()
    from scanner.cache import Cache
    from scanner.cli.finishing import finish
    from scanner.cli.output import check
    from scanner.pipeline import Options
    from scanner.runtime import observe as observing
    from scanner.runtime.drift.policy import gathered
    from scanner.runtime.sinkhole import guest
    from scanner.sources.plugin import SourceOptions

    wanted = check(common.outputs, launched=bool(launches))
    if image is None and not launches:
        raise UsageError("name an image of the local engine: sandscan observe IMAGE [-- COMMAND]")
    if len(sandboxes) > 1:
        raise UsageError("one sandbox is observed at a time: give --sandbox once")
    judged = of_launch(launches, {**launch, "sandboxes": sandboxes})
    options = observing.ObserveOptions(
        scanning=Options(
            source=SourceOptions(None, engine_access, False, common.limits),
            rules=common.rule_paths,
            limits=common.limits,
            cache=None if no_cache else Cache(),
        ),
        limits=guest.Limits(seconds, cpus, memory, pids, disk),
        policy=gathered(expected, policies),
        episode=episode,
        environment=tuple(map(_variable, variables)),
        user=user,
        pcap=_writable(pcap),
        launches=launches,
        egress=judged,
        sandbox=sandboxes[0] if sandboxes else None,
    )
    with _line(common.shows_progress, use_color(common.color, sys.stderr)) as (progress, watch):
        interrupt = _Interrupt(watch)
        report = observing.observe(image, command, options, progress, interrupt)
    return finish(report, common, wanted)


class _Interrupt:
    """While the guest runs, a first Ctrl-C ends the run, and the report is on what was seen; at any other time it ends the command."""

    def __init__(self, watch: "Callable[[Watching], None]") -> None:
        self._watch = watch
        self._waits = self._asked = False

    def __call__(self, now: "Watching") -> str:
        self._watch(now)
        running = now.left is not None
        if running and not self._waits and not self._asked:
            self._waits = True
            signal.signal(signal.SIGINT, self._noted)
        elif not running and self._waits:
            self._waits = False
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return "Ctrl-C" if self._asked else ""

    def _noted(self, _: int, __: FrameType | None) -> None:
        self._asked, self._waits = True, False
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _clean() -> int:
    from scanner.runtime.observe import clean

    removed = clean()
    for one in removed:
        click.echo(f"removed {one}")
    if not removed:
        click.echo("nothing was left behind")
    return 0


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise UsageError(f"--guest-env {printable(text)}: write NAME=VALUE")
    return name, value


def _writable(pcap: str | None) -> Path | None:
    """The file for the packets; raises UsageError before anything is started in vain."""
    if pcap is None:
        return None
    path = Path(pcap)
    if not path.absolute().parent.is_dir():
        raise UsageError(f"the folder of the packets does not exist: {printable(str(path.absolute().parent))}")
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise UsageError(f"the packets go to a file of their own, which {printable(pcap)} is not")
    return path


@contextmanager
def _line(shown: bool, color: bool) -> Iterator[tuple[Callable[["Step"], None], Callable[["Watching"], None]]]:
    """Two functions that draw where the observation stands, on one line of standard error: the scan's steps, and the run's."""
    if not shown:
        yield lambda _: None, lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, no_color=not color, file=sys.stderr)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, refresh_per_second=8) as drawn:
        task = drawn.add_task("starting", total=None)

        def step(one: "Step") -> None:
            drawn.update(task, description=f"judging: layer {min(one.layer + 1, one.layers)}/{one.layers}")

        def watch(now: "Watching") -> None:
            words = [now.stage]
            if now.left is not None:
                words += [f"{now.left:.0f} s left", f"{now.processes} processes", f"{now.output:,} bytes of output"]
            drawn.update(task, description=", ".join(words))

        yield step, watch
