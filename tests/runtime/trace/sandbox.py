"""A process in a network namespace of its own, without any way out, that runs what a test tells it."""

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scanner.runtime.trace.bpf import BpfError, program_ids
from tests.engine_fixture import missing, program

BOOT = """
import ctypes, json, os, signal, socket, struct, subprocess, sys, threading, time
LINES = b"link set lo up\\nroute add local 0.0.0.0/0 dev lo\\nroute add local ::/0 dev lo"
subprocess.run(["ip", "-batch", "-"], input=LINES, check=True)
print("ready", flush=True)
def tell(what):
    print(json.dumps(what), flush=True)
exec(sys.stdin.read())
"""
"""Every address is the namespace's own: whatever a test connects to answers from there, and there is no other interface."""


class Sandbox:
    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.pid = process.pid
        self.inode = Path(f"/proc/{process.pid}/ns/net").stat().st_ino

    def run(self, code: str) -> Any:
        """What the code tells with `tell`; once for each sandbox."""
        said, _ = self._process.communicate(textwrap.dedent(code), timeout=60)
        assert self._process.returncode == 0, f"the code in the sandbox ended with {self._process.returncode}"
        return json.loads(said) if said else None


@contextmanager
def sandbox() -> Iterator[Sandbox]:
    need_bpf()
    words = [program("unshare"), "--net", sys.executable, "-I", "-S", "-c", BOOT]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield Sandbox(process)
        finally:
            process.kill()


def need_bpf() -> None:
    """The test ends where this machine does not let us load programs at all."""
    if os.geteuid() != 0:
        missing("root, to load BPF programs")
    try:
        program_ids()
    except BpfError as e:
        missing(f"a kernel with BPF: {e}")
