"""Rules: the facts that every hit of one kind shares."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad it is if the finding is true; `rank` orders them, 4 the worst."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    NOTE = "note"

    @property
    def rank(self) -> int:
        return {"critical": 4, "high": 3, "medium": 2, "low": 1, "note": 0}[self.value]


class Confidence(StrEnum):
    """How sure we are, earned from independent classes of evidence; `rank` orders them, 2 the surest."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @property
    def rank(self) -> int:
        return {"high": 2, "medium": 1, "low": 0}[self.value]


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing looked for: `behaviour/name`, what it means for a sandbox and what to do about it.

    `severity` is the worst a finding of it can have by default; `attack` holds MITRE ATT&CK technique ids.
    `help` is plain sentences, the last of them the remedy.
    """

    id: str
    name: str
    severity: Severity
    description: str
    help: str
    references: tuple[str, ...] = ()
    attack: tuple[str, ...] = ()
