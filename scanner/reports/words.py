"""Words that every report for people shares: places, layers, instructions, counts. All of it safe to print."""

import re
from collections import Counter
from collections.abc import Iterable
from datetime import date

from scanner.model import (
    Aside,
    ConfigLocation,
    Evidence,
    FileLocation,
    Finding,
    LaunchLocation,
    Layer,
    Location,
    MeansKind,
    Notification,
    ProcessLocation,
    Report,
    Rule,
    Severity,
    SourceLine,
    State,
    Suppressed,
    Traced,
    printable,
)

PATH_LIMIT = 4096
"""Characters of a path that are shown; Linux opens none that is longer."""


def plain(text: str, limit: int) -> str:
    """Words on one line, runs of white space as one space."""
    return printable(" ".join(text[: limit * 4].split()), limit)


def sentence(text: str) -> str:
    """The words with a full stop, if they end in no other."""
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def target(report: Report) -> str:
    """What was asked for, as a person would type it: `docker:app:latest`, `check src`."""
    if is_check(report):
        return printable(f"check {report.target.name}", PATH_LIMIT)
    return printable(f"{report.target.source}:{report.target.name}", PATH_LIMIT)


def repository(report: Report) -> str:
    """The image's name without tag or digest; never empty."""
    return printable(report.target.repository, 400).strip() or "image"


def path(raw: bytes) -> str:
    return printable(raw, PATH_LIMIT) or "(no name)"


def file(name: str) -> str:
    """A file of this machine, as the user or the repository names it."""
    return path(LaunchLocation(name, 1).display)


def place(location: Location) -> str:
    """Path with line or offset, the field of the image's config, `file:line:column` of a launch file, or `PID command`."""
    if isinstance(location, ConfigLocation):
        return f"image config, {printable(location.field)}"
    if isinstance(location, LaunchLocation):
        return f"{path(location.display)}:{location.line}:{location.column}"
    if isinstance(location, ProcessLocation):
        return process(location)
    return path(location.display) + position(location.line, location.offset)


def process(location: ProcessLocation) -> str:
    """`4711 ssh -N -R 2222:localhost:22`; the container's name where no process is meant."""
    if location.pid is None:
        return f"container {printable(location.container)}"
    said = " ".join(location.command) or (location.executable or b"").decode("utf-8", "backslashreplace")
    return f"{location.pid} {printable(said, 400)}".rstrip()


def position(line: int | None, offset: int | None) -> str:
    """`, line 3`, `, byte 4,096` or nothing."""
    if line is not None:
        return f", line {line:,}"
    return f", byte {offset:,}" if offset is not None else ""


_HOW = {
    Traced.CONTENT: "the same file in the repository",
    Traced.PROVENANCE: "by the build's own record",
    Traced.HISTORY: "by the image's history",
    Traced.BASE: "from the base image",
    Traced.GIVEN: "",
}


def source(finding: Finding) -> str:
    """The line of the repository that made the finding, and how it is known: `Dockerfile:12 (by the image's history)`; a
    doubtful one says so, and why. Empty without one."""
    one = finding.source
    if one is None:
        return ""
    return source_line(one) + (f" ({how})" if (how := source_how(one)) else "")


def is_given(finding: Finding) -> bool:
    """Whether the finding is about a file of the repository itself, and about no image."""
    return finding.source is not None and finding.source.how is Traced.GIVEN


def where(finding: Finding) -> str:
    """The place of the finding: of its first location, or the line of the repository that it is about."""
    one = finding.source
    return source_line(one) if one is not None and is_given(finding) else place(finding.locations[0])


def source_line(value: SourceLine) -> str:
    """`Dockerfile:12`, or `Dockerfile:12-15`."""
    end = f"-{value.end_line}" if value.end_line > value.line else ""
    return f"{file(value.file)}:{value.line}{end}"


def source_how(value: SourceLine) -> str:
    """How the line is known: `by the image's history`, or `doubtful, by the image's history: two steps have the same words`.
    Empty where the finding is about the line itself."""
    how = _HOW[value.how]
    if value.certain:
        return how
    why = plain(value.why, 300).removesuffix(".")
    return ", ".join(filter(None, ("doubtful", how))) + (f": {why}" if why else "")


def pointing(finding: Finding) -> tuple[str, int, int | None] | None:
    """The file of the repository, the line and the last line (None: one line alone) that the finding points to: its source,
    else a primary location in a launch file. None where it points to no file below the repository's root.

    The file is relative, with `/`, without `./`, and printable; it is nobody's word that it exists.
    """
    one, place = finding.source, finding.locations[0]
    if one is not None:
        name, line, end = one.file, one.line, one.end_line
    elif isinstance(place, LaunchLocation):
        name, line, end = place.file, place.line, place.line
    else:
        return None
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if not parts or name.startswith("/") or ".." in parts or name in _NO_FILE:
        return None
    return file("/".join(parts)), max(line, 1), end if end > line else None


