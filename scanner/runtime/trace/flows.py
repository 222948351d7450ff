"""Who sent what: the flows that were told, by their two ends."""

import ipaddress
from collections import OrderedDict
from typing import Final

from scanner.model.run import Endpoint
from scanner.runtime.trace.connects import WITH_PORTS, Flow

_NUMBERS: Final = {"icmp": 1, "tcp": 6, "udp": 17, "dccp": 33, "icmp6": 58, "sctp": 132, "udplite": 136}
_LATE = 0.1
"""Seconds by which two clocks, or the reading of one, may differ."""
_EACH = 64
"""Times that are kept of one flow."""

_Key = tuple[int, bytes, int, bytes, int]


class Flows:
    """At most `limit` flows are kept, the latest; `dropped` counts the others."""

    def __init__(self, limit: int) -> None:
        self.dropped = 0
        self._limit = limit
        self._found: OrderedDict[_Key, list[tuple[float, int]]] = OrderedDict()

    def take(self, flow: Flow) -> None:
        key = (flow.protocol, flow.source, flow.source_port, flow.target, flow.target_port)
        times = self._found.setdefault(key, [])
        self._found.move_to_end(key)
        times.append((flow.time, flow.pid))
        if len(times) > _EACH:
            del times[1]  # the first tells who began
        if len(self._found) > self._limit:
            self._found.popitem(last=False)
            self.dropped += 1

    def who(self, protocol: str, source: Endpoint, target: Endpoint, time: float) -> int | None:
        """The process that had sent from `source` to `target` last at that time, the first one if none had; None for nobody known."""
        key = _key(protocol, source, target)
        times = self._found.get(key) if key is not None else None
        if not times:
            return None
        before = [pid for at, pid in times if at <= time + _LATE]
        return before[-1] if before else times[0][1]


def _key(protocol: str, source: Endpoint, target: Endpoint) -> _Key | None:
    number = _NUMBERS.get(protocol)
    if number is None and protocol.startswith("ip-") and protocol[3:].isascii() and protocol[3:].isdigit():
        number = int(protocol[3:])
    ends = _packed(source.address), _packed(target.address)
    if number is None or ends[0] is None or ends[1] is None:
        return None
    ports = (source.port or 0, target.port or 0) if number in WITH_PORTS else (0, 0)
    return number, ends[0], ports[0], ends[1], ports[1]


def _packed(address: str) -> bytes | None:
    """The bytes of an address as they stand in a packet (an IPv4 address in IPv6's clothes travels as IPv4); None for another text."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped.packed
    return found.packed
