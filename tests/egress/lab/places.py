"""Where things lie in the lab: documentation's addresses for the internet, a company's network, a cloud's metadata."""

INTERNET = "203.0.113.10"
INTERNET6 = "2001:db8:100::1"
NAMES = "203.0.113.53"
"""The resolver in the internet, which answers every name with INTERNET."""
OTHER_NAMES = "203.0.113.99"
SPOOFED = "192.0.2.77"
"""An address that is nobody's."""
LAST_NAMES = ("8.8.8.8", "8.8.4.4")
"""What an engine gives containers where its host's resolver is no use to them; the lab's own, like all here."""
ROUTER = "198.51.100.1"
UPLINK = "198.51.100.10"
"""The host's own address towards the internet."""
UPLINK6 = "2001:db8:100::10"
PRIVATE = "10.77.0.1"
SHARED = "100.64.7.1"
"""An address of RFC 6598, behind the same router as PRIVATE."""
PRIVATE6 = "fd00:10:77::1"
CORP_SIDE = "10.77.0.2"
"""The host's own address towards the private network."""
CORP_SIDE6 = "fd00:10:77::2"
METADATA = "169.254.169.254"
METADATA_ELSEWHERE = ("100.100.100.200", "168.63.129.16")
"""Two clouds have theirs in the shared address space, and among the public addresses."""
METADATA6 = "fd00:ec2::254"
META_SIDE = "169.254.169.253"
META_SIDE6 = "fd00:ec2::253"
DOCKER0 = "172.17.0.1"

WORLD_PORTS = (22, 53, 80, 443, 3333)
UDP_PORT = 9999
HOST_PORT = 9000
LOOPBACK_PORT = 9001
"""What the host serves to itself alone."""
