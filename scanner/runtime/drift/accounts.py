"""Accounts and what they may do: passwd, shadow, group, gshadow, sudoers, doas.conf, line by line.

Sources: passwd(5), shadow(5), group(5), gshadow(5), sudoers(5), doas.conf(5); glibc's files-XXX.c for leading blanks.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from scanner import masked
from scanner.model import Confidence, Finding, Json, Kind, Rule, Severity, capital, printable
from scanner.model.run import FileChange
from scanner.runtime.drift.drift import Drift, by, shown, text
from scanner.runtime.drift.expected import by_package

ACCOUNT = Rule(
    id="drift/account",
    name="Changed account or right",
    severity=Severity.CRITICAL,
    description="The run added an account, changed one, or gave one more rights.",
    help="A second account with uid 0, an empty password or a line in sudoers without a password opens root to whoever is in the sandbox. Take the line "
    "out and start from the image. Packages add accounts of their own, which nobody can log in to: those are notes.",
    references=("https://attack.mitre.org/techniques/T1136/001/", "https://attack.mitre.org/techniques/T1098/"),
    attack=("T1136.001", "T1098", "T1548.003"),
)
LINES = 20_000
"""Of one file. More are said."""
_IN_SHADOW = "x"
_NO_SHELL = ("nologin", "false", "sync", "shutdown", "halt")
_AS_ROOT = frozenset(
    ("root", "sudo", "wheel", "admin", "docker", "podman", "lxd", "incus", "disk", "shadow", "kmem", "libvirt", "kvm")
)
_SUDOERS = re.compile(rb"etc/sudoers(?:\.d/[^/]+)?\Z|usr/local/etc/sudoers(?:\.d/[^/]+)?\Z", re.DOTALL)
_DOAS = re.compile(rb"etc/doas(?:\.d/[^/]+)?\.conf\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Person:
    """A line of passwd. `password` is its second field (`x`: in shadow); `line` counts from 1."""

    line: int
    name: str
    password: str
    uid: int
    gid: str
    home: str
    shell: str

    @property
    def has_shell(self) -> bool:
        """An empty field is /bin/sh (passwd(5))."""
        return self.shell.rpartition("/")[2] not in _NO_SHELL


def people(data: bytes) -> tuple[Person, ...]:
    """The accounts of a passwd file in its order, all lines of a name. Lines without a number for a uid are none."""
    found = []
    for number, fields in _fields(data, 4):
        if re.fullmatch(r"\d{1,10}", fields[2], re.ASCII):
            name, password, uid, gid, _, home, shell = [*fields, "", "", ""][:7]
            found.append(Person(number, name, password, int(uid) & 0xFFFFFFFF, gid, home, shell))
    return tuple(found)


def passwords(data: bytes) -> Mapping[str, str]:
    """The second field by name, of shadow or gshadow; the first line of a name counts."""
    found: dict[str, str] = {}
    for _, fields in _fields(data, 2):
        found.setdefault(fields[0], fields[1])
    return found


def groups(data: bytes) -> Mapping[str, tuple[str, str, frozenset[str]]]:
    """Password, gid and members by a group's name; of gshadow the administrators stand for the gid and count as members."""
    found: dict[str, tuple[str, str, frozenset[str]]] = {}
    for _, fields in _fields(data, 3):
        members = frozenset(m for m in (fields[3] if len(fields) > 3 else "").split(",") if m)
        found.setdefault(fields[0], (fields[1], fields[2], members))
    return found


def _fields(data: bytes, least: int) -> Iterator[tuple[int, list[str]]]:
    for number, raw in enumerate(data.split(b"\n", LINES)[:LINES], 1):
        line = text(raw.partition(b"\0")[0].strip())
        if line and line[0] not in "#+-":
            fields = [field.strip() if at == 0 else field for at, field in enumerate(line.split(":"))]
            if len(fields) >= least and fields[0]:
                yield number, fields


def secret(field: str | None) -> str:
    """What a password field comes to: `none` (no line), `empty`, `locked`, `elsewhere` (in shadow), or `set`."""
    if field is None:
        return "none"
    if field == "":
        return "empty"
    if field == _IN_SHADOW:
        return "elsewhere"
    return "set" if field[0] not in "!*" and len(field) > 2 else "locked"


