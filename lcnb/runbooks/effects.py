"""How a notebook applies changes: show them, save them next to the report, confirm them, apply them.

`apply_changes` implements `lcnb.run().apply(...)`. The kernel keeps no state: a run that was killed is resumed from
the files on the disk.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lcnb.changes.apply import SyncChangeSet, check_arguments, untouched_frame
from lcnb.changes.changeset import ChangeSet, OnError
from lcnb.changes.journal import Journal
from lcnb.changes.tasks import Wait
from lcnb.errors import ApprovalMissing, ChangeError, ConfirmationMissing, Drifted, InputError
from lcnb.flags import checked_flag
from lcnb.notebook_kernel import is_in_kernel
from lcnb.runbooks.environment import CONFIRM_VARIABLE
from lcnb.runbooks.outcomes import NOT_MADE
from lcnb.runbooks.records.approval import require_approval
from lcnb.runbooks.records.run_record import read_run
from lcnb.streams import print_line

if TYPE_CHECKING:
    import pandas as pd


class RunFiles(Protocol):
    """What `apply_changes` needs of a run: where its files are, and what confirms its changes."""

    @property
    def confirmed(self) -> str:
        """ "yes", the folder of an approved dry run, or nothing."""

    @property
    def resumes(self) -> Sequence[str]:
        """The ids of the runs that this run resumes."""

    def file(self, name: str) -> Path:
        """Return the path of a file of the run."""

    def save(self, name: str, frame: pd.DataFrame) -> Sequence[Path]:
        """Save a frame as files of the run; return their paths."""


def apply_changes(
    run: RunFiles,
    changes: ChangeSet,
    *,
    dry_run: bool,
    name: str,
    wait: Wait,
    timeout: float | None,
    on_error: OnError,
    allow_fewer: bool = False,
) -> pd.DataFrame:
    """Show, save and, unless this is a dry run, apply changes: the body of `RunContext.apply`."""
    _check_kind(changes)
    dry_run = checked_flag("dry_run", dry_run)
    allow_fewer = checked_flag("allow_fewer", allow_fewer)
    check_arguments(None, wait, timeout, on_error)
    changes = _remaining_changes(changes, run.resumes)
    update = _show_changes(changes)
    changes.save(run.file(f"{name}.json"))
    if dry_run:
        print_line("A dry run: nothing was sent." if len(changes) else "A dry run, and nothing to do.")
        return _save_outcomes(run, name, changes, None)
    confirm = _check_confirmation(run, name, changes, allow_fewer=allow_fewer)
    try:
        with _show_progress() as progress:
            result = changes.apply(confirm, wait=wait, timeout=timeout, on_error=on_error, progress=progress)
    except ConfirmationMissing as error:
        if isinstance(error, ApprovalMissing):
            raise
        raise ConfirmationMissing(_confirmation_hint(changes)) from None
    except ChangeError as error:
        _save_outcomes(run, name, changes, error.result)
        if error.result is not None:
            update()
        raise
    update()
    return _save_outcomes(run, name, changes, result)


def _check_kind(changes: object) -> None:
    if not isinstance(changes, ChangeSet) or changes.is_async:
        kind = "one of AsyncLetsCloud" if isinstance(changes, ChangeSet) else type(changes).__name__
        raise InputError(f"changes: expected a ChangeSet of lcnb.connect(), got {kind}. Nothing was sent.")


def _confirmation_hint(changes: ChangeSet) -> str:
    """Explain how to confirm changes where a notebook runs without `lcnb run`, and so without --yes."""
    return (
        f"{changes.summary()}: nobody confirmed, and nobody can be asked here. Nothing was sent. Look at a dry run "
        f"first. Then, under papermill or nbconvert, set the variable {CONFIRM_VARIABLE}=yes for that command: "
        f"{CONFIRM_VARIABLE}=yes papermill ... Under jupyter-scheduler, the variable belongs to the Jupyter server and "
        "confirms the changes of every notebook; to confirm only one notebook, use `lcnb run NOTEBOOK "
        "-p dry_run=false --yes`, or `lcnb schedule export` with --yes."
    )


def _check_confirmation(run: RunFiles, name: str, changes: ChangeSet, *, allow_fewer: bool) -> bool | None:
    """Whether the changes are confirmed; None when the user must be asked.

    Changes that a second person has approved are marked. Drifted when a dry run planned others, ApprovalMissing when
    its approval is not valid any more.
    """
    if run.confirmed in ("", "yes"):
        return True if run.confirmed else None
    plan_file = Path(run.confirmed) / f"{name}.json"
    try:
        approved = json.loads(plan_file.read_text(encoding="utf-8"))["changes"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Drifted(f"the approved plan {plan_file} cannot be read: {error}. Nothing was sent.") from None
    wanted = json.loads(json.dumps([each.plan() for each in changes]))
    # A change that a resumed run has made is in the plan, and no longer in `changes`.
    if problems := _plan_differences(approved, wanted, may_lack=allow_fewer or bool(run.resumes)):
        raise Drifted(
            f"the account is no longer as it was when {plan_file.parent.name} was planned: "
            f"{'; '.join(sorted(problems))}. Nothing was sent. Plan again, look at the new plan, and apply it."
        )
    if changes.settings.approval:
        changes.approved_in = require_approval(read_run(Path(run.confirmed))).run
    return True


def _plan_differences(
    approved: Iterable[Mapping[str, Any]], wanted: Iterable[Mapping[str, Any]], *, may_lack: bool
) -> list[str]:
    """How the wanted changes differ from the approved ones. With `may_lack` some approved ones may be missing."""
    planned, now = ({_change_key(each): each for each in changes} for changes in (approved, wanted))
    problems = [f"{_format_key(key)} was not planned" for key in now.keys() - planned.keys()]
    if not may_lack:
        problems += [f"{_format_key(key)} is no longer needed" for key in planned.keys() - now.keys()]
    both = now.keys() & planned.keys()
    return problems + [f"{_format_key(key)} is another request" for key in both if now[key] != planned[key]]


def _change_key(plan: Mapping[str, Any]) -> tuple[str, str, str | None]:
    return plan["action"], plan["target"], plan["identifier"]


def _format_key(key: tuple[str, str, str | None]) -> str:
    return f"{key[0]} {key[1]}"


def _remaining_changes(changes: SyncChangeSet, resumes: Sequence[str]) -> SyncChangeSet:
    """The changes without those that the resumed runs have made already."""
    if not resumes:
        return changes
    journal = Journal(changes._client.settings.state_dir)
    done = [entry for run in resumes for entry in journal.entries(run=run) if entry.state == "done"]
    made = {(entry.action, entry.target) for entry in done}
    left = [each for each in changes if (each.action, each.target) not in made]
    notes = [f"{each.action} {each.target}: done before" for each in changes if each not in left]
    return type(changes)(
        left, changes._client, notes=[*changes.notes, *notes], id=changes.id, read_at=changes.read_at
    )


def _save_outcomes(run: RunFiles, name: str, changes: ChangeSet, result: pd.DataFrame | None) -> pd.DataFrame:
    """Save the changes with their outcomes next to the report, and return them as a frame."""
    frame = changes.to_frame()
    outcomes = untouched_frame(changes).assign(outcome=NOT_MADE) if result is None else result
    for column in ("outcome", "detail", "tries", "seconds"):
        frame[column] = outcomes[column].to_numpy(dtype=object)
        frame[column] = frame[column].astype(outcomes[column].dtype)
    frame["identifier"] = outcomes["identifier"]
    run.save(name, frame)
    return frame


def _show_changes(changes: ChangeSet) -> Callable[[], None]:
    """Show changes. Returns a function that shows their outcomes in the same place, where a page can do that."""
    if not is_in_kernel():
        from lcnb.display.previews import print_changes

        print_changes(changes)
        return lambda: None
    from IPython.display import display

    handle = display(changes, display_id=f"lcnb-changes-{os.urandom(6).hex()}")  # type: ignore[no-untyped-call]
    return lambda: handle.update(changes) if len(changes) else None


@contextmanager
def _show_progress() -> Iterator[Callable[[int, int, str], None]]:
    """Show progress as one line in the cell that is updated; `lcnb run` shows it in the terminal too."""
    if not is_in_kernel():
        from lcnb.changes.progress import change_progress

        with change_progress() as progress:
            yield progress
        return
    from IPython.display import publish_display_data

    transient = {"display_id": f"lcnb-progress-{os.urandom(6).hex()}"}
    shown = False

    def show(ended: int, total: int, text: str) -> None:
        nonlocal shown
        line = f"{ended}/{total}  {text}"
        data = {"text/plain": line, "text/html": f"<p role='status'>{escape(line)}</p>"}
        publish_display_data(  # type: ignore[no-untyped-call]
            data, {"lcnb_progress": line}, transient=transient, update=shown
        )
        shown = True

    yield show
    if shown:  # every change has ended, and the outcomes are shown instead
        publish_display_data({"text/plain": "", "text/html": ""}, {}, transient=transient, update=True)  # type: ignore[no-untyped-call]
