"""Which files deserve YARA: derived from the rules, never missing a file that one of them holds for.

From a rule's condition follows that one of a few byte patterns lies in the file, or that it begins in a certain way.
All patterns are looked for in one pass, by hyperscan. A rule from which nothing follows makes every file deserve YARA.
"""

import re
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import MappingProxyType, TracebackType
from typing import Any, Literal, Self

from scanner.ruleset import Ruleset
from scanner.yarapattern import ANY, WEAKEST, Pattern, beginnings, needed, rarity
from scanner.yarapattern import bits as rareness
from scanner.yaratext import RuleText, Token, YaraString, number

HEAD = 64
"""Bytes of a file's head that `Prefilter.needs` may look at."""

SLOW = 20.0
"""Bits below which a rule's patterns lie in so many files that its author should know."""

_SLICE = 4 << 20
_ALIKE = 16
_MANY, _HARDLY = 128, 0.1
"""A set of so many byte values says next to nothing of a file's beginning: so many bits."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How files come to a rule: by one of the `patterns` in them, by one of the `magics` at their beginning, or always.

    A magic is a set of byte values (bit n: byte n) for each place from the first on. 2**-bits says how rare all that is.
    """

    patterns: tuple[Pattern, ...] = ()
    magics: tuple[tuple[int, ...], ...] = ()
    bits: float = 0.0

    @property
    def kind(self) -> str:
        """strings, magic, strings or magic, always."""
        return " or ".join(["strings"] * bool(self.patterns) + ["magic"] * bool(self.magics)) or "always"


ALWAYS = Reach()


@dataclass(frozen=True, slots=True)
class Claim:
    """What a condition, or a part of it, needs: `reach` at the least, and `least` of its `parts`."""

    reach: Reach
    least: int = 0
    parts: tuple["Claim", ...] = ()

    def may_hold(self, present: frozenset[str], head: bytes) -> bool:
        """Whether it can be true of a file in which just these patterns' expressions lie, and which begins so."""
        if self.parts:
            left, missing = self.least, len(self.parts) - self.least
            for part in self.parts:
                if part.may_hold(present, head):
                    left -= 1
                    if left <= 0:
                        return True
                else:
                    missing -= 1
                    if missing < 0:
                        return False
            return left <= 0
        reach = self.reach
        return (
            reach.kind == "always"
            or any(p.expression in present for p in reach.patterns)
            or any(_begins(head, m) for m in reach.magics)
        )


UNPROVED = Claim(ALWAYS)


class Prefilter:
    """What the rules need, compiled. `reach` maps a rule's id to how it is reached; `engine` is hyperscan or none.

    `problem` says why there is no engine; every file deserves a look then.
    """

    def __init__(self, reach: Mapping[str, Reach], claims: Mapping[str, Claim] | None = None) -> None:
        self.reach = MappingProxyType(dict(reach))
        self._claims = {i: Claim(r) for i, r in reach.items()} if claims is None else dict(claims)
        self.problem = ""
        self._database: Any = None
        self.always = any(r.kind == "always" for r in reach.values())
        magics = sorted({m for r in reach.values() for m in r.magics})
        self._magics = [tuple(m for m in magics if m[0] >> first & 1) for first in range(256)] if magics else None
        # every pattern is looked for when it is asked which rules may hold, the reaching ones only to name a file
        self._expressions = sorted({p.expression for c in self._claims.values() for p in _patterns(c)})
        self._reaching = sorted({p.expression for r in reach.values() for p in r.patterns})
        if self._reaching and not self.always:
            try:
                self._database = _compile(self._reaching)
            except _EngineError as e:
                self.problem = str(e)
                self.always = True

    @property
    def engine(self) -> str:
        return "hyperscan" if self._database is not None else "none"

    def needs(self, head: bytes) -> bool:
        """Whether a file that begins so deserves YARA whatever else it holds. Beyond a short head may stand anything."""
        if self.always or self._magics is None:
            return self.always
        return not head or any(_begins(head, magic) for magic in self._magics[head[0]])

    @cached_property
    def every(self) -> Any:
        """All patterns of all rules, each told of once; compiled when first needed. None if the engine refuses them."""
        try:
            return None if self._database is None else _compile(self._expressions, once=True)
        except _EngineError:
            return None

    @cached_property
    def block(self) -> Any:
        """The patterns for one small buffer at a time, four times as quick as a stream; compiled when first needed."""
        return None if self._database is None else _compile(self._reaching, streaming=False)

    def matcher(self) -> "Matcher":
        """One for each thread that scans."""
        return Matcher(self._database, self.always, self)

    def holdable(self, present: frozenset[int], head: bytes) -> frozenset[str]:
        """The ids of the rules that can hold for a file with these patterns (by number), which begins so."""
        expressions = frozenset(self._expressions[i] for i in present)
        return frozenset(i for i, claim in self._claims.items() if claim.may_hold(expressions, head))


