"""A Jupyter kernel in a forked process: ipykernel's own, but for its sockets of zmq.

The application, kernel, streams, comms and ends are that package's, so that a cell finds what it finds in an ordinary
kernel. Messages are those of the Jupyter protocol, each as its length and JSON: requests come and replies go by a
socket, all else (`iopub`) by a pipe.

What it does not do: a debugger, subshells, `input()`.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import select
import signal
import socket
import sys
import threading
import time
from codecs import getincrementaldecoder
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from io import StringIO
from types import ModuleType
from typing import Any

import traitlets
import zmq
from ipykernel.iostream import IOPubThread
from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp
from ipykernel.kernelbase import Kernel
from jupyter_client.session import Session

from lcnb.runbooks.engine.forked_process import NO_HISTORY_ARGUMENT
from lcnb.runbooks.engine.framing import frame_message, pack_message, take_message, unpack_message

#: Bytes of last words that are kept.
MAX_STDERR_BYTES = 64_000
#: How long what Python prints waits for what a program writes meanwhile, which may never stop.
DRAIN_WAIT_S = 0.2


class PipeSocket:
    """Stands for the socket that ipykernel publishes outputs by. Only its thread for outputs calls it."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        #: For the sockets within this process by which other threads wake that thread.
        self.context = zmq.Context()

    def send_multipart(self, parts: list[bytes], *args: object, **kwargs: object) -> None:
        for packed in parts:
            write_all(self._handle, frame_message(packed))

    def close(self) -> None:
        """The pipe ends with the process."""


def write_all(handle: int, data: bytes) -> None:
    """Write all of it; a pipe may take less at a time."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


class ControlStream:
    """Stands for the stream of requests and replies that ipykernel's kernel serves: `on_recv`, `send_multipart`.

    Replies are written by the thread for outputs: an interrupt, which hits the main thread, cannot cut one in two.
    """

    def __init__(self, control: socket.socket, thread: Any) -> None:
        self._control, self._thread = control, thread
        self._buffer = bytearray()
        self._tasks: set[asyncio.Future[Any]] = set()

    def on_recv(self, receive: Callable[[dict[str, Any]], Awaitable[Any]], copy: bool = False) -> None:
        """Call this for each request, until the runner closes its end: then the event loop is stopped."""
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
        def write() -> None:
            with suppress(OSError):  # the runner has gone
                for packed in parts:
                    self._control.sendall(frame_message(packed))

        self._thread.schedule(write)

    def flush(self, *args: object) -> None:
        """Nothing waits here."""


class PipeSession(Session):
    """Messages as JSON, in one part; they come as they are, without signatures."""

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
        if self.check_pid and os.getpid() != self.pid:
            return None  # as in a kernel: a process that a cell has forked shows nothing but its streams
        message = (
            msg_or_type
            if isinstance(msg_or_type, dict)
            else self.msg(msg_or_type, content=content, parent=parent, header=header, metadata=metadata)
        )
        if stream is not None:
            stream.send_multipart([pack_message(message, buffers or message.get("buffers") or ())])
        return dict(message)

    def feed_identities(self, msg_list: Any, copy: bool = True) -> tuple[list[bytes], Any]:
        return [], msg_list

    def deserialize(self, msg_list: Any, content: bool = True, copy: bool = True) -> Any:
        return msg_list


class HandleReader:
    """Gives what programs write to the handles 1 and 2 to `sys.stdout` and `sys.stderr`.

    ipykernel has threads for this, which may be late for the end of a cell, or for what Python prints next; `drain` is
    called before both.
    """

    def __init__(self, words: int) -> None:
        self._words = words
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
        threading.Thread(target=self._keep, daemon=True, name="lcnb-handles").start()

    def _keep(self) -> None:
        watched = select.poll()  # a poll object is for one thread
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
        """What Python prints, after what programs have written until now.

        It waits for the thread that reads this, and takes nothing itself: an interrupt could lose what was taken. In a
        process that a cell has forked nobody reads.
        """
        if os.getpid() == self._owner:
            over = time.monotonic() + DRAIN_WAIT_S
            while self._poll.poll(0) and time.monotonic() < over:
                time.sleep(0.0005)
            with self._lock:
                pass  # what it has read is in the stream
        return type(stream).write(stream, text)

    def drain(self) -> None:
        """Pass on what was written until now: a pipe holds 64 kB, and somebody may never stop to write."""
        with self._lock:
            for handle, (stream, decoder) in self._sources.items():
                for _ in range(2):
                    try:
                        data = os.read(handle, 65536)
                    except BlockingIOError:
                        break
                    if stream.name == "stderr":
                        self._keep_words(data)
                    type(stream).write(stream, decoder.decode(data))

    def _keep_words(self, data: bytes) -> None:
        """What a process says before it dies is told by the runner; it need not know all that was ever said."""
        with suppress(OSError):  # a full disk is no reason for a cell to fail that prints
            if os.lseek(self._words, 0, os.SEEK_CUR) > MAX_STDERR_BYTES:
                os.ftruncate(self._words, 0)
                os.lseek(self._words, 0, os.SEEK_SET)
            write_all(self._words, data)


class _NoSubshellThread:
    """ipykernel's thread for subshells, which is not there: cells run in the main thread."""

    parent_thread = threading.main_thread()

    def __bool__(self) -> bool:
        return False


