"""Configuration text as a flat list of settings with lines, in five dialects: sections, words, YAML, JSON, blocks of braces.

Read tolerantly by linear regular expressions; nothing nests calls, nothing fails. Grammars: systemd.syntax(7) for sections,
YAML 1.2 in the block style that programs write, RFC 8259 with comments, trailing commas and bare words for JSON.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from scanner.detectors.launchers.lines import Lines
from scanner.detectors.mining.configs import JSON_TOKEN

MOST = 1 << 20
"""Characters read of one file."""
DEEP = 64
"""Levels that are told apart; deeper settings lie under the last one."""
_NAME = 40
_PARTS = 6
_VALUE = 400


@dataclass(frozen=True, slots=True)
class Setting:
    """`path` in lower case: section or parents, then key, with dots between and `[]` behind what is an item of a list."""

    path: str
    value: str
    line: int

    @property
    def key(self) -> str:
        return self.path.rpartition(".")[2]

    @property
    def parent(self) -> str:
        return self.path.rpartition(".")[0]


class Settings:
    """The first settings of each path, and all of them in order."""

    def __init__(self, found: Iterator[Setting]) -> None:
        self.all = tuple(found)
        self.first: dict[str, Setting] = {}
        for setting in self.all:
            self.first.setdefault(setting.path, setting)

    def __contains__(self, path: str) -> bool:
        return path in self.first

    def get(self, *paths: str) -> Setting | None:
        """The first setting of any of these paths, in the order asked."""
        return next((self.first[p] for p in paths if p in self.first), None)

    def value(self, *paths: str) -> str:
        """The value of `get`, "" where there is none."""
        found = self.get(*paths)
        return found.value if found is not None else ""

    def matching(self, pattern: str) -> list[Setting]:
        """Settings whose whole path a regular expression matches."""
        wanted = re.compile(pattern)
        names = {path for path in self.first if wanted.fullmatch(path)}
        return [s for s in self.all if s.path in names] if names else []


class Document:
    """A text in all the dialects it might be written in, each read when first asked for."""

    def __init__(self, path: bytes, text: str) -> None:
        self.path = path
        self.text = text[:MOST].removeprefix("﻿").replace("\r\n", "\n")

    @property
    def name(self) -> bytes:
        return self.path.rpartition(b"/")[2]

    @cached_property
    def is_json(self) -> bool:
        """Whether it begins as a JSON object, comments before it forgiven."""
        return re.match(r"(?:\s+|//[^\n]*+|#[^\n]*+|/\*(?:[^*]|\*(?!/))*+\*/)*+\{", self.text) is not None

    @cached_property
    def sections(self) -> Settings:
        return Settings(_sections(self.text) if "=" in self.text or "[" in self.text else iter(()))

    @cached_property
    def words(self) -> Settings:
        return Settings(_words(self.text))

    @cached_property
    def yaml(self) -> Settings:
        return Settings(_yaml(self.text) if ":" in self.text else iter(()))

    @cached_property
    def json(self) -> Settings:
        return Settings(_json(self.text) if self.is_json else iter(()))

    @cached_property
    def tree(self) -> Settings:
        """JSON or YAML, whichever it is."""
        return self.json if self.is_json else self.yaml

    @cached_property
    def blocks(self) -> Settings:
        return Settings(_blocks(self.text) if "{" in self.text else iter(()))


_PAIR = re.compile(r"^[ \t]*(?:export[ \t]+)?([A-Za-z_][\w .-]{0,60}?)[ \t]*=[ \t]*(.*)$")


def _plain(value: str) -> str:
    """A value without quotes and without the comment behind it."""
    value = value.strip()
    if value[:1] in ('"', "'"):
        end = value.find(value[0], 1)
        return value[1 : end if end > 0 else None][:_VALUE]
    return re.split(r"[ \t][#;]", value[: _VALUE * 2], maxsplit=1)[0].strip()[:_VALUE]


def _sections(text: str) -> Iterator[Setting]:
    section = ""
    for number, line in enumerate(text.split("\n"), 1):
        bare = line[:2000].strip()
        if bare[:1] in ("#", ";", ""):
            continue
        if bare[0] == "[" and "]" in bare:
            section = bare.lstrip("[ \t").partition("]")[0].strip(" \t\"'").lower()[:_NAME]
            yield Setting(f"[{section}]", "", number)
        elif found := _PAIR.match(line[:2000]):
            yield Setting(f"{section}.{found[1].lower()[:_NAME]}", _plain(found[2]), number)


def _words(text: str) -> Iterator[Setting]:
    for number, line in enumerate(text.split("\n"), 1):
        bare = line[:2000].strip()
        if not bare or bare[0] in "#;":
            continue
        key, *rest = bare.split(None, 1)
        value = rest[0].lstrip("= \t") if rest else ""
        yield Setting(key.rstrip(":=").lower()[:_NAME], _plain(value), number)


_YAML = re.compile(
    r"""^(?P<indent>[ ]*)(?P<items>(?:-[ ]+)*)(?:(?P<key>"[^"\n]{1,120}"|'[^'\n]{1,120}'|[\w$./@*-][^:#\n]{0,120}?):(?:[ \t]+(?P<value>.*))?|(?P<item>\S.*))$"""
)


