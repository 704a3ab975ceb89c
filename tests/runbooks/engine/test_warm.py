"""Warm runs: the same artifacts as with a kernel, nothing shared between runs, and the ordinary way where they do not fit."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from conftest import LCNB, Cell, record, saved, warm_server, write_notebook
from lcnb.errors import RunError
from lcnb.runbooks.batch.launcher import run_row
from lcnb.runbooks.engine import framing, warm, warm_socket
from lcnb.runbooks.engine import warm_server as warm_server_module

pytestmark = pytest.mark.skipif(not warm_socket.is_supported(), reason="warm runs need Linux")

Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Runs cells as a row of a batch does, all by one server."""
    place = tmp_path_factory.mktemp("warm")
    home = {"HOME": str(place), "LCNB_CONFIG_DIR": str(place), "LCNB_STATE_DIR": str(place / "state")}
    books = iter(range(10_000))

    def run_cells(*cells: Cell, engine: str = "auto", env: Mapping[str, str] | None = None) -> dict[str, Any]:
        path = write_notebook(place / f"b{next(books)}.ipynb", *cells)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        task = {
            "row": 1, "runbook": str(path), "sha256": sha256, "parameters": {}, "account": None,
            "runs_dir": str(place / "runs"), "confirm": False, "previous": None, "engine": engine,
        }  # fmt: skip
        return run_row(task, {**home, **(env or {})})

    yield run_cells
    warm_server_module.close_shared_server()


def folder(result: dict[str, Any]) -> Path:
    return Path(result["folder"])


def printed(result: dict[str, Any]) -> str:
    """What the cells of a run have printed."""
    cells = [cell for cell in saved(folder(result)).cells if cell.cell_type == "code"]
    return "".join(output.text for cell in cells for output in cell.outputs if output.output_type == "stream")


def until(condition: Callable[[], object], seconds: float = 600) -> bool:
    over = time.monotonic() + seconds
    while not condition() and time.monotonic() < over:
        time.sleep(0.02)
    return bool(condition())


def gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody buries counts as ended too."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


# --- the same as a kernel (test_engines) -----------------------------------------------------------------


def test_by_the_handle(run: Run) -> None:
    """What is written to the handles, by other programs too, stands in its cell and in its place."""
    cell = (
        "import os, subprocess, multiprocessing\n"
        "print('first')\nos.system('echo from a program; echo wrong >&2')\nprint('second')\n"
        "os.write(1, b'by the handle\\n')\n"
        "process = multiprocessing.get_context('fork').Process(target=print, args=('in a fork',))\n"
        "process.start(); process.join()\n"
        "subprocess.run(['sh', '-c', 'head -c 3000000 /dev/zero | tr \\\\\\\\0 y'], check=True); print()"
    )
    result = run(cell, "print('after it')")
    streams = {"stdout": "", "stderr": ""}
    for output in saved(folder(result)).cells[0].outputs:
        streams[output.name] += output.text
    assert streams["stderr"] == "wrong\n"
    *lines, last = streams["stdout"].splitlines()
    assert sorted(lines) == sorted(["first", "from a program", "second", "by the handle", "in a fork"])
    assert last == "y" * 3_000_000
    assert saved(folder(result)).cells[1].outputs[0].text == "after it\n"


def test_printed_before_a_fork(run: Run) -> None:
    """A process that a cell forks shows nothing a second time that the cell printed before."""
    cell = (
        "import os, sys\n"
        "print('once'); print('once', file=sys.stderr)\n"
        "pid = os.fork()\n"  # multiprocessing flushes first, but a program may write between the two
        "if pid == 0: print('in a fork', flush=True); os._exit(0)\n"
        "os.waitpid(pid, 0)[1]"
    )
    result = run(cell)

    assert sorted(printed(result).splitlines()) == ["in a fork", "once", "once"]


# --- nothing shared -------------------------------------------------------------------------------------

LEAVES = """
import builtins, os, sys, random, json, locale
import numpy, pandas
seen = {
    "env": os.environ.get("LEFT"), "umask": os.umask(0o022), "option": pandas.get_option("display.max_rows"),
    "builtin": hasattr(builtins, "left"), "module": hasattr(json, "left"), "path": "/left" in sys.path,
    "handles": len(os.listdir("/proc/self/fd")), "threads": len(os.listdir("/proc/self/task")),
    "random": random.random(), "numpy": float(numpy.random.rand()), "cwd": os.getcwd(), "pid": os.getpid(),
    "group": os.getpgid(0) == os.getpid(), "argv": sys.argv,
}
print(json.dumps(seen))
os.environ["LEFT"] = "1"; os.umask(0); pandas.set_option("display.max_rows", 3); builtins.left = json.left = 1
sys.path.append("/left"); os.chdir("/"); open("/dev/null").fileno(); numpy.random.seed(1); random.seed(1)
import subprocess; print(subprocess.Popen(["sleep", "300"]).pid)
"""


