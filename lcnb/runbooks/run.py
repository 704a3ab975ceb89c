"""Run a runbook: check everything that can be refused, create a folder, execute, record how it ended.

Everything that can be refused (`preflight`) is refused before a folder or a kernel exists. After that the folder always
holds the executed notebook, `run.json` (status, exit code, parameters, versions, files with their hashes) and
`report.html`. The token reaches the kernel only through its environment, and every file is searched for it at the end.

`lcnb.runbooks.ends` lists the exit codes.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from lcnb.config import Settings
from lcnb.errors import ConfirmationMissing, ParameterError
from lcnb.flags import checked_flag
from lcnb.runbooks.engine.kernelspecs import choose_kernel, fits_forked_shell
from lcnb.runbooks.execution import ProgressCallback, RunExecution, RunLimits
from lcnb.runbooks.locks import runbook_lock
from lcnb.runbooks.notebook import parameters as declared
from lcnb.runbooks.notebook.find import Runbook, find_runbook
from lcnb.runbooks.preflight import (
    account_choices,
    check_account_writable,
    check_engine,
    check_language,
    check_seconds,
    create_run_folder,
    find_approval,
    merge_account,
    resolve_settings,
    working_directory,
)
from lcnb.runbooks.records import abandoned
from lcnb.runbooks.records.approval import Approval
from lcnb.runbooks.result import RunResult
from lcnb.runbooks.retries import RetryLog, check_policy


def run_runbook(
    name: str,
    parameters: Mapping[str, object] | None = None,
    *,
    account: str | None = None,
    settings: Settings | None = None,
    folder: str | Path | None = None,
    progress: ProgressCallback = lambda index, total, title: None,
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
    retries: int = 0,
    retry_wait: float | None = None,
    lock_name: str | None = None,
) -> RunResult:
    """Run a runbook with checked parameters.

    Args:
        name: the name of a shipped runbook, or the path of a notebook.
        parameters: name → value: texts, Python, numpy or pandas scalars.
        account: an account of lcnb.toml, as for `lcnb.connect`.
        settings: resolved settings instead of an account.
        folder: the folder for runs; each run gets a folder of its own in it.
        progress: called before each cell.
        timeout: seconds for the whole run. At the deadline the cell is interrupted, and killed when it does not end.
        cell_timeout: seconds for each cell.
        lock_wait: seconds to wait for the end of a similar run in another process; None takes no lock. Runs of a
            runbook with `dry_run=False` exclude each other for an account. Other runs exclude each other if they have
            the same parameters.
        confirm: the changes are confirmed in advance: needed for `dry_run=False`.
        approved: the folder of a dry run; exactly the changes that it planned are confirmed.
        resumes: the ids of runs that this run resumes; changes that they made are not made again.
        pdf: also print the report as report.pdf, with an installed Chromium.
        engine: "kernel" always starts an ordinary Jupyter kernel; "auto" uses the forked shell of a warm run where
            there is one and the notebook asks for the kernel of this Python.
        kernel: the Jupyter kernel to run in, instead of the one that the notebook names.
        cwd: the working directory of the cells; by default the run's own folder. lcnb saves its files in that folder
            in any case, and modules are also found in the folder of the notebook.
        retries: attempt the run again up to so many times, in the same record, if it ended by the network, an error of
            the provider or the death of the kernel, and had sent no change. `timeout` limits all attempts together.
        retry_wait: seconds before the second attempt (30 by default); each further pause is twice as long, up to
            15 minutes. The lock of the run is kept.
        lock_name: what the lock is named after instead of the notebook's path, for copies of a notebook that must
            exclude each other.

    Returns:
        A RunResult, also when a cell failed or the kernel died.

    Raises:
        InputError, ParameterError: a wrong name or parameter. This and the next four: nothing was started.
        ConfirmationMissing: changes that nobody confirmed; ApprovalMissing: that no second person approved.
        Locked: another process has the lock of such a run, or that is not known.
        ConfigError: no token; ReadOnly: a run with `dry_run=False` in a read-only account.
        ApiError, TransportError: a value had to be checked against the account, and that failed.
        RunError: the folder cannot be written.
        KeyboardInterrupt: the run was interrupted, and its record says so. An interrupt after the last cell has ended
            does not change the run any more and is ignored.

    >>> result = run_runbook("inventory", {"account": "sandbox"})  # doctest: +SKIP
    >>> result.check().report  # doctest: +SKIP
    PosixPath('.../report.html')
    """
    check_engine(engine)
    confirm = checked_flag("confirm", confirm, not_done="started")
    pdf = checked_flag("pdf", pdf, not_done="started")
    book = find_runbook(name)
    given = dict(parameters or {})
    check_language(book, given)
    cells_dir = working_directory(cwd)
    settings = _choose_settings(book, given, account, settings)
    limits = RunLimits(check_seconds("timeout", timeout), check_seconds("cell_timeout", cell_timeout))
    log = RetryLog(check_policy(retries, retry_wait), limits.run_s)
    checked = log.repeat(lambda: _check_given(book, given, settings, resumed=bool(resumes)), progress)
    effective = declared.effective_values(book.parameters, checked)
    writes = effective.get("dry_run") is False
    approval = _check_confirmed(book, settings, confirm, approved) if writes else None
    book, spec = choose_kernel(book, kernel)
    import_module("lcnb.runbooks.engine.papermill_engine")  # slow: an interrupt now leaves nothing behind
    _check_writable(book, checked)
    with runbook_lock(book, settings, effective, lock_wait, writes=writes, name=lock_name) as locks:
        path = create_run_folder(book, folder)
        try:
            abandoned.settle_runs(path.parent, thorough=False)
            run = RunExecution(book, checked, settings, path, limits)
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise
        log.restart_clock()
        run.retries = log
        if locks:
            run.locks = locks
            locks.lease.name_run(path.name)
        run.confirmation = str(approved) if approved else "yes" if confirm and writes else ""
        run.resumes = tuple(resumes)
        run.approval = approval
        run.pdf = pdf
        run.shell = fits_forked_shell(spec) and engine != "kernel"
        run.kernelspec = {"name": book.kernel, "display_name": spec.display_name, "language": spec.language}
        run.chosen_kernel = kernel
        run.cwd = cells_dir
        return run.execute(progress)


def _choose_settings(
    book: Runbook, given: dict[str, object], account: str | None, settings: Settings | None
) -> Settings | None:
    """The settings of the run's account. ParameterError when `settings` belong to another account."""
    account = merge_account(book, given, account)
    if settings is not None and account not in (None, settings.account):
        raise ParameterError(
            f"parameter account: {account!r}, but the settings are those of {settings.account or settings.base_url}. "
            "Nothing was started."
        )
    return settings or resolve_settings(book, account)


