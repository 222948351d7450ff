"""Client configurations made up at random, and what the installed ssh makes of them: `ssh -G`, in a network namespace of its own.

Only what is made here is ever given to ssh, and never a `Match exec`. More of them: `python -m tests.ssh.generated_ssh_config
--count N --seed S`.
"""

import argparse
import glob
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from scanner.ssh import ssh_config
from scanner.ssh.source import Source
from scanner.ssh.ssh_config import Client, Effective
from tests.engine_fixture import program

ENVIRONMENT = {
    "HOME": "/nowhere",
    "PATH": "/usr/bin:/bin",
    "FOO": "bar",
    "PORT_": "8022",
    "DIR_": "/run/x",
    "SPEC": "9:h:9",
}
CLIENT = Client("root", 0, "/root", socket.gethostname(), ENVIRONMENT, {"root": "/root"})

HOSTS = [
    *"web db web.example.com DB.Example.COM a.b.c x 10.0.0.7 127.1 0x7f.1 1.2.3.4.5 ::1 FE80::A fe80::1%9 2001:DB8::0:1".split(),
    *"xn--a-b _srv. host. web-1 WEB".split(),
]
USERS = ["root", "deploy", "git", "a.b", "x"]
_FLAG = (["yes", "no", "true", "false", "YES", "No"], ["maybe", "1", "yes no", "yess"])
_INT = (["0", "1", "3", "007", "+5", "2147483647"], ["-1", "2147483648", "x", "1x", "1 2"])
_TIME = (
    ["0", "5", "1m", "1h30m", "2D", "1w", "none", "90s", "+3"],
    ["x", "1y", "-5", "1m2", "99999999999", "68y", "3600w1000w"],
)
_FILES = (["~/.ssh/k", "/k", "%d/k", "none", "id", '"a b"', "~root/k", "k%%"], ["a b", '""'])
_TEXT = (["x", "a.b", "'q r'", '"q r"', "x\\ y", "10.0.0.1", "A,b"], ["x y", '""'])
_COMMANDS = (["nc %h %p", "none", "NONE", "ssh -W [%h]:%p jump", "= x", "a 'b c' #d", "-", "%%"], ['nc "'])
_CIPHERS = "aes128-ctr aes256-ctr 3des-cbc chacha20-poly1305@openssh.com aes128-cbc".split()
_MACS = "hmac-sha2-256 hmac-md5 umac-64@openssh.com hmac-sha1-etm@openssh.com".split()
_KEX = "curve25519-sha256 diffie-hellman-group1-sha1 ecdh-sha2-nistp256 sntrup761x25519-sha512".split()
_KEYS = "ssh-rsa ssh-ed25519 rsa-sha2-256 ssh-dss ecdsa-sha2-nistp256 ssh-rsa-cert-v01@openssh.com".split()


def _lists(names: list[str], more: list[str]) -> tuple[list[str], list[str]]:
    first, second, third = names[:3]
    good = [
        first,
        f"{second},{first}",
        f"+{third}",
        f"-{first}",
        f"^{second}",
        f"{first},{first}",
        f"^{third},{second}",
    ]
    good += [f"-{first[:4]}*", "-bogus", "-*", f"{first},,bogus", f"+{second},{third}", f"-!{first}"]
    return good + more, ["bogus", "+", "^", f"{first},bogus", f"!{first}", ",bogus", f"{first} {second}"]


_KEY_LISTS = _lists(_KEYS, ["ssh-*", "+ssh-*", "*-cert-*", "ecdsa,ssh-rsa", "^rsa-*", "*", "sk-*,ssh-?sa"])
_LOCAL = (
    [
        "8080 web:80",
        "127.0.0.1:8080 web:80",
        "[::1]:8080 [fe80::1]:80",
        "*:80 h:http",
        ":80 h:22",
        "/run/a /run/b",
        "8080 /run/%h",
        "/run/%r-%p h:1",
        "${PORT_} h:22",
        "${DIR_}/s /t",
        "h:8080 /x",
        "ssh socks:22",
        "8080 web:80:",
        "a\\\\:b:1 h:2",
        "[/x]:1 h:22",
        "080 h:+22",
        "localhost:1 [a/b]:2",
    ],
    [
        "8080",
        "x h:1",
        "8080 h",
        "0 h:1",
        "1:2:3 4:5:6",
        "[::1 h:1",
        "99999 h:1",
        "1 h:0",
        "${NOPE} h:1",
        "1 h:1 x",
        "${ h:1",
    ],
)
_REMOTE = (
    [
        *_LOCAL[0],
        "0 h:22",
        "2222",
        "*:2222",
        "[::]:0",
        "/run/socks",
        "0",
        "22 /r",
        "a:80",
        "${SPEC}",
        "a:1 /x",
        "80:/x",
        "/a:/b",
    ],
    ["x", "1:2:3", "x h:1", "${NOPE}", "1 h:0", "-1", "1 h:1 x"],
)
_DYNAMIC = (
    ["1080", "*:1080", "[::1]:1080", "/run/d", "${PORT_}", ":1", "socks", "80:/x", "/a:/b", "1080:", "[/a]"],
    ["0", "x", "1:h:2", "h:0", "1 2", ""],
)

