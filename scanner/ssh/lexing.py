"""Lines, keywords and arguments, cut as OpenSSH cuts them (misc.c: strdelim, argv_split; servconf.c and readconf.c: lines).

Text is UTF-8 with surrogate escapes, so that no byte is lost. Only ASCII is ever folded or trimmed, as in the C locale.
"""

import re
from collections.abc import Iterator
from itertools import count

BLANKS = " \t\r\n"

_UNQUOTED = re.compile(r"[^ \t]+")
_SPECIAL = re.compile(r"[\"'\\#]")
_IN_WORD = re.compile(r"[ \t\"'\\]")
_IN_QUOTES = {quote: re.compile(rf"[{quote}\\]") for quote in "\"'"}
_BLANKS = re.compile(r"[ \t\r\n]*")
_STOP = re.compile(r'[ \t\r\n"=]')
_STOP_NO_EQUALS = re.compile(r'[ \t\r\n"]')
_UPPER = {ord(c): ord(c.lower()) for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


class BadQuotes(ValueError):
    """A quote that is opened and never closed."""


def fold(text: str) -> str:
    """Lower case, for ASCII alone: what strcasecmp compares in the C locale."""
    return text.lower() if text.isascii() else text.translate(_UPPER)


def lines(data: bytes, *, server: bool = False, cut_comments: bool = False) -> Iterator[tuple[int, str]]:
    r"""Each line with its number, without its newline; leading and trailing blanks are still there.

    A NUL hides the rest of its line. `server`: sshd joins its lines before it splits them, so that after a NUL the next
    line goes on where this one stopped (load_server_config); the number is that of the first line.
    `cut_comments`: everything from a ``#`` on is dropped, quoted or not (sshd before 8.7).
    """
    pending: list[str] = []
    first = start = 0
    for number in count(1):
        if start >= len(data):
            break
        end = data.find(b"\n", start)
        raw, start = (data[start:], len(data)) if end < 0 else (data[start:end], end + 1)
        raw, nul, _ = raw.partition(b"\0")
        if cut_comments and b"#" in raw:
            raw, nul = raw.partition(b"#")[0], b""  # the comment's place takes a newline of its own
        text = raw.decode("utf-8", "surrogateescape")
        if not server:
            yield number, text
            continue
        pending.append(text.lstrip(" \t\r"))
        first = first or number
        if nul:
            continue
        yield first, "".join(pending)
        pending.clear()
        first = 0
    if pending:
        yield first, "".join(pending)


def trimmed(line: str) -> str:
    """The line without what may follow its last word: blanks, and form feeds, which are allowed there alone.

    Its first character always stays, as in OpenSSH.
    """
    return line[:1] + line[1:].rstrip(BLANKS + "\f")


def delimited(text: str | None, *, equals: bool = True) -> tuple[str | None, str | None]:
    """The next word and what follows it, as strdelim cuts: at blanks, one ``=``, or a pair of double quotes.

    A rest of None is the end. A word of None is nothing left, or a quote that is never closed.
    """
    if text is None:
        return None, None
    word, at = _delimited(text, 0, equals)
    return word, None if at < 0 else text[at:]


def _delimited(text: str, at: int, equals: bool) -> tuple[str | None, int]:
    """The same from a place in the text on; the place after it, or -1 at the end."""
    found = (_STOP if equals else _STOP_NO_EQUALS).search(text, at)
    if found is None:
        return text[at:], -1
    stop = found.start()
    if text[stop] == '"':
        close = text.find('"', stop + 1)
        if close < 0:
            return None, -1
        return text[at:stop] + text[stop + 1 : close], _after_blanks(text, close + 1)
    following = _after_blanks(text, stop + 1)
    if equals and text[stop] != "=" and text.startswith("=", following):
        following = _after_blanks(text, following + 1)
    return text[at:stop], following


def _after_blanks(text: str, at: int) -> int:
    found = _BLANKS.match(text, at)
    return found.end() if found else at


def keyword(line: str) -> tuple[str, str]:
    """The keyword of a trimmed line, and its arguments as one text; a keyword of "" is a line that says nothing.

    Empty lines, comments, and (as in OpenSSH) a keyword whose quote is never closed say nothing.
    """
    word, rest = delimited(line)
    if word == "":
        word, rest = delimited(rest)
    if not word or word.startswith("#"):
        return "", ""
    return word, rest or ""


def split(line: str) -> list[str]:
    r"""The arguments of a line as argv_split cuts them from 8.7 on; an argument that begins with ``#`` ends them.

    Both quotes work, a backslash takes a quote, a backslash or (outside quotes) a space as it is, and stays otherwise.
    Raises BadQuotes where a quote is never closed.
    """
    if _SPECIAL.search(line) is None:
        return _UNQUOTED.findall(line)
    words: list[str] = []
    at, end = 0, len(line)
    while at < end:
        if line[at] in " \t":
            at += 1
            continue
        if line[at] == "#":
            break
        word, at = _word(line, at)
        words.append(word)
    return words


def _word(line: str, at: int) -> tuple[str, int]:
    """The argument that begins at `at`, and where it ends."""
    pieces: list[str] = []
    quote = ""
    while True:
        found = (_IN_QUOTES[quote] if quote else _IN_WORD).search(line, at)
        if found is None:
            if quote:
                raise BadQuotes("a quote is opened and never closed")
            pieces.append(line[at:])
            return "".join(pieces), len(line)
        stop = found.start()
        pieces.append(line[at:stop])
        mark = line[stop]
        at = stop + 1
        if mark == "\\":
            following = line[at : at + 1]
            if following and (following in "\"'\\" or (following == " " and not quote)):
                pieces.append(following)
                at += 1
            else:
                pieces.append("\\")
        elif mark in " \t":
            return "".join(pieces), stop
        else:
            quote = "" if quote else mark


def split_delimited(text: str, *, equals: bool = True) -> list[str]:
    """The arguments of a line as strdelim cuts them, before 8.7; a quote that is never closed hides the rest.

    Without `equals`, ``=`` is a character like any other (strdelimw).
    """
    words: list[str] = []
    at = 0
    while 0 <= at < len(text):
        word, at = _delimited(text, at, equals)
        if word is None:
            break
        words.append(word)
    return words
