"""The streams of a shell (`shell_kernel`): what replaces zmq's sockets, and what programs write to the handles 1 and 2.

Each message is sent as its length and JSON (`framing`): requests and replies through a socket (`ControlStream`),
outputs through a pipe (`PipeSocket`). ipykernel's thread for outputs writes both, so an interrupt, which hits the main
thread, never cuts a message in two. `HandleReader` reads what programs write, before Python's next output and before
the end of the cell, so that outputs keep their order.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import sys
import threading
import time
from codecs import getincrementaldecoder
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from io import StringIO
from typing import Any

import zmq
from jupyter_client.session import Session

from lcnb.runbooks.engine.framing import frame_message, pack_message, take_message, unpack_message

#: Bytes of stderr that are kept for the report of a death.
MAX_STDERR_BYTES = 64_000
#: Seconds that Python's output waits for what a program writes at the same time, because a program may never stop.
DRAIN_WAIT_S = 0.2


class PipeSocket:
    """Replaces the socket that ipykernel publishes outputs with. Only ipykernel's thread for outputs calls it."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        #: For the sockets inside this process that other threads use to wake that thread.
        self.context = zmq.Context()

    def send_multipart(self, parts: list[bytes], *args: object, **kwargs: object) -> None:
        """Write each packed message into the pipe."""
        for packed in parts:
            write_all(self._handle, frame_message(packed))

    def close(self) -> None:
        """Do nothing: the pipe ends with the process."""


def write_all(handle: int, data: bytes) -> None:
    """Write all data to a handle. A pipe may accept less at once."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


class ControlStream:
    """Replaces the stream of requests and replies that ipykernel's kernel serves: `on_recv`, `send_multipart`.

    The thread for outputs writes the replies: an interrupt, which hits the main thread, cannot cut one in two.
    """

    def __init__(self, control: socket.socket, thread: Any) -> None:
        self._control, self._thread = control, thread
        self._buffer = bytearray()
        self._tasks: set[asyncio.Future[Any]] = set()

    def on_recv(self, receive: Callable[[dict[str, Any]], Awaitable[Any]], copy: bool = False) -> None:
        """Call `receive` for each request, until the runner closes its end; then stop the event loop."""
        loop = asyncio.get_event_loop()

        def read() -> None:
            data = self._control.recv(65536, socket.MSG_DONTWAIT)
            self._buffer += data
            while (packed := take_message(self._buffer)) is not None:
                task = asyncio.ensure_future(receive(unpack_message(packed)), loop=loop)
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            if not data:
                loop.remove_reader(self._control)
                loop.stop()

        loop.add_reader(self._control, read)

    def send_multipart(self, parts: list[bytes], *args: object, **kwargs: object) -> None:
        """Let the thread for outputs write each packed message."""

        def write() -> None:
            with suppress(OSError):  # the runner has gone
                for packed in parts:
                    self._control.sendall(frame_message(packed))

        self._thread.schedule(write)

    def flush(self, *args: object) -> None:
        """Do nothing: the stream keeps no messages back."""


class PipeSession(Session):
    """A session whose messages are JSON in one part, without signatures."""

    def send(
        self,
        stream: Any,
        msg_or_type: Any,
        content: Any = None,
        parent: Any = None,
        ident: object = None,
        buffers: Any = None,
        track: bool = False,
        header: Any = None,
        metadata: Any = None,
    ) -> dict[str, Any] | None:
        """Send a message, or build and send one. None in a process that a cell forked: only its streams are shown."""
        if self.check_pid and os.getpid() != self.pid:
            return None
        message = (
            msg_or_type
            if isinstance(msg_or_type, dict)
            else self.msg(msg_or_type, content=content, parent=parent, header=header, metadata=metadata)
        )
        if stream is not None:
            stream.send_multipart([pack_message(message, buffers or message.get("buffers") or ())])
        return dict(message)

    def feed_identities(self, msg_list: Any, copy: bool = True) -> tuple[list[bytes], Any]:
        """Return no identities, and the message itself."""
        return [], msg_list

    def deserialize(self, msg_list: Any, content: bool = True, copy: bool = True) -> Any:
        """Return the message itself: it has been read from JSON already."""
        return msg_list


class HandleReader:
    """Passes what programs write to the handles 1 and 2 on to `sys.stdout` and `sys.stderr`.

    ipykernel's own threads for this may be too late for the end of a cell, or for Python's next output. `drain` is
    called before both. `stderr` is a copy of the handle 2 of the process: the runner reads it after a death.
    """

    def __init__(self, stderr: int) -> None:
        self._stderr = stderr
        self._lock = threading.RLock()
        self._owner = os.getpid()
        self._sources: dict[int, tuple[Any, Any]] = {}
        self._poll = select.poll()
        for number, stream in ((1, sys.stdout), (2, sys.stderr)):
            reading, writing = os.pipe()
            os.dup2(writing, number, inheritable=True)
            os.close(writing)
            os.set_blocking(reading, False)
            self._sources[reading] = (stream, getincrementaldecoder("utf-8")("replace"))
            vars(stream)["write"] = partial(self._write, stream)
            self._poll.register(reading, select.POLLIN)
        os.register_at_fork(after_in_child=self._forget_in_child)
        threading.Thread(target=self._keep_draining, daemon=True, name="lcnb-handles").start()

    def _keep_draining(self) -> None:
        watched = select.poll()  # a poll object belongs to one thread
        for handle in self._sources:
            watched.register(handle, select.POLLIN)
        while True:
            watched.poll()
            self.drain()

    def _forget_in_child(self) -> None:
        """Drop what the streams have not sent yet: the parent sends it, and a fork would send it a second time.

        Another thread of the parent may have held a lock during the fork, and that thread does not exist in the child.
        """
        self._lock = threading.RLock()
        for stream, _ in self._sources.values():
            stream._buffer_lock = threading.RLock()
            stream._buffers = defaultdict(StringIO)

    def _write(self, stream: Any, text: str) -> Any:
        """Write Python's output after what programs have written until now.

        This waits for the reading thread and reads nothing itself, because an interrupt could lose what was read. A
        process that a cell forked has no such thread, and does not wait.
        """
        if os.getpid() == self._owner:
            deadline = time.monotonic() + DRAIN_WAIT_S
            while self._poll.poll(0) and time.monotonic() < deadline:
                time.sleep(0.0005)
            with self._lock:
                pass  # now what the thread has read is in the stream
        return type(stream).write(stream, text)

    def drain(self) -> None:
        """Pass on what programs have written until now, at most two reads per handle: a program may never stop."""
        with self._lock:
            for handle, (stream, decoder) in self._sources.items():
                for _ in range(2):
                    try:
                        data = os.read(handle, 65536)
                    except BlockingIOError:
                        break
                    if stream.name == "stderr":
                        self._keep_stderr(data)
                    type(stream).write(stream, decoder.decode(data))

    def _keep_stderr(self, data: bytes) -> None:
        """Keep the last output on stderr: the runner shows it when this process dies."""
        with suppress(OSError):  # a full disk must not fail a cell that prints
            if os.lseek(self._stderr, 0, os.SEEK_CUR) > MAX_STDERR_BYTES:
                os.ftruncate(self._stderr, 0)
                os.lseek(self._stderr, 0, os.SEEK_SET)
            write_all(self._stderr, data)
