"""Links, addresses and routes by netlink, what else the kernel is asked about packets, and threads in another network namespace.

What is asked is done in the network namespace of the thread that asks. Formats: netlink(7), rtnetlink(7), veth(4), include/uapi/linux/if_link.h.
"""

import ctypes
import fcntl
import ipaddress
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, TypeVar

NETLINK_ROUTE: Final = 0
NETLINK_NETFILTER: Final = 12

REQUEST: Final = 0x1
ACKNOWLEDGE: Final = 0x4
CREATE: Final = 0x400
EXCLUSIVE: Final = 0x200

_ERROR = 2
_NEW_LINK, _DELETE_LINK, _GET_LINK, _NEW_ADDRESS, _NEW_ROUTE = 16, 17, 18, 20, 24
_LINK_ADDRESS, _LINK_NAME, _LINK_MTU, _LINK_OPERSTATE, _LINK_INFO, _LINK_NAMESPACE = 1, 3, 4, 16, 18, 28
_INFO_KIND, _INFO_DATA = 1, 2
_VETH_PEER = 1
_OPERSTATE_UP = 6
_SIOCGIFFLAGS = 0x8913
_SO_TIMESTAMPNS = 35
_TIME = struct.Struct("@qq")
_IFF_UP, _IFF_NOARP = 0x1, 0x80
_NO_DUPLICATE_CHECK = 0x02
_TABLE_MAIN, TABLE_LOCAL = 254, 255
_BY_BOOT = 3
_UNICAST, LOCAL = 1, 2
_SCOPE_GLOBAL, _SCOPE_LINK, _SCOPE_HOST = 0, 253, 254
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_NESTED = 0x8000

_CLONE_NEWNET = 0x40000000

T = TypeVar("T")


def unshare_network() -> None:
    """The calling thread is in a new network namespace from now on. Raises OSError."""
    _checked(_libc().unshare(_CLONE_NEWNET), "make a network namespace")


def in_namespace(namespace: int, function: Callable[[], T]) -> T:
    """`function()` in a thread of its own that has joined the network namespace behind that descriptor.

    Raises what the function raises, OSError where the namespace cannot be joined.
    """
    return _in_thread(lambda: _checked(_libc().setns(namespace, _CLONE_NEWNET), "join a network namespace"), function)


def in_new_namespace(function: Callable[[], T]) -> T:
    """`function()` in a thread of its own, in a new network namespace that ends with it. Raises as `in_namespace`."""
    return _in_thread(unshare_network, function)


def _in_thread(enter: Callable[[], None], function: Callable[[], T]) -> T:
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            enter()
            results.append(function())
        except BaseException as e:  # it is raised again by the thread that waits
            errors.append(e)

    # a namespace is a thread's own: this one ends, so that none is ever left standing in the wrong one
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot {what}: {os.strerror(number)}")


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute with its padding."""
    size = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(size, kind) + value + bytes(-size % 4)


def nested(kind: int, *inside: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | _NESTED, b"".join(inside))


def text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def number(kind: int, value: int) -> bytes:
    """32 bits in the machine's order, as rtnetlink has them (nf_tables: the network's)."""
    return attribute(kind, struct.pack("=I", value))


def message(kind: int, flags: int, body: bytes, sequence: int) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, REQUEST | flags, sequence, 0) + body


class Netlink(AbstractContextManager["Netlink"]):
    """A netlink socket of one protocol, in the namespace of the thread that opened it."""

    def __init__(self, protocol: int) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.settimeout(5)
        self._socket.bind((0, 0))

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, kind: int, flags: int, body: bytes, what: str) -> bytes:
        """Send one message; the answer's body, b"" for an acknowledgement. Raises OSError that says `what` was refused."""
        self._socket.send(message(kind, flags, body, 1))
        data = self._socket.recv(1 << 16)
        size, answered = struct.unpack_from("=IH", data)
        if answered == _ERROR:
            _raise(struct.unpack_from("=i", data, _HEADER.size)[0], what)
            return b""
        return data[_HEADER.size : size]

    def send_all(self, messages: Iterable[bytes], acknowledged: Mapping[int, str]) -> None:
        """Send messages as one; `acknowledged` says by sequence number which are answered, and what each is for.

        Raises OSError for the first that is refused.
        """
        self._socket.send(b"".join(messages))
        waiting = dict(acknowledged)
        while waiting:
            data = self._socket.recv(1 << 16)
            at = 0
            while at + _HEADER.size <= len(data):
                size, kind, _, sequence, _ = _HEADER.unpack_from(data, at)
                if kind == _ERROR:
                    _raise(
                        struct.unpack_from("=i", data, at + _HEADER.size)[0], acknowledged.get(sequence, "send a batch")
                    )
                    waiting.pop(sequence, None)
                at += max(_HEADER.size, size + 3 & ~3)


def _raise(code: int, what: str) -> None:
    if code:
        raise OSError(-code, f"cannot {what}: {os.strerror(-code)}")


def _link(index: int = 0, flags: int = 0, change: int = 0) -> bytes:
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, flags, change)


def add_veth(name: str, peer: str, peer_namespace: int, mac: bytes, mtu: int = 1500) -> None:
    """A pair of links: `name` here, `peer` in the namespace behind that descriptor; both down, both with the same address.

    Raises OSError.
    """

    def side(link: str) -> bytes:
        return text(_LINK_NAME, link) + attribute(_LINK_ADDRESS, mac) + number(_LINK_MTU, mtu)

    other = attribute(_VETH_PEER, _link() + side(peer) + number(_LINK_NAMESPACE, peer_namespace))
    kind = nested(_LINK_INFO, text(_INFO_KIND, "veth"), nested(_INFO_DATA, other))
    _route(_NEW_LINK, CREATE | EXCLUSIVE, _link() + side(name) + kind, f"make the links {name} and {peer}")


