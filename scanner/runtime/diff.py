"""What a run changed, as one report: compare, say what was to be expected, judge the rest as an image is judged, and by the drift rules."""

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from scanner import masked
from scanner.errors import ScannerError
from scanner.model import (
    FileLocation,
    Finding,
    Image,
    Json,
    Layer,
    Level,
    Limits,
    Means,
    Notification,
    Report,
    State,
    Target,
    worst_first,
)
from scanner.model.run import ChangeKind, FileChange, How, Run
from scanner.oci.blob import TarBlob
from scanner.oci.table import EntryTable
from scanner.oci.tar import index
from scanner.pipeline import Options, Step, detectors, rules_of, scan_opened, unread_first
from scanner.record import LayerRecord
from scanner.ruleset import load as load_rules
from scanner.runtime.drift import RULES, Drift, judge
from scanner.runtime.drift.expected import Expected, expect
from scanner.runtime.drift.policy import Policy, check_rules
from scanner.sources.plugin import OpenImage

if TYPE_CHECKING:
    from scanner.egressing import EgressOptions
    from scanner.runtime.changes.opening import Compared

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class DiffOptions:
    """How to compare and judge. `policy` says what is expected; `episode` is the caller's word for the run; `launches` are launch files
    of the container, judged by `egress`, whose reach goes into the same report.
    """

    scanning: Options = field(default_factory=Options)
    policy: Policy = field(default_factory=lambda: Policy(()))
    episode: str | None = None
    launches: tuple[str, ...] = ()
    egress: "EgressOptions | None" = None


def diff(
    before: str | None, after: str, options: DiffOptions, progress: Callable[[Step], None] = lambda _: None
) -> Report:
    """The report on what lies between `before` (an image; None for the container's own) and `after` (`container:ID`, `upper:DIR`,
    `rootfs:DIR|FILE`, or an image).

    Raises TargetError (missing, or nothing that can be compared), SourceError (cannot be read), RuleError, UsageError (a policy
    that names no rule). Whatever fails later is a notification, and the report is incomplete.
    """
    from scanner.runtime.changes.opening import open_pair

    started, clock = datetime.now(UTC), time.monotonic()
    check_policy(options)
    with ExitStack() as resources:
        compared = open_pair(before, after, options.scanning.source, resources)
        return judged(compared, _target(compared, after), options, started, clock, progress)


def check_policy(options: DiffOptions) -> None:
    """Raises UsageError for a policy with a rule that nobody has, before anything is read; RuleError for the user's own rules."""
    if options.policy.entries:
        known = (*RULES, *rules_of(load_rules(options.scanning.rules), detectors()))
        check_rules(options.policy, [rule.id for rule in known])


def _target(compared: "Compared", after: str) -> Target:
    """What was looked at, under the name of its image, so that fingerprints survive the next container."""
    scheme, colon, rest = after.partition(":")
    repository = compared.before.target.repository
    if compared.container is not None:
        return Target("container", compared.container.name or compared.container.id[:12], repository)
    known = ("upper", "rootfs", "docker", "archive", "oci", "registry")
    return Target(scheme, rest, repository) if colon and scheme in known else Target("image", after, repository)


def judged(
    compared: "Compared",
    target: Target,
    options: DiffOptions,
    started: datetime,
    clock: float,
    progress: Callable[[Step], None] = lambda _: None,
) -> Report:
    """The report on changes that were found already."""
    base = compared.before
    layer = compared.layers[-1].layer if compared.layers else Layer(len(base.image.layers), None, "the run")
    large = _Large(compared, options.scanning.limits)
    known = expect(compared.changes, compared.content_before, compared.content_after, options.policy, large.digest)
    read: dict[str, LayerRecord] = {}
    now = scan_opened(_laid(compared, target), options.scanning, progress, read)
    was = scan_opened(base, options.scanning, known=read)  # all its layers were just read
    rules = tuple(sorted({r.id: r for r in (*now.rules, *RULES)}.values(), key=lambda r: r.id))
    if options.launches and options.egress is not None:
        now = _launched(now, options)
        rules = tuple(sorted({r.id: r for r in (*now.rules, *rules)}.values(), key=lambda r: r.id))

    kept, expected_findings = _of_the_run(now, was, len(base.image.layers), known)
    drift = Drift(
        known.changes,
        compared.content_before,
        compared.content_after,
        layer,
        base.target.repository,
        known.covers if options.policy.entries else None,
        (*base.image.config.entrypoint, *base.image.config.cmd),
    )
    notes: list[Notification] = [*compared.notifications, *now.notifications]
    notes += (Notification("drift", Level.WARNING, problem) for problem in known.problems)
    for item in judge(drift):
        if isinstance(item, Notification):
            notes.append(item)
        else:
            kept.append(masked.finding(item))
    container = compared.container
    return replace(
        now,
        target=masked.target(target),
        findings=tuple(sorted(kept, key=worst_first)),
        means=_means(now.means, len(base.image.layers)),
        notifications=tuple(dict.fromkeys(map(masked.notification, sorted(notes, key=unread_first)))),
        rules=rules,
        started=started.isoformat(timespec="seconds").replace("+00:00", "Z"),
        statistics={
            **now.statistics,
            **_counted(known.changes),
            "expected_findings": expected_findings,
            "seconds": round(time.monotonic() - clock, 3),
        },
        run=masked.run(
            Run(
                how=How.DIFF,
                subject=target.name,
                started=(container.started if container is not None else None) or started.timestamp(),
                ended=(container.finished if container is not None else None) or started.timestamp(),
                episode=options.episode,
                image=_image_name(compared),
                command=_command(compared),
                changes=known.changes,
                unseen=tuple(dict.fromkeys(n.message for n in compared.notifications if n.stage == "unseen")),
            )
        ),
    )


