"""What the tracing of one report may cost, so that no image and no repository makes it endless."""

from dataclasses import dataclass, field

from scanner.dockerfile import Work

MOST = 60_000_000
"""Characters that are compared, about: some twenty seconds."""
STEP = 50
"""What an instruction, or a pair that is compared, costs beside its characters."""


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
