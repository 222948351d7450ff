"""The programs that run, the scripts that they run and the libraries put into them, as one layer: scanned as an image's files are."""

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from scanner.model import (
    FileLocation,
    Finding,
    Image,
    ImageConfig,
    Kind,
    Layer,
    Level,
    Notification,
    Report,
    Target,
)
from scanner.model.run import FileState
from scanner.oci.packages import KEEPS
from scanner.oci.platforms import host
from scanner.pipeline import Options, Step, scan_opened
from scanner.runtime.procfs import Seen, opened
from scanner.runtime.procfs.inside import Identity, Root, identity_of
from scanner.runtime.procfs.processes import Member, environment
from scanner.runtime.procfs.reading import ProcessFolder
from scanner.runtime.spool import LayerSpool
from scanner.sources.plugin import OpenImage

LARGEST, ALL = 512 << 20, 2 << 30
"""Bytes of one program that is read, and of all of them."""
_SCRIPT, _DATABASE, _DATABASES = 8 << 20, 64 << 20, 128 << 20
_LISTS = 10_000
_CHUNK = 1 << 20
_INTERPRETER = re.compile(
    r"(?:python|pypy|perl|ruby|node|nodejs|php|lua|luajit|deno|bun|tclsh|expect)[\d.]*|(?:ba|da|z|k|mk|a)?sh"
)
_ELF = b"\x7fELF"
"""First bytes of a program or library (elf(5))."""
_WHITEOUT = re.compile(rb"(?:^|/)\.wh\.")
_HELD = re.compile(b"|".join(KEEPS))
_PLAIN = (
    b"var/lib/dpkg/status",
    b"lib/apk/db/installed",
    b"usr/lib/apk/db/installed",
    b"var/lib/rpm/rpmdb.sqlite",
    b"usr/lib/sysimage/rpm/rpmdb.sqlite",
    b"etc/passwd",
)
_FOLDERS = (b"var/lib/dpkg/info", b"var/lib/dpkg/status.d")


@dataclass(frozen=True, slots=True)
class _File:
    """A file for the layer: where it lies in it, its state, its digest."""

    path: bytes
    digest: str | None