def delete_link(name: str) -> None:
    """The other end of a veth goes with it. Raises OSError."""
    _route(_DELETE_LINK, 0, _link(socket.if_nametoindex(name)), f"delete {name}")


def set_up(name: str, arp: bool = True) -> None:
    """Bring a link up; without `arp` no neighbour is ever looked for. Raises OSError."""
    flags = _IFF_UP | (0 if arp else _IFF_NOARP)
    _route(_NEW_LINK, 0, _link(socket.if_nametoindex(name), flags, _IFF_UP | _IFF_NOARP), f"bring {name} up")


def wait_until_up(name: str, seconds: float = 5) -> None:
    """Until packets pass: up is what was asked for, the operational state what is (RFC 2863). Raises TimeoutError, OSError."""
    deadline = time.monotonic() + seconds
    while not passes(name):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{name} does not come up within {seconds} seconds")
        time.sleep(0.001)


def passes(name: str) -> bool:
    """Whether packets pass a link now: both ends of a veth are up. Raises OSError where there is no such link."""
    with Netlink(NETLINK_ROUTE) as netlink:
        data = netlink.ask(_GET_LINK, 0, _link(socket.if_nametoindex(name)), f"look at {name}")
    at = len(_link())
    while at + _ATTRIBUTE.size <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, at)
        if kind == _LINK_OPERSTATE:
            return data[at + _ATTRIBUTE.size] == _OPERSTATE_UP
        at += max(_ATTRIBUTE.size, size + 3 & ~3)
    return False


def links_up() -> tuple[str, ...]:
    """The links of the thread's network namespace that are up. Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        names = [name for _, name in socket.if_nameindex()]
        return tuple(n for n in names if _flags(asked, n) & _IFF_UP)


def _flags(asked: socket.socket, name: str) -> int:
    request = fcntl.ioctl(asked, _SIOCGIFFLAGS, struct.pack("=16sH22x", name.encode(), 0))
    flags: int = struct.unpack_from("=H", request, 16)[0]
    return flags


def add_address(name: str, address: str, prefix: int) -> None:
    """IPv6 addresses are there at once, without a search for duplicates (RFC 4862, 5.4). Raises OSError."""
    ip = ipaddress.ip_address(address)
    scope = _SCOPE_LINK if ip.is_link_local else _SCOPE_GLOBAL
    flags = _NO_DUPLICATE_CHECK if ip.version == 6 else 0
    body = struct.pack("=BBBBI", _family(ip), prefix, flags, scope, socket.if_nametoindex(name))
    body += attribute(2, ip.packed) + attribute(1, ip.packed)
    if ip.version == 4 and prefix < 31:
        body += attribute(4, ipaddress.IPv4Network((int(ip), prefix), strict=False).broadcast_address.packed)
    _route(_NEW_ADDRESS, CREATE | EXCLUSIVE, body, f"give {name} the address {address}")


def add_route(network: str, link: str, via: str | None = None, local: bool = False, table: int = _TABLE_MAIN) -> None:
    """`local`: every address of the network is this machine's own. Raises OSError."""
    to = ipaddress.ip_network(network)
    scope = _SCOPE_HOST if local else _SCOPE_LINK
    if to.version == 6 or via is not None:
        scope = _SCOPE_GLOBAL
    family = socket.AF_INET if to.version == 4 else socket.AF_INET6
    kind = LOCAL if local else _UNICAST
    body = struct.pack("=BBBBBBBBI", family, to.prefixlen, 0, 0, table, _BY_BOOT, scope, kind, 0)
    body += number(15, table) + number(4, socket.if_nametoindex(link))
    if to.prefixlen:
        body += attribute(1, to.network_address.packed)
    if via is not None:
        body += attribute(5, ipaddress.ip_address(via).packed)
    _route(_NEW_ROUTE, CREATE, body, f"route {network} to {link}")


def set_sysctl(name: str, value: int | str) -> None:
    """Write `/proc/sys/NAME`; what is under `net` is the calling thread's network namespace. Raises OSError."""
    try:
        Path("/proc/sys", name).write_text(str(value), "ascii")
    except OSError as e:
        raise OSError(e.errno, f"cannot set {name.replace('/', '.')} to {value}: {e.strerror}") from e


def stamp(receiver: socket.socket) -> None:
    """Have the kernel say when each packet arrived: socket(7), SO_TIMESTAMPNS. Raises OSError."""
    receiver.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)


def arrival(ancillary: Iterable[tuple[int, int, bytes]]) -> float:
    """When a packet of a stamped socket arrived, in seconds since the epoch; now where the kernel does not say."""
    for level, kind, value in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS) and len(value) == _TIME.size:
            seconds, nanoseconds = _TIME.unpack(value)
            return float(seconds + nanoseconds / 1e9)
    return time.time()


def _family(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> int:
    return socket.AF_INET if ip.version == 4 else socket.AF_INET6


def _route(kind: int, flags: int, body: bytes, what: str) -> None:
    with Netlink(NETLINK_ROUTE) as netlink:
        netlink.ask(kind, ACKNOWLEDGE | flags, body, what)
