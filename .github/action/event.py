"""What the event allows: whether findings may go to code scanning, and evidence into the cache."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

AS_DEFAULT_BRANCH = {"check_run", "check_suite", "issue_comment", "pull_request_target", "status", "workflow_run"}
"""Events that may be about a stranger's commit and run as the default branch: docs.github.com, "Events that trigger workflows"."""
MAX_EVENT = 50_000_000


def why_not_uploaded(wanted: str, environment: Mapping[str, str]) -> str:
    """Empty if SARIF is to be uploaded, else the reason. `wanted` is the input upload-sarif."""
    if wanted == "false":
        return "upload-sarif is false"
    if wanted == "true":
        return ""
    name = environment.get("GITHUB_EVENT_NAME", "")
    if name in AS_DEFAULT_BRANCH:
        return f"{name} runs as the default branch, whose alerts a stranger's image would change"
    event = _event(environment)
    if event is None:
        return "the event cannot be read, so nobody knows whether the token may write"
    if "pull_request" in event and _is_fork(event):
        return "the pull request comes from a fork, whose token may not write"
    return ""


def may_keep(environment: Mapping[str, str]) -> bool:
    """Whether evidence may be stored: never where a stranger's image would fill the default branch's cache."""
    return environment.get("GITHUB_EVENT_NAME", "") not in AS_DEFAULT_BRANCH


def _event(environment: Mapping[str, str]) -> dict[str, Any] | None:
    try:
        with Path(environment["GITHUB_EVENT_PATH"]).open("rb") as file:
            event = json.loads(file.read(MAX_EVENT))
    except (KeyError, OSError, ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


def _is_fork(event: dict[str, Any]) -> bool:
    """Whether the head lies in another repository; one that is gone, or that the event does not name, is another."""
    try:
        head, own = event["pull_request"]["head"]["repo"]["full_name"], event["repository"]["full_name"]
    except (KeyError, TypeError):
        return True
    return bool(head != own)
