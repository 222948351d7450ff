"""What listens on one host of the lab: TCP, UDP and a resolver that answers everything, and a sniffer that sees what came.

Runs as a program in the host's namespace, with the standard library alone. Prints `listening` when all stands, and ends when its standard input does. It writes
a JSON object a line: `tcp`, `udp`, `dns` for what was served, `packet` for each SYN, datagram or echo request that came in
by the sniffed link, whether anything answered it or not.
"""

import argparse
import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

ANSWER, ANSWER6 = "203.0.113.10", "2001:db8:100::1"
IP_PKTINFO = 8
OUTGOING = 4  # PACKET_OUTGOING


@dataclass(frozen=True)
class Log:
    file: TextIO
    lock: threading.Lock

    def write(self, kind: str, **fields: str | int) -> None:
        with self.lock:
            self.file.write(json.dumps({"kind": kind, "time": time.time(), **fields}) + "\n")
            self.file.flush()


def dns_answer(query: bytes) -> tuple[str, bytes]:
    """The name asked for, and an answer that gives every name one address; ValueError where it is no query."""
    labels, at = [], 12
    try:
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode("ascii", "replace"))
            at += query[at] + 1
        (kind,) = struct.unpack(">H", query[at + 1 : at + 3])
    except (IndexError, struct.error) as cut:
        raise ValueError("no query") from cut
    question = query[12 : at + 5]
    address = {1: socket.inet_aton(ANSWER), 28: socket.inet_pton(socket.AF_INET6, ANSWER6)}.get(kind)
    record = b"" if address is None else b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 5, len(address)) + address
    header = query[:2] + b"\x81\x80" + struct.pack(">HHHH", 1, 1 if record else 0, 0, 0)
    return ".".join(labels), header + question + record


def serve_tcp(name: str, port: int, loopback: bool, log: Log) -> None:
    """Names itself to whoever connects, as a banner or as an HTTP answer; on port 53 a resolver."""
    family, address = (socket.AF_INET, "127.0.0.1") if loopback else (socket.AF_INET6, "::")
    server = socket.socket(family)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if not loopback:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    server.bind((address, port))
    server.listen(256)

    def accept() -> None:
        while True:
            connection, peer = server.accept()
            threading.Thread(target=talk, args=(connection, peer[0]), daemon=True).start()

    def talk(connection: socket.socket, peer: str) -> None:
        with connection:
            try:
                connection.settimeout(3)
                log.write("tcp", port=port, source=peer)
                if port == 53:
                    (length,) = struct.unpack(">H", connection.recv(2))
                    asked, answer = dns_answer(connection.recv(length))
                    log.write("dns", name=asked, source=peer)
                    connection.sendall(struct.pack(">H", len(answer)) + answer)
                elif port in (80, 9000, 9001):
                    request = b""
                    while b"\r\n\r\n" not in request and len(request) < 4096 and (more := connection.recv(4096)):
                        request += more
                    body = f"LAB {name} {port}\n".encode()
                    head = f"HTTP/1.0 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                    connection.sendall(head.encode() + body)
                else:
                    connection.sendall(f"LAB {name} {port}\n".encode())
                    connection.recv(256)
            except (OSError, ValueError, struct.error):
                pass

    threading.Thread(target=accept, daemon=True).start()


