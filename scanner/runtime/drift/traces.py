"""Traces that a run removed: logs deleted, cut or edited, and shell histories switched off.

Sources: utmp(5) (records of 384 bytes), lastlog(8), journald.conf(5), auditd.conf(5), bash(1) (HISTFILE, HISTSIZE, HISTFILESIZE,
HISTIGNORE, set +o history), zshparam(1) (SAVEHIST), ATT&CK T1070.
"""

import re
from collections import Counter
from collections.abc import Iterator

from scanner.model import Confidence, Finding, Json, Kind, Rule, Severity, printable
from scanner.model.run import ChangeKind, FileChange
from scanner.runtime.drift.added import Start, assignments, words
from scanner.runtime.drift.drift import Drift, by, resolved, shown

DELETED_LOG = Rule(
    id="drift/deleted-log",
    name="Log deleted or cut",
    severity=Severity.HIGH,
    description="The run deleted a log of the image, emptied it, took lines out of it, or made a link to nowhere of it.",
    help="Logs of logins and of the system say what happened; whoever cuts them has a reason. What is gone cannot be had back from the sandbox: "
    "look at the host's and the engine's logs for the same time.",
    references=("https://attack.mitre.org/techniques/T1070/002/",),
    attack=("T1070.002",),
)
HISTORY = Rule(
    id="drift/history",
    name="Shell history switched off or removed",
    severity=Severity.HIGH,
    description="The run removed a history of commands, or made sure that none is written.",
    help="A history that leads to /dev/null or is switched off hides what was typed. Compare with the trace of the agent; start from the image.",
    references=("https://attack.mitre.org/techniques/T1070/003/", "https://attack.mitre.org/techniques/T1562/003/"),
    attack=("T1070.003", "T1562.003"),
)

_LOG = re.compile(rb"(?:var/log/.+|(?:var/)?run/utmp|var/adm/.+|var/account/pacct)\Z", re.DOTALL)
_KEY_LOG = re.compile(
    rb"(?:.*/)?(?:wtmp|btmp|lastlog|utmp|auth\.log|secure|faillog|tallylog|audit\.log|syslog|messages|kern\.log|cron(?:\.log)?|sudo\.log|pacct|[^/]+\.journal)\Z",
    re.DOTALL,
)
_RECORDS = re.compile(rb"(?:.*/)?(?:wtmp|btmp)\Z", re.DOTALL)
_UPDATED_IN_PLACE = re.compile(rb"(?:.*/)?(?:lastlog|utmp|faillog|tallylog|[^/]+\.journal)\Z", re.DOTALL)
_RECORD = 384
_HISTORY = re.compile(
    rb"(?:.*/)?(?:\.(?:bash|zsh|ash|sh|ksh|mksh|python|mysql|psql|sqlite|node_repl|rediscli|irb|php|lua|octave)_history|\.histfile|\.history|\.zhistory|fish_history)\Z",
    re.DOTALL,
)
_KEPT_LINES = 500
"""HISTFILESIZE is this by default: a history of so many lines loses its oldest ones."""
_STREAMS = frozenset(
    (b"dev/stdout", b"dev/stderr", b"proc/self/fd/1", b"proc/self/fd/2", b"proc/1/fd/1", b"proc/1/fd/2")
)


def deleted_logs(drift: Drift) -> Iterator[Finding]:
    """Logs of the image that say less than before. One that was rotated says it elsewhere."""
    for change in drift.of(DELETED_LOG):
        if not _LOG.match(change.path) or change.before is None:
            continue
        if change.before.kind not in (Kind.FILE, Kind.HARDLINK):
            continue
        key = _KEY_LOG.match(change.path) is not None
        severity = Severity.HIGH if key else Severity.LOW
        if change.after is not None and change.after.kind is Kind.SYMLINK:
            yield from _redirected(drift, change, severity)
        elif change.before.size and not _rotated(drift, change):
            lost, facts = _lost(drift, change)
            if lost:
                yield drift.finding(
                    DELETED_LOG,
                    change,
                    severity,
                    Confidence.HIGH if key else Confidence.MEDIUM,
                    f"The log {shown(change.path)} {lost}{by(change) if change.after else ''}.",
                    details={
                        "size_before": change.before.size,
                        "size": change.after.size if change.after else None,
                        **facts,
                    },
                )


def _redirected(drift: Drift, change: FileChange, severity: Severity) -> Iterator[Finding]:
    raw = change.after.link_target or b"" if change.after is not None else b""
    target = resolved(change.path, raw)
    if target in drift.by_path or target in _STREAMS:
        severity = Severity.LOW
    yield drift.finding(
        DELETED_LOG,
        change,
        severity,
        Confidence.HIGH,
        f"The log {shown(change.path)} is a link to {printable(raw, 80)} now{by(change)}"
        + (": what is written to it is gone." if target == b"dev/null" else "."),
        details={"target": printable(raw), "size_before": change.before.size if change.before else None},
    )


def _rotated(drift: Drift, change: FileChange) -> bool:
    """The same content stands under a name that log rotation gives, or one of these is new and packed."""
    assert change.before is not None
    for suffix in (b".1", b".0", b".1.gz", b".1.xz", b".1.zst", b".gz"):
        moved = drift.by_path.get(change.path + suffix)
        if moved is None or moved.after is None or moved.change is ChangeKind.DELETED:
            continue
        if moved.after.digest is not None and moved.after.digest == change.before.digest:
            return True
        if suffix.endswith((b"gz", b"xz", b"zst")) and moved.after.size > 20:
            return True
    return False


