"""Rights that a run gave to files: set-user-id and set-group-id bits, and file capabilities.

Sources: execve(2) (scripts and nosuid), inode(7), capabilities(7), cap_from_text(3) for how capabilities are written.
"""

import re
from collections.abc import Iterator, Mapping

from scanner.model import Confidence, Finding, Rule, Severity, printable
from scanner.model.run import ChangeKind, FileChange
from scanner.runtime.drift.drift import Drift, by, is_file, shown
from scanner.runtime.drift.expected import by_package

SETUID = Rule(
    id="drift/setuid",
    name="New set-user-id or set-group-id program",
    severity=Severity.CRITICAL,
    description="The run left a program that runs with its owner's or its group's rights, whoever starts it.",
    help="A copy of a shell with root's bit makes everybody root who finds it. Take the bit away (chmod u-s,g-s), start the sandbox with "
    "no-new-privileges, and find out who set it.",
    references=(
        "https://attack.mitre.org/techniques/T1548/001/",
        "https://man7.org/linux/man-pages/man2/execve.2.html",
    ),
    attack=("T1548.001",),
)
CAPABILITY = Rule(
    id="drift/file-capability",
    name="New file capability",
    severity=Severity.CRITICAL,
    description="The run left a program that gains capabilities when anybody starts it.",
    help="cap_setuid, cap_sys_admin, cap_dac_override and their like are as good as root; cap_net_raw and cap_net_admin send packets of any kind. "
    "Take it away (setcap -r) and start the sandbox with no-new-privileges and without these capabilities in its bounding set.",
    references=(
        "https://man7.org/linux/man-pages/man7/capabilities.7.html",
        "https://attack.mitre.org/techniques/T1548/",
    ),
    attack=("T1548",),
)

_SETUID, _SETGID = 0o4000, 0o2000
_SHELLS: Mapping[bytes, str] = {
    b"BASH_VERSION": "bash",
    b"ZSH_VERSION": "zsh",
    b"KSH_VERSION": "ksh",
    b"BusyBox v": "BusyBox",
    b"PYTHONHOME": "a Python interpreter",
    b"PERL5LIB": "a Perl interpreter",
}
_SHELL_NAMES = re.compile(
    rb"(?:ba|da|z|k|mk|fi|c|tc|r?ba)?sh|busybox|python[\d.]*|perl[\d.]*|ruby[\d.]*|node|lua[\d.]*|php[\d.]*|env|find|vim?|nano|less|more|awk|gawk|mawk"
    rb"|sed|tar|cp|dd|tee|nsenter|unshare|chroot|gdb|strace|nmap|socat|nc|ncat"
)
_STRONG_GROUPS = frozenset((0, 6, 15, 42))
"""root; and by Debian's base-passwd disk, kmem, shadow."""
_AS_ROOT = frozenset(
    "cap_setuid cap_setgid cap_sys_admin cap_dac_override cap_dac_read_search cap_sys_ptrace cap_sys_module cap_sys_rawio cap_chown "
    "cap_fowner cap_setfcap cap_setpcap cap_fsetid cap_mknod cap_sys_chroot cap_bpf cap_perfmon cap_mac_admin cap_mac_override cap_checkpoint_restore all".split()
)
_NETWORK = frozenset(("cap_net_raw", "cap_net_admin"))
_CLAUSE = re.compile(r"([a-z0-9_,]*)((?:[=+-][eip]*)+)", re.IGNORECASE)


def setuid(drift: Drift) -> Iterator[Finding]:
    """Files whose set-id bits are new, lie on other content, or came to another owner."""
    lost = [c for c in drift.changes if _gave_up(c)]
    for change in drift.of(SETUID):
        if change.after is not None and is_file(change) and (bits := _bits(change)):
            digest = change.after.digest
            moved = [c for c in lost if c.before is not None and digest is not None and c.before.digest == digest]
            yield _setuid(drift, change, bits, moved)


def _bits(change: FileChange) -> int:
    """The set-id bits that work and that the file had not before with this content and this owner.

    A set-group-id bit without the group's execute bit is none that works (inode(7)).
    """
    before, after = change.before, change.after
    assert after is not None
    bits = after.mode & _SETUID | (after.mode & _SETGID if after.mode & 0o010 else 0)
    if before is None or change.change in (ChangeKind.ADDED, ChangeKind.MODIFIED):
        return bits
    same = (bits & before.mode & _SETUID if before.uid == after.uid else 0) | (
        bits & before.mode & _SETGID if before.gid == after.gid else 0
    )
    return bits & ~same


def _gave_up(change: FileChange) -> bool:
    had = change.before is not None and bool(change.before.mode & (_SETUID | _SETGID))
    return had and (change.after is None or not change.after.mode & (_SETUID | _SETGID))


