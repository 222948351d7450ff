"""How bad something of ssh is in a sandbox: its own weight, moved by whether a daemon would make it count."""

from enum import IntEnum

from scanner.model import Severity

_STEPS = (Severity.NOTE, Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL)


class Reach(IntEnum):
    """How near an ssh daemon is to running in a container of the image."""

    ABSENT = 0
    """No daemon lies in it."""
    INSTALLED = 1
    """One lies in it, nothing starts it."""
    ENABLED = 2
    """A unit, init script or login file starts it, if that is run at all: most containers run no init."""
    STARTS = 3
    """It starts with the container."""


def lowered(severity: Severity, steps: int = 1) -> Severity:
    return _STEPS[max(0, severity.rank - steps)]


def at_most(severity: Severity, most: Severity) -> Severity:
    return min(severity, most, key=lambda s: s.rank)


def of_daemon(severity: Severity, reach: Reach) -> Severity:
    """The weight of a daemon's setting. What a daemon that is not there would do is a hint, and no more."""
    if reach is Reach.ABSENT:
        return at_most(lowered(severity), Severity.LOW)
    return lowered(severity) if reach is Reach.INSTALLED else severity
