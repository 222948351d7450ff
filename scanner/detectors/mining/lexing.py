"""Scripts read as code and strings, by one linear regular expression for each language: no parser that hostile source could break."""

import re
from dataclasses import dataclass

LITERAL = 600
"""Longer literals are documents (docstrings, samples, embedded files), not what a program sends or compares."""

_PYTHON = re.compile(
    rb"""(?P<comment>\#[^\n]*)
    |(?P<document>(?:[rRbBuUfF]{0,2})(?:\"\"\"(?:[^\"\\]|\\.|\"(?!\"\"))*+(?:\"\"\")?|'''(?:[^'\\]|\\.|'(?!''))*+(?:''')?))
    |(?P<string>[rRbBuUfF]{0,2}(?:"(?:[^"\\\n]|\\.)*+"?|'(?:[^'\\\n]|\\.)*+'?))
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*+)""",
    re.VERBOSE | re.DOTALL,
)
_JAVASCRIPT = re.compile(
    rb"""(?P<comment>//[^\n]*|/\*(?:[^*]|\*(?!/))*+(?:\*/)?)
    |(?P<string>"(?:[^"\\\n]|\\.)*+"?|'(?:[^'\\\n]|\\.)*+'?|`(?:[^`\\]|\\.)*+`?)
    |(?P<word>[A-Za-z_$][A-Za-z0-9_$]*+)""",
    re.VERBOSE | re.DOTALL,
)
_OTHER = re.compile(
    rb"""(?P<comment>\#[^\n]*)
    |(?P<string>"(?:[^"\\]|\\.)*+"?|'(?:[^'\\]|\\.)*+'?)
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*+)""",
    re.VERBOSE | re.DOTALL,
)
_LANGUAGES = {"python": _PYTHON, "javascript": _JAVASCRIPT}
_EXTENSIONS = {
    b".py": "python",
    b".pyw": "python",
    b".js": "javascript",
    b".mjs": "javascript",
    b".cjs": "javascript",
    b".ts": "javascript",
    b".html": "javascript",
    b".htm": "javascript",
    b".sh": "shell",
    b".bash": "shell",
    b".pl": "perl",
    b".pm": "perl",
    b".rb": "ruby",
    b".lua": "lua",
    b".php": "php",
}
_INTERPRETER = re.compile(
    rb"^#![ \t]*(?:\S*/)?(?:env[ \t]+(?:-\S+[ \t]+)*)?(?P<name>python|pypy|node|nodejs|deno|bun|bash|sh|dash|ash|zsh|ksh|busybox|perl|ruby|lua|php)[\d.]*(?=\s|$)"
)
_BY_INTERPRETER = {
    b"python": "python",
    b"pypy": "python",
    b"node": "javascript",
    b"nodejs": "javascript",
    b"deno": "javascript",
    b"bun": "javascript",
    b"perl": "perl",
    b"ruby": "ruby",
    b"lua": "lua",
    b"php": "php",
}


@dataclass(frozen=True, slots=True)
class Script:
    """`literals`: what its short strings hold, with their offsets; `words`: identifiers outside strings and comments."""

    language: str
    literals: tuple[tuple[int, bytes], ...]
    words: frozenset[bytes]


def language(name: bytes, head: bytes) -> str | None:
    """The language of a script by its `#!` line, else by its name; None for anything else."""
    found = _INTERPRETER.match(head)
    if found:
        return _BY_INTERPRETER.get(found["name"], "shell")
    base = name.rsplit(b"/", 1)[-1].lower()
    return next((lang for ending, lang in _EXTENSIONS.items() if base.endswith(ending)), None)


def read(data: bytes, lang: str) -> Script:
    """The script's short literals and its words; never raises, whatever the bytes."""
    literals: list[tuple[int, bytes]] = []
    words: set[bytes] = set()
    for token in _LANGUAGES.get(lang, _OTHER).finditer(data):
        if token.lastgroup == "word":
            words.add(token.group())
        elif token.lastgroup == "string":
            text = token.group().lstrip(b"rRbBuUfF")[1:]
            if len(text) <= LITERAL:
                literals.append((token.start(), text[:-1] if text[-1:] in (b'"', b"'", b"`") else text))
    return Script(lang, tuple(literals), frozenset(words))
