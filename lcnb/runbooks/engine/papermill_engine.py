"""The only module that touches papermill (>=2.7,<3): it injects the parameters, the rest is ours.

papermill finds our engine by name and our files by the scheme `lcnb+file://`. The engine runs the cells and
keeps the truth: a cell is `completed` only when it ended well, `failed` when it did not, `skipped` when it
was never run; the same goes for the whole notebook (`metadata.lcnb`). Saves are whole or not at all
(temporary file, sync, rename), pass one redacting function, and are rare while cells are quick. The kernel
is reached by sockets in a private folder, not by ports, and gets its environment and folder from us.
"""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any, Literal

from lcnb.files import write_atomically
from lcnb.runbooks.notebook.deferred_imports import grammar_later
from lcnb.runbooks.notebook.file_format import read_notebook
from lcnb.runbooks.notebook.languages import PYTHON
from lcnb.runbooks.notebook.parameters import recordable

with grammar_later():
    import nbformat
    import zmq
    from jupyter_client.manager import AsyncKernelManager
    from jupyter_core.utils import ensure_async, ensure_event_loop, run_sync
    from nbclient.exceptions import (
        CellExecutionComplete,
        CellExecutionError,
        CellTimeoutError,
        DeadKernelError,
    )
    from nbclient.output_widget import OutputWidget
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import Engine, NotebookExecutionManager, papermill_engines
    from papermill.exceptions import PapermillException, PapermillExecutionError
    from papermill.execute import execute_notebook, remove_error_markers
    from papermill.iorw import papermill_io
    from papermill.translators import (
        BashTranslator,
        CSharpTranslator,
        FSharpTranslator,
        JuliaTranslator,
        PowershellTranslator,
        PythonTranslator,
        RTranslator,
        ScalaTranslator,
        papermill_translators,
    )

from lcnb.runbooks.engine.shell_client import ShellManager, take
from lcnb.signals import held

SCHEME = "lcnb+file://"
#: The value of PYTHONSAFEPATH that is for the start of a kernel alone; Python wants any text.
FOR_THE_START = "lcnb"
ENGINE = "lcnb"
KERNEL_START_S = 60
#: A save may take this share of the run's time at most; the next one waits accordingly.
SAVE_SHARE = 20
#: Seconds after which what is saved must outlast a power cut.
YOUNG_S = 1.0

#: Seconds that an interrupted cell has for its own clean end; then its kernel is killed.
GRACE_S = 10.0
#: What all saves before the last one may write: this many times the notebook's size, or this many bytes.
SAVES_SIZE, SAVES_BYTES = 2, 1_000_000
#: Bytes of outputs that are kept of one cell, and of all; the rest is left out, and that is told.
CELL_OUTPUT, RUN_OUTPUT = 20_000_000, 100_000_000

OUTPUT_MESSAGES = ("stream", "display_data", "execute_result", "update_display_data")
#: All messages that change a notebook. Others, such as those for a debugger, are for nobody here.
NOTEBOOK_MESSAGES = (
    *OUTPUT_MESSAGES, "error", "clear_output", "status", "execute_input", "comm_open", "comm_msg", "comm_close"
)  # fmt: skip

Status = Literal[
    "running", "done", "attention", "failed", "died", "timeout", "interrupted", "refused", "locked"
]
#: The signals that end a run cleanly, by their exit code.
END_SIGNALS = {143: "SIGTERM", 129: "SIGHUP"}
#: What some errors that a cell raises say about the run: its status and exit code.
ENDS: dict[str, tuple[Status, int]] = {"ConfirmationMissing": ("refused", 6), "Locked": ("locked", 75)}


@dataclass
class CellError:
    """The cell that ended a run: where it is, what it says, what it raised."""

    index: int
    source: str
    ename: str
    evalue: str
    traceback: str


