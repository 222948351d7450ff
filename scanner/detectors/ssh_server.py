"""What sshd's configuration opens: judged as the daemon of the image reads it, for every account that could log in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scanner.content import Content
from scanner.credentials import mask_items
from scanner.detectors.openssh.accounts import KEEPS as ACCOUNT_FILES
from scanner.detectors.openssh.accounts import accounts
from scanner.detectors.openssh.daemon import KEEPS, SSHD, Daemon, Instance, daemon, located, spoken
from scanner.detectors.openssh.logins import Login, cut_short, logins, room_for
from scanner.detectors.openssh.weights import Reach, at_most, lowered, of_daemon
from scanner.detectors.plugin import Detector, Wants
from scanner.model import (
    Confidence,
    Evidence,
    FileLocation,
    Finding,
    Json,
    Level,
    Location,
    Notification,
    Rule,
    Severity,
    State,
    printable,
)
from scanner.oci.view import ImageView
from scanner.ssh.source import Source

if TYPE_CHECKING:
    from scanner.ssh.sshd_config import Config, Effective, Setting

NAME = "ssh_server"
USERS = 50
"""Accounts for whom Match blocks are judged: root, then the others that can log in. More are said."""
FINDINGS = 50
"""Findings of one rule for one daemon. More are said."""
BLOCKS = 32
"""Match blocks that an account does not decide and that are tried one after the other."""

_SSHD_CONFIG = "https://man.openbsd.org/sshd_config#"


def _rule(name: str, title: str, severity: Severity, description: str, help_: str, keyword: str, *attack: str) -> Rule:
    return Rule(f"ssh/{name}", title, severity, description, help_, (_SSHD_CONFIG + keyword,), attack)


ROOT_LOGIN = _rule(
    "permit-root-login", "root may log in over SSH", Severity.HIGH,
    "sshd lets root log in by any method, a password among them (PermitRootLogin yes).",
    "Whoever reaches the port needs one password to own the sandbox, and from it everything the container was given. "
    "Set `PermitRootLogin no`.",
    "PermitRootLogin", "T1021.004", "T1078.003",
)  # fmt: skip
PASSWORDS = _rule(
    "password-authentication", "SSH takes passwords", Severity.MEDIUM,
    "sshd accepts passwords, which can be guessed and which every sandbox of the image shares.",
    "A password in an image is the same in every sandbox and known to whoever has the image. Set `PasswordAuthentication "
    "no` and `KbdInteractiveAuthentication no`.",
    "PasswordAuthentication", "T1110", "T1021.004",
)  # fmt: skip
EMPTY_PASSWORDS = _rule(
    "empty-passwords", "SSH takes empty passwords", Severity.HIGH,
    "sshd lets accounts without a password log in with none (PermitEmptyPasswords yes).",
    "Anybody who reaches the port is in. Set `PermitEmptyPasswords no`.",
    "PermitEmptyPasswords", "T1078.003",
)  # fmt: skip
TCP_FORWARDING = _rule(
    "tcp-forwarding", "SSH forwards TCP", Severity.MEDIUM,
    "Whoever logs in may forward TCP connections through the sandbox, into it and out of it (AllowTcpForwarding).",
    "The sandbox becomes a way into every network it stands in, and a tunnel's far end. Set `AllowTcpForwarding no`, or "
    "`DisableForwarding yes` for all kinds at once.",
    "AllowTcpForwarding", "T1572", "T1090.001",
)  # fmt: skip
GATEWAY_PORTS = _rule(
    "gateway-ports", "SSH opens forwarded ports to everybody", Severity.HIGH,
    "Ports forwarded by a client listen on all addresses, not on loopback alone (GatewayPorts).",
    "A reverse tunnel's end in the sandbox can be reached by its whole network. Set `GatewayPorts no`.",
    "GatewayPorts", "T1572",
)  # fmt: skip
PERMIT_TUNNEL = _rule(
    "permit-tunnel", "SSH carries a network", Severity.HIGH,
    "sshd lets clients open tun or tap devices: a virtual private network through SSH (PermitTunnel).",
    "One connection joins the sandbox's network to another, past every rule on ports. Set `PermitTunnel no`.",
    "PermitTunnel", "T1572",
)  # fmt: skip
STREAM_LOCAL = _rule(
    "stream-local-forwarding", "SSH forwards Unix sockets", Severity.LOW,
    "Whoever logs in may forward Unix sockets, a container engine's among them (AllowStreamLocalForwarding).",
    "A socket mounted into the sandbox can be used from outside. Set `AllowStreamLocalForwarding no`.",
    "AllowStreamLocalForwarding", "T1572",
)  # fmt: skip
AGENT_FORWARDING = _rule(
    "agent-forwarding", "SSH forwards agents", Severity.LOW,
    "sshd is told to forward authentication agents: a client's keys can be used from within the sandbox (AllowAgentForwarding).",
    "An agent in the sandbox can log in elsewhere with the keys of whoever connects to it. Set `AllowAgentForwarding no`.",
    "AllowAgentForwarding", "T1563.001",
)  # fmt: skip
X11 = _rule(
    "x11-forwarding", "SSH forwards X11", Severity.LOW,
    "sshd forwards X11, so that programs of the sandbox can reach a client's display (X11Forwarding).",
    "A sandbox needs no display. Set `X11Forwarding no`.",
    "X11Forwarding", "T1563.001",
)  # fmt: skip
USER_ENVIRONMENT = _rule(
    "permit-user-environment", "SSH takes the user's environment", Severity.MEDIUM,
    "sshd reads ~/.ssh/environment and environment= of keys: LD_PRELOAD runs code in every session (PermitUserEnvironment).",
    "Whoever can write the file decides what a login runs, forced commands included. Set `PermitUserEnvironment no`.",
    "PermitUserEnvironment", "T1574.006",
)  # fmt: skip
HOST_BASED = _rule(
    "host-based", "SSH trusts hosts", Severity.HIGH,
    "sshd lets users of trusted hosts in without any proof of their own (HostbasedAuthentication, IgnoreRhosts).",
    "Who holds a trusted host's key is every user on it. Set `HostbasedAuthentication no` and `IgnoreRhosts yes`.",
    "HostbasedAuthentication", "T1021.004",
)  # fmt: skip
WEAK_CRYPTO = _rule(
    "weak-crypto", "SSH with broken or dated cryptography", Severity.MEDIUM,
    "The configuration switches on algorithms that OpenSSH no longer offers by itself.",
    "Sessions can be read or altered, or a host impersonated. Remove the line: the defaults are good.",
    "Ciphers", "T1557",
)  # fmt: skip
STRICT_MODES = _rule(
    "strict-modes", "SSH reads files that others can write", Severity.MEDIUM,
    "sshd does not check who may write authorized_keys and the folders above it (StrictModes no).",
    "Any process that can write there can plant a key. Set `StrictModes yes`.",
    "StrictModes", "T1098.004",
)  # fmt: skip
KEYS_COMMAND = _rule(
    "authorized-keys-command", "SSH asks a program for keys", Severity.MEDIUM,
    "sshd runs a program at every login that says which keys may log in (AuthorizedKeysCommand, AuthorizedPrincipalsCommand).",
    "Who may log in is decided outside the files that can be reviewed. Remove the line, or see to it that only root can "
    "write the program.",
    "AuthorizedKeysCommand", "T1098.004", "T1556",
)  # fmt: skip
TRUSTED_CA = _rule(
    "trusted-ca", "SSH trusts a certificate authority", Severity.HIGH,
    "Every key that the named authority signs may log in (TrustedUserCAKeys).",
    "Its holder has a key to every sandbox of the image. Remove the line, or limit it with AuthorizedPrincipalsFile.",
    "TrustedUserCAKeys", "T1098.004",
)  # fmt: skip
SSHD_STARTS = _rule(
    "sshd-starts", "An SSH daemon starts", Severity.HIGH,
    "Something in the image starts sshd, dropbear or tinysshd: its entrypoint or command, a script, a unit or an init script.",
    "A sandbox is entered through its engine; a daemon is one more door, and a tunnel's landing place. Remove what starts "
    "it, and the package.",
    "DESCRIPTION", "T1021.004", "T1133",
)  # fmt: skip
INERT = _rule(
    "inert-config", "sshd would not start with this configuration", Severity.NOTE,
    "A line that sshd of the image's version refuses: it ends before it listens, and nothing in the file takes effect.",
    "What else is found in the file counts again once the line is mended. Remove the file if no daemon is wanted.",
    "DESCRIPTION",
)  # fmt: skip

RULES = (
    ROOT_LOGIN, PASSWORDS, EMPTY_PASSWORDS, TCP_FORWARDING, GATEWAY_PORTS, PERMIT_TUNNEL, STREAM_LOCAL, AGENT_FORWARDING,
    X11, USER_ENVIRONMENT, HOST_BASED, WEAK_CRYPTO, STRICT_MODES, KEYS_COMMAND, TRUSTED_CA, SSHD_STARTS, INERT,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What one setting amounts to: how bad if somebody wrote it, and how bad as a default of a daemon that starts (None: nothing)."""

    setting: Setting
    severity: Severity
    what: str
    default: Severity | None = None