VALUES: dict[str, tuple[list[str], list[str]]] = {
    **dict.fromkeys(
        (
            "ForwardX11 ForwardX11Trusted GatewayPorts ExitOnForwardFailure PasswordAuthentication BatchMode CheckHostIP "
            "KbdInteractiveAuthentication ChallengeResponseAuthentication SkeyAuthentication HostbasedAuthentication "
            "GSSAPIAuthentication GSSAPIKeyExchange GSSAPIDelegateCredentials GSSAPITrustDNS GSSAPIRenewalForcesRekey "
            "TCPKeepAlive KeepAlive NoHostAuthenticationForLocalhost ClearAllForwardings EnableSSHKeysign IdentitiesOnly "
            "HashKnownHosts PermitLocalCommand VisualHostKey StdinNull ProxyUseFdpass CanonicalizeFallbackLocal "
            "StreamLocalBindUnlink EnableEscapeCommandline ForkAfterAuthentication"
        ).split(),
        _FLAG,
    ),
    **dict.fromkeys(["NumberOfPasswordPrompts", "ServerAliveCountMax", "CanonicalizeMaxDots", "RequiredRSASize"], _INT),
    "ConnectionAttempts": (["1", "3", "7"], ["0", *_INT[1]]),
    **dict.fromkeys(
        ["ForwardX11Timeout", "ConnectTimeout", "ServerAliveInterval", "SetupTimeOut", "ProtocolKeepAlives"], _TIME
    ),
    **dict.fromkeys(["IdentityFile", "IdentityFile2", "CertificateFile", "RevokedHostKeys"], _FILES),
    **dict.fromkeys(
        (
            "BindAddress BindInterface GSSAPIClientIdentity GSSAPIServerIdentity HostKeyAlias KbdInteractiveDevices "
            "PKCS11Provider SmartcardDevice SecurityKeyProvider PreferredAuthentications User XAuthLocation"
        ).split(),
        _TEXT,
    ),
    "Hostname": (["%h.example.com", "10.1.2.3", "Gate", "%%x", "::1", "127.1", "x.y"], ["%q", "%", "a b", "%hh%z"]),
    "ControlPath": (
        ["~/.ssh/%C", "%d/%r@%h:%p", "none", "/t/${FOO}-%n", "%i%k%l%L%u", "~"],
        ["%q", "${NOPE}", "${", "%"],
    ),
    "IdentityAgent": (
        ["none", "~/a", "$SSH_AUTH_SOCK", "${FOO}/a", "/%u", "SSH_AUTH_SOCK"],
        ["$a-b", "${NOPE}", "$", "${}"],
    ),
    "ForwardAgent": (["yes", "no", "/", "~", "TRUE", "/run/${FOO}"], ["${NOPE}", "$a b"]),
    **dict.fromkeys(["KnownHostsCommand", "LocalCommand", "ProxyCommand"], _COMMANDS),
    "RemoteCommand": (["uptime %h", "none", "tmux -u%r", "'a b' %%"], ["%q", "echo %", '"']),
    "Ciphers": _lists(_CIPHERS, []),
    "MACs": _lists(_MACS, []),
    "KexAlgorithms": _lists(_KEX, ["curve25519-sha256,gss-gex-sha1-x"]),
    **dict.fromkeys(
        [
            "HostKeyAlgorithms",
            "HostbasedAcceptedAlgorithms",
            "HostbasedKeyTypes",
            "PubkeyAcceptedAlgorithms",
            "PubkeyAcceptedKeyTypes",
        ],
        _KEY_LISTS,
    ),
    "CASignatureAlgorithms": _lists(_KEYS, ["ssh-*"]),
    "GSSAPIKexAlgorithms": (["gss-gex-sha1-", "gss-group14-sha256-,gss-gex-sha1-x"], ["bogus", "+gss-gex-sha1-"]),
    "GlobalKnownHostsFile": (["/a", "/a /b", "none", '"/a b" /c', "~/x"], ["none /a", '/a ""', "/a none"]),
    "UserKnownHostsFile": (
        ["~/.ssh/known_hosts", "/dev/null", "~/a %d/b", "none", "/k.%h.%k", "${DIR_}"],
        ["none /a", "%q", "${X_}"],
    ),
    "LogVerbose": (["kex.c:*:1000", "a b", "none"], ["none a", '""']),
    "LocalForward": _LOCAL,
    "RemoteForward": _REMOTE,
    "DynamicForward": _DYNAMIC,
    "AddKeysToAgent": (
        ["yes", "no", "ask", "confirm", "confirm 5m", "1h", "0", "confirm 0"],
        ["yes 5m", "x", "ask 1", "confirm x", "5m 5m"],
    ),
    "AddressFamily": (["any", "inet", "INET6"], ["ipv4", "inet any"]),
    "CanonicalDomains": (["none", "Example.COM.", "a.example b.example"], ["-x", "a..b", "none a", "a_b/c"]),
    "CanonicalizeHostname": (["yes", "no", "always"], ["x"]),
    "CanonicalizePermittedCNAMEs": (["none", "*", "A.b:c.D", "*.a:*.b,c x:y"], ["none *", "a", "a:"]),
    "Compression": (["yes", "no"], ["true", "6"]),
    "ControlMaster": (["yes", "no", "auto", "ask", "autoask", "TRUE"], ["x"]),
    "ControlPersist": (["yes", "no", "5m", "0", "true", "10"], ["YES", "x", "-1"]),
    "EscapeChar": (
        ["~", "none", "^B", "^_", "\\\\", "x", '"#"', "' '", "%", "^@"],
        ["xx", "^é", "NONE", "^1"],
    ),
    "FingerprintHash": (["md5", "SHA256", "sha512", "Sha1"], ["sha3"]),
    "IPQoS": (
        ["lowdelay", "af21 cs1", "0x10", "none", "EF throughput", "le", "reliability", "010", "8 0xff"],
        ["x", "256", "-1", "1 2 3", "09", '""'],
    ),
    "LogLevel": (["QUIET", "silent", "info", "DEBUG1", "debug", "Debug3", "VERBOSE", "fatal"], ["x", "4"]),
    "PermitRemoteOpen": (["any", "none", "a:80 b:*", "[::1]:22", "h:http"], ["any a:1", "a", "a:x", "a:0", ":80:"]),
    "Port": (["22", "2222", "ssh", "http", "0022", "65535"], ["0", "65536", "x", "-1", "22 23", "2 2"]),
    "ProxyJump": (
        [
            "jump",
            "a@b:22,c",
            "none",
            "[::1]:22",
            "ssh://u@j:2222",
            "10.0.0.1",
            "u@[fe80::1]",
            "a,b,c:1 #x",
            "NONE",
            "a@b@c",
            "ssh://j/",
        ],
        ["a:x", "@h", "a,,b", "ssh://j/p", "[a", ",a", "a,", "ssh://[::1]", ""],
    ),
    "PubkeyAuthentication": (["yes", "no", "unbound", "host-bound"], ["x"]),
    "RekeyLimit": (
        ["default", "1G", "500M 1h", "default none", "16", "0", "1.5k", "1G 30", "2T 1w", "7.25M 0"],
        ["15", "x", "1Q", "-1", "1G x", "1..5k", "1G 1h x"],
    ),
    "RequestTTY": (["yes", "no", "force", "auto"], ["x"]),
    "SendEnv": (["LANG LC_*", "A", "-LC_*", "A B C", "-?", "- A", "LANG"], ["A=b", 'A ""']),
    "SessionType": (["none", "subsystem", "default", "None"], ["x"]),
    "SetEnv": (["A=b", "A=1 A=2 B=3", '"C=x y"', "D="], ["A", "A=1 B"]),
    "StreamLocalBindMask": (["0177", "0", "777", "022x"], ["1000", "8", "-1"]),
    "StrictHostKeyChecking": (["yes", "no", "ask", "off", "accept-new"], ["x", "accept"]),
    "SyslogFacility": (["USER", "auth", "LOCAL3", "authpriv"], ["x", "LOCAL8"]),
    "Tunnel": (["yes", "no", "ethernet", "point-to-point"], ["x", "eth"]),
    "TunnelDevice": (["any", "0", "1:2", "any:3", "3:any", "ANY:ANY"], ["x", "-1", "1:2:3", "2147483646", ""]),
    "UpdateHostKeys": (["yes", "no", "ask"], ["x"]),
    "VerifyHostKeyDNS": (["yes", "no", "ask"], ["x"]),
    "IgnoreUnknown": (["Bogus*", "x*,Frob", "*", "*,!Quux"], ["a b"]),
    "Protocol": (["2", "2,1", "1 2"], ['"']),
    "UsePrivilegedPort": (["yes", "x y z"], ['"']),
    "RSAAuthentication": (["yes"], ["'"]),
}
"""Each keyword with values that ssh takes and values that it does not."""

