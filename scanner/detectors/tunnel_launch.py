"""What opens a tunnel: commands in launch points and scripts, Python that forwards, forced commands, the image's own configuration."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from scanner.content import Content
from scanner.credentials import mask, mask_items
from scanner.detectors import ssh_client, tunnel_tool
from scanner.detectors.launchers import configured, reading, shell
from scanner.detectors.launchers.configured import Named
from scanner.detectors.launchers.points import PATHS, Point
from scanner.detectors.launchers.shell import Command
from scanner.detectors.mining import lexing
from scanner.detectors.openssh.daemon import COMMANDS as NAME
from scanner.detectors.openssh.daemon import daemon, located
from scanner.detectors.openssh.weights import at_most, lowered
from scanner.detectors.plugin import Detector, Wants
from scanner.detectors.tunnelling import catalogue
from scanner.detectors.tunnelling.catalogue import Sort
from scanner.detectors.tunnelling.commands import Deed, deeds, forwarded, of_all
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
from scanner.oci.view import ImageView

if TYPE_CHECKING:
    from scanner.detectors.launchers import python
    from scanner.ssh import ssh_config

REVERSE_SSH = Rule(
    id="tunnel/reverse-ssh",
    name="Command that opens a reverse SSH tunnel",
    severity=Severity.CRITICAL,
    description="ssh, autossh, dbclient, plink or Python code that asks a server outside to listen and to lead whoever connects "
    "there back into the sandbox. Options may be clustered, in a variable, in a configuration file or encoded.",
    help="It is how an agent lets itself, or somebody, in from outside, past every rule on incoming traffic. Remove the "
    "command and the key it uses, and close the way to its server.",
    references=("https://attack.mitre.org/techniques/T1572/", "https://man.openbsd.org/ssh#R"),
    attack=("T1572", "T1021.004"),
)
OTHER_SSH = Rule(
    id="tunnel/local-or-dynamic-ssh",
    name="Command that reaches through an SSH server",
    severity=Severity.HIGH,
    description="ssh or Python code that opens a port or a SOCKS proxy in the sandbox which leads through a server to what "
    "that server reaches (-L, -D, -w, -W).",
    help="One allowed server becomes the way to everything behind it. Remove the command, or allow the sandbox the one "
    "destination it needs.",
    references=("https://attack.mitre.org/techniques/T1572/", "https://man.openbsd.org/ssh#D"),
    attack=("T1572", "T1090.001"),
)
LAUNCH = Rule(
    id="tunnel/launch",
    name="Command that starts a tunnel or hands out a shell",
    severity=Severity.HIGH,
    description="A crontab, unit, script or field of the image's configuration that starts a tunnel or proxy tool, comes by a "
    "public tunnel service, or joins a shell to a socket.",
    help="The sandbox would open a way out, or in, without anyone asking it to. Remove the command, and what it starts.",
    references=("https://attack.mitre.org/techniques/T1572/", "https://attack.mitre.org/techniques/T1543/002/"),
    attack=("T1572", "T1090", "T1543.002", "T1053.003"),
)

TOLD = 100
"""Deeds of one file that are told."""
_BY_ITSELF = frozenset({"boot", "schedule"})
_PYTHON = rb"(?:^|/)[^/]+\.pth$|(?:^|/)(?:site|user)customize\.py$"
_DOCUMENT = re.compile(
    rb"(?i)(?:^|/)share/(?:doc|man|info|bash-completion|zsh|fish|lintian|logcheck|vim|nvim|nano|licenses)/"
    rb"|(?:^|/)etc/(?:bash_completion\.d|logcheck)/|(?:^|/)man/man\d/"
)
_LOOSE, _LOOSE_TOLD = 8 << 10, 20
"""Bytes of a text that starts nothing by its place, and deeds of it that are noted in case something names it."""
_CODE = 8192
"""Characters of Python on a command line, and of a forced command."""
_KEYS = 1000
HOSTS = 200
"""Hosts for which ssh's configuration is asked what it adds."""
SOURCES = 50
"""Pieces of Python on the command lines of one file that are read."""
_MATTERS = re.compile(r"socket|ssh|forward|tunnel|pty|ngrok|subprocess|system|popen|exec")
PRELOAD = rb"\Aetc/ld\.so\.preload\Z"


