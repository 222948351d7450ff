"""Compose projects made up at random, and what `docker compose config` makes of them (no engine is asked).

More of them: `python -m tests.launch.compose_oracle --count N --seed S`; `--golden N` records cases with what Compose said.
The program is `docker-compose` on the PATH, or SANDSCAN_TEST_COMPOSE.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from scanner.errors import ScannerError
from scanner.launch.compose import read
from scanner.launch.plugin import Input, ReadOptions
from scanner.model.launch import Container, Launch, MountKind, Network

GOLDEN = Path(__file__).parent / "data" / "compose_golden.json"
HOME = "/home/tester"


def program() -> str | None:
    """Where Compose v2 is; None if it is not installed."""
    found = os.environ.get("SANDSCAN_TEST_COMPOSE") or shutil.which("docker-compose")
    if found is None:
        return None
    version = subprocess.run([found, "version"], capture_output=True, text=True, check=False).stdout
    return found if "Docker Compose" in version else None


# ---- writing YAML


class Plain(str):
    """Text that stands in the file as it is."""

    __slots__ = ()


@dataclass(frozen=True)
class Tagged:
    tag: str
    value: Any


def yaml_text(value: Any, indent: int = 0) -> str:
    pad = "  " * indent
    if isinstance(value, Tagged):
        inner = yaml_text(value.value, indent)
        return f" {value.tag}{inner}"
    if isinstance(value, dict):
        if not value:
            return " {}\n"
        lines = [f"{pad}{_key(k)}:{yaml_text(v, indent + 1)}" for k, v in value.items()]
        return "\n" + "".join(lines)
    if isinstance(value, list):
        if not value:
            return " []\n"
        return "\n" + "".join(f"{pad}-{yaml_text(v, indent + 1)}" for v in value)
    if isinstance(value, Plain):
        return f" {value}\n"
    return f" {json.dumps(value)}\n"


def _key(key: str) -> str:
    return (
        key
        if re.fullmatch(r"[A-Za-z_][\w.-]*", key) and key.lower() not in ("yes", "no", "on", "off")
        else json.dumps(key)
    )


# ---- making projects up


@dataclass(frozen=True)
class Case:
    """`files` by name, `given` those named with -f, in order."""

    files: Mapping[str, str]
    given: tuple[str, ...]
    environment: Mapping[str, str]
    profiles: tuple[str, ...] = ()


_VARIABLES = ("TAG", "MODE", "FLAG", "DIR", "EMPTY", "PORT", "NET")
_ENVIRONMENT = {
    "TAG": "1.2",
    "MODE": "bridge",
    "FLAG": "true",
    "DIR": "./data",
    "EMPTY": "",
    "PORT": "8080",
    "NET": "front",
}


class Maker:
    """One random project."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.services = rng.sample(["web", "db", "agent", "proxy", "tool"], rng.randint(1, 4))
        self.networks = rng.sample(["front", "back", "lan", "default"], rng.randint(0, 3))
        self.volumes = rng.sample(["data", "cache", "bound"], rng.randint(0, 3))
        self.configs = rng.sample(["conf", "rules"], rng.randint(0, 2))
        self.secrets = rng.sample(["key", "token"], rng.randint(0, 2))

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def one(self, *choices: Any) -> Any:
        return self.rng.choice(choices)

    def some(self, choices: Sequence[Any], most: int = 3) -> list[Any]:
        return self.rng.sample(list(choices), self.rng.randint(1, min(most, len(choices))))

    def word(self, text: str) -> str:
        """The text, or an interpolation that gives something alike."""
        if self.chance(0.75):
            return text
        return str(
            self.one(
                "${TAG}",
                "x$TAG",
                "${TAG:-" + text + "}",
                "${UNSET_1:-" + text + "}",
                "${UNSET_2-" + text + "}",
                "${EMPTY:-" + text + "}",
                "${EMPTY-" + text + "}",
                "${TAG:+" + text + "}",
                "${EMPTY:+" + text + "}x",
                "${TAG+" + text + "}",
                "${UNSET_1:-${TAG}-" + text + "}",
                "${UNSET_1:-${UNSET_2:-" + text + "}}${TAG:?no}",
                "$$" + text + "$${TAG}",
                '${UNSET_3:-{"a": "${TAG}"}}',
                "${TAG:?needs}" + text,
                "${TAG?needs $$}",
            )
        )

    def flag(self) -> Any:
        return self.one(
            True, False, "true", "false", Plain("yes"), Plain("no"), Plain("on"), Plain("Off"), Plain("True"), "YES",
            "${FLAG}", "${UNSET_1:-false}",
        )  # fmt: skip

    def scalar(self) -> Any:
        return self.one(
            "a", "b c", 1, 0, 1.5, Plain("1.0"), Plain("1e3"), Plain("0x1F"), Plain("010"), Plain("yes"), True, False,
            "", "x=y", "a#b", "it's", "1_000", Plain("1_000"), Plain("~"), Plain("12345678901234567890"), Plain(".5"),
            Plain("1e-7"), Plain("-3"), Plain("1.50"), Plain("0o17"), Plain("True"),
        )  # fmt: skip

    def pairs(self, names: Sequence[str], null: bool = True) -> Any:
        chosen = self.some(names, 4)
        if self.chance(0.5):
            return {
                n: None if null and self.chance(0.15) else (self.word("v") if self.chance(0.3) else self.scalar())
                for n in chosen
            }
        return [
            n if null and self.chance(0.15) else f"{n}={self.word(self.one('a', '', 'b=c', 'x y'))}" for n in chosen
        ]

    def ports(self) -> list[Any]:
        choices = [
            "80", 90, "8080:80", "127.0.0.1:8443:443", "7000-7002:7000-7002", "53:53/udp", "[::1]:9090:90", "6000-6005:60",
            "${PORT}:81", "${PORT:-9}:82/tcp", "127.0.0.1::5000", "3000-3002", "0.0.0.0:8080:80", Plain("8081:81"),
            {"target": 80}, {"target": 80, "published": "8080"}, {"target": 443, "published": 8443, "host_ip": "127.0.0.1"},
            {"target": 53, "published": "53", "protocol": "udp", "mode": "host"}, {"target": "90", "published": "9000-9010"},
        ]  # fmt: skip
        return _distinct(self.some(choices, 4))

    def mounts(self) -> list[Any]:
        choices: list[Any] = [
            "./src:/src", "./src:/src:ro", "../up:/up", "/etc/hosts:/etc/hosts:ro,z", "~/keys:/keys", "/anon", "/a/b/../c/",
            "./tinyproxy.conf:/etc/tinyproxy/tinyproxy.conf:ro", "${DIR}:/data", "/var/run/docker.sock:/var/run/docker.sock",
            "/opt:/opt:rshared", "${DIR:-./x}/y:/y:rw", "${UNSET_1:-/srv}:/srv",
            {"type": "bind", "source": "./long", "target": "/long"},
            {"type": "bind", "source": "/", "target": "/host", "read_only": self.flag(), "bind": {"propagation": "rslave"}},
            {"type": "tmpfs", "target": "/scratch", "tmpfs": {"size": 1000}},
            {"type": "volume", "target": "/void", "volume": {"nocopy": True}},
        ]  # fmt: skip
        for name in self.volumes:
            choices += [
                f"{name}:/{name}",
                f"{name}:/srv/{name}:ro",
                {"type": "volume", "source": name, "target": f"/{name}"},
            ]
        return _distinct(self.some(choices, 4))

    def grants(self, names: Sequence[str]) -> list[Any]:
        found: list[Any] = []
        for name in self.some(names, 2):
            found.append(
                self.one(name, {"source": name}, {"source": name, "target": self.one("/etc/x", "inner"), "mode": 0o440})
            )
        return found

    def service_networks(self) -> Any:
        known = list(self.networks) or ["default"]
        chosen = self.some(known, 3)
        if self.chance(0.5):
            return chosen
        how: list[Any] = [
            None, {}, {"aliases": ["one", "two"]}, {"ipv4_address": "172.30.0.9"}, {"priority": 10, "aliases": ["x"]},
            {"ipv6_address": "fd00::9", "ipv4_address": "${UNSET_1:-10.0.0.2}"},
        ]  # fmt: skip
        return {n: self.one(*how) for n in chosen}

    def service(self, whole: bool, others: Sequence[str]) -> dict[str, Any]:
        """A service; one that is not `whole` overrides another."""
        service: dict[str, Any] = {}
        if whole or self.chance(0.3):
            service["image"] = self.word("alpine:3")
        parts: list[tuple[float, str, Any]] = [
            (0.1, "build", lambda: self.one(".", {"context": "./b", "args": {"A": "1"}}, {"args": ["B=2", "A=3"]})),
            (0.3, "environment", lambda: self.pairs(("A", "B", "HTTP_PROXY", "TAG", "UNSET_9"))),
            (0.15, "labels", lambda: self.pairs(("l.a", "l.b", "l.c"))),
            (0.3, "ports", self.ports),
            (0.35, "volumes", self.mounts),
            (0.3, "cap_add", lambda: self.some(["NET_ADMIN", "SYS_ADMIN", "ALL", "cap_net_raw"])),
            (0.1, "cap_drop", lambda: self.some(["ALL", "MKNOD"])),
            (0.15, "privileged", self.flag),
            (0.15, "user", lambda: self.one("1000:1000", "root", "0", "${UNSET_1:-app}")),
            (0.15, "dns", lambda: self.one("1.1.1.1", ["8.8.8.8", "1.1.1.1"], ["9.9.9.9"])),
            (0.15, "dns_search", lambda: self.one("a.example", ["b.example"])),
            (0.2, "extra_hosts", lambda: self.one(
                ["host.docker.internal:host-gateway"], ["a=1.2.3.4", "b:2.3.4.5"], {"a": "9.9.9.9", "c": "::1"},
                ["v6=[::1]", "a:1.1.1.1"], {"m": ["1.1.1.1", "2.2.2.2"]}, ["x:fe80::1"])),
            (0.25, "command", lambda: self.one(
                "sleep infinity", ["sh", "-c", "echo $$HOME"], 'sh -c "a b" c\\ d', "", [], None, "echo a; echo b",
                "run 2>/dev/null", "x 'y z' \"\" w", self.word("serve"), ["${TAG:-x}", "y"])),
            (0.15, "entrypoint", lambda: self.one("/entry.sh -x", ["/bin/sh"], None, "")),
            (0.1, "tmpfs", lambda: self.one("/run", ["/tmp:size=1m,mode=1777", "/run"])),
            (0.1, "sysctls", lambda: self.one({"net.ipv4.ip_forward": 1}, ["net.ipv4.ip_forward=0", "a.b=c"], {"a.b": "d"})),
            (0.15, "devices", lambda: self.some(
                ["/dev/net/tun", "/dev/fuse:/dev/fuse", "/dev/sda:/dev/x:r", {"source": "/dev/kvm", "target": "/dev/kvm"}])),
            (0.15, "security_opt", lambda: self.some(
                ["seccomp=unconfined", "apparmor:unconfined", "no-new-privileges", "no-new-privileges:true", "label=disable"])),
            (0.1, "pid", lambda: self.one("host", "${UNSET_1:-host}", "")),
            (0.1, "ipc", lambda: self.one("host", "shareable")),
            (0.1, "uts", lambda: "host"),
            (0.1, "userns_mode", lambda: "host"),
            (0.1, "cgroup", lambda: self.one("host", "private")),
            (0.1, "runtime", lambda: self.one("runsc", "nvidia")),
            (0.1, "hostname", lambda: self.word("box")),
            (0.1, "container_name", lambda: f"c-{self.rng.randint(1, 9999)}"),
            (0.15, "expose", lambda: _distinct(self.some(["3000", 4000, "5000-5003", "53/udp", 3000]))),
            (0.1, "deploy", lambda: self.one(
                {"replicas": 2}, {"labels": {"x": "y"}}, {"resources": {"limits": {"cpus": "0.5"}}},
                {"resources": {"reservations": {"devices": [{"capabilities": ["gpu"], "count": "all", "driver": "nvidia"}]}}})),
            (0.1, "healthcheck", lambda: self.one({"test": ["CMD", "true"]}, {"test": "curl -f x", "interval": "5s"})),
            (0.1, "logging", lambda: self.one(
                {"driver": "json-file", "options": {"max-size": "1m"}}, {"driver": "none"}, {"options": {"a": "b"}})),
            (0.1, "ulimits", lambda: self.one({"nofile": 100}, {"nofile": {"soft": 1, "hard": 2}, "nproc": 3})),
            (0.08, "profiles", lambda: self.some(["dev", "ops"])),
            (0.1, "x-note", lambda: {"a": [1, 2]}),
            (0.1, "env_file", lambda: self.one("one.env", ["one.env", "two.env"], [{"path": "none.env", "required": False}])),
            (0.1, "stop_grace_period", lambda: "5s"),
            (0.1, "annotations", lambda: self.pairs(("n.a", "n.b"), null=False)),
        ]  # fmt: skip
        for share, key, make in parts:
            if self.chance(share):
                service[key] = make()
        if self.configs and self.chance(0.3):
            service["configs"] = self.grants(self.configs)
        if self.secrets and self.chance(0.3):
            service["secrets"] = self.grants(self.secrets)
        if others and self.chance(0.2):
            service["depends_on"] = self.one(
                [others[0]],
                {others[0]: {"condition": "service_started"}},
                {others[-1]: {"condition": "service_healthy"}},
            )
        if others and self.chance(0.1):
            service["links"] = self.some([f"{others[0]}:alias", others[-1]])
        if others and self.chance(0.08):
            service["volumes_from"] = [self.one(others[0], f"{others[0]}:ro")]
        if whole and self.chance(0.2):
            service["network_mode"] = self.one(
                "none", "host", "bridge", "${MODE}", "${EMPTY}", "${UNSET_1:-none}", "elsewhere",
                *([f"service:{others[0]}"] if others else []),
            )  # fmt: skip
        elif self.chance(0.45) and (whole or self.networks):
            service["networks"] = self.service_networks()
        return service

    def network(self) -> Any:
        return self.one(
            None, {}, {"internal": self.flag()}, {"driver": "bridge", "internal": self.flag()}, {"external": self.one(True, "true", Plain("yes"))},
            {"external": True, "name": "${NET:-x}"}, {"external": {"name": "far"}}, {"name": self.word("named")},
            {"driver": "macvlan", "driver_opts": {"parent": "eth0", "n": 1}}, {"enable_ipv6": self.flag()},
            {"driver_opts": {"com.docker.network.bridge.enable_icc": "false"}, "labels": ["a=b"]},
            {"ipam": {"config": [{"subnet": "172.30.0.0/24", "gateway": "172.30.0.1"}]}},
            {"ipam": {"driver": "default", "config": [{"subnet": "172.30.0.0/24"}, {"subnet": "fd00::/64"}]}, "internal": True},
            {"attachable": True, "internal": False},
        )  # fmt: skip

    def volume(self, name: str) -> Any:
        if name == "bound":
            return self.one(
                {"driver": "local", "driver_opts": {"type": "none", "o": "bind", "device": "./bound"}},
                {"driver_opts": {"type": "none", "o": "bind,ro", "device": "/srv/bound"}},
            )
        return self.one(None, {}, {"name": "given"}, {"external": True}, {"driver": "local"}, {"labels": {"a": "b"}})

    def document(self, whole: bool, services: Sequence[str], base: Sequence[str]) -> dict[str, Any]:
        document: dict[str, Any] = {}
        if self.chance(0.1):
            document["version"] = "3.8"
        if self.chance(0.15):
            document["name"] = self.one("named", "Name_d", "${TAG}x")
        found: dict[str, Any] = {}
        for number, name in enumerate(services):
            service = self.service(whole, list(services)[:number])
            if base and self.chance(0.35):
                service["extends"] = self.one({"file": "base.yaml", "service": self.one(*base)})
            elif number and self.chance(0.15):
                service["extends"] = self.one(services[0], {"service": services[0]})
            found[name] = service
        document["services"] = found
        return document

    def marked(self, document: dict[str, Any]) -> None:
        """Some values of an overriding document take away what was there."""
        for service in document["services"].values():
            for key in list(service):
                if key in ("extends", "image"):
                    continue
                if self.chance(0.08):
                    service[key] = Tagged("!reset", self.one(None, service[key]))
                elif self.chance(0.08):
                    service[key] = Tagged("!override", service[key])
            if self.chance(0.05):
                service.setdefault("environment", {"A": Tagged("!reset", None), "Q": "1"})
            if self.chance(0.05):
                service[self.one("ports", "networks", "volumes", "command", "network_mode")] = Tagged("!reset", None)

    def case(self) -> Case:
        files: dict[str, str] = {}
        base: list[str] = []
        if self.chance(0.4):
            base = ["common", "other"]
            services = {name: self.service(True, ()) for name in base}
            for service in services.values():
                for key in ("networks", "network_mode", "configs", "secrets", "profiles"):
                    service.pop(key, None)
            if self.chance(0.3):
                services["common"]["extends"] = {"service": "other"}
            files["base.yaml"] = yaml_text({"services": services})
        main = self.document(True, self.services, base)
        main["networks"] = {n: self.network() for n in self.networks}
        main["volumes"] = {n: self.volume(n) for n in self.volumes}
        main["configs"] = {
            n: self.one({"file": "./tinyproxy.conf"}, {"content": "a ${TAG}\n"}, {"environment": "TAG"})
            for n in self.configs
        }
        main["secrets"] = {n: self.one({"file": "./key.txt"}, {"environment": "TAG"}) for n in self.secrets}
        for key in ("networks", "volumes", "configs", "secrets"):
            if not main[key]:
                del main[key]
        if self.chance(0.15):
            inner = {
                "services": {
                    "inner": {"image": "inner", "volumes": ["./i:/i"], "environment": ["TAG", "SUB=${SUB:-none}"]}
                }
            }
            files["sub/compose.yaml"] = yaml_text(inner)
            files["sub/.env"] = "SUB=of-the-include\nTAG=9\n"
            main["include"] = self.one(
                ["sub/compose.yaml"], [{"path": "sub/compose.yaml", "project_directory": "."}],
                [{"path": ["sub/compose.yaml"], "env_file": "two.env"}],
            )  # fmt: skip
        files["compose.yaml"] = yaml_text(main).lstrip("\n")
        given = ["compose.yaml"]
        for number in range(self.one(0, 0, 1, 1, 2)):
            names = self.some(self.services, 3)
            over = self.document(False, names, ())
            for service in over["services"].values():
                service.pop("extends", None)
                service.pop("depends_on", None)
            self.marked(over)
            if self.networks and self.chance(0.3):
                name = self.one(*self.networks)
                over["networks"] = {
                    name: self.one({"internal": self.flag()}, Tagged("!override", {"driver": "bridge"}), {})
                }
            files[f"over{number}.yaml"] = yaml_text(over).lstrip("\n")
            given.append(f"over{number}.yaml")
        environment = {n: _ENVIRONMENT[n] for n in _VARIABLES}
        if self.chance(0.5):
            lines = [
                f"{self.one('', 'export ')}{n}={self._quoted(environment.pop(n))}" for n in self.some(_VARIABLES, 5)
            ]
            files[".env"] = "# some\n" + "\n".join(lines) + "\n"
        files["one.env"] = self.one(
            "A=from-file\nC=1 # x\n",
            "export A='q $TAG'\nD=\"$TAG\\n${A}\"\n\nTAG\n",
            "A: yaml\nHTTP_PROXY=http://p:1\nE=a\\$UNSET_4\n",
        )
        files["two.env"] = self.one("A=two\nF=${A}-${TAG:-x}\n", "G=\"multi\nline\"\nH='x'\n", "SUB=env-file\n")
        files["tinyproxy.conf"] = "Port 8888\n"
        files["key.txt"] = "k\n"
        profiles = self.one((), (), ("dev",), ("dev", "ops"), ("*",))
        return Case(files, tuple(given), environment, profiles)

    def _quoted(self, value: str) -> str:
        return str(self.one(value, f"'{value}'", f'"{value}"', f"{value} # said" if value else ""))


