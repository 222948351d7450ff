"""Files that package managers wrote in a run: named by a package that was installed or upgraded in it, with the checksum that
the package has for them. All of it is the container's own word: its databases lie in the same root as the files.

Formats: dpkg's status and info/PACKAGE.{list,md5sums} (deb-control(5), deb-md5sums(5), deb-conffiles(5)); apk's installed
database (Alpine's wiki, Apk spec: `Z:Q1` and the Base64 of a SHA-1); rpm's by scanner.content.rpmdb, which has no checksums;
RECORD of the Python Packaging User Guide ("Recording installed projects"); npm's hidden lockfile (npm-shrinkwrap.json(5)).
"""

import base64
import binascii
import csv
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from scanner.errors import ScannerError
from scanner.model import Kind, printable
from scanner.model.run import ChangeKind, FileChange
from scanner.oci.packages import RPM
from scanner.runtime.drift.drift import Content, resolved, text

STATUS = b"var/lib/dpkg/status"
DIVERSIONS = b"var/lib/dpkg/diversions"
INFO = b"var/lib/dpkg/info/"
APK = (b"lib/apk/db/installed", b"usr/lib/apk/db/installed")
PACKAGES = 100_000
RECORDS = 5_000
_MERGED = re.compile(rb"(?:usr/)?((?:bin|sbin|lib|lib32|lib64|libx32)/.*)", re.DOTALL)
_MAINTAINER = (b"preinst", b"postinst", b"prerm", b"postrm", b"config", b"triggers", b"shlibs", b"symbols")
_SITE = re.compile(rb"(?P<prefix>.+)/lib(?:64)?/python[^/]*/(?:site|dist)-packages", re.DOTALL)
"""Below the prefix lies what an installer of Python packages writes, scripts in its bin."""
_FIELD = re.compile(rb"(?mi)^(package|status|version|architecture|conffiles):[ \t]*([^\n]*(?:\n[ \t][^\n]*)*)")


@dataclass(frozen=True, slots=True)
class _Owned:
    """A file by a package's word: `sums` are (algorithm, hexadecimal digest) of which one has to be right; none: no checksum."""

    package: str
    sums: tuple[tuple[str, str], ...] = ()


Hashed = Callable[[bytes, str], str | None]
"""A changed file's digest by the named algorithm, for files that are too large to be handed over whole."""


@dataclass(frozen=True, slots=True)
class _Root:
    """What the readers of databases see: the changes by path, and old and new contents."""

    paths: Mapping[bytes, FileChange]
    before: Content
    after: Content
    hashed: Hashed
    problems: list[str]

    def old(self, path: bytes) -> bytes:
        """The content before the run; b"" where there was none."""
        change = self.paths.get(path)
        return b"" if change is None or change.before is None else self._read(path, self.before)

    def new(self, path: bytes) -> bytes:
        """The content now of a changed file; b"" where there is none."""
        change = self.paths.get(path)
        return b"" if change is None or change.after is None else self._read(path, self.after)

    def _read(self, path: bytes, content: Content) -> bytes:
        data = content(path)
        if data is None:
            self.problems.append(f"/{printable(path)} was not read: what it says of packages is not known")
        return data or b""

    def named(self, path: bytes) -> bytes | None:
        """The changed path that a package's path is, before or after the merge of /usr; None where it did not change."""
        path = path.removeprefix(b"./").lstrip(b"/")
        if path in self.paths:
            return path
        merged = _MERGED.fullmatch(path)
        if merged is None:
            return None
        other = merged[1] if path.startswith(b"usr/") else b"usr/" + path
        return other if other in self.paths else None

    def holds(self, path: bytes, said: _Owned) -> bool:
        """The file is as the package says, as far as that says anything."""
        change = self.paths[path]
        if change.after is None:
            return False
        if change.after.kind not in (Kind.FILE, Kind.HARDLINK) or not said.sums:
            return True
        return any(self._digest(change, algorithm) == digest for algorithm, digest in said.sums)

    def _digest(self, change: FileChange, algorithm: str) -> str | None:
        if algorithm == "sha256" and change.after is not None and change.after.digest is not None:
            return change.after.digest.removeprefix("sha256:")
        content = self.after(change.path)
        if content is None:
            return self.hashed(change.path, algorithm)
        return hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()


