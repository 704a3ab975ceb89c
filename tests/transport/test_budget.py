"""The rate budget: the pure rule, days of it against a simulated provider, and its rows among processes."""

from __future__ import annotations

import heapq
import itertools
import logging
import math
import os
import random
import shutil
import stat
import struct
import subprocess
import sys
import textwrap
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from redis_server import PASSWORD, redis_server

from conftest import TOKEN
from lcnb.secret import Secret
from lcnb.transport import budget as budget_module
from lcnb.transport import budget_stores
from lcnb.transport.budget import Budget, budget_key, open_budget
from lcnb.transport.budget_stores import FileBudgetStore, MemoryBudgetStore
from lcnb.transport.rate_limit import (
    BudgetState,
    RateRule,
    adjust_clock,
    decode_state,
    encode_state,
    reserve_call,
)
from lcnb.transport.redis_store import RedisBudgetStore

HOUR, DAY = 3600.0, 86_400.0
RULE = RateRule()
fcntl = pytest.importorskip("fcntl")


class HandClock:
    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def budget(clock: HandClock) -> Budget:
    """A budget without files, on a clock turned by hand."""
    return Budget(memory=MemoryBudgetStore(clock))


def use(budget: Budget, calls: int) -> list[float | None]:
    return [budget.take() for _ in range(calls)]


# --- the rule -------------------------------------------------------------------------------------------


def test_burst_then_pace(budget: Budget) -> None:
    """200 calls go at once, the next ones 0.75 s apart, each with a place of its own."""
    assert use(budget, 200) == [0.0] * 200
    assert use(budget, 4) == pytest.approx([0.75, 1.5, 2.25, 3.0])


def test_refills(budget: Budget, clock: HandClock) -> None:
    """Rest gives the burst back, and no more than the burst."""
    use(budget, 200)
    clock.now += 75
    assert budget.status().burst == 100
    clock.now += DAY
    assert budget.status().burst == 200


@pytest.mark.parametrize(
    ("limit", "burst", "an_hour"),
    [
        (5_000, 200, 4_800),
        (None, 200, 4_800),
        (1_000, 40, 960),
        (10_000, 400, 9_600),
        (60, 2, 58),
        (1, 1, 1),
        (120_000, 200, 4_800),  # that of the day
        (0, 200, 4_800),
        (-5, 200, 4_800),
    ],
)
def test_reported_limit(budget: Budget, limit: int | None, burst: int, an_hour: float) -> None:
    """The pace follows the limit that replies tell; the day's limit does not raise that of the hour."""
    budget.record_response(limit=limit)
    status = budget.status()
    assert (status.burst, status.calls_per_hour) == (burst, pytest.approx(an_hour))


@given(st.lists(st.floats(0, 30), max_size=400), st.integers(2, 60))
def test_no_window_over_the_limit(gaps: list[float], limit: int) -> None:
    """However calls come, no window of the limit's length holds more than the limit."""
    rule, state, now, sent = RateRule(limit, 100.0), BudgetState(), 1000.0, []
    for gap in gaps:
        now += gap
        state, wait = reserve_call(state, now, rule)
        sent.append(now + wait)
    assert sent == sorted(sent)
    assert most(sent, 100.0) <= limit


def test_deadline_takes_nothing(budget: Budget, clock: HandClock) -> None:
    """A call whose deadline is nearer than its place takes none, and learns how long it would wait."""
    use(budget, 210)
    before = budget.memory.state
    assert budget.take(at_most_s=8.0) is None
    assert budget.memory.state == before
    assert budget.status().wait_s == pytest.approx(8.25)
    assert budget.take(at_most_s=8.25 + 1e-6) == pytest.approx(8.25)


def test_second_permit_is_free(budget: Budget, clock: HandClock) -> None:
    """Who has waited goes, and pays nothing a second time."""
    use(budget, 200)
    wait = budget.take()
    assert wait is not None
    clock.now += wait
    before = budget.memory.state
    assert budget.take(has_waited=True) == 0.0
    assert budget.memory.state == before


def test_no_headers(budget: Budget) -> None:
    """A reply without any rate header changes nothing."""
    use(budget, 3)
    before = budget.memory.state
    budget.record_response()
    assert budget.memory.state == before


