"""Requests to the server for warm runs (`forkserver`): get a process from it, and wait for its end.

Where such a server runs, `lcnb run` connects to it (`warm_socket`), then loads this module and little else. Its start
is a large part of the time of a run, so only small modules are imported here.
"""

from __future__ import annotations

import _socket
import os
import select
import signal
import sys
from collections.abc import Mapping, Sequence

import lcnb
from lcnb.runbooks.engine.framing import receive_message, send_message
from lcnb.runbooks.engine.warm_socket import connect_server, connect_user_server
from lcnb.runbooks.engine.warm_socket import is_supported as is_supported
from lcnb.runbooks.engine.warm_socket import user_server_folder as user_server_folder
from lcnb.signals import ENDING_SIGNALS

TYPE_CHECKING = False  # importing typing takes milliseconds
if TYPE_CHECKING:
    from typing import IO, Any

PACKAGE_FOLDER = os.path.dirname(lcnb.__file__)  # noqa: PTH120 - as a text
#: File → time of change, size and inode number.
FileVersions = dict[str, tuple[int, int, int]]
#: Variables that have an effect when Python starts or modules are imported: a server with other values does not fit.
STARTUP_PREFIXES = (
    "PYTHON",
    "LD_",
    "MPL",
    "OPENBLAS_",
    "OMP_",
    "MKL_",
    "ARROW_",
    "HOME",
    "IPYTHONDIR",
    "XDG_CONFIG",
)
#: Variables that keep libraries from starting threads during their import: a process with threads cannot be forked.
SINGLE_THREAD_ENV = {
    "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"
}  # fmt: skip
RESOURCE_LIMITS = ("CPU", "FSIZE", "DATA", "STACK", "CORE", "NOFILE", "AS")


def start_fingerprint(env: Mapping[str, str]) -> str:
    """Return what must be the same in a server and its client: Python, the package's folder, variables.

    It is a text and not a hash, because importing hashlib would take longer than sending the text.

    >>> start_fingerprint({"PYTHONHASHSEED": "1"}) == start_fingerprint({"PYTHONHASHSEED": "2"})
    False
    """
    # `python` and `python3` of an environment are one program: the environment and the file behind the links count.
    facts = [sys.prefix, os.path.realpath(sys.executable), sys.version, lcnb.__version__, PACKAGE_FOLDER]
    variables = sorted(
        (name, value)
        for name, value in env.items()
        if name.startswith(STARTUP_PREFIXES) and name not in SINGLE_THREAD_ENV
    )
    return repr((facts, variables, _package_folders()))


def file_versions() -> FileVersions:
    """Return the time of change, size and number of each module of lcnb, and the time of the folders of packages.

    A server compares them with those of its start before it accepts a request, so that no run uses code that was
    changed meanwhile.
    """
    found: FileVersions = {}
    folders = [PACKAGE_FOLDER]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.name.endswith(".py"):
                    status = entry.stat()
                    found[entry.path] = (status.st_mtime_ns, status.st_size, status.st_ino)
                elif "." not in entry.name and entry.name != "__pycache__" and entry.is_dir():
                    folders.append(entry.path)
    for each in _package_folders():
        found[each] = (os.stat(each).st_mtime_ns, 0, 0)  # noqa: PTH116 - pathlib takes milliseconds
    return found


def _package_folders() -> list[str]:
    return [each for each in sys.path if each.endswith("-packages")]


class WarmProcess:
    """A process that a server forked for this one, with the part of `subprocess.Popen` that is used.

    `end` is its pidfd: it becomes readable when the process has ended, and never means another process.
    """

    def __init__(self, connection: _socket.socket, pid: int, end: int, stdin: IO[bytes] | None) -> None:
        self._connection, self.pid, self._end, self.stdin = connection, pid, end, stdin
        self.returncode: int | None = None
        #: Whether the server died before it sent the exit code.
        self.lost = False

    def __enter__(self) -> WarmProcess:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.stdin:
            try:
                self.stdin.close()
            except BrokenPipeError:
                pass  # the process ended without reading all of it
        self._connection.close()
        os.close(self._end)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end of the process; return its exit code. TimeoutExpired when it does not end in time."""
        if self.returncode is None:
            wait_readable((self._connection.fileno(), self._end), timeout)
            try:
                reply, _ = receive_message(self._connection)
            except OSError:
                reply = None
            if reply is None:
                wait_readable((self._end,), timeout)
                self.lost = True
                reply = {"code": 1}
            self.returncode = int(reply["code"])
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal to the process, if it has not ended."""
        try:
            signal.pidfd_send_signal(self._end, number)
        except ProcessLookupError:
            pass  # it has just ended

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


