"""Short syntaxes brought to the long one, as compose-spec's canonical model has them."""

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping

from scanner.launch.composing.tree import Budget, Tree, broken, mapping, null, scalar, sequence, shown

_PROTOCOLS = ("tcp", "udp", "sctp")
_RANGE = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_PROPAGATIONS = frozenset(("private", "rprivate", "shared", "rshared", "slave", "rslave"))


def canonical(project: Tree, budget: Budget) -> Tree:
    """The project with every service's short syntaxes written out."""
    services = project.get("services")
    if services is None or services.fields is None:
        return project
    fields = {name: canonical_service(service, budget) for name, service in services.pairs()}
    return mapping({**(project.fields or {}), "services": mapping(fields, services)}, project)


def canonical_service(service: Tree, budget: Budget) -> Tree:
    if service.fields is None:
        return service
    fields = dict(service.fields)
    for key in fields.keys() & _WRITTEN_OUT.keys():
        if not fields[key].is_null:
            fields[key] = _WRITTEN_OUT[key](fields[key], budget)
    return mapping(fields, service)


def part(whole: Tree, text: str) -> Tree:
    """A piece of a string, with the unset variables that stand in the piece."""
    return scalar(text, whole, tuple(n for n in whole.unknown if f"${{{n}}}" in text))


def _build(value: Tree, _: Budget) -> Tree:
    return value if value.fields is not None else mapping({"context": value}, value)


def _extends(value: Tree, _: Budget) -> Tree:
    return value if value.fields is not None else mapping({"service": value}, value)


def _named(value: Tree, _: Budget) -> Tree:
    """A list of names as a mapping without values."""
    return value if value.items is None else mapping({one.string(): _empty(one) for one in value.items}, value)


def _empty(one: Tree) -> Tree:
    """A null that remembers the name's place, and what in the name is unknown."""
    return Tree(one.node, text="", unknown=one.unknown, key=one.node)


def _depends_on(value: Tree, budget: Budget) -> Tree:
    return _named(value, budget)


def _env_file(value: Tree, _: Budget) -> Tree:
    return sequence(
        tuple(one if one.fields is not None else mapping({"path": one}, one) for one in value.each()), value
    )


def _grants(value: Tree, _: Budget) -> Tree:
    return sequence(tuple(o if o.fields is not None else mapping({"source": o}, o) for o in value.items or ()), value)


def _devices(value: Tree, _: Budget) -> Tree:
    return sequence(tuple(_device(one) for one in value.items or ()), value)


def _device(one: Tree) -> Tree:
    if one.fields is not None or one.is_null:
        return one
    pieces = one.string().split(":")
    if len(pieces) > 3:
        raise broken(one, f"{shown(one.string())} is no device mapping")
    source = pieces[0]
    target = pieces[1] if len(pieces) > 1 and pieces[1] else source
    permissions = pieces[2] if len(pieces) > 2 else "rwm"
    names = {"source": source, "target": target, "permissions": permissions}
    return mapping({key: part(one, text) for key, text in names.items()}, one)


# ---- volumes


def _volumes(value: Tree, _: Budget) -> Tree:
    return sequence(tuple(volume(one) for one in value.items or ()), value)


def volume(one: Tree) -> Tree:
    """`[SOURCE:]TARGET[:OPTIONS]` as a mapping; a mapping stays. Raises ParseError for too many or empty sections."""
    if one.fields is not None or one.is_null:
        return one
    text = one.string()
    sections = _sections(text)
    if not text or "" in sections:
        raise broken(one, f"the volume {shown(text)} has an empty section")
    if len(sections) > 3:
        raise broken(one, f"the volume {shown(text)} has too many colons")
    fields: dict[str, Tree] = {}
    source = sections[0] if len(sections) > 1 else ""
    fields["type"] = scalar("bind" if is_path(source) else "volume", one, ())
    if source:
        fields["source"] = part(one, source)
    fields["target"] = part(one, clean(sections[1] if len(sections) > 1 else sections[0]))
    for option in sections[2].split(",") if len(sections) > 2 else ():
        if option in ("ro", "rw"):
            fields["read_only"] = scalar("true" if option == "ro" else "false", one, ())
        elif option in _PROPAGATIONS:
            fields["bind"] = mapping({"propagation": scalar(option, one, ())}, one)
    return mapping(fields, one)


def _sections(text: str) -> list[str]:
    """Split at colons, save the one of a Windows drive."""
    pieces = text.split(":")
    sections: list[str] = []
    drive = ""
    for number, piece in enumerate(pieces):
        if not drive and len(piece) == 1 and piece.isalpha() and number + 1 < len(pieces) and len(text) > 2:
            drive = piece + ":"
            continue
        sections.append(drive + piece)
        drive = ""
    return sections


def is_path(source: str) -> bool:
    """Whether a short volume's source is a path on the host; what an unset variable begins may be one."""
    return source.startswith((".", "/", "~", "$", "\\\\")) or re.match(r"[A-Za-z]:", source) is not None


def clean(path: str) -> str:
    """A path in a container without what Go's path.Clean takes out."""
    absolute = path.startswith("/")
    kept: list[str] = []
    for piece in path.split("/"):
        if piece in ("", "."):
            continue
        if piece == ".." and kept and kept[-1] != "..":
            kept.pop()
        elif piece != ".." or not absolute:
            kept.append(piece)
    return ("/" if absolute else "") + "/".join(kept) or "."


