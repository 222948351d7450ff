"""What a container's command starts: the words of each simple command, a shell's text among them read, never run."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scanner.model.launch import Container, Mount, Origin, Place, Said

SHELLS = frozenset(("sh", "bash", "ash", "dash", "zsh", "busybox"))
_RUNNERS = frozenset(
    (
        "exec",
        "nohup",
        "tini",
        "dumb-init",
        "gosu",
        "su-exec",
        "env",
        "time",
        "nice",
        "stdbuf",
        "setsid",
        "command",
        "sudo",
    )
)
WORDS = 20_000


@dataclass(frozen=True, slots=True)
class Command:
    """One simple command; `unclear`: it holds what only a shell would know (a variable, a substitution)."""

    words: tuple[str, ...]
    origin: Origin
    unclear: bool = False

    @property
    def program(self) -> str:
        return self.words[0].rpartition("/")[2]


_TOKEN = re.compile(
    r"""(?P<blank>[ \t\r]+|\\\n)
    |(?P<comment>(?<![^\s;&|()])\#[^\n]*)
    |(?P<end>\n|;;|;|&&|\|\||[|&()])
    |(?P<redirect>\d*(?:<<-?|>>|>\||<|>)(?:&[\d-])?)
    |'(?P<single>[^']*)'
    |"(?P<double>(?:[^"\\]|\\.)*)"
    |\\(?P<escaped>.)
    |(?P<substitution>\$\(|`)
    |(?P<plain>[^\s;&|()<>'"\\`$]+|\$\w+|\$\{[^}\n]*\}|\$|[<>])
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)


def simple_commands(text: str) -> Iterator[tuple[list[str], int, bool]]:
    """The simple commands of a shell's text: (words, line from 1, unclear). Control words (`if`, `do`) are left out.

    A text too long ends with the command `…`, which nobody knows.
    """
    words: list[str] = []
    current: str | None = None
    unclear = False
    skip_next = False
    line = first = 1
    for count, token in enumerate(_TOKEN.finditer(text)):
        kind = token.lastgroup
        if count > WORDS:
            yield ["…"], line, True
            return
        if kind in ("blank", "comment", "end", "redirect"):
            if current is not None:
                if skip_next:
                    skip_next = False
                else:
                    words.append(current)
                current = None
            if kind == "redirect":
                skip_next = "&" not in token.group()
            if kind == "end":
                yield from _said(words, first, unclear)
                words, unclear, skip_next = [], False, False
        else:
            if not words and current is None:
                first = line
            if kind == "substitution":
                unclear = True
                piece = token.group()
            elif kind == "double":
                piece = re.sub(r'\\(["\\$`\n])', r"\1", token["double"])
                unclear = unclear or bool(re.search(r"(?<!\\)[$`]", token["double"]))
            elif kind == "escaped":
                piece = "" if token["escaped"] == "\n" else token["escaped"]
            elif kind == "single":
                piece = token["single"]
            else:
                piece = token.group()
                unclear = unclear or piece.startswith("$")
            current = (current or "") + piece
        line += token.group().count("\n")
    if current is not None and not skip_next:
        words.append(current)
    yield from _said(words, first, unclear)


_CONTROL = frozenset(("if", "then", "else", "elif", "fi", "do", "done", "while", "until", "{", "}", "!", "esac"))


def _said(words: list[str], line: int, unclear: bool) -> Iterator[tuple[list[str], int, bool]]:
    at = 0
    while at < len(words) and (words[at] in _CONTROL or re.match(r"[A-Za-z_]\w*=", words[at])):
        at += 1
    if at < len(words):
        yield words[at:], line, unclear


def commands_of(container: Container, entrypoint: Sequence[str] = ()) -> tuple[Command, ...] | None:
    """What the container starts, its shells' texts and mounted scripts read; None if that stands in the image alone.

    `entrypoint` is the image's own, which takes the command as its arguments where the launch gives no other.
    """
    said: list[Said[str]] = []
    if container.entrypoint is not None:
        said += container.entrypoint
    elif entrypoint and container.command is not None:
        said += [
            Said(word, container.command[0].origin if container.command else container.origin) for word in entrypoint
        ]
    said += container.command or ()
    if not said:
        return None
    return tuple(_expanded([s.value for s in said], said[-1].origin, container, 0))


def _expanded(words: list[str], origin: Origin, container: Container, depth: int) -> Iterator[Command]:
    words = _without_runners(words)
    if not words or depth > 4:
        return
    program = words[0].rpartition("/")[2]
    if program == "busybox" and len(words) > 1:
        words = words[1:]
        program = words[0]
    if program in SHELLS:
        text: str | None = None
        rest = words[1:]
        script: Mount | None = None
        while rest and rest[0].startswith(("-", "+")):
            option = rest.pop(0)
            if option == "-o" and rest:
                rest.pop(0)
            elif "c" in option.lstrip("-") and not option.startswith("--"):
                text = rest[0] if rest else ""
                break
        if text is None and rest:
            script = next((m for m in container.confinement.mounts if m.target == rest[0]), None)
            text = script.content if script is not None else None
        if text is None:
            yield Command(tuple(words), origin, True)
            return
        yield from _of_text(text, origin, script, container, depth)
        return
    script = next((m for m in container.confinement.mounts if m.target == words[0] and m.content is not None), None)
    if (
        script is not None
        and script.content is not None
        and script.content.startswith("#!")
        and _is_shell(script.content)
    ):
        yield from _of_text(script.content, origin, script, container, depth)
        return
    yield Command(tuple(words), origin)


def _is_shell(text: str) -> bool:
    return re.match(r"#!\s*\S*?(?:\benv\s+)?(?:/bin/)?(?:ba|da|a|z)?sh\b", text) is not None


def _of_text(text: str, origin: Origin, script: Mount | None, container: Container, depth: int) -> Iterator[Command]:
    for words, line, unclear in simple_commands(text):
        place = origin
        if script is not None and script.content_file is not None:
            place = Place(script.content_file, line)
        for one in _expanded(words, place, container, depth + 1):
            yield Command(one.words, one.origin, one.unclear or unclear)


def _without_runners(words: list[str]) -> list[str]:
    while words:
        program = words[0].rpartition("/")[2]
        if re.match(r"[A-Za-z_]\w*=", words[0]):
            words = words[1:]
        elif program in _RUNNERS:
            takes = {"gosu": 1, "su-exec": 1}.get(program, 0)
            words = words[1 + takes :]
            while words and words[0].startswith("-"):
                takes_value = program in ("nice", "sudo", "stdbuf") and words[0] in ("-n", "-u", "-g", "-o", "-e", "-i")
                words = words[2:] if takes_value else words[1:]
        else:
            break
    return words
