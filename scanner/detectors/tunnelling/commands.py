"""What one command does: opens an ssh tunnel, starts an ssh daemon, starts a tunnel tool, hands a shell to somebody outside."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from scanner.credentials import mask
from scanner.detectors.launchers.shell import Command
from scanner.detectors.tunnelling import catalogue
from scanner.detectors.tunnelling.catalogue import Sort, Tool
from scanner.model import Json, printable

if TYPE_CHECKING:
    from scanner.ssh.command import Invocation
    from scanner.ssh.forward import Forward

SERVICES = {
    "serveo.net": "serveo",
    "localhost.run": "localhost.run",
    "ssh.localhost.run": "localhost.run",
    "a.pinggy.io": "pinggy",
    "pinggy.io": "pinggy",
    "srv.us": "srv.us",
    "tunnel.us.ngrok.com": "ngrok",
    "sish.top": "sish",
    "tuns.sh": "tuns",
    "uptermd.upterm.dev": "upterm",
    "ssh.tmate.io": "tmate",
}
"""Hosts that open a tunnel for anybody who comes by ssh."""
_AMBIGUOUS = frozenset(
    """edge supernode lt proxy balance stone pound redir arti bore et delegated charon ipsec playit naive brook blitz teleport
    tunnel tunneld trojan hans tor pluto tinc lsh clash nps npc iox stowaway ss5 hitch wg i2prouter portfwd naive connectd
    ziti sslh tun2socks simpleproxy connect-proxy xray v2ray sing-box""".split()
)
"""Program names that other programs share: such a command counts only where the image has the tool."""
_ASKING = frozenset("--version -V --help -h help version -v completion install-completion".split())
_SERVICE_WORDS = frozenset("start restart reload enable add default".split())
_SSHD_SERVICES = frozenset(
    "ssh sshd ssh.service sshd.service ssh.socket sshd.socket openssh dropbear dropbear.service".split()
)
_PROXIED = frozenset(p for t in catalogue.TOOLS if t.sort is Sort.PROXY_CLIENT for p in t.programs)
_RELAYS = frozenset("nc netcat ncat nc.traditional nc.openbsd socat".split())
_PIPED = frozenset("nc netcat ncat nc.traditional nc.openbsd telnet openssl".split())
_DAEMONS = frozenset("sshd dropbear tinysshd".split())
_PEER = re.compile(r"^(?:\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+):\d{1,5}$|^[a-z][a-z0-9+.-]*://\S+$|^[\w.-]+@[\w.-]+$")
_SHELL = re.compile(r"(?:^|/|[,:])(?:ba|da|z|k|a)?sh\b|cmd\.exe")
_SHELLS = frozenset("sh bash dash ash zsh ksh ksh93 mksh".split())
_NEAR = 8
"""Commands within which a pipe, or an open socket, and the shell that is joined to it stand."""
_CODE = re.compile(r"(?i)socket|fsockopen|net\.connect|pfsockopen|/inet/tcp/|/dev/tcp/")
_ENDS = re.compile(
    r"""["'/]((?:\d{1,3}\.){3}\d{1,3}|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)["':/]{1,2}[\s,:/]{0,3}["']?(\d{1,5})\b"""
)


_SSH = re.compile(r"(?i)ssh|slogin|dbclient|dropbearmulti|plink|sftp|scp|mosh|=")
"""In the name of every client that scanner.ssh.command reads, and in a word that sets a variable before one."""


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing a command does: `kind` is ssh, daemon, tool or shell; `facts` hold destination, port and direction."""

    kind: str
    facts: dict[str, Json]
    summary: str


