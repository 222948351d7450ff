"""Four sockets that get every TCP connection and every UDP datagram, whomever they were meant for.

A TCP connection's own address is then the one the guest asked for (getsockname(2)); a datagram's comes with it
(IP_RECVORIGDSTADDR). nf_tables' tproxy leads packets to them, and BPF sk_lookup where a kernel has no tproxy. Neither changes
a packet, needs a mark or a connection table. Sources: kernel documentation networking/tproxy, ip(7), ipv6(7),
include/uapi/linux/netfilter/nf_tables.h.
"""

import os
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from scanner.model.run import Endpoint
from scanner.runtime.sinkhole import netlink, sk_lookup
from scanner.runtime.sinkhole.addresses import BROADCAST4, GATEWAY4, GATEWAY6, GATEWAY_LOCAL6, SINK_LINK
from scanner.runtime.trace.bpf import BpfError

PORT: Final = 15001
"""Where the four sockets lie; any would do, for packets to it are led to them as all others are."""

METHODS: Final = ("nftables tproxy", "BPF sk_lookup")

_IP_TRANSPARENT, _IP_RECVORIGDSTADDR = 19, 20
_IPV6_TRANSPARENT, _IPV6_RECVORIGDSTADDR = 75, 74
_SO_RCVBUFFORCE = 33
_RECEIVE_BYTES = 32 << 20
_EVERY = ""
_TABLE = "sinkhole"
_MANGLE = -150
_GROUPS4 = ("224.0.0.251", "224.0.0.252", "239.255.255.250")
_GROUPS6 = ("ff02::fb", "ff02::1:3", "ff02::c")
"""Multicast DNS, LLMNR, SSDP: what asks there is answered too."""
_PROOF = ("192.0.2.1", "2001:db8::1")


@dataclass(frozen=True, slots=True)
class Catch:
    """The four sockets, and what leads packets to them (descriptors that must stay open)."""

    tcp4: socket.socket
    udp4: socket.socket
    tcp6: socket.socket
    udp6: socket.socket
    groups: tuple[socket.socket, ...]
    held: tuple[int, ...]
    method: str

    def close(self) -> None:
        for open_one in (*self.streams, *self.datagrams, *self.groups):
            open_one.close()
        for descriptor in self.held:
            os.close(descriptor)

    @property
    def streams(self) -> tuple[socket.socket, socket.socket]:
        return self.tcp4, self.tcp6

    @property
    def datagrams(self) -> tuple[socket.socket, socket.socket]:
        return self.udp4, self.udp6


@dataclass(frozen=True, slots=True)
class Datagram:
    """`target` is whom it was meant for; `scope` the link of a link-local source; `time` when it arrived, by the kernel's clock."""

    data: bytes
    source: Endpoint
    target: Endpoint
    scope: int
    time: float


def catch(guest_namespace: int, methods: Iterable[str] = METHODS) -> Catch:
    """The sockets of the calling thread's namespace, with the first of the methods that works, shown by traffic from the guest's.

    Raises OSError that says why none does.
    """
    sockets = tuple(
        open_socket(family, kind, (_EVERY, PORT))
        for family in (socket.AF_INET, socket.AF_INET6)
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)
    )
    tcp4, udp4, tcp6, udp6 = sockets
    groups = _joined()
    refused: list[str] = []
    for method in methods:
        held: tuple[int, ...] = ()
        try:
            if method == METHODS[0]:
                add_table()
            else:
                held = sk_lookup.redirect(tcp4, udp4, tcp6, udp6)
            made = Catch(tcp4, udp4, tcp6, udp6, groups, held, method)
            _prove(made, guest_namespace)
        except (OSError, BpfError) as e:
            refused.append(f"{method}: {e}")
            for descriptor in held:
                os.close(descriptor)
            with suppress(OSError):
                remove_table()
        else:
            return made
    for open_one in (*sockets, *groups):
        open_one.close()
    raise OSError("nothing leads every connection to the sink on this kernel (" + "; ".join(refused) + ")")


