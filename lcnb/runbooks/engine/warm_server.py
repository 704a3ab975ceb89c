"""The server for warm runs that this process uses: started, shared, closed, or kept running by `lcnb warm`.

`forkserver` is the server itself; `warm` sends it a request.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import IO, NoReturn, cast

from lcnb import python_process
from lcnb.errors import RunError
from lcnb.runbooks.engine.warm import (
    SINGLE_THREAD_ENV,
    SOCKET_NAME,
    STARTUP_PREFIXES,
    WarmProcess,
    is_supported,
    request_process,
    start_fingerprint,
    user_server_folder,
    wait_readable,
)

SERVER_MODULE = "lcnb.runbooks.engine.forkserver"
#: What the server itself gets beside these: nothing that could be a secret.
PASSED_VARIABLES = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "TZ", "VIRTUAL_ENV", "XDG_CACHE_HOME")
SERVER_START_S = 60.0


# --- a server of one's own ------------------------------------------------------------------------------


class WarmServer:
    """A server that lives as long as this process."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.fingerprint = start_fingerprint(env)
        self.owner = os.getpid()
        self.folder = Path(tempfile.mkdtemp(prefix="lcnb-warm-"))
        self._process = subprocess.Popen(
            python_process.module_command(SERVER_MODULE, str(self.folder)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=_server_environment(env),
            start_new_session=True,
        )

    @cached_property
    def ready(self) -> bool:
        """Whether it listens; waits until it does, or does not come to that."""
        stdout = cast("IO[bytes]", self._process.stdout)
        try:
            wait_readable([stdout.fileno()], SERVER_START_S)
        except subprocess.TimeoutExpired:
            return False
        return stdout.readline() == b"ready\n"

    def close(self) -> None:
        """End it. Runs that it has forked end with whoever asked for them."""
        if self.owner != os.getpid():
            return  # a fork of the process that has it
        with self._process as process:
            process.terminate()
        shutil.rmtree(self.folder, ignore_errors=True)


_shared: WarmServer | None = None
#: The environment for which none could be started: it is not tried again for each run.
_failed = ""
_lock = threading.Lock()


def start_server(env: Mapping[str, str]) -> None:
    """Start the server of this process for such an environment, if it has none; does not wait for it."""
    global _shared, _failed
    with _lock:
        wanted = start_fingerprint(env)
        if _shared is not None and (_shared.owner != os.getpid() or _shared.fingerprint != wanted):
            _close_locked()
        if is_supported() and _shared is None and _failed != wanted:
            try:
                _shared = WarmServer(env)
            except OSError:  # no room, no more processes: then an ordinary process will tell
                _failed = wanted


def shared_server(env: Mapping[str, str]) -> WarmServer | None:
    """The server of this process for such an environment, listening; None without one."""
    global _failed
    start_server(env)
    with _lock:
        if _shared is not None and not _shared.ready:
            _failed = _shared.fingerprint
            _close_locked()
        return _shared


def _close_locked() -> None:
    global _shared
    if _shared is not None:
        _shared.close()
        _shared = None


def close_shared_server() -> None:
    """End the server of this process, if it has one."""
    with _lock:
        _close_locked()


atexit.register(close_shared_server)


def spawn_process(
    main: str, argv: Sequence[str], *, env: Mapping[str, str], stdout: IO[bytes], stderr: IO[bytes]
) -> WarmProcess | None:
    """A process with a stdin that is ours to write, as `Popen(stdin=PIPE)`; None where it cannot be had.

    By the server that stays (`lcnb warm`) where that fits, else by one of this process.
    """
    read, write = os.pipe()
    stdin = os.fdopen(write, "wb", buffering=0)
    handles = (read, stdout.fileno(), stderr.fileno())
    try:
        process = None
        if is_supported() and (user_server_folder() / SOCKET_NAME).exists():
            process = request_process(user_server_folder(), main, argv, env, handles, stdin)
        if process is None and (server := shared_server(env)):
            process = request_process(server.folder, main, argv, env, handles, stdin)
    finally:
        os.close(read)
    if process is None:
        stdin.close()
    return process


def _server_environment(env: Mapping[str, str]) -> dict[str, str]:
    kept = {
        name: value
        for name, value in env.items()
        if name in PASSED_VARIABLES or name.startswith(STARTUP_PREFIXES)
    }
    return kept | SINGLE_THREAD_ENV


def become_server(told: str) -> NoReturn:
    """Become a server for all runs of this user, until it is interrupted; `told` is said when it listens.

    RunError when one is there already. The process is begun anew, without the secrets of this one's environment.
    """
    folder = user_server_folder()
    if not is_supported():
        raise RunError("warm runs need Linux; on this system each run starts a kernel of its own")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    import fcntl

    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RunError(f"a server for warm runs is there already ({folder}). Nothing was started.") from None
    os.set_inheritable(lock, True)  # it is locked as long as the server has this handle
    (folder / SOCKET_NAME).unlink(missing_ok=True)  # of one that was killed
    argv = python_process.module_command(SERVER_MODULE, str(folder), told, str(lock))
    os.execve(sys.executable, argv, _server_environment(os.environ))  # noqa: S606
