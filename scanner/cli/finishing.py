"""How every command that judges ends: set aside what is known, write the reports, warn of what was not read, say the exit code."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scanner.cli.options import Common, use_color, width
from scanner.model import Level, Notification, Report, Severity, never_aside, printable

if TYPE_CHECKING:
    from scanner.reports.plugin import Format


def finish(
    report: Report, common: Common, wanted: "Sequence[tuple[Format, Path | None]]", explain: str | None = None
) -> int:
    """Sets aside what the configuration and the baseline name, writes what was asked for and returns the exit code.

    `wanted` is what `output.check` made of the command's outputs. Raises ReportError, and UsageError for a baseline that cannot be read.
    """
    from scanner.cli.baselines import apart, write
    from scanner.cli.output import emit
    from scanner.cli.stop import gently

    gently()
    judged = apart(common.baseline)(report)
    emit(
        only(judged, Severity(common.severity)),
        wanted,
        color=use_color(common.color, sys.stdout),
        width=width(),
        verbose=common.verbose,
        explain=explain,
    )
    if not common.quiet:
        if all(file is not None for _, file in wanted):
            _tell_options(judged)
        warn(report)
    if common.write_baseline is not None and write(report, common.write_baseline, common.baseline, quiet=common.quiet):
        judged = replace(judged, findings=tuple(f for f in judged.findings if never_aside(f) is not None))
    return exit_code(judged, common.fail_on)


def _tell_options(report: Report) -> None:
    """What the configuration decides, on standard error where no report is in sight: it may say that nothing fails."""
    from scanner.cli.baselines import CONFIGURATION

    for note in report.notifications:
        if note.stage == CONFIGURATION:
            click.echo(f"sandscan: {note.message}", err=True)


def exit_code(report: Report, fail_on: str) -> int:
    """3 if anything was not read, else 1 if a finding reaches the threshold, else 0."""
    if not report.complete:
        return 3
    worst = report.worst()
    return int(fail_on != "never" and worst is not None and worst.rank >= Severity(fail_on).rank)


def only(report: Report, least: Severity) -> Report:
    """The report without what is less severe, but for what nothing sets aside; it says how many were left out."""
    kept = tuple(f for f in report.findings if f.severity.rank >= least.rank or never_aside(f) is not None)
    left_out = len(report.findings) - len(kept)
    if not left_out:
        return report
    what = f"{left_out:,} finding{'s' * (left_out != 1)} less severe than {least.value} left out (--severity)"
    return replace(
        report,
        findings=kept,
        notifications=(*report.notifications, Notification("severity", Level.NOTE, what)),
        statistics={**report.statistics, "left_out_by_severity": left_out},
    )


def warn(report: Report) -> None:
    """What could not be read, on standard error too: a report in a file is easily not looked at."""
    unread = [n for n in report.notifications if n.incomplete]
    for note in unread[:5]:
        where = "" if note.path is None else f"{printable(b'!/'.join((note.path, *note.inner)))}: "
        click.echo(f"sandscan: {note.level.value}: {where}{note.message}", err=True)
    if len(unread) > 5:
        click.echo(f"sandscan: and {len(unread) - 5} more; they are in the report", err=True)
    if unread:
        click.echo("sandscan: the scan is incomplete, so it is not clean whatever it found (exit code 3)", err=True)
