"""How one Compose file overrides another: mappings merge, lists grow, some lists are keyed, some values are replaced.

Source: the Compose specification, "Merge"; the few cases that it leaves open are as Compose 2.29 does them.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from scanner.launch.composing.shorts import canonical_service, volume
from scanner.launch.composing.tree import Budget, Tree, broken, mapping, scalar, sequence

Path = tuple[str, ...]
"""Where a value stands; the names of services, networks and the like are `*`."""

_USER_NAMED = frozenset(("services", "networks", "volumes", "secrets", "configs", "models"))


def _below(path: Path, key: str) -> Path:
    if len(path) == 1 and path[0] in _USER_NAMED:
        return (path[0], "*")
    if len(path) == 3 and path[2] in ("networks", "ulimits", "models"):
        return (*path, "*")
    return (*path, key)


def merge(base: Tree, over: Tree, path: Path = ()) -> Tree:
    """`over` on top of `base`. Raises ParseError where the two have different shapes."""
    special = _SPECIAL.get(path)
    if special is not None:
        return special(base, over)
    if over.is_null:
        return base
    if base.is_null:
        return over
    if base.fields is not None:
        if over.fields is None:
            raise broken(over, f"{'.'.join(path[-1:])} is a mapping at {base.place}, and cannot be overridden by this")
        return _merge_fields(base, over, path)
    if base.items is not None:
        if over.items is None:
            raise broken(over, f"{'.'.join(path[-1:])} is a list at {base.place}, and cannot be overridden by this")
        return sequence(base.items + over.items, over)
    return over


def merge_service(base: Tree, over: Tree) -> Tree:
    """One service on top of another, as extends does it."""
    return merge(base, over, ("services", "*"))


def _merge_fields(base: Tree, over: Tree, path: Path) -> Tree:
    fields = dict(base.fields or {})
    for key, value in over.pairs():
        merges = key in fields and not key.startswith("x-")
        fields[key] = merge(fields[key], value, _below(path, key)) if merges else value
    return replace(mapping(fields, base), node=over.node, key=over.key)


def _replaced(_: Tree, over: Tree) -> Tree:
    return over


def _as_mappings(path: Path) -> Callable[[Tree, Tree], Tree]:
    """Both brought to a mapping first."""

    def merged(base: Tree, over: Tree) -> Tree:
        if base.is_null or over.is_null:
            return over if base.is_null else base
        return _merge_fields(_written_out(base, path[-1]), _written_out(over, path[-1]), path)

    return merged


def _written_out(value: Tree, key: str) -> Tree:
    written = canonical_service(mapping({key: value}, value), Budget()).get(key)
    if written is None or written.fields is None:
        raise broken(value, f"{key} is neither a list nor a mapping here")
    return written


def _appended(base: Tree, over: Tree) -> Tree:
    """Both as lists of KEY=VALUE, one after the other."""
    return sequence(_as_list(base) + _as_list(over), base if over.is_null else over)


def _as_list(value: Tree) -> tuple[Tree, ...]:
    if value.fields is None:
        return value.each()
    found: list[Tree] = []
    for key, one in sorted(value.fields.items()):
        if one.is_null:
            found.append(Tree(one.node, text=key, quoted=True))
        for each in one.each():
            found.append(scalar(f"{key}={each.string()}", each))
    return tuple(found)


def _logging(base: Tree, over: Tree) -> Tree:
    drivers = [d.string() for d in (base.get("driver"), over.get("driver")) if d is not None]
    if base.fields is None or over.fields is None or len(set(drivers)) > 1:
        return over
    return _merge_fields(base, over, _service("logging"))


def _ipam_config(base: Tree, over: Tree) -> Tree:
    """Subnets are keyed, and each of the overriding file's meets each of the base's; a base's that meets none is gone."""
    result: list[dict[str, Tree]] = []
    for original in base.items or ():
        right = dict(original.fields or {})
        for one in over.items or ():
            left = one.fields or {}
            known = [_subnet(r) for r in result]
            if _subnet(left) != _subnet(right) and _subnet(left) not in known:
                result.append(dict(left))
                continue
            right = {**right, **left}
            if _subnet(right) in known:
                result[known.index(_subnet(right))] = right
            else:
                result.append(right)
    return sequence(tuple(mapping(fields, over) for fields in result), over)


def _subnet(fields: Mapping[str, Tree]) -> str | None:
    return fields["subnet"].string() if "subnet" in fields else None


