"""Source code of miners and of RandomX: what can be built where a compiler is at hand."""

import re
from collections.abc import Iterator

from scanner.content import Content
from scanner.detectors.mining import traits
from scanner.detectors.plugin import Detector, Wants
from scanner.model import Confidence, Evidence, Finding, Rule, Severity, State, printable
from scanner.oci.view import ImageView, Sighting

MINER_SOURCE = Rule(
    id="miner/source",
    name="Source code of a miner",
    severity=Severity.NOTE,
    description="Source from which a miner, or the proof of work of one, can be built.",
    help="With a compiler in the image the miner is one command away. Remove the source if nothing here is built from it.",
    references=("https://github.com/tevador/RandomX", "https://attack.mitre.org/techniques/T1027/004/"),
    attack=("T1027.004",),
)

NAME = "miner_source"
_SOURCE = re.compile(rb"(?i)\.(?:c|cc|cpp|cxx|h|hh|hpp|hxx|inl|cu|cuh|cl|go|rs|asm|s|inc|zig|nim|java|cs)$")


def inspect(content: Content) -> Iterator[Evidence]:
    """One Evidence for a source file in which a source rule holds."""
    if not content.is_text or not _SOURCE.search(content.name):
        return
    for match in traits.of(content, "miner"):
        if match.rule.evidence != "source":
            continue
        kept = traits.counted(content, match)
        if kept:
            first = kept[0]
            facts = {"rule": match.rule.rule.id}
            line = content.line_of(first.offset)
            excerpt = printable(first.data, 80)
            yield Evidence(NAME, "source", content.path, content.inner, first.offset, line, excerpt, facts)
            return


def judge(view: ImageView) -> Iterator[Finding]:
    """One note for each folder or archive with such source, its files as further locations."""
    folders: dict[tuple[object, ...], list[Sighting]] = {}
    for s in view.of(NAME):
        e = s.evidence
        folder = (e.path, *e.inner[:-1]) if e.inner else (e.path.rpartition(b"/")[0],)
        folders.setdefault(folder, []).append(s)
    for found in folders.values():
        found.sort(key=lambda s: (s.state is not State.VISIBLE, s.evidence.path, s.evidence.inner, s.layer.index))
        first = found[0]
        program = any(s.evidence.facts["rule"] == "miner/source-program" for s in found)
        files = len({(s.evidence.path, s.evidence.inner) for s in found})
        yield view.finding(
            MINER_SOURCE,
            at=first.location,
            state=first.state,
            hidden_by=first.hidden_by,
            severity=Severity.NOTE,
            confidence=Confidence.MEDIUM,
            message=f"Source of {'a miner' if program else 'RandomX, the proof of work of Monero'}: {files} file(s) here.",
            evidence=[s.evidence for s in found[:10]],
            details={"files": files, "package": view.owner(first.evidence.path)},
            related=list(dict.fromkeys(s.location for s in found[1:10])),
        )


PLUGIN = Detector(
    NAME, version=1, rules=(MINER_SOURCE,), wants=Wants(behaviours=("miner",)), inspect=inspect, judge=judge
)
