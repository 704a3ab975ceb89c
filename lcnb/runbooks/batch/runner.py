"""Many runs of one runbook: a row of a table is the parameters of a run.

All rows are checked before any starts. Each run is a process of its own (`child`), so that a run that dies
takes nothing along; who starts these processes is an executor as `concurrent.futures` has them: threads that
wait for them here, the workers of a Dask cluster elsewhere. The batch's folder holds what was asked for
(`batch.json`) and, written as each row ends, how it ended (`rows/0001.json`): from these a batch is resumed. It
stands beside its runs; its name begins with `batch-`, so that it is not taken for one of them.

Exit codes: 0 all rows done; 7 some; 3 none; 130 and 143 interrupted.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcnb.config import Settings, did_you_mean, resolve
from lcnb.csv_file import read_csv
from lcnb.errors import ConfigError, ConfirmationMissing, InputError, ParameterError, RunError, TokenMissing
from lcnb.files import write_atomically
from lcnb.flags import NOTHING_STARTED, checked_flag
from lcnb.folders import runs_dir
from lcnb.runbooks.batch.child import (
    NOT_STARTED,
    RESULT,
    FolderStop,
    Local,
    Stop,
    child_environment,
    environment,
    run_row,
)
from lcnb.runbooks.engine import forkserver, warm
from lcnb.runbooks.notebook import parameters as declared
from lcnb.runbooks.notebook.find import Runbook, find
from lcnb.runbooks.records.resume import ENDED_WELL
from lcnb.runbooks.run import (
    _choices,
    _settings,
    check_engine,
    check_language,
    chosen_kernel,
    new_folder,
    working_directory,
)
from lcnb.secret import mask
from lcnb.signals import raising

if TYPE_CHECKING:
    import pandas as pd

#: Called as rows begin and end: how many have ended, how many there are, and a word on them.
Progress = Callable[[int, int, str], None]
DONE, PARTLY, NONE, ATTENTION = 0, 7, 3, 8
#: Wrong rows that a message names; the rest is counted.
SHOWN = 20


@dataclass(frozen=True)
class Row:
    """One run to be made: its number (from 1), its parameters as given, its account."""

    number: int
    parameters: Mapping[str, Any]
    account: str | None = None
    #: The line of the CSV file, for messages.
    line: int | None = None

    @property
    def where(self) -> str:
        return f"row {self.number}" + (f" (line {self.line})" if self.line else "")


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
    progress: Progress | None = None,
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
    book = find(name)
    check_engine(engine)
    confirm = checked_flag("confirm", confirm, NOTHING_STARTED)
    common = dict(parameters or {})
    rows = _with_accounts(_rows(over, book), accounts)
    where = _Where.of(executor, dask, workers, settings, max_errors)
    checked = _checked(book, rows, common, where)
    _check_confirmed(book, checked, confirm)
    if where.here:
        chosen_kernel(book, kernel)
        cwd = working_directory(cwd)
    cwd = str(cwd) if cwd else None
    place = new_folder(book, folder, "batch")
    runs = str(Path(folder).expanduser().absolute()) if folder else None
    plan = _Plan(
        place, book.name, _source(name, book), _sha256(book), runs, checked, confirm, engine, kernel, cwd
    )
    plan.write(common)
    return _carry_out(plan, where, max_errors, progress, fresh=True)


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
    progress: Progress | None = None,
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
    confirm = checked_flag("confirm", confirm, NOTHING_STARTED)
    plan = _read_plan(_batch_folder(batch, folder))
    book = find(plan.source)
    where = _Where.of(executor, dask, workers, settings, max_errors)
    left = [row for row in plan.rows if not plan.is_done(row)]
    _check_confirmed(book, _checked(book, left, {}, where), confirm)
    kernel, cwd = kernel or plan.kernel, cwd or plan.cwd
    if where.here:
        chosen_kernel(book, kernel)
        cwd = working_directory(cwd)
    cwd = str(cwd) if cwd else None
    plan = replace(plan, sha256=_sha256(book), confirm=confirm, engine=engine, kernel=kernel, cwd=cwd)
    return _carry_out(plan, where, max_errors, progress)


def _check_confirmed(book: Runbook, rows: list[Row], confirm: bool) -> None:
    writing = [
        row for row in rows if declared.effective(book.parameters, row.parameters).get("dry_run") is False
    ]
    if writing and not confirm:
        raise ConfirmationMissing(
            f"{len(writing)} of the rows ({writing[0].where} first) have dry_run=False and change the account, and "
            "nobody confirmed that. Nothing was started. Look at a dry run, then pass confirm=True (--yes)."
        )


# --- the rows -------------------------------------------------------------------------------------------


def _rows(over: Any, book: Runbook) -> list[Row]:
    if over is None:
        return [Row(1, {})]
    if isinstance(over, str | Path):
        rows = read_rows(Path(over))
    elif hasattr(over, "to_dict") and hasattr(over, "columns"):
        rows = [Row(number, given) for number, given in enumerate(_of_frame(over), 1)]
    else:
        rows = []
        for number, given in enumerate(over, 1):
            if not isinstance(given, Mapping):
                raise InputError(f"row {number} of `over` is {type(given).__name__}, not a dict")
            rows.append(Row(number, dict(given)))
    if not rows:
        raise InputError("there are no rows to run over. Nothing was started.")
    if any(each.name == "account" for each in book.parameters):
        return [replace(row, account=_account_of(row)) for row in rows]
    return [
        replace(row, account=_account_of(row), parameters=_without(row.parameters, "account")) for row in rows
    ]


def _account_of(row: Row) -> str | None:
    given = row.parameters.get("account")
    if given is None or isinstance(given, str):
        return given or None
    raise ParameterError(
        f"{row.where}, account: {given!r} is not the name of an account. Nothing was started."
    )


def _without(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in given.items() if key != name}


def _of_frame(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    import pandas as pd

    names = [str(name) for name in frame.columns]
    doubles = [name for name, times in Counter(names).items() if times > 1]
    if doubles:
        raise InputError(f"the column {doubles[0]!r} is there twice. Nothing was started.")
    for values in zip(*(frame[name] for name in frame.columns), strict=True):
        yield {
            name: value
            for name, value in zip(names, values, strict=True)
            if not (pd.api.types.is_scalar(value) and pd.isna(value))
        }


def read_rows(path: Path) -> list[Row]:
    """The rows of a CSV file with a header, every value a text; an empty cell is not given.

    Raises InputError that names the lines which cannot be read.
    """
    found = read_csv(path, consequence="Nothing was started.").rows
    return [Row(number, row.values, line=row.line) for number, row in enumerate(found, 1)]


def _with_accounts(rows: list[Row], accounts: bool | Sequence[str]) -> list[Row]:
    """Each row for each of the accounts."""
    if isinstance(accounts, str):
        raise InputError(
            f"accounts: {accounts!r} is a text; say [{accounts!r}], or True for all. Nothing was started."
        )
    if not hasattr(accounts, "__iter__"):
        accounts = checked_flag("accounts", accounts, NOTHING_STARTED)
    names = _all_accounts() if accounts is True else list(accounts or ())
    if not names:
        return rows
    both = next((row for row in rows if row.account), None)
    if both:
        raise InputError(
            f"{both.where} names the account {both.account!r}, and `accounts` others; say one. Nothing was started."
        )
    pairs = [(row, name) for row in rows for name in dict.fromkeys(names)]
    return [replace(row, number=number, account=name) for number, (row, name) in enumerate(pairs, 1)]


def _all_accounts() -> list[str]:
    from lcnb.config import accounts

    listed = accounts()
    names = [str(name) for name in listed["account"].dropna().drop_duplicates()]
    if not names:
        raise ConfigError(
            "lcnb.toml has no accounts; `lcnb accounts` tells where it is looked for. Nothing was started."
        )
    return names


# --- the check ------------------------------------------------------------------------------------------


def _checked(book: Runbook, rows: list[Row], common: dict[str, object], where: _Where) -> list[Row]:
    """The rows with all their parameters converted. ParameterError names all that is wrong, row by row."""
    check_language(
        book, {**common, **{name: value for row in rows for name, value in row.parameters.items()}}
    )
    rows = [_as_written(row) for row in rows]
    problems = _unknown_columns(book, rows)
    names = {each.name for each in book.parameters}
    takes_account = "account" in names
    choices = cache(lambda account: where.choices(book, account))
    declared.check(book.parameters, common)  # what is wrong for all rows is told once
    usable: dict[str | None, str] = {}
    done: list[Row] = []
    for row in rows:
        given = {**common, **row.parameters}
        account = row.account or given.get("account")
        if takes_account and account:
            given["account"] = account
        if account not in usable:
            usable[account] = where.problem(book, account)
            if usable[account]:
                problems.append(f"{row.where}, account: {usable[account]}")
        checked: dict[str, Any] = {}
        for name, value in given.items():
            if name not in names:
                continue  # told already, once for its column
            try:
                known = choices(account) if name in declared.ACCOUNT_KINDS and not usable[account] else None
                checked |= declared.check(book.parameters, {name: value}, known)
            except ParameterError as wrong:
                text = str(wrong).removesuffix(" Nothing was started.").removeprefix(f"parameter {name}: ")
                problems.append(f"{row.where}, {name}: {text}")
        try:
            declared.check_required(book.parameters, given)
        except ParameterError as wrong:
            problems.append(f"{row.where}: {str(wrong).removesuffix(' Nothing was started.')}")
        done.append(replace(row, parameters=checked, account=account))
    if problems:
        raise ParameterError(f"{_listed(problems)} Nothing was started.")
    return done


def _as_written(row: Row) -> Row:
    """A row of a CSV file: its cells are texts of whatever type they look like."""
    if row.line is None:
        return row
    written = {
        name: declared.Written(value) if isinstance(value, str) else value
        for name, value in row.parameters.items()
    }
    return replace(row, parameters=written)


def _unknown_columns(book: Runbook, rows: list[Row]) -> list[str]:
    """A column that is no parameter is told once, with the first row that has it, and never with a secret's value."""
    names = [each.name for each in book.parameters]
    first: dict[str, Row] = {}
    for row in rows:
        for name in row.parameters:
            if name not in names:
                first.setdefault(str(name), row)
    problems = []
    for name, row in first.items():
        if declared.names_a_secret(name):
            cure = "a secret cannot be a parameter, for parameters are saved; name an account"
            problems.append(f"column {name} (from {row.where}): {cure}.")
        else:
            near = did_you_mean(name, names)
            known = f"Parameters: {', '.join(names)}." if names else "This runbook takes none."
            problems.append(
                f"column {name} (from {row.where}, value {row.parameters[name]!r}): no such parameter{near}. {known}"
            )
    return problems