def inspect(content: Content) -> Iterator[Evidence | Notification]:
    """Deeds of the file's commands, each with its line; of launch points, scripts and Python."""
    if not content.is_text or content.size == 0:
        return
    triggered = any(m.rule.behaviour == "tunnel" and m.rule.evidence == "command" for m in content.matches)
    document = _DOCUMENT.search(content.path) or _DOCUMENT.search(content.name)
    place = reading.place(content)
    if not document and (lexing.language(content.name, content.head) == "python" or content.name.endswith(b".pth")):
        if triggered or (place is not None and place.installed) or re.search(_PYTHON, content.name):
            yield from _python(content, place)
    elif document or place is None:
        if triggered:
            yield from _loose(content)
    elif triggered or place.installed:
        known = reading.read(content)
        if known is not None:
            yield from known.notes
            if len(_sources(known.commands)) > SOURCES:
                what = f"more than {SOURCES} pieces of Python on its command lines: the rest were not read"
                yield Notification("detector", Level.WARNING, what, content.path, content.inner)
            yield from _told(content, _deeds(known.commands), known.point, known.starts, known.installed)


def _told(
    content: Content, found: Iterable[tuple[Command, Deed]], point: str, starts: str, installed: bool
) -> Iterator[Evidence | Notification]:
    for number, (command, deed) in enumerate(found):
        if number == TOLD:
            what = f"more than {TOLD} commands of it open tunnels: the rest are not told"
            yield Notification("detector", Level.WARNING, what, content.path, content.inner)
            return
        yield _evidence(content, deed, command.line, point, starts, _shown(command), installed)


def _loose(content: Content) -> Iterator[Evidence]:
    """What a text would do if it were run: it counts only where the image's configuration names the file."""
    if content.inner or content.size > _LOOSE:
        return
    for command, deed in islice(_deeds(shell.commands(content.text(_LOOSE))), _LOOSE_TOLD):
        if deed.kind != "daemon":
            facts: dict[str, Json] = {
                **deed.facts,
                "deed": deed.kind,
                "point": "file that is no script by its place",
                "starts": "manual",
                "summary": printable(deed.summary, 400),
            }
            yield Evidence(NAME, "loose", content.path, line=command.line, excerpt=_shown(command), facts=facts)


def _evidence(
    content: Content, deed: Deed, line: int, point: str, starts: str, shown: str, installed: bool
) -> Evidence:
    facts: dict[str, Json] = {
        **deed.facts,
        "point": point,
        "starts": starts,
        "installed": installed,
        "summary": printable(deed.summary, 400),
    }
    return Evidence(NAME, deed.kind, content.path, content.inner, None, line, printable(mask(shown), 300), facts)


def _shown(command: Command) -> str:
    return printable(mask(" ".join(mask_items(command.argv))), 300)


def _deeds(commands: Iterable[Command]) -> Iterator[tuple[Command, Deed]]:
    """The deeds of commands, and of Python that stands on a command line or is handed to it."""
    read = tuple(commands)
    yield from of_all(read)
    sources = _sources(read)[:SOURCES]
    if not sources:
        return
    from scanner.detectors.launchers import python

    for command, source in sources:
        for _, deed, shown in _of_source(python.read(source[:_CODE]), True):
            yield replace(command, argv=(command.name, shown)), deed


def _sources(commands: Iterable[Command]) -> list[tuple[Command, str]]:
    """Python source of `python -c`, or of what python reads, that may be of interest."""
    found = []
    for command in commands:
        if re.fullmatch(r"(?:python|pypy)[\d.]*", command.name):
            at = next((i for i, word in enumerate(command.argv) if re.fullmatch(r"-[A-Za-z]*c", word)), 0)
            bare = all(word.startswith("-") for word in command.argv[1:])
            source = " ".join(command.argv[at + 1 : at + 2]) if at else command.stdin if bare else ""
            if _MATTERS.search(source):
                found.append((command, source))
    return found