def test_nothing_is_shared(run: Run) -> None:
    """Neither environment, folder, options, modules, handles, chance nor a process that one run leaves is there in the next."""
    seen, left = [], []
    for _ in range(3):
        facts, sleep = printed(run(LEAVES)).splitlines()
        seen.append(json.loads(facts))
        left.append(int(sleep))
    for name in ("random", "numpy", "cwd", "pid"):
        assert len({each.pop(name) for each in seen}) == 3, name
    assert seen[0] == seen[1] == seen[2]
    assert (seen[0]["env"], seen[0]["builtin"], seen[0]["path"], seen[0]["group"]) == (
        None,
        False,
        False,
        True,
    )
    assert all(until(lambda pid=pid: gone(pid)) for pid in left)


def test_leftovers_of_a_kernel(run: Run) -> None:
    """What cells leave running ends with the run in an ordinary kernel too, but for what leads a session of its own."""
    cell = (
        "import subprocess\n"
        "print(subprocess.Popen(['sleep', '300']).pid, subprocess.Popen(['sleep', '301'], start_new_session=True).pid)"
    )
    ended, own = map(int, printed(run(cell, engine="kernel")).split())
    os.kill(own, signal.SIGKILL)
    assert until(lambda: gone(ended))


@pytest.mark.fresh_python
def test_own_environment(run: Run) -> None:
    """Each run brings its environment; the server has none of its secrets, and no list of processes shows them."""
    warm_server_module.close_shared_server()
    for value in ("canary-one-4711", "canary-two-4712"):
        result = run("import os\nprint(len(os.environ['DB_PASSWORD']))", env={"DB_PASSWORD": value})
        assert printed(result) == "15\n"
    shared = warm_server_module._shared
    assert shared is not None
    server = psutil.Process(shared._process.pid)
    told = str(server.environ()) + str(server.cmdline())
    assert "canary" not in told
    assert "LETSCLOUD" not in told


@pytest.mark.fresh_python
def test_files_named_as_modules(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of the working folder that are named as modules stand for none of what a run needs, but cells can import them."""
    for name in ("random", "secrets", "lcnb", "mine"):
        (tmp_path / f"{name}.py").write_text(
            "own = 7" if name == "mine" else "raise ImportError('not the module')"
        )
    monkeypatch.chdir(tmp_path)
    warm_server_module.close_shared_server()
    cells = f"import os, sys\nos.chdir({str(tmp_path)!r})", "import mine\nprint(mine.own, sys.path)"
    paths = set()
    for engine, name in (("auto", "shell"), ("kernel", "kernel")):
        result = run(*cells, engine=engine)
        assert (result["status"], record(folder(result))["engine"]) == ("done", name)
        paths.add(printed(result))
    assert len(paths) == 1
    assert paths.pop().startswith("7 ")


def test_grammar_later(run: Run) -> None:
    """The grammar of `iri` is not worked out for a run that does not need it, and is there for a cell that does."""
    pytest.importorskip("rfc3987_syntax")
    told = run(
        "import sys, jsonschema\nassert 'rfc3987_syntax' not in sys.modules",
        "check = jsonschema.FormatChecker()\n"
        "assert check.conforms('https://example.org/', 'iri') and not check.conforms('not one', 'iri')",
        "import rfc3987_syntax\nassert rfc3987_syntax.is_valid_syntax_iri",
    )
    assert told["status"] == "done", told["error"]
    assert record(Path(told["folder"]))["engine"] == "shell"


def test_one_thread(run: Run) -> None:
    """The server has one thread, also after it has forked."""
    run("1")
    shared = warm_server_module._shared
    assert shared is not None
    assert psutil.Process(shared._process.pid).num_threads() == 1
    assert not [each for each in psutil.Process(shared._process.pid).children() if each.status() == "zombie"]


# --- the ordinary way -----------------------------------------------------------------------------------


@pytest.mark.parametrize("why", ["engine", "kernelspec", "startup", "variable", "handles"])
def test_ordinary(why: str, tmp_path: Path) -> None:
    """Where a shell would not do the same, the kernel is taken: another kernel, a changed IPython, another Python, few
    handles."""
    env: dict[str, str] = {"HOME": str(tmp_path), "LCNB_STATE_DIR": str(tmp_path / "state")}
    kernel = None
    if why == "kernelspec":
        spec = tmp_path / "kernels" / "mine" / "kernel.json"
        spec.parent.mkdir(parents=True)
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        spec.write_text(
            json.dumps({"argv": argv, "display_name": "mine", "language": "python", "env": {"MINE": "1"}})
        )
        env["JUPYTER_PATH"] = str(tmp_path)
        kernel = {"display_name": "mine", "language": "python", "name": "mine"}
    if why == "startup":
        startup = tmp_path / ".ipython" / "profile_default" / "startup"
        startup.mkdir(parents=True)
        (startup / "first.py").write_text("MINE = 1")
    with warm_server({**os.environ, **env}):
        if why == "variable":
            env["PYTHONHASHSEED"] = "7"
        book = write_notebook(tmp_path / "a.ipynb", "1", **({"kernel": kernel} if kernel else {}))
        options = ["--engine", "kernel"] if why == "engine" else []
        command = [LCNB, "run", str(book), *options]
        if why == "handles":
            command = ["sh", "-c", 'ulimit -n 200; exec "$@"', "sh", *command]
        done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("runs/*/run.json")
    assert record(path.parent)["engine"] == "kernel"


def test_other_name_of_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python` and `python3` of an environment are one Python for a warm run; another environment's is not."""
    mine = warm.start_fingerprint({})
    link = tmp_path / "python3"
    link.symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(link))
    assert warm.start_fingerprint({}) == mine
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert warm.start_fingerprint({}) != mine


