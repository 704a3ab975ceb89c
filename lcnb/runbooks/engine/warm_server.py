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
    STARTUP_PREFIXES,
    FileVersions,
    WarmProcess,
    file_versions,
    request_process,
    start_fingerprint,
    wait_readable,
)
from lcnb.runbooks.engine.warm_socket import SOCKET_NAME, is_supported, user_server_folder

SERVER_MODULE = "lcnb.runbooks.engine.forkserver"
#: Variables that the server gets besides those with STARTUP_PREFIXES: none of them can be a secret.
PASSED_VARIABLES = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "TZ", "VIRTUAL_ENV", "XDG_CACHE_HOME")
SERVER_START_S = 60.0


#: What a server must have imported, and the files of lcnb at that time.
Fingerprint = tuple[str, FileVersions]


def _fingerprint(env: Mapping[str, str]) -> Fingerprint:
    return start_fingerprint(env), file_versions()


class WarmServer:
    """A server that this process started, and that ends with it."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.fingerprint = _fingerprint(env)
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
        """Whether the server listens. Waits until it does, or until it has failed to start."""
        stdout = cast("IO[bytes]", self._process.stdout)
        try:
            wait_readable([stdout.fileno()], SERVER_START_S)
        except subprocess.TimeoutExpired:
            return False
        return stdout.readline() == b"ready\n"

    def close(self) -> None:
        """End the server. Runs that it forked end with the clients that requested them."""
        if self.owner != os.getpid():
            return  # this is a fork of the process that started it
        with self._process as process:
            process.terminate()
        shutil.rmtree(self.folder, ignore_errors=True)


_shared: WarmServer | None = None
#: The fingerprint of an environment for which no server could be started: no further attempt for each run.
_failed: Fingerprint | None = None
_lock = threading.Lock()


def start_server(env: Mapping[str, str]) -> None:
    """Start the server of this process for an environment, unless it has one; do not wait for it."""
    global _shared, _failed
    with _lock:
        wanted = _fingerprint(env)
        if _shared is not None and (_shared.owner != os.getpid() or _shared.fingerprint != wanted):
            _close_locked()
        if is_supported() and _shared is None and _failed != wanted:
            try:
                _shared = WarmServer(env)
            except OSError:  # no disk space or processes: the ordinary process will report it
                _failed = wanted


def shared_server(env: Mapping[str, str]) -> WarmServer | None:
    """Return the listening server of this process for an environment; None when it cannot be started."""
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
    """Start a warm process whose stdin this process can write, as with `Popen(stdin=PIPE)`.

    The server of `lcnb warm` forks it where that server fits, else a server of this process.

    Args:
        main: a name in `forkserver.ENTRY_MODULES`.
        argv: the arguments of the process, without the program.
        env: its environment.
        stdout, stderr: files that it writes to.

    Returns None where warm processes are not available: start an ordinary process then.
    """
    read, write = os.pipe()
    stdin = os.fdopen(write, "wb", buffering=0)
    handles = (read, stdout.fileno(), stderr.fileno())
    try:
        process = None
        if is_supported():
            process = request_process(user_server_folder(), main, argv, env, handles, stdin)
        if process is None and (server := shared_server(env)):
            process = request_process(str(server.folder), main, argv, env, handles, stdin)
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


def become_server(ready_text: str) -> NoReturn:
    """Become the server for all runs of this user, until it is interrupted. It prints `ready_text` when it listens.

    The process is replaced, without the secrets in the environment of this one. RunError when such a server exists.
    """
    folder = Path(user_server_folder())
    if not is_supported():
        raise RunError(
            "warm runs need Linux; on this system each run starts its own kernel. Nothing was started."
        )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    import fcntl

    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RunError(
            f"a server for warm runs is running already ({folder}). Nothing was started."
        ) from None
    os.set_inheritable(lock, True)  # the lock is held as long as the server has this handle
    (folder / SOCKET_NAME).unlink(missing_ok=True)  # left behind by a server that was killed
    argv = python_process.module_command(SERVER_MODULE, str(folder), ready_text, str(lock))
    os.execve(sys.executable, argv, _server_environment(os.environ))  # noqa: S606
