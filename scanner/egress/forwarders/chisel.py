"""chisel, read with its like: scanner/egress/forwarders/socks.py."""

from scanner.egress.forwarders.plugin import Program
from scanner.egress.forwarders.socks import read_chisel

PLUGIN = Program(
    "chisel",
    images=(
        "jpillora/chisel",
        "chisel",
    ),
    commands=("chisel",),
    read=read_chisel,
    entrypoint=("chisel",),
)