Check = Callable[["Effective"], "_Verdict | None"]


def _value(effective: Effective, keyword: str) -> str:
    return " ".join(effective.get(keyword).values).lower()


def _root(e: Effective) -> _Verdict | None:
    if _value(e, "permitrootlogin") != "yes":
        return None
    by_password = _value(e, "passwordauthentication") == "yes" or _value(e, "kbdinteractiveauthentication") == "yes"
    how = "by password or key" if by_password else "by key; passwords are off"
    severity = Severity.HIGH if by_password else Severity.MEDIUM
    return _Verdict(e.get("permitrootlogin"), severity, f"root may log in {how}", lowered(severity))


def _passwords(e: Effective) -> _Verdict | None:
    if _value(e, "passwordauthentication") == "yes":
        return _Verdict(e.get("passwordauthentication"), Severity.MEDIUM, "passwords are accepted", Severity.LOW)
    if _value(e, "kbdinteractiveauthentication") == "yes" and _value(e, "usepam") == "yes":
        what = "passwords are accepted through keyboard-interactive authentication and PAM"
        return _Verdict(e.get("kbdinteractiveauthentication"), Severity.MEDIUM, what, Severity.LOW)
    return None


def _empty(e: Effective) -> _Verdict | None:
    if _value(e, "permitemptypasswords") != "yes":
        return None
    taken = _value(e, "passwordauthentication") == "yes" or _value(e, "kbdinteractiveauthentication") == "yes"
    what = "accounts without a password may log in" + ("" if taken else ", once passwords are accepted at all")
    return _Verdict(e.get("permitemptypasswords"), Severity.HIGH if taken else Severity.LOW, what)


