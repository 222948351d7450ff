"""Bad input through the front door: a clear message, the right exit code, bounded time, nothing written elsewhere."""

import gzip
import hashlib
import io
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from fixtures.image import document, sha256
from fixtures.tarball import BLOCK, Member, directory, packed, tar
from scanner import scan
from scanner.errors import ScannerError
from tests.engine_fixture import missing, program
from tests.forking import Forking

CLEAN, FINDINGS, USAGE, INCOMPLETE, INTERRUPTED = 0, 1, 2, 3, 130
SANDSCAN = (sys.executable, "-c", "from scanner.cli.main import main; main()")
REPLAY = Path(__file__).parents[1] / "fixtures" / "rome-replay.tar"
GIB = 1 << 30


# ---- a place to scan from, that shows what was written


@dataclass(frozen=True, slots=True)
class Outcome:
    code: int
    out: str
    err: str


class Place:
    """A working directory, a home and a temporary directory of their own."""

    def __init__(self, root: Path, loaded: Forking) -> None:
        self.root, self._loaded = root, loaded
        self.cwd, self.home, self.tmp, self.input = (root / n for n in ("cwd", "home", "tmp", "input"))
        for folder in (self.cwd, self.home, self.tmp, self.input):
            folder.mkdir()

    @property
    def env(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if k not in ("XDG_CACHE_HOME", "SANDSCAN_CACHE_DIR", "DOCKER_HOST")}
        return {**kept, "HOME": str(self.home), "TMPDIR": str(self.tmp)}

    def listing(self) -> dict[str, tuple[int, int]]:
        """Everything there is but the cache: path → size and time of change."""
        cache = self.home / ".cache" / "sandscan"
        return {
            str(path.relative_to(self.root)): (path.lstat().st_size, path.lstat().st_mtime_ns)
            for path in self.root.rglob("*")
            if path.is_file() and cache not in path.parents
        }

    def sandscan(
        self, *arguments: str, prefix: tuple[str, ...] = (), env: dict[str, str] | None = None, timeout: float = 60
    ) -> Outcome:
        """Run it, and see that it wrote nothing but its cache."""
        before = self.listing()
        outcome = (
            place_without_listing(self, prefix, arguments, timeout)
            if prefix
            else self._forked(arguments, {**self.env, **(env or {})}, timeout)
        )
        assert self.listing() == before
        assert "Traceback" not in outcome.err
        return outcome

    def _forked(self, arguments: tuple[str, ...], env: dict[str, str], timeout: float) -> Outcome:
        server = self._loaded._process.pid

        def give_up() -> None:
            for child in Path(f"/proc/{server}/task/{server}/children").read_text().split():
                os.kill(int(child), signal.SIGKILL)

        late = threading.Timer(timeout, give_up)
        late.start()
        try:
            done = self._loaded.completed(arguments, self.cwd, env)
        finally:
            late.cancel()
        return Outcome(done.returncode, done.stdout, done.stderr)

    def scan(self, target: str, *options: str, timeout: float = 60) -> Outcome:
        return self.sandscan("scan", target, "--no-cache", *options, timeout=timeout)


@pytest.fixture(scope="module")
def loaded() -> Iterator[Forking]:
    with Forking() as server:
        yield server


@pytest.fixture
def place(tmp_path: Path, loaded: Forking) -> Place:
    return Place(tmp_path, loaded)


# ---- images to break


@dataclass(slots=True)
class Parts:
    """An image's files by name, so that a test can spoil one before they are put together."""

    files: dict[str, bytes]
    config: dict[str, object]
    layers: list[bytes]

    def write(self, path: Path) -> str:
        """As an archive; the argument that names it."""
        members = [Member(name, data) for name, data in self.files.items()]
        path.write_bytes(tar([directory("blobs"), directory("blobs/sha256"), *members]))
        return f"archive:{path}"


def image(
    *layers: bytes, diff_ids: list[str] | None = None, names: list[str] | None = None, config: bytes | None = None
) -> Parts:
    """An OCI-form archive of these layer blobs; `names` is what manifest.json lists instead of them."""
    described: dict[str, object] = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {
            "type": "layers",
            "diff_ids": diff_ids if diff_ids is not None else [sha256(_plain(b)) for b in layers],
        },
        "history": [{"created_by": f"RUN step {i}"} for i in range(len(layers))],
    }
    raw = config if config is not None else document(described)
    paths = [_path(blob) for blob in layers]
    docker = [{"Config": _path(raw), "RepoTags": ["app:1"], "Layers": paths if names is None else names}]
    files = {_path(raw): raw, **dict(zip(paths, layers, strict=True)), "manifest.json": document(docker)}
    return Parts(files, described, list(layers))


