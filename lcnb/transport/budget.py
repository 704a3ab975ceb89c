"""The rate budget of a token, shared by every process and thread that uses it.

`Budget` applies the rule of `rate_limit` to the first of its stores that works."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from lcnb.secret import Secret
from lcnb.transport.budget_stores import BudgetStore, FileBudgetStore, MemoryBudgetStore, StateChange, T
from lcnb.transport.rate_limit import (
    DAY_S,
    BudgetState,
    BudgetStatus,
    RateRule,
    budget_status,
    record_response,
    reserve_call,
)
from lcnb.transport.redis_store import RedisBudgetStore

logger = logging.getLogger("lcnb.transport.budget")
#: Seconds for which a row that failed is left alone; meanwhile the next one keeps the pace.
STORE_PAUSE_S = 60.0


# --- what the wire uses ---------------------------------------------------------------------------------


@dataclass
class Budget:
    """The budget of a token, kept in the first of its rows that works; safe to use from several threads.

    When a row fails (disk full, no permission, Redis away) the next one goes on for a minute, with one warning
    in the log; `look().problem` tells of it as long as it lasts.
    """

    rows: tuple[BudgetStore, ...] = ()
    memory: MemoryBudgetStore = field(default_factory=MemoryBudgetStore)
    rule: RateRule = field(default_factory=RateRule)
    _resting: dict[str, tuple[float, str]] = field(default_factory=dict, repr=False)
    _warned: set[str] = field(default_factory=set, repr=False)

    def take(self, at_most: float = math.inf, *, again: bool = False) -> float | None:
        """Reserve a place: the seconds to wait before the call is sent, 0.0 for at once.

        None: it would take longer than `at_most` seconds (`look().wait_s` tells how long); nothing is reserved.
        After a wait, ask `again=True`: 0.0 as a rule, for the place is kept. Only when everybody was stopped
        meanwhile (a 429, a window that is used up) is it a new place, to be waited for.
        """

        def deed(state: BudgetState, now: float) -> tuple[BudgetState, float | None]:
            if again and state.blocked_until <= now:
                return state, 0.0
            new, wait = reserve_call(state, now, self.rule)
            return (new, wait) if wait <= at_most else (state, None)

        return self._change(deed)

    def heard(
        self,
        limit: int | None = None,
        remaining: int | None = None,
        reset_s: float | None = None,
        retry_after: float | None = None,
    ) -> None:
        """What a reply told: its rate headers, the seconds until the window ends, and a 429's `Retry-After`.

        A 429 that names no time is told as `retry_after=UNTOLD_S`; a Retry-After of another status is not told.
        """
        if limit is remaining is reset_s is retry_after is None:
            return

        def deed(state: BudgetState, now: float) -> tuple[BudgetState, None]:
            told = {"limit": limit, "remaining": remaining, "reset_s": reset_s, "retry_after": retry_after}
            return record_response(state, now, self.rule, **told), None  # type: ignore[arg-type]

        self._change(deed)

    def look(self) -> BudgetStatus:
        """What there is at this moment, where the row lives, and what is wrong with it. Takes nothing."""
        seen = self._change(lambda state, now: (state, budget_status(state, now, self.rule)))
        where = next((row.where for row in self.rows if not self._rests(row)), self.memory.where)
        problem = "; ".join(text for _, text in self._resting.values()) or None
        return replace(seen, where=where, problem=problem)

    def _change(self, deed: StateChange[T]) -> T:
        made = self.memory.state

        def noted(state: BudgetState, now: float) -> tuple[BudgetState, T]:
            nonlocal made
            made, answer = deed(state, now)
            return made, answer

        for row in self.rows:
            if self._rests(row):
                continue
            try:
                answer = row.change(noted)
            except OSError as error:
                self._rest(row, error)
            else:
                self._resting.pop(row.where, None)
                self.memory.state = made  # where this process goes on from if the row fails
                return answer
        return self.memory.change(deed)

    def _rests(self, row: BudgetStore) -> bool:
        return self._resting.get(row.where, (0.0, ""))[0] > time.monotonic()

    def _rest(self, row: BudgetStore, error: OSError) -> None:
        text = f"the rate budget in {row.where} cannot be used: {error.strerror or error}"
        self._resting[row.where] = (time.monotonic() + STORE_PAUSE_S, text)
        if row.where not in self._warned:
            self._warned.add(row.where)
            logger.warning(
                "%s; calls of other processes with this token are no longer counted; "
                "only the provider's own limit holds",
                text,
            )


def open_budget(
    state_dir: Path,
    token: Secret,
    redis_url: str | Secret | None = None,
    *,
    clock: Callable[[], float] = time.time,
) -> Budget:
    """The budget of a token: in Redis if there is one, else in the state folder. Nothing is opened yet."""
    key = budget_key(token)
    path = state_dir / f"budget-{key}.json"
    if not path.exists():
        _delete_old_files(state_dir)
    rows: list[BudgetStore] = [FileBudgetStore(path, clock)]
    if redis_url:
        rows.insert(
            0, RedisBudgetStore(redis_url if isinstance(redis_url, Secret) else Secret(redis_url), key)
        )
    return Budget(tuple(rows), MemoryBudgetStore(clock))


def _delete_old_files(state_dir: Path) -> None:
    """Rows of tokens that nobody has used for days; sandboxes bring a new token each."""
    with contextlib.suppress(OSError):
        for path in state_dir.glob("budget-*.json"):
            if time.time() - path.stat().st_mtime > 2 * DAY_S:
                path.unlink()


def budget_key(token: Secret) -> str:
    """What a token's row is called: a hash, never the token."""
    return hashlib.sha256(b"lcnb-budget\0" + token.reveal().encode("utf-8", "surrogatepass")).hexdigest()[:32]