def _listed(problems: list[str]) -> str:
    if len(problems) == 1:
        return problems[0]
    more = f"\n  ... and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    return f"{len(problems)} problems:\n  " + "\n  ".join(problems[:SHOWN]) + more + "\n"


# --- where the processes are ----------------------------------------------------------------------------


@dataclass
class _Where:
    """Who starts the processes, how many at a time, and with which account."""

    executor: Executor | None
    dask: str | None
    workers: int | None
    settings: Settings | None

    @classmethod
    def of(
        cls,
        executor: Executor | None,
        dask: str | None,
        workers: int | None,
        settings: Settings | None,
        max_errors: int | None,
    ) -> _Where:
        if executor is not None and dask is not None:
            raise InputError("say `executor` or `dask`, not both. Nothing was started.")
        if settings is not None and (executor is not None or dask is not None):
            raise InputError(
                "settings hold a token, which does not travel to other processes; name an account, which each "
                "worker resolves for itself. Nothing was started."
            )
        for name, number in (("workers", workers), ("max_errors", max_errors)):
            if number is not None and number < 1:
                raise InputError(f"{name}: {number} is below 1. Nothing was started.")
        return cls(executor, dask, workers, settings)

    @property
    def here(self) -> bool:
        return self.executor is None and self.dask is None

    def choices(self, book: Runbook, account: str | None) -> declared.Choices:
        """What an account knows, asked once. Workers elsewhere may have accounts that are not known here."""
        settings = self._resolved(book, account)
        known = cache(_choices(settings))

        def asked(kind: str) -> Sequence[str] | None:
            return known(kind)

        return asked

    def problem(self, book: Runbook, account: str | None) -> str:
        """Why an account that a row names cannot be used here. Raises ConfigError for the one that none names."""
        try:
            self._resolved(book, account)
        except ConfigError as wrong:
            if account is None:
                raise
            return str(wrong)
        return ""

    def _resolved(self, book: Runbook, account: str | None) -> Settings | None:
        if self.settings is not None:
            if account not in (None, self.settings.account):
                whose = self.settings.account or self.settings.base_url
                raise ConfigError(f"{account!r} is named, but the settings are those of {whose}")
            return self.settings
        try:
            return _settings(book, account) if self.here else resolve(account)
        except (ConfigError, TokenMissing):
            if self.here:
                raise
            return None

    @contextmanager
    def started(self, folder: Path) -> Iterator[tuple[Executor, int, Stop]]:
        """The executor, how many rows at a time, and which rows may begin and are to stop."""
        if self.dask is not None:
            from lcnb.runbooks.batch.cluster import connected

            with connected(self.dask, folder.name) as (executor, threads, stop):
                yield executor, self.workers or threads, stop
        elif self.executor is not None:
            from lcnb.runbooks.batch.cluster import stop_of

            workers = self.workers or getattr(self.executor, "_max_workers", None) or _processors()
            if by_scheduler := stop_of(self.executor, folder.name):
                yield self.executor, workers, by_scheduler
                return
            with _flags_in(folder) as stop_by_files:
                yield self.executor, workers, stop_by_files
        else:
            workers = self.workers or _processors()
            with ThreadPoolExecutor(workers, thread_name_prefix="lcnb-batch") as pool:
                yield pool, workers, Local()

    def env(self) -> dict[str, str | None]:
        """What the processes get beside this one's environment: the token of `settings`, never by a record."""
        if self.settings is None:
            return {}
        return environment(self.settings)


