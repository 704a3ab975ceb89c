"""Run a notebook once for each row of parameters (`lcnb.batch`), and resume such a batch (`lcnb.resume_batch`).

All rows are checked before any starts. Each run has a process of its own (`launcher`), so that a run that crashes affects no
other. Exit codes: 0 all rows done, 7 some, 3 none, 8 some need attention; 130 and 143 interrupted."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcnb.config import Settings
from lcnb.errors import RunError
from lcnb.files import write_atomically
from lcnb.flags import checked_flag
from lcnb.runbooks import ends
from lcnb.runbooks.batch.checks import check_confirmed, check_rows
from lcnb.runbooks.batch.executors import Placement
from lcnb.runbooks.batch.launcher import NOT_STARTED, child_environment, run_row
from lcnb.runbooks.batch.plan import BatchPlan, find_batch_folder, read_plan
from lcnb.runbooks.batch.rows import BatchRow, collect_rows, repeat_per_account
from lcnb.runbooks.batch.stops import BatchStop, LocalStop
from lcnb.runbooks.ends import COMPLETED_STATUSES
from lcnb.runbooks.engine import warm, warm_server
from lcnb.runbooks.engine.kernelspecs import choose_kernel
from lcnb.runbooks.notebook.find import Runbook, find_runbook
from lcnb.runbooks.preflight import check_engine, create_run_folder, working_directory
from lcnb.runbooks.records.artifacts import hash_file
from lcnb.secret import mask_secrets
from lcnb.signals import exit_on_signals

if TYPE_CHECKING:
    import pandas as pd

#: Called as rows begin and end: how many have ended, how many there are, and a word on them.
RowProgress = Callable[[int, int, str], None]


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
) -> pd.DataFrame:
    """Run a runbook once for each row of parameters, and give a frame that tells how each ended.

    Args:
        over: a frame, dicts, or the path of a CSV file. A missing value or an empty cell is not given, so the
            default holds. A column `account` names the account of a row.
        parameters: given to every row.
        accounts: True for each account of lcnb.toml, or their names; with `over`, each row for each of them.
        workers: runs at the same time; by default as many as there are processors.
        max_errors: after so many rows that are not done, no further one is started.
        folder: where the batch and its runs are kept; by default as for `lcnb run`.
        executor: where the processes are started, anything with `submit`; threads of this process by default. A row
            is begun once, also by an executor that runs a lost task again. Workers on other machines, but for Dask's,
            need the batch's folder on a shared disk.
        dask: the address of a scheduler, such as tcp://10.0.0.5:8786 (`pip install 'lcnb[dask]'`).
        settings: an account that is already resolved, for all rows; not with `executor` or `dask`.
        confirm: the changes that rows make are confirmed (rows with `dry_run=False` need it).
        progress: called as rows begin and end; in a notebook a line of text by default.
        engine: "kernel" for an ordinary process and Jupyter kernel for each run; "auto" forks them from one that has
            imported everything, where that is possible (Linux).
        kernel, cwd: the Jupyter kernel and the working directory of all runs, as for `lcnb run`.

    Returns a frame with the columns row, account, a column a parameter, status, exit_code, seconds, folder,
    error. `frame.attrs["lcnb"]` has `folder` (of the batch) and `exit_code`. Raises, before anything
    is started, ParameterError that names every wrong row, ConfirmationMissing, InputError or ConfigError.
    KeyboardInterrupt when interrupted, after the runs under way have ended; `resume_batch` goes on.

    >>> import lcnb
    >>> made_up = lcnb.connect(sandbox=True).settings
    >>> lcnb.batch("inventory", [{"state": "of"}], settings=made_up)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    lcnb.errors.ParameterError: row 1, state: 'of' is not one of 'running', 'off', ...
    """
    book = find_runbook(name)
    check_engine(engine)
    confirm = checked_flag("confirm", confirm, not_done="started")
    common = dict(parameters or {})
    rows = repeat_per_account(collect_rows(over, book), accounts)
    where = Placement.of(executor, dask, workers, settings, max_errors)
    checked = check_rows(book, rows, common, where)
    check_confirmed(book, checked, confirm)
    if where.here:
        choose_kernel(book, kernel)
        cwd = working_directory(cwd)
    cwd = str(cwd) if cwd else None
    place = create_run_folder(book, folder, "batch")
    runs = str(Path(folder).expanduser().absolute()) if folder else None
    plan = BatchPlan(
        place,
        book.name,
        _notebook_source(name, book),
        hash_file(book.path),
        runs,
        checked,
        confirm,
        engine,
        kernel,
        cwd,
    )
    plan.write(common)
    return _execute_plan(plan, where, max_errors, progress, fresh=True)


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
) -> pd.DataFrame:
    """Run the rows of a batch that are not done, with the notebook as it is now; the others are kept.

    Args:
        batch: its folder, or that folder's name below the runs folder; the other arguments as for `batch`. Without
            `kernel` and `cwd` they are those of the batch.

    Returns the frame of the whole batch. InputError when there is no such batch; ParameterError when a row no
    longer fits the notebook's parameters; RunError when another process runs it now.

    >>> resume_batch("batch-20260101T000000Z-inventory-000000")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    lcnb.errors.InputError: no batch 'batch-20260101T000000Z-inventory-000000' in ...
    """
    check_engine(engine)
    confirm = checked_flag("confirm", confirm, not_done="started")
    plan = read_plan(find_batch_folder(batch, folder))
    book = find_runbook(plan.source)
    where = Placement.of(executor, dask, workers, settings, max_errors)
    left = [row for row in plan.rows if not plan.is_done(row)]
    check_confirmed(book, check_rows(book, left, {}, where), confirm)
    kernel, cwd = kernel or plan.kernel, cwd or plan.cwd
    if where.here:
        choose_kernel(book, kernel)
        cwd = working_directory(cwd)
    cwd = str(cwd) if cwd else None
    plan = replace(plan, sha256=hash_file(book.path), confirm=confirm, engine=engine, kernel=kernel, cwd=cwd)
    return _execute_plan(plan, where, max_errors, progress)


def _notebook_source(name: str, book: Runbook) -> str:
    """How another process finds the notebook: a shipped one by name, another by its whole path."""
    return name if name == book.name else str(book.path)


# --- running --------------------------------------------------------------------------------------------


def _execute_plan(
    plan: BatchPlan,
    where: Placement,
    max_errors: int | None,
    progress: RowProgress | None,
    *,
    fresh: bool = False,
) -> pd.DataFrame:
    with ExitStack() as stack:
        stack.enter_context(_lock_batch(plan.folder))
        tell = progress or stack.enter_context(_notebook_progress())
        stack.enter_context(exit_on_signals())
        try:
            executor, workers, stop = stack.enter_context(where.started(plan.folder))
        except BaseException:
            if fresh:  # no cluster there: nothing was started, so nothing stays
                shutil.rmtree(plan.folder, ignore_errors=True)
            raise
        if where.here and plan.engine == "auto" and not warm.is_server_running():
            warm_server.start_server(child_environment(where.env()))
        import_module("pandas")  # the frame at the end needs it; until that server listens there is time
        running = _RowScheduler(plan, where.env(), executor, workers, stop, max_errors, tell)
        try:
            running.go()
        except BaseException as interrupt:
            running.end()
            _save_results(plan)
            interrupt.add_note(
                f"what there is of the batch: {plan.folder} (lcnb batch --resume {plan.folder.name})"
            )
            raise
    return _save_results(plan)


def _save_results(plan: BatchPlan) -> pd.DataFrame:
    """The frame, kept beside the rows as CSV."""
    frame = plan.frame()
    write_atomically(plan.folder / "results.csv", frame.to_csv(index=False, lineterminator="\n"))
    return frame


class _RowScheduler:
    """Keeps as many rows under way as there are workers, until all have ended or no more may start."""

    def __init__(
        self,
        plan: BatchPlan,
        env: Mapping[str, str | None],
        executor: Executor,
        workers: int,
        stop: BatchStop,
        max_errors: int | None,
        tell: RowProgress,
    ) -> None:
        self.plan, self.env, self.executor, self.workers, self.stop = plan, env, executor, workers, stop
        self.max_errors, self.tell = max_errors, tell
        self.waiting = [row for row in plan.rows if not plan.is_done(row)]
        self.done = len(plan.rows) - len(self.waiting)
        self.failed = 0
        self.refusing = False  # the executor takes no more rows
        self.under_way: dict[Future[dict[str, Any]], BatchRow] = {}

    def go(self) -> None:
        self.waiting.reverse()
        while True:
            while self.waiting and len(self.under_way) < self.workers and self._may_start():
                row = self.waiting.pop()
                try:
                    future = self.executor.submit(run_row, self.plan.task(row), self.env, self.stop)
                except Exception as error:  # a pool whose process was killed, or one that was shut down
                    self.refusing = True
                    self._keep(row, self._not_started(row, error))
                else:
                    self.under_way[future] = row
            self._tell()
            if not self.under_way:
                return
            self._take(wait(self.under_way, return_when=FIRST_COMPLETED).done)

    def _may_start(self) -> bool:
        return not self.refusing and (self.max_errors is None or self.failed < self.max_errors)

    def _take(self, futures: Iterable[Future[dict[str, Any]]]) -> None:
        for future in futures:
            row = self.under_way.pop(future)
            self._keep(row, self._result(future, row))

    def _keep(self, row: BatchRow, result: dict[str, Any]) -> None:
        if result["status"] == NOT_STARTED and not result.get("error"):
            return
        well = result["status"] in COMPLETED_STATUSES
        self.done += well
        self.failed += not well
        self.plan.ended(result)

    def _not_started(self, row: BatchRow, error: Exception) -> dict[str, Any]:
        text = mask_secrets(f"the executor did not start the run: {type(error).__name__}: {error}")
        return {
            "row": row.number,
            "status": NOT_STARTED,
            "exit_code": ends.NOT_STARTED.exit_code,
            "error": text,
        }

    def _result(self, future: Future[dict[str, Any]], row: BatchRow) -> dict[str, Any]:
        if future.cancelled():
            return {"row": row.number, "status": NOT_STARTED}
        try:
            return dict(future.result())
        except Exception as error:  # the executor's own: a lost worker, a broken pool
            with suppress(Exception):  # the flags may be gone with what had them
                self.stop.begin(row.number)  # if it has not begun yet, it never will
            text = mask_secrets(f"the executor lost the run: {type(error).__name__}: {error}")
            return {
                "row": row.number,
                "status": ends.LOST.status,
                "exit_code": ends.LOST.exit_code,
                "error": text,
            }

    def _tell(self) -> None:
        ended = self.done + self.failed
        failed = f", {self.failed} not done" if self.failed else ""
        numbers = ", ".join(str(row.number) for row in list(self.under_way.values())[:6])
        self.tell(ended, len(self.plan.rows), f"{self.done} done{failed}; running: {numbers or 'none'}")

    def end(self) -> None:
        """Tell those under way to stop, and wait until they have; a second interrupt kills them."""
        for future in self.under_way:
            future.cancel()
        self.stop.ask()
        while self.under_way:
            try:
                self._take(wait(self.under_way, return_when=FIRST_COMPLETED).done)
            except (KeyboardInterrupt, SystemExit):
                if not isinstance(self.stop, LocalStop):
                    return  # they go on where they are
                self.stop.now.set()


@contextmanager
def _lock_batch(folder: Path) -> Iterator[None]:
    """One process at a time works on a batch; the lock ends with the process."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RunError(
            f"another process runs the batch {folder} now. Nothing was started.", folder=folder
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _notebook_progress() -> Iterator[RowProgress]:
    """One line of text in a notebook; nothing elsewhere."""
    if "ipykernel" not in sys.modules:
        yield lambda ended, total, text: None
        return
    from IPython.display import display

    show: Callable[..., Any] = display
    handle = show({"text/plain": "starting"}, raw=True, display_id=True)

    def tell(ended: int, total: int, text: str) -> None:
        if handle is not None:
            handle.update({"text/plain": f"{ended}/{total}  {text}"}, raw=True)

    yield tell