def _python(content: Content, place: Point | None) -> Iterator[Evidence | Notification]:
    from scanner.detectors.launchers import python

    library = python.library(content.name)
    facts = python.python_facts(content)
    yield from facts.notes
    ours = place is not None and place.language == "python"
    point = place.what if place is not None and ours else "Python program"
    starts = place.starts if place is not None and ours else "manual"
    found = [
        _evidence(content, deed, line, point, starts, shown, False)
        for line, deed, shown in _of_source(facts, starts != "manual")
        if not library or _leads_out(deed)
    ]
    yield from found[:TOLD]
    if len(found) > TOLD:
        what = f"more than {TOLD} places in it open tunnels: the rest are not told"
        yield Notification("detector", Level.WARNING, what, content.path, content.inner)


def _leads_out(deed: Deed) -> bool:
    """Whether it names a host outside. A library's own file defines forwards without asking for any: only such a one counts
    there, for somebody may have put it among the library's files."""
    host = deed.facts.get("host")
    named = isinstance(host, str) and "$" not in host and host not in ("", "localhost", "0.0.0.0", "::1")  # noqa: S104
    return named and not str(host).startswith("127.") and (deed.kind == "shell" or bool(deed.facts.get("forwards")))


def _of_source(facts: python.PythonFacts, runs: bool) -> Iterator[tuple[int, Deed, str]]:
    """(line, deed, what it says) of Python source. `runs`: it is more than a module that somebody may import."""
    for command in facts.commands:
        commands = shell.commands(command.shell) if command.shell else shell.unwrap(command.argv, command.line)
        for one, deed in of_all(replace(c, remote=c.remote or command.remote) for c in commands):
            yield command.line, deed, f"{command.via}: {_shown(one)}"
    for way in facts.forwards:
        if way.resolved or facts.main or runs:  # else a wrapper of a wrapper: whoever calls it says where it leads
            yield way.line, _of_python(way), f"{way.library}: {_way(way)}"


def _way(way: python.PythonForward) -> str:
    here = f"{way.host}:{way.port}" if way.port is not None else way.host or "?"
    there = f", {way.other}" if way.other else ""
    return f"{way.kind} {here}{there}" + (f" through {way.server}" if way.server else "")


def _of_python(way: python.PythonForward) -> Deed:
    """A forward that code opens, in the terms of a command that does the same."""
    if way.kind in ("reverse-shell", "bind-shell"):
        facts: dict[str, Json] = {"kind": way.kind, "host": way.host or None, "port": way.port}
        summary = (
            f"hands a shell to {way.host}:{way.port}"
            if way.kind == "reverse-shell"
            else "hands a shell to whoever connects"
        )
        return Deed("shell", facts, summary)
    if way.library in ("pyngrok", "ngrok", "pycloudflared", "flask_ngrok", "gradio"):
        name = "cloudflared" if way.library == "pycloudflared" else "ngrok"
        return Deed(
            "tool",
            {"tool": name, "how": f"calls {way.library}", "sure": True, "peers": []},
            f"opens a tunnel with {way.library}",
        )
    user, _, host = way.server.rpartition("@")
    host, _, port = host.partition(":")
    kind = "remote" if way.kind == "reverse-ssh" else way.kind
    end = f"{way.host}:{way.port}" if way.port is not None else way.host
    listen, target = (end, way.other) if kind in ("remote", "dynamic", "tun") else (way.other, end)
    forward: dict[str, Json] = {
        "kind": kind,
        "listen": listen or None,
        "listen_port": way.port if kind in ("remote", "dynamic") else None,
        "everywhere": way.host in ("", "*", "0.0.0.0", "::"),  # noqa: S104 - compared, never bound
        "target": target or None,
        "target_port": None if kind in ("remote", "dynamic") else way.port,
        "text": _way(way),
        "option": way.library,
    }
    facts = {
        "program": way.library,
        "destination": way.server or None,
        "host": host or None,
        "port": int(port) if port.isdigit() else None,
        "user": user or None,
        "forwards": [forward],
        "identity": [],
        "remote": False,
        "unresolved": [] if way.resolved else ["arguments"],
    }
    where = f" through {way.server}" if way.server else ""
    names = {"remote": "reverse tunnel", "local": "tunnel", "dynamic": "SOCKS proxy", "tun": "network tunnel"}
    return Deed("ssh", facts, f"{names.get(kind, kind)}: {listen or '?'} leads to {target or '?'}{where}")


