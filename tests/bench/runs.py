"""Measures `sandscan diff`, `live` and `observe` under load, each beside the plain way of doing it in the same run; needs root.

    python tests/bench/runs.py [--scratch DIR] [--only NAME]…

NAME is one of: containers, changes, base, mount, output, connections, tcp, names, files, processes, bomb, live. An engine of its own is
started for it, and the guests' networks lead nowhere. The ratio is to what the line's floor says: `docker diff`, which reads no file;
the export of the container, hashed, which is the plain way to compare by content; the same container run without an observer.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import scanner  # noqa: E402 - the path is set first
from tests import host_image  # noqa: E402
from tests.bench.measure import Run, pss, run  # noqa: E402
from tests.engine_fixture import Engine, started_engine  # noqa: E402

SANDSCAN = (sys.executable, "-m", "scanner.cli")
MB = 10**6
IMAGE = "load:1"
PROGRAMS = ("sh", "sleep", "true", "yes")
FORMATS = ("json", "html", "jsonl", "text")
CONTAINERS, AT_ONCE = 200, 8

CHANGE = """
import os
for i in range(50_000):
    folder = f"/work/d{i // 500}"
    os.makedirs(folder, exist_ok=True)
    kind = i % 10
    text = b"\\x7fELF" + os.urandom(2000) if kind == 9 else b"#!/bin/sh\\necho %d\\n" % i if kind == 8 else b"line %d\\n" % i * (1 + i % 200)
    with open(f"{folder}/f{i}", "wb") as file: file.write(text)
    if kind > 7: os.chmod(f"{folder}/f{i}", 0o755)
"""
GUESTS = {
    "output": "import os\nfor _ in range(1024): os.write(1, bytes(1 << 20))",
    "connections": "import socket\nfor i in range(10_000):\n"
    "    s = socket.socket(); s.connect((f'203.0.113.{i % 250 + 1}', 1024 + i)); s.sendall(b'hello %d' % i); s.close()",
    "tcp": "import socket\ns = socket.create_connection(('203.0.113.5', 9999)); piece = bytes(1 << 20)\n"
    "for _ in range(1024): s.sendall(piece)\ns.shutdown(1); s.recv(1)",
    "names": "import socket, struct\ns = socket.socket(type=socket.SOCK_DGRAM); s.connect(('192.0.2.53', 53)); s.settimeout(1)\n"
    "for i in range(50_000):\n"
    "    name = b'host%d' % i\n"
    "    s.send(struct.pack('>6H', i & 65535, 256, 1, 0, 0, 0) + bytes([len(name)]) + name + b'\\7example\\3org\\0\\0\\1\\0\\1')\n"
    "    try: s.recv(512)\n"
    "    except OSError: pass",
    "files": "import os\nfor i in range(200_000):\n"
    "    if i % 1000 == 0: os.makedirs(f'/work/d{i // 1000}')\n"
    "    with open(f'/work/d{i // 1000}/f{i}', 'wb') as file: file.write(b'%d' % i)",
    "processes": "import os\nfor i in range(20_000): os.waitpid(os.posix_spawn('/usr/bin/true', ['true', str(i)], {}), 0)",
    "bomb": "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
}
"""What an observed guest does. The bomb is ended by its time, and held by its limit of processes."""
PLAIN = frozenset({"output", "files", "processes"})
"""Those that do the same without a network."""
BUSY = """
import os, signal, socket, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in range(1999):
    if os.fork() == 0:
        time.sleep(600); os._exit(0)
server = socket.create_server(("127.0.0.1", 4000), backlog=4096)
held = []
for _ in range(2500):
    held.append(socket.create_connection(("127.0.0.1", 4000))); held.append(server.accept()[0])
print("ready", flush=True)
if os.environ.get("CHURN"):
    time.sleep(8)
    for i in range(1000):
        os.posix_spawn("/usr/bin/sleep", ["sleep", "2"], {}); time.sleep(0.03)
