"""Shell text as statements, line by line: tolerant of whatever stands there, linear, and without any native code.

A line that is not understood still gives its words. Quotes and substitutions that span lines are not followed.
"""

import re
from collections.abc import Iterator

from scanner.detectors.launchers.lines import logical_lines
from scanner.detectors.launchers.syntax import Statement, stream

DEEP = 4
"""Substitutions within substitutions."""
_TOKEN = re.compile(
    r"""(?P<array>(?<!\S)[A-Za-z_]\w{0,60}\+?=\([^()\n]{0,4000}\))
    |(?P<redirect>(?:\d|&)?(?:<<<|<<-?|>>|>\||[<>]&|[<>]))
    |(?P<operator>[;&|()]+)
    |(?P<word>(?:\ue000[<>]?\d{1,7}\ue001|\\.|\$?"(?:[^"\\]|\\.)*+"|\$?'[^']*+'|\$\{[^{}\s]{0,300}\}|[^\s;&|()<>"'\\$]|["'\\$])++)""",
    re.VERBOSE | re.DOTALL,
)
_SUBSTITUTION = re.compile(r"(?P<kind>[$<>])\((?P<round>[^()]{0,4000})\)|`(?P<tick>[^`]{0,4000})`")
_KEYWORDS = frozenset("if then elif else fi do done while until case esac { } ! time select [[ ]] begin end".split())


def statements(text: str, ids: Iterator[int]) -> list[Statement]:
    """Every statement of the text, the inner of a substitution before the one that uses it."""
    found: list[Statement] = []
    for number, line in logical_lines(text):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        rest = line
        for _ in range(DEEP):
            rest, inner = _substituted(rest, number, ids)
            if not inner:
                break
            found += inner
        found += _line(rest, number, ids)
    return found


def _substituted(line: str, number: int, ids: Iterator[int]) -> tuple[str, list[Statement]]:
    """The line with its innermost substitutions named by their streams, and what stood in them."""
    pieces, inner, at = [], [], 0
    for found in _SUBSTITUTION.finditer(line):
        key = next(ids)
        kind = found["kind"] or "$"
        text = found["round"] if found["round"] is not None else found["tick"]
        ends = {"sink": key} if kind != ">" else {"source": key}
        inner += _line(text, number, ids, **ends)
        pieces += [line[at : found.start()], stream(key, kind.strip("$"))]
        at = found.end()
    return ("".join(pieces) + line[at:], inner) if pieces else (line, [])


def _line(line: str, number: int, ids: Iterator[int], sink: int = 0, source: int = 0) -> list[Statement]:
    """The statements of one line; a stray quote is a character."""
    words: list[list[str]] = [[]]
    redirects: list[list[tuple[str, str]]] = [[]]
    sinks, sources, background = [sink], [source], [False]
    groups: list[int] = []
    group = 0  # where what the next pipe reads begins
    operator = ""
    for token in _TOKEN.finditer(line):
        value = token.group()
        if token.lastgroup == "operator":
            operator = ""
            if value.startswith("()") and len(words[-1]) == 1:
                words[-1] = []
            for sign in value:
                if sign == "(":
                    groups.append(len(words))
                elif sign == ")":
                    group = groups.pop() if groups else group
            piped = "|" in value.replace("||", "")
            if value.endswith("&") and not value.endswith("&&"):
                background[-1] = True
            key = 0
            if piped:
                key = next(ids)
                for at in range(min(group, len(words) - 1), len(words)):
                    sinks[at] = key
            words.append([])
            redirects.append([])
            sinks.append(sink)
            sources.append(key or source)
            background.append(False)
            if ")" not in value:
                group = len(words) - 1
        elif token.lastgroup == "redirect":
            operator = value
        elif operator:
            redirects[-1].append((operator, value))
            operator = ""
        elif value.startswith("#"):
            break
        else:
            words[-1].append(value)
    return [
        Statement(tuple(kept), number, number, tuple(redirects[i]), sources[i], sinks[i], background[i])
        for i, found in enumerate(words)
        if (kept := _bare(found)) or redirects[i]
    ]


def _bare(words: list[str]) -> list[str]:
    """Without the shell's own words before it: a loop over words gives its variable the first."""
    at = 0
    while at < len(words):
        word = words[at]
        if word == "for" and len(words) > at + 3 and words[at + 2] == "in":
            return [f"{words[at + 1]}={words[at + 3]}"]
        if word == "function":
            at += 2
        elif word in _KEYWORDS or word == "for" or (word.endswith(")") and "(" not in word):
            at += 1
        else:
            break
    return words[at:]
