"""The distribution's packages: which are installed, in which version, by which layer, and which of them owns a path.

Read from the image's own databases, as the layers keep them. Formats: dpkg's status (deb-control(5)) and
info/PACKAGE.list (one absolute path a line); distroless status.d/PACKAGE and PACKAGE.md5sums; apk's installed file
(Alpine's wiki, Apk spec, Installed Database: `P:` package, `V:` version, `A:` architecture, `o:` origin, `F:` folder,
`R:` file in it); rpm's database in that same form, as scanner.content.rpmdb writes it.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from scanner.errors import ScannerError
from scanner.model import printable

Manager = Literal["dpkg", "apk", "rpm"]

KEEPS = (
    rb"\Avar/lib/dpkg/(?:status|status\.d/[^/]+|info/[^/]+\.list)\Z",
    rb"\A(?:usr/)?lib/apk/db/installed\Z",
)
"""Databases that are read as they are."""
RPM = rb"\A(?:var/lib|usr/lib/sysimage|usr/share)/rpm/(?:rpmdb\.sqlite|Packages|Packages\.db)\Z"
"""rpm's, of which the document is read."""

PACKAGES = 100_000
"""Of one database; twice as many of an image, with those that are gone."""
PATHS = 2_000_000
PATH_BYTES = 256 << 20
"""What all lists of files together may name."""
_LONGEST = 4096
"""Bytes of a path (PATH_MAX): a longer folder holds nothing that could be asked for."""

_PLACE = re.compile(
    rb"(?P<status>var/lib/dpkg/(?:status|status\.d/[^/]+(?<!\.md5sums)))|"
    rb"(?P<list>var/lib/dpkg/(?:info/[^/]+\.list|status\.d/[^/]+\.md5sums))|"
    rb"(?P<apk>(?:usr/)?lib/apk/db/installed)|(?P<rpm>" + RPM + rb")"
)
_DPKG_FIELD = re.compile(rb"(?i)\n(package|status|version|architecture|source):[ \t]*([^\n]*)")
_APK_FIELD = re.compile(rb"\n([PVAo]):([^\n]*)")
_APK_NAMES = {b"P": b"package", b"V": b"version", b"A": b"architecture", b"o": b"source"}
_PLAIN = re.compile(rb"[!-~]{1,200}")
_ABSENT = frozenset(("not-installed", "config-files"))
_MERGED = re.compile(rb"(?:bin|sbin|lib|lib32|lib64|libx32|libo32)/")
"""The directories that are links into /usr where it is merged."""


@dataclass(frozen=True, slots=True)
class Package:
    """One package of the image. `path` and `line` say where its database names it (no line in rpm's).

    `layer` is the one whose database first had it as it is now, `removed_by` the one whose database no longer has it.
    `version` is whole, with epoch and revision; `source` what it was built from, where that has another name;
    `status` is dpkg's state ("installed", or half-way there: "unpacked" …), "installed" for the others.
    """

    name: str
    version: str
    manager: Manager
    source: str | None
    path: bytes
    line: int | None
    layer: int
    removed_by: int | None
    architecture: str | None
    status: str


@dataclass(frozen=True, slots=True)
class _Record:
    """A package in a database: what is said of it, in which line, and where its record lies in the database's bytes."""

    facts: "_Facts"
    line: int
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class _Facts:
    name: str
    version: str
    architecture: str | None
    source: str | None
    status: str


@dataclass(frozen=True, slots=True)
class _Database:
    """A database as the last layer left it."""

    manager: Manager
    path: bytes
    content: bytes
    records: tuple[_Record, ...]


@dataclass(frozen=True, slots=True)
class _State:
    """All databases, all packages, and dpkg's lists of files with their layers: as they are when all layers lie in place."""

    databases: tuple[_Database, ...]
    packages: tuple[Package, ...]
    lists: Mapping[bytes, tuple[int, bytes]]


class _Room:
    """How many paths, and how many bytes of them, may still be written out."""

    __slots__ = ("_bytes", "_paths")

    def __init__(self) -> None:
        self._paths, self._bytes = PATHS, PATH_BYTES

    def take(self, paths: int, size: int) -> bool:
        """Whether there is room for so many more; once there is not, there is none for anything."""
        self._paths -= paths
        self._bytes -= size
        return self._paths >= 0 and self._bytes >= 0