_HOST_PATTERNS = "* web db w* ?eb *.example.com !web !*.com 10.0.0.? *.*.* WEB x host. ::1 * gate* *a*".split()
_CRITERIA = [
    *("all", "!all", "canonical", "final", "!canonical", "!final"),
    *(
        "host web",
        "host *.example.com,!db*",
        "host *",
        "!host web",
        "host=web",
        'host "w*,x"',
        "HOST W*",
        "host gate,10.*",
    ),
    *(
        "originalhost web",
        "originalhost *,!x",
        "!originalhost d*",
        "user root",
        "user deploy,git",
        "!user root",
        "user *",
    ),
    *("localuser root", "localuser *,!root", "!localuser x"),
]
_BAD_CRITERIA = [
    "host",
    "bogus x",
    "all host web",
    "host web user",
    "host web extra",
    "",
    "canonical x",
    "group x",
]


@dataclass(frozen=True)
class Made:
    """A configuration with the files it includes, and whom to connect to."""

    folder: Path
    main: bytes
    host: str
    user: str | None

    def include(self, pattern: bytes) -> Sequence[Source]:
        return [Source(path, Path(os.fsdecode(path)).read_bytes()) for path in sorted(glob.glob(pattern))]  # noqa: PTH207 - as ssh itself


def _line(rng: Random, keyword: str, value: str) -> str:
    word = rng.choice([keyword, keyword, keyword.lower(), keyword.upper(), f'"{keyword}"'])
    between = rng.choice([" ", " ", " ", "\t", "  ", "=", " = ", "= "])
    before = rng.choice(["", "", "    ", "\t"])
    after = rng.choice(["", "", "", "  ", "\r", " # note", "\t\f", "#x" if rng.random() < 0.05 else ""])
    if (
        value
        and '"' not in value
        and "'" not in value
        and " " not in value
        and "\\" not in value
        and rng.random() < 0.1
    ):
        value = f'"{value}"'
    return before + word + between + value + after


