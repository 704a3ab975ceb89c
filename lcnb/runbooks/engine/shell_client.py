"""The runner's side of a forked shell (`shell`): what nbclient wants of a kernel's manager and of its client.

The process was forked before the runner had threads (`shell.prepare`) and is started by `ShellManager.start_kernel`.
Limits, interrupts, outputs and ends are dealt with by the same code as for an ordinary kernel: nothing of it is here.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from queue import Empty
from typing import IO, Any

from lcnb.runbooks.engine.framing import (
    frame_message,
    pack_message,
    send_message,
    take_message,
    unpack_message,
)
from lcnb.runbooks.engine.shell import PreparedShell

#: How long a shell has for its own end (what cells have registered with atexit).
SHUTDOWN_S = 5.0
POLL_S = 0.005

#: The shell that was forked for the run of this process, until one takes it.
_PREPARED_SHELLS: list[PreparedShell] = []


def store_prepared(prepared: PreparedShell) -> None:
    """The shell for the run that this process is about to make."""
    _PREPARED_SHELLS.append(prepared)


def take_prepared() -> PreparedShell | None:
    """That shell, once."""
    return _PREPARED_SHELLS.pop() if _PREPARED_SHELLS else None


class ShellProcess:
    """The process of a shell, as far as a `subprocess.Popen` is asked for it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit code, when it has ended. What it has left in its group is killed, before its number is free."""
        if self.returncode is None and os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            self._kill_group()
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        """Until it has ended, or for `timeout` seconds."""
        over = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None and (over is None or time.monotonic() < over):
            time.sleep(POLL_S)
        return self.returncode

    def kill(self) -> None:
        """End it and all that it has left in its group."""
        if self.poll() is None:
            self._kill_group()

    def interrupt(self) -> None:
        """As Ctrl-C: the cell, and what it has started."""
        if self.poll() is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGINT)

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


class _ShellProvisioner:
    def __init__(self, process: ShellProcess) -> None:
        self.process = process


class ShellManager:
    """Starts and ends a prepared shell. `dead` is what is raised when it has died while somebody waits for a reply."""

    def __init__(self, prepared: PreparedShell, dead: type[Exception]) -> None:
        self._prepared, self._dead = prepared, dead
        self.process = ShellProcess(prepared.pid)
        self.provisioner = _ShellProvisioner(self.process)
        self.has_kernel = False

    def start_kernel(
        self,
        *,
        cwd: str,
        env: Mapping[str, str],
        stderr: IO[bytes],
        pass_fds: tuple[int, ...] = (),
        **kwargs: object,
    ) -> None:
        """Give it what it starts with. OSError when it is gone."""
        start = {"cwd": cwd, "env": dict(env), "handles": pass_fds}
        send_message(self._prepared.control, start, [stderr.fileno(), *pass_fds])
        self.has_kernel = True

    def client(self) -> ShellClient:
        return ShellClient(self._prepared, self.process, self._dead)

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def interrupt_kernel(self) -> None:
        self.process.interrupt()

    async def shutdown_kernel(self, now: bool = False, restart: bool = False) -> None:
        """The end of its requests is its end; `now`, or after END_S, it is killed."""
        if not now and self.process.poll() is None:
            self._prepared.control.shutdown(socket.SHUT_WR)
            end = os.pidfd_open(self.process.pid)
            try:
                await asyncio.wait_for(_wait_readable(end), SHUTDOWN_S)
            except TimeoutError:
                pass  # it is killed
            finally:
                os.close(end)
        self.process.kill()
        self.process.wait()

    def cleanup_resources(self, restart: bool = False) -> None:
        self.has_kernel = False


class ShellClient:
    """Sends requests, and gives replies and outputs as the channels of a kernel's client do."""

    allow_stdin = False

    def __init__(self, prepared: PreparedShell, process: ShellProcess, dead: type[Exception]) -> None:
        from jupyter_client.session import Session

        self._prepared, self._process, self._dead = prepared, process, dead
        self.session = Session()
        prepared.control.setblocking(True)
        os.set_blocking(prepared.iopub, False)
        control = prepared.control
        self.iopub_channel = _ShellChannel(prepared.iopub, lambda: os.read(prepared.iopub, 1 << 18))
        self.shell_channel = _ShellChannel(
            control.fileno(),
            lambda: control.recv(1 << 18, socket.MSG_DONTWAIT),
            self._at_end,
            control.sendall,
        )

    def start_channels(self) -> None:
        """They are there already."""

    def stop_channels(self) -> None:
        self._prepared.control.close()
        os.close(self._prepared.iopub)

    async def wait_for_ready(self, timeout: float) -> None:
        """Until it says that it takes requests. RuntimeError when it does not in time, or dies."""
        try:
            await self.shell_channel.get_msg(timeout)
        except (Empty, self._dead) as error:
            raise RuntimeError(f"the shell does not answer: {error}") from None

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def execute(
        self,
        code: str,
        silent: bool = False,
        store_history: bool = True,
        stop_on_error: bool = True,
        **kwargs: object,
    ) -> str:
        content = {"code": code, "silent": silent, "store_history": store_history}
        return self._ask("execute_request", {**content, "stop_on_error": stop_on_error, "allow_stdin": False})

    def kernel_info(self) -> str:
        return self._ask("kernel_info_request", {})

    def _ask(self, kind: str, content: dict[str, Any]) -> str:
        message = self.session.msg(kind, content)
        self.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    async def _at_end(self) -> None:
        """It has closed its end: what it has said before is read first, then it is told to be dead."""
        over = time.monotonic() + 1
        while not self.iopub_channel.at_end and time.monotonic() < over:
            await asyncio.sleep(POLL_S)
        raise self._dead("Kernel died")


async def _wait_forever() -> None:
    await asyncio.Event().wait()


class _ShellChannel:
    """Messages from a handle. What was read stays here when a wait is given up: nothing is lost."""

    def __init__(
        self,
        handle: int,
        read: Callable[[], bytes],
        ended: Callable[[], Awaitable[None]] = _wait_forever,
        write: Callable[[bytes], object] = lambda data: None,
    ) -> None:
        self._handle, self._read, self._ended, self._write = handle, read, ended, write
        self._buffer = bytearray()
        self.at_end = False

    def send(self, message: Mapping[str, Any]) -> None:
        """Send one message; what nobody reads any more is dropped."""
        with suppress(OSError):  # it is dead: whoever waits for the reply is told so
            self._write(frame_message(pack_message(message)))

    async def get_msg(self, timeout: float | None = None) -> dict[str, Any]:
        """The next message. Empty when none comes within `timeout` seconds."""
        try:
            return await asyncio.wait_for(self._next(), timeout)
        except TimeoutError:
            raise Empty from None

    async def _next(self) -> dict[str, Any]:
        await asyncio.sleep(
            0
        )  # a cell that never stops to print must not keep limits and signals from their turn
        while (message := self._complete()) is None:
            if self.at_end:
                await self._ended()
            try:
                data = self._read()
            except (BlockingIOError, InterruptedError):
                await _wait_readable(self._handle)
                continue
            except ConnectionResetError:
                data = b""
            self._buffer += data
            self.at_end = not data
        return message

    def _complete(self) -> dict[str, Any] | None:
        packed = take_message(self._buffer)
        return None if packed is None else unpack_message(packed)


async def _wait_readable(handle: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(handle, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(handle)