def _distinct(values: list[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if not any(json.dumps(value) == json.dumps(other) for other in found):
            found.append(value)
    return found


def made(rng: Random) -> Case:
    return Maker(rng).case()


# ---- the two views


def written(case: Case, folder: Path) -> None:
    for name, text in case.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def asked(compose: str, case: Case, folder: Path) -> tuple[Any, str]:
    """What Compose prints, None if it refuses; and what it says."""
    command = [compose]
    for name in case.given:
        command += ["-f", str(folder / name)]
    for profile in case.profiles:
        command += ["--profile", profile]
    done = subprocess.run(
        [*command, "config", "--format", "json"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": HOME, **case.environment},
        cwd=folder,
    )
    if done.returncode:
        return None, done.stderr
    return json.loads(_named(done.stdout, folder).replace("$$", "$")), done.stderr


def _named(text: str, folder: Path) -> str:
    return text.replace(str(folder), "/PROJECT").replace(str(folder.parent), "/ABOVE")


def ours(case: Case, folder: Path) -> dict[str, Any]:
    """The same view of what the scanner reads. Raises ScannerError."""
    inputs = [Input(name, (folder / name).read_text(), folder / name) for name in case.given]
    launch = read(inputs, ReadOptions({"HOME": HOME, **case.environment}, case.profiles))
    plain: dict[str, Any] = json.loads(_named(json.dumps(_launch_view(launch)), folder))
    for service in plain["services"].values():
        service["mounts"].sort()
    return _without_unset(plain)  # type: ignore[no-any-return]


def _without_unset(value: Any) -> Any:
    """What is not set is unknown to the scanner and empty to Compose."""
    if isinstance(value, dict):
        return {key: _without_unset(v) for key, v in value.items()}
    if isinstance(value, list):
        return [_without_unset(v) for v in value]
    return re.sub(r"\$\{UNSET_\d\}", "", value) if isinstance(value, str) else value


def _launch_view(launch: Launch) -> dict[str, Any]:
    return {
        "services": {c.name: _container_view(c, launch) for c in launch.containers},
        "networks": {n.key: _network_view(n) for n in launch.networks if not _is_outside(n)},
    }


def _is_outside(network: Network) -> bool:
    """Networks that no file defines: the engine's bridge, one that a network_mode names."""
    return network.key in ("bridge", "elsewhere") and not (network.external and network.key in ("front", "back"))


def _network_view(network: Network) -> dict[str, Any]:
    return {
        "name": network.name,
        "driver": network.driver.value if not network.external else "bridge",
        "internal": network.internal.value,
        "external": network.external,
        "ipv6": network.ipv6.value if network.ipv6 is not None else False,
        "options": {k: v.value for k, v in network.options},
        "subnets": list(network.subnets),
        "gateways": list(network.gateways),
    }


def _container_view(c: Container, launch: Launch) -> dict[str, Any]:
    held = c.confinement

    def said(value: Any) -> Any:
        return None if value is None else value.value

    mode: Any = c.network_mode.value
    networks: Any = None
    if mode == "networks" and not any(a.network == "elsewhere" for a in c.attachments):
        networks = {a.network: [list(a.aliases), a.ipv4 or None, a.ipv6 or None] for a in c.attachments}
        mode = None
    elif mode == "networks":
        mode = "elsewhere"
    return {
        "image": said(c.image),
        "container_name": c.container_name,
        "hostname": c.hostname,
        "entrypoint": None if c.entrypoint is None else [w.value for w in c.entrypoint],
        "command": None if c.command is None else [w.value for w in c.command],
        "environment": {k: v.value or "" for k, v in c.environment},
        "ports": _sorted([p.host_ip, p.host_port or 0, p.port, p.protocol] for p in c.published),
        "exposed": sorted(c.exposed),
        "links": [link.value for link in c.links],
        "extra_hosts": sorted([name, v.value] for name, v in c.extra_hosts),
        "dns": [d.value for d in c.dns],
        "user": said(held.user),
        "privileged": bool(said(held.privileged)),
        "cap_add": [o.value for o in held.cap_add],
        "cap_drop": [o.value for o in held.cap_drop],
        "seccomp": said(held.seccomp),
        "apparmor": said(held.apparmor),
        "no_new": said(held.no_new_privileges),
        "pid": said(held.pid),
        "ipc": said(held.ipc),
        "uts": said(held.uts),
        "userns": said(held.userns),
        "cgroup": said(held.cgroup),
        "runtime": said(held.runtime),
        "mounts": sorted([m.kind.value, m.source, m.target, m.read_only] for m in held.mounts),
        "devices": [d.value for d in held.devices],
        "gpus": held.gpus is not None,
        "sysctls": {k: v.value for k, v in held.sysctls},
        "networks": networks,
        "mode": mode,
        "replicas": c.replicas,
        "labels": dict(c.labels),
    }


def expected(config: Mapping[str, Any]) -> dict[str, Any]:
    """The view of what Compose printed."""
    services = config.get("services") or {}
    own = {name: _mounts(service, config) for name, service in services.items()}
    view: dict[str, Any] = {"services": {}, "networks": {}}
    for name, service in services.items():
        view["services"][name] = _service_view(name, service, config, own)
    for key, network in (config.get("networks") or {}).items():
        ipam = (network.get("ipam") or {}).get("config") or []
        view["networks"][key] = {
            "name": network.get("name", ""),
            "driver": network.get("driver", "bridge"),
            "internal": network.get("internal", False),
            "external": network.get("external", False),
            "ipv6": network.get("enable_ipv6", False),
            "options": network.get("driver_opts") or {},
            "subnets": [c["subnet"] for c in ipam if "subnet" in c],
            "gateways": [c["gateway"] for c in ipam if "gateway" in c],
        }
    return view


def _service_view(
    name: str, s: Mapping[str, Any], config: Mapping[str, Any], own: Mapping[str, list[Any]]
) -> dict[str, Any]:
    options = {"seccomp": None, "apparmor": None, "no_new": None}
    for option in s.get("security_opt", ()):
        key, sign, value = option.partition("=" if "=" in option else ":")
        if key == "no-new-privileges":
            options["no_new"] = not sign or value == "true"
        elif key in options:
            options[key] = value
    mode = s.get("network_mode") or None
    networks = s.get("networks")
    if mode is not None and mode.startswith("service:"):
        mode = "container:" + mode.removeprefix("service:")
    if mode is None and networks is None:
        # an empty network_mode: see building.py
        used = set(config.get("networks") or {})
        if "default" in used:
            networks = {"default": None}
        else:
            mode = "bridge" if used else "none"
    gpus = ((s.get("deploy") or {}).get("resources") or {}).get("reservations") or {}
    return {
        "image": s.get("image"),
        "container_name": s.get("container_name"),
        "hostname": s.get("hostname"),
        "entrypoint": s.get("entrypoint"),
        "command": s.get("command"),
        "environment": {k: v or "" for k, v in (s.get("environment") or {}).items()},
        "ports": _sorted(
            [
                p.get("host_ip", ""),
                int(p["published"]) if p.get("published", "").isdigit() else 0,
                p["target"],
                p["protocol"],
            ]
            for p in s.get("ports", ())
        ),
        "exposed": sorted(n for e in s.get("expose", ()) for n in _expanded(e)),
        "links": list(s.get("links", ())),
        # several addresses of a name end in one word where Compose merges a mapping into a list
        "extra_hosts": sorted(
            [name, a] for e in s.get("extra_hosts", ()) for name, _, all_ in [e.partition("=")] for a in all_.split()
        ),
        "dns": list(s.get("dns") or ()),
        "user": s.get("user") or None,
        "privileged": s.get("privileged", False),
        "cap_add": [c.upper().removeprefix("CAP_") for c in s.get("cap_add", ())],
        "cap_drop": [c.upper().removeprefix("CAP_") for c in s.get("cap_drop", ())],
        **options,
        "pid": s.get("pid") or None,
        "ipc": s.get("ipc") or None,
        "uts": s.get("uts") or None,
        "userns": s.get("userns_mode") or None,
        "cgroup": s.get("cgroup") or None,
        "runtime": s.get("runtime") or None,
        "mounts": sorted(_all_mounts(name, config, own)),
        "devices": [
            f"{d['source']}:{d.get('target', d['source'])}:{d.get('permissions') or 'rwm'}"
            for d in s.get("devices", ())
        ],
        "gpus": bool(gpus.get("devices")),
        "sysctls": s.get("sysctls") or {},
        "networks": None
        if networks is None
        else {
            k: [list((v or {}).get("aliases") or ()), (v or {}).get("ipv4_address"), (v or {}).get("ipv6_address")]
            for k, v in networks.items()
        },
        "mode": mode,
        "replicas": (s.get("deploy") or {}).get("replicas", s.get("scale", 1)),
        "labels": s.get("labels") or {},
    }


def _sorted(rows: Iterable[list[Any]]) -> list[list[Any]]:
    """Each once, in order."""
    return [json.loads(row) for row in sorted({json.dumps(row) for row in rows})]


def _expanded(text: str) -> range:
    first, _, last = str(text).partition("/")[0].partition("-")
    return range(int(first), int(last or first) + 1)


def _mounts(service: Mapping[str, Any], config: Mapping[str, Any]) -> list[list[Any]]:
    found: list[list[Any]] = []
    for v in service.get("volumes", ()):
        kind, source = v["type"], v.get("source", "")
        read_only = v.get("read_only", False)
        if kind == "volume" and source:
            volume = (config.get("volumes") or {}).get(source) or {}
            options = volume.get("driver_opts") or {}
            if "bind" in options.get("o", "").split(","):
                kind, source = "bind", options["device"]
                read_only = read_only or "ro" in options["o"].split(",")
            elif volume.get("name") not in (None, f"{config['name']}_{source}"):
                source = volume["name"]
        found.append([kind, source, v["target"], read_only])
    for t in service.get("tmpfs") or ():
        found.append(["tmpfs", "", t.partition(":")[0], False])
    for group, folder in (("configs", "/"), ("secrets", "/run/secrets/")):
        for grant in service.get(group, ()):
            target = grant.get("target") or grant["source"]
            target = target if target.startswith("/") else folder + target
            value = (config.get(group) or {})[grant["source"]]
            file = value.get("file")
            found.append(
                [MountKind.BIND if file else MountKind.OTHER, file or f"{group[:-1]} {grant['source']}", target, True]
            )
    return found


def _all_mounts(name: str, config: Mapping[str, Any], own: Mapping[str, list[Any]]) -> list[list[Any]]:
    taken = {m[2] for m in own[name]}
    found: dict[str, list[Any]] = {}
    for source in config["services"][name].get("volumes_from") or ():
        other, _, options = source.partition(":")
        for kind, path, target, read_only in _all_mounts(other, config, own):
            if target not in taken:
                found.setdefault(target, [kind, path, target, read_only or options == "ro"])
    return [*own[name], *found.values()]


def differences(mine: Any, theirs: Any, path: str = "") -> list[str]:
    if isinstance(mine, dict) and isinstance(theirs, dict):
        found = []
        for key in sorted(mine.keys() | theirs.keys()):
            if key not in mine or key not in theirs:
                found.append(f"{path}.{key}: only {'Compose' if key in theirs else 'the scanner'} has it")
            else:
                found += differences(mine[key], theirs[key], f"{path}.{key}")
        return found
    if isinstance(mine, list) and isinstance(theirs, list) and mine != theirs:
        mine, theirs = [m for m in mine if m not in theirs] or mine, [t for t in theirs if t not in mine] or theirs
        return [f"{path}: the scanner {mine!r}, Compose {theirs!r}"]
    return [] if mine == theirs else [f"{path}: the scanner {mine!r}, Compose {theirs!r}"]


def compare(compose: str, case: Case, folder: Path) -> tuple[str, list[str]]:
    """`same`, `both refuse`, `only Compose refuses`, or `wrong` with the differences."""
    written(case, folder)
    config, words = asked(compose, case, folder)
    try:
        mine: dict[str, Any] | None = ours(case, folder)
        error = ""
    except ScannerError as e:
        mine, error = None, str(e)
    if config is None:
        return ("both refuse", []) if mine is None else ("only Compose refuses", [words.strip()[-300:]])
    if mine is None:
        return "wrong", [f"the scanner refuses: {error}"]
    found = differences(mine, expected(config))
    return ("wrong", found) if found else ("same", [])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--show", type=int, default=5, help="how many wrong cases are shown")
    parser.add_argument("--golden", type=int, default=0, help="record so many cases")
    options = parser.parse_args()
    compose = program()
    if compose is None:
        print("no Compose v2 is installed", file=sys.stderr)
        return 2
    if options.golden:
        return record(compose, options.golden, options.seed)
    counts: dict[str, int] = {}
    reasons: dict[str, int] = {}
    started = time.monotonic()
    shown = 0
    for number in range(options.count):
        case = made(Random(f"{options.seed}/{number}"))
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name).resolve() / "proj"
            folder.mkdir()
            verdict, found = compare(compose, case, folder)
        counts[verdict] = counts.get(verdict, 0) + 1
        if verdict == "only Compose refuses":
            reason = re.sub(r"'[^']*'|\"[^\"]*\"|services\.\S+", "…", found[0])[-100:]
            reasons[reason] = reasons.get(reason, 0) + 1
        if verdict == "wrong" and shown < options.show:
            shown += 1
            print(f"=== case {options.seed}/{number}: {' '.join(case.given)}")
            for file, text in case.files.items():
                print(f"--- {file}\n{text}")
            print("\n".join(found[:10]))
    for reason, count in sorted(reasons.items(), key=lambda r: -r[1])[:15]:
        print(f"{count:6} only Compose refuses: {reason}")
    print(f"{counts} in {time.monotonic() - started:.1f} s")
    return 1 if counts.get("wrong") else 0


# ---- recorded cases


def record(compose: str, count: int, seed: str) -> int:
    """Cases with what Compose printed for them, so that they are compared where it is not installed."""
    found: list[Any] = []
    number = 0
    while len(found) < count:
        case = made(Random(f"{seed}/{number}"))
        number += 1
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name).resolve() / "proj"
            folder.mkdir()
            written(case, folder)
            config, _ = asked(compose, case, folder)
        if config is None and len([f for f in found if f["config"] is None]) >= count // 6:
            continue
        found.append(
            {
                "files": case.files,
                "given": case.given,
                "environment": case.environment,
                "profiles": case.profiles,
                "config": config,
            }
        )
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
