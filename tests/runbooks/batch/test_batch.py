"""Batches: what is refused before anything starts, the result of each row, and what a resumed batch runs.

Rows are real runs in processes of their own, also on a real Dask cluster. They cost seconds each, so the rows
of one batch show several things.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import psutil
import pytest
from click.testing import CliRunner

import lcnb
from conftest import TOKEN, write_notebook
from lcnb.cli.main import cli
from lcnb.config import load_settings
from lcnb.errors import ConfigError, InputError, ParameterError, RunError
from lcnb.runbooks.batch import launcher
from lcnb.runbooks.batch import runner as batches
from lcnb.runbooks.batch.rows import read_csv_rows
from lcnb.runbooks.batch.stops import FolderStop

SOURCE = """
import os, time
from pathlib import Path
if how == "raise": 1 / 0
if how == "kill": os.kill(os.getppid(), 9)
if how == "cluster":
    import psutil
    Path("worker").touch()
    next(each for each in psutil.Process().parents() if "multiprocessing" in " ".join(each.cmdline())).kill()
if how == "sleep":
    Path("begun").write_text(str(os.getpid()))
if how in ("cluster", "sleep"): time.sleep(3600)
"""
PARAMETERS = "n: int = 0  # its number\nhow: str = 'ok'\nday: str | None = None\nwords: list[str] = []"


def book(path: Path, source: str = SOURCE) -> str:
    """A notebook whose parameter says how it ends."""
    cells = [
        nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(source),
    ]
    spec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": spec})
    path.write_text(nbformat.writes(notebook), encoding="utf-8")
    return str(path)


def folders(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "runs").glob("*")) if (tmp_path / "runs").exists() else []


# --- refused before anything starts ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("n,how\n", "there are no rows"),
        ("n,,how\n1,2,3\n", "line 2: the value '2' is in a column without a name"),
        ("n,n\n1,2\n", "the column 'n' is there twice"),
        ("n,how\n1\n", "line 2: fewer values than columns .1, not 2."),
        ("n,words\n1,a,b\n", "line 2: more values than columns .3, not 2.*Quote a value"),
        ('n,how\n1,"a\n', "line 2: unexpected end of data"),
        ("n,how\nx,ok\n", "row 1 .line 2., n: 'x' is not a whole number. It means: its number"),
        (
            "n,hwo\n1,ok\n",
            "column hwo .from row 1 .line 2., value 'ok'.: no such parameter .did you mean 'how'",
        ),
        ("n,api_token\n1,abc\n", "column api_token .from row 1 .line 2..: a secret cannot be a parameter"),
        ("n,account\n1,lab\n", "row 1 .line 2., account: account 'lab' is not in"),
    ],
)
def test_csv_refused(text: str, message: str, tmp_path: Path) -> None:
    """A wrong file is refused with line, column, value and cure, and nothing is there afterwards."""
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises((InputError, ConfigError), match=f"(?s){message}") as refused:
        lcnb.batch(book(tmp_path / "b.ipynb"), tmp_path / "p.csv")
    assert "Nothing was started" in str(refused.value)
    assert "abc" not in str(refused.value)
    assert folders(tmp_path) == []


def test_all_rows_are_reported(tmp_path: Path, account_env: Any) -> None:
    """Every wrong row is named, not the first one alone; the exit code is 2 and nothing was started."""
    (tmp_path / "p.csv").write_text("location,state\nMIAX,\n\nMIA1,runing\n,off\n")
    with pytest.raises(ParameterError) as refused:
        lcnb.batch("inventory", tmp_path / "p.csv")
    first, second = str(refused.value).splitlines()[1:3]
    assert "row 1 (line 2), location: 'MIAX' is not one of the account's (did you mean 'MIA" in first
    assert "row 2 (line 4), state: 'runing' is not one of" in second
    assert folders(tmp_path) == []


def test_required(tmp_path: Path) -> None:
    """A row without a parameter that has no default is named, an empty cell of a file too."""
    path = write_notebook(tmp_path / "b.ipynb", ("size: int  # in GB\nn: int = 1", "parameters"))
    (tmp_path / "p.csv").write_text("size,n\n5,1\n,2\n")
    with pytest.raises(
        ParameterError, match=r"^row 2 \(line 3\): parameter size is required \(a whole number: in GB\)\."
    ):
        lcnb.batch(str(path), tmp_path / "p.csv")
    assert folders(tmp_path) == []


@pytest.mark.parametrize(
    ("over", "options", "message"),
    [
        ([], {}, "there are no rows"),
        ([1], {}, "row 1 of `over` is int"),
        ([{"n": True}], {}, "row 1, n: True is not a whole number"),
        ([{}], {"parameters": {"x": 1}}, "no parameter 'x'"),
        ([{}], {"workers": 0}, "workers: 0"),
        ([{}], {"max_errors": 0}, "max_errors: 0"),
        ([{}], {"accounts": "lab"}, r"such as \['lab'\]"),
        ([{}], {"accounts": True}, "has no accounts"),
        ([{"account": "a"}], {"accounts": ["b"]}, "Use one of them"),
        ([{}], {"dask": "tcp://x:1", "executor": ThreadPoolExecutor(1)}, "not both"),
        (pd.DataFrame([[1, 2]], columns=["n", "n"]), {}, "'n' exists twice"),
        ("no.csv", {}, "cannot be read: No such file"),
    ],
)
def test_refused(over: Any, options: dict[str, Any], message: str, tmp_path: Path) -> None:
    """Arguments that cannot be meant are refused before anything starts."""
    with pytest.raises((InputError, ConfigError), match=message):
        lcnb.batch(book(tmp_path / "b.ipynb"), over, **options)
    assert folders(tmp_path) == []


def test_settings_stay_here(tmp_path: Path, settings: Any) -> None:
    """A token is never sent to another computer."""
    with pytest.raises(InputError, match="is not sent to other processes"):
        lcnb.batch(book(tmp_path / "b.ipynb"), [{}], settings=settings, dask="tcp://127.0.0.1:1")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "name a runbook"),
        (["inventory"], "use --over FILE, --accounts, or both"),
        (["inventory", "--resume", "x"], "takes runbook, rows"),
        (["inventory", "--accounts", "all", "--account", "a"], "not both"),
        (["--resume", "nothing"], "no batch 'nothing'"),
    ],
)
def test_usage(args: list[str], message: str) -> None:
    """The command says what is missing or too much."""
    done = CliRunner().invoke(cli, ["batch", *args])
    assert message in done.output + str(done.exception)
    assert done.exit_code != 0


def test_csv_cells(tmp_path: Path) -> None:
    """Cells are texts as written, quoted or not; an empty cell is left out; an empty line is not a row."""
    path = tmp_path / "p.csv"
    path.write_bytes('\ufeffn,words,day\r\n007,"a,b",\r\n\r\n,"say ""x""\nand y",2026-01-31\r\n'.encode())
    rows = read_csv_rows(path)
    assert [dict(row.parameters) for row in rows] == [
        {"n": "007", "words": "a,b"},
        {"words": 'say "x"\nand y', "day": "2026-01-31"},
    ]
    assert [row.where for row in rows] == ["row 1 (line 2)", "row 2 (line 4)"]


@pytest.mark.parametrize(
    "text",
    [
        "location,state\nMIA1,\n,\n,\n",
        "location;state\n;\nMIA1;\n;;;\n",
        "location\tstate\n\t\nMIA1\t\n",
        'location,state\n"",""\n , \nMIA1,\n',
        "\n,,\nlocation,state\n\nMIA1,\n",
        "\ufeffsep=;\nlocation;state\nMIA1;\n;\n",
        "# what to look at\nlocation,state\n# DAL1,\nMIA1,\n",
        "location,state,,\nMIA1,,,\n,,,\n",
    ],
)
def test_c12_blank_rows(text: str, tmp_path: Path) -> None:
    """Blank rows of a spreadsheet, in every separator, are no runs with all defaults."""
    path = tmp_path / "p.csv"
    path.write_text(text, encoding="utf-8")
    assert [dict(row.parameters) for row in read_csv_rows(path)] == [{"location": "MIA1"}]


@pytest.mark.parametrize("text", ["location\n", "location,state\n,\n", "location\n#MIA1\n"])
def test_c12_nothing_but_blanks(text: str, tmp_path: Path) -> None:
    """A file without a row that holds something starts nothing."""
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(InputError, match="there are no rows"):
        lcnb.batch("inventory", tmp_path / "p.csv")
    assert folders(tmp_path) == []


# --- how rows end ---------------------------------------------------------------------------------------


def test_rows_end(tmp_path: Path) -> None:
    """Each row has its result, even if its process crashed; a resumed batch runs the rows that did not complete."""
    path = book(tmp_path / "b.ipynb")
    over = pd.DataFrame({"n": [1, 2, 3], "how": [None, "raise", "kill"], "day": pd.NaT})
    reports: list[tuple[int, int, str]] = []
    frame = lcnb.batch(
        path, over, parameters={"words": "a,b"}, workers=2, progress=lambda *each: reports.append(each)
    )

    assert frame.columns.tolist() == [
        "row", "words", "n", "how", "status", "exit_code", "seconds", "folder", "error",
    ]  # fmt: skip
    assert frame["status"].tolist() == ["done", "failed", "died"]
    assert frame["exit_code"].tolist() == [0, 3, 137]
    assert frame["words"].tolist() == ['["a", "b"]'] * 3
    assert "ZeroDivisionError: division by zero" in frame["error"][1]
    assert frame["error"][2] == "the process of the run ended by SIGKILL"
    assert frame.attrs["lcnb"]["exit_code"] == 7
    assert frame["seconds"].gt(0).all()
    for number, folder in zip(frame["n"], frame["folder"], strict=True):
        assert json.loads((Path(folder) / "run.json").read_text())["parameters"]["n"] == number
    place = Path(frame.attrs["lcnb"]["folder"])
    assert json.loads((place / "rows" / "0002.json").read_text())["status"] == "failed"
    assert len(pd.read_csv(place / "results.csv")) == 3
    assert reports[-1] == (3, 3, "1 done, 2 not done; running: none")

    book(tmp_path / "b.ipynb", "n")  # mended
    again = lcnb.resume_batch(place.name, workers=2)
    assert again["status"].tolist() == ["done"] * 3
    assert again.attrs["lcnb"]["exit_code"] == 0
    assert (again["folder"] == frame["folder"]).tolist() == [True, False, False]
    assert json.loads((place / "rows" / "0003.json").read_text())["earlier"] == [frame["folder"][2]]


IN_A_SCRIPT = """
import ipykernel.kernelapp
import lcnb
with lcnb.connect(sandbox=True) as lc:
    frame = lcnb.batch({path!r}, [{{"n": 1}}], settings=lc.settings)
