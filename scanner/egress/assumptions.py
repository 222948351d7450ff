"""What a person takes for granted, `--assume KEY=VALUE`: the keys are listed in scanner.model.assumption."""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from scanner.errors import UsageError
from scanner.model import printable
from scanner.model.assumption import KNOWN, Assumption, assumption

__all__ = ["KNOWN", "Assumed", "Assumption", "parse"]


@dataclass(frozen=True, slots=True)
class Assumed:
    """What the user takes for granted. A key that nobody gave is None, never a guess."""

    values: Mapping[str, str] = field(default_factory=dict)

    def get(self, key: str) -> str | None:
        return self.values.get(key)

    def flag(self, key: str) -> bool | None:
        value = self.values.get(key)
        return None if value is None else value == "true"

    @property
    def engine(self) -> tuple[int, int, int] | None:
        """The engine's version as three numbers."""
        version = self.values.get("engine.version")
        if version is None:
            return None
        numbers = [int(n) for n in re.findall(r"\d+", re.split(r"[-+~]", version)[0])]
        major, minor, patch, *_ = (*numbers, 0, 0, 0)
        return major, minor, patch

    @property
    def environment(self) -> dict[str, str]:
        return {key[4:]: value for key, value in self.values.items() if key.startswith("env.")}


def parse(given: Iterable[str]) -> Assumed:
    """`KEY=VALUE` each; raises UsageError for a key that does not exist, a value that it cannot have, a contradiction."""
    values: dict[str, str] = {}
    for one in given:
        key, equals, value = one.partition("=")
        known = assumption(key)
        if known is None:
            close = difflib.get_close_matches(key, [k.key for k in KNOWN], 1)
            hint = f"did you mean {close[0]}?" if close else "sandscan egress --list-assumptions shows all"
            raise UsageError(f"there is nothing to assume called {printable(key)!r}; {hint}")
        if not equals or not re.fullmatch(known.pattern, value):
            raise UsageError(f"--assume {printable(one)}: {known.key} is {known.values}")
        if values.setdefault(key, value) != value:
            raise UsageError(
                f"--assume {printable(key)} is given twice, as {printable(values[key])} and {printable(value)}"
            )
    return Assumed(values)
