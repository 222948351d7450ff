"""Edits of a launch as a unified diff of its files: comments and formatting stay, what is not touched is not written anew.

An edit is a change of lines at a place that the file's own tree gives. What stands in flow style on one line is changed within
the line. An edit that has no place in a file (the host's firewall, another engine) is no part of the diff; whoever prints it says so.
"""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from scanner.errors import ParseError
from scanner.launch.document import Node, read_yaml
from scanner.model import Launch, Place, printable
from scanner.model.evidence import Json

Edit = Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Patch:
    """`diff` applies with `patch -p1` and `git apply`; `texts` are the files after it; `left` the edits that no file holds."""

    diff: str
    texts: Mapping[str, str]
    left: tuple[Edit, ...]


def patch(launch: Launch, edits: Sequence[Edit], texts: Mapping[str, str]) -> Patch:
    """The edits as a diff of `texts` (by the names that places give). Raises ParseError for a file that is not YAML."""
    after = dict(texts)
    left: list[Edit] = []
    # from the last line up, so that the places of what is above stay true
    for edit in sorted(_whole(launch, edits), key=lambda e: _line(launch, e), reverse=True):
        done = _done(launch, edit, after)
        if done is None:
            left.append(edit)
        else:
            name, text = done
            after[name] = text
    diff = "".join(_diff(name, texts[name], text) for name, text in sorted(after.items()) if text != texts[name])
    return Patch(diff, {n: t for n, t in after.items() if t != texts[n]}, tuple(reversed(left)))


def _whole(launch: Launch, edits: Sequence[Edit]) -> list[Edit]:
    """The edits, those that leave a container without any network as the one that says so: a service whose `networks` are
    gone is on the project's default network, which is the opposite."""
    gone: dict[str, list[Edit]] = {}
    for edit in edits:
        if edit["op"] == "remove" and edit.get("field") == "attachments":
            gone.setdefault(str(edit["object"]), []).append(edit)
    result = list(edits)
    for where, removals in gone.items():
        container = next((c for c in launch.containers if f"container:{c.name}" == where), None)
        if container is not None and len(removals) == len(container.attachments):
            result = [e for e in result if e not in removals]
            result.append({"op": "set", "object": where, "field": "network_mode", "value": "none"})
    return result


def _diff(name: str, before: str, after: str) -> str:
    shown = name.lstrip("/")
    lines = difflib.unified_diff(_lines(before), _lines(after), f"a/{shown}", f"b/{shown}")
    return "".join(line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines)


def _lines(text: str) -> list[str]:
    """Lines as YAML and diff count them: \\n ends one, \\r\\n too."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _line(launch: Launch, edit: Edit) -> tuple[int, int]:
    place = place_of(launch, edit)
    return (place.line, place.column) if place is not None else (1 << 30, 0)


def place_of(launch: Launch, edit: Edit) -> Place | None:
    """Where a file says what the edit changes; None where it is a default."""
    kind, _, name = str(edit.get("object", "")).partition(":")
    field = str(edit.get("field", ""))
    index = edit.get("index")
    if (given := _given(edit)) is not None:
        return given
    if kind == "network":
        network = launch.network(name)
        return _placed(network.origin) if network is not None else None
    if kind != "container":
        return None
    container = next((c for c in launch.containers if c.name == name), None)
    if container is None:
        return None
    values = (
        getattr(container, field, None) if hasattr(container, field) else getattr(container.confinement, field, None)
    )
    if isinstance(index, int) and isinstance(values, tuple) and 0 <= index < len(values):
        return _placed(getattr(values[index], "origin", None))
    return _placed(getattr(values, "origin", None)) or _placed(container.origin)


def _placed(origin: object) -> Place | None:
    return origin if isinstance(origin, Place) else None


def _done(launch: Launch, edit: Edit, texts: Mapping[str, str]) -> tuple[str, str] | None:
    """(file, its text after the edit); None if no file holds it."""
    kind, _, name = str(edit.get("object", "")).partition(":")
    if edit["op"] == "add" and kind == "policy":
        return _policy(edit, texts)
    if launch.format == "kubernetes":
        return _manifest(edit, texts)
    if kind == "network" and edit["op"] == "set":
        return _network(launch, name, str(edit["field"]), edit.get("value"), texts)
    if kind != "container":
        return None
    if edit["op"] == "set":
        return _service(launch, name, str(edit["field"]), edit.get("value"), texts)
    place = place_of(launch, edit)
    if edit["op"] == "remove" and place is not None and place.file in texts:
        return _removed(texts[place.file], place)
    return None


# ---- the tree of a text


def _documents(text: str, name: str) -> list[Node]:
    return list(read_yaml(text, name))


def _enclosing(root: Node, line: int, column: int) -> list[tuple[Node, Node | None, Node]]:
    """The way from the root to the value at a place: (collection, key or None, value) each."""
    way: list[tuple[Node, Node | None, Node]] = []
    node = root
    while True:
        step: tuple[Node, Node | None, Node] | None = None
        for key, value in node.pairs or ():
            if (key.line, key.column) == (line, column) or _holds(value, line, column, node.file):
                step = (node, key, value)
        for value in node.elements or ():
            if _holds(value, line, column, node.file):
                step = (node, None, value)
        if step is None:
            return way
        way.append(step)
        if (step[1] is not None and (step[1].line, step[1].column) == (line, column)) or (
            (step[2].line, step[2].column) == (line, column) and step[2].text is not None
        ):
            return way
        node = step[2]


def _holds(node: Node, line: int, column: int, file: str) -> bool:
    if node.file != file:
        return False
    return (node.line, node.column) <= (line, column) and line <= max(node.end, node.line)


def _removed(text: str, place: Place) -> tuple[str, str] | None:
    """The list item, or the key with its value, at the place; a collection that would be left empty goes with it."""
    for root in _documents(text, place.file):
        way = _enclosing(root, place.line, place.column)
        if not way:
            continue
        # a mapping that is a list's item begins where its first key does: the item is meant
        at = (
            n
            for n, (_, key, value) in enumerate(way)
            if key is None and (value.line, value.column) == (place.line, place.column)
        )
        way = way[: next(at, len(way)) + 1]
        if len(way) > 1 and way[-2][0].elements is not None and not _is_key(way[-1][1], place):
            way.pop()  # a value within an item: the item goes
        while way:
            collection, key, value = way[-1]
            size = len(collection.elements or ()) + len(collection.pairs or ())
            if size > 1 or len(way) == 1:
                return place.file, _without(text, collection, key, value)
            way.pop()
    return None


def _is_key(key: Node | None, place: Place) -> bool:
    """Whether the place is the key's own; of an element, which has none, it is what is meant."""
    return key is None or (key.line, key.column) == (place.line, place.column)


