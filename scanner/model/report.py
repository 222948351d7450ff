"""The report: everything one scan has to say, serialisable, rendered without scanning again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scanner.model.evidence import Json, Notification
from scanner.model.finding import Finding
from scanner.model.image import Image, Target
from scanner.model.means import Means
from scanner.model.rule import Rule, Severity
from scanner.model.suppressed import Suppressed

if TYPE_CHECKING:  # large, and most reports have neither
    from scanner.model.egress import Egress
    from scanner.model.run import Run

SCHEMA_VERSION = "1.4"


@dataclass(frozen=True, slots=True)
class Tool:
    """Who scanned: name, version and the digest of the rules used."""

    name: str
    version: str
    ruleset: str


@dataclass(frozen=True, slots=True)
class Report:
    """One target's report. `findings` are sorted worst first; `rules` lists every rule that was looked for.

    `egress` is what a launch's sandboxes reach; None where no launch was judged. Without an image, `image` has no layers.
    `suppressed` are findings that a baseline or an entry of the configuration sets aside: no part of `findings`.
    `run` is what was seen of a running, finished or observed container; None where none was looked at.
    `started` is RFC 3339 in UTC; it and `statistics["seconds"]` are all that differs between two scans of the same input.
    """

    tool: Tool
    target: Target
    image: Image
    findings: tuple[Finding, ...]
    means: tuple[Means, ...]
    notifications: tuple[Notification, ...]
    rules: tuple[Rule, ...]
    started: str
    statistics: Mapping[str, Json] = field(default_factory=dict)
    schema_version: str = SCHEMA_VERSION
    egress: "Egress | None" = None
    run: "Run | None" = None
    suppressed: tuple[Suppressed, ...] = ()

    @property
    def complete(self) -> bool:
        """True only if everything was read to its end."""
        return not any(n.incomplete for n in self.notifications)

    def rule(self, rule_id: str) -> Rule:
        """The rule of a finding; raises KeyError for an id that was not loaded."""
        for rule in self.rules:
            if rule.id == rule_id:
                return rule
        raise KeyError(rule_id)

    def findings_of(self, rule_id: str) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.rule_id == rule_id)

    def worst(self) -> Severity | None:
        return max((f.severity for f in self.findings), key=lambda s: s.rank, default=None)
