"""Warm runs against `papermill` commands: many runs, one run, ten alive at once, and a soak.

The notebook imports pandas, httpx and matplotlib and shows a DataFrame. The time that papermill would take for 20 and
100 runs is computed from its runs that were made in between. `python -m benchmarks.warm soak 5000` makes that many runs
with one server and prints what grew.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import psutil

from benchmarks.measure import Ratio, medians

BIN = Path(sys.executable).parent
LCNB, PAPERMILL = str(BIN / "lcnb"), str(BIN / "papermill")
HEAVY = "import pandas as pd\nimport httpx\nimport matplotlib.pyplot as plt\npd.DataFrame({'n': range(9)})"
#: A cell that reports its start by a file, and waits until it may end.
HOLD = (
    "import os, pathlib, time\npathlib.Path(flag, str(os.getpid())).touch()\n"
    "while not pathlib.Path(flag, 'go').exists(): time.sleep(0.05)"
)


def write(path: Path, *sources: str) -> Path:
    """A notebook with a parameter `n` and these cells."""
    new: Any = nbformat.v4
    cells = [new.new_code_cell("n: int = 0\nflag: str = ''", metadata={"tags": ["parameters"]})]
    cells += [new.new_code_cell(source) for source in sources]
    spec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = new.new_notebook(cells=cells, metadata={"kernelspec": spec})
    path.write_text(nbformat.writes(notebook), encoding="utf-8")  # type: ignore[no-untyped-call]
    return path


@contextmanager
def own_folder() -> Iterator[tuple[Path, dict[str, str]]]:
    """Yield a temporary folder and an environment whose state, runs and settings are in it."""
    with tempfile.TemporaryDirectory(prefix="lcnb-bench-") as name:
        place = Path(name)
        env = {**os.environ, "LCNB_STATE_DIR": str(place / "state"), "LCNB_RUNS_DIR": str(place / "runs")}
        env |= {
            "LCNB_CONFIG_DIR": name,
            "LETSCLOUD_API_KEY": "no-token-that-is-used",
            "TMPDIR": str(place / "tmp"),
        }
        env.pop("PYTHONDONTWRITEBYTECODE", None)  # lcnb too is compiled, as what pip installs is
        (place / "tmp").mkdir()
        yield place, env


def _command(arguments: Sequence[str], env: dict[str, str]) -> None:
    subprocess.run(arguments, env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _papermill(book: Path, place: Path, env: dict[str, str], together: int) -> None:
    """`together` commands at a time, once."""
    commands = [
        subprocess.Popen(
            [PAPERMILL, str(book), str(place / f"out{number}.ipynb"), "-p", "n", str(number)],
            env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        for number in range(together)
    ]  # fmt: skip
    if any(each.wait() for each in commands):
        raise RuntimeError("papermill failed")


def _batch(rows: int, book: Path, place: Path, env: dict[str, str]) -> None:
    over = place / "rows.csv"
    over.write_text("n\n" + "".join(f"{number}\n" for number in range(rows)))
    _command([LCNB, "batch", str(book), "--over", str(over), "--workers", "2"], env)


def _many(rows: int, together: int, claim: float) -> Ratio:
    """A batch against papermill commands, by turns: papermill's part is scaled to as many runs."""
    with own_folder() as (place, env):
        book = write(place / "heavy.ipynb", HEAVY)
        ours, theirs = [], []
        for _ in range(2):
            theirs.append(_seconds(lambda: _papermill(book, place, env, together)))
            ours.append(_seconds(lambda: _batch(rows, book, place, env)))
            theirs.append(_seconds(lambda: _papermill(book, place, env, together)))
    them = statistics.median(theirs) / together * rows
    us = statistics.median(ours)
    how = "one after another" if together == 1 else f"{together} at a time"
    return Ratio(
        f"batch of {rows} runs / papermill, {how}", us, them, f"at most 1/{claim:g}", us <= them / claim
    )


def _one() -> Ratio:
    with own_folder() as (place, env):
        book = write(place / "heavy.ipynb", HEAVY)
        with warm(env):
            us, them = medians(
                lambda: _command([LCNB, "run", str(book)], env), lambda: _papermill(book, place, env, 1), 5
            )
    return Ratio("one warm run / papermill", us, them, "at most 1/45", us <= them / 45)


