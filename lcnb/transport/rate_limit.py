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

#: What a 429 that names no time is taken to ask for, in seconds.
ASSUMED_WINDOW_S = 60.0
#: What other programs did this long ago counts a third of what they do now.
OTHERS_MEMORY_S = 600.0
#: A clock that is back by less is another machine's, on the same row; by more, it was set.
MAX_CLOCK_SKEW_S = 60.0
#: A reply may be on its way for so long.
LATE_RESPONSE_S = 60.0
#: A limit that is told and not below this is none.
_UNLIMITED_FROM = 10**9
DAY_S = 86_400.0


# --- the rule, without any input or output --------------------------------------------------------------


@dataclass(frozen=True)
class RateRule:
    """`limit` calls in `window` seconds: a share of them at once, the others evenly."""

    limit: int = 5_000
    window: float = 3600.0
    share: float = 0.04

    @cached_property
    def burst(self) -> int:
        return max(1, int(self.limit * self.share))

    @cached_property
    def gap(self) -> float:
        """Seconds from one call to the next, once the burst is used."""
        return self.window / max(1, self.limit - self.burst)

    @cached_property
    def tolerance(self) -> float:
        """How far ahead of its time the burst may be, in seconds."""
        return self.burst * self.gap

    def told(self, limit: int | None) -> RateRule:
        """The rule for the limit that the provider tells; one that is far higher is the day's, not the hour's."""
        if limit is None or limit == self.limit or limit >= 12 * self.limit:
            return self
        return replace(self, limit=limit)


_Seconds = Annotated[float, msgspec.Meta(ge=0, lt=1e11)]
_Count = Annotated[int, msgspec.Meta(ge=0, lt=10**12)]


class BudgetState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The row. All times are seconds of one clock; 0 is long ago."""

    #: Theoretical arrival time: the bucket is full again at this time.
    tat: _Seconds = 0.0
    blocked_until: _Seconds = 0.0
    #: Seconds between calls until `end`, when others use the token too; the rule's own otherwise.
    gap: _Seconds = 0.0
    #: When the provider's window ends, at the latest; and until when replies of the one before may come.
    end: _Seconds = 0.0
    fresh_until: _Seconds = 0.0
    #: The most calls that a reply of this window told of, and those that we know of: a reply that tells of more
    #: than we know shows calls of others.
    used: _Count = 0
    known: _Count = 0
    #: Calls of others a second, and when that was reckoned.
    others: _Seconds = 0.0
    others_at: _Seconds = 0.0
    limit: _Count | None = None
    #: The clock when the row was last written.
    seen: _Seconds = 0.0


def adjust_clock(state: BudgetState, now: float) -> tuple[BudgetState, float]:
    """State and time for a clock that never goes back.

    Machines that share a row differ by a little: they live on the clock that is ahead. A clock that was set
    back by more takes the row's times with it, so nobody waits for the old time to come again.
    """
    back = state.seen - now
    if back <= MAX_CLOCK_SKEW_S:
        return state, max(now, state.seen)
    times = ("tat", "blocked_until", "end", "fresh_until", "others_at", "seen")
    moved = {name: max(0.0, getattr(state, name) - back) for name in times}
    return structs.replace(state, **moved), now


def reserve_call(state: BudgetState, now: float, rule: RateRule) -> tuple[BudgetState, float]:
    """Reserve the next place: the new state, and the seconds until the call may be sent."""
    rule = rule.told(state.limit)
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
    """The state after a reply. `retry_after` is that of a 429 alone, and stops everybody."""
    state = structs.replace(state, seen=now)
    anew = limit is not None and 0 < limit < _UNLIMITED_FROM and limit != state.limit
    if anew:
        state = structs.replace(state, limit=limit)
    rule = rule.told(state.limit)
    if retry_after is not None:
        return _stop_until(state, now, rule, now + _clamp_seconds(retry_after))
    if remaining is None:
        return state
    allowed = state.limit or rule.limit
    used = min(max(0, allowed - remaining), allowed)
    if anew or used < state.used - rule.burst or now >= state.end + LATE_RESPONSE_S:
        state = _start_window(state, now, rule, used)
    elif _is_overtaken(state, now, rule, used):
        return state
    if reset_s is not None:
        state = structs.replace(state, end=now + _clamp_seconds(reset_s))
    return _set_pace(_count_others(state, now, used), now, rule, allowed)


def _is_overtaken(state: BudgetState, now: float, rule: RateRule, used: int) -> bool:
    """Whether a reply is of the window before: it comes after the end of that, or tells of too many calls.

    Within a window, replies that were overtaken do no harm: the highest number counts.
    """
    return now >= state.end or (now < state.fresh_until and used > state.used + rule.burst)


def _clamp_seconds(seconds: float) -> float:
    """At least a second: the provider tells whole ones, and they are cut off."""
    return min(max(seconds, 0.0), DAY_S) + 1.0 if seconds == seconds else ASSUMED_WINDOW_S


def _stop_until(state: BudgetState, now: float, rule: RateRule, until: float) -> BudgetState:
    """Nobody sends until then; then one after another, because there may be less than we think.

    The last word counts: a 429 that names a time comes after a reply of which we could only guess it.
    """
    sooner = min(0.0, until - state.blocked_until) if state.blocked_until > now else 0.0
    tat = max(state.tat + sooner, until + rule.tolerance)
    used = max(state.used, state.limit or rule.limit)
    return structs.replace(state, blocked_until=until, tat=tat, gap=0.0, end=until, used=used)


def _start_window(state: BudgetState, now: float, rule: RateRule, used: int) -> BudgetState:
    """A window that we hear of for the first time. Who waits keeps its place, at the rule's own pace."""
    gap = _current_gap(state, now, rule)
    full = now + rule.tolerance
    tat = full + (state.tat - full) / gap * rule.gap if state.tat > full else state.tat
    state = structs.replace(state, tat=tat, gap=0.0, known=used, used=used)
    return structs.replace(state, end=now + rule.window, fresh_until=now + LATE_RESPONSE_S)