def _forwards(e: Effective) -> bool:
    return _value(e, "disableforwarding") != "yes"


def _tcp(e: Effective) -> _Verdict | None:
    value = _value(e, "allowtcpforwarding")
    if value == "no" or not _forwards(e):
        return None
    which = {"local": "outwards from the sandbox", "remote": "inwards to the sandbox"}.get(value, "both ways")
    return _Verdict(e.get("allowtcpforwarding"), Severity.MEDIUM, f"TCP is forwarded {which}", Severity.LOW)


def _gateway(e: Effective) -> _Verdict | None:
    value = _value(e, "gatewayports")
    if value == "no" or not _forwards(e) or _value(e, "allowtcpforwarding") in ("no", "local"):
        return None
    who = "on all addresses" if value == "yes" else "on whatever address the client asks for"
    return _Verdict(e.get("gatewayports"), Severity.HIGH, f"ports forwarded by a client listen {who}")


def _tunnel(e: Effective) -> _Verdict | None:
    value = _value(e, "permittunnel")
    if value == "no" or not _forwards(e):
        return None
    return _Verdict(e.get("permittunnel"), Severity.HIGH, f"clients may open tunnel devices ({printable(value, 40)})")


def _streams(e: Effective) -> _Verdict | None:
    value = _value(e, "allowstreamlocalforwarding")
    if value == "no" or not _forwards(e):
        return None
    return _Verdict(e.get("allowstreamlocalforwarding"), Severity.LOW, "Unix sockets are forwarded")