def _path(blob: bytes) -> str:
    return "blobs/sha256/" + hashlib.sha256(blob).hexdigest()


def _plain(blob: bytes) -> bytes:
    return gzip.decompress(blob) if blob.startswith(b"\x1f\x8b") else blob


HELLO = tar([directory("etc"), Member("etc/motd", b"hello\n")])


# ---- targets that are not there, or no image


@pytest.mark.parametrize("target", ["archive:{}/none.tar", "oci:{}/none", "rootfs:{}/none", "archive:", "nonsense:x/y"])
def test_a_target_that_is_not_there_is_wrong_usage(place: Place, target: str) -> None:
    outcome = place.scan(target.format(place.input))

    assert outcome.code == USAGE
    assert outcome.err.startswith("sandscan: ")
    assert outcome.out == ""


def test_a_directory_that_is_no_layout_is_named(place: Place) -> None:
    (place.input / "etc").mkdir()

    outcome = place.scan(f"oci:{place.input}")

    assert outcome.code == USAGE
    assert str(place.input) in outcome.err


@pytest.mark.parametrize(
    "content",
    [b"", b"hello\n" * 1000, bytes(10240), b"\x1f\x8b", gzip.compress(b"no tar", mtime=0), b"\x28\xb5\x2f\xfd"],
)
def test_a_file_that_is_no_archive_is_not_clean(place: Place, content: bytes) -> None:
    path = place.input / "app.tar"
    path.write_bytes(content)

    outcome = place.scan(f"archive:{path}")

    assert outcome.code in (USAGE, INCOMPLETE)
    assert "app.tar" in outcome.err


@pytest.mark.parametrize("target", ["{}/fifo", "/dev/zero", "archive:/dev/zero", "rootfs:/dev/zero", "oci:/dev/zero"])
def test_a_pipe_or_device_that_nobody_asked_for_is_not_waited_for(place: Place, target: str) -> None:
    os.mkfifo(place.input / "fifo")

    outcome = place.scan(target.format(place.input), timeout=20)

    assert outcome.code == USAGE
    assert outcome.err.startswith("sandscan: ")


def test_a_pipe_whose_writer_dies_is_an_archive_cut_off(place: Place) -> None:
    fifo = place.input / "fifo"
    os.mkfifo(fifo)
    half = REPLAY.read_bytes()[:100_000]
    writer = threading.Thread(target=lambda: fifo.write_bytes(half), daemon=True)
    writer.start()

    outcome = place.scan(f"archive:{fifo}", timeout=20)

    assert outcome.code == INCOMPLETE
    assert "fifo" in outcome.err


def test_no_engine_is_an_error_that_says_where_it_was_looked_for(place: Place) -> None:
    nowhere = f"unix://{place.root}/none.sock"

    outcome = place.sandscan("scan", "docker:app:1", "--no-cache", env={"DOCKER_HOST": nowhere})

    assert outcome.code in (USAGE, INCOMPLETE)
    assert "none.sock" in outcome.err


# ---- cut off, changed


