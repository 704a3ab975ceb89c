"""The server for warm runs: it has imported what runs need, and forks one process for each run.

`run_server` imports (and only imports: one thread, no secrets, nothing opened), listens on a socket in a private
folder, and forks for each request. The fork gets the environment, folder, handles, limits and random seed of the
request; next to it a second fork waits, the shell for the cells. It exits like any process, and its exit code is
sent to the client.

Linux only. Elsewhere, and when anything does not fit, `warm_server.spawn_process` returns None and an ordinary
process does the same work. A client learns of the end from the kernel (pidfd); when a client disconnects, its
process gets SIGTERM.
"""

from __future__ import annotations

import atexit
import builtins
import os
import select
import shutil
import signal
import socket
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

from lcnb.runbooks.ends import INTERRUPTED
from lcnb.runbooks.engine.framing import receive_message, send_message
from lcnb.runbooks.engine.warm import SINGLE_THREAD_ENV, SOCKET_NAME, start_fingerprint
from lcnb.runbooks.engine.warm_server import close_shared_server
from lcnb.runbooks.notebook.deferred_imports import defer_iri_grammar
from lcnb.signals import ENDING_SIGNALS

#: What a fork may become.
ENTRY_MODULES = {"child": "lcnb.runbooks.batch.child", "command": "lcnb.cli.main"}
#: What runs need, slow to import.
PRELOADED_MODULES = (
    "numpy", "pandas", "pandas.io.formats.html", "pandas.io.formats.string", "pandas.io.formats.style", "pyarrow",
    "pyarrow.pandas_compat", "pyarrow.parquet", "httpx", "matplotlib.pyplot", "matplotlib.backends.backend_agg",
    "pyarrow.vendored.version", "IPython", "IPython.core.application", "IPython.core.completerlib",
    "IPython.core.crashhandler", "IPython.core.logger", "IPython.core.oinspect", "IPython.extensions.storemagic",
    "bdb", "resource", "ipykernel.kernelapp", "ipykernel.eventloops", "ipykernel.kernelspec", "ipywidgets", "filelock",
    "nbclient", "nbconvert", "nbformat.validator", "papermill", "rich._emoji_codes", "rich.progress", "rich.table",
    "lcnb.client", "lcnb.cli.main", "lcnb.cli.runbooks", "lcnb.display.charts", "lcnb.display.terminal", "lcnb.cli.magic",
    "lcnb.runbooks.rerun", "lcnb.runbooks.batch.child", "lcnb.runbooks.toolkit.reachability", "lcnb.runbooks.engine.papermill_engine",
    "lcnb.runbooks.publish.report", "lcnb.runbooks.run", "lcnb.runbooks.engine.shell", "lcnb.runbooks.engine.shell_client",
    "lcnb.runbooks.engine.shell_kernel", "lcnb.runbooks.execution", "lcnb.runbooks.preflight", "lcnb.runbooks.engine.kernelspecs",
    "lcnb.runbooks.engine.papermill_client", "lcnb.runbooks.engine.forked_process", "lcnb.runbooks.notebook.injected_values",
    "lcnb.display.tables", "lcnb.display.panels", "lcnb.display.formats", "lcnb.display.markup", "lcnb.cli.printing",
    "lcnb.runbooks.publish.cells", "lcnb.runbooks.batch.launcher", "lcnb.runbooks.toolkit.account_balance",
    "lcnb.runbooks.toolkit.plan_prices", "lcnb.runbooks.toolkit.ssh_keys", "lcnb.runbooks.toolkit.machine_health",
)  # fmt: skip
#: How long a server waits for a request of somebody who has connected.
REQUEST_TIMEOUT_S = 30.0


# --- the server -----------------------------------------------------------------------------------------


@dataclass
class _ForkedRun:
    """A process under way: who asked for it."""

    pid: int
    connection: socket.socket
    gone: bool = field(default=False)


