"""Command lines of ssh made up at random, and what the installed ssh makes of them: `ssh -G`, where no network is.

More of them: `python -m tests.ssh.generated_command --count N --seed S`.
"""

import argparse
import shlex
import sys
import time
from random import Random

from scanner.ssh.command import Invocation, parse
from scanner.ssh.ssh_config import Effective, evaluate
from tests.ssh.generated_ssh_config import CLIENT, VALUES, asked

_FORWARDS = {
    "L": (
        [
            "8080:web:80",
            "127.0.0.1:8080:web:80",
            "[::1]:8080:[fe80::1]:80",
            "*:80:h:http",
            ":80:h:22",
            "/run/a:/run/b",
            "8080:/run/%h",
        ],
        ["8080", "x:h:1", "8080:h", "0:h:1", "1:2:3:4:5:6", "[::1:h:1", "99999:h:1"],
    ),
    "R": (
        [
            "2222:localhost:22",
            "0:h:22",
            "2222",
            "*:2222",
            "[::]:0",
            "/run/socks",
            "0.0.0.0:2222:127.0.0.1:22",
            ":22:h:22",
            "/r/s:h:1",
        ],
        ["x", "1:2:3", "x:h:1", "1:h:0", "-1", "1:2:3:4:5"],
    ),
    "D": (["1080", "*:1080", "[::1]:1080", "/run/d", ":1", "socks"], ["0", "x", "1:h:2", "h:0"]),
    "W": (["h:22", "[::1]:443", "10.0.0.1:http"], ["0", "1:2:3", "h:x"]),
    "w": (["0", "0:1", "any", "any:2", "1:any"], ["x", "-1", "1:2:3"]),
    "J": (["jump", "a@b:22,c", "ssh://u@j:2222", "none"], ["a:x", "a;b", "-x@y", "@h"]),
    "p": (["22", "2222", "ssh"], ["0", "x", "65536"]),
    "l": (["deploy", "a.b"], ["a;b"]),
    "i": (["/etc/passwd", "/etc/hostname"], ["/etc/passwd"]),
    "S": (["none", "/run/%C", "~/c"], ["%q"]),
    "b": (["10.0.0.1"], ["10.0.0.1"]),
    "B": (["eth0"], ["eth0"]),
    "c": (["aes128-ctr", "+3des-cbc", "^aes256-ctr"], ["bogus"]),
    "m": (["hmac-sha2-256"], ["bogus"]),
    "e": (["none", "^B", "x"], ["xx"]),
    "I": (["/lib/p.so"], ["none"]),
    "O": (["check", "forward", "exit", "cancel"], ["x"]),
}
_FLAGS = "46NTnqvgkKXYxyAaCtMsf2"
_FLAG_WEIGHTS = [3, 2, 8, 4, 4, 3, 4, 3, 1, 1, 2, 2, 2, 1, 3, 2, 3, 3, 2, 1, 3, 1]
_DESTINATIONS = [
    *"web u@web git@10.0.0.7 WEB.Example.com ssh://u@h:2200 ssh://h ssh://a%20b@h:22/ a@b@c ::1 u@fe80::1".split(),
    *"127.1 @h ssh://h/path ssh://h:x web;id -x u;v@h ssh://[::1]:22".split(),
]
_COMMANDS = [[], [], [], ["uptime"], ["sh", "-c", "x y"], ["ssh", "-N", "b"], ["-v", "true"], ["--", "ls"]]
_SETTINGS = [
    name for name in VALUES if name not in ("CanonicalizeHostname", "CanonicalDomains", "CanonicalizePermittedCNAMEs")
]