# ---- what it means in an image


@dataclass(frozen=True, slots=True)
class _Seen:
    """A deed where it lies in this image; `by` where the image's configuration makes something run the file."""

    kind: str
    facts: Mapping[str, Json]
    evidence: Evidence
    location: Location
    state: State
    hidden_by: int | None
    by: Named | None = None

    @property
    def starts(self) -> str:
        own = str(self.facts.get("starts"))
        return own if self.by is None or own in _BY_ITSELF else self.by.starts

    @property
    def by_itself(self) -> bool:
        """Nobody has to do anything; bash reads BASH_ENV before every script, and few sandboxes start without one."""
        return self.starts in _BY_ITSELF or (self.by is not None and self.by.by == "BASH_ENV")

    @property
    def named(self) -> dict[str, Json]:
        return {"by": self.by.by} if self.by is not None else {}


@dataclass(slots=True)
class _Clients:
    """What ssh's configuration in the image adds to a bare `ssh HOST`, worked out once for each host."""

    view: ImageView
    configs: Sequence[Sequence[ssh_config.Config]]
    known: dict[str, tuple[list[Mapping[str, Json]], list[Location]]]
    notes: list[Notification]

    def adds(self, host: str) -> tuple[list[Mapping[str, Json]], list[Location]]:
        if not self.configs:
            return [], []
        if host not in self.known:
            if len(self.known) == HOSTS:
                what = (
                    f"more than {HOSTS} hosts that commands connect to: ssh's configuration was not asked for the rest"
                )
                self.notes.append(Notification("detector", Level.WARNING, what))
            if len(self.known) >= HOSTS:
                return [], []
            self.known[host] = self._asked(host)
        return self.known[host]

    def _asked(self, host: str) -> tuple[list[Mapping[str, Json]], list[Location]]:
        from scanner.ssh import ssh_config

        found: dict[tuple[str, str], Mapping[str, Json]] = {}
        places: dict[Location, None] = {}
        for configs in self.configs:
            effective = ssh_config.evaluate(configs, host)
            for setting in effective.forwards if effective.fatal is None else ():
                if setting.forward is None or setting.where is None:
                    continue
                found.setdefault((setting.keyword, setting.forward.raw), forwarded(setting.forward, setting.keyword))
                file = self.view.files.read(setting.where.path)
                if file is not None:
                    places[file.at(setting.where.line)] = None
        return list(found.values()), list(places)


def _clients(view: ImageView, notes: list[Notification]) -> _Clients:
    """Each account's configuration before the system's, as ssh(1) reads them; none where nothing in them forwards."""
    visible = [c for c in ssh_client.configurations(view) if c.state is State.VISIBLE]
    forwarding = [c for c in visible if any(d.keyword.endswith("forward") for d in c.config.directives)]
    system = [c.config for c in visible if c.home is None]
    own = [c for c in visible if c.home is not None]
    if not any(c.home is None for c in forwarding):
        own = [c for c in own if c in forwarding]
    configs = [[c.config, *system] for c in own] or [system]
    return _Clients(view, configs if forwarding else (), {}, notes)


