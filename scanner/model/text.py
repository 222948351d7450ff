"""Hostile bytes as text that is safe to show anywhere: one line, printable, bounded."""


def printable(value: bytes | str, limit: int = 200) -> str:
    r"""The value on one line: control, bidirectional, surrogate and undecodable characters as escapes, cut at `limit` with …

    Bytes are read as UTF-8; a byte that is not becomes ``\xNN``, so nothing is lost and no terminal obeys it.
    """
    if isinstance(value, bytes):
        value = value[: limit * 4 + 4].decode("utf-8", "backslashreplace")
    if len(value) <= limit and value.isprintable():
        return value
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in value[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def capital(text: str) -> str:
    """The text as a sentence begins: its first letter large, the others as they are (unlike str.capitalize)."""
    return text[:1].upper() + text[1:]
