"""The two ends of the only wire: the sink owns every address there is, the guest finds what Docker's bridge network would give it.

Nothing here has an uplink: the sink's namespace has `lo` and its end of the veth, the guest's `lo` and the other end.
"""

from scanner.runtime.sinkhole import netlink
from scanner.runtime.sinkhole.addresses import (
    GATEWAY4,
    GATEWAY6,
    GATEWAY_LOCAL6,
    GUEST4,
    GUEST6,
    GUEST_LINK,
    GUEST_LOCAL6,
    MAC,
    PREFIX4,
    PREFIX6,
    SINK_LINK,
)

_SINK_SYSCTLS: dict[str, int | str] = {
    "net/ipv4/conf/all/rp_filter": 0,
    f"net/ipv4/conf/{SINK_LINK}/rp_filter": 0,
    "net/ipv4/ip_forward": 0,
    "net/ipv6/conf/all/forwarding": 0,
    # a machine that has switched IPv6 off gives new namespaces the same
    "net/ipv6/conf/all/disable_ipv6": 0,
    "net/ipv6/conf/default/disable_ipv6": 0,
    f"net/ipv6/conf/{SINK_LINK}/disable_ipv6": 0,
    f"net/ipv6/conf/{SINK_LINK}/addr_gen_mode": 1,
    f"net/ipv6/conf/{SINK_LINK}/accept_ra": 0,
    "net/ipv4/icmp_echo_ignore_all": 0,
    "net/ipv4/icmp_echo_ignore_broadcasts": 0,
    "net/ipv4/icmp_ratelimit": 0,
    "net/ipv6/icmp/ratelimit": 0,
    "net/ipv4/ip_unprivileged_port_start": 0,  # answers come from any port, and the capability for it is given up
    "net/core/somaxconn": 65535,
    "net/ipv4/tcp_max_syn_backlog": 65535,
    "net/ipv4/tcp_fin_timeout": 5,
}

_GUEST_SYSCTLS: dict[str, int | str] = {
    f"net/ipv6/conf/{GUEST_LINK}/addr_gen_mode": 1,
    f"net/ipv6/conf/{GUEST_LINK}/accept_ra": 0,
    # Docker's `none` network switches IPv6 off
    "net/ipv6/conf/all/disable_ipv6": 0,
    "net/ipv6/conf/default/disable_ipv6": 0,
    "net/ipv6/conf/lo/disable_ipv6": 0,
    f"net/ipv6/conf/{GUEST_LINK}/disable_ipv6": 0,
    # as Docker sets them for a container with a network of its own
    "net/ipv4/ping_group_range": "0 2147483647",
    "net/ipv4/ip_unprivileged_port_start": 0,
}


def own_everything(guest_namespace: int) -> None:
    """Make the veth, its peer in the guest's namespace, and own every IPv4 and IPv6 address; for the thread's own namespace,
    which is new. The guest's end is down yet. Raises OSError."""
    netlink.add_veth(SINK_LINK, GUEST_LINK, guest_namespace, MAC)
    for name, value in _SINK_SYSCTLS.items():
        netlink.set_sysctl(name, value)
    netlink.set_up("lo")
    netlink.set_up(SINK_LINK, arp=False)
    # single addresses: the network of a longer prefix would be a longer match than 0.0.0.0/0, and its addresses nobody's
    netlink.add_address(SINK_LINK, GATEWAY4, 32)
    netlink.add_address(SINK_LINK, GATEWAY6, 128)
    netlink.add_address(SINK_LINK, GATEWAY_LOCAL6, 128)
    for guest in (f"{GUEST4}/32", f"{GUEST6}/128", f"{GUEST_LOCAL6}/128"):
        netlink.add_route(guest, SINK_LINK, table=netlink.TABLE_LOCAL)
    netlink.add_route("0.0.0.0/0", "lo", local=True, table=netlink.TABLE_LOCAL)
    netlink.add_route("::/0", "lo", local=True, table=netlink.TABLE_LOCAL)
    netlink.add_route("fe80::/10", SINK_LINK, local=True, table=netlink.TABLE_LOCAL)


def connect(guest_namespace: int) -> None:
    """Give the guest its addresses and routes, and wait until packets pass. Raises OSError."""
    netlink.in_namespace(guest_namespace, _guest)
    netlink.wait_until_up(SINK_LINK)


def _guest() -> None:
    for name, value in _GUEST_SYSCTLS.items():
        netlink.set_sysctl(name, value)
    netlink.set_up("lo")
    netlink.set_up(GUEST_LINK, arp=False)
    netlink.add_address(GUEST_LINK, GUEST4, PREFIX4)
    netlink.add_address(GUEST_LINK, GUEST6, PREFIX6)
    netlink.add_address(GUEST_LINK, GUEST_LOCAL6, 64)
    netlink.add_route("0.0.0.0/0", GUEST_LINK, via=GATEWAY4)
    netlink.add_route("::/0", GUEST_LINK, via=GATEWAY6)
    netlink.wait_until_up(GUEST_LINK)
