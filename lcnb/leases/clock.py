"""The clock of leases. It must not stop while the computer sleeps, and the wall clock may be set at any time."""

from __future__ import annotations

import sys
import time
from typing import NamedTuple


class Moment(NamedTuple):
    """A moment on two clocks of this computer, in seconds: one that only grows, and the wall clock."""

    steady: float
    wall: float

    def longest_since(self, earlier: Moment) -> float:
        """Return the seconds since an earlier moment, by the clock that says more.

        A holder counts with this one. A virtual machine that was paused learns of the pause from its wall clock only.
        """
        return max(self.steady - earlier.steady, self.wall - earlier.wall)


def current_moment() -> Moment:
    """Return this moment. The steady clock also counts the time in which the computer was suspended.

    >>> first = current_moment()
    >>> current_moment().longest_since(first) >= 0
    True
    """
    return Moment(
        time.clock_gettime(_SLEEPLESS_CLOCK) if _SLEEPLESS_CLOCK is not None else time.monotonic(),
        time.time(),
    )


def _sleepless_clock() -> int | None:
    """Return the clock that counts suspended time: CLOCK_BOOTTIME on Linux, CLOCK_MONOTONIC on macOS.

    Windows: None, since `time.monotonic` counts it there.
    """
    if sys.platform == "darwin":
        return time.CLOCK_MONOTONIC
    return getattr(time, "CLOCK_BOOTTIME", None)


_SLEEPLESS_CLOCK = _sleepless_clock()
