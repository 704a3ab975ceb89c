"""Execute a notebook through papermill: it injects the parameters, lcnb does the rest.

papermill finds the engine by its name, and files by the scheme `lcnb+file://`. A cell is `completed` only when it ended
well, `failed` when it did not, and `skipped` when it never ran; the same is true for the whole notebook
(`metadata.lcnb`). A save is complete or does not happen (temporary file, sync, rename), passes one redacting function,
and is rare while cells are quick. The kernel is reached through sockets in a private folder, not through ports.
"""

from __future__ import annotations

import copy
import logging
import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from lcnb.files import write_atomically
from lcnb.runbooks.ends import COMPLETED_STATUSES, DIED, DONE, RUN_FAILED
from lcnb.runbooks.engine import parameter_cell as parameter_cell  # registers the translators
from lcnb.runbooks.engine.event_loop import close_loop
from lcnb.runbooks.engine.papermill_client import KERNEL_START_S, CellRunner, EndedEarly
from lcnb.runbooks.engine.papermill_imports import (
    AsyncKernelManager,
    CellExecutionError,
    DeadKernelError,
    Engine,
    NotebookExecutionManager,
    PapermillExecutionError,
    execute_notebook,
    nbformat,
    papermill_engines,
    papermill_io,
    remove_error_markers,
)
from lcnb.runbooks.engine.run_job import FILE_SCHEME, JOBS_BY_PATH, JobFiles, RunJob
from lcnb.runbooks.engine.shell_client import ShellManager, take_prepared
from lcnb.runbooks.judgement import judge_interrupt
from lcnb.runbooks.notebook.parameters import to_json_values
from lcnb.signals import hold_signals

ENGINE_NAME = "lcnb"
#: The pause after a save is this many times as long as the save took.
SAVE_PAUSE_FACTOR = 20
#: Seconds after which saves must survive a power cut.
SYNC_AFTER_S = 1.0
#: All saves before the last one write at most this many times the notebook's size, or MAX_SAVES_BYTES if that is more.
MAX_SAVES_FACTOR = 2
MAX_SAVES_BYTES = 1_000_000


def execute_job(job: RunJob) -> None:
    """Execute the notebook of a job. Afterwards `job.ended` says how it ended.

    Raises only what the notebook did not cause: KeyboardInterrupt, SystemExit, OSError (disk full). `job.ended` is set
    in these cases too.
    """
    JOBS_BY_PATH[job.path] = job
    try:
        execute_notebook(
            job.path,
            job.path,
            parameters=dict(job.parameters),
            engine_name=ENGINE_NAME,
            kernel_name=job.kernel,
            language=job.language,
            progress_bar=False,
            lcnb_job=job,
        )
        job.end(DONE.because(""))
    except (PapermillExecutionError, CellExecutionError):
        # A cell whose tag allows it raised. A cell that may not raise has ended the job before.
        job.end(DONE.because(""))
    except DeadKernelError as error:
        job.end(DIED.because(str(error)))
    except EndedEarly:
        pass
    except (KeyboardInterrupt, SystemExit) as stop:
        job.end(judge_interrupt(stop))
        raise
    except BaseException as error:
        job.end(RUN_FAILED.because(f"{type(error).__name__}: {error}"))
        raise
    finally:
        try:
            with hold_signals():  # how the run ended is decided, and only has to be saved
                _save_final(job)
        finally:
            del JOBS_BY_PATH[job.path]
            close_loop()


def _save_final(job: RunJob) -> None:
    """Decide how the run ended, and save the notebook after papermill, which adds its own markers to a failed one.

    The notebook in memory, which the report shows, becomes what was saved: without secrets.
    """
    job.ended = job.judge(job.ended)
    if job.notebook is not None:
        remove_error_markers(job.notebook)
        _write_status(job)
        text = job.redact(str(nbformat.writes(job.notebook)))  # type: ignore[no-untyped-call]
        job.notebook = nbformat.v4.reads_json(text)  # type: ignore[no-untyped-call]
        try:
            write_atomically(job.target, text)
        except OSError as error:
            # Even a run that ended well has failed then: its notebook is lost.
            reason = f"the notebook could not be written: {error.strerror or error}"
            job.ended = RUN_FAILED.because(reason)
            _save_without_outputs(job)
            raise


