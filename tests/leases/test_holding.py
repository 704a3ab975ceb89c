"""Holding locks: they are renewed meanwhile, released at every end, and named to others."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

from conftest import wait_until
from lcnb.errors import Locked
from lcnb.folder_store import FolderBackend
from lcnb.leases.holding import Holder, hold_locks
from lcnb.leases.place import SharedPlace, read_leases
from lcnb.leases.records import RUN_LEASE_VARIABLE, LeaseTimes, LockName
from lcnb.object_store import ObjectStore, StoreLimits
from lcnb.secret import Secret
from lcnb.stored_objects import AttemptFailed

NAMES = [LockName(f"locks/instance-{number}.json", f"web-{number}") for number in range(20)]
TIMES = LeaseTimes(margin_s=1000.0, renew_s=0.05)


@pytest.fixture
def place(tmp_path: Path) -> SharedPlace:
    return SharedPlace("LCNB_RUNS_DIR", f"file://{tmp_path}/store")


def folder(tmp_path: Path, name: str) -> Path:
    path = tmp_path / name
    path.mkdir(exist_ok=True)
    return path


def test_renewed_and_released(place: SharedPlace, tmp_path: Path) -> None:
    """Many locks have one lease, which is renewed while they are held and gone afterwards."""
    here, there = folder(tmp_path, "here"), folder(tmp_path, "there")
    store = place.open(0)
    with hold_locks(place, NAMES, Holder("ana", "one", "RUN", "sent"), TIMES, here) as held:
        assert held.fences == {each.key: 1 for each in NAMES}
        wait_until(lambda: read_leases(store)[0].renewals > 3)
        assert held.ensure() == ""
        assert 0 < held.check() <= TIMES.proven_s
        with (
            pytest.raises(Locked, match=r"web-7 is locked by ana on one \(process \d+, run RUN\) since 20"),
            hold_locks(place, NAMES[7:9], Holder("bo", "two", None, "sent"), TIMES, there),
        ):
            pass
        (lease,) = read_leases(store)
    assert lease.locks == sorted(each.what for each in NAMES) or len(lease.locks) == len(NAMES)
    assert read_leases(store) == []
    assert held.ensure() == "the lock is lost: this process has ended it"
    with hold_locks(place, NAMES[:1], Holder("bo", "two", None, "sent"), TIMES, there) as held:
        assert held.fences == {NAMES[0].key: 2}


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, ValueError])
def test_released_at_every_end(place: SharedPlace, tmp_path: Path, stop: type[BaseException]) -> None:
    """An interrupt or an error releases the locks, unless a change may still take effect."""
    here, there = folder(tmp_path, "here"), folder(tmp_path, "there")
    for unsettled in ([], ["delete web-0"]):
        with (
            pytest.raises(stop),
            hold_locks(place, NAMES[:1], Holder("ana", "one", None, "sent"), TIMES, here) as held,
        ):
            held.unsettled = unsettled
            raise stop
        assert [each.unsettled for each in read_leases(place.open(0))] == [unsettled][: len(unsettled)]
    with (
        pytest.raises(
            Locked, match=r"web-0 was changed by ana on one .* interrupted and may still take effect"
        ),
        hold_locks(place, NAMES[:1], Holder("bo", "two", None, "sent"), TIMES, there),
    ):
        pass
    with hold_locks(place, NAMES[:1], Holder("ana", "one", None, "sent"), TIMES, here):
        pass  # the journal of this machine knows the change


def test_same_machine(place: SharedPlace, tmp_path: Path) -> None:
    """Another process of the machine is kept out by a lock file, before anything is sent to the store."""
    here = folder(tmp_path, "here")
    with (
        hold_locks(place, NAMES[:1], Holder("ana", "one", None, "sent"), TIMES, here),
        pytest.raises(Locked, match="another process of this machine has locked web-0"),
        hold_locks(place, NAMES[:1], Holder("ana", "one", None, "sent"), TIMES, here),
    ):
        pass


def test_store_away_at_the_start(tmp_path: Path) -> None:
    """Without the store nobody knows who holds a lock: it is refused, with the variable that would do without."""
    away = SharedPlace("LCNB_REDIS_URL", Secret("redis://:geheim@127.0.0.1:1/0"))
    with (
        pytest.raises(
            Locked, match=r"not known whether another machine has locked web-0 and 1 more: Redis"
        ) as error,
        hold_locks(away, NAMES[:2], Holder("ana", "one", None, "started"), TIMES, folder(tmp_path, "here")),
    ):
        pass
    assert "Nothing was started. Try again later." in str(error.value)
    assert "unset LCNB_REDIS_URL" in str(error.value)
    assert "geheim" not in str(error.value)


def test_store_away_at_the_end(place: SharedPlace, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Locks that cannot be released end by themselves; the log says so, and the work is not lost by it."""
    with hold_locks(
        place, NAMES[:1], Holder("ana", "one", None, "sent"), TIMES, folder(tmp_path, "here")
    ) as held:
        lost = tmp_path / "store" / "locks"
        wait_until(lambda: held.lease.record.renewals > 1)
        (tmp_path / "store").rename(tmp_path / "gone")
        (tmp_path / "store").write_text("no folder")
        assert not lost.exists()
        wait_until(lambda: "could not be renewed" in caplog.text)
    assert any(
        record.levelno == logging.WARNING and "they end by themselves after 1060 s" in record.getMessage()
        for record in caplog.records
    )


class SilentBackend(FolderBackend):
    """A store that stops answering before the locks are released."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder, lock_timeout_s=60)
        self.cancelled = threading.Event()

    def delete(self, key: str) -> None:
        self.cancelled.clear()
        self.cancelled.wait()
        raise AttemptFailed("the request was interrupted")

    def cancel_requests(self) -> None:
        self.cancelled.set()


def test_interrupted_while_store_is_silent(
    place: SharedPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After Ctrl-C, the release of locks in a store that does not answer is given up, and the log says so."""
    store = ObjectStore(
        "s3://x", SilentBackend(str(tmp_path / "store")), StoreLimits(total_s=3600, first_wait_s=3600)
    )
    monkeypatch.setattr(SharedPlace, "open", lambda self, trusted_after_s: store)
    here = folder(tmp_path, "here")
    with (
        pytest.raises(KeyboardInterrupt),
        hold_locks(place, NAMES[:1], Holder("ana", "one", None, "sent"), TIMES, here),
    ):
        raise KeyboardInterrupt
    assert "they end by themselves after 1060 s" in caplog.text


def test_process_of_a_run(place: SharedPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of a run also needs the lease of the run."""
    run, kernel = folder(tmp_path, "run"), folder(tmp_path, "kernel")
    me = Holder("ana", "one", None, "sent")
    with hold_locks(place, NAMES[:1], me, TIMES, run) as outer:
        monkeypatch.setenv(RUN_LEASE_VARIABLE, outer.lease.record.id)
        with hold_locks(place, NAMES[1:2], me, TIMES, kernel) as inner:
            assert inner.ensure() == ""
            outer.lease.end()
            assert inner.ensure() == "" or "lost" in inner.ensure()
            wait_until(lambda: "the lock is lost" in inner.ensure())
            with pytest.raises(Locked, match="the lock is lost: it was ended"):
                inner.check()
        with (
            pytest.raises(Locked, match="the lock of this run has ended"),
            hold_locks(place, NAMES[1:2], me, TIMES, kernel),
        ):
            pass