# --- others with the same token -------------------------------------------------------------------------


def reply(budget: Budget, remaining: int, **told: Any) -> None:
    budget.record_response(limit=5_000, remaining=remaining, **told)


def test_alone(budget: Budget, clock: HandClock) -> None:
    """Replies that tell of our own calls alone do not slow us down."""
    for number in range(1, 400):
        clock.now += budget.take() or 0.0
        reply(budget, 5_000 - number)
    status = budget.status()
    assert status.calls_per_hour == pytest.approx(4_800, rel=0.05)
    assert (status.limit, status.remaining) == (5_000, 4_601)


@pytest.mark.parametrize(
    ("remaining", "most_at_once", "an_hour"),
    [
        (4_000, 200, (3_000, 4_800)),
        (2_000, 80, (1_000, 1_900)),
        (1_000, 45, (500, 1_000)),
        (100, 5, (20, 100)),
        (3, 1, (0.5, 3)),
    ],
)
def test_less_than_believed(
    budget: Budget, clock: HandClock, remaining: int, most_at_once: int, an_hour: tuple[float, float]
) -> None:
    """What is left of a window lasts to its end: burst and pace follow the calls that a reply tells of."""
    reply(budget, remaining)
    status = budget.status()
    assert status.burst <= most_at_once
    assert an_hour[0] <= status.calls_per_hour <= an_hour[1]
    assert sum(clock.now + (wait or 0) < clock.now + HOUR for wait in use(budget, 6_000)) <= remaining


def test_short_rest_of_a_window(budget: Budget) -> None:
    """With a minute to go and 100 calls left, no more than those are sent before the window ends."""
    reply(budget, 100, reset_s=60.0)
    waits = use(budget, 400)
    assert 25 <= sum((wait or 0) < 60 for wait in waits) <= 100
    assert max(wait or 0 for wait in waits) < 62 + 400 * 0.75


def test_others_are_expected_to_go_on(budget: Budget, clock: HandClock) -> None:
    """Another program's calls, seen as a gap between the counts, slow us down before the window is used up."""
    left = 5_000
    for _ in range(600):  # ours and theirs by turns, for half an hour
        clock.now += max(budget.take() or 0.0, 3.0)
        left -= 3
        reply(budget, left)
    # 1,200 of 1,800 calls were theirs, 2,400 an hour, so of the 3,200 left 1,200 are theirs, and 200 are spared
    assert budget.status().calls_per_hour == pytest.approx((3_200 - 1_200 - 200) / 0.5, rel=0.1)


def test_used_up(budget: Budget, clock: HandClock) -> None:
    """A window that is used up stops everybody until it ends: in an hour at the latest, or when it is told."""
    reply(budget, 0)
    assert budget.status().blocked_s == pytest.approx(HOUR)
    reply(budget, 0, reset_s=120.0)
    assert budget.status().blocked_s == pytest.approx(121.0)
    assert budget.take(at_most_s=60) is None
    clock.now += 121
    assert budget.status().blocked_s == 0
    reply(budget, 4_999)
    clock.now += HOUR / 4
    assert budget.status().burst >= 199


def test_overtaking_replies(budget: Budget) -> None:
    """A reply that was overtaken tells nothing new: the smallest number of the window counts."""
    use(budget, 60)
    reply(budget, 4_940)
    before = budget.memory.state
    reply(budget, 4_955)
    assert structs.replace(budget.memory.state, others=before.others) == before


def test_replies_of_the_window_before(budget: Budget, clock: HandClock) -> None:
    """A reply that was sent before the window ended and comes after it is no sign of others."""
    for remaining in (4_999, 300):
        reply(budget, remaining)
        clock.now += HOUR / 2
    reply(budget, 290)  # the hour is over, by our guess
    assert budget.status().calls_per_hour == pytest.approx(4_800)
    reply(budget, 4_999)
    before = budget.status()
    reply(budget, 280)
    assert budget.status() == before
    clock.now += 120
    reply(budget, 280)
    assert budget.status().calls_per_hour < 300


