"""Authorized keys: standing doors in every sandbox started from the image.

Format: sshd(8), AUTHORIZED_KEYS FILE FORMAT. Where they lie: AuthorizedKeysFile in sshd_config(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scanner.content import Content
from scanner.credentials import mask
from scanner.detectors.openssh.accounts import Account, accounts
from scanner.detectors.openssh.daemon import COMMANDS, SSHD, Daemon, daemon, spoken
from scanner.detectors.openssh.logins import ACCOUNTS, key_files, logins, loose_above, no_keys
from scanner.detectors.openssh.weights import Reach, at_most, lowered, of_daemon
from scanner.detectors.plugin import Detector, Wants
from scanner.model import (
    Confidence,
    Evidence,
    FileLocation,
    Finding,
    Json,
    Level,
    Notification,
    Rule,
    Severity,
    State,
    printable,
)
from scanner.oci.filesystem import File
from scanner.oci.view import ImageView

if TYPE_CHECKING:
    from scanner.ssh.authorized_keys import AuthorizedKey

AUTHORIZED_KEY = Rule(
    id="ssh/authorized-key",
    name="Authorized key in the image",
    severity=Severity.HIGH,
    description="A public key whose holder may log in to an account of the image over SSH.",
    help="Whoever holds the private half can log in to every sandbox started from this image. Remove the key, or add it "
    "when the sandbox starts.",
    references=(
        "https://man.openbsd.org/sshd#AUTHORIZED_KEYS_FILE_FORMAT",
        "https://attack.mitre.org/techniques/T1098/004/",
    ),
    attack=("T1098.004", "T1021.004"),
)

NAME = "ssh_authorized_key"
PORT = 22
"""Where sshd listens unless told otherwise, and so where a tunnel to it ends."""
KEYS = 200
"""Keys of one file that are told one by one."""
FINDINGS = 2000
"""Of the image. More are said."""
BYTES = 64 << 20
"""Of all files together, in all layers. More are said."""
ODD = 500
"""Names by AuthorizedKeysFile, other than the usual ones, whose earlier states are looked for."""
KEEPS = (
    rb"\.ssh/[^/]{0,40}keys[^/]{0,40}\Z",
    rb"\Aetc/(?:ssh|dropbear)/[^/]{0,40}keys[^/]{0,40}(?:/[^/]+){0,3}\Z",
    rb"\A(?:etc|var|srv|opt)/(?:[^/]+/){0,4}authorized_keys[^/]*\Z",
)
_ALL = rb"(?:.*/)?(?:\.ssh/authorized_keys[^/]*|(?:etc|var|srv|opt)/(?:[^/]+/){0,4}authorized_keys[^/]*(?:/[^/]+){0,3})"
_SAMPLE = re.compile(rb"(?i)(?:^|/)(?:tests?|testdata|examples?|fixtures?|docs?)/|(?:^|/)usr/share/doc/")


_Document = tuple[File, State, int | None]
"""A file in one layer, what became of it, and the layer that hid it."""


@dataclass(frozen=True, slots=True)
class _Reader:
    """Who reads a file of keys: a server, for an account. `refused` says why no key of it opens the account after all."""

    account: Account | None
    server: str
    reach: Reach
    refused: str = ""
    inert: str = ""
    commands_only: bool = False

    @property
    def rank(self) -> tuple[bool, Reach, bool]:
        return not self.refused, self.reach, not self.inert


def inspect(_: Content) -> tuple[Evidence, ...]:
    """Nothing: the files are kept whole and judged together with the daemon's configuration."""
    return ()


def judge(view: ImageView) -> Iterator[Finding | Notification]:
    """One finding for each key of each file; what a later layer took away weighs less."""
    server = daemon(view)
    readers: dict[bytes, _Reader] = {}
    for path, reader in _readers(view, server):
        if path not in readers or reader.rank > readers[path].rank:
            readers[path] = reader
    odd = [re.escape(p) for p in readers if len(p) < 256 and not re.fullmatch(_ALL, p)][:ODD]
    documents = list(view.files.documents(b"|".join([_ALL, *odd])))
    visible = {file.path for file, state, _ in documents if state is State.VISIBLE}
    for path in sorted(readers.keys() - visible):
        file = view.files.read(path)
        if file is not None and file.data is None:
            what = "holds authorized keys by sshd's configuration and was not read"
            yield Notification("detector", Level.WARNING, what, file.path, layer=file.layer.index)
        elif file is not None:
            documents.append((file, State.VISIBLE, None))
    by_path: dict[bytes, list[_Document]] = {}
    for document in documents:
        by_path.setdefault(document[0].path, []).append(document)
    left, told = BYTES, 0
    for path in sorted(by_path, key=lambda p: (p not in readers, p)):
        left -= sum(len(file.data or b"") for file, _, _ in by_path[path])
        if left < 0:
            what = f"all files of authorized keys together are larger than {BYTES} bytes: this and others were not read"
            yield Notification("detector", Level.WARNING, what, path)
            return
        for item in _of_file(view, server, by_path[path], readers.get(path)):
            told += isinstance(item, Finding)
            yield item
        if told > FINDINGS:
            what = f"more than {FINDINGS} authorized keys: those of the files behind this one are not told"
            yield Notification("detector", Level.WARNING, what, path)
            return


