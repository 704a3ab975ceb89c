"""Run a runbook: check everything that can be refused, create a folder, execute, record how it ended.

Everything that can be refused (`preflight`) is refused before a folder or a kernel exists. Then the folder holds,
in any case, the executed notebook, `run.json` (status, exit code, parameters, versions, files with their hashes),
and `report.html`. The token reaches the kernel only by its environment, and every file is searched for it at the
end.

The exit codes are listed in `lcnb.runbooks.ends`.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from lcnb.config import Settings
from lcnb.errors import (
    ConfirmationMissing,
    ParameterError,
)
from lcnb.flags import checked_flag
from lcnb.runbooks.engine.kernelspecs import choose_kernel, fits_forked_shell
from lcnb.runbooks.execution import ProgressCallback, RunExecution, RunLimits
from lcnb.runbooks.locks import runbook_lock
from lcnb.runbooks.notebook import parameters as declared
from lcnb.runbooks.notebook.find import find_runbook
from lcnb.runbooks.preflight import (
    account_choices,
    check_engine,
    check_language,
    check_seconds,
    create_run_folder,
    merge_account,
    resolve_settings,
    working_directory,
)
from lcnb.runbooks.records import abandoned
from lcnb.runbooks.result import RunResult

if TYPE_CHECKING:
    pass


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
    confirm = checked_flag("confirm", confirm, not_done="started")
    pdf = checked_flag("pdf", pdf, not_done="started")
    book = find_runbook(name)
    given = dict(parameters or {})
    check_language(book, given)
    place = working_directory(cwd)
    account = merge_account(book, given, account)
    if settings is not None and account not in (None, settings.account):
        raise ParameterError(
            f"parameter account: {account!r}, but the settings are those of {settings.account or settings.base_url}. "
            "Nothing was started."
        )
    settings = settings or resolve_settings(book, account)
    declared.check_required(book.parameters, given)
    # What a resumed run was given was checked when that began; since then it may have deleted machines.
    choices = None if resumes else account_choices(settings)
    checked = declared.resolve_paths(book.parameters, declared.check_values(book.parameters, given, choices))
    limits = RunLimits(check_seconds("timeout", timeout), check_seconds("cell_timeout", cell_timeout))
    effective = declared.effective_values(book.parameters, checked)
    writes = effective.get("dry_run") is False
    if writes and not confirm and approved is None:
        raise ConfirmationMissing(
            f"{book.name} with dry_run=False changes the account, and nobody confirmed that. Nothing was started. Look "
            f"at what it would do (lcnb plan-run {book.name}), and apply that (lcnb apply RUN), or pass --yes."
        )
    book, spec = choose_kernel(book, kernel)
    shell = fits_forked_shell(spec) and engine != "kernel"
    import_module("lcnb.runbooks.engine.papermill_engine")  # slow: an interrupt now leaves nothing behind
    if checked and (
        problem := import_module("lcnb.runbooks.engine.parameter_cell").why_unwritable(
            book.kernel, book.language, checked
        )
    ):
        raise ParameterError(f"{problem}. Nothing was started.")
    with runbook_lock(book, settings, None if writes else effective, lock_wait):
        path = create_run_folder(book, folder)
        try:
            abandoned.settle_runs(path.parent, thorough=False)
            run = RunExecution(book, checked, settings, path, limits)
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
