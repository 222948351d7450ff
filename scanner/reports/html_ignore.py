"""An entry for the configuration that sets one finding aside, ready to copy from the page."""

import json
import re
from datetime import date, timedelta

from scanner import globs
from scanner.model import Confidence, Finding, Location, ProcessLocation, Report, printable

DAYS = 90
"""How long an entry that is copied from the page holds, from the day of the report."""
_WORD = re.compile(r"[A-Za-z][\w./-]{0,199}", re.ASCII)
_SEEN_AT_WORK = frozenset(
    (
        "live/tunnel-process",
        "observed/dns-tunnel",
        "observed/icmp-tunnel",
        "observed/reverse-tunnel",
        "observed/tunnel",
    )
)
_MINERS = frozenset(("live/miner-process", "observed/pool"))


def never(finding: Finding) -> str:
    """Why no entry sets the finding aside, empty where one may: what `scanner.suppression.never` decides, in the page's words."""
    if finding.rule_id in _SEEN_AT_WORK:
        return "A tunnel that was seen at work is never set aside."
    if finding.confidence is Confidence.HIGH and (finding.rule_id.startswith("miner/") or finding.rule_id in _MINERS):
        return "A confirmed miner is never set aside."
    return ""


def entry(finding: Finding, report: Report) -> str:
    """One item of `ignore:` in .sandscan.yaml, as YAML: rule, path and image, with the fingerprint as a comment.

    A path that YAML or a glob cannot say (bytes that are no text, control characters, too long) is left out, and the fingerprint
    takes its place.
    """
    image, path = _pattern(report.target.repository), _path(finding.locations[0])
    digits = finding.fingerprint if re.fullmatch(r"[0-9a-f]{64}", finding.fingerprint) else None
    lines = [f"- rule: {_scalar(finding.rule_id)}"] if _sayable(finding.rule_id) else []
    if path is not None:
        lines.append(f"  path: {_scalar(path)}")
    if image is not None:
        lines.append(f"  image: {_scalar(image)}")
    if digits is not None:
        lines.append(f"  {'' if path is None else '# '}fingerprint: {digits}")
    lines += ['  reason: "TODO"', f"  expires: {until(report)}"]
    return "\n".join(["- " + lines[0][2:], *lines[1:]]) + "\n"


def until(report: Report) -> str:
    """The day on which such an entry ends: `2026-04-02`; TODO where the report has no date."""
    try:
        return (date.fromisoformat(report.started[:10]) + timedelta(DAYS)).isoformat()
    except (ValueError, OverflowError):
        return "TODO"


def _path(location: Location) -> str | None:
    """What names the place, whatever number the process has in the next run."""
    if isinstance(location, ProcessLocation) and location.pid is not None:
        container = _pattern(f"container:{location.container}")
        program = _pattern((location.executable or b"").decode("utf-8", "replace").lstrip("/"))
        return container and f"{container}/*" + (f"/{program}" if program else "")
    try:
        return _pattern(location.display.decode("utf-8"))
    except UnicodeError:
        return None


def _pattern(text: str) -> str | None:
    """The glob of this text alone; None where none can be written."""
    made = globs.literal(globs.relative(text))
    return made if made and _sayable(text) and len(made) <= globs.LONGEST else None


def _sayable(text: str) -> bool:
    return bool(text) and text.isprintable() and text == printable(text, len(text))


def _scalar(text: str) -> str:
    """Plain where that is a string to every YAML parser, else in double quotes, where JSON's escapes are YAML's."""
    return text if _WORD.fullmatch(text) and "/" in text else json.dumps(text, ensure_ascii=False)
