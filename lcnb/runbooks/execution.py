"""One run from its first record to its last: environment, secrets, execution, report, `run.json`.

`run_runbook` (in `run`) checks first; nothing is refused here.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import socket
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import lcnb
from lcnb.changes.journal import user_name
from lcnb.config import Settings, notification_targets
from lcnb.errors import (
    LcnbError,
    RunError,
)
from lcnb.files import write_atomically
from lcnb.folders import config_dir, state_dir
from lcnb.runbooks.ends import ATTENTION_CODE
from lcnb.runbooks.engine.secret_pipe import SecretPipe, environment_secrets
from lcnb.runbooks.environment import CONFIRM_VARIABLE, RESUMES_VARIABLE, RUN_FOLDER_VARIABLE
from lcnb.runbooks.notebook import parameters as declared
from lcnb.runbooks.notebook.find import Runbook
from lcnb.runbooks.notebook.git import find_commit
from lcnb.runbooks.outcomes import NOT_MADE, run_changes, summarize_changes, was_confirmed
from lcnb.runbooks.publish.notifications import send_notification
from lcnb.runbooks.publish.pdf import write_pdf
from lcnb.runbooks.records import artifacts, notes, process
from lcnb.runbooks.records import index as run_index
from lcnb.runbooks.result import RunResult, failed_cell_facts, format_failure
from lcnb.secret import Secret, mask_secrets
from lcnb.signals import exit_on_signals, hold_signals
from lcnb.tokens import TOKEN_VARIABLES

if TYPE_CHECKING:
    pass

#: Called before each cell with its number, the number of cells, and its title.
ProgressCallback = Callable[[int, int, str], object]
RECORDED_PACKAGES = ("lcnb", "pandas", "papermill", "nbclient", "ipykernel", "httpx")


@dataclass(frozen=True)
class RunLimits:
    """Seconds that a run, and each of its cells, may take; None: no limit."""

    run_s: float | None = None
    cell_s: float | None = None


class RunExecution:
    #: What confirms changes: "yes", or the folder of an approved dry run.
    confirmation = ""
    resumes: tuple[str, ...] = ()
    pdf = False
    shell = False
    kernelspec: Mapping[str, str] = MappingProxyType({})
    #: The kernel and the working directory that were chosen, if any.
    chosen: str | None = None
    cwd: Path | None = None

    def __init__(
        self,
        book: Runbook,
        checked: dict[str, Any],
        settings: Settings | None,
        folder: Path,
        limits: RunLimits,
    ) -> None:
        self.book = book
        self.limits = limits
        self.checked = checked
        self.settings = settings
        self.folder = folder
        self.notebook = folder / f"{book.path.stem}.ipynb"
        self.record = folder / artifacts.RECORD_FILE
        self.started = datetime.now(UTC)
        self.changes: list[dict[str, Any]] = []
        self.problems: list[str] = []
        self.told = SecretPipe()
        self._beside = [Secret(os.environ[name]) for name in TOKEN_VARIABLES if os.environ.get(name)]
        self._beside += [*environment_secrets(), *notification_targets()]
        self.sha256 = artifacts.hash_file(book.path)
        self.git = find_commit(book.path)
        self.process = process.identify_process()
        self.kernel: dict[str, Any] | None = None

    def execute(self, progress: ProgressCallback) -> RunResult:
        from lcnb.runbooks.engine.papermill_engine import execute_job
        from lcnb.runbooks.engine.run_job import RunJob

        job = RunJob(
            self.book.path,
            self.notebook,
            self.checked,
            self._environment(),
            self.book.kernel,
            self.book.language,
            self.redact,
            progress,
            timeout=self.limits.run_s,
            cell_timeout=self.limits.cell_s,
            judge=self._judge,
            kernelspec=self.kernelspec,
            cwd=self.cwd,
            on_kernel=lambda pid: self._kernel_started(job, pid),
            shell=self.shell,
        )
        self._begin(job)
        interrupted: BaseException | None = None
        try:
            with exit_on_signals(), self.told.open() as variables:
                job.env = {**job.env, **variables}
                job.inherits = (self.told.write,) if variables else ()
                execute_job(job)
        except OSError as error:
            raise RunError(
                f"the run in {self.folder} could not be written: {error.strerror or error}. What it did before "
                "stands in that folder as far as it was saved.",
                folder=self.folder,
            ) from None
        except Exception as error:
            what = self.redact(f"{type(error).__name__}: {error}")
            raise RunError(f"the run in {self.folder} ended by {what}", folder=self.folder) from error
        except (KeyboardInterrupt, SystemExit) as stop:
            job.end("interrupted", 130 if isinstance(stop, KeyboardInterrupt) else 143, "interrupted")
            if job.status == "interrupted":
                stop.add_note(f"what there is of the run: {self.folder}")
                interrupted = stop
                raise
        finally:
            with hold_signals():  # too late to change how it ended: record, notebook and exit code agree
                problems = self._close(job)
            if interrupted and (made := [each for each in self.changes if was_confirmed(each)]):
                interrupted.add_note(summarize_changes(made, self.folder.name, ended_well=False))
        return self._result(job, problems)

    def _begin(self, job: Any) -> None:
        try:
            self._record(job)
        except OSError as error:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise RunError(
                f"the run's folder {self.folder} cannot be written: {error.strerror or error}. Nothing was started. "
                "Another place: --runs-dir, or LCNB_RUNS_DIR."
            ) from None
        except BaseException:  # interrupted before there is a run
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def _kernel_started(self, job: Any, pid: int | None) -> None:
        """Whoever settles this run when we are gone must know its kernel."""
        self.kernel = process.identify_process(pid) if pid else None
        try:
            self._record(job)
        except OSError:
            pass  # a full disk is told at the end, with how the run ended

    def _judge(self, job: Any) -> None:
        """How the run ended, beyond its cells: by what it has changed, then by what it asks attention for."""
        self._judge_changes(job)
        texts = notes.attention_texts(notes.read_notes(self.folder))
        if job.status == "done" and texts:
            job.status, job.exit_code, job.reason = "attention", ATTENTION_CODE, "\n".join(texts)

    # --- secrets ----------------------------------------------------------------------------------------

    def redact(self, text: str) -> str:
        return mask_secrets(text, *self._secrets())

    def _secrets(self) -> list[Secret]:
        """The token, others that the kernel's environment holds beside it, and what the notebook has used."""
        beside = [*self._beside, *self.told.secrets()]
        return [self.settings.token, *beside] if self.settings else beside

    def _environment(self) -> dict[str, str]:
        """The kernel's environment: this one, with account and folder as they were resolved here."""
        env = {
            **os.environ,
            RUN_FOLDER_VARIABLE: str(self.folder),
            CONFIRM_VARIABLE: self.confirmation,
            RESUMES_VARIABLE: ",".join(self.resumes),
            "LCNB_CONFIG_DIR": str(config_dir()),
            "LCNB_STATE_DIR": str(self.settings.state_dir if self.settings else state_dir()),
        }
        if self.settings:
            env["LETSCLOUD_API_KEY"] = self.settings.token.reveal()
            env["LCNB_BASE_URL"] = self.settings.base_url
            env.pop("LCNB_ACCOUNT", None)
        env.pop("LCNB_NOTIFY", None)
        if self.cwd and not env.get("PYTHONSAFEPATH"):
            from lcnb.runbooks.engine.run_job import SAFE_PATH_AT_START

            env["PYTHONSAFEPATH"] = (
                SAFE_PATH_AT_START  # no file there is taken for a module that the kernel needs
            )
        env.pop("PYTEST_CURRENT_TEST", None)  # ipykernel would lose what programs print
        return env

    # --- the end ----------------------------------------------------------------------------------------

    def _close(self, job: Any) -> list[str]:
        """Record, report, search for secrets, last record. A full disk here must not hide how the run ended."""
        from lcnb.runbooks.publish.report import write_report

        problems = self.problems
        for step in (
            lambda: self._record(job),
            lambda: write_report(self._facts(job), job.notebook, self.folder, self.redact),
            lambda: problems.extend(artifacts.redact_files(self.folder, self.redact)),
            lambda: self.pdf and write_pdf(self.folder / "report.html"),
            lambda: send_notification(self._facts(job), self.folder),
        ):
            try:
                step()
            except Exception as error:
                kind = "" if isinstance(error, LcnbError) else f"{type(error).__name__}: "
                problems.append(f"{kind}{error}")
        try:
            self._record(job, problems)
        except OSError as error:
            raise RunError(
                f"the record of the run in {self.folder} could not be written: {error.strerror or error}. The "
                f"run itself: {job.status} (exit code {job.exit_code}).",
                folder=self.folder,
            ) from None
        return problems

    def _judge_changes(self, job: Any) -> None:
        """The journal knows what the run has changed: changes that did not all come to their end are told."""
        try:
            self.changes = run_changes(self.folder, self.settings)
        except (LcnbError, OSError, ValueError) as error:
            self.problems.append(f"what the run changed is not known: {type(error).__name__}: {error}")
            return
        outcomes = Counter(each["outcome"] for each in self.changes if each["outcome"] != NOT_MADE)
        if outcomes.total() == outcomes["done"]:
            return
        told = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
        if job.status == "done":
            status, code = ("partly", 7) if outcomes["done"] or outcomes["unknown"] else ("failed", 3)
            job.status, job.exit_code, job.reason = status, code, f"changes: {told}"
        elif job.status == "failed" and (outcomes["done"] or outcomes["sent"] or outcomes["unknown"]):
            job.status, job.exit_code, job.reason = "partly", 7, f"changes: {told}; {job.reason}"

    def _record(self, job: Any, problems: list[str] | None = None) -> None:
        """Write run.json; with `problems` the last one, which is closed and gets its line in the index."""
        facts = self._facts(job)
        if job.status != "running":
            facts["files"] = artifacts.fingerprint_files(self.folder)
            facts["problems"] = problems or []
        facts["closed"] = problems is not None
        if problems is None:
            started = self.kernel is not None  # before that nothing happens that a power cut may not hide
            write_atomically(self.record, self._text(facts), sync=started)
            return
        try:
            run_index.close_record(self.folder, self._text(facts))
        except OSError as error:
            problems.append(
                f"the run could not be written into {run_index.INDEX_FILE}: {error.strerror or error}"
            )
            write_atomically(self.record, self._text(facts | {"problems": problems}))

    def _text(self, facts: dict[str, Any]) -> str:
        return self.redact(json.dumps(facts, ensure_ascii=False, indent=2))

    def _facts(self, job: Any) -> dict[str, Any]:
        ended = datetime.now(UTC) if job.status != "running" else None
        error = job.error
        facts = {
            "format": 1,
            "id": self.folder.name,
            "runbook": self.book.name,
            "title": self.book.title,
            "purpose": self.book.purpose,
            "notebook": str(self.book.path),
            "notebook_sha256": self.sha256,
            "git": self.git,
            "status": job.status,
            "exit_code": job.exit_code if ended else None,
            "reason": job.reason,
            "started": self.started.isoformat(timespec="milliseconds"),
            "ended": ended.isoformat(timespec="milliseconds") if ended else None,
            "duration_s": round((ended - self.started).total_seconds(), 2) if ended else None,
            "given": declared.to_json_values(self.checked),
            "parameters": declared.effective_values(self.book.parameters, self.checked),
            "account": self.settings.account if self.settings else None,
            "base_url": self.settings.base_url if self.settings else None,
            "user": user_name(),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "process": self.process,
            "kernel_process": self.kernel,
            "python": platform.python_version(),
            "versions": package_versions(),
            "engine": job.engine,
            "kernel": self.chosen,
            "cwd": str(self.cwd) if self.cwd else None,
            "limits": {"run_s": self.limits.run_s, "cell_s": self.limits.cell_s},
            "resumes": list(self.resumes),
            "confirmed": self.confirmation,
            "changes": self.changes,
            "failed_cell": failed_cell_facts(error) if error else None,
            **notes.note_facts(self.folder),
        }
        return dict(json.loads(self.redact(json.dumps(facts, ensure_ascii=False))))

    def _result(self, job: Any, problems: list[str]) -> RunResult:
        error = None
        if job.status != "done":
            error = self.redact(format_failure(job))
        files = [*artifacts.list_files(self.folder), self.record]
        effective = declared.effective_values(self.book.parameters, self.checked) | self.checked
        return RunResult(
            self.book.name, job.status, job.exit_code, self.folder, error, effective, files, problems
        )


@cache
def package_versions() -> dict[str, str]:
    """What a run stands on."""
    return {name: lcnb.__version__ if name == "lcnb" else version(name) for name in RECORDED_PACKAGES}
