"""What a target is: `scheme:rest`, else a path known by its content, else an image of the engine."""

from difflib import get_close_matches
from pathlib import Path

from scanner.errors import ScannerError, SourceError, TargetError
from scanner.model import printable
from scanner.plugins import plugins
from scanner.sources.paths import absent, exists, split
from scanner.sources.plugin import OpenImage, Source, SourceOptions

ENGINE = "docker"
_ELSEWHERE = {
    "docker-archive": "archive",
    "oci-archive": "archive",
    "tar": "archive",
    "file": "archive",
    "docker-daemon": "docker",
    "podman": "docker",
    "containerd": "docker",
    "oci-dir": "oci",
    "oci-layout": "oci",
    "dir": "rootfs",
    "fs": "rootfs",
    "remote": "registry",
    "https": "registry",
    "http": "registry",
}
"""What other tools call the same."""
_ARCHIVES = (".tar", ".tgz", ".tar.gz", ".tar.zst", ".tar.xz", ".tar.bz2")


def sources() -> tuple[Source, ...]:
    """Every source, the most particular first."""
    return tuple(sorted(plugins("scanner.sources"), key=lambda source: (source.order, source.scheme)))


def open_target(argument: str, options: SourceOptions) -> OpenImage:
    """The image that the argument means, opened.

    Raises TargetError where it means none, SourceError or LimitError where it cannot be read.
    """
    if not argument:
        raise TargetError("no target was named")
    by_scheme = {source.scheme: source for source in sources()}
    scheme, colon, rest = argument.partition(":")
    if colon and scheme in by_scheme:
        if not rest:
            raise TargetError(f"{scheme}: names no target; write for example {by_scheme[scheme].example}")
        return by_scheme[scheme].open(rest, options)
    if exists(argument):
        return _recognised(argument).open(argument, options)
    if _looks_like_path(argument):
        raise TargetError(_joined(absent(argument), _suggestion(argument, by_scheme)))
    try:
        return by_scheme[ENGINE].open(argument, options)
    except (TargetError, SourceError) as e:
        if not (hint := _suggestion(argument, by_scheme)):
            raise
        raise type(e)(_joined(str(e), hint)) from e


def _recognised(argument: str) -> Source:
    path = Path(argument)
    try:
        if path.is_file():
            path.open("rb").close()
    except OSError as e:
        raise TargetError(f"cannot open {printable(argument)}: {e.strerror or e}") from e
    for source in sources():
        try:
            if source.recognises is not None and source.recognises(path):
                return source
        except (OSError, ScannerError):
            continue
    if not path.is_file():
        raise TargetError(
            f"{printable(argument)} is neither a file nor a directory; if it is a pipe with a saved image, "
            f"write archive:{printable(argument)}"
        )
    raise TargetError(
        f"{printable(argument)} is no target: neither a saved image (docker save) nor a tar of a file system, "
        "plain or compressed"
    )


def _looks_like_path(argument: str) -> bool:
    return (
        argument.startswith(("/", "./", "../", "~")) or argument in (".", "..") or argument.lower().endswith(_ARCHIVES)
    )


def _joined(message: str, hint: str) -> str:
    return f"{message.removesuffix('.')}. {hint}" if hint else message


def _suggestion(argument: str, by_scheme: dict[str, Source]) -> str:
    """What may have been meant; empty if there is no telling."""
    try:
        path, selector = split(argument)
    except TargetError:
        pass
    else:
        if selector and (Path(path).is_file() or Path(path, "oci-layout").is_file()):
            return f"Did you mean {'archive' if Path(path).is_file() else 'oci'}:{printable(argument)}?"
    scheme, colon, rest = argument.partition(":")
    if not colon or not rest:
        return ""
    meant = _ELSEWHERE.get(scheme.lower()) or next(iter(get_close_matches(scheme.lower(), by_scheme, 1, 0.7)), None)
    if meant is None:
        return ""
    return f"Did you mean {meant}:{printable(rest.removeprefix('//'))}? The schemes are {', '.join(sorted(by_scheme))}."