time.sleep(600)
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `seconds` are of one whole piece of work; `memory` in bytes, of all our processes together (PSS)."""

    name: str
    seconds: float
    ratio: str = ""
    memory: int = 0
    remarks: str = ""


class Bench:
    """Each measurement is a method that yields its lines and removes what it made."""

    def __init__(self, engine: Engine, scratch: Path) -> None:
        self.engine, self.scratch = engine, scratch
        self.temporary = scratch / "tmp"
        self.temporary.mkdir()
        self.cache = scratch / "cache"
        self.env = {
            "DOCKER_HOST": engine.host,
            "SANDSCAN_CACHE_DIR": str(self.cache),
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(self.temporary),
        }
        engine.client.api.import_image_from_data(host_image.tree(PROGRAMS), *IMAGE.split(":"))

    # ---- diff

    def containers(self) -> Iterator[Row]:
        """Many containers of one image, each with twenty changed files."""
        with ExitStack() as held:
            names = [held.enter_context(self.container("true", files=_files(i))) for i in range(CONTAINERS)]
            plain = statistics.median(self.exported(name) for name in names[:5])
            yield Row("floor: one container exported and hashed", plain, "1")
            before = self.standing()
            with ProcessPoolExecutor(1, initializer=os.environ.update, initargs=(self.env,)) as alone:
                looks = list(alone.map(diffed, names))
            yield self.many("one after the other, in one process", looks, plain)
            clock = time.perf_counter()
            with ProcessPoolExecutor(AT_ONCE, initializer=os.environ.update, initargs=(self.env,)) as pool:
                looks = list(pool.map(diffed, names))
            each = (time.perf_counter() - clock) / CONTAINERS
            yield self.many(f"{AT_ONCE} processes at a time, all together per container", looks, plain, each)
            clock = time.perf_counter()
            with ThreadPoolExecutor(AT_ONCE) as threads:
                done = list(threads.map(lambda name: self.sandscan("diff", f"container:{name}", memory=False), names))
            each = (time.perf_counter() - clock) / CONTAINERS
            why = {note["message"] for one in done if one.code == 3 for note in _notes(one)}
            remarks = f"{sum(one.code == 3 for one in done)} incomplete {sorted(why)[:3] or ''}; left behind: {self.grown(before)}"
            yield Row(
                f"`sandscan diff`, {AT_ONCE} at a time, all together per container",
                each,
                _ratio(each, plain),
                0,
                remarks,
            )

    def many(self, name: str, looks: "list[Look]", plain: float, each: float | None = None) -> Row:
        seconds = statistics.median(look.seconds for look in looks) if each is None else each
        first: dict[int, Look] = {}
        last: dict[int, Look] = {}
        for look in looks:
            first[look.pid] = (
                last[look.pid] if look.pid in last and look.pid not in first else first.get(look.pid, look)
            )
            last[look.pid] = look
        half = [look for look in looks if look.pid == looks[-1].pid]
        grown = [last[pid].memory - half[len(half) // 2].memory for pid in (looks[-1].pid,)]
        remarks = (
            f"least {min(look.seconds for look in looks):.2f} s; memory of a process in its second half "
            f"{grown[0] / MB:+.1f} MB; descriptors {min(look.descriptors for look in looks)} to {max(look.descriptors for look in looks)}; "
            f"{sum(not look.complete for look in looks)} incomplete; {min(look.changes for look in looks)} changes or more each"
        )
        return Row(name, seconds, _ratio(seconds, plain), max(look.memory for look in looks), remarks)

    def changes(self) -> Iterator[Row]:
        """One container with 50,000 changed files."""
        with self.container("python3", "-c", CHANGE, wait=True) as name:
            yield from self.compared("50,000 changed files", name)

    def base(self) -> Iterator[Row]:
        """A large image, of which one file changed."""
        tag = "base:1"
        with self.engine_image(tag, _large), self.container("true", image=tag, files=_files(0)) as name:
            yield from self.compared("a base of 500 MB and 20,000 files", name)

    def mount(self) -> Iterator[Row]:
        """A bind mount of many files, none of which changed."""
        folder = self.scratch / "mount"
        for i in range(200_000):
            if i % 1000 == 0:
                (folder / f"d{i // 1000}").mkdir(parents=True)
            (folder / f"d{i // 1000}" / f"f{i}").touch()
        time.sleep(1.1)
        with self.container("sleep", "600", volumes={str(folder): {"bind": "/data", "mode": "rw"}}, start=True) as name:
            clock = time.perf_counter()
            count = sum(path.stat().st_size == 0 for path in folder.glob("*/*"))
            walked = time.perf_counter() - clock
            done = self.sandscan("diff", f"container:{name}")
            yield Row(f"floor: {count:,} files of a mount walked", walked, "1")
            yield Row("diff with that mount", done.seconds, _ratio(done.seconds, walked), done.peak, _told(done))
        shutil.rmtree(folder)

    def compared(self, what: str, name: str) -> Iterator[Row]:
        """Cold and again, beside the engine's own list and beside the export."""
        plain = self.exported(name)
        clock = time.perf_counter()
        self.engine.client.api.diff(name)
        listed = time.perf_counter() - clock
        yield Row(f"floor: {what}: exported and hashed", plain, "1")
        yield Row("docker diff, by metadata", listed, _ratio(listed, plain))
        shutil.rmtree(self.cache, ignore_errors=True)
        for when in ("the first time", "again"):
            done = self.sandscan("diff", f"container:{name}", memory=False)
            yield Row(f"diff, {when}", done.seconds, _ratio(done.seconds, plain), 0, _told(done))
        yield Row("diff, its memory", 0, "", self.sandscan("diff", f"container:{name}").peak)

    # ---- observe and live

    def observed(self, what: str) -> Iterator[Row]:
        """A guest that floods, alone and then observed; with a report in every format."""
        limits = ("--seconds", "5" if what == "bomb" else "280", "--limit", "spool-bytes=1073741824")
        command = ("python3", "-c", GUESTS[what])
        plain = 0.0
        if what in PLAIN:
            clock = time.perf_counter()
            with self.container(*command, wait=True, log_config={"type": "none"}):
                plain = time.perf_counter() - clock
            yield Row(f"floor: {what}, not observed", plain, "1")
        before = self.standing()
        reports = {kind: self.scratch / f"{what}.{kind}" for kind in FORMATS}
        outputs = [word for kind, path in reports.items() for word in ("-o", f"{kind}={path}")]
        done = self.sandscan("observe", *limits, *outputs, IMAGE, "--", *command, printed=False)
        report = json.loads(reports["json"].read_bytes())
        sizes = ", ".join(f"{kind} {path.stat().st_size / MB:.1f}" for kind, path in reports.items())
        told, ran = report["statistics"], report["run"]
        remarks = (
            f"exit {done.code}, {'complete' if report['complete'] else 'incomplete'}, stopped: {ran['stopped'] or 'no'}; "
            f"attempts {told['attempts']}, queries {told['queries']}, processes {told['processes']}, changes {told['changes']}, "
            f"output {told['output_bytes'] / MB:.0f} MB; dropped {ran['dropped'] or 'nothing'}; MB: {sizes}; left behind: {self.grown(before)}"
        )
        yield Row(f"observe: {what}", done.seconds, _ratio(done.seconds, plain), done.peak, remarks)

    def live(self) -> Iterator[Row]:
        """A container of 2,000 processes and 5,000 sockets: one look, and a minute's watch while processes come and go."""
        with self.container("python3", "-c", BUSY, start=True, environment={"CHURN": "1"}) as name:
            while b"ready" not in self.engine.client.containers.get(name).logs():
                time.sleep(0.1)
            clock = time.perf_counter()
            self.engine.client.api.top(name)
            listed = time.perf_counter() - clock
            yield Row("floor: docker top", listed, "1")
            done = self.sandscan("live", name)
            ran = json.loads(done.output)["run"]
            remarks = f"{len(ran['processes'])} processes, {len(ran['sockets'])} sockets, {', '.join(ran['unseen']) or 'all seen'}"
            yield Row("live: one look", done.seconds, _ratio(done.seconds, listed), done.peak, remarks)
            yield self.watched(name)

    def watched(self, name: str) -> Row:
        """A minute of `--watch`, while a thousand processes begin and end."""
        path = self.scratch / "watch.json"
        words = ("live", "--watch", "--interval", "1", "-q", "--fail-on", "never", "-o", f"json={path}", name)
        with subprocess.Popen((*SANDSCAN, *words), env={**os.environ, **self.env}) as process:
            memory = []
            for _ in range(12):
                time.sleep(5)
                memory.append(pss(process.pid))
            process.send_signal(signal.SIGINT)
            began = time.perf_counter()
            process.wait(120)
        report = json.loads(path.read_bytes())
        seen = report["run"]["processes"]
        same = len({(one["pid"], tuple(one["command"]), round(one["started"] or 0)) for one in seen})
        brief = [one for one in seen if one["command"][:1] == ["sleep"]]
        remarks = (
            f"{report['statistics']['looks']} looks; {len(seen)} processes ({len(seen) - same} twice), {len(brief)} of 1,000 brief ones, "
            f"{sum(one['ended'] is None for one in brief)} of those without an end; memory every 5 s: "
            f"{', '.join(f'{one / MB:.0f}' for one in memory)} MB; ended {time.perf_counter() - began:.1f} s after Ctrl-C"
        )
        return Row("live: a minute of --watch", 60, "", max(memory), remarks)

    # ---- what they stand on

    def sandscan(self, *words: str, memory: bool = True, printed: bool = True) -> Run:
        output = ("-o", "json") if printed else ()
        done = run((*SANDSCAN, words[0], "-q", "--fail-on", "never", *output, *words[1:]), self.env, memory=memory)
        if done.code not in (0, 1, 3):
            raise SystemExit(f"sandscan {words[0]} ended with {done.code}: {done.errors.decode(errors='replace')}")
        return done

    @contextmanager
    def container(
        self, *command: str, image: str = IMAGE, files: bytes = b"", wait: bool = False, start: bool = False, **how: Any
    ) -> Iterator[str]:
        """Without a network; its name. `files` is a tar that is unpacked in it."""
        made = self.engine.client.containers.create(image, list(command), network_mode="none", **how)
        try:
            if files:
                made.put_archive("/", files)
            if wait or start:
                made.start()
            if wait:
                made.wait()
            yield made.name
        finally:
            made.remove(force=True, v=True)

    @contextmanager
    def engine_image(self, tag: str, write: Callable[[Path], None]) -> Iterator[None]:
        path = self.scratch / "image.tar"
        write(path)
        self.engine.client.api.import_image_from_file(str(path), *tag.split(":"))
        path.unlink()
        try:
            yield
        finally:
            self.engine.client.images.remove(tag, force=True)

    def exported(self, name: str) -> float:
        """How long it takes to read every file of the container once, through the engine's export, and to hash it."""
        import hashlib

        clock = time.perf_counter()
        hashed = hashlib.sha256()
        for chunk in self.engine.client.api.export(name, chunk_size=1 << 20):
            hashed.update(chunk)
        return time.perf_counter() - clock

    def standing(self) -> dict[str, int]:
        """What must not grow."""
        client = self.engine.client
        return {
            "containers": len(client.containers.list(all=True)),
            "volumes": len(client.volumes.list()),
            "temporary files": sum(1 for _ in self.temporary.rglob("*")),
            "interfaces": len(list(Path("/sys/class/net").iterdir())),
        }

    def grown(self, before: dict[str, int]) -> str:
        now = self.standing()
        cache = sum(f.stat().st_size for f in self.cache.rglob("*") if f.is_file())
        left = [f"{now[what] - count:+} {what}" for what, count in before.items() if now[what] != count]
        return f"{', '.join(left) or 'nothing'} (cache {cache / MB:.1f} MB)"


