"""The sandbox's own host: its gateway's address, and the ports at which container engines and clusters listen."""

import re
from collections.abc import Iterable, Sequence

from scanner.egress.takeover import engine_at
from scanner.model import Confidence, Finding, Rule, Severity
from scanner.model.egress import Destination
from scanner.model.run import Attempt
from scanner.runtime.attempts.plugin import Watch, Watched, by, listed, said, times

HOST = Rule(
    id="observed/host",
    name="Attempt to reach the host",
    severity=Severity.HIGH,
    description="A process of the sandbox tried services of the machine that it runs on, by its gateway's address or by name.",
    help="What listens on the host was seldom meant for the sandbox. Find out what the process named here looks for, bind the host's "
    "services to an address that the sandbox does not reach, or drop what comes from its bridge.",
    references=("https://docs.docker.com/engine/network/",),
    attack=("T1046",),
)
ENGINE = Rule(
    id="observed/engine",
    name="Attempt to command a container engine or a cluster",
    severity=Severity.CRITICAL,
    description="A process of the sandbox tried a port or a socket at which a container engine, a kubelet or a cluster's API is "
    "commanded, or asked for a path of their APIs.",
    help="Whoever commands the engine owns the host. Find the process named here, and see that no engine listens on TCP without "
    "certificates.",
    references=(
        "https://docs.docker.com/engine/security/protect-access/",
        "https://attack.mitre.org/techniques/T1610/",
    ),
    attack=("T1610", "T1611", "T1613"),
)

_API = re.compile(r"(?:https?://[^/]*)?(?:/v\d[\d.]*)?/(?:containers/(?:json|create)|images/json|libpod)(?:[/?]|$)")
"""How paths of an engine's API begin (moby, api/swagger.yaml; Podman's libpod). Elsewhere in a path the words are a package's or a
folder's: Debian keeps Podman below /debian/pool/main/libp/libpod/."""
_ENGINES = {
    2375: "Docker",
    2376: "Docker",
    2377: "Docker Swarm",
    4243: "Docker",
    10250: "a kubelet",
    10255: "a kubelet",
    6443: "Kubernetes",
}


def _engine(attempt: Attempt, watched: Watched) -> str | None:
    """What is commanded there; on the internet 6443 alone says nothing. A socket that is not there was asked for all the same."""
    asked = str(said(attempt, "http").get("path") or "")
    if attempt.protocol == "unix":
        return engine_at(attempt.target.address)
    if attempt.protocol != "tcp":
        return None
    if _API.match(asked):
        return "Docker"
    near = watched.destination(attempt) in (Destination.HOST, Destination.PRIVATE, Destination.SIBLINGS)
    known = _ENGINES.get(attempt.target.port or 0)
    return known if near else None


def takes(attempt: Attempt, watched: Watched) -> bool:
    return watched.destination(attempt) is Destination.HOST or _engine(attempt, watched) is not None


def judge(attempts: Sequence[Attempt], watched: Watched) -> Iterable[Finding]:
    engines = [a for a in attempts if _engine(a, watched) is not None]
    if engines:
        asked = any(said(a, "http").get("path") or a.details.get("result") == "granted" for a in engines)
        places = listed(a.target.display for a in engines)
        kinds = listed(dict.fromkeys(k for a in engines if (k := _engine(a, watched))))
        yield watched.finding(
            ENGINE,
            engines,
            f"{places}, where {kinds} is commanded, was tried{by(watched.who(engines))} {times(engines)}.",
            identity=("engine", *sorted({str(a.target.port or a.target.address) for a in engines})[:20]),
            confidence=Confidence.HIGH if asked else Confidence.MEDIUM,
            severity=ENGINE.severity if asked else Severity.HIGH,
        )
    rest = [a for a in attempts if _engine(a, watched) is None]
    if rest:
        ports = sorted({a.target.port for a in rest if a.target.port is not None})
        shown = listed(map(str, ports)) if ports else listed(a.protocol for a in rest)
        yield watched.finding(
            HOST,
            rest,
            f"The host ({listed(a.target.address for a in rest)}) was tried{by(watched.who(rest))} {times(rest)}, on {shown}.",
            identity=("host",),
            confidence=Confidence.HIGH if len(ports) > 1 else Confidence.MEDIUM,
            severity=Severity.HIGH if len(ports) >= 10 else Severity.MEDIUM,
            details={"ports": list(ports[:200])},
        )


PLUGIN = Watch("host", (HOST, ENGINE), takes, judge, order=40)
