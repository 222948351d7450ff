"""Which files of an image are programs that mine: evidence of one program brought together, and the verdict on it.

The launch detector asks here too, so that a command which starts a found miner is known for what it is.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from scanner.detectors.mining import disguise, verdict
from scanner.detectors.mining.forms import IN_PIECES
from scanner.model import Evidence, Severity, State
from scanner.oci.view import ImageView, Sighting

DETECTOR = "miner_binary"
UNPACKED = b"(unpacked)"


@dataclass(frozen=True, slots=True)
class Program:
    """A program that mines or could: the sightings that say so, strongest evidence first, and what they add up to."""

    sightings: tuple[Sighting, ...]
    verdict: verdict.Verdict
    family: str | None
    hiding: tuple[str, ...]

    @property
    def first(self) -> Sighting:
        return self.sightings[0]

    @property
    def mines(self) -> bool:
        return self.verdict.severity is not Severity.NOTE

    @property
    def paths(self) -> frozenset[bytes]:
        """Every path, hard links included, under which the program can be started."""
        return frozenset(p for s in self.sightings for p in (s.evidence.path, *s.aliases))


def _unit(sighting: Sighting) -> tuple[object, ...]:
    """What makes one program: a file; or a folder, or an archive, for forms that come in many files."""
    e = sighting.evidence
    if e.facts.get("form") in IN_PIECES:
        if e.inner:
            return (sighting.layer.index, e.path, e.inner[:-1])
        return (sighting.layer.index, e.path.rpartition(b"/")[0], "folder")
    inner = tuple(i for i in e.inner if i != UNPACKED)
    return (sighting.layer.index, e.path, inner, "file")


def _order(sighting: Sighting) -> tuple[int, bytes, tuple[bytes, ...], int]:
    kind = sighting.evidence.kind
    ranked = (*verdict.CORE, *verdict.SUPPORT)
    rank = ranked.index(kind) if kind in ranked else len(ranked)
    return (rank, sighting.evidence.path, sighting.evidence.inner, sighting.evidence.offset or 0)


def _family(group: Iterable[Sighting]) -> str | None:
    named = [str(s.evidence.facts["family"]) for s in group if s.evidence.facts.get("family")]
    return named[0] if named else None


def programs(view: ImageView) -> tuple[Program, ...]:
    """Every program with a verdict, in the order of layers and paths."""
    units: dict[tuple[object, ...], list[Sighting]] = {}
    for sighting in view.of(DETECTOR):
        units.setdefault(_unit(sighting), []).append(sighting)
    found = []
    for group in units.values():
        ordered = sorted(group, key=_order)
        if ordered[0].evidence.facts.get("form") in IN_PIECES:
            # a folder's scripts make one program only with one among them that talks to a pool
            ordered = [s for s in ordered if s.evidence.kind in verdict.CORE or s.evidence.kind in verdict.SUPPORT]
        kinds = {s.evidence.kind for s in ordered}
        if UNPACKED in {i for s in ordered for i in s.evidence.inner}:
            kinds.add("packing")
        family = _family(ordered)
        hiding = tuple(dict.fromkeys(r for s in ordered[:1] for r in disguise.reasons(s, family)))
        if disguise.planted(ordered[0], view):
            hiding += ("stands among system files that packages own, and none owns it",)
        if hiding:
            kinds.add("disguise")
        judged = verdict.program(kinds)
        if judged is not None:
            found.append(Program(tuple(ordered), judged, family, hiding))
    return tuple(found)


def merged(found: Iterable[Program]) -> list[list[Program]]:
    """Programs at one place, found in several layers or states, together: the worst and most visible first."""
    places: dict[bytes, list[Program]] = {}
    for program in found:
        places.setdefault(program.first.location.display, []).append(program)
    return [
        sorted(group, key=lambda p: (-p.verdict.severity.rank, p.first.state is not State.VISIBLE, p.first.layer.index))
        for group in places.values()
    ]


def evidence(program: Program) -> tuple[Evidence, ...]:
    """What a finding shows: each class with its strongest pieces, at most four of a class, and the disguise in words."""
    shown: dict[str, list[Evidence]] = {}
    for sighting in program.sightings:
        pieces = shown.setdefault(sighting.evidence.kind, [])
        if len(pieces) < 4 and sighting.evidence not in pieces:
            pieces.append(sighting.evidence)
    first = program.first.evidence
    extra = [Evidence(DETECTOR, "disguise", first.path, first.inner, excerpt=reason) for reason in program.hiding]
    return (*(e for pieces in shown.values() for e in pieces), *extra)