def end_of(archive: bytes, name: str) -> int:
    """Where a member's content ends."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        member = opened.getmember(name)
        return member.offset_data + member.size


def test_an_archive_cut_off_at_any_block_is_never_taken_for_whole(place: Place) -> None:
    whole = REPLAY.read_bytes()
    needed = end_of(whole, "manifest.json")
    path = place.input / "cut.tar"
    for size in range(0, needed, 4096):
        path.write_bytes(whole[:size])
        try:
            report = scan(f"archive:{path}", cache=False)
        except ScannerError:
            continue
        assert not report.complete, size


def test_a_compressed_archive_cut_off_is_never_taken_for_whole(place: Place) -> None:
    whole = gzip.compress(REPLAY.read_bytes(), 6, mtime=0)
    path = place.input / "cut.tar.gz"
    for size in range(0, len(whole), 4096):
        path.write_bytes(whole[:size])
        try:
            report = scan(f"archive:{path}", cache=False)
        except ScannerError:
            continue
        assert not report.complete, size


def test_a_compressed_layer_cut_off_is_never_taken_for_whole(place: Place) -> None:
    layer = tar([Member(f"f{i}", hashlib.sha256(b"%d" % i).digest() * 40) for i in range(30)])
    stored = gzip.compress(layer, mtime=0)
    for size in range(0, len(stored), 4096):
        parts = image(stored[:size], diff_ids=[sha256(layer)])
        report = _report(parts.write(place.input / "app.tar"))
        assert report is None or not report.complete, size


def _report(target: str):  # type: ignore[no-untyped-def]
    try:
        return scan(target, cache=False)
    except ScannerError:
        return None


@pytest.mark.parametrize("size", [0, 512, 4096, 102400, 204800])
def test_a_cut_archive_says_so_and_exits_with_3_or_2(place: Place, size: int) -> None:
    path = place.input / "cut.tar"
    path.write_bytes(REPLAY.read_bytes()[:size])

    outcome = place.scan(f"archive:{path}")

    assert outcome.code in (INCOMPLETE, USAGE)
    assert "cut.tar" in outcome.err


def test_a_changed_layer_is_an_error_with_both_digests(place: Place) -> None:
    parts = image(HELLO)
    changed = HELLO.replace(b"hello", b"HELLO")
    parts.files[_path(HELLO)] = changed

    outcome = place.scan(parts.write(place.input / "app.tar"))

    assert outcome.code == INCOMPLETE
    assert sha256(HELLO) in outcome.err
    assert sha256(changed) in outcome.err


def test_a_wrong_diff_id_is_an_error_with_both_digests(place: Place) -> None:
    wrong = sha256(b"something else")
    parts = image(gzip.compress(HELLO, mtime=0), diff_ids=[wrong])

    outcome = place.scan(parts.write(place.input / "app.tar"))

    assert outcome.code == INCOMPLETE
    assert wrong in outcome.err
    assert sha256(HELLO) in outcome.err


def test_a_changed_config_is_not_believed(place: Place) -> None:
    parts = image(HELLO)
    name = next(n for n, data in parts.files.items() if data.startswith(b'{"architecture'))
    parts.files[name] = parts.files[name].replace(b"amd64", b"arm64")

    outcome = place.scan(parts.write(place.input / "app.tar"))

    assert outcome.code == INCOMPLETE
    assert "sha256:" in outcome.err


# ---- bombs


def zeros_gz(size: int) -> bytes:
    """Gzip members of 16 MiB of zeros each, `size` in all, about a thousandth of that long."""
    block = 16 << 20
    return gzip.compress(bytes(block), mtime=0) * (size // block)


def zeros_zip(size: int, members: int = 1) -> bytes:
    """A zip whose members, each `size` zeros, all lie on the same bytes (D. Fifield, "A better zip bomb", 2019)."""
    block, crc = bytes(1 << 20), 0
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    squeezed = squeeze.compress(block) + squeeze.flush(zlib.Z_FULL_FLUSH)
    data = squeezed * (size // len(block)) + b"\3\0"
    for _ in range(size // len(block)):
        crc = zlib.crc32(block, crc)
    about = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 33, crc, len(data), size, 5, 0)
    local = b"PK\3\4" + about + b"zeros" + data
    central = (b"PK\1\2\x14\0" + about + bytes(10) + bytes(4) + b"zeros") * members
    return local + central + struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, members, members, len(central), len(local), 0)


def test_a_layer_that_unpacks_past_the_limit_is_left_there(place: Place) -> None:
    header = packed(Member("zeros"))[:BLOCK]
    stored = gzip.compress(header) + zeros_gz(GIB)
    parts = image(stored, diff_ids=[sha256(b"never got there")])

    outcome = place.scan(parts.write(place.input / "bomb.tar"), "--limit", f"layer-bytes={64 << 20}", timeout=30)

    assert outcome.code == INCOMPLETE
    assert "limit" in outcome.err


def test_a_gzip_bomb_of_a_layer_ends_and_takes_little_memory(place: Place) -> None:
    parts = image(zeros_gz(4 * GIB), diff_ids=[sha256(b"never got there")])
    target = parts.write(place.input / "bomb.tar")

    outcome = place.sandscan("scan", target, "--no-cache", prefix=_limited(1), timeout=60)

    assert outcome.code == INCOMPLETE
    assert "Memory" not in outcome.err


def _limited(gib: int) -> tuple[str, ...]:
    """Within so much memory of its own."""
    return ("prlimit", f"--data={gib * GIB}")


@pytest.mark.parametrize(
    ("name", "bomb"),
    [
        ("bomb.gz", lambda: zeros_gz(2 * GIB)),
        ("bomb.zip", lambda: zeros_zip(2 * GIB)),
        ("twice.gz", lambda: gzip.compress(zeros_zip(2 * GIB), mtime=0)),
        ("overlapping.zip", lambda: zeros_zip(16 << 20, 1000)),
    ],
)
def test_a_bomb_in_the_image_is_cut_and_said(place: Place, name: str, bomb: Callable[[], bytes]) -> None:
    layer = tar([Member(f"opt/{name}", bomb()), Member("opt/after.txt", b"still here\n")])

    outcome = place.sandscan(
        "scan", image(layer).write(place.input / "app.tar"), "--no-cache", prefix=_limited(1), timeout=60
    )

    assert outcome.code == INCOMPLETE
    assert f"opt/{name}" in outcome.err


# ---- many, deep, sparse


def many(count: int) -> Iterator[bytes]:
    """Headers of `count` empty files, quickly: only the name's digits and the checksum differ."""
    template = packed(Member("d/00000000"))
    total = sum(template[:148]) + sum(template[156:]) + 8 * 32 - 8 * 48
    head, middle, tail = template[:2], template[10:148], template[154:]
    assert len(tail) == BLOCK - 154
    for i in range(count):
        digits = b"%08d" % i
        yield head + digits + middle + b"%06o" % (total + sum(digits)) + tail


