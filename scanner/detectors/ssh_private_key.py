"""Private keys: whoever runs in the sandbox can be whoever they belong to, and host keys that every sandbox shares."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from scanner.content import Content
from scanner.detectors.openssh.daemon import daemon
from scanner.detectors.openssh.weights import Reach, lowered
from scanner.detectors.plugin import Detector, Wants
from scanner.model import (
    Confidence,
    Evidence,
    Finding,
    Json,
    Level,
    Means,
    MeansKind,
    Notification,
    Rule,
    Severity,
    State,
    capital,
    printable,
)
from scanner.oci.view import ImageView, Sighting

if TYPE_CHECKING:
    from scanner.ssh import keys

PRIVATE_KEY = Rule(
    id="ssh/private-key",
    name="Private key in the image",
    severity=Severity.HIGH,
    description="A file that holds a private key an ssh client can log in with, whole by its structure: OpenSSH's format, "
    "PEM, PKCS #8, PuTTY's or dropbear's. The key itself is never shown.",
    help="An agent in the sandbox can log in wherever the public half is trusted, and everybody who can pull the image has "
    "the key, from a layer below too. Take it out of the image, replace it where it is trusted, and hand a short-lived one "
    "to the sandbox when it starts.",
    references=("https://attack.mitre.org/techniques/T1552/004/",),
    attack=("T1552.004", "T1021.004"),
)
HOST_KEY = Rule(
    id="ssh/host-key-in-image",
    name="SSH host key in the image",
    severity=Severity.MEDIUM,
    description="The private key by which an ssh daemon proves which host it is, stored in the image.",
    help="Every sandbox started from the image is the same host to a client, and whoever has the image can pretend to be "
    "any of them. Delete /etc/ssh/ssh_host_* at the end of the instruction that installs the server, and make keys when "
    "the sandbox starts (ssh-keygen -A).",
    references=("https://man.openbsd.org/sshd#FILES",),
    attack=("T1552.004",),
)

NAME = "ssh_private_key"
WHOLE = 4 << 20
WINDOW = 96 << 10
KEYS = 64
"""Keys of one file that are told."""
FRAMES = 512
"""Pieces of a larger file that are read for keys."""

_HOST = re.compile(rb"(?:^|/)(?:ssh_host_[^/]*key|dropbear_[a-z0-9]+_host_key)$")
_DROPBEAR = rb"(?:^|/)(?:dropbear_[a-z0-9]+_host_key|\.ssh/id_dropbear)$"
_FRAME = re.compile(rb"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY-----|PuTTY-User-Key-File-\d")
_OWN = re.compile(rb"(?:^|/)\.ssh/|(?:^|/)id_(?:rsa|dsa|ecdsa|ed25519|ecdsa_sk|ed25519_sk|dropbear|xmss)[^/]*$|\.ppk$")
_SAMPLE = re.compile(
    rb"(?i)(?:^|/)(?:tests?|testing|testdata|test[-_][^/]*|examples?|samples?|fixtures?|docs?|demos?|mocks?|snakeoil[^/]*)(?:/|$)"
    rb"|(?:^|/)usr/share/(?:doc|man)/|(?:^|/)usr/src/"
)
_TLS = re.compile(
    rb"(?i)(?:^|/)etc/(?:ssl|pki|letsencrypt|nginx|apache2|httpd|postgresql|mysql|kubernetes|docker)/|(?:^|/)(?:certs?|ssl|tls|pki)/|snakeoil"
)
_SSH_ONLY = frozenset({"openssh", "putty", "dropbear"})


def inspect(content: Content) -> Iterator[Evidence | Notification]:
    """One Evidence for each whole key; a frame without a key in it is nothing."""
    from scanner.ssh import keys

    told = 0
    for start, part in _parts(content):
        if part is None:
            message = f"has more than {FRAMES} frames of private keys; the rest were not read"
            yield Notification("detector", Level.WARNING, message, content.path, content.inner)
            return
        for key in keys.read_private(part):
            if not key.valid:
                continue
            told += 1
            if told > KEYS:
                message = f"holds more than {KEYS} private keys; the rest were not told"
                yield Notification("detector", Level.WARNING, message, content.path, content.inner)
                return
            offset = start + key.offset
            line = content.line_of(start) - 1 + key.line if content.is_text else None
            yield Evidence(
                NAME, "key", content.path, content.inner, offset, line, described(key), _facts(content, key, offset)
            )


def _parts(content: Content) -> Iterator[tuple[int, bytes | None]]:
    """Pieces that may hold keys, with where each begins; the whole of a small file. None where too many of a large one do."""
    if re.search(_DROPBEAR, content.name) or (content.is_text and content.size <= WHOLE):
        yield 0, bytes(content.data[:WHOLE])
        return
    past = pieces = 0
    for match in _FRAME.finditer(content.data):
        if match.start() < past:
            continue
        pieces += 1
        if pieces > FRAMES:
            yield match.start(), None
            return
        past = match.start() + WINDOW
        yield match.start(), bytes(content.data[match.start() : past])


def described(key: keys.PrivateKey) -> str:
    """What the key is, in words that give none of it away."""
    kind = " ".join(filter(None, (f"{key.bits}-bit" if key.bits else "", key.type or "private")))
    locked = (
        f"encrypted with {key.cipher}"
        if key.encrypted and key.cipher
        else "encrypted"
        if key.encrypted
        else "not encrypted"
    )
    return printable(f"{kind} key, {key.format} format, {locked}" + (f", {key.fingerprint}" if key.fingerprint else ""))


def _facts(content: Content, key: keys.PrivateKey, offset: int) -> dict[str, Json]:
    return {
        "format": key.format,
        "type": key.type,
        "bits": key.bits,
        "encrypted": key.encrypted,
        "cipher": key.cipher,
        "comment": printable(key.comment, 120),
        "fingerprint": key.fingerprint,
        "wrapped": key.wrapped,
        "alone": offset == 0 or content.size < 16 << 10,
        "mode": content.mode & 0o777,
        "uid": content.uid,
    }


def judge(view: ImageView) -> Iterator[Finding | Means]:
    """One finding for each key of each place; the same file in several layers is one, its others related."""
    groups: dict[tuple[bytes, str], list[Sighting]] = {}
    for sighting in view.of(NAME, "key"):
        e = sighting.evidence
        groups.setdefault((sighting.location.display, str(e.facts["fingerprint"]) or str(e.offset)), []).append(
            sighting
        )
    for (display, identity), sightings in groups.items():
        sightings.sort(key=lambda s: (s.state is not State.VISIBLE, -s.layer.index))
        first = sightings[0]
        facts = first.evidence.facts
        rule, severity, confidence, why = _weight(view, first)
        if first.state is not State.VISIBLE:
            severity = lowered(severity)
        hosts = _is_host(display)
        yield view.finding(
            rule,
            at=first.location,
            state=first.state,
            hidden_by=first.hidden_by,
            severity=severity,
            confidence=confidence,
            message=f"{capital(first.evidence.excerpt)}{why}.",
            evidence=[first.evidence],
            details={
                **{k: facts[k] for k in ("format", "type", "bits", "encrypted", "fingerprint", "comment")},
                "owner": view.owner(first.evidence.path),
                "aliases": [a.decode("utf-8", "replace") for a in first.aliases],
            },
            related=[s.location for s in sightings[1:10]],
            # a host key is made anew by each build that installs a server, and is the same finding; another key is another secret
            identity=(str(facts["type"]) if hosts else identity,),
        )
        if first.state is State.VISIBLE and not hosts and severity is not Severity.NOTE:
            yield Means(
                MeansKind.CREDENTIAL,
                "ssh private key",
                first.location,
                None,
                view.owner(first.evidence.path),
                {k: facts[k] for k in ("format", "type", "bits", "encrypted", "fingerprint", "comment")},
            )


def _is_host(display: bytes) -> bool:
    return _HOST.search(display) is not None and _SAMPLE.search(display) is None


def _weight(view: ImageView, sighting: Sighting) -> tuple[Rule, Severity, Confidence, str]:
    """The rule, how bad, how sure, and what of the key's place decided it."""
    facts, display = sighting.evidence.facts, sighting.location.display
    if _is_host(display):
        there = daemon(view).reach is not Reach.ABSENT
        why = ": the same host key in every sandbox" + ("" if there else ", though no daemon lies in the image")
        return HOST_KEY, Severity.MEDIUM if there else Severity.LOW, Confidence.HIGH, why
    format_, encrypted = str(facts["format"]), bool(facts["encrypted"])
    owner = view.owner(sighting.evidence.path) if not sighting.evidence.inner else None
    own = _OWN.search(display) is not None
    if owner is not None:
        return PRIVATE_KEY, Severity.NOTE, Confidence.LOW, f", a file of the package {printable(owner, 80)}"
    if _SAMPLE.search(display) and not own:
        return PRIVATE_KEY, Severity.NOTE, Confidence.LOW, ", in a place for tests and examples"
    if not facts["alone"] and not own:
        return PRIVATE_KEY, Severity.NOTE, Confidence.LOW, ", in the midst of a larger file"
    severity, why = Severity.HIGH, ""
    confidence = Confidence.HIGH if own or format_ in _SSH_ONLY else Confidence.MEDIUM
    if format_ not in _SSH_ONLY and not own:
        if _TLS.search(display):
            return PRIVATE_KEY, Severity.NOTE, Confidence.LOW, ", in a place for the keys of TLS servers"
        severity, why = Severity.MEDIUM, ", of a kind that ssh reads too"
    if encrypted:
        severity, why = lowered(severity), why + "; its passphrase may be guessed at leisure"
    return PRIVATE_KEY, severity, confidence, why


def of_image(view: ImageView) -> Mapping[str, tuple[Sighting, ...]]:
    """Whole private keys that a container sees, by fingerprint ("" for those that hide it)."""
    found: dict[str, list[Sighting]] = {}
    for sighting in view.of(NAME, "key"):
        if sighting.state is State.VISIBLE:
            found.setdefault(str(sighting.evidence.facts["fingerprint"]), []).append(sighting)
    return {fingerprint: tuple(some) for fingerprint, some in found.items()}


PLUGIN = Detector(
    NAME,
    version=1,
    rules=(PRIVATE_KEY, HOST_KEY),
    wants=Wants(paths=(_DROPBEAR,), behaviours=("ssh",)),
    inspect=inspect,
    judge=judge,
)
