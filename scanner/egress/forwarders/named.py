"""named, read with its like: scanner/egress/forwarders/resolvers.py."""

from scanner.egress.forwarders.plugin import Program
from scanner.egress.forwarders.resolvers import named

PLUGIN = Program(
    "named",
    images=(
        "bind9",
        "bind",
    ),
    commands=("named",),
    read=named,
)
