"""The shipped notebooks: how their files look, and that they run, by every way and for every fleet."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import nbformat
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import lcnb
from conftest import LCNB, ROOT, TOKEN, record, warm_run, warm_server, without_account
from lcnb.frames.inventory import by_location
from lcnb.runbooks.notebook.find import find_runbook, shipped_names
from lcnb.runbooks.records import notes
from lcnb.runbooks.result import RunResult
from lcnb.runbooks.run import run_runbook
from lcnb.sandbox import start

pytestmark = pytest.mark.timeout(900)  # many whole runs in one fixture, on a machine that may be busy
BIN = Path(sys.executable).parent
NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.ipynb"))


def name(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


# --- the files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_file(path: Path) -> None:
    """A shipped notebook is valid, of format 4.5 for the kernel python3, has ids, and no trace of a run."""
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec == {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.metadata.language_info == {"name": "python"}
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    assert notebook.cells[0].source.startswith("# ")
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags"}
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)
            assert cell.source.strip()


@pytest.mark.parametrize("task", [["check"], ["format", "--check"]], ids=" ".join)
def test_style(task: list[str]) -> None:
    """The code of the notebooks is linted and formatted as the package's own."""
    command = [BIN / "ruff", *task, *NOTEBOOKS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


# --- the inventory runbook ------------------------------------------------------------------------------

# What a run is called → machines of its fleet, parameters.
RUNS: dict[str, tuple[int, dict[str, str]]] = {
    "fleet of 60": (60, {}),
    "fleet of 1": (1, {}),
    "fleet of 0": (0, {}),
    "location": (60, {"location": "sao1"}),
    "state": (60, {"state": "off", "output_format": "parquet"}),
    "currency": (60, {"currency": "BRL", "output_format": "csv"}),
    "nothing matches": (60, {"location": "MIA1", "currency": "BRL"}),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notebooks")


@pytest.fixture(scope="module")
def fleets() -> Iterator[dict[int, lcnb.sandbox.SandboxProcess]]:
    """A sandbox for each size of a fleet; their clocks stand still, so that all runs see the same."""
    with (
        start(fleet=0, speed=0, token=TOKEN) as none,
        start(fleet=1, speed=0, token=TOKEN) as one,
        start(fleet=60, speed=0, token=TOKEN) as many,
    ):
        yield {0: none, 1: one, 60: many}


@pytest.fixture(scope="module")
def env(place: Path) -> Iterator[dict[str, str]]:
    """An environment without an account, that has a server for warm runs."""
    env = without_account(place)
    with warm_server(env):
        yield env


@pytest.fixture(scope="module")
def runs(
    fleets: dict[int, lcnb.sandbox.SandboxProcess], place: Path, env: dict[str, str]
) -> dict[str, RunResult]:
    """The runs of RUNS, two at a time."""

    def one(name: str) -> RunResult:
        fleet, parameters = RUNS[name]
        return warm_run("inventory", parameters, env, place / f"inventory of {name}", fleets[fleet].base_url)

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(RUNS, pool.map(one, RUNS), strict=True))


def expected(server: lcnb.sandbox.SandboxProcess, parameters: dict[str, str]) -> pd.DataFrame:
    with lcnb.connect(token=server.token, base_url=server.base_url) as lc:
        fleet = lc.inventory()
    columns = {"location": "location", "state": "state", "currency": "currencycode"}
    for key, column in columns.items():
        if key in parameters:
            fleet = fleet[fleet[column].str.lower() == parameters[key].lower()]
    return fleet


def formats(parameters: dict[str, str]) -> list[str]:
    asked = parameters.get("output_format", "both")
    return ["csv", "parquet"] if asked == "both" else [asked]


def by_label(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sort_values("label", ignore_index=True)


@pytest.mark.parametrize("run", RUNS)
def test_inventory(
    run: str, runs: dict[str, RunResult], fleets: dict[int, lcnb.sandbox.SandboxProcess]
) -> None:
    """The runbook saves the machines that its parameters ask for, of an empty fleet too, as the API reports them."""
    fleet, parameters = RUNS[run]
    result = runs[run].check()
    wanted = expected(fleets[fleet], parameters)
    assert {path.name for path in result.files if path.suffix in (".csv", ".parquet")} == {
        f"{table}.{kind}" for table in ("inventory", "locations") for kind in formats(parameters)
    }
    if "parquet" in formats(parameters):
        got = pd.read_parquet(result.folder / "inventory.parquet")
        assert_frame_equal(by_label(got), by_label(wanted))
        assert_frame_equal(pd.read_parquet(result.folder / "locations.parquet"), by_location(wanted))
    if "csv" in formats(parameters):
        assert len(pd.read_csv(result.folder / "inventory.csv")) == len(wanted)


def test_report_of_nothing(runs: dict[str, RunResult]) -> None:
    """A report of no machines says so, and one of several currencies never adds them up."""
    for run in ("fleet of 0", "nothing matches"):
        assert "No machines match." in runs[run].report.read_text(encoding="utf-8")
    page = runs["fleet of 60"].report.read_text(encoding="utf-8")
    assert "BRL per month" in page
    assert "USD per month" in page


def streams(notebook: Any) -> list[str]:
    outputs = (output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs)
    return [output.text for output in outputs if output.output_type == "stream"]


@pytest.mark.parametrize("run", RUNS)
def test_no_noise(run: str, runs: dict[str, RunResult]) -> None:
    """No cell prints a warning, and no picture or table is left out."""
    notebook = nbformat.read(runs[run].folder / "inventory.ipynb", as_version=4)
    assert streams(notebook) == []
    shown = [
        cell
        for cell in notebook.cells
        if cell.cell_type == "code" and re.search(r"^(charts|tables|panels)\.|^cost_chart", cell.source, re.M)
    ]
    assert len(shown) >= 8
    assert all("text/html" in cell.outputs[-1].data for cell in shown)


# --- the other ways to run it ---------------------------------------------------------------------------

#: What each runbook is given: nothing that waits. A file named here is written next to the notebook.
GIVEN: dict[str, dict[str, Any]] = {
    "inventory": {"output_format": "parquet"},
    "health_watch": {"ports": [], "watch_s": 0.0},
    "price_compare": {"cpus": 4},
    "balance_runway": {"attention_days": 60},
    "key_audit": {"min_rsa_bits": 4096},
    "tag_audit": {"required_keys": ["project"], "allowed": {"env": ["prod"]}},
    "changes": {"attention": True},
    "schedule_watch": {"since": "7d"},
    "spend": {"since": "2026-01-01", "until": "2026-01-02", "by": "location"},
    "drift": {"fleet": "kept.csv"},
    "provision": {"fleet": "new.csv"},
    "decommission": {"labels": ["web-03"], "confirm_labels": ["web-03"], "snapshot": False},
    "expire": {"action": "delete", "warn_hours": 48.0},
    "power_schedule": {"selection": "label.str.startswith('web-')"},
    "snapshot_rotation": {"selection": "label.str.startswith('db-')", "keep": 2},
    "resize_advisor": {"selection": "location == 'MIA1'"},
    "password_rotation": {"selection": "label == 'web-01'"},
}
FILES = {
    "kept.csv": "label,location,plan,image\nnew-03,MIA1,2vcpu-4gb-30ssd,debian-12-x86_64\n",
    "new.csv": "label,location,plan,image\nnew-01,MIA1,1vcpu-1gb-10ssd,debian-12-x86_64\nnew-02,SAO1,1vcpu-1gb-10ssd,debian-12-x86_64\n",
}
#: What warm runs are compared with: papermill's command, which takes a kernel; for one, a kernel of lcnb's and one by hand.
EVERY = [*((book, "papermill") for book in shipped_names()), ("inventory", "lcnb"), ("inventory", "by hand")]
HAND = """
import json, sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
(at,) = [number for number, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", [])]
given = "\\n".join(f"{name} = {value!r}" for name, value in json.loads(sys.argv[2]).items())
notebook.cells.insert(at + 1, nbformat.v4.new_code_cell(given))
nbclient.NotebookClient(notebook).execute()
"""


#: papermill's command, once for each line of its stdin: what it imports takes longer than what it does.
PAPERMILL = """
import json, os, sys
from papermill.__main__ import papermill
for line in sys.stdin:
    folder, words = json.loads(line)
    os.chdir(folder)
    papermill(words, standalone_mode=False)
"""


def command(way: str, book: str, place: Path) -> list[str]:
    """How a runbook is run that way; for papermill, the words of its command."""
    path = str(find_runbook(book).path)
    given = {
        name: str(place / value) if str(value) in FILES else value for name, value in GIVEN[book].items()
    }  # fmt: skip
    if way == "by hand":
        return [sys.executable, "-c", HAND, path, json.dumps(given)]
    if way == "papermill":
        return [path, "out.ipynb", "-y", json.dumps(given), "--no-progress-bar"]
    pairs = [
        f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in given.items()
    ]
    engine = ["--engine", "kernel"] if way == "lcnb" else []
    return [LCNB, "run", book, *engine, "--runs-dir", ".", *(word for pair in pairs for word in ("-p", pair))]


@pytest.fixture(scope="module")
def elsewhere(
    fleets: dict[int, lcnb.sandbox.SandboxProcess], place: Path, env: dict[str, str]
) -> dict[tuple[str, str], Path]:
    """Runbook and way → the folder with what it has kept, run that way against the fleet of 60; those that write, dry."""
    env = {**env, "LETSCLOUD_API_KEY": fleets[60].token, "LCNB_BASE_URL": fleets[60].base_url}
    for name, text in FILES.items():
        (place / name).write_text(text)

    every = [*((book, "warm") for book in shipped_names()), *EVERY]
    folders = {(book, way): place / f"{way}-{book}" for book, way in every}
    for folder in folders.values():
        folder.mkdir()

    def run(words: list[str], folder: Path, text: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words, cwd=folder, env=env, input=text, capture_output=True, text=True, timeout=600
        )

    def one(each: tuple[str, str]) -> None:
        done = run(command(each[1], each[0], place), folders[each])
        assert done.returncode in (0, 8), (each, done.stderr)

    def by_papermill() -> None:
        each = [(str(folders[key]), command(key[1], key[0], place)) for key in EVERY if key[1] == "papermill"]
        done = run([sys.executable, "-c", PAPERMILL], place, "".join(f"{json.dumps(job)}\n" for job in each))
        assert done.returncode == 0, done.stderr

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(by_papermill)
        list(pool.map(one, [each for each in every if each[1] != "papermill"]))
        first.result()
    return {each: sorted(folder.rglob("*.parquet"))[0].parent for each, folder in folders.items()}


def kept(folder: Path) -> set[str]:
    """The names of what a runbook has kept there, without what only the way of running it leaves."""
    return (
        {path.name for path in folder.iterdir() if path.is_file()}
        - {"run.json", "report.html"}
        - {path.name for path in folder.glob("*.ipynb")}
    )


def table(path: Path) -> pd.DataFrame:
    """A kept table without the times at which it was made, its rows in an order of their own."""
    frame = pd.read_parquet(path).drop(columns=["at", "until"], errors="ignore")
    rows = ["|".join(map(str, row)) for row in frame.itertuples(index=False)]
    return frame.iloc[sorted(range(len(rows)), key=rows.__getitem__)].reset_index(drop=True)


@pytest.mark.parametrize(("book", "way"), EVERY)
def test_every_way(book: str, way: str, elsewhere: dict[tuple[str, str], Path]) -> None:
    """A warm run, one in a kernel, plain papermill and a kernel by hand keep the same files: equal tables, equal notes."""
    ours, theirs = elsewhere[book, "warm"], elsewhere[book, way]
    if way == "lcnb":
        assert [record(folder)["engine"] for folder in (ours, theirs)] == ["shell", "kernel"]
    assert kept(theirs) == kept(ours)
    assert any(each.endswith(".parquet") for each in kept(ours))
    for each in kept(ours):
        if each.endswith(".parquet"):
            assert_frame_equal(table(theirs / each), table(ours / each))
    said = [[(note.text, note.ok) for note in notes.read_notes(folder)] for folder in (theirs, ours)]
    assert said[0] == said[1]


def test_dry_runs_write_nothing(
    fleets: dict[int, lcnb.sandbox.SandboxProcess], elsewhere: dict[tuple[str, str], Path]
) -> None:
    """Whichever way a runbook is run dry, nothing but reads reaches the API."""
    address = f"{fleets[60].base_url.removesuffix('/api')}/_sandbox/log"
    with urlopen(Request(address, headers={"api-token": fleets[60].token}), timeout=600) as reply:
        assert {each["method"] for each in json.load(reply)} == {"GET"}


# --- the others -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks" / "explore").glob("*.ipynb")), ids=name)
def test_explore(path: Path, tmp_path: Path) -> None:
    """A notebook for exploring runs from the first cell to the last without a token, an error or a warning."""
    run = run_runbook(str(path), folder=tmp_path / "runs").check()
    notebook = nbformat.read(run.folder / path.name, as_version=4)
    assert streams(notebook) == []
    assert all(
        cell.outputs
        for cell in notebook.cells
        if cell.cell_type == "code" and "=" not in cell.source.splitlines()[-1]
    )
