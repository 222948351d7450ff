"""Rules that report by themselves: a user's YARA rules, and any of ours without an evidence class."""

from collections.abc import Iterator

from scanner.content import Content
from scanner.detectors.plugin import Detector, Wants
from scanner.model import Confidence, Evidence, Finding, Json, Rule, Severity, State, printable
from scanner.oci.view import ImageView, Sighting
from scanner.ruleset import USER

NAME = "yara"
SHOWN = 10


def inspect(content: Content) -> Iterator[Evidence]:
    """One Evidence for each rule that holds, with the rule's own words: the judge sees no ruleset."""
    for match in content.matches:
        if match.rule.evidence:
            continue
        rule = match.rule.rule
        first = match.strings[0] if match.strings else None
        facts: dict[str, Json] = {
            "id": rule.id,
            "name": rule.name,
            "severity": rule.severity.value,
            "description": rule.description,
            "file": match.rule.file,
            "strings": [f"{s.identifier}: {printable(s.data, 60)}" for s in match.strings[:SHOWN]],
        }
        yield Evidence(
            NAME,
            "rule",
            content.path,
            content.inner,
            first.offset if first else None,
            content.line_of(first.offset) if first and content.is_text else None,
            printable(first.data, 120) if first else f"the rule {match.rule.identifier} holds without a string",
            facts,
        )


def judge(view: ImageView) -> Iterator[Finding]:
    """One finding for each rule and place, under the rule's id and severity."""
    found: dict[tuple[str, bytes], list[Sighting]] = {}
    for s in view.of(NAME):
        found.setdefault((str(s.evidence.facts["id"]), s.location.display), []).append(s)
    for (rule_id, _), sightings in found.items():
        sightings.sort(key=lambda s: (s.state is not State.VISIBLE, -s.layer.index))
        first = sightings[0]
        facts = first.evidence.facts
        rule = Rule(rule_id, str(facts["name"]), Severity(str(facts["severity"])), str(facts["description"]), "")
        yield view.finding(
            rule,
            at=first.location,
            state=first.state,
            hidden_by=first.hidden_by,
            severity=rule.severity,
            confidence=Confidence.MEDIUM,
            message=f"{rule.name}: {rule.description}",
            evidence=[first.evidence],
            details={"rule_file": facts["file"], "strings": facts["strings"]},
            related=[s.location for s in sightings[1:]],
        )


PLUGIN = Detector(NAME, version=1, rules=(), wants=Wants(behaviours=(USER,)), inspect=inspect, judge=judge)
