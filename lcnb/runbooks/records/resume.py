"""Start a run from the record of an earlier one: apply its plan, resume it, or run it again.

Each starts the same notebook anew as a run of its own with its own record. Changes made before are known from the journal and
not made again; resume and apply refuse a notebook that has changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lcnb.errors import ParameterError
from lcnb.runbooks.records import artifacts
from lcnb.runbooks.records.store import RunRecord, require_readable

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.config import Settings
    from lcnb.runbooks.result import RunResult

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcnb.config import Settings, load_settings
from lcnb.errors import InputError
from lcnb.runbooks.ends import COMPLETED_STATUSES
from lcnb.runbooks.outcomes import NOT_MADE, open_changesets
from lcnb.runbooks.result import RunResult
from lcnb.runbooks.run import run_runbook

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.changes.changeset import Confirm


@dataclass(frozen=True)
class RecordedRun:
    """A run as its `run.json` tells it."""

    folder: Path
    facts: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> RecordedRun:
        """InputError when the folder holds no record of a run."""
        path = folder / "run.json"
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            for name in ("id", "status", "notebook", "notebook_sha256", "given", "account", "base_url"):
                facts[name]
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise InputError(f"{path} is no record of a run ({reason}). Nothing was started.") from None
        return cls(folder.absolute(), facts)

    @property
    def planned(self) -> list[Mapping[str, Any]]:
        """The changes that this run has shown and not made."""
        return [each for each in self.facts.get("changes", []) if each["outcome"] == NOT_MADE]

    def settings(self) -> Settings | None:
        """The account of this run, as it is configured now. InputError when that is another one."""
        if self.facts["base_url"] is None:
            return None
        settings = load_settings(self.facts["account"])
        if settings.base_url != self.facts["base_url"]:
            raise InputError(
                f"the run {self.folder.name} was for {self.facts['base_url']}, the account is now at "
                f"{settings.base_url}. Nothing was started."
            )
        return settings

    def check_notebook(self) -> None:
        """InputError when the notebook is gone, or not the one of this run."""
        path = Path(self.facts["notebook"])
        try:
            now = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise InputError(
                f"the notebook {path} of the run cannot be read: {error.strerror}. Nothing was started."
            ) from None
        if now != self.facts["notebook_sha256"]:
            raise InputError(
                f"{path} is not as it was when {self.folder.name} ran. Nothing was started. Plan anew "
                f"(lcnb plan-run {path.stem}), and look at that."
            )


def check_plan(planned: RecordedRun) -> None:
    """InputError unless this is a dry run that ended well and has something to apply."""
    facts = planned.facts
    if facts["status"] not in COMPLETED_STATUSES:
        raise InputError(
            f"the run {planned.folder.name} is {facts['status']}: only a dry run that ended well can be applied. "
            "Nothing was started."
        )
    if facts["parameters"].get("dry_run") is not True or not planned.planned:
        raise InputError(
            f"the run {planned.folder.name} planned no changes: there is nothing to apply. `lcnb plan-run NAME` makes "
            "a run that does."
        )
    planned.check_notebook()


def apply_run(planned: RecordedRun, **how: Any) -> RunResult:
    """Make the very changes that a dry run planned, by the same notebook with dry_run=False.

    Returns the RunResult of the new run. Raises InputError when there is nothing to apply or the notebook is another
    one; the run ends as failed, and nothing is sent, when the account is no longer as it was.
    """
    check_plan(planned)
    given = {**planned.facts["given"], "dry_run": False}
    how = kernel_and_cwd(planned.facts) | how
    return run_runbook(
        planned.facts["notebook"], given, settings=planned.settings(), approved=planned.folder, **how
    )


def resume_run(broken: RecordedRun, **how: Any) -> RunResult:
    """Run the notebook of a broken run again; what that run has done is not done again.

    Its open changes must be settled before by `settle`.
    """
    if broken.facts["status"] in COMPLETED_STATUSES:
        raise InputError(f"the run {broken.folder.name} ended well: there is nothing to resume.")
    broken.check_notebook()
    confirmed = broken.facts.get("confirmed", "")
    how = kernel_and_cwd(broken.facts) | how
    return run_runbook(
        broken.facts["notebook"],
        broken.facts["given"],
        settings=broken.settings(),
        confirm=confirmed == "yes",
        approved=Path(confirmed) if confirmed not in ("", "yes") else None,
        resumes=[*broken.facts.get("resumes", []), broken.folder.name],
        **how,
    )


def kernel_and_cwd(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The kernel and the working directory that were chosen for a run, for another run of the same notebook."""
    return {name: facts.get(name) for name in ("kernel", "cwd")}