@contextmanager
def _flags_in(folder: Path) -> Iterator[FolderStop]:
    """The flags of this attempt at a batch; a row that an executor starts after its end does not begin."""
    flags = FolderStop(folder / f"begun-{secrets.token_hex(6)}")
    flags.folder.mkdir(mode=0o700)
    try:
        yield flags
    finally:
        if not flags.asked():
            shutil.rmtree(flags.folder, ignore_errors=True)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# --- the folder -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Plan:
    """What a batch is to run, and the folder that knows how far it came."""

    folder: Path
    runbook: str
    source: str
    sha256: str
    runs_dir: str | None
    rows: Sequence[Row]
    confirm: bool = False
    engine: str = "auto"
    kernel: str | None = None
    cwd: str | None = None

    def write(self, common: Mapping[str, Any]) -> None:
        facts = {
            "format": 1,
            "id": self.folder.name,
            "runbook": self.runbook,
            "source": self.source,
            "notebook_sha256": self.sha256,
            "runs_dir": self.runs_dir,
            "kernel": self.kernel,
            "cwd": self.cwd,
            "started": _now(),
            "rows": [
                {"row": row.number, "account": row.account, "parameters": declared.recordable(row.parameters)}
                for row in self.rows
            ],
        }
        try:
            (self.folder / "rows").mkdir()
            self._save("batch.json", facts)
        except OSError as error:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise RunError(
                f"the batch's folder {self.folder} cannot be written: {error.strerror or error}. Nothing was started."
            ) from None

    def _save(self, name: str, facts: Mapping[str, Any]) -> None:
        text = json.dumps(facts, ensure_ascii=False, indent=1)
        write_atomically(self.folder / name, text)

    def ended(self, result: Mapping[str, Any]) -> None:
        """Keep how a row ended; an earlier try's folder stays named."""
        before = self.result(result["row"])
        earlier = [*before.get("earlier", ()), *([before["folder"]] if before.get("folder") else [])]
        self._save(f"rows/{result['row']:04}.json", {**result, "ended": _now(), "earlier": earlier})

    def result(self, number: int) -> dict[str, Any]:
        try:
            kept = json.loads((self.folder / "rows" / f"{number:04}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            kept = None
        return kept if isinstance(kept, dict) else {"row": number, "status": NOT_STARTED}

    def is_done(self, row: Row) -> bool:
        return self.result(row.number).get("status") in ENDED_WELL

    def task(self, row: Row) -> dict[str, Any]:
        return {
            "row": row.number,
            "runbook": self.source,
            "sha256": self.sha256,
            "parameters": declared.recordable(row.parameters),
            "account": row.account,
            "runs_dir": self.runs_dir,
            "confirm": self.confirm,
            "engine": self.engine,
            "kernel": self.kernel,
            "cwd": self.cwd,
            "previous": self.result(row.number).get("folder"),
        }

    def frame(self) -> pd.DataFrame:
        import pandas as pd

        results = [self.result(row.number) for row in self.rows]
        columns: dict[str, Any] = {"row": _array([row.number for row in self.rows], dtype="Int64")}
        if any(row.account for row in self.rows):
            columns["account"] = _array([row.account for row in self.rows], dtype="str")
        names = dict.fromkeys(name for row in self.rows for name in row.parameters if name != "account")
        for name in names:
            shown = f"{name} (parameter)" if name in (*RESULT, "account") else name
            columns[shown] = _column([row.parameters.get(name) for row in self.rows])
        for name, dtype in DTYPES.items():
            columns[name] = _array([each.get(name) for each in results], dtype=dtype)
        frame = pd.DataFrame(columns)
        frame.attrs["lcnb"] = {"kind": "batch", "folder": str(self.folder), "exit_code": exit_code(frame)}
        return frame


DTYPES = {"status": "str", "exit_code": "Int64", "seconds": "Float64", "folder": "str", "error": "str"}


def _array(values: list[Any], dtype: str) -> Any:
    import pandas as pd

    series: Any = pd.Series  # its stubs know literal dtypes alone
    return series(values, dtype=dtype)


def _column(values: list[Any]) -> Any:
    """A parameter's values with the dtype that all of them have; texts, as JSON where they are no texts."""
    kinds = {type(value) for value in values if value is not None}
    for wanted, dtype in (({bool}, "boolean"), ({int}, "Int64"), ({int, float}, "Float64")):
        if kinds and kinds <= wanted and all(abs(value) < 2**53 for value in values if value is not None):
            return _array(values, dtype=dtype)
    texts = [
        value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for value in values
    ]
    return _array(texts, dtype="str")


def exit_code(frame: pd.DataFrame) -> int:
    """0 when all rows are done, 8 when some of them ask for attention, 7 when some are not done, 3 when none is."""
    done = int(frame["status"].isin(ENDED_WELL).sum())
    if done == len(frame):
        return DONE if (frame["status"] == "done").all() else ATTENTION
    return PARTLY if done else NONE


def _batch_folder(batch: str | Path, folder: str | Path | None) -> Path:
    parent = Path(folder).expanduser() if folder else runs_dir()
    for path in (parent / batch, Path(batch).expanduser()):
        if (path / "batch.json").is_file():
            return path.absolute()
    known = sorted(path.parent.name for path in parent.glob("batch-*/batch.json"))
    near = f". The last ones: {', '.join(known[-5:])}" if known else ""
    raise InputError(
        f"no batch {str(batch)!r} in {parent}{did_you_mean(str(batch), known)}{near}. Nothing was started."
    )


def _read_plan(folder: Path) -> _Plan:
    path = folder / "batch.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        rows = [Row(each["row"], each["parameters"], each["account"]) for each in facts["rows"]]
        about = (facts["runbook"], facts["source"], facts["notebook_sha256"], facts["runs_dir"])
        return _Plan(folder, *about, rows, kernel=facts.get("kernel"), cwd=facts.get("cwd"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is not a batch that can be resumed: {error!r}. Nothing was started."
        ) from None


def _sha256(book: Runbook) -> str:
    return hashlib.sha256(book.path.read_bytes()).hexdigest()


def _source(name: str, book: Runbook) -> str:
    """How another process finds the notebook: a shipped one by name, another by its whole path."""
    return name if name == book.name else str(book.path)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


# --- running --------------------------------------------------------------------------------------------


def _carry_out(
    plan: _Plan, where: _Where, max_errors: int | None, progress: Progress | None, *, fresh: bool = False
) -> pd.DataFrame:
    with ExitStack() as stack:
        stack.enter_context(_locked(plan.folder))
        tell = progress or stack.enter_context(_notebook_progress())
        stack.enter_context(raising())
        try:
            executor, workers, stop = stack.enter_context(where.started(plan.folder))
        except BaseException:
            if fresh:  # no cluster there: nothing was started, so nothing stays
                shutil.rmtree(plan.folder, ignore_errors=True)
            raise
        if where.here and plan.engine == "auto" and not warm.stays():
            forkserver.begin(child_environment(where.env()))
        import_module("pandas")  # the frame at the end needs it; until that server listens there is time
        running = _Running(plan, where.env(), executor, workers, stop, max_errors, tell)
        try:
            running.go()
        except BaseException as interrupt:
            running.end()
            _finish(plan)
            interrupt.add_note(
                f"what there is of the batch: {plan.folder} (lcnb batch --resume {plan.folder.name})"
            )
            raise
    return _finish(plan)


def _finish(plan: _Plan) -> pd.DataFrame:
    """The frame, kept beside the rows as CSV."""
    frame = plan.frame()
    write_atomically(plan.folder / "results.csv", frame.to_csv(index=False, lineterminator="\n"))
    return frame


class _Running:
    """Keeps as many rows under way as there are workers, until all have ended or no more may start."""

    def __init__(
        self,
        plan: _Plan,
        env: Mapping[str, str | None],
        executor: Executor,
        workers: int,
        stop: Stop,
        max_errors: int | None,
        tell: Progress,
    ) -> None:
        self.plan, self.env, self.executor, self.workers, self.stop = plan, env, executor, workers, stop
        self.max_errors, self.tell = max_errors, tell
        self.waiting = [row for row in plan.rows if not plan.is_done(row)]
        self.done = len(plan.rows) - len(self.waiting)
        self.failed = 0
        self.refusing = False  # the executor takes no more rows
        self.under_way: dict[Future[dict[str, Any]], Row] = {}

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

    def _keep(self, row: Row, result: dict[str, Any]) -> None:
        if result["status"] == NOT_STARTED and not result.get("error"):
            return
        well = result["status"] in ENDED_WELL
        self.done += well
        self.failed += not well
        self.plan.ended(result)

    def _not_started(self, row: Row, error: Exception) -> dict[str, Any]:
        text = mask(f"the executor did not start the run: {type(error).__name__}: {error}")
        return {"row": row.number, "status": NOT_STARTED, "exit_code": 1, "error": text}

    def _result(self, future: Future[dict[str, Any]], row: Row) -> dict[str, Any]:
        if future.cancelled():
            return {"row": row.number, "status": NOT_STARTED}
        try:
            return dict(future.result())
        except Exception as error:  # the executor's own: a lost worker, a broken pool
            with suppress(Exception):  # the flags may be gone with what had them
                self.stop.begin(row.number)  # if it has not begun yet, it never will
            text = mask(f"the executor lost the run: {type(error).__name__}: {error}")
            return {"row": row.number, "status": "lost", "exit_code": 1, "error": text}

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
                if not isinstance(self.stop, Local):
                    return  # they go on where they are
                self.stop.now.set()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
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
def _notebook_progress() -> Iterator[Progress]:
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
