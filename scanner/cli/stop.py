"""How the command ends: by itself, or at a signal, at once and without a trace."""

import contextlib
import os
import signal
import sys
from types import FrameType
from typing import NoReturn

import click

INTERRUPTED, TERMINATED = 130, 143
_SHOW_CURSOR = "\r\x1b[K\x1b[?25h"


def at_once() -> None:
    """From here on SIGINT and SIGTERM end the process where it stands: threads deep in a matcher must not hold up the user.

    Unnamed files and the worker processes go with us; there is nothing else to leave behind.
    """
    signal.signal(signal.SIGINT, _stopped)
    signal.signal(signal.SIGTERM, _stopped)


def gently() -> None:
    """From here on they are exceptions, so that a report half written is taken away again; so is a terminal that is closed, if that
    was not to be ignored (nohup(1))."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _raised)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _raised)


def leave(message: str | None, code: int) -> NoReturn:
    """Say it and end, waiting for nobody."""
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr.isatty():
            sys.stderr.write(_SHOW_CURSOR)
        if message:
            click.echo(message, err=True)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _stopped(number: int, _: FrameType | None) -> None:
    word = "interrupted" if number == signal.SIGINT else "terminated"
    leave(f"sandscan: {word}; no report was written", 128 + number)


def _raised(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)