def _count_others(state: BudgetState, now: float, used: int) -> BudgetState:
    """Calls that we did not know of are others'; their pace is a mean that forgets."""
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
    """Spread what is left of the window over the time that is left of it, less what others will take."""
    left = min(max(state.end - now, 1.0), rule.window)  # of a day's window, no more than an hour is planned
    remaining = allowed - state.used
    if remaining <= 0:
        return _stop_until(state, now, rule, state.end)
    ours = max(remaining - rule.burst - state.others * left, remaining / 4)
    gap = max(rule.gap, left / ours)
    return structs.replace(state, gap=gap, tat=max(state.tat, now + rule.tolerance - ours * gap))


@dataclass(frozen=True)
class BudgetStatus:
    """What the budget is at this moment."""

    #: Calls that may be sent at once.
    burst: int
    #: Calls an hour after those.
    an_hour: float
    #: Seconds that a call asked for now would wait.
    wait_s: float
    #: Seconds for which nobody sends, because the provider said so.
    blocked_s: float
    #: What the provider told in this window, None where it did not.
    limit: int | None
    remaining: int | None
    where: str = ""
    problem: str | None = None


def budget_status(state: BudgetState, now: float, rule: RateRule) -> BudgetStatus:
    """The state as people read it. Nothing is taken."""
    wait = reserve_call(state, now, rule)[1]
    rule, told = rule.told(state.limit), state.limit if now < state.end else None
    gap = _current_gap(state, now, rule)
    free = (now + max(rule.tolerance, gap) - max(state.tat, now)) / gap
    blocked = max(0.0, state.blocked_until - now)
    return BudgetStatus(
        burst=0 if blocked else max(0, math.floor(free + 1e-6)),
        an_hour=3600 / gap,
        wait_s=wait,
        blocked_s=blocked,
        limit=told,
        remaining=None if told is None else told - state.used,
    )


_STATE_DECODER = msgspec.json.Decoder(BudgetState)


def encode_state(state: BudgetState) -> bytes:
    return msgspec.json.encode(state)


def decode_state(text: bytes) -> BudgetState:
    """The state in a text; a new one when it makes no sense (nothing yet, damaged, another version's)."""
    try:
        state = _STATE_DECODER.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return BudgetState()
    sound = max(state.tat, state.blocked_until, state.end) <= state.seen + 30 * DAY_S
    return state if sound else BudgetState()