def _patterns(claim: Claim) -> Iterator[Pattern]:
    yield from claim.reach.patterns if not claim.parts else ()
    for part in claim.parts:
        yield from _patterns(part)


def _begins(head: bytes, magic: tuple[int, ...]) -> bool:
    """Whether the head has the magic, or as much of it as fits."""
    return all(members >> byte & 1 for members, byte in zip(magic, head, strict=False))


def _stop(_id: int, _start: int, _end: int, _flags: int, _context: object) -> bool:
    """One match is enough. A function of the module: hyperscan keeps no reference to it."""
    return True


class Matcher:
    """Looks for the patterns; belongs to one thread."""

    def __init__(self, database: Any, always: bool, owner: Prefilter) -> None:
        self._database = database
        self._scratch = None if database is None else database.scratch.clone()
        self._always = always
        self._owner = owner
        self._all_scratch: Any = None
        self._block_scratch: Any = None

    def search(self, data: memoryview | bytes) -> bool:
        """Whether any pattern lies in these bytes."""
        if self._database is None:
            return self._always
        if len(data) <= _SLICE and (block := self._owner.block) is not None:
            if self._block_scratch is None:
                self._block_scratch = block.scratch.clone()
            return self._found(block, data)
        view = memoryview(data)
        with self.stream(lambda _: True) as stream:
            return not all(stream.scan(view[at : at + _SLICE]) for at in range(0, len(view), _SLICE))

    def _found(self, block: Any, data: memoryview | bytes) -> bool:
        from hyperscan import ScanTerminated

        try:
            block.scan(data, match_event_handler=_stop, scratch=self._block_scratch)
        except ScanTerminated:
            return True
        return False

    def rules(self, data: memoryview | bytes) -> frozenset[str] | None:
        """The ids of the rules that can hold for these bytes, mostly none of them; None where that is not known.

        One more pass over a file that `search` or a stream named: YARA takes ten times as long.
        """
        every = self._owner.every
        if every is None:
            return None
        if self._all_scratch is None:
            self._all_scratch = every.scratch.clone()
        present: set[int] = set()

        def tell(number: int, _start: int, _end: int, _flags: int, _context: object) -> bool:
            present.add(number)
            return False

        view = memoryview(data)
        stream = every.stream(match_event_handler=tell).__enter__()
        try:
            for at in range(0, len(view), _SLICE):
                stream.scan(view[at : at + _SLICE], scratch=self._all_scratch)
        finally:
            stream.close()
        return self._owner.holdable(frozenset(present), bytes(view[:HEAD]))

    def stream(self, on_match: Callable[[int], bool]) -> "Stream":
        """Looks on through chunks; `on_match` is told where a match ends, in bytes since the stream's begin.

        A place may be told more than once. Should `on_match` return True, the stream ends there.
        """
        return Stream(self._database, self._scratch, on_match)


class Stream:
    """One run of bytes, in chunks. Close it; the matcher it came from must not scan on another thread meanwhile."""

    def __init__(self, database: Any, scratch: Any, on_match: Callable[[int], bool]) -> None:
        self._scratch = scratch
        self._stopped = False
        self._error: BaseException | None = None

        def tell(_id: int, _start: int, end: int, _flags: int, _context: object) -> bool:
            try:
                return on_match(end)
            except BaseException as e:  # the engine would swallow it: `scan` raises it again
                self._error = e
                return True

        # hyperscan keeps no reference to the callback: whoever drops it crashes the process
        self._tell = tell
        self._stream = None if database is None else database.stream(match_event_handler=tell).__enter__()

    def scan(self, chunk: memoryview | bytes) -> bool:
        """False once `on_match` returned True: the rest of this chunk was not looked at, and no other may follow."""
        if self._stopped:
            return False
        if self._stream is None or not len(chunk):
            return True
        from hyperscan import ScanTerminated

        try:
            self._stream.scan(chunk, scratch=self._scratch)
        except ScanTerminated:
            self._stopped = True
            if self._error is not None:
                raise self._error from None
            return False
        return True

    def close(self) -> None:
        if self._stream is not None:
            # given a scratch it fails on a wrongly declared argument; the database's own, which it takes, nobody scans with
            self._stream.close()
            self._stream = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _EngineError(Exception):
    pass


