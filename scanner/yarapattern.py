"""Which bytes must lie in a file that a string of a YARA rule matches in: its rarest bounded part, as a plain pattern.

A string is read as YARA reads it (libyara 4.5: lexer.l, hex_grammar.y, re_grammar.y, re_lexer.l, base64.c). What only
narrows a match (anchors, word borders, `fullword`, what `.` excludes) is left out, so a pattern never misses a match.
"""

import base64
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

from scanner.yaratext import YaraString, unescape

LONGEST = 128
"""Bytes of a pattern."""
SLACK = 64
"""Bytes by which the length of what one pattern matches may differ."""
WEAKEST = 12.0
"""Bits below which a pattern is no help: it lies in nearly every file."""
MOST_FORMS = 1100
"""Patterns for one string: 256 keys, plain and wide."""
_XORED = 16


@dataclass(frozen=True, slots=True)
class Alt:
    branches: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """`most` is None where there is no bound."""

    node: "Node"
    least: int
    most: int | None


Node: TypeAlias = "int | Alt | Repeat | tuple[Node, ...]"
"""A set of byte values (bit n: byte n), a choice, a repetition, or a sequence."""

ANY = (1 << 256) - 1
_ZERO = 1


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression over bytes (PCRE syntax, no flags); 2**-bits is how often it matches at a random place."""

    expression: str
    bits: float


class Unknown(Exception):
    """A construct that is not understood: nothing follows from the string."""


def needed(string: YaraString) -> tuple[Pattern, ...] | None:
    """Patterns of which one lies in every file that the string matches in; None if there are none worth looking for."""
    try:
        best = [_best(form) for form in forms(string)]
    except Unknown:
        return None
    fragments = dict.fromkeys(fragment for found in best if found for fragment in found)
    if not best or None in best or len(fragments) > MOST_FORMS:
        return None
    patterns = tuple(Pattern(expression(fragment), bits(fragment)) for fragment in fragments)
    return patterns if rarity(patterns) >= WEAKEST else None


def rarity(patterns: Iterable[Pattern]) -> float:
    """Bits of them all together: how rare it is that any of them lies at a random place."""
    return -math.log2(sum(2.0**-p.bits for p in patterns) or 1e-300)


def beginnings(string: YaraString, most: int) -> tuple[tuple[int, ...], ...]:
    """Of every form the sets of bytes with which its matches begin, at most `most` long; none if a form says too little."""
    try:
        found = tuple(_beginning(form, most) for form in forms(string))
    except Unknown:
        return ()
    return found if all(sum(map(bits, sets)) >= WEAKEST for sets in found) else ()


def _beginning(form: Node, most: int) -> tuple[int, ...]:
    sets: list[int] = []
    for part in _flat(form):
        if isinstance(part, Repeat) and isinstance(part.node, int) and part.least == part.most:
            sets += [part.node] * min(part.least, most)
        elif isinstance(part, int):
            sets.append(part)
        else:
            break
    sets = sets[:most]
    while sets and sets[-1] == ANY:
        sets.pop()
    return tuple(sets)


# how YARA reads a string


def forms(string: YaraString) -> list[Node]:
    """The string's forms (plain, wide, each key, each base64 alignment): it matches where one of them does.

    Raises Unknown for what is not understood.
    """
    modifiers = string.modifiers
    if string.kind == "hex":
        return [_hex(string.source)]
    plain, wide = "ascii" in modifiers or "wide" not in modifiers, "wide" in modifiers
    if string.kind == "regex":
        body, flags = string.source[1:].rsplit("/", 1)
        node = _Regex(body, "i" in flags or "nocase" in modifiers).parse()
        return [node] * plain + [_widen(node)] * wide
    data = unescape(string.source)
    if "base64" in modifiers or "base64wide" in modifiers:
        return list(_base64(data, modifiers))
    if "xor" in modifiers:
        texts = [data, _wide(data)] if wide else [data]
        return [tuple(1 << (b ^ key) for b in text[:_XORED]) for text in texts for key in _keys(modifiers["xor"])]
    sets = tuple(_caseless(1 << b) for b in data) if "nocase" in modifiers else tuple(1 << b for b in data)
    return [sets] * plain + [_widen(sets)] * wide


def _wide(data: bytes) -> bytes:
    return b"".join(bytes((b, 0)) for b in data)


def _widen(node: Node) -> Node:
    if isinstance(node, int):
        return (node, _ZERO)
    if isinstance(node, Alt):
        return Alt(tuple(map(_widen, node.branches)))
    if isinstance(node, Repeat):
        return Repeat(_widen(node.node), node.least, node.most)
    return tuple(map(_widen, node))


_UPPER = sum(1 << b for b in range(ord("A"), ord("Z") + 1))
_LOWER = _UPPER << 32
_HIGH = ANY ^ ((1 << 128) - 1)


def _both_cases(members: int) -> int:
    return members | (members & _UPPER) << 32 | (members & _LOWER) >> 32


def _caseless(members: int) -> int:
    """Both cases of ASCII letters; beyond ASCII, YARA's table depends on the locale: any byte then."""
    return _both_cases(members) | (_HIGH if members & _HIGH else 0)


