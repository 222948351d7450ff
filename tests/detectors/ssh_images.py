"""Layers of images with ssh in them, for the tests of what is judged there."""

from collections.abc import Iterable, Mapping, Sequence

from fixtures.elf import Program, build
from scanner.model import FileLocation, Finding, ImageConfig, Level, Notification
from tests.detectors.conftest import File, Folder, Link

Layers = Mapping[str, "bytes | File | Link | Folder | None"]

PASSWD = (
    b"root:x:0:0:root:/root:/bin/bash\n"
    b"daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"
    b"bob:x:1000:1000:Bob:/home/bob:/bin/bash\n"
    b"tunnel:x:1001:1001::/home/tunnel:/usr/sbin/nologin\n"
)
SHADOW = b"root:*:19000:0:99999:7:::\nbob:*:19000:0:99999:7:::\ntunnel:*:19000:0:99999:7:::\n"
GROUP = b"root:x:0:\nbob:x:1000:\nstaff:x:50:bob\n"
CONFIG = "etc/ssh/sshd_config"
WANTS = "etc/systemd/system/multi-user.target.wants/ssh.service"
UNIT = b"[Service]\nEnvironmentFile=-/etc/default/ssh\nExecStartPre=/usr/sbin/sshd -t\nExecStart=/usr/sbin/sshd -D $SSHD_OPTS\n"
STARTED = ImageConfig(cmd=("/usr/sbin/sshd", "-D"))


def program(version: str = "9.2") -> File:
    """A daemon whose banner names the version, among the patterns of old clients that every sshd has."""
    banner = f"OpenSSH_6.6.1*\0OpenSSH_7.0*,OpenSSH_7.1*\0OpenSSH_{version}p1 Debian-2\0OpenSSH_7.4*\0"
    return File(build(Program(strings=banner.encode(), needed=("libc.so.6",), imports=("socket",))), 0o755)


CLIENT = {"usr/bin/ssh": File(build(Program(needed=("libc.so.6",), imports=("socket",))), 0o755)}


def image(
    config: bytes | str | None = b"", daemon: str | None = "9.2", **files: bytes
) -> dict[str, bytes | File | Link | Folder | None]:
    """One layer with accounts, a daemon of that version (None: without) and its configuration (None: without)."""
    layer: dict[str, bytes | File | Link | Folder | None] = {
        "etc/passwd": PASSWD,
        "etc/shadow": File(SHADOW, 0o640),
        "etc/group": GROUP,
    }
    if daemon is not None:
        layer["usr/sbin/sshd"] = program(daemon)
    if config is not None:
        layer[CONFIG] = config.encode() if isinstance(config, str) else config
    return layer | files


def enabled() -> dict[str, bytes | Link]:
    """What Debian's package adds, so that systemd starts the daemon."""
    return {"lib/systemd/system/ssh.service": UNIT, WANTS: Link("/lib/systemd/system/ssh.service")}


def of(rule: str, findings: Iterable[object]) -> list[Finding]:
    """The findings of `ssh/RULE`."""
    return [f for f in findings if isinstance(f, Finding) and f.rule_id == f"ssh/{rule}"]


def only(rule: str, findings: Iterable[object]) -> Finding:
    found = of(rule, findings)
    assert len(found) == 1, [f.message for f in found]
    return found[0]


def rules(findings: Iterable[object]) -> set[str]:
    """The names of the ssh rules that have findings."""
    return {f.rule_id[4:] for f in findings if isinstance(f, Finding) and f.rule_id.startswith("ssh/")}


def place(finding: Finding) -> tuple[str, int | None, int | None]:
    """(path or field, line, layer) of the primary location."""
    first = finding.locations[0]
    if isinstance(first, FileLocation):
        return first.display.decode(), first.line, first.layer.index
    return first.field, None, None


def cut(said: Sequence[object], word: str) -> list[Notification]:
    """The notifications that make the report incomplete and hold the word."""
    return [n for n in said if isinstance(n, Notification) and n.level is not Level.NOTE and word in n.message]
