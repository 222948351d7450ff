"""What gets out of a sandbox: tries each probe of a plan. Runs inside the sandbox, with the standard library alone.

The plan is JSON in Base64, the one argument; the results are JSON behind `PROBED` on standard output. A probe's result is
`reached`, or `no:` and why (`no:socket …` where the sandbox may not even ask); whether a packet of it was seen outside, the listeners there know. A probe counts as reached by
the answer alone (`LAB …`), unless it is marked as satisfied by the connection.
"""

import base64
import json
import os
import secrets
import socket
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from errno import errorcode
from pathlib import Path
from typing import Any

Probe = Mapping[str, Any]
CONNECT, ANSWER, PATIENCE = 2.5, 2.5, 2.5
"""Seconds. A SYN is sent again within the first: neither a lost packet nor a busy machine is a closed door."""


def why(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "timeout"
    return errorcode.get(getattr(error, "errno", None) or 0) or f"{type(error).__name__} {error}"[:60]


def read_banner(connection: socket.socket) -> bytes:
    data = b""
    try:
        while len(data) < 4000 and not (b"LAB" in data and data.endswith(b"\n")):
            more = connection.recv(1000)
            if not more:
                break
            data += more
    except OSError:
        pass
    return data


def tcp(probe: Probe) -> str:
    """`silent` speaks first where a banner does not come; `connects` is satisfied by the connection."""
    family, kind, _, _, address = socket.getaddrinfo(probe["host"], probe["port"], type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind) as connection:
        connection.settimeout(CONNECT)
        connection.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", 0))
        probe["found"]["sport"] = connection.getsockname()[1]
        connection.connect(address)
        if probe.get("connects"):
            return "reached"
        connection.settimeout(0.7 if probe["port"] not in (22, 443, 3333) else ANSWER)
        data = read_banner(connection)
        if not data:
            connection.settimeout(ANSWER)
            connection.sendall(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
            data = read_banner(connection)
    return "reached" if b"LAB" in data else f"no:connected, then {data[:60]!r}"


def udp(probe: Probe) -> str:
    family, kind, _, _, address = socket.getaddrinfo(probe["host"], probe["port"], type=socket.SOCK_DGRAM)[0]
    token = probe["token"].encode()
    last = "timeout"
    with socket.socket(family, kind) as endpoint:
        endpoint.settimeout(PATIENCE / 2)
        for _ in range(2):
            try:
                endpoint.sendto(token, address)
                if token in endpoint.recv(2048):
                    return "reached"
            except OSError as error:
                last = why(error)
    return f"no:{last}"


def checksum(data: bytes) -> int:
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return int(~(total + (total >> 16)) & 0xFFFF)


def icmp(probe: Probe) -> str:
    """An echo request with an identity of its own: a tracked connection of an earlier launch must not answer for it."""
    token, identity = probe["token"].encode(), secrets.randbelow(0x10000)
    last = "no:nothing tried"
    for kind in (socket.SOCK_RAW, socket.SOCK_DGRAM):
        try:
            endpoint = socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP)
        except OSError as error:
            last = f"no:socket {why(error)}"
            continue
        with endpoint:
            head = struct.pack(">BBHHH", 8, 0, 0, identity, 1)
            head = struct.pack(">BBHHH", 8, 0, checksum(head + token), identity, 1)
            try:
                endpoint.sendto(head + token, (probe["host"], 0))
                end = time.monotonic() + PATIENCE
                while (left := end - time.monotonic()) > 0:
                    endpoint.settimeout(left)
                    data, peer = endpoint.recvfrom(2048)
                    kind_of = data[(data[0] & 15) * 4] if kind == socket.SOCK_RAW else data[0]
                    if token in data and peer[0] == probe["host"] and kind_of == 0:
                        return "reached"
            except OSError as error:
                return f"no:{why(error)}"
        return "no:timeout"
    return last


def dns(probe: Probe) -> str:
    """Asks `host`, or each resolver that the sandbox is configured with."""
    servers = [probe["host"]] if "host" in probe else nameservers()
    query = struct.pack(">HHHHHH", secrets.randbelow(0x10000), 0x100, 1, 0, 0, 0)
    query += b"".join(bytes([len(label)]) + label.encode() for label in probe["token"].split(".")) + b"\0\0\1\0\1"
    said = []
    for server in servers[:3] or ["127.0.0.1"]:
        try:
            with socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM) as endpoint:
                endpoint.settimeout(PATIENCE)
                endpoint.sendto(query, (server, 53))
                answer = endpoint.recv(2048)
            if answer[6:8] != b"\0\0":
                return "reached"
            said.append(f"{server} code {answer[3] & 15}")
        except OSError as error:
            said.append(f"{server} {why(error)}")
    return f"no:{'; '.join(said)}"


