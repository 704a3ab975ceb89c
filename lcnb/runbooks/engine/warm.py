"""Asking the process for warm runs (`forkserver`) for a process, and waiting for its end.

`lcnb run` where such a process waits is this module and little else, and its start is a large part of what a run takes:
only what is small is imported here.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import lcnb
from lcnb.folders import state_dir
from lcnb.runbooks.engine.framing import receive_message, send_message
from lcnb.signals import ENDING_SIGNALS

TYPE_CHECKING = False  # typing itself takes milliseconds
if TYPE_CHECKING:
    from typing import IO, Any

SOCKET_NAME = "warm.sock"
#: Variables that count when Python starts or when those modules are imported: a server with others is of no use.
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
#: A library that starts threads when it is imported could not be forked.
SINGLE_THREAD_ENV = {
    "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"
}  # fmt: skip
RESOURCE_LIMITS = ("CPU", "FSIZE", "DATA", "STACK", "CORE", "NOFILE", "AS")


def is_supported() -> bool:
    """Whether this system can have warm runs at all."""
    return sys.platform == "linux" and hasattr(os, "pidfd_open")


def start_fingerprint(env: Mapping[str, str]) -> str:
    """What must be the same for a server to be of use: Python, packages, lcnb's own files, variables at start. As text:
    to import hashlib would take longer than to send it.

    >>> fingerprint({"PYTHONHASHSEED": "1"}) == fingerprint({"PYTHONHASHSEED": "2"})
    False
    """
    package = Path(lcnb.__file__).parent
    # `python` and `python3` of an environment are one program: the environment and the file behind the links count.
    python = (sys.prefix, os.path.realpath(sys.executable))
    facts: list[object] = [*python, sys.version, lcnb.__version__, str(package)]
    facts += sorted(
        (name, value)
        for name, value in env.items()
        if name.startswith(STARTUP_PREFIXES) and name not in SINGLE_THREAD_ENV
    )
    facts += [(str(path), path.stat().st_mtime_ns) for path in sorted(package.rglob("*.py"))]
    facts += [(each, os.stat(each).st_mtime_ns) for each in sys.path if each.endswith("-packages")]  # noqa: PTH116
    return repr(facts)


class WarmProcess:
    """A process that a server has forked for us, as far as a `subprocess.Popen` is asked for it.

    `end` is its pidfd: it becomes readable when the process has ended, and no other process is ever meant by it.
    """

    def __init__(self, connection: socket.socket, pid: int, end: int, stdin: IO[bytes] | None) -> None:
        self._connection, self.pid, self._end, self.stdin = connection, pid, end, stdin
        self.returncode: int | None = None
        #: The server has gone before it could tell the exit code.
        self.lost = False

    def __enter__(self) -> WarmProcess:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.stdin:
            try:
                self.stdin.close()
            except BrokenPipeError:
                pass  # it has ended without reading all of it
        self._connection.close()
        os.close(self._end)

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, when it has ended. TimeoutExpired otherwise."""
        if self.returncode is None:
            wait_readable((self._connection.fileno(), self._end), timeout)
            try:
                told, _ = receive_message(self._connection)
            except OSError:
                told = None
            if told is None:
                wait_readable((self._end,), timeout)
                self.lost = True
                told = {"code": 1}
            self.returncode = int(told["code"])
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal to that very process, if it is still there."""
        try:
            signal.pidfd_send_signal(self._end, number)
        except ProcessLookupError:
            pass  # it has just ended

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def wait_readable(handles: Sequence[int], timeout: float | None) -> None:
    """Until one of them is readable. TimeoutExpired when none becomes so."""
    poll = select.poll()
    for each in handles:
        poll.register(each, select.POLLIN)
    if not poll.poll(None if timeout is None else timeout * 1000):
        from subprocess import TimeoutExpired

        raise TimeoutExpired("a warm run", timeout or 0)


def request_process(
    folder: Path,
    main: str,
    argv: Sequence[str],
    env: Mapping[str, str],
    handles: Sequence[int],
    stdin: IO[bytes] | None = None,
) -> WarmProcess | None:
    """Have the server in `folder` fork a process; None when there is none, or it is of no use: nothing was started.

    RunError when the server is lost after it was given the request: whether it has forked is not known then, and
    another process beside it could do the same work twice.
    """
    connection = socket.socket(socket.AF_UNIX)
    try:
        _connect_server(connection, folder)
        hello, _ = receive_message(connection)
        if not hello or hello["fingerprint"] != start_fingerprint(env):
            raise ConnectionRefusedError("of no use")
        send_message(connection, _build_request(main, argv, env), handles)
    except (OSError, ValueError, KeyError):
        connection.close()
        return None
    try:
        told, ends = receive_message(connection)
    except OSError:
        told = None
    if told is None:
        connection.close()
        from lcnb.errors import RunError

        raise RunError(
            "the process for warm runs was lost as it began this one, and whether that goes on is not known. Nothing "
            "else was started. Look at `lcnb runs`, and start it again if it is not there."
        )
    if "refused" in told:
        connection.close()
        return None
    return WarmProcess(connection, told["pid"], ends[0], stdin)


def _build_request(main: str, argv: Sequence[str], env: Mapping[str, str]) -> dict[str, Any]:
    import resource

    umask = os.umask(0o077)
    os.umask(umask)
    return {
        "main": main,
        "argv": list(argv),
        "env": dict(env),
        "cwd": os.getcwd(),  # noqa: PTH109 - what the process has, as text
        "umask": umask,
        "limits": {name: resource.getrlimit(getattr(resource, f"RLIMIT_{name}")) for name in RESOURCE_LIMITS},
        "ignored": [number for number in ENDING_SIGNALS if signal.getsignal(number) == signal.SIG_IGN],
    }


def _connect_server(connection: socket.socket, folder: Path) -> None:
    """By the folder's handle: the address of a socket has room for 100 bytes, a path may be longer."""
    handle = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        connection.connect(f"/proc/self/fd/{handle}/{SOCKET_NAME}")
        _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if uid != os.getuid():  # somebody else's server would be given our token
            raise PermissionError(f"the server in {folder} is not ours")
    finally:
        os.close(handle)


def user_server_folder() -> Path:
    """Where the server is that `lcnb warm` keeps, for all processes of this user."""
    return state_dir() / "warm"


def is_server_running() -> bool:
    """Whether the server that `lcnb warm` keeps is there."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            _connect_server(connection, user_server_folder())
        except OSError:
            return False
        return True


def run_on_server(argv: Sequence[str]) -> int | None:
    """Have `lcnb ARGV` done by the server that stays, if there is one: its exit code. Signals are passed on."""
    folder = user_server_folder()
    if not is_supported() or not (folder / SOCKET_NAME).exists():
        return None
    handles = [number if _is_open(number) else os.open(os.devnull, os.O_RDWR) for number in range(3)]
    process = request_process(folder, "command", argv, os.environ, handles)
    if process is None:
        return None
    with process:
        for number in ENDING_SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, lambda came, frame: process.send_signal(came))
        code = process.wait()
    if process.lost:
        print("the process for warm runs was lost; how the run ended: lcnb show last", file=sys.stderr)
    return 128 - code if code < 0 else code


def _is_open(handle: int) -> bool:
    try:
        os.fstat(handle)
    except OSError:
        return False
    return True