def _without(text: str, collection: Node, key: Node | None, value: Node) -> str:
    lines = _lines(text)
    first = key if key is not None else value
    members = [k for k, _ in collection.pairs or ()] or list(collection.elements or ())
    shares = [m for m in members if m is not first and m.line == first.line]
    if collection.line == collection.end or shares or _is_flow(lines, collection):
        return _without_in_flow(lines, members, first, value)
    start, end = first.line, _last_line(lines, first, value)
    if key is None:  # `- ` may stand on a line before a value that begins below it
        while start > 1 and not lines[start - 1].lstrip().startswith("-"):
            start -= 1
    if key is not None and lines[start - 1].lstrip().startswith("- "):
        return _without_first_key(lines, collection, first, end)
    del lines[start - 1 : end]
    return "".join(lines)


def _without_first_key(lines: list[str], collection: Node, first: Node, end: int) -> str:
    """The first key of a mapping that is a list item: the dash stays, before the next key."""
    following = next(k for k, _ in collection.pairs or () if k.line > first.line)
    dash = lines[first.line - 1]
    lines[following.line - 1] = dash[: first.column - 1] + lines[following.line - 1][following.column - 1 :]
    del lines[first.line - 1 : end]
    return "".join(lines)


def _is_flow(lines: Sequence[str], collection: Node) -> bool:
    line = lines[collection.line - 1]
    return line[collection.column - 1 : collection.column] in ("[", "{")


def _last_line(lines: Sequence[str], first: Node, value: Node) -> int:
    """The last line of a block value: its own end, less blank lines and comments that belong to what follows.

    What belongs to a key stands further in, or is a list at its own column; what belongs to a list's item at the item's.
    """
    if value.file != first.file:
        return first.line
    within = first.column - (1 if first is value else 0)
    end = min(max(value.end, value.line, first.line), len(lines))
    while end > max(first.line, value.line):
        line = lines[end - 1]
        text = line.strip()
        indent = len(line) - len(line.lstrip())
        is_item = first is not value and text.startswith("-") and indent == first.column - 1
        if text and not text.startswith("#") and (indent >= within or is_item):
            break
        end -= 1
    return end


def _without_in_flow(lines: list[str], members: Sequence[Node], first: Node, value: Node) -> str:
    at = members.index(first)
    line = lines[first.line - 1]
    if at + 1 < len(members) and members[at + 1].line == first.line:
        cut = first.column - 1, members[at + 1].column - 1
    else:
        end = _end_in_line(line, value if value.line == first.line else first)
        start = first.column - 1
        before = line[:start].rstrip()
        cut = (len(before) - 1 if before.endswith(",") else start), end
    lines[first.line - 1] = line[: cut[0]] + line[cut[1] :]
    return "".join(lines)


