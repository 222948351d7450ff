"""An image's history, entry by entry, and whether an entry is what a builder writes for an instruction.

Nothing specifies the text. What is known here was read from BuildKit (dockerfile2llb), moby's classic builder (builder/dockerfile), and
histories that both wrote: BuildKit `RUN |1 A=b /bin/sh -c … # buildkit` and `COPY a /b # buildkit`, the classic builder
`|1 A=b /bin/sh -c …` and `/bin/sh -c #(nop) COPY file:… in /b `; kaniko and buildah write the instruction itself.
"""

import json
import posixpath
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import dropwhile

from scanner.dockerfile import Heredoc, Step
from scanner.model import Image

MOST_ENTRIES = 2_000
"""Entries of a history that are compared; engines stop at 127 layers."""
MOST_TEXT = 64 << 10
"""Characters of an entry that are compared."""

_KEYWORDS = (
    "ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL MAINTAINER ONBUILD RUN SHELL STOPSIGNAL USER VOLUME WORKDIR"
).split()
_NOP = re.compile(r"(?:\|\d+ )?(?P<before>.{0,500}?)#\(nop\) {0,2}(?P<rest>.*)", re.DOTALL)
_ARGUMENTS = re.compile(r"\|(\d{1,3}) ")
_NAME = re.compile(r"[A-Za-z_]\w*")
_CLASSIC_SOURCE = re.compile(r"(?:--\S*?)?(?:(?:file|dir|multi):[0-9a-f]{64}|https?://\S+)")
"""With flags before it: the classic builder writes no space between them."""
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*+)(?:"|\\?\Z)', re.DOTALL)
"""One that nothing closes goes to the end: no text is read twice."""
_TAKES_COMMAND = re.compile(r"-\w*c|-command|/c", re.IGNORECASE)
"""The last option of sh, bash, PowerShell and cmd."""
_PORT = re.compile(r"(?<![\w./-])(\d+(?:-\d+)?)(?:/(tcp|udp|sctp))?(?![\w.-])")


class Agreement(IntEnum):
    """How well an entry fits an instruction. SAME: it is what a builder writes. LIKELY: it would be, if variables have values that are
    not known here. CHANGED: the same keyword with other words. NONE: something else."""

    NONE = 0
    CHANGED = 1
    LIKELY = 2
    SAME = 3


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: `keyword` in upper case (empty where the entry names no instruction), `text` what stands behind it, `arguments` the build
    arguments that it names, `layer` the index of the layer it made (None: none). `merged`: a layer that many entries before it made."""

    keyword: str
    text: str
    arguments: tuple[tuple[str, str], ...]
    layer: int | None
    merged: bool = False


@dataclass(frozen=True, slots=True)
class Expected:
    """An instruction of the chain of stages that leads to the image. `shell` is what runs its shell form, None where only the base
    image knows; `folder` the working directory before it, None likewise. `trigger`: an ONBUILD of the stage below."""

    step: Step
    stage: int
    shell: tuple[str, ...] | None
    folder: str | None
    trigger: bool = False

    @property
    def keyword(self) -> str:
        return "ONBUILD" if self.step.instruction.on_build else self.step.instruction.keyword


def entries(image: Image) -> tuple[Entry, ...]:
    """The history with its layers; empty where it has none, or one that does not fit the layers."""
    made: list[Entry] = []
    layer = 0
    if len(image.history) > MOST_ENTRIES or sum(not h.empty_layer for h in image.history) != len(image.layers):
        return ()
    for one in image.history:
        keyword, text, arguments = _parsed(one.created_by[:MOST_TEXT].strip())
        merged = not one.created_by and one.comment.startswith(("merge ", "create new from "))  # moby, daemon/squash
        made.append(Entry(keyword, text, arguments, None if one.empty_layer else layer, merged))
        layer += not one.empty_layer
    return tuple(made)


def _parsed(created_by: str) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    text = created_by.removesuffix("# buildkit").rstrip()
    if (nop := _NOP.fullmatch(text)) is not None:
        text = nop["rest"].strip()
    keyword, _, rest = text.partition(" ")
    if keyword.upper() in _KEYWORDS and (keyword.isupper() or nop is not None):
        arguments = _arguments(rest) if keyword == "RUN" else _pairs(rest) if keyword == "ARG" else ()
        return keyword.upper(), rest.strip(), arguments
    if not text or nop is not None:
        return "", text, ()
    return "RUN", text, _arguments(text)


def _arguments(text: str) -> tuple[tuple[str, str], ...]:
    """The build arguments of `|2 A=b C=d …`; none where a value holds white space, so that nobody knows its end."""
    counted = _ARGUMENTS.match(text)
    if counted is None:
        return ()
    words = text[counted.end() :].split(" ")[: int(counted[1])]
    return _pairs(" ".join(words)) if all("=" in w for w in words) and len(words) == int(counted[1]) else ()


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    pairs = (word.partition("=") for word in text.split(" "))
    return tuple((name, value) for name, equals, value in pairs if equals and _NAME.fullmatch(name))


def agreement(expected: Expected, entry: Entry) -> Agreement:
    """How well the entry fits the instruction."""
    if expected.keyword != entry.keyword:
        return Agreement.NONE
    if _is_same(expected, entry):
        return Agreement.SAME
    one = expected.step.instruction
    if one.keyword in ("RUN", "CMD", "ENTRYPOINT", "SHELL", "HEALTHCHECK") or one.on_build:
        return Agreement.CHANGED  # a builder writes these as they stand, so no variable explains the difference
    if one.keyword in ("ENV", "LABEL", "ARG"):
        same_names = [w.partition("=")[0] for w in expected.step.words] == _names(entry.text, expected.step.words)
        return Agreement.LIKELY if same_names and "$" in one.value else Agreement.CHANGED
    return Agreement.LIKELY if "$" in one.value else Agreement.CHANGED


def _is_same(expected: Expected, entry: Entry) -> bool:
    one, text = expected.step.instruction, _plain(entry.text)
    if text == _plain(one.value):
        return True
    if one.on_build:
        return text == _plain(f"{one.keyword} {one.value}")
    words = expected.step.words
    if one.keyword == "RUN":
        return any(_runs(command, expected, text) for command in _commands(expected))
    if one.keyword in ("COPY", "ADD"):
        return _copies(words, one.heredocs, entry.text)
    if one.keyword in ("CMD", "ENTRYPOINT", "HEALTHCHECK"):
        return _starts(expected, entry.text)
    if one.keyword == "SHELL":
        return text == _plain(f"[{' '.join(words)}]")
    if one.keyword == "ARG":
        # the classic builder, and BuildKit up to 0.8, name the default whatever was given
        return [w.partition("=")[0] for w in words] == _names(entry.text, words)
    if one.keyword in ("ENV", "LABEL"):
        return text == _plain(" ".join(words))
    if one.keyword == "EXPOSE":
        return bool(words) and _ports(" ".join(words)) == _ports(entry.text)
    if one.keyword == "VOLUME":
        return text == _plain(f"[{' '.join(words)}]")
    if one.keyword == "WORKDIR":
        to = posixpath.normpath(posixpath.join(expected.folder or "", words[0])) if words else ""
        same = text == to
        return same or (expected.folder is None and not to.startswith("/") and text.endswith(f"/{to}"))
    return text == _plain(" ".join(words))


def _plain(text: str) -> str:
    return " ".join(text.split())


def _names(text: str, words: Sequence[str]) -> list[str]:
    """The names that `A=b c D=e` gives values, as many as there are words: a value may hold anything."""
    if len(words) == 1:
        return [text.partition("=")[0].strip()]
    known = frozenset(words)
    return [w.partition("=")[0] for w in text.split(" ") if "=" in w or w in known][: len(words) + 1]


def _commands(expected: Expected) -> Iterable[str]:
    """What a RUN gives its shell, or the kernel."""
    one = expected.step.instruction
    if one.is_exec:
        yield " ".join(one.words)
        return
    if not one.heredocs:
        yield one.value
        return
    if len(one.heredocs) == 1 and re.fullmatch(r"<<-?\s*\S+", one.value):
        text = one.heredocs[0].text
        yield f"/dev/pipes/{one.heredocs[0].name}" if text.startswith("#!") else text
        return
    yield "\n".join([one.value, *(f"{h.content}{h.name}" for h in one.heredocs)])


def _runs(command: str, expected: Expected, text: str) -> bool:
    """Whether an entry of RUN runs the command: build arguments and the shell stand before it."""
    command = _plain(command)
    if not text.endswith(command):
        return False
    before = text[: len(text) - len(command)]
    if not before or (expected.step.instruction.is_exec and _ARGUMENTS.match(before)):
        return True
    if before[-1] != " ":
        return False
    shell = " ".join(expected.shell or ("/bin/sh", "-c")) + " "
    if before == shell or (before.endswith(f" {shell}") and _ARGUMENTS.match(before)):
        return True
    if expected.shell is not None:
        return False
    counted = _ARGUMENTS.match(before)
    if counted is None:
        return _is_shell(before)
    words = before[counted.end() :].split(" ")
    number = int(counted[1])
    return all("=" in word for word in words[:number]) and _is_shell(" ".join(words[number:]))


def _is_shell(before: str) -> bool:
    """Whether it takes a command in one string: a program with options, the last of which says so, such as `/bin/bash -o pipefail -c `."""
    program, *options = before.removesuffix(" ").split(" ")
    takes_value = False
    for option in options:
        if not (takes_value or option.startswith("-") or (option.startswith("/") and len(option) == 2)):
            return False
        takes_value = not takes_value and option == "-o"
    return bool(program) and bool(options) and _TAKES_COMMAND.fullmatch(options[-1]) is not None


def _copies(words: Sequence[str], heredocs: Sequence[Heredoc], text: str) -> bool:
    """BuildKit names sources and destination, the classic builder a digest of the sources and the destination."""
    if not words:
        return False
    said = " ".join(dropwhile(lambda w: w.startswith("--"), text.split()))
    source, _, to = " ".join(text.split()).partition(" in ")
    if _CLASSIC_SOURCE.fullmatch(source.rpartition(" ")[2]):
        return to == _plain(words[-1])
    names = iter([h.name for h in heredocs])
    sources = [f"<<{next(names, w[2:])}" if w.startswith("<<") else w for w in words[:-1]]
    # BuildKit names files before heredocs
    sources.sort(key=lambda w: w.startswith("<<"))
    return said == _plain(" ".join([*sources, words[-1]]))


def _starts(expected: Expected, text: str) -> bool:
    """`["a" "b"]` of CMD and ENTRYPOINT, `{["CMD-SHELL" "a"] …}` and `{Test:[CMD a] …}` of HEALTHCHECK."""
    one = expected.step.instruction
    words = one.words
    if one.keyword == "HEALTHCHECK":
        kind = words[0] if words else ""
        words = ("NONE",) if kind == "NONE" else words if one.is_exec else ("CMD-SHELL", one.value[len(kind) :].strip())
        if text.startswith("{Test:["):
            return _plain(text[7:]).startswith(_plain(" ".join(words)) + "]")
        text = text.partition("]")[0] if '"]' not in text else text[: text.index('"]') + 2]
    elif not one.is_exec:
        words = (*(expected.shell or ("/bin/sh", "-c")), one.value)
    return [_unquoted(q) for q in _QUOTED.findall(text)] == list(words)


def _unquoted(quoted: str) -> str:
    """What Go's %q wrote; JSON knows most of its escapes."""
    try:
        return str(json.loads(f'"{quoted}"'))
    except ValueError:
        return quoted


def _ports(text: str) -> set[tuple[str, str]]:
    return {(number, protocol or "tcp") for number, protocol in _PORT.findall(text)}
