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
#: Seconds for which a store that failed is not used; meanwhile the next one keeps the pace.
STORE_PAUSE_S = 60.0


@dataclass
class Budget:
    """The budget of a token, kept in the first of its stores that works; safe to use from several threads.

    When a store fails (disk full, no permission, Redis unreachable), the next one takes over for a minute. The log
    warns once; `status().problem` names the failure as long as it lasts.
    """

    stores: tuple[BudgetStore, ...] = ()
    memory: MemoryBudgetStore = field(default_factory=MemoryBudgetStore)
    rule: RateRule = field(default_factory=RateRule)
    _paused: dict[str, tuple[float, str]] = field(default_factory=dict, repr=False)
    _warned: set[str] = field(default_factory=set, repr=False)

    def take(self, at_most_s: float = math.inf, *, has_waited: bool = False) -> float | None:
        """Reserve a permit and return the seconds to wait before the call is sent; 0.0 means now.

        Returns None, and reserves nothing, if the wait would be longer than `at_most_s` seconds (`status().wait_s`
        says how long). After the wait, call it with `has_waited=True`: that returns 0.0, because the permit is still
        reserved, unless everyone was stopped meanwhile (a 429, a window that is used up); then it reserves another one.
        """

        def reserve(state: BudgetState, now: float) -> tuple[BudgetState, float | None]:
            if has_waited and state.blocked_until <= now:
                return state, 0.0
            new, wait_s = reserve_call(state, now, self.rule)
            return (new, wait_s) if wait_s <= at_most_s else (state, None)

        return self._change(reserve)

    def record_response(
        self,
        limit: int | None = None,
        remaining: int | None = None,
        reset_s: float | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Record the rate headers of a response: limit, remaining calls, seconds until the window ends.

        `retry_after` is that of a 429 only, in seconds; pass DEFAULT_RETRY_AFTER_S for a 429 that names no time.
        """
        if limit is remaining is reset_s is retry_after is None:
            return

        def record(state: BudgetState, now: float) -> tuple[BudgetState, None]:
            new = record_response(
                state,
                now,
                self.rule,
                limit=limit,
                remaining=remaining,
                reset_s=reset_s,
                retry_after=retry_after,
            )
            return new, None

        self._change(record)

    def status(self) -> BudgetStatus:
        """Return the budget at this moment, the store it is in, and what is wrong with a store. Takes no permit."""
        status = self._change(lambda state, now: (state, budget_status(state, now, self.rule)))
        stored_in = next((each.stored_in for each in self.stores if not self._is_paused(each)), None)
        problem = "; ".join(text for _, text in self._paused.values()) or None
        return replace(status, stored_in=stored_in or self.memory.stored_in, problem=problem)

    def _change(self, update: StateChange[T]) -> T:
        latest = self.memory.state

        def update_and_copy(state: BudgetState, now: float) -> tuple[BudgetState, T]:
            nonlocal latest
            latest, result = update(state, now)
            return latest, result

        for store in self.stores:
            if self._is_paused(store):
                continue
            try:
                result = store.change(update_and_copy)
            except OSError as error:
                self._pause(store, error)
            else:
                self._paused.pop(store.stored_in, None)
                self.memory.state = latest  # the state from which this process continues if the store fails
                return result
        return self.memory.change(update)

    def _is_paused(self, store: BudgetStore) -> bool:
        return self._paused.get(store.stored_in, (0.0, ""))[0] > time.monotonic()

    def _pause(self, store: BudgetStore, error: OSError) -> None:
        text = f"the rate budget in {store.stored_in} cannot be used: {error.strerror or error}"
        self._paused[store.stored_in] = (time.monotonic() + STORE_PAUSE_S, text)
        if store.stored_in not in self._warned:
            self._warned.add(store.stored_in)
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
    """Return the budget of a token: in Redis if a URL is given, else in the state folder. Nothing is opened yet."""
    key = budget_key(token)
    path = state_dir / f"budget-{key}.json"
    if not path.exists():
        _delete_old_files(state_dir)
    stores: list[BudgetStore] = [FileBudgetStore(path, clock)]
    if redis_url:
        url = redis_url if isinstance(redis_url, Secret) else Secret(redis_url)
        stores.insert(0, RedisBudgetStore(url, key))
    return Budget(tuple(stores), MemoryBudgetStore(clock))


def _delete_old_files(state_dir: Path) -> None:
    """Delete the budgets of tokens that nobody has used for two days; each sandbox brings a new token."""
    with contextlib.suppress(OSError):
        for path in state_dir.glob("budget-*.json"):
            if time.time() - path.stat().st_mtime > 2 * DAY_S:
                path.unlink()


def budget_key(token: Secret) -> str:
    """Return the name of a token's budget: a hash, never the token."""
    return hashlib.sha256(b"lcnb-budget\0" + token.reveal().encode("utf-8", "surrogatepass")).hexdigest()[:32]