def nameservers() -> list[str]:
    lines = Path("/etc/resolv.conf").read_text().splitlines()
    return [words[1] for words in map(str.split, lines) if len(words) > 1 and words[0] == "nameserver"]


def resolve(probe: Probe) -> str:
    """As programs do it: by the C library."""
    return f"reached:{socket.getaddrinfo(probe['token'], 80, socket.AF_INET)[0][4][0]}"


def host_port(url: str) -> tuple[str, int]:
    host, _, port = url.rpartition("://")[2].rstrip("/").rpartition("@")[2].rpartition(":")
    return host, int(port)


def to_proxy(probe: Probe) -> socket.socket:
    where = probe["proxy"]
    if where.startswith("unix:"):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(4)
        connection.connect(where.removeprefix("unix:"))
    else:
        connection = socket.create_connection(host_port(where), timeout=4)
    connection.settimeout(5)
    return connection


def proxy_get(probe: Probe) -> str:
    with to_proxy(probe) as connection:
        host = probe["host"]
        connection.sendall(f"GET http://{host}/ HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        data = read_banner(connection)
    return "reached" if probe["want"].encode() in data else f"no:{data[:40]!r}"


def proxy_connect(probe: Probe) -> str:
    with to_proxy(probe) as connection:
        host = probe["host"]
        connection.sendall(f"CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head and (more := connection.recv(1)):
            head += more
        if b" 200" not in head[:20]:
            return f"no:{head[:40]!r}"
        if host.endswith((":80", ":9000")):
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        data = read_banner(connection)
    return "reached" if probe["want"].encode() in data else f"no:{data[:40]!r}"


def unix(probe: Probe) -> str:
    """A relay that listens on a Unix socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(4)
        connection.connect(probe["host"])
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        data = read_banner(connection)
    return "reached" if probe["want"].encode() in data else f"no:{data[:40]!r}"


KINDS: Mapping[str, Callable[[Probe], str]] = {
    kind.__name__: kind for kind in (tcp, udp, icmp, dns, resolve, proxy_get, proxy_connect, unix)
}


def tried(probe: Probe) -> dict[str, Any]:
    began = time.time()
    try:
        result = KINDS[probe["kind"]](probe)
    except Exception as error:
        result = f"no:{why(error)}"
    return {"result": result, "began": began, "ended": time.time(), **probe["found"]}


def shell(command: str) -> str:
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=15, check=False)
    return f"{done.returncode} {done.stdout}{done.stderr}"[:2000].strip()


# ---- the engine: does it answer, does it start what it is asked for, and what does that reach


def call(where: str, method: str, path: str, body: Any = None, seconds: float = 8) -> tuple[int, bytes]:
    if where.startswith("/"):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(seconds)
        connection.connect(where)
    else:
        connection = socket.create_connection(host_port(where), timeout=seconds)
    with connection:
        connection.settimeout(seconds)
        content = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.0\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        connection.sendall(head.encode() + content)
        answer = b""
        while more := connection.recv(65536):
            answer += more
    status, _, below = answer.partition(b"\r\n\r\n")
    return int(status.split()[1]), below


def engines(named: Iterable[str]) -> list[str]:
    usual = [
        f"{folder}/docker.sock"
        for folder in ("/var/run", "/run", "/tmp", "/host/var/run", "/host/run", "/hostrun", "/sock")
    ]
    told = os.environ.get("DOCKER_HOST", "")
    if told.startswith(("unix://", "tcp://")):
        usual.append(told.partition("://")[2])
    return list(dict.fromkeys([*usual, *named]))


def ping(where: str) -> str:
    try:
        status, body = call(where, "GET", "/_ping")
    except (OSError, ValueError, IndexError) as error:
        return f"no:{why(error)}"
    return "reached" if status == 200 and body.strip() == b"OK" else f"no:{status}"


REACH = """
import json, socket, sys
found = {}
for name, host, port in json.loads(sys.argv[1]):
    try:
        with socket.create_connection((host, port), timeout=3) as connection:
            connection.settimeout(2)
            if port not in (22, 443, 3333):
                connection.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
            data = b""
            while b"LAB" not in data and (more := connection.recv(300)):
                data += more
        found[name] = "reached" if b"LAB" in data else "no:silent"
    except OSError as error:
        found[name] = "no:" + type(error).__name__
print("REACHED" + json.dumps(found))
"""


def pivot(where: str, image: str, targets: Any) -> dict[str, str]:
    """Has the engine start a container with the host's network; `create`, and what that container reaches."""
    wanted = {
        "Image": image,
        "Cmd": ["python3", "-c", REACH, json.dumps(targets)],
        "HostConfig": {"NetworkMode": "host"},
    }
    try:
        status, body = call(where, "POST", "/v1.41/containers/create", wanted)
        if status != 201:
            return {"create": f"no:{status} {body[:60]!r}"}
        container = f"/v1.41/containers/{json.loads(body)['Id']}"
        try:
            call(where, "POST", f"{container}/start", seconds=20)
            call(where, "POST", f"{container}/wait", seconds=40)
            _, log = call(where, "GET", f"{container}/logs?stdout=1")
        finally:
            call(where, "DELETE", f"{container}?force=1", seconds=20)
        told = log.partition(b"REACHED")[2].split(b"\n")[0]
        return {"create": "reached", **json.loads(told)}
    except (OSError, ValueError, IndexError) as error:
        return {"create": f"no:{why(error)}"}


def enter(pid: int, targets: Any) -> dict[str, str]:
    """Joins the network of a process of the host."""
    done = subprocess.run(
        ["nsenter", "-t", str(pid), "-n", "python3", "-c", REACH, json.dumps(targets)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    told = done.stdout.partition("REACHED")[2]
    return {"enter": "reached", **json.loads(told)} if told else {"enter": f"no:{done.stderr[:100]}"}


def disk(device: str) -> str:
    """Where the engine's socket lies once the host's disk is mounted, or `no:` and why.

    A socket on a file system is the same socket by whatever mount one comes to it.
    """
    folder = Path("/tmp/disk")
    folder.mkdir(exist_ok=True)
    major, minor = device.split(":")
    try:
        os.mknod("/tmp/device", 0o600 | stat.S_IFBLK, os.makedev(int(major), int(minor)))
    except OSError as error:
        return f"no:{why(error)}"
    done = subprocess.run(
        ["mount", "-t", "ext4", "/tmp/device", str(folder)], capture_output=True, text=True, timeout=15, check=False
    )
    return f"{folder}/docker.sock" if done.returncode == 0 else f"no:{done.stderr[:80].strip()}"


def main(plan: Mapping[str, Any]) -> dict[str, Any]:
    results: dict[str, Any] = {}
    commands: dict[str, str] = {}
    for number, phase in enumerate(plan["phases"]):
        if number:
            time.sleep(0.8)  # a late packet of the phase before is not this one's
        if phase.get("before"):
            commands[f"before {phase['name']}"] = shell(phase["before"])
        with ThreadPoolExecutor(phase["at_once"]) as pool:
            probes = [{**probe, "found": {}} for probe in phase["probes"]]
            results |= {probe["id"]: result for probe, result in zip(probes, pool.map(tried, probes), strict=True)}
        if phase.get("after"):
            commands[f"after {phase['name']}"] = shell(phase["after"])
    found: dict[str, Any] = {"probes": results, "commands": commands, "pivots": {}}
    found["engines"] = {where: ping(where) for where in engines(plan["engines"])}
    answering = [where for where, said in found["engines"].items() if said == "reached"]
    if answering:
        found["pivots"]["engine"] = pivot(answering[0], plan["image"], plan["targets"])
    if plan.get("host_pid"):
        found["pivots"]["nsenter"] = enter(plan["host_pid"], plan["targets"])
    if plan.get("disk") and not answering:
        where = disk(plan["disk"])
        found["disk"] = where
        if not where.startswith("no:"):
            found["pivots"]["disk"] = pivot(where, plan["image"], plan["targets"])
            subprocess.run(["umount", "/tmp/disk"], check=False)
    status = Path("/proc/self/status").read_text()
    found["capabilities"] = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff"))
    found["resolv"] = nameservers()
    found["addresses"] = shell("ip -br a; ip r; ip -6 r")
    return found


if __name__ == "__main__":
    print("PROBED" + json.dumps(main(json.loads(base64.b64decode(sys.argv[1])))))
