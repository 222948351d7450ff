"""What could not be read, folded: a run may leave a million files that all fail in the same way."""

from scanner.model import Level, Notification

EACH = 20
"""Notifications of one kind that name their file each; the rest are counted."""


class Notes:
    """Grows while a run's files are read."""

    def __init__(self) -> None:
        self._noted: dict[tuple[str, Level, str], list[bytes | None]] = {}

    def add(self, level: Level, message: str, path: bytes | None = None, stage: str = "source") -> None:
        paths = self._noted.setdefault((stage, level, message), [])
        if path is not None and path in paths[-EACH:]:
            return  # asked for once more
        paths.append(path if len(paths) <= EACH else None)

    def warn(self, message: str, path: bytes | None = None) -> None:
        """Something was not read: the report is incomplete."""
        self.add(Level.WARNING, message, path)

    def unseen(self, message: str, path: bytes | None = None) -> None:
        """A whole part of what the run had was not read: the report is incomplete, and the run says so."""
        self.add(Level.WARNING, message, path, "unseen")

    def vanished(self, path: bytes) -> None:
        """It was named and is there no more: whatever it was, the run has taken it away itself."""
        self.add(Level.NOTE, "it vanished while the files were read", path)

    def disguised(self, path: bytes) -> None:
        self.add(
            Level.NOTE, "named like a layer's mark for a removed file, which it is not: it was scanned as %2Ewh.…", path
        )

    @property
    def notifications(self) -> tuple[Notification, ...]:
        found: list[Notification] = []
        for (stage, level, message), paths in self._noted.items():
            named, rest = paths[:EACH], paths[EACH:]
            found += (Notification(stage, level, message, path=path) for path in named)
            if rest:
                found.append(Notification(stage, level, message, path=rest[0], count=len(rest)))
        return tuple(found)
