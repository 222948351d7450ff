"""`-o FORMAT[=FILE]`, and reports on disk: whole or not at all."""

import contextlib
import difflib
import os
import secrets
import stat
from pathlib import Path

from scanner.errors import ReportError
from scanner.model import printable
from scanner.plugins import plugin, plugins
from scanner.reports.plugin import Format


def formats() -> tuple[Format, ...]:
    """Every report format, by name."""
    return tuple(sorted(plugins("scanner.reports"), key=lambda one: one.name))


def parse_output(value: str) -> tuple[Format, Path | None]:
    """The format and the file of `sarif=out.sarif`; no file (standard output) for `sarif` and `sarif=-`.

    A bare file name whose suffix says the format will do: `out.sarif`. Raises ReportError with a suggestion for a name
    that no format has.
    """
    name, equals, file = value.partition("=")
    named: Format | None = plugin("scanner.reports", name)  # a format's file has its name
    if named is not None:
        if equals and not file:
            raise ReportError(f"no file after {name}=; write {name}=FILE, or {name} alone for standard output")
        return named, Path(file) if file not in {"", "-"} else None
    if not equals and (one := _by_suffix(name)):
        return one, Path(name)
    raise ReportError(f"{printable(value)!r} names no report format: {_suggestion(name, [f.name for f in formats()])}")


def _by_suffix(name: str) -> Format | None:
    """The format with the longest suffix that the name ends in: `x.sarif.json` is SARIF."""
    ends = [(len(suffix), one) for one in formats() for suffix in one.suffixes if name.lower().endswith(suffix)]
    return max(ends, key=lambda end: end[0], default=(0, None))[1]


def _suggestion(name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name.lower(), names, n=1)
    by_suffix = [one.name for one in formats() if f".{name.lower()}" in one.suffixes]
    hint = f"did you mean {(close or by_suffix)[0]}? " if close or by_suffix else ""
    return f"{hint}(choose from {', '.join(names)})"


def write(text: str, path: Path) -> None:
    """Writes the report beside its place, syncs it and renames it into place: another program never sees half of one,
    and an older report stays until the new one is whole. A link is followed; a device or a pipe is written to directly.

    Raises ReportError if that is impossible, and leaves nothing behind.
    """
    data = text.encode("utf-8", "backslashreplace")
    try:
        if path.exists() and not stat.S_ISREG(path.stat().st_mode):
            path.write_bytes(data)
            return
        _replace(data, Path(os.path.realpath(path)))
    except OSError as e:
        reason = e.strerror or str(e)
        raise ReportError(
            f"cannot write the report {printable(str(path))}: {reason}. Name another place with -o FORMAT=FILE."
        ) from e


def _replace(data: bytes, path: Path) -> None:
    scratch = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}")
    # The umask's mode, as a shell's redirection has it: tempfile's 0600 would hide the report from everybody else.
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            scratch.unlink()
        raise