print(*frame["status"])
"""


@pytest.mark.fresh_python
def test_script_is_no_notebook(tmp_path: Path) -> None:
    """A plain script gets the results and no line of progress, even if it has imported ipykernel."""
    (tmp_path / "script.py").write_text(IN_A_SCRIPT.format(path=book(tmp_path / "b.ipynb")))
    ended = subprocess.run(
        [sys.executable, tmp_path / "script.py"], capture_output=True, text=True, timeout=600
    )
    assert (ended.returncode, ended.stdout) == (0, "done\n"), ended.stderr


def test_max_errors(tmp_path: Path) -> None:
    """After so many rows that failed no more are started; none done is exit code 3, and the table says all."""
    (tmp_path / "p.csv").write_text("how,n\nraise,1\nok,2\nok,3\n")
    args = ["batch", book(tmp_path / "b.ipynb"), "--over", str(tmp_path / "p.csv"), "--workers", "1"]
    done = CliRunner().invoke(cli, [*args, "--max-errors", "1"])
    assert done.exit_code == 3, done.output
    assert done.output.count("not started") == 2
    assert "cell 3 failed: ZeroDivisionError" in done.output
    assert "0 of 3 done" in done.output


def test_token_by_environment(tmp_path: Path, server: lcnb.sandbox.SandboxProcess) -> None:
    """A row's process has the token in its environment alone: not in its arguments, and in no file of the batch."""
    look = """
import os, psutil
from pathlib import Path
process = psutil.Process()
Path("found.txt").write_text(f"{'LETSCLOUD_API_KEY' in os.environ} {os.environ['LCNB_BASE_URL']}")
Path("argv.txt").write_text(repr([each.cmdline() for each in (process, process.parent(), process.parent().parent())]))
"""
    given = load_settings(token=server.token, base_url=server.base_url)
    frame = lcnb.batch(book(tmp_path / "b.ipynb", look), [{}], settings=given)
    assert frame["status"].tolist() == ["done"], frame["error"][0]
    run = Path(frame["folder"][0])
    assert (run / "found.txt").read_text() == f"True {server.base_url}"
    assert "*****" not in (run / "argv.txt").read_text()
    for path in (tmp_path / "runs").rglob("*"):
        if path.is_file():
            assert TOKEN.encode() not in path.read_bytes(), path


