"""What stands around a piece of evidence, for the HTML page: lines of text with their numbers, or bytes for a hex dump."""

import codecs

from scanner.model import Evidence, Json, printable

AROUND = 160
LINE = 400
"""Characters of one line that are shown."""
BEGINS = 12
"""Bytes of an excerpt that are enough to find where it begins."""
LEAST = 4
"""Characters of a string among several that is looked for."""


def around(evidence: Evidence) -> dict[str, Json] | None:
    """`{"lines": [[number, [[text, is it the evidence], …]], …]}` or `{"hex", "start", "marks": [[from, to], …]}`; None without context.

    Text is what is UTF-8 and has nothing unprintable in it but tabs and line ends.
    """
    if evidence.context is None or not evidence.context.data:
        return None
    data, start = evidence.context.data[:AROUND], evidence.context.start
    marks = _marks(evidence, data, start)
    if (pieces := _text(data, marks)) is not None:
        return {"lines": _lines(pieces, evidence, start)}
    return {"hex": data.hex(), "start": start, "marks": [list(mark) for mark in marks]}


def _marks(evidence: Evidence, data: bytes, start: int) -> list[tuple[int, int]]:
    """Where in the bytes the evidence stands, in order and apart; empty where nothing says.

    The excerpt as a whole, at its offset where it has one; else each of the strings that it lists; else what it begins with; else the
    byte at the offset.
    """
    at = -1 if evidence.offset is None else evidence.offset - start
    whole = _raw(evidence.excerpt)
    if whole and (found := at if at >= 0 and data.startswith(whole, at) else data.find(whole)) >= 0:
        return [(found, found + len(whole))]
    listed = [_raw(one) for one in evidence.excerpt.split(", ") if len(one) >= LEAST]
    places = sorted((found, found + len(one)) for one in listed if (found := data.find(one)) >= 0)
    apart = [one for n, one in enumerate(places) if n == 0 or one[0] >= max(end for _, end in places[:n])]
    if apart:
        return apart
    found = data.find(whole[:BEGINS]) if whole else -1
    if found >= 0:
        pairs = zip(data[found:], whole, strict=False)
        same = next((n for n, (one, other) in enumerate(pairs) if one != other), min(len(data) - found, len(whole)))
        return [(found, found + same)]
    return [(at, at + 1)] if 0 <= at < len(data) else []


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(data: bytes, marks: list[tuple[int, int]]) -> list[tuple[str, int]] | None:
    """The text in pieces, 1 behind those that are the evidence; None for what is no text.

    A character that is cut off at the beginning or at the end is left out.
    """
    first = next((n for n, byte in enumerate(data[:4]) if byte & 0xC0 != 0x80), 0)
    decoder = codecs.getincrementaldecoder("utf-8")()
    pieces: list[tuple[str, int]] = []
    at = first
    try:
        for begin, end in marks:
            pieces.append((decoder.decode(data[at : max(begin, at)]), 0))
            pieces.append((decoder.decode(data[max(begin, at) : max(end, at)]), 1))
            at = max(end, at)
        pieces.append((decoder.decode(data[at:]), 0))
    except UnicodeDecodeError:
        return None
    whole = "".join(text for text, _ in pieces).replace("\r\n", "\n")
    is_text = all(one.isprintable() or one in "\n\t" for one in whole)
    return pieces if is_text and whole.strip() else None


def _lines(pieces: list[tuple[str, int]], evidence: Evidence, start: int) -> list[Json]:
    lines: list[list[list[Json]]] = [[]]
    marked = None
    for text, is_marked in pieces:
        if is_marked and marked is None:
            marked = len(lines) - 1
        for n, part in enumerate(text.replace("\r\n", "\n").split("\n")):
            if n:
                lines.append([])
            if part:
                lines[-1].append([printable(part.replace("\t", "    "), LINE), is_marked])
    if not lines[-1]:
        lines.pop()
    number = 1 if start == 0 else None
    if number is None and evidence.line is not None and marked is not None:
        number = evidence.line - marked
    if number is None or number < 1:
        return [[None, line] for line in lines]
    at = (evidence.line or 0) - number
    if marked is None and 0 <= at < len(lines):  # the excerpt says it in other words: the line as a whole
        lines[at] = [[text, 1] for text, _ in lines[at]]
    return [[number + n, line] for n, line in enumerate(lines)]