def _save_without_outputs(job: RunJob) -> None:
    """Save the notebook without outputs: where they do not fit on the disk, the ends of the cells may still fit."""
    bare = copy.deepcopy(job.notebook)
    for cell in bare.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    bare.metadata["lcnb"] = _end_metadata(job)
    with suppress(OSError):
        write_atomically(job.target, str(nbformat.writes(bare)))  # type: ignore[no-untyped-call]


def _write_status(job: RunJob) -> None:
    about = job.notebook.metadata.setdefault("papermill", {})
    about["exception"] = job.status not in COMPLETED_STATUSES
    about["input_path"], about["output_path"] = str(job.source), str(job.target)
    job.notebook.metadata["lcnb"] = _end_metadata(job)


def _end_metadata(job: RunJob) -> dict[str, Any]:
    """What the saved notebook says in `metadata.lcnb` of how the run ended."""
    end = job.ended
    return {"status": end.status, "exit_code": end.exit_code, "reason": job.redact(end.reason)}


class _ExecutionManager(NotebookExecutionManager):  # type: ignore[misc]
    """Keeps the status of each cell and the saved notebook correct."""

    SKIPPED = "skipped"
    #: The id of the kernel's process, after its start.
    kernel: int | None = None

    def __init__(self, nb: Any, job: RunJob) -> None:
        super().__init__(nb, output_path=job.path, progress_bar=False, autosave_cell_every=5)
        self.job = job
        self._next_save = 0.0
        self._written = 0
        job.notebook = nb

    def save(self, **kwargs: Any) -> None:
        """Save the notebook, unless the last save was a moment ago: papermill calls this at each cell's start and end.

        Saves take a small share of the run's time, and all of them together write a small multiple of its size.
        """
        if time.monotonic() < self._next_save:
            return
        started = time.monotonic()
        _write_status(self.job)
        text = self.job.redact(str(nbformat.writes(self.nb)))  # type: ignore[no-untyped-call]
        size = len(text.encode("utf-8", "replace"))
        if self._written + size <= max(MAX_SAVES_BYTES, MAX_SAVES_FACTOR * size):
            # A run that has just started has little to lose in a power cut.
            write_atomically(self.job.target, text, sync=self.job.age() > SYNC_AFTER_S)
            self._written += size
        self._next_save = time.monotonic() + SAVE_PAUSE_FACTOR * (time.monotonic() - started)

    def cell_start(self, cell: Any, cell_index: int | None = None, **kwargs: Any) -> None:
        """Report the progress, and mark the cell as running."""
        self.job.on_cell(cell_index or 0, len(self.nb.cells), _cell_title(cell))
        super().cell_start(cell, cell_index)

    def cell_skipped(self, cell: Any) -> None:
        """Mark the cell as never run."""
        cell.metadata.papermill["status"] = self.SKIPPED

    def notebook_complete(self, **kwargs: Any) -> None:
        """Mark the cell that still runs as failed, and cells that never ran as skipped."""
        for cell in self.nb.cells:
            if cell.metadata.papermill["status"] == self.RUNNING:
                self.cell_exception(cell)
            elif cell.metadata.papermill["status"] == self.PENDING:
                self.cell_skipped(cell)
        super().notebook_complete()
        self.job.notebook = self.nb


def _cell_title(cell: Any) -> str:
    """The title of a cell in the progress: its first line, without a comment sign."""
    lines = [line.strip() for line in cell.source.splitlines() if line.strip()]
    return lines[0].lstrip("#% ")[:60] if lines else ""