def _yaml(text: str) -> Iterator[Setting]:
    stack: list[tuple[int, str]] = []
    skip = -1  # the indent of a key whose text stands in the lines below it
    for number, line in enumerate(text.split("\n"), 1):
        bare = line.lstrip(" ")
        if not bare or bare[0] in "#%" or line[:3] in ("---", "..."):
            continue
        indent = len(line) - len(bare)
        if skip >= 0:
            if indent > skip:
                continue
            skip = -1
        found = _YAML.match(line[:2000])
        if found is None:
            continue
        items = found["items"]
        while stack and (stack[-1][0] > indent or (stack[-1][0] == indent and not items)):
            stack.pop()
        while stack and items and stack[-1][0] > indent:
            stack.pop()
        parents = [name for _, name in stack[-_PARTS:] if name]
        if items:
            # a list may stand no deeper than its own key
            parents = parents or [""]
            if not parents[-1].endswith("[]"):
                parents[-1] += "[]"
        at = indent + len(items)
        if found["key"] is None:
            if items:
                yield Setting(".".join(parents), _plain(found["item"]), number)
            continue
        if items:
            while stack and stack[-1][0] >= at:
                stack.pop()
            if stack and not stack[-1][1].endswith("[]"):
                stack[-1] = (stack[-1][0], stack[-1][1] + "[]")
        key = found["key"].strip("\"'").strip().lower()[:_NAME]
        value = _plain(found["value"] or "")
        if (found["value"] or "")[:1] in ("|", ">"):
            skip, value = at, ""
        yield Setting(".".join([*parents, key]), value, number)
        if len(stack) < DEEP:
            stack.append((at, key))


def _text(token: str) -> str:
    if token[:1] == '"' and "\\" in token:
        try:
            return str(json.loads(token))[:_VALUE]
        except ValueError:
            pass
    return token.strip("\"'")[:_VALUE]


def _json(text: str) -> Iterator[Setting]:
    stack: list[tuple[str, tuple[str, ...]]] = []
    deeper = 0
    lines, paths = Lines(text), dict[str, str]()
    key, pending, colon = "", "", False
    for token in JSON_TOKEN.finditer(text):
        kind, raw = token.lastgroup, token.group()
        if kind == "comment":
            continue
        frame = stack[-1] if stack else ("", ())
        if kind == "mark":
            if raw in "{[":
                named = key if colon else ""
                path = (*frame[1], named)[-_PARTS:] if named else frame[1]
                if raw == "[" and path:
                    path = (*path[:-1], path[-1].removesuffix("[]") + "[]")
                if len(stack) < DEEP:
                    stack.append((raw, path))
                else:
                    deeper += 1
                if named:
                    yield Setting(".".join(path), "", lines.at(token.start()))
                colon = False
            elif raw in "}]":
                if deeper:
                    deeper -= 1
                elif stack:
                    stack.pop()
                colon = False
            elif raw == ":" and frame[0] == "{":
                key, colon = pending.lower()[:_NAME], True
            elif raw == ",":
                colon = False
            continue
        pending = _text(raw) if kind == "string" else raw[:_VALUE]
        if frame[0] == "[":
            whole = ".".join(frame[1]) or "[]"
        elif colon:
            whole = ".".join((*frame[1], key))
            colon = False
        else:
            continue
        yield Setting(paths.setdefault(whole, whole), pending, lines.at(token.start()))


_BLOCK = re.compile(
    r"""(?P<comment>//[^\n]*|/\*(?:[^*]|\*(?!/))*+(?:\*/)?|(?:^|(?<=[\s;{}]))\#[^\n]*)
    |(?P<open>\{)|(?P<close>\})|(?P<end>[;\n])
    |(?P<quoted>"(?:[^"\\\n]|\\.)*+"?)
    |(?P<word>(?:[^\s{}"';\#/]|/(?![/*])|'|\#)++)""",
    re.VERBOSE,
)


def _blocks(text: str) -> Iterator[Setting]:
    """`name { key = value; key value; }` and the same with a line for each: redsocks, swanctl, vtund, danted."""
    stack: list[str] = []
    words: list[str] = []
    deeper, begin, lines = 0, 0, Lines(text)
    for token in _BLOCK.finditer(text):
        kind = token.lastgroup
        if kind in ("word", "quoted"):
            begin = begin if words else token.start()
            if len(words) < 20:
                words.append(token.group().strip('"')[:_VALUE])
        elif kind == "open":
            name = " ".join(w for w in words if w not in (":", "=")).lower()[:_NAME]
            if len(stack) < DEEP:
                stack.append(name)
                yield Setting(".".join(stack[-_PARTS:]), "", lines.at(begin if words else token.start()))
            else:
                deeper += 1
            words = []
        elif kind in ("end", "close"):
            if words:
                key, value = words[0], " ".join(w for w in words[1:] if w not in (":", "="))
                mark = re.search(r"[=:]", key)
                if mark is not None:
                    key, value = key[: mark.start()], f"{key[mark.end() :]} {value}".strip()
                yield Setting(".".join((*stack[-_PARTS:], key.lower()[:_NAME])), value.lstrip("=: "), lines.at(begin))
                words = []
            if kind == "close":
                if deeper:
                    deeper -= 1
                elif stack:
                    stack.pop()
