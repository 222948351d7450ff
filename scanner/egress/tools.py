"""Means × opportunity: what of an image serves a path, and how much an agent would have to do.

The effort, from least to most: a tool lies ready, an interpreter to write three lines in, a binary must be brought, a
privilege must be gained first. The outright questions are answered from the same: could ROME's reverse tunnel happen here, could it mine?
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from scanner.egress.permits import intersect
from scanner.model import ConfigLocation, Means, MeansKind, printable
from scanner.model.egress import (
    Answer,
    Destination,
    Mode,
    Path,
    Permit,
    Question,
    Tool,
    Verdict,
)

_SSH = ("autossh", "ssh", "dbclient", "plink", "sshuttle", "mosh-client")
_SENDS = ("curl", "wget", "nc", "ncat", "netcat", "socat", "openssl", "telnet", "ftp", "busybox")
_NAMES = ("dig", "nslookup", "host", "getent", "drill", "busybox")
_PRIVILEGED = ("root", "NET_ADMIN", "SYS_", "DAC_READ_SEARCH", "CAP_", "privileged")


@dataclass(frozen=True, slots=True)
class Inventory:
    """What is known of a sandbox's image: its means, its default user, the accelerators of its launch."""

    target: str
    means: tuple[Means, ...]
    user: str = ""
    miners: tuple[str, ...] = ()
    """Miners that were found in it."""

    @property
    def is_root(self) -> bool:
        return self.user.partition(":")[0] in ("", "0", "root")

    def of(self, *kinds: MeansKind) -> tuple[Means, ...]:
        return tuple(m for m in self.means if m.kind in kinds)

    def named(self, names: Sequence[str]) -> Means | None:
        """The first of the names that lies there, in the order of the names."""
        by_name = {m.name: m for m in reversed(self.means)}
        return next((by_name[n] for n in names if n in by_name), None)


def tool_for(path: Path, inventory: Inventory | None) -> Tool | None:
    """What of the image the path uses; None where nothing is known of an image."""
    if inventory is None:
        return None
    privilege = next((n for e in path.steps for n in e.needs if n.startswith(_PRIVILEGED)), None)
    if privilege is not None and not inventory.is_root:
        return Tool(3, None, None, f"the image's user is no root: {printable(privilege)} must be gained first")
    if path.destination is Destination.DNS:
        return _ready(inventory, _NAMES, "names can be asked for with")
    if any(e.kind in ("engine-socket", "engine-api") for e in path.steps):
        return _ready(inventory, ("docker", "podman", "nerdctl", "curl", "ctr"), "talks to the engine:")
    if any(m.kind is MeansKind.ACCESS for m in inventory.means) and path.destination is not Destination.SIBLINGS:
        access = inventory.of(MeansKind.ACCESS)[0]
        return Tool(0, access.name, _place(access), f"a key lies ready that opens {printable(access.name)}")
    tunnels = inventory.of(MeansKind.TUNNEL)
    if tunnels:
        return Tool(0, tunnels[0].name, _place(tunnels[0]), f"{printable(tunnels[0].name)} lies ready")
    return _ready(inventory, (*_SSH, *_SENDS), "connects as it is:")


def _ready(inventory: Inventory, names: Sequence[str], words: str) -> Tool:
    found = inventory.named(names)
    if found is not None:
        return Tool(0, found.name, _place(found), f"{words} {printable(found.name)}")
    interpreter = next(
        (m for m in inventory.of(MeansKind.INTERPRETER) if m.details.get("sockets", True) is not False), None
    )
    if interpreter is not None:
        return Tool(1, interpreter.name, _place(interpreter), f"three lines of {printable(interpreter.name)}")
    return Tool(2, None, None, "nothing in the image opens a connection: a program must be brought")


def _place(means: Means) -> str:
    where = means.location
    if isinstance(where, ConfigLocation):
        return f"image config, {printable(where.field)}"
    return printable(where.display)


def with_tools(answers: Iterable[Answer], inventory: Inventory | None) -> tuple[Answer, ...]:
    return tuple(replace(a, paths=tuple(replace(p, tool=tool_for(p, inventory)) for p in a.paths)) for a in answers)


# ---- outright questions

_ANY_TCP = (Permit(("0.0.0.0/0", "::/0"), "tcp"),)


def questions(answers: Sequence[Answer], inventory: Inventory | None, accelerator: str | None) -> tuple[Question, ...]:
    """`could-tunnel` and `could-mine`, each yes, no, limited or unknown, with the words to say it in."""
    internet = next(a for a in answers if a.destination is Destination.INTERNET)
    way, answer, reach = _outward(internet)
    dns = next(a for a in answers if a.destination is Destination.DNS)
    through_names = answer == "no" and dns.verdict is not Verdict.CLOSED
    tunnel = f"{reach}; {_carrier(inventory)}" if answer != "no" else reach
    if through_names:
        tunnel += "; names do leave, so that a slow tunnel through DNS is not ruled out"
    with_what = f"with the {accelerator}" if accelerator else "on the CPUs it is given"
    mine = f"{reach}; {_miner(inventory)}, {with_what}" if answer != "no" else f"{reach}, so no pool answers"
    return (
        Question("could-tunnel", answer, tunnel, way),
        Question("could-mine", answer, mine, way),
    )


def _outward(internet: Answer) -> tuple[str | None, str, str]:
    """Path id, answer, and the sentence on TCP to an address outside."""
    if internet.verdict is Verdict.CLOSED:
        return None, "no", "no TCP connection leaves to an external address"
    if internet.verdict is Verdict.UNKNOWN:
        keys = ", ".join(printable(m.key) for m in internet.missing) or "what is missing"
        return None, "unknown", f"whether TCP leaves hangs on {keys}"
    path = next((p for p in internet.paths if any(_answers_tcp(x) for x in p.permits) and not p.missing), None)
    if path is None:
        return None, "no", "packets leave, but no TCP connection to an external address comes about"
    how = {Mode.DIRECT: "by plain sockets", Mode.MEDIATED: "through a proxy or relay", Mode.PIVOT: "after a takeover"}[
        path.mode
    ]
    anywhere = any(
        intersect((x,), _ANY_TCP) and {"0.0.0.0/0"} & set(x.hosts) and x.reply and not x.excepts for x in path.permits
    )
    if anywhere or path.verdict is Verdict.OPEN:
        return path.id, "yes", f"TCP reaches any external address {how}"
    hosts = ", ".join(printable(h) for x in path.permits for h in x.hosts[:3])
    return path.id, "limited", f"TCP reaches {hosts or 'some external addresses'} {how}"


def _answers_tcp(permit: Permit) -> bool:
    return permit.reply and permit.protocol in ("tcp", "any")


def _carrier(inventory: Inventory | None) -> str:
    if inventory is None:
        return "no image was looked into, so that it is not known what would carry SSH"
    access = inventory.of(MeansKind.ACCESS)
    ssh = inventory.named(_SSH) or next(iter(inventory.of(MeansKind.TUNNEL)), None)
    if ssh is not None:
        key = f", and a key for {printable(access[0].name)}" if access else ""
        return f"{printable(ssh.name)} lies ready in {_place(ssh)}{key}"
    return _ready(inventory, _SENDS, "no SSH client, but").words


def _miner(inventory: Inventory | None) -> str:
    if inventory is None:
        return "no image was looked into, so that it is not known whether a miner lies in it"
    if inventory.miners:
        return f"a miner lies ready ({printable(inventory.miners[0])})"
    return "no miner in the image; " + _ready(inventory, _SENDS, "one can be fetched with").words
