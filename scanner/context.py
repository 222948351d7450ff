"""What stands around evidence: a few bytes of its file, kept with it so that a reader can see it where it was.

A file that is there to hold secrets keeps none, and neither does one in which a private key begins. From all others the
secrets are taken away before anything is cut out, so that the half of none is left at an edge.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from scanner import credentials, masked
from scanner.content import Content
from scanner.model import Context, Evidence

SIZE = 160
"""Bytes of a context."""
BEFORE = 48
"""Of them, those before an offset in a file that is no text."""
PER_KIND = 8
"""Contexts of one file and one kind of evidence."""
PER_LAYER = 1 << 20
"""Bytes of one layer's contexts."""
WHOLE = 64 << 10
"""Bytes of a file in which secrets are looked for from its beginning to its end; of a larger one, as many in all."""
REACH = 8 << 10
"""Bytes before and behind a context in which they are looked for in a larger file."""
LINES = 4 << 20
"""Bytes of a file in which lines are counted."""

_SECRETS = frozenset({("credentials", "credential"), ("ssh_private_key", "key"), ("tunnel_tool", "config")})
"""Evidence (its detector, its kind) of a file that is there to hold secrets, in forms that only its reader knows."""
_NAMES = re.compile(b"|".join((rb"(?:^|/)(?:g?shadow|opasswd)-?$", *(path for _, path in credentials.PATHS))))
_WIDE = re.compile(rb"(?:[\t\n\r -~]\0){8,}")
"""Text in UTF-16, of either order."""
_KEY = re.compile(
    rb"-----(?:BEGIN|END) (?!CERTIFICATE|PUBLIC KEY|RSA PUBLIC KEY)|Private-Lines:|b3BlbnNzaC1rZXktdjE|LS0tLS1CRUdJTi"
)


def added(content: Content, evidence: Sequence[Evidence]) -> list[Evidence]:
    """The evidence of one file, with what stands around it where that is kept: up to PER_KIND for each kind."""
    if not evidence or _NAMES.search(content.name) or any((e.detector, e.kind) in _SECRETS for e in evidence):
        return list(evidence)
    shown = dict(_shown(content, dict(_spans(content, evidence))))
    return [replace(one, context=shown[place]) if place in shown else one for place, one in enumerate(evidence)]


class Room:
    """What a layer's contexts may take: what comes first has it."""

    def __init__(self) -> None:
        self._free = PER_LAYER

    def within(self, evidence: Iterable[Evidence]) -> tuple[Evidence, ...]:
        """The evidence, without the contexts for which there is no room."""
        kept = []
        for one in evidence:
            if one.context is not None:
                self._free -= len(one.context.data)
            kept.append(replace(one, context=None) if one.context is not None and self._free < 0 else one)
        return tuple(kept)


def _spans(content: Content, evidence: Sequence[Evidence]) -> Iterator[tuple[int, tuple[int, int]]]:
    """Which bytes to keep for which evidence, by its place among the others."""
    counts: dict[tuple[str, str], int] = {}
    lines: _Lines | None = None
    for place, one in enumerate(evidence):
        if (one.path, one.inner) != (content.path, content.inner) or (one.offset is None and one.line is None):
            continue
        kind = (one.detector, one.kind)
        counts[kind] = counts.get(kind, 0) + 1
        if counts[kind] > PER_KIND:
            continue
        if content.is_text:
            lines = lines or _Lines(bytes(content.data[:LINES]))
            span = lines.around(one)
        else:
            span = None if one.offset is None or one.offset >= content.size else _row(one.offset, content.size)
        if span is not None:
            yield place, span


def _row(offset: int, size: int) -> tuple[int, int]:
    """Rows of sixteen bytes, as a hex dump shows them."""
    begin = max(0, offset - BEFORE) & ~15
    return begin, min(begin + SIZE, size)


