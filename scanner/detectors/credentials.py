"""Credentials that lie ready: by name and place, never by value; and which host a private key probably opens. Means, no findings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from scanner import credentials
from scanner.content import Content
from scanner.detectors import ssh_client, ssh_private_key
from scanner.detectors.launchers import configured
from scanner.detectors.openssh.accounts import accounts
from scanner.detectors.openssh.daemon import COMMANDS
from scanner.detectors.plugin import Detector, Wants
from scanner.detectors.tunnelling.commands import deeds
from scanner.model import (
    ConfigLocation,
    Evidence,
    Finding,
    Json,
    Level,
    Means,
    MeansKind,
    Notification,
    State,
    printable,
)
from scanner.oci.view import ImageView, Sighting

if TYPE_CHECKING:
    pass

_T = TypeVar("_T")
NAME = "credentials"
HYPOTHESES = 500
"""Pairs of a key and a host that are told; past that a note says so."""
KEYS = 500
"""Keys that are joined with hosts."""
PER_KEY = 50
PER_NAME = 200
"""Places that name key files of one name, and hosts known to one account."""
_WIDE = tuple(re.sub(rb"\(\?![^()]*\)", b"", pattern) for _, pattern in credentials.PATHS)
"""Without what they must not be followed by, so that they are quick to look for; `inspect` asks the exact ones."""
_PATTERNS = tuple((kind, re.compile(pattern)) for kind, pattern in credentials.PATHS)
KEEPS = (rb"(?:^|/)\.ssh/known_hosts[^/]*\Z", rb"\Aetc/ssh/ssh_known_hosts[^/]*\Z")
_KNOWN = rb"(?:.*/)?\.ssh/known_hosts[^/]*|etc/ssh/ssh_known_hosts[^/]*"
_DEFAULT_KEY = re.compile(rb"(?:^|/)\.ssh/id_(?:rsa|dsa|ecdsa|ed25519|ecdsa_sk|ed25519_sk|xmss)$")
_SAMPLE = re.compile(rb"(?i)(?:^|/)(?:tests?|testdata|examples?|fixtures?|docs?)/|(?:^|/)usr/share/")


def inspect(content: Content) -> Iterator[Evidence | Notification]:
    """One Evidence for each credential of a file that holds such, and one for each git remote that ssh serves."""
    kind = next((kind for kind, pattern in _PATTERNS if pattern.search(content.name)), None)
    if kind is None or _SAMPLE.search(content.name):
        return
    data = bytes(content.data[: credentials.BYTES + 1])
    found = credentials.read(kind, data)
    for problem in found.problems:
        yield Notification("detector", Level.WARNING, problem, content.path, content.inner)
    for one in found.credentials:
        facts: dict[str, Json] = {
            "kind": one.kind,
            "name": one.name,
            "target": one.target,
            "details": dict(one.details),
        }
        shown = printable(" ".join(filter(None, (one.kind, one.name, one.target and f"for {one.target}"))), 200)
        yield Evidence(NAME, "credential", content.path, content.inner, one.offset, one.line, shown, facts)
    if kind == "git-config":
        for remote in credentials.git_remotes(data):
            if remote.scheme == "ssh":
                facts = {"host": remote.host, "port": remote.port, "user": remote.user, "name": remote.name}
                shown = printable(f"{remote.user}@{remote.host}", 200)
                yield Evidence(NAME, "remote", content.path, content.inner, None, remote.line, shown, facts)


def judge(view: ImageView) -> Iterator[Finding | Means | Notification]:
    """What a container sees of them, its environment, and which doors the keys among them may open."""
    for sighting in view.of(NAME, "credential"):
        if sighting.state is State.VISIBLE:
            f = sighting.evidence.facts
            details: dict[str, Json] = {"of": f["name"], "target": f["target"], **_mapping(f["details"])}
            yield Means(
                MeansKind.CREDENTIAL,
                str(f["kind"]),
                sighting.location,
                None,
                view.owner(sighting.evidence.path),
                details,
            )
    for at, variable in enumerate(view.image.config.env):
        for one in credentials.env_credentials((variable,)):
            details = {"of": one.name, "target": one.target, **dict(one.details)}
            yield Means(MeansKind.CREDENTIAL, one.kind, ConfigLocation(f"Env[{at}]"), None, None, details)
    joined = list(islice(_access(view), HYPOTHESES + 1))
    yield from joined[:HYPOTHESES]
    if len(joined) > HYPOTHESES:
        what = f"more than {HYPOTHESES} pairs of a key and a host: the rest are not told"
        yield Notification("detector", Level.NOTE, what)


def _number(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _port(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,5}", text) else None


def _word(value: Json) -> str | None:
    return value if isinstance(value, str) and value else None


def _mapping(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}


@dataclass(frozen=True, slots=True)
class _Door:
    """A host that something in the image names, and how sure it is that a key is for it."""

    host: str
    port: int | None
    user: str | None
    by: str
    named: bool


@dataclass(slots=True)
class _Doors:
    """What names a key file, by the file's own name: word, home it is read for, host (None: every known one); and known hosts.

    `known` is by home, None for what is known to every account.
    """

    named: dict[bytes, list[tuple[str, bytes | None, _Door | None]]]
    known: dict[bytes | None, list[_Door]]
    cut: bool = False

    def name(self, word: str, home: bytes | None, door: _Door | None) -> None:
        listed = self.named.setdefault(word.strip("\"'").rpartition("/")[2].encode("utf-8", "surrogateescape"), [])
        self._add(listed, (word, home, door))

    def know(self, home: bytes | None, door: _Door) -> None:
        self._add(self.known.setdefault(home, []), door)

    def _add(self, listed: list[_T], one: _T) -> None:
        if len(listed) < PER_NAME:
            listed.append(one)
        else:
            self.cut = True


def _access(view: ImageView) -> Iterator[Means | Notification]:
    """Keys joined with the places that name them (`named`), or, for a key that ssh offers by itself, with all that are known."""
    keys = [
        sighting
        for sightings in ssh_private_key.of_image(view).values()
        for sighting in sightings
        if not re.search(rb"(?:^|/)ssh_host_|dropbear_\w+_host_key$", sighting.location.display)
        and not view.owner(sighting.evidence.path)
    ]
    if not keys:
        return
    doors = _doors(view)
    if doors.cut or len(keys) > KEYS:
        what = f"more than {KEYS} private keys, or {PER_NAME} hosts for one of them: the rest were not joined"
        yield Notification("detector", Level.NOTE, what)
    inner = _inner_doors(view)
    for sighting in keys[:KEYS]:
        yield from _of_key(sighting, doors, inner)


def _of_key(sighting: Sighting, doors: _Doors, inner: Mapping[str, list[str]]) -> Iterator[Means | Notification]:
    path = sighting.evidence.path
    home = path.rpartition(b"/.ssh/")[0] if b"/.ssh/" in path else None
    found: dict[tuple[str, int | None, str | None], _Door] = {}
    everywhere = _DEFAULT_KEY.search(path) is not None
    for word, of, door in doors.named.get(path.rpartition(b"/")[2], ()):
        if not sighting.evidence.inner and _same(word, path, of):
            if door is None:
                everywhere = True
            else:
                found.setdefault((door.host, door.port, door.user), door)
    if everywhere and not sighting.evidence.inner:
        for door in (*(doors.known.get(home, ()) if home is not None else ()), *doors.known.get(None, ())):
            found.setdefault((door.host, door.port, door.user), door)
    facts = sighting.evidence.facts
    for door in list(found.values())[:PER_KEY]:
        yield _means(sighting, door, facts)
    if len(found) > PER_KEY:
        what = f"a key that may open {len(found)} hosts: {PER_KEY} of them are told"
        yield Notification("detector", Level.NOTE, what, path, sighting.evidence.inner)
    for account in inner.get(str(facts["fingerprint"]), ())[:PER_KEY]:
        door = _Door("localhost", 22, account, "authorized_keys of the image holds its public half", True)
        yield _means(sighting, door, facts)


def _means(sighting: Sighting, door: _Door, facts: Mapping[str, Json]) -> Means:
    where = f"{door.user}@{door.host}" if door.user else door.host
    details: dict[str, Json] = {
        "host": printable(door.host, 255),
        "port": door.port,
        "user": printable(door.user, 100) if door.user else None,
        "by": door.by,
        "sure": "named" if door.named else "possible",
        "encrypted": facts["encrypted"],
        "fingerprint": facts["fingerprint"],
    }
    return Means(MeansKind.ACCESS, printable(where, 300), sighting.location, None, None, details)


def _same(value: str, path: bytes, home: bytes | None) -> bool:
    raw = value.strip("\"'").encode("utf-8", "surrogateescape")
    for prefix in (b"~/", b"%d/", b"${HOME}/", b"$HOME/"):
        if raw.startswith(prefix):
            below = raw[len(prefix) :]
            if home is not None:
                return path == home + b"/" + below
            return path == below or path.endswith(b"/" + below)
    return raw.lstrip(b"/") == path if raw.startswith(b"/") else path == raw or path.endswith(b"/" + raw)


def _doors(view: ImageView) -> _Doors:
    doors = _Doors({}, {})
    _of_known_hosts(view, doors)
    _of_configurations(view, doors)
    _of_commands(view, doors)
    for sighting in view.of(NAME, "remote"):
        facts = sighting.evidence.facts
        if sighting.state is State.VISIBLE:
            by = f"git remote in {printable(sighting.evidence.path, 120)}, line {sighting.evidence.line}"
            doors.know(None, _Door(str(facts["host"]), _number(facts.get("port")), _word(facts.get("user")), by, False))
    return doors


def _of_known_hosts(view: ImageView, doors: _Doors) -> None:
    """Hosts that an account has been to, or that everybody is told of."""
    from scanner.ssh import known_hosts

    for file in view.files.kept(_KNOWN):
        home = file.path.rpartition(b"/.ssh/")[0] if b"/.ssh/" in file.path else None
        for host, port in known_hosts.hosts(known_hosts.parse(file.data or b"", file.path).entries):
            doors.know(home, _Door(host, port, None, f"known host in {printable(file.path, 120)}", False))


def _of_configurations(view: ImageView, doors: _Doors) -> None:
    """Host entries of ssh_config: those with an IdentityFile name its key, the others any key that is offered by itself."""
    for client in ssh_client.configurations(view):
        if client.state is not State.VISIBLE:
            continue
        said: dict[int, dict[str, str]] = {}
        keys: dict[int, list[str]] = {}
        for directive in client.config.directives:
            value = " ".join(directive.values) or directive.text
            said.setdefault(directive.block, {}).setdefault(directive.keyword, value)
            if directive.keyword == "identityfile":
                keys.setdefault(directive.block, []).append(value)
        for number, block in enumerate(client.config.blocks):
            own = said.get(number, {})
            file = printable(client.file.path, 120)
            for pattern in block.patterns:
                if pattern.startswith("!"):
                    continue
                door: _Door | None = None
                if not re.search(r"[*?]", pattern):
                    host = own.get("hostname", pattern).replace("%h", pattern)
                    by = f"{'IdentityFile' if number in keys else 'Host'} in {file}, line {block.where.line}"
                    door = _Door(host, _port(own.get("port")), own.get("user"), by, number in keys)
                for key in keys.get(number, ()):
                    doors.name(key, client.home, door)
                if door is not None and number not in keys:
                    doors.know(client.home, door)
            if block.kind != "host":  # before the first Host, or in a Match: for hosts that nothing here names
                for key in keys.get(number, ()):
                    doors.name(key, client.home, None)


def _of_commands(view: ImageView, doors: _Doors) -> None:
    """ssh commands of the image: with -i they name a key, without one they use what is offered by itself."""
    for facts, where in _commands(view):
        host, named = _word(facts.get("host")), facts.get("identity")
        identities = [str(one) for one in named] if isinstance(named, list | tuple) else []
        if host is None:
            continue
        by = f"{'-i' if identities else 'ssh'} in {where}"
        door = _Door(host, _number(facts.get("port")), _word(facts.get("user")), by, bool(identities))
        for identity in identities:
            doors.name(identity, None, door)
        if not identities:
            doors.know(None, door)


def _commands(view: ImageView) -> Iterator[tuple[Mapping[str, Json], str]]:
    for sighting in view.of(COMMANDS, "ssh"):
        if sighting.state is State.VISIBLE:
            where = f"{printable(sighting.location.display, 120)}, line {sighting.evidence.line}"
            yield sighting.evidence.facts, where
    for field, command in configured.commands(view.image.config):
        for deed in deeds(command):
            if deed.kind == "ssh":
                yield deed.facts, f"the image's {field}"


def _inner_doors(view: ImageView) -> Mapping[str, list[str]]:
    """Fingerprints of authorized keys, with the accounts of the image that they open."""
    from scanner.ssh import authorized_keys

    found: dict[str, list[str]] = {}
    homes = {account.home: account.name for account in reversed(accounts(view).all)}
    for file in view.files.kept(rb"(?:.*/)?\.ssh/authorized_keys[^/]*"):
        name = homes.get(file.path.rpartition(b"/.ssh/")[0])
        for key in authorized_keys.parse(file.data or b"", file.path).keys if name is not None else ():
            listed = found.setdefault(key.key.fingerprint, []) if not key.refused and key.key.fingerprint else []
            if name is not None and len(listed) < PER_KEY:
                listed.append(name)
    return found


PLUGIN = Detector(
    NAME,
    version=1,
    rules=(),
    wants=Wants(paths=_WIDE, keeps=KEEPS),
    inspect=inspect,
    judge=judge,
)
