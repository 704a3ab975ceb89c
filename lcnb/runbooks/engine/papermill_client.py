"""Execute the cells of a notebook in a kernel: limits, interrupts, outputs, and how each cell ended.

`CellRunner` is papermill's client with the parts replaced that report a wrong end: a timeout, a dead kernel and an
interrupt become an end of the run (`RunJob.end`), and every output goes to the cell that caused it.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import Empty
from typing import Any

from lcnb.runbooks.ends import DONE, TIMED_OUT
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
from lcnb.runbooks.judgement import judge_cell_error
from lcnb.runbooks.notebook.languages import PYTHON
from lcnb.signals import hold_signals

KERNEL_START_S = 60

#: Seconds that an interrupted cell may take to clean up; then its kernel is killed.
INTERRUPT_GRACE_S = 10.0
#: One expression, so that it leaves no name behind. PYTHONSAFEPATH is only for the start of the kernel itself, not for
#: programs that cells start.
_EXTEND_PATH_CODE = (
    "(__import__('sys').path.extend({folders!r}), "
    "{ours} and __import__('os').environ.pop('PYTHONSAFEPATH', None)) and None"
)


class EndedEarly(Exception):
    """The kernel does not answer any more. The job says how the run ended."""


class _OutputWidget(OutputWidget):
    """nbclient's side of an Output widget."""

    def _publish_msg(self, *args: Any, **kwargs: Any) -> None:
        """Publish a message, then look for replies.

        jupyter_client sends past asyncio's socket, which then may never notice a reply that came at the same moment.
        """
        super()._publish_msg(*args, **kwargs)
        socket = getattr(self.kernel_client.shell_channel, "socket", None)
        if socket is not None:
            socket.get(zmq.EVENTS)  # makes the socket notice what has arrived