def recognised(
    changes: Sequence[FileChange], before: Content, after: Content, hashed: Hashed = lambda _path, _algorithm: None
) -> tuple[dict[bytes, str], tuple[str, ...]]:
    """Why a changed path is no surprise (`dpkg: libfoo1`), and what of the databases was not read. Never raises for what they hold."""
    root = _Root({c.path: c for c in changes}, before, after, hashed, [])
    result: dict[bytes, str] = {}
    for read in (_dpkg, _apk, _rpm, _python, _npm):
        for path, said in read(root):
            named = root.named(path)
            if named is not None and named not in result and root.holds(named, said):
                result[named] = said.package
    return result, tuple(dict.fromkeys(root.problems))


def _dpkg(root: _Root) -> Iterator[tuple[bytes, _Owned]]:
    new = _paragraphs(root.new(STATUS))
    old = _paragraphs(root.old(STATUS)) if new else {}
    diverted = _diverted(root) if new else {}
    for (name, arch), fields in new.items():
        was = old.get((name, arch))
        if was is not None and was.get(b"version") == fields.get(b"version") and _installed(was):
            continue
        if not _installed(fields):
            continue
        said = f"dpkg: {printable(name, 80)}"
        stem = next((s for s in (name, name + b":" + arch) if INFO + s + b".list" in root.paths), None)
        if stem is None:
            continue
        sums: dict[bytes, bytes] = {}
        for line in root.new(INFO + stem + b".md5sums").split(b"\n"):
            digest, _, path = line.partition(b" ")
            if len(digest) == 32 and path:
                sums[path.strip().removeprefix(b"./").lstrip(b"/")] = digest
        for line in fields.get(b"conffiles", b"").split(b"\n"):
            words = line.split()
            if len(words) >= 2:
                sums.setdefault(words[0].lstrip(b"/"), words[1])
        for path in (p.lstrip(b"/") for p in root.new(INFO + stem + b".list").split(b"\n")):
            if path:
                place, whose = diverted.get(path, (path, name))
                yield (
                    path if whose == name else place,
                    _Owned(said, (("md5", text(sums[path]).lower()),) if path in sums else ()),
                )
        for kind in _MAINTAINER:
            yield INFO + stem + b"." + kind, _Owned(f"{said}, its {kind.decode()}")


def _diverted(root: _Root) -> dict[bytes, tuple[bytes, bytes]]:
    """Where dpkg-divert(1) lets other packages put a path, and the package (or `:`) that has it itself."""
    lines = (root.after(DIVERSIONS) or b"").split(b"\n")
    return {
        a.lstrip(b"/"): (b.lstrip(b"/"), name) for a, b, name in zip(lines[::3], lines[1::3], lines[2::3], strict=False)
    }


def _installed(fields: Mapping[bytes, bytes]) -> bool:
    """dpkg has unpacked it (dpkg(1), Package states)."""
    state = fields.get(b"status", b"").split()[-1:]
    return state in ([b"installed"], [b"unpacked"], [b"half-configured"], [b"triggers-awaited"], [b"triggers-pending"])


def _paragraphs(data: bytes) -> dict[tuple[bytes, bytes], dict[bytes, bytes]]:
    """dpkg's status by package and architecture."""
    found: dict[tuple[bytes, bytes], dict[bytes, bytes]] = {}
    for number, paragraph in enumerate(re.split(rb"\n[ \t]*\n", data)):
        if number == PACKAGES:
            break
        fields: dict[bytes, bytes] = {}
        for match in _FIELD.finditer(paragraph):
            fields.setdefault(match[1].lower(), match[2].strip())
        name = fields.get(b"package", b"")
        if name and b"/" not in name:
            found[name, fields.get(b"architecture", b"")] = fields
    return found


def _apk(root: _Root) -> Iterator[tuple[bytes, _Owned]]:
    for path in APK:
        new = root.new(path)
        before = {r.partition(b"\nF:")[0] for r in root.old(path).split(b"\n\n")} if new else set()
        for record in new.split(b"\n\n")[:PACKAGES]:
            if record.partition(b"\nF:")[0] not in before:
                yield from _apk_files(record)


