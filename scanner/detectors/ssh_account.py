"""Accounts and files that let somebody in around the configuration: empty passwords, and files that others can write or read."""

import re
from collections.abc import Iterator

from scanner.content import Content
from scanner.detectors import ssh_private_key
from scanner.detectors.openssh.accounts import Account, accounts
from scanner.detectors.openssh.daemon import SSHD, Daemon, daemon, spoken
from scanner.detectors.openssh.logins import by_password, key_files, logins, loose_above
from scanner.detectors.openssh.weights import Reach, at_most, of_daemon
from scanner.detectors.plugin import Detector, Wants
from scanner.model import (
    Confidence,
    Entry,
    Evidence,
    FileLocation,
    Finding,
    Kind,
    Level,
    Notification,
    Rule,
    Severity,
    State,
    printable,
)
from scanner.oci.view import ImageView

EMPTY = Rule(
    id="ssh/empty-password-account",
    name="Account with an empty password",
    severity=Severity.HIGH,
    description="An account with a shell whose password is empty, not locked: the field in passwd or shadow holds nothing.",
    help="Anybody in the sandbox can become the account, and over SSH anybody who reaches the port if empty passwords are "
    "taken. Lock it: `passwd -l NAME`.",
    references=("https://man7.org/linux/man-pages/man5/shadow.5.html",),
    attack=("T1078.003",),
)
MODE = Rule(
    id="ssh/file-mode",
    name="SSH file that others can write or read",
    severity=Severity.HIGH,
    description="sshd's configuration, a file of authorized keys or a folder above it that others than its owner can write, "
    "or a private key that others can read.",
    help="Whoever can write it plants a key or changes the daemon; whoever can read a key has it. Set 600 for keys and "
    "authorized_keys, 700 for .ssh, 644 for the configuration, and the right owner.",
    references=("https://man.openbsd.org/sshd#FILES",),
    attack=("T1098.004", "T1222.002"),
)

NAME = "ssh_account"
SHOWN = 50
"""Findings of each rule: a passwd of thousands of open accounts is one mistake. More are said."""
_KEY_FILES = rb"(?:.*/)?\.ssh/authorized_keys[^/]*"
_CONFIGURATION = rb"etc/ssh/sshd_config(?:\.d/[^/]+)?"
_PRIVATE = re.compile(rb"(?:^|/)(?:\.ssh/|ssh_host_)")


def inspect(_: Content) -> tuple[Evidence, ...]:
    """Nothing: other detectors keep the files, and modes are asked of the squashed root."""
    return ()


def judge(view: ImageView) -> Iterator[Finding | Notification]:
    """Accounts first, then files."""
    server = daemon(view)
    open_ = [a for a in accounts(view).all if a.empty_password is not None and a.can_login]
    for account in open_[:SHOWN]:
        yield _empty(view, server, account)
    if len(open_) > SHOWN:
        what = f"{len(open_)} accounts need no password; findings stand for the first {SHOWN}"
        yield Notification("detector", Level.WARNING, what, b"etc/passwd")
    for number, found in enumerate(_modes(view, server)):
        if number == SHOWN:
            what = f"more than {SHOWN} files of ssh have loose modes: findings stand for the first"
            yield Notification("detector", Level.WARNING, what)
            return
        yield found


def _empty(view: ImageView, server: Daemon, account: Account) -> Finding:
    place = account.empty_password
    assert place is not None
    taker = next(_takers(view, server, account), None)
    if server.reach is Reach.ABSENT:
        severity, how = Severity.LOW, "; no ssh daemon lies in the image"
    elif taker is None:
        severity, how = Severity.MEDIUM, "; no daemon of the image takes it"
    else:
        name, reach, inert = taker
        severity, how = of_daemon(Severity.HIGH, reach), f", and {name} takes it"
        if reach is Reach.INSTALLED:
            how += "; nothing in the image starts it"
        if inert:
            severity, how = Severity.MEDIUM, f"{how}; {inert}"
    return view.finding(
        EMPTY,
        at=place,
        state=State.VISIBLE,
        hidden_by=None,
        severity=severity,
        confidence=Confidence.HIGH,
        message=f"The account {printable(account.name, 60)} has an empty password{how}.",
        evidence=[
            Evidence(
                NAME, "account", place.path, line=place.line, excerpt=f"{printable(account.name, 60)}: no password"
            )
        ],
        details={
            "account": printable(account.name, 60),
            "uid": account.uid,
            "shell": printable(account.shell, 120),
            "daemon": server.reach.name.lower(),
        },
        related=[account.location] if account.location != place else [],
        identity=(account.name,),
    )


