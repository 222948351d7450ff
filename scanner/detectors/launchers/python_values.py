"""What an expression of Python comes to, told from the text alone: constants carried forward, nothing run.

Grammar: the ast module of the Python standard library. What the text does not tell stays a name.
"""

import ast
import base64
import binascii
import codecs
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

STEPS = 1_500_000
"""Expressions looked at for one file."""
DEEP = 40
"""Expressions within expressions; deeper ones are not told."""
TEXT = 1 << 20
"""Characters of one value."""
TEXTS = 24 << 20
"""Characters of all values made for one file."""
ITEMS = 4096
"""Items of one list, and turns of one comprehension."""
_PATH = 200
_WORD = 1 << 53


@dataclass(frozen=True, slots=True)
class Ref:
    """What the text does not tell: `path` says how it is reached (modules by name, `()` for a call, `?` before a variable)."""

    path: str
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A dict of constants."""

    items: Mapping[str, "Value"]


Value: TypeAlias = "str | bytes | bool | int | float | tuple[Value, ...] | Ref | Table | None"


class Scope:
    """Names of a module or a function, the module's behind the function's."""

    __slots__ = ("depth", "names", "parent")

    def __init__(self, parent: "Scope | None" = None) -> None:
        self.names: dict[str, Value] = {}
        # a chain is walked for every name: what nests deeper sees less
        self.parent: Scope | None = parent if parent is None or parent.depth < DEEP else parent.parent
        self.depth: int = 0 if self.parent is None else self.parent.depth + 1

    def get(self, name: str) -> "Value | _Missing":
        """The name's value here or further out."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.parent
        return MISSING


class _Missing:
    pass


MISSING = _Missing()


def ref(path: str, name: str) -> Ref:
    """A Ref whose path keeps its end when it gets too long."""
    return Ref(path if len(path) <= _PATH else "?" + path[-_PATH:], name)


def unknown(name: str) -> Ref:
    """A variable that the text gives no value."""
    return ref(f"?{name}", name)


def known(value: Value) -> bool:
    """Whether the text tells anything of the value."""
    if isinstance(value, Ref):
        return False
    if isinstance(value, tuple):
        return any(known(v) if not isinstance(v, tuple) else bool(v) for v in value)
    if isinstance(value, str):
        return re.fullmatch(r"\s*(?:\$\w+\s*)+", value[:4000]) is None
    return value is not None


