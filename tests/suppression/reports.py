"""Reports to set findings of aside."""

from collections.abc import Sequence
from datetime import date

from scanner.model import (
    Confidence,
    ConfigLocation,
    FileLocation,
    Finding,
    Ignore,
    Image,
    ImageConfig,
    LaunchLocation,
    Layer,
    Location,
    Report,
    Severity,
    SourceLine,
    Target,
    Tool,
    Traced,
    fingerprint,
)

LAYER = Layer(3, None, "RUN make")
TODAY = date(2027, 3, 1)


def finding(
    rule: str = "ssh/authorized-key",
    path: str | Location = "root/.ssh/authorized_keys",
    *,
    inner: Sequence[str] = (),
    severity: Severity = Severity.HIGH,
    confidence: Confidence = Confidence.MEDIUM,
    source: str | None = None,
    identity: str = "",
) -> Finding:
    at = path if not isinstance(path, str) else FileLocation(path.encode(), LAYER, tuple(i.encode() for i in inner))
    line = None if source is None else SourceLine(source, 3, 3, Traced.CONTENT)
    key = fingerprint(rule, "ghcr.io/acme/agent", at.display, identity)
    return Finding(rule, severity, confidence, f"{rule} there", (at,), (), key, source=line)


def report(*findings: Finding, repository: str = "ghcr.io/acme/agent") -> Report:
    worst_first = tuple(sorted(findings, key=lambda f: -f.severity.rank))
    image = Image(None, "linux/amd64", None, ImageConfig(), (LAYER,))
    target = Target("docker", "agent:1", repository)
    return Report(Tool("sandscan", "1", "abc"), target, image, worst_first, (), (), (), "2027-03-01T00:00:00Z")


def ignore(expires: date = date(2027, 6, 30), place: str = ".sandscan.yaml:3", **says: str) -> Ignore:
    return Ignore("known", expires, place, **says)


__all__ = ["TODAY", "ConfigLocation", "LaunchLocation", "finding", "ignore", "report"]
