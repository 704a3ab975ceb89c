"""A run that goes on where another one stopped: the approved dry run that is applied, the broken run that is resumed.

Both start the same notebook anew, with the same parameters, as a run of its own with its own record. What was made
before is known from the journal, so it is not made again; a notebook that is another one now is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcnb.config import Settings, resolve
from lcnb.errors import InputError
from lcnb.runbooks.effects import PLANNED, open_changesets_of
from lcnb.runbooks.run import RunResult, run_runbook

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.changes.changeset import Confirm

#: A run that asks for attention was carried out to its end.
ENDED_WELL = ("done", "attention")


@dataclass(frozen=True)
class Recorded:
    """A run as its `run.json` tells it."""

    folder: Path
    facts: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Recorded:
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
        return [each for each in self.facts.get("changes", []) if each["outcome"] == PLANNED]

    def settings(self) -> Settings | None:
        """The account of this run, as it is configured now. InputError when that is another one."""
        if self.facts["base_url"] is None:
            return None
        settings = resolve(self.facts["account"])
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


def check_plan(planned: Recorded) -> None:
    """InputError unless this is a dry run that ended well and has something to apply."""
    facts = planned.facts
    if facts["status"] not in ENDED_WELL:
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


def apply_run(planned: Recorded, **how: Any) -> RunResult:
    """Make the very changes that a dry run planned, by the same notebook with dry_run=False.

    Returns the RunResult of the new run. Raises InputError when there is nothing to apply or the notebook is another
    one; the run ends as failed, and nothing is sent, when the account is no longer as it was.
    """
    check_plan(planned)
    given = {**planned.facts["given"], "dry_run": False}
    how = where(planned.facts) | how
    return run_runbook(
        planned.facts["notebook"], given, settings=planned.settings(), approved=planned.folder, **how
    )


def resume_run(broken: Recorded, **how: Any) -> RunResult:
    """Run the notebook of a broken run again; what that run has done is not done again.

    Its open changes must be settled before by `settle`.
    """
    if broken.facts["status"] in ENDED_WELL:
        raise InputError(f"the run {broken.folder.name} ended well: there is nothing to resume.")
    broken.check_notebook()
    confirmed = broken.facts.get("confirmed", "")
    how = where(broken.facts) | how
    return run_runbook(
        broken.facts["notebook"],
        broken.facts["given"],
        settings=broken.settings(),
        confirm=confirmed == "yes",
        approved=Path(confirmed) if confirmed not in ("", "yes") else None,
        resumes=[*broken.facts.get("resumes", []), broken.folder.name],
        **how,
    )


def where(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The kernel and the working directory that were chosen for a run, for another run of the same notebook."""
    return {name: facts.get(name) for name in ("kernel", "cwd")}


def settle(broken: Recorded, confirm: Confirm, **how: Any) -> list[pd.DataFrame]:
    """Settle the changes that a broken run, and those that it went on with, left without an outcome: their results.

    Takes what `LetsCloud.resume` takes, and raises what that raises.
    """
    settings = broken.settings()
    if settings is None:
        return []
    runs = [*broken.facts.get("resumes", []), broken.folder.name]
    left = [name for run in runs for name in open_changesets_of(run, settings)]
    from lcnb.client import LetsCloud  # slow, and a batch takes only a name from this module

    with LetsCloud(settings) as lc:
        return [lc.resume(name, confirm, **how) for name in left]


def settled(folder: str, confirm: bool) -> list[str]:
    """The runs that a run in place of a broken one goes on with, their changes settled; none if it made none."""
    try:
        broken = Recorded.read(Path(folder))
    except InputError:
        return []  # it had not begun
    settle(broken, confirm or None)
    return [*broken.facts.get("resumes", []), broken.folder.name]
