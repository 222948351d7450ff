"""Where in a repository a finding was made: the line that a reviewer has to look at."""

from dataclasses import dataclass
from enum import StrEnum


class Traced(StrEnum):
    """How a finding's line is known, the surest first.

    CONTENT: a file of the repository has the bytes of the file in the image. PROVENANCE: the build's own record (SLSA,
    BuildKit mode=max) says which lines made the layer. HISTORY: the image's history is that of the Dockerfile, step by step.
    BASE: the layer came with the image that a `FROM` line names. GIVEN: the finding is about the file itself.
    """

    CONTENT = "content"
    PROVENANCE = "provenance"
    HISTORY = "history"
    BASE = "base"
    GIVEN = "given"


@dataclass(frozen=True, slots=True)
class SourceLine:
    """`file` as a path from the repository's root with `/`, `line` to `end_line` from 1.

    `certain` is False where other lines could have made it too; `why` is one sentence on how the line is known, or why it is doubtful.
    """

    file: str
    line: int
    end_line: int
    how: Traced
    certain: bool = True
    why: str = ""
