"""One run from its first record to its last: environment, secrets, cells, report, `run.json`.

`run_runbook` (in `run`) makes all checks before; here nothing is refused any more.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import lcnb
from lcnb.changes.journal import user_name
from lcnb.config import Settings, account_variables
from lcnb.errors import LcnbError, RunError
from lcnb.files import BackgroundWrite, write_atomically
from lcnb.folders import config_dir, state_dir, store_url
from lcnb.leases.records import RUN_LEASE_VARIABLE
from lcnb.runbooks.ends import DONE, INTERRUPTED, RunEnd
from lcnb.runbooks.engine.secret_pipe import SecretPipe, inherited_secrets
from lcnb.runbooks.environment import (
    CONFIRM_VARIABLE,
    RESUMES_VARIABLE,
    RUN_FOLDER_VARIABLE,
    SCHEDULE_VARIABLE,
)
from lcnb.runbooks.judgement import judge, judge_interrupt
from lcnb.runbooks.notebook import parameters as declared
from lcnb.runbooks.notebook.find import Runbook
from lcnb.runbooks.notebook.git import find_commit
from lcnb.runbooks.outcomes import run_changes, run_entries, summarize_changes, was_confirmed
from lcnb.runbooks.publish.messages import run_message
from lcnb.runbooks.publish.notifications import notify
from lcnb.runbooks.publish.pdf import write_pdf
from lcnb.runbooks.publish.pings import RunPings
from lcnb.runbooks.records import artifacts, notes, process
from lcnb.runbooks.records import index as run_index
from lcnb.runbooks.records.approval import Approval
from lcnb.runbooks.result import RunResult, failed_cell_facts, format_failure
from lcnb.runbooks.retries import RetryLog, RetryPolicy, begun_changes, describe_attempts
from lcnb.secret import Secret, mask_secrets
from lcnb.signals import exit_on_signals, hold_signals

if TYPE_CHECKING:
    from lcnb.leases.holding import HeldLocks
    from lcnb.runbooks.engine.run_job import RunJob
    from lcnb.runbooks.records.uploading import RunUpload

#: Called before each cell with its number, the number of cells, and its title.
ProgressCallback = Callable[[int, int, str], object]
#: The folder, in that of a run, with what its earlier attempts left: `attempts/1`.
ATTEMPTS_FOLDER = "attempts"
RECORDED_PACKAGES = ("lcnb", "pandas", "papermill", "nbclient", "ipykernel", "httpx")


@dataclass(frozen=True)
class RunLimits:
    """Seconds that a run, and each of its cells, may take; None: no limit.

    >>> RunLimits(cell_s=60)
    RunLimits(run_s=None, cell_s=60)
    """

    run_s: float | None = None
    cell_s: float | None = None


class RunExecution:
    """One run: `execute` performs it, and records it from its start to its end."""

    #: What confirms changes: "yes", or the folder of an approved dry run.
    confirmation = ""
    #: The ids of the runs that this run resumes.
    resumes: tuple[str, ...] = ()
    #: The approval of that dry run by a second person, in an account that requires one.
    approval: Approval | None = None
    #: Whether the report is printed as a PDF too.
    pdf = False
    #: Whether the cells may run in a forked shell.
    shell = False
    kernelspec: Mapping[str, str] = MappingProxyType({})
    #: The kernel that the caller chose instead of the notebook's, and the working directory; None: not chosen.
    chosen_kernel: str | None = None
    cwd: Path | None = None
    #: The lock across machines, where one is configured.
    locks: HeldLocks | None = None

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
        #: The retries that are allowed, and the attempts that have ended, also before the run had a folder.
        self.retries = RetryLog(RetryPolicy(), limits.run_s)
        self.checked = checked
        self.settings = settings
        self.folder = folder
        self.notebook = folder / f"{book.path.stem}.ipynb"
        self.record = folder / artifacts.RECORD_FILE
        self._writing = BackgroundWrite(self.record)
        self.started = datetime.now(UTC)
        self.changes: list[dict[str, Any]] = []
        self.problems: list[str] = []
        self._pings = RunPings(book.name)
        self.secret_pipe = SecretPipe()
        self._other_secrets = inherited_secrets()
        self.sha256 = artifacts.hash_file(book.path)
        self.git = find_commit(book.path)
        self.process = process.identify_process()
        self.kernel: dict[str, Any] | None = None
        self._upload: RunUpload | None = None

    def execute(self, progress: ProgressCallback) -> RunResult:
        """Perform the run and return how it ended.

        RunError when the folder of the run cannot be written. KeyboardInterrupt and SystemExit pass, after the record
        says `interrupted`.
        """
        job = self._build_job(progress)
        self._write_first_record(job)
        self._pings.report_start()
        self._start_upload()
        interrupted: BaseException | None = None
        began = self.started
        try:
            self._execute_job(job)
            while self._may_retry(job):
                self._keep_attempt(job, began)
                job = self._build_job(progress)  # an interrupt while it waits ends this one
                self._wait_for_attempt(job, progress)
                began = datetime.now(UTC)
                self._execute_job(job)
        except (KeyboardInterrupt, SystemExit) as stop:
            job.end(judge_interrupt(stop))
            if job.status == INTERRUPTED.status:
                stop.add_note(f"what was saved of the run: {self.folder}")
                interrupted = stop
                raise
        finally:
            if self._upload:
                self._upload.stop(interrupted=interrupted is not None)
            with hold_signals():  # too late to change how it ended: record, notebook and exit code agree
                self._note_last_attempt(job, began)
                problems = self._close(job)
            if self._upload and (problem := self._upload.finish()):
                problems.append(problem)
            if interrupted and (made := [each for each in self.changes if was_confirmed(each)]):
                interrupted.add_note(summarize_changes(made, self.folder.name, ended_well=False))
        return self._result(job, problems)

    def _build_job(self, progress: ProgressCallback) -> RunJob:
        from lcnb.runbooks.engine.run_job import RunJob

        def on_cell(index: int, total: int, title: str) -> None:
            with suppress(OSError):  # a full disk is reported at the end, with how the run ended
                self._writing.finish()  # no cell runs before the record is complete
            progress(index, total, title)

        job = RunJob(
            self.book.path,
            self.notebook,
            self.checked,
            self._environment(),
            self.book.kernel,
            self.book.language,
            self.redact,
            on_cell,
            timeout=self.limits.run_s,
            spent_s=self.retries.spent_s(),
            cell_timeout=self.limits.cell_s,
            judge=self._judge,
            kernelspec=self.kernelspec,
            cwd=self.cwd,
            on_kernel=lambda pid: self._note_kernel(job, pid),
            shell=self.shell,
        )
        return job

    def _execute_job(self, job: RunJob) -> None:
        """Execute the cells. RunError for anything that is not the notebook's own failure."""
        from lcnb.runbooks.engine.papermill_engine import execute_job

        try:
            with exit_on_signals(), self.secret_pipe.open() as variables:
                job.env = {**job.env, **variables}
                job.inherits = (self.secret_pipe.write,) if variables else ()
                execute_job(job)
        except OSError as error:
            raise RunError(
                f"the run in {self.folder} could not be written: {error.strerror or error}. The folder holds what was "
                "saved before.",
                folder=self.folder,
            ) from None
        except Exception as error:
            cause = self.redact(f"{type(error).__name__}: {error}")
            raise RunError(f"the run in {self.folder} ended by {cause}", folder=self.folder) from error

    # --- attempts -------------------------------------------------------------------------------------------

    def _may_retry(self, job: RunJob) -> bool:
        """Whether the run is attempted again after a job that has ended. The journal knows whether it sent a change."""
        if not self.retries.policy.retries:
            return False
        try:
            begun = begun_changes(run_entries(self.folder.name, self.settings))
        except (LcnbError, OSError, ValueError):
            text = f"what the run changed is not known. Look at it: lcnb show {self.folder.name}"
            return self.retries.may_retry(job.ended, job.error_name, text)
        text = summarize_changes(
            [each for each in self.changes if was_confirmed(each)], self.folder.name, ended_well=False
        )
        return self.retries.may_retry(
            job.ended, job.error_name, f"changes are resumed, never retried. {text}" if begun else None
        )

    def _keep_attempt(self, job: RunJob, began: datetime) -> None:
        """Move what the attempt left into a folder of its own, so that the next one begins in an empty folder."""
        name = f"{ATTEMPTS_FOLDER}/{self.retries.number}"
        try:
            self._writing.finish()
            artifacts.move_files(self.folder, name)
        except OSError as error:
            raise RunError(
                f"the files of the attempt in {self.folder} cannot be moved: {error.strerror or error}. The run is "
                f"not attempted again; it ended as {job.status}.",
                folder=self.folder,
            ) from None
        self.retries.add(began, job.ended._replace(reason=self.redact(job.ended.reason)), name)
        self.changes, self.kernel = [], None

    def _wait_for_attempt(self, job: RunJob, progress: ProgressCallback) -> None:
        """Record the attempts and wait for the next one. The lock is kept, so that no similar run begins meanwhile."""
        with suppress(OSError):  # a full disk is reported at the end, with how the run ended
            self._writing.start(self._to_json(self._record_facts(job)))
        with exit_on_signals():
            self.retries.wait(progress)

    def _note_last_attempt(self, job: RunJob, began: datetime) -> None:
        """Complete the list of attempts where there were several, or where one more was wanted and not made."""
        if self.retries.attempts or self.retries.refusal:
            self.retries.add(began, job.ended)
        if self.retries.refusal:
            job.ended = job.ended._replace(reason=f"{job.ended.reason}\n{self.retries.refusal}".strip())

    def _write_first_record(self, job: RunJob) -> None:
        try:  # until the kernel runs, a power cut may lose the record
            write_atomically(self.record, self._to_json(self._record_facts(job)), sync=False)
        except OSError as error:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise RunError(
                f"the run's folder {self.folder} cannot be written: {error.strerror or error}. Nothing was started. "
                "Choose another folder with --runs-dir or LCNB_RUNS_DIR."
            ) from None
        except BaseException:  # interrupted before the run exists
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def _start_upload(self) -> None:
        """Begin to upload the run, if its runs folder is that of a store."""
        if (url := store_url(self.folder.parent)) is not None:
            from lcnb.runbooks.records import uploading  # loads what an ordinary folder does not need

            self._upload = uploading.RunUpload(self.folder, self.notebook, url)
            self._upload.start()

    def _note_kernel(self, job: RunJob, pid: int | None) -> None:
        """Record the kernel's process, while it starts: who settles an abandoned run has to end its kernel."""
        self.kernel = process.identify_process(pid) if pid else None
        with suppress(OSError):  # a full disk is reported at the end, with how the run ended
            self._writing.start(self._to_json(self._record_facts(job)))

    def _judge(self, cells: RunEnd) -> RunEnd:
        """Return how the run ended. The journal knows what it changed, whatever ended it."""
        try:
            self.changes = run_changes(self.folder, self.settings)
        except (LcnbError, OSError, ValueError) as error:
            self.problems.append(f"what the run changed is not known: {type(error).__name__}: {error}")
        return judge(cells, self.changes, notes.read_notes(self.folder))

    def redact(self, text: str) -> str:
        """Return the text with every known secret replaced by stars."""
        return mask_secrets(text, *self._secrets())

    def _secrets(self) -> list[Secret]:
        """The token, other secrets in the kernel's environment, and those that the notebook has revealed."""
        others = [*self._other_secrets, *self.secret_pipe.secrets()]
        return [self.settings.token, *others] if self.settings else others

    def _environment(self) -> dict[str, str]:
        """The kernel's environment: that of this process, with the resolved account and folder."""
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
            env |= account_variables(self.settings)
            env.pop("LCNB_ACCOUNT", None)
        env.pop("LCNB_NOTIFY", None)
        env.pop("LCNB_PING_URL", None)
        env.pop(SCHEDULE_VARIABLE, None)  # a run that a cell starts is not one of the schedule
        env.pop(RUN_LEASE_VARIABLE, None)
        if self.locks:
            env[RUN_LEASE_VARIABLE] = self.locks.lease.record.id
        if self.cwd and not env.get("PYTHONSAFEPATH"):
            from lcnb.runbooks.engine.run_job import SAFE_PATH_AT_START

            env["PYTHONSAFEPATH"] = SAFE_PATH_AT_START  # a file there must not hide a module of the kernel
        env.pop("PYTEST_CURRENT_TEST", None)  # with it ipykernel would lose the output of programs
        return env

    def _close(self, job: RunJob) -> list[str]:
        """Write the records and the report, and redact all files. Return the problems: none hides how the run ended."""
        from lcnb.runbooks.publish.report import write_report

        problems = self.problems
        if self.locks and (lost := self.locks.lease.problem()):
            problems.append(f"at the end of the run, {lost}. Another machine may have run this meanwhile")
        for step in (
            lambda: self._writing.start(self._to_json(self._record_facts(job))),
            lambda: write_report(self._facts(job), job.notebook, self.folder, self.redact),
            self._writing.finish,
            lambda: problems.extend(artifacts.redact_files(self.folder, self.redact)),
            lambda: self.pdf and write_pdf(self.folder / "report.html"),
            lambda: notify(run_message(self._facts(job), self.folder / "report.html")),
            lambda: self._pings.report_end(self._facts(job)),
        ):
            try:
                step()
            except Exception as error:
                kind = "" if isinstance(error, LcnbError) else f"{type(error).__name__}: "
                problems.append(f"{kind}{error}")
        try:
            self._close_record(job, problems)
        except OSError as error:
            raise RunError(
                f"the record of the run in {self.folder} could not be written: {error.strerror or error}. The "
                f"run itself ended as {job.status} (exit code {job.ended.exit_code}). Free some space, or choose "
                "another folder with --runs-dir or LCNB_RUNS_DIR.",
                folder=self.folder,
            ) from None
        return problems

    def _record_facts(self, job: RunJob) -> dict[str, Any]:
        """What run.json contains until it is closed."""
        facts = self._facts(job)
        if not job.running:
            facts["files"] = artifacts.fingerprint_files(self.folder)
            facts["problems"] = []
        return facts | {"closed": False}

    def _close_record(self, job: RunJob, problems: list[str]) -> None:
        """Write the last run.json, with the files and `problems`, and the run's line of the index."""
        facts = self._record_facts(job) | {"problems": problems, "closed": True}
        try:
            run_index.close_record(self.folder, self._to_json(facts))
        except OSError as error:
            problems.append(
                f"the run could not be written into {run_index.INDEX_FILE}: {error.strerror or error}"
            )
            write_atomically(self.record, self._to_json(facts | {"problems": problems}))

    def _to_json(self, facts: dict[str, Any]) -> str:
        return self.redact(json.dumps(facts, ensure_ascii=False, indent=2))

    def _facts(self, job: RunJob) -> dict[str, Any]:
        ended = None if job.running else datetime.now(UTC)
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
            "exit_code": job.ended.exit_code if ended else None,
            "reason": job.ended.reason,
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
            "kernel": self.chosen_kernel,
            "cwd": str(self.cwd) if self.cwd else None,
            "limits": {"run_s": self.limits.run_s, "cell_s": self.limits.cell_s},
            **self.retries.facts(),
            "schedule": os.environ.get(SCHEDULE_VARIABLE),
            "resumes": list(self.resumes),
            "lock": self.locks.facts() if self.locks else None,
            "confirmed": self.confirmation,
            "approval": self.approval.facts if self.approval else None,
            "changes": self.changes,
            "failed_cell": failed_cell_facts(error) if error else None,
            **notes.note_facts(self.folder),
        }
        return dict(json.loads(self.redact(json.dumps(facts, ensure_ascii=False))))

    def _result(self, job: RunJob, problems: list[str]) -> RunResult:
        error = None
        if job.status != DONE.status:
            error = self.redact("\n\n".join(filter(None, (format_failure(job), self._refusal_text(job)))))
        files = [*artifacts.list_files(self.folder), self.record]
        effective = declared.effective_values(self.book.parameters, self.checked) | self.checked
        return RunResult(
            self.book.name,
            job.status,
            job.ended.exit_code,
            self.folder,
            error,
            effective,
            files,
            problems,
            describe_attempts(self.retries.attempts),
        )

    def _refusal_text(self, job: RunJob) -> str:
        """Why the run was not attempted again; empty where the failure says it already, because no cell failed."""
        return self.retries.refusal if job.error is not None else ""


@cache
def package_versions() -> dict[str, str]:
    """The versions of lcnb and of the packages that a run depends on.

    >>> "pandas" in package_versions()
    True
    """
    return {name: lcnb.__version__ if name == "lcnb" else version(name) for name in RECORDED_PACKAGES}
