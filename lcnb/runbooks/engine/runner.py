"""The process of a warm run: forked by `forkserver` before there is a run, with a shell of its own for the cells.

It waits for a request (limits, environment, folder, handles and arguments of the run), takes these over, and performs
the run. A server that ends, or is killed, closes the connection: then a process that still waits ends too.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from lcnb.runbooks.ends import INTERRUPTED
from lcnb.runbooks.engine.forked_process import (
    MIN_HANDLE,
    adopt_environment,
    adopt_limits,
    open_null_streams,
    wait_behind_runs,
)
from lcnb.runbooks.engine.framing import receive_message, send_message
from lcnb.runbooks.engine.shell import PreparedShell, prepare_shell
from lcnb.runbooks.engine.shell_client import store_prepared
from lcnb.runbooks.engine.warm_server import close_shared_server
from lcnb.signals import ENDING_SIGNALS

#: What a run may be: a name in the request → the module with `main`.
ENTRY_MODULES = {"child": "lcnb.runbooks.batch.child", "command": "lcnb.cli.main"}
#: Seconds in which a process must receive the request; one that was stopped does not.
HAND_OVER_S = 10.0


@dataclass
class Standby:
    """A forked process that waits for a run."""

    pid: int
    connection: socket.socket

    def hand_over(self, request: Mapping[str, Any], handles: Sequence[int], client: socket.socket) -> bool:
        """Send the request; False when the process has ended, and so has not begun the run.

        It begins when it has received the whole request, which cannot be when sending the last part of it fails. It
        gets the connection to the client too, and sends the exit code there before it ends.
        """
        self.connection.settimeout(HAND_OVER_S)
        try:
            send_message(self.connection, request, [*handles, client.fileno()])
        except OSError:
            return False
        finally:
            self.connection.close()
        return True


def fork_standby(leave_server: Callable[[], None]) -> Standby:
    """Fork a process that waits for a run; it first calls `leave_server`. OSError when there is no room for one."""
    ours, theirs = socket.socketpair()
    try:
        pid = os.fork()
    except OSError:
        ours.close()
        theirs.close()
        raise
    if pid == 0:
        code = 1
        try:
            leave_server()
            ours.close()
            _wait_for_run(theirs)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    theirs.close()
    return Standby(pid, ours)


def _wait_for_run(connection: socket.socket) -> None:
    """Prepare a shell, wait for the request, run it, and send the exit code to the client."""
    os.setsid()
    wait_behind_runs()
    for number in (*ENDING_SIGNALS, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    open_null_streams()
    shell = _prepare_fitting_shell()
    request, handles = receive_message(connection)
    if request is None:
        return
    connection.close()
    client = socket.socket(fileno=handles.pop())
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in request["ignored"]:
        signal.signal(number, signal.SIG_IGN)
    if shell is not None and os.waitpid(shell.pid, os.WNOHANG)[0]:
        shell = _prepare_fitting_shell()  # it was killed while it waited
    adopt_limits(request["limits"])
    if shell is not None and _fits_shell():
        store_prepared(shell)
    elif shell is not None:
        shell.control.close()  # it ends
    code = _run_request(request, handles) & 0xFF
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the server sends it when the client has gone
    with suppress(OSError):
        send_message(client, {"code": code})  # before this process gives its memory back, which takes longer
    if shell is not None:
        _collect_shell(shell.pid)
    os._exit(code)


def _collect_shell(pid: int) -> None:
    """Collect the process of the shell, and kill it if the run has not used it."""
    # It was collected when it ended, and its number may be another process's.
    with suppress(ChildProcessError):
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _prepare_fitting_shell() -> PreparedShell | None:
    return prepare_shell() if _fits_shell() else None


def _fits_shell() -> bool:
    """Whether so many files may be open that the handles of a shell have high numbers."""
    import resource

    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 2 * MIN_HANDLE


def _run_request(request: Mapping[str, Any], handles: Sequence[int]) -> int:
    """Run the request; return its exit code."""
    _adopt_streams(handles)
    adopt_environment(request["env"], request["cwd"])
    sys.argv = ["lcnb", *request["argv"]]
    code = _call_main(import_module(ENTRY_MODULES[request["main"]]).main)
    atexit.unregister(close_shared_server)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # nobody reads it any more
            stream.flush()
    return code


def _adopt_streams(handles: Sequence[int]) -> None:
    """Make the handles of the request the standard streams of this process."""
    for wanted, handle in enumerate(handles):
        os.dup2(handle, wanted, inheritable=True)
        os.close(handle)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        setattr(sys, name, _open_stream(number, "w" if number else "r"))
        setattr(sys, f"__{name}__", getattr(sys, name))


def _open_stream(number: int, mode: str) -> Any:
    """A standard stream as Python creates it."""
    encoding = os.environ.get("PYTHONIOENCODING", "utf-8").partition(":")[0] or "utf-8"
    errors = "backslashreplace" if number == 2 else "strict"
    buffering = 1 if mode == "w" and (number == 2 or os.isatty(number)) else -1
    return open(number, mode, buffering, encoding=encoding, errors=errors, closefd=False)


def _call_main(main: Any) -> int:
    try:
        main()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED.exit_code
    except BaseException:
        traceback.print_exc()
        return 1
    return 0