def test_a_million_members_take_bounded_time_and_memory(place: Place) -> None:
    path = place.input / "many.tar"
    with path.open("wb") as out:
        batch = []
        for header in many(1_000_000):
            batch.append(header)
            if len(batch) == 10_000:
                out.write(b"".join(batch))
                batch.clear()
        out.write(packed(Member("last", b"hello\n")) + bytes(1024))

    outcome = place.sandscan("scan", f"rootfs:{path}", "--no-cache", "-o", "json", prefix=_limited(1), timeout=180)

    assert outcome.code == CLEAN, outcome.err
    assert json.loads(outcome.out)["complete"] is True


def test_a_sparse_member_of_a_gibibyte_costs_what_it_holds(place: Place) -> None:
    hole = io.BytesIO()
    with tarfile.open(fileobj=hole, mode="w", format=tarfile.GNU_FORMAT) as opened:
        info = tarfile.TarInfo("var/sparse")
        info.type = tarfile.GNUTYPE_SPARSE
        info.size = 512
        raw = bytearray(info.tobuf(tarfile.GNU_FORMAT))
        # old GNU format: four (offset, length) pairs at 386, then whether more follow, then the real size
        raw[386:410] = b"%011o\0%011o\0" % (GIB - 512, 512)
        raw[483:495] = b"%011o\0" % GIB
        raw[148:156] = b" " * 8
        raw[148:156] = b"%06o\0 " % sum(raw[:512])
        opened.fileobj.write(bytes(raw) + b"x" * 512)
        opened.offset += 1024
        opened.addfile(tarfile.TarInfo("etc/after"))
    parts = image(hole.getvalue())

    outcome = place.scan(parts.write(place.input / "app.tar"), "-o", "json", timeout=30)

    assert outcome.code in (CLEAN, INCOMPLETE), outcome.err
    assert outcome.code == CLEAN or "var/sparse" in outcome.err


def test_a_sparse_file_of_a_tree_is_read_past_its_hole(place: Place) -> None:
    tree = place.input / "tree"
    tree.mkdir()
    with (tree / "sparse").open("wb") as out:
        out.truncate(64 * GIB)

    outcome = place.scan(f"rootfs:{tree}", timeout=30)

    assert outcome.code in (CLEAN, INCOMPLETE), outcome.err


@pytest.mark.parametrize("name", ["manifest.json", "config"])
def test_json_nested_without_end_is_refused(place: Place, name: str) -> None:
    nested = b"[" * 100_000 + b"]" * 100_000
    parts = image(HELLO, config=nested if name == "config" else None)
    if name == "manifest.json":
        parts.files[name] = nested

    outcome = place.scan(parts.write(place.input / "deep.tar"))

    assert outcome.code in (USAGE, INCOMPLETE)
    assert "deep.tar" in outcome.err


