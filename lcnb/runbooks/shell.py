"""An IPython shell in a forked process: what an ordinary kernel does with a cell, without sockets of zmq and ports.

The process is forked before its runner has any thread (`prepare`), waits for `start` (environment, folder, handles) and
then runs cells as the kernel of ipykernel does: with that package's shell, display hook and publisher, so that outputs
and tracebacks are the same. Messages are those of the Jupyter protocol, each as its length and JSON: requests come and
replies go by a socket, all else (`iopub`) by a pipe. When its runner dies, so does the shell.

What it does not do: widgets that talk back (no comms), a debugger, `input()`. The ordinary kernel is for these.
"""

from __future__ import annotations

import asyncio
import atexit
import codecs
import ctypes
import faulthandler
import json
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import TextIOBase
from typing import Any, NoReturn

from lcnb.runbooks.messages import cut, framed, receive

#: Seconds after which what was printed is sent, as ipykernel does it.
FLUSH_S = 0.2
#: Bytes after which it is sent at once, and bytes of last words that are kept.
MUCH, WORDS = 1_000_000, 64_000
PR_SET_PDEATHSIG = 1
#: Handles below this are for those that a run brings with their numbers.
ABOVE = 200


@dataclass
class Prepared:
    """A forked process that waits to become a shell: the runner's ends of its socket and pipe."""

    pid: int
    control: socket.socket
    iopub: int


def prepare() -> Prepared:
    """Fork the process of a shell. To be called while this process has one thread."""
    ours, theirs = socket.socketpair()
    read, write = os.pipe()
    runner = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            ours.close()
            os.close(read)
            _main(theirs, write, runner)
        finally:
            os._exit(1)
    theirs.close()
    os.close(write)
    return Prepared(pid, ours, read)


def _main(control: socket.socket, iopub: int, runner: int) -> NoReturn:
    os.setsid()  # what a cell leaves behind is of this group, and ends with it
    _die_with(runner)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else signal.SIG_DFL)
    control = socket.socket(fileno=_above(control.detach()))
    iopub = _above(iopub)
    start, handles = receive(control)
    if start is None:
        os._exit(0)  # this run needs no shell
    words = _take_over(start, handles)
    pipe = Pipe(iopub)
    streams = Streams(pipe, words)
    shell = Shell(pipe, streams, control)
    asyncio.run(shell.serve())
    atexit._run_exitfuncs()
    streams.flush()
    os._exit(0)


def _die_with(runner: int) -> None:
    """The runner may be killed without a word; nobody would then end a cell that goes on for ever."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != runner:
        os._exit(1)


def _above(handle: int) -> int:
    import fcntl  # not on Windows, where there are no warm runs

    moved = fcntl.fcntl(handle, fcntl.F_DUPFD_CLOEXEC, ABOVE)
    os.close(handle)
    return moved


def _take_over(start: Mapping[str, Any], handles: list[int]) -> int:
    """Become the process that this run wants: its environment, folder, handles. Gives the handle for last words."""
    received = [_above(handle) for handle in handles]
    for wanted, handle in zip(start["handles"], received[1:], strict=True):
        os.dup2(handle, wanted, inheritable=True)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0, inheritable=True)
    adopt(start["env"], start["cwd"])
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    if "matplotlib" in sys.modules:
        dict.__setitem__(sys.modules["matplotlib"].rcParams, "backend", os.environ["MPLBACKEND"])
    # Where IPython has it: no file of the folder stands for a part of Python itself.
    if not os.environ.get("PYTHONSAFEPATH"):
        ends = ("/site-packages", "/dist-packages")
        sys.path.insert(next((n for n, each in enumerate(sys.path) if each.endswith(ends)), 0), "")
    sys.argv = ["shell"]
    sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115, PTH123 - for as long as the process lives
    faulthandler.enable(received[0])
    return received[0]


def adopt(env: Mapping[str, str], cwd: str) -> None:
    """After a fork: the environment and folder of whoever asked, and chance of one's own."""
    import random

    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    time.tzset()
    random.seed()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()