def _keys(argument: str) -> range:
    ends = [int(n, 0) for n in argument.split("-")] if argument else [0, 255]
    return range(ends[0], ends[-1] + 1)


_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def _base64(data: bytes, modifiers: dict[str, str]) -> Iterator[Node]:
    """Every alignment, without the characters at either end that depend on what stands around (base64.c)."""
    for kind in ("base64", "base64wide"):
        if kind not in modifiers:
            continue
        alphabet = unescape(modifiers[kind]) if modifiers[kind] else _ALPHABET
        table = bytes.maketrans(_ALPHABET, alphabet)
        for text in [data, _wide(data)] if "wide" in modifiers else [data]:
            for before in range(3):
                if before == 1 and len(text) == 1:
                    continue
                after = -(before + len(text)) % 3
                encoded = base64.b64encode(b"A" * before + text)[before + 1 if before else 0 :]
                kept = encoded[: len(encoded) - (after + 1 if after else 0)].translate(table)
                yield tuple(1 << b for b in (_wide(kept) if kind == "base64wide" else kept))


# hex strings


_HEX = re.compile(r"~?[0-9a-fA-F?]{2}|\[([0-9]*)(-?)([0-9]*)\]|[(|)]")


def _hex(source: str) -> Node:
    text = re.sub(r"/\*.*?\*/|//[^\n]*|\s", "", source[1:-1], flags=re.DOTALL)
    stack: list[list[list[Node]]] = [[[]]]
    at = 0
    while at < len(text):
        token = _HEX.match(text, at)
        if token is None:
            raise Unknown
        at = token.end()
        if token[0] == "(":
            stack.append([[]])
        elif token[0] == "|":
            stack[-1].append([])
        elif token[0] == ")":
            group = stack.pop()
            if not stack:
                raise Unknown
            stack[-1][-1].append(Alt(tuple(map(tuple, group))))
        elif token[0][0] == "[":
            least = int(token[1] or 0)
            most = int(token[3]) if token[3] else None if token[2] else least
            stack[-1][-1].append(Repeat(ANY, least, most))
        else:
            stack[-1][-1].append(_masked(token[0]))
    if len(stack) != 1 or len(stack[0]) != 1:
        raise Unknown
    return tuple(stack[0][0])


def _masked(token: str) -> int:
    digits = token[-2:]
    high = range(16) if digits[0] == "?" else [int(digits[0], 16)]
    low = range(16) if digits[1] == "?" else [int(digits[1], 16)]
    members = sum(1 << (h << 4 | w) for h in high for w in low)
    return ANY ^ members if token[0] == "~" else members


# regular expressions


def _members(*ranges: str) -> int:
    return sum(1 << b for r in ranges for b in range(ord(r[0]), ord(r[-1]) + 1))


_CLASSES = {"w": _members("az", "AZ", "09", "_"), "s": _members("\t\r", " "), "d": _members("09")}
_CLASSES |= {name.upper(): ANY ^ members for name, members in _CLASSES.items()}
_RANGE = re.compile(r"\{([0-9]*)(?: *(,)(?: *([0-9]+))?)?\}")
_LIKE_RANGE = re.compile(r"\{[0-9, ]*\}")
_CONTROL = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "a": "\a"}
_MOST_REPEATS = 32767