def test_a_layout_whose_index_is_nested_without_end_is_refused(place: Place) -> None:
    (place.input / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (place.input / "index.json").write_text('{"manifests":' * 100_000 + "1" + "}" * 100_000)

    outcome = place.scan(f"oci:{place.input}")

    assert outcome.code in (USAGE, INCOMPLETE)
    assert "index.json" in outcome.err


# ---- manifests that do not add up


def test_a_layer_named_twice_is_two_layers_if_the_config_says_so(place: Place) -> None:
    parts = image(HELLO, HELLO)

    outcome = place.scan(parts.write(place.input / "app.tar"), "-o", "json")

    assert outcome.code == CLEAN
    assert [layer["diff_id"] for layer in json.loads(outcome.out)["image"]["layers"]] == [sha256(HELLO)] * 2


@pytest.mark.parametrize(
    "names", [[], [_path(HELLO)] * 2, ["blobs/sha256/" + "0" * 64], ["../../etc/passwd"], ["manifest.json"]]
)
def test_a_manifest_whose_layers_are_not_the_configs_is_never_clean(place: Place, names: list[str]) -> None:
    parts = image(HELLO, names=names)

    outcome = place.scan(parts.write(place.input / "app.tar"))

    assert outcome.code in (USAGE, INCOMPLETE)
    assert any(what in outcome.err for what in ("app.tar", "sha256:", "layer 0"))


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"{}",
        b"[]",
        b"[1]",
        b"null",
        b'[{"Config": 1}]',
        b'[{"Config": "x", "Layers": "y"}]',
        b"\xff\xfe",
        b'{"a": 1e999}',
    ],
)
def test_a_manifest_that_is_none_is_refused(place: Place, manifest: bytes) -> None:
    parts = image(HELLO)
    parts.files["manifest.json"] = manifest

    outcome = place.scan(parts.write(place.input / "app.tar"))

    assert outcome.code in (USAGE, INCOMPLETE)
    assert "app.tar" in outcome.err


# ---- the machine's own trouble


def test_an_unreadable_directory_makes_the_scan_incomplete(place: Place) -> None:
    tree = place.input / "tree"
    (tree / "open").mkdir(parents=True)
    (tree / "open" / "hello").write_text("hello\n")
    (tree / "closed").mkdir()
    prefix: tuple[str, ...] = ()
    if os.geteuid() == 0:
        os.chown(tree / "closed", 65534, 65534)
        # root that may not pass over permissions: the interpreter itself stays readable
        prefix = (program("setpriv"), "--bounding-set", "-dac_override,-dac_read_search")
    (tree / "closed").chmod(0o700 if prefix else 0)

    outcome = place.sandscan("scan", f"rootfs:{tree}", "--no-cache", prefix=prefix)

    (tree / "closed").chmod(0o700)
    assert outcome.code == INCOMPLETE
    assert "closed" in outcome.err


def in_full_place(place: Place, size: str, *arguments: str) -> tuple[Outcome, list[str]]:
    """Run with a tiny file system of its own at cwd/full; what lay there afterwards."""
    if os.geteuid() != 0:
        missing("root, to mount a small file system")
    full, out = place.cwd / "full", place.input / "after"
    full.mkdir()
    script = f'mount -t tmpfs -o size={size} none full || exit 99; "$@"; code=$?; find full -type f > {out}; exit $code'
    outcome = place_without_listing(place, ("unshare", "-m", "sh", "-c", script, "sh"), arguments)
    assert outcome.code != 99, outcome.err
    return outcome, out.read_text().split()


def place_without_listing(
    place: Place, prefix: tuple[str, ...], arguments: tuple[str, ...], timeout: float = 120
) -> Outcome:
    done = subprocess.run(
        (*prefix, *SANDSCAN, *arguments),
        cwd=place.cwd,
        env=place.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=timeout,
        check=False,
    )
    return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())


def test_a_report_that_does_not_fit_on_the_disk_is_an_error_and_not_half_written(place: Place) -> None:
    outcome, left = in_full_place(place, "8k", "scan", f"archive:{REPLAY}", "--no-cache", "-o", "json=full/report.json")

    assert outcome.code == INCOMPLETE
    assert "report.json" in outcome.err
    assert "space" in outcome.err.lower()
    assert left == []


def test_a_cache_that_does_not_fit_on_the_disk_is_no_reason_to_stop(place: Place) -> None:
    if os.geteuid() != 0:
        missing("root, to mount a small file system")
    full = place.cwd / "full"
    full.mkdir()
    script = 'mount -t tmpfs -o size=16k none full && SANDSCAN_CACHE_DIR=$PWD/full exec "$@"'
    outcome = place_without_listing(
        place, ("unshare", "-m", "sh", "-c", script, "sh"), ("scan", f"archive:{REPLAY}", "-o", "json")
    )

    assert outcome.code == FINDINGS, outcome.err
    assert json.loads(outcome.out)["findings"]


