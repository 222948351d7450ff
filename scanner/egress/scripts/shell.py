"""A shell's text as a tree of commands: read, never run. Bounded; what is not understood raises Unreadable.

Source: POSIX.1, Shell Command Language; bash(1) for `[[`, `((`, arrays, here-strings and process substitution.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

DEPTH = 40
COMMANDS = 20_000


class Unreadable(ValueError):
    """The text is no shell's, or too deep or too long; `line` is where reading ended, `before` what was read until then."""

    def __init__(self, words: str, line: int) -> None:
        super().__init__(words)
        self.line = line
        self.before: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a word. `kind`: `text`, `variable` (`text` its name, `rest` what stands behind it in braces), `command`
    (`body` the substitution), `process` (`<(…)`), `sum` (arithmetic)."""

    kind: str
    text: str = ""
    quoted: bool = False
    rest: str = ""
    body: "tuple[Node, ...]" = ()


Word = tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Redirect:
    """`operator` with its word; a here-document's text is `text`."""

    operator: str
    word: Word = ()
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Simple:
    """One simple command. `assignments`: (name, words), several words for an array. `raw` is the inside of `[[ ]]`."""

    line: int
    words: tuple[Word, ...]
    assignments: tuple[tuple[str, tuple[Word, ...]], ...] = ()
    redirects: tuple[Redirect, ...] = ()
    raw: str = ""


@dataclass(frozen=True, slots=True)
class Pipeline:
    commands: "tuple[Node, ...]"
    negated: bool = False


@dataclass(frozen=True, slots=True)
class AndOr:
    """`rest`: (`&&` or `||`, node)."""

    first: "Node"
    rest: "tuple[tuple[str, Node], ...]"


@dataclass(frozen=True, slots=True)
class For:
    line: int
    variable: str
    words: tuple[Word, ...]
    body: "tuple[Node, ...]"
    redirects: tuple[Redirect, ...] = ()


@dataclass(frozen=True, slots=True)
class While:
    line: int
    condition: "tuple[Node, ...]"
    body: "tuple[Node, ...]"
    redirects: tuple[Redirect, ...] = ()


@dataclass(frozen=True, slots=True)
class If:
    line: int
    branches: "tuple[tuple[tuple[Node, ...], tuple[Node, ...]], ...]"
    otherwise: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Case:
    line: int
    bodies: "tuple[tuple[Node, ...], ...]"


@dataclass(frozen=True, slots=True)
class Group:
    body: "tuple[Node, ...]"
    redirects: tuple[Redirect, ...] = ()


@dataclass(frozen=True, slots=True)
class Function:
    name: str
    body: "tuple[Node, ...]"


Node = Simple | Pipeline | AndOr | For | While | If | Case | Group | Function


def read(text: str, first_line: int = 1) -> tuple[Node, ...]:
    """The commands of a text whose first line has this number. Raises Unreadable."""
    return _Parser(text.replace("\r\n", "\n"), first_line, [COMMANDS]).program()


def simple_commands(nodes: tuple[Node, ...]) -> Iterator[Simple]:
    """Every simple command of a tree, those of substitutions apart, in the order of the text."""
    for node in nodes:
        match node:
            case Simple():
                yield node
            case Pipeline(commands):
                yield from simple_commands(commands)
            case AndOr(first, rest):
                yield from simple_commands((first, *(one for _, one in rest)))
            case For(body=body) | Group(body=body) | Function(body=body):
                yield from simple_commands(body)
            case While(condition=condition, body=body):
                yield from simple_commands((*condition, *body))
            case If(branches=branches, otherwise=otherwise):
                for condition, body in branches:
                    yield from simple_commands((*condition, *body))
                yield from simple_commands(otherwise)
            case Case(bodies=bodies):
                for body in bodies:
                    yield from simple_commands(body)


def literal(word: Word) -> str | None:
    """The word's text where nothing is to be expanded."""
    if all(p.kind == "text" for p in word):
        return "".join(p.text for p in word)
    return None


