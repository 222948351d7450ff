"""Doors from outside: remote forwards of SSH (RFC 4254, 7.1), and tools whose whole purpose they are."""

import re
from collections.abc import Iterable, Mapping, Sequence

from scanner.model import Confidence, Finding, Json, Rule, Severity, printable
from scanner.model.run import Attempt
from scanner.runtime.attempts.plugin import Watch, Watched, by, by_host, listed, said, spoke, target, times

REVERSE_TUNNEL = Rule(
    id="observed/reverse-tunnel",
    name="Attempt to open a reverse tunnel",
    severity=Severity.CRITICAL,
    description="A process of the sandbox asked a server outside to listen there and to lead whoever connects back inside: SSH's "
    "tcpip-forward, or a tool that does nothing else (ngrok, cloudflared, chisel, frp).",
    help="Somebody outside gets into the sandbox, past every rule on incoming traffic. Find the process named here and who started it; "
    "remove its key or token, and close the way to its server.",
    references=("https://www.rfc-editor.org/rfc/rfc4254#section-7.1", "https://attack.mitre.org/techniques/T1572/"),
    attack=("T1572", "T1021.004", "T1090"),
)
TUNNEL = Rule(
    id="observed/tunnel",
    name="Attempt to carry traffic out through a tunnel",
    severity=Severity.HIGH,
    description="SSH with forwards of its own side or with a session, a virtual private network, an anonymity network or a proxy's protocol, "
    "spoken to a server outside.",
    help="One allowed server becomes the way to everything behind it. Find the process named here, and let the sandbox reach only what "
    "it needs.",
    references=("https://attack.mitre.org/techniques/T1572/", "https://attack.mitre.org/techniques/T1090/"),
    attack=("T1572", "T1090"),
)

_INSIDE = frozenset(
    ("ngrok", "cloudflared", "chisel", "frp", "rathole", "bore", "pinggy", "localtunnel", "serveo", "tmate")
)
"""Families of tools that let somebody in, as the recognition names them."""
_CARRIERS = frozenset(
    (
        "wireguard",
        "openvpn",
        "ike",
        "tor",
        "tor-directory",
        "gost",
        "shadowsocks",
        "tailscale",
        "zerotier",
        "nebula",
        "socks4",
        "socks5",
    )
)
_GIT = re.compile(r"git[- ](?:upload-pack|receive-pack|upload-archive) '[^';&|`$]*'$")
_FORWARDS = re.compile(r"-[A-Za-z0-9]*[DLRWw]|(?i:(?:-o)?\s*(?:(?:local|remote|dynamic)forward|proxy|tunnel))")
"""Words that make ssh(1) forward, whatever command it is to run."""


def _family(attempt: Attempt) -> str | None:
    """The tool that the bytes are known to be of."""
    for service in (attempt.service, "tls", "http", "quic"):
        found = said(attempt, service).get("family")
        if isinstance(found, str):
            return found
    return next((s for s in (*_INSIDE, *_CARRIERS) if spoke(attempt, s)), None)


def _forwards(attempt: Attempt) -> list[str]:
    """`[bind]:port` of what a server was asked to listen on."""
    ssh = said(attempt, "ssh")
    words = []
    for forward in _list(ssh.get("forwards")):
        if isinstance(forward, Mapping):
            bind = printable(str(forward.get("bind") or "localhost"), 60)
            words.append(f"{bind}:{forward.get('port')}")
    return words + [printable(str(path), 100) for path in _list(ssh.get("unix_forwards"))]


def _list(value: Json) -> Sequence[Json]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()


def takes(attempt: Attempt, watched: Watched) -> bool:
    return (spoke(attempt, "ssh") and not _is_gits(attempt, watched)) or _family(attempt) in _INSIDE | _CARRIERS


