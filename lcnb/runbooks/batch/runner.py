"""Run a notebook once for each row of parameters (`lcnb.batch`), and resume such a batch (`lcnb.resume_batch`).

All rows are checked before any starts. Each run has a separate process (`launcher`), so that a crash of one run
does not affect the others. Exit codes: 0 all rows done, 7 some, 3 none, 8 some need attention; 130 and 143 interrupted.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcnb.config import Settings
from lcnb.display.terminal import write_csv
from lcnb.errors import RunError
from lcnb.files import write_atomically
from lcnb.flags import checked_flag
from lcnb.folders import runs_location
from lcnb.notebook_kernel import is_in_kernel
from lcnb.rows import Rows
from lcnb.runbooks import ends
from lcnb.runbooks.batch.checks import check_confirmed, check_rows
from lcnb.runbooks.batch.executors import Placement
from lcnb.runbooks.batch.launcher import NOT_STARTED, child_environment, run_row
from lcnb.runbooks.batch.plan import BatchPlan, find_batch_folder, read_plan
from lcnb.runbooks.batch.reporting import SILENCING_VARIABLES, BatchReports
from lcnb.runbooks.batch.rows import BatchRow, collect_rows, repeat_per_account
from lcnb.runbooks.batch.stops import BatchStop, LocalStop
from lcnb.runbooks.ends import COMPLETED_STATUSES
from lcnb.runbooks.engine import warm, warm_server
from lcnb.runbooks.engine.kernelspecs import choose_kernel
from lcnb.runbooks.notebook.find import Runbook, find_runbook
from lcnb.runbooks.preflight import check_engine, create_run_folder, working_directory
from lcnb.runbooks.publish.notifications import check_targets
from lcnb.runbooks.records.artifacts import hash_file
from lcnb.runbooks.retries import check_policy
from lcnb.secret import mask_secrets
from lcnb.signals import exit_on_signals

if TYPE_CHECKING:
    import pandas as pd

#: Called as rows start and end, with the number of ended rows, the number of all rows, and a line of text.
RowProgress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class BatchOptions:
    """How the rows of a batch run: the arguments that `batch` and `resume_batch` share."""

    workers: int | None = None
    max_errors: int | None = None
    folder: str | Path | None = None
    executor: Executor | None = None
    dask: str | None = None
    settings: Settings | None = None
    confirm: bool = False
    progress: RowProgress | None = None
    engine: str = "auto"
    kernel: str | None = None
    cwd: str | Path | None = None
    retries: int = 0
    retry_wait: float | None = None

    def checked(self) -> BatchOptions:
        """Return them with `confirm` as a bool; raise InputError or ConfigError for a wrong one."""
        check_engine(self.engine)
        check_targets()
        check_policy(self.retries, self.retry_wait)
        return replace(self, confirm=checked_flag("confirm", self.confirm, not_done="started"))

    def placement(self) -> Placement:
        """Return where the rows run."""
        return Placement.from_options(self.executor, self.dask, self.workers, self.settings, self.max_errors)


def batch(
    name: str,
    over: pd.DataFrame | Iterable[Mapping[str, object]] | str | Path | None = None,
    *,
    parameters: Mapping[str, object] | None = None,
    accounts: bool | Sequence[str] = False,
    workers: int | None = None,
    max_errors: int | None = None,
    folder: str | Path | None = None,
    executor: Executor | None = None,
    dask: str | None = None,
    settings: Settings | None = None,
    confirm: bool = False,
    progress: RowProgress | None = None,
    engine: str = "auto",
    kernel: str | None = None,
    cwd: str | Path | None = None,
    retries: int = 0,
    retry_wait: float | None = None,
) -> pd.DataFrame:
    """Run a runbook once for each row of parameters, and return a DataFrame with the result of each row.

    Args:
        name: the name of a shipped runbook, or the path of a notebook.
        over: the rows: a DataFrame, dicts, or the path of a CSV file. A missing value or an empty cell leaves the
            parameter at its default. A column `account` names the account of a row.
        parameters: parameters that every row gets.
        accounts: run every row once per account: True for all accounts of lcnb.toml, or a list of names.
        workers: how many rows run at the same time; by default the number of processors.
        max_errors: start no more rows after this number of rows that did not complete.
        folder: the runs folder of the batch and its runs; by default as for `lcnb run`.
        executor: starts the processes; any object with `submit`, by default threads of this process. A row never
            starts twice, even if the executor repeats a lost task. Workers on other computers (except Dask's) need
            the batch's folder on a shared disk.
        dask: the address of a Dask scheduler, such as tcp://10.0.0.5:8786 (`pip install 'lcnb[dask]'`).
        settings: settings for all rows instead of an account; not with `executor` or `dask`.
        confirm: confirms the changes of the rows; rows with `dry_run=False` need it.
        progress: called as rows start and end; by default a notebook shows one line of text.
        engine: "kernel" starts an ordinary process and Jupyter kernel per run; "auto" forks both from a process that
            has imported everything, where that is possible (Linux).
        kernel, cwd: the Jupyter kernel and the working directory of all runs, as for `lcnb run`.
        retries, retry_wait: attempt each row again, as `lcnb run --retries`: only a row that has sent no change.

    Returns the columns row, account, one column per parameter, status, exit_code, seconds, folder and error.
    `frame.attrs["lcnb"]` has the `folder` of the batch, its `exit_code`, and `problems`: a sentence for each report
    (LCNB_NOTIFY, LCNB_PING_URL) that failed.

    Before anything is started it raises ParameterError (with the problems of all rows), ConfirmationMissing, InputError
    or ConfigError. KeyboardInterrupt is raised after the running rows have ended; `resume_batch` runs the rest.

    >>> import lcnb
    >>> settings = lcnb.connect(sandbox=True).settings
    >>> lcnb.batch("inventory", [{"state": "of"}], settings=settings)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    lcnb.errors.ParameterError: row 1, state: 'of' is not one of 'running', 'off', ...
    """
    options = BatchOptions(
        workers, max_errors, folder, executor, dask, settings, confirm, progress, engine, kernel, cwd, retries,
        retry_wait,
    )  # fmt: skip
    return run_batch(name, over, parameters or {}, accounts, options).frame()


def resume_batch(
    batch: str | Path,
    *,
    workers: int | None = None,
    max_errors: int | None = None,
    folder: str | Path | None = None,
    executor: Executor | None = None,
    dask: str | None = None,
    settings: Settings | None = None,
    confirm: bool = False,
    progress: RowProgress | None = None,
    engine: str = "auto",
    kernel: str | None = None,
    cwd: str | Path | None = None,
    retries: int = 0,
    retry_wait: float | None = None,
) -> pd.DataFrame:
    """Run the rows of a batch that did not complete, with the notebook as it is now; other results are kept.

    Args:
        batch: the batch's folder, or the name of that folder in the runs folder.
        folder: the runs folder, by default as for `lcnb run`.
        kernel, cwd: by default those of the batch.

    The other arguments are those of `batch`. Returns the DataFrame of the whole batch. Raises InputError when the batch
    does not exist, ParameterError when a row does not fit the notebook's parameters any more, RunError when another
    process runs the batch.

    >>> resume_batch("batch-20260101T000000Z-inventory-000000")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    lcnb.errors.InputError: no batch 'batch-20260101T000000Z-inventory-000000' in ...
    """
    options = BatchOptions(
        workers, max_errors, folder, executor, dask, settings, confirm, progress, engine, kernel, cwd, retries,
        retry_wait,
    )  # fmt: skip
    return continue_batch(batch, options).frame()


def run_batch(
    name: str,
    over: Any,
    parameters: Mapping[str, object],
    accounts: bool | Sequence[str],
    options: BatchOptions,
) -> Rows:
    """Do what `batch` does, and return the results as rows: `lcnb batch` needs no pandas."""
    book = find_runbook(name)
    options = options.checked()
    rows = repeat_per_account(collect_rows(over, book), accounts)
    placement = options.placement()
    checked = check_rows(book, rows, dict(parameters), placement)
    check_confirmed(book, checked, options.confirm, placement)
    folder = options.folder
    plan = BatchPlan(
        folder=Path(),  # created when nothing else can be wrong
        runbook=book.name,
        source=_notebook_source(name, book),
        sha256=hash_file(book.path),
        runs_dir=runs_location(folder) if folder else None,
        rows=checked,
    )
    plan = _with_options(plan, book, placement, options)
    plan = replace(plan, folder=create_run_folder(book, folder, "batch"))
    plan.create_files()
    return _execute_plan(plan, placement, options, fresh=True)


def continue_batch(batch: str | Path, options: BatchOptions) -> Rows:
    """Do what `resume_batch` does, and return the results as rows."""
    options = options.checked()
    plan = read_plan(find_batch_folder(batch, options.folder))
    book = find_runbook(plan.source)
    placement = options.placement()
    remaining = [row for row in plan.rows if not plan.is_done(row)]
    check_confirmed(book, check_rows(book, remaining, {}, placement), options.confirm, placement)
    plan = _with_options(replace(plan, sha256=hash_file(book.path)), book, placement, options)
    return _execute_plan(plan, placement, options)


def _with_options(plan: BatchPlan, book: Runbook, placement: Placement, options: BatchOptions) -> BatchPlan:
    """Return the plan with these options; check kernel and working directory, if the rows run on this machine."""
    kernel, cwd = options.kernel or plan.kernel, options.cwd or plan.cwd
    if placement.is_local:
        choose_kernel(book, kernel)
        cwd = working_directory(cwd)
    return replace(
        plan,
        confirm=options.confirm,
        engine=options.engine,
        kernel=kernel,
        cwd=str(cwd) if cwd else None,
        retries=options.retries,
        retry_wait=options.retry_wait,
    )


def _notebook_source(name: str, book: Runbook) -> str:
    """Return how other processes find the notebook: a shipped one by its name, another by its full path."""
    return name if name == book.name else str(book.path)


# --- scheduling -----------------------------------------------------------------------------------------


def _execute_plan(
    plan: BatchPlan,
    placement: Placement,
    options: BatchOptions,
    *,
    fresh: bool = False,
) -> Rows:
    with ExitStack() as stack:
        stack.enter_context(_lock_batch(plan.folder))
        report = options.progress or stack.enter_context(_notebook_progress())
        stack.enter_context(exit_on_signals())
        try:
            executor, workers, stop = stack.enter_context(placement.open_executor(plan.folder))
        except BaseException:
            if fresh:  # no cluster was reached and nothing was started, so no folder is left
                shutil.rmtree(plan.folder, ignore_errors=True)
            raise
        if placement.is_local and plan.engine == "auto" and not warm.is_server_running():
            warm_server.start_server(child_environment(placement.child_variables()))
        reports = BatchReports(plan)
        reports.report_start()
        scheduler = _RowScheduler(
            plan,
            {**placement.child_variables(), **SILENCING_VARIABLES},
            executor,
            workers,
            stop,
            options.max_errors,
            report,
        )
        try:
            scheduler.run_rows()
        except BaseException as interrupt:
            scheduler.stop_rows()
            _save_results(plan)
            for problem in reports.report_end():
                interrupt.add_note(problem)
            interrupt.add_note(
                f"the batch can be resumed: lcnb batch --resume {plan.folder.name} (its folder: {plan.folder})"
            )
            raise
    rows = _save_results(plan)
    return replace(rows, facts={**rows.facts, "problems": reports.report_end()})


def _save_results(plan: BatchPlan) -> Rows:
    """Save the results of all rows as results.csv and return them."""
    rows = plan.results()
    text = StringIO(newline="")
    write_csv(rows, text)
    write_atomically(plan.folder / "results.csv", text.getvalue())
    return rows


class _RowScheduler:
    """Runs rows on an executor, at most `workers` at the same time, until all have ended or no more may start."""

    def __init__(
        self,
        plan: BatchPlan,
        env: Mapping[str, str | None],
        executor: Executor,
        workers: int,
        stop: BatchStop,
        max_errors: int | None,
        report: RowProgress,
    ) -> None:
        self.plan, self.env, self.executor, self.workers, self.stop = plan, env, executor, workers, stop
        self.max_errors, self.report = max_errors, report
        self.waiting = [row for row in plan.rows if not plan.is_done(row)]
        self.done = len(plan.rows) - len(self.waiting)
        self.failed = 0
        self.executor_refuses = False  # its pool is broken or shut down
        self.running: dict[Future[dict[str, Any]], BatchRow] = {}

    def run_rows(self) -> None:
        """Run the rows that are not done, in their order, and save each result."""
        self.waiting.reverse()
        while True:
            while self.waiting and len(self.running) < self.workers and self._may_start():
                row = self.waiting.pop()
                try:
                    future = self.executor.submit(run_row, self.plan.row_task(row), self.env, self.stop)
                except Exception as error:  # a pool that was shut down, or whose process was killed
                    self.executor_refuses = True
                    self._save_result(row, self._not_started(row, error))
                else:
                    self.running[future] = row
            self._report_progress()
            if not self.running:
                return
            self._collect(wait(self.running, return_when=FIRST_COMPLETED).done)

    def _may_start(self) -> bool:
        return not self.executor_refuses and (self.max_errors is None or self.failed < self.max_errors)

    def _collect(self, futures: Iterable[Future[dict[str, Any]]]) -> None:
        for future in futures:
            row = self.running.pop(future)
            self._save_result(row, self._future_result(future, row))

    def _save_result(self, row: BatchRow, result: dict[str, Any]) -> None:
        if result["status"] == NOT_STARTED and not result.get("error"):
            return
        completed = result["status"] in COMPLETED_STATUSES
        self.done += completed
        self.failed += not completed
        self.plan.save_result(result)

    def _not_started(self, row: BatchRow, error: Exception) -> dict[str, Any]:
        text = mask_secrets(f"the executor did not start the run: {type(error).__name__}: {error}")
        return {
            "row": row.number,
            "status": NOT_STARTED,
            "exit_code": ends.NOT_STARTED.exit_code,
            "error": text,
        }

    def _future_result(self, future: Future[dict[str, Any]], row: BatchRow) -> dict[str, Any]:
        if future.cancelled():
            return {"row": row.number, "status": NOT_STARTED}
        try:
            return dict(future.result())
        except Exception as error:  # an error of the executor: a lost worker, a broken pool
            with suppress(Exception):  # the flags may be lost together with the worker
                self.stop.claim_row(row.number)  # a row that has not started yet must not start now
            text = mask_secrets(f"the executor lost the run: {type(error).__name__}: {error}")
            return {
                "row": row.number,
                "status": ends.LOST.status,
                "exit_code": ends.LOST.exit_code,
                "error": text,
            }

    def _report_progress(self) -> None:
        ended = self.done + self.failed
        failed = f", {self.failed} not done" if self.failed else ""
        numbers = ", ".join(str(row.number) for row in list(self.running.values())[:6])
        self.report(ended, len(self.plan.rows), f"{self.done} done{failed}; running: {numbers or 'none'}")

    def stop_rows(self) -> None:
        """Stop the running rows and wait for their end; a second interrupt kills them.

        Only rows that have not started are cancelled: a future of Dask is cancelled while its task goes on
        (distributed 2026.8.0, findings/dask-cancels-what-goes-on.sh), and `resume` would start the row again.
        """
        self.stop.request_stop()
        for future, row in self.running.items():
            if not self.stop.is_row_started(row.number):
                future.cancel()
        while self.running:
            try:
                self._collect(wait(self.running, return_when=FIRST_COMPLETED).done)
            except (KeyboardInterrupt, SystemExit):
                if not isinstance(self.stop, LocalStop):
                    return  # the rows continue on their workers
                self.stop.now.set()


@contextmanager
def _lock_batch(folder: Path) -> Iterator[None]:
    """Hold the lock of a batch, which the operating system releases when the process ends."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RunError(
            f"another process is running the batch {folder}. Nothing was started.", folder=folder
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _notebook_progress() -> Iterator[RowProgress]:
    """Yield a progress function that shows one line of text in a notebook and nothing elsewhere."""
    if not is_in_kernel():
        yield lambda ended, total, text: None
        return
    from IPython.display import display

    show: Callable[..., Any] = display
    handle = show({"text/plain": "starting"}, raw=True, display_id=True)

    def show_progress(ended: int, total: int, text: str) -> None:
        if handle is not None:
            handle.update({"text/plain": f"{ended}/{total}  {text}"}, raw=True)

    yield show_progress