def _agent(e: Effective) -> _Verdict | None:
    if _value(e, "allowagentforwarding") == "no" or not _forwards(e):
        return None
    return _Verdict(e.get("allowagentforwarding"), Severity.LOW, "authentication agents are forwarded")


def _x11(e: Effective) -> _Verdict | None:
    if _value(e, "x11forwarding") != "yes" or not _forwards(e):
        return None
    return _Verdict(e.get("x11forwarding"), Severity.LOW, "X11 is forwarded")


def _environment(e: Effective) -> _Verdict | None:
    setting = e.get("permituserenvironment")
    if setting.value == "no":
        return None
    which = "any variable" if setting.value == "yes" else printable(setting.value, 60)
    return _Verdict(setting, Severity.MEDIUM, f"a user's file sets {which} for a login")


def _hosts(e: Effective) -> _Verdict | None:
    if _value(e, "hostbasedauthentication") != "yes":
        return None
    rhosts = _value(e, "ignorerhosts") == "no"
    what = "users of trusted hosts log in without proof" + (
        ", and ~/.rhosts says which hosts are trusted" if rhosts else ""
    )
    return _Verdict(e.get("hostbasedauthentication"), Severity.HIGH, what)


def _modes(e: Effective) -> _Verdict | None:
    if _value(e, "strictmodes") != "no":
        return None
    return _Verdict(e.get("strictmodes"), Severity.MEDIUM, "files that others can write are trusted")


def _command(keyword: str) -> Check:
    def check(e: Effective) -> _Verdict | None:
        value = _value(e, keyword)
        if value in ("", "none"):
            return None
        return _Verdict(e.get(keyword), Severity.MEDIUM, "a program decides who may log in")

    return check


def _authority(e: Effective) -> _Verdict | None:
    if _value(e, "trustedusercakeys") in ("", "none"):
        return None
    narrow = _value(e, "authorizedprincipalsfile") not in ("", "none")
    severity = Severity.MEDIUM if narrow else Severity.HIGH
    return _Verdict(e.get("trustedusercakeys"), severity, "whoever its authorities sign may log in")


CHECKS: tuple[tuple[Rule, Check], ...] = (
    (ROOT_LOGIN, _root),
    (PASSWORDS, _passwords),
    (EMPTY_PASSWORDS, _empty),
    (TCP_FORWARDING, _tcp),
    (GATEWAY_PORTS, _gateway),
    (PERMIT_TUNNEL, _tunnel),
    (STREAM_LOCAL, _streams),
    (AGENT_FORWARDING, _agent),
    (X11, _x11),
    (USER_ENVIRONMENT, _environment),
    (HOST_BASED, _hosts),
    (STRICT_MODES, _modes),
    (KEYS_COMMAND, _command("authorizedkeyscommand")),
    (KEYS_COMMAND, _command("authorizedprincipalscommand")),
    (TRUSTED_CA, _authority),
)
_SPELLED = {
    word.lower(): word
    for word in (
        "PermitRootLogin PasswordAuthentication KbdInteractiveAuthentication PermitEmptyPasswords AllowTcpForwarding "
        "GatewayPorts PermitTunnel AllowStreamLocalForwarding AllowAgentForwarding X11Forwarding PermitUserEnvironment "
        "HostbasedAuthentication StrictModes AuthorizedKeysCommand AuthorizedPrincipalsCommand TrustedUserCAKeys Ciphers "
        "MACs KexAlgorithms HostKeyAlgorithms PubkeyAcceptedAlgorithms CASignatureAlgorithms"
    ).split()
}
_CRYPTO = ("ciphers", "macs", "kexalgorithms", "hostkeyalgorithms", "pubkeyacceptedalgorithms", "casignaturealgorithms")


@dataclass
class _Heard:
    """One setting, from all the scenarios in which it is the one that counts."""

    verdict: _Verdict
    users: dict[str, None] = field(default_factory=dict)
    conditions: dict[str, None] = field(default_factory=dict)
    by_itself: bool = False


@dataclass(frozen=True, slots=True)
class _Scenario:
    """A kind of connection: an account's (None: any), where `condition` holds, "" without one. `root`: it may be root's."""

    effective: Effective
    user: str | None
    condition: str
    root: bool


