"""Keys that a run allowed in: new lines of authorized_keys, and old ones that may do more than before. Format: sshd(8)."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from scanner import masked
from scanner.detectors.ssh_authorized_key import KEEPS
from scanner.model import Confidence, Finding, Json, Kind, Rule, Severity, printable
from scanner.model.run import FileChange
from scanner.runtime.drift.drift import Drift, by, resolved, shown

if TYPE_CHECKING:
    from scanner.ssh.authorized_keys import AuthorizedKey

KEY = Rule(
    id="drift/authorized-key",
    name="New authorized key",
    severity=Severity.HIGH,
    description="The run let a key in: whoever holds its private half can log in over SSH.",
    help="A key that a run adds is a door that stays. Remove the line, look for whoever holds the key by its fingerprint, and start from the image.",
    references=(
        "https://attack.mitre.org/techniques/T1098/004/",
        "https://man.openbsd.org/sshd#AUTHORIZED_KEYS_FILE_FORMAT",
    ),
    attack=("T1098.004",),
)
_FILES = re.compile(b"|".join(KEEPS), re.DOTALL)
_AUTHORIZED = re.compile(rb"authorized_keys[^/]*(?:/|\Z)", re.DOTALL)
_HOME = re.compile(rb"(?:.*/)?(?P<home>[^/]+)/\.ssh/[^/]+\Z", re.DOTALL)
_NAMED = re.compile(rb"(?:etc|var|srv|opt)/.*authorized_keys(?:\.d)?/(?P<name>[^/]+)\Z", re.DOTALL)


def authorized_keys(drift: Drift) -> Iterator[Finding]:
    """One finding for each key that is new in its file, and for each whose options allow more."""
    from scanner.ssh.authorized_keys import BYTES, LINES, parse

    for change in drift.of(KEY):
        names = [n for n in drift.names(change) if _FILES.search(n) and _AUTHORIZED.search(n)]
        if change.after is None or not names:
            continue
        if change.after.kind is Kind.SYMLINK:
            yield _linked(drift, change)
        if (contents := drift.both(change)) is None:
            continue
        old, new = (parse(content, change.path) for content in contents)
        for problem in new.problems[-1:]:
            if problem.where.line > LINES or len(contents[1]) > BYTES:
                drift.unread(change, problem.message)
        known: dict[str, list[AuthorizedKey]] = {}
        for key in old.keys:
            known.setdefault(key.key.fingerprint, []).append(key)
        told = set()
        for key in new.keys:
            before = known.get(key.key.fingerprint)
            if (key.key.fingerprint, key.options) not in told and (
                not before or key.options not in {k.options for k in before}
            ):
                told.add((key.key.fingerprint, key.options))
                yield from _key(drift, change, key, before, whose(replace(change, path=names[0])))


def _key(
    drift: Drift, change: FileChange, key: "AuthorizedKey", before: "list[AuthorizedKey] | None", account: str
) -> Iterator[Finding]:
    limits = _limits(key)
    severity = (
        Severity.LOW
        if key.refused
        else Severity.MEDIUM
        if key.command is not None and not key.can_forward_tcp
        else Severity.HIGH
    )
    comment = f" ({printable(key.key.comment, 80)})" if key.key.comment else ""
    what = "certificate authority's key" if key.authority else "key"
    if before is None:
        said = f"New {key.key.type} {what} {key.key.fingerprint}{comment} opens the account of {account} by {shown(change.path)}{by(change)}"
    else:
        were = _limits(before[0])
        if not set(were) - set(limits):
            return
        said = f"The {key.key.type} {what} {key.key.fingerprint}{comment} may do more in the account of {account} by {shown(change.path)}{by(change)}"
        said += f"; before it had {', '.join(were)}"
    options: list[Json] = [printable(masked.text(n if v is None else f"{n}={v}"), 120) for n, v in key.options[:40]]
    yield drift.finding(
        KEY,
        change,
        severity,
        Confidence.HIGH,
        said
        + (f"; {', '.join(limits)}" if limits else "")
        + (f"; sshd skips the line: {key.refused}" if key.refused else "")
        + ".",
        details={
            "account": account,
            "fingerprint": key.key.fingerprint,
            "type": key.key.type,
            "bits": key.key.bits,
            "comment": printable(key.key.comment, 120),
            "options": options,
            "new": before is None,
        },
        identity=(key.key.fingerprint, "new" if before is None else "options"),
        line=key.line,
        excerpts=[("key", f"{key.key.type} {key.key.fingerprint} {key.key.comment}".strip())],
    )


def _limits(key: "AuthorizedKey") -> list[str]:
    found = []
    if key.command is not None:
        found.append("one command")
    if key.sources:
        found.append("only from some addresses")
    if key.expires:
        found.append("an end")
    if not key.can_forward_tcp:
        found.append("no forwarding")
    return found


def whose(change: FileChange) -> str:
    """The account that a file of keys opens, by where it lies; else by who owns it."""
    found = _NAMED.match(change.path)
    if found:
        return printable(found["name"], 60)
    home = _HOME.match(change.path)
    if home and change.path.startswith((b"root/", b"home/")):
        return printable(home["home"], 60)
    if change.user is not None:
        return printable(change.user, 60)
    return printable(home["home"], 60) if home else "nobody known"


def _linked(drift: Drift, change: FileChange) -> Finding:
    target = (change.after.link_target if change.after else None) or b""
    at = resolved(change.path, target)
    return drift.finding(
        KEY,
        change,
        Severity.LOW if at == b"dev/null" else Severity.MEDIUM,
        Confidence.MEDIUM,
        f"{shown(change.path)} is a link to {printable(target, 120)} now{by(change)}: the keys of {whose(change)} are read from there.",
        details={"target": printable(target), "account": whose(change)},
    )
