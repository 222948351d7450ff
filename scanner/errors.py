"""What can go wrong, in the scanner's own words. Only the command line turns these into text and an exit code."""


class ScannerError(Exception):
    """Base of every error sandscan raises on purpose: what was being done, to what, why it failed, what to do next."""


class TargetError(ScannerError):
    """The target is missing, unnamed or not of a kind that can be scanned; nothing was read."""


class SourceError(ScannerError):
    """The target is there but cannot be read: a broken manifest, an engine that went away, a registry that refuses."""


class LayerError(ScannerError):
    """One layer cannot be read to its end; the other layers can."""


class DigestMismatch(LayerError):
    """A blob or a layer is not what its digest says."""

    def __init__(self, what: str, expected: str, read: str) -> None:
        super().__init__(
            f"{what} does not match its digest: expected {expected}, read {read}. "
            "It was changed or cut off after it was saved; save the image again."
        )
        self.expected = expected
        self.read = read


class LimitError(ScannerError):
    """Reading on would cross a limit (size, depth, ratio, time) that protects the machine from a hostile input."""


class RuleError(ScannerError):
    """A YARA rule does not compile or its meta is wrong; the message names the file and the line."""


class ParseError(ScannerError):
    """A format was broken where a parser could not go on."""


class ReportError(ScannerError):
    """A report cannot be written, or a saved one cannot be read."""


class UsageError(ScannerError):
    """What was asked for does not exist or contradicts itself; nothing was read."""
