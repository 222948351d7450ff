"""Rules on what a run changed: plain functions of the changes and their contents."""

from collections.abc import Iterator

from scanner.model import Finding, Level, Notification
from scanner.runtime.drift.accounts import ACCOUNT, account_changes
from scanner.runtime.drift.added import starts
from scanner.runtime.drift.drift import FINDINGS, Drift
from scanner.runtime.drift.executables import CHANGED, NEW, changed_executables, new_executables
from scanner.runtime.drift.keys import KEY, authorized_keys
from scanner.runtime.drift.persistence import PERSISTENCE, persistent
from scanner.runtime.drift.preload import PRELOAD, preloads
from scanner.runtime.drift.privileges import CAPABILITY, SETUID, capabilities, setuid
from scanner.runtime.drift.traces import DELETED_LOG, HISTORY, deleted_logs, history

RULES = (ACCOUNT, KEY, CHANGED, DELETED_LOG, CAPABILITY, HISTORY, NEW, PERSISTENCE, PRELOAD, SETUID)


def judge(drift: Drift) -> Iterator[Finding | Notification]:
    """All findings of the drift rules, and what of the changes could not be judged. Of a rule with very many the worst are told."""
    begun = starts(drift)
    for found in (
        new_executables(drift),
        changed_executables(drift),
        setuid(drift),
        capabilities(drift),
        account_changes(drift),
        authorized_keys(drift),
        persistent(drift, begun),
        preloads(drift, begun),
        deleted_logs(drift),
        history(drift, begun),
    ):
        findings = sorted(found, key=lambda f: -f.severity.rank)
        yield from findings[:FINDINGS]
        if len(findings) > FINDINGS:
            what = f"{findings[0].rule_id} has {len(findings)} findings: the worst {FINDINGS} are told"
            yield Notification("drift", Level.WARNING, what, layer=drift.layer.index)
    yield from drift.notes


__all__ = ["RULES", "Drift", "judge"]
