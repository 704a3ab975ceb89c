"""The Jupyter kernel of a warm run: ipykernel's kernel in a forked process, without zmq.

The application, the kernel, its streams and comms are those of ipykernel, so that a cell finds an ordinary kernel.
Messages have the Jupyter protocol, but each is sent as its length and JSON (`framing`): requests and replies through a
socket (`ControlStream`), outputs through a pipe (`PipeSocket`). ipykernel's thread for outputs writes both, so an
interrupt, which hits the main thread, never cuts a message in two. `HandleReader` reads what programs write to the
handles 1 and 2, before Python's next output and before the end of the cell, so that outputs keep their order. The
kernel ends when the runner closes its end of the socket, or when a cell calls `exit()`.

It has no debugger, no subshells and no `input()`.
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
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import traitlets
import zmq
from ipykernel import ipkernel
from ipykernel.iostream import IOPubThread
from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp
from ipykernel.kernelbase import Kernel
from IPython.core import shellapp
from jupyter_client.session import Session
from traitlets.config import Config

from lcnb.runbooks.engine.framing import frame_message, pack_message, take_message, unpack_message

#: What `forked_process.NO_HISTORY_ARGUMENT` sets.
NO_HISTORY_CONFIG = Config({"HistoryManager": {"hist_file": ":memory:"}})
#: The names of the modules that the server has imported; it sets them.
PRELOADED_NAMES: frozenset[str] = frozenset()
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


class _NoSubshellThread:
    """Replaces ipykernel's thread for subshells: cells run in the main thread."""

    parent_thread = threading.main_thread()

    def __bool__(self) -> bool:
        return False


class ShellKernel(IPythonKernel):
    """ipykernel's kernel without subshells and debugger."""

    shell_stream: Any = traitlets.Any()
    debugger_class: Any = traitlets.Any()
    handles: HandleReader
    _supports_kernel_subshells = False

    @property
    def kernel_info(self) -> dict[str, Any]:
        """The description of the kernel. ipykernel would import the debugger for it, which takes longer than a run."""
        with _without_debugger():
            return dict(super().kernel_info)

    def start(self) -> None:
        """Start without the debugger, which IPythonKernel would warn about, and let signals wake the event loop.

        While a cell awaits something, ipykernel's handler of an interrupt only schedules a callback in the loop.
        """
        Kernel.start(self)
        woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        asyncio.get_event_loop().add_reader(woken, os.read, woken, 4096)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    async def do_execute(self, *args: Any, **kwargs: Any) -> Any:
        """Execute a cell. An interrupt after its end, but before its reply, must not lose the reply."""
        try:
            reply = await super().do_execute(*args, **kwargs)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            self.handles.drain()
        except (KeyboardInterrupt, asyncio.CancelledError) as error:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            shell: Any = self.shell
            shell.showtraceback()
            facts = {"ename": type(error).__name__, "evalue": str(error), "traceback": []}
            reply = {"status": "error", "execution_count": self.execution_count, **facts}
        return reply


