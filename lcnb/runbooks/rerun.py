"""Start a new run from the record of an earlier one: apply its plan, resume it, or run its notebook again.

The new run has a record of its own. The journal knows the changes of earlier runs, so a resumed run does not repeat
them. `apply_run` and `resume_run` refuse a notebook that has changed since. This module is above `run` and below
`batch`; each function takes the `RunRecord` that `records.find.find_run` or `records.run_record.read_run` returns.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

from lcnb.config import Settings, load_settings
from lcnb.errors import InputError, ParameterError
from lcnb.flags import NOTHING_STARTED
from lcnb.runbooks.ends import COMPLETED_STATUSES
from lcnb.runbooks.notebook.find import find_runbook, shipped_names
from lcnb.runbooks.outcomes import NOT_MADE, open_changesets
from lcnb.runbooks.preflight import check_account_writable, find_approval
from lcnb.runbooks.records.artifacts import hash_file
from lcnb.runbooks.records.run_record import RunRecord, read_run, require_readable
from lcnb.runbooks.records.sync_state import is_foreign
from lcnb.runbooks.result import RunResult
from lcnb.runbooks.run import run_runbook

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.changes.changeset import Confirm

#: The facts that a new run with the same notebook needs, and their types.
_NOTEBOOK_FACTS: dict[str, Any] = {"notebook": str, "given": dict}
#: The facts that a run which continues an earlier one needs as well.
_ACCOUNT_FACTS: dict[str, Any] = {
    "notebook_sha256": str,
    "account": (str, NoneType),
    "base_url": (str, NoneType),
}


# --- apply ----------------------------------------------------------------------------------------------


def apply_run(planned: RunRecord, **options: Any) -> RunResult:
    """Make exactly the changes that a dry run planned, by running its notebook again with `dry_run=False`.

    `options` are passed to `run_runbook`, such as `folder` and `progress`. Returns the result of the new run; it
    fails before anything is sent when the account has changed since. Raises InputError as `check_plan` does.
    """
    check_plan(planned)
    given = {**planned.facts["given"], "dry_run": False}
    options = kernel_and_cwd(planned) | options
    return run_runbook(
        str(_notebook_path(planned)),
        given,
        settings=_recorded_settings(planned),
        approved=planned.folder,
        **options,
    )


def check_plan(planned: RunRecord, *, to_approve: bool = False) -> None:
    """Raise InputError unless this is a completed dry run with changes to apply and an unchanged notebook.

    Raises ReadOnly when the settings make its account read-only, and, unless somebody is about to approve the plan,
    ApprovalMissing when they require an approval that it does not have.
    """
    _check_facts(planned, _NOTEBOOK_FACTS | _ACCOUNT_FACTS)
    if planned.status not in COMPLETED_STATUSES:
        raise InputError(
            f"the run {planned.id} is {planned.status}: only a dry run that is done can be applied. {NOTHING_STARTED}"
        )
    parameters = planned.typed_fact("parameters", dict) or {}
    if parameters.get("dry_run") is not True or not recorded_plan(planned):
        raise InputError(
            f"the run {planned.id} planned no changes, so there is nothing to apply. `lcnb plan-run NAME` makes a run "
            f"that plans changes. {NOTHING_STARTED}"
        )
    _check_notebook_unchanged(planned)
    settings = _recorded_settings(planned)
    check_account_writable(settings)
    if not to_approve:
        find_approval(settings, planned.folder)


def recorded_plan(run: RunRecord) -> list[Mapping[str, Any]]:
    """Return the recorded changes that the run showed and did not make."""
    changes = run.typed_fact("changes", list) or []
    return [change for change in changes if change["outcome"] == NOT_MADE]


# --- resume ---------------------------------------------------------------------------------------------


def resume_run(broken: RunRecord, **options: Any) -> RunResult:
    """Run the notebook of a run that did not complete again, with the same parameters and the same confirmation.

    Changes that the earlier run made are not repeated. Call `settle_changes` first: it finds the outcome of changes
    that were sent. `options` are passed to `run_runbook`. Raises InputError when the earlier run is done, or when its
    notebook, account or record is not usable any more.
    """
    _check_facts(broken, _NOTEBOOK_FACTS | _ACCOUNT_FACTS)
    if broken.status in COMPLETED_STATUSES:
        raise InputError(
            f"the run {broken.id} is {broken.status}: there is nothing to resume. {NOTHING_STARTED}"
        )
    _check_notebook_unchanged(broken)
    _check_journal_here(broken)
    confirmed = broken.typed_fact("confirmed", str) or ""
    options = kernel_and_cwd(broken) | options
    return run_runbook(
        str(_notebook_path(broken)),
        broken.facts["given"],
        settings=_recorded_settings(broken),
        confirm=confirmed == "yes",
        approved=Path(confirmed) if confirmed not in ("", "yes") else None,
        resumes=[*broken.resumes, broken.id],
        **options,
    )


def settle_changes(broken: RunRecord, confirm: Confirm, **options: Any) -> list[pd.DataFrame]:
    """Settle the changes without an outcome of a run and of the runs that it resumed; return one result per ChangeSet.

    `confirm` and `options` are passed to `LetsCloud.resume`, whose errors this function raises too.
    """
    _check_facts(broken, _ACCOUNT_FACTS)
    _check_journal_here(broken)
    settings = _recorded_settings(broken)
    if settings is None:
        return []
    open_ids = [name for run in (*broken.resumes, broken.id) for name in open_changesets(run, settings)]
    from lcnb.client import LetsCloud  # slow to import, and a batch needs other functions of this module only

    with LetsCloud(settings) as lc:
        return [lc.resume(name, confirm, **options) for name in open_ids]


def settle_predecessors(folder: str, confirm: bool) -> list[str]:
    """Settle the changes of the run in `folder` and return the ids that a run in its place resumes.

    The list is empty when that folder has no record, because then the run had not begun.
    """
    broken = read_run(Path(folder))
    if not broken.facts:
        return []
    settle_changes(broken, confirm or None)
    return [*broken.resumes, broken.id]


# --- rerun ----------------------------------------------------------------------------------------------


def rerun_notebook(
    run: RunRecord,
    *,
    account: str | None = None,
    settings: Settings | None = None,
    folder: str | Path | None = None,
    kernel: str | None = None,
    cwd: str | Path | None = None,
    **options: Any,
) -> RunResult:
    """Run the notebook of a run again, with the same parameters, account, kernel and working directory.

    Args:
        account, settings: another account. Without them the rerun is refused when the account has another base URL
            now: a run that was tried on a sandbox must not change real machines.
        folder: the runs folder of the new run; by default that of the earlier run.
        kernel, cwd: another Jupyter kernel and working directory.
        options: passed to `run_runbook`, such as `confirm=True`. A confirmation of the earlier run does not count.

    Raises InputError when the record or the notebook is not usable any more, and the errors of `run_runbook`.
    """
    _check_facts(run, _NOTEBOOK_FACTS)
    path = _notebook_path(run)
    if not path.is_file():
        raise InputError(
            f"the notebook of the run {run.id} does not exist any more: {path}. {NOTHING_STARTED}"
        )
    given = run.facts["given"]
    if account is not None or settings is not None:
        given = {name: value for name, value in given.items() if name != "account"}
    else:
        account = run.typed_fact("account", str)
        _check_base_url(run, account)
    return run_runbook(
        str(path),
        given,
        account=account,
        settings=settings,
        folder=folder or run.folder.parent,
        kernel=kernel or run.typed_fact("kernel", str),
        cwd=cwd or run.typed_fact("cwd", str),
        **options,
    )


def has_notebook_changed(run: RunRecord) -> bool:
    """Return whether the notebook of a run exists and differs from the one that ran."""
    path = _notebook_path(run)
    return path.is_file() and hash_file(path) != run.facts.get("notebook_sha256")


# --- what the record must hold --------------------------------------------------------------------------


def kernel_and_cwd(run: RunRecord) -> dict[str, Any]:
    """Return the kernel and the working directory that were chosen for a run, as options of `run_runbook`."""
    return {name: run.facts.get(name) for name in ("kernel", "cwd")}


def _check_facts(run: RunRecord, kinds: Mapping[str, Any]) -> None:
    facts = require_readable(run, NOTHING_STARTED).facts
    missing = [name for name, kind in kinds.items() if name not in facts or not isinstance(facts[name], kind)]
    if missing:
        raise InputError(
            f"the record of the run {run.id} lacks: {', '.join(missing)}. No run can be started from it. "
            f"{NOTHING_STARTED}"
        )


def _notebook_path(run: RunRecord) -> Path:
    """Return the notebook of a run. A shipped one may be in another folder here than where the run worked."""
    path = Path(str(run.facts.get("notebook")))
    name = run.typed_fact("runbook", str)
    if path.is_file() or not is_foreign(run.folder) or name not in shipped_names():
        return path
    return find_runbook(name).path


def _check_journal_here(run: RunRecord) -> None:
    """Raise InputError for a run that changed the account from another machine, whose journal does not travel.

    Without the journal the changes that were made would be made again.
    """
    runs = [run, *(read_run(run.folder.parent / name) for name in run.resumes)]
    for each in runs:
        if is_foreign(each.folder) and each.facts.get("confirmed") != "":
            host = each.typed_fact("host", str) or "another machine"
            raise InputError(
                f"the run {each.id} was confirmed to change the account on {host}, and what it sent is only in the "
                f"journal there. Resume it on {host}: lcnb resume {run.id}. If that machine is gone, look at the "
                f"account and plan the runbook again: lcnb plan-run {each.facts.get('runbook')}. {NOTHING_STARTED}"
            )


def _check_notebook_unchanged(run: RunRecord) -> None:
    path = _notebook_path(run)
    try:
        sha256 = hash_file(path)
    except OSError as error:
        raise InputError(
            f"the notebook {path} of the run {run.id} cannot be read: {error.strerror}. {NOTHING_STARTED}"
        ) from None
    if sha256 != run.facts["notebook_sha256"]:
        raise InputError(
            f"{path} has changed since the run {run.id}. {NOTHING_STARTED} Plan again (lcnb plan-run {path.stem}) and "
            "review that plan."
        )


def _recorded_settings(run: RunRecord) -> Settings | None:
    """Return the current settings of the run's account, None for a run without one. InputError for another base URL."""
    base_url = run.facts["base_url"]
    if base_url is None:
        return None
    settings = load_settings(run.facts["account"])
    if settings.base_url != base_url:
        raise InputError(
            f"the run {run.id} used {base_url}, but the account is now at {settings.base_url}. {NOTHING_STARTED}"
        )
    return settings


def _check_base_url(run: RunRecord, account: str | None) -> None:
    recorded = run.typed_fact("base_url", str)
    if recorded is not None and (now := load_settings(account).base_url) != recorded:
        raise ParameterError(
            f"the run {run.id} used {recorded}, but {account or 'the current account'} is at {now}. {NOTHING_STARTED} "
            "To run it there, pass --account NAME; to run it on a new sandbox, pass --sandbox."
        )
