"""SSH servers that a build installs, starts, or opens wider than they come."""

import re
from collections.abc import Iterator, Sequence

from scanner.checking.builds import Order, When
from scanner.checking.rules.commands import SSH_SERVERS, installs
from scanner.checking.rules.plugin import WHEN, Check, Hit, Seen, Sign
from scanner.credentials import mask
from scanner.detectors.tunnelling.commands import deeds
from scanner.model import Confidence, Rule, Severity, printable

RULE = Rule(
    id="build/ssh-server",
    name="SSH server brought by a build",
    severity=Severity.CRITICAL,
    description="A Dockerfile that installs an ssh server, starts one, lets root or passwords in (PermitRootLogin, PasswordAuthentication, "
    "PermitEmptyPasswords), or gives an account a password for it.",
    help="A sandbox needs no door of its own: the engine's exec goes in without a server, a key or a password. Take the server out; if "
    "somebody must log in, then with a key that comes when the sandbox starts, not as root, and never by password.",
    references=("https://attack.mitre.org/techniques/T1021/004/", "https://man.openbsd.org/sshd_config"),
    attack=("T1021.004", "T1098", "T1133"),
)

_ONLY_SOMEWHERE = frozenset({"openssh"})
"""What Fedora calls so has no server in it, Alpine's has."""
_OPENS = r"(?P<key>PermitRootLogin|PasswordAuthentication|PermitEmptyPasswords)[\s=]+\"?(?P<value>yes)\b"
_LINE = re.compile(r"(?i)^\s*(?:(?:echo|printf|tee)\b.*?[\"'\s])?" + _OPENS)
_SET = re.compile(r"(?i)" + _OPENS)
_SUBSTITUTED = re.compile(
    r"(?:^|[;{\s\d$/])s(?P<by>[^\w\s])(?:\\.|(?!(?P=by)).)*(?P=by)(?P<new>(?:\\.|(?!(?P=by)).)*)(?P=by)?"
)
_PASSWORD = re.compile(r"(?P<user>[a-z_][a-z0-9_.-]*):[^\s\"']+")


def judge(seen: Seen) -> Iterator[Hit]:
    """One hit for what brings the server, one for each setting that opens it, one for passwords."""
    brought = list(_brought(seen, seen.orders))
    started = [(order, what) for order in seen.orders for what in _starts(order)]
    if brought or started:
        yield _server(seen, brought, started)
    opened = list(_opened(seen))
    passwords = [order for order in seen.orders if _gives_password(order)]
    if not opened and not passwords:
        return  # what came before is asked only where it matters: stages that are built on each other all have it
    there = bool(brought or started) or any(True for _ in _brought(seen, seen.before))
    there = there or any(True for order in seen.before for _ in _starts(order))
    for line, key in opened:
        sign = Sign("setting", f"{key} yes", seen.build.file, line)
        empty = key.lower() == "permitemptypasswords"
        who = {"permitrootlogin": "root", "passwordauthentication": "whoever knows a password"}.get(
            key.lower(), "accounts without a password"
        )
        severity = Severity.CRITICAL if empty and there else Severity.HIGH if there else Severity.MEDIUM
        message = f"sshd is configured to let {who} in ({key} yes){'' if there else ', though no ssh server is installed here'}."
        yield Hit(severity, Confidence.HIGH, message, (sign,), (key.lower(),), {"setting": key})
    yield from _passwords(seen, passwords, there)


def _brought(seen: Seen, orders: Sequence[Order]) -> Iterator[tuple[str, Sign]]:
    for order in orders:
        for package in installs(order.command):
            name = package.name if package.manager == "system" else ""
            if name in SSH_SERVERS and not (
                name == "openssh" and order.command.name not in ("apk", "pacman", "zypper", "brew")
            ):
                yield (
                    name,
                    Sign("package", f"package {SSH_SERVERS[name]}", order.file, seen.line_of(order, package.word)),
                )


def _starts(order: Order) -> Iterator[str]:
    """What a command starts of a server; one that only makes keys or tests the configuration starts none."""
    yield from (deed.summary for deed in deeds(order.command) if deed.kind == "daemon" and not order.command.remote)


