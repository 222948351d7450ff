"""Variables in Compose files, as compose-spec's interpolation has them: $X, ${X}, ${X:-d}, ${X-d}, ${X:?e}, ${X:+a}, $$.

A variable that nobody set has no value here: Compose takes an empty string and warns, but whoever launches the project may
set it, so that `${X}` stays in the text and the name is told. Nothing is ever run: `$(…)` is no variable, an error.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from scanner.errors import LimitError, ParseError
from scanner.model.launch import Place

Lookup = Callable[[str], "str | None"]
"""The value of a variable, None if it is not set."""

_REFERENCE = re.compile(r"\$(?:(?P<escaped>\$)|(?P<named>[A-Za-z_][A-Za-z0-9_]*)|\{(?P<braced>[A-Za-z_][A-Za-z0-9_]*))")
_BRACE = re.compile("[{}]")
DEPTH = 32
LONGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class Substituted:
    text: str
    unknown: tuple[str, ...] = ()


def substitute(template: str, lookup: Lookup, place: Place, depth: int = 0) -> Substituted:
    """The text with its variables' values, and the names of those that are not set.

    Raises ParseError for a `$` that begins no variable, a `:?` variable that is set and empty; LimitError.
    """
    if "$" not in template:
        return Substituted(template)
    if depth > DEPTH:
        raise LimitError(f"{place}: more than {DEPTH} variables within each other's defaults")
    parts: list[str] = []
    unknown: dict[str, None] = {}
    at = length = 0
    while True:
        dollar = template.find("$", at)
        parts.append(template[at : dollar if dollar >= 0 else len(template)])
        length += len(parts[-1])
        if dollar < 0:
            break
        found = _REFERENCE.match(template, dollar)
        if found is None:
            raise ParseError(f"{place}: a $ begins no variable here; a plain one is written $$")
        at = found.end()
        if found["escaped"]:
            value = Substituted("$")
        elif found["named"]:
            value = _value(found["named"], lookup)
        else:
            at = _closing(template, dollar, place) + 1
            value = _braced(found["braced"], template[found.end() : at - 1], lookup, place, depth)
        parts.append(value.text)
        length += len(value.text)
        unknown.update(dict.fromkeys(value.unknown))
        if length > LONGEST:
            raise LimitError(f"{place}: variables expand to more than {LONGEST >> 20} MiB")
    return Substituted("".join(parts), tuple(unknown))


def _closing(template: str, dollar: int, place: Place) -> int:
    """Where the braces that open at the dollar close; where they do not, the line's last brace."""
    depth = 0
    for brace in _BRACE.finditer(template, dollar):
        depth += 1 if brace.group() == "{" else -1
        if depth == 0:
            return brace.start()
    last = template.rfind("}", dollar)
    if last < 0:
        raise ParseError(f"{place}: ${{ has no closing brace; a plain $ is written $$")
    return last


def _value(name: str, lookup: Lookup) -> Substituted:
    value = lookup(name)
    return Substituted(f"${{{name}}}", (name,)) if value is None else Substituted(value)


def _braced(name: str, rest: str, lookup: Lookup, place: Place, depth: int) -> Substituted:
    if not rest:
        return _value(name, lookup)
    colon = rest.startswith(":")
    operator, word = rest[colon : colon + 1], rest[colon + 1 :]
    if operator not in ("-", "?", "+"):
        raise ParseError(f"{place}: ${{{name}… is followed by what Compose does not know; a plain $ is written $$")
    value = lookup(name)
    absent = value is None or (colon and value == "")
    if operator == "+":
        return Substituted(value or "") if absent else substitute(word, lookup, place, depth + 1)
    if not absent:
        return Substituted(value or "")
    if operator == "-":
        return substitute(word, lookup, place, depth + 1)
    if value is None:
        return _value(name, lookup)
    raise ParseError(f"{place}: the variable {name} must not be empty here")
