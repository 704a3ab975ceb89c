"""One permit of the rate budget, with four processes at the same row; the same row in SQLite; and pyrate-limiter.

Each process rests a millisecond between permits (at random, the mean), as if a very fast provider answered in
between: still thousands of times the pace that the budget allows. Asked without a rest, four processes on fewer
processors measure the system's scheduler: then the 99th percentile is one slice of it with no lock at all.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from pathlib import Path

from benchmarks.measure import Ratio
from lcnb.secret import Secret
from lcnb.transport.budget import open_budget
from lcnb.transport.rate_limit import BudgetState, decode_state, encode_state, reserve_call
from lcnb.transport.rate_limit import RateRule as BudgetRule

PROCESSES, SECONDS, REST_S, BOUND_S, ROUNDS = 4, 3.0, 0.001, 0.001, 3


def run() -> Iterator[Ratio]:
    """Yield the ratios of the shared rate budget."""
    print(f"{'one permit, ' + str(PROCESSES) + ' processes':<28}   p50 ms   p99 ms   longest ms   permits/s")
    p99 = _table("file under a lock (ours)", _file)
    _table("SQLite, rollback journal", _sqlite)
    yield Ratio("one permit, 4 processes, p99 / 1 ms", p99, BOUND_S, "at most 1", p99 <= BOUND_S)
    times: dict[str, list[float]] = {"_file": [], "_pyrate": []}
    for _ in range(ROUNDS):
        for make in (_file, _pyrate):
            seconds, granted = _in_a_row(make)
            times[make.__name__].append(seconds)
            if make is _file:
                assert granted <= 5000, "over the limit"
    ours, theirs = statistics.median(times["_file"]), statistics.median(times["_pyrate"])
    name = "4,000 permits in a row, 4 processes / pyrate-limiter, SQLite and file lock"
    yield Ratio(name, ours, theirs, "at most 1/5", ours <= theirs / 5)


def _table(name: str, make: Callable[[Path], Callable[[], object]]) -> float:
    times = sorted(_measured(make))
    p50, p99 = times[len(times) // 2], times[int(len(times) * 0.99)]
    rate = len(times) / SECONDS
    print(f"{name:<28} {p50 * 1e3:8.3f} {p99 * 1e3:8.3f} {times[-1] * 1e3:12.1f} {rate:11,.0f}", flush=True)
    return p99


def _measured(make: Callable[[Path], Callable[[], object]]) -> list[float]:
    """Seconds of every permit of all processes."""
    context = get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))()
        with context.Pool(PROCESSES) as pool:
            ready = time.time() + 1.5  # all have started by then
            parts = pool.starmap(_work, [(make, Path(folder), ready)] * PROCESSES, chunksize=1)
    return [each for part in parts for each in part]


def _work(make: Callable[[Path], Callable[[], object]], folder: Path, ready: float) -> list[float]:
    permit, times = make(folder), []
    time.sleep(max(0.0, ready - time.time()))
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        time.sleep(random.expovariate(1 / REST_S))
        started = time.perf_counter()
        permit()
        times.append(time.perf_counter() - started)
    return times


def _in_a_row(make: Callable[[Path], Callable[[], object]]) -> tuple[float, int]:
    """Seconds from the first to the last of 1,000 permits by each process, and how many were granted at once."""
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))()
        with get_context("spawn").Pool(PROCESSES) as pool:
            ready = time.time() + 2.5
            parts = pool.starmap(_take_many, [(make, Path(folder), ready)] * PROCESSES, chunksize=1)
    return max(end for end, _ in parts) - ready, sum(granted for _, granted in parts)


def _take_many(make: Callable[[Path], Callable[[], object]], folder: Path, ready: float) -> tuple[float, int]:
    permit = make(folder)
    time.sleep(max(0.0, ready - time.time()))
    granted = sum(permit() in (0.0, True) for _ in range(1000))
    return time.time(), granted


def _pyrate(folder: Path) -> Callable[[], object]:
    """As its documents advise for several processes. It grants the whole 5,000 at once, so none has to wait."""
    from pyrate_limiter import Duration, Limiter, Rate, SQLiteBucket

    rates = [Rate(5000, Duration.HOUR)]
    limiter = Limiter(
        SQLiteBucket.init_from_file(rates, db_path=str(folder / "pyrate.db"), use_file_lock=True)
    )
    return lambda: limiter.try_acquire("x", blocking=True)


def _file(folder: Path) -> Callable[[], object]:
    return open_budget(folder, Secret("a token")).take


def _sqlite(folder: Path) -> Callable[[], object]:
    """The same state and rule in SQLite: rollback journal, BEGIN IMMEDIATE, no fsync, its own busy handler."""
    row = sqlite3.connect(folder / "budget.sqlite", isolation_level=None, timeout=10)
    for line in ("journal_mode=PERSIST", "synchronous=OFF"):
        row.execute(f"PRAGMA {line}")
    row.execute("CREATE TABLE IF NOT EXISTS budget (key TEXT PRIMARY KEY, state BLOB NOT NULL)")
    rule = BudgetRule()

    def permit() -> None:
        with contextlib.suppress(sqlite3.OperationalError):  # still locked after 10 s: counted as that long
            row.execute("BEGIN IMMEDIATE")
            found = row.execute("SELECT state FROM budget WHERE key = 'x'").fetchone()
            state, _ = reserve_call(decode_state(found[0]) if found else BudgetState(), time.time(), rule)
            row.execute("INSERT OR REPLACE INTO budget VALUES ('x', ?)", (encode_state(state),))
            row.execute("COMMIT")

    return permit


if __name__ == "__main__":
    for found in run():
        print(
            f"{found.name}: {found.ratio:.2f}, {found.claim}: {'holds' if found.holds else 'does NOT hold'}"
        )
