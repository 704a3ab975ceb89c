"""The ways in which a run can end, by `lcnb run` and by plain `papermill`: what exit code, record and notebook say.

`python -m benchmarks.ends` prints the table. A run is reported truthfully when the exit code is 0 only if
it did all its work, and the saved notebook calls no cell `completed` that did not run to its end.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from lcnb.sandbox import start

#: Seconds after which what is waited for is taken to hang; no way to end needs them.
HANGS_S = 600
BEGUN = "import pathlib\npathlib.Path(flag).touch()\n"
SLEEP = BEGUN + "import time\ntime.sleep(3600)"
LCNB = [sys.executable, "-c", "import signal; signal.signal(2, signal.default_int_handler); "
        "import resource, os; n = int(os.environ.get('FILE_LIMIT', '0')); "
        "n and resource.setrlimit(resource.RLIMIT_FSIZE, (n, n)); from lcnb.__main__ import main; main()"]  # fmt: skip
PAPERMILL = [sys.executable, "-c", LCNB[2].replace("lcnb.__main__ import main; main()", "papermill.__main__ import "
             "papermill; papermill()")]  # fmt: skip


@dataclass(frozen=True)
class Way:
    """A notebook of three cells (parameters, `cell`, one more), its options, and the end that lcnb must report."""

    cell: str
    status: str | None
    code: int
    lcnb: Sequence[str] = ()
    papermill: Sequence[str] = ()
    signal: int | None = None
    kernel: str = "python3"
    env: Mapping[str, str] | None = None
    twice: bool = False
    #: All its cells do run: what fails comes after them.
    ran: bool = False


WAYS: dict[str, Way] = {
    "a cell raises": Way("1/0", "failed", 3),
    "sys.exit(0)": Way("import sys; sys.exit(0)", "done", 0),
    "sys.exit(3)": Way("import sys; sys.exit(3)", "failed", 3),
    "kernel killed": Way("import os; os.kill(os.getpid(), 9)", "died", 5),
    "cell time-out": Way(SLEEP, "timeout", 4, ["--cell-timeout", "2"], ["--execution-timeout", "2"]),
    "run deadline": Way(SLEEP, "timeout", 4, ["--timeout", "5"], ["--execution-timeout", "5"]),
    "Ctrl-C": Way(SLEEP, "interrupted", 130, signal=signal.SIGINT),
    "SIGTERM": Way(SLEEP, "interrupted", 143, signal=signal.SIGTERM),
    "runner killed": Way(SLEEP, "abandoned", -9, signal=signal.SIGKILL),
    "disk full": Way("print('x' * 60_000)", "failed", 1, env={"FILE_LIMIT": "30000"}, ran=True),
    "misspelt parameter": Way("1", None, 2, ["-p", "dryrun=true"], ["-p", "dryrun", "true"]),
    "no such kernel": Way("1", None, 2, kernel="no-such-kernel"),
    "lock held": Way(SLEEP, None, 75, twice=True),
    "not confirmed": Way("1", None, 6, ["-p", "dry_run=false"], ["-p", "dry_run", "false"]),
    "token refused (401)": Way("import lcnb\nlcnb.connect().instances()", "failed", 1),
}


def write(folder: Path, way: Way, flag: Path) -> Path:
    """The notebook of a way."""
    new: Any = nbformat.v4
    cells = [new.new_code_cell("dry_run: bool = True", metadata={"tags": ["parameters"]})]
    cells += [new.new_code_cell(f"flag = {str(flag)!r}\n{way.cell}"), new.new_code_cell("print('the end')")]
    spec = {"display_name": way.kernel, "language": "python", "name": way.kernel}
    info = {"name": "python"}
    notebook = new.new_notebook(cells=cells, metadata={"kernelspec": spec, "language_info": info})
    path = folder / "night.ipynb"
    path.write_text(nbformat.writes(notebook), encoding="utf-8")  # type: ignore[no-untyped-call]
    return path


def run(
    command: Sequence[str],
    way: Way,
    flag: Path,
    env: Mapping[str, str],
    runner: Callable[[], int] | None = None,
) -> int:
    """Run a command to its end, with what is done to it on the way; its exit code. `runner` is who is killed."""
    env = {**env, **(way.env or {})}
    first = _quiet(command, env) if way.twice else None
    if first:
        _wait_for(flag.exists)
        flag.unlink()
    process = _quiet(command, env)
    if way.signal:
        _wait_for(flag.exists)
        os.kill(runner() if runner and way.signal == signal.SIGKILL else process.pid, way.signal)
    try:
        if first:
            _wait_for(lambda: process.poll() is not None or flag.exists())
            return process.poll() or 0  # it was refused, or runs while the other one does
        return process.wait(HANGS_S)
    finally:
        for each in (process, first):
            if each and each.poll() is None:
                each.terminate()
                each.wait(HANGS_S)


def _quiet(command: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + HANGS_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"what was waited for did not come in {HANGS_S} s")
        time.sleep(0.05)


def by_lcnb(way: Way, folder: Path, env: Mapping[str, str]) -> dict[str, Any]:
    """What `lcnb run` leaves: exit code, status in the record, status in the notebook, cells; what ran them."""
    path, runs = write(folder, way, folder / "flag"), folder / "runs"
    before = {"LCNB_RUNS_DIR": str(runs), "LCNB_STATE_DIR": str(folder / "state")} | dict(env)

    def runner() -> int:
        (record,) = runs.glob("*/run.json")
        return int(json.loads(record.read_text(encoding="utf-8"))["pid"])

    code = run([*LCNB, "run", str(path), *way.lcnb], way, folder / "flag", {**env, **before}, runner)
    if code == 128 + 9:  # the command of a warm run reports a killed runner as a shell does
        code = -9
    if way.signal == signal.SIGKILL:  # the next command settles the record
        subprocess.run([*LCNB, "runs"], env={**env, **before}, stdout=subprocess.DEVNULL, check=False)
    folders = [] if way.twice else [path.parent for path in sorted(runs.glob("*/run.json"))]
    if not folders:
        return {"code": code, "record": None, "notebook": None, "cells": [], "engine": None}
    facts = json.loads((folders[0] / "run.json").read_text(encoding="utf-8"))
    notebook = json.loads((folders[0] / "night.ipynb").read_text(encoding="utf-8"))
    return {
        "code": code,
        "record": facts["status"],
        "notebook": notebook["metadata"]["lcnb"]["status"],
        "cells": _cells(notebook),
        "engine": facts["engine"],
    }


def by_papermill(way: Way, folder: Path, env: Mapping[str, str]) -> dict[str, Any]:
    """What the `papermill` command leaves: exit code, and the cells of the saved notebook."""
    path, out = write(folder, way, folder / "flag"), folder / "out.ipynb"
    code = run([*PAPERMILL, str(path), str(out), *way.papermill], way, folder / "flag", env)
    try:
        notebook = json.loads(out.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return {"code": code, "notebook": type(error).__name__, "cells": []}
    failed = notebook["metadata"].get("papermill", {}).get("exception")
    return {"code": code, "notebook": "exception" if failed else str(failed), "cells": _cells(notebook)}


def _cells(notebook: Mapping[str, Any]) -> list[str]:
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [str(cell["metadata"].get("papermill", {}).get("status")) for cell in cells][-2:]


def true(way: Way, found: Mapping[str, Any]) -> bool:
    """Return whether exit code and cells say how the run ended."""
    ended_well = way.status == "done"
    claimed = found["cells"][-1:] == ["completed"] and not way.ran
    return (found["code"] == 0) == ended_well and not claimed and "running" not in found["cells"]


def environment(base_url: str) -> dict[str, str]:
    """This process's environment with a token that the sandbox refuses."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LCNB_")}
    return {**kept, "LETSCLOUD_API_KEY": "a-wrong-token-00000000", "LCNB_BASE_URL": base_url}


def main() -> None:
    """Print the table."""
    with start(fleet=3) as server, tempfile.TemporaryDirectory() as place:
        env = environment(server.base_url)
        right = [0, 0]
        print(
            f"{'way to end':<22}{'lcnb: exit, record, notebook, last two cells':<62}papermill: exit, exception, cells"
        )
        for number, (name, way) in enumerate(WAYS.items()):
            found = []
            for side, tool in enumerate((by_lcnb, by_papermill)):
                folder = Path(place, f"{number}-{side}")
                folder.mkdir()
                found.append(tool(way, folder, env))
                right[side] += true(way, found[side])
            reports = [
                ", ".join(
                    [
                        *(str(value) for key, value in each.items() if key not in ("cells", "engine")),
                        "/".join(each["cells"]) or "-",
                    ]
                )
                for each in found
            ]
            print(f"{name:<22}{reports[0]:<62}{reports[1]}", flush=True)
        print(f"reported truthfully: lcnb {right[0]} of {len(WAYS)}, papermill {right[1]} of {len(WAYS)}")


if __name__ == "__main__":
    main()
