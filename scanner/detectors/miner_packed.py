"""Packed programs: bytes that say nothing until they run. Packing is no crime, hiding one's owner beside it is a sign."""

import math
from collections import Counter
from collections.abc import Iterator

from scanner.content import Content
from scanner.detectors.mining import disguise, traits
from scanner.detectors.mining.families import program_family
from scanner.detectors.mining.programs import UNPACKED, programs
from scanner.detectors.plugin import Detector, Wants
from scanner.model import Confidence, Evidence, Finding, Json, Rule, Severity, State
from scanner.oci.view import ImageView, Sighting

MINER_PACKED = Rule(
    id="miner/packed",
    name="Packed program",
    severity=Severity.MEDIUM,
    description="A program packed by UPX or its like, or with its section table cut away, in which no miner could be read.",
    help="Miners are packed so that no one sees what they are; so are some honest programs. Unpack it with `upx -d` "
    "elsewhere, find out where it came from, and remove it if nobody knows.",
    references=("https://upx.github.io", "https://attack.mitre.org/techniques/T1027/002/"),
    attack=("T1027.002",),
)

NAME = "miner_packed"
SAMPLE = 1 << 14
PIECES = 32
DENSE = 7.2
"""Bits for each byte from which on code is packed or encrypted: compiled code has about 6."""
_LINUX = b"\x7fELF"


def entropy(data: bytes) -> float:
    """Shannon's entropy in bits for each byte, 0.0 for nothing."""
    total = len(data)
    return -sum(n / total * math.log2(n / total) for n in Counter(data).values()) if total else 0.0


def _samples(data: memoryview) -> Iterator[bytes]:
    """Parts of what the kernel would map as code, spread evenly: what is put behind or between thins nothing."""
    from scanner.content import elffile

    elf = elffile.header(bytes(data[:64]))
    code = [s for s in elffile.segments(elf, data) if s.type == elffile.LOAD and s.flags & 1] if elf else []
    for begin, size in [(s.offset, s.size) for s in code] or [(0, len(data))]:
        for piece in range(PIECES):
            at = begin + size * piece // PIECES
            yield bytes(data[at : min(at + SAMPLE, begin + size)])


def inspect(content: Content) -> Iterator[Evidence]:
    """One Evidence for a packed program, with the packer where it can be told and the density of its bytes."""
    rules = {m.rule.rule.id for m in traits.of(content, "miner") if m.rule.evidence == "packing"}
    if not rules or not content.head.startswith((_LINUX, b"MZ")):
        return
    from scanner.content import upx

    found = upx.look(content.data)
    density = round(max((entropy(part) for part in _samples(content.data)), default=0.0), 2)
    if found is not None:
        packer = "UPX, changed afterwards" if found.tampered else "UPX"
        what = f"packed by UPX{', its ' + ', '.join(found.tampered) + ' changed' if found.tampered else ''}"
    elif content.head.startswith(b"MZ") and "miner/packing-upx" in rules:
        packer, what = "UPX", "a Windows program packed by UPX"
    elif "miner/packing-no-sections" in rules and density >= DENSE:
        packer, what = "unknown", "no section table, bytes as dense as packed or encrypted ones"
    else:
        return
    facts: dict[str, Json] = {"packer": packer, "entropy": density, "size": content.size}
    yield Evidence(NAME, "packing", content.path, content.inner, 0, None, f"{what} ({density} bits a byte)", facts)


def judge(view: ImageView) -> Iterator[Finding]:
    """One finding for each packed program in which no miner was found: low, medium if it hides besides, note if owned."""
    mining = {
        (s.layer.index, s.evidence.path, tuple(i for i in s.evidence.inner if i != UNPACKED))
        for p in programs(view)
        if p.mines
        for s in p.sightings
    }
    places: dict[bytes, list[Sighting]] = {}
    for s in view.of(NAME):
        if (s.layer.index, s.evidence.path, s.evidence.inner) not in mining:
            places.setdefault(s.location.display, []).append(s)
    for found in places.values():
        found.sort(key=lambda s: (s.state is not State.VISIBLE, -s.layer.index))
        yield _finding(view, found[0], found[1:])


def _finding(view: ImageView, first: Sighting, others: list[Sighting]) -> Finding:
    path = first.evidence.path
    package = view.owner(path)
    named = program_family(first.evidence.inner[-1] if first.evidence.inner else path)
    hiding = disguise.reasons(first, None)
    if disguise.planted(first, view):
        hiding.append("stands among system files that packages own, and none owns it")
    if named:
        hiding.append(f"is named like the miner {named}")
    severity = Severity.MEDIUM if hiding else Severity.NOTE if package else Severity.LOW
    packer = str(first.evidence.facts["packer"])
    what = "packed or encrypted by something unknown" if packer == "unknown" else f"packed by {packer}"
    owner = f", of the package {package}" if package else ", owned by no package" if view.has_packages else ""
    hint = "; it " + ", ".join(hiding) if hiding else ""
    return view.finding(
        MINER_PACKED,
        at=first.location,
        state=first.state,
        hidden_by=first.hidden_by,
        severity=severity,
        confidence=Confidence.LOW,
        message=f"Program {what}{owner}{hint}. No miner was seen in it, as far as it could be read.",
        evidence=[first.evidence],
        details={
            "packer": packer,
            "entropy": first.evidence.facts["entropy"],
            "disguise": hiding,
            "family": named,
            "package": package,
        },
        related=[s.location for s in others],
    )


PLUGIN = Detector(
    NAME, version=1, rules=(MINER_PACKED,), wants=Wants(behaviours=("miner",)), inspect=inspect, judge=judge
)
