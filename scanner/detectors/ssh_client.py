"""What ssh does by itself when it connects: forwards, programs it runs, hosts it does not check. From ssh_config(5)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scanner.content import Content
from scanner.credentials import mask
from scanner.detectors import clients
from scanner.detectors.openssh.accounts import accounts
from scanner.detectors.openssh.included import including
from scanner.detectors.openssh.weights import at_most, lowered
from scanner.detectors.plugin import Detector, Wants
from scanner.detectors.tunnelling import catalogue
from scanner.model import (
    Confidence,
    Evidence,
    Finding,
    Json,
    Level,
    Notification,
    Rule,
    Severity,
    State,
    capital,
    printable,
)
from scanner.oci.filesystem import File
from scanner.oci.view import ImageView
from scanner.ssh.source import Source

if TYPE_CHECKING:
    from scanner.ssh.ssh_config import Block, Config, Directive

REMOTE_FORWARD = Rule(
    id="ssh/remote-forward",
    name="ssh is configured to open a reverse tunnel",
    severity=Severity.HIGH,
    description="A RemoteForward in ssh's configuration: every connection to the host opens a port there that leads back "
    "into the sandbox.",
    help="This is the tunnel that needs no option on a command line, and no rule on incoming traffic stops it. Remove the "
    "line.",
    references=("https://man.openbsd.org/ssh_config#RemoteForward", "https://attack.mitre.org/techniques/T1572/"),
    attack=("T1572",),
)
DYNAMIC_FORWARD = Rule(
    id="ssh/dynamic-forward",
    name="ssh is configured to be a proxy",
    severity=Severity.MEDIUM,
    description="A DynamicForward in ssh's configuration: every connection to the host opens a SOCKS proxy in the sandbox "
    "through which programs reach what the host reaches.",
    help="One allowed host becomes the way to all others. Remove the line.",
    references=("https://man.openbsd.org/ssh_config#DynamicForward",),
    attack=("T1090.001", "T1572"),
)
PROXY_COMMAND = Rule(
    id="ssh/proxy-command",
    name="ssh's configuration runs a program or goes through another host",
    severity=Severity.MEDIUM,
    description="A ProxyCommand, ProxyJump, LocalCommand, KnownHostsCommand or `Match exec`: what carries the connection, or "
    "runs beside it, is decided by the configuration.",
    help="Such a line can carry ssh through an HTTP proxy, a web service or another host, past rules on port 22, or run "
    "anything. Remove it, or write the one host that is needed.",
    references=("https://man.openbsd.org/ssh_config#ProxyCommand",),
    attack=("T1572", "T1059.004"),
)
NO_HOST_KEY_CHECK = Rule(
    id="ssh/no-host-key-check",
    name="ssh does not check who it talks to",
    severity=Severity.MEDIUM,
    description="StrictHostKeyChecking is off, or known hosts are kept in /dev/null: any machine may answer for any name.",
    help="Scripts that tunnel switch this off so that nothing asks; so does lazy automation, whose secrets then go to "
    "whoever answers. Bake the host's key into known_hosts and remove the line.",
    references=("https://man.openbsd.org/ssh_config#StrictHostKeyChecking",),
    attack=("T1557",),
)

NAME = "ssh_client"
SYSTEM = b"etc/ssh/ssh_config"
CONFIGS = 200
FINDINGS = 100
"""Findings of one file."""
KEEPS = (
    rb"(?:^|/)ssh_config(?:\.d/[^/]+)?\Z",
    rb"(?:^|/)\.ssh/(?:config|config\.d/[^/]+|conf\.d/[^/]+|[^/]+\.conf|[^/]*config)\Z",
)
_MAIN = rb"(?:.*/)?\.ssh/config|(?:usr/)?etc/ssh/ssh_config"
_SAMPLE = re.compile(rb"(?i)(?:^|/)(?:tests?|testdata|examples?|fixtures?|docs?)/|(?:^|/)usr/share/doc/")
_CARRIERS = re.compile(
    r"(?i)(?:^|[\s/|;&'\"])(?:corkscrew|proxytunnel|connect|connect-proxy|nc|ncat|netcat|socat|cloudflared|websocat|wstunnel|"
    r"chisel|openssl|gost|tor|torsocks|httptunnel|htc|ngrok|curl|python3?|perl|bash|sh)(?=\s|$)"
)
_BENIGN = re.compile(r"(?i)^(?:\S*/)?(?:sss_ssh_\w+|systemd-ssh-proxy|aws\s+ssm|gcloud\s+compute|ssh\s+-W)")


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """A configuration of ssh in the image: whose, where, what became of its file, and what of it was not read."""

    file: File
    config: Config
    state: State
    hidden_by: int | None
    home: bytes | None
    notes: tuple[Notification, ...] = ()


@dataclass(frozen=True, slots=True)
class _Said:
    """What one directive amounts to."""

    rule: Rule
    severity: Severity
    what: str
    details: dict[str, Json]
    confidence: Confidence = Confidence.HIGH


def inspect(_: Content) -> tuple[Evidence, ...]:
    """Nothing: the files are kept whole and judged together."""
    return ()


def configurations(view: ImageView) -> tuple[ClientConfig, ...]:
    """Every ssh_config of the image that ssh reads by itself, with its includes, parsed once."""
    return view.once(_read)


def _read(view: ImageView) -> tuple[ClientConfig, ...]:
    from scanner.ssh import ssh_config

    found: list[ClientConfig] = []
    for file, state, hidden_by in view.files.documents(_MAIN):
        if file.data is None:
            continue  # of what is too large to be kept, the reader of the layer says so
        notes: list[Notification] = []
        home = file.path.rpartition(b"/.ssh/")[0] if b"/.ssh/" in file.path else None
        include = including(view, file.path, "ssh", notes, home or b"root") if state is State.VISIBLE else _nothing
        config = ssh_config.parse(Source(file.path, file.data), include, home is not None)
        for limit in config.limits:
            notes.append(Notification("detector", Level.WARNING, limit.message, limit.where.path or file.path))
        if len(found) == CONFIGS - 1:
            what = f"more than {CONFIGS} configurations of ssh: the rest were not read"
            notes.append(Notification("detector", Level.WARNING, what))
        found.append(ClientConfig(file, config, state, hidden_by, home, tuple(notes)))
        if len(found) == CONFIGS:
            break
    return tuple(found)


def _nothing(_: bytes) -> Sequence[Source]:
    return ()


def judge(view: ImageView) -> Iterator[Finding | Notification]:
    """One finding for each line that does something; none of a file that only sets names and keys."""
    there = any(s.state is State.VISIBLE and s.evidence.facts.get("program") == "ssh" for s in view.of(clients.NAME))
    for client in configurations(view):
        yield from client.notes
        for number, (said, directive) in enumerate(_directives(client.config)):
            if number == FINDINGS:
                what = f"more than {FINDINGS} lines of it are findings: the rest are not told"
                yield Notification("detector", Level.WARNING, what, client.file.path)
                break
            yield _finding(view, client, said, directive, there)


def _directives(config: Config) -> Iterator[tuple[_Said, Directive | Block]]:
    permits = any(d.keyword == "permitlocalcommand" and d.values == ("yes",) for d in config.directives)
    for directive in config.directives:
        block = config.blocks[directive.block]
        said = _said(directive, block, permits)
        if said is not None:
            yield said, directive
    for block in config.blocks:
        for command in block.commands:
            shown = printable(mask(command), 160)
            yield _Said(PROXY_COMMAND, Severity.MEDIUM, f"Match exec runs {shown}", {"command": shown}), block


def _said(directive: Directive, block: Block, permits: bool) -> _Said | None:
    keyword, value = directive.keyword, " ".join(directive.values) or directive.text
    shown = printable(mask(value), 160)
    everywhere = block.kind == "always" or "*" in block.patterns or any(c.name == "all" for c in block.criteria)
    hosts: Json = (
        [printable(p, 100) for p in block.patterns[:50]] if block.kind == "host" else printable(block.text, 200) or None
    )
    details: dict[str, Json] = {"keyword": keyword, "value": shown, "hosts": hosts}
    if keyword in ("remoteforward", "dynamicforward"):
        shown = printable(directive.text, 160)
        details |= {"value": shown, **_ends(directive)}
        if keyword == "dynamicforward":
            return _Said(DYNAMIC_FORWARD, Severity.MEDIUM, f"a connection opens a SOCKS proxy: {shown}", details)
        what = "reverse SOCKS proxy" if details.get("kind") == "remote-dynamic" else "reverse tunnel"
        return _Said(REMOTE_FORWARD, Severity.HIGH, f"a connection opens a {what}: {shown}", details)
    if keyword == "stricthostkeychecking" and value.lower() in ("no", "off", "false"):
        severity = Severity.MEDIUM if everywhere else Severity.LOW
        return _Said(
            NO_HOST_KEY_CHECK,
            severity,
            "host keys are not checked" + ("" if everywhere else " for these hosts"),
            details,
        )
    if keyword == "userknownhostsfile" and value.strip() == "/dev/null":
        severity = Severity.MEDIUM if everywhere else Severity.LOW
        return _Said(NO_HOST_KEY_CHECK, severity, "known hosts are thrown away", details)
    if keyword == "proxycommand" and value.lower() != "none":
        tool = next(
            (t for w in value.split()[:8] if (t := catalogue.by_program().get(w.rpartition("/")[2])) is not None), None
        )
        if _BENIGN.search(value):
            severity = Severity.LOW
        else:
            severity = Severity.MEDIUM if tool is not None or _CARRIERS.search(value) else Severity.LOW
        details["tool"] = tool.name if tool is not None else None
        return _Said(PROXY_COMMAND, severity, f"connections go through {shown}", details, Confidence.MEDIUM)
    if keyword == "proxyjump" and value.lower() != "none":
        return _Said(PROXY_COMMAND, Severity.LOW, f"connections go through the host {shown}", details)
    if keyword == "knownhostscommand" and value.lower() != "none":
        return _Said(
            PROXY_COMMAND, Severity.MEDIUM, f"KnownHostsCommand {shown} says which host keys are right", details
        )
    if keyword == "localcommand" and permits:
        return _Said(PROXY_COMMAND, Severity.MEDIUM, f"LocalCommand {shown} runs beside every connection", details)
    return None


def _ends(directive: Directive) -> dict[str, Json]:
    """Where a forward listens and leads, as far as the line says: its values are what -R or -D would take, and `dynamic`."""
    from scanner.ssh import forward

    if not directive.values:
        return {}
    dynamic, remote = "dynamic" in directive.values[1:], directive.keyword == "remoteforward"
    found = forward.parse(directive.values[0], dynamic=dynamic, remote=remote, variables=True)
    if found is None:
        return {}
    return {
        "kind": found.kind,
        "listen_host": None if found.listen_host is None else printable(found.listen_host, 255),
        "listen_port": found.listen_port,
        "target_host": None if found.target_host is None else printable(found.target_host, 255),
        "target_port": found.target_port,
    }


def _finding(view: ImageView, client: ClientConfig, said: _Said, at: Directive | Block, there: bool) -> Finding:
    from scanner.ssh.ssh_config import Block, Directive

    file = client.file
    if at.where.path and at.where.path != file.path and client.state is State.VISIBLE:
        file = view.files.read(at.where.path) or file
    severity, why = said.severity, ""
    if not there:
        severity, why = at_most(severity, Severity.LOW), "; no ssh client lies in the image"
    own = client.home is not None and accounts(view).of_home(client.home) is not None
    if _SAMPLE.search(file.path) and not own:
        severity, why = Severity.NOTE, ", in a place for tests and examples"
    if (fatal := client.config.fatal) is not None:
        of = "" if fatal.where.path in (b"", client.file.path) else f" of {printable(fatal.where.path, 120)}"
        severity, why = lowered(severity), f"{why}; inert: ssh refuses to run for line {fatal.where.line}{of}"
    if client.state is not State.VISIBLE:
        severity = lowered(severity)
    block = at if isinstance(at, Block) else client.config.blocks[at.block]
    whom = f" ({printable(block.kind.capitalize(), 10)} {printable(block.text, 80)})" if block.kind != "always" else ""
    excerpt = printable(mask(f"{at.keyword} {at.text}" if isinstance(at, Directive) else f"Match {at.text}"), 200)
    return view.finding(
        said.rule,
        at=file.at(at.where.line),
        state=client.state,
        hidden_by=client.hidden_by,
        severity=severity,
        confidence=said.confidence,
        message=f"{capital(said.what)}{whom}{why}.",
        evidence=[Evidence(NAME, "setting", file.path, line=at.where.line, excerpt=excerpt)],
        details=said.details,
        identity=(block.text, excerpt),
    )


PLUGIN = Detector(
    NAME,
    version=1,
    rules=(REMOTE_FORWARD, DYNAMIC_FORWARD, PROXY_COMMAND, NO_HOST_KEY_CHECK),
    wants=Wants(keeps=KEEPS),
    inspect=inspect,
    judge=judge,
)