def judge(view: ImageView) -> Iterator[Finding | Notification]:
    """One finding for each deed of each place, its other layers folded in."""
    tools = frozenset(_tools(view))
    groups: dict[tuple[object, ...], list[_Seen]] = {}
    notes: list[Notification] = []
    clients = _clients(view, notes)
    for seen in (*_of_files(view), *_of_config(view), *_of_daemon(view, notes), *_of_keys(view, notes)):
        groups.setdefault((seen.location.display, seen.kind, _what(seen)), []).append(seen)
    for sightings in groups.values():
        sightings.sort(key=lambda s: (s.state is not State.VISIBLE, -_layer(s.location)))
        first = sightings[0]
        others = [s.location for s in sightings[1:]]
        if first.by is not None:
            others.insert(0, ConfigLocation(first.by.field))
        if first.kind == "ssh":
            yield from _ssh(view, first, others, clients)
        elif first.kind == "tool":
            yield from _tool(view, first, others, tools)
        elif first.kind == "shell":
            yield _shell(view, first, others)
    yield from dict.fromkeys(notes)


def _what(seen: _Seen) -> str:
    """What tells two deeds of one place apart: its words; an init script that starts and stops one tool does one thing."""
    alike = seen.kind == "tool" and not seen.facts.get("peers")
    return str(seen.facts.get("tool")) if alike else seen.evidence.excerpt


def _layer(location: Location) -> int:
    return location.layer.index if isinstance(location, FileLocation) else 0


def _tools(view: ImageView) -> Iterator[str]:
    """The tools that the image has, by whatever evidence."""
    for sighting in view.of(tunnel_tool.NAME, "content", "go-module", "pip", "npm"):
        if sighting.state is State.VISIBLE:
            yield str(sighting.evidence.facts.get("tool"))
    packages = catalogue.by_package()
    for name in view.packages.installed:
        if (tool := packages.get(name)) is not None:
            yield tool.name


def _of_files(view: ImageView) -> Iterator[_Seen]:
    sightings = view.of(NAME, "ssh", "tool", "shell", "loose")
    named = _named(view) if sightings else {}
    for s in sightings:
        e = s.evidence
        by = named.get(e.path) if s.state is State.VISIBLE and not e.inner else None
        if e.kind != "loose":
            yield _Seen(e.kind, e.facts, e, s.location, s.state, s.hidden_by, by)
        elif by is not None:
            yield _Seen(str(e.facts["deed"]), e.facts, e, s.location, s.state, s.hidden_by, by)


def _named(view: ImageView) -> dict[bytes, Named]:
    """The files that the image's configuration makes something run, links followed; the first that names one counts."""
    found: dict[bytes, Named] = {}
    for one in configured.named(view.image.config):
        entry = next((e for e in map(view.files.stat, one.paths) if e is not None), None)
        if entry is not None:
            found.setdefault(entry.path, one)
    return found


def _of_config(view: ImageView) -> Iterator[_Seen]:
    config = view.image.config
    fields: dict[str, list[Command]] = {}
    for field, command in configured.commands(config):
        fields.setdefault(field, []).append(command)
    for field, commands in fields.items():
        for command, deed in _deeds(commands):
            yield _configured(deed, field, command, "build" if field.startswith("OnBuild") else "boot")
    for field, starts, command in configured.variables(config):
        for deed in deeds(command):
            yield _configured(deed, field, command, starts)
    yield from _preloaded(view)


def _configured(deed: Deed, field: str, command: Command, starts: str) -> _Seen:
    facts: dict[str, Json] = {
        **deed.facts,
        "point": f"the image's {field.partition('[')[0]}",
        "starts": starts,
        "summary": printable(deed.summary, 400),
        "field": field,
    }
    evidence = Evidence(NAME, deed.kind, b"", excerpt=_shown(command), facts=facts)
    return _Seen(deed.kind, facts, evidence, ConfigLocation(field), State.VISIBLE, None)