def _service(*keys: str) -> Path:
    return ("services", "*", *keys)


_SPECIAL: Mapping[Path, Callable[[Tree, Tree], Tree]] = {
    ("networks", "*", "ipam", "config"): _ipam_config,
    ("networks", "*", "labels"): _appended,
    ("volumes", "*", "labels"): _appended,
    _service("build"): _as_mappings(_service("build")),
    _service("command"): _replaced,
    _service("depends_on"): _as_mappings(_service("depends_on")),
    _service("entrypoint"): _replaced,
    _service("healthcheck", "test"): _replaced,
    _service("logging"): _logging,
    _service("models"): _as_mappings(_service("models")),
    _service("networks"): _as_mappings(_service("networks")),
    _service("ulimits", "*"): _replaced,
    **{
        _service(*key.split(".")): _appended
        for key in (
            "annotations build.args build.additional_contexts build.extra_hosts build.labels deploy.labels dns dns_opt "
            "dns_search env_file environment extra_hosts label_file labels sysctls tmpfs"
        ).split()
    },
}


# ---- lists whose elements have a key: of those with the same, the last one counts, where the first one stood


def unique(value: Tree, path: Path = ()) -> Tree:
    """The value with the keyed lists in it made unique."""
    if value.fields is not None:
        changed = {
            key: made
            for key, one in value.fields.items()
            if (one.fields is not None or one.items is not None) and (made := unique(one, _below(path, key))) is not one
        }
        return replace(mapping({**value.fields, **changed}, value), node=value.node) if changed else value
    if value.items is None or path not in _KEYED or len(value.items) < 2:
        return value
    keyed: dict[str, Tree] = {}
    for one in value.items:
        keyed[_KEYED[path](one)] = one
    return sequence(tuple(keyed.values()), value) if len(keyed) < len(value.items) else value


def _by_name(one: Tree) -> str:
    return one.string().partition("=")[0]


def _by_text(one: Tree) -> str:
    return one.string()


def _field(one: Tree, key: str, default: str = "") -> str:
    value = one.get(key)
    return default if value is None else value.string()


def _by_volume(one: Tree) -> str:
    return _field(volume(one), "target")


def _by_device(one: Tree) -> str:
    if one.fields is not None:
        return _field(one, "target", _field(one, "source"))
    pieces = one.string().split(":")
    return pieces[1] if len(pieces) > 1 else pieces[0]


def _by_mount(folder: str) -> Callable[[Tree], str]:
    def key(one: Tree) -> str:
        if one.fields is None:
            return f"{folder}/{one.string()}"
        return _field(one, "target") or f"{folder}/{_field(one, 'source')}"

    return key


def _by_path(one: Tree) -> str:
    return one.string() if one.fields is None else _field(one, "path")


def _by_port(one: Tree) -> str:
    if one.fields is None:
        return one.string()
    return (
        f"{_field(one, 'host_ip', '0.0.0.0')}:{_field(one, 'published', '-')}:"  # noqa: S104 - a key, not a socket
        f"{_field(one, 'target')}/{_field(one, 'protocol', 'tcp')}"
    )


_KEYED: Mapping[Path, Callable[[Tree], str]] = {
    ("networks", "*", "labels"): _by_name,
    _service("configs"): _by_mount(""),
    _service("devices"): _by_device,
    _service("env_file"): _by_path,
    _service("expose"): _by_text,
    _service("networks", "*", "aliases"): _by_name,
    _service("networks", "*", "link_local_ips"): _by_name,
    _service("ports"): _by_port,
    _service("secrets"): _by_mount("/run/secrets"),
    _service("volumes"): _by_volume,
    **{
        _service(*key.split(".")): _by_name
        for key in (
            "annotations build.args build.additional_contexts build.labels build.tags cap_add cap_drop deploy.labels dns "
            "dns_opt dns_search environment labels links profiles sysctls tmpfs"
        ).split()
    },
}


# ---- !reset and !override

Marks = dict[str, "Marks"]
"""What an overriding document takes away from what came before: a path ends where the mapping is empty."""


def without(value: Tree, marks: Marks) -> Tree:
    """The value less what the marks name; list elements are not named by them."""
    if value.fields is None or not marks:
        return value
    fields: dict[str, Tree] = {}
    for key, one in value.fields.items():
        below = marks.get(key)
        if below is None:
            fields[key] = one
        elif below:
            fields[key] = without(one, below)
    return mapping(fields, value)