def inspect(_: Content) -> tuple[Evidence, ...]:
    """Nothing: the files are kept whole and judged together."""
    return ()


def judge(view: ImageView) -> Iterator[Finding | Notification]:
    """The daemons, their configuration's inert line if it has one, and what its settings open."""
    server = daemon(view)
    people = logins(view)
    yield from (*server.notes, *accounts(view).notes, *people.notes)
    yield from _started(view, server)
    told: set[str] = set()
    for instance, accounts_ in zip(server.instances, people.by_instance, strict=True):
        if instance.config is None:
            continue
        notes: list[Notification] = []
        scenarios = tuple(_scenarios(view, instance, instance.config, accounts_, notes))
        found = _inert(view, server, instance), *_settings(view, server, instance, scenarios, notes)
        yield from dict.fromkeys(notes)
        for finding in found:  # the same line in another daemon's eyes: the nearest to running came first
            if finding is not None and finding.fingerprint not in told:
                told.add(finding.fingerprint)
                yield finding


def _settings(
    view: ImageView, server: Daemon, instance: Instance, scenarios: Sequence[_Scenario], notes: list[Notification]
) -> Iterator[Finding | None]:
    for rule, check in (*CHECKS, *_crypto(instance, server)):
        concerned = [s for s in scenarios if s.root] if rule is ROOT_LOGIN else scenarios
        for number, heard in enumerate(_heard(concerned, check)):
            if number == FINDINGS:
                what = f"more than {FINDINGS} findings of {rule.id}: the rest are not told"
                notes.append(Notification("detector", Level.WARNING, what, instance.main))
                break
            yield _finding(view, server, instance, rule, heard, scenarios)


def _scenarios(
    view: ImageView, instance: Instance, config: Config, people: Sequence[Login], notes: list[Notification]
) -> Iterator[_Scenario]:
    """Everybody alike where there is no Match; else each account that may log in, under each block that its name leaves open."""
    from scanner.ssh import sshd_config
    from scanner.ssh.sshd_config import Connection

    able = [login for login in people if login.account.can_login and not login.refused]
    root = not accounts(view).all or any(login.account.uid == 0 for login in able)
    if not config.matches or not able:
        yield _Scenario(sshd_config.evaluate(config), None, "", root)
    if not config.matches:
        return
    room = room_for(config)
    cut = len(able) > USERS
    judged: Sequence[Login | None] = able[:USERS] or (None,)
    for login in judged:
        connection, user, root_ = Connection(), None, root
        if login is not None:
            user, root_ = login.account.name, login.account.uid == 0
            connection = Connection(user=user, groups=login.account.groups)
            yield _Scenario(login.effective, user, "", root_)
        undecided = sshd_config.undecided(config, connection)
        cut = cut or len(undecided) > BLOCKS or room < len(undecided)
        for block in undecided[: min(BLOCKS, room)]:
            room -= 1
            effective = sshd_config.evaluate(config, connection, frozenset((block,)))
            notes += cut_short(effective, instance)
            yield _Scenario(effective, user, config.matches[block].text, root_)
    if cut:
        what = f"has more accounts, Match blocks or lines than are judged: at most {USERS} accounts, {BLOCKS} open blocks of each"
        notes.append(Notification("detector", Level.WARNING, what, instance.main))


def _heard(scenarios: Sequence[_Scenario], check: Check) -> Iterator[_Heard]:
    found: dict[object, _Heard] = {}
    for scenario in scenarios:
        verdict = check(scenario.effective)
        if verdict is None:
            continue
        key = (verdict.setting.keyword, verdict.setting.where, verdict.setting.values, verdict.severity)
        heard = found.setdefault(key, _Heard(verdict))
        if scenario.user is not None:
            heard.users[scenario.user] = None
        if scenario.condition:
            heard.conditions[scenario.condition] = None
        else:
            heard.by_itself = True
    for heard in found.values():
        if heard.by_itself:  # a block that leaves it as it is is no condition
            heard.conditions.clear()
        yield heard


def _weigh(severity: Severity, reach: Reach, inert: bool) -> Severity:
    weight = of_daemon(severity, reach)
    return at_most(lowered(weight), Severity.MEDIUM) if inert else weight


