"""The process that runs the cells of a warm run: forked before its runner has any thread (`prepare_shell`).

It builds a Jupyter kernel (`shell_kernel`), waits for the start message (limits, environment, folder and handles of the
run), takes these over, and runs cells. When its runner dies, the shell ends too.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from lcnb.runbooks.engine.forked_process import (
    NO_HISTORY_ARGUMENT,
    adopt_environment,
    adopt_limits,
    die_with_parent,
    move_handle,
    reserve_handles,
)
from lcnb.runbooks.engine.framing import receive_message

if TYPE_CHECKING:
    from lcnb.runbooks.engine.shell_kernel import ShellApp

#: Modules that check during their import whether they are in a notebook.
NOTEBOOK_DETECTORS = ("tqdm.auto", "tqdm.autonotebook", "tqdm.notebook")


@dataclass
class PreparedShell:
    """A forked process that waits to become a shell, with the runner's ends of its socket and pipe."""

    pid: int
    control: socket.socket
    iopub: int


def prepare_shell() -> PreparedShell:
    """Fork the process of a shell. Call it while this process has only one thread."""
    ours, theirs = socket.socketpair()
    read, write = os.pipe()
    runner = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            ours.close()
            os.close(read)
            _become_shell(theirs, write, runner)
        except BaseException:
            traceback.print_exc(file=sys.__stderr__)  # the runner shows it with the death
        finally:
            os._exit(1)
    theirs.close()
    os.close(write)
    return PreparedShell(pid, ours, read)


def _become_shell(control: socket.socket, iopub: int, runner: int) -> NoReturn:
    os.setsid()  # processes that a cell leaves behind end with this group
    die_with_parent(runner)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else signal.SIG_DFL)
    control = socket.socket(fileno=move_handle(control.detach()))
    iopub = move_handle(iopub)
    reserved = reserve_handles()

    def wait_for_run(app: ShellApp) -> None:
        for handle in reserved:
            os.close(handle)
        start, handles = receive_message(control)
        if start is None:
            os._exit(0)  # this run needs no shell
        _adopt_start(start, handles, runner, app.stderr)
        _forget_terminal()

    from lcnb.runbooks.engine.shell_kernel import (
        run_kernel,  # imports ipykernel, which a runner does not need
    )

    run_kernel(control, iopub, wait_for_run)
    os._exit(0)


def _adopt_start(start: Mapping[str, Any], handles: list[int], runner: int, kept_stderr: int) -> None:
    """Take over the limits, environment, folder and handles of the run."""
    adopt_limits(start["limits"])
    stderr, *received = [move_handle(handle) for handle in handles]
    for wanted, handle in zip(start["handles"], received, strict=True):
        os.dup2(handle, wanted, inheritable=True)
    os.dup2(stderr, kept_stderr, inheritable=False)
    os.close(stderr)
    adopt_environment(start["env"], start["cwd"])
    os.environ["JPY_PARENT_PID"] = str(runner)
    if "matplotlib" in sys.modules:
        backend = os.environ.get("MPLBACKEND") or "module://matplotlib_inline.backend_inline"
        dict.__setitem__(sys.modules["matplotlib"].rcParams, "backend", backend)
    # The arguments of an ordinary kernel, for cells that read them.
    launcher = find_spec("ipykernel_launcher")
    sys.argv = [
        str(launcher and launcher.origin),
        "-f",
        str(Path(tempfile.gettempdir(), "kernel.json")),
        NO_HISTORY_ARGUMENT,
    ]
    faulthandler.enable(kept_stderr)


def _forget_terminal() -> None:
    """Drop modules that checked for a notebook when the server imported them: a cell's import checks again."""
    for name in NOTEBOOK_DETECTORS:
        sys.modules.pop(name, None)
        parent, _, child = name.rpartition(".")
        if parent in sys.modules:
            vars(sys.modules[parent]).pop(child, None)
    if "rich" in sys.modules:
        vars(sys.modules["rich"])["_console"] = None