@dataclass(slots=True)
class Programs:
    """What is known of the files that run, look by look: each is read once. `report` is the first scan's.

    `found` are the findings by the file's path in the layer, `of` the files of each process by (number, ticks): its program first.
    """

    options: Options
    first: int
    progress: Callable[[Step], None] = lambda _: None
    report: Report | None = None
    found: dict[bytes, list[Finding]] = field(default_factory=dict)
    of: dict[tuple[int, int], tuple[bytes, ...]] = field(default_factory=dict)
    notes: list[Notification] = field(default_factory=list)
    _known: dict[Identity, _File] = field(default_factory=dict)
    _taken: set[bytes] = field(default_factory=set)
    _read: int = 0

    def look(self, seen: Seen) -> Seen:
        """Scan what runs and was not scanned yet; the same look, with the digests of the programs.

        Raises RuleError (a rule of the user's does not compile) and SourceError (no room on the disk).
        """
        with ExitStack() as resources:
            spool = LayerSpool(resources)
            before = len(self._taken)
            digests = {m.pid: self._add(spool, m) for m in seen.members}
            present = {(m.pid, m.ticks) for m in seen.members}
            self.of = {at: paths for at, paths in self.of.items() if at in present}
            if self.report is None or len(self._taken) > before:
                self._databases(spool, seen)
                self._scan(spool)
        members = tuple(replace(m, process=replace(m.process, digest=digests[m.pid])) for m in seen.members)
        return replace(seen, members=members)

    def findings(self, member: Member) -> tuple[Finding, ...]:
        """What was found in the files that the process runs."""
        paths = self.of.get((member.pid, member.ticks), ())
        return tuple(finding for path in paths for finding in self.found.get(path, ()))

    def _add(self, spool: LayerSpool, member: Member) -> str | None:
        """Add the files of a process; gives its program's digest."""
        at = (member.pid, member.ticks)
        if at in self.of and member.program in self._known:
            return self._known[member.program].digest
        files: list[_File] = []
        digest = None
        if member.program is not None:
            name = (member.process.executable or b"unnamed").lstrip(b"/")
            file = self._file(spool, name, member.program, lambda: opened(member), LARGEST)
            if file is not None:
                files.append(file)
                digest = file.digest
            elif self._alive(member):
                self._unread(name, "the program of a process could not be read")
        for library in member.libraries:
            file = self._anonymous(spool, member, library.at, library.path.lstrip(b"/"))
            files += [file] if file is not None else []
        files += self._by_name(spool, member)
        self.of[at] = tuple(dict.fromkeys(file.path for file in files))
        return digest

    @staticmethod
    def _alive(member: Member) -> bool:
        file = opened(member)
        if file is not None:
            file.close()
        return file is not None

    def _anonymous(self, spool: LayerSpool, member: Member, at: str, name: bytes) -> _File | None:
        """A mapped file without a name, if it is a library or a program: code that was made at run time is none."""

        def library() -> BinaryIO | None:
            file = opened(member, f"map_files/{at}")
            if file is not None and file.read(4) != _ELF:
                file.close()
                return None
            if file is not None:
                file.seek(0)
            return file

        return self._file(spool, name, None, library, LARGEST)

    def _by_name(self, spool: LayerSpool, member: Member) -> Iterator[_File]:
        """The script that an interpreter runs, and the libraries that LD_PRELOAD names."""
        wanted = [(path, _SCRIPT) for path in script_of(member)]
        preload = environment(member).get("LD_PRELOAD", "")
        wanted += [(word.encode(), LARGEST) for word in re.split(r"[\s:]+", preload)[:8] if "/" in word]
        if not wanted:
            return
        try:
            with ProcessFolder(member.thread) as folder, Root(folder) as root:
                for name, limit in wanted:
                    path = name if name.startswith(b"/") else (member.process.working_dir or b"/") + b"/" + name
                    normal = os.path.normpath(path).lstrip(b"/")
                    file = self._file(spool, normal, root.identity(path), lambda path=path: _named(root, path), limit)  # type: ignore[misc]
                    if file is not None:
                        yield file
                    elif not root.problem and root.identity(path) not in self._known:
                        self._not_had(normal, root.has(path))
        except OSError:
            return

    def _not_had(self, name: bytes, stands: bool | None) -> None:
        """A script or library that could not be read. One that is not there says nothing by itself: its name is what a command
        line says."""
        if stands:
            self._unread(name, "a file that a process runs could not be opened")
        elif stands is not None:
            gone = "a file that a process runs, by its command line, is not there (any more)"
            self.notes.append(Notification("source", Level.NOTE, gone, name))

    def _file(
        self,
        spool: LayerSpool,
        name: bytes,
        identity: Identity | None,
        open_: Callable[[], BinaryIO | None],
        limit: int,
    ) -> _File | None:
        """The file in the layer, where it lies already if it is known."""
        if identity is not None and identity in self._known:
            return self._known[identity]
        file = open_()
        if file is None:
            return None
        with file:
            state = os.fstat(file.fileno())
            key = identity or identity_of(state)
            if key in self._known:
                return self._known[key]
            if state.st_size > limit or self._read + state.st_size > ALL:
                self._unread(name, f"it was not scanned: it has {state.st_size} bytes, or all programs too many")
                self._known[key] = _File(b"", None)
                return None
            self._read += state.st_size
            path = self._free(name)
            digest = hashlib.sha256()
            facts = FileState(
                Kind.FILE, state.st_mode & 0o7777, state.st_uid, state.st_gid, state.st_size, state.st_mtime
            )
            try:
                spool.add(path, facts, _chunks(file, state.st_size, digest.update))
            except OSError as e:
                self._unread(name, f"it could not be read to its end: {e.strerror or e}")
            self._known[key] = _File(path, f"sha256:{digest.hexdigest()}")
            return self._known[key]

    def _free(self, name: bytes) -> bytes:
        """A path in the layer that no other file has; a name that a layer reads as a deletion is put in another folder."""
        name = name or b"unnamed"
        if _WHITEOUT.search(name):
            name = b"renamed/" + name.replace(b".wh.", b"wh.")
        path, number = name, 1
        while path in self._taken:
            number += 1
            path = name + b"#%d" % number
        self._taken.add(path)
        return path

    def _databases(self, spool: LayerSpool, seen: Seen) -> None:
        """What says which package owns a program: a distribution's own tool is judged with more trust."""
        try:
            first = seen.member(self.first)
            with ProcessFolder(first.thread if first is not None else self.first) as folder, Root(folder) as root:
                if root.problem:
                    note = f"files of the container were not opened by their names: {root.problem}"
                    self.notes.append(Notification("source", Level.WARNING, note))
                left = _DATABASES
                lists = (b"%s/%s" % (at, name) for at in _FOLDERS for name in sorted(root.names(at, _LISTS)))
                for path in (*_PLAIN, *filter(_HELD.search, lists)):
                    data = root.read(path, _DATABASE + 1)
                    if data is None or path in self._taken or len(data) > min(left, _DATABASE):
                        continue
                    left -= len(data)
                    spool.add(path, FileState(Kind.FILE, 0o644, 0, 0, len(data)), (data,))
        except OSError:
            if self.first and seen.members:
                self.notes.append(
                    Notification(
                        "source", Level.NOTE, "the package databases could not be read: programs have no owners"
                    )
                )

    def _scan(self, spool: LayerSpool) -> None:
        layer = Layer(0, None, "what runs in the container")
        image = Image(None, host(), None, ImageConfig(), (layer,))
        target = Target("live", "programs", "programs")
        scanned = scan_opened(OpenImage(target, image, (spool.blob(layer),)), self.options, self.progress)
        if self.report is None:
            self.report = scanned
        self.notes += (replace(note, layer=None) for note in scanned.notifications)
        for finding in scanned.findings:
            first = finding.locations[0]
            if isinstance(first, FileLocation) and first.path in self._taken:
                self.found.setdefault(first.path, []).append(finding)

    def _unread(self, name: bytes, why: str) -> None:
        self.notes.append(Notification("source", Level.WARNING, why, name))


def script_of(member: Member) -> tuple[bytes, ...]:
    """The file that an interpreter was told to run, as its command line names it."""
    words = member.words
    name = words[0].rsplit("/", 1)[-1].removeprefix("-") if words else ""
    if not _INTERPRETER.fullmatch(name):
        return ()
    code = "c" if name.endswith("sh") else "[cm]" if name.startswith(("python", "pypy")) else "[ep]"
    for at, word in enumerate(words[1:], 1):
        if re.fullmatch(rf"-[A-Za-z]*{code}|--(?:eval|print|command)", word):
            return ()  # code or a module's name follows
        if not word.startswith("-") and words[at - 1] not in ("-W", "-X", "-r", "--require", "-I", "-o", "+o"):
            return (word.encode("utf-8", "backslashreplace"),)
    return ()


def _named(root: Root, path: bytes) -> BinaryIO | None:
    fd = root.open(path)
    return os.fdopen(fd, "rb") if fd is not None else None


def _chunks(file: BinaryIO, size: int, hashed: Callable[[bytes], None]) -> Iterator[bytes]:
    left = size
    while left > 0 and (chunk := file.read(min(left, _CHUNK))):
        hashed(chunk)
        left -= len(chunk)
        yield chunk
