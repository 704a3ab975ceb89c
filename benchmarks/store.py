"""Runs of several machines in one bucket while the network fails and processes are killed: none may be lost or torn.

`python -m benchmarks.store [RUNS] [SEED]`: 200 real runs by 8 processes of 3 machines (three state folders) into one
bucket of a real S3 server, behind `faulty_front`. Some processes are killed at a random moment, and the store is away
for a while. Then machine 1 looks at the bucket while the others are silent, the others come back, and every machine
lists and verifies all runs. It prints the tally as JSON.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import nbformat

from benchmarks.faulty_front import FrontProcess, faulty_front
from benchmarks.measure import Ratio
from benchmarks.s3_server import BUCKET, PYTHON, S3Server, s3_server
from lcnb.object_store import StoreLimits
from lcnb.runbooks.engine import papermill_engine  # loaded here, so that no run spends its time on it
from lcnb.runbooks.publish import report
from lcnb.runbooks.records import mirror as mirrors
from lcnb.runbooks.records import uploading
from lcnb.runbooks.records.history import list_runs
from lcnb.runbooks.records.index import verify_runs
from lcnb.runbooks.records.run_record import list_run_folders
from lcnb.runbooks.records.store_copy import copied_runs
from lcnb.runbooks.run import run_runbook

RUNS, PROCESSES, MACHINES = 200, 8, 3
KILLED_SHARE = 0.25
#: A run is killed at most so many seconds after its process was started.
MAX_KILL_DELAY_S = 8.0
#: The share of the runs after which the store goes away, and for how long.
AWAY_AFTER_SHARE, AWAY_S = 0.4, 12.0
#: The limits of lcnb, made small: a request that the front answers late has been given up.
BEAT_S, ABANDONED_AFTER_S = 0.5, 6.0
LIMITS = StoreLimits(connect_s=2.0, read_s=3.0, request_s=3.0, total_s=40.0)
SOURCE = """
import lcnb, time
run = lcnb.run()
run.file("table.csv").write_text("n\\n" + "\\n".join(map(str, range(500))) + "\\n")
run.log("written")
time.sleep(0.3)
"""


@dataclass
class StoreTally:
    """What happened."""

    runs: int = 0
    killed: int = 0
    #: Runs whose end was only on their machine at first, and runs that were closed by another process than their own.
    left_pending: int = 0
    settled: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    #: What must not happen: runs that a machine does not find, runs without an end, and problems that `verify` finds.
    lost: int = 0
    open: int = 0
    torn: int = 0
    #: Runs that ended by themselves and are not recorded as done.
    wrong: int = 0
    seconds: float = 0.0

    @property
    def harm(self) -> int:
        """How often something went wrong."""
        return self.lost + self.open + self.torn + self.wrong


@dataclass
class Scene:
    """The folder of the simulation, with a state folder for each machine, and the store behind its front."""

    folder: Path
    server: S3Server
    front: FrontProcess

    @property
    def url(self) -> str:
        return f"s3://{BUCKET}/team"

    def enter(self, machine: int) -> None:
        """Make this process one of a machine."""
        os.environ |= self.server.environment | {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.front.port}",
            "LCNB_RUNS_DIR": self.url,
            "LCNB_STATE_DIR": str(self.folder / f"machine-{machine}"),
            "LCNB_CONFIG_DIR": str(self.folder / "config"),
        }
        uploading.BEAT_S = BEAT_S
        uploading.BEAT_LIMITS = LIMITS
        mirrors.READ_LIMITS = mirrors.PUSH_LIMITS = LIMITS
        mirrors.ABANDONED_AFTER_S = ABANDONED_AFTER_S

    def run_in_fork(self, machine: int, work: Callable[[], Any], output: Path | None = None) -> int:
        """Fork a process of a machine that does the work and writes its result as JSON; return its id.

        Each process has a store client of its own: that of a process does not work in its forks.
        """
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.setsid()
                self.enter(machine)
                result = work()
                if output:
                    output.write_text(json.dumps(result))
                code = 0
            except BaseException as error:
                print(f"machine {machine}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            finally:
                os._exit(code)
        return pid

    def result_of(self, machine: int, work: Callable[[], Any]) -> Any:
        """Do the work in a process of a machine, and return its result."""
        output = self.folder / "result.json"
        _, status = os.waitpid(self.run_in_fork(machine, work, output), 0)
        if status:
            raise RuntimeError(f"machine {machine} failed")
        return json.loads(output.read_text())

    def run_folders(self) -> list[Path]:
        """The folders of all runs that have begun, on the machines where they work."""
        return [path for place in self.folder.glob("machine-*/stores/*") for path in list_run_folders(place)]


def simulate(runs: int, seed: int = 1) -> StoreTally:
    """Run the simulation and return what happened. The process must not have used a store before."""
    assert papermill_engine
    assert report
    tally, started = StoreTally(), time.perf_counter()
    folder = Path(tempfile.mkdtemp(prefix="lcnb-"))
    try:
        notebook = folder / "work.ipynb"
        cells = [nbformat.v4.new_code_cell(SOURCE)]  # type: ignore[no-untyped-call]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), notebook)  # type: ignore[no-untyped-call]
        with s3_server() as server, faulty_front(server.port, seed) as front:
            scene = Scene(folder, server, front)
            killed = _run_all(scene, notebook, runs, random.Random(seed))
            _compare(scene, killed, tally)
            front.stop()
            tally.faults = dict(front.tally)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    tally.seconds = round(time.perf_counter() - started, 1)
    return tally


def _run_all(scene: Scene, notebook: Path, runs: int, chance: random.Random) -> set[int]:
    """Start processes until so many runs have begun; return the ids of the processes that were killed."""
    killed: set[int] = set()
    outage = Outage(scene.front)
    while missing := runs - len(scene.run_folders()):  # some were killed before their run began
        waiting, going = missing, dict[int, float]()  # process → when it is killed
        while waiting or going:
            while waiting and len(going) < PROCESSES:
                waiting -= 1
                pid = scene.run_in_fork(
                    waiting % MACHINES + 1, lambda: run_runbook(str(notebook), lock_wait=None).status
                )
                dies = chance.random() < KILLED_SHARE
                going[pid] = time.monotonic() + chance.uniform(0, MAX_KILL_DELAY_S) if dies else float("inf")
            outage.follow(1 - (waiting + len(going)) / runs)
            _end_processes(going, killed)
            time.sleep(0.05)
    outage.end()
    return killed


def _end_processes(going: dict[int, float], killed: set[int]) -> None:
    """Kill the processes whose time has come, and forget those that have ended."""
    for pid, at in list(going.items()):
        if time.monotonic() > at:
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
            going[pid] = float("inf")
        if os.waitpid(pid, os.WNOHANG)[0]:
            del going[pid]


class Outage:
    """The time in which the store is away: once, in the middle of the simulation."""

    def __init__(self, front: FrontProcess) -> None:
        self._front = front
        self._until: float | None = None
        self._is_over = False

    def follow(self, share: float) -> None:
        """Take the store away when this share of the runs has ended, and bring it back in time."""
        if self._until is None and share >= AWAY_AFTER_SHARE:
            self._until = time.monotonic() + AWAY_S
            self._front.set_away(True)
        elif self._until is not None and not self._is_over and time.monotonic() > self._until:
            self.end()

    def end(self) -> None:
        """Bring the store back."""
        self._is_over = True
        self._front.set_away(False)


def _compare(scene: Scene, killed: set[int], tally: StoreTally) -> None:
    """Let the machines look at the bucket one after the other, and compare what they see with what has happened."""
    begun = {path.name: json.loads((path / "run.json").read_bytes())["pid"] for path in scene.run_folders()}
    dead = {run for run, pid in begun.items() if pid in killed}
    tally.runs, tally.killed = len(begun), len(dead)
    time.sleep(ABANDONED_AFTER_S + 2)
    seen = scene.result_of(1, lambda: {run.id: run.facts.get("settled") for run in list_runs()})
    tally.settled = sum(bool(settled) for settled in seen.values())
    for machine in range(1, MACHINES + 1):
        tally.left_pending += scene.result_of(machine, _push)
    for machine in range(1, MACHINES + 1):
        found = scene.result_of(machine, lambda: {run.id: [run.status, run.is_closed] for run in list_runs()})
        tally.lost += len(begun.keys() - found.keys())
        tally.open += sum(not closed for _, closed in found.values())
        tally.wrong += sum(run not in dead and found[run][0] != "done" for run in begun if run in found)
        problems = scene.result_of(machine, _verify)
        tally.torn += len(problems)
        for each in problems:
            print(f"machine {machine}: {each}", file=sys.stderr)
        tally.statuses = dict(Counter(status for status, _ in found.values()))


def _store() -> mirrors.Mirror:
    from lcnb.folders import runs_dir

    mirror = mirrors.mirror_of(runs_dir(), LIMITS)
    assert mirror is not None
    return mirror


def _push() -> int:
    """Upload what is only here, as `lcnb runs push` does; return how many runs that were."""
    list_runs()
    mirror = _store()
    pending = mirror.pending_runs()
    for run in pending:
        mirror.push_run(run)
    return len(pending)


def _verify() -> list[str]:
    with copied_runs(_store()) as folder:
        return [f"{each.run} {each.file}: {each.problem}" for each in verify_runs(folder).problems]


def run(runs: int = RUNS, seed: int = 1) -> Iterator[Ratio]:
    """Yield the number of lost, torn or wrong runs per run. Nothing when the S3 server is not installed."""
    if not PYTHON.exists():
        print("store: moto's server is not installed: make system", file=sys.stderr)
        return
    tally = simulate(runs, seed)
    print(json.dumps(asdict(tally)), flush=True)
    name = (
        f"{runs} runs of {MACHINES} machines in one bucket behind a failing network: lost, torn or wrong runs"
    )
    yield Ratio(name, tally.harm, runs, "0", tally.harm == 0)


if __name__ == "__main__":
    for ratio in run(*map(int, sys.argv[1:3])):
        print(f"{ratio.name}: {ratio.ratio:.3f} ({'holds' if ratio.holds else 'does not hold'})")