def _preloaded(view: ImageView) -> Iterator[_Seen]:
    """Libraries of tunnel tools that the loader puts into every program (ld.so(8), LD_PRELOAD and /etc/ld.so.preload)."""
    places: list[tuple[str, tuple[bytes, ...], str, Location]] = [
        ("LD_PRELOAD", one.paths, "the image's Env", ConfigLocation(one.field))
        for one in configured.named(view.image.config)
        if one.by == "LD_PRELOAD"
    ]
    file = view.files.read(b"etc/ld.so.preload")
    if file is not None and file.data:
        for number, line in enumerate(file.data[:_LOOSE].split(b"\n")[:_KEYS], 1):
            for word in line.partition(b"#")[0].replace(b":", b" ").split():
                places.append(("/etc/ld.so.preload", (word.strip(b"/"),), "the loader's list", file.at(number)))
    known = {s.evidence.path: str(s.evidence.facts.get("tool")) for s in view.of(tunnel_tool.NAME, "content")}
    for by, paths, point, location in places:
        entry = next((e for e in map(view.files.stat, paths) if e is not None), None)
        if entry is None:
            continue
        packaged = catalogue.by_package().get(view.owner(entry.path) or "")
        tool = packaged.name if packaged is not None else known.get(entry.path)
        if tool is not None:
            summary = f"{by} puts {tool} into every program ({printable(entry.path, 200)})"
            facts: dict[str, Json] = {"tool": tool, "sure": True, "peers": [], "point": point, "starts": "boot"}
            evidence = Evidence(NAME, "tool", b"", excerpt=summary, facts={**facts, "summary": summary})
            yield _Seen("tool", {**facts, "summary": summary}, evidence, location, State.VISIBLE, None)


def _of_daemon(view: ImageView, notes: list[Notification]) -> Iterator[_Seen]:
    """Commands that sshd's configuration forces on a login."""
    for instance in daemon(view).instances:
        for directive in instance.config.directives if instance.config is not None else ():
            if directive.keyword == "forcecommand" and directive.values:
                text = " ".join(directive.values)
                yield from _forced(text, "sshd's ForceCommand", located(view, directive.where, instance), notes)


def _of_keys(view: ImageView, notes: list[Notification]) -> Iterator[_Seen]:
    from scanner.ssh import authorized_keys

    for file in view.files.kept(rb"(?:.*/)?\.ssh/authorized_keys[^/]*"):
        forced = [key for key in authorized_keys.parse(file.data or b"", file.path).keys if key.command]
        for key in forced[:_KEYS]:
            yield from _forced(key.command or "", "a key's forced command", file.at(key.line), notes)
        if len(forced) > _KEYS:
            what = f"more than {_KEYS} keys with a forced command: the rest were not read for tunnels"
            notes.append(Notification("detector", Level.WARNING, what, file.path, layer=file.layer.index))


def _forced(text: str, point: str, location: Location, notes: list[Notification]) -> Iterator[_Seen]:
    path = location.path if isinstance(location, FileLocation) else b""
    line = location.line if isinstance(location, FileLocation) else None
    if len(text) > _CODE:
        what = f"{point} of {len(text)} characters: only the first {_CODE} were read for tunnels"
        notes.append(Notification("detector", Level.WARNING, what, path or None))
    for command, deed in _deeds(shell.commands(text[:_CODE])):
        facts: dict[str, Json] = {
            **deed.facts,
            "point": point,
            "starts": "login",
            "summary": printable(deed.summary, 400),
        }
        evidence = Evidence(NAME, deed.kind, path, line=line, excerpt=_shown(command), facts=facts)
        yield _Seen(deed.kind, facts, evidence, location, State.VISIBLE, None)


def _listed(value: Json) -> list[Mapping[str, Json]]:
    return [v for v in value if isinstance(v, Mapping)] if isinstance(value, list | tuple) else []


