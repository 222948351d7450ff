"""A policy: which changes of a run are to be expected, as globs over paths, and of which rules they need no finding.

```yaml
expect:
  - path: /work/**
    change: [added, modified]
    reason: the task's own folder
    rules: [drift/*]
```
Globs are those of scanner.globs: `*` and `?` stay within a folder, `**` goes through folders, `[…]` is a set. Without `rules` an entry covers what `drift/*`
covers: the rules on ordinary files. Set-user-id bits, capabilities, accounts, keys, preloading and what the scanner finds in any image are
covered only where the entry names the rule in full.
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

from scanner import globs
from scanner.errors import ParseError, UsageError
from scanner.model import printable
from scanner.model.run import ChangeKind

BYTES = 1 << 20
ENTRIES = 10_000
ORDINARY = frozenset(
    ("drift/new-executable", "drift/changed-executable", "drift/persistence", "drift/deleted-log", "drift/history")
)
"""Rules that an entry covers without naming them."""
_KEYS = ("path", "change", "reason", "rules")


@dataclass(frozen=True)
class Expectation:
    """One entry: `path` a glob with or without leading slash, `changes` empty for every kind, `rules` patterns of rule ids."""

    path: str
    changes: tuple[ChangeKind, ...] = ()
    reason: str = ""
    rules: tuple[str, ...] = ("drift/*",)

    @cached_property
    def _pattern(self) -> globs.Glob:
        return globs.of(self.path)

    @property
    def words(self) -> str:
        return printable(self.path) + (f" ({printable(self.reason)})" if self.reason else "")

    def matches(self, path: bytes, change: ChangeKind) -> bool:
        if self.changes and change not in self.changes:
            return False
        return self._pattern.matches(path.decode("utf-8", "surrogateescape"))

    def covers(self, rule: str) -> bool:
        """Whether findings of the rule are covered: named in full, or an ordinary one by a pattern."""
        return rule in self.rules or (rule in ORDINARY and any(fnmatchcase(rule, p) for p in self.rules))


@dataclass(frozen=True, slots=True)
class Policy:
    """Entries in their order: the first that matches gives the reason; any that matches may cover a rule."""

    entries: tuple[Expectation, ...]

    def entry(self, path: bytes, change: ChangeKind) -> Expectation | None:
        return next((e for e in self.entries if e.matches(path, change)), None)

    def covers(self, path: bytes, change: ChangeKind, rule: str) -> bool:
        return any(e.covers(rule) and e.matches(path, change) for e in self.entries)

    def __add__(self, other: "Policy") -> "Policy":
        return Policy((*self.entries, *other.entries))


def of_globs(patterns: Iterable[str]) -> Policy:
    """The policy that `--expect GLOB` means; raises UsageError for an empty glob."""
    entries = []
    for glob in patterns:
        if not glob.strip("/"):
            raise UsageError("--expect: write a path or a glob, such as /work/**")
        try:
            globs.of(glob)
        except ValueError as e:
            raise UsageError(f"--expect {printable(glob)}: no glob: {e}") from e
        entries.append(Expectation(glob))
    return Policy(tuple(entries))


def gathered(patterns: Iterable[str], files: Iterable[str | Path]) -> Policy:
    """All that `--expect` and `--policy` say; raises as `of_globs` and `read_policy` do."""
    policy = of_globs(patterns)
    for file in files:
        policy += read_policy(Path(file))
    return policy


def read_policy(path: Path) -> Policy:
    """The policy in a file. Raises UsageError where it cannot be read, ParseError with file:line:column for what is none."""
    name = printable(str(path))
    try:
        with path.open("rb") as file:
            data = file.read(BYTES + 1)
    except OSError as e:
        raise UsageError(f"cannot read the policy {name}: {e.strerror or e}") from e
    if len(data) > BYTES:
        raise UsageError(f"the policy {name} is larger than any ({BYTES} bytes)")
    try:
        return parse(data.decode("utf-8"), name)
    except UnicodeDecodeError as e:
        raise ParseError(f"{name}: no policy: it is no UTF-8 text ({e})") from e


def parse(text: str, file: str) -> Policy:
    """The policy of a YAML text; raises ParseError with file:line:column, LimitError for a YAML bomb."""
    from scanner.launch.document import Node, read_yaml

    def wrong(node: Node, what: str) -> ParseError:
        return ParseError(f"{file}:{node.line}:{node.column}: {what}")

    def word(node: Node, what: str) -> str:
        if node.text is None or node.is_null or not node.text:
            raise wrong(node, f"{what} is a text")
        return node.text

    def words(node: Node, what: str) -> tuple[tuple[str, Node], ...]:
        elements: Sequence[Node] = node.elements if node.elements is not None else (node,)
        if not elements:
            raise wrong(node, f"{what} is empty: leave it out, or name some")
        return tuple((word(e, what), e) for e in elements)

    def known(node: Node, allowed: Sequence[str], where: str) -> None:
        if not node.is_map:
            raise wrong(node, f"{where} is a mapping of {', '.join(allowed)}")
        for key, name, _ in node.items():
            if key not in allowed:
                raise wrong(name, f"{where} has no key {printable(key)!r}{_hint(key, allowed)}")

    documents = list(read_yaml(text, file))
    if len(documents) != 1:
        raise ParseError(f"{file}:1:1: a policy is one YAML document, this holds {len(documents)}")
    root = documents[0]
    known(root, ("expect",), "a policy")
    listed = root.get("expect")
    if listed is None or listed.elements is None:
        raise wrong(listed or root, "a policy has a list under `expect`")
    if len(listed.elements) > ENTRIES:
        raise wrong(listed, f"more than {ENTRIES} entries")
    entries = []
    for node in listed.elements:
        known(node, _KEYS, "an entry")
        path = node.get("path")
        if path is None:
            raise wrong(node, "an entry needs a path")
        glob = word(path, "path")
        if not glob.strip("/"):
            raise wrong(path, "path is a path or a glob, such as /work/**")
        try:
            globs.of(glob)
        except ValueError as e:
            raise wrong(path, f"{printable(glob)} is no glob: {e}") from e
        changes, kinds = [], node.get("change")
        for value, at in words(kinds, "change") if kinds is not None else ():
            if value not in list(ChangeKind):
                raise wrong(
                    at, f"no change is called {printable(value)!r}{_hint(value, [c.value for c in ChangeKind])}"
                )
            changes.append(ChangeKind(value))
        rules = node.get("rules")
        reason = node.get("reason")
        entries.append(
            Expectation(
                glob,
                tuple(changes),
                word(reason, "reason") if reason is not None else "",
                tuple(v for v, _ in words(rules, "rules")) if rules is not None else ("drift/*",),
            )
        )
    return Policy(tuple(entries))


def check_rules(policy: Policy, known: Iterable[str]) -> None:
    """Raises UsageError for a pattern of rules that no rule has: it would silence nothing, and nobody would see why."""
    ids = sorted(known)
    for entry in policy.entries:
        for pattern in entry.rules:
            if not any(fnmatchcase(i, pattern) for i in ids):
                raise UsageError(
                    f"the policy's entry for {printable(entry.path)} names no rule with {printable(pattern)!r}"
                    f"{_hint(pattern, ids)}"
                )
            if not any(entry.covers(i) for i in ids if fnmatchcase(i, pattern)):
                raise UsageError(
                    f"the policy's entry for {printable(entry.path)}: {printable(pattern)!r} covers nothing; "
                    "rules beyond those on ordinary files are named in full"
                )


def _hint(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, 1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known[:40])}"