def test_standard_output_that_takes_nothing_is_an_error(place: Place) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            (*SANDSCAN, "scan", f"archive:{REPLAY}", "--no-cache"),
            cwd=place.cwd,
            env=place.env,
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )

    assert done.returncode == INCOMPLETE
    assert b"Traceback" not in done.stderr
    assert b"standard output" in done.stderr


# ---- an engine that dies


class DyingEngine:
    """Speaks just enough of the Engine API on a unix socket, and hangs up in the middle of the image."""

    def __init__(self, path: Path, archive: bytes, image_id: str) -> None:
        self.archive, self.image_id, self.asked = archive, image_id, list[str]()
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request and (more := connection.recv(4096)):
            request += more
        path = request.split(b" ")[1].decode() if b" " in request else ""
        self.asked.append(path)
        if path.endswith("/get") or "/images/get" in path:
            half = self.archive[: len(self.archive) // 2]
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: application/x-tar\r\n\r\n"
            )
            connection.sendall(b"%x\r\n%s\r\n" % (len(half), half))
            return
        body = b"OK" if path.endswith("_ping") else json.dumps(self._json(path)).encode()
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Type: application/json\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        )

    def _json(self, path: str) -> object:
        if path.endswith("/version"):
            return {
                "Version": "20.10.24",
                "ApiVersion": "1.41",
                "MinAPIVersion": "1.12",
                "Os": "linux",
                "Arch": "amd64",
            }
        if path.endswith("/info"):
            return {"ID": "x", "Driver": "vfs", "DockerRootDir": "/nonexistent", "ServerVersion": "20.10.24"}
        if path.endswith("/history"):
            return []
        return {
            "Id": self.image_id,
            "RepoTags": ["app:1"],
            "RepoDigests": [],
            "Os": "linux",
            "Architecture": "amd64",
            "Config": {},
            "GraphDriver": {"Name": "vfs", "Data": None},
            "RootFS": {"Type": "layers", "Layers": []},
        }


@pytest.fixture
def dying_engine(place: Place) -> Iterator[Callable[[bytes, str], str]]:
    engines: list[DyingEngine] = []

    def start(archive: bytes, image_id: str) -> str:
        path = place.root / "e.sock"
        engines.append(DyingEngine(path, archive, image_id))
        return f"unix://{path}"

    yield start
    for engine in engines:
        engine.close()


def test_an_engine_that_goes_away_in_the_middle_is_no_clean_image(
    place: Place, dying_engine: Callable[[bytes, str], str]
) -> None:
    archive = REPLAY.read_bytes()
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        manifest = json.load(opened.extractfile("manifest.json"))  # type: ignore[arg-type]
    host = dying_engine(archive, "sha256:" + manifest[0]["Config"].rpartition("/")[2])

    outcome = place.sandscan(
        "scan", "docker:app:1", "--no-cache", "--engine-access", "api", env={"DOCKER_HOST": host}, timeout=60
    )

    assert outcome.code == INCOMPLETE
    assert outcome.err.startswith("sandscan: ")


# ---- the user's own hand


def _until_it_reads(process: "subprocess.Popen[bytes]", path: Path) -> None:
    """Until the process is in the midst of that file."""
    end = time.monotonic() + 60
    while True:
        assert process.poll() is None, "it was done before it could be stopped"
        assert time.monotonic() < end
        with suppress(OSError):  # a file that was closed meanwhile
            if path in {one.readlink() for one in Path(f"/proc/{process.pid}/fd").iterdir()}:
                break
        time.sleep(0.02)
    time.sleep(0.5)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, INTERRUPTED), (signal.SIGTERM, 128 + signal.SIGTERM)])
def test_a_scan_that_is_stopped_ends_at_once_and_leaves_nothing(place: Place, number: int, code: int) -> None:
    path = place.input / "long.tar"
    parts = image(zeros_gz(16 * GIB), diff_ids=[sha256(b"not waited for")])
    target = parts.write(path)
    before = place.listing()
    with subprocess.Popen(
        (*SANDSCAN, "scan", target, "--no-cache", "-o", "json=report.json", "--limit", f"ratio={10**9}"),
        cwd=place.cwd,
        env=place.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        _until_it_reads(process, path)
        process.send_signal(number)
        began = time.monotonic()
        out, err = process.communicate(timeout=60)

    assert process.returncode == code
    assert time.monotonic() - began < 10, "16 GiB take longer"
    assert out == b""
    assert b"Traceback" not in err
    assert b"no report was written" in err
    assert place.listing() == before
