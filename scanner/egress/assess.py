"""One launch judged: for every sandbox its graph, its answers, the cut, and what is asked outright."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from scanner.egress import without_effect
from scanner.egress.assumptions import Assumed
from scanner.egress.cut import cheapest
from scanner.egress.edits import apply
from scanner.egress.firewall import Ruleset
from scanner.egress.paths import answers
from scanner.egress.tools import Inventory, questions, with_tools
from scanner.egress.without_effect import Remark
from scanner.errors import LimitError
from scanner.model import Container, Hosted, Launch, Level, Notification, Pod
from scanner.model.egress import Action, Answer, Cut, Destination, Egress, Graph, Permit, SandboxReach, Verdict
from scanner.model.launch import Said

CLOSABLE = (
    Destination.ENGINE,
    Destination.INTERNET,
    Destination.PRIVATE,
    Destination.METADATA,
    Destination.DNS,
    Destination.HOST,
)
"""What a cut closes where nobody chooses: everything but the other containers, which a launch starts on purpose."""
CUTS = 64
"""Up to so many sandboxes each get a cut of their own; of more, one of each kind of reach."""

WHOLE = 100
"""Up to so many sandboxes are reported with their graph and all listed paths; of more, with the plainest path alone."""
PAIRS = 250_000
"""Containers judged times containers that each may meet: what is done at all, 500 of one launch or some of more."""
MOST = 2_000
"""Containers of a launch of which even one is judged."""

RESOLVERS = frozenset(("kube-system", "openshift-dns"))
"""Namespaces whose pods resolve a cluster's names."""

Sandbox = Container | Pod | Hosted


@dataclass(frozen=True, slots=True)
class Asked:
    """How to judge. `inventories` by sandbox name, `""` for all others; `closes` what the cut has to close; `keep` what stays."""

    assumed: Assumed = field(default_factory=Assumed)
    ruleset: Ruleset | None = None
    inventories: Mapping[str, Inventory] = field(default_factory=dict)
    closes: tuple[Destination, ...] = CLOSABLE
    keep: tuple[Permit, ...] = ()
    cuts: bool = True
    sandboxes: tuple[str, ...] = ()
    """Names of those to judge; the others are part of the launch, and no more. Empty: all."""


def assess(launch: Launch, asked: Asked) -> tuple[Egress, tuple[tuple[str, Remark], ...], tuple[Notification, ...]]:
    """Every sandbox of the launch, in the order of the file; the lines without effect (sandbox or policy, remark); and what
    was not done, if anything was not. Raises LimitError for more containers than can be judged beside each other."""
    sandboxes: list[SandboxReach] = []
    remarks: list[tuple[str, Remark]] = list(without_effect.of_cluster(launch, asked.assumed))
    wanted = [s for s in sandboxes_of(launch) if not asked.sandboxes or name_of(s) in asked.sandboxes]
    _few_enough(launch, sum(isinstance(one, Container) for one in wanted))
    sought: dict[tuple[object, ...], None] = {}
    without_cut = 0
    for sandbox in wanted:
        name = name_of(sandbox)
        graph = graph_of(launch, sandbox, asked)
        found = answers(graph)
        cuts: tuple[Cut, ...] = ()
        if asked.cuts:
            alike = tuple((a.verdict, a.direct, a.allows) for a in found)
            if len(wanted) <= CUTS or (alike not in sought and len(sought) < CUTS):
                cuts = _cuts(launch, sandbox, graph, found, asked)
            else:
                without_cut += any(a.destination in asked.closes and a.verdict is not Verdict.CLOSED for a in found)
            sought.setdefault(alike)
        inventory = asked.inventories.get(name, asked.inventories.get(""))
        found = with_tools(found, inventory)
        remarks += ((name, r) for r in _remarks(sandbox, found, asked.assumed))
        if len(wanted) > WHOLE:
            graph = replace(graph, nodes=graph.nodes[:1], edges=(), barriers=(), actions=(), siblings=())
            found = tuple(_in_brief(a) for a in found)
        image = _image(sandbox)
        reach = SandboxReach(
            name,
            sandbox.kind,
            sandbox.origin,
            graph,
            found,
            cuts,
            questions(found, inventory, _accelerator(sandbox)),
            image.value if image is not None else None,
        )
        sandboxes.append(reach)
    taken = tuple(sorted(asked.assumed.values.items()))
    egress = Egress(launch.files, launch.format, launch.runner, taken, tuple(sandboxes))
    notes: tuple[Notification, ...] = ()
    if len(wanted) > WHOLE:
        words = f"of more than {WHOLE} sandboxes the plainest path to each destination is reported and no graph; name those to see whole (--sandbox)"
        notes = (Notification("egress", Level.NOTE, words),)
    if without_cut:
        words = f"a cut was sought for one sandbox of each kind of reach: {without_cut:,} that reach the same, or more kinds, have none; name one (--sandbox) for its own"
        notes = (*notes, Notification("egress", Level.NOTE, words))
    return egress, tuple(dict.fromkeys(remarks)), notes


