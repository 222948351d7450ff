"""A network namespace's addresses, routes, resolver and firewall (proc_net(5), resolv.conf(5), fib_trie: kernel documentation,
networking/fib_trie), read from outside."""

import ipaddress
import os
import re
import select
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from scanner.model.run import Namespace
from scanner.model.text import printable
from scanner.runtime.procfs.inside import Root
from scanner.runtime.procfs.namespaces import within
from scanner.runtime.procfs.reading import Missed, ProcessFolder

_TABLE, _RESOLV, _RULES = 4 << 20, 64 << 10, 1 << 20
_ROUTES, _ADDRESSES, _NAMES = 1000, 500, 32
_SECONDS = 10
_UP, _REJECT = 0x0001, 0x0200
_PATH = "/usr/sbin:/sbin:/usr/local/sbin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True)
class Route:
    """`to` is a network in CIDR form; `via` None where whoever is meant is on the link; `device` empty for a rejecting one."""

    to: str
    via: str | None
    device: str
    metric: int

    def __str__(self) -> str:
        to = "default" if self.to in ("0.0.0.0/0", "::/0") else self.to
        via = f" via {self.via}" if self.via else ""
        where = f" dev {self.device}" if self.device else " unreachable"
        return f"{to}{via}{where}" + (f" metric {self.metric}" if self.metric else "")


_ROUTE = re.compile(
    r"^(\S{1,15})\t([0-9A-F]{8})\t([0-9A-F]{8})\t([0-9A-F]{4})\t\d+\t\d+\t(\d+)\t([0-9A-F]{8})\t", re.MULTILINE
)


def routes4(data: bytes) -> Iterator[Route]:
    """net/route: the main table. Addresses are words as the machine keeps them."""
    for device, to, via, flags, metric, mask in _ROUTE.findall(data.decode("ascii", "replace")):
        if int(flags, 16) & _UP:
            length = int.from_bytes(struct.pack("=I", int(mask, 16)), "big").bit_count()
            rejects = int(flags, 16) & _REJECT
            gateway = _four(via) if int(via, 16) else None
            yield Route(f"{_four(to)}/{length}", gateway, "" if rejects else device, int(metric))


def _four(word: str) -> str:
    return socket.inet_ntop(socket.AF_INET, struct.pack("=I", int(word, 16)))


_ROUTE6 = re.compile(
    r"^([0-9a-f]{32}) ([0-9a-f]{2}) [0-9a-f]{32} [0-9a-f]{2} ([0-9a-f]{32}) ([0-9a-f]{8}) [0-9a-f]{8} [0-9a-f]{8} ([0-9a-f]{8}) +(\S{1,15})$",
    re.MULTILINE,
)
_LOCAL, _CACHED = 0x80000000, 0x01000000


def routes6(data: bytes) -> Iterator[Route]:
    """net/ipv6_route, without the addresses of the namespace itself, multicast and what is only remembered."""
    for to, length, via, metric, flags, device in _ROUTE6.findall(data.decode("ascii", "replace")):
        number = int(flags, 16)
        if not number & _UP or number & (_LOCAL | _CACHED) or to.startswith("ff"):
            continue
        gateway = _six(via) if int(via, 16) else None
        rejects = number & _REJECT
        if rejects and device == "lo" and not int(to, 16):
            continue  # what every namespace ends its table with
        yield Route(f"{_six(to)}/{int(length, 16)}", gateway, "" if rejects else device, int(metric, 16))


def _six(digits: str) -> str:
    return socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits))


_ADDRESS6 = re.compile(
    r"^([0-9a-f]{32}) [0-9a-f]{1,8} ([0-9a-f]{2}) [0-9a-f]{2} [0-9a-f]{2} +(\S{1,15})$", re.MULTILINE
)


def addresses6(data: bytes) -> Iterator[str]:
    """net/if_inet6: `DEVICE ADDRESS/LENGTH`."""
    for digits, length, device in _ADDRESS6.findall(data.decode("ascii", "replace")):
        yield f"{device} {_six(digits)}/{int(length, 16)}"


def addresses4(trie: bytes, known: Iterable[Route]) -> Iterator[str]:
    """Own addresses of net/fib_trie, with the device and length of the network on the link that holds them."""
    links = [(ipaddress.ip_network(r.to, strict=False), r.device) for r in known if r.via is None and r.device]
    links = [one for one in links if one[0].prefixlen]
    seen: dict[str, None] = {}
    last = ""
    for line in trie.decode("ascii", "replace").split("\n"):
        text = line.strip()
        if text.startswith("|-- "):
            last = text[4:]
        elif text == "/32 host LOCAL" and last:
            seen.setdefault(last)
    for text in seen:
        try:
            address = ipaddress.IPv4Address(text)
        except ValueError:
            continue
        around = [(net, device) for net, device in links if net.version == 4 and address in net]
        if address.is_loopback:
            yield f"lo {address}/8"
        elif around:
            net, device = max(around, key=lambda one: one[0].prefixlen)
            yield f"{device} {address}/{net.prefixlen}"
        else:
            yield f"? {address}/32"


