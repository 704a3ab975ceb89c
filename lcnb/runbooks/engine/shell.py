"""The process of a warm run's cells: forked before its runner has any thread (`prepare`), it waits for `start` (the
environment, folder and handles of the run), takes these over, and becomes a Jupyter kernel (`shell_kernel`).

When its runner dies, so does the shell.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from io import BufferedReader, BufferedWriter, FileIO, TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn

from lcnb.runbooks.engine.framing import receive

PR_SET_PDEATHSIG = 1
#: Handles below this are for those that a run brings with their numbers.
ABOVE = 200
#: As nbclient starts a kernel: the sources of cells are not kept in the user's history.
HISTORY = "--HistoryManager.hist_file=:memory:"
#: Modules that look, when they are imported, whether they are in a notebook.
LOOK_AROUND = ("tqdm.auto", "tqdm.autonotebook", "tqdm.notebook")


@dataclass
class Prepared:
    """A forked process that waits to become a shell: the runner's ends of its socket and pipe."""

    pid: int
    control: socket.socket
    iopub: int


def prepare() -> Prepared:
    """Fork the process of a shell. To be called while this process has one thread."""
    ours, theirs = socket.socketpair()
    read, write = os.pipe()
    runner = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            ours.close()
            os.close(read)
            _main(theirs, write, runner)
        except BaseException:
            traceback.print_exc(file=sys.__stderr__)  # told by the runner, with the death
        finally:
            os._exit(1)
    theirs.close()
    os.close(write)
    return Prepared(pid, ours, read)


def _main(control: socket.socket, iopub: int, runner: int) -> NoReturn:
    os.setsid()  # what a cell leaves behind is of this group, and ends with it
    _die_with(runner)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else signal.SIG_DFL)
    control = socket.socket(fileno=_above(control.detach()))
    iopub = _above(iopub)
    start, handles = receive(control)
    if start is None:
        os._exit(0)  # this run needs no shell
    _take_over(start, handles, runner)
    _forget_the_terminal()
    from lcnb.runbooks.engine.shell_kernel import serve  # ipykernel, which an ordinary runner has no need for

    serve(control, iopub)
    os._exit(0)


def _die_with(runner: int) -> None:
    """The runner may be killed without a word; nobody would then end a cell that goes on for ever."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != runner:
        os._exit(1)


def _above(handle: int) -> int:
    import fcntl  # not on Windows, where there are no warm runs

    moved = fcntl.fcntl(handle, fcntl.F_DUPFD_CLOEXEC, ABOVE)
    os.close(handle)
    return moved


def _take_over(start: Mapping[str, Any], handles: list[int], runner: int) -> None:
    """Become the process that this run wants: its environment, folder and handles."""
    words, *received = [_above(handle) for handle in handles]
    for wanted, handle in zip(start["handles"], received, strict=True):
        os.dup2(handle, wanted, inheritable=True)
    null = os.open(os.devnull, os.O_RDWR)
    for number, handle in enumerate((null, null, words)):
        os.dup2(handle, number, inheritable=True)
        name = ("stdin", "stdout", "stderr")[number]
        setattr(sys, name, _standard_stream(number, name))
        setattr(sys, f"__{name}__", getattr(sys, name))
    os.close(null)
    adopt(start["env"], start["cwd"])
    os.environ["JPY_PARENT_PID"] = str(runner)
    if "matplotlib" in sys.modules:
        backend = os.environ.get("MPLBACKEND") or "module://matplotlib_inline.backend_inline"
        dict.__setitem__(sys.modules["matplotlib"].rcParams, "backend", backend)
    # What a kernel is started with: a cell that reads the arguments finds the same ones.
    launcher = find_spec("ipykernel_launcher")
    sys.argv = [
        str(launcher and launcher.origin),
        "-f",
        str(Path(tempfile.gettempdir(), "kernel.json")),
        HISTORY,
    ]
    faulthandler.enable(words)


def _standard_stream(number: int, name: str) -> Any:
    """A standard stream as Python makes it when it starts."""
    mode = "w" if number else "r"
    raw = FileIO(number, mode, closefd=False)
    raw.name = f"<{name}>"
    buffer = BufferedWriter(raw) if number else BufferedReader(raw)
    errors = "backslashreplace" if number == 2 else "strict"
    stream: Any = TextIOWrapper(buffer, encoding="utf-8", errors=errors, line_buffering=number == 2)
    stream.mode = mode
    return stream


def _forget_the_terminal() -> None:
    """What has looked, when the server imported it, whether there is a notebook, looks again when a cell imports it."""
    for name in LOOK_AROUND:
        sys.modules.pop(name, None)
        parent, _, child = name.rpartition(".")
        if parent in sys.modules:
            vars(sys.modules[parent]).pop(child, None)
    if "rich" in sys.modules:
        vars(sys.modules["rich"])["_console"] = None


def adopt(env: Mapping[str, str], cwd: str) -> None:
    """After a fork: the environment and folder of whoever asked, and chance of one's own."""
    import random

    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    time.tzset()
    random.seed()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
