"""`AutoRefresh`: when a listing is read again by itself: while something in it changes, and never for ever.

It reads every 10 s. It reads less often when few calls are left in the rate budget, waits longer after each error, and
stops when nothing changes, or when nothing was different for 15 minutes: a machine that is stuck must not cost calls
all night.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lcnb.transport.rate_limit import BudgetStatus

#: Calls `work` after some seconds, and returns a function that cancels it.
Later = Callable[[float, Callable[[], None]], Callable[[], None]]

INTERVAL_S = 10.0
#: After each error the interval is doubled, up to this one.
MAX_INTERVAL_S = 300.0
#: Seconds without any difference after which it stops.
MAX_SAME_S = 900.0
#: A reading of the machines takes at most this many calls, and all readings at most this share of the calls.
CALLS_PER_READING = 2
BUDGET_SHARE = 0.25


def call_later(seconds: float, work: Callable[[], None]) -> Callable[[], None]:
    """Call `work` in a thread after some seconds; the thread does not keep the process alive."""
    timer = threading.Timer(seconds, work)
    timer.daemon = True
    timer.start()
    return timer.cancel


def call_never(seconds: float, work: Callable[[], None]) -> Callable[[], None]:
    """Do not call `work`: for scripts and tests, in which nothing happens by itself."""
    return lambda: None


def budget_interval(budget: BudgetStatus) -> float:
    """Return the seconds between readings that the rate budget allows.

    >>> from lcnb.transport.rate_limit import BudgetStatus
    >>> budget_interval(BudgetStatus(200, 4800.0, 0.0, 0.0, None, None)), budget_interval(
    ...     BudgetStatus(0, 480.0, 30.0, 0.0, None, None)
    ... )
    (6.0, 60.0)
    """
    wait = max(budget.blocked_s, budget.wait_s)
    return (
        wait
        if budget.calls_per_hour <= 0
        else max(wait, CALLS_PER_READING * 3600 / (BUDGET_SHARE * budget.calls_per_hour))
    )


class AutoRefresh:
    """Plans the next reading after each reading; `read` starts one, `later` waits, `clock` returns seconds."""

    def __init__(
        self, read: Callable[[], None], later: Later = call_later, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read, self._later, self._clock = read, later, clock
        self._lock = threading.Lock()
        self._cancel: Callable[[], None] | None = None
        self._failures = 0
        self._changed_at = clock()

    def after_reading(self, *, changing: bool, same: bool, least_s: float = 0.0) -> str:
        """Plan the next reading, and return what to say about it; "" if there is none.

        `changing`: something is changing. `same`: nothing is different from the last reading. `least_s`: the least
        number of seconds until the next reading.
        """
        if not same:
            self._changed_at = self._clock()
        self._failures = 0
        if not changing:
            self._changed_at = self._clock()
            self._plan(None)
            return ""
        if self._clock() - self._changed_at >= MAX_SAME_S:
            self._plan(None)
            return f"nothing was different for {MAX_SAME_S / 60:g} min: press Refresh to read again"
        return self._plan_regularly(least_s)

    def after_change(self, *, least_s: float = 0.0) -> str:
        """Plan a reading because a change has begun, and return what to say about it."""
        self._changed_at = self._clock()
        return self._plan_regularly(least_s)

    def after_error(self, *, changing: bool, least_s: float = 0.0) -> str:
        """Plan another attempt if something was changing, later after each error; return what to say about it."""
        self._failures += 1
        if not changing or self._clock() - self._changed_at >= MAX_SAME_S:
            self._plan(None)
            return ""
        seconds = max(least_s, min(MAX_INTERVAL_S, INTERVAL_S * 2**self._failures))
        self._plan(seconds)
        return f"next attempt in {seconds:.0f} s"

    def _plan_regularly(self, least_s: float) -> str:
        seconds = max(INTERVAL_S, least_s)
        self._plan(seconds)
        return f"refreshes every {seconds:.0f} s while machines are changing"

    def _plan(self, seconds: float | None) -> None:
        with self._lock:
            if self._cancel is not None:
                self._cancel()
            self._cancel = None if seconds is None else self._later(seconds, self._read)