def test_new_window_frees(budget: Budget, clock: HandClock) -> None:
    """Who comes after the provider's window began anew does not queue for the old one's slow pace."""
    reply(budget, 8)
    use(budget, 5)  # places far apart, up to half an hour ahead
    clock.now += 30
    reply(budget, 4_999)
    assert budget.status().wait_s < 10
    assert budget.status().calls_per_hour == pytest.approx(4_800, rel=0.05)


@pytest.mark.parametrize(
    ("asked", "stop"), [(30.0, 31.0), (0.0, 1.0), (-5.0, 1.0), (1e9, DAY + 1), (math.nan, 60.0)]
)
def test_429_stops_everybody(budget: Budget, clock: HandClock, asked: float, stop: float) -> None:
    """After a 429 nobody sends until its Retry-After; then one after another, without a burst."""
    budget.record_response(limit=5_000, remaining=0, retry_after=asked)
    assert budget.status().blocked_s == pytest.approx(stop)
    assert budget.status().burst == 0
    assert use(budget, 3) == pytest.approx([stop + 0.75, stop + 1.5, stop + 2.25])


def test_429_reaches_those_who_wait(budget: Budget, clock: HandClock) -> None:
    """Who waits while everybody is stopped gets a new place when the old one's time has come."""
    use(budget, 210)
    wait = budget.take()
    budget.record_response(retry_after=100.0)
    clock.now += wait or 0.0
    assert budget.take(has_waited=True) == pytest.approx(101 - (wait or 0) + 0.75)


def test_reported_time_replaces_guess(budget: Budget) -> None:
    """A used-up window is taken to last an hour; a 429 that names its end frees everybody then."""
    reply(budget, 0)
    budget.record_response(limit=5_000, remaining=0, retry_after=300.0)
    assert budget.status().blocked_s == pytest.approx(301)
    assert budget.status().wait_s == pytest.approx(301.75)


numbers = st.one_of(st.none(), st.integers(-10, 200_000), st.integers(-(10**15), 10**15))
seconds = st.one_of(st.none(), st.floats(), st.floats(-10, 100_000))
events = st.one_of(
    st.tuples(st.just("take"), st.floats(0, 4_000)),
    st.tuples(st.just("heard"), st.tuples(numbers, numbers, seconds, seconds)),
    st.tuples(st.just("clock"), st.floats(-100_000, 100_000)),
)


@settings(max_examples=150)
@given(st.lists(events, max_size=30))
def test_any_headers(found: list[tuple[str, Any]]) -> None:
    """No header and no clock breaks the budget: waits stay within two days, and the row can be read again."""
    clock = HandClock()
    budget = Budget(memory=MemoryBudgetStore(clock))
    for kind, value in found:
        if kind == "take":
            wait = budget.take(value)
            assert wait is None or 0 <= wait <= value
        elif kind == "heard":
            budget.record_response(*value)
        else:
            clock.now += value
        status = budget.status()
        assert 0 <= status.wait_s < 2 * DAY
        assert 0 <= status.blocked_s <= DAY + 1
        assert status.burst >= 0
        assert decode_state(encode_state(budget.memory.state)) == budget.memory.state


# --- the clock ------------------------------------------------------------------------------------------


def test_clock_set_back(budget: Budget, clock: HandClock) -> None:
    """A clock that is set back by hours makes nobody wait for hours, and gives no second burst."""
    use(budget, 204)
    clock.now -= 7_200
    assert budget.take() == pytest.approx(3.75)
    assert budget.take() == pytest.approx(4.5)


def test_clock_set_forward(budget: Budget, clock: HandClock) -> None:
    """A clock that was a year ahead for a while leaves nothing behind when it is set right."""
    use(budget, 10)
    clock.now += 365 * DAY
    use(budget, 204)
    clock.now -= 365 * DAY
    assert budget.take() == pytest.approx(3.75)


def test_clocks_that_differ() -> None:
    """Two machines on one row whose clocks differ by seconds share one pace: none turns the time back."""
    state, sent = BudgetState(), []
    for number in range(1_000):
        state, now = adjust_clock(state, 10_000.0 + number / 1_000 - 5 * (number % 2))
        state, wait = reserve_call(state, now, RULE)
        sent.append(now + wait)
    assert sum(each < 10_001 + 5 for each in sent) <= 200 + 8


