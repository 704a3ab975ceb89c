"""Python processes that tests start, as forks of one that has imported what they need.

To import pandas, papermill and ipykernel takes most of the processor time of a short run. `install()` makes `subprocess`
ask such a process (`main`) for a fork where that does the same as a new Python: `lcnb`, a kernel, the sandbox, the server
for warm runs, or `python -c`. The fork has the arguments, environment, folder, handles and parent of an ordinary child
process. All other programs are started as usual, and so is each process of a test with the mark `fresh_python`.
"""

from __future__ import annotations

import atexit
import ctypes
import fcntl
import gc
import json
import os
import random
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from lcnb.runbooks.engine.warm import SINGLE_THREAD_ENV

BIN = Path(sys.executable).parent
#: Console scripts of the environment.
SCRIPTS = {str(BIN / name) for name in ("lcnb", "papermill")}
KERNEL = "ipykernel_launcher"
#: `python -P -m`: the working folder is not on their path.
MODULES = {"lcnb.sandbox", "lcnb.runbooks.batch.child", "lcnb.runbooks.engine.forkserver"}
#: Modules and commands that start processes, such as kernels.
STARTING = {"lcnb.runbooks.batch.child", "jupyterlab"}
STARTING_COMMANDS = {
    "admin", "apply", "batch", "demo", "doctor", "plan-run", "rerun", "resume", "run", "schedule", "warm", "wait",
}  # fmt: skip
#: Variables that are read when Python starts, or by what is imported; a fork cannot have others.
AT_START = ("PYTHON", "LC_", "LANG", "LD_", "OPENBLAS_", "OMP_", "MKL_", "ARROW_", "JE_")
#: Those of them that a fork takes over.
TAKEN_OVER = {"PYTHONPATH", "PYTHON_KEYRING_BACKEND", "PYTHONUNBUFFERED", "PYTHONIOENCODING"}
#: Variables that no process has which did not get them.
SECRETS = {"LETSCLOUD_API_KEY", "LETSCLOUD_API_TOKEN"}
#: Modules that look, when they are imported, whether there is a kernel.
DETECTORS = ("ipywidgets", "matplotlib_inline", "tqdm.auto", "tqdm.autonotebook", "tqdm.notebook")
PR_SET_CHILD_SUBREAPER = 36
#: Handles from here on are not those of a request.
HIGH = 500


def at_start(env: Mapping[str, str]) -> dict[str, str]:
    """The variables that must be the same for a fork; what has been imported has taken those of the server's start."""
    given = env.items() - SINGLE_THREAD_ENV.items()
    return {name: value for name, value in given if name.startswith(AT_START) and name not in TAKEN_OVER}


def program(words: Sequence[str], env: Mapping[str, str]) -> tuple[str, list[str]] | None:
    """How a command would be run by a fork (`script`, `-m` or `-c`) and its arguments; None if by none."""
    if words[0] in SCRIPTS:
        return "script", list(words)
    if words[0] != sys.executable or "PYTHONSAFEPATH" in env:
        return None
    safe = words[1] == "-P"
    how, *rest = words[2:] if safe else words[1:]
    if (how == "-c" and not safe) or (
        how == "-m" and rest[0] in (MODULES if safe else {KERNEL, "jupyterlab"})
    ):
        return how, rest
    return None