def open_socket(family: int, kind: int, address: tuple[str, int] | tuple[str, int, int, int]) -> socket.socket:
    """A transparent socket: it may have an address that is nobody's. Not blocking. Raises OSError."""
    made = socket.socket(family, kind)
    try:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET:
            made.setsockopt(socket.IPPROTO_IP, _IP_TRANSPARENT, 1)
        else:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.setsockopt(socket.IPPROTO_IPV6, _IPV6_TRANSPARENT, 1)
        if kind == socket.SOCK_STREAM:
            made.bind(address)
            made.listen(65535)
        elif address[0] == _EVERY:
            if family == socket.AF_INET:
                made.setsockopt(socket.IPPROTO_IP, _IP_RECVORIGDSTADDR, 1)
            else:
                made.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVORIGDSTADDR, 1)
            made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BYTES)
            netlink.stamp(made)
            made.bind(address)
        else:
            made.bind(address)
    except BaseException:
        made.close()
        raise
    return made


def _joined() -> tuple[socket.socket, ...]:
    """Members of the groups: without one, the kernel takes no multicast of theirs."""
    index = socket.if_nametoindex(SINK_LINK)
    four = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for group in _GROUPS4:
        member = struct.pack("=4s4si", socket.inet_aton(group), bytes(4), index)
        four.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
    six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    for group in _GROUPS6:
        member = struct.pack("=16si", socket.inet_pton(socket.AF_INET6, group), index)
        six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, member)
    return four, six


def receive(datagrams: socket.socket) -> Datagram | None:
    """One datagram; None where the kernel does not say its target. Raises BlockingIOError where none waits, OSError."""
    data, ancillary, _, source = datagrams.recvmsg(65535, 256)
    when = netlink.arrival(ancillary)
    host = Endpoint(source[0].split("%")[0], source[1])
    for level, kind, value in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, _IP_RECVORIGDSTADDR):
            port, address = struct.unpack_from(">H4s", value, 2)
            return Datagram(data, host, Endpoint(socket.inet_ntop(socket.AF_INET, address), port), 0, when)
        if (level, kind) == (socket.IPPROTO_IPV6, _IPV6_RECVORIGDSTADDR):
            port, _, address = struct.unpack_from(">HI16s", value, 2)
            return Datagram(data, host, Endpoint(socket.inet_ntop(socket.AF_INET6, address), port), source[3], when)
    return None


def reply(data: bytes, to: Datagram) -> None:
    """Answer a datagram as if from where it was meant to go; one to a group or to all, from the gateway.

    Raises OSError where the kernel does not take it (too long, no memory).
    """
    address, port = to.target.address, to.target.port or 0
    back, back_port = to.source.address, to.source.port or 0
    if ":" in address:
        if address.startswith("ff"):
            address = GATEWAY_LOCAL6 if back.startswith("fe80:") else GATEWAY6
        link = to.scope if address.startswith("fe80:") else 0
        with open_socket(socket.AF_INET6, socket.SOCK_DGRAM, (address, port, 0, link)) as out:
            out.sendto(data, (back, back_port, 0, to.scope))
        return
    if socket.inet_aton(address)[0] & 0xF0 == 0xE0 or address in ("255.255.255.255", BROADCAST4):
        address = GATEWAY4
    with open_socket(socket.AF_INET, socket.SOCK_DGRAM, (address, port)) as out:
        out.sendto(data, (back, back_port))


def _prove(made: Catch, guest_namespace: int) -> None:
    """A connection and a datagram of each family, to addresses that are nobody's, must come here. Raises OSError."""

    def guest() -> list[socket.socket]:
        opened = []
        for family, address in zip((socket.AF_INET, socket.AF_INET6), _PROOF, strict=True):
            stream = socket.socket(family, socket.SOCK_STREAM)
            opened.append(stream)
            stream.settimeout(2)
            # a connection that is reset leaves nothing in the guest's namespace
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 0))
            stream.connect((address, 9))
            datagram = socket.socket(family, socket.SOCK_DGRAM)
            opened.append(datagram)
            datagram.sendto(b"proof", (address, 9))
        return opened

    opened = netlink.in_namespace(guest_namespace, guest)
    try:
        for listener, address in zip(made.streams, _PROOF, strict=True):
            connection, _ = listener.accept()
            with connection:
                if connection.getsockname()[:2] != (address, 9):
                    raise OSError(f"a connection to {address} came as one to {connection.getsockname()[0]}")
        for datagrams, address in zip(made.datagrams, _PROOF, strict=True):
            got = receive(datagrams)
            if got is None or got.target != Endpoint(address, 9):
                raise OSError(f"a datagram to {address} did not come")
    finally:
        for one in opened:
            one.close()