class _Lines:
    """The lines of a text, found as they are asked for."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._starts = [0]

    def around(self, evidence: Evidence) -> tuple[int, int] | None:
        """The line of the evidence and as many of its neighbours as fit, whole; a part of a line that is too long."""
        found = self._line(evidence)
        if found is None:
            return None
        begin, end = found
        if end - begin > SIZE:
            return self._part(evidence, begin, end)
        while True:
            after = self._next(end)
            if after is not None and after[1] - begin <= SIZE:
                end = after[1]
            before = self._previous(begin)
            if before is not None and end - before <= SIZE:
                begin = before
            elif after is None or end != after[1]:
                return begin, end

    def _line(self, evidence: Evidence) -> tuple[int, int] | None:
        """Without the newline at its end; None for one that is not among the bytes."""
        data, starts = self._data, self._starts
        if evidence.offset is not None:
            if evidence.offset >= len(data):
                return None
            begin = data.rfind(b"\n", 0, evidence.offset) + 1
        else:
            assert evidence.line is not None
            while len(starts) < evidence.line:
                newline = data.find(b"\n", starts[-1])
                if newline < 0:
                    return None
                starts.append(newline + 1)
            begin = starts[evidence.line - 1]
        return begin, self._end(begin)

    def _end(self, begin: int) -> int:
        end = self._data.find(b"\n", begin)
        return len(self._data) if end < 0 else end

    def _next(self, end: int) -> tuple[int, int] | None:
        return (end + 1, self._end(end + 1)) if end < len(self._data) - 1 else None

    def _previous(self, begin: int) -> int | None:
        return self._data.rfind(b"\n", 0, begin - 1) + 1 if begin > 0 else None

    def _part(self, evidence: Evidence, begin: int, end: int) -> tuple[int, int]:
        """A part of one long line: around the offset, else around the words that were seen, else its beginning."""
        seen = evidence.excerpt[:24].encode("utf-8", "surrogateescape")
        at = evidence.offset if evidence.offset is not None else self._data.find(seen, begin, end)
        first = max(begin, min(max(at, begin) - BEFORE, end - SIZE))
        last = min(first + SIZE, end)
        # not within a character (RFC 3629: continuation bytes are 10xxxxxx)
        while first < last and first > begin and self._data[first] & 0xC0 == 0x80:
            first += 1
        while last > first and last < end and self._data[last] & 0xC0 == 0x80:
            last -= 1
        return first, last


def _shown(content: Content, spans: Mapping[int, tuple[int, int]]) -> Iterator[tuple[int, Context]]:
    """What the spans hold, without secrets; not those near a private key, or where it cannot be known what is secret."""
    left = WHOLE
    for begin, end, places in _windows(content.size, spans):
        data = bytes(content.data[begin:end])
        start = begin
        if begin > 0 and content.is_text:  # what a quote is depends on its line: from its beginning
            newline = data.find(b"\n", 0, spans[places[0]][0] - begin)
            if newline < 0:
                continue
            start, data = begin + newline + 1, data[newline + 1 :]
        left -= len(data)
        if left < 0:
            return
        if not _KEY.search(data) and not _is_secret(b"\n".join(run[::2] for run in _WIDE.findall(data))):
            clean = masked.octets(data, strings=not content.is_text)
            for place in places:
                first, last = spans[place]
                yield place, Context(first, clean[first - start : last - start])


def _is_secret(wide: bytes) -> bool:
    """Whether text that stands in UTF-16 holds a secret; it is not cut out of there, and nothing near it is kept."""
    return _KEY.search(wide) is not None or masked.octets(wide) != wide


def _windows(size: int, spans: Mapping[int, tuple[int, int]]) -> list[tuple[int, int, list[int]]]:
    """The bytes in which to look for secrets (the whole of a file that is not large), and the spans that lie in them."""
    if size <= WHOLE:
        return [(0, size, list(spans))] if spans else []
    windows: list[tuple[int, int, list[int]]] = []
    for place, (first, last) in sorted(spans.items(), key=lambda item: item[1]):
        begin, end = max(0, first - REACH), min(size, last + REACH)
        if windows and begin <= windows[-1][1]:
            windows[-1] = (windows[-1][0], max(end, windows[-1][1]), [*windows[-1][2], place])
        else:
            windows.append((begin, end, [place]))
    return windows
