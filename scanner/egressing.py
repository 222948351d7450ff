"""Launch files to one report: read, judged by the semantics of their platform, joined with what an image holds."""

import difflib
import ipaddress
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from scanner import masked
from scanner.egress.assess import CLOSABLE, Asked, assess, name_of, sandboxes_of
from scanner.egress.assumptions import Assumed, parse
from scanner.egress.findings import RULES, findings
from scanner.egress.observed import join
from scanner.egress.tools import Inventory
from scanner.errors import ParseError, ReportError, ScannerError, TargetError, UsageError
from scanner.launch.plugin import ReadOptions
from scanner.launch.recognise import open_launch
from scanner.model import (
    Finding,
    Image,
    ImageConfig,
    Launch,
    Level,
    Notification,
    Report,
    State,
    Target,
    Tool,
    printable,
    worst_first,
)
from scanner.model.egress import Action, Destination, Egress, Permit, Verdict
from scanner.model.run import How
from scanner.roots import lasting
from scanner.version import tool_version

if TYPE_CHECKING:
    from scanner.egress.firewall import Ruleset
    from scanner.pipeline import Options, Step

_RULESET_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class EgressOptions:
    """How to judge a launch.

    `runner` None is what the files themselves say; `environment` is for interpolation; `rulesets` the host's firewall as
    dumped; `images` targets to scan by sandbox name (`""`: every sandbox); `keep` what has to stay reachable; `to` the
    destinations that a cut closes (empty: all that should be); `commands` docker run lines instead of a file;
    `sandboxes` the names of those to judge (empty: every container or workload of the launch).
    """

    runner: str | None = None
    profiles: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    assumed: Assumed = field(default_factory=Assumed)
    rulesets: tuple[Path, ...] = ()
    images: tuple[tuple[str, str], ...] = ()
    keep: tuple[Permit, ...] = ()
    to: tuple[Destination, ...] = ()
    commands: tuple[str, ...] = ()
    cuts: bool = True
    sandboxes: tuple[str, ...] = ()


def judge_launch(
    paths: Sequence[str],
    options: EgressOptions,
    scanning: "Options | None" = None,
    progress: "Callable[[Step], None]" = lambda _: None,
) -> Report:
    """The report on what the launch reaches; images that `options.images` names are scanned for means, `scanning` says how.

    Raises UsageError, TargetError (missing), ParseError (broken, with file:line:column), LimitError, and what a scan raises.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    launch, assumed = read_launch(paths, options)
    options = replace(options, assumed=assumed)
    reports = _scanned(options.images, scanning, progress)
    egress, found, notes = _judged(launch, options, {n: inventory(r) for n, r in reports.items()})
    notes += (n for r in reports.values() for n in r.notifications)
    name = ", ".join(printable(f) for f in launch.files) or f"runner {launch.runner}"
    return Report(
        tool=Tool("sandscan", tool_version(), ""),
        target=Target("launch", name, _repository(launch)),
        image=Image(None, "", None, ImageConfig(), ()),
        findings=tuple(found),
        means=(),
        notifications=tuple(masked.notification(n) for n in notes),
        rules=RULES,
        started=started.isoformat(timespec="seconds").replace("+00:00", "Z"),
        statistics={"sandboxes": len(egress.sandboxes), "seconds": round(time.monotonic() - clock, 3)},
        egress=egress,
    )


def _scanned(
    images: Sequence[tuple[str, str]], scanning: "Options | None", progress: "Callable[[Step], None]"
) -> dict[str, Report]:
    """The images' reports by sandbox name; without any, nothing of what scans them is loaded."""
    if not images:
        return {}
    from scanner.pipeline import Options, scan

    return {name: scan(target, scanning or Options(), progress) for name, target in images}


def with_launch(report: Report, paths: Sequence[str], options: EgressOptions) -> Report:
    """An image's report and what its launch reaches, as one: the image's means are those of the sandboxes that start from it.

    Those are the ones whose image is the scanned one by name; where none is, all of them, for the user said that they belong together.
    """
    launch, assumed = read_launch(paths, options)
    options = replace(options, assumed=assumed)
    held = inventory(report)
    name = report.target.repository.rpartition("/")[2]
    images = {c.name: c.image.value for c in launch.containers if c.image is not None}
    images |= {h.name: h.image.value for h in launch.hosted if h.image is not None}
    same = {s: held for s, image in images.items() if name and _short(image) == name}
    egress, found, notes = _judged(launch, options, same or {"": held})
    if report.run is not None and report.run.how is How.LIVE:  # what is open now is tried, and did get through
        egress = join(egress, report.run, options.sandboxes or tuple(same) or tuple(s.name for s in egress.sandboxes))
    merged = sorted((*report.findings, *found), key=worst_first)
    return replace(
        report,
        findings=tuple(merged),
        notifications=(*report.notifications, *(masked.notification(n) for n in notes)),
        rules=tuple(sorted((*report.rules, *RULES), key=lambda r: r.id)),
        statistics={**report.statistics, "sandboxes": len(egress.sandboxes)},
        egress=egress,
    )