class Packages:
    """Asked rarely, so read at the first question only. What a later layer writes replaces an earlier layer's file.

    `kept[i]()` gives layer i's kept files by path. A database that a later layer deletes says what it said: with it no
    program went away. `problems` is what limits or damage kept from being read so far, in words.
    """

    def __init__(self, kept: Sequence[Callable[[], Mapping[bytes, bytes]]]) -> None:
        self._kept = kept
        self._problems: dict[str, None] = {}

    @property
    def problems(self) -> tuple[str, ...]:
        return tuple(self._problems)

    @cached_property
    def known(self) -> bool:
        """Whether the image has a package database that can be read here and says who owns which file."""
        state = self._state
        return any(len(content) > 1 for _, content in state.lists.values()) or any(
            b"\nR:" in db.content for db in state.databases if db.manager != "dpkg"
        )

    @property
    def all(self) -> tuple[Package, ...]:
        """Every package of the image by name, those that a later layer removed among them."""
        return self._state.packages

    @cached_property
    def installed(self) -> Mapping[str, Package]:
        """The packages that no later layer removed; of several with one name (architectures) the first."""
        found: dict[str, Package] = {}
        for package in self._state.packages:
            if package.removed_by is None:
                found.setdefault(package.name, package)
        return found

    def version(self, name: str) -> str | None:
        """The version of an installed package, None if it is not installed."""
        package = self.installed.get(name)
        return None if package is None else package.version

    def owner(self, path: bytes) -> str | None:
        """The package that lists the path, under its name before or after the merge of /usr; None if none does."""
        owners = self._owners
        found = owners.get(path)
        if found is None:
            if path.startswith(b"usr/") and _MERGED.match(path, 4):
                found = owners.get(path[4:])
            elif _MERGED.match(path):
                found = owners.get(b"usr/" + path)
        return found

    def files(self, name: str) -> tuple[bytes, ...]:
        """The paths that an installed package lists, as it spells them, without the folders that hold them; sorted."""
        found: set[bytes] = set()
        if name not in self.installed:
            return ()
        room = _Room()
        for db, record in self._with_files():
            if record.facts.name == name:
                found.update(self._paths(db.content[record.begin : record.end], room))
        for path, (_, content) in self._state.lists.items():
            if self._listed(path) == name:
                found.update(_list_paths(path, content))
        return tuple(sorted(found - {path.rpartition(b"/")[0] for path in found} - {b"."}))

    # ---- how

    @cached_property
    def _owners(self) -> dict[bytes, str]:
        state, owners, room = self._state, dict[bytes, str](), _Room()
        gone = {p.name: p.removed_by for p in state.packages if p.removed_by is not None and p.manager == "dpkg"}
        for path, (layer, content) in sorted(state.lists.items()):
            name = self._listed(path)
            if name not in self.installed and layer < gone.get(name, -1):
                continue  # only a whiteout took the list away: its package is gone, and owns nothing that came later
            if not room.take(content.count(b"\n"), len(content)):
                self._cut()
                return owners
            owners |= dict.fromkeys(_list_paths(path, content), name)
        for db, record in self._with_files():
            paths = self._paths(db.content[record.begin : record.end], room)
            owners |= dict.fromkeys(paths, record.facts.name)
        return owners

    def _with_files(self) -> Iterator[tuple[_Database, _Record]]:
        """The records that list their files themselves."""
        for db in self._state.databases:
            if db.manager != "dpkg":
                for record in db.records:
                    yield db, record

    def _paths(self, record: bytes, room: _Room) -> Iterator[bytes]:
        """The files of such a record; its folder is written out before each file."""
        for part in record.split(b"\nF:")[1:]:
            head, *names = part.split(b"\nR:")
            folder = head.partition(b"\n")[0]
            prefix = folder + b"/" if folder else b""
            if len(folder) > _LONGEST:
                continue
            if not room.take(len(names), len(part) + len(prefix) * len(names)):
                self._cut()
                return
            for name in names:
                yield prefix + name.partition(b"\n")[0]

    def _cut(self) -> None:
        self._problem(f"packages list more than {PATHS} files, or {PATH_BYTES} bytes of names: not all were read")

    def _problem(self, what: str) -> None:
        self._problems[what] = None

    def _listed(self, path: bytes) -> str:
        """The package whose files a list or a file of checksums names."""
        name = path.rpartition(b"/")[2].rpartition(b".")[0].partition(b":")[0]
        return self._distroless.get(name) or _text(name)

    @cached_property
    def _distroless(self) -> dict[bytes, str]:
        """The packages of distroless images by the names of their files."""
        return {
            db.path.rpartition(b"/")[2]: db.records[0].facts.name
            for db in self._state.databases
            if db.manager == "dpkg" and db.records and db.path != _STATUS
        }

    @cached_property
    def _state(self) -> _State:
        """All layers' databases in their order. A record that a layer leaves as it was is compared, not read."""
        databases: dict[bytes, tuple[_Database, ...]] = {}
        history = _History()
        lists: dict[bytes, tuple[int, bytes]] = {}
        known: _Known = {}
        for layer, load in enumerate(self._kept):
            try:
                files = load()
            except ScannerError as e:
                self._problem(f"the package databases of layer {layer} cannot be read: {e}; scan with --no-cache")
                continue
            read: _Known = {}
            changed: dict[bytes, list[_Database]] = {}
            for path in sorted(files):
                place = _PLACE.fullmatch(path)
                kind = None if place is None else place.lastgroup
                if kind == "list":
                    lists[path] = layer, files[path]
                elif kind is not None:
                    manager: Manager = "apk" if kind == "apk" else "rpm" if kind == "rpm" else "dpkg"
                    records = tuple(self._records(manager, path, files[path], known, read))
                    group = path if manager == "dpkg" else kind.encode()
                    changed.setdefault(group, []).append(_Database(manager, path, files[path], records))
            for group, found in changed.items():
                databases[group] = tuple(found)
                history.apply(layer, group, found)
            if read:
                known = read
        if history.full:
            self._problem(f"the layers name more than {2 * PACKAGES} packages: not all were read")
        return _State(
            tuple(db for group in sorted(databases) for db in databases[group]),
            tuple(sorted(history.packages.values(), key=lambda p: (p.name, p.manager))),
            lists,
        )

    def _records(
        self, manager: Manager, path: bytes, content: bytes, known: "_Known", read: "_Known"
    ) -> Iterator[_Record]:
        """The packages of a database; empty lines part them. What `known` has need not be read; `read` gets all."""
        status = "not-installed" if path == _STATUS else "installed"
        line, at = 1, 0
        for number, part in enumerate(content.split(b"\n\n", PACKAGES)):
            if number == PACKAGES:
                if part.strip():
                    self._problem(f"{printable(path)} has more than {PACKAGES} packages: not all were read")
                return
            head = part if manager == "dpkg" else part.partition(b"\nF:")[0]
            key = (manager, status, head)
            if key not in read:
                read[key] = known[key] if key in known else _facts(*key)
            if (found := read[key]) is not None:
                facts, row = found
                yield _Record(facts, line + row, at, at + len(part))
            line += part.count(b"\n") + 2
            at += len(part) + 2