class _Regex:
    """YARA's dialect: no groups but plain ones, no references, no lookaround; one character is one byte."""

    def __init__(self, body: str, nocase: bool) -> None:
        self._text = body.encode().decode("latin-1")
        self._nocase = nocase
        self._at = 0

    def parse(self) -> Node:
        node = self._alternative(0)
        if self._at != len(self._text):
            raise Unknown
        return node

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _step(self) -> str:
        if not self._peek():
            raise Unknown
        self._at += 1
        return self._text[self._at - 1]

    def _alternative(self, depth: int) -> Node:
        if depth > 50:
            raise Unknown
        branches = [self._concatenation(depth)]
        while self._peek() == "|":
            self._at += 1
            branches.append(self._concatenation(depth))
        return branches[0] if len(branches) == 1 else Alt(tuple(branches))

    def _concatenation(self, depth: int) -> Node:
        nodes: list[Node] = []
        while self._peek() not in ("", "|", ")"):
            node = self._single(depth)
            if node is not None:
                nodes.append(self._repeat(node))
        return tuple(nodes)

    def _single(self, depth: int) -> "Node | None":
        """The next item; None for what only asserts something of its place."""
        char = self._step()
        if char == "(":
            node = self._alternative(depth + 1)
            if self._step() != ")":
                raise Unknown
            return node
        if char == "[":
            return self._class()
        if char == ".":
            return ANY
        if char in "^$":
            return None
        if char == "\\":
            if self._peek() in ("b", "B"):
                self._at += 1
                return None
            if self._peek() in _CLASSES and self._peek():
                return _CLASSES[self._step()]
            if self._peek().isdigit():
                raise Unknown
            return self._literal(self._escaped())
        if char in "*+?" or (char == "{" and _LIKE_RANGE.match(self._text, self._at - 1)):
            raise Unknown
        return self._literal(ord(char))

    def _literal(self, byte: int) -> int:
        return _caseless(1 << byte) if self._nocase else 1 << byte

    def _escaped(self) -> int:
        """The byte that an escape means, its backslash already behind."""
        char = self._step()
        if char == "x":
            digits = self._step() + self._step()
            if not re.fullmatch("[0-9a-fA-F]{2}", digits):
                raise Unknown
            return int(digits, 16)
        return ord(_CONTROL.get(char, char))

    def _repeat(self, node: Node) -> Node:
        char = self._peek()
        if char in ("*", "+", "?") and char:
            self._at += 1
            least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}[char]
        elif found := _RANGE.match(self._text, self._at):
            if not (found[1] or found[2]):
                raise Unknown
            self._at = found.end()
            least = int(found[1] or 0)
            most = least if not found[2] else int(found[3]) if found[3] else None
            if (most if most is not None else least) > _MOST_REPEATS or (most is not None and most < least):
                raise Unknown
        else:
            return node
        if self._peek() == "?":
            self._at += 1
        return Repeat(node, least, most)

    def _range_follows(self, after: int) -> bool:
        """`-z` stands ahead, where z is not the class's end. Even `\\w-z` is a range, from w."""
        ahead = self._text[self._at + after : self._at + after + 2]
        return len(ahead) == 2 and ahead[0] == "-" and ahead[1] != "]"

    def _class(self) -> int:
        negated = self._peek() == "^"
        self._at += negated
        members = 0
        if self._peek() == "]":
            self._at += 1
            members |= 1 << ord("]")
        while (char := self._step()) != "]":
            if char == "\\" and self._peek() in _CLASSES and not self._range_follows(1):
                members |= _CLASSES[self._step()]
                continue
            first = self._escaped() if char == "\\" else ord(char)
            if self._range_follows(0):
                self._at += 1
                last = self._step()
                last_byte = self._escaped() if last == "\\" else ord(last)
                if last_byte < first:
                    raise Unknown
                members |= sum(1 << b for b in range(first, last_byte + 1))
            else:
                members |= 1 << first
        if self._nocase:
            members = _both_cases(members)
        return ANY ^ members if negated else members


# the rarest part


def _flat(node: Node) -> Iterator[Node]:
    if isinstance(node, tuple):
        for part in node:
            yield from _flat(part)
    elif isinstance(node, Repeat) and (node.least, node.most) == (1, 1):
        yield from _flat(node.node)
    else:
        yield node


def _width(node: Node) -> float:
    """Bytes at most."""
    if isinstance(node, int):
        return 1
    if isinstance(node, Alt):
        return max(map(_width, node.branches))
    if isinstance(node, Repeat):
        inner = _width(node.node)
        return 0 if inner == 0 or node.most == 0 else math.inf if node.most is None else inner * node.most
    return sum(map(_width, node))


