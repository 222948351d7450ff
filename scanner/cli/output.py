"""Reports out, saved reports in: what `scan` and `convert` share."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from scanner.errors import ReportError, UsageError
from scanner.model import Report, printable
from scanner.reports.output import parse_output, write
from scanner.reports.plugin import Format, Part, RenderOptions

MAX_REPORT = 1 << 30


def check(outputs: Sequence[str], *, launched: bool = True) -> list[tuple[Format, Path | None]]:
    """The formats and files asked for, text if none; raises UsageError before any work is done in vain.

    `launched`: there will be a launch; some formats draw nothing else.
    """
    try:
        wanted = [parse_output(o) for o in outputs or ("text",)]
    except ReportError as e:
        raise UsageError(str(e)) from e
    if sum(file is None for _, file in wanted) > 1:
        raise UsageError("only one report can go to standard output; give the others a file: -o FORMAT=FILE")
    there = {Part.LAUNCH} if launched else set()
    if drawn := [one.name for one, _ in wanted if one.draws and not one.draws & there]:
        raise UsageError(f"{drawn[0]} draws what the sandboxes of a launch reach; name one with --launch FILE")
    files = [file.absolute() for _, file in wanted if file is not None]
    places = [
        os.path.realpath(file) for file in files if not file.exists() or file.is_file()
    ]  # to a device both may go
    if len(set(places)) < len(places):
        raise UsageError("two reports would be written to the same file")
    for option in ("baseline", "write_baseline"):
        named = _given(option)
        if named is not None and os.path.realpath(named) in places:
            raise UsageError(f"a report would be written over the baseline {printable(named)}; give it another name")
    for file in files:
        if not file.parent.is_dir():
            raise UsageError(f"the folder of the report does not exist: {printable(str(file.parent))}")
    return wanted


def _given(parameter: str) -> str | None:
    """What the command that runs was told of an option, by the command line or the configuration."""
    context = click.get_current_context(silent=True)
    return None if context is None else context.params.get(parameter)


def emit(
    report: Report,
    wanted: Sequence[tuple[Format, Path | None]],
    *,
    color: bool,
    width: int,
    verbose: bool,
    explain: str | None = None,
) -> None:
    """Write every report, files first. Raises ReportError; a report on standard output then does not follow."""
    for one, file in sorted(wanted, key=lambda pair: pair[1] is None):
        options = RenderOptions(width=width, color=color and file is None, verbose=verbose, explain=explain)
        text = one.render(report, options)
        if file is not None:
            write(text, file)
            continue
        try:
            sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            raise
        except OSError as e:
            raise ReportError(f"cannot write the report to standard output: {e.strerror or e}") from e


def read(name: str) -> Report:
    """A saved JSON report; raises UsageError if there is none, ReportError if it is not one."""
    from scanner.reports.json import load

    try:
        if name == "-":
            data = sys.stdin.buffer.read(MAX_REPORT + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(MAX_REPORT + 1)
    except OSError as e:
        raise UsageError(f"cannot read the report {printable(name)}: {e.strerror or e}") from e
    if len(data) > MAX_REPORT:
        raise ReportError(f"{printable(name)} is larger than any report ({MAX_REPORT} bytes)")
    try:
        return load(data.decode("utf-8"))
    except UnicodeDecodeError as e:
        raise ReportError(f"{printable(name)} is no JSON report: {e}") from e