def run_server(
    folder: Path, told: str = "ready", *, owner: int | None = None, lock: int | None = None
) -> None:
    """Listen in `folder` until `owner` (a handle) is closed, or SIGTERM or SIGINT comes; runs under way end first.

    `lock` is a handle that forks do not keep.
    """
    preload_modules()
    server = _ForkServer(folder, owner, lock)
    print(told, flush=True)
    server.loop()


def preload_modules() -> None:
    """Import what runs need; nothing of it is used, but to compile templates and to look through what is installed."""
    import gc

    os.environ.update(SINGLE_THREAD_ENV)
    gc.disable()  # what is imported stays: to look for garbage in it takes a fifth of the time
    with _pretend_notebook():
        import_module("pandas")
    with defer_iri_grammar():
        for name in PRELOADED_MODULES:
            import_module(name)
    for name in [each for each in sys.modules if each.partition(".")[0] == "matplotlib_inline"]:
        del sys.modules[name]  # it sets pictures up when it is imported, and only in a shell
    import_module("lcnb.runbooks.publish.cells").html_exporter()
    import_module("lcnb.runbooks.execution").package_versions()
    import_module("jupyter_client.provisioning").KernelProvisionerFactory.instance()
    gc.freeze()  # what all have in common is not written to by the collector
    gc.enable()


@contextmanager
def _pretend_notebook() -> Iterator[None]:
    """pandas looks for a kernel when it is imported, and sets how many columns of a frame are printed."""
    builtins.get_ipython = lambda: SimpleNamespace(kernel=None)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        del builtins.get_ipython  # type: ignore[attr-defined]


class _ForkServer:
    def __init__(self, folder: Path, owner: int | None, lock: int | None) -> None:
        self.fingerprint = start_fingerprint(os.environ)
        self.owner, self.lock = owner, lock
        self.path = folder / SOCKET_NAME
        self.listener = socket.socket(socket.AF_UNIX)
        handle = os.open(folder, os.O_PATH | os.O_DIRECTORY)
        self.listener.bind(f"/proc/self/fd/{handle}/{SOCKET_NAME}")
        os.close(handle)
        self.path.chmod(0o600)
        self.listener.listen(128)
        self.running: dict[int, _ForkedRun] = {}
        self.ending = False
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        for number in ENDING_SIGNALS:
            signal.signal(number, self._end)

    def _end(self, number: int, frame: object) -> None:
        if self.ending:
            os._exit(128 + number)  # asked twice: the runs go on without us
        self.ending = True

    def loop(self) -> None:
        try:
            while not (self.ending and not self.running):
                self._turn()
        finally:
            self.path.unlink(missing_ok=True)

    def _turn(self) -> None:
        watched: list[Any] = [self._woken]
        watched += [each.connection for each in self.running.values() if not each.gone]
        if not self.ending:
            watched.append(self.listener)
            watched += [self.owner] if self.owner is not None else []
        try:
            ready = select.select(watched, [], [], 60)[0]
        except InterruptedError:
            return
        if self._woken in ready:
            os.read(self._woken, 4096)
        for each in list(self.running.values()):
            if each.connection in ready and not each.gone:
                each.gone = True  # nothing more is ever said by this side: he is gone
                _send_signal(each.pid, signal.SIGTERM)
        self._bury()
        if self.owner in ready:
            shutil.rmtree(self.path.parent, ignore_errors=True)
            os._exit(0)
        if self.listener in ready and not self.ending:
            self._accept()

    def _bury(self) -> None:
        for pid, each in list(self.running.items()):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                del self.running[pid]
                self._answer(each.connection, {"code": os.waitstatus_to_exitcode(status)})
                each.connection.close()

    def _accept(self) -> None:
        connection, _ = self.listener.accept()
        connection.settimeout(REQUEST_TIMEOUT_S)
        try:
            send_message(connection, {"fingerprint": self.fingerprint})
            request, handles = receive_message(connection)
        except (OSError, ValueError):
            connection.close()
            return
        connection.settimeout(None)
        refused = self._unfit(request, handles)
        pid = 0
        if request is not None and not refused:
            try:
                pid = os.fork()
            except OSError as error:
                refused = f"no process: {error.strerror}"
            else:
                if pid == 0:
                    self._become(connection, request, handles)
        for each in handles:
            os.close(each)
        if refused:
            self._answer(connection, {"refused": refused})
            connection.close()
            return
        end = os.pidfd_open(pid)  # not buried before the next turn
        self._answer(connection, {"pid": pid}, [end])
        os.close(end)
        self.running[pid] = _ForkedRun(pid, connection)

    def _answer(
        self, connection: socket.socket, answer: Mapping[str, Any], handles: Sequence[int] = ()
    ) -> None:
        try:
            send_message(connection, answer, handles)
        except OSError:
            pass  # he is gone; his process is told by the next turn

    def _unfit(self, request: Mapping[str, Any] | None, handles: Sequence[int]) -> str:
        """Why this request cannot be forked for; empty when it can."""
        if request is None or len(handles) != 3 or request.get("main") not in ENTRY_MODULES:
            return "no request"
        threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208
        return f"{threads} threads" if threads != 1 else ""

    def _become(
        self, connection: socket.socket, request: Mapping[str, Any], handles: Sequence[int]
    ) -> NoReturn:
        """In the fork: be what was asked for."""
        code = 1
        try:
            for each in self.running.values():
                each.connection.close()
            connection.close()
            self.listener.close()
            if self.lock is not None:
                os.close(self.lock)
            signal.set_wakeup_fd(-1)
            os.close(self._woken)
            os.close(self._wake)
            os.setsid()
            for number in (*ENDING_SIGNALS, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            for number in request["ignored"]:
                signal.signal(number, signal.SIG_IGN)
            code = _run_request(request, handles)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code & 0xFF)