def _image_name(compared: "Compared") -> str | None:
    """What the run began with, in the words of whoever named it: a container's own image is opened by its id."""
    container, name = compared.container, compared.before.target.name
    if container is not None and name == container.image:
        name = container.image_name
    return name or None


def _command(compared: "Compared") -> tuple[str, ...]:
    """The words that the container was started with; without one those of the image."""
    config = compared.before.image.config
    told = compared.container.inspected if compared.container is not None else {}
    path, arguments = told.get("Path"), told.get("Args")
    if not isinstance(path, str) or not isinstance(arguments, list | None):
        return (*config.entrypoint, *config.cmd)
    return (path, *(str(one) for one in arguments or ()))


def _laid(compared: "Compared", target: Target) -> OpenImage:
    """The image with the run's layers over its own. Whoever opened the pair closes it."""
    base = compared.before
    image: Image = replace(base.image, layers=(*base.image.layers, *(b.layer for b in compared.layers)))
    return OpenImage(
        replace(target, repository=base.target.repository),
        image,
        (*base.blobs, *compared.layers),
        base.notifications,
    )


def _launched(report: Report, options: DiffOptions) -> Report:
    """The report with what the launch reaches: all that the container holds counts, not only what the run brought."""
    from scanner.egressing import EgressOptions, with_launch

    return with_launch(report, options.launches, options.egress or EgressOptions())


def _of_the_run(now: Report, was: Report, layers: int, known: Expected) -> tuple[list[Finding], int]:
    """The findings that the run made true, and how many of them a policy expects.

    Those in its own layers, unless the image had the same said of it in the same words (a file whose mode alone changed); and those
    elsewhere that were not there, or weighed less, before (a line of sshd_config that something of the run made count).
    """
    before = {f.fingerprint: f for f in was.findings if f.state is State.VISIBLE}
    changes = {c.path: c for c in known.changes}
    kept, expected = [], 0
    for finding in now.findings:
        place = finding.locations[0]
        old = before.get(finding.fingerprint)
        own = isinstance(place, FileLocation) and place.layer.index >= layers
        if finding.state is not State.VISIBLE:
            continue
        if (
            old is not None
            and old.severity.rank >= finding.severity.rank
            and (not own or old.message == finding.message)
        ):
            continue
        change = changes.get(place.path) if isinstance(place, FileLocation) and own else None
        if change is not None and known.covers(change, finding.rule_id):
            expected += 1
        else:
            kept.append(finding)
    return kept, expected


def _means(means: Iterable[Means], layers: int) -> tuple[Means, ...]:
    """What the run brought: the image's own means are in the image's report."""
    return tuple(m for m in means if isinstance(m.location, FileLocation) and m.location.layer.index >= layers)


def _counted(changes: Sequence[FileChange]) -> dict[str, Json]:
    """How many of each kind, how many expected, and the bytes that are new."""
    kinds = Counter(c.change for c in changes)
    return {
        "changes": len(changes),
        **{f"changes_{kind.value}": kinds[kind] for kind in ChangeKind},
        "changes_expected": sum(c.expected is not None for c in changes),
        "changes_bytes": sum(
            c.after.size for c in changes if c.after and c.change in (ChangeKind.ADDED, ChangeKind.MODIFIED)
        ),
    }


class _Large:
    """Digests of files in the run's layer that are too large to be handed over whole; each layer's table is read once."""

    def __init__(self, compared: "Compared", limits: Limits) -> None:
        self._blobs = [b for b in compared.layers if isinstance(b, TarBlob) and b.file is not None]
        self._limits = limits

    @cached_property
    def _places(self) -> dict[bytes, tuple[int, int, int]]:
        """File descriptor, offset and size by path."""
        found: dict[bytes, tuple[int, int, int]] = {}
        for blob in self._blobs:
            stored = blob.file
            if stored is None or stored.offset:
                continue
            try:
                table: EntryTable = index(stored.fd, stored.size, "the run's files", self._limits)
            except ScannerError:
                continue  # its files stay unrecognised, and are judged like any others
            for row in range(len(table)):
                if table.is_entry(row) and (entry := table.entry(row, 0)).is_file and entry.offset >= 0:
                    found[entry.path] = stored.fd, entry.offset, entry.size
        return found

    def digest(self, path: bytes, algorithm: str) -> str | None:
        """The hexadecimal digest, None where the layer does not hold the file."""
        if path not in self._places:
            return None
        fd, offset, left = self._places[path]
        made = hashlib.new(algorithm, usedforsecurity=False)
        while left > 0:
            chunk = os.pread(fd, min(left, _CHUNK), offset)
            if not chunk:
                return None
            made.update(chunk)
            offset, left = offset + len(chunk), left - len(chunk)
        return made.hexdigest()