def _option(rng: Random, bad: float) -> list[str]:
    """One option, or several flags in one word, the last of which may take a value."""
    kind = rng.random()
    flags = "".join(rng.choices(_FLAGS, _FLAG_WEIGHTS, k=rng.choice([0, 0, 1, 1, 2, 3])))
    if kind < 0.3:
        return [f"-{flags}"] if flags else []
    if kind < 0.65:
        letter = rng.choice("LRDLRDLRDWwJpliSbBcmeIO")
        value = rng.choice(_FORWARDS[letter][rng.random() < bad])
    else:
        letter, keyword = (
            "o",
            rng.choice(
                [*_SETTINGS, *("RemoteForward", "LocalForward", "DynamicForward", "Tunnel", "User", "Port") * 4]
            ),
        )
        value = keyword + rng.choice(["=", " ", " = "]) + rng.choice(VALUES[keyword][rng.random() < bad])
    if rng.random() < bad / 4:
        letter = rng.choice("zHUdhjru")
    return [f"-{flags}{letter}{value}"] if rng.random() < 0.4 and value else [f"-{flags}{letter}", value]


def made(rng: Random) -> list[str]:
    bad = rng.choice([0.0, 0.0, 0.0, 0.05, 0.2])
    destination = rng.choice(_DESTINATIONS[: 11 if rng.random() < 0.9 else None])
    before = [word for _ in range(rng.randint(0, 5)) for word in _option(rng, bad)]
    after = [word for _ in range(rng.choice([0, 0, 1, 2])) for word in _option(rng, bad)]
    ends = ["--"] if rng.random() < 0.15 else []
    return [*before, *ends, destination, *after, *rng.choice(_COMMANDS)]


def ours(words: list[str]) -> tuple[Invocation, Effective | None]:
    found = parse(["ssh", "-F", "none", *words])
    assert found is not None
    if found.host is None:
        return found, None
    stdio = any(forward.kind == "stdio" for forward in found.forwards)
    remote = any(name == "remotecommand" and value.lower() != "none" for name, value in found.options)
    command = "" if remote else " ".join(found.command)
    return found, evaluate(
        [], found.host, found.user, found.options, client=CLIENT, command=command, stdio_forward=stdio
    )


def difference(words: list[str]) -> str:
    """How ssh and the reading differ, "" where they agree."""
    found, effective = ours(words)
    said = asked(["-F", "none", *words])
    refused = found.problem or (effective.fatal.message if effective and effective.fatal else None)
    if said.lines is None or refused or effective is None:
        if (said.lines is None) == bool(refused or effective is None):
            return ""
        if "Cannot forward agent socket" in said.complaint:
            return ""
        return f"ssh: {said.complaint or 'runs'}; here: {refused or 'runs'}"
    dump = effective.dump()
    lines = [
        *(f"ssh  {line}" for line in said.lines if line not in dump),
        *(f"ours {line}" for line in dump if line not in said.lines),
    ]
    if found.control_command in (None, "forward", "proxy"):
        lines += _forwards(found, effective)
    if found.port is not None and f"port {found.port}" not in said.lines:
        lines.append(f"port {found.port}")
    return "\n".join(lines) or ("" if dump == said.lines else "another order")


def _forwards(found: Invocation, effective: Effective) -> list[str]:
    """What the invocation says of forwardings, against what holds in the end."""

    def bare(forward: object) -> str:
        names = ("kind", "listen_host", "listen_port", "listen_path", "target_host", "target_port", "target_path")
        return repr([getattr(forward, name) for name in names])

    here = sorted(bare(one).replace("%h", effective.host) for one in found.forwards if one.kind not in ("stdio", "tun"))
    there = sorted(bare(setting.forward).replace("%h", effective.host) for setting in effective.forwards)
    wrong = [f"forwards {here} {there}"] if len(here) != len(there) else []
    tun = any(one.kind == "tun" for one in found.forwards)
    return wrong + ([] if tun == (effective.get("tunnel").value != "no") else ["tun"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    rng, start, different, refused = Random(given.seed), time.monotonic(), 0, 0
    for _ in range(given.count):
        words = made(rng)
        found, effective = ours(words)
        refused += bool(found.problem or effective is None or effective.fatal)
        wrong = difference(words)
        if wrong:
            different += 1
            print(f"=== ssh {shlex.join(words)}\n{wrong}\n")
            if different > 20:
                break
    print(f"{given.count} command lines, {refused} refused, {different} differences, {time.monotonic() - start:.0f} s")
    sys.exit(different > 0)


if __name__ == "__main__":
    main()