def test_accounts(own_home: Path, server: lcnb.sandbox.SandboxProcess, tmp_path: Path) -> None:
    """Each row runs for each account, by its name; the token is where lcnb.toml says."""
    config = own_home / "config"
    config.mkdir()
    entry = f'token_file = "t"\nbase_url = "{server.base_url}"\n'
    (config / "lcnb.toml").write_text(f"[accounts.one]\n{entry}[accounts.two]\n{entry}")
    (config / "t").write_text(TOKEN)
    (config / "t").chmod(0o600)
    path = book(tmp_path / "b.ipynb", "import lcnb; lcnb.connect().profile()")
    frame = lcnb.batch(path, accounts=True, executor=ThreadPoolExecutor(2))
    assert frame["account"].tolist() == ["one", "two"]
    assert frame["status"].tolist() == ["done", "done"], frame["error"].tolist()
    for name, folder in zip(frame["account"], frame["folder"], strict=True):
        assert json.loads((Path(folder) / "run.json").read_text())["account"] == name


class Broken(Executor):
    """An executor that loses what it is given."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_exception(OSError(f"no worker, {os.environ.get('LETSCLOUD_API_KEY')}"))
        return future


def test_lost(tmp_path: Path) -> None:
    """A row that the executor lost has the status `lost`, and the batch continues."""
    frame = lcnb.batch(book(tmp_path / "b.ipynb"), [{}, {}], executor=Broken())
    assert frame["status"].tolist() == ["lost", "lost"]
    assert frame["error"][0] == "the executor lost the run: OSError: no worker, None"
    assert frame.attrs["lcnb"]["exit_code"] == 3


def test_other_notebook(tmp_path: Path) -> None:
    """A process that finds another notebook than the batch was started with refuses the row."""
    task = {"row": 1, "runbook": book(tmp_path / "b.ipynb"), "sha256": "0", "parameters": {}, "account": None, "runs_dir": None}  # fmt: skip
    result = launcher.run_row(task)
    assert (result["status"], result["exit_code"]) == ("refused", 2)
    assert "is not the notebook that this batch was started with" in result["error"]


def test_one_at_a_time(tmp_path: Path) -> None:
    """A batch that a process works on is not begun by another one."""
    frame = lcnb.batch(book(tmp_path / "b.ipynb"), [{}], executor=Broken())
    place = Path(frame.attrs["lcnb"]["folder"])
    with batches._lock_batch(place), pytest.raises(RunError, match="another process is running the batch"):
        lcnb.resume_batch(place)


# --- interrupted ----------------------------------------------------------------------------------------


def until(ended: Callable[[], bool], seconds: float = 600) -> bool:
    deadline = time.monotonic() + seconds
    while not ended():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def row(place: Path, number: int) -> dict[str, Any]:
    return dict(json.loads((place / "rows" / f"{number:04}.json").read_text()))


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_interrupted(number: int, code: int, tmp_path: Path) -> None:
    """However a batch ends, its runs end cleanly; the rest is not started, and the batch can be resumed."""
    (tmp_path / "p.csv").write_text("how,n\nsleep,1\nok,2\n")
    # A shell that runs the tests in the background makes them ignore Ctrl-C.
    main = (
        "import signal; signal.signal(2, signal.default_int_handler); from lcnb.cli.main import main; main()"
    )
    args = ["batch", book(tmp_path / "b.ipynb"), "--over", str(tmp_path / "p.csv"), "--workers", "1"]
    command = [sys.executable, "-c", main, *args]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert until(lambda: any(each.read_text() for each in tmp_path.glob("runs/*/begun")))
        process.send_signal(number)
        err = process.communicate(timeout=600)[1]
    assert process.returncode == code
    (begun,) = tmp_path.glob("runs/*/begun")
    kernel = int(begun.read_text())
    assert until(lambda: not psutil.pid_exists(kernel))
    record = begun.parent / "run.json"
    assert until(lambda: json.loads(record.read_text())["status"] == "interrupted")
    (place,) = tmp_path.glob("runs/batch-*")
    assert not (place / "rows" / "0002.json").exists()
    if code > 0:
        assert (row(place, 1)["status"], row(place, 1)["folder"]) == ("interrupted", str(begun.parent))
        assert f"lcnb batch --resume {place.name}" in err


# --- Dask -----------------------------------------------------------------------------------------------

CLUSTER = """
import json, sys, time
from pathlib import Path
from distributed import Client, LocalCluster
import lcnb
if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        over = [{"n": 1}, {"n": 2, "how": "cluster"}, {"n": 3}]
        frame = lcnb.batch(sys.argv[1], over, dask=cluster.scheduler_address)
        print(frame.to_json(orient="records"))
        with Client(cluster, set_as_default=False) as client:
            client.wait_for_workers(2)
            frame = lcnb.batch(sys.argv[1], over[1:2], executor=client.get_executor(retries=3))
            print(frame.to_json(orient="records"))
            client.wait_for_workers(2)

            def interrupt(ended, rows, text):
                if ended:
                    while not any(each.read_text() for each in Path("runs").glob("*/begun")):
                        time.sleep(0.05)
                    raise KeyboardInterrupt

            over = [{"n": 1, "how": "sleep"}, {"n": 2}]
            try:
                lcnb.batch(sys.argv[1], over, executor=client.get_executor(), workers=2, progress=interrupt)
            except KeyboardInterrupt:
                # Not by the name: two batches may begin in the same second.
                places = Path("runs").glob("batch-*/rows/0001.json")
                place = max(places, key=lambda each: each.stat().st_mtime_ns)
                print(json.dumps([json.loads(place.read_text())]))
            client.wait_for_workers(2)  # a cluster that is closed while a worker restarts may not end