# --- what goes out --------------------------------------------------------------------------------------


class Interrupts:
    """SIGINT as KeyboardInterrupt, but never within `held`: half a message would make all later ones unreadable.

    >>> interrupts = Interrupts()
    >>> try:
    ...     with interrupts.held():
    ...         interrupts.handle(signal.SIGINT, None)
    ...         print("sent whole")
    ... except KeyboardInterrupt:
    ...     print("interrupted")
    sent whole
    interrupted
    """

    def __init__(self) -> None:
        self._held = 0
        self._came = False

    def handle(self, number: int, frame: object) -> None:
        """The handler of the signal, in the main thread."""
        if not self._held:
            raise KeyboardInterrupt
        self._came = True

    @contextmanager
    def held(self) -> Iterator[None]:
        """An interrupt that comes meanwhile is raised at the end. In other threads none ever comes."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            if self._came and not self._held:
                self._came = False
                raise KeyboardInterrupt


class Pipe:
    """Messages to the runner, one after the other, from whichever thread."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._lock = threading.Lock()
        self.interrupts = Interrupts()

    def send(self, packed: bytes) -> None:
        with self.interrupts.held(), self._lock:
            write_all(self._handle, framed(packed))


def write_all(handle: int, data: bytes) -> None:
    """Write all of it; a pipe may take less at a time."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def pack(message: Mapping[str, Any]) -> bytes:
    """A message as JSON, as jupyter_client writes it."""
    from jupyter_client.session import json_packer

    packed: bytes = json_packer(dict(message))
    return packed


class Streams:
    """stdout and stderr: what Python prints, and what anything else writes to the handles 1 and 2."""

    def __init__(self, pipe: Pipe, words: int) -> None:
        self.session = _session(pipe)
        self._held = pipe.interrupts.held
        self._words = words
        self._lock = threading.RLock()
        #: (name, parent) → parts, in the order in which they began.
        self._parts: dict[tuple[str, str], list[str]] = {}
        self._parents: dict[str, Any] = {}
        self.parent: dict[str, Any] = {}
        self._master = os.getpid()
        self._pipes: dict[int, str] = {}
        self._wake, self._waker = map(_above, os.pipe())
        self._due: float | None = None
        #: Bytes that programs have written since the last message.
        self._size = 0
        decoder = codecs.getincrementaldecoder("utf-8")
        self._decoders = {name: decoder("replace") for name in ("stdout", "stderr")}
        for number, name in ((1, "stdout"), (2, "stderr")):
            read, write = os.pipe()
            os.dup2(write, number, inheritable=True)
            os.close(write)
            read = _above(read)
            os.set_blocking(read, False)
            self._pipes[read] = name
            setattr(sys, name, Stream(self, name, number))
            setattr(sys, f"__{name}__", getattr(sys, name))
        self._poll = select.poll()
        for each in (*self._pipes, self._wake):
            self._poll.register(each, select.POLLIN)
        threading.Thread(target=self._keep, daemon=True, name="lcnb-streams").start()

    def write(self, name: str, text: str) -> None:
        """What Python prints, after what programs have written to the handles until now."""
        with self._held(), self._lock:
            self._drain()
            self._add(name, text)

    def _add(self, name: str, text: str) -> None:
        key = (name, str(self.parent.get("msg_id", "")))
        self._parents[key[1]] = self.parent
        self._parts.setdefault(key, []).append(text)
        if self._due is None:
            self._due = time.monotonic() + FLUSH_S
            os.write(self._waker, b".")

    def flush(self) -> None:
        """Send what was printed until now."""
        with self._held(), self._lock:
            self._drain()
            parts, self._parts = self._parts, {}
            self._due, self._size = None, 0
            for (name, parent), texts in parts.items():
                self.session.send(
                    None, "stream", {"name": name, "text": "".join(texts)}, parent=self._parents[parent]
                )

    def _keep(self) -> None:
        while True:
            due = self._due
            self._poll.poll(None if due is None else max(0, due - time.monotonic()) * 1000)
            with self._lock:
                self._drain()
                if select.select([self._wake], [], [], 0)[0]:
                    os.read(self._wake, 4096)
                if self._size > MUCH or (self._due is not None and self._due <= time.monotonic()):
                    self.flush()

    def _drain(self) -> None:
        """What was written to the handles until now: a pipe holds 64 kB, and somebody may never stop to write."""
        for handle, name in self._pipes.items():
            for _ in range(2):
                try:
                    data = os.read(handle, 65536)
                except BlockingIOError:
                    break
                self._add(name, self._decoders[name].decode(data))
                self._size += len(data)
                if name == "stderr":
                    self._keep_words(data)

    def _keep_words(self, data: bytes) -> None:
        """What a process says before it dies is told by the runner; it need not know all that was ever said."""
        with suppress(OSError):  # a full disk is no reason for a cell to fail that prints
            if os.lseek(self._words, 0, os.SEEK_CUR) > WORDS:
                os.ftruncate(self._words, 0)
                os.lseek(self._words, 0, os.SEEK_SET)
            write_all(self._words, data)

    def of_this_process(self) -> bool:
        """False in a process that a cell has forked: its words go by the handles."""
        return os.getpid() == self._master


class Stream(TextIOBase):
    """sys.stdout or sys.stderr of a shell."""

    encoding = "UTF-8"
    errors = "backslashreplace"

    def __init__(self, streams: Streams, name: str, handle: int) -> None:
        self._streams, self.name, self._handle = streams, name, handle

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if self._streams.of_this_process():
            self._streams.write(self.name, text)
        else:
            write_all(self._handle, text.encode("utf-8", "backslashreplace"))
        return len(text)

    def flush(self) -> None:
        if self._streams.of_this_process():
            self._streams.flush()

    def fileno(self) -> int:
        return self._handle

    def isatty(self) -> bool:
        return False

    def writable(self) -> bool:
        return True


def _session(pipe: Pipe) -> Any:
    from jupyter_client.session import Session

    class PipeSession(Session):
        """Gives messages to the pipe that others would give to a socket of zmq."""

        def send(
            self,
            stream: object,
            msg_or_type: Any,
            content: Any = None,
            parent: Any = None,
            ident: object = None,
            buffers: object = None,
            track: bool = False,
            header: Any = None,
            metadata: Any = None,
        ) -> Any:
            message = (
                msg_or_type
                if isinstance(msg_or_type, dict)
                else self.msg(msg_or_type, content=content, parent=parent, header=header, metadata=metadata)
            )
            pipe.send(pack(message))
            return message

    return PipeSession(key=b"")


# --- the shell ------------------------------------------------------------------------------------------


class Shell:
    """Takes requests one after the other; tasks that a cell has left in the loop go on in between."""

    def __init__(self, pipe: Pipe, streams: Streams, control: socket.socket) -> None:
        self.control, self.streams = control, streams
        self.session = streams.session
        self._interrupt = pipe.interrupts.handle
        self.shell = _interactive_shell(self.session)

    async def serve(self) -> None:
        """Until the runner closes its end."""
        self.control.setblocking(False)
        loop = asyncio.get_running_loop()
        buffer = bytearray()
        self._reply({}, "ready", {})
        while True:
            data = await loop.sock_recv(self.control, 65536)
            if not data:
                return
            buffer += data
            while (packed := cut(buffer)) is not None:
                await self._answer(json.loads(packed))
                if self.shell.exit_now:  # `exit()` ends a kernel
                    return

    async def _answer(self, request: dict[str, Any]) -> None:
        if request["msg_type"] == "kernel_info_request":
            from ipykernel.ipkernel import IPythonKernel

            info = {"status": "ok", "language_info": IPythonKernel.language_info}
            self._reply(request["header"], "kernel_info_reply", info)
            return
        header, content = request["header"], request["content"]
        self._set_parent(request)
        self._status("busy", header)
        count = self.shell.execution_count
        self.session.send(
            None, "execute_input", {"code": content["code"], "execution_count": count}, parent=header
        )
        reply = await self._execute(content)
        self.streams.flush()
        self._reply(header, "execute_reply", reply)
        self._status("idle", header)

    def _set_parent(self, request: dict[str, Any]) -> None:
        self.streams.flush()
        self.streams.parent = request["header"]
        self.shell.set_parent(request)

    def _status(self, state: str, parent: dict[str, Any]) -> None:
        self.session.send(None, "status", {"execution_state": state}, parent=parent)

    def _reply(self, parent: dict[str, Any], kind: str, content: dict[str, Any]) -> None:
        data = memoryview(framed(pack(self.session.msg(kind, content=content, parent={"header": parent}))))
        while data:  # a reply with a long traceback may not fit at once
            try:
                data = data[self.control.send(data) :]
            except BlockingIOError:
                select.select([], [self.control], [])

    async def _execute(self, content: dict[str, Any]) -> dict[str, Any]:
        shell, code = self.shell, content["code"]
        error: BaseException | None = None
        try:
            signal.signal(signal.SIGINT, self._interrupt)
            try:
                result = await self._run(code, bool(content.get("store_history", True)))
                error = result.error_before_exec or result.error_in_exec
            finally:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
        except KeyboardInterrupt as interrupt:  # between the cell's last line and here
            error = interrupt
        except asyncio.CancelledError as cancelled:
            error = cancelled
        reply: dict[str, Any] = {"status": "ok", "user_expressions": {}}
        if error is not None or getattr(shell, "_last_traceback_during_displayhook", False):
            reply = {
                "status": "error",
                "ename": type(error).__name__,
                "evalue": str(error),
                "traceback": getattr(shell, "_last_traceback", None) or [],
            }
        reply["execution_count"] = shell.execution_count - 1
        reply["payload"] = shell.payload_manager.read_payload()
        shell.payload_manager.clear_payload()
        return reply

    async def _run(self, code: str, store_history: bool) -> Any:
        """As ipykernel: code with `await` in the loop, other code beside it."""
        shell = self.shell
        wrong = None
        try:
            transformed = shell.transform_cell(code)
        except Exception:
            transformed, wrong = code, sys.exc_info()
        if not shell.should_run_async(code, transformed_cell=transformed, preprocessing_exc_tuple=wrong):
            return shell.run_cell(code, store_history=store_history)
        task = asyncio.ensure_future(
            shell.run_cell_async(
                code,
                store_history=store_history,
                transformed_cell=transformed,
                preprocessing_exc_tuple=wrong,
            )
        )
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, task.cancel)
        result = None
        try:
            result = await task
            return result
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            signal.signal(signal.SIGINT, self._interrupt)
            shell.events.trigger("post_execute")
            shell.events.trigger("post_run_cell", result)


def _interactive_shell(session: Any) -> Any:
    import builtins
    import getpass
    from types import SimpleNamespace

    from ipykernel.compiler import XCachingCompiler
    from ipykernel.zmqshell import ZMQInteractiveShell
    from IPython.core.error import StdinNotImplementedError, UsageError
    from traitlets.config import Config

    class Interactive(ZMQInteractiveShell):
        """ipykernel's shell where there is no kernel around it."""

        def enable_gui(self, gui: str | None = None) -> None:
            """`%matplotlib inline` asks for none; a window has nobody to look at it."""
            if gui not in (None, "inline"):
                raise UsageError(f"no windows ({gui}) where nobody looks")

    config: Any = Config()
    config.HistoryManager.enabled = False
    shell: Any = Interactive.instance(
        config=config, kernel=SimpleNamespace(eventloop=None), compiler_class=XCachingCompiler
    )
    shell.displayhook.session = session
    shell.displayhook.topic = b"execute_result"
    shell.display_pub.session = session
    shell.extension_manager.load_extension("storemagic")

    def refusing(name: str) -> Any:
        def refuse(*args: object, **kwargs: object) -> NoReturn:
            raise StdinNotImplementedError(
                f"{name} was called, but this frontend does not support input requests."
            )

        return refuse

    builtins.input = refusing("raw_input")
    getpass.getpass = refusing("getpass")
    return shell
