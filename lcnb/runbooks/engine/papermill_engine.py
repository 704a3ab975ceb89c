"""Execute a notebook through papermill: it injects the parameters, the rest is ours.

papermill finds our engine by its name and our files by the scheme `lcnb+file://`. A cell is `completed` only when
it ended well, `failed` when it did not, `skipped` when it was never run; the same goes for the whole notebook
(`metadata.lcnb`). Saves are complete or do not happen (temporary file, sync, rename), pass one redacting function,
and are rare while cells are quick. The kernel is reached by sockets in a private folder, not by ports.
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
#: A save may take this share of the run's time at most; the next one waits accordingly.
SAVE_PAUSE_FACTOR = 20
#: Seconds after which what is saved must outlast a power cut.
SYNC_AFTER_S = 1.0
#: What all saves before the last one may write: this many times the notebook's size, or this many bytes.
MAX_SAVES_FACTOR, MAX_SAVES_BYTES = 2, 1_000_000


def execute_job(job: RunJob) -> None:
    """Run the notebook of a job; how it ended stands in the job afterwards.

    Raises only what is not the notebook's own doing: KeyboardInterrupt, SystemExit, OSError (disk full). The
    job tells the status in these cases too.
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
            with hold_signals():  # how it ended stands; it only has to be written down
                _save_final(job)
        finally:
            del JOBS_BY_PATH[job.path]
            close_loop()


def _save_final(job: RunJob) -> None:
    """The last word on the saved notebook is ours: papermill writes markers of its own into a failed one.

    What is kept in memory, for the report, is what was saved: without secrets.
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
            # Even a run that ended well has not done what it should: its notebook is lost.
            reason = f"the notebook could not be written: {error.strerror or error}"
            job.ended = RUN_FAILED.because(reason)
            _save_without_outputs(job)
            raise


def _save_without_outputs(job: RunJob) -> None:
    """Where the disk has no room for the outputs, how each cell ended may still fit."""
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
    """Keeps the status of cells and the saved notebook true."""

    SKIPPED = "skipped"
    #: The number of the kernel's process, once there is one.
    kernel: int | None = None

    def __init__(self, nb: Any, job: RunJob) -> None:
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
        _write_status(self.job)
        text = self.job.redact(str(nbformat.writes(self.nb)))  # type: ignore[no-untyped-call]
        size = len(text.encode("utf-8", "replace"))
        if self._written + size <= max(MAX_SAVES_BYTES, MAX_SAVES_FACTOR * size):
            # A young run has little that a power cut could take, and is soon written to its end.
            write_atomically(self.job.target, text, sync=self.job.age() > SYNC_AFTER_S)
            self._written += size
        self._next_save = time.monotonic() + SAVE_PAUSE_FACTOR * (time.monotonic() - started)

    def cell_start(self, cell: Any, cell_index: int | None = None, **kwargs: Any) -> None:
        self.job.on_cell(cell_index or 0, len(self.nb.cells), _cell_title(cell))
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


def _cell_title(cell: Any) -> str:
    """What a person calls a cell: its first comment or first line."""
    lines = [line.strip() for line in cell.source.splitlines() if line.strip()]
    return lines[0].lstrip("#% ")[:60] if lines else ""


class _LcnbEngine(Engine):  # type: ignore[misc]
    @classmethod
    def execute_notebook(cls, nb: Any, kernel_name: str, lcnb_job: RunJob, **kwargs: Any) -> Any:
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
        store_widget_state=True,  # the last state of a progress bar is all that a report can show of it
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


#: Clients whose start was interrupted. To close their sockets, as the garbage collector would, can take for ever.
_UNSTARTED_CLIENTS: list[CellRunner] = []


def _kill_unstarted(client: CellRunner) -> None:
    """End a kernel whose start was interrupted. A shutdown would meet the start, which is in the event loop still."""
    _UNSTARTED_CLIENTS.append(client)
    kernel = getattr(client.km.provisioner, "process", None)
    if kernel is not None:
        kernel.kill()
        kernel.wait()


def _kill_group(kernel: int | None) -> None:
    """A kernel leads a group of its own: what its cells have left running there ends with the run."""
    if kernel is not None and os.name == "posix":
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(kernel, signal.SIGKILL)


def _execute_cells(client: CellRunner, job: RunJob) -> None:
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


#: It warns of each parameter whose declaration its own reader does not know; ours has checked them all.
logging.getLogger("papermill").setLevel(logging.ERROR)
papermill_engines.register(ENGINE_NAME, _LcnbEngine)
papermill_io.register(FILE_SCHEME, JobFiles())
