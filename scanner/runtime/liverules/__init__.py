"""What a look at a running container adds up to: one file for each rule, and what the scanned files say by themselves."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from scanner.model import Finding, Rule, fingerprint
from scanner.runtime.liverules import deleted, engine, miner, outside, raw, tunnel
from scanner.runtime.liverules.scene import Scene, alike
from scanner.runtime.procfs.processes import Member

_FILES = (miner, tunnel, outside, deleted, raw, engine)
RULES: tuple[Rule, ...] = tuple(one.RULE for one in _FILES)
_FOLDED = ("miner/", "tunnel/")
_BY_ITSELF = frozenset(("miner/wallet",))
"""Findings in a program's file that the rules here take up, and those of them that say too little to make it a miner."""


def judge(scene: Scene, files: Mapping[int, Sequence[Finding]]) -> Iterator[Finding]:
    """All findings of a look; `files` are those of the programs and scripts that each process runs, by its number."""
    for one in _FILES:
        yield from one.judge(scene)
    yield from _of_files(scene, files)


def _of_files(scene: Scene, files: Mapping[int, Sequence[Finding]]) -> Iterator[Finding]:
    """Whatever else was found in what runs (a key in a script, a user's own rule), at the processes that run it."""
    found: dict[str, tuple[Finding, list[Member]]] = {}
    for group in alike(scene.seen.members):
        for member in group:
            for finding in files.get(member.pid, ()):
                if not finding.rule_id.startswith(_FOLDED) or finding.rule_id in _BY_ITSELF:
                    found.setdefault(finding.fingerprint, (finding, []))[1].append(member)
    for finding, members in found.values():
        path = members[0].process.executable or b""
        yield replace(
            finding,
            locations=(*(scene.location(m) for m in members[:10]), *finding.locations[:1]),
            fingerprint=fingerprint(finding.rule_id, scene.repository, path, finding.fingerprint),
        )
