"""The runner's side of a forked shell (`shell`): the parts of a kernel's manager and client that nbclient uses.

The process was forked before the runner had threads (`shell.prepare_shell`); `ShellManager.start_kernel` starts it.
Limits, interrupts, outputs and ends are handled by the same code as for an ordinary kernel (`papermill_client`).
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
from lcnb.runbooks.engine.warm import process_limits

#: Seconds that a shell may take to end (functions that cells registered with atexit).
SHUTDOWN_S = 5.0
POLL_S = 0.005

#: The shell that was forked for the run of this process, until the run takes it.
_PREPARED_SHELLS: list[PreparedShell] = []


def store_prepared(prepared: PreparedShell) -> None:
    """Store the shell for the run that this process will perform."""
    _PREPARED_SHELLS.append(prepared)


def take_prepared() -> PreparedShell | None:
    """Return the stored shell and remove it. None without one, or when it was killed: a kernel can still be started."""
    prepared = _PREPARED_SHELLS.pop() if _PREPARED_SHELLS else None
    if prepared is None or not os.waitid(os.P_PID, prepared.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        return prepared
    prepared.control.close()
    os.close(prepared.iopub)
    return None


class ShellProcess:
    """The process of a shell, with the part of `subprocess.Popen` that is used."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code; None while it runs. Its process group is killed before its id can be used again."""
        if self.returncode is None and os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            self._kill_group()
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait until it has ended, or for `timeout` seconds; return the exit code, or None while it runs."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None and (deadline is None or time.monotonic() < deadline):
            time.sleep(POLL_S)
        return self.returncode

    def kill(self) -> None:
        """Kill it and all processes of its group."""
        if self.poll() is None:
            self._kill_group()

    def interrupt(self) -> None:
        """Send SIGINT to the cell and to the processes that it started, as Ctrl-C does."""
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
    """Starts and ends a prepared shell. `dead` is the error to raise when it dies while a reply is expected."""

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
        """Send the start message with limits, environment, folder and handles. OSError when the process has died."""
        start = {"limits": process_limits(), "cwd": cwd, "env": dict(env), "handles": pass_fds}
        send_message(self._prepared.control, start, [stderr.fileno(), *pass_fds])
        self.has_kernel = True

    def client(self) -> ShellClient:
        """Return a client of this shell."""
        return ShellClient(self._prepared, self.process, self._dead)

    def is_alive(self) -> bool:
        """Whether the process has not ended."""
        return self.process.poll() is None

    def interrupt_kernel(self) -> None:
        """Interrupt the cell that runs."""
        self.process.interrupt()

    async def shutdown_kernel(self, now: bool = False, restart: bool = False) -> None:
        """Close the requests, which ends the shell; kill it with `now`, or after SHUTDOWN_S.

        When the functions that cells registered with atexit have ended, the shell closes its side too. Then it has
        nothing to do but to give its memory back, and the run does not wait for that: `runner` collects the process.
        """
        control = self._prepared.control
        if not now and self.process.poll() is None:
            control.shutdown(socket.SHUT_WR)
            with suppress(TimeoutError):  # it is killed
                await asyncio.wait_for(_wait_closed(control), SHUTDOWN_S)
        self.process.kill()

    def cleanup_resources(self, restart: bool = False) -> None:
        """Note that the shell has ended."""
        self.has_kernel = False


class ShellClient:
    """Sends requests, and returns replies and outputs as the channels of a kernel's client do."""

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
        """Do nothing: the channels are open from the start."""

    def stop_channels(self) -> None:
        """Close the socket and the pipe."""
        self._prepared.control.close()
        os.close(self._prepared.iopub)

    async def wait_for_ready(self, timeout: float) -> None:
        """Wait until the shell accepts requests. RuntimeError when it does not within `timeout` seconds, or dies."""
        try:
            await self.shell_channel.get_msg(timeout)
        except (Empty, self._dead) as error:
            raise RuntimeError(f"the shell did not become ready: {error}") from None

    def is_alive(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def execute(
        self,
        code: str,
        silent: bool = False,
        store_history: bool = True,
        stop_on_error: bool = True,
        **kwargs: object,
    ) -> str:
        """Request the execution of code; return the id of the request."""
        content = {"code": code, "silent": silent, "store_history": store_history}
        return self._send_request(
            "execute_request", {**content, "stop_on_error": stop_on_error, "allow_stdin": False}
        )

    def kernel_info(self) -> str:
        """Request the description of the kernel; return the id of the request."""
        return self._send_request("kernel_info_request", {})

    def _send_request(self, kind: str, content: dict[str, Any]) -> str:
        message = self.session.msg(kind, content)
        self.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    async def _at_end(self) -> None:
        """After the shell closed its end: wait until its outputs are read, then raise the error of a death."""
        deadline = time.monotonic() + 1
        while not self.iopub_channel.at_end and time.monotonic() < deadline:
            await asyncio.sleep(POLL_S)
        raise self._dead("Kernel died")


async def _wait_forever() -> None:
    await asyncio.Event().wait()


class _ShellChannel:
    """Messages from a handle. What was read stays here when a wait is canceled, so no message is lost."""

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
        """Send one message; it is dropped when the shell has died."""
        with suppress(OSError):  # the wait for the reply reports the death
            self._write(frame_message(pack_message(message)))

    async def get_msg(self, timeout: float | None = None) -> dict[str, Any]:
        """Return the next message. Empty when none arrives within `timeout` seconds."""
        try:
            return await asyncio.wait_for(self._next(), timeout)
        except TimeoutError:
            raise Empty from None

    async def _next(self) -> dict[str, Any]:
        await asyncio.sleep(0)  # a cell that never stops printing must not block limits and signals
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


async def _wait_closed(control: socket.socket) -> None:
    """Wait until the shell has closed its side, or has died; drop what it still sends."""
    with suppress(ConnectionResetError):
        while True:
            await _wait_readable(control.fileno())
            if not control.recv(1 << 18, socket.MSG_DONTWAIT):
                return


async def _wait_readable(handle: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(handle, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(handle)