_DEVICE = re.compile(r"^ *([^\s:]{1,15}(?::[^\s:]{1,15})?):", re.MULTILINE)


def devices(data: bytes) -> tuple[str, ...]:
    """Names of interfaces in net/dev."""
    return tuple(_DEVICE.findall(data.decode("ascii", "replace").replace("\r", " ")))


def resolver(data: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(name servers, search list) of /etc/resolv.conf; the last `search` or `domain` counts."""
    servers: list[str] = []
    search: tuple[str, ...] = ()
    for line in data.decode("utf-8", "backslashreplace").split("\n"):
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            servers.append(printable(words[1], 100))
        elif len(words) > 1 and words[0] in ("search", "domain"):
            search = tuple(printable(word, 255) for word in words[1 : _NAMES + 1])
    return tuple(servers[:_NAMES]), search


def look(pid: int, missed: Missed) -> Namespace | None:
    """The network namespace of a process; None where it has ended."""
    try:
        with ProcessFolder(pid, missed) as folder:
            return _look(folder, missed)
    except ProcessLookupError:
        return None


def _look(folder: ProcessFolder, missed: Missed) -> Namespace:
    routes = list(routes4(folder.read("net/route", _TABLE) or b""))
    routes6_ = list(routes6(folder.read("net/ipv6_route", _TABLE) or b""))
    addresses = [
        *addresses4(folder.read("net/fib_trie", _TABLE) or b"", routes),
        *addresses6(folder.read("net/if_inet6", _TABLE) or b""),
    ]
    bearing = {one.partition(" ")[0] for one in addresses}
    bare = [name for name in devices(folder.read("net/dev", _TABLE) or b"") if name not in bearing]
    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    try:
        with Root(folder) as root:
            if root.problem:
                missed.say("the resolver's files", root.problem)
            servers, search = resolver(root.read(b"etc/resolv.conf", _RESOLV) or b"")
    except OSError:
        pass
    return Namespace(
        interfaces=tuple([*addresses, *bare][:_ADDRESSES]),
        routes=tuple(str(one) for one in [*routes, *routes6_][:_ROUTES]),
        resolvers=servers,
        search=search,
        firewall=_firewall(folder, missed),
    )


def _firewall(folder: ProcessFolder, missed: Missed) -> str | None:
    """The namespace's rules as this machine's own programs print them; the container's are not run.

    iptables' older tables are asked for only where the namespace has some: asking makes them.
    """
    what = "the firewall"
    namespace = folder.open("ns/net", os.O_RDONLY, what)
    if namespace is None:
        return None
    try:
        texts = []
        nft = shutil.which("nft", path=_PATH)
        wanted = [] if nft is None else [[nft, "list", "ruleset"]]
        for tables, names in (
            ("ip_tables_names", ("iptables-legacy-save", "iptables-save")),
            ("ip6_tables_names", ("ip6tables-legacy-save", "ip6tables-save")),
        ):
            has = folder.read(f"net/{tables}", 4096)
            program = next((p for p in (shutil.which(n, path=_PATH) for n in names) if p is not None), None)
            if (has or nft is None) and program is not None:
                wanted.append([program])
            elif has:
                missed.say(what, f"it has rules of iptables, and {names[1]} is not installed on this machine")
                return None
        if not wanted:
            missed.say(what, "neither nft nor iptables-save is installed on this machine")
            return None
        for command in wanted:
            text = within(namespace, lambda command=command: _output(command))  # type: ignore[misc]
            if text:
                texts.append(text)
        return "\n".join(texts)
    except PermissionError:
        missed.say(what, "only root may join its network namespace")
    except OSError as e:
        missed.say(what, e.strerror or str(e))
    finally:
        os.close(namespace)
    return None


def _output(command: list[str]) -> str:
    """What a program prints, in bounded time and size. Raises OSError where it fails or takes too much."""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PATH": _PATH, "LC_ALL": "C"},
    ) as process:
        assert process.stdout is not None, "it was asked for"
        data, end = bytearray(), time.monotonic() + _SECONDS
        descriptor = process.stdout.fileno()
        while len(data) <= _RULES:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, end - time.monotonic()))
            part = os.read(descriptor, 64 << 10) if ready else None
            if not part:
                break
            data += part
        else:
            part = None
        if part is None:
            process.kill()
            raise OSError(f"{command[0]} printed more than {_RULES} bytes, or took longer than {_SECONDS} s")
        assert process.stderr is not None, "it was asked for"
        said = process.stderr.read(2000)
        try:
            code = process.wait(_SECONDS)
        except subprocess.TimeoutExpired as e:
            process.kill()
            raise OSError(f"{command[0]} does not end") from e
        if code:
            raise OSError(f"{command[0]} failed: {printable(said)}")
    return data.decode("utf-8", "backslashreplace")
