"""`python3 -I -B .github/action STEP`: the steps of action.yml that are more than a line of shell."""

import importlib
import os
import sys

from workflow import say


def verdict() -> int:
    """Ends the job as the scan ended."""
    code = os.environ.get("CODE", "")
    return int(code) if code in {"0", "1", "2", "3"} else 3


def refused() -> int:
    say(
        "notice",
        "Code scanning did not take the SARIF: the repository has none, the job lacks security-events: write, or a step before "
        "has uploaded for the same category (give each its own input category). "
        "The scan's answer stands; the log has the reason, the step summary and the artifact have all findings.",
        "sandscan: not uploaded to code scanning",
    )
    return 0


def main() -> int:
    step = sys.argv[1]
    if step in {"install", "scan", "tell"}:
        answer: int = importlib.import_module(step).main()
        return answer
    return {"refused": refused, "verdict": verdict}[step]()


sys.exit(main())
