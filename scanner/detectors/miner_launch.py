"""What starts a miner: crontabs, units, init and entry scripts, and the image's own entrypoint, command and environment."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from scanner.content import Content
from scanner.detectors.launchers import reading, shell
from scanner.detectors.launchers.lines import Lines
from scanner.detectors.launchers.points import PATHS
from scanner.detectors.launchers.shell import COMMANDS, Command
from scanner.detectors.mining import lexing, scripts, traits
from scanner.detectors.mining.families import RELEASE_URL
from scanner.detectors.mining.pools import Pool, pool_url
from scanner.detectors.mining.programs import Program, programs
from scanner.detectors.mining.regions import regions
from scanner.detectors.mining.startup import Startup, assess
from scanner.detectors.mining.wallets import Purse
from scanner.detectors.plugin import Detector, Wants
from scanner.model import (
    Confidence,
    ConfigLocation,
    Evidence,
    FileLocation,
    Finding,
    Json,
    Level,
    Location,
    Notification,
    Rule,
    Severity,
    State,
    capital,
    printable,
)
from scanner.oci.view import ImageView, Sighting

MINER_LAUNCH = Rule(
    id="miner/launch",
    name="Command that starts a miner",
    severity=Severity.HIGH,
    description="A crontab, unit, script or a field of the image's configuration that starts a miner or fetches one.",
    help="The sandbox would mine without anyone asking it to. Remove the command, and what it starts.",
    references=("https://attack.mitre.org/techniques/T1496/001/", "https://attack.mitre.org/techniques/T1053/003/"),
    attack=("T1496.001", "T1053.003", "T1543.002"),
)

NAME = "miner_launch"
STARTS = 50
"""Commands of one file that are told; the first says it all."""
PROGRAMS = 200
"""Programs remembered of one launch point, to be compared with the miners found."""

_TRIGGERS = frozenset({"launch", "pool", "options", "protocol"})
_SCRIPT_ARGUMENT = re.compile(r"^(?:\.{0,2}/|[\w.-]+/)[^\s]+$|^[\w.-]+\.(?:py|js|sh|pl|rb|jar|php|wasm)$")
_ORDINARY = frozenset(
    "cat echo printf sleep cd ls rm mv cp mkdir chmod chown ln touch true false exit return test [ [[ set unset shift read export "
    "source . trap wait kill grep sed awk tr cut sort head tail wc date id uname hostname sysctl modprobe mount umount stty "
    "apt-get apt dpkg pgrep pkill ps which type umask getopt getopts break continue eval let local find xargs basename dirname".split()
)


def inspect(content: Content) -> Iterator[Evidence | Notification]:
    """Commands that start a miner, with their lines; and, at launch points, every program named, for the judge."""
    if not content.is_text or content.size == 0:
        return
    language = lexing.language(content.name, content.head)
    triggered = any(m.rule.evidence in _TRIGGERS for m in traits.of(content, "miner"))
    place = reading.place(content)
    # a script lies in its own language where scripts do, or says in its strings what it starts
    spoken = language not in (None, "shell") and (place is None or bool(place.language))
    commands: Iterable[Command] = ()
    if spoken and triggered:
        parts, complete = regions(content)
        if not complete:
            message = f"a script of {content.size} bytes: only parts of it were read for what they start"
            yield Notification("detector", Level.WARNING, message, content.path, content.inner)
        commands = _spoken(content, parts, language or "")
    elif place is not None and (triggered or place.installed) and (known := reading.read(content)) is not None:
        yield from known.notes
        commands = known.commands
    named: dict[str, int] = {}
    purse, told = Purse(), 0
    point = place.what if place is not None and not spoken else "script"
    for number, command in enumerate(commands):
        if number >= COMMANDS:
            message = f"holds more than {COMMANDS} commands; the rest were not read"
            yield Notification("detector", Level.WARNING, message, content.path, content.inner)
            break
        if place is not None and not spoken and point != "script" and len(named) < PROGRAMS:
            for path in _paths(command):
                named.setdefault(path, command.line)
        startup = assess(command, purse) if told < STARTS else None
        # in a string of another language a miner's name alone is a word
        if startup is not None and startup.verdict() is not None and not (spoken and startup.kinds == ("name",)):
            told += 1
            yield _evidence(content, command, startup, command.line, point)
    if purse.exhausted:
        message = "so many words look like a wallet address that not all were checked"
        yield Notification("detector", Level.WARNING, message, content.path, content.inner)
    if named:
        programs_named: dict[str, Json] = dict(named)
        yield Evidence(NAME, "names", content.path, content.inner, facts={"programs": programs_named, "point": point})


def _spoken(content: Content, parts: list[tuple[int, bytes]], language: str) -> Iterator[Command]:
    """Commands that a script of another language holds in its strings, and releases it names: if it runs or fetches at all."""
    for start, data in parts:
        script, lines = lexing.read(data, language), Lines(data)
        if not scripts.runs_programs(script):
            continue
        first = content.line_of(start) - 1
        for offset, literal in script.literals:
            said = literal.decode("utf-8", "replace")
            line = first + lines.at(offset)
            if found := RELEASE_URL.search(said):
                yield Command(("fetch", found.group()), line)
            elif " " in said.strip():
                for command in shell.commands(said):
                    yield replace(command, line=line)


def _paths(command: Command) -> Iterator[str]:
    """The program a command runs, and the files it hands to an interpreter."""
    if command.name not in _ORDINARY and "$" not in command.path:
        yield command.path
    for word in command.argv[1:6]:
        if _SCRIPT_ARGUMENT.match(word) and "$" not in word and not word.startswith("-"):
            yield word if word.startswith("/") or not command.folder else f"{command.folder}/{word.removeprefix('./')}"


def _evidence(content: Content, command: Command, startup: Startup, line: int, what: str) -> Evidence:
    return Evidence(
        NAME,
        "fetch" if startup.fetches else "command",
        content.path,
        content.inner,
        None,
        line,
        printable(str(command), 300),
        _facts(startup, what),
    )


def _facts(startup: Startup, what: str) -> dict[str, Json]:
    verdict = startup.verdict()
    return {
        "point": what,
        "signs": list(startup.kinds),
        "pool": str(startup.pool) if startup.pool else None,
        "wallet": startup.wallet.address if startup.wallet else None,
        "family": startup.family,
        "fetches": startup.fetches,
        "severity": verdict[0].value if verdict else "",
        "confidence": verdict[1].value if verdict else "",
    }


@dataclass(frozen=True, slots=True)
class _Start:
    """One reason to report a place."""

    location: Location
    state: State
    hidden_by: int | None
    severity: Severity
    confidence: Confidence
    evidence: Evidence
    message: str
    starts: Program | None = None


def judge(view: ImageView) -> Iterator[Finding]:
    """One finding for each file, layer states folded, and one for each field of the configuration."""
    mines = [p for p in programs(view) if p.mines]
    starts: dict[tuple[bytes, int], list[_Start]] = {}
    for sighting in view.of(NAME, "command", "fetch", "names"):
        key = (sighting.location.display, sighting.layer.index)
        starts.setdefault(key, []).extend(_of_file(sighting, mines))
    places: dict[bytes, list[list[_Start]]] = {}
    for (display, _), found in starts.items():
        if found:
            places.setdefault(display, []).append(found)
    for groups in places.values():
        groups.sort(key=lambda g: (g[0].state is not State.VISIBLE, -max(s.severity.rank for s in g)))
        yield _finding(view, groups[0], [g[0].location for g in groups[1:]])
    scripts_found = {d.decode("utf-8", "surrogateescape") for d in places}
    for start in _of_config(view, mines, scripts_found):
        yield _finding(view, [start], [])


def _of_file(sighting: Sighting, mines: Iterable[Program]) -> Iterator[_Start]:
    e = sighting.evidence
    if e.kind != "names":
        yield _Start(
            sighting.location,
            sighting.state,
            sighting.hidden_by,
            Severity(str(e.facts["severity"])),
            Confidence(str(e.facts["confidence"])),
            e,
            _said(e.facts, str(e.facts["point"])),
        )
        return
    named = e.facts["programs"]
    if not isinstance(named, Mapping):
        return
    for program in mines:
        for path in named:
            line = named[path]
            if _is(path, program):
                place = FileLocation(e.path, sighting.layer, e.inner, line if isinstance(line, int) else None)
                point_name = str(e.facts["point"])
                shown = Evidence(
                    NAME, "starts", e.path, e.inner, None, place.line, f"runs {printable(path)}", {"point": point_name}
                )
                yield _Start(
                    place,
                    sighting.state,
                    sighting.hidden_by,
                    *_weight(program),
                    shown,
                    _runs(point_name, path, program),
                    program,
                )


def _weight(program: Program) -> tuple[Severity, Confidence]:
    visible = program.first.state is State.VISIBLE
    return (Severity.HIGH if visible else Severity.MEDIUM), program.verdict.confidence


def _is(path: str, program: Program) -> bool:
    """Whether a command's path is the program's: absolute ones as they are, bare names in the folders of programs."""
    raw = path.encode("utf-8", "surrogateescape")
    if raw.startswith(b"/"):
        wanted = raw.lstrip(b"/")
        # since the merge of /usr, /bin is a link to usr/bin
        merged = {wanted, b"usr/" + wanted} if wanted.startswith((b"bin/", b"sbin/", b"lib")) else {wanted}
        return not merged.isdisjoint(program.paths)
    if b"/" in raw.removeprefix(b"./"):
        return False
    folders = (b"bin", b"sbin", b"usr/bin", b"usr/sbin", b"usr/local/bin", b"usr/local/sbin")
    name = raw.removeprefix(b"./")
    if raw.startswith(b"./"):
        return any(p.rsplit(b"/", 1)[-1] == name for p in program.paths)
    return any(p.rpartition(b"/")[2] == name and p.rpartition(b"/")[0] in folders for p in program.paths)


def _said(facts: Mapping[str, Json], what: str) -> str:
    what = capital(what)
    if facts.get("fetches"):
        return f"{what} fetches a miner: {facts['fetches']}."
    name = f"{facts['family']}" if facts.get("family") else "a program with a miner's options"
    where = f" at {facts['pool']}" if facts.get("pool") else ""
    return f"{what} starts {name}{where}."


def _runs(what: str, path: str, program: Program) -> str:
    known = f" ({program.family})" if program.family else ""
    gone = "" if program.first.state is State.VISIBLE else ", which a later layer removed"
    return f"{capital(what)} runs {printable(path)}, a program found to mine{known}{gone}."


def _of_config(view: ImageView, mines: list[Program], launchers: set[str]) -> Iterator[_Start]:
    """Entrypoint and command as one line, as the runtime joins them; the health check; the environment; ONBUILD."""
    config = view.image.config
    words = [("Entrypoint", i, w) for i, w in enumerate(config.entrypoint)] + [
        ("Cmd", i, w) for i, w in enumerate(config.cmd)
    ]
    if words:
        yield from _of_words(words, mines, launchers, config.working_dir)
    check = config.healthcheck
    if len(check) > 1:
        line = (
            [("Healthcheck", 1, check[1])]
            if check[0] == "CMD-SHELL"
            else [("Healthcheck", i, w) for i, w in enumerate(check)][1:]
        )
        yield from _of_words(line, mines, launchers, config.working_dir)
    for number, instruction in enumerate(config.on_build):
        verb, _, rest = instruction.partition(" ")
        if verb.upper() in ("RUN", "CMD", "ENTRYPOINT"):
            yield from _of_words([("OnBuild", number, rest)], mines, launchers, config.working_dir)
    yield from _of_environment(config.env)


def _of_words(
    words: list[tuple[str, int, str]], mines: list[Program], launchers: set[str], folder: str
) -> Iterator[_Start]:
    field, number, only = words[0]
    argv = tuple(w for _, _, w in words)
    commands = list(shell.commands(only)) if len(words) == 1 and " " in only else list(shell.unwrap(argv, 1, folder))
    for command in commands:
        at = next((f"{f}[{i}]" for f, i, w in words if command.program in w), f"{field}[{number}]")
        startup = assess(command, Purse())
        shown = printable(str(command), 300)
        if startup is not None and (verdict := startup.verdict()) is not None:
            facts = _facts(startup, f"the image's {at.partition('[')[0]}")
            evidence = Evidence(NAME, "command", b"", excerpt=shown, facts=facts)
            yield _Start(ConfigLocation(at), State.VISIBLE, None, *verdict, evidence, _said(facts, str(facts["point"])))
            return
        for path in _paths(command):
            what = f"the image's {at.partition('[')[0]}"
            for program in mines:
                if _is(path, program):
                    evidence = Evidence(NAME, "starts", b"", excerpt=shown, facts={"point": what})
                    yield _Start(
                        ConfigLocation(at),
                        State.VISIBLE,
                        None,
                        *_weight(program),
                        evidence,
                        _runs(what, path, program),
                        program,
                    )
                    return
            if path.lstrip("/") in launchers:
                evidence = Evidence(NAME, "starts", b"", excerpt=shown, facts={"point": what})
                message = f"{capital(what)} runs {printable(path)}, which starts a miner."
                yield _Start(
                    ConfigLocation(at), State.VISIBLE, None, Severity.HIGH, Confidence.MEDIUM, evidence, message
                )
                return


def _of_environment(env: tuple[str, ...]) -> Iterator[_Start]:
    """A pool and a wallet in the environment are a miner's orders, whatever reads them."""
    pool: Pool | None = None
    owner: str | None = None
    at, sure, purse = 0, False, Purse()
    for number, variable in enumerate(env):
        name, _, value = variable.partition("=")
        if found := pool_url(value):
            pool, at = found, number
        if known := purse.wallet(value):
            owner, sure = known.address, True
        elif re.search(r"(?i)wallet|rig_?id|worker|mining", name) and value and owner is None:
            owner = value
    if pool is None or owner is None:
        return
    facts: dict[str, Json] = {"point": "environment", "pool": str(pool), "wallet": owner}
    evidence = Evidence(NAME, "command", b"", excerpt=printable(env[at], 300), facts=facts)
    confidence = Confidence.HIGH if sure else Confidence.MEDIUM
    message = f"The image's environment names a pool ({pool}) and whom to mine for."
    yield _Start(ConfigLocation(f"Env[{at}]"), State.VISIBLE, None, Severity.HIGH, confidence, evidence, message)


