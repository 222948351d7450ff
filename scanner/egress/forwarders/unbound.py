"""unbound, read with its like: scanner/egress/forwarders/resolvers.py."""

from scanner.egress.forwarders.plugin import Program
from scanner.egress.forwarders.resolvers import unbound

PLUGIN = Program(
    "unbound",
    images=(
        "unbound",
        "unbound-docker",
    ),
    commands=("unbound",),
    read=unbound,
)