def text(value: Value) -> str:
    """The value as a program would be given it; `$name` for what is not told."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, Ref):
        return "$" + (re.sub(r"\W", "_", value.name)[:40] or "value")
    if isinstance(value, tuple | Table):
        return "$value"
    return str(value)


def named(node: ast.expr) -> str:
    """What to call an expression that is not told: its last word."""
    for _ in range(DEEP):
        if isinstance(node, ast.Name):
            return node.id
        if isinstance(node, ast.Attribute):
            return node.attr
        if isinstance(node, ast.Subscript):
            if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
                return node.slice.value
            node = node.value
        elif isinstance(node, ast.Call):
            node = node.func
        elif isinstance(node, ast.Await | ast.Starred):
            node = node.value
        else:
            break
    return "value"


class Evaluator:
    """Values of expressions for one file, within one budget. `cut` tells that the budget did not suffice."""

    def __init__(self) -> None:
        self.steps = STEPS
        self.room = TEXTS
        self.cut = False
        self.attributes: dict[str, Value] = {}
        """Values of `self.name` and `Class.name`, whichever class it was."""
        self.stars: list[str] = []
        """Modules of which every name was imported."""
        self.members: frozenset[str] = frozenset()
        """Paths such as `os.system` that a star may have brought in."""

    def value(self, node: ast.expr, scope: Scope, depth: int = 0) -> Value:
        """What the expression comes to; a Ref where it is not told."""
        self.steps -= 1
        if self.steps < 0:
            self.cut = True
            return unknown("value")
        if depth > DEEP:
            return unknown(named(node))
        if isinstance(node, ast.Constant):
            return self._constant(node.value)
        if isinstance(node, ast.Name):
            return self._name(node.id, scope)
        reader = _READERS.get(type(node))
        return unknown(named(node)) if reader is None else reader(self, node, scope, depth + 1)

    def arguments(self, node: ast.Call, scope: Scope, depth: int = 0) -> tuple[list[Value], dict[str, Value]]:
        """Values of a call's arguments, `*` and `**` spread where they are told."""
        by_name: dict[str, Value] = {}
        for keyword in node.keywords[:ITEMS]:
            value = self.value(keyword.value, scope, depth)
            if keyword.arg is not None:
                by_name[keyword.arg] = value
            elif isinstance(value, Table):
                by_name.update(value.items)
        return list(self._items(node.args, scope, depth)), by_name

    def _items(self, nodes: Sequence[ast.expr], scope: Scope, depth: int) -> tuple[Value, ...]:
        found: list[Value] = []
        for node in nodes[:ITEMS]:
            if isinstance(node, ast.Starred):
                value = self.value(node.value, scope, depth)
                if isinstance(value, tuple):
                    found += value[: ITEMS - len(found)] if len(found) < ITEMS else ()
                    self._charge(len(value))
                    continue
                found.append(value)
            else:
                found.append(self.value(node, scope, depth))
        if len(nodes) > ITEMS:
            self.cut = True
        return tuple(found)

    def _charge(self, size: int) -> bool:
        self.room -= size
        if size > TEXT or self.room < 0:
            self.cut = True
            return False
        return True

    def _bounded(self, made: "str | bytes | tuple[Value, ...]", name: str = "value") -> Value:
        return made if self._charge(len(made)) else unknown(name)

    def _constant(self, value: object) -> Value:
        if isinstance(value, str | bytes):
            return value if len(value) <= TEXT else unknown("value")
        if isinstance(value, bool) or value is None or isinstance(value, float):
            return value
        if isinstance(value, int) and abs(value) < _WORD:
            return value
        return unknown("value")

    def _name(self, name: str, scope: Scope) -> Value:
        value = scope.get(name)
        if not isinstance(value, _Missing):
            return value
        for module in self.stars:
            if f"{module}.{name}" in self.members:
                return Ref(f"{module}.{name}", name)
        return ref(name, name)

    def _attribute(self, node: ast.expr, scope: Scope, depth: int) -> Value:
        assert isinstance(node, ast.Attribute)
        return self._reached(node, self.value(node.value, scope, depth))

    def _reached(self, node: ast.Attribute, base: Value) -> Value:
        if isinstance(node.value, ast.Name):
            kept = self.attributes.get(f"{node.value.id if node.value.id != 'cls' else 'self'}.{node.attr}")
            if kept is not None:
                return kept
        return self.member(base, node.attr)

    def member(self, base: Value, attribute: str) -> Value:
        """What a value's attribute is."""
        if isinstance(base, Ref):
            path = f"{base.path}.{attribute}"
            return "python3" if path == "sys.executable" else ref(path, attribute)
        return unknown(attribute)

    def _joined(self, node: ast.expr, scope: Scope, depth: int) -> Value:
        assert isinstance(node, ast.JoinedStr)
        parts = []
        for part in node.values[:ITEMS]:
            inner = part.value if isinstance(part, ast.FormattedValue) else part
            parts.append(text(self.value(inner, scope, depth)))
        return self._bounded("".join(parts)) if self._charge(sum(map(len, parts))) else unknown("value")

    def _listed(self, node: ast.expr, scope: Scope, depth: int) -> Value:
        assert isinstance(node, ast.List | ast.Tuple | ast.Set)
        return self._bounded(self._items(node.elts, scope, depth))

    def _table(self, node: ast.expr, scope: Scope, depth: int) -> Value:
        assert isinstance(node, ast.Dict)
        items: dict[str, Value] = {}
        for key, value in zip(node.keys[:ITEMS], node.values[:ITEMS], strict=False):
            told = self.value(value, scope, depth)
            if key is None:
                items.update(told.items if isinstance(told, Table) else {})
            else:
                items[text(self.value(key, scope, depth))] = told
            if not self._charge(1):
                break
        return Table(items)

    def _binary(self, node: ast.expr, scope: Scope, depth: int) -> Value:
        assert isinstance(node, ast.BinOp)
        if isinstance(node.op, ast.Add):
            terms: list[ast.expr] = []
            left: ast.expr = node
            # a sum leans to the left: long ones are no nest
            while isinstance(left, ast.BinOp) and isinstance(left.op, ast.Add) and len(terms) < ITEMS:
                terms.append(left.right)
                left = left.left
            return self.sum([self.value(t, scope, depth) for t in (left, *reversed(terms))])
        first, second = self.value(node.left, scope, depth), self.value(node.right, scope, depth)
        if isinstance(node.op, ast.Mod) and isinstance(first, str | bytes):
            return self._percent(text(first), second)
        if isinstance(node.op, ast.Div):
            return self._bounded(f"{text(first)}/{text(second)}") if isinstance(second, str) else unknown("value")
        if isinstance(node.op, ast.Mult):
            return self._repeated(first, second)
        return _arithmetic(node.op, first, second)

    def sum(self, values: Sequence[Value]) -> Value:
        """The values one after the other, as `+` puts strings, lists and numbers together."""
        if any(isinstance(v, tuple) for v in values):
            found: list[Value] = []
            for v in values:
                found += v if isinstance(v, tuple) else (v,)
                if len(found) > ITEMS:
                    self.cut = True
                    break
            return self._bounded(tuple(found[:ITEMS]))
        if any(isinstance(v, str) for v in values):
            size = sum(len(v) if isinstance(v, str) else 8 for v in values)
            return "".join(text(v) for v in values) if self._charge(size) else unknown("value")
        if all(isinstance(v, bytes) for v in values):
            whole = [v for v in values if isinstance(v, bytes)]
            return b"".join(whole) if self._charge(sum(map(len, whole))) else unknown("value")
        numbers = [v for v in values if isinstance(v, int)]
        if len(numbers) == len(values):
            return self._constant(sum(numbers))
        return next((v for v in values if isinstance(v, Ref)), unknown("value"))

    def _repeated(self, first: Value, second: Value) -> Value:
        if isinstance(second, str | bytes | tuple):
            first, second = second, first
        if isinstance(first, str | bytes | tuple) and isinstance(second, int) and not isinstance(second, bool):
            most = ITEMS if isinstance(first, tuple) else TEXT
            if len(first) * max(second, 0) <= most and self._charge(len(first) * max(second, 0)):
                return first * max(second, 0)
            return unknown("value")  # room for something, not something said
        return _arithmetic(ast.Mult(), first, second)

    def _percent(self, pattern: str, values: Value) -> Value:
        rest = iter(values if isinstance(values, tuple) else (values,))

        def put(found: re.Match[str]) -> str:
            if found[0] == "%%":
                return "%"
            if found[1] is not None:
                return text(values.items.get(found[1], unknown(found[1]))) if isinstance(values, Table) else "$value"
            return text(next(rest, "$value"))

        return self._substituted(_PERCENT, put, pattern)

    def _formatted(self, pattern: str, args: list[Value], by_name: Mapping[str, Value]) -> Value:
        counted = iter(args)

        def put(found: re.Match[str]) -> str:
            if found[0] in ("{{", "}}"):
                return found[0][0]
            field = found[1]
            if field == "":
                return text(next(counted, "$value"))
            head = re.split(r"[.\[]", field, maxsplit=1)[0]
            if head.isascii() and head.isdigit():
                return text(args[int(head[:6])]) if int(head[:6]) < len(args) else "$value"
            whole = by_name.get(head, unknown(head))
            return text(whole) if head == field else text(unknown(re.split(r"\W+", field.rstrip("]"))[-1]))

        return self._substituted(_FIELD, put, pattern)

    def _substituted(self, pattern: re.Pattern[str], put: Callable[[re.Match[str]], str], source: str) -> Value:
        made: list[str] = []
        at = size = 0
        if self.room < 0 or self.steps < 0:
            return unknown("value")
        for found in pattern.finditer(source):
            made += (source[at : found.start()], put(found))
            at = found.end()
            size += len(made[-1])
            self.steps -= 1
            if size > TEXT:
                self._charge(size)
                return unknown("value")
        return self._bounded("".join((*made, source[at:])))

    def _chosen(self, node: ast.expr, scope: Scope, depth: int) -> Value:
        assert isinstance(node, ast.IfExp)
        first = self.value(node.body, scope, depth)
        return first if not isinstance(first, Ref) else self.value(node.orelse, scope, depth)

    def _either(self, node: ast.expr, scope: Scope, depth: int) -> Value:
        assert isinstance(node, ast.BoolOp)
        if isinstance(node.op, ast.And):
            return self.value(node.values[-1], scope, depth)
        first: Value = None
        for option in node.values[:ITEMS]:
            value = self.value(option, scope, depth)
            first = value if first is None else first
            if known(value):
                return value
        return first

    def _negative(self, node: ast.expr, scope: Scope, depth: int) -> Value:
        assert isinstance(node, ast.UnaryOp)
        value = self.value(node.operand, scope, depth)
        return -value if isinstance(value, int) and isinstance(node.op, ast.USub) else unknown("value")

    def _inner(self, node: ast.expr, scope: Scope, depth: int) -> Value:
        assert isinstance(node, ast.Await | ast.NamedExpr | ast.Starred)
        return self.value(node.value, scope, depth)

    def _subscript(self, node: ast.expr, scope: Scope, depth: int) -> Value:
        assert isinstance(node, ast.Subscript)
        base = self.value(node.value, scope, depth)
        if isinstance(node.slice, ast.Slice):
            return self._slice(base, node.slice, scope, depth)
        key = self.value(node.slice, scope, depth)
        if isinstance(base, Table):
            return base.items.get(text(key), unknown(text(key)))
        if isinstance(base, str | bytes | tuple) and isinstance(key, int):
            return base[key] if -len(base) <= key < len(base) else unknown("value")
        if isinstance(base, Ref):
            name = text(key) if isinstance(key, str) else base.name
            return ref(f"{base.path}[{text(key)[:60]}]", name)
        return unknown("value")

    def _slice(self, base: Value, node: ast.Slice, scope: Scope, depth: int) -> Value:
        if not isinstance(base, str | bytes | tuple):
            return base if isinstance(base, Ref) else unknown("value")
        ends = [None if e is None else self.value(e, scope, depth) for e in (node.lower, node.upper, node.step)]
        numbers = [e if isinstance(e, int) else None for e in ends]
        if numbers != ends or numbers[2] == 0:
            return unknown("value")
        return self._bounded(base[numbers[0] : numbers[1] : numbers[2]])

    def _comprehension(self, node: ast.expr, scope: Scope, depth: int) -> Value:
        """One loop over what is told, as decoders write it: `chr(x ^ 7) for x in DATA`."""
        assert isinstance(node, ast.ListComp | ast.GeneratorExp | ast.SetComp)
        loop = node.generators[0]
        if len(node.generators) > 1 or loop.ifs or not isinstance(loop.target, ast.Name):
            return unknown("value")
        items = self.value(loop.iter, scope, depth)
        if not isinstance(items, str | bytes | tuple):
            return items if isinstance(items, Ref) else unknown("value")
        inner, made = Scope(scope), list[Value]()
        for item in items[:ITEMS]:
            inner.names[loop.target.id] = item
            made.append(self.value(node.elt, inner, depth))
        if len(items) > ITEMS:
            self.cut = True
        return self._bounded(tuple(made))

    def _call(self, node: ast.expr, scope: Scope, depth: int) -> Value:
        assert isinstance(node, ast.Call)
        base: Value = None
        attribute = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if isinstance(node.func, ast.Attribute):
            base = self.value(node.func.value, scope, depth)
            if isinstance(base, str | bytes | tuple | Table):
                return self._method(base, attribute, *self.arguments(node, scope, depth))
            callee = self._reached(node.func, base)  # what it stands on is worked out once, else chains would double
        else:
            callee = self.value(node.func, scope, depth)
        path = callee.path if isinstance(callee, Ref) else ""
        if path in _ENVIRONMENT:
            args, _ = self.arguments(node, scope, depth)
            name = text(args[0]) if args else "value"
            return args[1] if len(args) > 1 and known(args[1]) else ref(f"os.environ[{name[:60]}]", name)
        pure = _PURE.get(path)
        if pure is not None:
            args, by_name = self.arguments(node, scope, depth)
            size = sum(len(a) for a in args if isinstance(a, str | bytes | tuple))
            if not self._charge(min(size, 65536) * 16 if path == "shlex.split" else size):
                return unknown("value")
            try:
                made = pure(args, by_name)
            except (ValueError, TypeError, IndexError, ArithmeticError, EOFError, OSError, LookupError):
                made = unknown(callee.name if isinstance(callee, Ref) else "value")
            if isinstance(made, str | bytes | tuple):
                return self._bounded(made)
            return made
        if path in ("getattr", "builtins.getattr"):
            args, _ = self.arguments(node, scope, depth)
            return self.member(args[0], text(args[1])) if len(args) > 1 else unknown("value")
        return ref(f"{path or '?' + named(node.func)}()", named(node.func))

    def _method(
        self, base: "str | bytes | tuple[Value, ...] | Table", name: str, args: list[Value], by_name: dict[str, Value]
    ) -> Value:
        if isinstance(base, Table):
            if name == "get" and args:
                return base.items.get(text(args[0]), args[1] if len(args) > 1 else unknown(text(args[0])))
            return unknown(name)
        if isinstance(base, tuple):
            return base if name == "copy" else unknown(name)
        if not self._charge(len(base)):
            return unknown(name)
        if name == "join":
            parts = args[0] if args else ()
            if isinstance(parts, tuple):
                told = [text(p) for p in parts]
                size = sum(map(len, told)) + len(base) * len(told)
                return text(base).join(told) if self._charge(size) else unknown("value")
            return parts if isinstance(parts, str) else unknown(parts.name if isinstance(parts, Ref) else "value")
        if name == "format" and isinstance(base, str):
            return self._formatted(base, args, by_name)
        if name == "format_map" and args and isinstance(args[0], Table):
            return self._formatted(text(base), [], args[0].items)
        try:
            made = _text_method(base, name, args)
        except (ValueError, TypeError, LookupError):
            return unknown(name)
        return self._bounded(made) if isinstance(made, str | bytes | tuple) else made


