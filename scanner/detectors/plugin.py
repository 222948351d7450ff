"""What a detector is: which files it wants, what it sees in one file, what that means in a whole image."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from scanner.content import Content
from scanner.model import Evidence, Finding, Kept, Means, Notification, Rule
from scanner.oci.view import ImageView


@dataclass(frozen=True, slots=True)
class Wants:
    """The files a detector looks into, as data, so that a million entries are asked at the price of one regular expression.

    `paths`: regular expressions (bytes, re.search) over the path in the layer or, inside an archive, over the member's
    name; write them without groups that capture. `magics`: first bytes. Besides these, every detector is shown each
    file in which a YARA rule of a behaviour in `behaviours` matched. `keeps`, written like `paths`: files of the layer
    that stay whole with its record, so that judges can ask for them (`ImageView.files`); `inspect` need not look at them.
    """

    paths: tuple[bytes, ...] = ()
    magics: tuple[bytes, ...] = ()
    behaviours: tuple[str, ...] = ()
    keeps: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Detector:
    """`inspect` sees one file of one layer, image unknown: its evidence is cached with the layer under `version`.
    What it yields as Kept stays with the layer like the files that `wants.keeps` names.
    `judge` sees the whole image's evidence and is never cached. Both are plain functions and keep nothing.
    `rules` are what `judge` may report.
    """

    name: str
    version: int
    rules: tuple[Rule, ...]
    wants: Wants
    inspect: Callable[[Content], Iterable[Evidence | Kept | Notification]]
    judge: Callable[[ImageView], Iterable[Finding | Means | Notification]]