def account_changes(drift: Drift) -> Iterator[Finding]:
    """Accounts, groups and rights that are new or changed."""
    covered = {c.path: c for c in drift.of(ACCOUNT)}
    for change in covered.values():
        if change.after is not None and change.after.kind is Kind.SYMLINK and change.path in _JUDGED:
            yield _linked(drift, change)
        elif change.path in _JUDGED or _SUDOERS.match(change.path):
            yield from _given_away(drift, change)
    yield from _people(drift, covered)
    for path in (b"etc/group", b"etc/gshadow"):
        if path in covered:
            yield from _groups(drift, covered[path])
    for change in covered.values():
        if any(map(_SUDOERS.match, drift.names(change))):
            yield from _rights(drift, change, sudo_lines, sudo_weight)
        elif any(map(_DOAS.match, drift.names(change))):
            yield from _rights(drift, change, doas_lines, doas_weight)


_JUDGED = frozenset((b"etc/passwd", b"etc/shadow", b"etc/group", b"etc/gshadow", b"etc/sudoers"))


def _linked(drift: Drift, change: FileChange) -> Finding:
    target = (change.after.link_target if change.after else None) or b""
    return drift.finding(
        ACCOUNT,
        change,
        Severity.HIGH,
        Confidence.HIGH,
        f"{shown(change.path)} is a link to {printable(target, 120)} now{by(change)}: accounts and rights are read from there.",
        details={"target": printable(target)},
    )


def _given_away(drift: Drift, change: FileChange) -> Iterator[Finding]:
    """Whoever may write such a file makes himself root, and who reads shadow guesses its passwords."""
    before, after = change.before, change.after
    if after is None or after.kind is not Kind.FILE or by_package(change):
        return
    why = []
    if after.mode & 0o002 and not (before and before.mode & 0o002):
        why.append("everybody may write it")
    if after.uid and not (before and before.uid == after.uid):
        why.append(f"uid {after.uid} owns it")
    if change.path.endswith(b"shadow") and after.mode & 0o004 and not (before and before.mode & 0o004):
        why.append("everybody may read it")
    if why:
        yield drift.finding(
            ACCOUNT,
            change,
            Severity.HIGH,
            Confidence.HIGH,
            f"{capital(' and '.join(why))} now: {shown(change.path)}{by(change)}.",
            details={"mode": f"{after.mode & 0o7777:04o}", "uid": after.uid, "why": list(why)},
            identity=("given away",),
        )


def _contents(drift: Drift, change: FileChange | None) -> tuple[bytes, bytes] | None:
    """Old and new content; empty ones for what did not change, None where it was not read or is too long to be judged."""
    if change is None:
        return b"", b""
    contents = drift.both(change)
    if contents is not None and max(one.count(b"\n") for one in contents) > LINES:
        drift.unread(change, f"has more than {LINES} lines: those behind them were not judged")
    return contents


