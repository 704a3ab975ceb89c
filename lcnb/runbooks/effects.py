"""What a notebook does with changes: show them, save them next to the report, have them confirmed, apply them.

`apply_changes` implements `lcnb.run().apply(...)`. Nothing is kept in the kernel: a run that was killed is resumed
from what is stored on the disk.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcnb.changes.apply import SyncChangeSet, check_arguments, untouched_frame
from lcnb.changes.changeset import ChangeSet, OnError, monthly_difference, recorded_frame
from lcnb.changes.journal import Journal
from lcnb.errors import ChangeError, ConfirmationMissing, Drifted, InputError
from lcnb.flags import checked_flag
from lcnb.runbooks.outcomes import NOT_MADE
from lcnb.streams import print_line

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.runbooks.current import RunContext


# --- in the notebook ------------------------------------------------------------------------------------


def apply_changes(
    run: RunContext,
    changes: ChangeSet,
    *,
    dry_run: bool,
    name: str,
    wait: bool,
    timeout: float | None,
    on_error: OnError,
) -> pd.DataFrame:
    """What `Run.apply` says."""
    if not isinstance(changes, ChangeSet) or changes.is_async:
        kind = "one of AsyncLetsCloud" if isinstance(changes, ChangeSet) else type(changes).__name__
        raise InputError(f"changes: expected a ChangeSet of lcnb.connect(), got {kind}. Nothing was sent.")
    dry_run = checked_flag("dry_run", dry_run)
    check_arguments(None, wait, timeout, on_error)
    changes = _remaining_changes(changes, run.resumes)
    update = _show_changes(changes)
    changes.save(run.file(f"{name}.json"))
    if dry_run:
        _print_line("A dry run: nothing was sent." if len(changes) else "A dry run, and nothing to do.")
        return _save_outcomes(run, name, changes, None)
    confirm = _check_confirmation(run, name, changes)
    try:
        with _show_progress() as progress:
            result = changes.apply(confirm, wait=wait, timeout=timeout, on_error=on_error, progress=progress)
    except ConfirmationMissing:
        raise ConfirmationMissing(_confirmation_hint(changes)) from None
    except ChangeError as error:
        _save_outcomes(run, name, changes, error.result)
        if error.result is not None:
            update(_AppliedChanges(changes, error.result))
        raise
    update(_AppliedChanges(changes, result))
    return _save_outcomes(run, name, changes, result)


def _confirmation_hint(changes: ChangeSet) -> str:
    """What to do where a notebook runs without `lcnb run`, and so has no --yes."""
    from lcnb.runbooks.environment import CONFIRM_VARIABLE

    return (
        f"{changes.summary()}: nobody confirmed, and nobody can be asked here. Nothing was sent. Look at a dry run "
        f"first. Then, under papermill or nbconvert, set the variable {CONFIRM_VARIABLE}=yes for that command: "
        f"{CONFIRM_VARIABLE}=yes papermill ... Under jupyter-scheduler it is a variable of the Jupyter server, where "
        "it confirms the changes of every notebook; to confirm one notebook alone, use `lcnb run NOTEBOOK "
        "-p dry_run=false --yes`, or `lcnb schedule export` with --yes."
    )


def _check_confirmation(run: RunContext, name: str, changes: ChangeSet) -> bool | None:
    """True when the changes are confirmed: as such, or because they are those of an approved dry run."""
    if run.confirmed in ("", "yes"):
        return True if run.confirmed else None
    plan = Path(run.confirmed) / f"{name}.json"
    try:
        approved = json.loads(plan.read_text(encoding="utf-8"))["changes"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Drifted(f"the approved plan {plan} cannot be read: {error}. Nothing was sent.") from None
    planned = {_change_key(each): each for each in approved}
    now = {_change_key(plan): plan for plan in json.loads(json.dumps([each.plan() for each in changes]))}
    problems = [f"{_format_key(key)} was not planned" for key in now.keys() - planned.keys()]
    if not run.resumes:  # what an earlier run has made is no longer to be made
        problems += [f"{_format_key(key)} is no longer to be made" for key in planned.keys() - now.keys()]
    problems += [
        f"{_format_key(key)} is another request"
        for key in now.keys() & planned.keys()
        if now[key] != planned[key]
    ]
    if problems:
        raise Drifted(
            f"the account is no longer as it was when {plan.parent.name} was planned: {'; '.join(sorted(problems))}. "
            "Nothing was sent. Plan anew, look at it, and apply that."
        )
    return True


def _change_key(plan: Mapping[str, Any]) -> tuple[str, str, str | None]:
    return plan["action"], plan["target"], plan["identifier"]


def _format_key(key: tuple[str, str, str | None]) -> str:
    return f"{key[0]} {key[1]}"


def _remaining_changes(changes: SyncChangeSet, resumes: Sequence[str]) -> SyncChangeSet:
    """Without what the runs that this one goes on with have made already."""
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


def _save_outcomes(
    run: RunContext, name: str, changes: ChangeSet, result: pd.DataFrame | None
) -> pd.DataFrame:
    """The changes with their outcomes, kept beside the report."""
    frame = changes.to_frame()
    told = untouched_frame(changes).assign(outcome=NOT_MADE) if result is None else result
    for column in ("outcome", "detail", "tries", "seconds"):
        frame[column] = told[column].to_numpy(dtype=object)
        frame[column] = frame[column].astype(told[column].dtype)
    frame["identifier"] = told["identifier"]
    run.save(name, frame)
    return frame


def _show_changes(changes: ChangeSet) -> Callable[[object], None]:
    """Show changes; what it gives shows their outcomes in the same place, where a page can do that."""
    if not _is_in_kernel():
        from lcnb.display.previews import print_changes

        print_changes(changes)
        return lambda made: None
    from IPython.display import display

    handle = display(changes, display_id=f"lcnb-changes-{os.urandom(6).hex()}")  # type: ignore[no-untyped-call]
    return lambda made: handle.update(made) if len(changes) else None


class _AppliedChanges:
    """Changes with their outcomes, where they stood as planned."""

    def __init__(self, changes: ChangeSet, result: pd.DataFrame) -> None:
        rows = zip(changes, result.itertuples(), strict=True)
        self.changes = changes
        self.rows = [
            {**vars(each), "outcome": told.outcome, "detail": _text_or_none(told.detail)}
            for each, told in rows
        ]

    def __repr__(self) -> str:
        lines = [f"{each['outcome']}: {each['action']} {each['target']}" for each in self.rows]
        return "\n".join([f"ChangeSet {self.changes.id}", *lines])

    def _repr_html_(self) -> str:
        from lcnb.display.markup import Html
        from lcnb.display.panels import cards, details
        from lcnb.display.tables import table

        figures: dict[str, object] = dict(Counter(str(each["outcome"]) for each in self.rows))
        warn = [outcome for outcome in figures if outcome != "done"]
        made = [each for each in self.rows if each["outcome"] in ("done", "twins")]
        figures |= {f"{code} a month": f"{value:+,.2f}" for code, value in monthly_difference(made).items()}
        parts = [cards(figures, warn=warn), table(recorded_frame(self.rows))]
        parts += [details("Notes", self.changes.notes)] if self.changes.notes else []
        return Html.joined(parts, repr(self))._repr_html_()


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _print_line(text: str) -> None:
    print_line(text)


def _is_in_kernel() -> bool:
    shell = sys.modules.get("IPython")
    return getattr(shell.get_ipython() if shell else None, "kernel", None) is not None


@contextmanager
def _show_progress() -> Iterator[Callable[[int, int, str], None]]:
    """One line in the cell that changes while the work goes on; `lcnb run` shows it in the terminal too."""
    if not _is_in_kernel():
        from lcnb.changes.progress import change_progress

        with change_progress() as progress:
            yield progress
        return
    from IPython.display import publish_display_data

    transient = {"display_id": f"lcnb-progress-{os.urandom(6).hex()}"}
    shown = False

    def tell(ended: int, total: int, text: str) -> None:
        nonlocal shown
        line = f"{ended}/{total}  {text}"
        data = {"text/plain": line, "text/html": f"<p role='status'>{escape(line)}</p>"}
        publish_display_data(  # type: ignore[no-untyped-call]
            data, {"lcnb_progress": line}, transient=transient, update=shown
        )
        shown = True

    yield tell
    if shown:  # all has ended: the outcomes say it, and what is going on is over
        publish_display_data({"text/plain": "", "text/html": ""}, {}, transient=transient, update=True)  # type: ignore[no-untyped-call]