def _setting(rng: Random, bad: float) -> str:
    keyword = rng.choice(list(VALUES))
    good, wrong = VALUES[keyword]
    if keyword == "ForkAfterAuthentication" and rng.random() < 0.8:
        keyword, good = "StdinNull", VALUES["StdinNull"][0]
    return _line(rng, keyword, rng.choice(wrong if rng.random() < bad else good))


def _text(rng: Random, folder: Path, bad: float, depth: int = 0) -> str:
    lines = []
    for _ in range(rng.randint(1, 14 if depth == 0 else 6)):
        kind = rng.random()
        if kind < 0.12:
            lines.append(_line(rng, "Host", " ".join(rng.choices(_HOST_PATTERNS, k=rng.randint(1, 3)))))
        elif kind < 0.24:
            wanted = rng.choice(_BAD_CRITERIA if rng.random() < bad else _CRITERIA)
            if rng.random() < 0.3:
                wanted += " " + rng.choice(_CRITERIA)
            lines.append(_line(rng, "Match", wanted).replace('"Match"', "Match"))
        elif kind < 0.3 and depth < 3:
            name = f"i{depth}{rng.randint(0, 2)}"
            path = folder / f"{name}.conf"
            if not path.exists():
                path.write_bytes(_encoded(rng, _text(rng, folder, bad / 2, depth + 1)))
            pattern = rng.choice([f"{name}.conf", f"{name}.*", "none*.conf", f"i{depth}[0-9].conf"])
            lines.append(_line(rng, "Include", f"{folder}/{pattern}"))
        elif kind < 0.34:
            lines.append(rng.choice(["", "# note", "   ", "\t# x", "=", "\f", '"open yes', " =# x"]))
        elif kind < 0.36 and rng.random() < bad * 4:
            lines.append(
                rng.choice(
                    ["Bogus yes", "Frob x", "Port", "Host", "Quux 'a", "Include ''", "xterm a", "Host ''", 'User "x']
                )
            )
        else:
            lines.append(_setting(rng, bad))
    return "\n".join(lines)


