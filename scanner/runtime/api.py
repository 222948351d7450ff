"""The Python API of runs, exported as `scanner.diff`, `scanner.live` and `scanner.observe`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from scanner.cache import Cache
from scanner.model import Limits, Report
from scanner.pipeline import Options
from scanner.sources.plugin import SourceOptions

if TYPE_CHECKING:
    from scanner.egressing import EgressOptions


def diff(
    after: str,
    before: str | None = None,
    *,
    expect: Iterable[str] = (),
    policies: Iterable[str | Path] = (),
    launch: Iterable[str | Path] = (),
    episode: str | None = None,
    rules: Iterable[str | Path] = (),
    cache: bool | str | Path = True,
    limits: Limits | None = None,
) -> Report:
    """What a run changed: `report.run.changes`, judged in `report.findings`.

    `after` is `container:ID`, `upper:DIR`, `rootfs:DIR|FILE` or an image; `before` an image, which only a container may leave out (its
    own). `expect` are globs, `policies` files, of what the run is meant to change.
    Raises ScannerError's children UsageError, TargetError, SourceError and RuleError.
    """
    from scanner.runtime.diff import DiffOptions
    from scanner.runtime.diff import diff as run
    from scanner.runtime.drift.policy import gathered

    files = tuple(map(str, launch))
    options = DiffOptions(_scanning(rules, cache, limits), gathered(expect, policies), episode, files, _egress(files))
    return run(before, after, options)


def live(
    container: str,
    *,
    launch: Iterable[str | Path] = (),
    episode: str | None = None,
    rules: Iterable[str | Path] = (),
    limits: Limits | None = None,
) -> Report:
    """What runs in a container now: `report.run.processes`, `.sockets` and `.namespace`, judged in `report.findings`.

    Raises ScannerError's children TargetError, SourceError and RuleError. What only root sees is missing without it, and said.
    """
    from scanner.runtime.live import LiveOptions
    from scanner.runtime.live import live as run

    files = tuple(map(str, launch))
    return run(container, LiveOptions(_scanning(rules, False, limits), episode, files, _egress(files)))


def observe(
    image: str | None,
    command: Sequence[str] = (),
    *,
    seconds: float = 60,
    environment: Mapping[str, str] | None = None,
    user: str | None = None,
    pcap: str | Path | None = None,
    expect: Iterable[str] = (),
    policies: Iterable[str | Path] = (),
    launch: Iterable[str | Path] = (),
    sandbox: str | None = None,
    episode: str | None = None,
    rules: Iterable[str | Path] = (),
    cache: bool | str | Path = True,
    limits: Limits | None = None,
) -> Report:
    """Run an image of the local engine where nothing can leave: `report.run.attempts`, `.queries`, `.processes`, `.changes`.

    Needs root. `seconds` is how long it runs at most; `launch` says how it is launched, `sandbox` which of its sandboxes it is.
    Raises ScannerError's children UsageError, TargetError, SourceError and RuleError.
    """
    from scanner.runtime.drift.policy import gathered
    from scanner.runtime.observe import ObserveOptions
    from scanner.runtime.observe import observe as run
    from scanner.runtime.sinkhole.guest import Limits as GuestLimits

    files = tuple(map(str, launch))
    options = ObserveOptions(
        scanning=_scanning(rules, cache, limits),
        limits=replace(GuestLimits(), seconds=seconds),
        policy=gathered(expect, policies),
        episode=episode,
        environment=tuple((environment or {}).items()),
        user=user,
        pcap=None if pcap is None else Path(pcap),
        launches=files,
        egress=_egress(files),
        sandbox=sandbox,
    )
    return run(image, tuple(command), options)


def _scanning(rules: Iterable[str | Path], cache: bool | str | Path, limits: Limits | None) -> Options:
    limits = limits or Limits()
    return Options(
        source=SourceOptions(limits=limits),
        rules=tuple(Path(r) for r in rules),
        limits=limits,
        cache=None if cache is False else Cache(None if cache is True else Path(cache)),
    )


def _egress(launches: Sequence[str]) -> "EgressOptions | None":
    if not launches:
        return None
    from scanner.egressing import EgressOptions

    return EgressOptions()
