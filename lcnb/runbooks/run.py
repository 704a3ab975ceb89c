"""Running a runbook: check, make a folder, execute, write down how it ended.

Everything that can be refused is refused before a folder or a kernel exists. Then the folder holds, whatever
happens: the executed notebook, `run.json` (status, exit code, parameters, versions, files with their
hashes), and `report.html`. The token reaches the kernel by its environment alone, and every file is searched
for it at the end.

Exit codes: 0 done; 2 refused; 3 a cell failed (or the code of its `sys.exit(n)`); 4 a cell or the run took too
long; 5 the kernel died; 6 a change that nobody confirmed; 7 changes were made in part; 8 done, but it asks for
attention; 75 another process has the lock; 130 interrupted; 143 ended by SIGTERM, 129 by SIGHUP.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import re
import secrets
import shlex
import shutil
import socket
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import lcnb
from lcnb.changes.journal import user
from lcnb.config import TOKEN_VARIABLES, Settings, notify_targets, resolve
from lcnb.errors import (
    CellFailed,
    ConfirmationMissing,
    InputError,
    KernelDied,
    LcnbError,
    ParameterError,
    RunError,
    RunTimeout,
    TokenMissing,
)
from lcnb.files import write_atomically
from lcnb.flags import NOTHING_STARTED, checked_flag
from lcnb.folders import check_home, config_dir, runs_dir, state_dir
from lcnb.runbooks.current import CONFIRM_VARIABLE, FOLDER_VARIABLE, RESUMES_VARIABLE
from lcnb.runbooks.effects import PLANNED, changes_line, is_made, locked_runbook, made_by
from lcnb.runbooks.engine.secret_pipe import Told, of_environment
from lcnb.runbooks.notebook import parameters as declared
from lcnb.runbooks.notebook.find import Runbook, find, notebooks_dir
from lcnb.runbooks.notebook.git import commit_of
from lcnb.runbooks.notebook.languages import ASSIGNMENTS, PYTHON, normalized
from lcnb.runbooks.publish.notifications import notify
from lcnb.runbooks.publish.pdf import write_pdf
from lcnb.runbooks.records import abandoned, artifacts, notes, process
from lcnb.runbooks.records import index as run_index
from lcnb.secret import Secret, mask
from lcnb.signals import held, raising
from lcnb.transport.network import checked_proxy

if TYPE_CHECKING:
    from lcnb.client import LetsCloud

#: Called before each cell with its number, the number of cells, and its title.
Progress = Callable[[int, int, str], None]
ATTENTION = 8
ENGINES = ("auto", "kernel")
VERSIONS = ("lcnb", "pandas", "papermill", "nbclient", "ipykernel", "httpx")


@dataclass(frozen=True)
class Limits:
    """Seconds that a run, and each of its cells, may take; None: no limit."""

    run_s: float | None = None
    cell_s: float | None = None


@dataclass
class RunResult:
    """How a run ended. `folder` holds all there is of it; `error` shows the failing cell, or is None."""

    runbook: str
    status: str
    exit_code: int
    folder: Path
    error: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    #: What could not be written beside the notebook, such as the report; they stand in run.json too.
    problems: list[str] = field(default_factory=list)

    @property
    def report(self) -> Path:
        """The report, a page that needs nothing else."""
        return self.folder / "report.html"

    def check(self) -> RunResult:
        """This result when the run is done. Raises CellFailed or KernelDied otherwise, with `.folder`.

        A run that asks for attention raises RunError with its notes: its tables are there, but not all is well.

        >>> from pathlib import Path
        >>> RunResult("inventory", "done", 0, Path("runs")).check().status
        'done'
        """
        if self.status == "done":
            return self
        kind = _ERRORS.get(self.status, RunError)
        raise kind(f"{self.runbook}: {self.error}", folder=self.folder, exit_code=self.exit_code)

    def _repr_html_(self) -> str:
        from lcnb.display.charts import table

        return table(self._frame())._repr_html_()

    def _frame(self) -> Any:
        import pandas as pd

        rows = {"runbook": self.runbook, "status": self.status, "folder": str(self.folder)}
        return pd.DataFrame({"": list(rows), " ": list(rows.values())})


_ERRORS: dict[str, type[RunError]] = {
    "failed": CellFailed,
    "partly": CellFailed,
    "died": KernelDied,
    "timeout": RunTimeout,
}


def run_runbook(
    name: str,
    parameters: Mapping[str, object] | None = None,
    *,
    account: str | None = None,
    settings: Settings | None = None,
    folder: str | Path | None = None,
    progress: Progress = lambda index, total, title: None,
    timeout: float | None = None,
    cell_timeout: float | None = None,
    lock_wait: float | None = 0,
    confirm: bool = False,
    approved: Path | None = None,
    resumes: Sequence[str] = (),
    pdf: bool = False,
    engine: str = "auto",
    kernel: str | None = None,
    cwd: str | Path | None = None,
) -> RunResult:
    """Run a runbook (a shipped name or a notebook's path) with checked parameters.

    Args:
        parameters: name → value; texts, Python, numpy or pandas scalars.
        account: an account of lcnb.toml, as for `lcnb.connect`.
        settings: instead of an account, settings that are already resolved.
        folder: where runs are kept; each gets a folder of its own below it.
        progress: called before each cell.
        timeout: seconds for the whole run. What takes longer is interrupted, and killed when it does not end.
        cell_timeout: seconds for each cell.
        lock_wait: seconds to wait while another process runs the same runbook for this account (one that changes
            nothing: with the same parameters); None: do not look.
        confirm: the changes that the runbook makes are confirmed (`dry_run=False` needs it).
        approved: the folder of a dry run; exactly the changes that it planned are confirmed.
        resumes: runs that this one goes on with; what they have done is not done again.
        pdf: print the report as report.pdf too, by the Chromium that is there.
        engine: "kernel" for an ordinary Jupyter kernel in any case; "auto" for the forked shell of a warm run where
            there is one and the notebook asks for the kernel of this Python.
        kernel: the Jupyter kernel to run in, instead of the one that the notebook names.
        cwd: the working directory of the cells; by default the run's own folder. What lcnb keeps of a run is in that
            folder in any case, and modules are found in the folder of the notebook too.

    Returns a RunResult, also when a cell failed or the kernel died. Raises before anything is started: InputError or
    ParameterError (wrong name or parameter), ConfirmationMissing (changes that nobody confirmed), Locked, ConfigError
    (no token), ApiError or TransportError (a value had to be checked against the account and could not be). Raises
    RunError when the folder cannot be written; KeyboardInterrupt when interrupted, after that was written down. An
    interrupt that comes when the cells have ended changes nothing any more and is passed over.
    """
    check_engine(engine)
    confirm = checked_flag("confirm", confirm, NOTHING_STARTED)
    pdf = checked_flag("pdf", pdf, NOTHING_STARTED)
    book = find(name)
    given = dict(parameters or {})
    check_language(book, given)
    place = working_directory(cwd)
    account = _one_account(book, given, account)
    if settings is not None and account not in (None, settings.account):
        raise ParameterError(
            f"parameter account: {account!r}, but the settings are those of {settings.account or settings.base_url}. "
            "Nothing was started."
        )
    settings = settings or _settings(book, account)
    declared.check_required(book.parameters, given)
    # What a resumed run was given was checked when that began; since then it may have deleted machines.
    choices = None if resumes else _choices(settings)
    checked = declared.located(book.parameters, declared.check(book.parameters, given, choices))
    limits = Limits(_positive("timeout", timeout), _positive("cell_timeout", cell_timeout))
    effective = declared.effective(book.parameters, checked)
    writes = effective.get("dry_run") is False
    if writes and not confirm and approved is None:
        raise ConfirmationMissing(
            f"{book.name} with dry_run=False changes the account, and nobody confirmed that. Nothing was started. Look "
            f"at what it would do (lcnb plan-run {book.name}), and apply that (lcnb apply RUN), or pass --yes."
        )
    book, spec = chosen_kernel(book, kernel)
    shell = _fits_a_shell(spec) and engine != "kernel"
    papermill = import_module(
        "lcnb.runbooks.engine.papermill_engine"
    )  # slow: an interrupt now leaves nothing behind
    if checked and (problem := papermill.why_unwritable(book.kernel, book.language, checked)):
        raise ParameterError(f"{problem}. Nothing was started.")
    with locked_runbook(book, settings, None if writes else effective, lock_wait):
        path = new_folder(book, folder)
        try:
            abandoned.settle(path.parent, thorough=False)
            run = _Run(book, checked, settings, path, limits)
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise
        run.confirmation = str(approved) if approved else "yes" if confirm and writes else ""
        run.resumes = tuple(resumes)
        run.pdf = pdf
        run.shell = shell
        run.kernelspec = {"name": book.kernel, "display_name": spec.display_name, "language": spec.language}
        run.chosen = kernel
        run.cwd = place
        return run.execute(progress)


def check_engine(engine: str) -> None:
    """InputError for an engine that is not known."""
    if engine not in ENGINES:
        raise InputError(f"engine: {engine!r} is not one of {', '.join(ENGINES)}. Nothing was started.")


def _positive(name: str, seconds: float | None) -> float | None:
    if seconds is not None and not (isinstance(seconds, int | float) and 0 < seconds < math.inf):
        raise InputError(f"{name}: expected seconds above 0, got {seconds!r}. Nothing was started.")
    return seconds


def _one_account(book: Runbook, given: dict[str, object], account: str | None) -> str | None:
    """The account by option and by parameter, which must not name two."""
    by_parameter = given.get("account") or None
    if account and by_parameter and account != by_parameter:
        raise ParameterError(
            f"parameter account: {by_parameter!r}, but the option says {account!r}. Nothing was started."
        )
    if account and any(each.name == "account" for each in book.parameters):
        given["account"] = account
    return account or (str(by_parameter) if by_parameter else None)


def _settings(book: Runbook, account: str | None) -> Settings | None:
    shipped = book.path.is_relative_to(notebooks_dir() / "runbooks")
    try:
        settings = resolve(account)
    except TokenMissing:
        if account is None and not shipped:
            return None  # a notebook of one's own may not need the API at all
        raise
    if shipped:
        checked_proxy(settings.base_url)
    return settings


def _choices(settings: Settings | None) -> declared.Choices:
    """What the account has of a kind; only what a parameter asks for is read, and that once."""

    @cache
    def known(kind: str) -> list[str] | None:
        if settings is None:
            return None
        from lcnb.client import LetsCloud

        with LetsCloud(settings) as lc:
            return known_values(lc, kind)

    return known


def known_values(lc: LetsCloud, kind: str) -> list[str]:
    """What the account has of a kind of `ACCOUNT_KINDS`, sorted."""
    read = {"location": lc.locations, "plan": lc.plans, "image": lc.images, "label": lc.instances}
    return sorted(set(read[kind]()["label" if kind == "label" else "slug"].dropna()))


def check_language(book: Runbook, given: Mapping[str, object]) -> None:
    """ParameterError when values are given that cannot be written into cells of the notebook's language."""
    if given and book.language not in (PYTHON, *ASSIGNMENTS):
        name = str(next(iter(given)))
        raise ParameterError(
            f"parameter {name}: papermill cannot write values into a cell of {book.language}. Nothing was started. "
            "Let the notebook read it from the environment, which is that of this command: "
            f"{name.upper()}=... lcnb run {book.path}"
        )


def chosen_kernel(book: Runbook, kernel: str | None) -> tuple[Runbook, Any]:
    """The runbook with the kernel that it will run in, and the spec of that kernel.

    InputError when the kernel is not installed, or runs another language than the notebook's.
    """
    book = replace(book, kernel=kernel if kernel is not None else book.kernel)
    spec = _kernel_spec(book, kernel)
    language = normalized(spec.language or book.language)
    if language != book.language and PYTHON in (language, book.language):
        raise InputError(
            f"{book.path} is written in {book.language}, and the Jupyter kernel {book.kernel!r} runs {language}. "
            f"Nothing was started. {_kernels_for(book)}"
        )
    return book, spec


def _kernel_spec(book: Runbook, chosen: str | None) -> Any:
    """The spec of the runbook's kernel. InputError when it is not here; `chosen`: by --kernel."""
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    check_home()
    manager = KernelSpecManager()
    try:
        return manager.get_kernel_spec(book.kernel)
    except (NoSuchKernel, ValueError, OSError):
        pass
    if chosen is not None:
        problem = f"--kernel (in Python: kernel=) names {chosen!r}, which is no Jupyter kernel that is installed here"
    elif book.kernel:
        problem = f"{book.path} asks for the Jupyter kernel {book.kernel!r}, which is not here"
    else:
        problem = f"{book.path} names no kernel"
    installed = ", ".join(sorted(manager.find_kernel_specs()))
    raise InputError(f"{problem}. Installed: {installed}. Nothing was started. {_kernels_for(book)}")


def _kernels_for(book: Runbook) -> str:
    """What to do about a kernel that is not here, or is for another language."""
    from jupyter_client.kernelspec import KernelSpecManager

    specs = KernelSpecManager().get_all_specs()
    fit = [
        name for name, each in specs.items() if normalized(each["spec"].get("language", "")) == book.language
    ]
    if not fit:
        return f"Install a Jupyter kernel for {book.language}, and name it: --kernel NAME (in Python: kernel=...)."
    best = Runbook.kernel if Runbook.kernel in fit else sorted(fit)[0]
    return f"To run it in one that is here: --kernel {best} (in Python: kernel={best!r})."


def working_directory(cwd: str | Path | None) -> Path | None:
    """The folder that cells are to work in, as an absolute path. InputError when it is none."""
    if cwd is None:
        return None
    path = Path(cwd).expanduser().absolute()
    if not path.is_dir():
        raise InputError(f"cwd: {str(path)!r} is not a folder. Nothing was started.")
    return path


def _fits_a_shell(spec: Any) -> bool:
    """Whether the kernel is ipykernel in this very Python, and nobody has changed how IPython starts."""
    program, *words = spec.argv
    words = [each for each in words if not each.startswith("-X")]
    own = f"python{sys.version_info[0]}"
    if program not in ("python", own, f"{own}.{sys.version_info[1]}", sys.executable) or spec.env:
        return False
    if words != ["-m", "ipykernel_launcher", "-f", "{connection_file}"]:
        return False
    profile = Path(os.environ.get("IPYTHONDIR") or Path.home() / ".ipython") / "profile_default"
    changed = [
        *profile.glob("ipython_*config.*"),
        *profile.glob("startup/*.py"),
        *profile.glob("startup/*.ipy"),
    ]
    return not changed


def new_folder(book: Runbook, folder: str | Path | None, what: str = "run") -> Path:
    """Make the folder of a run, or of a batch, below the given one or the one for runs. RunError if it fails."""
    parent = Path(folder).expanduser().absolute() if folder else runs_dir()
    name = re.sub(r"[^\w-]+", "-", book.name).strip("-") or "notebook"
    prefix = "" if what == "run" else f"{what}-"
    path = parent / f"{prefix}{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{name[:60]}-{secrets.token_hex(3)}"
    try:
        path.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise RunError(
            f"the {what}'s folder {path} cannot be made: {error.strerror or error}. Nothing was started. "
            "Another place: --runs-dir, or LCNB_RUNS_DIR."
        ) from None
    return path


class _Run:
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
        limits: Limits,
    ) -> None:
        self.book = book
        self.limits = limits
        self.checked = checked
        self.settings = settings
        self.folder = folder
        self.notebook = folder / f"{book.path.stem}.ipynb"
        self.record = folder / "run.json"
        self.started = datetime.now(UTC)
        self.changes: list[dict[str, Any]] = []
        self.problems: list[str] = []
        self.told = Told()
        self._beside = [Secret(os.environ[name]) for name in TOKEN_VARIABLES if os.environ.get(name)]
        self._beside += [*of_environment(), *notify_targets()]
        self.sha256 = hashlib.sha256(book.path.read_bytes()).hexdigest()
        self.git = commit_of(book.path)
        self.process = process.identity()
        self.kernel: dict[str, Any] | None = None

    def execute(self, progress: Progress) -> RunResult:
        from lcnb.runbooks.engine.papermill_engine import Job, execute

        job = Job(
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
            with raising(), self.told.open() as variables:
                job.env = {**job.env, **variables}
                job.inherits = (self.told.write,) if variables else ()
                execute(job)
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
            with held():  # too late to change how it ended: record, notebook and exit code agree
                problems = self._close(job)
            if interrupted and (made := [each for each in self.changes if is_made(each)]):
                interrupted.add_note(changes_line(made, self.folder.name, ended_well=False))
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
        self.kernel = process.identity(pid) if pid else None
        try:
            self._record(job)
        except OSError:
            pass  # a full disk is told at the end, with how the run ended

    def _judge(self, job: Any) -> None:
        """How the run ended, beyond its cells: by what it has changed, then by what it asks attention for."""
        self._judge_changes(job)
        texts = notes.attention(notes.read(self.folder))
        if job.status == "done" and texts:
            job.status, job.exit_code, job.reason = "attention", ATTENTION, "\n".join(texts)

    # --- secrets ----------------------------------------------------------------------------------------

    def redact(self, text: str) -> str:
        return mask(text, *self._secrets())

    def _secrets(self) -> list[Secret]:
        """The token, others that the kernel's environment holds beside it, and what the notebook has used."""
        beside = [*self._beside, *self.told.secrets()]
        return [self.settings.token, *beside] if self.settings else beside

    def _environment(self) -> dict[str, str]:
        """The kernel's environment: this one, with account and folder as they were resolved here."""
        env = {
            **os.environ,
            FOLDER_VARIABLE: str(self.folder),
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
            from lcnb.runbooks.engine.papermill_engine import FOR_THE_START

            env["PYTHONSAFEPATH"] = FOR_THE_START  # no file there is taken for a module that the kernel needs
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
            lambda: problems.extend(artifacts.search(self.folder, self.redact)),
            lambda: self.pdf and write_pdf(self.folder / "report.html"),
            lambda: notify(self._facts(job), self.folder),
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
            self.changes = made_by(self.folder, self.settings)
        except (LcnbError, OSError, ValueError) as error:
            self.problems.append(f"what the run changed is not known: {type(error).__name__}: {error}")
            return
        outcomes = Counter(each["outcome"] for each in self.changes if each["outcome"] != PLANNED)
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
            facts["files"] = artifacts.fingerprints(self.folder)
            facts["problems"] = problems or []
        facts["closed"] = problems is not None
        if problems is None:
            started = self.kernel is not None  # before that nothing happens that a power cut may not hide
            write_atomically(self.record, self._text(facts), sync=started)
            return
        try:
            run_index.close_record(self.folder, self._text(facts))
        except OSError as error:
            problems.append(f"the run could not be written into {run_index.INDEX}: {error.strerror or error}")
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
            "given": declared.recordable(self.checked),
            "parameters": declared.effective(self.book.parameters, self.checked),
            "account": self.settings.account if self.settings else None,
            "base_url": self.settings.base_url if self.settings else None,
            "user": user(),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "process": self.process,
            "kernel_process": self.kernel,
            "python": platform.python_version(),
            "versions": versions(),
            "engine": job.engine,
            "kernel": self.chosen,
            "cwd": str(self.cwd) if self.cwd else None,
            "limits": {"run_s": self.limits.run_s, "cell_s": self.limits.cell_s},
            "resumes": list(self.resumes),
            "confirmed": self.confirmation,
            "changes": self.changes,
            "failed_cell": _cell_facts(error) if error else None,
            **notes.facts(self.folder),
        }
        return dict(json.loads(self.redact(json.dumps(facts, ensure_ascii=False))))

    def _result(self, job: Any, problems: list[str]) -> RunResult:
        error = None
        if job.status != "done":
            error = self.redact(_shown(job))
        files = [*artifacts.files(self.folder), self.record]
        effective = declared.effective(self.book.parameters, self.checked) | self.checked
        return RunResult(
            self.book.name, job.status, job.exit_code, self.folder, error, effective, files, problems
        )


@cache
def versions() -> dict[str, str]:
    """What a run stands on."""
    return {name: lcnb.__version__ if name == "lcnb" else version(name) for name in VERSIONS}


def _cell_facts(error: Any) -> dict[str, Any]:
    return {
        "number": error.index + 1,
        "source": error.source,
        "ename": error.ename,
        "evalue": error.evalue,
        "traceback": _plain(error.traceback),
    }


def _plain(text: str) -> str:
    """Without the colour codes that IPython puts into a traceback."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def _shown(job: Any) -> str:
    """The failing cell and its error, as the terminal shows them."""
    if job.error is None:
        return f"{job.status}: {job.reason}"
    source = "\n".join(f"    {line}" for line in job.error.source.splitlines())
    last = _plain(job.error.traceback).strip().splitlines()
    tail = "\n".join(f"  {line}" for line in last[-12:])
    head = f"cell {job.error.index + 1} failed: {job.error.ename}: {job.error.evalue}"
    return f"{head}\n\n{source}\n\n{tail}{_file_hint(job)}"


def _file_hint(job: Any) -> str:
    """What helps when a cell has not found a file that is in the notebook's folder."""
    if job.cwd is not None or not re.search("no such|not found", job.error.evalue, re.IGNORECASE):
        return ""
    named = re.findall(r"['\"`]([^'\"`/\\][^'\"`]*)['\"`]", job.error.evalue)
    here = [name for name in named if (job.source.parent / name).exists()]
    if not here:
        return ""
    return (
        f"\n\n{here[0]} is in the folder of the notebook, but cells work in that of the run. To work in "
        f"the other: --cwd {shlex.quote(str(job.source.parent))}"
    )