class ShellKernel(IPythonKernel):
    """ipykernel's kernel without subshells and debugger."""

    shell_stream: Any = traitlets.Any()
    debugger_class: Any = traitlets.Any()
    handles: HandleReader
    _supports_kernel_subshells = False

    def start(self) -> None:
        """Without the debugger, of whose absence IPythonKernel would warn; with a loop that signals wake.

        ipykernel's handler of an interrupt, while a cell awaits something, only notes a callback for the loop.
        """
        Kernel.start(self)
        woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        asyncio.get_event_loop().add_reader(woken, os.read, woken, 4096)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    async def do_execute(self, *args: Any, **kwargs: Any) -> Any:
        """An interrupt that comes when the cell has ended, but not yet its reply, must not take that away."""
        try:
            reply = await super().do_execute(*args, **kwargs)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            self.handles.drain()
        except (KeyboardInterrupt, asyncio.CancelledError) as error:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            shell: Any = self.shell
            shell.showtraceback()
            told = {"ename": type(error).__name__, "evalue": str(error), "traceback": []}
            reply = {"status": "error", "execution_count": self.execution_count, **told}
        return reply


class ShellApp(IPKernelApp):
    """ipykernel's application with the socket and the pipe of a run in the place of zmq's sockets."""

    control: socket.socket
    iopub: int

    def init_connection_file(self) -> None:
        """Nobody connects."""

    def write_connection_file(self, **kwargs: object) -> None:
        """Nobody connects."""

    def log_connection_info(self) -> None:
        """Nobody connects."""

    def init_poller(self) -> None:
        """`_die_with` does its work."""

    def init_heartbeat(self) -> None:
        """The runner sees the process itself."""

    def init_sockets(self) -> None:
        self.session = PipeSession(parent=self)
        self.configure_tornado_logger()
        self.iopub_thread = IOPubThread(PipeSocket(self.iopub), pipe=True)
        self.iopub_thread.start()
        self.iopub_socket = self.iopub_thread.background_socket

    def init_path(self) -> None:
        """The working folder is where IPython has it, after Python's own modules; the server runs without it (`-P`)."""
        if not os.environ.get("PYTHONSAFEPATH") and "" not in sys.path:
            ends = ("/site-packages", "/dist-packages")
            sys.path.insert(next((n for n, each in enumerate(sys.path) if each.endswith(ends)), 0), "")

    def init_io(self) -> None:
        self.capture_fd_output = False
        copies = [os.dup(number) for number in (1, 2)]
        super().init_io()
        self.handles = HandleReader(copies[1])
        for stream, copy in zip((sys.stdout, sys.stderr), copies, strict=True):
            vars(stream)["_original_stdstream_copy"] = copy  # what a kernel's streams have as their handle

    def init_kernel(self) -> None:
        with _without_debugger():
            self.kernel = ShellKernel.instance(
                parent=self,
                session=self.session,
                shell_stream=ControlStream(self.control, self.iopub_thread),
                shell_channel_thread=_NoSubshellThread(),
                iopub_thread=self.iopub_thread,
                iopub_socket=self.iopub_socket,
                log=self.log,
                profile_dir=self.profile_dir,
                user_ns=self.user_ns,
            )
        self.kernel.handles = self.handles
        self.displayhook.get_execution_count = lambda: self.kernel.execution_count


def run_kernel(control: socket.socket, iopub: int) -> None:
    """Be a kernel until the runner closes its end of the socket, or a cell calls `exit()`."""
    app: Any = ShellApp.instance()
    app.control, app.iopub = control, iopub
    app.initialize([NO_HISTORY_ARGUMENT])
    _repeat_kernel_setup(app.kernel)
    app.kernel.session.send(app.kernel.shell_stream, "ready")
    app.start()
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.current_thread():
            thread.join()
    atexit._run_exitfuncs()


def _repeat_kernel_setup(kernel: Any) -> None:
    """What packages find or do in a kernel when they are imported: the server that has imported these has none."""
    if find_spec("debugpy") is not None:
        os.environ.setdefault("PYDEVD_USE_FRAME_EVAL", "NO")
        sys.breakpointhook = _ignore_breakpoint
    if "ipywidgets" in sys.modules:
        sys.modules["ipywidgets"].register_comm_target(kernel)
    if "click.termui" in sys.modules:  # it keeps the `input` that it finds
        vars(sys.modules["click.termui"])["visible_prompt_func"] = kernel.raw_input


def _ignore_breakpoint(*args: object, **kwargs: object) -> None:
    """`breakpoint()` does nothing in a kernel that no debugger is attached to."""


@contextmanager
def _without_debugger() -> Iterator[None]:
    """No debugger is imported: that would take longer than all else that a shell does to start."""
    name = "ipykernel.debugger"
    if name in sys.modules:
        yield
        return
    stand_in: Any = ModuleType(name)
    stand_in._is_debugpy_available = False
    sys.modules[name] = stand_in
    try:
        yield
    finally:
        del sys.modules[name]
