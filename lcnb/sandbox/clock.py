"""The clock of a sandbox's world."""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """Seconds of the world: real time, sped up, and turned by hand. `speed=0` stands still."""

    def __init__(self, speed: float = 1.0, source: Callable[[], float] = time.monotonic) -> None:
        self.speed = speed
        self._source = source
        self._start = source()
        self._turned = 0.0

    def __call__(self) -> float:
        return self._turned + (self._source() - self._start) * self.speed

    def turn(self, seconds: float) -> None:
        """Move the world forward by so many of its seconds."""
        self._turned += seconds