def _few_enough(launch: Launch, wanted: int) -> None:
    count = len(launch.containers)
    where = f"{launch.files[0]}: " if launch.files else ""
    if count > MOST:
        raise LimitError(f"{where}{count:,} containers; more than {MOST:,} of one launch are not judged")
    if wanted * count > PAIRS:
        raise LimitError(
            f"{where}{count:,} containers are too many to judge each beside all others; say whose reach is meant (--sandbox)"
        )


def _in_brief(answer: Answer) -> Answer:
    left_out = answer.paths_left_out + max(len(answer.paths) - 1, 0)
    return replace(answer, paths=answer.paths[:1], because=answer.because[:1], paths_left_out=left_out)


def sandboxes_of(launch: Launch) -> tuple[Sandbox, ...]:
    return (*launch.containers, *(launch.cluster.pods if launch.cluster is not None else ()), *launch.hosted)


def name_of(sandbox: Sandbox) -> str:
    return f"{sandbox.namespace}/{sandbox.name}" if isinstance(sandbox, Pod) else sandbox.name


def graph_of(launch: Launch, sandbox: Sandbox, asked: Asked) -> Graph:
    """The sandbox's graph by the semantics of its platform."""
    if isinstance(sandbox, Container):
        from scanner.egress.docker.graph import container_graph

        return container_graph(launch, sandbox, asked.assumed, asked.ruleset)
    if isinstance(sandbox, Pod):
        from scanner.egress.kubernetes.graph import pod_graph

        return pod_graph(launch, sandbox, asked.assumed)
    from scanner.egress.hosted import hosted_graph

    return hosted_graph(launch, sandbox, asked.assumed)


def _cuts(launch: Launch, sandbox: Sandbox, graph: Graph, found: Sequence[Answer], asked: Asked) -> tuple[Cut, ...]:
    """One cut for all that is open and can be closed, and one without actions for each that cannot."""
    closes = asked.closes
    if closes == CLOSABLE and isinstance(sandbox, Pod):
        closes = tuple(d for d in closes if d is not Destination.HOST)  # no policy closes a pod's own node
    wanted = [a.destination for a in found if a.destination in closes and a.verdict is not Verdict.CLOSED]
    if not wanted:
        return ()
    rebuild = _rebuild(launch, sandbox, graph, asked)
    whole = cheapest(graph, wanted, rebuild, asked.keep)
    if whole.possible:
        return (whole,)
    if len(wanted) == 1:
        return (whole,)
    alone = {d: cheapest(graph, [d], rebuild, asked.keep) for d in wanted}
    possible = [d for d in wanted if alone[d].possible]
    joint = (cheapest(graph, possible, rebuild, asked.keep),) if possible else ()
    return (*joint, *(alone[d] for d in wanted if not alone[d].possible))


def _rebuild(launch: Launch, sandbox: Sandbox, graph: Graph, asked: Asked) -> Callable[[Sequence[Action]], Graph]:
    """What draws the sandbox's graph anew after edits: of the whole launch, but for a pod of a large cluster of the part of it
    that decides."""
    name = name_of(sandbox)
    alone = Destination.SIBLINGS not in asked.closes and not asked.keep
    if isinstance(sandbox, Pod) and alone and len(sandboxes_of(launch)) > CUTS:
        launch = _about(launch, sandbox, graph)

    def rebuild(actions: Sequence[Action]) -> Graph:
        edited = apply(launch, actions)
        after = next(s for s in sandboxes_of(edited) if type(s) is type(sandbox) and name_of(s) == name)
        return graph_of(edited, after, asked)

    return rebuild


def _about(launch: Launch, pod: Pod, graph: Graph) -> Launch:
    """What of a cluster decides what one pod sends to other than its siblings: itself, whoever passes its traffic on or
    resolves names for it, and the policies that may select them."""
    cluster = launch.cluster
    assert cluster is not None
    passing = {node.id.removeprefix("forwarder:") for node in graph.nodes}
    pods = tuple(p for p in cluster.pods if p is pod or p.namespace in RESOLVERS or name_of(p) in passing)
    namespaces = {None, "", *(p.namespace for p in pods)}
    policies = tuple(p for p in cluster.policies if p.namespace in namespaces)
    return replace(launch, cluster=replace(cluster, pods=pods, policies=policies))


def _remarks(sandbox: Sandbox, found: Sequence[Answer], assumed: Assumed) -> tuple[Remark, ...]:
    if isinstance(sandbox, Container):
        return tuple(without_effect.of_container(sandbox, found, assumed))
    if isinstance(sandbox, Pod):
        return tuple(without_effect.of_pod(sandbox, found))
    return tuple(without_effect.of_hosted(sandbox, found))


def _image(sandbox: Sandbox) -> Said[str] | None:
    if isinstance(sandbox, Pod):
        return next((c.image for c in sandbox.containers if not c.init), None)
    return sandbox.image


def _accelerator(sandbox: Sandbox) -> str | None:
    """What a miner would run on besides the processors."""
    parts = [c.confinement for c in sandbox.containers] if isinstance(sandbox, Pod) else [sandbox.confinement]
    for confinement in parts:
        if confinement.gpus is not None:
            return f"GPUs that the launch grants ({confinement.gpus.value})"
        device = next(
            (d.value for d in confinement.devices if d.value.startswith(("/dev/nvidia", "/dev/dri", "/dev/kfd"))), None
        )
        if device is not None:
            return f"device {device}"
    return None