def _finding(
    view: ImageView, server: Daemon, instance: Instance, rule: Rule, heard: _Heard, scenarios: Sequence[_Scenario]
) -> Finding | None:
    verdict, setting, reach = heard.verdict, heard.verdict.setting, instance.reach
    severity = verdict.severity
    if setting.where is None:
        if verdict.default is None or reach is Reach.ABSENT:
            return None
        severity = verdict.default
    who = _for_whom(rule, heard, scenarios)
    shown = f"{_spelled(setting)} {printable(' '.join(setting.values), 160)}"
    said = shown if setting.where is not None else f"{shown} (OpenSSH {server.version}'s default)"
    location = _place(view, server, instance, setting)
    line = location.line if isinstance(location, FileLocation) else None
    path = location.path if isinstance(location, FileLocation) else b""
    evidence = [Evidence(NAME, "setting" if setting.where else "default", path, line=line, excerpt=said)]
    if SSHD in server.programs:
        guessed = " (assumed)" if server.assumed else ""
        program = f"OpenSSH {server.version}{guessed}"
        evidence.append(Evidence(NAME, "daemon", server.programs[SSHD].path, excerpt=program))
    evidence += [Evidence(NAME, "start", b"", excerpt=s.what) for s in instance.starts[:3]]
    details: dict[str, Json] = {
        "keyword": _spelled(setting),
        "value": printable(" ".join(setting.values), 1000),
        "default": setting.where is None,
        "users": [printable(u, 60) for u in who] if who else None,
        "match": [printable(c, 200) for c in heard.conditions][:8],
        "daemon": reach.name.lower(),
        "version": str(server.version),
        "inert": instance.fatal is not None,
    }
    begin = f"{_spelled(setting)} {verdict.what}" if rule is WEAK_CRYPTO else f"{said}: {verdict.what}"
    message = f"{begin}{_who_words(who, heard)}{_reached(reach)}{_inert_words(instance)}."
    return view.finding(
        rule,
        at=location,
        state=State.VISIBLE,
        hidden_by=None,
        severity=_weigh(severity, reach, instance.fatal is not None),
        confidence=Confidence.MEDIUM if server.assumed and setting.where is None else Confidence.HIGH,
        message=message,
        evidence=evidence,
        details=details,
        related=[s.location for s in instance.starts[:3] if s.location != location],
        identity=(setting.keyword, *setting.values, *_block(instance, setting)),
    )


def _spelled(setting: Setting) -> str:
    return _SPELLED.get(setting.keyword, setting.keyword)


def _block(instance: Instance, setting: Setting) -> tuple[str, ...]:
    """The Match line that a setting stands under."""
    if instance.config is None or setting.match is None:
        return ()
    return (instance.config.matches[setting.match].text,)


def _for_whom(rule: Rule, heard: _Heard, scenarios: Sequence[_Scenario]) -> list[str]:
    """The accounts that it holds for, where those are not all that could log in."""
    everybody = {s.user for s in scenarios if s.user is not None}
    if rule is ROOT_LOGIN or (heard.verdict.setting.match is None and len(heard.users) == len(everybody)):
        return []
    return list(heard.users)


def _who_words(who: Sequence[str], heard: _Heard) -> str:
    more = f" and {len(who) - 3} more" if len(who) > 3 else ""
    people = ", for " + ", ".join(printable(u, 40) for u in who[:3]) + more if who else ""
    return people + (f", where Match {printable(next(iter(heard.conditions)), 80)}" if heard.conditions else "")


def _reached(reach: Reach) -> str:
    return {
        Reach.ABSENT: "; no sshd lies in the image",
        Reach.INSTALLED: "; nothing in the image starts sshd",
        Reach.ENABLED: "; only an init system or a script starts sshd",
        Reach.STARTS: "; sshd starts with the container",
    }[reach]


def _inert_words(instance: Instance) -> str:
    fatal = instance.fatal
    return "" if fatal is None else f"; inert: {spoken(fatal.where, instance)} keeps sshd from starting"


def _place(view: ImageView, server: Daemon, instance: Instance, setting: Setting) -> Location:
    """The winning line; for a default the file that does not say otherwise, or the program."""
    if setting.where is not None:
        return located(view, setting.where, instance)
    file = view.files.read(instance.main)
    return server.programs[SSHD] if file is None else file.at()