def _encoded(rng: Random, text: str) -> bytes:
    data = text.encode()
    if rng.random() < 0.03:
        data = data.replace(b" ", b"\0 ", 1)
    return data + rng.choice([b"\n", b"", b"\r\n"])


def made(rng: Random, folder: Path) -> Made:
    for old in folder.glob("i*.conf"):
        old.unlink()
    bad = rng.choice([0.0, 0.0, 0.0, 0.01, 0.04, 0.2])
    main = _encoded(rng, _text(rng, folder, bad))
    return Made(folder, main, rng.choice(HOSTS), rng.choice([None, None, *USERS]))


@dataclass(frozen=True)
class Said:
    """What ssh -G printed, None where it refused."""

    lines: list[str] | None
    complaint: str


def asked(arguments: Sequence[str]) -> Said:
    """Run ssh -G with them, where no network is."""
    alone = [program("unshare"), "--net", *(() if os.geteuid() == 0 else ("--map-root-user",))]
    done = subprocess.run(
        [*alone, program("ssh"), "-G", *arguments],
        capture_output=True,
        check=False,
        timeout=30,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
    )
    out = done.stdout.decode("utf-8", "surrogateescape").split("\n")[:-1]
    return Said(out if done.returncode == 0 else None, done.stderr.decode("utf-8", "replace"))


def ours(one: Made) -> tuple[ssh_config.Config, Effective]:
    config = ssh_config.parse(Source(os.fsencode(one.folder / "config"), one.main), one.include, user_file=True)
    return config, ssh_config.evaluate([config], one.host, one.user, client=CLIENT)


def _assert_nothing_runs(one: Made) -> None:
    """No text that reaches ssh may hold a `Match exec`: the word stands nowhere in it."""
    texts = [one.main, *(path.read_bytes() for path in one.folder.glob("*.conf"))]
    assert not any(b"exec" in text.lower() for text in texts)


def difference(one: Made) -> str:
    """How ssh and the evaluation differ, "" where they agree."""
    config, effective = ours(one)
    _assert_nothing_runs(one)
    assert not config.limits
    path = one.folder / "config"
    path.write_bytes(one.main)
    said = asked(["-F", str(path), *(("-l", one.user) if one.user is not None else ()), "--", one.host])
    if _machine(said, effective):
        return ""
    if said.lines is None:
        if effective.fatal is None:
            return f"ssh refuses: {said.complaint}"
        first = effective.fatal.where
        if "bad configuration options" in said.complaint and not re.search(rf"line {first.line}\b", said.complaint):
            return f"ssh complains of another line than {effective.fatal}: {said.complaint}"
        return ""
    if effective.fatal is not None:
        return f"ssh does not refuse, as was expected: {effective.fatal}"
    dump = effective.dump()
    if dump == said.lines:
        return ""
    return (
        "\n".join(
            [
                *(f"ssh  {line}" for line in said.lines if line not in dump),
                *(f"ours {line}" for line in dump if line not in said.lines),
            ]
        )
        or "another order"
    )


def _machine(said: Said, effective: Effective) -> bool:
    """Whether ssh gave up for the machine's sake: a name it cannot look up here, an agent's socket that is not there."""
    names = any(problem.message == ssh_config.NAME_SERVICE for problem in effective.unknown)
    return said.lines is None and (
        (names and "Could not resolve" in said.complaint) or "Cannot forward agent socket" in said.complaint
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    rng, start, different, refused = Random(given.seed), time.monotonic(), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        for index in range(given.count):
            one = made(rng, Path(folder))
            found = difference(one)
            refused += ours(one)[1].fatal is not None
            if found:
                different += 1
                files = "".join(
                    f"--- {p.name}\n{p.read_text('utf-8', 'replace')}\n" for p in sorted(Path(folder).glob("i*.conf"))
                )
                print(f"=== {index}: {one.user}@{one.host}\n{one.main.decode('utf-8', 'replace')}\n{files}{found}\n")
                if different > 20:
                    break
    print(f"{given.count} configurations, {refused} refused, {different} differences, {time.monotonic() - start:.0f} s")
    sys.exit(different > 0)


if __name__ == "__main__":
    main()