_NO_FILE = frozenset({"standard input"})
"""What launches call a file that has no name."""


def set_aside(report: Report) -> tuple[str, ...]:
    """A sentence part for each place that sets findings aside, in the order in which they appear: `12 known from the baseline
    sandscan-baseline.json`, `2 ignored (.sandscan.yaml), the first until 2027-01-31`. Empty without any."""
    groups: dict[tuple[Aside, str], list[Suppressed]] = {}
    for one in report.suppressed:
        groups.setdefault((one.how, _without_line(one) if one.how is Aside.IGNORED else one.place), []).append(one)
    said = []
    for (how, where), ones in groups.items():
        shown = file(where)
        if how is Aside.BASELINE:
            said.append(f"{len(ones):,} known from the baseline {shown}")
        else:
            ends = min((one.expires for one in ones if one.expires is not None and _is_date(one.expires)), default=None)
            until = "" if ends is None else f", {'the first ' if len(ones) > 1 else ''}until {ends}"
            said.append(f"{len(ones):,} ignored ({shown}){until}")
    return tuple(said)


def set_aside_because(value: Suppressed) -> str:
    """Who sets it aside and why: `known from the baseline b.json`, `ignored until 2027-01-31 (.sandscan.yaml:4): our own test`."""
    shown = file(value.place)
    reason = plain(value.reason, 400)
    if value.how is Aside.BASELINE:
        return f"known from the baseline {shown}" + (f": {reason}" if reason else "")
    until = "" if value.expires is None else f" until {printable(value.expires, 40)}"
    return f"ignored{until} ({shown})" + (f": {reason}" if reason else "")


def _without_line(value: Suppressed) -> str:
    """`.sandscan.yaml` for `.sandscan.yaml:4`: entries of one file are counted together."""
    return re.sub(r":\d+$", "", value.place)


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def short(digest: str | None) -> str:
    """The first 12 hex digits, as docker shows them; empty for None."""
    return printable((digest or "").rpartition(":")[2][:12])


def layer(value: Layer) -> str:
    """`layer 3 (1b2c3d4e5f60)`; without the digest for a tree that has none."""
    digest = short(value.diff_id)
    return f"layer {value.index}" + (f" ({digest})" if digest else "")


def instruction(created_by: str | None, limit: int = 200) -> str:
    """The Dockerfile's instruction in a history entry, without what the builder wrapped around it; empty if unknown.

    Builders write `/bin/sh -c #(nop) CMD …`, `/bin/sh -c apt-get …`, `|1 ARG=x /bin/sh -c …` (classic) and
    `RUN /bin/sh -c … # buildkit`.
    """
    text = " ".join((created_by or "")[:PATH_LIMIT].split())
    text = text.removesuffix("# buildkit").rstrip()
    text = re.sub(r"^/bin/sh -c #\(nop\) ?", "", text)
    text = re.sub(r"^(?:RUN )?(?:\|\d+ (?:(?!/bin/sh -c ).)*)?/bin/sh -c ", "RUN ", text)
    return printable(text, limit)


def state(finding: Finding, report: Report, limit: int = 200) -> str:
    """A sentence on why a container does not see the file, empty if it does."""
    if finding.state is State.VISIBLE:
        return ""
    by = _layer_at(report, finding.hidden_by)
    if by is None:
        return f"{finding.state} in a later layer; the image still carries it"
    maker = instruction(by.created_by, limit)
    where = f"{finding.state} in layer {by.index}" + (f" by {maker}" if maker else "")
    return f"{where}; the image still carries it"


def _layer_at(report: Report, index: int | None) -> Layer | None:
    return next((one for one in report.image.layers if one.index == index), None)


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """By severity, then by confidence, else as they came."""
    return sorted(findings, key=lambda f: (-f.severity.rank, -f.confidence.rank))


def rules(report: Report) -> dict[str, Rule]:
    """Every rule by its id, loaded ones first and in their order; a finding of a rule that the report does not list
    gets one that says no more than the finding does, because a report is never lost over its help text."""
    known = {rule.id: rule for rule in report.rules}
    for finding in (*report.findings, *(one.finding for one in report.suppressed)):
        if finding.rule_id not in known:
            known[finding.rule_id] = Rule(finding.rule_id, finding.rule_id, finding.severity, description="", help="")
    return known


def kinds(evidence: Iterable[Evidence]) -> dict[str, list[Evidence]]:
    """Evidence by its kind, in the order in which the kinds appear, without what says the same twice."""
    by_kind: dict[str, dict[tuple[object, ...], Evidence]] = {}
    for one in evidence:
        by_kind.setdefault(one.kind, {}).setdefault((one.excerpt, one.path, one.inner, one.line, one.offset), one)
    return {kind: list(found.values()) for kind, found in by_kind.items()}


