"""The processes of a run, put together from what happens to them; bounded, whatever a fork bomb does."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from scanner import masked
from scanner.model.run import Process, Program
from scanner.runtime.trace.events import Ended, Event, Executed, Forked

_BYTES = 2 << 20
SHORT = 256
"""All command lines may be that long together; what comes then is kept that long each. Masking the secrets of a hostile one takes about
two seconds for a megabyte."""


@dataclass(slots=True, eq=False)
class Image:
    """One program that a process was. `copied`: as its parent was, no exec yet."""

    pid: int
    parent: int
    inner: int | None
    uid: int | None
    started: float
    arguments: bytes
    length: int
    executable: bytes | None
    program: Program
    copied: bool
    ended: float | None = None
    exit_code: int | None = None


class Table:
    """A process that becomes another program is two: the first ends (without an exit code) when the second begins.

    At most `limit` are kept. When they are too many, those go first of which there are most: ended, with the same command line.
    `dropped` counts them, `unread` the programs whose command line nobody saw, `shortened` those whose command line there was no room for.
    """

    def __init__(self, limit: int) -> None:
        self.dropped = 0
        self.unread = 0
        self.shortened = 0
        self._limit = limit
        self._bytes = 0
        self._images: dict[Image, None] = {}
        self._running: dict[int, Image] = {}

    def take(self, event: Event) -> None:
        if isinstance(event, Forked):
            self._fork(event)
        elif isinstance(event, Executed):
            self._exec(event)
        elif (image := self._running.pop(event.pid, None)) is not None:
            image.ended, image.exit_code = event.time, event.exit_code

    @property
    def running(self) -> frozenset[int]:
        """The processes that run, as far as was told."""
        return frozenset(self._running)

    @property
    def count(self) -> int:
        """Those that are kept, and those that were dropped."""
        return len(self._images) + self.dropped

    def images(self) -> list[Image]:
        """All that are kept, as they are now, in the order in which they began."""
        return [replace(image) for image in sorted(self._images, key=lambda i: (i.started, i.pid))]

    def _fork(self, event: Forked) -> None:
        self.take(Ended(event.time, event.pid, None))  # its end was lost, and the number used again
        parent = self._running.get(event.parent)
        self._keep(
            Image(
                pid=event.pid,
                parent=event.parent,
                inner=event.inner,
                uid=event.uid if event.uid is not None or parent is None else parent.uid,
                started=event.time,
                arguments=b"" if parent is None else parent.arguments,
                length=0 if parent is None else parent.length,
                executable=None if parent is None else parent.executable,
                program=Program.UNKNOWN if parent is None else parent.program,
                copied=True,
            )
        )

    def _exec(self, event: Executed) -> None:
        before = self._running.get(event.pid)
        if not event.arguments:
            self.unread += 1
        has_room = self._bytes + len(event.arguments) <= _BYTES or len(event.arguments) <= SHORT
        self.shortened += not has_room
        image = Image(
            pid=event.pid,
            parent=event.parent if before is None else before.parent,
            inner=event.inner if event.inner is not None or before is None else before.inner,
            uid=event.uid if event.uid is not None or before is None else before.uid,
            started=before.started if before is not None and before.copied else event.time,
            arguments=event.arguments[: None if has_room else SHORT],
            length=event.length,
            executable=event.executable,
            program=event.program,
            copied=False,
        )
        if before is not None and before.copied:
            del self._running[event.pid]
            self._let_go(before)
        else:
            self.take(Ended(event.time, event.pid, None))
        self._keep(image)

    def _keep(self, image: Image) -> None:
        if len(self._images) >= self._limit:
            self._make_room()
        if len(self._images) < self._limit:
            self._images[image] = None
            self._bytes += 0 if image.copied else len(image.arguments)
            self._running[image.pid] = image
        else:
            self.dropped += 1

    def _make_room(self) -> None:
        ended = [image for image in self._images if image.ended is not None]
        alike = Counter(image.arguments for image in ended)
        ended.sort(key=lambda i: (-alike[i.arguments], i.started))
        for image in ended[: max(1, self._limit // 8)]:
            self._let_go(image)
            self.dropped += 1

    def _let_go(self, image: Image) -> None:
        del self._images[image]
        self._bytes -= 0 if image.copied else len(image.arguments)


class Masking:
    """Equal command lines are masked once, however often they ran and are asked for."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, int], tuple[str, ...]] = {}

    def processes(self, images: Sequence[Image]) -> tuple[Process, ...]:
        """The images as a report has them: command lines without secrets."""
        known = {
            key: self._known.get(key) or masked.words(words(*key)) for key in {(i.arguments, i.length) for i in images}
        }
        self._known = known
        return tuple(_process(image, known[image.arguments, image.length]) for image in images)


def _process(image: Image, command: tuple[str, ...]) -> Process:
    return Process(
        pid=image.pid,
        parent=image.parent,
        command=command,
        inner=image.inner,
        executable=image.executable,
        program=image.program,
        started=image.started,
        ended=image.ended,
        exit_code=image.exit_code,
        uid=image.uid,
    )


def words(arguments: bytes, length: int) -> tuple[str, ...]:
    """A command line's words as they lie in memory; where some of its `length` were not kept, the last word says so."""
    if not arguments:
        return ()
    whole = length <= len(arguments)
    parts = (arguments.removesuffix(b"\0") if whole else arguments).split(b"\0")
    kept = tuple(part.decode("utf-8", "backslashreplace") for part in parts)
    return kept if whole else (*kept, f"…({length} bytes in all)")
