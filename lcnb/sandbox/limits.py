"""The rate limit of the sandbox: fixed windows of calls."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass


@dataclass
class RateWindow:
    """A fixed window of the rate limit: calls since `start`, in world seconds."""

    seconds: float
    limit: int
    start: float = -math.inf
    used: int = 0

    def take(self, now: float) -> bool:
        """Count a call. Returns False when the limit is reached."""
        if now - self.start >= self.seconds:
            self.start, self.used = now, 0
        if self.used >= self.limit:
            return False
        self.used += 1
        return True

    def left(self) -> int:
        """The number of calls that are still allowed in this window."""
        return max(0, self.limit - self.used)

    def ends_in(self, now: float) -> float:
        """The seconds until this window ends."""
        return max(0.0, self.start + self.seconds - now)


def unix_time() -> int:
    """The real time as whole Unix seconds."""
    return int(time.time())