def _end_in_line(line: str, value: Node) -> int:
    """Where a scalar or flow collection on one line ends."""
    start = value.column - 1
    opening = line[start : start + 1]
    if opening in ("'", '"'):
        found = re.compile(r"'(?:[^']|'')*'" if opening == "'" else r'"(?:[^"\\]|\\.)*"').match(line, start)
        return found.end() if found else len(line.rstrip("\n"))
    if opening in ("[", "{"):
        depth = 0
        for at in range(start, len(line)):
            depth += (line[at] in "[{") - (line[at] in "]}")
            if depth == 0:
                return at + 1
    found = re.compile(r"[^,\]}\n]*").match(line, start)
    return len((found.group() if found else "").rstrip()) + start


# ---- Compose


def _yaml_value(value: Json) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_yaml_value(v) for v in value) + "]"
    text = str(value)
    special = text.lower() in ("yes", "no", "on", "off", "true", "false", "null", "y", "n")
    return text if re.fullmatch(r"[A-Za-z][\w./-]*", text) and not special else f'"{text}"'


_COMPOSE_NAMES = {
    "ipv6": "enable_ipv6",
    "ipv4": "enable_ipv4",
    "userns": "userns_mode",
    "mounts": "volumes",
    "attachments": "networks",
}


def _network(launch: Launch, key: str, field: str, value: Json, texts: Mapping[str, str]) -> tuple[str, str] | None:
    if launch.format != "compose":
        return None
    for name, said_at, entry in _entries(launch, texts, "networks", key):
        path = ("driver_opts", field) if field.startswith("com.docker.") else (_COMPOSE_NAMES.get(field, field),)
        return name, _set_in(texts[name], said_at, entry, path, value)
    last = next((f for f in reversed(launch.files) if f in texts), None)
    if last is None:
        return None
    text = texts[last]
    said = f"{_COMPOSE_NAMES.get(field, field)}: {_yaml_value(value)}"
    for root in _documents(text, last):
        networks, at = root.get("networks"), root.key("networks")
        if networks is not None and at is not None:
            return last, _set_in(text, at, networks, (key, _COMPOSE_NAMES.get(field, field)), value)
    text = text if not text or text.endswith("\n") else text + "\n"
    return last, f"{text}\nnetworks:\n  {key}:\n    {said}\n"


def _service(launch: Launch, service: str, field: str, value: Json, texts: Mapping[str, str]) -> tuple[str, str] | None:
    if launch.format != "compose":
        return None
    name, at, entry = next(_entries(launch, texts, "services", service), (None, None, None))
    if name is None or at is None or entry is None:
        return None
    text = texts[name]
    key, old = entry.key("networks"), entry.get("networks")
    if field == "network_mode" and key is not None and old is not None and len(entry.pairs or ()) > 1:
        text = _without(text, entry, key, old)
        name, at, entry = next(_entries(launch, {name: text}, "services", service))
    return name, _set_in(text, at, entry, (_COMPOSE_NAMES.get(field, field),), value)


def _entries(launch: Launch, texts: Mapping[str, str], section: str, key: str) -> Iterator[tuple[str, Node, Node]]:
    """(file, the key, its value) wherever a section says something of a key, the file that counts most first."""
    for name in reversed(launch.files):
        for root in _documents(texts[name], name) if name in texts else ():
            there = root.get(section)
            at, entry = (there.key(key), there.get(key)) if there is not None else (None, None)
            if at is not None and entry is not None:
                yield name, at, entry


def _set_in(text: str, key: Node, entry: Node, path: Sequence[str], value: Json) -> str:
    """`path` below `key` becomes the value: replaced where it stands, else added as the first line of the mapping."""
    lines = _lines(text)
    node, inside = entry, key
    for depth, step in enumerate(path):
        found, at = node.get(step), node.key(step)
        if found is None or at is None:
            return _added(lines, inside, node, path[depth:], value)
        node, inside = found, at
    line = lines[node.line - 1] if node.text is not None else lines[inside.line - 1]
    if node.text is not None and node.line == inside.line and not node.is_null:
        end = _end_in_line(line, node)
        if not _in_flow(line, node):
            end = len(re.sub(r"\s+#.*$", "", line.rstrip("\r\n")).rstrip())
        lines[node.line - 1] = line[: node.column - 1] + _yaml_value(value) + line[end:]
        return "".join(lines)
    replaced = f"{' ' * (inside.column - 1)}{inside.text}: {_yaml_value(value)}\n"
    lines[inside.line - 1 : _last_line(lines, inside, node)] = [replaced]
    return "".join(lines)