class Preloaded:
    """The side that asks: a socket to the process that forks, which is started when it is first needed."""

    def __init__(self, connection: socket.socket | None = None) -> None:
        self.connection, self.env = connection, at_start(os.environ)
        self.lock, self.owner = threading.Lock(), os.getpid()
        self.original = subprocess._fork_exec  # type: ignore[attr-defined]

    def fork_exec(self, *given: Any) -> int:
        """What `subprocess` calls; the number of the new process, which is a child of this one."""
        (
            words,
            _,
            close_fds,
            keep,
            folder,
            pairs,
            stdin,
            _,
            _,
            stdout,
            _,
            stderr,
            _,
            error,
            _,
            session,
            *rest,
        ) = given
        group, gid, gids, uid, umask, before, *_ = rest
        env = dict(os.environ) if pairs is None else dict(os.fsdecode(each).split("=", 1) for each in pairs)
        command = program([os.fsdecode(each) for each in words], env)
        usual = (
            close_fds
            and os.getpid() == self.owner
            and (group, gid, gids, uid, umask, before) == (-1, None, None, None, -1, None)
        )
        if command is None or not usual or at_start(env) != self.env:
            return int(self.original(*given))
        numbers = [number for number in keep if number != error]
        handles = [
            number if number != -1 else standard for standard, number in enumerate((stdin, stdout, stderr))
        ]
        where = os.getcwd() if folder is None else os.path.abspath(os.fsdecode(folder))  # noqa: PTH100, PTH109
        if not os.path.isdir(where):  # noqa: PTH112
            return int(self.original(*given))
        request = {
            "how": command[0], "words": command[1], "env": env, "folder": where, "session": bool(session),
            "numbers": [0, 1, 2, *numbers], "parent": os.getpid(),
        }  # fmt: skip
        with self.lock:
            if self.connection is None:
                self.connection = self.start()
            adopt_orphans(True)
            try:
                socket.send_fds(self.connection, [json.dumps(request).encode()], [*handles, *numbers])
                return int(self.connection.recv(100))
            finally:
                adopt_orphans(False)

    def start(self) -> socket.socket:
        """Start the process that forks; it ends with this one."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        env = {name: value for name, value in os.environ.items() if name not in TAKEN_OVER | SECRETS}
        command = [sys.executable, __file__, str(theirs.fileno())]
        with theirs:
            self.process = subprocess.Popen(command, env=env, pass_fds=[theirs.fileno()])
        return ours

    def close(self) -> None:
        """End the process that forks; what it has forked goes on."""
        if self.connection is not None:
            self.connection.close()
            self.process.wait()

    def install(self) -> None:
        """From now on processes are forked, where that does the same."""
        subprocess._fork_exec = self.fork_exec  # type: ignore[attr-defined]

    def uninstall(self) -> None:
        """From now on all processes are started as usual."""
        subprocess._fork_exec = self.original  # type: ignore[attr-defined]


def adopt_orphans(wanted: bool) -> None:
    """Whether a process whose parent has ended becomes a child of this one: a fork's fork does."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(wanted))


# --- the process that forks -----------------------------------------------------------------------------


def serve(connection: socket.socket) -> NoReturn:
    """Fork for each request until nobody is left who could ask. The middle of two forks ends at once: so the second is
    a child of who has asked."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while True:
        data, handles, _, _ = socket.recv_fds(connection, 1 << 20, 100)
        if not data:
            os._exit(0)
        reading, writing = os.pipe()
        middle = os.fork()
        if middle == 0:
            if os.fork():
                os._exit(0)
            connection.close()
            os.close(reading)
            request = json.loads(data)
            for number in (signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            if request["session"]:
                os.setsid()
            # Only now somebody may send a signal, to the process or to its group.
            os.write(writing, str(os.getpid()).encode())
            os.close(writing)
            become(request, handles)
        os.waitpid(middle, 0)
        connection.send(os.read(reading, 100))
        for each in (reading, writing, *handles):
            os.close(each)


def become(request: Mapping[str, Any], handles: Sequence[int]) -> NoReturn:
    """Be the process that was asked for."""
    while os.getppid() != request["parent"]:
        time.sleep(0.001)
    high = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, HIGH) for each in handles]
    for each in handles:
        os.close(each)
    for wanted, each in zip(request["numbers"], high, strict=True):
        os.dup2(each, wanted, inheritable=True)
        os.close(each)
    env = request["env"]
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        setattr(sys, name, stream(number, env))
        setattr(sys, f"__{name}__", getattr(sys, name))
    os.environ.clear()
    os.environ.update(env)
    os.chdir(request["folder"])
    time.tzset()
    random.seed()
    sys.modules["numpy"].random.seed()
    sys.path[:0] = env.get("PYTHONPATH", "").split(os.pathsep) if env.get("PYTHONPATH") else []
    how, words = request["how"], request["words"]
    if starts_others(how, words):
        nested()
    forget_kernel(kernel=words[0] == KERNEL)
    if how != "-m":
        sys.modules["pandas"].set_option("display.max_columns", 0)  # as where there is no notebook
    code = 1
    try:
        code = run(how, words)
    finally:
        os._exit(code & 0xFF)


def starts_others(how: str, words: Sequence[str]) -> bool:
    """Whether a process may start others. To fork for them costs it a third of its start; what it starts without that
    is a new Python."""
    if how == "-m":
        return words[0] in STARTING
    if how == "script" and Path(words[0]).name == "lcnb":
        return "--sandbox" in words or not STARTING_COMMANDS.isdisjoint(words[1:2])
    return True


def nested() -> None:
    """What this process starts is forked by a process of its own, from the same state."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        ours.close()
        null = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(null, number)
        serve(theirs)
    theirs.close()
    asking = Preloaded(ours)
    asking.install()
    usual, show = os.execve, warnings.showwarning

    def execve(path: str, words: Sequence[str], env: Mapping[str, str]) -> NoReturn:
        """`lcnb warm` becomes the server: it goes on in this process, as a new program would."""
        command = program(words, env)
        if command is None:
            usual(path, words, env)
        sys.modules["pandas"].set_option("display.max_columns", 20)  # as in a notebook
        warnings.showwarning = show
        asking.uninstall()
        ours.close()
        sys.path.remove(str(BIN))
        os.environ.clear()
        os.environ.update(env)
        os._exit(run(*command))

    os.execve = execve  # type: ignore[assignment]


