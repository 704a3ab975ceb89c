"""Standbys of the server for warm runs: forked before a run, used once, replaced, and without a trace of another run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from runbooks.engine.test_warm import gone, until

from conftest import LCNB, ROOT, record, saved, warm_server, write_notebook
from lcnb.runbooks.engine import framing, warm, warm_socket

pytestmark = pytest.mark.skipif(not warm_socket.is_supported(), reason="warm runs need Linux")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("standby")


@pytest.fixture(scope="module")
def env(place: Path) -> dict[str, str]:
    return {
        **os.environ,
        "HOME": str(place),
        "LCNB_STATE_DIR": str(place / "state"),
        "LCNB_CONFIG_DIR": str(place),
    }


@pytest.fixture(scope="module")
def server(env: dict[str, str]) -> Iterator[psutil.Process]:
    with warm_server(env) as process:
        yield psutil.Process(process.pid)


def standbys(server: psutil.Process) -> list[psutil.Process]:
    """The processes of the server whose shell waits too."""
    return [each for each in server.children() if _has_shell(each)]


def _has_shell(process: psutil.Process) -> bool:
    try:
        return not gone(process.pid) and bool(process.children())
    except psutil.NoSuchProcess:  # it has ended meanwhile
        return False


def run_cells(folder: Path, env: dict[str, str], *cells: str, engine: str = "auto") -> dict[str, Any]:
    """Run cells by `lcnb run`; return the record."""
    book = write_notebook(folder / "a.ipynb", *cells)
    words = [LCNB, "run", str(book), "--runs-dir", str(folder / "runs"), "--engine", engine]
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=600)
    (path,) = (folder / "runs").glob("*/run.json")
    assert done.returncode == record(path.parent)["exit_code"], done.stderr
    return record(path.parent) | {"folder": path.parent}


def test_used_once(server: psutil.Process, env: dict[str, str], tmp_path: Path) -> None:
    """A run gets the process that waited for it, and the shell of that process; then another one waits."""
    assert until(lambda: len(standbys(server)) == 1)  # a run before may be ending
    (before,) = standbys(server)
    (shell,) = before.children()
    result = run_cells(tmp_path, env, "import os\nprint(os.getpid())")
    assert (result["pid"], result["kernel_process"]["pid"], result["engine"]) == (
        before.pid,
        shell.pid,
        "shell",
    )
    assert saved(result["folder"]).cells[0].outputs[0].text == f"{shell.pid}\n"
    assert until(lambda: [each.pid for each in standbys(server)] not in ([], [before.pid]))


def _kill_runner(standby: psutil.Process) -> None:
    standby.kill()


def _kill_shell(standby: psutil.Process) -> None:
    (shell,) = standby.children()
    shell.kill()
    assert until(lambda: gone(shell.pid))


def _stop_by_signal(standby: psutil.Process) -> None:
    standby.send_signal(signal.SIGTERM)


@pytest.mark.parametrize("harm", [_kill_runner, _kill_shell, _stop_by_signal])
def test_harmed(
    harm: Callable[[psutil.Process], None], server: psutil.Process, env: dict[str, str], tmp_path: Path
) -> None:
    """A standby that was killed, or whose shell was, is not used: the run begins in another process."""
    assert until(lambda: len(standbys(server)) == 1)
    (standby,) = standbys(server)
    (shell,) = standby.children()
    harm(standby)
    result = run_cells(tmp_path, env, "1")
    assert (result["status"], result["engine"]) == ("done", "shell")
    assert result["kernel_process"]["pid"] != shell.pid
    assert until(lambda: gone(shell.pid))


@pytest.mark.fresh_python
def test_shell_killed_after_the_request(tmp_path: Path) -> None:
    """A shell that was killed after its runner got the run, and before it got a cell, is not taken."""
    code = (
        "import os, signal\nfrom lcnb.runbooks.engine.shell import prepare_shell\n"
        "from lcnb.runbooks.engine.shell_client import store_prepared, take_prepared\n"
        "for kill in (False, True):\n"
        "    shell = prepare_shell()\n"
        "    if kill:\n"
        "        os.kill(shell.pid, signal.SIGKILL)\n"
        "        os.waitid(os.P_PID, shell.pid, os.WEXITED | os.WNOWAIT)\n"
        "    store_prepared(shell)\n"
        "    print(take_prepared() is shell, take_prepared())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=600
    )
    assert done.stdout.splitlines() == ["True None", "False None"]


#: What a run brings from the process that starts it, as a cell sees it.
BROUGHT = """
import json, os, resource, signal, sys, tempfile, time
print(json.dumps({
    "umask": os.umask(0o022), "nice": os.nice(0), "cwd": os.getcwd(), "dh": [str(each) for each in _dh],
    "blocked": [int(each) for each in signal.pthread_sigmask(signal.SIG_BLOCK, ())],
    "cpu": resource.getrlimit(resource.RLIMIT_CPU), "files": resource.getrlimit(resource.RLIMIT_NOFILE),
    "zone": time.localtime(0)[:5], "tmp": tempfile.gettempdir(), "argv": sys.argv[1:2], "policy": os.sched_getscheduler(0),
    "mine": os.environ.get("MINE"), "term": os.environ["TERM"], "session": globals().get("__session__"),
    "backend": os.environ["MPLBACKEND"], "names": sorted(each for each in globals() if not each.startswith("_")),
}))
"""


def test_brings_the_same(server: psutil.Process, env: dict[str, str], place: Path, tmp_path: Path) -> None:
    """Limits, umask, niceness, signals, time zone, folders and variables are those of the command, as with a kernel."""
    seen = {}
    (tmp_path / "tmp").mkdir()
    brought = {
        **env,
        "TZ": "Asia/Tokyo",
        "TMPDIR": str(tmp_path / "tmp"),
        "MINE": "7",
        "JPY_SESSION_NAME": "s.ipynb",
    }
    book = write_notebook(tmp_path / "a.ipynb", BROUGHT)
    for engine, name in (("auto", "shell"), ("kernel", "kernel")):
        words = [
            LCNB,
            "run",
            str(book),
            "--runs-dir",
            str(tmp_path / name),
            "--engine",
            engine,
            "--cwd",
            str(tmp_path),
        ]
        start = (
            "import os, resource, signal, sys; os.umask(0o027); os.nice(3)\n"
            "resource.setrlimit(resource.RLIMIT_CPU, (4000, 5000))\n"
            "resource.setrlimit(resource.RLIMIT_NOFILE, (700, 800))\n"
            "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])\n"
            "os.execv(sys.argv[1], sys.argv[1:])"
        )
        done = subprocess.run(
            [sys.executable, "-c", start, *words], env=brought, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stderr
        (path,) = (tmp_path / name).glob("*/run.json")
        assert record(path.parent)["engine"] == name
        seen[name] = json.loads(saved(path.parent).cells[0].outputs[0].text)
    assert seen["shell"] == seen["kernel"]
    assert (seen["shell"]["umask"], seen["shell"]["nice"]) == (0o027, os.nice(0) + 3)
    assert seen["shell"]["zone"][3] == 9


def test_as_many_as_workers(server: psutil.Process, env: dict[str, str], tmp_path: Path) -> None:
    """While several runs go on, as many standbys wait, at most one per processor; each is a process of its own."""
    cell = (
        f"import os, pathlib, time\npathlib.Path({str(tmp_path)!r}, f'begun-{{os.getpid()}}').touch()\n"
        f"while not pathlib.Path({str(tmp_path / 'go')!r}).exists(): time.sleep(0.02)"
    )
    book = write_notebook(tmp_path / "a.ipynb", cell)
    words = [LCNB, "run", str(book), "--no-lock", "--runs-dir", str(tmp_path / "runs")]
    runs = [subprocess.Popen(words, env=env, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert until(lambda: len(list(tmp_path.glob("begun-*"))) == 3)
    wanted = min(3, len(os.sched_getaffinity(0)))
    assert until(lambda: len(standbys(server)) == 3 + wanted)
    (tmp_path / "go").touch()
    assert [each.wait(600) for each in runs] == [0, 0, 0]


def test_ends_with_the_server(env: dict[str, str], tmp_path: Path) -> None:
    """A standby and its shell end when the server ends, however it ends."""
    for end in (signal.SIGTERM, signal.SIGKILL):
        with warm_server({**env, "LCNB_STATE_DIR": str(tmp_path / end.name)}) as process:
            server = psutil.Process(process.pid)
            assert until(lambda server=server: standbys(server))
            family = server.children(recursive=True)
            process.send_signal(end)
            process.wait(600)
        assert all(until(lambda each=each: gone(each.pid)) for each in family)


def test_request_to_an_ending_server(env: dict[str, str], tmp_path: Path) -> None:
    """A server that is to end still serves a client that has connected: its run is made, and reported."""
    env = {**env, "LCNB_STATE_DIR": str(tmp_path / "state"), "LCNB_RUNS_DIR": str(tmp_path / "runs")}
    book = write_notebook(tmp_path / "a.ipynb", "1")
    with warm_server(env) as process, Path(os.devnull).open("r+b") as null:
        connection = warm_socket.connect_server(str(tmp_path / "state" / "warm"))
        assert connection is not None
        assert framing.receive_message(connection)[0] == {"fingerprint": warm.start_fingerprint(env)}
        process.terminate()
        request = warm._build_request("command", ["run", str(book)], env)
        framing.send_message(connection, request, [null.fileno()] * 3)
        reply, (end,) = framing.receive_message(connection)
        os.close(end)
        assert reply is not None
        assert framing.receive_message(connection)[0] == {"code": 0}
        connection.close()
        assert process.wait(600) == 0
    (path,) = tmp_path.glob("runs/*/run.json")
    assert (record(path.parent)["status"], record(path.parent)["pid"]) == ("done", reply["pid"])


def test_server_lost_at_a_request(env: dict[str, str], tmp_path: Path) -> None:
    """Where it is not known whether a run has begun, `lcnb run` says so, and starts nothing."""
    (tmp_path / "warm").mkdir()
    env = {**env, "LCNB_STATE_DIR": str(tmp_path), "LCNB_RUNS_DIR": str(tmp_path / "runs")}
    book = write_notebook(tmp_path / "a.ipynb", "1")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "warm" / warm_socket.SOCKET_NAME))
        listener.listen()
        run = subprocess.Popen([LCNB, "run", str(book)], env=env, stderr=subprocess.PIPE, text=True)
        connection, _ = listener.accept()
        with connection:
            framing.send_message(connection, {"fingerprint": warm.start_fingerprint(env)})
            request, handles = framing.receive_message(connection)
        for handle in handles:
            os.close(handle)
        stderr = run.communicate(timeout=600)[1]
    assert request is not None
    assert (run.returncode, stderr.count("Traceback")) == (1, 0)
    assert "the run may have started" in " ".join(stderr.split())
    assert not (tmp_path / "runs").exists()


@pytest.mark.fresh_python
def test_changed_code(tmp_path: Path) -> None:
    """After a module of lcnb has changed on the disk, no run gets a process that imported the old one."""
    copied = tmp_path / "copied"
    shutil.copytree(ROOT / "lcnb", copied / "lcnb", ignore=shutil.ignore_patterns("__pycache__"))
    home = {"HOME": str(tmp_path), "LCNB_STATE_DIR": str(tmp_path / "state"), "PYTHONPATH": str(copied)}
    env = {**os.environ, **home}
    module = copied / "lcnb" / "runbooks" / "judgement.py"
    with warm_server(env):
        engines = [run_cells(tmp_path / "first", env, "1")["engine"]]
        new = module.with_suffix(".new")
        shutil.copy2(module, new)  # the same content, size and time: it is another file all the same
        new.replace(module)
        engines.append(run_cells(tmp_path / "second", env, "1")["engine"])
    assert engines == ["shell", "kernel"]


@pytest.mark.parametrize("change", ["time", "size", "replaced", "new", "removed", "package"])
def test_file_versions(change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each change of a module is noticed, a new and a removed module and a newly installed package too."""
    folder, packages = tmp_path / "lcnb" / "sub", tmp_path / "site-packages"
    folder.mkdir(parents=True)
    packages.mkdir()
    (folder / "a.py").write_text("one")
    (folder / "b.py").write_text("one")
    monkeypatch.setattr(warm, "PACKAGE_FOLDER", str(tmp_path / "lcnb"))
    monkeypatch.setattr(sys, "path", [str(packages)])
    before = warm.file_versions()
    assert warm.file_versions() == before
    status = (folder / "a.py").stat()
    if change == "time":
        os.utime(folder / "a.py", ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    elif change == "size":
        (folder / "a.py").write_text("more")
        os.utime(folder / "a.py", ns=(status.st_atime_ns, status.st_mtime_ns))
    elif change == "replaced":
        shutil.copy2(folder / "a.py", folder / "c")
        (folder / "c").replace(folder / "a.py")
    elif change == "new":
        (folder / "c.py").touch()
    elif change == "removed":
        (folder / "b.py").unlink()
    else:
        os.utime(packages, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))
    assert warm.file_versions() != before
