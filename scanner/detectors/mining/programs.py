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


def _folder(sighting: Sighting) -> tuple[object, ...]:
    e = sighting.evidence
    if e.inner:
        return (sighting.layer.index, e.path, e.inner[:-1])
    return (sighting.layer.index, e.path.rpartition(b"/")[0])


def _order(sighting: Sighting) -> tuple[int, bytes, tuple[bytes, ...], int]:
    kind = sighting.evidence.kind
    ranked = (*verdict.CORE, *verdict.SUPPORT)
    rank = ranked.index(kind) if kind in ranked else len(ranked)
    return (rank, sighting.evidence.path, sighting.evidence.inner, sighting.evidence.offset or 0)


def programs(view: ImageView) -> tuple[Program, ...]:
    """Every program with a verdict, in the order of layers and paths.

    Of forms that come in many files each file is judged alone first; what is left of its folder is judged together.
    """
    files: dict[tuple[object, ...], list[Sighting]] = {}
    for sighting in view.of(DETECTOR):
        e = sighting.evidence
        inner = tuple(i for i in e.inner if i != UNPACKED)
        files.setdefault((sighting.layer.index, e.path, inner), []).append(sighting)
    found: list[Program] = []
    folders: dict[tuple[object, ...], list[Sighting]] = {}
    for group in files.values():
        program = _judged(group, view)
        if program is not None and program.mines:
            found.append(program)
        elif group[0].evidence.facts.get("form") in IN_PIECES:
            folders.setdefault(_folder(group[0]), []).extend(group)
        elif program is not None:
            found.append(program)
    found += (p for group in folders.values() if (p := _judged(group, view)) is not None)
    return tuple(found)


def _judged(group: list[Sighting], view: ImageView) -> Program | None:
    ordered = sorted(group, key=_order)
    first, kinds = ordered[0], {s.evidence.kind for s in ordered}
    if any(UNPACKED in s.evidence.inner for s in ordered):
        kinds.add("packing")
    family = next((str(s.evidence.facts["family"]) for s in ordered if s.evidence.facts.get("family")), None)
    hiding = tuple(disguise.reasons(first, family))
    if disguise.planted(first, view):
        hiding += ("stands among system files that packages own, and none owns it",)
    if hiding:
        kinds.add("disguise")
    judged = verdict.program(kinds)
    return Program(tuple(ordered), judged, family, hiding) if judged is not None else None


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