@contextmanager
def warm(env: dict[str, str]) -> Iterator[psutil.Process]:
    """`lcnb warm`, ready."""
    process = subprocess.Popen([LCNB, "warm"], env=env, stdout=subprocess.PIPE)
    with process:
        try:
            if process.stdout is None or not process.stdout.readline():
                raise RuntimeError("lcnb warm did not start")
            yield psutil.Process(process.pid)
        finally:
            process.terminate()  # whatever happened: it is waited for, and does not end by itself


def _pss(roots: Sequence[psutil.Process]) -> int:
    """Bytes that these processes and all below them have, shared ones divided among those that share them."""
    family = {each.pid: each for root in roots for each in (root, *root.children(recursive=True))}
    total = 0
    for each in family.values():
        try:
            total += int(each.memory_full_info().pss)
        except psutil.Error:
            pass  # it has ended meanwhile
    return total


def _alive(number: int = 10) -> Ratio:
    found = []
    for side in ("lcnb", "papermill"):
        with own_folder() as (place, env):
            book = write(place / "hold.ipynb", HEAVY, HOLD)
            flag = place / "flag"
            flag.mkdir()
            if side == "lcnb":
                over = place / "rows.csv"
                over.write_text("n,flag\n" + "".join(f"{each},{flag}\n" for each in range(number)))
                commands = [[LCNB, "batch", str(book), "--over", str(over), "--workers", str(number)]]
            else:
                commands = [
                    [PAPERMILL, str(book), str(place / f"{each}.ipynb"), "-p", "flag", str(flag)]
                    for each in range(number)
                ]
            quiet = subprocess.DEVNULL
            processes = [subprocess.Popen(each, env=env, stdout=quiet, stderr=quiet) for each in commands]
            while len(list(flag.iterdir())) < number:
                time.sleep(0.1)
            found.append(_pss([psutil.Process(each.pid) for each in processes]))
            (flag / "go").touch()
            for each in processes:
                each.wait()
    us, them = found
    return Ratio(
        f"memory of {number} runs alive / papermill (MB)", us / 1e6, them / 1e6, "at most 1/4", us <= them / 4
    )


def run() -> Iterator[Ratio]:
    """Yield the ratios of warm runs: batches, one run, and the memory of ten runs."""
    yield _many(20, 1, 30)
    yield _many(100, 2, 32)
    yield _one()
    yield _alive()


# --- soak -----------------------------------------------------------------------------------------------


def _held(server: psutil.Process, place: Path) -> dict[str, int]:
    return {
        "server MB (PSS)": int(server.memory_full_info().pss / 1e6),
        "its handles": server.num_fds(),
        "its processes": len(server.children(recursive=True)),
        "its threads": server.num_threads(),
        "temporary files": sum(1 for _ in (place / "tmp").rglob("*")),
        "all processes": len(psutil.pids()),
    }


def soak(runs: int, at_once: int = 2) -> None:
    """Make many runs by one server; print what it holds on the way, and how the runs ended."""
    from concurrent.futures import ThreadPoolExecutor

    with own_folder() as (place, env), warm(env) as server, ThreadPoolExecutor(at_once) as pool:
        book = write(place / "heavy.ipynb", HEAVY)

        def one(number: int) -> int:
            folder = place / "some" / str(number % 100)
            command = [LCNB, "run", str(book), "-p", f"n={number}", "--runs-dir", str(folder), "--no-lock"]
            return subprocess.run(
                command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            ).returncode

        ended = 0
        began = time.monotonic()
        for start in range(0, runs, 250):
            ended += sum(not code for code in pool.map(one, range(start, min(runs, start + 250))))
            held = ", ".join(f"{name} {value}" for name, value in _held(server, place).items())
            print(
                f"{ended} of {min(runs, start + 250)} done after {time.monotonic() - began:.0f} s: {held}",
                flush=True,
            )
        engines = [json.loads(path.read_text())["engine"] for path in place.glob("some/*/*/run.json")]
        print(f"by the shell: {engines.count('shell')} of {len(engines)}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["soak"]:
        soak(int(sys.argv[2]))
    else:
        for ratio in run():
            print(ratio, f"{1 / ratio.ratio:.1f} times")