def _finding(view: ImageView, found: list[_Start], others: list[Location]) -> Finding:
    ranked = sorted(found, key=lambda s: (-s.severity.rank, -s.confidence.rank, _line(s.location)))
    first = ranked[0]
    facts = [s.evidence.facts for s in ranked]
    related = [s.location for s in ranked[1:10] if s.location != first.location]
    started = list({id(s.starts): s.starts for s in ranked if s.starts is not None}.values())
    details: dict[str, Json] = {
        "point": str(first.evidence.facts.get("point", "")),
        "family": next((f["family"] for f in facts if f.get("family")), None)
        or next((p.family for p in started if p.family), None),
        "pools": list(dict.fromkeys(str(f["pool"]) for f in facts if f.get("pool"))),
        "wallets": list(dict.fromkeys(str(f["wallet"]) for f in facts if f.get("wallet"))),
        "fetches": list(dict.fromkeys(str(f["fetches"]) for f in facts if f.get("fetches"))),
        "starts": [printable(p.first.location.display) for p in started],
    }
    return view.finding(
        MINER_LAUNCH,
        at=first.location,
        state=first.state,
        hidden_by=first.hidden_by,
        severity=first.severity,
        confidence=first.confidence,
        message=first.message,
        evidence=[s.evidence for s in ranked[:10]],
        details=details,
        related=[*dict.fromkeys(related), *(p.first.location for p in started), *others],
    )


def _line(location: Location) -> int:
    return location.line or 0 if isinstance(location, FileLocation) else 0


PLUGIN = Detector(
    NAME,
    version=2,
    rules=(MINER_LAUNCH,),
    wants=Wants(paths=(PATHS,), behaviours=("miner",)),
    inspect=inspect,
    judge=judge,
)