def _check_confirmed(
    book: Runbook, settings: Settings | None, confirm: bool, approved: Path | None
) -> Approval | None:
    """Return the approval of a run that changes its account, where one is required.

    Raises ReadOnly, ApprovalMissing, and ConfirmationMissing where nobody confirmed its changes.
    """
    check_account_writable(settings)
    approval = find_approval(settings, approved)
    if not confirm and approved is None:
        raise ConfirmationMissing(
            f"{book.name} with dry_run=False changes the account, and nobody confirmed that. Nothing was started. Look "
            f"at what it would do (lcnb plan-run {book.name}), and apply that (lcnb apply RUN), or pass --yes."
        )
    return approval


def _check_given(
    book: Runbook, given: Mapping[str, object], settings: Settings | None, *, resumed: bool
) -> dict[str, Any]:
    """The given values, checked and converted. The values of a resumed run are not checked against the account.

    They were checked when that run started; since then it may have deleted machines.
    """
    declared.check_required(book.parameters, given)
    choices = None if resumed else account_choices(settings)
    return declared.resolve_paths(book.parameters, declared.check_values(book.parameters, given, choices))


def _check_writable(book: Runbook, checked: Mapping[str, Any]) -> None:
    """ParameterError when papermill cannot write the values into a cell of the notebook's language."""
    parameter_cell = import_module("lcnb.runbooks.engine.parameter_cell")
    if checked and (problem := parameter_cell.why_unwritable(book.kernel, book.language, checked)):
        raise ParameterError(f"{problem}. Nothing was started.")