def read_launch(paths: Sequence[str], options: EgressOptions) -> tuple[Launch, Assumed]:
    """The launch that files, folders, running containers (`container:NAME`), command lines or a runner alone describe, and
    what is taken for granted: what the user said, and what a live engine tells of itself where the user said nothing."""
    reading = _reading(options)
    assumed = options.assumed
    live = [path for path in paths if path.startswith("container:")]
    if options.commands:
        from scanner.launch.docker_run import read_command

        if paths:
            raise UsageError("give launch files or --command, not both")
        launch = read_command("\n".join(options.commands), name="command line", options=reading)
    elif not paths:
        if options.runner is None:
            raise UsageError("nothing to judge: name a launch file, a folder, container:NAME, or a --runner")
        from scanner.launch.runners import launch_of

        image = next((target for _, target in options.images), None)
        return launch_of(options.runner, image), assumed
    elif live:
        if len(live) < len(paths):
            raise UsageError("give launch files or running containers, not both")
        launch, assumed = _running(live, reading, assumed)
    else:
        launch = open_launch(paths, reading)
    if options.runner is not None:
        from scanner.launch.runners import apply

        launch = apply(launch, options.runner, reading)
    return _settled(launch, assumed), assumed


def _reading(options: EgressOptions) -> ReadOptions:
    return ReadOptions({**options.environment, **options.assumed.environment}, options.profiles)


def _running(names: Sequence[str], reading: ReadOptions, assumed: Assumed) -> tuple[Launch, Assumed]:
    from scanner.launch.plugin import Input
    from scanner.launch.recognise import read_inputs
    from scanner.sources.live import inspect_container

    inputs, notes = [], []
    for name in names:
        found = inspect_container(name.removeprefix("container:"))
        inputs.append(Input(name, found.text))
        assumed = Assumed({**found.facts, **assumed.values})
        if found.left_out:
            words = f"{name}: {found.left_out} containers that share its networks were not asked about"
            notes.append(Notification("source", Level.WARNING, words))
    launch = read_inputs(inputs, reading)
    return replace(launch, notifications=(*launch.notifications, *notes)), assumed


def _settled(launch: Launch, assumed: Assumed) -> Launch:
    """The launch without the open questions that are answered by saying that nothing hangs on them (`adds.NAME=nothing`)."""
    nothing = {key for key, value in assumed.values.items() if key.startswith("adds.") and value == "nothing"}
    if not nothing:
        return launch
    containers = tuple(
        replace(c, missing=tuple(m for m in c.missing if m.key not in nothing)) for c in launch.containers
    )
    return replace(launch, containers=containers)


@dataclass(frozen=True, slots=True)
class Fix:
    """The cuts as a unified diff, and the actions that no file holds."""

    diff: str
    by_hand: tuple[Action, ...]


def fix(report: Report, paths: Sequence[str], options: EgressOptions) -> Fix:
    """The edits of all cuts of a report as one diff of its launch files (Compose and manifests).

    Raises UsageError where several sandboxes have cuts and nobody said whose are meant: a proxy has to reach what it is for.
    """
    from scanner.launch.patch import patch

    if report.egress is None:
        raise UsageError("there is no launch to be mended")
    launch, assumed = read_launch(paths, options)
    cut = [s.name for s in report.egress.sandboxes if any(c.actions for c in s.cuts)]
    if len(cut) > 1 and not options.sandboxes:
        shown = ", ".join(printable(n) for n in cut[:6]) + (" …" if len(cut) > 6 else "")
        raise UsageError(f"edits for {shown} would take each other's ways out: say whose to close with --sandbox")
    actions = {a.id: a for s in report.egress.sandboxes for c in s.cuts for a in c.actions}
    texts: dict[str, str] = {}
    for name in launch.files:
        try:
            texts[name] = Path(name).read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError):
            continue  # standard input, a running container: there is no file to be changed
    made = patch(launch, [a.edit for a in actions.values()], texts)
    by_hand = tuple(a for a in actions.values() if a.edit in made.left)
    if made.diff and not by_hand:
        _proven(report, {**texts, **made.texts}, launch, replace(options, assumed=assumed))
    return Fix(made.diff, by_hand)


