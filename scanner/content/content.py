"""One file's bytes, wherever they lie: in memory, mapped from the archive they are stored in, or spooled."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from scanner.content.worker import Worker

if TYPE_CHECKING:
    from scanner.content.elf import ElfFacts
    from scanner.ruleset import RuleMatch

HEAD = 4096


@dataclass(eq=False)
class Content:
    """A file to be looked at once; valid only while it is being inspected.

    `path` in the layer, `inner` the way into archives, outermost first. `data` is read-only, of the file's whole
    size, and may be a mapping of gigabytes: slice it, never copy it whole. `matches` are the YARA rules that hold;
    `worker` runs what is not trusted in this process. In `worked_out` detectors leave what the next one would work out again.
    """

    path: bytes
    data: memoryview
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    inner: tuple[bytes, ...] = ()
    matches: "Sequence[RuleMatch]" = field(default=())
    worker: Worker | None = None
    worked_out: dict[str, Any] = field(init=False, default_factory=dict, repr=False)

    def elf(self, symbols: str) -> "ElfFacts | None":
        """What an ELF file says of itself, None for anything else; `symbols` matches the names of interest (re.search).

        Native code parses it in the worker process: ask only of files that earned it.
        """
        from scanner.content import elf

        return None if self.worker is None else elf.analyse(self.data, self.worker, symbols)

    @property
    def size(self) -> int:
        return self.data.nbytes

    @property
    def name(self) -> bytes:
        """The innermost path: the file's own name, whatever holds it."""
        return self.inner[-1] if self.inner else self.path

    @cached_property
    def head(self) -> bytes:
        return bytes(self.data[:HEAD])

    @cached_property
    def is_text(self) -> bool:
        """No NUL among the first 4096 bytes, the test that grep and git use (git's window is 8000)."""
        return b"\0" not in self.head

    def text(self, limit: int = 4 << 20) -> str:
        """The first `limit` bytes as UTF-8; undecodable bytes survive as surrogates."""
        return bytes(self.data[:limit]).decode("utf-8", "surrogateescape")

    def line_of(self, offset: int) -> int:
        """The line, from 1, on which the byte at `offset` stands."""
        step, lines = 1 << 20, 1
        for begin in range(0, offset, step):
            lines += bytes(self.data[begin : min(begin + step, offset)]).count(b"\n")
        return lines
