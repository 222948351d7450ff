"""The image of the lab's containers: Python for the probes, iproute2, nsenter and iptables for what a right gives, tinyproxy and
socat for the software of siblings.
"""

from pathlib import Path

from tests import host_image

PROBE = Path(__file__).with_name("probe.py")
SIBLING = Path(__file__).with_name("sibling.py")
PROGRAMS = ("sh", "sleep", "cat", "mount", "umount", "ip", "nsenter", "tinyproxy", "socat")
FILES = {
    "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\ntinyproxy:x:100:65534::/:/bin/sh\n",
    "etc/group": b"root:x:0:\nnogroup:x:65534:\ntinyproxy:x:101:\n",
}


def tree() -> bytes:
    """The file system as a tar."""
    scripts = {f"lab/{script.name}": (0o644, script.read_bytes()) for script in (PROBE, SIBLING)}
    return host_image.tree(PROGRAMS, {**{name: (0o644, data) for name, data in FILES.items()}, **scripts})
