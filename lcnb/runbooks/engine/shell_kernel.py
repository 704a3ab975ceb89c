"""The Jupyter kernel of a warm run: ipykernel's kernel in a forked process, without zmq.

The application, the kernel, its streams and comms are those of ipykernel, so that a cell finds an ordinary kernel.
Messages have the Jupyter protocol, but pass through a socket and a pipe (`shell_streams`). The kernel ends when the
runner closes its end of the socket, or when a cell calls `exit()`.

It has no debugger, no subshells and no `input()`.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import traitlets
from ipykernel import ipkernel
from ipykernel.iostream import IOPubThread
from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp
from ipykernel.kernelbase import Kernel
from IPython.core import shellapp
from traitlets.config import Config

from lcnb.runbooks.engine.shell_streams import ControlStream, HandleReader, PipeSession, PipeSocket

#: What `forked_process.NO_HISTORY_ARGUMENT` sets.
NO_HISTORY_CONFIG = Config({"HistoryManager": {"hist_file": ":memory:"}})
#: The names of the modules that the server has imported; it sets them.
PRELOADED_NAMES: frozenset[str] = frozenset()


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
