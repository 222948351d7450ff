"""The kernel's clocks as seconds since the epoch, in one place."""

import os
import time
from dataclasses import dataclass

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Clock:
    """`monotonic` and `boot` are the epoch's seconds at which these clocks stood at zero, as the wall clock was when `now` was called."""

    monotonic: float
    boot: float

    @classmethod
    def now(cls) -> "Clock":
        return cls(_zero(time.CLOCK_MONOTONIC), _zero(time.CLOCK_BOOTTIME))

    def of_monotonic(self, nanoseconds: int) -> float:
        """What bpf_ktime_get_ns and the proc connector tell."""
        return self.monotonic + nanoseconds / 1e9

    def of_ticks(self, ticks: int) -> float:
        """Field 22 of /proc/PID/stat: proc_pid_stat(5)."""
        return self.boot + ticks / _TICKS


def _zero(clock: int) -> float:
    """The best of a few tries: the one that was interrupted least."""
    tries = []
    for _ in range(5):
        before = time.time()
        value = time.clock_gettime(clock)
        after = time.time()
        tries.append((after - before, (before + after) / 2 - value))
    return min(tries)[1]