def deeds(command: Command) -> Iterator[Deed]:
    """What a command of a launch point or script does of it; nothing for ordinary ones. Never raises."""
    argv = command.argv
    wrapper = next((w for w in command.through if w in _PROXIED), None)
    if wrapper is not None:
        yield _tool(catalogue.by_program()[wrapper], (), f"sends {printable(command.name, 80)} through {wrapper}", True)
    if _SSH.search(argv[0]):
        from scanner.ssh import command as ssh_command

        invocation = ssh_command.parse(argv, dict(command.environment))
        if invocation is not None:
            yield from _ssh(invocation, command)
            return
    name = command.name
    if command.sockets and _bare(command):
        yield _to_socket(command)
        return
    if name in _DAEMONS:
        if command.remote:
            return  # it starts on the far side
        from scanner.ssh import sshd_config

        arguments = argv[1:]
        if name != "sshd" or sshd_config.command_line(arguments).runs:
            yield _daemon(name, arguments, f"runs {name}")
        return
    if (service := _service(name, argv)) is not None:
        action, what = service
        if what in _SSHD_SERVICES:
            server = "dropbear" if what.startswith("dropbear") else "sshd"
            yield _daemon(server, (), f"{action}s the service {what}")
        elif (tool := _of_service(what)) is not None:
            yield _tool(tool, argv, f"{action}s the service {what}", sure=True)
        return
    if name in _RELAYS:
        if (handed := _netcat(name, argv)) is not None:
            yield handed
        return
    if (code := _one_liner(name, argv)) is not None:
        yield code
        return
    if (found := _started(name, argv)) is not None:
        tool, words, sure = found
        if not words or words[0] in _ASKING:
            return
        yield _tool(tool, words, f"runs {tool.name}", sure)


def _ssh(invocation: Invocation, command: Command) -> Iterator[Deed]:
    if invocation.problem is not None:
        return
    nested = invocation.nested
    host = invocation.connects_to
    opened = bool(invocation.gateway_ports)
    forwards: list[Json] = [forwarded(one, one.option, opened) for one in invocation.forwards]
    facts: dict[str, Json] = {
        "program": invocation.program,
        "destination": printable(invocation.destination or "", 255) or None,
        "host": printable(host, 255) if host else None,
        "port": invocation.port,
        "user": printable(invocation.user, 100) if invocation.user else None,
        "forwards": forwards,
        "identity": [printable(i, 300) for i in invocation.identity_files[:8]],
        "jump": [printable(j, 255) for j in invocation.jump_hosts[:8]],
        "config": printable(invocation.config_file, 300) if invocation.config_file else None,
        "background": invocation.background or command.background,
        "no_command": invocation.no_command or invocation.session_type == "none",
        "reconnects": invocation.reconnects or invocation.program == "autossh",
        "keepalive": invocation.server_alive_interval,
        "host_key_checking": invocation.strict_host_key_checking,
        "password": invocation.password or "sshpass" in command.through,
        "proxy_command": printable(mask(invocation.proxy_command), 200) if invocation.proxy_command else None,
        "service": SERVICES.get((host or "").lower()),
        "unresolved": [printable(u, 100) for u in invocation.unresolved[:8]],
        "remote": command.remote,
        "into": command.into or None,
    }
    if invocation.destination is not None or forwards:
        yield Deed("ssh", facts, mask(invocation.summary()))
    if nested is not None and nested.forwards:
        yield from (Deed(d.kind, {**d.facts, "remote": True}, d.summary) for d in _ssh(nested, command))


def forwarded(one: Forward, option: str, gateway: bool = False) -> dict[str, Json]:
    """A forwarding for evidence: `listen` and `target` in words, ports None where there is none."""
    tun = one.kind == "tun"
    return {
        "kind": one.kind,
        "listen": one.listen if one.kind != "stdio" else None,
        "listen_port": None if tun else one.listen_port,
        "everywhere": one.listens_everywhere or (gateway and one.kind in ("local", "dynamic")),
        "target": None if tun else one.target,
        "target_port": None if tun else one.target_port,
        "text": printable(one.raw, 200),
        "option": option,
    }


def _daemon(server: str, arguments: Sequence[str], how: str) -> Deed:
    words: list[Json] = [printable(a, 300) for a in arguments[:64]]
    return Deed("daemon", {"server": server, "arguments": words, "how": how}, how)


def _service(name: str, argv: Sequence[str]) -> tuple[str, str] | None:
    """(action, service) of systemctl, service, rc-service, rc-update, invoke-rc.d, update-rc.d or an init script's path."""
    words = [w for w in argv[1:] if not w.startswith("-")]
    if name == "systemctl" and len(words) > 1 and words[0] in _SERVICE_WORDS:
        return words[0], words[1]
    if name in ("service", "rc-service", "invoke-rc.d") and len(words) > 1 and words[1] in _SERVICE_WORDS:
        return words[1], words[0]
    if name == "rc-update" and len(words) > 1 and words[0] == "add":
        return "enable", words[1]
    if name == "update-rc.d" and len(words) > 1 and words[1] in ("defaults", "enable"):
        return "enable", words[0]
    if "/init.d/" in argv[0] and words and words[0] in _SERVICE_WORDS:
        return words[0], name
    return None