def serve_udp(name: str, address: str, port: int, forward: str, log: Log) -> None:
    """Echoes each datagram from the address it came to; on port 53 a resolver, which may ask another first."""
    server = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    if ":" in address:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    else:
        server.setsockopt(socket.SOL_IP, IP_PKTINFO, 1)
    server.bind((address, port))

    def receive() -> None:
        while True:
            data, ancillary, _, peer = server.recvmsg(2048, 256)
            to = next((d[8:12] for level, kind, d in ancillary if (level, kind) == (socket.SOL_IP, IP_PKTINFO)), None)

            def reply(answer: bytes, peer: tuple[str, int] = peer, to: bytes | None = to) -> None:
                info = [] if to is None else [(socket.SOL_IP, IP_PKTINFO, struct.pack("=i4s4s", 0, to, bytes(4)))]
                server.sendmsg([answer], info, 0, peer)

            threading.Thread(target=handle, args=(data, peer[0], reply), daemon=True).start()

    def handle(data: bytes, peer: str, reply: Callable[[bytes], None]) -> None:
        try:
            if port == 53 and not data.startswith(b"LABTOK"):
                asked, answer = dns_answer(data)
                log.write("dns", name=asked, source=peer)
                if forward:
                    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as upstream:
                        upstream.settimeout(2)
                        upstream.sendto(data, (forward, 53))
                        answer = upstream.recv(2048)
                reply(answer)
            else:
                log.write("udp", port=port, source=peer, data=data[:80].decode("latin1"))
                reply(f"LAB {name} ".encode() + data)
        except (OSError, ValueError):
            pass  # no query, or no way back: what came in is in the log

    threading.Thread(target=receive, daemon=True).start()


def sniff(link: str, log: Log) -> None:
    """Logs what comes in by the link."""
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    tap.bind((link, 0))

    def watch() -> None:
        while True:
            frame, address = tap.recvfrom(2048)
            if address[2] != OUTGOING:
                try:
                    _packet(frame, log)
                except (IndexError, struct.error, OSError):
                    continue  # a frame cut short says nothing

    threading.Thread(target=watch, daemon=True).start()


def _packet(frame: bytes, log: Log) -> None:
    (ethertype,) = struct.unpack(">H", frame[12:14])
    if ethertype == 0x0800:
        protocol, below = frame[23], frame[14 + (frame[14] & 15) * 4 :]
        source, to = socket.inet_ntoa(frame[26:30]), socket.inet_ntoa(frame[30:34])
    elif ethertype == 0x86DD:
        protocol, below = frame[20], frame[54:]
        source, to = (socket.inet_ntop(socket.AF_INET6, frame[at : at + 16]) for at in (22, 38))
    else:
        return
    fields: dict[str, str | int] = {"source": source, "to": to}
    if protocol == socket.IPPROTO_TCP and below[13] & 0x12 == 2:  # SYN without ACK
        sport, dport = struct.unpack(">HH", below[:4])
        log.write("packet", protocol="tcp", sport=sport, port=dport, **fields)
    elif protocol == socket.IPPROTO_UDP:
        (dport,) = struct.unpack(">H", below[2:4])
        log.write("packet", protocol="udp", port=dport, data=below[8:104].decode("latin1"), **fields)
    elif (protocol, below[0]) in ((socket.IPPROTO_ICMP, 8), (socket.IPPROTO_ICMPV6, 128)):  # echo request
        log.write("packet", protocol="icmp", data=below[8:56].decode("latin1"), **fields)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--name", required=True)
    options.add_argument("--log", type=Path, required=True)
    for ports in ("--tcp", "--tcp-loopback", "--udp"):
        options.add_argument(ports, default="")
    options.add_argument("--sniff", default="")
    options.add_argument("--forward", default="", help="a resolver on the loopback that asks this one")
    given = options.parse_args()
    with given.log.open("a") as file:
        log = Log(file, threading.Lock())
        for port in filter(None, given.tcp.split(",")):
            serve_tcp(given.name, int(port), False, log)
        for port in filter(None, given.tcp_loopback.split(",")):
            serve_tcp(given.name, int(port), True, log)
        for port in filter(None, given.udp.split(",")):
            serve_udp(given.name, "0.0.0.0", int(port), "", log)
            serve_udp(given.name, "::", int(port), "", log)
        if given.forward:
            serve_udp(given.name, "127.0.0.1", 53, given.forward, log)
        for link in filter(None, given.sniff.split(",")):
            sniff(link, log)
        print("listening", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