class CellRunner(PapermillNotebookClient):  # type: ignore[misc]
    """Executes the cells. How a cell ended follows from what it raised, and is never assumed."""

    #: nbclient sets it after it has sent a cell; an interrupt, and the outputs read then, may come before.
    clear_before_next_output: bool = False

    def start_new_kernel(self, **kwargs: Any) -> None:
        """Start the kernel and report its process. A kernel that cannot start counts as dead."""
        with _start_error_as_death(), defer_signals():
            super().start_new_kernel(**kwargs)
        kernel = getattr(self.km.provisioner, "process", None)
        self.nb_man.kernel = kernel.pid if kernel is not None else None
        self.nb_man.job.on_kernel(self.nb_man.kernel)

    def start_new_kernel_client(self, **kwargs: Any) -> Any:
        """Connect to the kernel. A kernel that does not answer counts as dead."""
        with _start_error_as_death():
            return super().start_new_kernel_client(**kwargs)

    def papermill_execute_cells(self) -> None:
        """Execute all cells: the method that papermill calls."""
        try:
            self._execute_cells()
            self._read_last_outputs()
        finally:
            self.set_widgets_metadata()  # papermill does so only where all went well

    def _execute_cells(self) -> None:
        job = self.nb_man.job
        self._outputs = OutputLimits()
        #: The cell of each request; None for a request of no cell.
        self._cell_of: dict[str, int | None] = {}
        #: Cells whose next output replaces what they show.
        self._clearing: set[int] = set()
        self._exit_requested = False
        self.widget_registry = {"@jupyter-widgets/output": {"OutputModel": _OutputWidget}}
        self.on_cell_executed = self._note_exit_request
        if job.language == PYTHON:
            run_sync(self._extend_module_path)(job)
        for index, cell in enumerate(self.nb.cells):
            if not self._is_executable(cell):
                self.nb_man.cell_skipped(cell)
                continue
            left = job.seconds_left()
            if left is not None and left <= 0:
                reason = f"before cell {index + 1}: the run took longer than {job.timeout:g} s"
                job.end(TIMED_OUT.because(reason))
                return
            self._execute_one(index, cell)
            if not job.running:
                return

    def _execute_one(self, index: int, cell: Any) -> None:
        """Execute one cell and note how it ended. EndedEarly when the kernel does not answer any more."""
        job = self.nb_man.job
        self._current = index
        self.nb_man.cell_start(cell, index)
        try:
            self.execute_cell(cell, index)
        except CellExecutionError as error:
            if not self._note_cell_error(index, error):
                return
        except CellTimeoutError:
            self.nb_man.cell_exception(self.nb.cells[index], cell_index=index)
            job.end(TIMED_OUT.because(f"cell {index + 1}: its outputs did not end in time"))
            self.shutdown_kernel = "immediate"
            raise EndedEarly from None  # papermill would send the kernel another request
        except BaseException as stop:
            self.nb_man.cell_exception(self.nb.cells[index], cell_index=index)
            drop_tasks()
            if isinstance(stop, KeyboardInterrupt | SystemExit):
                self._interrupt_cell(index)
            raise
        self.nb_man.cell_complete(self.nb.cells[index], cell_index=index)
        if self._exit_requested:
            job.end(DONE.because(f"ended by exit() in cell {index + 1}"))
            raise EndedEarly  # the kernel ends by itself: papermill would wait for its reply

    async def _extend_module_path(self, job: RunJob) -> None:
        """Let the kernel find modules in the notebook's folder too. It comes last, so no file there hides a module.

        The reply comes before that of the first cell, and is not waited for.
        """
        folders = [*([""] if job.cwd else []), str(job.source.parent)]
        code = _EXTEND_PATH_CODE.format(
            folders=folders, ours=job.env.get("PYTHONSAFEPATH") == SAFE_PATH_AT_START
        )
        request = await ensure_async(self.kc.execute(code, silent=True, store_history=False))
        self._cell_of[request] = None  # the end of this request does not end the first cell

    async def _check_raise_for_error(self, cell: Any, cell_index: int, exec_reply: Any) -> None:
        """Raise CellExecutionError for a cell that failed, also where the kernel's reply says that it succeeded.

        `%%capture`, and `%run` of a script, show the error of the code that they run, and then count as successful
        (IPython 9.18.1, findings/ipython-magics-report-errors-as-success.sh). The next cell must not run after it.
        """
        await super()._check_raise_for_error(cell, cell_index, exec_reply)
        if exec_reply is None or exec_reply["content"]["status"] == "error":
            return  # a tag allows the error
        shown = [output for output in cell.outputs if output.output_type == "error"]
        if shown and "raises-exception" not in cell.metadata.get("tags", []):
            raise CellExecutionError.from_cell_and_msg(cell, shown[0])

    def _note_exit_request(self, execute_reply: Any, **details: object) -> None:
        """Note a call of `exit()` or `quit()`: it raises nothing, and the kernel ends a moment after its reply."""
        payload = execute_reply["content"].get("payload") or ()
        self._exit_requested = any(each.get("source") == "ask_exit" for each in payload)

    # --- limits and interrupts --------------------------------------------------------------------------

    def _get_timeout(self, cell: Any) -> float | None:
        """Seconds that a cell may take; None: no limit. (nbclient would take 0 for no limit.)"""
        if cell is None:
            return KERNEL_START_S
        job = self.nb_man.job
        limits = [limit for limit in (job.cell_timeout, job.seconds_left()) if limit is not None]
        return max(0.01, min(limits)) if limits else None

    async def _async_handle_timeout(self, timeout: float, cell: Any = None) -> Any:
        """Interrupt a slow cell, so that it can clean up, and return its reply. CellTimeoutError without a reply."""
        if cell is None:
            raise DeadKernelError(f"the kernel did not answer within {timeout:g} s")
        job = self.nb_man.job
        job.end(TIMED_OUT.because(f"cell {self._current + 1}: {job.exceeded_limit()}"))
        await ensure_async(self.km.interrupt_kernel())
        try:
            return await ensure_async(self.kc.shell_channel.get_msg(timeout=INTERRUPT_GRACE_S))
        except Empty:
            raise CellTimeoutError(f"an interrupt after {timeout:g} s did not end it") from None

    def _interrupt_cell(self, index: int) -> None:
        """Interrupt the cell because this run was interrupted, and keep its last outputs, for a limited time."""

        async def listen() -> None:
            await ensure_async(self.km.interrupt_kernel())
            deadline = time.monotonic() + INTERRUPT_GRACE_S
            while True:
                left = max(0.01, deadline - time.monotonic())
                try:
                    message = await ensure_async(self.kc.iopub_channel.get_msg(timeout=left))
                except ValueError:
                    continue  # the rest of a message that the interrupt cut in two
                self._dispatch_message(message, index)

        self.shutdown_kernel = "immediate"  # it had its time to end
        # A kernel that is gone or does not answer is killed; why it does not answer makes no difference.
        with suppress(CellExecutionComplete, Empty, OSError, RuntimeError):
            run_sync(listen)()

    # --- outputs ----------------------------------------------------------------------------------------

    async def _async_poll_output_msg(self, parent_msg_id: str, cell: Any, cell_index: int) -> None:
        """Read outputs until the cell has ended; outputs of earlier cells that still arrive are kept too."""
        self._cell_of[parent_msg_id] = cell_index
        with suppress(CellExecutionComplete):
            while True:
                self._dispatch_message(
                    await ensure_async(self.kc.iopub_channel.get_msg(timeout=None)), cell_index
                )
        if self.clear_before_next_output:
            self._clearing.add(cell_index)

    def _read_last_outputs(self) -> None:
        """Keep outputs from just before the last cell ended: the kernel sends them with its next reply."""
        request = self.kc.kernel_info()

        async def listen() -> None:
            deadline = time.monotonic() + INTERRUPT_GRACE_S
            while time.monotonic() < deadline and await ensure_async(self.kc.is_alive()):
                with suppress(Empty):
                    message = await ensure_async(self.kc.iopub_channel.get_msg(timeout=1))
                    if message["parent_header"].get("msg_id") != request:
                        self._dispatch_message(message, None)
                    elif message["content"].get("execution_state") == "idle":
                        return

        with suppress(DeadKernelError):  # papermill sends another request and reports the death
            run_sync(listen)()

    def _dispatch_message(self, message: Any, current: int | None) -> None:
        """Give a message to the cell that caused it, as a front end does: a task may continue after its cell.

        CellExecutionComplete when the message says that the current cell has ended.
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
        """Add an output to a cell, within the limits. Progress of changes is also shown where the run was started."""
        content = msg["content"]
        if msg["msg_type"] not in NOTEBOOK_MESSAGES:
            return None
        if isinstance(content.get("data"), dict) and msg["msg_type"] in OUTPUT_MESSAGES:
            content["data"] = {mime: to_storable(mime, value) for mime, value in content["data"].items()}
        progress = content.get("metadata", {}).get("lcnb_progress")
        if isinstance(progress, str):
            self.nb_man.job.on_cell(cell_index, len(self.nb.cells), progress[:120])
        if msg["msg_type"] in OUTPUT_MESSAGES and not self._outputs.take(cell_index, msg):
            return None
        return super().process_message(msg, cell, cell_index)

    def handle_comm_msg(self, outs: Any, msg: Any, cell_index: int) -> None:
        """Process a widget's message to a front end. A message that is not understood does not fail the cell."""
        try:
            super().handle_comm_msg(outs, msg, cell_index)
        except Exception as error:
            self.log.warning(f"a widget's message is passed over: {type(error).__name__}: {error}")

    def remove_output_hook(self, msg_id: str, hook: Any) -> None:
        """Remove a hook wherever it is: contexts of Output widgets may end in another order than they began."""
        hooks = self.output_hook_stack[msg_id]
        if hook in hooks:
            hooks.remove(hook)

    def set_widgets_metadata(self) -> None:
        """Save the states of widgets, without which a notebook shows none. Typed passwords are removed."""
        for state in self.widget_state.values():
            if state.get("_model_name") == "PasswordModel":
                state["value"] = ""
        if content_size(self.widget_state) + content_size(self.widget_buffers) > outputs.MAX_CELL_BYTES:
            # The limit of a cell's output; the report says of each widget without a state that it was left out.
            self.widget_state.clear()
            self.widget_buffers.clear()
        super().set_widgets_metadata()

    def _is_executable(self, cell: Any) -> bool:
        tagged = self.skip_cells_with_tag in cell.metadata.get("tags", [])
        return cell.cell_type == "code" and bool(cell.source.strip()) and not tagged

    def _note_cell_error(self, index: int, error: CellExecutionError) -> bool:
        """Note what a cell raised. Returns True for `sys.exit(0)`, which ends a notebook well."""
        cell, job = self.nb.cells[index], self.nb_man.job
        end = judge_cell_error(index + 1, error.ename, error.evalue)
        if end.completed:
            job.end(end)
            return True
        self.nb_man.cell_exception(cell, cell_index=index)
        job.error = CellError(index, cell.source, error.ename, error.evalue, error.traceback)
        job.end(end)
        self.nb_man.cell_complete(cell, cell_index=index)
        return False


@contextmanager
def defer_signals() -> Iterator[None]:
    """Delay Ctrl-C and SIGTERM until the block ends: a process that is not known yet could not be ended."""
    with hold_signals() as came:
        yield
    if came:
        signal.raise_signal(came[0])


@contextmanager
def _start_error_as_death() -> Iterator[None]:
    """Report a kernel that cannot start as dead: no interpreter at its path, a broken package, no reply in time."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise DeadKernelError(f"the kernel could not start: {error}") from error