@dataclass(frozen=True, slots=True)
class Look:
    """One diff through the Python API, and how its process stood afterwards."""

    pid: int
    seconds: float
    memory: int
    descriptors: int
    changes: int
    complete: bool


def diffed(name: str) -> Look:
    clock = time.perf_counter()
    report = scanner.diff(f"container:{name}")
    seconds = time.perf_counter() - clock
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    changes = len(report.run.changes) if report.run else 0
    return Look(os.getpid(), seconds, resident, len(list(Path("/proc/self/fd").iterdir())), changes, report.complete)


def _files(number: int) -> bytes:
    """A tar of twenty files, none like another container's."""
    made = BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for i in range(20):
            text = f"container {number} file {i}\n".encode() * 100
            member = tarfile.TarInfo(f"work/run/{i}")
            member.size, member.mode = len(text), 0o755 if i % 5 == 0 else 0o644
            tar.addfile(member, BytesIO(text))
    return made.getvalue()


def _large(path: Path) -> None:
    """This machine's files, as many as make a large image, and the programs of the small one."""
    size = files = 0
    with tarfile.open(path, "w") as tar:
        with tarfile.open(fileobj=BytesIO(host_image.tree(PROGRAMS))) as small:
            for member in small:
                tar.addfile(member, small.extractfile(member) if member.isreg() else None)
        for folder, _, names in os.walk("/usr"):
            for name in names:
                file = Path(folder, name)
                if file.is_symlink() or not file.is_file() or file.stat().st_size > 8 * MB:
                    continue
                if files == 20_000:
                    return
                if size + file.stat().st_size < 500 * MB:
                    tar.add(file, f"opt{file}", recursive=False)
                    size, files = size + file.stat().st_size, files + 1


