"""The server for warm runs: it has imported what runs need, and forks one process for each run.

The server imports modules and does nothing else: it has one thread, no secrets and no open files, so that a fork of it
is a clean process. It listens on a socket in a private folder, and forks a process for each request of a client. The
fork takes over the environment, folder, handles, limits and umask of the request; a second fork, the shell, waits to
run its cells. When the forked process ends, the server sends its exit code to the client; when the client disconnects
first, the server sends SIGTERM to the process. On other systems than Linux, or when a request does not fit,
`warm_server.spawn_process` returns None, and an ordinary process does the same work.
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

#: What a fork may run: a name in the request → the module with `main`.
ENTRY_MODULES = {"child": "lcnb.runbooks.batch.child", "command": "lcnb.cli.main"}
#: Modules that runs need and that are slow to import.
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
#: Seconds that the server waits for the request of a client that has connected.
REQUEST_TIMEOUT_S = 30.0


@dataclass
class _ForkedRun:
    """A forked process, and the connection to the client that requested it."""

    pid: int
    connection: socket.socket
    disconnected: bool = field(default=False)


def run_server(
    folder: Path, ready_text: str = "ready", *, owner: int | None = None, lock: int | None = None
) -> None:
    """Serve requests until SIGTERM or SIGINT; runs that have started end first.

    Args:
        folder: the private folder of the socket.
        ready_text: printed when the server listens.
        owner: a handle; the server also ends when its other end is closed.
        lock: a handle that forks close.
    """
    preload_modules()
    server = _ForkServer(folder, owner, lock)
    print(ready_text, flush=True)
    server.loop()


def preload_modules() -> None:
    """Import what runs need, compile the templates of reports, and list the installed packages."""
    import gc

    os.environ.update(SINGLE_THREAD_ENV)
    gc.disable()  # imported modules stay: looking for garbage in them takes a fifth of the time
    with _pretend_notebook():
        import_module("pandas")
    with defer_iri_grammar():
        for name in PRELOADED_MODULES:
            import_module(name)
    for name in [each for each in sys.modules if each.partition(".")[0] == "matplotlib_inline"]:
        del sys.modules[name]  # it sets up pictures when it is imported, and must do so in the shell
    import_module("lcnb.runbooks.publish.cells").html_exporter()
    import_module("lcnb.runbooks.execution").package_versions()
    import_module("jupyter_client.provisioning").KernelProvisionerFactory.instance()
    gc.freeze()  # the collector must not write to the memory that all forks share
    gc.enable()


@contextmanager
def _pretend_notebook() -> Iterator[None]:
    """Let pandas find a kernel during its import: it then prints frames as in a notebook."""
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
            os._exit(128 + number)  # the second signal: the runs continue without the server
        self.ending = True

    def loop(self) -> None:
        """Serve requests until the server is to end and all runs have ended."""
        try:
            while not (self.ending and not self.running):
                self._handle_events(self._wait_for_events())
        finally:
            self.path.unlink(missing_ok=True)

    def _wait_for_events(self) -> list[Any]:
        """Wait for a request, a signal, or the end of a client; return the handles that are ready."""
        watched: list[Any] = [self._woken]
        watched += [each.connection for each in self.running.values() if not each.disconnected]
        if not self.ending:
            watched.append(self.listener)
            watched += [self.owner] if self.owner is not None else []
        try:
            return select.select(watched, [], [], 60)[0]
        except InterruptedError:
            return []

    def _handle_events(self, ready: list[Any]) -> None:
        if self._woken in ready:
            os.read(self._woken, 4096)
        for each in list(self.running.values()):
            if each.connection in ready and not each.disconnected:
                each.disconnected = True  # a client sends nothing after its request, so this is its end
                _send_signal(each.pid, signal.SIGTERM)
        self._collect_ended()
        if self.owner in ready:
            shutil.rmtree(self.path.parent, ignore_errors=True)
            os._exit(0)
        if self.listener in ready and not self.ending:
            self._accept()

    def _collect_ended(self) -> None:
        """Send the exit code of each process that has ended to its client."""
        for pid, each in list(self.running.items()):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                del self.running[pid]
                self._reply(each.connection, {"code": os.waitstatus_to_exitcode(status)})
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
        refused = self._why_refused(request, handles)
        pid = 0
        if request is not None and not refused:
            try:
                pid = os.fork()
            except OSError as error:
                refused = f"no process: {error.strerror}"
            else:
                if pid == 0:
                    self._run_fork(connection, request, handles)
        for each in handles:
            os.close(each)
        if refused:
            self._reply(connection, {"refused": refused})
            connection.close()
            return
        end = os.pidfd_open(pid)  # the process is collected later, so the number is still its own
        self._reply(connection, {"pid": pid}, [end])
        os.close(end)
        self.running[pid] = _ForkedRun(pid, connection)

    def _reply(
        self, connection: socket.socket, reply: Mapping[str, Any], handles: Sequence[int] = ()
    ) -> None:
        try:
            send_message(connection, reply, handles)
        except OSError:
            pass  # the client is gone; the next event ends its process

    def _why_refused(self, request: Mapping[str, Any] | None, handles: Sequence[int]) -> str:
        """Why no process can be forked for this request; "" when it can."""
        if request is None or len(handles) != 3 or request.get("main") not in ENTRY_MODULES:
            return "no request"
        threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208
        return f"{threads} threads" if threads != 1 else ""

    def _run_fork(
        self, connection: socket.socket, request: Mapping[str, Any], handles: Sequence[int]
    ) -> NoReturn:
        """In the fork: leave the server behind, and run the request."""
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
    """Run the request in the forked process; return its exit code."""
    from lcnb.runbooks.engine.forked_process import MIN_HANDLE, adopt_environment
    from lcnb.runbooks.engine.shell import prepare_shell
    from lcnb.runbooks.engine.shell_client import store_prepared

    open_files = _apply_limits(request["limits"])
    os.umask(request["umask"])
    if (
        open_files > 2 * MIN_HANDLE
    ):  # otherwise the run has an ordinary kernel: a shell's handles have high numbers
        store_prepared(prepare_shell())
    _adopt_streams(handles)
    adopt_environment(request["env"], request["cwd"])
    sys.argv = ["lcnb", *request["argv"]]
    code = _call_main(import_module(ENTRY_MODULES[request["main"]]).main)
    atexit.unregister(close_shared_server)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass  # nobody reads it any more
    return code


def _apply_limits(limits: Mapping[str, tuple[int, int]]) -> int:
    """Set the resource limits of the request, at most those of this process; return the limit of open files."""
    import resource

    for name, (soft, hard) in limits.items():
        number = getattr(resource, f"RLIMIT_{name}")
        highest = resource.getrlimit(number)[1]
        if highest != resource.RLIM_INFINITY and (hard == resource.RLIM_INFINITY or hard > highest):
            hard = highest
            soft = min(soft, hard) if soft != resource.RLIM_INFINITY else hard
        resource.setrlimit(number, (soft, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


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


def _send_signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)  # the process is not collected yet, so the number is still its own
    except ProcessLookupError:
        pass  # it has ended


def main() -> None:
    """Run `python -m lcnb.runbooks.engine.forkserver FOLDER [READY_TEXT LOCK]`.

    With a folder alone the server ends with the process that started it. With the text that it prints when it listens,
    and the handle of its lock, it stays until a signal.
    """
    folder, *permanent = sys.argv[1:]
    if permanent:
        ready_text, lock = permanent
        run_server(Path(folder), ready_text, lock=int(lock))
    else:
        run_server(Path(folder), owner=0)


if __name__ == "__main__":
    from lcnb.runbooks.engine.forkserver import (
        main as entry,  # the same module, not a second one named __main__
    )

    entry()
