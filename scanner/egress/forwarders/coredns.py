"""coredns, read with its like: scanner/egress/forwarders/resolvers.py."""

from scanner.egress.forwarders.plugin import Program
from scanner.egress.forwarders.resolvers import coredns

PLUGIN = Program(
    "coredns",
    images=("coredns",),
    commands=("coredns",),
    read=coredns,
    official=("coredns/coredns",),
    entrypoint=("coredns",),
)