# --- a day against a provider ---------------------------------------------------------------------------


class Provider:
    """Fixed windows from the first call on, as Laravel throttles; `tight` shows the day's limit too."""

    def __init__(self, days: bool = False) -> None:
        lengths = [(HOUR, 5_000), (DAY, 120_000)] if days else [(HOUR, 5_000)]
        self.windows = [[length, limit, -math.inf, 0] for length, limit in lengths]
        self.calls: dict[str, list[float]] = {"ours": [], "theirs": []}
        self.refused = {"ours": 0, "theirs": 0}

    def answer(self, now: float, who: str) -> dict[str, Any]:
        for window in self.windows:
            length, limit, start, count = window
            if now - start >= length:
                window[2], window[3], count, start = now, 0, 0, now
            if count >= limit:
                self.refused[who] += 1
                return {"limit": limit, "remaining": 0, "retry_after": float(int(start + length - now))}
            window[3] += 1
        self.calls[who].append(now)
        tightest = min(self.windows, key=lambda each: each[1] - each[3])
        return {"limit": tightest[1], "remaining": tightest[1] - tightest[3]}


def most(times: Iterable[float], length: float = HOUR) -> int:
    """The most of these times in any window of that length (its end counts, its start does not)."""
    window: deque[float] = deque()
    found = 0
    for each in times:
        window.append(each)
        while window[0] <= each - length:
            window.popleft()
        found = max(found, len(window))
    return found


def simulate(
    foreign: Iterable[float], hours: float, provider: Provider, workers: int = 16, seed: int = 0
) -> Provider:
    """Workers that always want to call, on one budget, with replies after 0.1 to 1.2 s; and a foreign client."""
    chance, clock, count = random.Random(seed), HandClock(0.0), itertools.count()
    budget = Budget(memory=MemoryBudgetStore(clock))
    todo = [(now, next(count), "theirs", None) for now in foreign]
    todo += [(number / 100, next(count), "want", None) for number in range(workers)]
    heapq.heapify(todo)

    def later(seconds: float, what: str, told: Any = None) -> None:
        heapq.heappush(todo, (clock.now + seconds, next(count), what, told))

    while todo and todo[0][0] < hours * HOUR:
        clock.now, _, what, told = heapq.heappop(todo)
        if what == "theirs":
            provider.answer(clock.now, "theirs")
        elif what == "arrives":
            later(chance.uniform(0.05, 0.6), "reply", provider.answer(clock.now, "ours"))
        else:
            if what == "reply":
                budget.record_response(**told)
            wait = budget.take(has_waited=what == "waited")
            later(wait, "waited") if wait else later(chance.uniform(0.05, 0.6), "arrives")
    return provider


def evenly(an_hour: int) -> Callable[[float], list[float]]:
    return lambda hours: [number * HOUR / an_hour for number in range(int(hours * an_hour))]


def by_chance(an_hour: int) -> Callable[[float], list[float]]:
    def times(hours: float) -> list[float]:
        chance = random.Random(1)
        gaps = (chance.expovariate(an_hour / HOUR) for _ in range(int(hours * an_hour * 1.1)))
        return list(itertools.accumulate(gaps))

    return times


def in_bursts(calls: int, every: float, during: float) -> Callable[[float], list[float]]:
    """So many calls within `during` seconds, then nothing until `every` seconds have passed."""
    return lambda hours: [
        start * every + 7 + number * during / calls
        for start in range(int(hours * HOUR / every))
        for number in range(calls)
    ]