def test_no_other_word() -> None:
    """An engine that is not known is refused before anything is started."""
    from lcnb.errors import InputError
    from lcnb.runbooks.run import run_runbook

    with pytest.raises(InputError, match="engine: 'warp' is not one of auto, kernel"):
        run_runbook("inventory", engine="warp")


def test_never_twice(tmp_path: Path) -> None:
    """A server that dies before the request is skipped; one that dies after it leaves open whether the run started."""
    folder = tmp_path / "s"
    folder.mkdir()
    for after_request in (False, True):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(folder / warm_socket.SOCKET_NAME))
        listener.listen()

        def serve(listener: socket.socket = listener, after_request: bool = after_request) -> None:
            connection, _ = listener.accept()
            if after_request:
                framing.send_message(connection, {"fingerprint": warm.start_fingerprint(os.environ)})
                assert framing.receive_message(connection)[0]
            connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        if after_request:
            with pytest.raises(RunError, match="the run may have started"):
                warm.request_process(str(folder), "child", [], os.environ, (0, 1, 2))
        else:
            assert warm.request_process(str(folder), "child", [], os.environ, (0, 1, 2)) is None
        thread.join()
        listener.close()
        (folder / warm_socket.SOCKET_NAME).unlink()


# --- lcnb warm ------------------------------------------------------------------------------------------


@pytest.mark.fresh_python
def test_warm_command(tmp_path: Path) -> None:
    """One server at a time; told to end, it waits for the run under way, and its socket is gone; then runs are ordinary."""
    state = tmp_path / "state"
    env = {**os.environ, "LCNB_STATE_DIR": str(state), "LETSCLOUD_API_KEY": "canary-token-081508150815"}
    cell = f"import time, pathlib\npathlib.Path({str(tmp_path / 'begun')!r}).touch()\n" + (
        f"while not pathlib.Path({str(tmp_path / 'go')!r}).exists(): time.sleep(0.02)"
    )
    book = write_notebook(tmp_path / "a.ipynb", cell)
    with warm_server(env) as server:
        doctor = subprocess.run([LCNB, "doctor"], env=env, capture_output=True, text=True, timeout=600)
        assert f"by the process in {state / 'warm'}" in " ".join(doctor.stdout.split())
        assert "canary" not in Path(f"/proc/{server.pid}/environ").read_text()
        assert (state / "warm").stat().st_mode & 0o777 == 0o700
        again = subprocess.run([LCNB, "warm"], env=env, capture_output=True, text=True, timeout=600)
        assert again.returncode != 0
        assert "is running already" in again.stderr
        run = subprocess.Popen([LCNB, "run", str(book)], env=env, stdout=subprocess.PIPE, text=True)
        assert until((tmp_path / "begun").exists)
        server.terminate()
        assert until(lambda: server.poll() is not None, 1) is False
        (tmp_path / "go").touch()
        assert run.communicate(timeout=600)[0].strip()
        assert run.returncode == 0
        assert server.wait(600) == 0
    assert not (state / "warm" / "warm.sock").exists()
    assert subprocess.run([LCNB, "run", str(book)], env=env, capture_output=True, timeout=600).returncode == 0
    engines = {record(path.parent)["engine"] for path in tmp_path.glob("runs/*/run.json")}
    assert engines == {"shell", "kernel"}


#: Each is interrupted in the middle of what it sends. It sends for a moment only: the limit leaves it time to begin.
PAUSE = "import time\ntime.sleep(2.6)\n"
ENDLESS = [
    f"{PAUSE}from IPython.display import display, HTML\nwhile True: display(HTML('x' * 300_000))",
    f"{PAUSE}while True: print('z')",
    f"{PAUSE}while True: print('z', flush=True)",
    f"{PAUSE}import sys\nwhile True: print('w' * 5000, file=sys.stderr)",
    "import asyncio\nawait asyncio.sleep(3600)",
]


