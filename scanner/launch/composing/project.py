"""A merged project and what reading it for containers shares: what is unknown, how values are looked up."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scanner.launch.composing.interpolation import Lookup
from scanner.launch.composing.loading import Session
from scanner.launch.composing.tree import Tree, broken, shown
from scanner.model.launch import Default, Missing, Network, Origin

COMPOSE = Default("compose")
DOCKER = Default("docker")


@dataclass(slots=True)
class Project:
    """A merged project. `name` None: what it is called is not known. `directory` None: it lies in no folder."""

    tree: Tree
    name: str | None
    directory: Path | None
    lookup: Lookup
    profiles: tuple[str, ...]
    session: Session
    networks: dict[str, Network] = field(default_factory=dict)
    made: tuple[str, ...] = ()
    """The networks that services join by name, before those that a network_mode names."""

    def group(self, kind: str) -> Mapping[str, Tree]:
        group = self.tree.get(kind)
        return group.fields if group is not None and group.fields is not None else {}


def why_missing(names: Iterable[str], what: str, origin: Origin) -> tuple[Missing, ...]:
    """`what` hangs on each of these variables, which nobody set."""
    return tuple(
        Missing(f"env.{name}", f"{what} hangs on the variable {name}, which is not set", origin) for name in names
    )


class Open:
    """What unset variables leave open about one container, each variable once."""

    def __init__(self) -> None:
        self.found: dict[str, Missing] = {}

    def add(self, missing: Iterable[Missing]) -> None:
        for one in missing:
            self.found.setdefault(one.key, one)

    def unknown(self, value: Tree, what: str) -> bool:
        """Whether the value hangs on an unset variable, which is then noted."""
        self.add(why_missing(value.unknown, what, value.place))
        return bool(value.unknown)


def items(service: Tree, key: str) -> tuple[Tree, ...]:
    """The elements of a list, or the one value that stands in its place."""
    value = service.get(key)
    return value.each() if value is not None else ()


def filled(service: Tree, key: str) -> Tree | None:
    """The value of a key, None if it is an empty string."""
    value = service.get(key)
    return value if value is not None and value.string() else None


def fields(service: Tree, key: str) -> Iterator[tuple[str, Tree]]:
    """The pairs of a mapping."""
    value = service.get(key)
    if value is not None:
        yield from value.pairs()


def truth(value: Tree, what: str) -> bool:
    """The boolean that a value is. Raises ParseError for one that is none."""
    flag = value.flag()
    if flag is None:
        raise broken(value, f"{what} is {shown(value.string())!r}, which is neither true nor false")
    return flag


def is_true(value: Tree | None) -> bool:
    return value is not None and not value.unknown and value.flag() is True


def name_of(service: Tree) -> str | None:
    name = service.get("container_name")
    return name.string() if name is not None else None
