"""Shell text as statements, by the grammar: tree-sitter's bash, the only place that imports it.

Native code on hostile text: call it in the worker. Nothing here recurses, whatever the nesting. What the grammar does
not understand is read by lines besides, so that a mistake in a script (or in the grammar) hides nothing.
"""

import re
import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from scanner.detectors.launchers import linewise
from scanner.detectors.launchers.syntax import Statement, stream

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

_PIECE = 1 << 16
_OFTEN = 256
"""Nodes after which the clock is looked at: the processor's time of this thread, the same on a busy machine."""
_REDIRECTS = 8
"""Of groups within groups, the innermost."""
_SUBSTITUTIONS = frozenset({"command_substitution", "process_substitution"})
_ASSIGNMENTS = frozenset({"variable_assignment", "variable_assignments"})
_SKIPPED = frozenset({"comment", "heredoc_body", "heredoc_start", "heredoc_end", "file_descriptor"})
_WORDLESS = frozenset({"test_command", "arithmetic_expansion", "unset_command"})

_UNALIASED = re.compile(r"(?m)^([ \t]*)\\(?=[A-Za-z])")
r"""`\rm` at the begin of a line, which the grammar takes for a part of the line before."""


class OutOfTime(Exception):
    """The text takes the grammar longer than it may."""


@cache
def _parser() -> "Parser":
    import tree_sitter
    import tree_sitter_bash

    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_bash.language()))


def prepare() -> None:
    """Load the grammar, so that a limit of memory does not count it."""
    _parser()


