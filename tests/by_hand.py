"""A shipped runbook cell by cell, without a kernel, against a sandbox in this process whose clock is advanced.

Run as a program it is a provider and a runner in one: each line of stdin is a job, done by a fork that kills itself
right before its n-th effect. The provider's state is written to a file at that moment, since it would survive.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import lcnb
from benchmarks.virtual import VirtualWire, client
from lcnb.api.flows import LocalWork
from lcnb.config import Settings, load_settings
from lcnb.runbooks.outcomes import open_changesets
from lcnb.runbooks.toolkit import waiting
from lcnb.sandbox import Clock, Sandbox, World

NOTEBOOKS = Path(__file__).parent.parent / "notebooks" / "runbooks"
TOKEN = "$2Y$10$CANARY7F3E9A1C5BK4Q8W2Z6M0X3V7T1R5P9N4L8J2H6G0D"


@contextmanager
def connected(lc: lcnb.LetsCloud, folder: Path, resumes: list[str], confirmed: str) -> Iterator[None]:
    """`lcnb.connect()` gives this client, `lcnb.run()` this run; waiting advances the clock."""
    names = {
        "LCNB_RUN_DIR": str(folder),
        "LCNB_RUN_RESUMES": ",".join(resumes),
        "LCNB_RUN_CONFIRM": confirmed,
    }
    before = {name: os.environ.get(name) for name in names}
    connect, sleep = lcnb.connect, waiting.sleep
    os.environ.update(names)
    lcnb.connect = lambda account=None: lc  # type: ignore[assignment]
    waiting.sleep = lc._wire._turn  # type: ignore[attr-defined, assignment]
    try:
        yield
    finally:
        lcnb.connect, waiting.sleep = connect, sleep
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def run_cells(
    name: str | Path,
    lc: lcnb.LetsCloud,
    folder: Path,
    parameters: dict[str, Any],
    *,
    resumes: list[str] = [],  # noqa: B006 - never changed
    confirmed: str = "yes",
) -> dict[str, Any]:
    """Run the code cells of a shipped runbook or of a notebook file, and return the names that they define.

    The parameters are set after the cell that declares them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    notebook = json.loads(
        (name if isinstance(name, Path) else NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8")
    )
    names: dict[str, Any] = {}
    with connected(lc, folder, resumes, confirmed):
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                code = compile("".join(cell["source"]), f"{name}.{cell.get('id')}", "exec", dont_inherit=True)
                exec(code, names)
                if "parameters" in cell["metadata"].get("tags", []):
                    names.update(parameters)
    return names


def resume(
    name: str, lc: lcnb.LetsCloud, folder: Path, parameters: dict[str, Any], broken: list[str]
) -> dict[str, Any]:
    """What `lcnb resume RUN` does: settle what is open, then go on."""
    for run in broken:
        for changeset in open_changesets(run, lc.settings):
            lc.resume(changeset, confirm=True, wait=True)
    return run_cells(name, lc, folder, parameters, resumes=broken)


def world(saved: Any = None, fleet: int = 14) -> Sandbox:
    made = World(Clock(0), fleet=fleet, saved=saved)
    made.profile["balance"] = 1e6
    return Sandbox(made, TOKEN)


# --- the program ----------------------------------------------------------------------------------------


class Mortal(VirtualWire):
    """Ends this process before its n-th effect; the provider's state outlives it."""

    count = 0
    die_before = 0
    keep: Callable[[], None]

    def perform(self, effect: Any, turns: Any) -> Any:
        if not (isinstance(effect, LocalWork) and effect.what in ("permit", "budget")):
            self.count += 1
            if self.count == self.die_before:
                self.keep()
                os.kill(os.getpid(), signal.SIGKILL)
        return super().perform(effect, turns)


def work(job: dict[str, Any]) -> None:
    place = Path(job["place"])
    state = place / "world.json"
    box = world(json.loads(state.read_text()) if state.exists() else None, job["fleet"])
    settings: Settings = replace(
        load_settings(token=TOKEN, base_url="https://api.example.com/api"), state_dir=place / "state"
    )
    lc = client(box, settings)
    wire = Mortal(settings, box)
    wire.die_before, lc._wire = job["die_before"], wire
    wire.keep = lambda: void(state.write_text(json.dumps(box.world.save())))
    folder = place / "runs" / job["run"]
    if job["broken"]:
        resume(job["name"], lc, folder, job["parameters"], job["broken"])
    else:
        run_cells(job["name"], lc, folder, job["parameters"])
    wire.keep()
    (place / "count").write_text(str(wire.count))


def rehearse(job: dict[str, Any]) -> None:
    """Run a job dry in this process, which imports what the forks of it would import."""
    with tempfile.TemporaryDirectory() as place:
        settings = replace(
            load_settings(token=TOKEN, base_url="https://api.example.com/api"), state_dir=Path(place)
        )
        given = {**job["parameters"], "dry_run": True}
        run_cells(
            job["name"], client(world(None, job["fleet"]), settings), Path(place, "run"), given, confirmed=""
        )
    assert len(threading.enumerate()) == 1
    gc.freeze()


def void(value: object) -> None:
    return None


def main() -> None:
    """Import what a job needs before the first fork, then do the jobs of stdin."""
    for module in ("current", "effects", "toolkit.credentials", "toolkit.provisioning", "toolkit.resizing"):
        import_module(f"lcnb.runbooks.{module}")
    for module in (
        "lcnb.display.charts",
        "lcnb.display.terminal",
        "pyarrow.parquet",
        "filelock",
        "rich.table",
        "rich.live",
        "rich.progress",
    ):
        import_module(module)
    results, sys.stdout = sys.stdout, Path(os.devnull).open("w")  # noqa: SIM115 - as long as this process lives
    gc.freeze()  # what has been imported is not looked through, and so not copied, in each fork
    rehearsed = False
    for line in sys.stdin:
        if not rehearsed:
            rehearse(json.loads(line))
            rehearsed = True
        pid = os.fork()
        if pid == 0:
            code = 0
            try:
                work(json.loads(line))
            except BaseException as error:
                print(repr(error), file=sys.stderr, flush=True)
                code = 1
            os._exit(code)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), file=results, flush=True)


if __name__ == "__main__":
    main()