@pytest.mark.parametrize(
    ("foreign", "hours", "share"),
    [
        pytest.param(evenly(2_500), 24, 0.9, id="evenly"),
        pytest.param(by_chance(2_500), 24, 0.9, id="by chance"),
        pytest.param(in_bursts(250, 360, 5), 6, 0.85, id="250 at once"),
        pytest.param(in_bursts(1_250, 1_800, 25), 6, 0.85, id="1,250 at once"),
        pytest.param(in_bursts(2_500, HOUR, 600), 6, 0.85, id="in the first ten minutes"),
        pytest.param(lambda hours: [], 6, 0.94, id="nobody"),
    ],
)
def test_a_day(foreign: Callable[[float], list[float]], hours: float, share: float) -> None:
    """With 16 workers and a foreign client that eats half: never over 5,000 in any hour, and nobody gets a 429."""
    theirs = foreign(hours)
    provider = simulate(theirs, hours, Provider(days=True))
    assert provider.refused == {"ours": 0, "theirs": 0}
    both = sorted(provider.calls["ours"] + provider.calls["theirs"])
    assert most(both) <= 5_000
    assert len(provider.calls["ours"]) >= share * (5_000 * hours - len(theirs))


def test_a_day_without_a_pause() -> None:
    """The pace of an hour keeps the day's limit too: 115,400 calls, where 120,000 are allowed."""
    state, places = BudgetState(), 0
    while True:
        state, wait = reserve_call(state, 0.0, RULE)
        if wait >= DAY:
            break
        places += 1
    assert 115_000 < places <= 115_400


def test_the_day_is_nearer(budget: Budget, clock: HandClock) -> None:
    """When replies tell the day's limit, its rest is spread over an hour at least, and the hour's pace comes back."""
    budget.record_response(limit=120_000, remaining=3_000)
    assert budget.status().calls_per_hour == pytest.approx(2_800)
    clock.now += 60
    reply(budget, 4_999)
    assert budget.status().calls_per_hour == pytest.approx(4_800, rel=0.01)
    budget.record_response(limit=120_000, remaining=0, retry_after=20_000.0)
    assert budget.status().blocked_s == pytest.approx(20_001)


@pytest.mark.parametrize(
    "foreign",
    [
        pytest.param(in_bursts(4_990, HOUR, 60), id="all of it in a minute"),
        pytest.param(evenly(4_800), id="nearly all, evenly"),
        pytest.param(in_bursts(2_500, HOUR, 600), id="half, in the last ten minutes"),
    ],
)
def test_the_others_use_it_up(foreign: Callable[[float], list[float]]) -> None:
    """Where others use the window up, we learn it by one 429 or two, not by one for each worker."""
    shifted = [(each + 2_990) for each in foreign(6)]
    provider = simulate(shifted, 6, Provider())
    assert provider.refused["ours"] <= 2 * 6


# --- the file -------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the row of a budget in `tmp_path / "state"` is kept."""
    return tmp_path / "state" / f"budget-{budget_key(Secret(TOKEN))}.json"


def opened(path: Path, **more: Any) -> Budget:
    return open_budget(path.parent, Secret(TOKEN), **more)


def test_file(path: Path) -> None:
    """The row is private to its owner, 512 bytes long, and tells nothing of the token."""
    opened(path).take()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.stat().st_size == 512
    assert TOKEN not in path.name + path.read_text()
    assert sorted(path.parent.iterdir()) == [path]


def test_shared(path: Path, clock: HandClock) -> None:
    """Two budgets of one token share its row; another token has its own."""
    one, other = opened(path, clock=clock), opened(path, clock=clock)
    use(one, 150)
    assert other.status().burst == 50
    assert other.status().stored_in == str(path)
    assert open_budget(path.parent, Secret("another"), clock=clock).status().burst == 200


def test_status_writes_nothing(path: Path) -> None:
    """Looking takes nothing and changes nothing; nor does a call that finds no place in time."""
    budget = opened(path)
    use(budget, 201)
    before = path.read_bytes()
    budget.status()
    assert budget.take(at_most_s=0.0) is None
    assert path.read_bytes() == before


