"""From what a user typed to an open image: a scheme, a path known by its content, or an image of the engine."""

import difflib
import os
from pathlib import Path

from scanner.errors import SourceError, TargetError
from scanner.model import printable
from scanner.plugins import plugins
from scanner.sources.plugin import OpenImage, Source, SourceOptions


def sources() -> dict[str, Source]:
    """Every source by scheme, the most particular first."""
    return {s.scheme: s for s in sorted(plugins("scanner.sources"), key=lambda s: (s.order, s.scheme))}


def open_target(argument: str, options: SourceOptions) -> OpenImage:
    """Open `scheme:rest`, an existing path by its content, or else an image of the engine.

    Raises TargetError for what is not there or is of no kind that can be scanned, SourceError for what cannot be read.
    """
    known = sources()
    if not argument:
        raise TargetError("no target was named; try sandscan scan --help")
    scheme, colon, rest = argument.partition(":")
    if colon and scheme in known:
        if not rest:
            raise TargetError(f"nothing follows {scheme}: ({known[scheme].example}, for example)")
        return known[scheme].open(rest, options)
    path = Path(argument)
    if _exists(path):
        for source in known.values():
            if source.recognises is not None and _recognises(source, path):
                return source.open(argument, options)
        raise TargetError(
            f"{printable(argument)} is no image archive, OCI layout or tree that can be scanned; "
            f"say what it is: {', '.join(f'{s.scheme}:' for s in known.values())}"
        )
    if colon and (close := difflib.get_close_matches(scheme.lower(), known, 1, 0.75)) and "/" not in scheme:
        raise TargetError(f"{printable(scheme)}: is no kind of target; did you mean {close[0]}:{printable(rest)}?")
    if os.sep in argument and (argument.startswith((".", "/", "~")) or argument.endswith((".tar", ".gz", ".tgz", ".zst"))):
        raise TargetError(f"there is no file or directory {printable(argument)}")
    return known["docker"].open(argument, options)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError) as e:
        raise TargetError(f"cannot look at {printable(str(path))}: {e}") from e


def _recognises(source: Source, path: Path) -> bool:
    assert source.recognises is not None
    try:
        return source.recognises(path)
    except OSError as e:
        raise SourceError(f"cannot read {printable(str(path))}: {e.strerror or e}") from e
