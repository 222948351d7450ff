"""Makes what is told from the command line's own words: `python docs/man/build.py [--check]`.

The manual pages in docs/man/man1, which the wheel installs, and the list of rules that a shell completes
(scanner/cli/completions/rules.txt). Format of the pages: man(7) and groff(7); look at one with `man docs/man/man1/sandscan.1`.
"""

import argparse
import re
import sys
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT))

from scanner.checking.every import every  # noqa: E402
from scanner.cli.completing import RULES  # noqa: E402 - the path is set first
from scanner.cli.main import command as sandscan  # noqa: E402
from scanner.ruleset import load  # noqa: E402

RELEASED = "2026-11-26"
"""The day of the version in pyproject.toml; a page is the same whenever it is made."""

ENVIRONMENT = (
    ("DOCKER_HOST", "The engine to ask, such as unix:///run/user/1000/podman/podman.sock."),
    ("DOCKER_CONFIG", "The folder of the Docker configuration with a registry's credentials; else ~/.docker."),
    ("SANDSCAN_CACHE_DIR", "Where layers' results are kept; else sandscan in XDG_CACHE_HOME, else ~/.cache/sandscan."),
    ("NO_COLOR, FORCE_COLOR", "No colours, or colours where no terminal is; --color comes first."),
    ("COLUMNS", "The width to write for, where no terminal says it."),
)
_VERBATIM = "\b"
_SECTIONS = {"EXIT CODES": "EXIT STATUS"}


def pages(version: str) -> dict[str, str]:
    """Every page by the name of its file, one for each command that --help shows."""
    context = click.Context(sandscan, info_name="sandscan", **sandscan.context_settings)
    return {f"{_name(one)}.1": _page(one, version) for one in _contexts(context)}


def _contexts(context: click.Context) -> Iterator[click.Context]:
    # click keeps a command's help option as the first context had it, which may have been one without the group's names
    context.command._help_option = None
    yield context
    if isinstance(context.command, click.Group):
        for name, inner in sorted(context.command.commands.items()):
            if not inner.hidden:
                yield from _contexts(click.Context(inner, info_name=name, parent=context))


def _name(context: click.Context) -> str:
    return context.command_path.replace(" ", "-")


def _page(context: click.Context, version: str) -> str:
    command, name = context.command, _name(context)
    summary, _, more = (
        re.sub(r"\s*\n(?!\n)\s*", " ", (command.help or "").strip()).replace("\n", "\n\n").partition("\n\n")
    )
    first = re.split(r"(?<=[.?:])\s", summary, maxsplit=1)[0].rstrip(".:")
    usage = " ".join(_escaped(piece) for piece in command.collect_usage_pieces(context))
    lines = [
        f'.TH "{_escaped(name.upper())}" "1" "{RELEASED}" "sandscan {version}" "sandscan"',
        ".SH NAME",
        f"{_escaped(name)} \\- {_escaped(first)}",
        ".SH SYNOPSIS",
        f"\\fB{_escaped(context.command_path)}\\fR {usage}",
        ".SH DESCRIPTION",
        *_text(summary),
    ]
    for paragraph in filter(None, more.split("\n\n")):
        lines += [".PP", *_text(paragraph.strip())]
    blocks = [_block(one) for one in (command.epilog or "").split("\n\n")]
    lines += [line for heading, block in blocks if heading is None for line in block]
    inner = [one for one in _contexts(context) if one.parent is context]
    if inner:
        lines.append(".SH COMMANDS")
        for one in inner:
            lines += [".TP", f"\\fB{_escaped(_name(one))}\\fR(1)", *_text(one.command.get_short_help_str(200))]
    lines.append(".SH OPTIONS")
    for option in command.get_params(context):
        if isinstance(option, click.Option) and (record := option.get_help_record(context)):
            lines += [".TP", _option(record[0]), *_text(record[1])]
    for heading, block in blocks:
        if heading is not None:
            lines += [f".SH {heading}", *block]
    if context.parent is None:
        lines.append(".SH ENVIRONMENT")
        for variable, meaning in ENVIRONMENT:
            lines += [".TP", f"\\fB{variable}\\fR", *_text(meaning)]
    others = [one for one in (context.parent, *inner) if one is not None]
    if others:
        lines += [".SH SEE ALSO", *_listed([f"\\fB{_escaped(_name(one))}\\fR(1)" for one in others])]
    return "\n".join(lines) + "\n"