def _lost(drift: Drift, change: FileChange) -> tuple[str, dict[str, Json]]:
    """How much of the log is gone, in words for `The log X …`; "" for nothing."""
    before, after = change.before, change.after
    assert before is not None
    if after is None:
        return f"was deleted with its {before.size} bytes", {"lost_bytes": before.size}
    if change.change is ChangeKind.METADATA:
        return "", {}
    if after.kind not in (Kind.FILE, Kind.HARDLINK):
        return f"is a {after.kind.value} now, its {before.size} bytes are gone", {"lost_bytes": before.size}
    if after.size == 0:
        return f"was emptied: its {before.size} bytes are gone", {"lost_bytes": before.size}
    if _UPDATED_IN_PLACE.match(change.path):
        if after.size < before.size:
            return f"was cut from {before.size} to {after.size} bytes", {"lost_bytes": before.size - after.size}
        return "", {}
    contents = drift.both(change)
    if contents is None:
        shorter = after.size < before.size
        return (
            (f"was cut from {before.size} to {after.size} bytes", {"lost_bytes": before.size - after.size})
            if shorter
            else ("", {})
        )
    old, new = contents
    if new.startswith(old):
        return "", {}
    if _RECORDS.match(change.path):
        gone = _missing(
            [old[i : i + _RECORD] for i in range(0, len(old), _RECORD)],
            [new[i : i + _RECORD] for i in range(0, len(new), _RECORD)],
        )
        total, unit = -(-len(old) // _RECORD), "records of logins"
    else:
        lines = old.splitlines()
        gone, total, unit = _missing(lines, new.splitlines()), len(lines), "lines"
    if not gone:
        return (
            ("", {})
            if len(new) >= len(old)
            else (f"was cut from {len(old)} to {len(new)} bytes", {"lost_bytes": len(old) - len(new)})
        )
    return f"lost {gone} of {total} {unit}", {"lost": gone, "of": total, "unit": unit}


def _missing(old: list[bytes], new: list[bytes]) -> int:
    """How many of the old are not among the new, equal ones counted."""
    return sum((Counter(old) - Counter(new)).values())


def history(drift: Drift, starts: tuple[Start, ...]) -> Iterator[Finding]:
    """Histories that are gone, cut or lead nowhere, and lines that switch them off."""
    for change in drift.of(HISTORY):
        if _HISTORY.match(change.path):
            yield from _history_file(drift, change)
    covered = {change.path for change in drift.of(HISTORY)}
    for start in starts:
        if start.change.path not in covered:
            continue
        for added in start.added:
            if switch := switched_off(added.runs):
                yield drift.finding(
                    HISTORY,
                    start.change,
                    Severity.MEDIUM,
                    Confidence.HIGH,
                    f"{shown(start.change.path)} switches the history of commands off ({switch}){by(start.change)}.",
                    details={"line": printable(added.raw), "kind": start.point.what},
                    identity=(switch,),
                    line=added.line,
                    excerpts=[("line", added.raw)],
                )


def switched_off(runs: str) -> str:
    """By what a line of shell text keeps commands out of the history, "" where it does not."""
    parts = words(runs)
    for at, word in enumerate(parts):
        if word == "unset" and "HISTFILE" in parts[at + 1 : at + 10]:
            return "unset HISTFILE"
        if word == "set" and parts[at + 1 : at + 3] == ("+o", "history"):
            return "set +o history"
    for name, value in assignments(runs):
        if name == "HISTFILE" and value in ("", "/dev/null"):
            return f"HISTFILE={value}"
        if name in ("HISTSIZE", "HISTFILESIZE", "SAVEHIST") and value == "0":
            return f"{name}=0"
        if name == "HISTIGNORE" and value == "*":
            return "HISTIGNORE=*"
    return ""


def _history_file(drift: Drift, change: FileChange) -> Iterator[Finding]:
    before, after = change.before, change.after
    size = before.size if before is not None and before.kind in (Kind.FILE, Kind.HARDLINK) else 0
    severity, what = Severity.MEDIUM, ""
    if after is not None and after.kind is Kind.SYMLINK:
        target = resolved(change.path, after.link_target or b"")
        severity = Severity.HIGH if target == b"dev/null" else Severity.LOW
        what = f"is a link to {printable(after.link_target or b'', 80)} now"
    elif after is not None and after.kind not in (Kind.FILE, Kind.HARDLINK):
        severity, what = Severity.HIGH, f"is a {after.kind.value} now: no shell can write it"
    elif after is None:
        what = f"was deleted with its {size} bytes" if size else ""
    elif size and change.change is ChangeKind.MODIFIED:
        what = _shortened(drift, change)
    if what:
        yield drift.finding(
            HISTORY,
            change,
            severity,
            Confidence.HIGH,
            f"The history of commands {shown(change.path)} {what}{by(change) if after is not None else ''}.",
            details={"size_before": size, "size": after.size if after is not None else None},
        )


def _shortened(drift: Drift, change: FileChange) -> str:
    """How much is gone from a history, "" for nothing and for what a full one loses of itself."""
    if change.after is not None and change.before is not None and change.after.size == 0:
        return f"was emptied: its {change.before.size} bytes are gone"
    contents = drift.both(change)
    if contents is None or contents[1].startswith(contents[0]):
        return ""
    old, new = contents[0].splitlines(), contents[1].splitlines()
    gone = _missing(old, new)
    full = len(new) >= _KEPT_LINES and _missing(old[gone:], new) == 0
    return f"lost {gone} of {len(old)} lines" if gone and not full else ""
