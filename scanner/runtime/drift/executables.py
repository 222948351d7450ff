"""Programs that a run brought or changed: ELF files, and scripts with an execute bit.

Ordinary work makes many, so they are told by folder; what weighs is where a program lies, what it pretends to be, and whether
somebody hid that it changed. Sources: hier(7), file-hierarchy(7), ps(1) for how kernel threads are shown, ATT&CK T1036.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from scanner.content import elf, upx
from scanner.model import Confidence, Finding, Rule, Severity
from scanner.model.run import ChangeKind, FileChange
from scanner.runtime.drift.drift import Drift, by, clock, is_file, listed, owner, shown, when, written
from scanner.runtime.drift.expected import by_package

NEW = Rule(
    id="drift/new-executable",
    name="New program",
    severity=Severity.HIGH,
    description="The run left a program or a script that can be executed and that its image did not have.",
    help="Builds, package managers and test suites leave programs too, which are told as notes. Look at those in temporary, hidden or system "
    "folders and at those that pretend to be something else: nobody put them there for the task. Declare what the task is meant to build with --expect.",
    references=("https://attack.mitre.org/techniques/T1105/", "https://attack.mitre.org/techniques/T1036/"),
    attack=("T1105", "T1036.005"),
)
CHANGED = Rule(
    id="drift/changed-executable",
    name="Changed program",
    severity=Severity.CRITICAL,
    description="A program of the image has other content after the run.",
    help="A program of the system that changes outside a package manager may do more than it did: compare it with the image's. Where the file has kept "
    "its size and its time, somebody meant the change not to be seen. Start a fresh sandbox from the image.",
    references=("https://attack.mitre.org/techniques/T1554/", "https://attack.mitre.org/techniques/T1070/006/"),
    attack=("T1554", "T1070.006"),
)

_SYSTEM = re.compile(rb"(?:usr/)?(?:bin|sbin|lib|lib32|lib64|libx32|libexec)/|boot/|etc/", re.DOTALL)
_NOT_SYSTEM = re.compile(rb"(?:usr/)?lib/(?:python[^/]*/|node_modules/|ruby/gems/|go/)", re.DOTALL)
_SHARED_MEMORY = re.compile(rb"dev/|run/|var/run/|proc/|sys/", re.DOTALL)
_TEMPORARY = re.compile(rb"tmp/|var/tmp/|usr/tmp/|var/spool/|var/crash/|lost\+found/", re.DOTALL)
_KERNEL = re.compile(
    rb"\[.*\]|(?:kworker|ksoftirqd|kthreadd|kswapd|kcompactd|khugepaged|kdevtmpfs|kauditd|kblockd|ksmd|rcu_(?:sched|bh|preempt|gp|par_gp)"
    rb"|migration|watchdogd?|jbd2|irq|scsi_eh|writeback|kintegrityd|oom_reaper|netns|cpuhp|idle_inject)(?:[/:_\d-].*)?"
)
_DAEMON = re.compile(
    rb"(?:systemd(?:-[a-z]+)?|init|sshd|crond?|atd|dbus-daemon|rsyslogd|syslogd|agetty|udevd|containerd(?:-shim)?|dockerd|kubelet"
    rb"|networkd|resolved|polkitd|auditd|irqbalance|chronyd|ntpd|snapd|login|su|sudo|passwd|ps|top|ls|netstat|ss|lsof)"
)
_TOOL = re.compile(
    rb"(?:ls|ps|top|sudo|su|ssh|sshd|scp|login|passwd|netstat|ss|lsof|cat|bash|sh|dash|find|kill|id|w|who|last|crontab|systemctl|mount|env|getent)"
)
_USUAL_HIDDEN = frozenset(
    b".venv .local .cache .config .npm .nvm .cargo .rustup .git .pyenv .tox .nox .bun .deno .asdf .rbenv .gradle .m2 .pnpm .pnpm-store .yarn "
    b".pixi .conda .pytest_cache .mypy_cache .ruff_cache .vscode-server .cursor-server .vscode .build .next .bin .hg .svn .husky .github .eggs "
    b".uv .poetry .sdkman .rvm .rye .mamba .micromamba .julia .opam .ghcup .stack .cabal .dotnet .nuget .gem .bundle .ccache .go .mix .hex "
    b".terraform .vagrant .claude .codex .cursor .devcontainer .elan .swiftpm .libs .deps .venvs .virtualenvs .direnv .jupyter .ipython".split()
)
_OF_HOMES = frozenset((b".cache", b".local", b".config", b".npm", b".vscode"))
_HOMES = re.compile(rb"(?:home/[^/]+|root|[^/]+)(?:/[^/]+)?", re.DOTALL)
_SYSTEM_FOLDER = re.compile(rb"(?:usr/)?[^/]+(?:/[^/]+)?", re.DOTALL)
_ODD = re.compile(rb"\.{3,}|[ .]+|.*[\x00-\x1f\x7f].*|.*\s", re.DOTALL)
FEW = 3
"""Programs of one folder that are told one by one though nothing else is odd about them than the folder."""
ALONE = 100
"""Odd programs that are told one by one; the others by folder."""
_RESTORED = 1.0
"""Seconds by which a time may differ and still count as the same: a tar keeps whole ones."""


_Weigh = Callable[[FileChange, str, Sequence[tuple[str, int]]], int]


@dataclass(frozen=True, slots=True)
class _Judged:
    change: FileChange
    severity: Severity
    form: str
    signs: tuple[str, ...]
    place: str


def new_executables(drift: Drift) -> Iterator[Finding]:
    """Programs that were not there, or were none; alone where something is odd about them, else by folder."""
    found = [
        _judged(drift, change, _weight_of_new)
        for change in drift.of(NEW)
        if change.executable and is_file(change) and _is_new(change)
    ]
    yield from _told(drift, NEW, found, "New")


def changed_executables(drift: Drift) -> Iterator[Finding]:
    """Programs of the image that have other content; alone where the system's are concerned, else by folder."""
    found = [
        _judged(drift, change, _weight_of_changed)
        for change in drift.of(CHANGED)
        if change.executable and is_file(change) and written(change) and not _is_new(change)
    ]
    yield from _told(drift, CHANGED, found, "Changed")


