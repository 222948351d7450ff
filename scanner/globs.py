"""Globs over paths, matched in time linear in the text: no pattern can make a match slow.

`*` and `?` stay within a part of a path, `**` goes through parts (`a/**` is also `a` itself, `**/a` also the topmost `a`), `[…]` is
one character of a set (`[!…]` one outside of it), never a `/`. Nothing escapes a sign; `[*]`, `[?]` and `[[]` are the signs themselves,
and so is a `[` that is never closed.

The pattern is an automaton whose states are the bits of one number (Baeza-Yates and Gonnet's shift-and, with loops): each character of
the text costs a few operations on that number, whatever came before.
"""

import re
from dataclasses import dataclass, field

LONGEST = 1024
"""Characters of a pattern."""
_SIGNS = re.compile(r"[*?\[]")
_ALL = (1 << 21) - 1


@dataclass(frozen=True, slots=True)
class _Set:
    """One character: `ranges` of code points, or what lies outside of them; a slash only where `slash` says so."""

    ranges: tuple[tuple[int, int], ...]
    negated: bool = False
    slash: bool = False

    def takes(self, character: str) -> bool:
        if character == "/" and not self.slash:
            return False
        point = ord(character)
        return any(low <= point <= high for low, high in self.ranges) != self.negated


_PART = _Set(((0, _ALL),))
_ANY = _Set(((0, _ALL),), slash=True)
_SLASH = _Set(((47, 47),), slash=True)


@dataclass(frozen=True)
class Glob:
    """A pattern that is ready to match; `of` makes one."""

    pattern: str
    _literal: str | None = None
    """The text itself, where the pattern has no signs."""
    _within: str = ""
    """What every text of the pattern holds: most texts are refused by that alone."""
    _steps: tuple[_Set | None, ...] = ()
    """What leads from a state to the next one; None: nothing does but a jump."""
    _loops: tuple[_Set | None, ...] = ()
    """What keeps a state."""
    _jumps: tuple[int, ...] = ()
    """How many states a state may leave behind without a character: bit 1 and 2."""
    _masks: dict[str, tuple[int, int]] = field(default_factory=dict, compare=False, repr=False)

    def matches(self, text: str) -> bool:
        """Whether the whole text is of the pattern."""
        if self._literal is not None:
            return text == self._literal
        if self._within not in text:
            return False
        states = self._closed(1)
        for character in text:
            masks = self._masks.get(character)
            if masks is None:
                masks = self._mask(character)
            states = ((states & masks[0]) << 1) | (states & masks[1])
            if not states:
                return False
            states = self._closed(states)
        return bool(states >> len(self._steps) & 1)

    def _mask(self, character: str) -> tuple[int, int]:
        """The states that the character leads on from, and those that it keeps."""
        step = sum(1 << n for n, one in enumerate(self._steps) if one is not None and one.takes(character))
        loop = sum(1 << n for n, one in enumerate(self._loops) if one is not None and one.takes(character))
        if len(self._masks) < 4096:
            self._masks[character] = step, loop
        return step, loop

    def _closed(self, states: int) -> int:
        one, two = self._jumps
        while True:
            more = states | (states & one) << 1 | (states & two) << 2
            if more == states:
                return states
            states = more


def of(pattern: str) -> Glob:
    """The glob; a leading `/` or `./` says nothing. Raises ValueError, in words, for a pattern that is none."""
    if len(pattern) > LONGEST:
        raise ValueError(f"a pattern has at most {LONGEST} characters")
    pattern = relative(pattern)
    if not pattern:
        raise ValueError("an empty pattern matches nothing")
    if not _SIGNS.search(pattern):
        return Glob(pattern, pattern)
    run = within = ""
    steps: list[_Set | None] = []
    loops: list[_Set | None] = []
    one = two = 0

    def state(step: _Set | None, loop: _Set | None = None) -> int:
        steps.append(step)
        loops.append(loop)
        return 1 << len(steps) - 1

    at = 0
    while at < len(pattern):
        begins, before = at == 0 or pattern[at - 1] == "/", run
        run = ""
        if pattern.startswith("/**", at) and at + 3 == len(pattern):
            two |= state(_SLASH)
            one |= state(None, _ANY)
            at += 3
        elif begins and pattern.startswith("**/", at):
            while pattern.startswith("**/", at):
                at += 3
            here = state(None)
            one, two = one | here, two | here
            state(_SLASH, _ANY)
        elif pattern[at] == "*":
            stars = len(pattern[at:]) - len(pattern[at:].lstrip("*"))
            one |= state(None, _ANY if stars > 1 else _PART)
            at += stars
        elif pattern[at] == "?":
            state(_PART)
            at += 1
        elif (
            pattern[at] == "["
            and (end := pattern.find("]", at + 3 if pattern[at + 1 : at + 2] in ("!", "^") else at + 2)) > 0
        ):
            state(_set(pattern[at + 1 : end]))
            at = end + 1
        else:
            point = ord(pattern[at])
            state(_Set(((point, point),), slash=True))
            run = before + pattern[at]
            within = max(within, run, key=len)
            at += 1
    loops.append(None)  # of the last state, which nothing leaves
    return Glob(pattern, None, within, tuple(steps), tuple(loops), (one, two))


def relative(path: str) -> str:
    """The path as patterns see it: without the slashes and the `./` that it begins with."""
    return re.sub(r"^(?:\.?/+)+", "", path)


def literal(text: str) -> str:
    """The pattern that matches this text alone."""
    return _SIGNS.sub(lambda found: f"[{found[0]}]", text)


def _set(inner: str) -> _Set:
    """The set between its brackets."""
    negated = inner[:1] in ("!", "^")
    inner = inner[negated:]
    ranges = []
    n = 0
    while n < len(inner):
        low = high = ord(inner[n])
        if n + 2 < len(inner) and inner[n + 1] == "-":
            high = ord(inner[n + 2])
            n += 2
        if low > high:
            raise ValueError(f"the range {chr(low)}-{chr(high)} is empty")
        ranges.append((low, high))
        n += 1
    return _Set(tuple(ranges), negated)
