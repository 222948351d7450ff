"""The list `ignore:` as Ignore values: each names what it is about, says why, and ends."""

import re
from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING

from scanner import globs
from scanner.model import Ignore
from scanner.settings.loading import hint, wrong

if TYPE_CHECKING:
    from scanner.launch.document import Node

ENTRIES = 1000
KEYS = ("rule", "path", "image", "fingerprint", "reason", "expires")
FINGERPRINT = "[0-9a-f]{16,64}"
DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
ANYTHING = r"^(?:[*?/]|\[(?:[!^][\s\S][^\]]*|[^!^][^\]-]*-[^\]]*)\])*(?![\s\S])"
"""Globs that name nothing: signs for whatever stands there, and sets of whatever is outside of them or lies in a range."""


def ignores(node: "Node", scalar: "Callable[[Node], object]") -> tuple[Ignore, ...]:
    """The entries; `scalar` reads a value in the file's language. Raises UsageError with file:line:column."""
    if node.is_null and not node.quoted:
        return ()
    if node.elements is None or node.tag is not None:
        raise wrong(node, "'ignore' is a list of entries, each with a reason and a date")
    if len(node.elements) > ENTRIES:
        raise wrong(node, f"more than {ENTRIES} entries; write a baseline with --write-baseline")
    return tuple(_entry(one, scalar) for one in node.elements)


def _entry(node: "Node", scalar: "Callable[[Node], object]") -> Ignore:
    if not node.is_map or node.tag is not None:
        raise wrong(node, f"an entry is a mapping of {', '.join(KEYS)}")
    said: dict[str, str] = {}
    for name, at, value in node.items():
        if name not in KEYS:
            raise wrong(at, f"an entry has no key {name!r}{hint(name, KEYS)}")
        if name == "expires":
            continue
        text = scalar(value)
        if not isinstance(text, str) or not text.strip():
            raise wrong(value, f"{name!r} is a text, and not empty")
        if name in ("rule", "path", "image"):
            try:
                globs.of(text)
            except ValueError as e:
                raise wrong(value, f"{name!r}: {e}") from e
        elif name == "fingerprint" and not re.fullmatch(FINGERPRINT, text):
            raise wrong(value, "'fingerprint' is the fingerprint of a finding, or its first 16 digits or more")
        said[name] = text
    if "reason" not in said:
        raise wrong(node, "an entry says why: reason is missing")
    expires = node.get("expires")
    if expires is None:
        raise wrong(node, "an entry ends: expires is missing (the last day on which it holds, such as 2027-06-30)")
    if not any(key in said for key in ("rule", "path", "fingerprint")):
        raise wrong(node, "an entry names a rule, a path or a fingerprint")
    if "fingerprint" not in said and all(re.match(ANYTHING, said.get(key, "")) for key in ("rule", "path")):
        raise wrong(node, "an entry that names everything would hide everything; name a rule, a path or a fingerprint")
    place = f"{node.file}:{node.line}"
    return Ignore(said.pop("reason").strip(), _date(expires), place, **said)


def _date(node: "Node") -> date:
    """YYYY-MM-DD (RFC 3339, full-date), quoted or not: YAML and TOML have dates of their own, which are written alike."""
    if node.text is not None and node.tag is None and re.fullmatch(DATE, node.text):
        try:
            return date.fromisoformat(node.text)
        except ValueError as e:
            raise wrong(node, f"'expires': {node.text} is no day of the calendar") from e
    raise wrong(node, "'expires' is a date, written 2027-06-30")