def _people(drift: Drift, covered: Mapping[bytes, FileChange]) -> Iterator[Finding]:
    passwd, shadow = covered.get(b"etc/passwd"), covered.get(b"etc/shadow")
    known, hidden = _contents(drift, passwd), _contents(drift, shadow)
    if known is None or hidden is None or (passwd is None and shadow is None):
        return
    old_people, new_people = people(known[0]), people(known[1])
    old_secrets, new_secrets = passwords(hidden[0]), passwords(hidden[1])
    if passwd is None:
        new_people = old_people = people(drift.after(b"etc/passwd") or b"")
    if passwd is not None:
        before = {(p.name, p.uid) for p in old_people}
        firsts: dict[str, Person] = {}
        for person in old_people:
            firsts.setdefault(person.name, person)
        told = set()
        for person in new_people:
            if person.name not in firsts:
                if (person.name, person.uid) not in told:
                    yield _added(
                        drift,
                        passwd,
                        person,
                        new_secrets.get(person.name) if person.password == _IN_SHADOW else person.password,
                    )
                told.add((person.name, person.uid))
            elif person.uid == 0 and (person.name, 0) not in before:
                yield _person(
                    drift,
                    passwd,
                    person,
                    Severity.CRITICAL,
                    f"{_name(person.name)} has uid 0 now and is root",
                    "uid",
                    str(firsts[person.name].uid),
                    "0",
                )
        for person in {p.name: p for p in reversed(new_people)}.values():
            if person.name in firsts:
                yield from _altered(drift, passwd, firsts[person.name], person)
        gone = [p for p in firsts.values() if p.name not in {n.name for n in new_people}]
        if gone:
            names = ", ".join(_name(p.name) for p in gone[:10])
            yield drift.finding(
                ACCOUNT,
                passwd,
                Severity.LOW,
                Confidence.HIGH,
                f"{len(gone)} account{'s' if len(gone) > 1 else ''} removed from {shown(passwd.path)}{by(passwd)}: {names}.",
                details={"removed": [_name(p.name) for p in gone[:200]]},
                identity=("removed", *sorted(p.name for p in gone[:200])),
            )
    if shadow is not None:
        added = {p.name for p in new_people} - {p.name for p in old_people}
        for name, field in new_secrets.items():
            if name not in added:
                yield from _password(drift, shadow, name, old_secrets.get(name), field, new_people)


def _name(name: str) -> str:
    return printable(name, 60)


def _person(
    drift: Drift, change: FileChange, person: Person, severity: Severity, what: str, field: str, was: str, now: str
) -> Finding:
    return drift.finding(
        ACCOUNT,
        change,
        severity,
        Confidence.HIGH,
        f"{what}{by(change)}.",
        details={
            "account": _name(person.name),
            "uid": person.uid,
            "field": field,
            "before": printable(was, 80),
            "now": printable(now, 80),
        },
        identity=(person.name, field, now),
        line=person.line,
    )


def _added(drift: Drift, change: FileChange, person: Person, field: str | None) -> Finding:
    """The finding of a new account: what weighs is whether it is root, and whether somebody can become it."""
    state = secret(field)
    words = {
        "none": "no password",
        "empty": "an empty password",
        "locked": "no password that opens it",
        "elsewhere": "no password",
        "set": "a password",
    }[state]
    twin = person.uid == 0 and person.name != "root"
    if twin:
        severity = Severity.CRITICAL
    elif state == "empty" and person.has_shell:
        severity = Severity.HIGH
    elif state in ("set", "empty"):
        severity = Severity.MEDIUM
    else:
        severity = Severity.LOW if person.has_shell else Severity.NOTE
    shell = printable(person.shell, 60) or "/bin/sh"
    return drift.finding(
        ACCOUNT,
        change,
        severity,
        Confidence.HIGH,
        f"New account {_name(person.name)} with uid {person.uid}{', which is root' if twin else ''}, shell {shell}, home "
        f"{printable(person.home, 80) or '/'} and {words}{by(change)}.",
        details={
            "account": _name(person.name),
            "uid": person.uid,
            "gid": _name(person.gid),
            "shell": shell,
            "home": printable(person.home, 120),
            "password": state,
        },
        identity=(person.name, str(person.uid)),
        line=person.line,
    )


def _altered(drift: Drift, change: FileChange, old: Person, new: Person) -> Iterator[Finding]:
    name = _name(new.name)
    if new.uid not in (old.uid, 0):
        yield _person(
            drift,
            change,
            new,
            Severity.MEDIUM,
            f"{name} has uid {new.uid} now, {old.uid} before",
            "uid",
            str(old.uid),
            str(new.uid),
        )
    if old.gid != new.gid:
        severity = Severity.HIGH if new.gid == "0" else Severity.LOW
        yield _person(
            drift,
            change,
            new,
            severity,
            f"{name} has gid {_name(new.gid)} now, {_name(old.gid)} before",
            "gid",
            old.gid,
            new.gid,
        )
    if old.shell != new.shell:
        severity = Severity.MEDIUM if new.has_shell and not old.has_shell else Severity.LOW
        what = f"{name} has the shell {printable(new.shell, 60) or '/bin/sh'} now, {printable(old.shell, 60) or '/bin/sh'} before"
        yield _person(drift, change, new, severity, what, "shell", old.shell, new.shell)
    if old.home != new.home:
        what = f"{name} has the home {printable(new.home, 60)} now, {printable(old.home, 60)} before"
        yield _person(drift, change, new, Severity.LOW, what, "home", old.home, new.home)
    if old.password != new.password and (state := secret(new.password)) in ("empty", "set"):
        what = f"{name} has {'an empty password' if state == 'empty' else 'a password'} in {shown(change.path)} itself"
        yield _person(drift, change, new, Severity.HIGH, what, "password", secret(old.password), state)


