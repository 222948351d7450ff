"""Values of manifests read strictly: what is not of the type that the API takes is an error with its place."""

import re

from scanner.errors import ParseError
from scanner.launch.document import Node
from scanner.model import Said, Selector, printable

OPERATORS = frozenset(("In", "NotIn", "Exists", "DoesNotExist"))
Fields = dict[str, Node]


def broken(node: Node, what: str) -> ParseError:
    return ParseError(f"{node.place}: {what}")


def fields(node: Node | None, what: str) -> Fields:
    """The fields of an object that are not null; nothing of one that is absent. `what` names it in the error."""
    if node is None or node.is_null:
        return {}
    if node.pairs is None:
        raise broken(node, f"{what} has to be a mapping")
    return {name.text or "": value for name, value in node.pairs if not value.is_null}


def elements(node: Node | None, what: str) -> tuple[Node, ...]:
    """The elements of a list; none of one that is absent."""
    if node is None or node.is_null:
        return ()
    if node.elements is None:
        raise broken(node, f"{what} has to be a list")
    return node.elements


def text(node: Node, what: str) -> str:
    if node.text is None or node.is_null:
        raise broken(node, f"{what} has to be text")
    return node.text


def optional(node: Node | None, what: str) -> str | None:
    return None if node is None else text(node, what)


def number(node: Node, what: str, first: int, last: int) -> int:
    value = node.integer()
    if value is None or not first <= value <= last:
        raise broken(
            node, f"{what} has to be a number from {first} to {last}, not {printable(node.text or 'that', 40)}"
        )
    return value


def flag(node: Node | None, what: str) -> Said[bool] | None:
    if node is None:
        return None
    value = node.flag()
    if value is None:
        raise broken(node, f"{what} has to be true or false")
    return Said(value, node.place)


def said(node: Node | None, what: str) -> Said[str] | None:
    return None if node is None else Said(text(node, what), node.place)


def texts(node: Node | None, what: str) -> tuple[Said[str], ...]:
    return tuple(
        Said(one.text or "", one.place) for one in elements(node, what) if text_or_empty(one, what) is not None
    )


def text_or_empty(node: Node, what: str) -> str:
    """Text that may be empty or look like null: an argument, a label's value."""
    if node.text is None:
        raise broken(node, f"{what} has to be text")
    return "" if node.is_null and not node.quoted else node.text


def labels(node: Node | None, what: str) -> dict[str, str]:
    return {name: text_or_empty(value, what) for name, value in fields(node, what).items()}


def selector(node: Node | None, what: str) -> Selector:
    """A label selector (meta/v1 LabelSelector); an absent one is empty, so that callers ask first whether it is there."""
    given = fields(node, what)
    unknown = given.keys() - {"matchLabels", "matchExpressions"}
    if unknown:
        name = min(unknown)
        raise broken(given[name], f"{what}: {printable(name, 40)} is no part of a selector")
    expressions = []
    for one in elements(given.get("matchExpressions"), f"{what}.matchExpressions"):
        parts = fields(one, "an expression")
        if "key" not in parts or "operator" not in parts:
            raise broken(one, "an expression needs key and operator")
        operator = text(parts["operator"], "operator")
        if operator not in OPERATORS:
            raise broken(parts["operator"], f"operator has to be one of {', '.join(sorted(OPERATORS))}")
        values = tuple(sorted({text_or_empty(v, "a value") for v in elements(parts.get("values"), "values")}))
        if bool(values) != (operator in ("In", "NotIn")):
            raise broken(one, f"{operator} {'needs' if not values else 'takes no'} values")
        expressions.append((text(parts["key"], "key"), operator, values))
    return Selector(
        tuple(sorted(labels(given.get("matchLabels"), f"{what}.matchLabels").items())), tuple(sorted(expressions))
    )


_CIDR = re.compile(r"[0-9A-Fa-f:.]+/\d{1,3}")


def cidr(node: Node, what: str) -> str:
    """A CIDR, as written but checked; host bits are allowed, as the API allows them (and ignores them)."""
    import ipaddress

    written = text(node, what).strip()
    if not _CIDR.fullmatch(written):
        raise broken(node, f"{what}: {printable(written, 60)} is no CIDR")
    try:
        return str(ipaddress.ip_network(written, strict=False))
    except ValueError as e:
        raise broken(node, f"{what}: {printable(written, 60)} is no CIDR") from e