def _of_file(
    view: ImageView, server: Daemon, states: Sequence[_Document], reader: _Reader | None
) -> Iterator[Finding | Notification]:
    """The keys of one path, lowest layer first: a key in several states is told once, as the container sees it if it does."""
    from scanner.ssh import authorized_keys

    found: dict[str, list[tuple[File, State, int | None, AuthorizedKey]]] = {}
    for file, state, hidden_by in states:
        parsed = authorized_keys.parse(file.data or b"", file.path)
        for problem in parsed.problems[-1:]:
            if problem.where.line > authorized_keys.LINES or len(file.data or b"") > authorized_keys.BYTES:
                yield Notification("detector", Level.WARNING, problem.message, file.path, layer=file.layer.index)
        for key in parsed.keys:
            same = found.setdefault(key.key.fingerprint, [])
            if not same or same[-1][0] is not file:
                same.append((file, state, hidden_by, key))
    for number, same in enumerate(found.values()):
        if number == KEYS:
            what = f"holds {len(found)} keys: findings stand for the first {KEYS}"
            yield Notification("detector", Level.WARNING, what, states[0][0].path)
            return
        file, state, hidden_by, key = next((s for s in same if s[1] is State.VISIBLE), same[0])
        earlier, _, _, line = same[0]
        first = earlier.at(line.line) if earlier.layer.index < file.layer.index else None
        yield _finding(view, server, file, state, hidden_by, key, reader, first)


def _readers(view: ImageView, server: Daemon) -> Iterator[tuple[bytes, _Reader]]:
    """The files that the daemons of the image read for each account, where links lead."""
    for instance, people in zip(server.instances, logins(view).by_instance, strict=True):
        if instance.reach is Reach.ABSENT:
            continue
        inert = f"inert: {spoken(instance.fatal.where, instance)} keeps sshd from starting" if instance.fatal else ""
        if instance.config is None:
            yield from _default_readers(view, SSHD, instance.reach)
        for login in people:
            account, effective = login.account, login.effective
            root = effective.get("permitrootlogin").value
            strict = effective.get("strictmodes").value != "no"
            for path in key_files(effective, account):
                refused = (
                    login.refused or no_keys(effective, account) or (_minded(view, path, account) if strict else "")
                )
                commands_only = account.uid == 0 and root == "forced-commands-only"
                yield _real(view, path), _Reader(account, SSHD, instance.reach, refused, inert, commands_only)
    for name in server.programs.keys() - {SSHD}:
        yield from _default_readers(view, name, server.reach_of(name))


def _default_readers(view: ImageView, server: str, reach: Reach) -> Iterator[tuple[bytes, _Reader]]:
    for account in accounts(view).all[:ACCOUNTS]:
        for path in key_files(None, account):
            yield _real(view, path), _Reader(account, server, reach, _minded(view, path, account))


def _minded(view: ImageView, path: bytes, account: Account) -> str:
    """What StrictModes minds about the file, if there is such a file."""
    if view.files.stat(path) is None:
        return ""
    entry = next(loose_above(view, path, account), None)
    return (
        ""
        if entry is None
        else f"StrictModes keeps sshd from reading it: others can write {printable(entry.path, 120)}"
    )


def _real(view: ImageView, path: bytes) -> bytes:
    entry = view.files.stat(path)
    return path if entry is None else entry.path