class _LcnbEngine(Engine):  # type: ignore[misc]
    @classmethod
    def execute_notebook(cls, nb: Any, kernel_name: str, lcnb_job: RunJob, **kwargs: Any) -> Any:
        """Execute the notebook of a job: the method that papermill calls."""
        nb.metadata.papermill["parameters"] = to_json_values(dict(lcnb_job.parameters))
        if lcnb_job.kernelspec:
            nb.metadata["kernelspec"] = dict(lcnb_job.kernelspec)
        manager = _ExecutionManager(nb, lcnb_job)
        manager.notebook_start()
        try:
            _run_in_kernel(manager, kernel_name, lcnb_job)
        finally:
            manager.notebook_complete()
        return manager.nb


def _run_in_kernel(manager: _ExecutionManager, kernel_name: str, job: RunJob) -> None:
    client = CellRunner(
        manager,
        kernel_name=kernel_name,
        kernel_manager_class=_IpcKernelManager if os.name == "posix" else AsyncKernelManager,
        startup_timeout=KERNEL_START_S,
        store_widget_state=True,  # a report can only show the last state of a progress bar
        iopub_timeout=30,
        raise_on_iopub_timeout=True,
    )
    prepared = take_prepared() if job.shell else None
    sockets = _socket_folder() if os.name == "posix" and prepared is None else None
    try:
        if prepared is not None:
            job.engine = "shell"
            client.km = ShellManager(prepared, DeadKernelError)
        else:
            client.create_kernel_manager()
        if sockets:
            client.km.connection_file = str(sockets / "k.json")
        _execute_cells(client, job)
    finally:
        if client.km is not None and client.km.has_kernel:
            _kill_unstarted(client)
        _kill_group(manager.kernel)
        if sockets:
            shutil.rmtree(sockets, ignore_errors=True)


#: Clients whose start was interrupted. They are kept, because closing their sockets may never end.
_UNSTARTED_CLIENTS: list[CellRunner] = []


def _kill_unstarted(client: CellRunner) -> None:
    """Kill a kernel whose start was interrupted. A shutdown would collide with the start in the event loop."""
    _UNSTARTED_CLIENTS.append(client)
    kernel = getattr(client.km.provisioner, "process", None)
    if kernel is not None:
        kernel.kill()
        kernel.wait()


def _kill_group(kernel: int | None) -> None:
    """Kill the process group of a kernel, so that processes that its cells left behind end with the run."""
    if kernel is not None and os.name == "posix":
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(kernel, signal.SIGKILL)


def _execute_cells(client: CellRunner, job: RunJob) -> None:
    """Execute the cells. The kernel's own stderr is only reported when it dies."""
    with tempfile.TemporaryFile() as stderr:
        inherits = {"pass_fds": job.inherits} if job.inherits else {}
        try:
            client.execute(
                cwd=str(job.cwd or job.target.parent),
                env=dict(job.env),
                stdout=subprocess.DEVNULL,  # the notebook has it already
                stderr=stderr,
                **inherits,
            )
        except DeadKernelError as error:
            stderr.seek(0)
            last = stderr.read()[-2000:].decode(errors="replace").strip()
            raise DeadKernelError(f"{error}\n{last}".strip()) from error


def _socket_folder() -> Path:
    """Create a folder of mode 0700 with a short path: the address of a socket has room for 100 bytes."""
    short = len(os.fsencode(tempfile.gettempdir())) < 70
    return Path(tempfile.mkdtemp(prefix="lcnb-", dir=None if short else "/tmp"))  # noqa: S108


class _IpcKernelManager(AsyncKernelManager):
    """Connects through sockets in a folder of mode 0700: no races for ports, and no other user can connect."""

    transport = "ipc"


#: papermill warns of each parameter that its own reader does not know; lcnb has checked them all.
logging.getLogger("papermill").setLevel(logging.ERROR)
papermill_engines.register(ENGINE_NAME, _LcnbEngine)
papermill_io.register(FILE_SCHEME, JobFiles())
