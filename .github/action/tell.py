"""The step summary, and a line at the file for the worst findings."""

import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from workflow import say

SUMMARY = 1 << 20
"""Bytes of a step's summary; GitHub drops a longer one whole."""
KINDS = ("error", "warning", "notice")
SHOWN = 10
"""Annotations of a kind that GitHub shows of a step."""
COMMAND = re.compile(
    r"::(error|warning|notice) (?:file=[^:,\r\n]+,line=\d+,(?:endLine=\d+,)?)?title=[^:,\r\n]*::[^\r\n]*"
)
"""What sandscan's report `github` is made of; nothing else of its file is printed."""


def main() -> int:
    state = json.loads(Path(os.environ["STATE"]).read_bytes())
    outcomes, why_not = state["outcomes"], state["why_not"]
    for one in outcomes:
        if not one["reported"]:
            say(
                "error", f"{one['title']} was not scanned (exit code {one['code']}): {_why(one)}", "sandscan: no report"
            )
    _annotate([_commands(one) for one in outcomes if one["reported"]])
    for reason in _not_uploaded(outcomes, why_not):
        say("notice", reason, "sandscan: not uploaded to code scanning")
    with Path(os.environ["GITHUB_STEP_SUMMARY"]).open("a", encoding="utf-8") as file:
        file.write(summary(outcomes, why_not))
    return 0


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


def _annotate(targets: Sequence[list[str]]) -> None:
    """At most ten of a kind for all targets, taken in turn, so that none is silent because another says much."""
    for kind in KINDS:
        each = [[line for line in lines if line.startswith(f"::{kind} ")] for lines in targets]
        count = sum(len(lines) for lines in each)
        turns = [lines[i] for i in range(SHOWN) for lines in each if i < len(lines)]
        for line in turns if count <= SHOWN else turns[: SHOWN - 1]:
            print(line, flush=True)
        if count > SHOWN:
            say(kind, f"GitHub shows {SHOWN} of a kind: the step summary has the others, of {len(targets)} targets")


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
