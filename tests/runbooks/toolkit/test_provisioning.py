"""`provision` creates each machine once and stores its password, whatever fails and whenever it is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from benchmarks.virtual import client
from by_hand import run_cells
from changing_cases import (
    failing,
    parameters,
    passwords,
    prepared,
    write_files,
)
from conftest import ROOT
from lcnb.config import Settings
from lcnb.errors import WaitTimeout
from lcnb.sandbox.faults import Faults


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with the fleet files that CASES name."""
    return write_files(tmp_path)


def test_provision_in_part(place: Path, settings: Settings) -> None:
    """Of machines of which one cannot be made the others are made, and their passwords kept."""
    box = failing("^/instances$", times=1, nth=2)
    lc = client(box, settings)
    run_cells("provision", lc, place / "run", parameters("provision", place, dry_run=False))
    assert lc.journal().outcome.tolist() == ["done", "failed", "done"]
    assert set(passwords(settings.state_dir, "run")) == {"node-00", "node-02"}


def test_provision_never_ready(place: Path, settings: Settings) -> None:
    """Machines that are never ready end the run, after the passwords of the others were stored."""
    box = prepared()
    box.faults = Faults.read({"seed": 1, "rules": [{"kind": "stuck", "method": "POST", "path": "^/instances$", "nth": 1, "times": 1}]})  # fmt: skip
    given = {**parameters("provision", place, dry_run=False), "wait_minutes": 5}
    with pytest.raises(WaitTimeout, match=r"not ready within .*node-00: building"):
        run_cells("provision", client(box, settings), place / "run", given)
    assert {"node-01", "node-02"} <= set(passwords(settings.state_dir, "run"))


TWO = "label,location,plan,image\n" + "".join(
    f"node-{number:02d},MIA1,1vcpu-1gb-10ssd,debian-12-x86_64\n" for number in range(2)
)


class Runner:
    """The process that forks one for each job."""

    def __init__(self) -> None:
        root = ROOT / "tests"
        path = os.pathsep.join([str(root), str(root.parent), os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, str(root / "by_hand.py")]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )

    def __call__(self, **job: Any) -> int:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def close(self) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        self.process.wait(600)
        self.process.stdout.close()


@pytest.fixture
def runners() -> Iterator[list[Runner]]:
    two = [Runner(), Runner()]
    yield two
    for one in two:
        one.close()


@pytest.mark.timeout(900)  # hundreds of processes, on a machine that may be busy
def test_provision_killed_at_every_effect(runners: list[Runner], memory: Path) -> None:
    """`provision` of 2 machines, killed (SIGKILL) before any one of its effects and resumed: 2 machines, each once, and
    the password of each in the file."""
    (memory / "two.csv").write_text(TWO)
    job = {
        "name": "provision",
        "fleet": 0,
        "parameters": {"fleet": str(memory / "two.csv"), "dry_run": False},
    }

    def killed(runner: Runner, folder: Path, before: int) -> None:
        folder.mkdir()
        assert runner(**job, place=str(folder), run="first", broken=[], die_before=before) == -9
        assert runner(**job, place=str(folder), run="second", broken=["first"], die_before=0) == 0
        saved = json.loads((folder / "world.json").read_text())
        labels = sorted(machine["label"] for machine in saved["machines"])
        assert labels == [f"node-{number:02d}" for number in range(2)], before
        kept = passwords(folder / "state", "second", "first")
        assert kept == {machine["label"]: machine["password"] for machine in saved["machines"]}, before

    with ThreadPoolExecutor(2) as pool:
        whole = memory / "whole"
        whole.mkdir()
        assert runners[0](**job, place=str(whole), run="first", broken=[], die_before=0) == 0
        effects = int((whole / "count").read_text())
        assert effects >= 20

        def half(number: int) -> None:
            for before in range(1 + number, effects + 1, 2):
                killed(runners[number], memory / str(before), before)

        for done in [pool.submit(half, number) for number in (0, 1)]:
            done.result()
