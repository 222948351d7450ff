"""YAML configurations as nodes with lines, bounded; JSON is YAML enough."""

from collections.abc import Iterator
from typing import Any

from scanner.errors import ParseError
from scanner.model import printable

DEPTH = 60
NODES = 100_000


def load(text: str, file: str) -> Any:
    """The root node of the first document, None for an empty one. Raises ParseError."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        depth = 0
        for count, event in enumerate(yaml.parse(text, Loader=loader)):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEPTH or count > NODES:
                raise ParseError(f"{file}: a configuration too large or too deep")
        return next(iter(yaml.compose_all(text, Loader=loader)), None)
    except yaml.YAMLError as e:
        raise ParseError(f"{file}: no YAML: {printable(str(e), 120)}") from e
    except (ValueError, UnicodeError) as e:
        raise ParseError(f"{file}: no text: {printable(str(e), 120)}") from e


def pairs(node: Any) -> Iterator[tuple[str, Any]]:
    """Keys with values of a mapping; nothing of anything else."""
    if getattr(node, "id", "") == "mapping":
        for key, value in node.value:
            if key.id == "scalar":
                yield key.value, value


def items(node: Any) -> Iterator[Any]:
    """The elements of a sequence, or the one thing that is none."""
    if getattr(node, "id", "") == "sequence":
        yield from node.value
    elif node is not None:
        yield node


def get(node: Any, *keys: str) -> Any:
    """What a chain of keys leads to."""
    for key in keys:
        node = next((value for name, value in pairs(node) if name == key), None)
    return node


def text(node: Any) -> str | None:
    return str(node.value) if getattr(node, "id", "") == "scalar" else None


def line(node: Any) -> int:
    return int(node.start_mark.line) + 1 if node is not None else 1


def every(node: Any, key: str, depth: int = 0) -> Iterator[Any]:
    """The values of a key wherever it stands."""
    if depth > DEPTH:
        return
    for name, value in pairs(node):
        if name == key:
            yield value
        yield from every(value, key, depth + 1)
    if getattr(node, "id", "") == "sequence":
        for one in node.value:
            yield from every(one, key, depth + 1)