"""


@pytest.mark.timeout(900)
def test_a7_dask(tmp_path: Path) -> None:
    """Rows run on two workers, by the scheduler's address or a client's executor; a row whose worker is lost is `lost`,
    and never starts a second time. A batch that is interrupted waits for the end of a row that has started."""
    pytest.importorskip("distributed")
    (tmp_path / "cluster.py").write_text(CLUSTER)
    command = [sys.executable, str(tmp_path / "cluster.py"), book(tmp_path / "b.ipynb")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=800, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    by_address, by_executor, stopped = (json.loads(line) for line in done.stdout.splitlines()[-3:])
    assert [each["status"] for each in by_address] == ["done", "lost", "done"], done.stdout
    assert [each["status"] for each in by_executor] == ["lost"], done.stdout
    assert all("it was not started again" in each["error"] for each in (by_address[1], by_executor[0]))
    assert len(list(tmp_path.glob("runs/*/worker"))) == 2
    assert [each["status"] for each in stopped] == ["interrupted"], done.stdout
    (begun,) = tmp_path.glob("runs/*/begun")
    assert json.loads((begun.parent / "run.json").read_text())["status"] == "interrupted"


def test_a7_killed_pool(tmp_path: Path) -> None:
    """In a pool whose process was killed the row that had begun is lost; the others did not start, and `resume` runs
    them and no row that is done."""
    name = book(tmp_path / "b.ipynb")
    rows = [{"n": 1}, {"n": 2, "how": "cluster"}, {"n": 3}, {"n": 4}]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        frame = lcnb.batch(name, rows, executor=pool)
    assert frame["status"].tolist() == ["done", "lost", "not started", "not started"]
    assert frame["error"].iloc[1].startswith("the executor lost the run: BrokenProcessPool")
    assert frame["error"].iloc[2].startswith("the executor did not start the run: BrokenProcessPool")
    assert pd.isna(frame["error"].iloc[3])
    assert frame.attrs["lcnb"]["exit_code"] == 7
    place = Path(frame.attrs["lcnb"]["folder"])
    assert not list(place.glob("begun-*"))
    assert [path.name for path in sorted((place / "rows").iterdir())] == [
        "0001.json",
        "0002.json",
        "0003.json",
    ]


class Again(Executor):
    """Runs each task, and runs it again, as one does that has lost the answer of the first worker."""

    def __init__(self, *, same_disk: bool = True) -> None:
        self.results: list[dict[str, Any]] = []
        self.same_disk = same_disk

    def submit(self, work: Any, /, *given: Any, **named: Any) -> Future[Any]:
        task, env, stop = pickle.loads(pickle.dumps(given))  # as to another process
        if not self.same_disk:
            stop = FolderStop(Path("/elsewhere") / stop.folder.name)
        self.results += [work(task, env, stop) for _ in range(3)]
        future: Future[Any] = Future()
        future.set_result(self.results[-1])
        return future


def test_a7_executor_that_runs_again(tmp_path: Path) -> None:
    """A row that an executor starts three times starts once; its result says that its end is unknown."""
    again = Again()
    frame = lcnb.batch(book(tmp_path / "b.ipynb", "open('ran', 'a').write('x')"), [{"n": 1}], executor=again)
    assert [each["status"] for each in again.results] == ["done", "lost", "lost"]
    assert frame["status"].tolist() == ["lost"]
    assert [path.read_text() for path in tmp_path.glob("runs/*/ran")] == ["x"]


def test_a7_worker_without_the_folder(tmp_path: Path) -> None:
    """Where a worker cannot know whether a row was begun, it begins none, and says what to do."""
    frame = lcnb.batch(book(tmp_path / "b.ipynb"), [{"n": 1}], executor=Again(same_disk=False))
    assert frame["status"].tolist() == ["refused"]
    assert "It was not started" in frame["error"].iloc[0]
    assert "on a shared disk" in frame["error"].iloc[0]
    assert len(folders(tmp_path)) == 1


def test_a7_flags_in_a_folder(tmp_path: Path) -> None:
    """A row begins once, none begins after a stop, and none after the end of the batch."""
    flags = FolderStop(tmp_path / "begun")
    with pytest.raises(RunError, match="It was not started"):
        flags.claim_row(1)
    flags.folder.mkdir()
    other = pickle.loads(pickle.dumps(flags))
    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(lambda stop: stop.claim_row(1), [flags, other] * 8)) == [False] * 15 + [True]
    assert other.claim_row(2)
    assert not flags.is_requested()
    other.request_stop()
    assert flags.is_requested()
    assert not flags.claim_row(3)
    assert [flags.is_row_started(row) for row in (1, 2, 3)] == [True, True, False]


class NeverRunning(Executor):
    """Runs each task in a thread; its futures can be cancelled at any time, as those of Dask."""

    def submit(self, work: Any, /, *given: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def run() -> None:
            result = work(*pickle.loads(pickle.dumps(given)))
            if not future.cancelled():
                future.set_result(result)

        threading.Thread(target=run).start()
        return future


def test_a7_interrupted_row_counts_as_started(tmp_path: Path) -> None:
    """An interrupted batch waits for the end of a row that has started, also if its future could be cancelled."""

    def interrupt(ended: int, rows: int, text: str) -> None:
        if ended:
            assert until(lambda: any(each.read_text() for each in tmp_path.glob("runs/*/begun")))
            raise KeyboardInterrupt

    over = [{"n": 1, "how": "sleep"}, {"n": 2}]
    with pytest.raises(KeyboardInterrupt):
        lcnb.batch(book(tmp_path / "b.ipynb"), over, executor=NeverRunning(), workers=2, progress=interrupt)
    (place,) = tmp_path.glob("runs/batch-*")
    assert [row(place, number)["status"] for number in (1, 2)] == ["interrupted", "done"]


@pytest.mark.parametrize(
    "error", [RuntimeError("cannot schedule new futures after shutdown"), ValueError("x")]
)
def test_a7_executor_that_takes_nothing(error: Exception, tmp_path: Path) -> None:
    """An executor that takes no row ends the batch with a row that says why, not with a traceback."""

    class Closed(Executor):
        def submit(self, work: Any, /, *given: Any, **named: Any) -> Future[Any]:
            raise error

    frame = lcnb.batch(book(tmp_path / "b.ipynb"), [{"n": 1}, {"n": 2}], executor=Closed())
    assert frame["status"].tolist() == ["not started", "not started"]
    assert str(error) in frame["error"].iloc[0]


@pytest.mark.fresh_python
def test_no_scheduler(tmp_path: Path) -> None:
    """Where no scheduler answers, that is one clear error, and nothing was started."""
    pytest.importorskip("distributed")
    program = (
        "import sys, lcnb, lcnb.runbooks.batch.cluster as cluster; cluster.CONNECT_S = 1\n"
        "try: lcnb.batch(sys.argv[1], [{}], dask='tcp://127.0.0.1:9')\n"
        "except lcnb.RunError as error: print(error)"
    )
    command = [sys.executable, "-c", program, book(tmp_path / "b.ipynb")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.stdout.startswith("no Dask scheduler at tcp://127.0.0.1:9:"), done.stderr
    assert folders(tmp_path) == []