_BLANK = re.compile(r"(?:[ \t\r]|\\\n)+")
_COMMENT = re.compile(r"#[^\n]*")
_OPERATOR = re.compile(r"\n|;;&?|;&|;|&&|&>>?|\|\||\|&|&|\||\(|\)")
_REDIRECT = re.compile(r"(?:\d+|\{\w+\})?(?:<<<|<<-|<<|<>|<&|>>|>&|>\||<(?!\()|>(?!\()|&>>|&>)")
_PLAIN = re.compile(r"[^\s;&|<>()'\"\\$`]+")
_NAME = re.compile(r"[A-Za-z_]\w*|[0-9@*#?$!-]")
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)(?:\[[^\]\n]*\])?\+?=")
_FUNCTION = re.compile(r"([A-Za-z_][\w.:-]*)[ \t]*\([ \t]*\)")
_CLOSERS = frozenset(("then", "elif", "else", "fi", "do", "done", "esac", "}"))


@dataclass(slots=True)
class _Here:
    """A here-document that is announced; `strip` leading tabs."""

    end: str
    strip: bool


@dataclass(slots=True)
class _Parser:
    text: str
    first_line: int
    left: list[int]
    depth: int = 0
    at: int = 0
    newlines: list[int] = field(default_factory=list)
    pending: list[_Here] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.newlines = [m.start() for m in re.finditer("\n", self.text)]

    @property
    def line(self) -> int:
        return self.first_line + bisect_right(self.newlines, self.at - 1)

    def fail(self, words: str) -> Unreadable:
        return Unreadable(words, self.line)

    def program(self) -> tuple[Node, ...]:
        result: list[Node] = []
        try:
            self.sequence(frozenset(), result)
            self.blanks()
            if self.at < len(self.text):
                raise self.fail(f"{self.text[self.at : self.at + 20]!r} is not expected")
        except Unreadable as e:
            e.before = tuple(result)
            raise
        return tuple(result)

    # ---- what stands between words

    def blanks(self) -> None:
        while found := _BLANK.match(self.text, self.at):
            self.at = found.end()
        if self.text[self.at : self.at + 1] == "#" and (self.at == 0 or self.text[self.at - 1] in " \t\r\n;&|()`"):
            found = _COMMENT.match(self.text, self.at)
            self.at = found.end() if found else self.at

    def operator(self) -> str:
        """The operator that comes next, not taken."""
        self.blanks()
        if _REDIRECT.match(self.text, self.at) and self.text[self.at : self.at + 2] != "&&":
            found = _REDIRECT.match(self.text, self.at)
            if found and (found.group()[0] in "<>&{" or found.group()[0].isdigit()):
                return ""
        found = _OPERATOR.match(self.text, self.at)
        return found.group() if found else ""

    def take(self, operator: str) -> None:
        self.at += len(operator)
        if operator == "\n":
            self.here_documents()

    def newlines_too(self) -> None:
        while self.operator() in ("\n", ";"):
            self.take(self.operator())

    def here_documents(self) -> None:
        """Goes past the here-documents that the line before announced."""
        for here in self.pending:
            _, self.at = self.document(here, self.at)
        self.pending.clear()

    def document(self, here: "_Here", at: int) -> tuple[str, int]:
        """The here-document that begins at a place, and where it ends."""
        body: list[str] = []
        while at < len(self.text):
            end = self.text.find("\n", at)
            end = len(self.text) if end < 0 else end
            line = self.text[at:end]
            line = line.lstrip("\t") if here.strip else line
            at = min(end + 1, len(self.text))
            if line == here.end:
                break
            body.append(line)
        return "".join(one + "\n" for one in body), at

    def keyword(self) -> str:
        """The unquoted word that comes next, not taken."""
        self.blanks()
        found = re.compile(r"[A-Za-z_{}!\[]+(?=[\s;&|()<>]|$)").match(self.text, self.at)
        return found.group() if found else ""

    def expect(self, word: str) -> None:
        if self.keyword() != word:
            raise self.fail(f"{word!r} is expected")
        self.at += len(word)

    # ---- lists and commands

    def sequence(self, ends: frozenset[str], into: list[Node] | None = None) -> tuple[Node, ...]:
        self.depth += 1
        if self.depth > DEPTH:
            raise self.fail(f"commands stand more than {DEPTH} deep within each other")
        result: list[Node] = [] if into is None else into
        while True:
            self.newlines_too()
            operator = self.operator()
            if operator in (")", ";;", ";&", ";;&") or self.at >= len(self.text) or self.keyword() in ends:
                break
            result.append(self.and_or())
            operator = self.operator()
            if operator in (";", "&", "\n"):
                self.take(operator)
        self.depth -= 1
        return tuple(result)

    def and_or(self) -> Node:
        first = self.pipeline()
        rest: list[tuple[str, Node]] = []
        while (operator := self.operator()) in ("&&", "||"):
            self.take(operator)
            while self.operator() == "\n":
                self.take("\n")
            rest.append((operator, self.pipeline()))
        return AndOr(first, tuple(rest)) if rest else first

    def pipeline(self) -> Node:
        negated = False
        while self.keyword() == "!":
            self.at += 1
            negated = not negated
        commands = [self.command()]
        while (operator := self.operator()) in ("|", "|&"):
            self.take(operator)
            while self.operator() == "\n":
                self.take("\n")
            commands.append(self.command())
        return Pipeline(tuple(commands), negated) if len(commands) > 1 or negated else commands[0]

    def command(self) -> Node:
        self.left[0] -= 1
        if self.left[0] < 0:
            raise self.fail(f"more than {COMMANDS:,} commands")
        line = self.line
        if self.operator() == "(":
            if self.text.startswith("((", self.at):
                return self.arithmetic(line)
            self.take("(")
            body = self.sequence(frozenset())
            self.close(")")
            return Group(body, self.redirects())
        match self.keyword():
            case "{":
                self.at += 1
                body = self.sequence(frozenset("}"))
                self.expect("}")
                return Group(body, self.redirects())
            case "if":
                return self.if_(line)
            case "for" | "select":
                return self.for_(line)
            case "while" | "until":
                self.at += 5
                condition = self.sequence(frozenset(("do",)))
                body = self.do_group()
                return While(line, condition, body, self.redirects())
            case "case":
                return self.case(line)
            case "function":
                self.at += 8
                self.blanks()
                found = re.compile(r"([^\s(){};|&<>]+)(?:[ \t]*\([ \t]*\))?").match(self.text, self.at)
                if found is None:
                    raise self.fail("a function has a name")
                return self.function(found[1], found.end())
        found = _FUNCTION.match(self.text, self.at)
        if found:
            return self.function(found[1], found.end())
        return self.simple(line)

    def function(self, name: str, end: int) -> Node:
        self.at = end
        while self.operator() == "\n":
            self.take("\n")
        self.depth += 1
        if self.depth > DEPTH:
            raise self.fail(f"commands stand more than {DEPTH} deep within each other")
        body = self.command()
        self.depth -= 1
        return Function(name, (body,))

    def close(self, operator: str) -> None:
        if self.operator() != operator:
            raise self.fail(f"{operator!r} is expected")
        self.take(operator)

    def do_group(self) -> tuple[Node, ...]:
        self.newlines_too()
        if self.keyword() == "{":
            self.at += 1
            body = self.sequence(frozenset("}"))
            self.expect("}")
            return body
        self.expect("do")
        body = self.sequence(frozenset(("done",)))
        self.expect("done")
        return body

    def if_(self, line: int) -> Node:
        branches = []
        self.at += 2
        while True:
            condition = self.sequence(frozenset(("then",)))
            self.expect("then")
            branches.append((condition, self.sequence(frozenset(("elif", "else", "fi")))))
            if self.keyword() != "elif":
                break
            self.at += 4
        otherwise: tuple[Node, ...] = ()
        if self.keyword() == "else":
            self.at += 4
            otherwise = self.sequence(frozenset(("fi",)))
        self.expect("fi")
        self.redirects()
        return If(line, tuple(branches), otherwise)

    def for_(self, line: int) -> Node:
        self.at += 3 if self.keyword() == "for" else 6
        self.blanks()
        if self.text.startswith("((", self.at):
            self.arithmetic(line)
            return For(line, "", (), self.do_group(), self.redirects())
        found = _NAME.match(self.text, self.at)
        if found is None:
            raise self.fail("a loop has a variable")
        self.at = found.end()
        self.newlines_too()
        words: list[Word] = []
        if self.keyword() == "in":
            self.at += 2
            while self.operator() not in ("\n", ";"):
                word = self.word()
                if not word:
                    raise self.fail("a word is expected")
                words.append(word)
        else:
            words.append((Part("variable", "@", True),))
        return For(line, found.group(), tuple(words), self.do_group(), self.redirects())

    def case(self, line: int) -> Node:
        self.at += 4
        self.blanks()
        self.word()
        self.newlines_too()
        self.expect("in")
        bodies = []
        while True:
            self.newlines_too()
            if self.keyword() == "esac":
                break
            if self.at >= len(self.text):
                raise self.fail("'esac' is expected")
            if self.operator() == "(":
                self.take("(")
            while self.operator() != ")":
                self.blanks()
                if self.operator() == "|":
                    self.take("|")
                elif not self.word():
                    raise self.fail("a pattern is expected")
            self.take(")")
            bodies.append(self.sequence(frozenset(("esac",))))
            if self.operator() in (";;", ";&", ";;&"):
                self.take(self.operator())
        self.expect("esac")
        self.redirects()
        return Case(line, tuple(bodies))

    def arithmetic(self, line: int) -> Node:
        end = self.text.find("))", self.at)
        if end < 0:
            raise self.fail("'))' is expected")
        self.at = end + 2
        return Simple(line, ((Part("text", "(("),),), raw="")

    def redirects(self) -> tuple[Redirect, ...]:
        result = []
        while (one := self.redirect()) is not None:
            result.append(one)
        return tuple(result)

    def redirect(self) -> Redirect | None:
        self.blanks()
        found = _REDIRECT.match(self.text, self.at)
        if found is None:
            return None
        operator = found.group().lstrip("0123456789")
        operator = operator.partition("}")[2] if operator.startswith("{") else operator
        self.at = found.end()
        self.blanks()
        word = self.word()
        if operator in ("<<", "<<-"):
            end = "".join(p.text for p in word)
            self.pending.append(_Here(end, operator == "<<-"))
            text = self.peeked_document()
            return Redirect(operator, word, text)
        return Redirect(operator, word)

    def peeked_document(self) -> str:
        """The text of the last here-document announced, whose body begins behind the line's end."""
        at = self.text.find("\n", self.at) + 1
        text = ""
        for here in self.pending if at else ():
            text, at = self.document(here, at)
        return text

    def simple(self, line: int) -> Node:
        words: list[Word] = []
        assignments: list[tuple[str, tuple[Word, ...]]] = []
        redirects: list[Redirect] = []
        begun = self.at
        while True:
            if not words:
                self.blanks()
                found = _ASSIGNMENT.match(self.text, self.at)
                if found:
                    self.at = found.end()
                    assignments.append((found[1], self.assigned()))
                    continue
                if self.keyword() == "[[":
                    return self.tests(line)
            if (one := self.redirect()) is not None:
                redirects.append(one)
                continue
            operator = self.operator()
            if operator:
                break
            word = self.word()
            if not word:
                break
            if words and literal(words[0]) in ("local", "export", "declare", "readonly", "typeset"):
                said = "".join(p.text for p in word if p.kind == "text")
                found = _ASSIGNMENT.match(said)
                if found:
                    assignments.append((found[1], (_after(word, found.end()),)))
                    if self.text[self.at : self.at + 1] == "(":
                        assignments[-1] = (found[1], self.assigned())
            words.append(word)
        if self.at == begun or not (words or assignments or redirects):
            raise self.fail(f"{self.text[self.at : self.at + 20]!r} is not expected")
        if words and len(words[0]) == 1 and words[0][0].text in _CLOSERS and not words[0][0].quoted:
            raise self.fail(f"{words[0][0].text!r} is not expected")
        return Simple(line, tuple(words), tuple(assignments), tuple(redirects))

    def assigned(self) -> tuple[Word, ...]:
        if self.text[self.at : self.at + 1] != "(":
            if self.at < len(self.text) and self.text[self.at] in " \t\n;":
                return ((),)
            return (self.word(),)
        self.at += 1
        result = []
        while self.operator() != ")":
            if self.operator() == "\n":
                self.take("\n")
                continue
            word = self.word()
            if not word:
                raise self.fail("')' is expected")
            result.append(word)
        self.take(")")
        return tuple(result)

    def tests(self, line: int) -> Node:
        found = re.compile(r"\[\[(.*?)\s\]\](?=[\s;&|)]|$)", re.DOTALL).match(self.text, self.at)
        if found is None:
            raise self.fail("']]' is expected")
        self.at = found.end()
        return Simple(line, ((Part("text", "[["),),), (), self.redirects(), found[1].strip())

    # ---- words

    def word(self) -> Word:
        parts: list[Part] = []
        text = self.text
        while self.at < len(text):
            c = text[self.at]
            if c in "<>" and text.startswith(("<(", ">("), self.at):
                self.at += 2
                parts.append(Part("process", body=self.inner()))
            elif found := _PLAIN.match(text, self.at):
                parts.append(Part("text", found.group()))
                self.at = found.end()
            elif c == "\\":
                if text.startswith("\\\n", self.at):
                    self.at += 2
                    continue
                parts.append(Part("text", text[self.at + 1 : self.at + 2], True))
                self.at += 2
            elif c == "'":
                end = text.find("'", self.at + 1)
                if end < 0:
                    raise self.fail("a quote is not closed")
                parts.append(Part("text", text[self.at + 1 : end], True))
                self.at = end + 1
            elif c == '"':
                self.at += 1
                parts += self.double()
            elif c in "$`":
                parts.append(self.dollar(False))
            else:
                break
        return tuple(parts)

    def double(self) -> list[Part]:
        parts = [Part("text", "", True)]
        text = self.text
        while self.at < len(text):
            c = text[self.at]
            if c == '"':
                self.at += 1
                return parts
            if c == "\\" and self.at + 1 < len(text):
                following = text[self.at + 1]
                parts.append(
                    Part(
                        "text", "" if following == "\n" else following if following in '$`"\\' else c + following, True
                    )
                )
                self.at += 2
            elif c in "$`":
                parts.append(self.dollar(True))
            else:
                found = re.compile(r'[^"\\$`]+').match(text, self.at)
                if found is None:
                    break  # a backslash that ends the text
                parts.append(Part("text", found.group(), True))
                self.at = found.end()
        raise self.fail("a quote is not closed")

    def dollar(self, quoted: bool) -> Part:
        text = self.text
        if text[self.at] == "`":
            end = self.at + 1
            while end < len(text) and text[end] != "`":
                end += 2 if text[end] == "\\" else 1
            if end >= len(text):
                raise self.fail("a ` is not closed")
            inner = text[self.at + 1 : end].replace("\\`", "`")
            part = Part("command", quoted=quoted, body=self.nested(inner))
            self.at = end + 1
            return part
        if text.startswith("$((", self.at):
            end = text.find("))", self.at)
            if end < 0:
                raise self.fail("'))' is expected")
            self.at = end + 2
            return Part("sum", quoted=quoted)
        if text.startswith("$(", self.at):
            self.at += 2
            return Part("command", quoted=quoted, body=self.inner())
        if text.startswith("${", self.at):
            end, depth = self.at + 2, 1
            while end < len(text) and depth:
                depth += {"{": 1, "}": -1}.get(text[end], 0)
                end += 2 if text[end] == "\\" else 1
            if depth:
                raise self.fail("'}' is expected")
            inner = text[self.at + 2 : end - 1]
            found = re.match(r"[!#]?([A-Za-z_]\w*|[0-9@*#?$!-])", inner)
            self.at = end
            if found is None:
                return Part("variable", "", quoted, inner)
            return Part("variable", found[1], quoted, inner[found.end() :] if inner[:1] not in "!#" else "!")
        if text.startswith("$'", self.at) and not quoted:
            end = self.at + 2
            while end < len(text) and text[end] != "'":
                end += 2 if text[end] == "\\" else 1
            body = text[self.at + 2 : end]
            self.at = min(end + 1, len(text))
            return Part("text", body.replace("\\n", "\n").replace("\\t", "\t"), True)
        found = _NAME.match(text, self.at + 1)
        if found is None:
            self.at += 1
            return Part("text", "$", quoted)
        self.at = found.end()
        return Part("variable", found.group(), quoted)

    def inner(self) -> tuple[Node, ...]:
        body = self.sequence(frozenset())
        self.close(")")
        return body

    def nested(self, inner: str) -> tuple[Node, ...]:
        if self.depth >= DEPTH:
            raise self.fail(f"commands stand more than {DEPTH} deep within each other")
        return _Parser(inner, self.line, self.left, self.depth + 1).program()


def _after(word: Word, cut: int) -> Word:
    """A word without its first `cut` characters of text."""
    result = []
    for part in word:
        if part.kind == "text" and cut:
            taken = min(cut, len(part.text))
            cut -= taken
            part = Part("text", part.text[taken:], part.quoted)  # noqa: PLW2901
            if not part.text and not part.quoted:
                continue
        result.append(part)
    return tuple(result)