def _of_service(service: str) -> Tool | None:
    stem = re.sub(r"@.*$|\.(?:service|socket|timer)$", "", service)
    return catalogue.by_program().get(stem) or catalogue.by_package().get(stem)


def _started(name: str, argv: Sequence[str]) -> tuple[Tool, tuple[str, ...], bool] | None:
    """The tool that a command starts, its arguments, and whether the command alone tells it (else the image must have it)."""
    words = tuple(argv[1:])
    if name in ("npx", "bunx", "pnpx") or (
        name in ("npm", "yarn", "pnpm") and words[:1] in (("exec",), ("dlx",), ("x",))
    ):
        rest = [w for w in words if not w.startswith("-")]
        rest = rest[1:] if rest and rest[0] in ("exec", "dlx", "x") else rest
        if rest:
            package = re.sub(r"(?<=.)@[^/]*$", "", rest[0])
            if (tool := catalogue.by_npm().get(package)) is not None:
                return tool, tuple(rest), True
        return None
    if re.fullmatch(r"(?:python|pypy)[\d.]*", name) and "-m" in words[:-1]:
        at = words.index("-m")
        if (tool := catalogue.by_pip().get(catalogue.pip_name(words[at + 1]))) is not None:
            return tool, words[at + 1 :], True
        return None
    if name in ("code", "code-insiders", "cursor", "codium") and words[:1] == ("tunnel",):
        return catalogue.by_name()["vscode-tunnel"], words, True
    tool = catalogue.by_program().get(name)
    if tool is None:
        return None
    return tool, words or ("",), name not in _AMBIGUOUS


def _tool(tool: Tool, words: Sequence[str], how: str, sure: bool) -> Deed:
    peers: Sequence[Json] = [printable(mask(w), 200) for w in words if _PEER.match(w)][:4]
    facts: dict[str, Json] = {"tool": tool.name, "how": how, "sure": sure, "peers": peers}
    return Deed("tool", facts, how + (f" with {peers[0]}" if peers else ""))


def _netcat(name: str, argv: Sequence[str]) -> Deed | None:
    """netcat or socat that joins a socket to a shell or to another socket, or an ncat that is a proxy; else a plain client."""
    words = list(argv[1:])
    if name == "socat":
        return _socat(words)
    runs = [words[i + 1] for i, w in enumerate(words[:-1]) if re.fullmatch(r"-\w*[ec]|--(?:sh-)?exec", w)]
    runs += [w.partition("=")[2] for w in words if w.startswith(("--exec=", "--sh-exec="))]
    plain = [w for w in words if not w.startswith("-") and w not in runs]
    if any(_SHELL.search(r) for r in runs):
        if _listens(argv):
            return _bound(plain)
        return _shell(plain[0], plain[1], name) if len(plain) > 1 else None
    proxy = any(w.startswith("--proxy-type") or w == "--broker" for w in words)
    relays = any(word in _RELAYS for run in runs for word in run.split())
    if name == "ncat" and _listens(argv) and (proxy or relays):
        return _tool(catalogue.by_name()["ncat"], words, "is a proxy for others" if proxy else "relays with ncat", True)
    return None


def _socat(words: Sequence[str]) -> Deed | None:
    text = " ".join(words)
    if re.search(r"(?i)\b(?:EXEC|SYSTEM|SHELL)[:(]", text) and _SHELL.search(text):
        found = re.search(r"(?i)\b(?:TCP|OPENSSL|SSL|UDP|SCTP)[46]?(?:-CONNECT)?:([^:,\s]+):(\w+)", text)
        if found:
            return _shell(found[1], found[2], "socat")
        waits = re.search(r"(?i)-(?:LISTEN|L):(\d{1,5})", text)
        return _bound([waits[1] if waits else ""])
    if not re.search(r"(?i)-LISTEN|-L:|\b(?:TCP|UDP|OPENSSL|SSL|SOCKS4A?|SOCKS5|PROXY)[46]?(?:-CONNECT)?:", text):
        return None
    peers: Sequence[Json] = [printable(mask(w), 200) for w in words if not w.startswith("-")][:4]
    facts: dict[str, Json] = {"tool": "socat", "how": "relays with socat", "sure": True, "peers": peers}
    return Deed("tool", facts, f"relays with socat: {' and '.join(map(str, peers))}")


