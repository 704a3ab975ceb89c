"""`lcnb doctor` and the locks across machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from lcnb.cli.doctor import DoctorResult, run_checks
from lcnb.leases.holding import Holder, hold_locks
from lcnb.leases.place import SharedPlace, shared_place
from lcnb.leases.records import LeaseTimes, LockName


def shared_locks() -> DoctorResult | None:
    """The line of the doctor, if there is one."""
    return next((each for each in run_checks() if each.name in ("shared locks", "token")), None)


def test_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a store there is no line; with one it lists who holds what, and a store that is away is a failure."""
    found = shared_locks()
    assert found
    assert found.name == "token"
    url = f"file://{tmp_path}/store"
    monkeypatch.setenv("LCNB_RUNS_DIR", url)
    assert shared_locks() == DoctorResult("shared locks", True, f"in {url}: none is held")
    place = shared_place()
    assert isinstance(place, SharedPlace)
    names = [LockName("locks/instance-a.json", "web-01 (a)")]
    with hold_locks(place, names, Holder("ana", "one", "RUN", "sent"), LeaseTimes(margin_s=1.0), tmp_path):
        found = shared_locks()
    assert found
    assert "web-01 (a): ana on one (process" in found.found
    assert ", run RUN) since 20" in found.found
    monkeypatch.setenv("LCNB_RUNS_DIR", "")
    monkeypatch.setenv("LCNB_REDIS_URL", "redis://:geheim@127.0.0.1:1/0")
    found = shared_locks()
    assert found
    assert not found.ok
    assert "Redis at 127.0.0.1:1: ConnectionError" in found.found
    assert "geheim" not in found.found