def _compile(expressions: Sequence[str], once: bool = False, streaming: bool = True) -> Any:
    """The expressions as a streaming database; `once`: each is told of at most once in a stream."""
    try:
        import hyperscan
    except ImportError as e:
        raise _EngineError(f"hyperscan is not installed: {e}") from e
    database = hyperscan.Database(mode=hyperscan.HS_MODE_STREAM if streaming else hyperscan.HS_MODE_BLOCK)
    try:
        database.compile(
            expressions=[e.encode() for e in expressions],
            ids=list(range(len(expressions))),
            elements=len(expressions),
            flags=[hyperscan.HS_FLAG_SINGLEMATCH if once else 0] * len(expressions),
        )
    except hyperscan.error as e:
        raise _EngineError(f"hyperscan cannot compile the rules' strings: {e}") from e
    return database


FEW = 1_000
"""Paths up to which `re` alone is quicker than making hyperscan ready."""
_SPECIAL = re.compile(rb"\(\?(?!:)|[*+?}]\+")
_REPEATS = re.compile(rb"(?<!\\)\{(\d+)(?:,\d*)?\}")
_ENDS = re.compile(rb"(?<!\\)((?:\\\\)*)\\([AZ])")
_BELOW = b"(?:^|/)"


class Names:
    """Whether any of many regular expressions is found in a path (re.search), asked of a million paths.

    hyperscan looks for all of them in many paths at once, each made a little wider so that it compiles quickly; what it
    finds, `re` confirms. Expressions with lookarounds or atomic groups, and all where there is no hyperscan, are `re`'s.
    """

    def __init__(self, patterns: Iterable[bytes]) -> None:
        unique = list(dict.fromkeys(patterns))
        self._plain = [p for p in unique if not _SPECIAL.search(p.removeprefix(b"(?i)"))]
        self._joined = _joined(self._plain)
        self._exact = any_of([p for p in unique if p not in set(self._plain)])
        self._local = threading.local()
        self._asked = 0

    def search(self, path: bytes) -> bool:
        """May be called from any thread."""
        if self._exact.search(path) is not None:
            return True
        self._asked += 1
        if self._asked > FEW and self._database is not None and not self._may_match(path):
            return False
        return self._joined.search(path) is not None

    def _may_match(self, path: bytes) -> bool:
        from hyperscan import ScanTerminated

        if not hasattr(self._local, "scratch"):
            self._local.scratch = self._database.scratch.clone()
        try:
            self._database.scan(path, match_event_handler=_stop, scratch=self._local.scratch)
        except ScanTerminated:
            return True
        return False

    def search_all(self, paths: Sequence[bytes]) -> list[bool]:
        """The answer for each path. For one thread: it keeps hyperscan's scratch space."""
        self._asked += len(paths)
        text = b"\n".join(paths)
        if self._asked <= FEW or self._database is None or text.count(b"\n") != len(paths) - 1:
            return [self.search(path) for path in paths]
        ends: list[int] = []
        self._database.scan(text, match_event_handler=lambda _id, _from, to, _flags, _context: ends.append(to))
        found = [self._exact.search(path) is not None for path in paths]
        if ends:
            begins = [0, *(m.end() for m in re.finditer(b"\n", text))]
            for at in {bisect_left(begins, end) - 1 for end in ends}:
                found[at] = found[at] or self._joined.search(paths[at]) is not None
        return found

    @cached_property
    def _database(self) -> Any:
        try:
            return _compile_paths([_widened(p) for p in self._plain]) if self._plain else None
        except _EngineError:
            return None


def any_of(patterns: Sequence[bytes]) -> re.Pattern[bytes]:
    """One pattern for all, which never matches if there are none; a leading `(?i)` counts for its own part only."""
    if not patterns:
        return re.compile(b"(?!)")
    return re.compile(
        b"|".join(b"(?i:" + p[4:] + b")" if p.startswith(b"(?i)") else b"(?:" + p + b")" for p in patterns)
    )


