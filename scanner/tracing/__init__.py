"""From a finding in an image to the line of the repository that made it."""

from scanner.tracing.api import scan, scan_image
from scanner.tracing.trace import Book, Made, TraceOptions, opened, traced

__all__ = ["Book", "Made", "TraceOptions", "opened", "scan", "scan_image", "traced"]