# ---- ports


def _ports(value: Tree, budget: Budget) -> Tree:
    written: list[Tree] = []
    for one in value.items or ():
        if one.fields is not None or one.is_null or (one.unknown and not _port_is_known(one)):
            written.append(one)
            continue
        for port in _port(one):
            budget.spend(port.weight, one.place)
            written.append(port)
    return sequence(tuple(written), value)


def _port_is_known(one: Tree) -> bool:
    return not part(one, one.string().rpartition(":")[2]).unknown


def _port(one: Tree) -> Iterator[Tree]:
    """`[[IP:]HOST:]CONTAINER[/PROTOCOL]` as one mapping per port of the container."""
    text = one.string()
    before, _, container = text.rpartition(":")
    ip, _, host = before.rpartition(":")
    container, _, protocol = container.partition("/")
    protocol = protocol.lower() or "tcp"
    unknown_host, unknown_ip = part(one, host).unknown, part(one, ip).unknown
    first, last = port_range(container, one)
    if protocol not in _PROTOCOLS:
        raise broken(one, f"{shown(protocol)} is no protocol of a port")
    if ip.startswith("[") and ip.endswith("]"):
        ip = ip[1:-1]
    if ip and not unknown_ip and not _is_address(ip):
        raise broken(one, f"{shown(ip)} is no IP address")
    fields = {"protocol": scalar(protocol, one, ())}
    if ip:
        fields["host_ip"] = scalar(ip, one, unknown_ip)
    low, high = port_range(host, one) if host and not unknown_host else (0, 0)
    if host and not unknown_host and high - low != last - first and first != last:
        raise broken(one, f"the port ranges of {shown(text)} differ in length")
    for offset in range(last - first + 1):
        published: Mapping[str, Tree] = {}
        if unknown_host:
            published = {"published": scalar(host, one, unknown_host)}
        elif host:
            ranged = first == last and low != high
            published = {"published": scalar(f"{low}-{high}" if ranged else str(low + offset), one, ())}
        yield mapping({**fields, **published, "target": scalar(str(first + offset), one, ())}, one)


def port_range(text: str, at: Tree) -> tuple[int, int]:
    """`80` or `80-90`. Raises ParseError."""
    found = _RANGE.fullmatch(text)
    low, high = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
    if not low <= high <= 65535:
        raise broken(at, f"{shown(text) or 'nothing'} is no port or range of ports")
    return low, high


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


_WRITTEN_OUT: Mapping[str, Callable[[Tree, Budget], Tree]] = {
    "build": _build,
    "configs": _grants,
    "depends_on": _depends_on,
    "devices": _devices,
    "env_file": _env_file,
    "extends": _extends,
    "models": _named,
    "networks": _named,
    "ports": _ports,
    "secrets": _grants,
    "volumes": _volumes,
}


# ---- command lines


def words(line: str) -> list[str] | None:
    """A command line cut as Compose cuts it: quotes and backslashes as in a shell, and nothing after `;`, `&`, `|`, `<`, `>`.

    None for what Compose refuses: an open quote, a bare parenthesis.
    """
    found: list[str] = []
    word: list[str] = []
    begun = escaped = False
    inside = ""  # the quote that is open: " ' ` or ( for $(…)
    for letter in line:
        if escaped:
            word.append(letter)
            escaped, begun = False, True
            continue
        if letter == "\\":
            if "'" in inside:
                word.append(letter)
            else:
                escaped = True
            continue
        if letter in " \t\r\n":
            if inside:
                word.append(letter)
            elif begun:
                found.append("".join(word))
                word, begun = [], False
            continue
        if letter in "'\"":
            if inside == letter:
                inside, begun = "", True
                continue
            if inside in ("", "`"):
                # within backticks a quote opens too; it closes before the backtick does, or the line is refused
                inside = letter
                continue
        elif letter == "`" and inside in ("", "`"):
            inside = "" if inside else "`"
        elif letter == "(" and inside in ("", "("):
            if inside or word[-1:] != ["$"]:
                return None
            inside = "("
            word.append("(")
            continue
        elif letter == ")" and inside in ("", "("):
            if not inside:
                return None
            inside = ""
        elif letter in ";&|<>" and not inside:
            if letter == ">" and word and word[0] and word[0][0] in "0123456789":
                begun = False
            break
        begun = True
        word.append(letter)
    if inside or escaped:
        return None
    if begun:
        found.append("".join(word))
    return found


def words_of(value: Tree) -> tuple[Tree, ...] | None:
    """A command, string or list, as its words; None where there is none. Raises ParseError."""
    if value.is_null:
        return None
    if value.items is not None:
        return value.items
    cut = words(value.string())
    if cut is None:
        raise broken(value, "the command has an open quote or parenthesis")
    return tuple(part(value, word) for word in cut)


def texts(value: Tree) -> dict[str, Tree]:
    """Pairs of a mapping, or of a list of KEY=VALUE; a name alone has a null. The last of a name counts."""
    if value.fields is not None:
        return value.fields
    found: dict[str, Tree] = {}
    for one in value.items or ():
        name, equals, rest = one.string().partition("=")
        found[name] = part(one, rest) if equals else null(one.node)
    return found