def _password(
    drift: Drift, change: FileChange, name: str, old: str | None, new: str, known: tuple[Person, ...]
) -> Iterator[Finding]:
    """A password that is another one now. The hash itself is told nowhere."""
    if old == new:
        return
    was, now = secret(old), secret(new)
    root = name == "root" or any(p.name == name and p.uid == 0 for p in known)
    if now == "empty":
        severity, what = Severity.CRITICAL if root else Severity.HIGH, "an empty password now: nobody is asked for one"
    elif now == "set":
        severity, what = (
            Severity.HIGH if root else Severity.MEDIUM,
            f"{'another' if was == 'set' else 'a'} password now",
        )
    elif was in ("set", "empty"):
        severity, what = Severity.LOW, "no password that opens it any more"
    else:
        return
    yield drift.finding(
        ACCOUNT,
        change,
        severity,
        Confidence.HIGH,
        f"{_name(name)} has {what}{by(change)}.",
        details={"account": _name(name), "field": "password", "before": was, "now": now},
        identity=(name, "password", now),
    )


def _groups(drift: Drift, change: FileChange) -> Iterator[Finding]:
    contents = _contents(drift, change)
    if contents is None:
        return
    old, new = groups(contents[0]), groups(contents[1])
    administrators = change.path == b"etc/gshadow"
    for name, (password, gid, members) in new.items():
        was = old.get(name, ("", "", frozenset[str]()))
        strong = name in _AS_ROOT or (gid == "0" and not administrators)
        if administrators:
            joined = sorted((members | set(gid.split(","))) - was[2] - set(was[1].split(",")) - {""})
        else:
            joined = sorted(members - was[2])
        where = f"the group {_name(name)}"
        if joined:
            who = ", ".join(map(_name, joined[:10]))
            verb = "are" if len(joined) > 1 else "is"
            yield _group(
                drift,
                change,
                Severity.HIGH if strong else Severity.LOW if name in old else Severity.NOTE,
                f"{who} {verb} in {where} now" + (", which is as good as root" if strong else ""),
                {"group": _name(name), "gid": _name(gid), "joined": [_name(m) for m in joined[:200]]},
                (name, *joined[:200]),
            )
        elif name not in old and not administrators:
            twin = gid == "0" and name != "root"
            what = f"New group {_name(name)} with gid {_name(gid)}" + (", which is root's" if twin else "")
            severity = Severity.HIGH if twin else Severity.NOTE
            yield _group(drift, change, severity, what, {"group": _name(name), "gid": _name(gid)}, (name, gid))
        if name in old and gid != was[1] and gid == "0" and not administrators:
            yield _group(
                drift,
                change,
                Severity.HIGH,
                f"{where} has gid 0 now",
                {"group": _name(name), "gid": "0"},
                (name, "gid"),
            )
        if password != was[0] and secret(password) == "set":
            severity = Severity.HIGH if strong else Severity.MEDIUM
            what = f"{where} has a password now: who knows it joins with newgrp"
            yield _group(drift, change, severity, what, {"group": _name(name), "password": "set"}, (name, "password"))


def _group(
    drift: Drift,
    change: FileChange,
    severity: Severity,
    what: str,
    details: Mapping[str, Json],
    identity: tuple[str, ...],
) -> Finding:
    return drift.finding(
        ACCOUNT,
        change,
        severity,
        Confidence.HIGH,
        f"{what[:1].upper() if what.startswith('the ') else what[:1]}{what[1:]}{by(change)}.",
        details=details,
        identity=identity,
    )


# ---- sudo and doas