def wait_readable(handles: Sequence[int], timeout: float | None) -> None:
    """Wait until a handle is readable. TimeoutExpired when none is within `timeout` seconds."""
    poll = select.poll()
    for each in handles:
        poll.register(each, select.POLLIN)
    if not poll.poll(None if timeout is None else timeout * 1000):
        from subprocess import TimeoutExpired

        raise TimeoutExpired("a warm run", timeout or 0)


def request_process(
    folder: str,
    main: str,
    argv: Sequence[str],
    env: Mapping[str, str],
    handles: Sequence[int],
    stdin: IO[bytes] | None = None,
) -> WarmProcess | None:
    """Let a process of the server in `folder` begin a run. None without a server that fits: then nothing was started.

    RunError when the server dies after it accepted the request: whether the run has begun is not known then, and a
    second process could do the same work twice.
    """
    connection = connect_server(folder)
    return None if connection is None else _request_on(connection, main, argv, env, handles, stdin)


def _request_on(
    connection: _socket.socket,
    main: str,
    argv: Sequence[str],
    env: Mapping[str, str],
    handles: Sequence[int],
    stdin: IO[bytes] | None = None,
) -> WarmProcess | None:
    """Request a process as `request_process` does, on a new connection."""
    try:
        request = _build_request(main, argv, env)
        fingerprint = start_fingerprint(env)
        hello, _ = receive_message(connection)
        if not hello or hello["fingerprint"] != fingerprint:
            raise ConnectionRefusedError("the server has another environment, or code that has changed since")
        send_message(connection, request, handles)
    except (OSError, ValueError, KeyError):
        connection.close()
        return None
    code: int | None = None
    try:
        reply, ends = receive_message(connection)
        if reply is not None and "code" in reply:  # a short run, whose process was faster than the server
            code = int(reply["code"])
            reply, ends = receive_message(connection)
    except OSError:
        reply = None
    if reply is None:
        connection.close()
        from lcnb.errors import RunError

        raise RunError(
            "the server for warm runs died after it accepted this run, and the run may have started. Nothing else was "
            "started. Look at `lcnb runs`, and start the run again if it is not listed."
        )
    if "refused" in reply:
        connection.close()
        return None
    process = WarmProcess(connection, reply["pid"], ends[0], stdin)
    process.returncode = code
    return process


def _build_request(main: str, argv: Sequence[str], env: Mapping[str, str]) -> dict[str, Any]:
    return {
        "main": main,
        "argv": list(argv),
        "env": dict(env),
        "cwd": os.getcwd(),  # noqa: PTH109 - what the process has, as text
        "limits": process_limits(),
        "ignored": [number for number in ENDING_SIGNALS if signal.getsignal(number) == signal.SIG_IGN],
    }


def process_limits() -> dict[str, Any]:
    """Return the limits of this process that a run takes over: resources, umask, niceness, blocked signals."""
    import resource

    umask = os.umask(0o077)
    os.umask(umask)
    return {
        "resources": {
            name: resource.getrlimit(getattr(resource, f"RLIMIT_{name}")) for name in RESOURCE_LIMITS
        },
        "umask": umask,
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    }


def is_server_running() -> bool:
    """Whether the server of `lcnb warm` is running."""
    connection = connect_user_server()
    if connection is not None:
        connection.close()
    return connection is not None


def run_on_server(connection: _socket.socket, argv: Sequence[str]) -> int | None:
    """Run `lcnb ARGV` on the connected server; return its exit code, or None if it does not fit. Pass signals on.

    RunError when the server dies before it is known whether the run has begun.
    """
    handles = [number if _is_open(number) else os.open(os.devnull, os.O_RDWR) for number in range(3)]
    process = _request_on(connection, "command", argv, os.environ, handles)
    if process is None:
        return None
    with process:
        for number in ENDING_SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, lambda received, frame: process.send_signal(received))
        code = process.wait()
    if process.lost:
        print("the server for warm runs died; lcnb show last says how the run ended", file=sys.stderr)
    return 128 - code if code < 0 else code


def _is_open(handle: int) -> bool:
    try:
        os.fstat(handle)
    except OSError:
        return False
    return True
