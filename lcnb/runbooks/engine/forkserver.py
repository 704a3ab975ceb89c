"""The server for warm runs: it has imported what runs need, and forks one process for each run.

The server imports modules and does nothing else: it has one thread, no secrets and no open files, so that a fork of it
is a clean process. It listens on a socket in a private folder, and hands each request of a client over to a standby: a
process (`runner`) that was forked before, and that has forked a second one, the shell, for the cells. The standby takes
over the environment, folder, handles and limits of the request; the server forks another standby for the next run, and
forks one at once when none is waiting. When the process of a run ends, the server sends its exit code to the client;
when the client disconnects first, the server sends SIGTERM to the process. On other systems than Linux, or when a
request does not fit, `warm_server.spawn_process` returns None, and an ordinary process does the same work.
"""

from __future__ import annotations

import builtins
import errno
import os
import select
import shutil
import signal
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lcnb.runbooks.engine.framing import receive_message, send_message
from lcnb.runbooks.engine.runner import ENTRY_MODULES, Standby, fork_standby
from lcnb.runbooks.engine.warm import (
    SINGLE_THREAD_ENV,
    FileVersions,
    file_versions,
    start_fingerprint,
)
from lcnb.runbooks.engine.warm_socket import SOCKET_NAME
from lcnb.runbooks.notebook.deferred_imports import defer_iri_grammar
from lcnb.signals import ENDING_SIGNALS