def settle_changes(broken: RecordedRun, confirm: Confirm, **how: Any) -> list[pd.DataFrame]:
    """Settle the changes that a broken run, and those that it went on with, left without an outcome: their results.

    Takes what `LetsCloud.resume` takes, and raises what that raises.
    """
    settings = broken.settings()
    if settings is None:
        return []
    runs = [*broken.facts.get("resumes", []), broken.folder.name]
    left = [name for run in runs for name in open_changesets(run, settings)]
    from lcnb.client import LetsCloud  # slow, and a batch takes only a name from this module

    with LetsCloud(settings) as lc:
        return [lc.resume(name, confirm, **how) for name in left]


def settle_predecessors(folder: str, confirm: bool) -> list[str]:
    """The runs that a run in place of a broken one goes on with, their changes settled; none if it made none."""
    try:
        broken = RecordedRun.read(Path(folder))
    except InputError:
        return []  # it had not begun
    settle_changes(broken, confirm or None)
    return [*broken.facts.get("resumes", []), broken.folder.name]


def rerun_notebook(
    run: RunRecord,
    *,
    account: str | None = None,
    settings: Settings | None = None,
    folder: str | Path | None = None,
    kernel: str | None = None,
    cwd: str | Path | None = None,
    **how: Any,
) -> RunResult:
    """Run the same notebook again, with the parameters that were given then and the same account, kernel and `cwd`.

    `account` or `settings` choose another account. Without them it is refused when the account now leads to
    another base URL than it did: what was tried on a sandbox must not happen to real machines.

    `how` is passed to `run_runbook`, such as `confirm=True` for a run that changes something: that somebody confirmed
    it then does not confirm it now. Raises InputError when the record or the notebook is gone, and what
    `run_runbook` raises.
    """
    from lcnb.runbooks.run import run_runbook

    record = require_readable(run).record
    path = Path(str(record.get("notebook")))
    if not path.is_file():
        raise InputError(f"the notebook of the run {run.id} is gone: {path}. Nothing was started.")
    given = run.value("given", dict)
    if given is None:
        raise InputError(f"the record of the run {run.id} does not tell its parameters. Nothing was started.")
    if account is not None or settings is not None:
        given = {name: value for name, value in given.items() if name != "account"}
    else:
        account = run.value("account", str)
        _check_base_url(run, account)
    return run_runbook(
        str(path),
        given,
        account=account,
        settings=settings,
        folder=folder or run.folder.parent,
        kernel=kernel or run.value("kernel", str),
        cwd=cwd or run.value("cwd", str),
        **how,
    )


def _check_base_url(run: RunRecord, account: str | None) -> None:
    then = run.value("base_url", str)
    if then is not None and (now := load_settings(account).base_url) != then:
        raise ParameterError(
            f"the run {run.id} asked {then}, and {account or 'the account of now'} is at {now}. Nothing was started. "
            "To run it there: --account NAME; on a new sandbox: --sandbox."
        )


def has_notebook_changed(run: RunRecord) -> bool:
    """Whether the notebook of a run is another one now."""
    path = Path(str(run.record.get("notebook")))
    return path.is_file() and artifacts.fingerprint_file(path)["sha256"] != run.record.get("notebook_sha256")
