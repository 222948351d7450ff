"""What the tracing of one report may cost, so that no image and no repository makes it endless."""

from dataclasses import dataclass, field

from scanner.dockerfile import Work

MOST = 100_000_000
"""Characters that are compared, about: less than half a minute."""
STEP = 20
"""What an instruction costs beside its characters."""


@dataclass
class Effort:
    """`left` is what may still be done; `spent` whether something was left undone for want of it."""

    left: int = MOST
    spent: bool = False
    work: Work = field(default_factory=Work)

    def take(self, cost: int) -> bool:
        """Whether that much may still be done; it then counts as done."""
        if cost > self.left:
            self.spent = True
            return False
        self.left -= cost
        return True