#: Modules that runs need and that are slow to import.
PRELOADED_MODULES = (
    "numpy", "pandas", "pandas.io.formats.html", "pandas.io.formats.string", "pandas.io.formats.style", "pyarrow",
    "pyarrow.pandas_compat", "pyarrow.parquet", "httpx", "matplotlib.pyplot", "matplotlib.backends.backend_agg",
    "pyarrow.vendored.version", "IPython", "IPython.core.application", "IPython.core.completerlib",
    "IPython.core.crashhandler", "IPython.core.logger", "IPython.core.oinspect", "IPython.extensions.storemagic",
    "IPython.core.debugger", "IPython.core.debugger_backport", "tornado.platform.asyncio",
    "bdb", "resource", "ipykernel.kernelapp", "ipykernel.eventloops", "ipykernel.kernelspec", "ipywidgets", "filelock",
    "nbclient", "nbconvert", "nbformat.validator", "papermill", "rich._emoji_codes", "rich.progress", "rich.table",
    "lcnb.client", "lcnb.cli.main", "lcnb.cli.runbooks", "lcnb.display.charts", "lcnb.display.terminal", "lcnb.cli.magic",
    "lcnb.runbooks.rerun", "lcnb.runbooks.batch.child", "lcnb.runbooks.toolkit.reachability", "lcnb.runbooks.engine.papermill_engine",
    "lcnb.runbooks.publish.report", "lcnb.runbooks.run", "lcnb.runbooks.engine.shell", "lcnb.runbooks.engine.shell_client",
    "lcnb.runbooks.engine.shell_kernel", "lcnb.runbooks.execution", "lcnb.runbooks.preflight", "lcnb.runbooks.engine.kernelspecs",
    "lcnb.runbooks.engine.papermill_client", "lcnb.runbooks.engine.forked_process", "lcnb.runbooks.notebook.injected_values",
    "lcnb.display.tables", "lcnb.display.panels", "lcnb.display.progress", "lcnb.display.formats", "lcnb.display.markup", "lcnb.cli.printing",
    "lcnb.runbooks.publish.cells", "lcnb.runbooks.batch.launcher", "lcnb.runbooks.toolkit.account_balance",
    "lcnb.runbooks.toolkit.plan_prices", "lcnb.runbooks.toolkit.ssh_keys", "lcnb.runbooks.toolkit.machine_health",
)  # fmt: skip
#: Seconds that the server waits for the request of a client that has connected.
REQUEST_TIMEOUT_S = 30.0
#: Each holds 18 MB, also while the runs of a batch take hours; a further run that begins at that moment is forked.
MAX_STANDBYS = 8
#: Seconds without any event, after which standbys of a batch that has ended are ended.
IDLE_S = 60.0
#: After so many standbys that ended before a run came, no more are forked until a run has begun.
MAX_FAILURES = 3


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
    files = file_versions()  # before the imports: a module that changes during them is noticed
    preload_modules()
    server = _ForkServer(folder, files, owner, lock)
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
    vars(import_module("lcnb.runbooks.engine.shell_kernel"))["PRELOADED_NAMES"] = frozenset(sys.modules)
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
    def __init__(self, folder: Path, files: FileVersions, owner: int | None, lock: int | None) -> None:
        self.fingerprint, self.files = start_fingerprint(os.environ), files
        self.owner, self.lock = owner, lock
        self.path = folder / SOCKET_NAME
        self.listener = socket.socket(socket.AF_UNIX)
        handle = os.open(folder, os.O_PATH | os.O_DIRECTORY)
        self.listener.bind(f"/proc/self/fd/{handle}/{SOCKET_NAME}")
        os.close(handle)
        self.path.chmod(0o600)
        self.listener.listen(128)
        #: Clients that have connected and not sent their request yet.
        self.connected: list[socket.socket] = []
        self.running: dict[int, _ForkedRun] = {}
        self.standbys: list[Standby] = []
        #: How many standbys ended before a run came, since the last one that got a run.
        self.failures = 0
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
        """Serve requests until the server is to end and all runs have ended. Standbys end with their connections."""
        try:
            while not self._has_ended():
                ready = self._wait_for_events()
                if ready:
                    self._handle_events(ready)
                elif not self.ending:
                    self._adjust_standbys()
        finally:
            self.path.unlink(missing_ok=True)

    def _has_ended(self) -> bool:
        """Whether the server is to end, and all runs have ended, also of clients that had connected before."""
        if self.ending:
            for connection in self.connected:
                self._serve(connection)
            self.connected.clear()
        return self.ending and not self.running

    def _wait_for_events(self) -> list[Any]:
        """Wait for a request, a signal, the end of a client, or idle time; return the handles that are ready."""
        watched: list[Any] = [self._woken, *self.connected]
        watched += [each.connection for each in self.running.values() if not each.disconnected]
        if not self.ending:
            watched.append(self.listener)
            watched += [self.owner] if self.owner is not None else []
        lacking = not self.ending and len(self.standbys) < self._wanted_standbys()
        try:
            return select.select(watched, [], [], 0 if lacking else IDLE_S)[0]
        except InterruptedError:
            return [self._woken]

    def _handle_events(self, ready: list[Any]) -> None:
        if self._woken in ready:
            with suppress(BlockingIOError):
                os.read(self._woken, 4096)
        for each in list(self.running.values()):
            if each.connection in ready and not each.disconnected:
                each.disconnected = True  # a client sends nothing after its request, so this is its end
                _send_signal(each.pid, signal.SIGTERM)
        self._collect_ended()
        if self.owner in ready:
            shutil.rmtree(self.path.parent, ignore_errors=True)
            os._exit(0)
        for connection in [each for each in self.connected if each in ready]:
            self.connected.remove(connection)
            self._serve(connection)
        if self.listener in ready and not self.ending:
            self._accept()

    def _collect_ended(self) -> None:
        """Send the exit code of each process that has ended to its client, and forget standbys that have ended.

        A process that was not killed has sent its exit code itself.
        """
        for pid, each in list(self.running.items()):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                del self.running[pid]
                self._reply(each.connection, {"code": os.waitstatus_to_exitcode(status)})
                each.connection.close()
        for standby in [each for each in self.standbys if os.waitpid(each.pid, os.WNOHANG)[0]]:
            self.standbys.remove(standby)
            standby.connection.close()
            self.failures += 1

    # --- standbys ---------------------------------------------------------------------------------------

    def _wanted_standbys(self) -> int:
        """One for the next run; under a batch as many as it has workers, at most MAX_STANDBYS and one per processor."""
        if self.failures >= MAX_FAILURES:
            return 0
        return max(1, min(len(self.running), len(os.sched_getaffinity(0)), MAX_STANDBYS))

    def _adjust_standbys(self) -> None:
        """Fork a standby that is lacking. After some time without any event, end those that are too many."""
        wanted = self._wanted_standbys()
        if len(self.standbys) >= wanted:
            while len(self.standbys) > wanted:
                self._end_standby(self.standbys.pop())
        elif not _why_not_alone():
            try:
                self.standbys.append(fork_standby(self._leave))
            except OSError:
                self.failures += 1
        else:
            self.failures = MAX_FAILURES

    def _end_standby(self, standby: Standby) -> None:
        """Kill a process that has no run, and collect it. Its shell ends with it."""
        standby.connection.close()
        _send_signal(standby.pid, signal.SIGKILL)
        os.waitpid(standby.pid, 0)

    def _leave(self) -> None:
        """In a fork: close what belongs to the server."""
        signal.set_wakeup_fd(-1)
        connections = [each.connection for each in self.running.values()]
        connections += [each.connection for each in self.standbys]
        for connection in (*connections, *self.connected, self.listener):
            connection.close()
        for handle in (self._woken, self._wake, *([self.lock] if self.lock is not None else [])):
            os.close(handle)

    # --- requests ---------------------------------------------------------------------------------------

    def _accept(self) -> None:
        """Say to a client what this server has imported; "" when the files on the disk are not those any more."""
        connection, _ = self.listener.accept()
        connection.settimeout(REQUEST_TIMEOUT_S)
        current = self.files == file_versions()
        try:
            send_message(connection, {"fingerprint": self.fingerprint if current else ""})
        except OSError:
            connection.close()
        else:
            self.connected.append(connection)

    def _serve(self, connection: socket.socket) -> None:
        """Receive the request of a client, and let a process begin it."""
        try:
            request, handles = receive_message(connection)
        except (OSError, ValueError):
            connection.close()
            return
        refused = _why_refused(request, handles)
        pid = 0
        if request is not None and not refused:
            try:
                pid = self._begin(request, handles, connection)
            except OSError as error:
                refused = f"no process: {error.strerror}"
        for each in handles:
            os.close(each)
        if refused:
            self._reply(connection, {"refused": refused})
            connection.close()
            return
        self.running[pid] = _ForkedRun(pid, connection)
        end = os.pidfd_open(pid)  # the process is collected later, so the number is still its own
        self._reply(connection, {"pid": pid}, [end])
        os.close(end)

    def _begin(self, request: Mapping[str, Any], handles: Sequence[int], client: socket.socket) -> int:
        """Hand the request over to a standby, or to a new fork; return its process id. OSError when none can begin."""
        self._collect_ended()
        while self.standbys:
            standby = self.standbys.pop(0)
            if standby.hand_over(request, handles, client):
                self.failures = 0
                return standby.pid
            self._end_standby(standby)
        standby = fork_standby(self._leave)
        if not standby.hand_over(request, handles, client):
            self._end_standby(standby)
            raise OSError(errno.ECHILD, "the forked process ended at once")
        return standby.pid

    def _reply(
        self, connection: socket.socket, reply: Mapping[str, Any], handles: Sequence[int] = ()
    ) -> None:
        try:
            send_message(connection, reply, handles)
        except OSError:
            pass  # the client is gone; the next event ends its process


def _why_refused(request: Mapping[str, Any] | None, handles: Sequence[int]) -> str:
    """Why no process can run this request; "" when one can."""
    if request is None or len(handles) != 3 or request.get("main") not in ENTRY_MODULES:
        return "no request"
    return _why_not_alone()


def _why_not_alone() -> str:
    """Why a fork would not be a clean process: the server has more than one thread. "" when it has one."""
    threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208
    return f"{threads} threads" if threads != 1 else ""


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