def spoilt(old: str, new: str) -> bytes:
    """A row in which one value is another."""
    text = encode_state(BudgetState()).decode()
    assert old in text
    return text.replace(old, new).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 512,
        b"{}",
        b"[]",
        b"7",
        b"not JSON",
        b"\xff\xfe",
        b"[" * 512,
        encode_state(BudgetState())[:-20],
        spoilt('"tat":0.0', '"tat":NaN'),
        spoilt('"tat":0.0', '"tat":Infinity'),
        spoilt('"tat":0.0', '"tat":"soon"'),
        spoilt('"tat":0.0', '"tat":true'),
        spoilt('"tat":0.0', '"tat":1e300'),
        spoilt('"tat":0.0', '"tat":9e9'),
        spoilt('"blocked_until":0.0', '"blocked_until":9e9'),
        spoilt('"used":0', '"used":-1'),
        spoilt('"limit":null', '"limit":0.5'),
        spoilt('"limit":null', '"limit":null, "more": 1'),
    ],
)
def test_damaged(path: Path, caplog: pytest.LogCaptureFixture, content: bytes) -> None:
    """A row that makes no sense is begun anew, without a word."""
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    budget = opened(path)
    assert use(budget, 201)[:200] == [0.0] * 200
    assert budget.status().problem is None
    assert decode_state(path.read_bytes()).known == 201
    assert not caplog.records


def test_one_permit(path: Path) -> None:
    """A permit opens, locks, reads and writes its row once, in a hundred steps of Python; a look does not write."""
    budget = opened(path)
    budget.take()
    steps: list[str] = []

    def note(frame: FrameType, event: str, what: Any) -> None:
        if event in ("call", "c_call"):
            steps.append(what.__name__ if event == "c_call" else frame.f_code.co_name)

    for work, written in ((budget.take, {"write": 1, "lseek": 1}), (budget.status, {})):
        steps.clear()
        sys.setprofile(note)
        try:
            work()
        finally:
            sys.setprofile(None)
        asked = {"_open_file", "open", "flock", "fstat", "read", "write", "lseek", "fsync", "rename"} & {
            *steps
        }
        assert {name: steps.count(name) for name in asked} == {
            "_open_file": 1,
            "flock": 2,
            "fstat": 1,
            "read": 1,
            **written,
        }
        assert len(steps) < 100


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: (path.parent.mkdir(), path.mkdir()), "Is a directory"),
        (lambda path: path.parent.write_text("a file"), "Not a directory|File exists"),
        (lambda path: (path.parent.mkdir(), path.symlink_to("/dev/full")), "No space left"),
        (lambda path: (path.parent.mkdir(), path.symlink_to("/nowhere/at/all")), "No such file"),
    ],
    ids=["a folder in its place", "no folder", "disk full", "a dead link"],
)
def test_no_file(path: Path, caplog: pytest.LogCaptureFixture, spoil: Any, reason: str) -> None:
    """Without a usable file the work goes on at the same pace, with one warning, and `look` tells the problem."""
    spoil(path)
    budget = opened(path)
    with caplog.at_level(logging.INFO, "lcnb.transport.budget_stores"):
        assert use(budget, 200) == [0.0] * 200
        assert budget.take(at_most_s=0.0) is None
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    status = budget.status()
    assert status.stored_in == "memory of this process"
    assert status.problem is not None
    assert any(each in status.problem for each in reason.split("|"))
    assert TOKEN not in caplog.text + status.problem