def _joined(patterns: Sequence[bytes]) -> re.Pattern[bytes]:
    """As `any_of`, with what begins a name tried at the beginnings of names alone: eight times as quick."""
    below = [p for p in patterns if p.startswith(_BELOW) and not _branches(p)]
    rest = [p for p in patterns if p not in set(below)]
    names = b"|".join(b"(?:" + p[len(_BELOW) :] + b")" for p in below)
    return any_of([*([_BELOW + b"(?:" + names + b")"] if below else []), *rest])


def _branches(pattern: bytes) -> bool:
    """Whether a `|` stands outside of all groups and sets."""
    bare = re.sub(rb"\\.|\[\^?\]?(?:[^\]\\]|\\.)*\]", b"", pattern)
    depth = 0
    for c in bare:
        depth += (c == 0x28) - (c == 0x29)
        if c == 0x7C and not depth:
            return True
    return False


def _widened(pattern: bytes) -> bytes:
    """The expression for hyperscan, at least what `re` matches, for paths that are lines.

    Counted repeats, which are slow to compile, lose their count.
    """
    pattern = _REPEATS.sub(lambda m: b"*" if int(m[1]) == 0 else b"+", pattern)
    return _ENDS.sub(lambda m: m[1] + (b"^" if m[2] == b"A" else b"$"), pattern)


def _compile_paths(expressions: Sequence[bytes]) -> Any:
    try:
        import hyperscan
    except ImportError as e:
        raise _EngineError(f"hyperscan is not installed: {e}") from e
    flags = hyperscan.HS_FLAG_PREFILTER | hyperscan.HS_FLAG_DOTALL | hyperscan.HS_FLAG_MULTILINE
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    try:
        database.compile(
            expressions=list(expressions),
            ids=list(range(len(expressions))),
            elements=len(expressions),
            flags=[flags] * len(expressions),
        )
    except hyperscan.error as e:
        raise _EngineError(f"hyperscan cannot compile the paths: {e}") from e
    return database


def build(ruleset: Ruleset) -> Prefilter:
    """The prefilter for these rules."""
    claims: dict[str, Claim] = {}
    ids = {(r.namespace, r.identifier): r.rule.id for r in ruleset.rules}
    for source in ruleset.sources:
        proved: dict[str, Claim] = {}
        for _, text in source.rules:
            proved[text.identifier] = found = _Condition(text, proved).claim()
            if not text.private:
                claims[ids[source.namespace, text.identifier]] = found
    return Prefilter({i: c.reach for i, c in claims.items()}, claims)


# what follows from a condition

_COMPARE = ("==", "!=", "<", "<=", ">", ">=")
_MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "==": "==", "!=": "!="}
_SIZES: dict[str, tuple[int, Literal["little", "big"]]] = {
    "uint8": (1, "little"),
    "uint8be": (1, "big"),
    "uint16": (2, "little"),
    "uint16be": (2, "big"),
    "uint32": (4, "little"),
    "uint32be": (4, "big"),
}