def _block(text: str) -> tuple[str | None, list[str]]:
    """A paragraph of an epilog: the section that its first words name, None if it belongs to the description, and its lines.

    What follows click's \\b stands as it is as far as it is indented; before and behind it is running text.
    """
    if not text.lstrip("\n ").startswith(_VERBATIM):
        return None, [".PP", *_text(text)] if text.strip() else []
    title, _, rest = textwrap.dedent(text.strip("\n ").lstrip(_VERBATIM + "\n")).partition(":")
    heading = title.removeprefix("A ").upper() if re.fullmatch(r"[A-Z][a-z]*( [a-z]+){0,2}", title) else None
    before, shown, behind = [] if heading else [f"{title}:"], [], []
    for line in rest.strip("\n").split("\n"):
        (shown if line.startswith("  ") and not behind else behind if shown or heading else before).append(line)
    lines = [] if heading or not before else [".PP", *_text(" ".join(before))]
    if shown:
        lines += [".RS 4", ".nf", *map(_guarded, textwrap.dedent("\n".join(shown)).split("\n")), ".fi", ".RE"]
    if behind:
        lines += [*([".PP"] if shown else []), *_text(" ".join(behind))]
    return _SECTIONS.get(heading or "", heading), lines


def _option(shown: str) -> str:
    found = re.fullmatch(r"((?:-{1,2}[\w-]+(?:, | / )?)+)\s*(.*)", shown, re.DOTALL)
    if found is None:
        raise ValueError(f"no option reads like {shown!r}")
    names = re.sub(r"-{1,2}[\w-]+", lambda one: f"\\fB{_escaped(one[0])}\\fR", found[1].strip())
    return f"{names} \\fI{_escaped(found[2])}\\fR" if found[2] else names


def _text(text: str) -> list[str]:
    """Running text: each sentence begins a line, as groff likes it to tell its end."""
    lines = []
    for sentence in re.split(r"(?<=[.?!])\s+(?=[A-Z\[])", " ".join(text.split())):
        for line in textwrap.wrap(sentence, 70, break_long_words=False, break_on_hyphens=False):
            lines.append(re.sub(r"`([^`]+)`", r"\\fB\1\\fR", _guarded(line)))
    return lines


def _listed(items: list[str]) -> list[str]:
    return [f"{item}," for item in items[:-1]] + items[-1:]


def _guarded(line: str) -> str:
    """A line that is no request, whatever it begins with."""
    line = _escaped(line)
    return f"\\&{line}" if line.startswith((".", "'")) else line


def _escaped(text: str) -> str:
    """Every character as itself: no hyphen where a user would copy a minus, and ASCII alone."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return "".join(char if char.isascii() else f"\\[u{ord(char):04X}]" for char in text)


def rules() -> str:
    """Every id that `sandscan explain` knows, with its name."""
    ruleset = load()
    known = {one.id: one.name for one in (*every(ruleset), *(rule.rule for rule in ruleset.rules))}
    return "".join(f"{one}\t{name}\n" for one, name in sorted(known.items()))


def built() -> Mapping[Path, str]:
    """Every file that is made here, with what belongs in it."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return {RULES: rules(), **{HERE / "man1" / name: text for name, text in pages(version).items()}}


def stale() -> list[Path]:
    """The files that are missing, or not what belongs in them, or that nobody makes any more."""
    files = built()
    wrong = [file for file, text in files.items() if not file.is_file() or file.read_text(encoding="utf-8") != text]
    return [*wrong, *(file for file in (HERE / "man1").glob("*") if file not in files)]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="docs/man/build.py", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, exit with 1 if a file differs")
    if parser.parse_args(arguments).check:
        for file in (wrong := stale()):
            print(f"{file.relative_to(ROOT)} is not what docs/man/build.py makes; run it and commit.", file=sys.stderr)
        return int(bool(wrong))
    (HERE / "man1").mkdir(exist_ok=True)
    files = built()
    for file in (HERE / "man1").glob("*"):
        if file not in files:
            file.unlink()
    for file, text in files.items():
        file.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
