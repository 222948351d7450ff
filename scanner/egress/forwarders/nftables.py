"""nft in a container's command: scanner/egress/forwarders/router.py."""

from scanner.egress.forwarders.plugin import Program
from scanner.egress.forwarders.router import read_nft

PLUGIN = Program("nft", images=(), commands=("nft",), read=read_nft)
