"""Readings become versions: in any order, from several processes, and never from a reading that is not complete."""

from __future__ import annotations

import os
import random
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcnb.errors import HistoryError
from lcnb.history.contents import make_content, read_content
from lcnb.history.folding import Reading
from lcnb.history.store import AccountIdentity, HistoryFile

HOUR = 3_600_000
ME = AccountIdentity("https://api.example.com/api", "key-1", None)

State = Mapping[str, Any]


def reading(state: State | None, kind: str = "instances") -> Reading:
    """A reading that lists these machines; None is one that failed."""
    if state is None:
        return Reading(kind, None, "HTTP 500")
    return Reading(
        kind, {key: make_content({"identifier": key, "cpus": value}) for key, value in state.items()}
    )


def versions(file: HistoryFile, identity: AccountIdentity = ME) -> list[tuple[str, int, int | None, Any]]:
    """The versions of the machines: key, opened, closed in hours, and CPUs."""
    with file.read(identity) as stored:
        found = stored.versions("instances")
        records = stored.contents(each.content for each in found)
        rows = [
            (
                each.key,
                each.opened // HOUR,
                each.closed and each.closed // HOUR,
                records[each.content]["cpus"],
            )
            for each in found
        ]
    return sorted(rows, key=lambda row: row[:2])


@pytest.fixture
def file(tmp_path: Path) -> HistoryFile:
    return HistoryFile(tmp_path / "state")


STATES = st.lists(
    st.none() | st.dictionaries(st.sampled_from("abc"), st.integers(1, 2), max_size=3), min_size=1, max_size=7
)


