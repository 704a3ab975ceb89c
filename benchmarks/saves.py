"""Reading what a run saves while it saves it: how many reads are torn, and how much is written for it.

`python -m benchmarks.saves` runs a notebook whose outputs grow to 9 MB by `lcnb` and by plain papermill, each in a
process of its own, while two processes read every file that they save. A read is torn when a notebook or a record is
no JSON, or a report does not end. A content that was parsed before, byte by byte the same, is not parsed again.
"""

from __future__ import annotations

import json
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measure import Ratio

READS = 50_000
READERS = 2
#: How often a file that is there is read at once; then all files are looked up again.
READS_AT_ONCE = 20
CELLS, CELL_BYTES = 24, 390_000
#: At most this many runs are made for the reads.
ROUNDS = 12
CELL = """\
import random, time
for _ in range(30):
    print("".join(random.choices("abcdefgh ", k={size} // 30)))
    time.sleep(0.02)"""


@dataclass
class Saved:
    """What was found: reads and torn ones, bytes that the runner wrote, bytes of its last notebook and of all files."""

    reads: int = 0
    torn: int = 0
    contents: int = 0
    written: int = 0
    notebook: int = 0
    files: int = 0
    runs: int = 0
    kinds: Counter[str] = field(default_factory=Counter)


def measure(tool: str, reads: int, rounds: int = ROUNDS, cells: int = CELLS, size: int = CELL_BYTES) -> Saved:
    """Runs by `lcnb` or `papermill`, and reads of what they save, until there are that many reads (or runs)."""
    found = Saved()
    with tempfile.TemporaryDirectory() as name:
        source = write(Path(name), cells, size)
        while found.runs < rounds and found.reads < reads:
            folder = Path(name, f"{tool}-{found.runs}")
            folder.mkdir()
            one(tool, source, folder, found)
    return found


