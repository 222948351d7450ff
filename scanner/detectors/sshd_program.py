"""The ssh daemon's program: its bytes name its version where no package database does. Evidence for other judges, no findings."""

import re
from collections.abc import Iterator

from scanner.content import Content
from scanner.detectors.openssh.daemon import PROGRAMS
from scanner.detectors.plugin import Detector, Wants
from scanner.model import Evidence, Finding
from scanner.oci.view import ImageView

_READ = 8 << 20
_VERSION = re.compile(rb"OpenSSH_(\d{1,2})\.(\d{1,2})(?:p\d|\0)")
"""As the banner has it; patterns such as `OpenSSH_7.4*`, by which it knows old clients, are others' versions."""


def inspect(content: Content) -> Iterator[Evidence]:
    """The version that an ELF program of the name has in its banner; None where it has none."""
    if content.inner or not content.head.startswith(b"\x7fELF"):
        return
    found = _VERSION.search(content.data[:_READ])
    version = f"{int(found[1])}.{int(found[2])}" if found else None
    yield Evidence(PROGRAMS, "version", content.path, excerpt=f"OpenSSH {version or '?'}", facts={"version": version})


def judge(_: ImageView) -> tuple[Finding, ...]:
    return ()


PLUGIN = Detector(PROGRAMS, version=1, rules=(), wants=Wants(paths=(rb"(?:^|/)sshd\Z",)), inspect=inspect, judge=judge)
