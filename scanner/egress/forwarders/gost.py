"""gost, read with its like: scanner/egress/forwarders/socks.py."""

from scanner.egress.forwarders.plugin import Program
from scanner.egress.forwarders.socks import read_gost

PLUGIN = Program(
    "gost",
    images=(
        "ginuerzh/gost",
        "gost",
    ),
    commands=("gost",),
    read=read_gost,
    entrypoint=("gost",),
)
