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
    ONE_THREAD,
    SOCKET,
    STARTING,
    WarmProcess,
    ask,
    fingerprint,
    folder_of_all,
    usable,
    wait_for,
)

SERVER = "lcnb.runbooks.engine.forkserver"
#: What the server itself gets beside these: nothing that could be a secret.
PASSED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "TZ", "VIRTUAL_ENV", "XDG_CACHE_HOME")
START_S = 60.0


# --- a server of one's own ------------------------------------------------------------------------------


class Server:
    """A server that lives as long as this process."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.fingerprint = fingerprint(env)
        self.owner = os.getpid()
        self.folder = Path(tempfile.mkdtemp(prefix="lcnb-warm-"))
        self._process = subprocess.Popen(
            python_process.command(SERVER, str(self.folder)),
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
            wait_for([stdout.fileno()], START_S)
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


_shared: Server | None = None
#: The environment for which none could be started: it is not tried again for each run.
_failed = ""
_lock = threading.Lock()


def begin(env: Mapping[str, str]) -> None:
    """Start the server of this process for such an environment, if it has none; does not wait for it."""
    global _shared, _failed
    with _lock:
        wanted = fingerprint(env)
        if _shared is not None and (_shared.owner != os.getpid() or _shared.fingerprint != wanted):
            _drop()
        if usable() and _shared is None and _failed != wanted:
            try:
                _shared = Server(env)
            except OSError:  # no room, no more processes: then an ordinary process will tell
                _failed = wanted


def shared(env: Mapping[str, str]) -> Server | None:
    """The server of this process for such an environment, listening; None without one."""
    global _failed
    begin(env)
    with _lock:
        if _shared is not None and not _shared.ready:
            _failed = _shared.fingerprint
            _drop()
        return _shared


def _drop() -> None:
    global _shared
    if _shared is not None:
        _shared.close()
        _shared = None


def close_shared() -> None:
    """End the server of this process, if it has one."""
    with _lock:
        _drop()


atexit.register(close_shared)


def spawn(
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
        if usable() and (folder_of_all() / SOCKET).exists():
            process = ask(folder_of_all(), main, argv, env, handles, stdin)
        if process is None and (server := shared(env)):
            process = ask(server.folder, main, argv, env, handles, stdin)
    finally:
        os.close(read)
    if process is None:
        stdin.close()
    return process


def _server_environment(env: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in env.items() if name in PASSED or name.startswith(STARTING)}
    return kept | ONE_THREAD


def stay(told: str) -> NoReturn:
    """Become a server for all runs of this user, until it is interrupted; `told` is said when it listens.

    RunError when one is there already. The process is begun anew, without the secrets of this one's environment.
    """
    folder = folder_of_all()
    if not usable():
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
    (folder / SOCKET).unlink(missing_ok=True)  # of one that was killed
    argv = python_process.command(SERVER, str(folder), told, str(lock))
    os.execve(sys.executable, argv, _server_environment(os.environ))  # noqa: S606