def _ssh(view: ImageView, seen: _Seen, others: Sequence[Location], clients: _Clients) -> Iterator[Finding]:
    """A finding for what it forwards itself, or what ssh's configuration in the image makes it forward."""
    forwards = _listed(seen.facts.get("forwards"))
    related: list[Location] = list(others)
    by_config = False
    if not forwards and isinstance(host := seen.facts.get("host") or seen.facts.get("destination"), str):
        forwards, places = clients.adds(host)
        related += places
        by_config = bool(forwards)
    service = seen.facts.get("service")
    if not forwards and not service:
        return
    kinds = {str(f["kind"]) for f in forwards}
    reverse = bool(kinds & {"remote", "remote-dynamic"}) or (bool(service) and not forwards)
    rule = REVERSE_SSH if reverse else OTHER_SSH
    severity = _ssh_weight(seen, kinds, reverse)
    host = seen.facts.get("host") or seen.facts.get("destination") or "a server that a variable names"
    summary = str(seen.facts.get("summary"))
    if by_config:
        summary = f"connects to {host}, for which ssh is configured to forward: " + ", ".join(
            str(f["text"]) for f in forwards[:3]
        )
    elif service and not forwards:
        summary = f"connects to {service}, which tunnels for anybody"
    if isinstance(into := seen.facts.get("into"), str):
        summary += f", written to {printable(into, 200)}"
    unresolved = bool(seen.facts.get("unresolved"))
    details: dict[str, Json] = {
        "point": seen.facts.get("point"),
        "starts": seen.starts,
        **seen.named,
        "program": seen.facts.get("program"),
        "destination": seen.facts.get("host") or seen.facts.get("destination"),
        "port": seen.facts.get("port"),
        "user": seen.facts.get("user"),
        "direction": "in" if reverse else "out",
        "forwards": forwards,
        "reconnects": seen.facts.get("reconnects"),
        "identity": seen.facts.get("identity"),
        "service": service,
        "into": seen.facts.get("into"),
        "host_key_checking": seen.facts.get("host_key_checking"),
    }
    support = _support(seen)
    yield view.finding(
        rule,
        at=seen.location,
        state=seen.state,
        hidden_by=seen.hidden_by,
        severity=severity,
        confidence=Confidence.MEDIUM if unresolved or by_config else Confidence.HIGH,
        message=f"{capital(str(seen.facts.get('point')))}: {printable(summary, 400)}{_when(seen)}.",
        evidence=[seen.evidence, *support],
        details=details,
        related=related[:20],
        identity=(seen.evidence.excerpt,),
    )


def _support(seen: _Seen) -> Iterator[Evidence]:
    """Options that nobody gives who sits before it: a command that comes back, asks nothing and checks nobody."""
    facts = seen.facts
    said = []
    if facts.get("reconnects"):
        said.append("reconnects by itself")
    if facts.get("background"):
        said.append("goes to the background")
    if facts.get("no_command"):
        said.append("runs no command there")
    if facts.get("keepalive"):
        said.append(f"keeps itself alive every {facts['keepalive']} s")
    if str(facts.get("host_key_checking")).lower() in ("no", "off"):
        said.append("checks no host key")
    if facts.get("password"):
        said.append("is given its password")
    if said:
        e = seen.evidence
        yield Evidence(NAME, "unattended", e.path, e.inner, None, e.line, "; ".join(said))
    if seen.by_itself:
        e = seen.evidence
        by = f"named by {seen.by.by}" if seen.by is not None else str(facts.get("point"))
        yield Evidence(NAME, "starts by itself", e.path, e.inner, None, e.line, by)


def _ssh_weight(seen: _Seen, kinds: set[str], reverse: bool) -> Severity:
    by_itself = seen.by_itself
    if reverse:
        severity = Severity.CRITICAL if by_itself else Severity.HIGH
    elif kinds & {"dynamic", "tun"}:
        severity = Severity.HIGH if by_itself else Severity.MEDIUM
    else:
        severity = Severity.MEDIUM if by_itself else Severity.LOW
    if seen.facts.get("remote"):
        severity = at_most(severity, Severity.MEDIUM)  # on the far side, not here
    return severity if seen.state is State.VISIBLE else lowered(severity)


