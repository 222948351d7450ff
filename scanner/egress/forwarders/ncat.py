"""ncat, read with its like: scanner/egress/forwarders/socks.py."""

from scanner.egress.forwarders.plugin import Program
from scanner.egress.forwarders.socks import read_ncat

PLUGIN = Program(
    "ncat",
    images=(
        "ncat",
        "nmap-ncat",
    ),
    commands=("ncat",),
    read=read_ncat,
    entrypoint=("ncat",),
)