_PERCENT = re.compile(r"%(?:\((\w{1,60})\))?[-#0 +]{0,5}(?:\d{1,9}|\*)?(?:\.(?:\d{1,9}|\*))?[diouxXeEfFgGcrsa]|%%")
_FIELD = re.compile(r"\{\{|\}\}|\{([\w.\[\]]{0,80})(?:![rsa])?(?::[^{}]{0,80})?\}")


def _text_method(base: str | bytes, name: str, args: list[Value]) -> Value:
    if name == "decode" and isinstance(base, bytes):
        coding = text(args[0]) if args else "utf-8"
        return _decoded(base, coding)
    if name == "encode" and isinstance(base, str):
        return base.encode("utf-8", "surrogatepass")
    if name == "decode":
        return _decoded(text(base).encode("utf-8", "surrogatepass"), text(args[0]) if args else "utf-8")  # Python 2
    if name == "split":
        mark = text(args[0]) if args and args[0] is not None else None
        return tuple(text(base).split(mark or None, ITEMS))
    if name == "replace" and len(args) > 1:
        old, new = text(args[0]), text(args[1])
        if not old or len(new) > len(old) * 64 or len(new) * (len(base) // len(old)) > TEXT:
            return unknown("value")
        made = text(base).replace(old, new)
        return made if isinstance(base, str) else made.encode("utf-8", "surrogatepass")
    if name in ("strip", "lstrip", "rstrip", "lower", "upper", "swapcase", "expandtabs", "title", "removeprefix"):
        if name == "expandtabs":
            return base
        plain = [text(a) for a in args if isinstance(a, str | bytes)]
        made = getattr(text(base), name)(*plain)
        return str(made) if isinstance(base, str) else str(made).encode("utf-8", "surrogatepass")
    if name in ("as_posix", "resolve", "absolute", "expanduser", "splitlines"):
        return base if name != "splitlines" else tuple(text(base).split("\n", ITEMS))
    if name == "joinpath":
        return "/".join((text(base), *map(text, args)))
    return unknown(name)


def _arithmetic(op: ast.operator, first: Value, second: Value) -> Value:
    if not isinstance(first, int) or not isinstance(second, int):
        return first if isinstance(first, Ref) else unknown("value")
    if isinstance(op, ast.Sub):
        made = first - second
    elif isinstance(op, ast.Mult):
        made = first * second
    elif isinstance(op, ast.BitXor):
        made = first ^ second
    elif isinstance(op, ast.BitAnd):
        made = first & second
    elif isinstance(op, ast.BitOr):
        made = first | second
    elif isinstance(op, ast.Mod | ast.FloorDiv) and second:
        made = first % second if isinstance(op, ast.Mod) else first // second
    else:
        return unknown("value")
    return made if abs(made) < _WORD else unknown("value")


def _raw(value: Value) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    raise TypeError


def _decoded(data: bytes, coding: str) -> Value:
    """`data.decode(coding)`, Python 2's codecs that are no text among them. Raises ValueError or LookupError."""
    name = coding.lower().replace("-", "_")
    if name in ("base64", "base64_codec", "base_64"):
        return base64.b64decode(data)
    if name in ("hex", "hex_codec"):
        return binascii.unhexlify(data)
    if name in ("zlib", "zip", "zlib_codec"):
        return _inflated(data, 15)
    if name in ("rot13", "rot_13"):
        return codecs.decode(data.decode("utf-8", "replace"), "rot13")
    if name in (
        "utf_8",
        "utf8",
        "ascii",
        "latin_1",
        "latin1",
        "utf_8_sig",
        "iso_8859_1",
        "utf_16",
        "utf_16_le",
        "utf_32",
    ):
        return data.decode(name, "replace")
    raise LookupError(coding)


def _inflated(data: bytes, bits: int) -> bytes:
    import zlib

    try:
        return zlib.decompressobj(bits).decompress(data, TEXT)
    except zlib.error as e:
        raise ValueError(str(e)) from e


def _unpacked(kind: str) -> Callable[[list[Value], dict[str, Value]], Value]:
    def unpack(args: list[Value], by_name: dict[str, Value]) -> Value:
        data = _raw(args[0])
        if kind == "zlib":
            bits = args[1] if len(args) > 1 else by_name.get("wbits", 15)
            return _inflated(data, bits if isinstance(bits, int) and (8 <= abs(bits) <= 15 or 24 <= bits <= 47) else 15)
        if kind == "gzip":
            return _inflated(data, 31)
        if kind == "bz2":
            import bz2

            return bz2.BZ2Decompressor().decompress(data, TEXT)
        import lzma

        try:
            return lzma.LZMADecompressor(memlimit=64 << 20).decompress(data, TEXT)
        except lzma.LZMAError as e:
            raise ValueError(str(e)) from e

    return unpack


def _with_bytes(function: Callable[[bytes], bytes]) -> Callable[[list[Value], dict[str, Value]], Value]:
    return lambda args, _: function(_raw(args[0]))


def _same(args: list[Value], _: dict[str, Value]) -> Value:
    return args[0]


def _as_text(args: list[Value], _: dict[str, Value]) -> Value:
    return args[0] if args and isinstance(args[0], Ref) else text(args[0]) if args else ""


def _as_list(args: list[Value], _: dict[str, Value]) -> Value:
    if not args:
        return ()
    value = args[0]
    if isinstance(value, str):
        return tuple(value[:ITEMS])
    if isinstance(value, bytes):
        return tuple(value[:ITEMS])
    return value if isinstance(value, tuple | Ref) else unknown("value")


def _as_number(args: list[Value], _: dict[str, Value]) -> Value:
    value = args[0]
    if isinstance(value, str | bytes):
        base = args[1] if len(args) > 1 and isinstance(args[1], int) else 10
        return int(text(value)[:20], base)
    return value if isinstance(value, int | Ref) else unknown("value")


def _as_bytes(args: list[Value], _: dict[str, Value]) -> Value:
    value = args[0]
    if isinstance(value, tuple):
        return bytes([v for v in value if isinstance(v, int)])
    return _raw(value)


def _mapped(args: list[Value], _: dict[str, Value]) -> Value:
    function, items = args[0], args[1]
    if not isinstance(items, tuple | bytes | str) or not isinstance(function, Ref):
        return unknown("value")
    if function.path == "chr":
        return tuple(chr(i) for i in items[:ITEMS] if isinstance(i, int) and 0 <= i < 0xD800)
    if function.path == "str":
        return tuple(text(i) for i in items[:ITEMS])
    if function.path in ("int", "ord"):
        return tuple(_as_number([i], {}) if function.path == "int" else _ordinal(i) for i in items[:ITEMS])
    return items if isinstance(items, tuple) else unknown("value")


def _ordinal(value: Value) -> Value:
    return ord(text(value)) if isinstance(value, str | bytes) and len(value) == 1 else unknown("value")


def _split(args: list[Value], _: dict[str, Value]) -> Value:
    source = text(args[0])
    # shlex takes its time a character at a time
    return tuple(shlex.split(source[:65536])[:ITEMS])


def _reversed(args: list[Value], _: dict[str, Value]) -> Value:
    return args[0][::-1] if isinstance(args[0], str | bytes | tuple) else unknown("value")


_ENVIRONMENT = frozenset({"os.environ.get", "os.getenv", "os.environ.setdefault", "os.getenvb", "environ.get"})

_PURE: Mapping[str, Callable[[list[Value], dict[str, Value]], Value]] = {
    "str": _as_text,
    "int": _as_number,
    "list": _as_list,
    "tuple": _as_list,
    "bytes": _as_bytes,
    "bytearray": _as_bytes,
    "dict": lambda args, by_name: Table({**(args[0].items if args and isinstance(args[0], Table) else {}), **by_name}),
    "chr": lambda args, _: chr(args[0]) if isinstance(args[0], int) and 0 <= args[0] < 0xD800 else unknown("value"),
    "ord": lambda args, _: _ordinal(args[0]),
    "map": _mapped,
    "reversed": _reversed,
    "compile": _same,
    "bytes.fromhex": lambda args, _: bytes.fromhex(text(args[0])),
    "bytearray.fromhex": lambda args, _: bytes.fromhex(text(args[0])),
    "shlex.split": _split,
    "shlex.quote": lambda args, _: text(args[0]) if text(args[0]).startswith("$") else shlex.quote(text(args[0])),
    "pipes.quote": lambda args, _: text(args[0]) if text(args[0]).startswith("$") else shlex.quote(text(args[0])),
    "shlex.join": lambda args, _: " ".join(map(text, args[0])) if isinstance(args[0], tuple) else unknown("value"),
    "subprocess.list2cmdline": lambda args, _: " ".join(map(text, args[0])) if isinstance(args[0], tuple) else "$value",
    "os.path.join": lambda args, _: "/".join(text(a).rstrip("/") or "/" for a in args).replace("//", "/"),
    **dict.fromkeys(
        (
            "os.path.expanduser os.path.expandvars os.path.abspath os.path.realpath os.path.normpath os.fspath "
            "os.fsencode os.fsdecode shutil.which distutils.spawn.find_executable textwrap.dedent"
        ).split(),
        _same,
    ),
    **dict.fromkeys(
        ("pathlib.Path", "pathlib.PurePath", "pathlib.PosixPath"), lambda args, _: "/".join(map(text, args)) or "."
    ),
    **dict.fromkeys(
        ("__import__", "builtins.__import__", "importlib.import_module", "importlib.__import__"),
        lambda args, _: ref(text(args[0]), text(args[0]).rpartition(".")[2]),
    ),
    "base64.b64decode": _with_bytes(base64.b64decode),
    "base64.standard_b64decode": _with_bytes(base64.b64decode),
    "base64.decodebytes": _with_bytes(base64.b64decode),
    "base64.decodestring": _with_bytes(base64.b64decode),
    "base64.urlsafe_b64decode": _with_bytes(base64.urlsafe_b64decode),
    "base64.b32decode": _with_bytes(base64.b32decode),
    "base64.b16decode": _with_bytes(lambda data: base64.b16decode(data, casefold=True)),
    "base64.a85decode": _with_bytes(base64.a85decode),
    "base64.b85decode": _with_bytes(base64.b85decode),
    "binascii.unhexlify": _with_bytes(binascii.unhexlify),
    "binascii.a2b_hex": _with_bytes(binascii.unhexlify),
    "binascii.a2b_base64": _with_bytes(binascii.a2b_base64),
    "codecs.decode": lambda args, _: _decoded(_raw(args[0]), text(args[1]) if len(args) > 1 else "utf-8"),
    "codecs.encode": lambda args, _: _decoded(_raw(args[0]), text(args[1])) if "rot" in text(args[1]) else args[0],
    "zlib.decompress": _unpacked("zlib"),
    "gzip.decompress": _unpacked("gzip"),
    "bz2.decompress": _unpacked("bz2"),
    "lzma.decompress": _unpacked("lzma"),
}

_READERS: Mapping[type[ast.expr], Callable[[Evaluator, ast.expr, Scope, int], Value]] = {
    ast.Attribute: Evaluator._attribute,
    ast.JoinedStr: Evaluator._joined,
    ast.List: Evaluator._listed,
    ast.Tuple: Evaluator._listed,
    ast.Set: Evaluator._listed,
    ast.Dict: Evaluator._table,
    ast.BinOp: Evaluator._binary,
    ast.IfExp: Evaluator._chosen,
    ast.BoolOp: Evaluator._either,
    ast.UnaryOp: Evaluator._negative,
    ast.Await: Evaluator._inner,
    ast.NamedExpr: Evaluator._inner,
    ast.Starred: Evaluator._inner,
    ast.Subscript: Evaluator._subscript,
    ast.ListComp: Evaluator._comprehension,
    ast.GeneratorExp: Evaluator._comprehension,
    ast.SetComp: Evaluator._comprehension,
    ast.Call: Evaluator._call,
}