def test_recovers(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is tried again after a minute, and the problem is forgotten when it works."""
    path.parent.mkdir()
    path.mkdir()
    budget = opened(path)
    monkeypatch.setattr(budget_module, "STORE_PAUSE_S", 0.05)
    use(budget, 5)
    assert budget.status().problem
    path.rmdir()
    time.sleep(0.06)
    budget.take()
    assert (budget.status().problem, budget.status().stored_in) == (None, str(path))


def test_goes_on_from_there(path: Path, clock: HandClock) -> None:
    """A process whose file fails goes on from the row that it knew: there is no second burst."""
    budget = opened(path, clock=clock)
    use(budget, 200)
    path.unlink()
    path.mkdir()
    assert budget.take() == pytest.approx(0.75)


def test_deleted(path: Path) -> None:
    """A file that somebody deletes is made again, with its folder, and all who use it find it."""
    one, other = opened(path), opened(path)
    use(one, 5)
    shutil.rmtree(path.parent)
    use(one, 7)
    assert other.status().burst == 193
    assert one.status().problem is None


def test_suspended_holder(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is suspended while it holds the lock holds others up for a second, not for ever."""
    monkeypatch.setattr(budget_stores, "LOCK_TIMEOUT_S", 2.0)
    budget = opened(path)
    budget.take()
    handle = os.open(path, os.O_RDWR)
    fcntl.flock(handle, fcntl.LOCK_EX)
    started = time.monotonic()
    assert use(budget, 50) == [0.0] * 50
    os.close(handle)
    assert time.monotonic() - started < 60  # 100 s if each of them had waited
    assert "another process holds the lock" in str(budget.status().problem)


def test_threads(path: Path) -> None:
    """Threads of one process lose no permit among each other."""
    budget = opened(path)
    workers = [threading.Thread(target=use, args=(budget, 100)) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert decode_state(path.read_bytes()).known == 800


def run(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


FORKS = """
    import os, sys
    from pathlib import Path
    import lcnb.transport.budget, lcnb.transport.budget_stores
    from lcnb.secret import Secret

    budget = lcnb.transport.budget.open_budget(Path(sys.argv[1]), Secret("t"))
    budget.take()
    with lcnb.transport.budget_stores._thread_lock:  # as if another thread were taking a permit at this moment
        child = os.fork()
        if child == 0:
            os._exit(0 if budget.take() == 0.0 else 1)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    budget.take()
    print(code, 200 - budget.status().burst)
"""


def test_fork(tmp_path: Path) -> None:
    """A child that is forked while a permit is taken takes its own from the same row, and does not hang."""
    out, err = run(FORKS, tmp_path).communicate(timeout=600)
    assert (out.split(), err) == (["0", "3"], "")


WORKER = """
    import fcntl, mmap, os, struct, sys, threading
    from pathlib import Path
    from lcnb.transport.budget import open_budget
    from lcnb.secret import Secret

    folder, end = sys.argv[1], float(sys.argv[2])
    print("ready", flush=True)
    input()
    here = threading.local()
    log = os.open(folder + "/sent", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    handle = os.open(folder + "/clock", os.O_RDWR)
    # An item of such a view is stored and loaded as a whole; struct.pack_into writes zeros first, and another
    # process would read a clock that was set back.
    shared, turning = memoryview(mmap.mmap(handle, 8)).cast("d"), threading.Lock()

    def clock():
        here.now = shared[0]
        return here.now

    def turn(to):
        with turning:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if shared[0] < to:
                shared[0] = to
            fcntl.flock(handle, fcntl.LOCK_UN)

    budget = open_budget(Path(folder), Secret("t"), clock=clock)

    def work():
        while True:
            wait = budget.take()
            sent = here.now + wait  # the clock was read under the lock of the row
            if sent > end:
                return
            os.write(log, struct.pack("d", sent))
            turn(sent)

    threads = [threading.Thread(target=work) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    print(budget.status().problem)
"""


@pytest.mark.parametrize("killed", [False, True])
def test_processes(tmp_path: Path, killed: bool) -> None:
    """4 processes with 4 threads send up to 5,000 in any hour and not more, even if some are killed in the middle.

    They share a clock that they turn to the moment of what they have sent, instead of waiting for it.
    """
    log, start = tmp_path / "sent", 1e9
    log.touch()
    (tmp_path / "clock").write_bytes(struct.pack("d", start))
    workers = [run(WORKER, tmp_path, start + 2 * HOUR) for _ in range(6 if killed else 4)]
    assert [worker.stdout and worker.stdout.readline() for worker in workers] == ["ready\n"] * len(workers)

    def begin(worker: subprocess.Popen[str]) -> None:
        assert worker.stdin
        worker.stdin.write("go\n")
        worker.stdin.flush()

    for worker in workers[:4]:
        begin(worker)
    for spare in workers[4:]:  # each takes the place of one that is killed while it is at work
        before = log.stat().st_size
        while log.stat().st_size < before + 8 * 500 and any(each.poll() is None for each in workers[:4]):
            time.sleep(0.01)
        victim = workers.pop(0)
        victim.kill()
        victim.communicate()
        begin(spare)
    assert [worker.communicate(timeout=600) for worker in workers] == [("None\n", "")] * 4
    sent = sorted(each for (each,) in struct.iter_unpack("d", (tmp_path / "sent").read_bytes()))
    assert most(sent) <= 5_000
    assert len(sent) >= 9_000


# --- Redis ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis of these tests' own, with a password that must not be shown anywhere."""
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def token() -> Secret:
    """A token that no other test has a row for."""
    return Secret(f"{TOKEN}-{random.random()}")


def test_redis_shared(redis_url: str, tmp_path: Path, token: Secret) -> None:
    """Machines with one Redis share the row, whatever their own clocks say, and keep nothing in their folders."""
    ahead = HandClock(time.time() + DAY)
    one = open_budget(tmp_path / "one", token, redis_url)
    other = open_budget(tmp_path / "other", token, Secret(redis_url), clock=ahead)
    use(one, 150)
    other.record_response(limit=5_000, remaining=4_000)
    # 50 at the full pace, fewer at the one for the rest of the window.
    assert 35 <= other.status().burst <= 45
    assert one.status().remaining == 4_000
    assert one.status().stored_in == f"Redis at 127.0.0.1:{redis_url.rpartition(':')[2].partition('/')[0]}"
    assert not list(tmp_path.glob("*/budget*"))


def test_redis_loses_nothing(redis_url: str, tmp_path: Path, token: Secret) -> None:
    """Of permits that are taken at once from several threads and budgets, none is counted twice or lost."""
    budgets = [open_budget(tmp_path, token, redis_url) for _ in range(4)]
    workers = [threading.Thread(target=use, args=(each, 50)) for each in budgets]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [each.status().problem for each in budgets] == [None] * 4
    assert budgets[0].memory.state.known == 200


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda url: url.rpartition(":")[0] + ":1/0", "ConnectionError"),
        (lambda url: url.replace("canary", "canary-wrong"), "AuthenticationError"),
        (lambda url: url.replace("redis://", "http://"), "not one of Redis"),
        (lambda url: url.replace("%2F", "/"), "ValueError|not one of Redis"),
        (lambda url: url + "?unknown=1", "TypeError"),
        (lambda url: "nonsense", "not one of Redis"),
    ],
    ids=["refused", "wrong password", "another scheme", "unquoted password", "unknown option", "nonsense"],
)
def test_redis_away(
    redis_url: str, path: Path, caplog: pytest.LogCaptureFixture, change: Callable[[str], str], reason: str
) -> None:
    """Without its Redis a machine goes on with its own file, with one warning, and no secret is shown."""
    budget = opened(path, redis_url=change(redis_url))
    assert use(budget, 20) == [0.0] * 20
    status = budget.status()
    assert status.stored_in == str(path)
    assert any(each in str(status.problem) for each in reason.split("|"))
    assert len(caplog.records) == 1
    shown = f"{caplog.text}{status}{budget!r}"
    assert not [part for part in (PASSWORD, "p@ss", "p%40ss", "7c21", TOKEN) if part in shown]


