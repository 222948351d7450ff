"""What a sandbox reaches: verdicts, the graph they rest on, the paths through it, and the edits that close them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from scanner.model.destination import Destination as Destination  # noqa: PLC0414 (given on from here)
from scanner.model.evidence import Json
from scanner.model.launch import Missing, Origin


class Verdict(StrEnum):
    """CLOSED no packet in either direction by any path; OPEN every IPv4 address and port of the class; LIMITED what lies
    between; UNKNOWN the files cannot decide. Where there is nothing of the class (no siblings) it is CLOSED."""

    OPEN = "open"
    LIMITED = "limited"
    CLOSED = "closed"
    UNKNOWN = "unknown"


ALL_PORTS = ((1, 65535),)


@dataclass(frozen=True, slots=True)
class Permit:
    """What passes: `hosts` CIDRs or names (`0.0.0.0/0`, `*.example.com`, `db`), less `excepts` (CIDRs).

    `protocol` tcp, udp, icmp or any (any port-less one included); `ports` inclusive ranges. `reply` False: packets leave, no
    answer comes back (one-way).
    """

    hosts: tuple[str, ...]
    protocol: str = "any"
    ports: tuple[tuple[int, int], ...] = ALL_PORTS
    excepts: tuple[str, ...] = ()
    reply: bool = True


class Mode(StrEnum):
    """DIRECT plain sockets as the launch left them; MEDIATED through a proxy or relay that decides; PIVOT by a right or a
    takeover (an engine's socket, a privilege, NET_ADMIN)."""

    DIRECT = "direct"
    MEDIATED = "mediated"
    PIVOT = "pivot"


@dataclass(frozen=True, slots=True)
class Node:
    """`id` is unique in the graph and stable (`container:agent`, `network:default`, `destination:internet`)."""

    id: str
    kind: str
    label: str
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """One edit that a person can make, with what it costs them (1 a word in a file … 5 a change of design).

    `edit` is for the model and the patch: `{"op": "set"|"remove"|"add", "object": "network:x"|"container:y"|"policy", "field":
    …, "value": …, "index"…}`; `breaks` names what it takes away from the sandbox besides.
    """

    id: str
    title: str
    cost: int
    origin: Origin | None
    edit: Mapping[str, Json] = field(default_factory=dict)
    breaks: str = ""


@dataclass(frozen=True, slots=True)
class Edge:
    """One step. `permits` None passes whatever the rest of the path passes; on an edge into a destination they say what of it.

    `needs` is what the agent must have for the step (a socket, root, a capability); `why` the sentence that proves it;
    `actions` are ids of the actions that each alone remove the edge; `missing`: the edge exists only if a fact holds that
    nobody gave; verdicts then are unknown where they hang on it.
    """

    source: str
    target: str
    kind: str
    mode: Mode
    why: str
    origin: Origin | None = None
    permits: tuple[Permit, ...] | None = None
    needs: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True)
class Barrier:
    """What stands in the way: why an edge is *not* there, with the line that closes it."""

    source: str
    target: str
    why: str
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Graph:
    """One sandbox's reach. `start` is the agent's node, `siblings` the names of what else the launch starts.

    `observed` are edges from the start to what a run tried (kind `observed`); no verdict rests on them.
    """

    start: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    barriers: tuple[Barrier, ...] = ()
    actions: tuple[Action, ...] = ()
    siblings: tuple[str, ...] = ()
    observed: tuple[Edge, ...] = ()


@dataclass(frozen=True, slots=True)
class Tool:
    """What of the image a path uses. `effort`: 0 a tool lies ready, 1 an interpreter to write three lines in, 2 a binary must
    be brought, 3 a privilege must be gained first; `name` and `place` of the thing, None where nothing is known."""

    effort: int
    name: str | None
    place: str | None
    words: str


@dataclass(frozen=True, slots=True)
class Tried:
    """What a run tried of a destination: to `target` (`pool.example:3333`), by `protocol`, `count` times.

    `outcome` joins it with the prediction: `possible` (a path lets it through), `closed` (none does), `unknown`; `because` is
    the barrier or the path that decides, in words.
    """

    target: str
    protocol: str
    count: int
    outcome: str
    because: str
    service: str = ""


@dataclass(frozen=True, slots=True)
class Path:
    """From the agent to a destination. `verdict` is what this path alone gives; `permits` what passes along it.

    `tried`: whether a run went (or would have gone) this way; None where no run was watched.
    """

    id: str
    destination: Destination
    steps: tuple[Edge, ...]
    verdict: Verdict
    mode: Mode
    permits: tuple[Permit, ...]
    missing: tuple[Missing, ...] = ()
    tool: Tool | None = None
    tried: bool | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The verdict on one destination: all paths counted, and by plain sockets alone (`direct`).

    `allows` lists exactly what passes; `missing` what an unknown hangs on; `because` the barriers where it is closed; `tried` what a
    run tried of it (None where no run was watched).
    """

    destination: Destination
    verdict: Verdict
    direct: Verdict
    allows: tuple[Permit, ...] = ()
    missing: tuple[Missing, ...] = ()
    paths: tuple[Path, ...] = ()
    because: tuple[Barrier, ...] = ()
    paths_left_out: int = 0
    tried: tuple[Tried, ...] | None = None


@dataclass(frozen=True, slots=True)
class Cut:
    """The cheapest set of actions that closes all paths to `closes`; `verified`: the edited launch was judged again and is
    closed. `possible` False: no set of known actions does; `keeps_open` are --keep destinations that stay."""

    closes: tuple[Destination, ...]
    actions: tuple[Action, ...]
    cost: int
    verified: bool
    possible: bool = True
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """Asked outright: `could-tunnel` (ROME's reverse SSH), `could-mine`. `answer`: yes, no, unknown."""

    name: str
    answer: str
    words: str
    path: str | None = None


@dataclass(frozen=True, slots=True)
class SandboxReach:
    """One container, workload or hosted sandbox: `name` is the Compose service, the container, or `namespace/workload`."""

    name: str
    kind: str
    origin: Origin
    graph: Graph
    answers: tuple[Answer, ...]
    cuts: tuple[Cut, ...] = ()
    questions: tuple[Question, ...] = ()
    image: str | None = None

    def answer(self, destination: Destination) -> Answer:
        return next(a for a in self.answers if a.destination is destination)


@dataclass(frozen=True, slots=True)
class Egress:
    """All sandboxes of one launch, and what was taken for granted."""

    files: tuple[str, ...]
    format: str
    runner: str
    assumptions: tuple[tuple[str, str], ...]
    sandboxes: tuple[SandboxReach, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """What a change of the launch does to one sandbox's reach of one destination; None where the sandbox is not there.

    `opened` and `closed` are paths that only the new or only the old launch has, `wider` and `narrower` what passes only
    there. `opens`: the sandbox may reach more than before.
    """

    sandbox: str
    destination: Destination
    before: Answer | None
    after: Answer | None
    opens: bool
    opened: tuple[Path, ...] = ()
    closed: tuple[Path, ...] = ()
    wider: tuple[Permit, ...] = ()
    narrower: tuple[Permit, ...] = ()
