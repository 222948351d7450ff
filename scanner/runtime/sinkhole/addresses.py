"""The addresses of the sinkhole: what a guest finds is what Docker's default bridge network would have given it.

Names get addresses of 198.18.0.0/15, set aside for tests of networks (RFC 2544), and of a unique local prefix (RFC 4193), so that
no name is ever mapped to an address that somebody owns.
"""

import ipaddress
from typing import Final

GUEST_LINK: Final = "eth0"
SINK_LINK: Final = "vsink"

GUEST4: Final = "172.17.0.2"
GATEWAY4: Final = "172.17.0.1"
"""The guest's default route, its resolver, and where it would look for the host."""
PREFIX4: Final = 16
BROADCAST4: Final = "172.17.255.255"

GUEST6: Final = "fd17::2"
GATEWAY6: Final = "fd17::1"
PREFIX6: Final = 64

GUEST_LOCAL6: Final = "fe80::42:acff:fe11:2"
GATEWAY_LOCAL6: Final = "fe80::42:acff:fe11:1"

RESOLVER: Final = GATEWAY4
"""What the pause container is given with `--dns`."""

MAC: Final = bytes.fromhex("0242ac110002")
"""Of both ends: neither resolves the other's (NOARP), for nobody would answer for addresses that are owned by a route alone."""

POOL4: Final = ipaddress.IPv4Network("198.18.0.0/15")
POOL6: Final = ipaddress.IPv6Network("fd00:534e:4b00::/64")

NAME_PORTS: Final = frozenset({53, 5353, 5355})
"""DNS (RFC 1035), multicast DNS (RFC 6762), LLMNR (RFC 4795)."""
