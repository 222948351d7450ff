"""What is on the wire, whether a socket gets it or not: other protocols, groups, handshakes that nobody finishes.

A packet socket on the sink's end of the veth (packet(7)). The kernel leaves out what need not be looked at: a TCP segment with ACK or
RST belongs to a connection that was seen to begin.
"""

import socket
import struct
from collections.abc import Callable
from typing import Final

from scanner.runtime.sinkhole import netlink
from scanner.runtime.sinkhole.addresses import SINK_LINK
from scanner.runtime.sinkhole.packet import ACK, ETHERNET, RST, Packet, parse

CAPTURED: Final = 640
"""Bytes looked at of each frame: headers, an ICMP error's quotation, the first bytes."""

_ETH_P_ALL = 3
_SOL_PACKET, _PACKET_STATISTICS, _PACKET_IGNORE_OUTGOING = 263, 6, 23
_SO_ATTACH_FILTER, _SO_RCVBUFFORCE = 26, 33
_RECEIVE_BYTES = 64 << 20
_AT_ONCE = 256

_LOAD_HALF, _LOAD_BYTE, _LOAD_BYTE_INDEXED, _LOAD_HEADER_LENGTH = 0x28, 0x30, 0x50, 0xB1
_IF_EQUAL, _IF_ANY_BIT, _RETURN = 0x15, 0x45, 0x06


def packet_socket(receive_bytes: int) -> socket.socket:
    """A packet socket on the sink's link, that does not block and is not bound yet. Raises OSError."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, receive_bytes)
    netlink.stamp(made)
    return made


def listen(tap: socket.socket) -> None:
    """Bind it: packets come from now on. Raises OSError."""
    tap.bind((SINK_LINK, _ETH_P_ALL))


def statistics(tap: socket.socket) -> tuple[int, int]:
    """(packets, those of them that found no room) since it was last asked."""
    packets, drops = struct.unpack("=II", tap.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
    return packets, drops


class Tap:
    """Calls `saw` for each packet that the guest sends, with its time, but for the segments of connections. Raises OSError."""

    def __init__(self, saw: Callable[[Packet, float], None]) -> None:
        self._saw = saw
        self.socket = packet_socket(_RECEIVE_BYTES)
        self.socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        _attach(self.socket, _FILTER)
        listen(self.socket)
        self.dropped = 0

    def read(self) -> bool:
        """Look at some of what waits; whether more may wait."""
        for _ in range(_AT_ONCE):
            try:
                frame, ancillary, _, _ = self.socket.recvmsg(CAPTURED, 64)
            except OSError:
                return False  # nothing waits, or the link is gone
            packet = parse(frame)
            if packet is not None:
                self._saw(packet, netlink.arrival(ancillary))
        return True

    def count(self) -> int:
        """How many found no room, in all."""
        self.dropped += statistics(self.socket)[1]
        return self.dropped


_FLAGS = ACK | RST
_FILTER: Final = (
    # (operation, operand, where true, where false); names are lines
    ("type", _LOAD_HALF, 12, None, None),
    ("", _IF_EQUAL, 0x0800, "ipv4", "not ipv4"),
    ("ipv4", _LOAD_BYTE, ETHERNET + 9, None, None),
    ("", _IF_EQUAL, socket.IPPROTO_TCP, "whole", "keep"),
    ("whole", _LOAD_HALF, ETHERNET + 6, None, None),
    ("", _IF_ANY_BIT, 0x1FFF, "keep", "header"),
    ("header", _LOAD_HEADER_LENGTH, ETHERNET, None, None),
    ("", _LOAD_BYTE_INDEXED, ETHERNET + 13, None, None),
    ("", _IF_ANY_BIT, _FLAGS, "leave", "keep"),
    ("not ipv4", _IF_EQUAL, 0x86DD, "ipv6", "keep"),
    ("ipv6", _LOAD_BYTE, ETHERNET + 6, None, None),
    ("", _IF_EQUAL, socket.IPPROTO_TCP, "flags", "keep"),
    ("flags", _LOAD_BYTE, ETHERNET + 40 + 13, None, None),
    ("", _IF_ANY_BIT, _FLAGS, "leave", "keep"),
    ("keep", _RETURN, CAPTURED, None, None),
    ("leave", _RETURN, 0, None, None),
)


def _attach(tap: socket.socket, lines: tuple[tuple[str, int, int, str | None, str | None], ...]) -> None:
    """Classic BPF (kernel documentation networking/filter). A segment cut off before its flags is left out by the kernel."""
    import ctypes

    at = {name: number for number, (name, *_) in enumerate(lines) if name}
    code = b"".join(
        struct.pack(
            "=HBBI",
            operation,
            at[yes] - number - 1 if yes else 0,
            at[no] - number - 1 if no else 0,
            operand,
        )
        for number, (_, operation, operand, yes, no) in enumerate(lines)
    )
    held = ctypes.create_string_buffer(code, len(code))
    tap.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(lines), ctypes.addressof(held)))
