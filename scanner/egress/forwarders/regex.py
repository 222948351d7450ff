"""Regular expressions of filters as the wildcards that permits are written with.

A filter's expression that is no plain name with anchors becomes a wider wildcard, never a narrower one. An unescaped dot
between the parts of a name is read as the dot that was meant; it matches any other character too.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wildcards:
    """`hosts`: wildcards whose names include all that match. `exact`: they are all that match (but for unescaped dots).
    `unanchored`: a name that only begins or contains the one that was meant matches too."""

    hosts: tuple[str, ...]
    exact: bool
    unanchored: bool


_PLAIN = re.compile(r"[A-Za-z0-9_-]")


def wildcards(expression: str, *, extended: bool) -> Wildcards:
    """What a POSIX expression, basic or extended, matches as names."""
    branches = _branches(expression) if extended else [expression]
    parts = [one for branch in branches for one in _expanded(branch, extended, 0)]
    read = [_branch(part, extended) for part in parts]
    return Wildcards(
        tuple(dict.fromkeys(host for host, _, _ in read)),
        all(exact for _, exact, _ in read),
        any(loose for _, _, loose in read),
    )


def _branches(expression: str) -> list[str]:
    """The alternatives of the top level."""
    result, depth, begun, at = [], 0, 0, 0
    while at < len(expression):
        c = expression[at]
        if c == "\\":
            at += 1
        elif c == "[":
            end = expression.find("]", at + 2)
            at = end if end > 0 else len(expression)
        elif c == "(":
            depth += 1
        elif c == ")":
            depth -= 1
        elif c == "|" and depth <= 0:
            result.append(expression[begun:at])
            begun = at + 1
        at += 1
    return [*result, expression[begun:]]


_GROUP = re.compile(r"\(([^()]*)\)(?![*+?{])")


def _expanded(branch: str, extended: bool, depth: int) -> list[str]:
    r"""`(a|b)\.example\.com` as two; optional and repeated groups stay as they are."""
    if not extended or depth > 6:
        return [branch]
    found = _GROUP.search(branch)
    while found is not None and found.start() and branch[found.start() - 1] == "\\":
        found = _GROUP.search(branch, found.end())
    if found is None:
        return [branch]
    inner = found[1].removeprefix("?:").split("|")
    if len(inner) > 64:
        return [branch]
    result: list[str] = []
    for one in inner:
        result += _expanded(branch[: found.start()] + one + branch[found.end() :], extended, depth + 1)
        if len(result) > 512:
            return [branch]
    return result


def _branch(branch: str, extended: bool) -> tuple[str, bool, bool]:
    begins, ends = branch.startswith("^"), branch.endswith("$") and not branch.endswith("\\$")
    body = branch[1 if begins else 0 : len(branch) - 1 if ends else len(branch)]
    out: list[str] = []
    exact = True
    at = 0
    while at < len(body):
        c = body[at]
        piece = ""
        if c == "\\" and at + 1 < len(body):
            piece, at = body[at + 1], at + 2
            if not (_PLAIN.match(piece) is None or piece.isdigit()) or (piece in "(){}+?|" and not extended):
                piece, exact = "*", False  # \w, \b, and what is special in basic expressions only with a backslash
        elif c == ".":
            following = body[at + 1 : at + 2]
            piece, at = ("." if following not in ("*", "+", "?", "{") else "*"), at + 1
            exact = exact and piece == "."
        elif c == "[":
            end = body.find("]", at + 2)
            inner = body[at + 1 : end]
            at = end + 1 if end > 0 else len(body)
            piece = inner if len(inner) == 1 else "*"
            exact = exact and piece != "*"
        elif c in "({" and extended:
            depth, end = 1, at + 1
            while end < len(body) and depth:
                depth += {c: 1, {"(": ")", "{": "}"}[c]: -1}.get(body[end], 0)
                end += 1
            piece, at, exact = "*", end, False
        elif _PLAIN.match(c) or c in ".-":
            piece, at = c, at + 1
        else:
            piece, at, exact = "*", at + 1, exact and c in "^$"
        quantified = body[at : at + 1]
        if quantified == "*" or (extended and quantified in ("+", "?", "{") and quantified):
            end = body.find("}", at) + 1 if quantified == "{" else at + 1
            at = end if end > 0 else len(body)
            if piece != "*":
                exact = False
            piece = "*"
        out.append(piece)
    text = re.sub(r"\*+", "*", "".join(out)).lower()
    # `.*` in front is as good as no anchor; a dot in front of a whole name bounds it
    host = f"{'' if begins else '*'}{text}{'' if ends else '*'}"
    host = re.sub(r"\*+", "*", host) or "*"
    loose = not ends or (not begins and not text.startswith((".", "*.")))
    return host, exact, loose