def one(tool: str, source: Path, folder: Path, found: Saved) -> None:
    """One run with its readers; what they found is added up."""
    context = multiprocessing.get_context("spawn")
    over, results = context.Event(), context.Queue()
    readers = [context.Process(target=read, args=(str(folder), over, results)) for _ in range(READERS)]
    for reader in readers:
        reader.start()
    try:
        command = [sys.executable, "-m", "benchmarks.saves", tool, str(source), str(folder)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
    finally:
        over.set()
        findings = [results.get(timeout=60) for _ in readers]
        for reader in readers:
            reader.join()
    facts = json.loads(done.stdout.splitlines()[-1])
    found.runs += 1
    found.written, found.notebook, found.files = facts["written"], facts["notebook"], facts["files"]
    for kinds, torn, contents in findings:
        found.kinds += kinds
        found.reads += kinds.total()
        found.torn += torn
        found.contents += contents


def write(folder: Path, cells: int, size: int) -> Path:
    """The notebook, whose outputs will have about `cells * size` bytes."""
    # Here, because readers need none of it, and each is a new Python: to import it takes longer than a run.
    import nbformat

    new: Any = nbformat.v4
    spec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = new.new_notebook(metadata={"kernelspec": spec})
    notebook.cells = [new.new_code_cell(CELL.format(size=size)) for _ in range(cells)]
    path = folder / "nine.ipynb"
    path.write_text(nbformat.writes(notebook), encoding="utf-8")  # type: ignore[no-untyped-call]
    return path


def read(folder: str, over: Any, results: Any) -> None:
    """Read every notebook, record and report below the folder repeatedly, until `over` is set."""
    kinds: Counter[str] = Counter()
    whole: dict[Path, bytes] = {}
    torn = contents = 0
    last = False
    while not last:
        last = over.is_set()  # once more after the end: record and report are complete then
        paths = [path for path in Path(folder).rglob("*") if path.suffix in (".ipynb", ".json", ".html")]
        for path in [path for path in paths for _ in range(READS_AT_ONCE)]:
            try:
                content = path.read_bytes()
            except FileNotFoundError:
                break
            if path.name.startswith("."):
                break  # a temporary file, which no reader opens
            kinds[path.suffix] += 1
            if content != whole.get(path):
                contents += 1
                if is_whole(path, content):
                    whole[path] = content
                else:
                    torn += 1
    results.put((kinds, torn, contents))


def is_whole(path: Path, content: bytes) -> bool:
    """Whether a file can be used as it was read."""
    if path.suffix == ".html":
        return content.rstrip().endswith(b"</html>")
    try:
        json.loads(content)
    except ValueError:
        return False
    return True


# --- in the process of a run ----------------------------------------------------------------------------


def run_one(tool: str, source: Path, folder: Path) -> None:
    """Run the notebook in this process and print how many bytes the process has written."""
    before = written()
    if tool == "lcnb":
        from lcnb.runbooks.run import run_runbook

        run_runbook(str(source), folder=folder, lock_wait=None).check()
    else:
        from papermill import execute_notebook

        execute_notebook(str(source), str(folder / "out.ipynb"), progress_bar=False)
    bytes_written = written() - before
    sizes = {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    notebook = sum(size for path, size in sizes.items() if path.suffix == ".ipynb")
    print(json.dumps({"written": bytes_written, "notebook": notebook, "files": sum(sizes.values())}))


def spend(way: str, source: Path, folder: Path) -> None:
    """Run the notebook with our engine, save as `way` does, and print the seconds that saving took."""
    import nbformat

    from lcnb.runbooks.engine import papermill_engine as engine
    from lcnb.runbooks.run import run_runbook

    manager: Any = engine._ExecutionManager
    ours = manager.save
    took = 0.0

    def whole(self: Any, **kwargs: Any) -> None:
        """papermill's way: all of it each time, over what is there."""
        self.job.target.write_text(nbformat.writes(self.nb), encoding="utf-8")  # type: ignore[no-untyped-call]

    def save(self: Any, **kwargs: Any) -> None:
        nonlocal took
        began = time.perf_counter()
        (ours if way == "lcnb" else whole)(self, **kwargs)
        took += time.perf_counter() - began

    manager.save = save
    run_runbook(str(source), folder=folder, lock_wait=None).check()
    print(json.dumps({"seconds": took}))


def seconds_saving(way: str) -> float:
    """Of a run with 20 cells of 200 kB of output each, in a process of its own."""
    import nbformat

    new: Any = nbformat.v4
    spec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    cells = [new.new_code_cell("print('x' * 200_000)") for _ in range(20)]
    with tempfile.TemporaryDirectory() as name:
        source = Path(name, "twenty.ipynb")
        notebook = new.new_notebook(cells=cells, metadata={"kernelspec": spec})
        source.write_text(nbformat.writes(notebook), encoding="utf-8")  # type: ignore[no-untyped-call]
        command = [sys.executable, "-m", "benchmarks.saves", f"spend-{way}", str(source), name]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
    return float(json.loads(done.stdout.splitlines()[-1])["seconds"])


def written() -> int:
    """Bytes that this process has given to `write`, by Linux's own count; what goes by sockets is not in it."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return int(dict(line.split(": ") for line in lines)["wchar"])


def run() -> Iterator[Ratio]:
    """Yield the ratios of torn reads, written bytes, and seconds of saving."""
    ours, theirs = measure("lcnb", READS), measure("papermill", READS, rounds=1)
    for name, each in (("lcnb", ours), ("papermill", theirs)):
        print(
            f"{name}: {each.reads} reads {dict(each.kinds)} over {each.runs} runs, {each.contents} times new content, "
            f"{each.torn} torn; {each.written / 1e6:.1f} MB written for a notebook of {each.notebook / 1e6:.1f} MB "
            f"({each.files / 1e6:.1f} MB of files)",
            flush=True,
        )
    enough = ours.torn == 0 and ours.reads >= READS
    yield Ratio(f"torn reads of {ours.reads} while 9 MB are saved", ours.torn, ours.reads, "0", enough)
    factor = ours.written / ours.notebook
    yield Ratio(
        "bytes written / bytes of the notebook", ours.written, ours.notebook, "at most 5", factor <= 5
    )
    less = ours.written / theirs.written
    yield Ratio("bytes written / papermill's", ours.written, theirs.written, "at most 1/5", less <= 0.2)
    took: dict[str, list[float]] = {"lcnb": [], "papermill": []}
    for _ in range(3):
        for way, seconds in took.items():
            seconds.append(seconds_saving(way))
    us, them = (statistics.median(each) for each in took.values())
    yield Ratio(
        "seconds of saving 20 cells of 200 kB / papermill's way", us, them, "at most 1/3", us <= them / 3
    )


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1].startswith("spend-"):
        spend(sys.argv[1].removeprefix("spend-"), Path(sys.argv[2]), Path(sys.argv[3]))
    elif len(sys.argv) > 1:
        run_one(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        for found in run():
            print(
                f"{found.name}: {found.ratio:.3f}, {found.claim}: {'holds' if found.holds else 'does NOT hold'}"
            )
