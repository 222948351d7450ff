"""An entry for the configuration that sets one finding aside, ready to copy from the page."""

import json
import re
from datetime import date, timedelta

from scanner import globs
from scanner.model import Finding, Location, ProcessLocation, Report, capital, never_aside

DAYS = 90
"""How long an entry that is copied from the page holds, from the day of the report."""
_WORD = re.compile(r"[A-Za-z][\w./-]{0,199}", re.ASCII)


def never(finding: Finding) -> str:
    """Why no entry sets the finding aside, as a sentence; empty where one may."""
    why = never_aside(finding)
    return "" if why is None else f"{capital(why)}."


def entry(finding: Finding, report: Report) -> str:
    """One item of `ignore:` in .sandscan.yaml, as YAML: rule, path and image, with the fingerprint as a comment.

    Where YAML or a glob cannot say one of them (bytes that are no text, control characters, too long), it is left out, and the
    fingerprint holds, so that the entry is never about more than the whole would be. Empty where that is none (a report of others).
    """
    rule, path = _pattern(finding.rule_id), _path(finding.locations[0])
    image = _pattern(report.target.repository)
    whole = rule is not None and path is not None and (image is not None or not report.target.repository)
    digits = finding.fingerprint if re.fullmatch(r"[0-9a-f]{64}", finding.fingerprint) else None
    if digits is None and not whole:
        return ""
    said = (("rule", rule), ("path", path), ("image", image))
    lines = [f"{key}: {_scalar(value)}" for key, value in said if value is not None]
    if digits is not None:
        lines.append(f'{"# " if whole else ""}fingerprint: "{digits}"')
    lines += ['reason: "TODO"', f"expires: {until(report)}"]
    return "- " + "\n  ".join(lines) + "\n"


def until(report: Report) -> str:
    """The day on which such an entry ends: `2026-04-02`; TODO where the report has no date."""
    try:
        return (date.fromisoformat(report.started[:10]) + timedelta(DAYS)).isoformat()
    except (ValueError, OverflowError):
        return "TODO"


def _path(location: Location) -> str | None:
    """What names the place, whatever number the process has in the next run."""
    try:
        whole = location.display.decode("utf-8")
    except UnicodeError:
        return None
    pattern = _pattern(whole)
    if pattern is None or not isinstance(location, ProcessLocation) or location.pid is None:
        return pattern
    container = globs.literal(f"container:{location.container}")
    return f"{container}/*{pattern.removeprefix(f'{container}/{location.pid}')}"


def _pattern(text: str) -> str | None:
    """The glob of this text alone; None where none can be written."""
    made = globs.literal(globs.relative(text))
    return made if made and _sayable(text) and len(made) <= globs.LONGEST else None


def _sayable(text: str) -> bool:
    return bool(text.strip()) and text.isprintable()


def _scalar(text: str) -> str:
    """Plain where that is a string to every YAML parser, else in double quotes, where JSON's escapes are YAML's."""
    return text if _WORD.fullmatch(text) and "/" in text else json.dumps(text, ensure_ascii=False)
