"""Runs of several machines in one store: each machine is a state folder, and sees what the others record."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from silent_store import ended, interrupt_main_thread, silent_store

import lcnb
from benchmarks.s3_server import BUCKET, PYTHON, S3Server, s3_server
from conftest import ROOT, TOKEN, become, in_thread, lcnb_here, record
from lcnb.errors import InputError, StoreConflict, StoreError
from lcnb.folders import runs_dir
from lcnb.object_store import ABSENT, PART_BYTES, StoreLimits, open_store
from lcnb.runbooks import rerun
from lcnb.runbooks.records import index, uploading
from lcnb.runbooks.records import mirror as mirrors
from lcnb.runbooks.records.artifacts import list_files
from lcnb.runbooks.records.find import find_run
from lcnb.runbooks.records.history import list_runs, prune_runs
from lcnb.runbooks.records.mirror import Mirror, check_conditions, mirror_of
from lcnb.runbooks.records.run_store import RunStore, file_key
from lcnb.runbooks.records.store_copy import copied_runs
from lcnb.runbooks.records.sync_state import read_state
from lcnb.runbooks.records.uploading import RunUpload
from lcnb.runbooks.run import run_runbook
from lcnb.signals import exit_on_signals
from recorded_runs import ME, gone_process, make_run, write_notebook

#: A request lasts longer than the test may take: only an interrupt ends it.
LONG = StoreLimits(connect_s=900, read_s=900, request_s=900, total_s=900)
#: The process of a run on a computer that is not this one.
ELSEWHERE = {**ME, "boot": "another", "host": "elsewhere"}
OFF = """
import lcnb
lcnb.run().apply(lcnb.connect(account).power_off(label="web-01"), dry_run=dry_run, wait=False)
"""


SIMULATION = """
import json
from dataclasses import asdict
from benchmarks.store import simulate
print(json.dumps(asdict(simulate(6, 3))))
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Mirror]:
    """Makes this process one of a machine, and returns the store as that machine has it: `machine("a")`."""
    monkeypatch.setenv("LCNB_RUNS_DIR", f"file://{tmp_path}/bucket")

    def enter(name: str) -> Mirror:
        monkeypatch.setenv("LCNB_STATE_DIR", str(tmp_path / f"machine-{name}"))
        found = mirror_of(runs_dir())
        assert found
        return found

    return enter


def problems_of(store: Mirror) -> list[str]:
    """What `verify` finds in the store itself."""
    with copied_runs(store, sleep=lambda seconds: None) as folder:
        return [f"{each.file}: {each.problem}" for each in index.verify_runs(folder).problems]


def pushed_run(store: Mirror, number: int = 1, **facts: Any) -> Path:
    folder = make_run(store.folder, number, process=ME, confirmed="", **facts)
    store.push_run(folder.name)
    return folder


def open_run(store: Mirror, number: int = 1, **facts: Any) -> Path:
    """A run that goes on: its record and a heartbeat with its notebook are in the store."""
    facts = {"process": ELSEWHERE, "status": "running", "confirmed": "", **facts}
    folder = make_run(store.folder, number, closed=False, **facts)
    upload = RunUpload(folder, folder / "nightly.ipynb", store.store.url)
    upload._upload()
    return folder


def make_old(tmp_path: Path, seconds: float) -> None:
    """Let the store have written everything so many seconds ago."""
    for path in (tmp_path / "bucket").rglob("*.json"):
        at = path.stat().st_mtime - seconds
        os.utime(path, (at, at))