class _Condition:
    """Reads one condition. Wherever it does not know better, nothing follows: UNPROVED.

    `and` is proved by its rarest side, `or` by all; `not` proves nothing. What is undefined makes a comparison false.
    """

    def __init__(self, text: RuleText, earlier: Mapping[str, Claim]) -> None:
        self._text = text
        self._earlier = earlier
        self._strings: dict[int, Claim] = {}

    def claim(self) -> Claim:
        return self._expression(self._text.condition, None, frozenset())

    def _expression(self, tokens: Sequence[Token], each: YaraString | None, hidden: frozenset[str]) -> Claim:
        """`each` is what `$` means inside `for … of`, `hidden` are loop variables."""
        choices = _split(tokens, "or")
        if len(choices) > 1:
            return _or([self._expression(c, each, hidden) for c in choices])
        parts = _split(tokens, "and")
        if len(parts) > 1:
            return _and([self._expression(p, each, hidden) for p in parts])
        return self._atom(tokens, each, hidden)

    def _atom(self, t: Sequence[Token], each: YaraString | None, hidden: frozenset[str]) -> Claim:
        if not t or t[0].text in ("not", "defined"):
            return UNPROVED
        if t[0].kind == "(" and _closing(t, 0) == len(t) - 1:
            return self._expression(t[1:-1], each, hidden)
        if t[0].kind == "word" and t[0].text == "for":
            return self._for(t, hidden)
        if (at := _find(t, "of")) is not None:
            return self._of(t[:at], t[at + 1 :])
        if len(t) == 1 and t[0].kind == "word":
            return UNPROVED if t[0].text in hidden else self._earlier.get(t[0].text, UNPROVED)
        compared = [i for i in _top(t) if t[i].kind in _COMPARE]
        if len(compared) == 1:
            [i] = compared
            left, right = t[:i], t[i + 1 :]
            found = self._compared(left, t[i].kind, right, each)
            return found if found is not UNPROVED else self._compared(right, _MIRRORED[t[i].kind], left, each)
        if not compared and t[0].kind == "string":
            if t[0].text[0] == "#":
                return self._named(t[0], each) if len(t) == 1 or t[1].text == "in" else UNPROVED
            if t[0].text[0] == "$" and (len(t) == 1 or t[1].text in ("at", "in")):
                place = number(t[2].text) if len(t) == 3 and t[1].text == "at" and t[2].kind == "number" else None
                return self._named(t[0], each, place)
        return UNPROVED

    def _compared(self, left: Sequence[Token], operator: str, right: Sequence[Token], each: YaraString | None) -> Claim:
        """`#a > 1`, `@a < 100`, `!a[1] == 4`, `uint32(0) == 0x464c457f`."""
        if not left:
            return UNPROVED
        value = number(right[0].text) if len(right) == 1 and right[0].kind == "number" else None
        first = left[0]
        if first.kind == "string" and first.text[0] in "@!":
            alone = len(left) == 1 or (left[1].kind == "[" and _closing(left, 1) == len(left) - 1)
            return self._named(first, each) if alone else UNPROVED
        if first.kind == "string" and first.text[0] == "#" and value is not None:
            alone = len(left) == 1 or (
                left[1].text == "in" and left[2].kind == "(" and _closing(left, 2) == len(left) - 1
            )
            least = {">": value + 1, ">=": value, "==": value, "!=": 1 - value}.get(operator, 0)
            return self._named(first, each) if alone and least > 0 else UNPROVED
        if (
            first.text in _SIZES
            and operator in ("==", "!=")
            and value is not None
            and [k.kind for k in left[1:]] == ["(", "number", ")"]
        ):
            size, order = _SIZES[first.text]
            offset = number(left[2].text)
            if offset is not None and offset + size <= HEAD and value < 1 << 8 * size:
                sets = [1 << b for b in value.to_bytes(size, order)]
                if operator == "==":
                    return Claim(_magic([ANY] * offset + sets))
                # one of the bytes is another one: next to nothing as a reach, but it tells a program from a text
                others = (tuple([ANY] * (offset + at) + [ANY ^ one]) for at, one in enumerate(sets))
                return Claim(Reach((), tuple(others), _HARDLY))
        return UNPROVED

    def _of(self, quantifier: Sequence[Token], rest: Sequence[Token]) -> Claim:
        strings = self._set(rest)
        return UNPROVED if strings is None else _count(quantifier, [self._string(s) for s in strings])

    def _for(self, t: Sequence[Token], hidden: frozenset[str]) -> Claim:
        """`for all of ($a*) : ( … )`, `for any i in (…) : ( … )`."""
        colon = next((i for i in _top(t) if t[i].kind == ":"), None)
        if colon is None or t[-1].kind != ")" or _closing(t, colon + 1) != len(t) - 1:
            return UNPROVED
        body = t[colon + 2 : -1]
        if (at := _find(t[:colon], "of")) is not None:
            strings = self._set(t[at + 1 : colon])
            return (
                UNPROVED if strings is None else _count(t[1:at], [self._expression(body, s, hidden) for s in strings])
            )
        if t[1].text == "any":
            variables = {k.text for k in t[2:colon] if k.kind == "word"}
            return self._expression(body, None, hidden | variables)
        return UNPROVED

    def _set(self, t: Sequence[Token]) -> list[YaraString] | None:
        """The strings that a set names, each as often as it is named; None for a set of rules."""
        if t and t[0].text == "them":
            return list(self._text.strings)
        if not t or t[0].kind != "(":
            return None
        chosen: list[YaraString] = []
        for token in t[1 : _closing(t, 0)]:
            if token.kind == ",":
                continue
            if token.kind != "string" or token.text[0] != "$":
                return None
            name = token.text
            chosen += (
                s for s in self._text.strings if s.name == name or (name[-1] == "*" and s.name.startswith(name[:-1]))
            )
        return chosen

    def _named(self, token: Token, each: YaraString | None, place: int | None = None) -> Claim:
        """The string that `$a`, `#a`, `@a` or `!a` speaks of, lying anywhere or at a fixed place."""
        name = "$" + token.text[1:]
        string = each if name == "$" else next((s for s in self._text.strings if s.name == name), None)
        if string is None:
            return UNPROVED
        found = self._string(string)
        if place is not None and place < HEAD and (sets := beginnings(string, HEAD - place)):
            return Claim(_either(_magic([*([ANY] * place), *s]) for s in sets))
        return found

    def _string(self, string: YaraString) -> Claim:
        if id(string) not in self._strings:
            patterns = _needed(string.kind, string.source, tuple(string.modifiers.items()))
            self._strings[id(string)] = Claim(Reach(patterns, (), rarity(patterns))) if patterns else UNPROVED
        return self._strings[id(string)]