def _run_request(request: Mapping[str, Any], handles: Sequence[int]) -> int:
    """The work of a forked process; its exit code."""
    import resource

    from lcnb.runbooks.engine.forked_process import MIN_HANDLE, adopt_environment
    from lcnb.runbooks.engine.shell import prepare_shell
    from lcnb.runbooks.engine.shell_client import store_prepared

    for name, (soft, hard) in request["limits"].items():
        number = getattr(resource, f"RLIMIT_{name}")
        highest = resource.getrlimit(number)[1]
        if highest != resource.RLIM_INFINITY and (hard == resource.RLIM_INFINITY or hard > highest):
            hard = highest
            soft = min(soft, hard) if soft != resource.RLIM_INFINITY else hard
        resource.setrlimit(number, (soft, hard))
    os.umask(request["umask"])
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 2 * MIN_HANDLE:
        store_prepared(
            prepare_shell()
        )  # otherwise the run has an ordinary kernel: a shell's handles have high numbers
    for wanted, handle in enumerate(handles):
        os.dup2(handle, wanted, inheritable=True)
        os.close(handle)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        setattr(sys, name, _open_stream(number, "w" if number else "r"))
        setattr(sys, f"__{name}__", getattr(sys, name))
    adopt_environment(request["env"], request["cwd"])
    sys.argv = ["lcnb", *request["argv"]]
    code = _call_main(import_module(ENTRY_MODULES[request["main"]]).main)
    atexit.unregister(close_shared_server)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass  # nobody reads on
    return code


def _open_stream(number: int, mode: str) -> Any:
    """A standard stream as Python makes it."""
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


def _send_signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)  # not buried yet, so it is that process still
    except ProcessLookupError:
        pass  # it has ended by itself


def main() -> None:
    """`python -m lcnb.runbooks.engine.forkserver FOLDER`: the server of a process, which ends with that. With what
    it says when it listens, and the handle of its lock: one that stays."""
    folder, *stays = sys.argv[1:]
    if stays:
        told, lock = stays
        run_server(Path(folder), told, lock=int(lock))
    else:
        run_server(Path(folder), owner=0)


if __name__ == "__main__":
    from lcnb.runbooks.engine.forkserver import main as entry  # one module, not a second one called __main__

    entry()