def _crypto(instance: Instance, server: Daemon) -> Iterator[tuple[Rule, Check]]:
    """Algorithms beyond the version's defaults: those are nobody's choice and no finding."""
    from scanner.ssh import algorithms, sshd_config

    usual = sshd_config.evaluate(sshd_config.parse(Source(instance.main, b""), lambda _: (), server.version))
    for keyword in _CRYPTO:
        default = frozenset(",".join(usual.get(keyword).values).split(","))

        def check(e: Effective, keyword: str = keyword, default: frozenset[str] = default) -> _Verdict | None:
            setting = e.get(keyword)
            if setting.where is None:
                return None
            chosen = [a for a in ",".join(setting.values).split(",") if a and a not in default]
            weak = algorithms.weak(keyword, ",".join(chosen)) if chosen else ()
            if not weak:
                return None
            broken = any(w.grade == "broken" for w in weak)
            names = ", ".join(f"{printable(w.name, 60)} ({w.why})" for w in weak[:3]) + (", …" if len(weak) > 3 else "")
            return _Verdict(setting, Severity.MEDIUM if broken else Severity.LOW, f"switches on {names}")

        yield WEAK_CRYPTO, check


def _inert(view: ImageView, server: Daemon, instance: Instance) -> Finding | None:
    fatal = instance.fatal
    if fatal is None:
        return None
    location = located(view, fatal.where, instance)
    path = location.path if isinstance(location, FileLocation) else b""
    guessed = " (assumed)" if server.assumed else ""
    said = f"OpenSSH {server.version}{guessed} would not start for {spoken(fatal.where, instance)}: {printable(fatal.message, 200)}"
    return view.finding(
        INERT,
        at=location,
        state=State.VISIBLE,
        hidden_by=None,
        severity=Severity.NOTE,
        confidence=Confidence.MEDIUM if server.assumed else Confidence.HIGH,
        message=f"{said}{_reached(instance.reach) if instance.reach is Reach.ABSENT else ''}.",
        evidence=[
            Evidence(NAME, "refused line", path, line=fatal.where.line or None, excerpt=printable(fatal.message))
        ],
        details={"version": str(server.version), "daemon": instance.reach.name.lower()},
        identity=(fatal.message,),
    )


def _started(view: ImageView, server: Daemon) -> Iterator[Finding]:
    """One finding for all that starts a server, at what is surest to."""
    for name, program in server.programs.items():
        starts = [s for s in server.starts if s.server == name]
        if not starts:
            continue
        first = starts[0]
        instance = next((i for i in server.instances if first in i.starts), None)
        severity = Severity.HIGH if first.reach is Reach.STARTS else Severity.MEDIUM
        when = "with the container" if first.reach is Reach.STARTS else "if an init system or a script is run"
        but = ""
        if instance is not None and instance.missing:
            severity = lowered(severity)
            but = f"; it ends if nothing writes its configuration, {printable(instance.main, 120)}, before"
        elif instance is not None and instance.fatal is not None:
            severity, but = Severity.LOW, _inert_words(instance)
        yield view.finding(
            SSHD_STARTS,
            at=first.location,
            state=State.VISIBLE,
            hidden_by=None,
            severity=severity,
            confidence=Confidence.HIGH if first.reach is Reach.STARTS else Confidence.MEDIUM,
            message=f"{server.named(name)} starts {when}: {first.what}{but}.",
            evidence=[Evidence(NAME, "start", b"", excerpt=s.what) for s in starts[:8]],
            details={
                "server": name,
                "daemon": first.reach.name.lower(),
                "version": str(server.version) if name == SSHD else None,
                "arguments": list(mask_items(first.arguments)),
                "inert": but != "",
            },
            related=[*(s.location for s in starts[1:8] if s.location != first.location), program],
            identity=(name,),
        )


PLUGIN = Detector(
    NAME,
    version=1,
    rules=RULES,
    wants=Wants(keeps=(*KEEPS, *ACCOUNT_FILES)),
    inspect=inspect,
    judge=judge,
)