def _is_new(change: FileChange) -> bool:
    """There was no program: no file, or one that nobody could execute."""
    if change.before is None:
        return True
    if change.change is ChangeKind.MODIFIED:
        return change.before.size == 0
    return not change.before.mode & 0o111 and bool(change.after and change.after.mode & 0o111)


def restored(change: FileChange) -> bool:
    """Other content, and yet the size and the time of before: somebody set the time back."""
    before, after = change.before, change.after
    return (
        change.change is ChangeKind.MODIFIED
        and before is not None
        and after is not None
        and before.size == after.size
        and before.modified is not None
        and after.modified is not None
        and abs(before.modified - after.modified) < _RESTORED
    )


def _judged(drift: Drift, change: FileChange, weigh: _Weigh) -> _Judged:
    if by_package(change) and not restored(change):
        return _Judged(change, Severity.NOTE, "file", (), "package")
    content = drift.after(change.path)
    head = (content or b"")[:4]
    form = "ELF file" if head == b"\x7fELF" else "script" if head[:2] == b"#!" else "program"
    signs = list(_signs(change, content))
    place = _place(change.path)
    points = weigh(change, place, signs)
    severity = (Severity.NOTE, Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL)[min(points, 4)]
    return _Judged(change, severity, form, tuple(words for words, _ in signs), place)


def _weight_of_new(_: FileChange, place: str, signs: Sequence[tuple[str, int]]) -> int:
    return min(3, {"system": 2, "memory": 2, "temporary": 1}.get(place, 0) + sum(weight for _, weight in signs))


def _weight_of_changed(change: FileChange, place: str, signs: Sequence[tuple[str, int]]) -> int:
    weight = {"system": 3, "memory": 1, "temporary": 0, "local": 1}.get(place, 0)
    return weight + (2 if restored(change) else 0) + sum(weight for _, weight in signs[:1])


def _place(path: bytes) -> str:
    """`system`, `memory` (gone at the next start), `temporary`, `local` (usr/local), or `work` for everything else."""
    if path.startswith(b"usr/local/"):
        return "local"
    if _SHARED_MEMORY.match(path):
        return "memory"
    if _TEMPORARY.match(path):
        return "temporary"
    return "system" if _SYSTEM.match(path) and not _NOT_SYSTEM.match(path) else "work"


def _signs(change: FileChange, content: bytes | None) -> Iterator[tuple[str, int]]:
    """What is odd about the program, and how much it weighs."""
    *folders, name = change.path.split(b"/")
    place = _place(change.path)
    if _ODD.fullmatch(name) or any(_ODD.fullmatch(f) for f in folders):
        yield "a name made not to be noticed", 3
    elif _KERNEL.fullmatch(name):
        yield "named like a kernel thread", 3
    elif name.startswith(b".") and name not in _USUAL_HIDDEN:
        yield "a hidden file", 2
    elif any(_is_hidden(f, place) for f in folders):
        yield "in a hidden folder", 2 if place in ("memory", "temporary", "system") else 1
    if place in ("memory", "temporary") and _DAEMON.fullmatch(name):
        yield "named like a program of the system", 2
    elif change.path.startswith((b"usr/local/bin/", b"usr/local/sbin/")) and _TOOL.fullmatch(name):
        yield "found before the system's own program of that name", 2
    if content and content[:4] == b"\x7fELF":
        if upx.look(memoryview(content)) is not None:
            yield "packed", 2
        elif elf.suspicious_header(content[:64]):
            yield "without section headers", 1