def test_interrupted(tmp_path: Path) -> None:
    """A cell that never stops to send is ended by its limit, and what it has sent can be read, its traceback too."""
    env = {**os.environ, "LCNB_STATE_DIR": str(tmp_path / "state")}
    with warm_server(env):
        for number, cell in enumerate(ENDLESS):
            book = write_notebook(tmp_path / f"endless{number}.ipynb", cell)
            command = [LCNB, "run", str(book), "--cell-timeout", "3"]
            done = subprocess.run(command, env=env, capture_output=True, timeout=600)
            (path,) = tmp_path.glob(f"runs/*-endless{number}-*/run.json")
            assert (done.returncode, record(path.parent)["engine"]) == (4, "shell"), cell
            outputs = saved(path.parent).cells[0].outputs
            names = [each.ename for each in outputs if each.output_type == "error"]
            assert names == ["CancelledError" if "await" in cell else "KeyboardInterrupt"], cell


def test_c11_engine_auto(tmp_path: Path) -> None:
    """`--engine auto`, however it is written, is as no word of an engine: warm where a server is; the last word counts."""
    env = {**os.environ, "LCNB_STATE_DIR": str(tmp_path / "state")}
    book = write_notebook(tmp_path / "a.ipynb", "1")
    ways = {
        "": "shell", "--engine auto": "shell", "--engine=auto": "shell", "--engine AUTO": "shell",
        "--engine kernel --engine Auto": "shell", "--engine auto --engine=KERNEL": "kernel",
    }  # fmt: skip
    found = {}
    with warm_server(env):
        for number, words in enumerate(ways):
            runs = tmp_path / str(number)
            command = [LCNB, "run", *words.split(), str(book), "--runs-dir", str(runs)]
            done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            (path,) = runs.glob("*/run.json")
            found[words] = record(path.parent)["engine"]
    assert found == ways


def test_server_killed(tmp_path: Path) -> None:
    """When the server that stays is killed, its run goes on and reports its exit code; another server can begin."""
    env = {**os.environ, "LCNB_STATE_DIR": str(tmp_path / "state")}
    begun, go = tmp_path / "begun", tmp_path / "go"
    cell = (
        f"import time, pathlib\npathlib.Path({str(begun)!r}).touch()\n"
        f"while not pathlib.Path({str(go)!r}).exists(): time.sleep(0.02)"
    )
    book = write_notebook(tmp_path / "a.ipynb", cell)
    with warm_server(env) as server:
        run = subprocess.Popen([LCNB, "run", str(book)], env=env, stderr=subprocess.PIPE, text=True)
        assert until(begun.exists)
        server.kill()
        server.wait()
        with warm_server(env):
            go.touch()
            told = run.communicate(timeout=600)[1]
    assert (told, run.returncode) == ("", 0)
    (path,) = tmp_path.glob("runs/*/run.json")
    assert record(path.parent)["status"] == "done"


def test_server_and_run_killed(tmp_path: Path) -> None:
    """When the server and the process of the run are killed, the command ends and says where to look."""
    env = {**os.environ, "LCNB_STATE_DIR": str(tmp_path / "state")}
    begun = tmp_path / "begun"
    cell = f"import time, pathlib\npathlib.Path({str(begun)!r}).touch()\ntime.sleep(3600)"
    book = write_notebook(tmp_path / "a.ipynb", cell)
    with warm_server(env) as server:
        run = subprocess.Popen([LCNB, "run", str(book)], env=env, stderr=subprocess.PIPE, text=True)
        assert until(begun.exists)
        (path,) = tmp_path.glob("runs/*/run.json")
        server.kill()
        os.kill(record(path.parent)["pid"], signal.SIGKILL)
        told = run.communicate(timeout=600)[1]
    assert run.returncode == 1
    assert "the server for warm runs died; lcnb show last says how the run ended" in told


def test_command_killed(tmp_path: Path) -> None:
    """A run whose command is killed is ended by SIGTERM, and its record says so."""
    env = {**os.environ, "LCNB_STATE_DIR": str(tmp_path / "state")}
    begun = tmp_path / "begun"
    book = write_notebook(
        tmp_path / "a.ipynb", f"import time, pathlib\npathlib.Path({str(begun)!r}).touch()\ntime.sleep(3600)"
    )
    with warm_server(env):
        run = subprocess.Popen(
            [LCNB, "run", str(book)], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        assert until(begun.exists)
        run.kill()
        run.wait()
        (path,) = tmp_path.glob("runs/*/run.json")
        assert until(lambda: record(path.parent)["status"] != "running")
    assert (record(path.parent)["status"], record(path.parent)["exit_code"]) == ("interrupted", 143)
