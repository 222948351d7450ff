"""adguard, read with its like: scanner/egress/forwarders/resolvers.py."""

from scanner.egress.forwarders.plugin import Program
from scanner.egress.forwarders.resolvers import always

PLUGIN = Program(
    "adguard",
    images=("adguardhome",),
    commands=("AdGuardHome",),
    read=always,
)
