"""The clock of a sandbox's world."""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """The seconds of the world: real time multiplied by `speed`, plus the seconds of `turn`. With `speed=0` it stops.

    >>> clock = Clock(speed=0)
    >>> clock.turn(60)
    >>> clock()
    60.0
    """

    def __init__(self, speed: float = 1.0, source: Callable[[], float] = time.monotonic) -> None:
        self.speed = speed
        self._source = source
        self._start = source()
        self._advanced = 0.0

    def __call__(self) -> float:
        return self._advanced + (self._source() - self._start) * self.speed

    def turn(self, seconds: float) -> None:
        """Advance the clock by so many seconds of the world."""
        self._advanced += seconds
