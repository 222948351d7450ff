"""dnsmasq, read with its like: scanner/egress/forwarders/resolvers.py."""

from scanner.egress.forwarders.plugin import Program
from scanner.egress.forwarders.resolvers import dnsmasq

PLUGIN = Program(
    "dnsmasq",
    images=(
        "dnsmasq",
        "docker-dnsmasq",
    ),
    commands=("dnsmasq",),
    read=dnsmasq,
    entrypoint=("dnsmasq",),
)