@lru_cache(maxsize=1 << 13)
def _needed(kind: str, source: str, modifiers: tuple[tuple[str, str], ...]) -> tuple[Pattern, ...] | None:
    """What a string needs does not hang on its name, and is worked out once for all scans of a process."""
    return needed(YaraString("", kind, source, dict(modifiers)))


def _magic(sets: Sequence[int]) -> Reach:
    """Many files begin alike: the first bytes say less than their number."""
    first = [s for s in sets[:_ALIKE] if s.bit_count() <= _MANY]
    bits = min(20.0, 12.0 + 2 * len(first)) if first else _HARDLY
    return Reach((), (tuple(sets),), bits + sum(map(rareness, sets[_ALIKE:])))


def _and(parts: Sequence[Claim]) -> Claim:
    return Claim(_best(p.reach for p in parts), len(parts), tuple(parts))


def _or(parts: Sequence[Claim]) -> Claim:
    return Claim(_either(p.reach for p in parts), 1, tuple(parts))


def _best(sides: Iterable[Reach]) -> Reach:
    """What proves a conjunction: its rarest side; the first of equals."""
    return max(sides, key=lambda r: r.bits, default=ALWAYS)


def _either(sides: Iterable[Reach]) -> Reach:
    """What proves a disjunction: all sides together, if every one is proved and the lot is still rare."""
    found = list(sides)
    if not found or any(r.kind == "always" for r in found):
        return ALWAYS
    patterns = tuple(dict.fromkeys(p for r in found for p in r.patterns))
    magics = tuple(dict.fromkeys(m for r in found for m in r.magics))
    bits = rarity([*patterns, *(Pattern("", _magic(m).bits) for m in magics)])
    return Reach(patterns, magics, bits) if bits >= WEAKEST / 2 else ALWAYS


def _count(quantifier: Sequence[Token], sides: Sequence[Claim]) -> Claim:
    """At least so many of these: all but the commonest `so many - 1`."""
    if len(quantifier) == 1 and sides:
        word = quantifier[0]
        least = {"any": 1, "all": len(sides)}.get(word.text) or (number(word.text) if word.kind == "number" else None)
    elif len(quantifier) == 2 and quantifier[0].kind == "number" and quantifier[1].kind == "%":
        least = 1 if number(quantifier[0].text) else None
    else:
        least = None
    if not least or not sides:
        return UNPROVED
    rarest = sorted((side.reach for side in sides), key=lambda r: -r.bits)
    return Claim(_either(rarest[: max(1, len(sides) - least + 1)]), least, tuple(sides))


def _top(t: Sequence[Token]) -> list[int]:
    """Where tokens stand outside of parentheses and brackets."""
    depth, places = 0, []
    for i, token in enumerate(t):
        depth -= token.kind in (")", "]")
        if depth == 0:
            places.append(i)
        depth += token.kind in ("(", "[")
    return places


def _split(t: Sequence[Token], word: str) -> list[Sequence[Token]]:
    cuts = [i for i in _top(t) if t[i].kind == "word" and t[i].text == word]
    return [t[a + 1 : z] for a, z in zip([-1, *cuts], [*cuts, len(t)], strict=True)]


def _find(t: Sequence[Token], word: str) -> int | None:
    return next((i for i in _top(t) if t[i].kind == "word" and t[i].text == word), None)


def _closing(t: Sequence[Token], opening: int) -> int:
    """Where the parenthesis or bracket that opens there closes; -1 if it does not."""
    depth = 0
    for i in range(opening, len(t)):
        depth += t[i].kind in ("(", "[")
        depth -= t[i].kind in (")", "]")
        if depth == 0:
            return i
    return -1
