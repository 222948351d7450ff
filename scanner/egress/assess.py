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
from scanner.model import Container, Hosted, Launch, Pod
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
CUTS = 200
"""Sandboxes with a graph of their own for which a cut is sought; the others share one of these or are left without."""

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


def assess(launch: Launch, asked: Asked) -> tuple[Egress, tuple[tuple[str, Remark], ...]]:
    """Every sandbox of the launch, in the order of the file, and the lines without effect (sandbox or policy, remark)."""
    drawn: dict[tuple[object, ...], tuple[tuple[Answer, ...], tuple[Cut, ...]]] = {}
    sandboxes: list[SandboxReach] = []
    remarks: list[tuple[str, Remark]] = list(without_effect.of_cluster(launch, asked.assumed))
    for sandbox in sandboxes_of(launch):
        name = name_of(sandbox)
        if asked.sandboxes and name not in asked.sandboxes:
            continue
        graph = graph_of(launch, sandbox, asked)
        shape = _shape(graph)
        if shape not in drawn:
            found = answers(graph)
            cuts = _cuts(launch, sandbox, graph, found, asked) if asked.cuts and len(drawn) < CUTS else ()
            drawn[shape] = found, cuts
        found, cuts = drawn[shape]
        inventory = asked.inventories.get(name, asked.inventories.get(""))
        found = with_tools(found, inventory)
        remarks += ((name, r) for r in _remarks(sandbox, found))
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
    return Egress(launch.files, launch.format, launch.runner, taken, tuple(sandboxes)), tuple(dict.fromkeys(remarks))


def sandboxes_of(launch: Launch) -> tuple[Sandbox, ...]:
    return (*launch.containers, *(launch.cluster.pods if launch.cluster is not None else ()), *launch.hosted)


def name_of(sandbox: Sandbox) -> str:
    return f"{sandbox.namespace}/{sandbox.name}" if isinstance(sandbox, Pod) else sandbox.name


def graph_of(launch: Launch, sandbox: Sandbox, asked: Asked) -> Graph:
    """The sandbox's graph by the semantics of its platform."""
    if isinstance(sandbox, Container):
        from scanner.egress.docker import container_graph

        return container_graph(launch, sandbox, asked.assumed, asked.ruleset)
    if isinstance(sandbox, Pod):
        from scanner.egress.kubernetes import pod_graph

        return pod_graph(launch, sandbox, asked.assumed)
    from scanner.egress.hosted import hosted_graph

    return hosted_graph(launch, sandbox, asked.assumed)


def _shape(graph: Graph) -> tuple[object, ...]:
    """What makes two graphs the same but for the name of where they start."""
    start = graph.start

    def named(id: str) -> str:
        return "" if id == start else id

    edges = tuple(replace(e, source=named(e.source), target=named(e.target)) for e in graph.edges)
    return (edges, graph.barriers, graph.siblings, tuple(a.id for a in graph.actions))


def _cuts(launch: Launch, sandbox: Sandbox, graph: Graph, found: Sequence[Answer], asked: Asked) -> tuple[Cut, ...]:
    """One cut for all that is open and can be closed, and one without actions for each that cannot."""
    wanted = [a.destination for a in found if a.destination in asked.closes and a.verdict is not Verdict.CLOSED]
    if not wanted:
        return ()
    rebuild = _rebuild(launch, sandbox, asked)
    whole = cheapest(graph, wanted, rebuild, asked.keep)
    if whole.possible:
        return (whole,)
    if len(wanted) == 1:
        return (whole,)
    alone = {d: cheapest(graph, [d], rebuild, asked.keep) for d in wanted}
    possible = [d for d in wanted if alone[d].possible]
    joint = (cheapest(graph, possible, rebuild, asked.keep),) if possible else ()
    return (*joint, *(alone[d] for d in wanted if not alone[d].possible))


def _rebuild(launch: Launch, sandbox: Sandbox, asked: Asked) -> Callable[[Sequence[Action]], Graph]:
    name = name_of(sandbox)

    def rebuild(actions: Sequence[Action]) -> Graph:
        edited = apply(launch, actions)
        after = next(s for s in sandboxes_of(edited) if type(s) is type(sandbox) and name_of(s) == name)
        return graph_of(edited, after, asked)

    return rebuild


def _remarks(sandbox: Sandbox, found: Sequence[Answer]) -> tuple[Remark, ...]:
    if isinstance(sandbox, Container):
        return tuple(without_effect.of_container(sandbox, found))
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