def _notes(done: Run) -> list[dict[str, Any]]:
    """Why a report is incomplete; where there is none, what was said instead."""
    found: list[dict[str, Any]] = json.loads(done.output)["notifications"] if done.output else []
    return found or [{"message": done.errors.decode(errors="replace")}]


def _told(done: Run) -> str:
    report = json.loads(done.output)
    told = report["statistics"]
    state = "complete" if report["complete"] else "incomplete"
    return (
        f"{told['changes']} changes, {told['layers_cached']} layers known, {len(report['findings'])} findings, {state}"
    )


def _ratio(seconds: float, floor: float) -> str:
    return f"{seconds / floor:.2f} x" if floor else ""


def table(rows: list[Row]) -> str:
    """Markdown."""
    lines = ["| | wall | to the floor | peak memory | |", "| --- | ---: | ---: | ---: | --- |"]
    for row in rows:
        memory = f"{row.memory / MB:.0f} MB" if row.memory else ""
        seconds = f"{row.seconds:.2f} s" if row.seconds else ""
        lines.append(f"| {row.name} | {seconds} | {row.ratio} | {memory} | {row.remarks} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", type=Path, metavar="DIR", help="where reports are kept; otherwise removed")
    parser.add_argument("--only", action="append", metavar="NAME", help="what is measured; otherwise all")
    options = parser.parse_args()
    scratch = Path(options.scratch or tempfile.mkdtemp(prefix="sandscan-bench-"))
    scratch.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    try:
        with started_engine() as engine:
            bench = Bench(engine, scratch)
            diffs = ("containers", "changes", "base", "mount", "live")
            for name in options.only or (*diffs, *GUESTS):
                for row in bench.observed(name) if name in GUESTS else getattr(bench, name)():
                    rows.append(row)
                    load = os.getloadavg()[0]
                    print(
                        f"  {row.name}: {row.seconds:.2f} s, {row.remarks} (load {load:.1f})",
                        file=sys.stderr,
                        flush=True,
                    )
        print(table(rows))
    finally:
        if options.scratch is None:
            shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