def _one_liner(name: str, argv: Sequence[str]) -> Deed | None:
    """Perl, PHP, Ruby, Lua, node or awk on a command line that joins a socket to a shell; Python is read by its grammar."""
    if not re.fullmatch(r"(?:perl|php|ruby|lua|node|nodejs|gawk|awk)[\d.]*", name):
        return None
    code = " ".join(argv[1:])[:8192]
    if not _CODE.search(code) or not re.search(r"\b(?:ba|da|z|k|a)?sh\b|\|&\s*getline", code):
        return None
    host, port = (found[1], found[2]) if (found := _ENDS.search(code)) else ("", "")
    return _shell(host, port, name)


def _listens(argv: Sequence[str]) -> bool:
    return any(re.fullmatch(r"-\w*l\w*|--listen", w) for w in argv[1:])


def _bound(words: Sequence[str]) -> Deed:
    port = words[-1] if words else ""
    facts: dict[str, Json] = {"kind": "bind-shell", "host": None, "port": _number(port)}
    return Deed(
        "shell", facts, f"hands a shell to whoever connects to port {printable(port, 40)}".removesuffix(" to port ")
    )


def _number(port: str) -> Json:
    return int(port) if re.fullmatch(r"[0-9]{1,5}", port) else printable(port, 40) or None


def _shell(host: str, port: str, with_: str) -> Deed:
    facts: dict[str, Json] = {"kind": "reverse-shell", "host": printable(host, 255) or None, "port": _number(port)}
    where = f"{printable(host, 200)}:{printable(port, 40)}" if host else "somebody outside"
    return Deed("shell", facts, f"hands a shell to {where} through {with_}")


def of_all(commands: Iterable[Command]) -> Iterator[tuple[Command, Deed]]:
    """The deeds of a file's commands in their order, and shells that several of them together hand out. Never raises."""
    last: deque[Command] = deque(maxlen=_NEAR)
    for command in commands:
        for deed in deeds(command):
            yield command, deed
        last.append(command)
        if (joined := _joined(last)) is not None:
            yield joined
            last.clear()


def _bare(command: Command) -> bool:
    """Whether it is a shell that takes its orders from what it reads."""
    return command.name in _SHELLS and all(w.startswith("-") and not w.endswith("c") for w in command.argv[1:])


def _joined(last: Sequence[Command]) -> tuple[Command, Deed] | None:
    """A shell joined to a descriptor that is a socket (bash(1), REDIRECTION), or by a named pipe to a client (mkfifo(1))."""
    if not (_bare(last[-1]) or last[-1].argv[0].startswith("$") or last[-1].name in _PIPED):
        return None
    opened = next((c for c in last if c.name == "exec" and c.sockets), None)
    asked = {f"${w}" for c in last if c.name == "read" for w in c.argv[1:]}
    if opened is not None and (_bare(last[-1]) or last[-1].argv[0] in asked):
        return opened, _to_socket(opened)
    pipe = next((c for c in last if c.name == "mkfifo" or (c.name == "mknod" and "p" in c.argv[2:3])), None)
    if pipe is None or not any(map(_bare, last)):
        return None
    for client in last:
        words = [w for w in client.argv[1:] if not w.startswith("-")]
        if client.name == "openssl" and "s_client" in words:
            connect = next((b for a, b in pairwise(client.argv) if a == "-connect"), "")
            return client, _shell(*connect.rpartition(":")[::2], "openssl")
        if client.name in _PIPED and _listens(client.argv):
            return client, _bound(words)
        if client.name in _PIPED and len(words) > 1:
            return client, _shell(words[0], words[1], client.name)
    return None


def _to_socket(command: Command) -> Deed:
    protocol, host, port = (*command.sockets[0][1].split("/")[2:5], "", "")[:3]
    return _shell(host, port, f"/dev/{protocol}")
