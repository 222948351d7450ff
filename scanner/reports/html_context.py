"""What stands around a piece of evidence, for the HTML page: lines of text with their numbers, or bytes for a hex dump."""

import codecs

from scanner.model import Evidence, Json, printable

AROUND = 160
LINE = 400
"""Characters of one line that are shown."""


def around(evidence: Evidence) -> dict[str, Json] | None:
    """`{"lines": [[number, [[text, is it the evidence], …]], …]}` or `{"hex", "start", "mark": [from, to]}`; None without context.

    Text is what is UTF-8 and has nothing unprintable in it but tabs and line ends.
    """
    if evidence.context is None or not evidence.context.data:
        return None
    data = evidence.context.data[:AROUND]
    mark = _mark(evidence, data, evidence.context.start)
    if (pieces := _text(data, mark)) is not None:
        return {"lines": _lines(pieces, evidence, evidence.context.start)}
    return {"hex": data.hex(), "start": evidence.context.start, "mark": list(mark)}


def _mark(evidence: Evidence, data: bytes, start: int) -> tuple[int, int]:
    """Where in the bytes the evidence stands; an empty range where nothing says.

    An offset says where it begins; how far it goes, the excerpt says as long as it is what the file has. Without one, the
    excerpt is looked for, or what it begins with.
    """
    excerpt = evidence.excerpt.encode("utf-8", "surrogatepass")
    if evidence.offset is not None and 0 <= evidence.offset - start < len(data):
        at = evidence.offset - start
        pairs = zip(data[at:], excerpt, strict=False)
        same = next((n for n, (one, other) in enumerate(pairs) if one != other), min(len(data) - at, len(excerpt)))
        return at, at + max(same, 1)
    for seen in (excerpt, excerpt[:24], excerpt[:12]):
        if seen and (at := data.find(seen)) >= 0:
            return at, at + len(seen)
    return 0, 0


def _text(data: bytes, mark: tuple[int, int]) -> tuple[str, str, str] | None:
    """What stands before the evidence, the evidence, what follows; None for what is no text."""
    first = next((n for n, byte in enumerate(data[:4]) if byte & 0xC0 != 0x80), 0)
    decoder = codecs.getincrementaldecoder("utf-8")()
    begin, end = max(mark[0], first), max(mark[1], first)
    try:
        parts = (
            decoder.decode(data[first:begin]),
            decoder.decode(data[begin:end]),
            decoder.decode(data[end:]),  # a character that is cut off at the end is left out
        )
    except UnicodeDecodeError:
        return None
    whole = "".join(parts).replace("\r\n", "\n")
    is_text = all(one.isprintable() or one in "\n\t" for one in whole)
    return parts if is_text and whole.strip() else None


def _lines(pieces: tuple[str, str, str], evidence: Evidence, start: int) -> list[Json]:
    before, marked, _ = pieces
    number = 1 if start == 0 else None
    if number is None and evidence.line is not None and marked:
        number = evidence.line - before.count("\n")
    lines: list[list[list[Json]]] = [[]]
    for text, is_marked in zip(pieces, (0, 1, 0), strict=True):
        for n, part in enumerate(text.replace("\r\n", "\n").split("\n")):
            if n:
                lines.append([])
            if part:
                lines[-1].append([printable(part.replace("\t", "    "), LINE), is_marked])
    if not lines[-1]:
        lines.pop()
    if number is None or number < 1:
        return [[None, line] for line in lines]
    at = (evidence.line or 0) - number
    if not marked and 0 <= at < len(lines):  # the excerpt says it in other words: the line as a whole
        lines[at] = [[text, 1] for text, _ in lines[at]]
    return [[number + n, line] for n, line in enumerate(lines)]
