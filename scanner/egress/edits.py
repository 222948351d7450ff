"""Edits applied to a launch: what a person would change in the file, done to the values, so that they can be judged again.

An action's `edit` names one object (`network:KEY`, `container:NAME`, `hosted:NAME`, `pod:NAMESPACE/NAME`, `policy:…`), a field of it and

- `set`: the field becomes `value`;
- `remove`: the element at `index` of the field goes (several removals of one field count their indexes in the file as it stands);
- `add`: `value` joins the field.

Fields are those of the values in `scanner.model.launch`; a field of a container's or pod's confinement is found there.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from scanner.model import (
    Attachment,
    Confinement,
    Container,
    Default,
    Hosted,
    Launch,
    Network,
    Peer,
    PodContainer,
    Policy,
    PolicyRule,
    PortRange,
    Said,
    Selector,
    Tier,
    Verb,
)
from scanner.model.egress import Action
from scanner.model.evidence import Json

EDIT = Default("the edit")


def apply(launch: Launch, actions: Iterable[Action]) -> Launch:
    """The launch after the edits. Raises KeyError for an object or field that it does not have: a mistake of whoever made the action."""
    removals: dict[tuple[str, str], set[int]] = {}
    for action in actions:
        edit = action.edit
        if edit["op"] == "remove":
            removals.setdefault((str(edit["object"]), str(edit["field"])), set()).add(_index(edit))
        elif edit["op"] == "set":
            launch = _on(launch, str(edit["object"]), str(edit["field"]), edit.get("value"), None)
        elif edit["op"] == "add" and edit["object"] == "policy":
            launch = _with_policy(launch, edit)
        elif edit["op"] == "add":
            launch = _on(launch, str(edit["object"]), str(edit["field"]), edit.get("value"), ())
        else:
            raise KeyError(f"no edit {edit['op']!r}")
    for (where, field), indexes in sorted(removals.items()):
        launch = _on(launch, where, field, None, tuple(sorted(indexes)))
    return launch


def _index(edit: Mapping[str, Json]) -> int:
    index = edit.get("index")
    if not isinstance(index, int):
        raise KeyError("a removal needs an index")
    return index


def _on(launch: Launch, where: str, field: str, value: Json, indexes: tuple[int, ...] | None) -> Launch:
    """`indexes` None sets, () adds, else removes."""
    kind, _, name = where.partition(":")

    def changed(one: Any) -> Any:
        return _changed(one, field, value, indexes)

    if kind == "network":
        return replace(launch, networks=_each(launch.networks, lambda n: n.key == name, changed, where))
    if kind == "container":
        return replace(launch, containers=_each(launch.containers, lambda c: c.name == name, changed, where))
    if kind == "hosted":
        return replace(launch, hosted=_each(launch.hosted, lambda h: h.name == name, changed, where))
    cluster = launch.cluster
    if cluster is None:
        raise KeyError(where)
    if kind == "pod":
        namespace, _, rest = name.partition("/")
        pod, _, container = rest.partition("/")
        if container:

            def in_pod(one: Any) -> Any:
                return replace(one, containers=_each(one.containers, lambda c: c.name == container, changed, where))

        else:
            in_pod = changed
        pods = _each(cluster.pods, lambda p: p.namespace == namespace and p.name == pod, in_pod, where)
        return replace(launch, cluster=replace(cluster, pods=pods))
    if kind == "policy":
        policies = _each(cluster.policies, lambda p: policy_id(p) == name, changed, where)
        return replace(launch, cluster=replace(cluster, policies=policies))
    raise KeyError(where)


def policy_id(policy: Policy) -> str:
    """`Kind/namespace/name`, the namespace empty for what has none."""
    return f"{policy.kind}/{policy.namespace or ''}/{policy.name}"


def _each(values: Sequence[Any], is_it: Any, changed: Any, where: str) -> tuple[Any, ...]:
    if not any(is_it(v) for v in values):
        raise KeyError(where)
    return tuple(changed(v) if is_it(v) else v for v in values)


def _changed(one: Any, field: str, value: Json, indexes: tuple[int, ...] | None) -> Any:
    names = {f.name for f in fields(one)}
    if field not in names:
        if isinstance(one, Container | Hosted | PodContainer) and field in {f.name for f in fields(Confinement)}:
            return replace(one, confinement=_changed(one.confinement, field, value, indexes))
        if isinstance(one, Network) and field.startswith("com.docker."):
            return replace(
                one, options=(*((k, v) for k, v in one.options if k != field), (field, Said(str(value), EDIT)))
            )
        raise KeyError(f"{type(one).__name__}.{field}")
    before = getattr(one, field)
    if indexes is None:
        return _reset(one, field, _value(before, field, value))
    if indexes == ():
        return replace(one, **{field: (*before, _value(before[0] if before else None, field, value))})
    dropped = frozenset(indexes)
    after = tuple(v for n, v in enumerate(before) if n not in dropped)
    if isinstance(one, Container) and field == "attachments" and not after:
        return replace(one, attachments=(), network_mode=Said("none", EDIT))
    return replace(one, **{field: after})


def _reset(one: Any, field: str, value: Any) -> Any:
    if isinstance(one, Container) and field == "network_mode":
        mode = value.value
        kept = one.attachments if mode == "networks" else (Attachment("bridge", EDIT),) if mode == "bridge" else ()
        return replace(one, network_mode=value, attachments=kept)
    return replace(one, **{field: value})


def _value(before: Any, field: str, value: Json) -> Any:
    if isinstance(before, tuple) or (before is None and isinstance(value, list | tuple)):
        return tuple(Said(v, EDIT) for v in value) if isinstance(value, list | tuple) else ()
    if isinstance(before, str | int) and not isinstance(before, bool):
        return value
    return None if value is None and field != "seccomp" else Said(value, EDIT)


def _with_policy(launch: Launch, edit: Mapping[str, Json]) -> Launch:
    """A NetworkPolicy for one pod (`namespace`, `labels`) that lets only `allow` out: (cidr, port) pairs, none by default."""
    cluster = launch.cluster
    if cluster is None:
        raise KeyError("policy")
    labels = edit.get("labels")
    pairs = tuple(sorted((str(k), str(v)) for k, v in labels.items())) if isinstance(labels, Mapping) else ()
    allow = edit.get("allow")
    rules = tuple(
        PolicyRule(Verb.ALLOW, (Peer(cidr=str(cidr)),), (PortRange("TCP", int(str(port)), int(str(port))),), EDIT)
        for cidr, port in (allow if isinstance(allow, list | tuple) else ())
    )
    policy = Policy(
        "NetworkPolicy",
        str(edit.get("name", "deny-egress")),
        str(edit["namespace"]),
        Tier.NETWORK,
        Selector(pairs),
        None,
        rules,
        EDIT,
    )
    return replace(launch, cluster=replace(cluster, policies=(*cluster.policies, policy)))