def _finding(
    view: ImageView,
    server: Daemon,
    file: File,
    state: State,
    hidden_by: int | None,
    key: AuthorizedKey,
    reader: _Reader | None,
    first: FileLocation | None,
) -> Finding:
    account = reader.account if reader is not None else _by_place(view, file)
    severity, why = _weight(view, server, file, key, reader)
    verb = "opens"
    if state is not State.VISIBLE:
        severity, verb = lowered(severity), "was to open"
    whose = f"{printable(account.name, 60)}'s account" if account is not None else "an account"
    comment = f" ({printable(key.key.comment, 80)})" if key.key.comment else ""
    what = "certificate authority's key" if key.authority else "key"
    details: dict[str, Json] = {
        "type": key.key.type,
        "bits": key.key.bits,
        "fingerprint": key.key.fingerprint,
        "comment": printable(key.key.comment, 120),
        "account": printable(account.name, 60) if account is not None else None,
        "options": [printable(name, 40) for name, _ in key.options[:40]],
        "forced_command": printable(mask(key.command), 200) if key.command is not None else None,
        "forwarding": key.can_forward_tcp,
        "read_by": reader.server if reader is not None else None,
        "daemon": server.reach.name.lower(),
    }
    excerpt = printable(f"{key.key.type} {key.key.fingerprint} {key.key.comment}".strip(), 200)
    evidence = [Evidence(NAME, "key", file.path, line=key.line, excerpt=excerpt)]
    for name, program in server.programs.items():
        evidence.append(Evidence(NAME, "daemon", program.path, excerpt=server.named(name)))
    return view.finding(
        AUTHORIZED_KEY,
        at=file.at(key.line),
        state=state,
        hidden_by=hidden_by,
        severity=severity,
        confidence=Confidence.HIGH if account is not None else Confidence.MEDIUM,
        message=f"{key.key.type} {what}{comment} {verb} {whose}{_limits(key)}{why}.",
        evidence=evidence,
        details=details,
        related=[] if first is None else [first],
        identity=(key.key.fingerprint,),
    )


def _by_place(view: ImageView, file: File) -> Account | None:
    """For a file that no daemon reads: whose it would be by where it lies."""
    home, found, _ = file.path.rpartition(b"/.ssh/")
    return accounts(view).of_home(home) if found else None


def _weight(
    view: ImageView, server: Daemon, file: File, key: AuthorizedKey, reader: _Reader | None
) -> tuple[Severity, str]:
    """How bad, and why no more than that."""
    if key.refused:
        return Severity.LOW, f"; sshd skips the line: {printable(key.refused, 100)}"
    if reader is None:
        if _SAMPLE.search(file.path):
            return Severity.NOTE, ", in a place for tests and examples"
        if (owner := view.owner(file.path)) is not None:
            return Severity.NOTE, f", a file of the package {printable(owner, 80)}"
        if server.reach is Reach.ABSENT:
            return Severity.LOW, "; no ssh daemon lies in the image"
        return Severity.MEDIUM, "; no daemon of the image reads the file"
    if reader.refused:
        return Severity.MEDIUM, f"; {reader.refused}"
    if reader.commands_only and key.command is None:
        return Severity.MEDIUM, "; PermitRootLogin takes keys with a forced command alone"
    led = reader.reach is Reach.INSTALLED and view.once(_led_here)
    severity, why = (
        Severity.HIGH if led else of_daemon(Severity.HIGH, reader.reach),
        {
            Reach.INSTALLED: f"; nothing in the image starts {reader.server}"
            + (", but a reverse tunnel of the image leads to its port" if led else ""),
            Reach.ENABLED: f"; only an init system or a script starts {reader.server}",
        }.get(reader.reach, f"; {reader.server} starts with the container"),
    )
    if reader.account is not None and not reader.account.can_login:
        severity, why = at_most(severity, Severity.MEDIUM), f", which has no shell and can still forward{why}"
    if not key.can_forward_tcp and (key.command is not None or why.startswith(", which")):
        severity = at_most(severity, Severity.MEDIUM)
        why = why.replace(" and can still forward", "")
    if reader.inert:
        severity, why = at_most(lowered(severity), Severity.MEDIUM), f"{why}; {reader.inert}"
    return severity, why


def _led_here(view: ImageView) -> bool:
    """Whether a command of the image opens a reverse tunnel that ends at an ssh daemon's port in the sandbox."""
    for sighting in view.of(COMMANDS, "ssh"):
        forwards = sighting.evidence.facts.get("forwards")
        for forward in forwards if isinstance(forwards, list | tuple) else ():
            if isinstance(forward, Mapping) and forward.get("kind") == "remote" and forward.get("target_port") == PORT:
                host = str(forward.get("target")).rpartition(":")[0].strip("[]")
                if sighting.state is State.VISIBLE and (host in ("localhost", "::1") or host.startswith("127.")):
                    return True
    return False


def _limits(key: AuthorizedKey) -> str:
    said = []
    if key.command is not None:
        said.append("runs one command")
    if key.sources:
        said.append(f"from {printable(', '.join(key.sources[:3]), 80)}")
    if key.expires:
        said.append(f"until {printable(key.expires, 30)}")
    if not key.can_forward_tcp:
        said.append("forwards nothing")
    return f" ({', '.join(said)})" if said else ""


PLUGIN = Detector(
    NAME,
    version=1,
    rules=(AUTHORIZED_KEY,),
    wants=Wants(keeps=KEEPS),
    inspect=inspect,
    judge=judge,
)
