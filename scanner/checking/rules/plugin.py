"""What a rule on builds is: it sees one stage of a Dockerfile and says what is wrong with it, and on which line."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from scanner.checking.builds import Build, Order, Stage, When
from scanner.model import Confidence, Json, Rule, Severity


@dataclass(frozen=True, slots=True)
class Sign:
    """One thing that speaks for a finding: `kind` is its class, `shown` what was seen, safe to print."""

    kind: str
    shown: str
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Hit:
    """What a rule found: the first sign is where. `identity` tells two hits of one file apart, whatever their lines."""

    severity: Severity
    confidence: Confidence
    message: str
    signs: tuple[Sign, ...]
    identity: tuple[str, ...]
    details: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Seen:
    """A stage as rules see it. `orders` are its own commands, `before` those of the stages that it is built on, `by_stage` those of each stage so
    far by its index.

    `content` gives the bytes of a file of the repository that a source of COPY names, None where it is not at hand, and whether the build's
    context is without all that the source names; `texts` are the lines of each file that orders stand in.
    """

    build: Build
    stage: Stage
    orders: tuple[Order, ...]
    before: tuple[Order, ...]
    by_stage: Mapping[int, tuple[Order, ...]]
    content: Callable[[str], tuple[bytes | None, bool]]
    texts: Mapping[str, Sequence[str]]

    def line_of(self, order: Order, word: str) -> int:
        """The line on which a word of a command stands: commands go over many lines."""
        lines = self.texts.get(order.file, ())
        for number in range(order.line, min(order.line + 200, len(lines)) + 1):
            if word in lines[number - 1]:
                return number
            if not lines[number - 1].rstrip().endswith(("\\", "`")) and not lines[number - 1].lstrip().startswith("#"):
                break
        return order.line


@dataclass(frozen=True, slots=True)
class Check:
    """`judge` yields what it finds in one stage; it is a plain function and keeps nothing."""

    rule: Rule
    judge: Callable[[Seen], Iterator[Hit]]


WHEN = {
    When.BUILD: "while the image is built",
    When.START: "in every container that starts from the image",
    When.LATER: "while an image is built from this one",
}