def _in_flow(line: str, node: Node) -> bool:
    before = line[: node.column - 1]
    return before.count("{") + before.count("[") > before.count("}") + before.count("]")


def _added(lines: list[str], key: Node, node: Node, path: Sequence[str], value: Json) -> str:
    """A new key in a mapping that may be empty, null, in flow or in block style."""
    tail = "".join(
        f"{' ' * 2 * n}{name}:{'' if n + 1 < len(path) else ' ' + _yaml_value(value)}\n" for n, name in enumerate(path)
    )
    line = lines[key.line - 1]
    if node.pairs and _is_flow(lines, node):
        flow = "".join(
            f"{name}: {'{' if n + 1 < len(path) else _yaml_value(value)}" for n, name in enumerate(path)
        ) + "}" * (len(path) - 1)
        at = node.column
        target = lines[node.line - 1]
        lines[node.line - 1] = target[:at] + flow + ", " + target[at:].lstrip(" ")
        return "".join(lines)
    if node.pairs:
        indent = node.pairs[0][0].column - 1
        at = node.pairs[0][0].line
        lines[at - 1 : at - 1] = [" " * indent + one + "\n" for one in tail.splitlines()]
        return "".join(lines)
    indent = key.column - 1 + 2
    if _in_flow(line, key):
        flow = (
            "{"
            + "".join(f"{name}: {'{' if n + 1 < len(path) else _yaml_value(value)}" for n, name in enumerate(path))
            + "}" * len(path)
        )
        start = key.column - 1 + len(key.text or "")
        end = _end_in_line(line, node) if node.line == key.line and not (node.is_null and not node.text) else start
        colon = "" if ":" in line[start : end + 1] else ":"
        lines[key.line - 1] = f"{line[:start]}: {flow}{line[max(end, start + (0 if colon else 1)) :]}"
        return "".join(lines)
    head = re.match(r"^(.*?" + re.escape(key.text or "") + r"['\"]?\s*:)[^#\n]*?(\s+#[^\n]*)?(\r?\n)?$", line)
    lines[key.line - 1] = (head.group(1) + (head.group(2) or "") if head else line.rstrip("\n")) + "\n"
    lines[key.line : key.line] = [" " * indent + one + "\n" for one in tail.splitlines()]
    return "".join(lines)


# ---- Kubernetes


def _manifest(edit: Edit, texts: Mapping[str, str]) -> tuple[str, str] | None:
    """What a manifest says at `place` (file, line, column in the edit) is set or removed there."""
    place = _given(edit)
    text = texts.get(place.file) if place is not None else None
    if place is None or text is None:
        return None
    if edit["op"] == "remove":
        return _removed(text, place)
    for root in _documents(text, place.file):
        way = _enclosing(root, place.line, place.column)
        if way and way[-1][2].text is not None:
            _, key, value = way[-1]
            if key is not None:
                return place.file, _set_in(text, key, value, (), edit.get("value"))
    return None


def _given(edit: Edit) -> Place | None:
    """The place that the edit itself brings."""
    where = edit.get("place")
    if not isinstance(where, Mapping):
        return None
    return Place(str(where["file"]), _number(where["line"]), _number(where["column"]))


def _number(value: Json) -> int:
    if not isinstance(value, int):
        raise ParseError("a place needs numbers")
    return value


def _policy(edit: Edit, texts: Mapping[str, str]) -> tuple[str, str] | None:
    """A NetworkPolicy as a further document of the file that holds the workload (`file`), or of the only one."""
    name = str(edit.get("file", "")) or next(iter(texts), "")
    if name not in texts:
        return None
    labels = edit.get("labels")
    pairs = sorted(labels.items()) if isinstance(labels, Mapping) else []
    selector = (
        " {}" if not pairs else "\n    matchLabels:\n" + "\n".join(f"      {_key(k)}: {_quoted(v)}" for k, v in pairs)
    )
    allow = edit.get("allow")
    rules = "".join(
        f"\n    - to:\n        - ipBlock:\n            cidr: {cidr}\n      ports:\n        - protocol: TCP\n          port: {port}"
        for cidr, port in (allow if isinstance(allow, list | tuple) else ())
    )
    document = (
        "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n"
        f"  name: {edit.get('name', 'deny-egress')}\n  namespace: {edit['namespace']}\nspec:\n  podSelector:{selector}\n"
        f"  policyTypes:\n    - Egress\n  egress:{rules or ' []'}\n"
    )
    text = texts[name]
    return name, (text if text.endswith("\n") or not text else text + "\n") + document


def _key(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z][\w./-]*", text) else _quoted(text)


def _quoted(value: object) -> str:
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{printable(escaped, 253)}"'