_NEW_TABLE, _DELETE_TABLE, _NEW_CHAIN, _NEW_RULE, _BATCH_BEGIN, _BATCH_END = 0, 2, 3, 6, 0x10, 0x11
_NF_TABLES = 10
_INET = 1
_APPEND = 0x800


def add_table() -> None:
    """The table of the calling thread's namespace: TCP and UDP that come in on the sink's link go to PORT's sockets.

    Raises OSError.
    """
    table, chain = netlink.text(1, _TABLE), "prerouting"
    hook = netlink.nested(4, _number(1, 0), _number(2, _MANGLE))
    messages = [
        (_NEW_TABLE, netlink.CREATE | netlink.EXCLUSIVE, table, "make an nftables table"),
        (
            _NEW_CHAIN,
            netlink.CREATE | netlink.EXCLUSIVE,
            table + netlink.text(3, chain) + hook + netlink.text(7, "filter"),
            "make an nftables chain",
        ),
    ]
    for protocol in (socket.IPPROTO_TCP, socket.IPPROTO_UDP):
        rule = netlink.nested(4, *(netlink.nested(1, expression) for expression in _rule(protocol)))
        body = table + netlink.text(2, chain) + rule
        messages.append((_NEW_RULE, netlink.CREATE | _APPEND, body, "make an nftables tproxy rule"))
    _batch(messages)


def remove_table() -> None:
    """Raises OSError where there is none."""
    _batch([(_DELETE_TABLE, 0, netlink.text(1, _TABLE), "remove the nftables table")])


def _rule(protocol: int) -> tuple[bytes, ...]:
    """`iifname vsink meta l4proto PROTOCOL tproxy to :PORT accept`."""
    link, name = 6, SINK_LINK.encode().ljust(16, b"\0")
    layer4 = 16
    return (
        _expression("meta", _number(2, link), _number(1, 1)),
        _expression("cmp", _number(1, 1), _number(2, 0), netlink.nested(3, netlink.attribute(1, name))),
        _expression("meta", _number(2, layer4), _number(1, 1)),
        _expression("cmp", _number(1, 1), _number(2, 0), netlink.nested(3, netlink.attribute(1, bytes([protocol])))),
        _expression("immediate", _number(1, 1), netlink.nested(2, netlink.attribute(1, struct.pack(">H", PORT)))),
        _expression("tproxy", _number(1, 0), _number(3, 1)),  # either family, the port of register 1
        _expression("immediate", _number(1, 0), netlink.nested(2, netlink.nested(2, _number(1, 1)))),  # accept
    )


def _expression(name: str, *attributes: bytes) -> bytes:
    return netlink.text(1, name) + netlink.nested(2, *attributes)


def _number(kind: int, value: int) -> bytes:
    """nf_tables has its numbers in the network's order."""
    return netlink.attribute(kind, struct.pack(">i", value))


def _batch(messages: list[tuple[int, int, bytes, str]]) -> None:
    """All of it or nothing: nf_tables takes its changes in a batch."""
    around = struct.pack(">BBH", socket.AF_UNSPEC, 0, _NF_TABLES)
    sent = [netlink.message(_BATCH_BEGIN, 0, around, 0)]
    asked = {}
    for sequence, (kind, flags, body, what) in enumerate(messages, 1):
        whole = struct.pack(">BBH", _INET, 0, 0) + body
        sent.append(netlink.message(_NF_TABLES << 8 | kind, netlink.ACKNOWLEDGE | flags, whole, sequence))
        asked[sequence] = what
    sent.append(netlink.message(_BATCH_END, 0, around, len(messages) + 1))
    with netlink.Netlink(netlink.NETLINK_NETFILTER) as nfnetlink:
        nfnetlink.send_all(sent, asked)
