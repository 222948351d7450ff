"""pihole, read with its like: scanner/egress/forwarders/resolvers.py."""

from scanner.egress.forwarders.plugin import Program
from scanner.egress.forwarders.resolvers import always

PLUGIN = Program(
    "pihole",
    images=("pihole",),
    commands=("pihole-FTL",),
    read=always,
)
