"""What the files and command lines of processes are, by the same judges as an image's files and configuration."""

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

from scanner.detectors import miner_launch, tunnel_launch
from scanner.detectors.launchers.points import SHELLS
from scanner.model import (
    ConfigLocation,
    Evidence,
    FileLocation,
    Finding,
    Image,
    ImageConfig,
    Layer,
    Notification,
    State,
    Target,
    printable,
)
from scanner.oci.packages import Packages
from scanner.oci.view import ImageView, Sighting
from scanner.runtime.liverules.scene import Sign
from scanner.runtime.procfs.processes import Member

_LAYER = Layer(0, None)
_TARGET = Target("live", "process", "process")
_WRAPPERS = frozenset(
    "timeout nohup sudo su doas env setsid stdbuf nice ionice xargs watch tini dumb-init docker-init catatonit chroot unshare nsenter "
    "script time strace faketime gosu su-exec runuser s6-supervise runsv supervise".split()
)
"""Programs that start the rest of their words and wait."""
_OF_INTEREST = re.compile(r"(?i)://|:\d{2,5}\b|wallet|rig_?id|worker|mining|stratum")


SECONDS = 30
"""Processor time for the command lines of one look; an honest one takes a fifth of a millisecond."""


class Judge:
    """Judges command lines, each kind once. `left` counts those that there was no time for; `notes` is what of the others
    was not judged."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._known: dict[object, tuple[Finding, ...]] = {}
        self._end = time.thread_time() + seconds
        self.left = 0
        self.notes: dict[str, None] = {}

    def command(self, member: Member, files: Sequence[Finding]) -> tuple[Finding, ...]:
        """Findings of its command line; `files` are those of its program, which say what a name alone does not."""
        words = member.words
        if not words:
            return ()
        env = member.variables if _takes_text(words) else ()
        evidence = tuple(e for f in files for e in f.evidence)
        key = (words, env, tuple((e.detector, e.kind, e.path, e.inner) for e in evidence))
        if key not in self._known and time.thread_time() > self._end:
            self.left += 1
            return ()
        if key not in self._known:
            config = ImageConfig(entrypoint=words, env=env)
            self._known[key] = tuple(
                f for f in self._judged(config, evidence) if not (_of_environment(f) or _repeats(f))
            )
        return self._known[key]

    def environment(self, member: Member) -> tuple[Finding, ...]:
        """Findings of its environment: a pool and whom to mine for."""
        env = tuple(sorted(v for v in member.variables if _OF_INTEREST.search(v)))
        if not env:
            return ()
        if ("environment", env) not in self._known:
            found = miner_launch.judge(_view(ImageConfig(env=env), ()))
            self._known["environment", env] = tuple(f for f in found if isinstance(f, Finding))
        return self._known["environment", env]

    def _judged(self, config: ImageConfig, evidence: Iterable[Evidence]) -> Iterator[Finding]:
        view = _view(config, evidence)
        for judge in (tunnel_launch.judge, miner_launch.judge):
            for found in judge(view):
                if isinstance(found, Notification):
                    self.notes.setdefault(found.message)
                elif isinstance(found.locations[0], ConfigLocation):
                    yield found


def _of_environment(finding: Finding) -> bool:
    at = finding.locations[0]
    return isinstance(at, ConfigLocation) and at.field.startswith("Env")


def _repeats(finding: Finding) -> bool:
    """Whether it says of a command only that its program was found to mine, which the program's own finding says."""
    return bool(finding.evidence) and all(e.kind == "starts" for e in finding.evidence)


def _takes_text(words: Sequence[str]) -> bool:
    """Whether a shell is handed text in which variables stand."""
    return words[0].rpartition("/")[2] in SHELLS and any(re.fullmatch(r"-[A-Za-z]*c[A-Za-z]*", w) for w in words[1:4])


def _view(config: ImageConfig, evidence: Iterable[Evidence]) -> ImageView:
    sightings = tuple(Sighting(e, _LAYER, State.VISIBLE, None) for e in evidence)
    return ImageView(_TARGET, Image(None, "linux", None, config, (_LAYER,)), sightings, Packages(()))


def signs(
    members: Iterable[Member], files: Mapping[int, Sequence[Finding]], judge: Judge
) -> tuple[dict[int, tuple[Sign, ...]], dict[int, tuple[Sign, ...]]]:
    """(signs of miners, signs of tunnels) by process."""
    miners: dict[int, list[Sign]] = {}
    tunnels: dict[int, list[Sign]] = {}
    for member in members:
        own = files.get(member.pid, ())
        found = [(_where(member, f), f) for f in own]
        found += [("command", f) for f in judge.command(member, own)]
        found += [("environment", f) for f in judge.environment(member)]
        for kind, finding in found:
            sort = finding.rule_id.partition("/")[0]
            if sort == "miner":
                miners.setdefault(member.pid, []).append(_sign(kind, finding))
            elif sort == "tunnel":
                tunnels.setdefault(member.pid, []).append(_sign(kind, finding))
    return {p: tuple(s) for p, s in miners.items()}, {p: tuple(s) for p, s in tunnels.items()}


def _where(member: Member, finding: Finding) -> str:
    """Whether a finding is in the program itself, or in a script or library that it runs."""
    at, path = finding.locations[0], (member.process.executable or b"").lstrip(b"/")
    own = isinstance(at, FileLocation) and at.path.partition(b"#")[0] == path.partition(b"#")[0]
    return "program" if own else "loaded"


def _sign(kind: str, finding: Finding) -> Sign:
    said = next((e.facts["summary"] for e in finding.evidence if e.facts.get("summary")), None)
    summary = printable(str(said), 400) if said and kind == "command" else finding.message.removesuffix(".")
    if kind == "command" and not said:
        pools = finding.details.get("pools")
        family = finding.details.get("family")
        at = f" at {pools[0]}" if isinstance(pools, list | tuple) and pools else ""
        summary = f"is started as {family}{at}" if family else f"is started with a miner's options{at}"
    elif kind == "environment":
        pools = finding.details.get("pools")
        summary = "its environment names whom to mine for" + (
            f" and where: {pools[0]}" if isinstance(pools, list | tuple) and pools else ""
        )
    elif kind == "loaded":
        summary = f"runs {printable(finding.locations[0].display, 200)}: {summary}"
    evidence = finding.evidence[0] if finding.evidence else Evidence("live", kind, b"")
    return Sign(kind, finding.severity, finding.confidence, summary, finding.rule_id, evidence, finding.details)


def wraps(member: Member) -> bool:
    """Whether it only starts the rest of its words: a shell with a text, timeout, an init."""
    name = member.words[0].rpartition("/")[2].removeprefix("-") if member.words else ""
    return name in _WRAPPERS or (name in SHELLS)


def only_loads(found: Sequence[Sign]) -> bool:
    """Whether a script alone says it, which then starts another process that does it."""
    return all(s.kind == "loaded" for s in found)