def evidence_place(evidence: Evidence) -> str:
    return path(b"!/".join((evidence.path, *evidence.inner))) + position(evidence.line, evidence.offset)


def is_at(evidence: Evidence, location: Location) -> bool:
    """True if the evidence lies in the file, or in the process, that the location names."""
    if isinstance(location, LaunchLocation):
        return not evidence.inner and evidence.path == location.display
    if isinstance(location, ProcessLocation):
        return not evidence.inner and evidence.path in {location.display, location.executable}
    return isinstance(location, FileLocation) and (evidence.path, evidence.inner) == (location.path, location.inner)


def notification_place(notification: Notification) -> str:
    """`opt/a.zip!/b, layer 2`; empty if the whole target is meant."""
    parts = []
    if notification.path is not None:
        parts.append(path(b"!/".join((notification.path, *notification.inner))))
    if notification.layer is not None:
        parts.append(f"layer {notification.layer}")
    return ", ".join(parts)


def gaps_first(notifications: Iterable[Notification]) -> list[Notification]:
    """Errors, warnings, notes; else as they came."""
    order = {"error": 0, "warning": 1, "note": 2}
    return sorted(notifications, key=lambda n: order[n.level])


def gaps(report: Report) -> int:
    """How many things were not read to their end."""
    return sum(n.count for n in report.notifications if n.incomplete)


def many(count: int, one: str, more: str = "") -> str:
    """`1 layer`, `1,200 layers`."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def size(count: float) -> str:
    """Bytes in decimal units, three digits at most: `182 MB`, `2.4 GB`."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if count < 999.5 or unit == "TB":
            return f"{count:,.0f} {unit}" if count >= 99.5 or unit == "bytes" else f"{count:,.2g} {unit}"
        count /= 1000
    raise AssertionError(count)


def number(report: Report, key: str) -> float | None:
    """A number of the statistics, None if it is not there or no number."""
    value = report.statistics.get(key)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def tally(findings: Iterable[Finding]) -> str:
    """`2 critical, 1 high, 3 notes`, or `no findings`."""
    counted = Counter(f.severity for f in findings)
    words = [
        many(counted[one], "note") if one is Severity.NOTE else f"{counted[one]:,} {one}"
        for one in Severity
        if counted[one]
    ]
    return ", ".join(words) or "no findings"


def ready(report: Report) -> str:
    """What lies ready in the image: `4 clients, 2 interpreters, 1 credential`; empty if nothing does."""
    counted = Counter(m.kind for m in report.means)
    return ", ".join(
        many(counted[one], "way in elsewhere", "ways in elsewhere")
        if one is MeansKind.ACCESS
        else many(counted[one], one)
        for one in MeansKind
        if counted[one]
    )


def has_image(report: Report) -> bool:
    """Whether an image was scanned, and not a launch, a run or files of a repository alone."""
    return bool(report.image.layers) or (report.egress is None and report.run is None and not is_check(report))


def is_check(report: Report) -> bool:
    """Whether files of a repository were looked at, as `sandscan check` does."""
    return report.target.source == "check"


def extent(report: Report) -> str:
    """What was looked at: `5 layers, 4,312 files, 182 MB`, `3 sandboxes`, `one run`."""
    parts = [many(len(report.image.layers), "layer")] if has_image(report) else []
    if report.egress is not None:
        parts.insert(0, many(len(report.egress.sandboxes), "sandbox", "sandboxes"))
    if report.run is not None:
        parts.insert(0, "one run")
    files, read = number(report, "files"), number(report, "bytes")
    if files is not None:
        parts.append(many(int(files), "file"))
    if read is not None:
        parts.append(size(read))
    return ", ".join(parts)


def pace(report: Report) -> str:
    """`, read in 1.2 s`, or nothing."""
    seconds = number(report, "seconds")
    if seconds is None:
        return ""
    return f", read in {seconds:,.1f} s" if seconds >= 1 else f", read in {seconds:.2f} s"


def incomplete(report: Report) -> str:
    """Empty for a complete report, else the sentence that no reader may miss."""
    if report.complete:
        return ""
    count = gaps(report)
    return f"INCOMPLETE: {many(count, 'thing')} {'was' if count == 1 else 'were'} not read to the end"


def nothing_found(report: Report) -> str:
    """The sentence, without its full stop, of a report without findings: what was looked for, and in what."""
    what = "Nothing found" if report.complete else "Nothing found in what could be read"
    if report.statistics.get("left_out_by_severity"):
        what = what.replace("Nothing found", "Nothing as severe as asked for found")
    if report.suppressed:
        what += ", but for what is set aside"
    files = ", overwritten and deleted files included" if has_image(report) and report.run is None else ""
    looked = f"{many(len(report.rules), 'rule')} over {extent(report)}{files}"
    return f"{what}: {looked}{pace(report)}"
