"""The image of the lab's containers, made of this machine's own programs in seconds: nothing is fetched.

Python for the probes, iproute2, nsenter and iptables for what a right gives, tinyproxy and socat for the software of siblings, each
with the shared libraries it needs.
"""

import io
import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterable
from pathlib import Path

PROBE = Path(__file__).with_name("probe.py")
SIBLING = Path(__file__).with_name("sibling.py")
PROGRAMS = ("sh", "sleep", "cat", "mount", "umount", "ip", "nsenter", "tinyproxy", "socat")
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
FILES = {
    "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\ntinyproxy:x:100:65534::/:/bin/sh\n",
    "etc/group": b"root:x:0:\nnogroup:x:65534:\ntinyproxy:x:101:\n",
    "etc/nsswitch.conf": b"hosts: files dns\n",
}


def program(name: str) -> Path:
    """Where the machine has it; RuntimeError where it has none."""
    found = shutil.which(name, path=SEARCHED)
    if found is None:
        raise RuntimeError(f"{name} is needed for the lab's image")
    return Path(found)


def tree() -> bytes:
    """The file system as a tar."""
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
    programs = {name: program(name).resolve() for name in PROGRAMS}
    shared = _libraries([python, *programs.values(), *(m for m in modules if m.suffix == ".so")])
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for folder in ("usr/bin", "root", "tmp", "run", "proc", "sys", "dev", "etc", "var", "lab"):
            _folder(tar, folder)
        _link(tar, "bin", "usr/bin")
        _link(tar, "sbin", "usr/bin")
        _link(tar, "var/run", "/run")
        for path in (*sorted(shared), *modules):
            tar.add(path.resolve(), _inside(path), recursive=False)
        for name, path in programs.items():
            tar.add(path, f"usr/bin/{name}", recursive=False)
        tar.add(python, "usr/bin/python3", recursive=False)
        for script in (PROBE, SIBLING):
            tar.add(script, f"lab/{script.name}", recursive=False)
        for name, content in FILES.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return made.getvalue()


def _libraries(binaries: Iterable[Path]) -> set[Path]:
    """Every shared object that they load, the loader too, as ldd names them."""
    told = subprocess.run(["ldd", *map(str, binaries)], capture_output=True, text=True, check=False).stdout
    return {Path(found) for found in re.findall(r"(/[^\s:]+\.so[^\s:]*) \(0x", told)}


def _inside(path: Path) -> str:
    """Its name in the image; /lib and /lib64 stay folders of their own there."""
    return str(path).lstrip("/")


def _folder(tar: tarfile.TarFile, name: str) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
    tar.addfile(member)


def _link(tar: tarfile.TarFile, name: str, target: str) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    tar.addfile(member)