def sudo_lines(data: bytes) -> Mapping[str, int]:
    """The lines of a sudoers file with the number of each, joined where one ends in a backslash, comments left out.

    `#include`, `#includedir` and `#1000` (a uid) are no comments (sudoers(5), Other special characters and reserved words).
    """
    found: dict[str, int] = {}
    joined, begin = "", 0
    for number, raw in enumerate(text(data).split("\n", LINES)[:LINES], 1):
        begin = begin or number
        if raw.endswith("\\") and len(joined) < 65536:
            joined += raw[:-1] + " "
            continue
        whole, joined, first, begin = joined + raw, "", begin, 0
        if not re.match(r"\s*#(?:include(?:dir)?\s|-?\d+[\s,])", whole):
            whole = re.sub(r"(?<![\\=])#(?!-?\d).*", "", whole)
        line = " ".join(whole.split())
        if line:
            found.setdefault(line, first)
    return found


def sudo_weight(line: str) -> tuple[Severity, str]:
    """How much a line of sudoers gives away, and why."""
    if re.match(r"[#@]include", line):
        return Severity.MEDIUM, "rights are read from another file too"
    if line.startswith("Defaults"):
        if re.search(r"!\s*authenticate\b|\brunaspw\b|\btimestamp_timeout\s*=\s*-", line):
            return Severity.HIGH, "no password is asked for"
        keeps = re.search(r"\benv_keep\b", line) and re.search(r"\b(?:LD_|PYTHON|PERL|BASH_ENV)", line)
        if keeps or re.search(r"!\s*env_reset|\bsetenv\b", line):
            return Severity.HIGH, "variables that load code reach root"
        return Severity.LOW, ""
    if re.match(r"(?:User|Runas|Host|Cmnd|Cmd)_Alias\b", line):
        return Severity.LOW, ""
    if "=" not in line:
        return Severity.LOW, "sudo cannot read it"
    if re.search(r"\bNOPASSWD\s*:|!\s*authenticate", line):
        return Severity.HIGH, "no password is asked for"
    return Severity.MEDIUM, ""


def doas_lines(data: bytes) -> Mapping[str, int]:
    """The lines of a doas.conf with the number of each, comments left out."""
    found: dict[str, int] = {}
    for number, raw in enumerate(text(data).split("\n", LINES)[:LINES], 1):
        if line := " ".join(raw.partition("#")[0].split()):
            found.setdefault(line, number)
    return found


def doas_weight(line: str) -> tuple[Severity, str]:
    """How much a line of doas.conf gives away, and why."""
    if not line.startswith("permit"):
        return Severity.LOW, ""
    return (Severity.HIGH, "no password is asked for") if re.search(r"\bnopass\b", line) else (Severity.MEDIUM, "")


def _rights(
    drift: Drift,
    change: FileChange,
    read: Callable[[bytes], Mapping[str, int]],
    weigh: Callable[[str], tuple[Severity, str]],
) -> Iterator[Finding]:
    contents = _contents(drift, change)
    if contents is None or change.after is None:
        return
    old, new = read(contents[0]), read(contents[1])
    name = change.path.rpartition(b"/")[2]
    skipped = b"sudoers.d/" in change.path and (b"." in name or name.endswith(b"~"))
    for line, number in new.items():
        if line in old:
            continue
        severity, why = weigh(line)
        if skipped:
            severity, why = Severity.LOW, "sudo leaves files with a dot or a ~ in their name aside"
        yield drift.finding(
            ACCOUNT,
            change,
            severity,
            Confidence.HIGH,
            f"New line in {shown(change.path)}{by(change)}: {printable(masked.text(line), 160)}{'; ' if why else ''}{why}.",
            details={"right": printable(masked.text(line), 300), "why": why},
            identity=(line,),
            line=number,
            excerpts=[("line", line)],
        )
    gone = [line for line in old if line not in new and line.startswith("Defaults")]
    if gone:
        yield drift.finding(
            ACCOUNT,
            change,
            Severity.LOW,
            Confidence.HIGH,
            f"{len(gone)} settings taken out of {shown(change.path)}{by(change)}, such as {printable(gone[0], 120)}.",
            details={"removed": [printable(line, 200) for line in gone[:50]]},
            identity=("removed", *gone[:50]),
        )