def _tool(view: ImageView, seen: _Seen, others: Sequence[Location], tools: frozenset[str]) -> Iterator[Finding]:
    tool = catalogue.by_name().get(str(seen.facts.get("tool")))
    if tool is None:
        return
    there = tool.name in tools
    if not there and not seen.facts.get("sure"):
        return
    by_itself = seen.by_itself
    severity = tool.severity
    if by_itself and tool.sort not in (Sort.PROXY, Sort.CLIENT):  # a server's proxy is its work
        severity = max(severity, Severity.MEDIUM, key=lambda s: s.rank)
    if not by_itself or not there:
        severity = lowered(severity)
    if seen.facts.get("remote"):
        severity = at_most(severity, Severity.LOW)
    if seen.state is not State.VISIBLE:
        severity = lowered(severity)
    missing = "" if there else f", though {tool.name} was not found in the image"
    owner = view.owner(seen.evidence.path) if isinstance(seen.location, FileLocation) else None
    if owner in tool.packages:  # its own unit or hook, which runs where its package is configured
        severity = at_most(severity, Severity.LOW)
        missing = f", in a file of the package {owner}"
    yield view.finding(
        LAUNCH,
        at=seen.location,
        state=seen.state,
        hidden_by=seen.hidden_by,
        severity=severity,
        confidence=Confidence.HIGH if there and seen.facts.get("sure") else Confidence.MEDIUM,
        message=f"{capital(str(seen.facts.get('point')))}: {printable(str(seen.facts.get('summary')), 300)}, {tool.sort.value}{missing}{_when(seen)}.",
        evidence=[seen.evidence, *_support(seen)],
        details={
            "point": seen.facts.get("point"),
            "starts": seen.starts,
            **seen.named,
            "tool": tool.name,
            "peers": seen.facts.get("peers"),
            "in_image": there,
        },
        related=list(others)[:10],
        identity=(_what(seen),),
    )


def _shell(view: ImageView, seen: _Seen, others: Iterable[Location]) -> Finding:
    severity = Severity.HIGH if seen.state is State.VISIBLE else Severity.MEDIUM
    return view.finding(
        LAUNCH,
        at=seen.location,
        state=seen.state,
        hidden_by=seen.hidden_by,
        severity=severity,
        confidence=Confidence.HIGH,
        message=f"{capital(str(seen.facts.get('point')))}: {printable(str(seen.facts.get('summary')), 300)}{_when(seen)}.",
        evidence=[seen.evidence, *_support(seen)],
        details={
            "point": seen.facts.get("point"),
            "starts": seen.starts,
            **seen.named,
            "tool": seen.facts.get("kind"),
            "destination": seen.facts.get("host"),
            "port": seen.facts.get("port"),
        },
        related=list(others)[:10],
        identity=(seen.evidence.excerpt,),
    )


_EVENTS = {
    "boot": "runs when the sandbox starts",
    "schedule": "runs on a schedule",
    "login": "runs at a login",
    "build": "runs when something is built or installed",
    "hook": "runs at an event",
}
_READERS = {
    "BASH_ENV": "every bash script",
    "ENV": "every interactive sh",
    "PYTHONSTARTUP": "every interactive Python",
    "ZDOTDIR": "zsh",
}


def _when(seen: _Seen) -> str:
    if seen.by is not None and seen.by.by in _READERS:
        return f"; {_READERS[seen.by.by]} runs it first ({seen.by.by})"
    by = f" ({seen.by.by} names it)" if seen.by is not None and seen.starts == seen.by.starts else ""
    return f"; {_EVENTS[seen.starts]}{by}" if seen.starts in _EVENTS else ""


PLUGIN = Detector(
    NAME,
    version=1,
    rules=(REVERSE_SSH, OTHER_SSH, LAUNCH),
    wants=Wants(paths=(PATHS, _PYTHON), behaviours=("tunnel",), keeps=(PRELOAD,)),
    inspect=inspect,
    judge=judge,
)