def _takers(view: ImageView, server: Daemon, account: Account) -> Iterator[tuple[str, Reach, str]]:
    """Daemons that let the account in without a password, the nearest to running first, and what keeps them from starting."""
    for instance, people in zip(server.instances, logins(view).by_instance, strict=True):
        login = next((one for one in people if one.account.name == account.name), None)
        if login is None or login.refused or instance.reach is Reach.ABSENT:
            continue
        if login.effective.get("permitemptypasswords").value == "yes" and by_password(login.effective, account):
            fatal = instance.fatal
            inert = f"inert: {spoken(fatal.where, instance)} keeps sshd from starting" if fatal is not None else ""
            yield SSHD, instance.reach, inert
    for start in server.starts:
        if start.server == "dropbear" and any(re.fullmatch(r"-[A-Za-z]*B[A-Za-z]*", word) for word in start.arguments):
            yield start.server, start.reach, ""  # dropbear(8): -B allows blank password logins


def _modes(view: ImageView, server: Daemon) -> Iterator[Finding]:
    for file in view.files.kept(_CONFIGURATION):
        if file.entry.mode & 0o022 or file.entry.uid != 0:
            what = "is sshd's configuration, and others than root can write it"
            yield _mode(view, server, file.entry, Severity.MEDIUM, what, 0)
    told: set[bytes] = set()
    for path, account, strict in _key_files(view):
        ignored = "; sshd does not read them for that (StrictModes)" if strict else ", and sshd reads them all the same"
        for entry in loose_above(view, path, account):
            if entry.path not in told:
                told.add(entry.path)
                what = "holds" if entry.kind is not Kind.DIRECTORY else "lies above"
                severity = Severity.MEDIUM if strict else Severity.HIGH
                uid = account.uid if account is not None else None
                yield _mode(
                    view, server, entry, severity, f"{what} authorized keys, and others can write it{ignored}", uid
                )
    for sightings in ssh_private_key.of_image(view).values():
        for sighting in sightings:
            path = sighting.evidence.path
            if sighting.evidence.inner or not _PRIVATE.search(path) or path in told:
                continue
            others = 0o037 if b"/ssh_host_" in path else 0o077  # Fedora's host keys can be read by their own group
            key = view.files.stat(path)
            if key is not None and key.mode & others:
                told.add(path)
                yield _mode(view, server, key, Severity.LOW, "is a private key that others can read", None)


def _key_files(view: ImageView) -> Iterator[tuple[bytes, Account | None, bool]]:
    """Files of authorized keys: those that sshd reads for an account, then those in a home; whether StrictModes guards them."""
    told: set[bytes] = set()
    for instance, people in zip(daemon(view).instances, logins(view).by_instance, strict=True):
        for login in people if instance.reach is not Reach.ABSENT else ():
            strict = login.effective.get("strictmodes").value != "no"
            for path in key_files(login.effective, login.account):
                if path not in told and view.files.stat(path) is not None:
                    told.add(path)
                    yield path, login.account, strict
    for file in view.files.kept(_KEY_FILES):
        if file.path not in told:
            yield file.path, accounts(view).of_home(file.path.rpartition(b"/.ssh/")[0]), True


def _mode(view: ImageView, server: Daemon, entry: Entry, severity: Severity, what: str, owner: int | None) -> Finding:
    severity = at_most(severity, of_daemon(Severity.HIGH, server.reach))
    shown = f"mode {entry.mode & 0o7777:o}, owner {entry.uid}:{entry.gid}"
    place = FileLocation(entry.path, view.image.layers[entry.layer])
    return view.finding(
        MODE,
        at=place,
        state=State.VISIBLE,
        hidden_by=None,
        severity=severity,
        confidence=Confidence.HIGH,
        message=f"{printable(entry.path, 200)} ({shown}) {what}.",
        evidence=[Evidence(NAME, "mode", entry.path, excerpt=shown)],
        details={"mode": f"{entry.mode & 0o7777:o}", "uid": entry.uid, "gid": entry.gid, "expected_uid": owner},
    )


PLUGIN = Detector(NAME, version=1, rules=(EMPTY, MODE), wants=Wants(), inspect=inspect, judge=judge)