def _best(node: Node) -> tuple[tuple[Node, ...], ...] | None:
    """The rarest bounded parts of which one lies wherever the node matches; None if it may match next to nothing."""
    if isinstance(node, tuple) and all(isinstance(part, int) for part in node):
        # a text, as most strings are: one byte after the other
        stretch = _window(list(node), [1.0] * len(node))
        return (stretch,) if stretch else None
    found: list[tuple[tuple[Node, ...], ...]] = []
    run: list[Node] = []

    def close() -> None:
        if part := _window(run):
            found.append((part,))
        run.clear()

    for part in _flat(node):
        width = _width(part)
        if width == 0:
            continue
        if isinstance(part, int):
            run.append(part)
        elif isinstance(part, Alt):
            if width <= SLACK:
                run.append(part)
                continue
            close()
            branches = [_best(b) for b in part.branches]
            if None not in branches:
                found.append(tuple(fragment for b in branches if b for fragment in b))
        elif isinstance(part, Repeat):
            inner = _width(part.node)
            if width <= LONGEST and inner * ((part.most or 0) - part.least) <= SLACK:
                run.append(part)
            elif part.least and inner <= SLACK:
                # X{n,…} begins with X{n}, right after what stands before, and ends with it, right before what follows
                times = min(part.least, int(LONGEST // inner))
                run.append(Repeat(part.node, times, times))
                close()
                run.append(Repeat(part.node, times, times))
            else:
                close()
                if part.least and (inside := _best(part.node)):
                    found.append(inside)
    close()
    return max(found, key=lambda fragments: -math.log2(sum(2.0 ** -bits(f) for f in fragments)), default=None)


def _window(run: list[Node], widths: list[float] | None = None) -> tuple[Node, ...]:
    """The rarest stretch of a run that is no longer than LONGEST, without ends that say nothing."""
    weights, widths = _weights(run), widths or [_width(n) for n in run]
    best, best_bits, begin, width, total = (0, 0), 0.0, 0, 0.0, 0.0
    for end, (w, b) in enumerate(zip(widths, weights, strict=True), 1):
        width, total = width + w, total + b
        while width > LONGEST:
            width, total, begin = width - widths[begin], total - weights[begin], begin + 1
        if total > best_bits + 1e-9:
            best, best_bits = (begin, end), total
    first, last = best
    while first < last and weights[first] == 0:
        first += 1
    return tuple(run[first:last])


# what is common in the files of an image: NUL, text, then the rest; the sum is about 1
_COMMON = [0.002] * 256
_COMMON[0x21:0x7F] = [0.005] * 94
_COMMON[0x61:0x7B] = [0.012] * 26
_COMMON[0] = 0.15
for _byte in (0x0A, 0x20, 0xFF):
    _COMMON[_byte] = 0.02
_AGAIN = 1.5


@cache
def _set_bits(members: int) -> float:
    return (
        0.0 if members == ANY else max(0.0, -math.log2(sum(_COMMON[b] for b in range(256) if members >> b & 1) or 1e-9))
    )


def bits(node: Node) -> float:
    """How rare a match of the node is at a random place: 2**-bits."""
    if isinstance(node, int):
        return _set_bits(node)
    if isinstance(node, Alt):
        return max(0.0, -math.log2(sum(2.0 ** -bits(b) for b in node.branches)))
    if isinstance(node, Repeat):
        if not node.least:
            return 0.0
        one = bits(node.node)
        again = _AGAIN if isinstance(node.node, int) and node.node.bit_count() == 1 else one
        return one + (node.least - 1) * min(one, again)
    return sum(_weights(node))


def _weights(run: Iterable[Node]) -> list[float]:
    """Bits of every item; the same byte again says little: files are full of padding."""
    weights: list[float] = []
    before: Node | None = None
    for node in run:
        weight = _set_bits(node) if isinstance(node, int) else bits(node)
        weights.append(min(weight, _AGAIN) if node == before and isinstance(node, int) else weight)
        before = node
    return weights


def expression(node: Node) -> str:
    """The node in PCRE syntax, every byte by its value."""
    if isinstance(node, int):
        return _set(node)
    if isinstance(node, Alt):
        return "(?:" + "|".join(map(expression, node.branches)) + ")"
    if isinstance(node, Repeat):
        most = "" if node.most is None else node.most
        return f"(?:{expression(node.node)}){{{node.least},{most}}}"
    return "".join(map(expression, node))


@cache
def _set(members: int) -> str:
    present = [b for b in range(256) if members >> b & 1]
    if len(present) == 1:
        return f"\\x{present[0]:02x}"
    ranges: list[list[int]] = []
    for b in present:
        if ranges and ranges[-1][1] == b - 1:
            ranges[-1][1] = b
        else:
            ranges.append([b, b])
    return "[" + "".join(f"\\x{a:02x}" if a == z else f"\\x{a:02x}-\\x{z:02x}" for a, z in ranges) + "]"