class _Where:
    """What a node's statements inherit: streams, background, redirections of the group, the function they stand in."""

    __slots__ = ("background", "function", "redirects", "sink", "source")

    def __init__(
        self,
        source: int = 0,
        sink: int = 0,
        background: bool = False,
        function: str = "",
        redirects: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.source, self.sink, self.background = source, sink, background
        self.function, self.redirects = function, redirects

    def but(self, **changes: Any) -> "_Where":
        kept = {name: getattr(self, name) for name in self.__slots__}
        return _Where(**{**kept, **changes})


def statements(seconds: float) -> Callable[[str, Iterator[int]], list[Statement]]:
    """A reader of texts to statements, which raises OutOfTime once all of them together took that long."""
    deadline = time.thread_time() + seconds

    def read(text: str, ids: Iterator[int]) -> list[Statement]:
        return _Reading(text, ids, deadline).statements()

    return read


PIPES = 5_000
"""Bars that the grammar is given: it takes minutes for a megabyte of them, or all of the stack, and no script has so many."""


class _Reading:
    """One text's tree, walked with a stack of our own: nodes to come, and statements that wait for what stands in them."""

    def __init__(self, text: str, ids: Iterator[int], deadline: float) -> None:
        self.data = _UNALIASED.sub(r"\1", text).encode("utf-8", "surrogateescape")
        self.text, self.ids, self.deadline = text, ids, deadline
        self.found: list[Statement] = []
        self.odd: list[tuple[int, int]] = []
        self.stack: list[tuple[Node, _Where] | Statement] = []

    def statements(self) -> list[Statement]:
        data = self.data
        if data.count(b"|") > PIPES:
            raise OutOfTime
        parser = _parser()
        try:
            tree = parser.parse(
                lambda offset, _: data[offset : offset + _PIECE],
                progress_callback=lambda *_: time.thread_time() > self.deadline,
            )
        except ValueError as e:
            parser.reset()
            raise OutOfTime from e
        self.stack.append((tree.root_node, _Where()))
        steps = 0
        while self.stack:
            steps += 1
            if not steps % _OFTEN and time.thread_time() > self.deadline:
                raise OutOfTime
            top = self.stack.pop()
            if isinstance(top, Statement):
                self.found.append(top)
            else:
                self.node(*top)
        self.by_lines()
        return self.found

    def node(self, node: "Node", where: _Where) -> None:
        kind = node.type
        if kind == "command":
            self.command(node, where, node.children)
        elif kind == "declaration_command" or kind in _ASSIGNMENTS:
            self.command(node, where, node.children if kind != "variable_assignment" else [node])
        elif kind == "redirected_statement":
            self.redirected(node, where)
        elif kind == "pipeline":
            self.pipeline(node, where)
        elif kind == "function_definition":
            name = node.child_by_field_name("name")
            self.children(node, where.but(function=self.of(name) if name is not None else "", background=False))
        elif kind == "for_statement":
            self.loop(node, where)
        elif kind in _SUBSTITUTIONS:
            self.children(node, where)
        elif kind in _WORDLESS:
            self.command(node, where, [node])
        elif kind not in _SKIPPED and node.child_count:
            if kind == "ERROR":
                self.odd.append((node.start_point[0], node.end_point[0]))
            self.children(node, where)

    def children(self, node: "Node", where: _Where) -> None:
        """What stands in a list, a group, a branch: each on its own; what `&` follows runs on beside the rest."""
        tasks: list[tuple[Node, _Where]] = []
        for child in node.children:
            if child.is_named:
                tasks.append((child, where))
            elif child.type == "&" and tasks:
                tasks[-1] = (tasks[-1][0], where.but(background=True))
        self.stack += reversed(tasks)

    def pipeline(self, node: "Node", where: _Where) -> None:
        parts = [child for child in node.children if child.is_named]
        tasks, source = [], where.source
        for number, part in enumerate(parts):
            sink = next(self.ids) if number < len(parts) - 1 else where.sink
            tasks.append((part, where.but(source=source, sink=sink)))
            source = sink
        self.stack += reversed(tasks)

    def loop(self, node: "Node", where: _Where) -> None:
        """The variable has the first of the values: one of them is enough to know what the body does."""
        variable, value = node.child_by_field_name("variable"), node.child_by_field_name("value")
        self.stack += [(child, where) for child in reversed(node.children) if child.is_named and child != value]
        if variable is not None and value is not None:
            word, inner = self.word(value, where)
            line = node.start_point[0] + 1
            self.stack.append(Statement((f"{self.of(variable)}={word}",), line, line, function=where.function))
            self.stack += inner

    def redirected(self, node: "Node", where: _Where) -> None:
        """A statement and where its output goes. A here-document that is still here is one whose end did not come."""
        body = node.child_by_field_name("body")
        redirects: list[tuple[str, str]] = []
        inner: list[tuple[Node, _Where] | Statement] = []
        before = ""
        for child in node.children:
            if child.type in ("file_redirect", "herestring_redirect", "heredoc_redirect"):
                said, more = self.redirect(child, where)
                redirects += [(before + operator, target) for operator, target in said]
                inner += more
                before = ""
            elif child.type == "ERROR":
                # a here-string behind a group is no error, but the grammar knows it behind a command alone
                before = "<<" if child.end_byte - child.start_byte == 2 and self.of(child) == "<<" else ""
                if not before:
                    inner.append((child, where))
        inherits = where.but(redirects=(*redirects, *where.redirects)[:_REDIRECTS])
        if body is None:
            line = node.start_point[0] + 1
            self.stack.append(Statement((), line, node.end_point[0] + 1, inherits.redirects, where.source, where.sink))
        elif body.type == "pipeline":
            # the redirection is the last command's alone
            parts = [child for child in body.children if child.is_named]
            tasks, source = [], where.source
            for number, part in enumerate(parts):
                last = number == len(parts) - 1
                sink = where.sink if last else next(self.ids)
                tasks.append((part, (inherits if last else where).but(source=source, sink=sink)))
                source = sink
            self.stack += reversed(tasks)
        elif body.type == "list":
            parts = [child for child in body.children if child.is_named]
            self.stack += [(part, inherits if part is parts[-1] else where) for part in reversed(parts)]
        else:
            self.stack.append((body, inherits))
        self.stack += inner

    def redirect(
        self, node: "Node", where: _Where
    ) -> tuple[list[tuple[str, str]], list[tuple["Node", _Where] | Statement]]:
        """(operator, target) of one redirection, and the substitutions in its target."""
        if node.type == "heredoc_redirect":
            self.odd.append((node.start_point[0], node.end_point[0]))
            return [], []
        operator, target, inner = "", "", []
        for child in node.children:
            if child.type == "file_descriptor":
                operator = self.of(child)
            elif child.type == "ERROR" or not child.is_named:
                operator += self.of(child)
            else:
                target, more = self.word(child, where)
                inner += more
                break
        return [(operator[:8], target)], inner

    def command(self, node: "Node", where: _Where, parts: list["Node"]) -> None:
        """A simple command: its words as written, and before it what its substitutions run."""
        words: list[str] = []
        redirects: list[tuple[str, str]] = []
        inner: list[tuple[Node, _Where] | Statement] = []
        for part in parts:
            if part.type in ("file_redirect", "herestring_redirect", "heredoc_redirect"):
                said, more = self.redirect(part, where)
                redirects += said
            elif part.type in _SKIPPED:
                continue
            else:
                word, more = self.word(part, where)
                if part.type == "ERROR":
                    self.odd.append((part.start_point[0], part.end_point[0]))
                words.append(word)
            inner = more + inner
        if node.type not in _WORDLESS:
            self.stack.append(
                Statement(
                    tuple(words),
                    node.start_point[0] + 1,
                    node.end_point[0] + 1,
                    (*redirects, *where.redirects),
                    where.source,
                    where.sink,
                    where.background,
                    where.function,
                )
            )
        self.stack += inner

    def word(self, node: "Node", where: _Where) -> tuple[str, list[tuple["Node", _Where] | Statement]]:
        """The word as written, but each substitution named by its stream; and those substitutions, last first."""
        if not node.child_count:
            return self.of(node), []
        pieces: list[str] = []
        inner: list[tuple[Node, _Where] | Statement] = []
        at = node.start_byte
        waiting = [node]
        while waiting:
            one = waiting.pop()
            if one.type in _SUBSTITUTIONS:
                key = next(self.ids)
                sign = self.data[one.start_byte : one.start_byte + 1].decode("latin-1")
                kind = sign if sign in "<>" else ""
                pieces += [self.slice(at, one.start_byte), stream(key, kind)]
                at = one.end_byte
                ends = {"source": key, "sink": 0} if kind == ">" else {"source": 0, "sink": key}
                inner.append((one, where.but(**ends, redirects=(), background=kind == ">")))
            elif one.child_count:
                waiting += reversed(one.children)
        return "".join(pieces) + self.slice(at, node.end_byte), inner[::-1]

    def of(self, node: "Node") -> str:
        return self.slice(node.start_byte, node.end_byte)

    def slice(self, begin: int, end: int) -> str:
        return self.data[begin:end].decode("utf-8", "surrogateescape")

    def by_lines(self) -> None:
        """Lines in which the grammar found an error, read by lines too; what is known already is not said twice."""
        if not self.odd:
            return
        known = {(s.line, s.words) for s in self.found}
        lines = self.text.split("\n")
        done = -1
        for begin, end in sorted(self.odd):
            first = max(begin, done + 1)
            if end < first:
                continue
            done = end
            for said in linewise.statements("\n".join(lines[first : end + 1]), self.ids):
                if (said.line + first, said.words) not in known:
                    self.found.append(
                        Statement(
                            said.words,
                            said.line + first,
                            said.last + first,
                            said.redirects,
                            said.source,
                            said.sink,
                            said.background,
                        )
                    )
