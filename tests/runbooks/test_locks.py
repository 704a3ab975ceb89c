"""Two machines and one runbook: a store of runs keeps their runs apart."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

import lcnb
from conftest import Call, record, write_notebook
from lcnb.config import Settings, load_settings
from lcnb.errors import Locked
from lcnb.leases.place import read_leases, shared_place
from lcnb.runbooks.locks import runbook_lock
from lcnb.runbooks.notebook.find import Runbook, find_runbook
from lcnb.secret import Secret

PARAMETERS = ("account: str | None = None\ndry_run: bool = True", "parameters")
OFF = (
    "import lcnb\nlc = lcnb.connect(account)\nlcnb.run().apply(lc.power_off(label='web-01'), dry_run=dry_run)"
)
NOTE_HOLDERS = """
from lcnb.leases.place import read_leases, shared_place
lcnb.run().log(" ".join(str(each.run) for each in read_leases(shared_place().open(0))))
"""
#: What a notebook would see if another machine had ended the lease of its run.
TAKEN = """
import dataclasses, os
from lcnb.leases.place import shared_place
from lcnb.leases.records import LeaseRecord, lease_key
store, key = shared_place().open(0), lease_key(os.environ["LCNB_RUN_LEASE"])
found = store.read(key)
store.write(key, dataclasses.replace(LeaseRecord.decode(key, found.data), ended=True).encode(), expected=found.version)
"""


@pytest.fixture(autouse=True)
def account(
    fleet: lcnb.sandbox.SandboxProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> lcnb.sandbox.SandboxProcess:
    """A sandbox of its own as the account of the environment, and a store of runs."""
    monkeypatch.setenv("LCNB_RUNS_DIR", f"file://{tmp_path}/store")
    return fleet


@pytest.fixture
def machines(tmp_path: Path) -> tuple[Settings, Settings]:
    """The same account on two machines."""
    here = load_settings()
    return replace(here, state_dir=tmp_path / "one"), replace(here, state_dir=tmp_path / "two")


def book_named(tmp_path: Path, folder: str, *more: str) -> Runbook:
    (tmp_path / folder).mkdir(exist_ok=True)
    return find_runbook(str(write_notebook(tmp_path / folder / "off.ipynb", PARAMETERS, *more, OFF)))


def test_one_run_at_a_time(machines: tuple[Settings, Settings], tmp_path: Path) -> None:
    """A run of the same name for the same account is refused on another machine, wherever its notebook is there."""
    one, two = machines
    here, there = book_named(tmp_path, "here"), book_named(tmp_path, "there")
    other = find_runbook("inventory")
    with runbook_lock(here, one, {}, 0, writes=True) as held:
        assert held
        with (
            pytest.raises(
                Locked, match=r"off with dry_run=False for http://.* is locked by .* Nothing was started"
            ),
            runbook_lock(there, two, {}, 0, writes=True),
        ):
            pass
        free = [(there, two, False), (other, two, True), (there, replace(two, token=Secret("x" * 30)), True)]
        for book, settings, writes in free:
            with runbook_lock(book, settings, {}, 0, writes=writes):
                pass
    with runbook_lock(there, two, {}, 0, writes=True) as held:
        assert held
        assert list(held.fences.values()) == [2]


def test_waits(machines: tuple[Settings, Settings], tmp_path: Path) -> None:
    """A run that waits begins when the one on the other machine has ended."""
    one, two = machines
    book = book_named(tmp_path, "here")
    order: list[str] = []
    waiting = threading.Event()

    def run_there() -> None:
        waiting.set()
        with runbook_lock(book, two, {}, 600, writes=True):
            order.append("two")

    with runbook_lock(book, one, {}, 0, writes=True):
        thread = threading.Thread(target=run_there)
        thread.start()
        waiting.wait(600)
        order.append("one")
    thread.join(600)
    assert order == ["one", "two"]


def test_command(machines: tuple[Settings, Settings], tmp_path: Path, call: Call) -> None:
    """`lcnb run` ends with exit code 75 and names the holder; `--no-lock` runs."""
    book = book_named(tmp_path, "here")
    words = ("run", str(book.path), "--runs-dir", str(tmp_path / "runs"))
    parameters = {"account": None, "dry_run": True}
    with runbook_lock(book, machines[1], parameters, 0, writes=False):
        refused = call(*words)
        assert refused.code == 75
        assert "off with these parameters" in " ".join(refused.err.split())
        assert "is locked by" in refused.err
        assert call(*words, "--no-lock").code == 0
    assert len(list((tmp_path / "runs").glob("2*"))) == 1


def test_record(tmp_path: Path, call: Call) -> None:
    """The record of a run has the store and the fencing token; its lease names it, and is gone afterwards."""
    book = book_named(tmp_path, "here", f"import lcnb{NOTE_HOLDERS}")
    words = ("run", str(book.path), "--runs-dir", str(tmp_path / "runs"), "-p", "dry_run=false", "--yes")
    assert call(*words).code == 0
    (folder,) = (tmp_path / "runs").glob("2*")
    assert folder.name in (folder / "run.log").read_text()
    lock = record(folder)["lock"]
    assert (lock["store"], lock["fence"]) == (f"file://{tmp_path}/store", 1)
    place = shared_place()
    assert place
    assert read_leases(place.open(0)) == []


def test_lost_run(tmp_path: Path, call: Call, account: lcnb.sandbox.SandboxProcess) -> None:
    """A notebook whose run has lost its lock changes nothing: exit code 75."""
    book = book_named(tmp_path, "here", TAKEN)
    words = ("run", str(book.path), "--runs-dir", str(tmp_path / "runs"), "-p", "dry_run=false", "--yes")
    ended = call(*words)
    assert ended.code == 75
    (folder,) = (tmp_path / "runs").glob("2*")
    assert "the lock is lost: another process saw no renewal" in record(folder)["reason"]
    with lcnb.connect() as lc:
        assert lc.instances().set_index("label").state["web-01"] == "running"