def _apk_files(record: bytes) -> Iterator[tuple[bytes, _Owned]]:
    said, folder, file = "", b"", b""
    sums: tuple[tuple[str, str], ...] = ()
    for line in (*record.split(b"\n"), b"R:"):
        key, _, value = line.partition(b":")
        if key in (b"F", b"R") and file and said:
            yield file, _Owned(said, sums)
        if key == b"P":
            said = f"apk: {printable(value, 80)}"
        elif key == b"F":
            folder, file, sums = value, b"", ()
        elif key == b"R":
            file, sums = (folder + b"/" + value if folder else value) if value else b"", ()
        elif key == b"Z" and value.startswith(b"Q1"):
            try:
                sums = (("sha1", base64.b64decode(value[2:], validate=True).hex()),)
            except (binascii.Error, ValueError):
                sums = (("sha1", ""),)  # no file has it: a checksum that cannot be read vouches for nothing


def _rpm(root: _Root) -> Iterator[tuple[bytes, _Owned]]:
    from scanner.content import rpmdb

    for path in root.paths:
        if re.search(RPM, path) is None or not (data := root.new(path)):
            continue
        try:
            new = rpmdb.read(data)[1]
            old = rpmdb.read(root.old(path))[1] if root.old(path) else b""
        except ScannerError as e:
            root.problems.append(f"/{printable(path)}: no rpm database that can be read: {e}")
            continue
        before = {r.partition(b"\nF:")[0] for r in old.split(b"\n\n")}
        for record in new.split(b"\n\n"):
            if record.partition(b"\nF:")[0] not in before:
                for file, said in _apk_files(record):
                    yield file, _Owned("rpm" + said.package.removeprefix("apk") + ", without a checksum")


def _python(root: _Root) -> Iterator[tuple[bytes, _Owned]]:
    records = [p for p in root.paths if p.endswith(b".dist-info/RECORD")]
    for record in records[:RECORDS]:
        folder = record.rsplit(b"/", 1)[0]
        site, _, name = folder.rpartition(b"/")
        found = _SITE.fullmatch(site)
        prefix = (found["prefix"] if found else site) + b"/"
        said = f"pip: {printable(name.removesuffix(b'.dist-info').split(b'-')[0], 80)}"
        for row in _rows(text(root.new(record))):
            path = resolved(site + b"/x", row[0].encode("utf-8", "surrogateescape"))
            if not path.startswith(prefix):
                continue
            algorithm, _, value = row[1].partition("=")
            if algorithm == "sha256":
                try:
                    digest = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)).hex()
                except (binascii.Error, ValueError):
                    continue
                yield path, _Owned(said, (("sha256", digest),))
            elif not algorithm and not root.paths.get(path, _NOBODY).executable:
                yield path, _Owned(said)
    if len(records) > RECORDS:
        root.problems.append(f"more than {RECORDS} Python packages were installed: not all were recognised")


def _rows(document: str) -> Iterator[list[str]]:
    """Rows of RECORD with a path and a hash, until one is broken."""
    try:
        for row in csv.reader(document.split("\n")):
            if len(row) >= 2 and row[0]:
                yield row
    except csv.Error:
        return


_NOBODY = FileChange(b"", ChangeKind.ADDED, "", None, None)


def _npm(root: _Root) -> Iterator[tuple[bytes, _Owned]]:
    """Files of the packages that npm's hidden lockfile lists; it has no checksums of files."""
    locks = {
        p.removesuffix(b".package-lock.json") for p in root.paths if p.endswith(b"node_modules/.package-lock.json")
    }
    listed: dict[bytes, str] = {}
    for folder in sorted(locks):
        lockfile = root.new(folder + b".package-lock.json")
        try:
            packages = json.loads(lockfile).get("packages", {}) if lockfile else {}
        except (ValueError, AttributeError, RecursionError):
            root.problems.append(f"/{printable(folder)}.package-lock.json is no lockfile of npm's")
            continue
        parent = folder.removesuffix(b"node_modules/")
        for key in list(packages)[:PACKAGES] if isinstance(packages, dict) else ():
            name = key.rpartition("node_modules/")[2]
            listed[parent + key.encode("utf-8", "surrogatepass")] = f"npm: {printable(name, 80)}, without a checksum"
    if not listed:
        return
    for path in root.paths:
        folder = path
        while b"node_modules/" in folder:
            folder = folder.rpartition(b"/")[0]
            if folder in listed:
                yield path, _Owned(listed[folder])
                break