class ShellApp(IPKernelApp):
    """ipykernel's application with the socket and the pipe of a run instead of zmq's sockets."""

    control: socket.socket
    iopub: int
    #: The handle that keeps stderr for the report of a death.
    stderr: int
    #: Called when the kernel is built: waits for the run, and takes over its environment.
    wait_for_run: Callable[[ShellApp], None]

    def parse_command_line(self, argv: object = None) -> None:
        """Take the one setting that nbclient gives to a kernel; a parser of command lines would take longer."""
        self.update_config(NO_HISTORY_CONFIG)

    def init_connection_file(self) -> None:
        """Do nothing: no client connects."""

    def write_connection_file(self, **kwargs: object) -> None:
        """Do nothing: no client connects."""

    def log_connection_info(self) -> None:
        """Do nothing: no client connects."""

    def init_poller(self) -> None:
        """Do nothing: `die_with_parent` does this work."""

    def init_heartbeat(self) -> None:
        """Do nothing: the runner watches the process itself."""

    def init_sockets(self) -> None:
        """Create the session, and the thread that publishes outputs into the pipe."""
        self.session = PipeSession(parent=self)
        self.configure_tornado_logger()
        self.iopub_thread = IOPubThread(PipeSocket(self.iopub), pipe=True)
        self.iopub_thread.start()
        self.iopub_socket = self.iopub_thread.background_socket

    def init_path(self) -> None:
        """Wait for the run, then put the working folder after Python's own modules, as IPython does.

        The server runs without it (`-P`). What depends on the run is repeated or follows from here: the environment,
        the folder, extensions, and the code that a user lets each kernel run first.
        """
        self.wait_for_run(self)
        shell: Any = self.kernel.shell
        shell.init_environment()
        shell.starting_dir = os.getcwd()  # noqa: PTH109 - as IPython has it, a text
        shell.history_manager.dir_hist[:] = [Path.cwd()]
        if session_name := os.environ.get("JPY_SESSION_NAME"):
            shell.user_ns["__session__"] = session_name
        if not os.environ.get("PYTHONSAFEPATH") and "" not in sys.path:
            ends = ("/site-packages", "/dist-packages")
            sys.path.insert(next((n for n, each in enumerate(sys.path) if each.endswith(ends)), 0), "")

    def init_io(self) -> None:
        """Create the streams, and read what programs write to the handles 1 and 2."""
        self.capture_fd_output = False
        self.stderr, stdout = os.dup(2), os.dup(1)
        super().init_io()
        self.handles = HandleReader(self.stderr)
        for stream, copy in ((sys.stdout, stdout), (sys.stderr, self.stderr)):
            vars(stream)["_original_stdstream_copy"] = copy  # the handle of a kernel's stream

    def init_kernel(self) -> None:
        """Create the kernel with the streams of this process."""
        with _without_debugger(), _without_modules(ipkernel):
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

    def init_code(self) -> None:
        """Run the code that a user lets each kernel run first, and keep what `%reset -s aggressive` leaves imported."""
        if os.environ.get("PYTHONSTARTUP"):
            super().init_code()
            return
        with _without_modules(shellapp):
            super().init_code()
        shell: Any = self.kernel.shell
        shell._sys_modules_keys = PRELOADED_NAMES


def run_kernel(control: socket.socket, iopub: int, wait_for_run: Callable[[ShellApp], None]) -> None:
    """Run as a kernel until the runner closes its end of the socket, or a cell calls `exit()`."""
    app: Any = ShellApp.instance()
    app.control, app.iopub, app.wait_for_run = control, iopub, wait_for_run
    app.initialize()
    _repeat_kernel_setup(app.kernel)
    app.kernel.session.send(app.kernel.shell_stream, "ready")
    app.start()
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.current_thread():
            thread.join()
    atexit._run_exitfuncs()
    with suppress(OSError):
        control.shutdown(socket.SHUT_RDWR)  # processes that a cell started may have it open


def _repeat_kernel_setup(kernel: Any) -> None:
    """Repeat what packages do when they are imported in a kernel: the server imported them without a kernel."""
    if find_spec("debugpy") is not None:
        os.environ.setdefault("PYDEVD_USE_FRAME_EVAL", "NO")
        sys.breakpointhook = _ignore_breakpoint
    if "ipywidgets" in sys.modules:
        sys.modules["ipywidgets"].register_comm_target(kernel)
    if "click.termui" in sys.modules:  # click keeps the `input` function that it found
        vars(sys.modules["click.termui"])["visible_prompt_func"] = kernel.raw_input


def _ignore_breakpoint(*args: object, **kwargs: object) -> None:
    """Do nothing: `breakpoint()` has no effect in a kernel without an attached debugger."""


@contextmanager
def _without_debugger() -> Iterator[None]:
    """Keep the debugger from being imported: that takes longer than the rest of a shell's start."""
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


class _SysWithoutModules:
    """Python's `sys`, in which no module is listed."""

    modules: ClassVar[dict[str, ModuleType]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(sys, name)


@contextmanager
def _without_modules(reader: Any) -> Iterator[None]:
    """Keep a module from reading the name or file of each imported module.

    That copies their pages of the memory that is shared with the server: 14 MB for each shell.
    """
    reader.sys = _SysWithoutModules()
    try:
        yield
    finally:
        reader.sys = sys
