"""File systems for containers, made of this machine's own programs in seconds: nothing is fetched."""

import io
import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

SEARCHED = "/usr/sbin:/usr/bin:/sbin:/bin"
LEFT_OUT = (
    "test",
    "site-packages",
    "dist-packages",
    "idlelib",
    "tkinter",
    "ensurepip",
    "lib2to3",
    "distutils",
    "pydoc_data",
)
BASE = {
    "etc/passwd": (0o644, b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"),
    "etc/group": (0o644, b"root:x:0:\nnogroup:x:65534:\n"),
    "etc/nsswitch.conf": (0o644, b"passwd: files\nhosts: files dns\n"),
}
FOLDERS = (
    "usr/bin",
    "usr/local/bin",
    "usr/sbin",
    "root",
    "tmp",
    "run",
    "proc",
    "sys",
    "dev",
    "etc",
    "var/log",
    "var/tmp",
    "work",
)


def program(name: str) -> Path:
    """Where the machine has it; RuntimeError where it has none."""
    found = shutil.which(name, path=SEARCHED)
    if found is None:
        raise RuntimeError(f"{name} is needed for the image")
    return Path(found)


def tree(
    programs: Iterable[str], files: Mapping[str, tuple[int, bytes]] | None = None, *, python: bool = True
) -> bytes:
    """The file system as a tar: the programs with all that they load, Python with its library, and the files (mode, content)."""
    binaries = {name: program(name).resolve() for name in programs}
    modules: list[Path] = []
    if python:
        binaries["python3"], modules = _python()
    shared = _libraries([*binaries.values(), *(m for m in modules if m.suffix == ".so")])
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for folder in FOLDERS:
            member = tarfile.TarInfo(folder)
            member.type, member.mode = tarfile.DIRTYPE, 0o1777 if folder.endswith("tmp") else 0o755
            tar.addfile(member)
        for name, target in (("bin", "usr/bin"), ("sbin", "usr/bin"), ("var/run", "/run")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
        for path in (*sorted(shared), *modules):
            tar.add(path.resolve(), str(path).lstrip("/"), recursive=False)
        for name, path in binaries.items():
            tar.add(path, f"usr/bin/{name}", recursive=False)
        for name, (mode, content) in {**BASE, **(files or {})}.items():
            member = tarfile.TarInfo(name)
            member.mode, member.size, member.mtime = mode, len(content), 1_700_000_000
            tar.addfile(member, io.BytesIO(content))
    return made.getvalue()


@cache
def _python() -> tuple[Path, list[Path]]:
    """The system's Python and the modules of its library."""
    python = program("python3").resolve()
    told = subprocess.run(
        [python, "-c", "import json, sysconfig; print(json.dumps(sysconfig.get_path('stdlib')))"],
        capture_output=True,
        check=True,
    )
    library = Path(json.loads(told.stdout))
    modules = [
        file
        for file in sorted(library.rglob("*"))
        if file.is_file()
        and not set(file.relative_to(library).parts) & set(LEFT_OUT)
        and not file.relative_to(library).parts[0].startswith("config-")
    ]
    return python, modules


def _libraries(binaries: Iterable[Path]) -> set[Path]:
    """Every shared object that they load, the loader too, as ldd names them."""
    told = subprocess.run(["ldd", *map(str, binaries)], capture_output=True, text=True, check=False).stdout
    return {Path(found) for found in re.findall(r"(/[^\s:]+\.so[^\s:]*) \(0x", told)}
