"""`--baseline`, `--write-baseline` and the configuration's entries: what a command reads before it works, and does with its report."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scanner.cli.configured import current, holding, words
from scanner.errors import ReportError, ScannerError, UsageError
from scanner.model import Level, Notification, Report, printable

if TYPE_CHECKING:
    from scanner.suppression import Baseline, Written

CONFIGURATION = "configuration"
"""The stage of notifications that say what the configuration decides."""
_KNOWN = "scanner.cli.baselines.known"
_JUDGES_NOTHING = ("clean", "diff", "fix", "list_assumptions")


def known(context: click.Context, file: str) -> "Baseline | None":
    """The baseline in a file, read once for a command. Raises UsageError where there is none, or it is broken (with its place).

    None for one that a configuration names, where the command line asks to write one or for something that judges nothing.
    """
    configured = context.get_parameter_source("baseline") is click.core.ParameterSource.DEFAULT_MAP
    if configured and any(context.params.get(name) for name in ("write_baseline", *_JUDGES_NOTHING)):
        return None
    name = printable(file)
    held: Baseline | None = context.meta.get(_KNOWN)
    if held is not None and held.file == name:
        return held
    try:
        held = _read(file)
    except (OSError, ValueError) as e:
        place = f"{current().options[context.info_name or '']['baseline'].place}: " if configured else ""
        reason = getattr(e, "strerror", None) or e
        more = f"; --write-baseline {name} writes one" if isinstance(e, FileNotFoundError) else ""
        raise UsageError(f"{place}cannot read the baseline {name}: {reason}{more}") from e
    except ScannerError as e:
        raise UsageError(str(e)) from e
    context.meta[_KNOWN] = held
    return held


def _read(file: str) -> "Baseline":
    """The baseline in a file, or in a pipe that the user names. Raises OSError, ValueError (a name that is none), ScannerError."""
    from scanner.suppression import read
    from scanner.suppression.baseline import BYTES

    with Path(file).open("rb") as opened:
        return read(opened.read(BYTES + 1), printable(file))


def apart(baseline: str | None) -> Callable[[Report], Report]:
    """What sets aside, in a report, what the configuration and the baseline name; and notes which options the configuration decides."""
    from scanner.suppression import set_aside

    context = click.get_current_context(silent=True)
    book = known(context, baseline) if baseline is not None and context is not None else None
    settings, options = current(), holding()
    said = list(settings.notes)
    if options:
        said.append(f"options of {settings.file} hold: {', '.join(map(words, options))}")
    notes = tuple(Notification(CONFIGURATION, Level.NOTE, one) for one in said)

    def settle(report: Report) -> Report:
        today = datetime.now(UTC).date()
        report = replace(report, notifications=(*report.notifications, *notes)) if notes else report
        return set_aside(report, settings.ignores, book, today)

    return settle


def write(report: Report, file: str, baseline: str | None, *, quiet: bool) -> bool:
    """Write the baseline of a report, as it was before anything was set aside; whether its findings are accepted.

    Without a baseline before, all findings are in it that may be set aside, beside what the file there knows of other targets. With
    one, it is what is still there of that, and the report has to pass by itself. An incomplete report writes none: what was not read
    would not be in it. Raises ReportError, LimitError, and UsageError for a file that is no baseline.
    """
    from scanner.reports.output import write as write_file
    from scanner.suppression import made, pruned, render, set_aside

    def tell(what: str) -> None:
        if not quiet:
            click.echo(f"sandscan: {what}", err=True)

    name = printable(file)
    if not report.complete:
        tell(f"the scan is incomplete, so that no baseline is written to {name}")
        return False
    rest = set_aside(report, current().ignores, None, datetime.now(UTC).date())
    context = click.get_current_context(silent=True)
    before = known(context, baseline) if baseline is not None and context is not None else None
    done = made(rest, name, _there(file)) if before is None else pruned(before, rest, name)
    try:
        write_file(render(done.baseline), Path(file))
    except ReportError as e:  # its words are about reports
        raise ReportError(f"cannot write the baseline {name}: {getattr(e.__cause__, 'strerror', None) or e}") from e
    for one in _told(done, before, len(rest.suppressed) - len(report.suppressed), name):
        tell(one)
    return before is None


def _there(file: str) -> "Baseline | None":
    """The baseline that lies where one is to be written; None for an empty place. Raises UsageError for any other file."""
    if not Path(file).is_file():
        return None
    try:
        return _read(file)
    except (OSError, ScannerError) as e:
        raise UsageError(
            f"{printable(file)} is there and no baseline that could be written anew; remove it first: {e}"
        ) from e


def _told(done: "Written", before: "Baseline | None", ignored: int, name: str) -> list[str]:
    held = len(done.baseline.entries) - done.others
    if before is None:
        said = [f"{held} finding{'s' * (held != 1)} written to the baseline {name}"]
    else:
        said = [f"{held} of {held + done.gone} findings of {before.file} are still there, {done.gone} gone: {name}"]
        if done.new:
            said.append(f"{done.new} that the baseline does not know {'were' if done.new > 1 else 'was'} not added")
    if done.others:
        said.append(f"{done.others} of other targets in {name} stay as they are")
    if ignored:
        said.append(f"{ignored} that the configuration ignores {'are' if ignored > 1 else 'is'} not in it")
    if done.left_out:
        rules = ", ".join(sorted({one.rule_id for one in done.left_out}))
        said.append(
            f"{len(done.left_out)} never set aside and not in it: confirmed miners and tunnels at work ({rules})"
        )
    return said
