"""Accounts of the image: passwd(5), shadow(5) and group(5), read from the squashed root."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from scanner.model import FileLocation, Level, Notification
from scanner.oci.filesystem import File
from scanner.oci.view import ImageView

ACCOUNTS = 10_000
"""Lines that are read of each file. One with more of them is cut off here, and that is said."""
_NO_LOGIN = ("nologin", "false", "sync", "shutdown", "halt")
_IN_SHADOW = "x"
KEEPS = (rb"\Aetc/(?:passwd|shadow|group)\Z",)


@dataclass(frozen=True, slots=True)
class Account:
    """One line of passwd. `groups` are names; `empty_password` says where a password is plainly empty, None if none is.

    `locked`: its password begins with `!`; without PAM sshd then takes no key for it either (auth.c, allowed_user).
    """

    name: str
    uid: int
    gid: int
    home: bytes
    shell: str
    location: FileLocation
    groups: tuple[str, ...] = ()
    empty_password: FileLocation | None = None
    locked: bool = False

    @property
    def can_login(self) -> bool:
        """Whether the account's program is a shell; an empty field is /bin/sh (passwd(5))."""
        return self.shell.rpartition("/")[2] not in _NO_LOGIN


@dataclass(frozen=True, slots=True)
class Accounts:
    """All accounts in the order of the file, those that have a home of their own by it, and what could not be read."""

    all: tuple[Account, ...]
    homes: Mapping[bytes, Account]
    notes: tuple[Notification, ...]

    def of_home(self, folder: bytes) -> Account | None:
        """The first account whose home directory this is."""
        return self.homes.get(folder)


def accounts(view: ImageView) -> Accounts:
    """The accounts that a container sees, read once."""
    return view.once(_read)


def _read(view: ImageView) -> Accounts:
    notes: list[Notification] = []
    passwd = view.files.read(b"etc/passwd")
    if passwd is None:
        return Accounts((), {}, ())
    hashes = {fields[0]: (fields, at) for fields, at in _fields(view.files.read(b"etc/shadow"), 2, notes)}
    members: dict[str, list[str]] = {}
    primary: dict[str, str] = {}
    for fields, _ in _fields(view.files.read(b"etc/group"), 3, notes):
        primary.setdefault(fields[2], fields[0])
        for member in fields[3].split(",") if len(fields) > 3 and fields[3] else ():
            members.setdefault(member, []).append(fields[0])
    found: dict[str, Account] = {}
    for fields, at in _fields(passwd, 7, notes):
        name, password, uid, gid, _, home, shell = fields[:7]
        if name in found or not name:
            continue  # the first line of a name counts
        secret, where = password, at
        if password == _IN_SHADOW and name in hashes:
            secret, where = hashes[name][0][1], hashes[name][1]
        found[name] = Account(
            name,
            int(uid) if uid.isdigit() and len(uid) < 11 else -1,
            int(gid) if gid.isdigit() and len(gid) < 11 else -1,
            home.encode("utf-8", "surrogateescape").strip(b"/"),
            shell,
            at,
            tuple(dict.fromkeys([*([primary[gid]] if gid in primary else []), *members.get(name, ())])),
            where if secret == "" else None,
            secret.startswith("!"),
        )
    homes: dict[bytes, Account] = {}
    for account in found.values():
        homes.setdefault(account.home, account)
    return Accounts(tuple(found.values()), homes, tuple(notes))


def _fields(file: File | None, least: int, notes: list[Notification]) -> Iterator[tuple[list[str], FileLocation]]:
    """Colon-separated lines with so many fields at least, comments and compat entries (`+`, `-`) left out."""
    if file is None:
        return
    if file.data is None:
        what = "was not read: its accounts are not judged"
        notes.append(Notification("detector", Level.WARNING, what, file.path, layer=file.layer.index))
        return
    count = 0
    for number, raw in enumerate(_lines(file.data), 1):
        if not raw or raw[:1] in (b"#", b"+", b"-"):
            continue
        fields = raw.decode("utf-8", "surrogateescape").split(":")
        if len(fields) < least:
            continue
        count += 1
        if count > ACCOUNTS:
            what = f"has more than {ACCOUNTS} lines: the rest were not judged"
            notes.append(Notification("detector", Level.WARNING, what, file.path, layer=file.layer.index))
            return
        yield fields, file.at(number)


def _lines(data: bytes) -> Iterator[bytes]:
    """Lines one after the other, so that a file of millions is not a list of millions."""
    begin = 0
    while begin < len(data):
        end = data.find(b"\n", begin)
        end = len(data) if end < 0 else end
        yield data[begin:end]
        begin = end + 1