def test_redis_not_installed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package redis the file does, and the problem names the cure."""
    monkeypatch.setitem(sys.modules, "redis", None)
    budget = opened(path, redis_url="redis://127.0.0.1:6379/0")
    assert budget.take() == 0.0
    assert "pip install 'lcnb[redis]'" in str(budget.status().problem)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("redis://host/0", "Redis at host:6379"),
        ("rediss://user:secret@host:7000/0", "Redis at host:7000"),
        ("redis://:se/cret@host/0", "Redis"),
        ("redis://secret/x@host/0", "Redis"),
        ("redis://:secret#x@host/0", "Redis"),
        ("unix:///run/redis.sock", "Redis"),
        ("redis://[::1", "Redis"),
    ],
)
def test_redis_name(url: str, name: str) -> None:
    """Where the row lives is told by host and port alone, and not at all if a password may be mistaken for them."""
    assert RedisBudgetStore(Secret(url), "key").stored_in == name


def test_rows_are_lazy(tmp_path: Path) -> None:
    """Opening a budget touches neither the disk nor the network."""
    open_budget(tmp_path / "state", Secret(TOKEN), "redis://192.0.2.1:6379/0")
    FileBudgetStore(tmp_path / "other" / "row.json")
    assert not (tmp_path / "state").exists()