# --- one run, seen from another machine -----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["file", "s3"])
def test_every_command(
    kind: str, tmp_path: Path, machine: Callable[[str], Mirror], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of one machine is listed, shown, opened, compared, verified, run again and pruned on another one."""
    if kind == "s3" and not PYTHON.exists():
        pytest.skip("moto's server is not installed: make system")
    path = write_notebook(tmp_path / "a.ipynb", "# A", "n: int = 1", "import lcnb\nlcnb.run().log(n)")
    monkeypatch.setattr("webbrowser.open", lambda url: True)
    with s3_server() if kind == "s3" else _no_server() as server:
        if server:
            monkeypatch.setenv("LCNB_RUNS_DIR", f"s3://{BUCKET}/team")
            for name, value in server.environment.items():
                monkeypatch.setenv(name, value)
        machine("a")
        made = lcnb_here("run", str(path), "-p", "n=7")
        assert (made.returncode, made.stderr) == (0, "")
        run = list_runs()[0].id
        machine("b")
        assert run in lcnb_here("runs", "-o", "csv").stdout
        assert json.loads(lcnb_here("show", "last", "-o", "json").stdout)["given"] == {"n": 7}
        report = Path(lcnb_here("open", "last").stdout.strip())
        assert "7" in (report.parent / "run.log").read_text()
        assert "machine-b" in str(report)
        again = lcnb_here("rerun", "last")
        assert (again.returncode, again.stderr) == (0, "")
        assert lcnb_here("diff", run[:-1], "last").returncode == 0
        where = os.environ["LCNB_RUNS_DIR"]
        for name in "ab":
            machine(name)
            verified = lcnb_here("verify")
            assert (verified.returncode, verified.stderr) == (0, "")
            assert verified.stdout.startswith(
                f"{where}: 2 runs, 8 files: all as written; the index ends with "
            )
        assert lcnb_here("runs", "push").stdout == f"all runs of this machine are in {where}\n"
        assert lcnb_here("runs", "prune", "--keep", "0", "--yes").returncode == 0
        machine("b")
        assert list_runs() == []
        assert list((runs_dir()).glob("*/run.json")) == []
        assert lcnb_here("verify").stdout.startswith(f"{where}: 0 runs")


class _no_server:  # noqa: N801 - a context manager that reads like a function
    def __enter__(self) -> S3Server | None:
        return None

    def __exit__(self, *error: object) -> None: ...


def test_running(machine: Callable[[str], Mirror]) -> None:
    """A run that goes on is seen as running, with the notebook as it was last uploaded."""
    folder = open_run(machine("a"))
    machine("b")
    found = find_run("last")
    assert (found.id, found.status) == (folder.name, "running")
    assert (found.folder / "nightly.ipynb").read_text() == (folder / "nightly.ipynb").read_text()


def test_upload_thread(machine: Callable[[str], Mirror]) -> None:
    """The thread of a run uploads its record and sends heartbeats until the run has ended."""
    store = machine("a")
    folder = make_run(store.folder, 1, closed=False, process=ME, status="running")
    upload = RunUpload(folder, folder / "nightly.ipynb", store.store.url, beat_s=0.01)
    upload.start()
    versions = set()
    while len(versions) < 3:
        entry = next(iter(store.store.store.list("beats")), None)
        versions |= {entry.version} if entry else set()
    upload.stop()
    assert list(store.store.list_records()) == [folder.name]
    (folder / "run.json").write_text(json.dumps({**record(folder), "closed": True, "status": "done"}))
    assert upload.finish() == ""
    assert store.store.list_beats() == {}
    assert problems_of(store) == []


def test_large_notebook(machine: Callable[[str], Mirror]) -> None:
    """A notebook that takes long to upload waits for the end of its run, so that heartbeats come meanwhile."""
    store = machine("a")
    folder = make_run(store.folder, 1, closed=False, process=ME, status="running")
    (folder / "nightly.ipynb").write_bytes(bytes(PART_BYTES + 1))
    upload = RunUpload(folder, folder / "nightly.ipynb", store.store.url)
    upload._upload()
    assert store.store.list_beats().keys() == {folder.name}
    assert store.store.store.list("files") == []


# --- the store is away ----------------------------------------------------------------------------------


def test_store_away(
    tmp_path: Path, machine: Callable[[str], Mirror], capsys: pytest.CaptureFixture[str]
) -> None:
    """A run whose store is away from the first second runs to its end, says so, and is uploaded later."""
    (tmp_path / "bucket").write_text("no folder, so nothing can be written")
    path = write_notebook(tmp_path / "a.ipynb", "print(1)")
    machine("a")
    with warnings.catch_warnings(action="ignore", category=lcnb.StoreWarning):
        made = lcnb_here("run", str(path))
    assert made.returncode == 0
    assert "the run is only on this machine: the store did not write" in made.stderr
    assert "lcnb runs push" in made.stderr
    failed = lcnb_here("runs", "push")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "not uploaded: " in failed.stderr
    (tmp_path / "bucket").unlink()
    done = lcnb_here("runs", "push")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("uploaded 20")
    store = machine("b")
    assert [run.status for run in list_runs()] == ["done"]
    assert problems_of(store) == []


@pytest.mark.parametrize("by", ["variable", "option"])
def test_changing_while_away(by: str, tmp_path: Path, machine: Callable[[str], Mirror]) -> None:
    """A run that would change something is refused with exit code 75: whether another machine does so is not known."""
    (tmp_path / "bucket").write_text("no folder, so nothing can be read")
    path = write_notebook(
        tmp_path / "a.ipynb", "# A", "dry_run: bool = True", f"open({str(tmp_path / 'ran')!r}, 'w')"
    )
    machine("a")
    store = ["--runs-dir", os.environ["LCNB_RUNS_DIR"]] if by == "option" else []
    if by == "option":
        os.environ["LCNB_RUNS_DIR"] = str(tmp_path / "runs")  # the fixture restores it
    made = lcnb_here("run", str(path), "-p", "dry_run=false", "--yes", *store)
    assert made.returncode == 75, made.stderr
    assert not (tmp_path / "ran").exists()


def test_reading_while_away(
    tmp_path: Path, machine: Callable[[str], Mirror], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the store does not answer, the runs that were known on this machine are listed, with a warning."""
    pushed_run(machine("a"))
    machine("b")
    assert len(list_runs()) == 1

    def refuse(self: object) -> None:
        raise lcnb.StoreUnavailable("the store did not list runs", url="s3://x")

    monkeypatch.setattr(RunStore, "list_records", refuse)
    with pytest.warns(lcnb.StoreWarning, match=r"did not list runs\. The runs are those that were known"):
        assert len(list_runs()) == 1
    with warnings.catch_warnings(action="ignore", category=lcnb.StoreWarning):
        assert lcnb_here("verify").returncode == 1


def test_wrong_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong URL, or a store without its library, is refused before anything runs."""
    path = write_notebook(tmp_path / "a.ipynb", "open('ran', 'w')")
    wrong = lcnb_here("run", str(path), "--runs-dir", "s4://bucket/x")
    assert wrong.returncode == 2
    assert "'s4://bucket/x' is not the URL of a store. Example: s3://bucket/lcnb" in wrong.stderr
    monkeypatch.setitem(sys.modules, "obstore", None)
    missing = lcnb_here("run", str(path), "--runs-dir", "s3://bucket/x")
    assert missing.returncode == 2
    assert "pip install 'lcnb[store]'" in missing.stderr
    assert list(tmp_path.rglob("ran")) == []
    assert lcnb_here("runs", "push").stderr.startswith("error: ")


def test_doctor(machine: Callable[[str], Mirror], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`lcnb doctor` writes into the store, checks its conditions, and leaves nothing there."""
    machine("a")
    assert re.search(
        r"runs store: file://\S+/bucket, where machines do not overwrite", lcnb_here("doctor").stdout
    )
    assert list((tmp_path / "bucket" / "clocks").iterdir()) == []
    monkeypatch.setenv("LCNB_RUNS_DIR", "s4://bucket/x")
    assert "'s4://bucket/x' is not the URL of a store" in lcnb_here("doctor").stdout


def test_scheduled(machine: Callable[[str], Mirror], monkeypatch: pytest.MonkeyPatch) -> None:
    """An exported job keeps its runs in the store of this machine, and says what it needs for that."""
    monkeypatch.setenv("LCNB_RUNS_DIR", "s3://bucket/team/")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://objects.example.com")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-0123456789")
    for system in ("k8s", "cron"):
        text = lcnb_here("schedule", "export", "inventory", "--cron", "5 4 * * *", "--to", system).stdout
        assert "s3://bucket/team" in text
        assert "Runs are kept in s3://bucket/team: the job needs lcnb[store]" in text
        assert "https://objects.example.com" in text
        assert "canary" not in text


# --- machines that end ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("age_s", "status"), [(200, "running"), (400, "abandoned")])
def test_silent_run(tmp_path: Path, machine: Callable[[str], Mirror], age_s: float, status: str) -> None:
    """A run without a heartbeat for five minutes of the store is abandoned for everyone."""
    folder = open_run(machine("a"))
    make_old(tmp_path, age_s)
    for name in "bc":
        store = machine(name)
        found = find_run("last")
        assert (found.id, found.status) == (folder.name, status)
    assert problems_of(store) == []
    if status == "abandoned":
        assert (
            found.facts["reason"]
            == f"its process ({ME['pid']} on elsewhere) has sent no heartbeat since then"
        )
        assert found.facts["files"].keys() == {"nightly.ipynb"}


@pytest.mark.parametrize("process", [None, [1], "gone", {}])
def test_silent_run_of_nobody(process: object, tmp_path: Path, machine: Callable[[str], Mirror]) -> None:
    """A run whose record does not say which process it is, as after an edit, is abandoned like any other."""
    run = open_run(machine("a"), process=process)
    make_old(tmp_path, 301)
    machine("b")
    (found,) = list_runs()
    assert (found.id, found.status) == (run.name, "abandoned")
    assert found.facts["reason"].startswith("its process has sent no heartbeat")


@pytest.mark.parametrize("files", [["a"], {"a": 3}, {"a": {"bytes": 4}}])
def test_odd_list_of_files(files: object, machine: Callable[[str], Mirror]) -> None:
    """A record with a list of files that lcnb does not write keeps its run here, and no other one."""
    store = machine("a")
    odd = make_run(store.folder, 1, process=ME)
    (odd / "run.json").write_text(json.dumps({**record(odd), "files": files}))
    good = make_run(store.folder, 2, process=ME)
    pushed = lcnb_here("runs", "push")
    assert (pushed.returncode, pushed.stdout) == (1, f"uploaded {good.name}\n")
    assert f"not uploaded: {odd.name}: {odd / 'run.json'} lists its files" in pushed.stderr
    assert lcnb_here("runs").returncode == 0


def test_last_word(tmp_path: Path, machine: Callable[[str], Mirror]) -> None:
    """A run that was only slow is abandoned for others until it ends: its own last record counts."""
    store = machine("a")
    folder = open_run(store)
    make_old(tmp_path, 400)
    machine("b")
    assert [run.status for run in list_runs()] == ["abandoned"]
    machine("a")
    upload = RunUpload(folder, folder / "nightly.ipynb", store.store.url)
    upload._upload()  # it goes on, and does not open the record again
    (folder / "run.json").write_text(json.dumps({**record(folder), "closed": True, "status": "done"}))
    assert upload.finish() == ""
    for name in "abc":
        store = machine(name)
        assert [run.status for run in list_runs()] == ["done"]
        assert problems_of(store) == []
    lines = index.parse_index((tmp_path / "bucket" / "index.jsonl").read_bytes())[0]
    assert [line.run for line in lines] == [folder.name] * 2


def test_killed_here(machine: Callable[[str], Mirror]) -> None:
    """A run whose process was killed is settled by the next command on its machine, and uploaded."""
    store = machine("a")
    open_run(store, process=gone_process())
    assert [run.status for run in list_runs()] == ["abandoned"]
    machine("b")
    assert [run.status for run in list_runs()] == ["abandoned"]
    assert problems_of(store) == []


def test_killed_before_the_line(tmp_path: Path, machine: Callable[[str], Mirror]) -> None:
    """A process that ended between the last record and its line is no problem: another machine adds the line."""
    pushed_run(machine("a"))
    (tmp_path / "bucket" / "index.jsonl").unlink()
    store = machine("b")
    list_runs()
    assert problems_of(store) == ["run.json: has no line in the index"]
    make_old(tmp_path, 400)
    list_runs()
    assert problems_of(store) == []


def test_empty_store(tmp_path: Path, machine: Callable[[str], Mirror]) -> None:
    """A store that lists nothing removes nothing: neither the runs that worked here nor the copies of others."""
    own = pushed_run(machine("a"))
    store = machine("b")
    list_runs()
    find_run("last")
    for path in (tmp_path / "bucket").rglob("*.json*"):
        path.unlink()
    for name in "ab":
        machine(name)
        assert [run.id for run in list_runs()] == [own.name]
    assert (store.folder / own.name / "nightly.ipynb").is_file()


def test_removed_copy(machine: Callable[[str], Mirror]) -> None:
    """A run whose folder was deleted on its own machine is read again from the store."""
    folder = pushed_run(machine("a"))
    shutil.rmtree(folder)
    assert find_run("last").id == folder.name
    assert (folder / "nightly.ipynb").is_file()


@pytest.mark.parametrize("content", [b"", b'{"status": "do', b"\0" * 4096])
def test_damaged_copy(content: bytes, machine: Callable[[str], Mirror]) -> None:
    """The record of another machine that was damaged here, as by a power failure, is read again from the store."""
    run = pushed_run(machine("a"))
    copy = machine("b").folder / run.name / "run.json"
    assert [each.status for each in list_runs()] == ["done"]
    copy.write_bytes(content)
    assert [each.status for each in list_runs()] == ["done"]
    assert copy.read_bytes() == (run / "run.json").read_bytes()


def test_pruned_elsewhere(machine: Callable[[str], Mirror]) -> None:
    """A run that another machine has pruned is not uploaded again, and its files stay where it worked."""
    store = machine("a")
    folder = pushed_run(store)
    machine("b")
    prune_runs(list_runs())
    machine("a")
    state = read_state(folder)
    state.pushed = False
    (folder.parent / ".sync" / f"{folder.name}.json").write_text(json.dumps({"version": state.version}))
    with pytest.raises(StoreError, match=r"was pruned in file://.*Nothing was uploaded"):
        store.push_run(folder.name)
    assert folder.is_dir()


# --- the index ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["file", "s3"])
def test_chain(
    kind: str, tmp_path: Path, machine: Callable[[str], Mirror], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index of machines that end runs at the same time has one line for each run, in one chain."""
    if kind == "s3" and not PYTHON.exists():
        pytest.skip("moto's server is not installed: make system")
    with s3_server() if kind == "s3" else _no_server() as server:
        if server:
            monkeypatch.setenv("LCNB_RUNS_DIR", f"s3://{BUCKET}/team")
            for name, value in server.environment.items():
                monkeypatch.setenv(name, value)
        stores = [machine(name) for name in "abcd"]
        failed: list[BaseException] = []

        def work(number: int) -> None:
            try:
                for each in range(5):
                    pushed_run(stores[number], 10 * number + each)
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        found = stores[0].store.read_index()
        assert found
        lines, problems, _ = index.parse_index(found.data)
        assert (len({line.run for line in lines}), len(lines), problems) == (20, 20, [])
        assert problems_of(machine("e")) == []
        assert len(list_runs()) == 20


@pytest.mark.parametrize("kept", [1, 30, 70, -1])
@pytest.mark.parametrize("event", [index.ENDED, index.PRUNED])
def test_torn_index(event: str, kept: int, tmp_path: Path, machine: Callable[[str], Mirror]) -> None:
    """When the last line of the index was cut, the next machine writes it whole: from the record of the run, or, for a
    run that was pruned, from what is left of the line.
    """
    cut = pushed_run(machine("a"), 1)
    if event == index.PRUNED:
        prune_runs(list_runs())
    path = tmp_path / "bucket" / "index.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:-1], lines[-1][:kept]]))
    known = event if cut.name.encode() in lines[-1][:kept] else index.ENDED
    store = machine("b")
    other = pushed_run(store, 2)
    events = {line.run: line.event for line in index.parse_index(path.read_bytes())[0]}
    assert events == {cut.name: known, other.name: index.ENDED}
    assert (problems_of(store) == []) == (known == event)


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        ("files", "nightly.ipynb: is missing"),
        ("runs", "run.json: was changed after the run ended"),
        ("index.jsonl", "index.jsonl: line 1 was changed: lcnb does not write such a line"),
    ],
)
def test_changed_in_the_store(
    tmp_path: Path, machine: Callable[[str], Mirror], place: str, problem: str
) -> None:
    """`verify` reads the store anew, so it finds a byte that was changed there, whatever was read before."""
    store = machine("a")
    pushed_run(store)
    assert problems_of(store) == []
    path = tmp_path / "bucket" / place
    (changed,) = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    changed.write_bytes(changed.read_bytes().replace(b"}", b" }", 1))
    assert problem in problems_of(store)


def test_odd_names(tmp_path: Path, machine: Callable[[str], Mirror]) -> None:
    """Nothing in a store can write a file outside of the folder of its run."""
    store = machine("a")
    folder = make_run(store.folder, 1, process=ME)
    content = b"evil"
    known = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": 4}
    facts = {
        **record(folder),
        "files": {"../../evil": known, "/tmp/evil": known, "a/../evil": known, "run.json": known},
    }
    for name in facts["files"]:
        store.store.store.write(file_key(folder.name, name, known["sha256"]), content)
    store.store.write_record(folder.name, json.dumps(facts).encode(), None)
    machine("b")
    assert [run.id for run in list_runs()] == [folder.name]
    assert find_run(folder.name).facts["files"].keys() == facts["files"].keys()
    assert list(tmp_path.rglob("machine-b/**/evil")) == []


#: Files of one run: two without content, two with the same, and names that other systems or programs would not take.
WRITTEN = """
import os
from pathlib import Path

folder = os.fsencode(os.environ["LCNB_RUN_DIR"])
names = [b"empty 1.csv", b"empty 2.csv", b"same a.csv", b"same b.csv", b"2026-11-30T12:30.csv", b"a\\\\b", b"a\\nb", b"#%20$.txt",
         b"...", b" ", b"caf\\xe9.txt", "\u00e9.txt".encode(), b"x" * 240]
for name in names:
    with open(os.path.join(folder, name), "wb") as file:
        file.write(b"" if b"empty" in name else b"same" if b"same" in name else name)
os.symlink("/etc/hostname", os.path.join(folder, b"link"))
"""


def test_every_file(tmp_path: Path, machine: Callable[[str], Mirror]) -> None:
    """Each file of a run arrives on another machine under its own name, also one that equals another; links do not."""
    path = write_notebook(tmp_path / "a.ipynb", "# A", "", WRITTEN)
    machine("a")
    made = lcnb_here("run", str(path))
    assert (made.returncode, made.stderr) == (0, "")
    (run,) = list_runs()
    written = {each.relative_to(run.folder): each.read_bytes() for each in list_files(run.folder)}
    machine("b")
    copy = find_run("last").folder
    assert {each.relative_to(copy): each.read_bytes() for each in list_files(copy)} == written
    assert len(written) == 15
    verified = lcnb_here("verify")
    assert (verified.returncode, verified.stderr) == (0, "")
    assert json.loads(lcnb_here("show", "last", "-o", "json").stdout)["files"].keys() == {
        str(each) for each in written
    }


def test_conditions_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that ignores the conditions of writes is refused, because machines would overwrite each other."""
    store = RunStore(open_store(f"file://{tmp_path}/bucket"))
    check_conditions(store)
    write = store.store.write

    def careless(key: str, data: bytes, *, expected: object = None) -> str:
        return write(key, data)

    monkeypatch.setattr(store.store, "write", careless)
    with pytest.raises(StoreError, match="ignores If-None-Match or If-Match"):
        check_conditions(store)


def test_late_write_of_a_record(machine: Callable[[str], Mirror]) -> None:
    """An earlier record that arrives after the last one is refused by its condition."""
    store = machine("a")
    folder = open_run(store)
    before = read_state(folder).version
    (folder / "run.json").write_text(json.dumps({**record(folder), "closed": True, "status": "done"}))
    store.push_run(folder.name)
    for expected in (before, ABSENT):
        with pytest.raises(StoreConflict):
            store.store.store.write(f"runs/{folder.name}.json", b"late", expected=expected)


# --- what must not travel -------------------------------------------------------------------------------


def test_no_secret(tmp_path: Path, machine: Callable[[str], Mirror], monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the token nor a credential of the store reaches the store, whatever a cell prints or saves."""
    monkeypatch.setenv("LETSCLOUD_API_KEY", TOKEN)
    names = ("AWS_SECRET_ACCESS_KEY", "AZURE_STORAGE_ACCOUNT_KEY")
    for name in names:
        monkeypatch.setenv(name, f"canary-{name}-0123456789")
    source = "import os\ntext = str(dict(os.environ))\nprint(text)\nopen('all.txt', 'w').write(text)"
    machine("a")
    result = run_runbook(str(write_notebook(tmp_path / "a.ipynb", source)))
    assert (result.status, result.problems) == ("done", [])
    stored = b"".join(path.read_bytes() for path in (tmp_path / "bucket").rglob("*") if path.is_file())
    assert b"LETSCLOUD_API_KEY" in stored
    for secret in (TOKEN, *(os.environ[name] for name in names)):
        assert secret.encode() not in stored


def test_apply_elsewhere(
    tmp_path: Path, machine: Callable[[str], Mirror], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan is applied from another machine; what that run sent is resumed only where its journal is."""
    parameters = "account: str | None = None\ndry_run: bool = True"
    path = write_notebook(tmp_path / "off.ipynb", "# Off", parameters, OFF)
    with in_thread(speed=50) as sandbox:
        monkeypatch.setenv("LETSCLOUD_API_KEY", sandbox.token)
        monkeypatch.setenv("LCNB_BASE_URL", sandbox.base_url)
        machine("a")
        assert lcnb_here("plan-run", str(path)).returncode == 0
        machine("b")
        applied = lcnb_here("apply", "last")
        assert applied.returncode == 0, applied.stderr
        made = find_run("last")
        assert [each["outcome"] for each in made.facts["changes"]] == ["done"]
        machine("a")
        assert find_run("last").id == made.id
        with pytest.raises(
            InputError, match=r"only in the journal there\. Resume it on .* Nothing was started"
        ):
            rerun.settle_changes(find_run("last"), True)
        failed = {**record(find_run("last").folder), "status": "failed"}
        (find_run("last").folder / "run.json").write_text(json.dumps(failed))
        with pytest.raises(InputError, match="only in the journal there"):
            rerun.resume_run(rerun.read_run(runs_dir() / made.id))


def test_approve_elsewhere(
    tmp_path: Path, machine: Callable[[str], Mirror], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan of one person is approved by another one on another machine, and applied on a third one."""
    parameters = "account: str | None = None\ndry_run: bool = True"
    path = write_notebook(tmp_path / "off.ipynb", "# Off", parameters, OFF)
    with in_thread(speed=50) as sandbox:
        monkeypatch.setenv("LETSCLOUD_API_KEY", sandbox.token)
        monkeypatch.setenv("LCNB_BASE_URL", sandbox.base_url)
        monkeypatch.setenv("LCNB_APPROVE", "other")
        become(monkeypatch, "ana")
        machine("a")
        assert lcnb_here("plan-run", str(path)).returncode == 0
        machine("b")
        assert "nobody has approved the run" in lcnb_here("apply", "last").stderr
        become(monkeypatch, "bo")
        approved = lcnb_here("approve", "last", "--yes")
        assert (approved.returncode, approved.stderr) == (0, "")
        for name in "ac":
            machine(name)
            assert json.loads((find_run("last").folder / "approval.json").read_text())["user"] == "bo"
        applied = lcnb_here("apply", "last")
        assert applied.returncode == 0, applied.stderr
        assert find_run("last").facts["approval"]["user"] == "bo"
        assert problems_of(machine("b")) == []


def test_shipped_notebook_elsewhere(
    machine: Callable[[str], Mirror], account_env: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shipped runbook is found on a machine where lcnb is installed in another folder."""
    folder = pushed_run(
        machine("a"),
        runbook="inventory",
        notebook="/opt/elsewhere/inventory.ipynb",
        base_url=None,
        status="done",
    )
    machine("b")
    result = rerun.rerun_notebook(find_run(folder.name))
    assert result.status == "done"
    assert record(result.folder)["runbook"] == "inventory"


def test_fork() -> None:
    """A fork of a process that has used a store gets an error at once; obstore would wait forever there."""
    program = """
import os, lcnb
from lcnb.object_store import StoreLimits, open_store
store = open_store("s3://bucket/x", StoreLimits(total_s=0.1))
def read():
    try:
        store.read("a")
    except lcnb.StoreUnavailable as error:
        print(error.problem, flush=True)
read()
child = os.fork()
read() if child == 0 else os.waitpid(child, 0)
"""
    env = {
        **os.environ,
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
    }
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=600, check=True
    )
    first, second = done.stdout.splitlines()
    assert "error sending request" in first
    assert "this process is a fork of one that has used a store" in second


@pytest.mark.skipif(not PYTHON.exists(), reason="moto's server is not installed: make system")
def test_simulation() -> None:
    """Runs of three machines behind a failing network, some of them killed: none is lost, open, torn or wrong."""
    command = [sys.executable, "-c", SIMULATION]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=True)
    tally = json.loads(done.stdout.splitlines()[-1])
    assert tally["runs"] == 6
    assert tally["faults"]["passed"] > 50
    harm = {name: tally[name] for name in ("lost", "open", "torn", "wrong")}
    assert harm == {"lost": 0, "open": 0, "torn": 0, "wrong": 0}, done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_upload(
    number: int, machine: Callable[[str], Mirror], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C and SIGTERM end the last upload, leave the run on its machine, and do not change how it ended."""
    pytest.importorskip("obstore")
    store = machine("a")
    folder = make_run(store.folder, 1, process=ME)
    monkeypatch.setattr(mirrors, "PUSH_LIMITS", LONG)
    with silent_store(lambda: interrupt_main_thread(number)) as silent, exit_on_signals():
        upload = RunUpload(folder, folder / "nightly.ipynb", "s3://bucket/x")
        assert upload.finish() == "the upload of the run was interrupted. To upload it: lcnb runs push"
        assert ended(silent)
    assert store.pending_runs() == [folder.name]


def test_interrupted_stop(machine: Callable[[str], Mirror], monkeypatch: pytest.MonkeyPatch) -> None:
    """At the end of a run, Ctrl-C ends the upload that goes on, and the last record is written all the same."""
    pytest.importorskip("obstore")
    folder = make_run(machine("a").folder, 1, closed=False, process=ME, status="running")
    monkeypatch.setattr(uploading, "BEAT_LIMITS", LONG)
    begun = threading.Event()
    for interrupted in (True, False):
        begun.clear()
        with silent_store(begun.set) as silent:
            upload = RunUpload(folder, folder / "nightly.ipynb", "s3://bucket/x")
            upload.start()
            begun.wait()
            if not interrupted:
                threading.Timer(0.1, interrupt_main_thread).start()
            upload.stop(interrupted=interrupted)
            assert ended(silent)
