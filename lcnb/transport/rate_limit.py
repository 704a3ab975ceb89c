"""The rule of the rate budget as pure functions on a `BudgetState`, without any input or output.

A token may make 5,000 calls per hour and 120,000 per day. GCRA (a leaky bucket that is a single time) allows a burst of
200 calls, then 4,800 calls per hour."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated

import msgspec
from msgspec import structs

#: Seconds that a Retry-After of NaN is taken to ask for.
ASSUMED_WINDOW_S = 60.0
#: Calls that other programs made this long ago count a third of their current calls.
OTHERS_MEMORY_S = 600.0
#: A clock that is behind by less belongs to another machine that shares the state; by more, it was set back.
MAX_CLOCK_SKEW_S = 60.0
#: The longest time that a response may be on its way.
LATE_RESPONSE_S = 60.0
#: Reported limits at or above this value mean "unlimited".
_UNLIMITED_FROM = 10**9
DAY_S = 86_400.0


@dataclass(frozen=True)
class RateRule:
    """Allows `limit` calls in `window` seconds: a share of them at once, the others evenly spread."""

    limit: int = 5_000
    window: float = 3600.0
    share: float = 0.04

    @cached_property
    def burst(self) -> int:
        """Calls that may be sent at once."""
        return max(1, int(self.limit * self.share))

    @cached_property
    def gap(self) -> float:
        """Seconds between calls after the burst."""
        return self.window / max(1, self.limit - self.burst)

    @cached_property
    def tolerance(self) -> float:
        """Seconds by which the burst may be ahead of the even pace."""
        return self.burst * self.gap

    def with_limit(self, limit: int | None) -> RateRule:
        """Return the rule for the limit that the provider reports; a far higher (daily) one is ignored."""
        if limit is None or limit == self.limit or limit >= 12 * self.limit:
            return self
        return replace(self, limit=limit)


_Seconds = Annotated[float, msgspec.Meta(ge=0, lt=1e11)]
_Count = Annotated[int, msgspec.Meta(ge=0, lt=10**12)]


class BudgetState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The state of a budget. All times are seconds of one clock; 0 is long ago."""

    #: Theoretical arrival time: the bucket is full again at this time.
    tat: _Seconds = 0.0
    blocked_until: _Seconds = 0.0
    #: Seconds between calls until `end`, when others also use the token; 0 means the gap of the rule.
    gap: _Seconds = 0.0
    #: The latest time at which the provider's window ends; the time until which responses of the last window may come.
    end: _Seconds = 0.0
    fresh_until: _Seconds = 0.0
    #: The highest number of calls that a response of this window reported, and the number that we know of: the
    #: difference was made by others.
    used: _Count = 0
    known: _Count = 0
    #: Calls of others per second, and the time of that estimate.
    others: _Seconds = 0.0
    others_at: _Seconds = 0.0
    limit: _Count | None = None
    #: The time when the state was last written.
    seen: _Seconds = 0.0


def adjust_clock(state: BudgetState, now: float) -> tuple[BudgetState, float]:
    """Return state and time for a clock that never goes back.

    The clocks of machines that share a state differ slightly: all use the one that is ahead. When a clock was set
    back by more, the times of the state move back with it, so that nobody waits for the old time.
    """
    back = state.seen - now
    if back <= MAX_CLOCK_SKEW_S:
        return state, max(now, state.seen)
    times = ("tat", "blocked_until", "end", "fresh_until", "others_at", "seen")
    moved = {name: max(0.0, getattr(state, name) - back) for name in times}
    return structs.replace(state, **moved), now


def reserve_call(state: BudgetState, now: float, rule: RateRule) -> tuple[BudgetState, float]:
    """Reserve the next permit: return the new state, and the seconds until the call may be sent."""
    rule = rule.with_limit(state.limit)
    gap = _current_gap(state, now, rule)
    begin = max(now, state.blocked_until)
    tat = max(state.tat, begin) + gap
    ahead = max(rule.tolerance, gap)
    if gap > rule.gap and tat - ahead > state.end:  # the slow pace ends with the window
        ahead = rule.tolerance
        tat = max(state.tat, state.end + ahead) + rule.gap
    return structs.replace(state, tat=tat, known=state.known + 1, seen=now), max(begin, tat - ahead) - now


def _current_gap(state: BudgetState, now: float, rule: RateRule) -> float:
    return max(state.gap, rule.gap) if now < state.end else rule.gap


def record_response(
    state: BudgetState,
    now: float,
    rule: RateRule,
    *,
    limit: int | None = None,
    remaining: int | None = None,
    reset_s: float | None = None,
    retry_after: float | None = None,
) -> BudgetState:
    """Return the state after a response. `retry_after` is that of a 429 only, and stops everyone."""
    state = structs.replace(state, seen=now)
    is_new_limit = limit is not None and 0 < limit < _UNLIMITED_FROM and limit != state.limit
    if is_new_limit:
        state = structs.replace(state, limit=limit)
    rule = rule.with_limit(state.limit)
    if retry_after is not None:
        return _stop_until(state, now, rule, now + _clamp_seconds(retry_after))
    if remaining is None:
        return state
    allowed = state.limit or rule.limit
    used = min(max(0, allowed - remaining), allowed)
    if is_new_limit or used < state.used - rule.burst or now >= state.end + LATE_RESPONSE_S:
        state = _start_window(state, now, rule, used)
    elif _is_overtaken(state, now, rule, used):
        return state
    if reset_s is not None:
        state = structs.replace(state, end=now + _clamp_seconds(reset_s))
    return _set_pace(_count_others(state, now, used), now, rule, allowed)


