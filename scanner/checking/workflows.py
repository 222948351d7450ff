"""What the steps of a workflow run, as shell text on its own lines: GitHub's workflows and composite actions.

Reference: Workflow syntax for GitHub Actions, `jobs.<job_id>.steps[*].run`; YAML 1.2, 8.1 (block scalars).
"""

import re

_FILE = re.compile(r"(?:.*/)?\.github/(?:workflows/[^/]+|actions/(?:.+/)?action)\.ya?ml|(?:.*/)?action\.ya?ml")
_RUN = re.compile(r"(?P<before>[ \t]*(?:-[ \t]+)*)run[ \t]*:[ \t]*(?P<rest>.*)")
_BLOCK = re.compile(r"[|>][-+0-9]*[ \t]*(?:#.*)?")


def is_workflow(name: str) -> bool:
    return _FILE.fullmatch(name) is not None


def script(text: str) -> str:
    """The text of all `run:` keys, every line where it stands; other lines are empty. `${{ … }}` stays as it is written."""
    made: list[str] = []
    inside = -1
    for line in text.split("\n"):
        bare = line.strip()
        if inside >= 0 and (not bare or len(line) - len(line.lstrip(" \t")) > inside):
            made.append(line)
            continue
        inside = -1
        found = _RUN.fullmatch(line.rstrip("\r"))
        if found is None:
            made.append("")
        elif _BLOCK.fullmatch(found["rest"]):
            inside = len(found["before"])
            made.append("")
        else:
            rest = found["rest"]
            quoted = len(rest) > 1 and rest[0] == rest[-1] and rest[0] in "'\""
            made.append(rest[1:-1] if quoted else rest)
    return "\n".join(made)