def _is_hidden(folder: bytes, place: str) -> bool:
    """A folder that lists do not show, and that no tool makes there: those of a home lie in no temporary place."""
    if not folder.startswith(b".") or folder.startswith(b".tmp"):
        return False
    return folder not in _USUAL_HIDDEN or (folder in _OF_HOMES and place in ("memory", "temporary", "system"))


def _told(drift: Drift, rule: Rule, found: Sequence[_Judged], word: str) -> Iterator[Finding]:
    """One finding for each that is odd, as many as fit; the others by folder."""
    groups: dict[tuple[str, Severity], list[_Judged]] = {}
    alone = []
    for one in found:
        odd = one.signs or restored(one.change) or one.severity.rank > Severity.MEDIUM.rank
        if odd and one.severity.rank >= Severity.MEDIUM.rank:
            alone.append(one)
        else:
            groups.setdefault((_group(one), one.severity), []).append(one)
    alone.sort(key=lambda one: (-one.severity.rank, one.change.path))
    for one in alone[ALONE:]:
        groups.setdefault((_group(one), one.severity), []).append(one)
    for one in alone[:ALONE]:
        yield _alone(drift, rule, one, word)
    for (name, severity), members in sorted(groups.items()):
        if severity is Severity.MEDIUM and len(members) <= FEW:
            yield from (_alone(drift, rule, one, word) for one in members)
        else:
            yield _folded(drift, rule, name, severity, members, word)


def _group(one: _Judged) -> str:
    """The folder below which programs are told together, or the packages that have them."""
    if one.place == "package":
        return (one.change.expected or "").partition(":")[0]
    folder = one.change.path.rpartition(b"/")[0]
    found = (_SYSTEM_FOLDER if one.place == "system" else _HOMES).match(folder)
    return shown(found[0] if found else folder)


def _alone(drift: Drift, rule: Rule, one: _Judged, word: str) -> Finding:
    change = one.change
    signs = list(one.signs)
    if restored(change):
        signs.append("its size and its time are those of before, though its content is not")
    where = {
        "system": "in a folder of the system" + ("" if change.expected else ", by no package of this run"),
        "memory": "in a folder that is gone at the next start",
        "temporary": "in a temporary folder",
    }.get(one.place)
    why = "; ".join([*([where] if where else []), *signs])
    confidence = Confidence.HIGH if restored(change) or len(signs) > 1 or one.severity.rank >= 3 else Confidence.MEDIUM
    size = change.after.size if change.after else 0
    return drift.finding(
        rule,
        change,
        one.severity,
        confidence,
        f"{word} {one.form} {shown(change.path)} ({size} bytes){by(change)}{': ' if why else ''}{why}.",
        details={
            "form": one.form,
            "signs": list(signs),
            "sha256": change.after.digest if change.after else None,
            "sha256_before": change.before.digest if change.before else None,
            "modified": clock(change.after.modified) if change.after else None,
        },
        excerpts=[("sign", sign) for sign in signs],
    )


def _folded(drift: Drift, rule: Rule, group: str, severity: Severity, members: Sequence[_Judged], word: str) -> Finding:
    members = sorted(members, key=lambda one: one.change.path)
    changes = [one.change for one in members]
    forms: dict[str, int] = {}
    for one in members:
        forms[one.form] = forms.get(one.form, 0) + 1
    kinds = ", ".join(f"{n} {form}{'s' if n > 1 else ''}" for form, n in sorted(forms.items()))
    owners = sorted({owner(c) for c in changes})
    times = sorted(t for c in changes if (t := when(c)) is not None)
    if members[0].place == "package":
        names = sorted({(c.expected or "").partition(": ")[2] for c in changes})
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        what = (
            f"{word} programs of packages that {group} wrote ({', '.join(names[:5])}{more}): {kinds}. "
            "That they are the packages' is the container's own word."
        )
    elif len(changes) == 1:
        what = f"{word} {members[0].form} {shown(changes[0].path)}{by(changes[0])}."
    else:
        what = f"{word} programs below {group}: {kinds} (owner {', '.join(owners[:5])}"
        what += f", {times[0]} to {times[-1]})." if times else ")."
    return drift.finding(
        rule,
        changes,
        severity,
        Confidence.HIGH,
        what,
        details={"count": len(changes), "files": listed(changes), "owners": owners[:20], "forms": kinds},
        identity=(severity.value,),
        place=group.encode("utf-8", "surrogateescape"),
    )