def _setuid(drift: Drift, change: FileChange, bits: int, moved: list[FileChange]) -> Finding:
    after = change.after
    assert after is not None
    content = drift.after(change.path) or b""
    shell = _shell(change.path, content)
    root = bool(bits & _SETUID) and after.uid == 0
    usable = bool(after.mode & 0o111)
    why = []
    if not usable:
        severity = Severity.LOW
        why.append("nobody may execute it as it stands")
    elif content[:2] == b"#!":
        severity = Severity.LOW
        why.append("the kernel ignores the bit on scripts")
    elif root:
        severity = Severity.CRITICAL if shell else Severity.HIGH
    elif bits & _SETUID:
        severity = Severity.MEDIUM
    else:
        severity = Severity.MEDIUM if after.gid in _STRONG_GROUPS else Severity.LOW
    if shell:
        why.append(f"it is {shell}")
    if change.change is ChangeKind.MODIFIED and change.before and change.before.mode & bits:
        why.append("it had the bit before, on other content")
    if moved:
        why.append(f"the bit was on {shown(moved[0].path)} before")
    if by_package(change):
        severity = Severity.MEDIUM if severity.rank > Severity.MEDIUM.rank and not shell else severity
        why.append(f"a package has it by the container's own word ({change.expected})")
    names = [n for n, bit in (("set-user-id", _SETUID), ("set-group-id", _SETGID)) if bits & bit]
    whose = [f"uid {after.uid}" + (f" ({printable(change.user, 40)})" if change.user else "")] if bits & _SETUID else []
    whose += [f"gid {after.gid}"] if bits & _SETGID else []
    return drift.finding(
        SETUID,
        change,
        severity,
        Confidence.HIGH,
        f"{shown(change.path)} is {' and '.join(names)} now and runs as {' and '.join(whose)}{by(change)}"
        f"{': ' if why else ''}{'; '.join(why)}.",
        details={
            "mode": f"{after.mode & 0o7777:04o}",
            "mode_before": f"{change.before.mode & 0o7777:04o}" if change.before else None,
            "uid": after.uid,
            "gid": after.gid,
            "program": shell,
            "moved_from": [shown(c.path) for c in moved[:20]],
            "sha256": after.digest,
        },
        identity=("+".join(names),),
    )


def _shell(path: bytes, content: bytes) -> str:
    """What program it is that runs others' words; "" for none that is known."""
    if content[:4] == b"\x7fELF":
        for mark, name in _SHELLS.items():
            if mark in content:
                return name
    called = path.rpartition(b"/")[2]
    return f"called {printable(called)}" if _SHELL_NAMES.fullmatch(called) and content[:2] != b"#!" else ""


def capabilities(drift: Drift) -> Iterator[Finding]:
    """Files with a capability that they had not before with this content."""
    for change in drift.of(CAPABILITY):
        before, after = change.before, change.after
        if after is None or not is_file(change) or not after.capability:
            continue
        same_content = before is not None and change.change is ChangeKind.METADATA
        if before is not None and same_content and before.capability == after.capability:
            continue
        had = permitted(before.capability) if before is not None and same_content else frozenset[str]()
        yield from _capability(drift, change, permitted(after.capability), had)


def _capability(
    drift: Drift, change: FileChange, now: frozenset[str] | None, had: frozenset[str] | None
) -> Iterator[Finding]:
    after = change.after
    assert after is not None
    new = None if now is None else now - (had or frozenset())
    shell = _shell(change.path, drift.after(change.path) or b"")
    if new is None:
        severity, words = Severity.HIGH, f"capabilities that could not be read ({printable(after.capability)})"
    elif not new and not now and "i" not in after.capability.lower().rpartition("=")[2]:
        return  # all were taken away
    else:
        severity = Severity.LOW
        if new & _AS_ROOT:
            severity = Severity.CRITICAL if shell else Severity.HIGH
        elif new & _NETWORK:
            severity = Severity.MEDIUM
        words = ", ".join(sorted(new)) or f"only what its caller may pass on ({printable(after.capability)})"
    why = [f"it is {shell}"] if shell else []
    if not after.mode & 0o111:
        severity = Severity.LOW
        why.append("nobody may execute it as it stands")
    if by_package(change):
        severity = Severity.MEDIUM if severity.rank > Severity.MEDIUM.rank else Severity.LOW
        why.append(f"a package has it by the container's own word ({change.expected})")
    yield drift.finding(
        CAPABILITY,
        change,
        severity,
        Confidence.HIGH,
        f"Whoever starts {shown(change.path)} gains {words}{by(change)}{': ' if why else ''}{'; '.join(why)}.",
        details={
            "capability": printable(after.capability),
            "capability_before": printable(change.before.capability) if change.before else None,
            "gained": sorted(new or ()),
            "program": shell,
            "sha256": after.digest,
        },
        identity=(after.capability,),
    )


def permitted(words: str) -> frozenset[str] | None:
    """The capabilities in the permitted set by cap_from_text(3), `all` for all of them; None for what is no such text."""
    have: set[str] = set()
    for clause in words.split():
        found = _CLAUSE.fullmatch(clause)
        if found is None:
            return None
        names = {n for n in found[1].lower().split(",") if n} or {"all"}
        for operator, flags in re.findall(r"([=+-])([eip]*)", found[2], re.IGNORECASE):
            if operator == "=":
                have -= names
                if "all" in names:
                    have.clear()
            if operator in "=+" and "p" in flags.lower():
                have |= names
            elif operator == "-" and "p" in flags.lower():
                have -= names
                if "all" in names:
                    have.clear()
    return frozenset(have)