def _server(seen: Seen, brought: Sequence[tuple[str, Sign]], started: Sequence[tuple[Order, str]]) -> Hit:
    signs = [sign for _, sign in brought]
    for order, what in started:
        signs.append(Sign("start", printable(mask(what), 200), order.file, seen.line_of(order, order.command.name)))
    runs = next(((o, w) for o, w in started if o.when is When.START), None)
    if runs is not None:
        message = f"{runs[0].via} starts an ssh server {WHEN[When.START]}."
        signs.sort(key=lambda s: s.kind != "start" or s.line != seen.line_of(runs[0], runs[0].command.name))
        return Hit(Severity.HIGH, Confidence.HIGH, message, tuple(signs), ("starts",), {"starts": True})
    if started:
        message = f"{started[0][0].via} starts or enables an ssh server {WHEN[started[0][0].when]}."
        return Hit(Severity.MEDIUM, Confidence.HIGH, message, tuple(signs), ("enabled",), {"starts": False})
    name = brought[0][0]
    message = f"The build installs {SSH_SERVERS[name]}; nothing in the Dockerfile starts it."
    confidence = Confidence.MEDIUM if name in _ONLY_SOMEWHERE else Confidence.HIGH
    return Hit(Severity.MEDIUM, confidence, message, tuple(signs), ("installed",), {"starts": False})


def _opened(seen: Seen) -> Iterator[tuple[int, str]]:
    """(line, keyword) of each setting that a command or a document of the build writes; what sed only looks for is none."""
    told: set[tuple[int, str]] = set()
    for order in seen.orders:
        if order.file != seen.build.file:
            continue
        for key in _written(order):
            line = seen.line_of(order, key)
            if (line, key) not in told:
                told.add((line, key))
                yield line, key
    instructions = [i for i in seen.stage.instructions if "sshd_config" in i.value or "/ssh/" in i.value]
    for at in instructions:
        for number in range(at.line, min(at.end_line, len(seen.build.text)) + 1):
            text = seen.build.text[number - 1]
            found = _LINE.search(re.sub(r"(?i)^\s*RUN\s+", "", text))
            if found is not None and (number, found["key"]) not in told and " sed " not in f" {text} ":
                told.add((number, found["key"]))
                yield number, found["key"]


def _written(order: Order) -> Iterator[str]:
    command = order.command
    if command.name == "sed":
        for word in command.argv[1:]:
            for found in _SUBSTITUTED.finditer(word):
                if key := _SET.search(found["new"].replace("\\", " ")):
                    yield key["key"]
            if key := re.match(r"(?i)(?:\$|\d+|/[^/]*/)?\s*[aic]\\?\s*" + _OPENS, word):
                yield key["key"]
    elif "ssh" in command.into and (key := _LINE.match(" ".join(command.argv))):
        yield key["key"]
    elif command.name in ("sshd", "dropbear"):
        for word in command.argv[1:]:
            if key := _SET.match(word.removeprefix("-o")):
                yield key["key"]


def _gives_password(order: Order) -> bool:
    command = order.command
    gives = command.name == "chpasswd" or (command.name == "passwd" and "--stdin" in command.argv)
    gives = gives or (
        command.name in ("usermod", "useradd") and any(w in ("-p", "--password") for w in command.argv[1:])
    )
    return gives and not command.remote


def _passwords(seen: Seen, orders: Sequence[Order], there: bool) -> Iterator[Hit]:
    """Accounts that get a password by chpasswd, passwd or useradd -p; the password itself is never shown."""
    for order in orders:
        command = order.command
        lines = seen.texts.get(order.file, ())
        line = seen.line_of(order, command.name)
        text = lines[line - 1] if 0 < line <= len(lines) else ""
        found = _PASSWORD.search(text) if command.name == "chpasswd" else None
        who = (
            found["user"]
            if found is not None
            else command.argv[-1]
            if command.name in ("usermod", "useradd")
            else "an account"
        )
        who = printable(who, 40)
        severity = (Severity.HIGH if who == "root" else Severity.MEDIUM) if there else Severity.LOW
        door = (
            "which an ssh server of this build asks for"
            if there
            else "which everybody who can read the Dockerfile knows"
        )
        sign = Sign("password", f"{command.name}: {who}:***", order.file, line)
        yield Hit(
            severity,
            Confidence.HIGH,
            f"{order.via} gives {who} a password, {door}.",
            (sign,),
            ("password", who),
            {"account": who},
        )


PLUGIN = Check(RULE, judge)