@contextmanager
def fast_folder() -> Iterator[Path]:
    """A folder in memory, where there is one: these readings are synced to a disk thousands of times."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as path:
        yield Path(path)


@given(states=STATES, seed=st.integers(0, 1000))
@settings(max_examples=60)
def test_any_order(states: list[State | None], seed: int) -> None:
    """Whatever the order in which readings are written, the state at each of them is what it listed."""
    order = list(enumerate(states, 1))
    random.Random(seed).shuffle(order)
    with fast_folder() as one, fast_folder() as other:
        file, in_order = HistoryFile(one), HistoryFile(other)
        for hour, state in order:
            file.fold(ME, [reading(state)], hour * HOUR, imported=True)
        for hour, state in enumerate(states, 1):
            in_order.fold(ME, [reading(state)], hour * HOUR, imported=True)
        assert versions(file) == versions(in_order)
        listed: State = {}
        with file.read(ME) as stored:
            for hour, state in enumerate(states, 1):
                listed = listed if state is None else state
                found = stored.records_at("instances", hour * HOUR)
                assert {key: record["cpus"] for key, record in found.items()} == listed


def test_versions(file: HistoryFile) -> None:
    """A version lasts while the content is the same; one that is gone and comes back has two."""
    for hour, state in enumerate([{"a": 1, "b": 1}, {"a": 1, "b": 2}, {"b": 2}, None, {"a": 1, "b": 2}], 1):
        file.fold(ME, [reading(state)], hour * HOUR)
    assert versions(file) == [("a", 1, 3, 1), ("a", 5, None, 1), ("b", 1, 2, 1), ("b", 2, None, 2)]


def test_failed_reading(file: HistoryFile) -> None:
    """A failed reading is listed with its reason and ends no version; of an account without a history nothing is stored."""
    assert file.fold(ME, [reading(None)], HOUR) == 0
    file.fold(ME, [reading({"a": 1})], 2 * HOUR)
    assert file.fold(ME, [reading(None)], 3 * HOUR) == 1
    assert versions(file) == [("a", 2, None, 1)]
    with file.read(ME) as stored:
        assert [(each.at // HOUR, each.complete, each.problem) for each in stored.readings()] == [
            (2, True, None),
            (3, False, "HTTP 500"),
        ]


@pytest.mark.parametrize(
    ("seconds", "state", "stored"),
    [(59, {"a": 1}, 0), (60, {"a": 1}, 1), (1, {"a": 2}, 1), (1, {}, 1), (1, None, 1), (-1, {"a": 1}, 1)],
)
def test_repetition(file: HistoryFile, seconds: int, state: State | None, stored: int) -> None:
    """A reading that says the same as one less than 60 s before is not stored; any other is."""
    file.fold(ME, [reading({"a": 1})], HOUR)
    assert file.fold(ME, [reading(state)], HOUR + seconds * 1000) == stored


def test_same_millisecond(file: HistoryFile) -> None:
    """Two readings of one millisecond are both kept; an imported one is stored only once."""
    file.fold(ME, [reading({"a": 1})], HOUR)
    file.fold(ME, [reading({"a": 2})], HOUR)
    assert file.fold(ME, [reading({"a": 3})], HOUR, imported=True) == 0
    with file.read(ME) as stored:
        assert [each.at for each in stored.readings()] == [HOUR, HOUR + 1]


def test_meters() -> None:
    """Meters and times of an update make no new content, but are kept; any other unknown field counts."""
    known = frozenset({"memory_used"})
    one = make_content(
        {"identifier": "a", "uptime": 1, "updated_at": "x", "zone": 1, "memory_used": 1}, known
    )
    assert read_content(one.text)["uptime"] == 1
    for name, counts in {"uptime": False, "updated_at": False, "zone": True, "memory_used": True}.items():
        changed = make_content({**read_content(one.text), name: 2}, known)
        assert (changed.digest != one.digest) == counts, name


@pytest.mark.parametrize("label", ["a$b", "São Paulo", "\ud800", "NA", "", "日本\x00"])
def test_odd_texts(file: HistoryFile, label: str) -> None:
    """Any text that JSON can hold comes back as it was; an identifier too."""
    content = make_content({"identifier": "a", "label": label})
    file.fold(ME, [Reading("instances", {"a": content})], HOUR)
    with file.read(ME) as stored:
        assert stored.records_at("instances", HOUR) == {"a": {"identifier": "a", "label": label}}


ROTATED = AccountIdentity(ME.base_url, "key-2", None)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (ME, ME, True),
        (ME, ROTATED, False),
        (ME, AccountIdentity("https://other.example.com", "key-1", None), False),
        (AccountIdentity(ME.base_url, "key-1", "prod"), AccountIdentity(ME.base_url, "key-2", "prod"), True),
        (
            AccountIdentity(ME.base_url, "key-1", "prod"),
            AccountIdentity(ME.base_url, "key-1", "new name"),
            True,
        ),
        (AccountIdentity(ME.base_url, "key-1", "prod"), ME, True),
        (AccountIdentity(ME.base_url, "key-1", "prod"), ROTATED, False),
        (AccountIdentity(ME.base_url, "key-1", "prod"), AccountIdentity(ME.base_url, "key-2", "lab"), False),
    ],
)
def test_same_account(file: HistoryFile, first: AccountIdentity, second: AccountIdentity, same: bool) -> None:
    """An account keeps its history under a new token if it has a name, and under a new name if it has its token."""
    file.fold(first, [reading({"a": 1})], HOUR)
    with file.read(second) as stored:
        assert (stored.records_at("instances", HOUR) != {}) == same


def test_rotated_twice(file: HistoryFile) -> None:
    """The newest token of a named account identifies it without the name, and an older one no longer does."""
    for number, token in enumerate(("key-1", "key-2"), 1):
        file.fold(AccountIdentity(ME.base_url, token, "prod"), [reading({"a": 1})], number * HOUR)
    with file.read(ROTATED) as stored:
        assert len(stored.readings()) == 2
    with file.read(ME) as stored:
        assert stored.readings() == []


# --- the file -------------------------------------------------------------------------------------------


def test_private(file: HistoryFile) -> None:
    """Only its owner can read the file and its folder."""
    file.fold(ME, [reading({"a": 1})], HOUR)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700


def test_no_file_is_made_by_looking(file: HistoryFile) -> None:
    """Reading a history that does not exist finds nothing and makes no file."""
    assert versions(file) == []
    assert not file.path.exists()


@pytest.mark.parametrize("damage", [b"no database at all, but a text", None])
def test_damaged(file: HistoryFile, damage: bytes | None) -> None:
    """A file that is no history, or of a newer lcnb, is reported with the cure and left as it is."""
    file.fold(ME, [reading({"a": 1})], HOUR)
    if damage is None:
        with sqlite3.connect(file.path) as db:
            db.execute("PRAGMA user_version = 99")
        db.close()
    else:
        file.path.write_bytes(damage * 100)
    before = file.path.read_bytes()
    with pytest.raises(HistoryError, match="newer lcnb" if damage is None else "move the file away"):
        file.fold(ME, [reading({"a": 2})], 2 * HOUR)
    with pytest.raises(HistoryError), file.read(ME):
        pass
    assert file.path.read_bytes() == before


def test_threads(file: HistoryFile) -> None:
    """Threads that write at once lose no reading and make one account."""
    hours = list(range(1, 41))

    def write(mine: list[int]) -> None:
        for hour in mine:
            file.fold(ME, [reading({"a": hour % 3})], hour * HOUR, imported=True)

    threads = [threading.Thread(target=write, args=(hours[number::4],)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    with file.read(ME) as stored:
        assert [at // HOUR for at in stored.complete_times("instances")] == hours
        for hour in hours:
            assert stored.records_at("instances", hour * HOUR)["a"]["cpus"] == hour % 3


KILLED = """
import os, sys
from pathlib import Path
from lcnb.history import store
from lcnb.history.folding import Reading
from lcnb.history.contents import make_content

def die(*given):
    fold(*given)
    os.kill(os.getpid(), 9)

fold, store.fold_reading = store.fold_reading, die
me = store.AccountIdentity("https://api.example.com/api", "key-1", None)
content = make_content({"identifier": "a", "cpus": 9})
store.HistoryFile(Path(sys.argv[1])).fold(me, [Reading("instances", {"a": content})], 2 * 3_600_000)
"""


def test_killed_writer(file: HistoryFile) -> None:
    """A process that is killed in the middle of a reading leaves the history as it was, and not locked."""
    file.fold(ME, [reading({"a": 1})], HOUR)
    done = subprocess.run([sys.executable, "-c", KILLED, str(file.path.parent)], timeout=600)
    assert done.returncode == -9
    assert versions(file) == [("a", 1, None, 1)]
    assert file.fold(ME, [reading({"a": 2})], 3 * HOUR) == 1
