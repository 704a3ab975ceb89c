"""Runs the cells in a kernel: limits, interrupts, outputs, and how each cell ended."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import Empty
from typing import Any

from lcnb.runbooks.ends import END_OF_ERROR
from lcnb.runbooks.engine import outputs
from lcnb.runbooks.engine.event_loop import drop_tasks
from lcnb.runbooks.engine.outputs import (
    NOTEBOOK_MESSAGES,
    OUTPUT_MESSAGES,
    OutputLimits,
    content_size,
    to_storable,
)
from lcnb.runbooks.engine.papermill_imports import (
    CellExecutionComplete,
    CellExecutionError,
    CellTimeoutError,
    DeadKernelError,
    OutputWidget,
    PapermillNotebookClient,
    ensure_async,
    run_sync,
    zmq,
)
from lcnb.runbooks.engine.run_job import SAFE_PATH_AT_START, CellError, RunJob
from lcnb.runbooks.notebook.languages import PYTHON
from lcnb.signals import hold_signals

KERNEL_START_S = 60

#: Seconds that an interrupted cell has for its own clean end; then its kernel is killed.
INTERRUPT_GRACE_S = 10.0


#: One expression, so that no name of it stays. PYTHONSAFEPATH is for the kernel's own start, not for what cells start.
_EXTEND_PATH_CODE = (
    "(__import__('sys').path.extend({folders!r}), "
    "{ours} and __import__('os').environ.pop('PYTHONSAFEPATH', None)) and None"
)


class EndedEarly(Exception):
    """The kernel does not listen any more; how the run ended stands in the job."""


class _OutputWidget(OutputWidget):
    """nbclient's part of an Output widget."""

    def _publish_msg(self, *args: Any, **kwargs: Any) -> None:
        """jupyter_client sends past asyncio's socket, which then may never see a reply that came at the same moment."""
        super()._publish_msg(*args, **kwargs)
        socket = getattr(self.kernel_client.shell_channel, "socket", None)
        if socket is not None:
            socket.get(zmq.EVENTS)  # has the socket look for what has come


class CellRunner(PapermillNotebookClient):  # type: ignore[misc]
    """Runs the cells; how each ended is told by what it raised, never assumed."""

    clear_before_next_output: bool

    def start_new_kernel(self, **kwargs: Any) -> None:
        with _start_error_as_death(), defer_signals():
            super().start_new_kernel(**kwargs)
        kernel = getattr(self.km.provisioner, "process", None)
        self.nb_man.kernel = kernel.pid if kernel is not None else None
        self.nb_man.job.on_kernel(self.nb_man.kernel)

    def start_new_kernel_client(self, **kwargs: Any) -> Any:
        with _start_error_as_death():
            return super().start_new_kernel_client(**kwargs)

    def papermill_execute_cells(self) -> None:
        try:
            self._execute_cells()
            self._hear_out()
        finally:
            self.set_widgets_metadata()  # papermill does so only where all went well

    def _execute_cells(self) -> None:
        job = self.nb_man.job
        self._outputs = OutputLimits()
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
                raise EndedEarly from None  # papermill would ask the kernel once more
            except BaseException as stop:
                self.nb_man.cell_exception(self.nb.cells[index], cell_index=index)
                drop_tasks()
                if isinstance(stop, KeyboardInterrupt | SystemExit):
                    self._clean_up(index)
                raise
            self.nb_man.cell_complete(self.nb.cells[index], cell_index=index)
            if self._exit_asked:
                job.end("done", 0, f"ended by exit() in cell {index + 1}")
                raise EndedEarly  # the kernel is ending itself: papermill would wait for its answer
            if self.nb_man.job.status != "running":
                return

    async def _find_modules(self, job: RunJob) -> None:
        """Have the kernel look for modules in the notebook's folder too, last: no file there hides another module.

        Its reply comes before that of the first cell, and nobody waits for it.
        """
        folders = [*([""] if job.cwd else []), str(job.source.parent)]
        code = _EXTEND_PATH_CODE.format(
            folders=folders, ours=job.env.get("PYTHONSAFEPATH") == SAFE_PATH_AT_START
        )
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
            return await ensure_async(self.kc.shell_channel.get_msg(timeout=INTERRUPT_GRACE_S))
        except Empty:
            raise CellTimeoutError(f"not ended by an interrupt after {timeout:g} s") from None

    def _clean_up(self, index: int) -> None:
        """After an interrupt of ours: interrupt the cell, and keep what it says while it ends; not for ever."""

        async def listen() -> None:
            await ensure_async(self.km.interrupt_kernel())
            over = time.monotonic() + INTERRUPT_GRACE_S
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
            over = time.monotonic() + INTERRUPT_GRACE_S
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
            content["data"] = {mime: to_storable(mime, value) for mime, value in content["data"].items()}
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
        if content_size(self.widget_state) + content_size(self.widget_buffers) > outputs.MAX_CELL_BYTES:
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
        code = _system_exit_code(error)
        if code == 0:
            job.end("done", 0, f"ended by sys.exit in cell {index + 1}")
            return True
        self.nb_man.cell_exception(cell, cell_index=index)
        job.error = CellError(index, cell.source, error.ename, error.evalue, error.traceback)
        status, known = END_OF_ERROR.get(error.ename, ("failed", 3))
        job.end(status, known if code is None else code, f"cell {index + 1}: {error.ename}: {error.evalue}")
        self.nb_man.cell_complete(cell, cell_index=index)
        return False


def _system_exit_code(error: CellExecutionError) -> int | None:
    """The code of `sys.exit(n)`; None for any other error, 1 for `sys.exit("text")`."""
    if error.ename != "SystemExit":
        return None
    text = error.evalue.strip()
    if text in ("", "None", "0"):
        return 0
    return (int(text) & 0xFF or 1) if text.removeprefix("-").isdecimal() else 1


@contextmanager
def defer_signals() -> Iterator[None]:
    """Ctrl-C and SIGTERM take effect at the end: nobody could end a process that is not known yet."""
    with hold_signals() as came:
        yield
    if came:
        signal.raise_signal(came[0])


@contextmanager
def _start_error_as_death() -> Iterator[None]:
    """A kernel that does not start has died: no interpreter at its path, a broken package, no answer in time."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise DeadKernelError(f"the kernel could not start: {error}") from error