def _is_gits(attempt: Attempt, watched: Watched) -> bool:
    """Whether SSH carries git and nothing else: it asked for git's command alone, or, where it asked for nothing, was started with it.

    A client that does not trust the server's key ends before it asks (git-fetch-pack(1), git-send-pack(1)).
    """
    ssh = said(attempt, "ssh")
    if any(ssh.get(key) for key in ("forwards", "unix_forwards", "direct", "shell", "subsystems")):
        return False
    if "exec" in ssh:
        asked = ssh["exec"]
        commands = [asked] if isinstance(asked, str) else list(_list(asked))
    else:
        process = watched.process(attempt.pid, attempt.time)
        commands = list(process.command[-1:]) if process is not None else []
        if process is not None and any(_FORWARDS.match(word) for word in process.command[1:-1]):
            return False
    return bool(commands) and all(isinstance(one, str) and _GIT.match(one) for one in commands)


def judge(attempts: Sequence[Attempt], watched: Watched) -> Iterable[Finding]:
    for host, some in by_host(attempts).items():
        inside = [a for a in some if _forwards(a) or _family(a) in _INSIDE]
        yield _reverse(host, inside, watched) if inside else _outward(host, some, watched)


def _reverse(host: str, attempts: Sequence[Attempt], watched: Watched) -> Finding:
    first = attempts[0]
    asked = [word for a in attempts for word in _forwards(a)]
    who = by(watched.who(attempts))
    if asked:
        user = said(first, "ssh").get("user")
        as_user = f" as {printable(str(user), 60)}" if user else ""
        message = f"SSH to {target(first)}{as_user}{who} asked the server to listen on {listed(asked)} and to lead it back inside"
    else:
        message = f"{printable(str(_family(first)), 40)}, a tool that lets somebody in from outside, called {target(first)}{who}"
    return watched.finding(
        REVERSE_TUNNEL,
        attempts,
        f"{message}, {times(attempts)}.",
        identity=(host, *sorted(set(asked))),
        confidence=Confidence.HIGH if asked else Confidence.MEDIUM,
        details={"forwards": list(dict.fromkeys(asked)), "tool": _family(first), **_ssh(first)},
    )


def _outward(host: str, attempts: Sequence[Attempt], watched: Watched) -> Finding:
    first = attempts[0]
    ssh = said(first, "ssh")
    who = by(watched.who(attempts))
    directed = [
        f"{printable(str(one.get('host')), 80)}:{one.get('port')}"
        for a in attempts
        for one in _list(said(a, "ssh").get("direct"))
        if isinstance(one, Mapping)
    ]
    family = _family(first)
    if directed:
        message = f"SSH to {target(first)}{who} asked to be led on to {listed(directed)}"
    elif family is not None:
        inner = said(first, "socks").get("target")
        message = f"{family} was spoken to {target(first)}{who}" + (
            f", to be led on to {printable(str(inner), 100)}" if inner else ""
        )
    else:
        did = [
            w for w, key in (("a command", "exec"), ("a shell", "shell"), ("a subsystem", "subsystems")) if ssh.get(key)
        ]
        message = f"SSH to {target(first)}{who}" + (f" asked for {listed(did)}" if did else "")
    telling = bool(directed) or family is not None
    return watched.finding(
        TUNNEL,
        attempts,
        f"{message}, {times(attempts)}.",
        identity=(host, family or "ssh"),
        confidence=Confidence.HIGH if telling else Confidence.MEDIUM,
        severity=TUNNEL.severity if telling else Severity.MEDIUM,
        details={"direct": list(dict.fromkeys(directed)), "tool": family, **_ssh(first)},
    )


def _ssh(attempt: Attempt) -> dict[str, Json]:
    ssh = said(attempt, "ssh")
    return {key: ssh[key] for key in ("client", "user", "auth", "exec", "hassh") if key in ssh}


PLUGIN = Watch("reverse_tunnel", (REVERSE_TUNNEL, TUNNEL), takes, judge, order=20)
