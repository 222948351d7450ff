"""What small programs make of text: as much of echo, printf, base64 and their like as scripts hide commands with.

Sources: POSIX.1-2024's pages of echo and printf, base64(1), xxd(1), gzip(1), rev(1).
"""

import base64
import binascii
import bz2
import codecs
import lzma
import re
import zlib
from collections import deque
from collections.abc import Sequence

MOST = 1 << 20
"""Characters that come out of one program."""
PASS = frozenset("cat sed tr grep egrep head tail sort uniq envsubst awk sponge fold tac pv cut col iconv tee".split())
"""Programs whose output is near enough to what they read."""

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "", "b": "", "f": "\f", "v": "\v", "\\": "\\", "c": "", '"': '"'}
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{1,2})|0?([0-7]{1,3})|([ntrabfvc\\\"]))")
_CONVERSION = re.compile(r"%(?:%|[-+ #0]*\d{0,4}(?:\.\d{0,4})?([sbdiuxXocq]))")
_NOT_HEX = re.compile(r"[^0-9A-Fa-f]")
_BLANKS = re.compile(r"\s+")


def spoken(name: str, words: Sequence[str]) -> str:
    """What echo or printf writes; echo's escapes are taken for such, as dash does."""
    if name == "printf":
        words = words[1:] if words and words[0] == "--" else words
        return _printed(words[0], words[1:]) if words else ""
    while words and words[0] in ("-n", "-e", "-E", "-ne", "-en", "-nE"):
        words = words[1:]
    return _unescaped(" ".join(words))[:MOST] + "\n"


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    return _ESCAPE.sub(
        lambda m: chr(int(m[1], 16)) if m[1] else chr(int(m[2], 8) & 255) if m[2] else _ESCAPES[m[3]], text
    )


def _printed(form: str, words: Sequence[str]) -> str:
    """The format, again and again until the words are used up."""
    form = _unescaped(form)
    takes = sum(1 for found in _CONVERSION.finditer(form) if found[1])
    given = deque(words)
    pieces, size = [], 0
    while True:
        said = _CONVERSION.sub(lambda m: "%" if not m[1] else given.popleft() if given else "", form)
        pieces.append(said)
        size += len(said)
        if not given or not takes or size > MOST or len(pieces) > 1000:
            return "".join(pieces)[:MOST]


def located(argv: Sequence[str]) -> str | None:
    """The name of a program that was asked where it is: near enough to the path that comes out. None for any other command."""
    name = argv[0].rsplit("/", 1)[-1]
    return argv[-1] + "\n" if name in ("which", "command", "type", "whereis") and len(argv) > 1 else None


_VALUED = {
    "curl": frozenset("AbCcdDeEFhHkKmoPQrtTuUwxXyYzZ") - frozenset("k"),
    "wget": frozenset("aABDeiIlOopPQRtTUwX"),
}
"""Letters of options that take a value: curl(1), wget(1)."""
_STDOUT = {"curl": ("-o", "--output"), "wget": ("-O", "--output-document")}
_FOLDER = ("--output-dir", "--directory-prefix")
_LOCATOR = re.compile(r"(?i)(?:https?|ftps?|file)://\S+")


def fetched(argv: Sequence[str]) -> tuple[str, str] | None:
    """(address, file) of what curl, wget or their like fetch; `-` for their standard output."""
    name = argv[0].rsplit("/", 1)[-1]
    if name in ("http", "https", "GET", "lwp-request", "xh"):
        url = next((word for word in argv[1:] if _LOCATOR.match(word)), None)
        return None if url is None else (url, "-")
    if name not in _STDOUT:
        return None
    short, long = _STDOUT[name]
    to = "-" if name == "curl" else ""
    folder = ""
    urls = []
    words = iter(argv[1:])
    for word in words:
        if word.startswith("--"):
            option, sign, value = word.partition("=")
            if option == long:
                to = value if sign else next(words, "")
            elif option in _FOLDER:
                folder = value if sign else next(words, "")
            elif option == "--url":
                urls.append(value if sign else next(words, ""))
            elif option in ("--remote-name", "--remote-name-all"):
                to = ""
        elif word.startswith("-") and len(word) > 1:
            at = next((i for i, letter in enumerate(word[1:], 1) if letter in _VALUED[name]), 0)
            if name == "curl" and "O" in word[1 : at or None]:
                to = ""
            if at:
                value = word[at + 1 :] or next(words, "")
                to = value if word[at] == short[1] else to
                folder = value if f"{name} -{word[at]}" == "wget -P" else folder
        elif _LOCATOR.match(word) or word.startswith("$") or (name == "curl" and "." in word):
            urls.append(word)
    if not urls:
        return None
    if folder and to not in ("-", "/dev/stdout") and not to.startswith("/"):
        to = f"{folder.rstrip('/')}/{to or _own_name(urls[0])}"
    return urls[0], "-" if to == "/dev/stdout" else to or _own_name(urls[0])


def _own_name(url: str) -> str:
    """What a file is called that is fetched from the address."""
    return re.split(r"[?#]", url, maxsplit=1)[0].rsplit("/", 1)[-1]


def filtered(argv: Sequence[str], text: str) -> tuple[str | None, bool]:
    """What the program makes of the text, None if that is not known; and whether there was more than is taken."""
    name = argv[0].rsplit("/", 1)[-1]
    options = " ".join(argv[1:])
    if name in ("base64", "gbase64") or (name == "openssl" and "base64" in options):
        decodes = any(w in ("-d", "-D", "--decode", "-di", "-id") or w.startswith("--d") for w in argv[1:])
        return (_text(_base64(text)), False) if decodes else (None, False)
    if name == "base32" and len(argv) > 1:
        return _text(_base32(text)), False
    if name == "xxd" and "r" in options:
        return _text(_hex(text)), False
    if name in ("gunzip", "zcat", "gzcat") or (name == "gzip" and "d" in options):
        return _unpacked(text, "gzip")
    if name in ("bunzip2", "bzcat") or (name == "bzip2" and "d" in options):
        return _unpacked(text, "bzip2")
    if name in ("unxz", "xzcat", "unlzma") or (name == "xz" and "d" in options):
        return _unpacked(text, "xz")
    if name == "rev":
        return "\n".join(line[::-1] for line in text.split("\n")), False
    if name == "tr" and "A-Za-z" in argv and ("N-ZA-Mn-za-m" in argv):
        return codecs.encode(text, "rot13"), False
    return None, False


def _text(data: bytes) -> str:
    return data[:MOST].decode("utf-8", "surrogateescape")


def _base64(text: str) -> bytes:
    joined = _BLANKS.sub("", text).rstrip("=")
    try:
        return base64.b64decode(joined + "=" * (-len(joined) % 4), altchars=None, validate=False)
    except (binascii.Error, ValueError):
        return b""


def _base32(text: str) -> bytes:
    joined = _BLANKS.sub("", text).upper().rstrip("=")
    try:
        return base64.b32decode(joined + "=" * (-len(joined) % 8))
    except (binascii.Error, ValueError):
        return b""


def _hex(text: str) -> bytes:
    digits = _NOT_HEX.sub("", text)
    return bytes.fromhex(digits[: len(digits) & ~1])


def _unpacked(text: str, form: str) -> tuple[str, bool]:
    data = text.encode("utf-8", "surrogateescape")
    try:
        if form == "gzip":
            gzip = zlib.decompressobj(31)
            return _text(gzip.decompress(data, MOST)), bool(gzip.unconsumed_tail)
        if form == "bzip2":
            bzip2 = bz2.BZ2Decompressor()
            return _text(bzip2.decompress(data, MOST)), not bzip2.needs_input and not bzip2.eof
        xz = lzma.LZMADecompressor(memlimit=64 << 20)
        return _text(xz.decompress(data, MOST)), not xz.needs_input and not xz.eof
    except (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError, MemoryError):
        return "", False