def _proven(report: Report, texts: Mapping[str, str], launch: Launch, options: EgressOptions) -> None:
    """Nothing, once the mended files were read and judged as any others: what the cuts promise to close is closed.

    Raises ReportError where it is not: no patch is better than one that opens something else.
    """
    from scanner.launch.plugin import Input
    from scanner.launch.recognise import read_inputs
    from scanner.launch.runners import apply

    assert report.egress is not None
    reading = _reading(options)
    try:
        inputs = [Input(name, texts[name], Path(name)) for name in launch.files]
        mended = read_inputs(inputs, reading)
        mended = _settled(
            apply(mended, options.runner, reading) if options.runner is not None else mended, options.assumed
        )
    except (ScannerError, KeyError) as e:
        raise ReportError(f"no patch could be made: the mended files would not be read: {e}") from e
    egress, _, _ = _judged(mended, replace(options, cuts=False, sandboxes=()), {})
    after = {s.name: s for s in egress.sandboxes}
    for sandbox in report.egress.sandboxes:
        for cut in sandbox.cuts:
            for destination in cut.closes if cut.possible and not options.keep else ():
                answer = after[sandbox.name].answer(destination)
                if answer.verdict is not Verdict.CLOSED:
                    raise ReportError(
                        f"no patch could be made: with the edits in the files, {printable(sandbox.name)} would still have "
                        f"{destination} {answer.verdict}; make the changes of the cut by hand and judge the launch again"
                    )


def inventory(report: Report) -> Inventory:
    """What a scanned image offers to whoever is in it."""
    miners = tuple(
        f.locations[0].display.decode("utf-8", "replace")
        for f in report.findings
        if f.rule_id == "miner/binary" and f.state is State.VISIBLE
    )
    return Inventory(f"{report.target.source}:{report.target.name}", report.means, report.image.config.user, miners)


def _judged(
    launch: Launch, options: EgressOptions, inventories: Mapping[str, Inventory]
) -> tuple[Egress, list[Finding], list[Notification]]:
    asked = Asked(
        options.assumed,
        _ruleset(options.rulesets),
        inventories,
        options.to or CLOSABLE,
        options.keep,
        options.cuts,
        options.sandboxes,
    )
    known = [name_of(s) for s in sandboxes_of(launch)]
    for name in options.sandboxes:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {printable(close[0])}?" if close else f"there are {printable(', '.join(known[:10]))}"
            raise UsageError(f"the launch starts no sandbox {printable(name)}; {hint}")
    egress, remarks, notes = assess(launch, asked)
    found = sorted((masked.finding(f) for f in findings(egress, remarks)), key=worst_first)
    return egress, found, [*launch.notifications, *notes]


def _ruleset(paths: Sequence[Path]) -> "Ruleset | None":
    if not paths:
        return None
    from scanner.egress.firewall import read_ruleset

    texts = []
    for path in paths:
        try:
            with path.open("rb") as file:
                data = file.read(_RULESET_BYTES + 1)
        except OSError as e:
            raise TargetError(f"cannot read the ruleset {printable(str(path))}: {e.strerror or e}") from e
        if len(data) > _RULESET_BYTES:
            raise ParseError(f"{printable(str(path))} is larger than any ruleset ({_RULESET_BYTES} bytes)")
        texts.append(data.decode("utf-8", "surrogateescape"))
    return read_ruleset("\n".join(texts), printable(str(paths[0])))


def _short(image: str) -> str:
    """The image's name without registry, tag and digest."""
    return image.rpartition("/")[2].partition("@")[0].partition(":")[0]


def _repository(launch: Launch) -> str:
    """What stays of the launch's name from build to build and from folder to folder: its first file, from the repository's root."""
    return lasting(launch.files[0]) if launch.files else f"runner/{launch.runner}"


def kept(text: str) -> Permit:
    """`HOST:PORT`, `HOST` (every port) or `CIDR:PORT` of --keep; raises UsageError."""
    host, _, port = text.rpartition(":") if text.count(":") == 1 or text.startswith("[") else (text, "", "")
    host = host.strip("[]")
    if not host or (port and not (port.isdigit() and 0 < int(port) < 65536)):
        raise UsageError(f"--keep {printable(text)}: write HOST:PORT, such as api.example.com:443")
    try:
        host = str(ipaddress.ip_network(host, strict=False))
    except ValueError:
        host = host.lower()
    return Permit((host,), "tcp", ((int(port), int(port)),) if port else ((1, 65535),))


def reach(
    *paths: str | Path,
    runner: str | None = None,
    assume: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    profiles: Sequence[str] = (),
    rulesets: Sequence[str | Path] = (),
    image: str | None = None,
    sandboxes: Sequence[str] = (),
) -> Report:
    """Judge launch files and return the Report: the Python API, exported as `scanner.reach`; `report.egress` is never None.

    `paths` are what the command line takes: files, a folder, `container:NAME`; none with a `runner` that needs no file.
    `assume` are facts as `--assume` takes them, `image` a target to scan for what the sandboxes hold.
    Raises ScannerError's children UsageError, TargetError, ParseError, LimitError and SourceError.
    """
    options = EgressOptions(
        runner=runner,
        profiles=tuple(profiles),
        environment=dict(environment or {}),
        assumed=parse(f"{key}={value}" for key, value in (assume or {}).items()),
        rulesets=tuple(Path(r) for r in rulesets),
        images=(("", image),) if image is not None else (),
        sandboxes=tuple(sandboxes),
    )
    return judge_launch([str(p) for p in paths], options)
