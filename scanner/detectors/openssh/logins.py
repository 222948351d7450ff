"""Who may log in: what sshd's configuration says for each account, the files of keys it reads for it, and who can write them.

Sources: sshd_config(5), AllowUsers and its relatives, AuthorizedKeysFile, TOKENS; OpenSSH's auth.c (allowed_user) and
misc.c (safe_path).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scanner.detectors.openssh.accounts import Account, accounts
from scanner.detectors.openssh.daemon import Instance, daemon
from scanner.model import Entry, Level, Notification
from scanner.oci.view import ImageView

if TYPE_CHECKING:
    from scanner.ssh.sshd_config import Config, Effective

ACCOUNTS = 200
"""Accounts that are judged: root, then those with keys, then those with a shell. More are said."""
WORK = 2_000_000
"""Lines times accounts that are evaluated for one configuration."""
FILES = 16
"""Names in one AuthorizedKeysFile that are looked up."""
LISTED = 1000
"""Patterns of AllowUsers and its relatives that an account is compared with; with more, it is taken to be let in."""
ABOVE = 40
"""Folders above a file that are asked for their modes."""
DEFAULT_FILES = (".ssh/authorized_keys", ".ssh/authorized_keys2")
_KEY_FILES = rb"(?:.*/)?\.ssh/authorized_keys[^/]*"


@dataclass(frozen=True, slots=True)
class Login:
    """An account as one sshd sees it. `refused` says why sshd lets nobody in to it, "" if it may."""

    account: Account
    effective: Effective
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Logins:
    """`by_instance` goes with the daemon's instances; () for one whose configuration was not read."""

    by_instance: tuple[tuple[Login, ...], ...]
    notes: tuple[Notification, ...]


def logins(view: ImageView) -> Logins:
    """The accounts of the image with each sshd's settings for them, worked out once."""
    return view.once(_work_out)


def _work_out(view: ImageView) -> Logins:
    notes: list[Notification] = []
    homes = {file.path.rpartition(b"/.ssh/")[0] for file in view.files.kept(_KEY_FILES)}
    everybody = accounts(view).all
    ranked = sorted(everybody, key=lambda a: (a.uid != 0, a.home not in homes, not a.can_login, a.uid))
    if any(a.can_login or a.home in homes for a in ranked[ACCOUNTS:]):
        what = f"has {len(ranked)} accounts: for {ACCOUNTS} of them sshd's configuration was judged"
        notes.append(Notification("detector", Level.WARNING, what, b"etc/passwd"))
    found = tuple(tuple(_of_instance(i, ranked[:ACCOUNTS], notes)) for i in daemon(view).instances)
    return Logins(found, tuple(dict.fromkeys(notes)))


def _of_instance(instance: Instance, everybody: Sequence[Account], notes: list[Notification]) -> Iterator[Login]:
    config = instance.config
    if config is None:
        return
    from scanner.ssh import sshd_config
    from scanner.ssh.sshd_config import Connection

    same = sshd_config.evaluate(config)
    notes += cut_short(same, instance)
    room = WORK // max(1, len(config.events))
    for number, account in enumerate(everybody):
        effective = same
        if config.matches:
            if number == room:
                what = f"has too many lines to judge them for every account: {room} of {len(everybody)} were"
                notes.append(Notification("detector", Level.WARNING, what, instance.main))
                return
            effective = sshd_config.evaluate(config, Connection(user=account.name, groups=account.groups))
            notes += cut_short(effective, instance)
        if len(effective.get("authorizedkeysfile").values) > FILES:
            what = f"AuthorizedKeysFile names more than {FILES} files: the rest were not looked up"
            notes.append(Notification("detector", Level.WARNING, what, instance.main))
        yield Login(account, effective, _refused(effective, account))


def cut_short(effective: Effective, instance: Instance) -> list[Notification]:
    """What was not compared when the configuration was evaluated, a warning each."""
    return [
        Notification("detector", Level.WARNING, limit.message, limit.where.path or instance.main)
        for limit in effective.limits
    ]


def room_for(config: Config) -> int:
    """How often a configuration may be evaluated once more."""
    return WORK // max(1, len(config.events))


def _refused(effective: Effective, account: Account) -> str:
    """Why sshd ends every login to the account, as allowed_user finds it; where a host decides, none is assumed to."""
    from scanner.ssh import patterns

    for keyword, names, bad in (
        ("DenyUsers", (account.name,), True),
        ("AllowUsers", (account.name,), False),
        ("DenyGroups", account.groups, True),
        ("AllowGroups", account.groups, False),
    ):
        setting = effective.get(keyword)
        wanted = setting.values[:LISTED]
        if not wanted or (not bad and len(setting.values) > LISTED):
            continue
        users = keyword.endswith("Users")
        if bad and users:
            wanted = tuple(w for w in wanted if "@" not in w)
        hit = any(patterns.matches(n, w.partition("@")[0] if users else w) for w in wanted for n in names[:LISTED])
        if hit is bad:
            return f"{keyword} keeps it out"
    if account.locked and effective.get("usepam").value != "yes":
        return "the account is locked, and UsePAM is off"
    return ""


def by_password(effective: Effective, account: Account) -> bool:
    """Whether a password opens the account, as far as sshd decides it."""
    if account.uid == 0 and effective.get("permitrootlogin").value != "yes":
        return False
    return any(effective.get(k).value == "yes" for k in ("passwordauthentication", "kbdinteractiveauthentication"))


def no_keys(effective: Effective, account: Account) -> str:
    """Why no key opens the account by itself, "" if one may."""
    if effective.get("pubkeyauthentication").value == "no":
        return "PubkeyAuthentication is off"
    if account.uid == 0 and effective.get("permitrootlogin").value == "no":
        return "PermitRootLogin is no"
    return ""


def key_files(effective: Effective | None, account: Account) -> Iterator[bytes]:
    """The paths of AuthorizedKeysFile for an account, without leading slash; the default without a configuration."""
    names = DEFAULT_FILES if effective is None else effective.get("authorizedkeysfile").values
    for name in names[:FILES]:
        if name.lower() != "none":
            yield _expanded(name, account)


def _expanded(pattern: str, account: Account) -> bytes:
    values = {"%": b"%", "h": b"/" + account.home, "u": _raw(account.name), "U": b"%d" % account.uid}
    parts = re.split(r"%(.)", pattern[:4096])
    path = b"".join(values.get(p, b"") if n % 2 else _raw(p) for n, p in enumerate(parts))
    return (path if path.startswith(b"/") else account.home + b"/" + path).strip(b"/")


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def loose(entry: Entry, owner: int | None) -> bool:
    """Whether StrictModes minds it: group or others may write it, or it is neither root's nor the account's."""
    return bool(entry.mode & 0o022) or (owner is not None and entry.uid not in (0, owner))


def loose_above(view: ImageView, path: bytes, account: Account | None) -> Iterator[Entry]:
    """The file and the folders above it, up to the account's home or the root and ABOVE of them, that StrictModes minds."""
    owner = None if account is None else account.uid
    home = None if account is None else account.home
    parts = path.split(b"/")
    for length in range(len(parts), max(0, len(parts) - ABOVE), -1):
        place = b"/".join(parts[:length])
        entry = view.files.stat(place)
        if entry is not None and loose(entry, owner):
            yield entry
        if place == home:
            return