def stream(number: int, env: Mapping[str, str]) -> Any:
    """A standard stream as Python makes it when it starts."""
    mode = "w" if number else "r"
    encoding, _, errors = env.get("PYTHONIOENCODING", "").partition(":")
    made = open(  # noqa: SIM115 - it stays open
        number, mode, encoding=encoding or "utf-8",
        errors="backslashreplace" if number == 2 else errors or "strict", closefd=False,
    )  # fmt: skip
    made.reconfigure(line_buffering=number == 2 or made.isatty() or "PYTHONUNBUFFERED" in env)  # type: ignore[attr-defined]
    return made


def forget_kernel(kernel: bool) -> None:
    """What found no kernel, or another one, when it was imported."""
    for name in list(sys.modules):
        if name.startswith(DETECTORS):
            del sys.modules[name]
    if kernel:  # it reads, when it is imported, the number of its parent, with which it ends
        del sys.modules["ipykernel.kernelapp"], sys.modules["ipykernel"].kernelapp
    if not kernel:
        sys.modules.pop("ipykernel.debugger", None)  # a shell has none
    backend = os.environ.get("MPLBACKEND") or (
        "module://matplotlib_inline.backend_inline" if kernel else None
    )
    if backend:
        dict.__setitem__(sys.modules["matplotlib"].rcParams, "backend", backend)


def run(how: str, words: list[str]) -> int:
    """Run it as Python would; its exit code."""
    try:
        try:
            if how == "-c":
                main = sys.modules["__main__"] = ModuleType("__main__")
                sys.argv = ["-c", *words[1:]]
                sys.path.insert(0, "")
                exec(compile(words[0], "<string>", "exec"), main.__dict__)
            elif how == "-m":
                sys.argv = list(words)
                if words[0] not in MODULES:
                    sys.path.insert(0, str(Path.cwd()))
                if not hasattr(sys.modules.get(words[0]), "__path__"):
                    sys.modules.pop(words[0], None)  # it is imported again, as `__main__`
                runpy.run_module(words[0], run_name="__main__", alter_sys=True)
            else:
                sys.argv = list(words)
                sys.path.insert(0, str(BIN))
                runpy.run_path(words[0], run_name="__main__")
        finally:
            threading._shutdown()  # type: ignore[attr-defined]
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if ended.code is not None and not isinstance(ended.code, int):
            print(ended.code, file=sys.stderr)
    except KeyboardInterrupt:
        traceback.print_exc()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
        raise
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        code = 1
    else:
        code = 0
    atexit._run_exitfuncs()
    for each in (sys.stdout, sys.stderr):
        try:
            each.flush()
        except (OSError, ValueError):
            code = code or 120
    return code


def main() -> None:
    """Import what the forks share, and only import: a process with threads could not be forked."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    connection.set_inheritable(False)
    del sys.path[0]  # the folder of this file
    from bs4 import BeautifulSoup

    from lcnb.runbooks.engine.forkserver import preload_modules

    usual = dict(os.environ)
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = (
        "1"  # or it would warn that Python's own modules are frozen
    )
    preload_modules()
    for name in ("ipykernel.debugger", KERNEL, "ipykernel.ipkernel", "papermill.cli", "starlette.applications",
                 "starlette.routing", "uvicorn", "lcnb.sandbox.asgi", "lcnb.sandbox.server", "lcnb.client"):  # fmt: skip
        import_module(name)
    BeautifulSoup("&amp;", "html.parser")  # makes its table of entities
    gc.freeze()  # what all have in common is not looked through, and so not copied, in each fork
    os.environ.clear()
    os.environ.update(usual)
    assert len(os.listdir("/proc/self/task")) == 1  # noqa: PTH208
    serve(connection)


if __name__ == "__main__":
    main()
