"""The step summary, and a line at the file for the worst findings."""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from workflow import command, say

SUMMARY = 1 << 20
"""Bytes of a step's summary; GitHub drops a longer one whole."""
SHOWN = {"error": 10, "warning": 10, "notice": 9}
"""Annotations of a kind that GitHub shows of the whole Action, ten; a notice that the upload was refused comes after these."""
COMMAND = re.compile(
    r"::(error|warning|notice) (?:file=[^:,\r\n]+,line=\d+,(?:endLine=\d+,)?)?title=[^:,\r\n]*::[^\r\n]*"
)
"""What sandscan's report `github` is made of; nothing else of its file is printed."""


def main() -> int:
    state = json.loads(Path(os.environ["STATE"]).read_bytes())
    outcomes, why_not = state["outcomes"], state["why_not"]
    own = {
        "error": [command("error", _unscanned(one), "sandscan: no report") for one in outcomes if not one["reported"]],
        "notice": [
            command("notice", reason, "sandscan: not uploaded to code scanning")
            for reason in _not_uploaded(outcomes, why_not)
        ],
    }
    _annotate(own, [_commands(one) for one in outcomes if one["reported"]])
    with Path(os.environ["GITHUB_STEP_SUMMARY"]).open("a", encoding="utf-8") as file:
        file.write(summary(outcomes, why_not))
    return 0


def _unscanned(one: dict[str, Any]) -> str:
    return f"{one['title']} was not scanned (exit code {one['code']}): {_why(one)}"


def _why(one: dict[str, Any]) -> str:
    return one["why"] or "the log of the step before says why"


def _not_uploaded(outcomes: Sequence[dict[str, Any]], why_not: str) -> Iterator[str]:
    """Why alerts stay as they are, where they do."""
    if why_not:
        yield f"{why_not[:1].upper()}{why_not[1:]}; the step summary and the artifact say the same."
        return
    for one in outcomes:
        if one["reported"] and not one["sarif"]:
            reason = "was not read to its end" if one["code"] == 3 else "has no category of its own"
            yield f"{one['title']} {reason}: an upload would close the alerts of what is not in it."


def _commands(one: dict[str, Any]) -> list[str]:
    text = Path(one["commands"]).read_bytes().decode("utf-8", "replace")  # no line but the runner's is one
    return [line for line in text.split("\n") if COMMAND.fullmatch(line)]


def _annotate(own: Mapping[str, list[str]], targets: Sequence[list[str]]) -> None:
    """At most SHOWN of a kind: the Action's own first, then those of the targets, taken in turn, so that none is silent because
    another says much."""
    for kind, room in SHOWN.items():
        each = [[line for line in lines if line.startswith(f"::{kind} ")] for lines in targets]
        longest = max(map(len, each), default=0)
        said = [*own.get(kind, ()), *(lines[i] for i in range(longest) for lines in each if i < len(lines))]
        for line in said if len(said) <= room else said[: room - 1]:
            print(line, flush=True)
        if len(said) > room:
            say(kind, f"GitHub shows ten of a kind: the step summary has {len(said) - room + 1} more")


def summary(outcomes: Sequence[dict[str, Any]], why_not: str) -> str:
    """Each target's report in Markdown, in the order of the inputs; a report that no longer fits gives way to a line."""
    parts = []
    end = "".join(f"\n{_code(reason)}\n" for reason in list(_not_uploaded(outcomes, why_not))[:5])
    room = SUMMARY - len(end.encode()) - sum(len(_line(one).encode()) for one in outcomes)
    for one in outcomes:
        whole = Path(one["summary"]).read_text("utf-8") + "\n" if one["reported"] else _failed(one)
        size = len(whole.encode())
        parts.append(whole if size <= room else _line(one))
        room -= size if size <= room else 0
    return "".join([*parts, end])


def _failed(one: dict[str, Any]) -> str:
    return f"# sandscan: {_code(one['title'])}\n\n> [!CAUTION]\n> It was not scanned (exit code {one['code']}): {_code(_why(one))}\n\n"


def _line(one: dict[str, Any]) -> str:
    return f"# sandscan: {_code(one['title'])}\n\n{one['findings']:,} findings; the report is too long for this page, the artifact has it.\n\n"


def _code(text: str) -> str:
    """The text as a code span, fenced by more backticks than it has in a row: nothing in it has a meaning."""
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    return f"{fence} {text or ' '} {fence}"
