"""A program that is sandscan, without the time to load it: it has each call forked off one that is loaded (tests/forking.py)."""

import json
import socket
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

from tests.forking import Forking

CALLER = """\
#!{python} -IS
import json, os, socket, sys

with socket.socket(socket.AF_UNIX) as asking:
    asking.connect({place!r})
    called = {{"pid": os.getpid(), "arguments": sys.argv[1:], "cwd": os.getcwd(), "environment": dict(os.environ)}}
    asking.sendall(json.dumps(called).encode() + b"\\n")
    code = int(asking.makefile().readline())
sys.exit(code)
"""
"""Asks, and ends as the fork does, which writes to the caller's own standard output and error."""


@contextmanager
def program() -> Iterator[Path]:
    """Where it lies, for as long as the block lasts."""
    with (
        TemporaryDirectory(prefix="sandscan-forked-") as folder,
        Forking() as forking,
        socket.socket(socket.AF_UNIX) as listening,
    ):
        place, script = f"{folder}/socket", Path(folder, "sandscan")
        listening.bind(place)
        listening.listen()
        script.write_text(CALLER.format(python=sys.executable, place=place), "utf-8")
        script.chmod(0o755)
        serving = Thread(target=_serve, args=(listening, forking))
        serving.start()
        try:
            yield script
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            serving.join()


def _serve(listening: socket.socket, forking: Forking) -> None:
    while True:
        try:
            asking, _ = listening.accept()
        except OSError:
            return
        try:
            with asking:
                called = json.loads(asking.makefile().readline())
                own = Path(f"/proc/{called['pid']}/fd")
                words, cwd, environment = called["arguments"], Path(called["cwd"]), called["environment"]
                asking.sendall(b"%d\n" % forking.ask(words, cwd, environment, own / "1", own / "2"))
        except (OSError, ValueError):
            traceback.print_exc()  # the caller gets no code, and fails
