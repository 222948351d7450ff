"""Which parts of a text are worth reading: all of a small one, and of a large one what stands around the rules' matches."""

from scanner.content import Content
from scanner.detectors.mining.context import in_list, in_rule

WHOLE = 1 << 20
"""Bytes up to which a text is read whole. Reading takes seconds for each few megabytes of hostile text."""
WINDOW = 32 << 10
WINDOWS = 64


def regions(content: Content) -> tuple[list[tuple[int, bytes]], bool]:
    """The parts with their offsets, and whether every match that is not part of a rule or of a block list lies in one."""
    if content.size <= WHOLE:
        return [(0, bytes(content.data))], True
    data = content.data
    places = sorted(
        {
            s.offset
            for m in content.matches
            for s in m.strings
            if not in_rule(data, s.offset, s.length) and not in_list(data, s.offset, s.length)
        }
    )
    spans: list[list[int]] = []
    for offset in places:
        begin, end = max(0, offset - WINDOW), min(content.size, offset + WINDOW)
        if spans and begin <= spans[-1][1] and spans[-1][1] - spans[-1][0] < WHOLE:
            spans[-1][1] = end
        else:
            spans.append([begin, end])
    return [(b, bytes(data[b:e])) for b, e in spans[:WINDOWS]], len(spans) <= WINDOWS