@dataclass
class Job:
    """One execution: what to run, where to, and (afterwards) how it ended."""

    source: Path
    target: Path
    parameters: Mapping[str, Any]
    env: Mapping[str, str]
    kernel: str = "python3"
    language: str = PYTHON
    redact: Callable[[str], str] = str
    on_cell: Callable[[int, int, str], None] = lambda index, total, title: None
    #: The spec of the kernel as the saved notebook shows it.
    kernelspec: Mapping[str, str] = field(default_factory=dict)
    #: Where the cells work; None: in the folder of the target.
    cwd: Path | None = None
    #: Handles that the kernel's process gets.
    inherits: tuple[int, ...] = ()
    #: Seconds for the whole run, and for each of its cells; None: as long as it takes.
    timeout: float | None = None
    cell_timeout: float | None = None
    #: Called once at the end, before the last save: may tell more of how it ended than the cells do.
    judge: Callable[[Job], None] = lambda job: None
    on_kernel: Callable[[int | None], None] = lambda pid: None
    #: Whether the cells may run in the shell that was forked for this process, if one was.
    shell: bool = False
    #: What they run in.
    engine: Literal["kernel", "shell"] = "kernel"
    status: Status = "running"
    exit_code: int = 0
    reason: str = ""
    error: CellError | None = None
    notebook: Any = field(default=None, repr=False)
    _began: float = field(default_factory=time.monotonic, repr=False)

    def age(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._began

    def left(self) -> float | None:
        """Seconds that are left of the run's time; None when it has no end."""
        return None if self.timeout is None else self.timeout - self.age()

    def late(self) -> str:
        """Which limit a cell has reached that takes too long."""
        left = self.left()
        if left is not None and left < 0.5:
            return f"the run took longer than {self.timeout:g} s"
        return f"it took longer than {self.cell_timeout:g} s, the limit of a cell"

    @property
    def path(self) -> str:
        """The address that papermill is given; it must not contain braces, so it is no real path."""
        return f"{SCHEME}{id(self):x}.ipynb"

    def end(self, status: Status, exit_code: int, reason: str) -> None:
        """The first reason stays: what follows a failure is its consequence."""
        if self.status == "running":
            self.status, self.exit_code, self.reason = status, exit_code, reason


#: The jobs under way, by the address that papermill knows them by.
_JOBS: dict[str, Job] = {}


def execute(job: Job) -> None:
    """Run the notebook of a job; how it ended stands in the job afterwards.

    Raises only what is not the notebook's own doing: KeyboardInterrupt, SystemExit, OSError (disk full). The
    job tells the status in these cases too.
    """
    _JOBS[job.path] = job
    try:
        execute_notebook(
            job.path,
            job.path,
            parameters=dict(job.parameters),
            engine_name=ENGINE,
            kernel_name=job.kernel,
            language=job.language,
            progress_bar=False,
            lcnb_job=job,
        )
        job.end("done", 0, "")
    except (PapermillExecutionError, CellExecutionError):
        job.end(
            "done", 0, ""
        )  # a cell that may raise by its tag did; one that may not has ended the job before
    except DeadKernelError as error:
        job.end("died", 5, str(error))
    except _GivenUp:
        pass
    except KeyboardInterrupt:
        job.end("interrupted", 130, "interrupted")
        raise
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 143
        job.end("interrupted", code, f"ended by {END_SIGNALS.get(code, 'SIGTERM')}")
        raise
    except BaseException as error:
        job.end("failed", 1, f"{type(error).__name__}: {error}")
        raise
    finally:
        try:
            with held():  # how it ended stands; it only has to be written down
                _finish(job)
        finally:
            del _JOBS[job.path]
            _close_loop()


def _finish(job: Job) -> None:
    """The last word on the saved notebook is ours: papermill writes markers of its own into a failed one.

    What is kept in memory, for the report, is what was saved: without secrets.
    """
    job.judge(job)
    if job.notebook is not None:
        remove_error_markers(job.notebook)
        _stamp(job)
        text = job.redact(str(nbformat.writes(job.notebook)))  # type: ignore[no-untyped-call]
        job.notebook = nbformat.v4.reads_json(text)  # type: ignore[no-untyped-call]
        try:
            write_atomically(job.target, text)
        except OSError as error:
            # Even a run that ended well has not done what it should: its notebook is lost.
            job.status, job.exit_code = "failed", 1
            job.reason = f"the notebook could not be written: {error.strerror or error}"
            _write_bare(job)
            raise


def _write_bare(job: Job) -> None:
    """Where the disk has no room for the outputs, how each cell ended may still fit."""
    bare = copy.deepcopy(job.notebook)
    for cell in bare.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    about = bare.metadata["lcnb"]
    about["status"], about["exit_code"], about["reason"] = job.status, job.exit_code, job.redact(job.reason)
    with suppress(OSError):
        write_atomically(job.target, str(nbformat.writes(bare)))  # type: ignore[no-untyped-call]


def _idle_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that jupyter_client runs in this thread from call to call; None where one runs already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return ensure_event_loop()
    return None


def _close_loop() -> None:
    """jupyter_client makes an event loop for a thread that has none, and leaves it open when that ends."""
    if threading.current_thread() is not threading.main_thread() and (loop := _idle_loop()):
        loop.close()


def _drop_tasks() -> None:
    """What an interrupt left in the event loop would go on when the kernel is shut down, and complain of that."""
    loop = _idle_loop()
    tasks = asyncio.all_tasks(loop) if loop else set()
    if loop and tasks:
        for task in tasks:
            task.cancel()
        done, _ = loop.run_until_complete(asyncio.wait(tasks, timeout=2))
        for task in done:
            if not task.cancelled():
                task.exception()  # looked at, so that nobody logs it


def _stamp(job: Job) -> None:
    about = job.notebook.metadata.setdefault("papermill", {})
    about["exception"] = job.status not in ("done", "attention")
    about["input_path"], about["output_path"] = str(job.source), str(job.target)
    job.notebook.metadata["lcnb"] = {
        "status": job.status,
        "exit_code": job.exit_code,
        "reason": job.redact(job.reason),
    }


# --- papermill's hooks ----------------------------------------------------------------------------------


class _Files:
    """papermill's way to files: reads a job's source. What is written is written by the manager and at the end."""

    def read(self, path: str) -> str:
        return json.dumps(read_notebook(_JOBS[path].source))

    def write(self, buf: str, path: str) -> None:
        """papermill's last write comes just before ours, which has the last word: nothing to do."""

    def listdir(self, path: str) -> list[str]:
        return [path]

    def pretty_path(self, path: str) -> str:
        return path


class _Manager(NotebookExecutionManager):  # type: ignore[misc]
    """Keeps the status of cells and the saved notebook true."""

    SKIPPED = "skipped"
    #: The number of the kernel's process, once there is one.
    kernel: int | None = None

    def __init__(self, nb: Any, job: Job) -> None:
        super().__init__(nb, output_path=job.path, progress_bar=False, autosave_cell_every=5)
        self.job = job
        self._next_save = 0.0
        self._written = 0
        job.notebook = nb

    def save(self, **kwargs: Any) -> None:
        """papermill asks for a save at each start and end of a cell; most come too soon to be worth it.

        Neither the run's time nor the disk may go into saves: a save takes a small share of the time, and all of
        them together write a small multiple of what there is.
        """
        if time.monotonic() < self._next_save:
            return
        started = time.monotonic()
        _stamp(self.job)
        text = self.job.redact(str(nbformat.writes(self.nb)))  # type: ignore[no-untyped-call]
        size = len(text.encode("utf-8", "replace"))
        if self._written + size <= max(SAVES_BYTES, SAVES_SIZE * size):
            # A young run has little that a power cut could take, and is soon written to its end.
            write_atomically(self.job.target, text, sync=self.job.age() > YOUNG_S)
            self._written += size
        self._next_save = time.monotonic() + SAVE_SHARE * (time.monotonic() - started)

    def cell_start(self, cell: Any, cell_index: int | None = None, **kwargs: Any) -> None:
        self.job.on_cell(cell_index or 0, len(self.nb.cells), _title(cell))
        super().cell_start(cell, cell_index)

    def cell_skipped(self, cell: Any) -> None:
        cell.metadata.papermill["status"] = self.SKIPPED

    def notebook_complete(self, **kwargs: Any) -> None:
        for cell in self.nb.cells:
            if cell.metadata.papermill["status"] == self.RUNNING:
                self.cell_exception(cell)
            elif cell.metadata.papermill["status"] == self.PENDING:
                self.cell_skipped(cell)
        super().notebook_complete()
        self.job.notebook = self.nb


#: One expression, so that no name of it stays. PYTHONSAFEPATH is for the kernel's own start, not for what cells start.
_FIND_MODULES = (
    "(__import__('sys').path.extend({folders!r}), "
    "{ours} and __import__('os').environ.pop('PYTHONSAFEPATH', None)) and None"
)


def _title(cell: Any) -> str:
    """What a person calls a cell: its first comment or first line."""
    lines = [line.strip() for line in cell.source.splitlines() if line.strip()]
    return lines[0].lstrip("#% ")[:60] if lines else ""


class _GivenUp(Exception):
    """The kernel does not listen any more; how the run ended stands in the job."""


class _OutputWidget(OutputWidget):
    """nbclient's part of an Output widget."""

    def _publish_msg(self, *args: Any, **kwargs: Any) -> None:
        """jupyter_client sends past asyncio's socket, which then may never see a reply that came at the same moment."""
        super()._publish_msg(*args, **kwargs)
        socket = getattr(self.kernel_client.shell_channel, "socket", None)
        if socket is not None:
            socket.get(zmq.EVENTS)  # has the socket look for what has come


class _Client(PapermillNotebookClient):  # type: ignore[misc]
    """Runs the cells; how each ended is told by what it raised, never assumed."""

    clear_before_next_output: bool

    def start_new_kernel(self, **kwargs: Any) -> None:
        with _start_is_death(), _signals_wait():
            super().start_new_kernel(**kwargs)
        kernel = getattr(self.km.provisioner, "process", None)
        self.nb_man.kernel = kernel.pid if kernel is not None else None
        self.nb_man.job.on_kernel(self.nb_man.kernel)

    def start_new_kernel_client(self, **kwargs: Any) -> Any:
        with _start_is_death():
            return super().start_new_kernel_client(**kwargs)

    def papermill_execute_cells(self) -> None:
        try:
            self._execute_cells()
            self._hear_out()
        finally:
            self.set_widgets_metadata()  # papermill does so only where all went well

    def _execute_cells(self) -> None:
        job = self.nb_man.job
        self._outputs = Outputs()
        #: The cell of each request (None: of no cell); cells whose next output takes the place of what they show.
        self._cell_of: dict[str, int | None] = {}
        self._clearing: set[int] = set()
        self._exit_asked = False
        self.widget_registry = {"@jupyter-widgets/output": {"OutputModel": _OutputWidget}}
        self.on_cell_executed = self._look_for_exit
        if job.language == PYTHON:
            run_sync(self._find_modules)(job)
        for index, cell in enumerate(self.nb.cells):
            if not self._runs(cell):
                self.nb_man.cell_skipped(cell)
                continue
            left = job.left()
            if left is not None and left <= 0:
                job.end("timeout", 4, f"before cell {index + 1}: the run took longer than {job.timeout:g} s")
                return
            self._at = index
            self.nb_man.cell_start(cell, index)
            try:
                self.execute_cell(cell, index)
            except CellExecutionError as error:
                if not self._left_well(index, error):
                    return
            except CellTimeoutError:
                self.nb_man.cell_exception(self.nb.cells[index], cell_index=index)
                job.end("timeout", 4, f"cell {index + 1}: its outputs did not end in time")
                self.shutdown_kernel = "immediate"
                raise _GivenUp from None  # papermill would ask the kernel once more
            except BaseException as stop:
                self.nb_man.cell_exception(self.nb.cells[index], cell_index=index)
                _drop_tasks()
                if isinstance(stop, KeyboardInterrupt | SystemExit):
                    self._clean_up(index)
                raise
            self.nb_man.cell_complete(self.nb.cells[index], cell_index=index)
            if self._exit_asked:
                job.end("done", 0, f"ended by exit() in cell {index + 1}")
                raise _GivenUp  # the kernel is ending itself: papermill would wait for its answer
            if self.nb_man.job.status != "running":
                return

    async def _find_modules(self, job: Job) -> None:
        """Have the kernel look for modules in the notebook's folder too, last: no file there hides another module.

        Its reply comes before that of the first cell, and nobody waits for it.
        """
        folders = [*([""] if job.cwd else []), str(job.source.parent)]
        code = _FIND_MODULES.format(folders=folders, ours=job.env.get("PYTHONSAFEPATH") == FOR_THE_START)
        request = await ensure_async(self.kc.execute(code, silent=True, store_history=False))
        self._cell_of[request] = None  # that it has ended does not end the first cell

    def _look_for_exit(self, execute_reply: Any, **about: object) -> None:
        """`exit()` and `quit()` raise nothing: the kernel asks the front end to end it, and ends a moment later."""
        payload = execute_reply["content"].get("payload") or ()
        self._exit_asked = any(each.get("source") == "ask_exit" for each in payload)

    # --- limits and interrupts --------------------------------------------------------------------------

    def _get_timeout(self, cell: Any) -> float | None:
        """Seconds that a cell may take; nbclient takes 0 for no limit."""
        if cell is None:
            return KERNEL_START_S
        job = self.nb_man.job
        limits = [limit for limit in (job.cell_timeout, job.left()) if limit is not None]
        return max(0.01, min(limits)) if limits else None

    async def _async_handle_timeout(self, timeout: float, cell: Any = None) -> Any:
        """Interrupt a cell that takes too long, so that it can clean up; its reply if it gives one, else its end."""
        if cell is None:
            raise DeadKernelError(f"the kernel does not answer for {timeout:g} s")
        job = self.nb_man.job
        job.end("timeout", 4, f"cell {self._at + 1}: {job.late()}")
        await ensure_async(self.km.interrupt_kernel())
        try:
            return await ensure_async(self.kc.shell_channel.get_msg(timeout=GRACE_S))
        except Empty:
            raise CellTimeoutError(f"not ended by an interrupt after {timeout:g} s") from None

    def _clean_up(self, index: int) -> None:
        """After an interrupt of ours: interrupt the cell, and keep what it says while it ends; not for ever."""

        async def listen() -> None:
            await ensure_async(self.km.interrupt_kernel())
            over = time.monotonic() + GRACE_S
            while True:
                left = max(0.01, over - time.monotonic())
                self._sort_in(await ensure_async(self.kc.iopub_channel.get_msg(timeout=left)), index)

        self.shutdown_kernel = "immediate"  # it has had its time, or nobody wants to wait for it
        # A kernel that is gone already, or does not listen, is killed: nothing else is of interest here.
        with suppress(CellExecutionComplete, Empty, OSError, RuntimeError):
            run_sync(listen)()

    # --- outputs ----------------------------------------------------------------------------------------

    async def _async_poll_output_msg(self, parent_msg_id: str, cell: Any, cell_index: int) -> None:
        """Until the cell has ended; what earlier cells still say meanwhile is kept too."""
        self._cell_of[parent_msg_id] = cell_index
        with suppress(CellExecutionComplete):
            while True:
                self._sort_in(await ensure_async(self.kc.iopub_channel.get_msg(timeout=None)), cell_index)
        if self.clear_before_next_output:
            self._clearing.add(cell_index)

    def _hear_out(self) -> None:
        """Keep what cells said just before the last one ended: a kernel sends it with its answer to another request."""
        request = self.kc.kernel_info()

        async def listen() -> None:
            over = time.monotonic() + GRACE_S
            while time.monotonic() < over and await ensure_async(self.kc.is_alive()):
                with suppress(Empty):
                    message = await ensure_async(self.kc.iopub_channel.get_msg(timeout=1))
                    if message["parent_header"].get("msg_id") != request:
                        self._sort_in(message, None)
                    elif message["content"].get("execution_state") == "idle":
                        return

        with suppress(DeadKernelError):  # papermill asks it once more, and tells that it is dead
            run_sync(listen)()

    def _sort_in(self, message: Any, current: int | None) -> None:
        """Put a message into the cell that has caused it, as a front end does: a task may go on after its cell.

        CellExecutionComplete when it says that the current cell has ended.
        """
        parent = message["parent_header"]
        unknown = current if parent.get("msg_type") == "execute_request" else None
        index = self._cell_of.get(parent.get("msg_id"), unknown)
        if index is None:
            return
        if index == current:
            self.process_message(message, self.nb.cells[index], index)
        elif message["msg_type"] not in ("status", "execute_input"):
            waiting = self.clear_before_next_output
            self.clear_before_next_output = index in self._clearing
            try:
                self.process_message(message, self.nb.cells[index], index)
            finally:
                (self._clearing.add if self.clear_before_next_output else self._clearing.discard)(index)
                self.clear_before_next_output = waiting

    def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
        """What a cell says; too much of it is left out. A progress that it shows is shown where the run is."""
        content = msg["content"]
        if msg["msg_type"] not in NOTEBOOK_MESSAGES:
            return None
        if isinstance(content.get("data"), dict) and msg["msg_type"] in OUTPUT_MESSAGES:
            content["data"] = {mime: _storable(mime, value) for mime, value in content["data"].items()}
        said = content.get("metadata", {}).get("lcnb_progress")
        if isinstance(said, str):
            self.nb_man.job.on_cell(cell_index, len(self.nb.cells), said[:120])
        if msg["msg_type"] in OUTPUT_MESSAGES and not self._outputs.take(cell_index, msg):
            return None
        return super().process_message(msg, cell, cell_index)

    def handle_comm_msg(self, outs: Any, msg: Any, cell_index: int) -> None:
        """What a widget says to a front end. What ours does not understand is no failure of the cell."""
        try:
            super().handle_comm_msg(outs, msg, cell_index)
        except Exception as error:
            self.log.warning(f"a widget's message is passed over: {type(error).__name__}: {error}")

    def remove_output_hook(self, msg_id: str, hook: Any) -> None:
        """Contexts of Output widgets may end in another order than they began in, in generators or threads."""
        hooks = self.output_hook_stack[msg_id]
        if hook in hooks:
            hooks.remove(hook)

    def set_widgets_metadata(self) -> None:
        """The states of widgets, without which a notebook shows none; what was typed as a password is no part of it."""
        for state in self.widget_state.values():
            if state.get("_model_name") == "PasswordModel":
                state["value"] = ""
        if _size(self.widget_state) + _size(self.widget_buffers) > CELL_OUTPUT:
            # As much as a cell may print; the report says of each widget without a state that it was left out.
            self.widget_state.clear()
            self.widget_buffers.clear()
        super().set_widgets_metadata()

    def _runs(self, cell: Any) -> bool:
        tagged = self.skip_cells_with_tag in cell.metadata.get("tags", [])
        return cell.cell_type == "code" and bool(cell.source.strip()) and not tagged

    def _left_well(self, index: int, error: CellExecutionError) -> bool:
        """Note what a cell raised; True for `sys.exit(0)`, by which a notebook says that it is done."""
        cell, job = self.nb.cells[index], self.nb_man.job
        code = _exit_code(error)
        if code == 0:
            job.end("done", 0, f"ended by sys.exit in cell {index + 1}")
            return True
        self.nb_man.cell_exception(cell, cell_index=index)
        job.error = CellError(index, cell.source, error.ename, error.evalue, error.traceback)
        status, known = ENDS.get(error.ename, ("failed", 3))
        job.end(status, known if code is None else code, f"cell {index + 1}: {error.ename}: {error.evalue}")
        self.nb_man.cell_complete(cell, cell_index=index)
        return False


def _exit_code(error: CellExecutionError) -> int | None:
    """The code of `sys.exit(n)`; None for any other error, 1 for `sys.exit("text")`."""
    if error.ename != "SystemExit":
        return None
    text = error.evalue.strip()
    if text in ("", "None", "0"):
        return 0
    return (int(text) & 0xFF or 1) if text.removeprefix("-").isdecimal() else 1


class Outputs:
    """How many bytes of outputs each cell has given; what goes beyond the limits becomes one line that says so."""

    def __init__(self) -> None:
        self._of_cell: Counter[int] = Counter()
        self._told: set[int] = set()

    def take(self, cell: int, message: Any) -> bool:
        """Whether this message is kept; the first one that is not is turned into the line that tells it."""
        size = _size(message["content"])
        if self._of_cell[cell] + size <= CELL_OUTPUT and self._of_cell.total() + size <= RUN_OUTPUT:
            self._of_cell[cell] += size
            return True
        if cell in self._told:
            return False
        self._told.add(cell)
        text = (
            f"\n[more output is left out: a notebook keeps {CELL_OUTPUT // 1_000_000} MB of a cell, "
            f"{RUN_OUTPUT // 1_000_000} MB in all]\n"
        )
        message["msg_type"] = message["header"]["msg_type"] = "stream"
        message["content"] = {"name": "stderr", "text": text}
        return True


def _storable(mime: str, value: Any) -> Any:
    """A representation as a notebook may have it: text, or JSON where its type says so.

    >>> _storable("application/x-own", {"a": 1}), _storable("application/vnd.own+json", {"a": 1})
    ('{"a": 1}', {'a': 1})
    """
    structured = mime == "application/json" or mime.endswith("+json")
    return value if structured or isinstance(value, str) else json.dumps(value)


def _size(content: Any) -> int:
    if isinstance(content, dict):
        return sum(_size(each) for each in content.values())
    if isinstance(content, list | tuple):
        return sum(_size(each) for each in content)
    return len(content) if isinstance(content, str | bytes) else 8


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Ctrl-C and SIGTERM take effect at the end: nobody could end a process that is not known yet."""
    with held() as came:
        yield
    if came:
        signal.raise_signal(came[0])


@contextmanager
def _start_is_death() -> Iterator[None]:
    """A kernel that does not start has died: no interpreter at its path, a broken package, no answer in time."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise DeadKernelError(f"the kernel could not start: {error}") from error


class _Engine(Engine):  # type: ignore[misc]
    @classmethod
    def execute_notebook(cls, nb: Any, kernel_name: str, lcnb_job: Job, **kwargs: Any) -> Any:
        nb.metadata.papermill["parameters"] = recordable(dict(lcnb_job.parameters))
        if lcnb_job.kernelspec:
            nb.metadata["kernelspec"] = dict(lcnb_job.kernelspec)
        manager = _Manager(nb, lcnb_job)
        manager.notebook_start()
        try:
            _run_in_kernel(manager, kernel_name, lcnb_job)
        finally:
            manager.notebook_complete()
        return manager.nb


def _run_in_kernel(manager: _Manager, kernel_name: str, job: Job) -> None:
    client = _Client(
        manager,
        kernel_name=kernel_name,
        kernel_manager_class=_IpcKernelManager if os.name == "posix" else AsyncKernelManager,
        startup_timeout=KERNEL_START_S,
        store_widget_state=True,  # the last state of a progress bar is all that a report can show of it
        iopub_timeout=30,
        raise_on_iopub_timeout=True,
    )
    prepared = take() if job.shell else None
    sockets = _socket_folder() if os.name == "posix" and prepared is None else None
    try:
        if prepared is not None:
            job.engine = "shell"
            client.km = ShellManager(prepared, DeadKernelError)
        else:
            client.create_kernel_manager()
        if sockets:
            client.km.connection_file = str(sockets / "k.json")
        _execute(client, job)
    finally:
        if client.km is not None and client.km.has_kernel:
            _kill(client)
        _end_group(manager.kernel)
        if sockets:
            shutil.rmtree(sockets, ignore_errors=True)


#: Clients whose start was interrupted. To close their sockets, as the garbage collector would, can take for ever.
_LEFT: list[_Client] = []


def _kill(client: _Client) -> None:
    """End a kernel whose start was interrupted. A shutdown would meet the start, which is in the event loop still."""
    _LEFT.append(client)
    kernel = getattr(client.km.provisioner, "process", None)
    if kernel is not None:
        kernel.kill()
        kernel.wait()


def _end_group(kernel: int | None) -> None:
    """A kernel leads a group of its own: what its cells have left running there ends with the run."""
    if kernel is not None and os.name == "posix":
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(kernel, signal.SIGKILL)


def _execute(client: _Client, job: Job) -> None:
    """Run the cells. What the kernel's process says beside them is told when it dies, and else not worth a word."""
    with tempfile.TemporaryFile() as words:
        inherits = {"pass_fds": job.inherits} if job.inherits else {}
        try:
            client.execute(
                cwd=str(job.cwd or job.target.parent),
                env=dict(job.env),
                stdout=subprocess.DEVNULL,  # what it says there is in the notebook already
                stderr=words,
                **inherits,
            )
        except DeadKernelError as error:
            words.seek(0)
            last = words.read()[-2000:].decode(errors="replace").strip()
            raise DeadKernelError(f"{error}\n{last}".strip()) from error


def _socket_folder() -> Path:
    """A folder of mode 0700, with a path that leaves room in the 100 bytes that the address of a socket has."""
    short = len(os.fsencode(tempfile.gettempdir())) < 70
    return Path(tempfile.mkdtemp(prefix="lcnb-", dir=None if short else "/tmp"))  # noqa: S108


class _IpcKernelManager(AsyncKernelManager):
    """Sockets in a folder of mode 0700: no port to race for, and nobody else can connect."""

    transport = "ipc"


def why_unwritable(kernel: str, language: str, parameters: Mapping[str, Any]) -> str:
    """Why papermill cannot write these values into a cell for that kernel or language; empty when it can."""
    try:
        translator = papermill_translators.find_translator(kernel, language)
    except PapermillException:
        return f"papermill cannot write values into a cell of {language}"
    for name, value in parameters.items():
        try:
            translator.assign(name, translator.translate(value))
        except NotImplementedError:
            return f"papermill cannot write {value!r} into a cell of {language}"
    return ""


class _Python(PythonTranslator):  # type: ignore[misc]
    """papermill's, with the keys of a dict as what they are: it writes each as a text."""

    @classmethod
    def translate(cls, value: Any) -> str:
        if isinstance(value, tuple):
            return f"({''.join(f'{cls.translate(each)}, ' for each in value)})"
        return str(super().translate(value))

    @classmethod
    def translate_dict(cls, value: Mapping[Any, Any]) -> str:
        pairs = (f"{cls.translate(key)}: {cls.translate(each)}" for key, each in value.items())
        return f"{{{', '.join(pairs)}}}"


class _Bash(BashTranslator):  # type: ignore[misc]
    """papermill's, without lists that an array cannot hold: it loses a None, and writes a list within one as code."""

    @classmethod
    def translate_list(cls, value: list[Any]) -> str:
        if not all(isinstance(each, str | int | float) for each in value):
            raise NotImplementedError
        return str(super().translate_list(value))


def _with_texts(base: Any, literal: Callable[[str], str]) -> Any:
    """A translator of papermill with texts as that language writes them: papermill escapes all as Python does."""

    class WithTexts(base):  # type: ignore[misc]
        @classmethod
        def translate_escaped_str(cls, value: object) -> str:
            return literal(str(value))

    return WithTexts


def _quoted(text: str) -> str:
    """As JSON, which R, Scala, C# and F# read as it is meant."""
    return json.dumps(text, ensure_ascii=False)


for _name in (PYTHON, "pysparkkernel"):
    papermill_translators.register(_name, _Python)
papermill_translators.register("bash", _Bash)
for _name, _base, _literal in (
    ("R", RTranslator, _quoted),
    ("sparkrkernel", RTranslator, _quoted),
    ("scala", ScalaTranslator, _quoted),
    ("sparkkernel", ScalaTranslator, _quoted),
    (".net-csharp", CSharpTranslator, _quoted),
    (".net-fsharp", FSharpTranslator, _quoted),
    ("julia", JuliaTranslator, lambda text: _quoted(text).replace("$", "\\$")),  # Julia puts in what follows
    (".net-powershell", PowershellTranslator, lambda text: "'" + text.replace("'", "''") + "'"),
):
    papermill_translators.register(_name, _with_texts(_base, _literal))

#: It warns of each parameter whose declaration its own reader does not know; ours has checked them all.
logging.getLogger("papermill").setLevel(logging.ERROR)
papermill_engines.register(ENGINE, _Engine)
papermill_io.register(SCHEME, _Files())