def _is_overtaken(state: BudgetState, now: float, rule: RateRule, used: int) -> bool:
    """Whether a response belongs to the previous window: it comes after its end, or reports too many calls.

    Within a window, responses in the wrong order do no harm: the highest number counts.
    """
    return now >= state.end or (now < state.fresh_until and used > state.used + rule.burst)


def _clamp_seconds(seconds: float) -> float:
    """Return the seconds, at most a day, plus one: the provider rounds down to whole seconds."""
    return min(max(seconds, 0.0), DAY_S) + 1.0 if seconds == seconds else ASSUMED_WINDOW_S


def _stop_until(state: BudgetState, now: float, rule: RateRule, until: float) -> BudgetState:
    """Stop everyone until that time; then allow calls one by one, because fewer may be left than we think.

    The latest report counts: a 429 that names a time corrects an earlier guess.
    """
    sooner = min(0.0, until - state.blocked_until) if state.blocked_until > now else 0.0
    tat = max(state.tat + sooner, until + rule.tolerance)
    used = max(state.used, state.limit or rule.limit)
    return structs.replace(state, blocked_until=until, tat=tat, gap=0.0, end=until, used=used)


def _start_window(state: BudgetState, now: float, rule: RateRule, used: int) -> BudgetState:
    """Begin a window that was not reported before. Reserved permits stay, at the pace of the rule."""
    gap = _current_gap(state, now, rule)
    full = now + rule.tolerance
    tat = full + (state.tat - full) / gap * rule.gap if state.tat > full else state.tat
    state = structs.replace(state, tat=tat, gap=0.0, known=used, used=used)
    return structs.replace(state, end=now + rule.window, fresh_until=now + LATE_RESPONSE_S)


def _count_others(state: BudgetState, now: float, used: int) -> BudgetState:
    """Count the calls that we did not know of as calls of others; their rate is an exponential average."""
    fresh = max(0, used - state.known)
    others = state.others * math.exp((state.others_at - now) / OTHERS_MEMORY_S) + fresh / OTHERS_MEMORY_S
    return structs.replace(
        state,
        used=max(state.used, used),
        known=state.known + fresh,
        others=others,
        others_at=max(state.others_at, now),
    )


def _set_pace(state: BudgetState, now: float, rule: RateRule, allowed: int) -> BudgetState:
    """Spread the remaining calls of the window over its remaining time, less what others will use."""
    left = min(max(state.end - now, 1.0), rule.window)  # of a daily window, plan at most an hour
    remaining = allowed - state.used
    if remaining <= 0:
        return _stop_until(state, now, rule, state.end)
    ours = max(remaining - rule.burst - state.others * left, remaining / 4)
    gap = max(rule.gap, left / ours)
    return structs.replace(state, gap=gap, tat=max(state.tat, now + rule.tolerance - ours * gap))


@dataclass(frozen=True)
class BudgetStatus:
    """The budget at one moment."""

    #: Calls that may be sent at once.
    burst: int
    #: Calls per hour after those.
    calls_per_hour: float
    #: Seconds that the next call would wait.
    wait_s: float
    #: Seconds for which the provider lets nobody send.
    blocked_s: float
    #: The limit that the provider reported in this window, and the remaining calls; None if it reported none.
    limit: int | None
    remaining: int | None
    stored_in: str = ""
    problem: str | None = None


def budget_status(state: BudgetState, now: float, rule: RateRule) -> BudgetStatus:
    """Return the state as people read it. Takes no permit."""
    wait = reserve_call(state, now, rule)[1]
    rule, reported = rule.with_limit(state.limit), state.limit if now < state.end else None
    gap = _current_gap(state, now, rule)
    free = (now + max(rule.tolerance, gap) - max(state.tat, now)) / gap
    blocked = max(0.0, state.blocked_until - now)
    return BudgetStatus(
        burst=0 if blocked else max(0, math.floor(free + 1e-6)),
        calls_per_hour=3600 / gap,
        wait_s=wait,
        blocked_s=blocked,
        limit=reported,
        remaining=None if reported is None else reported - state.used,
    )


_STATE_DECODER = msgspec.json.Decoder(BudgetState)


def encode_state(state: BudgetState) -> bytes:
    """Return the state as JSON."""
    return msgspec.json.encode(state)


def decode_state(text: bytes) -> BudgetState:
    """Return the state in a text; a new state if the text is empty, damaged, or of another version."""
    try:
        state = _STATE_DECODER.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return BudgetState()
    is_plausible = max(state.tat, state.blocked_until, state.end) <= state.seen + 30 * DAY_S
    return state if is_plausible else BudgetState()
