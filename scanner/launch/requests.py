"""What the small formats of the agent world share: one mapping somewhere in JSON, YAML or TOML, its values with their places."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

from scanner.errors import ParseError, ScannerError
from scanner.launch.document import Node, read_json, read_yaml
from scanner.launch.plugin import Format, Input, ReadOptions
from scanner.launch.tomltext import read_toml, toml_lines, toml_of
from scanner.model import Hosted, HostRule, Launch, Origin, Place, Said, printable

DEPTH = 4
"""How deep in a document a sandbox's settings are looked for."""
LOOKED_AT = 100_000
"""Values that are looked at to find them."""
_OTHERS = ("apiVersion", "services", "swagger", "openapi", "$defs", "dependencies")
"""Keys of documents that are something else, whatever they hold further in."""


def documents(given: Input) -> tuple[Node, ...]:
    """The input's documents, whichever language it is in; none of what is broken. Never raises."""
    toml = toml_of(given)
    if toml is not None:
        return (toml,)
    try:
        found = given.documents
    except ScannerError:
        return ()
    # broken TOML may well be one long string of YAML
    return () if toml_lines(given.text) and all(one.text is not None for one in found) else found


def required(given: Input) -> tuple[Node, ...]:
    """The same, at least one; raises ParseError or LimitError for what is broken."""
    if toml_lines(given.text):
        return (read_toml(given.text, given.name),)
    if given.text.lstrip("\ufeff \t\r\n")[:1] in ("{", "["):
        return (read_json(given.text, given.name),)
    found = tuple(read_yaml(given.text, given.name))
    if not found:
        raise ParseError(f"{given.name}:1:1: there is nothing in it")
    return found


def settings(node: Node, wanted: Callable[[Node], bool]) -> Iterator[tuple[str | None, Node]]:
    """(the key it stands under, the mapping) for each mapping that is wanted, outermost first; none within one found."""
    if node.is_map and any(node.get(key) is not None for key in _OTHERS):
        return
    waiting: list[tuple[str | None, Node, int]] = [(None, node, 0)]
    seen = 0
    while waiting:
        name, value, depth = waiting.pop(0)
        seen += 1
        if value.is_map and wanted(value):
            yield name, value
            continue
        if depth >= DEPTH or seen > LOOKED_AT:
            continue
        if value.pairs is not None:
            waiting += [(key, inner, depth + 1) for key, _, inner in value.items() if inner.text is None]
        waiting += [(name, inner, depth + 1) for inner in value.elements or () if inner.text is None]


def either(node: Node, *keys: str) -> Node | None:
    """The value of the first of some spellings that is there and not null."""
    found = (node.get(key) for key in keys)
    return next((value for value in found if value is not None and not value.is_null), None)


def flag(node: Node | None) -> Said[bool] | None:
    """A boolean; raises ParseError for a value that is none."""
    if node is None or node.is_null:
        return None
    value = node.flag()
    if value is None:
        raise wrong(node, "true or false is meant")
    return Said(value, node.place)


def text(node: Node | None) -> Said[str] | None:
    if node is None or node.is_null:
        return None
    if node.text is None:
        raise wrong(node, "a text is meant")
    return Said(node.text, node.place)


def texts(node: Node | None, commas: bool = False) -> tuple[Said[str], ...]:
    """The strings of a list, or one; where `commas` part them, of one text too. Raises ParseError for anything else."""
    if node is None or node.is_null:
        return ()
    if node.text is not None:
        parts = node.text.split(",") if commas else [node.text]
        return tuple(Said(part.strip(), node.place) for part in parts if part.strip())
    if node.elements is None:
        raise wrong(node, "a list is meant")
    found = []
    for one in node.elements:
        if one.text is None or not one.text.strip() or one.is_null:
            raise wrong(one, "a text is meant")
        found.append(Said(one.text.strip(), one.place))
    return tuple(found)


def wrong(node: Node, what: str) -> ParseError:
    return ParseError(
        f"{node.place}: {what}" + (f", not {printable(node.text, 60)!r}" if node.text is not None else "")
    )


_PORTED = re.compile(r"\[(?P<six>[0-9A-Fa-f:.]+)\](?::(?P<six_port>\d{1,5}))?|(?P<host>[^:/\s]+):(?P<port>\d{1,5})")


def host_and_port(said: str) -> tuple[str, tuple[tuple[int, int], ...]]:
    """`name`, `name:443` and `[::1]:443` apart."""
    found = _PORTED.fullmatch(said)
    if found is None:
        return said, ()
    host, port = found["six"] or found["host"], found["six_port"] or found["port"]
    return host, ((int(port), int(port)),) if port and 0 < int(port) < 65536 else ()


def rule(allow: bool, said: Said[str], protocol: str = "any") -> HostRule:
    """A host of a list, with its port if it says one; what is written as a URL counts as its host."""
    written = re.sub(r"^[A-Za-z][A-Za-z0-9+.-]*://", "", said.value)
    host, ports = host_and_port(written.split("/")[0] if "://" in said.value else written)
    return HostRule(allow, host.lower(), said.origin, ports, protocol)


def unique(names: Iterable[str]) -> tuple[str, ...]:
    """The names, a number after those that were there before."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name} #{seen[name]}")
    return tuple(result)


def mentions(given: Input, keys: Sequence[str]) -> bool:
    """Whether a broken input was to be this: one of the keys stands in it as one."""
    named = "|".join(map(re.escape, keys))
    return re.search(rf"""(?:^|[\s{{,])["']?(?:{named})["']?\s*[:=]""", given.text[: 1 << 18]) is not None


def settled(value: Any, file: str, origin: Origin) -> Any:
    """A value of the model in which all places of a file that no user wrote are what they are: another's default."""
    if isinstance(value, Place):
        return origin if value.file == file else value
    if isinstance(value, tuple):
        return tuple(settled(one, file, origin) for one in value)
    if is_dataclass(value) and not isinstance(value, type):
        given = ((f.name, getattr(value, f.name)) for f in fields(value))
        return replace(value, **{name: settled(one, file, origin) for name, one in given if one is not None})
    return value


def request_format(
    name: str,
    summary: str,
    keys: Sequence[str],
    wanted: Callable[[Node], bool],
    sandbox: Callable[[str | None, Node], Hosted],
) -> Format:
    """The format of a provider's requests: each wanted mapping of a document is one sandbox. `keys` tell broken files."""

    def recognises(given: Input) -> bool:
        found = documents(given)
        if not found:
            return mentions(given, keys)
        return any(next(settings(one, wanted), None) is not None for one in found)

    def read(inputs: Sequence[Input], options: ReadOptions) -> Launch:
        del options  # nothing of the environment goes into a request
        found = [
            sandbox(key, node) for given in inputs for one in required(given) for key, node in settings(one, wanted)
        ]
        hosted = tuple(
            replace(one, name=named) for one, named in zip(found, unique(s.name for s in found), strict=True)
        )
        return Launch(name, tuple(i.name for i in inputs), name, hosted=hosted)

    return Format(name, summary, recognises, read)