_STATUS = b"var/lib/dpkg/status"
_Known = dict[tuple[Manager, str, bytes], tuple[_Facts, int] | None]
"""A record's text (of apk's without its files): what it says, and in which of its lines the name stands, from 0."""


def _facts(manager: Manager, status: str, head: bytes) -> tuple[_Facts, int] | None:
    text = b"\n" + head
    fields: dict[bytes, bytes] = {}
    row = 0
    for match in (_DPKG_FIELD if manager == "dpkg" else _APK_FIELD).finditer(text):
        key = _APK_NAMES.get(match[1]) or match[1].lower()
        if key not in fields:
            fields[key] = match[2].strip()
            if key == b"package":
                row = text.count(b"\n", 0, match.start())
    name = _text(fields.get(b"package", b""))
    if not name:
        return None
    words = fields.get(b"status", b"").split()
    source = _text(fields.get(b"source", b"").partition(b" ")[0])
    return _Facts(
        name,
        _text(fields.get(b"version", b"")),
        _text(fields.get(b"architecture", b"")) or None,
        source if source != name else None,
        _text(words[-1]) if words else status,
    ), row


def _text(raw: bytes) -> str:
    return raw.decode("ascii") if _PLAIN.fullmatch(raw) else printable(raw)


def _list_paths(path: bytes, content: bytes) -> list[bytes]:
    """The paths, without leading slash, of an info/PACKAGE.list or a PACKAGE.md5sums."""
    if path.endswith(b".md5sums"):
        return [line[34:].removeprefix(b"./") for line in content.split(b"\n") if len(line) > 34]
    return content.removeprefix(b"/").removesuffix(b"\n").split(b"\n/")


class _History:
    """What the layers' databases, one after the other, make of the packages."""

    def __init__(self) -> None:
        self.packages: dict[_Key, Package] = {}
        self.full = False
        self._present: dict[bytes, set[_Key]] = {}

    def apply(self, layer: int, group: bytes, databases: Sequence[_Database]) -> None:
        """A layer's databases replace those of the same group: an upgrade renews a package, an absence removes it."""
        packages, before, now = self.packages, self._present.get(group, set()), set[_Key]()
        for db in databases:
            same: Counter[tuple[str, str | None]] = Counter()  # rpm keeps several versions of a kernel
            for record in db.records:
                facts = record.facts
                if facts.status in _ABSENT:
                    continue
                number = same[facts.name, facts.architecture]
                same[facts.name, facts.architecture] += 1
                key = (group, facts.name, facts.architecture, number)
                old = packages.get(key)
                if old is None and len(packages) >= 2 * PACKAGES:
                    self.full = True
                    continue
                now.add(key)
                line = None if db.manager == "rpm" else record.line
                if (
                    old is not None
                    and old.removed_by is None
                    and (old.version, old.source, old.status) == (facts.version, facts.source, facts.status)
                ):
                    if (old.path, old.line) != (db.path, line):
                        packages[key] = replace(old, path=db.path, line=line)
                    continue
                packages[key] = Package(
                    name=facts.name,
                    version=facts.version,
                    manager=db.manager,
                    source=facts.source,
                    path=db.path,
                    line=line,
                    layer=layer,
                    removed_by=None,
                    architecture=facts.architecture,
                    status=facts.status,
                )
        for key in before - now:
            packages[key] = replace(packages[key], removed_by=layer)
        self._present[group] = now


_Key = tuple[bytes, str, str | None, int]
