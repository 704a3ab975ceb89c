"""Jobs of jupyter-scheduler as runs of lcnb.

Switch it on in `jupyter_server_config.py`:

    c.Scheduler.execution_manager_class = "lcnb.jupyter.scheduler.RunbookExecutionManager"

A job whose notebook has a cell tagged `parameters` is then a run, with folder, record and report. Other notebooks run
as jupyter-scheduler runs them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import fsspec
import nbformat
from jupyter_scheduler.executors import DefaultExecutionManager
from jupyter_scheduler.models import Status
from jupyter_scheduler.orm import Job, create_session
from jupyter_scheduler.utils import get_utc_timestamp

from lcnb.errors import ConfirmationMissing, InputError, LcnbError, RunError
from lcnb.folders import runs_dir
from lcnb.jupyter.dialog_values import read_job_values
from lcnb.runbooks import ends
from lcnb.runbooks.batch import launcher
from lcnb.runbooks.environment import CONFIRM_VARIABLE
from lcnb.runbooks.notebook import parameters as declared
from lcnb.runbooks.notebook.find import find_runbook, has_parameter_cell
from lcnb.runbooks.records.artifacts import hash_file
from lcnb.runbooks.records.run_record import read_run
from lcnb.signals import exit_on_signals

#: The column of the job's message has 1,024 characters.
MAX_MESSAGE_CHARS = 1000


class RunbookExecutionManager(DefaultExecutionManager):  # type: ignore[misc]  # the library is not typed
    """Executes a job as a run in a process of its own, which outlives this one by as long as it needs to end cleanly.

    jupyter-scheduler stops a job by SIGKILL. The process of the run sees that its parent is gone, and ends as after
    SIGTERM: the cell is interrupted, and the record says `interrupted`.
    """

    def __init__(self, **job: Any) -> None:
        """Mark the job as in progress while the server creates it, before its process starts.

        jupyter-scheduler 2.12.1 leaves a new job STOPPED for seconds, and then ignores a request to stop it
        (findings/jupyter-scheduler-stopped-before-its-start.sh).
        """
        super().__init__(**job)
        # A session of its own: the base class would keep one, and this object is pickled.
        with create_session(self.db_url)() as session:
            session.query(Job).filter(Job.job_id == self.job_id).update({"status": Status.IN_PROGRESS})
            session.commit()

    def execute(self) -> None:
        """Run the notebook of the job. RunError or InputError, which become the job's message, unless it is done."""
        source = Path(self.staging_paths["input"])
        if not has_parameter_cell(source):
            super().execute()
            return
        task = self._run_task(source)
        try:
            with exit_on_signals():
                result = launcher.run_row(task)
        except (KeyboardInterrupt, SystemExit):
            raise RunError(
                "interrupted: the Jupyter server was ended. How the run ended: lcnb runs"
            ) from None
        folder = Path(result["folder"]) if result["folder"] else None
        if folder is not None:
            self._save_outputs(folder, source)
        if result["status"] != ends.DONE.status:
            raise RunError(_failure_message(result, folder), folder=folder, exit_code=result["exit_code"])

    def on_failure(self, e: Exception) -> None:
        """Record when the job ended, which jupyter-scheduler leaves out, and then its message and status."""
        with self.db_session() as session:
            session.query(Job).filter(Job.job_id == self.job_id).update({"end_time": get_utc_timestamp()})
            session.commit()
        super().on_failure(RunError(str(e)[:MAX_MESSAGE_CHARS]) if isinstance(e, LcnbError) else e)

    def _run_task(self, source: Path) -> dict[str, Any]:
        """Return the task of the run's process. ParameterError or ConfirmationMissing when it cannot start."""
        book = find_runbook(str(source))
        typed = dict(self.model.parameters or {})
        confirmed = _is_confirmed(typed.pop(CONFIRM_VARIABLE, ""))
        values = read_job_values(book.parameters, typed)
        if declared.effective_values(book.parameters, values).get("dry_run") is False and not confirmed:
            raise ConfirmationMissing(
                f"{book.name} with dry_run=False changes the account, and nobody confirmed that. Nothing was started. "
                f"Look at a job with dry_run=True first, then add the parameter {CONFIRM_VARIABLE} with the value yes."
            )
        return {
            "row": 1,
            "runbook": str(source),
            "sha256": hash_file(source),
            "parameters": values,
            "account": None,
            "runs_dir": str(self._runs_folder()),
            "confirm": confirmed,
            "previous": None,
            "lock_wait": 0,
            "lock_name": f"jupyter-scheduler {self.model.input_filename}",
            "cwd": str(source.parent) if self.model.package_input_folder else None,
        }

    def _runs_folder(self) -> Path:
        """`LCNB_RUNS_DIR`, or `runs` in the folder that JupyterLab shows and in which its terminals start."""
        return runs_dir() if os.environ.get("LCNB_RUNS_DIR") else Path(self.root_dir).absolute() / "runs"

    def _save_outputs(self, folder: Path, source: Path) -> None:
        """Copy notebook and report of the run to where jupyter-scheduler looks for the job's downloads."""
        notebook = folder / source.name
        ours = {"ipynb": notebook, "html": folder / "report.html"}
        others = []
        for each in self.model.output_formats or ():
            if each not in ours:
                others.append(each)
            elif ours[each].is_file():
                with fsspec.open(self.staging_paths[each], "wb") as out:
                    out.write(ours[each].read_bytes())
        if others and notebook.is_file():
            job = self.model.copy(update={"output_formats": others})
            executed = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
            self.create_output_files(job, executed)
        if self.model.package_input_folder:
            self.add_side_effects_files(str(source.parent))


def _is_confirmed(typed: str) -> bool:
    """Whether the job confirms changes. InputError for a text that is neither yes nor empty."""
    text = typed.strip().strip("'\"")
    if text not in ("", "yes"):
        raise InputError(f"parameter {CONFIRM_VARIABLE}: {typed!r} is not yes", not_done="started")
    return text == "yes"


def _failure_message(result: dict[str, Any], folder: Path | None) -> str:
    """Say how the run ended, why, and where it is: `attention (exit code 8): ... Run: <id>`."""
    reason = (read_run(folder).typed_fact("reason", str) if folder else None) or result["error"] or ""
    run = f" Run: {folder.name}" if folder else ""
    message = f"{result['status']} (exit code {result['exit_code']}): {' '.join(str(reason).split())}"
    return message[: MAX_MESSAGE_CHARS - len(run)] + run
