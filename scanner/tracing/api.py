"""An image's scan with its sources: the command line's way, and the Python API's."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from scanner.cache import Cache
from scanner.errors import ScannerError
from scanner.model import Level, Limits, Notification, Report, printable
from scanner.oci.blob import TarBlob
from scanner.pipeline import Options, Step, contents, scan_opened
from scanner.record import LayerRecord
from scanner.sources.plugin import OpenImage, SourceOptions
from scanner.sources.recognise import open_target
from scanner.tracing.trace import STAGE, Made, TraceOptions, opened, traced


def scan(
    argument: str,
    options: Options,
    asked: TraceOptions,
    progress: Callable[[Step], None] = lambda _: None,
) -> Report:
    """The report on one target, with the lines that made its findings where `asked` says what built it.

    Raises what `scanner.pipeline.scan` does; and before anything is read UsageError, ParseError and LimitError for a Dockerfile or a repository
    that is missing or broken. Whatever the tracing meets later costs lines, never the report.
    """
    book = opened(asked) if asked.asked else None
    with open_target(argument, options.source) as target:
        known: dict[str, LayerRecord] = {}
        report = scan_opened(target, options, progress, known)
        if book is None:
            return report
        try:
            statements, notes = _statements(target)
            made = Made(
                target.image,
                contents(target, known, report.findings),
                tuple(b.descriptor.digest if isinstance(b, TarBlob) else None for b in target.blobs),
                statements,
            )
            return traced(report, made, book, notes)
        except Exception as e:  # a fault of ours: all that was found is in the report
            said = f"no line is known, for the tracing failed: {type(e).__name__}: {printable(str(e))}"
            return replace(report, notifications=(*report.notifications, Notification(STAGE, Level.NOTE, said)))


def _statements(target: OpenImage) -> tuple[tuple[bytes, ...], tuple[Notification, ...]]:
    """What the builder states; that it cannot be read is a note, for the history is still there."""
    try:
        return target.provenance(), ()
    except ScannerError as e:
        return (), (Notification(STAGE, Level.NOTE, f"the provenance cannot be read: {printable(str(e))}"),)


def scan_image(
    target: str,
    *,
    rules: Iterable[str | Path] = (),
    platform: str | None = None,
    engine_access: str = "auto",
    cache: bool | str | Path = True,
    limits: Limits | None = None,
    dockerfile: str | Path | None = None,
    repo: str | Path | None = None,
) -> Report:
    """Scan one target and return its Report: the Python API, exported as `scanner.scan`.

    `target` is what the command line takes: `archive:app.tar`, `docker:app:1`, `oci:layout`, `registry:host/app:1`,
    `rootfs:/tree`, or a bare path or image name. `cache` may name a folder; False keeps nothing. `dockerfile` built the image, `repo` holds
    what was copied into it: either gives findings their `source`.
    Raises ScannerError's children UsageError, ParseError, TargetError, SourceError and RuleError; anything that goes wrong later is in
    `report.notifications`, and `report.complete` is False.
    """
    limits = limits or Limits()
    options = Options(
        source=SourceOptions(platform=platform, engine_access=engine_access, limits=limits),
        rules=tuple(Path(r) for r in rules),
        limits=limits,
        cache=None if cache is False else Cache(None if cache is True else Path(cache)),
    )
    asked = TraceOptions(None if dockerfile is None else Path(dockerfile), None if repo is None else Path(repo))
    return scan(target, options, asked)
