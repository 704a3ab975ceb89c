"""What a runbook changes: shown, kept beside the report, confirmed, made, and found again in the journal.

`apply_changes` is what `lcnb.run().apply(...)` does in a notebook. `made_by` tells afterwards, from the journal and
the folder, what a run has changed, whatever ended it. `locked_runbook` keeps the same work from being done twice at
once. Nothing of it lives in the kernel: a run that was killed is gone on with from what stands on the disk.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcnb.changes.apply import SyncChangeSet, check_how, untouched
from lcnb.changes.changeset import Change, ChangeSet, OnError, made_frame, monthly_difference
from lcnb.changes.journal import OPEN, Entry, Journal
from lcnb.config import Settings
from lcnb.errors import ChangeError, ConfirmationMissing, Drifted, InputError, Locked, RunError
from lcnb.flags import checked_flag
from lcnb.folders import state_dir
from lcnb.streams import say

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.client import LetsCloud
    from lcnb.runbooks.current import Run
    from lcnb.runbooks.notebook.find import Runbook

#: The outcome of a change that was only shown: a dry run, or nobody confirmed.
PLANNED = "not made"


# --- in the notebook ------------------------------------------------------------------------------------


def apply_changes(
    run: Run,
    changes: ChangeSet,
    *,
    dry_run: bool,
    name: str,
    wait: bool,
    timeout: float | None,
    on_error: OnError,
) -> pd.DataFrame:
    """What `Run.apply` says."""
    if not isinstance(changes, SyncChangeSet):
        kind = type(changes).__name__
        raise InputError(f"changes: expected a ChangeSet of lcnb.connect(), got {kind}. Nothing was sent.")
    dry_run = checked_flag("dry_run", dry_run)
    check_how(None, wait, timeout, on_error)
    changes = _without_done(changes, run.resumes)
    update = _show(changes)
    changes.save(run.file(f"{name}.json"))
    if dry_run:
        _say("A dry run: nothing was sent." if len(changes) else "A dry run, and nothing to do.")
        return _keep(run, name, changes, None)
    confirm = _confirmation(run, name, changes)
    try:
        with _progress() as progress:
            result = changes.apply(confirm, wait=wait, timeout=timeout, on_error=on_error, progress=progress)
    except ConfirmationMissing:
        raise ConfirmationMissing(_not_confirmed(changes)) from None
    except ChangeError as error:
        _keep(run, name, changes, error.result)
        if error.result is not None:
            update(_Made(changes, error.result))
        raise
    update(_Made(changes, result))
    return _keep(run, name, changes, result)


def _not_confirmed(changes: ChangeSet) -> str:
    """What to do where a notebook runs without `lcnb run`, and so has no --yes."""
    from lcnb.runbooks.current import CONFIRM_VARIABLE

    return (
        f"{changes.summary()}: nobody confirmed, and nobody can be asked here. Nothing was sent. Look at a dry run "
        f"first. Then, under papermill or nbconvert, set the variable {CONFIRM_VARIABLE}=yes for that command: "
        f"{CONFIRM_VARIABLE}=yes papermill ... Under jupyter-scheduler it is a variable of the Jupyter server, where "
        "it confirms the changes of every notebook; to confirm one notebook alone, use `lcnb run NOTEBOOK "
        "-p dry_run=false --yes`, or `lcnb schedule export` with --yes."
    )


def _confirmation(run: Run, name: str, changes: ChangeSet) -> bool | None:
    """True when the changes are confirmed: as such, or because they are those of an approved dry run."""
    if run.confirmed in ("", "yes"):
        return True if run.confirmed else None
    plan = Path(run.confirmed) / f"{name}.json"
    try:
        approved = json.loads(plan.read_text(encoding="utf-8"))["changes"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Drifted(f"the approved plan {plan} cannot be read: {error}. Nothing was sent.") from None
    planned = {_key(each): each for each in approved}
    now = {_key(plan): plan for plan in json.loads(json.dumps([each.plan() for each in changes]))}
    problems = [f"{_named(key)} was not planned" for key in now.keys() - planned.keys()]
    if not run.resumes:  # what an earlier run has made is no longer to be made
        problems += [f"{_named(key)} is no longer to be made" for key in planned.keys() - now.keys()]
    problems += [
        f"{_named(key)} is another request" for key in now.keys() & planned.keys() if now[key] != planned[key]
    ]
    if problems:
        raise Drifted(
            f"the account is no longer as it was when {plan.parent.name} was planned: {'; '.join(sorted(problems))}. "
            "Nothing was sent. Plan anew, look at it, and apply that."
        )
    return True


def _key(plan: Mapping[str, Any]) -> tuple[str, str, str | None]:
    return plan["action"], plan["target"], plan["identifier"]


def _named(key: tuple[str, str, str | None]) -> str:
    return f"{key[0]} {key[1]}"


def _without_done(changes: SyncChangeSet, resumes: Sequence[str]) -> SyncChangeSet:
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


def _keep(run: Run, name: str, changes: ChangeSet, result: pd.DataFrame | None) -> pd.DataFrame:
    """The changes with their outcomes, kept beside the report."""
    frame = changes.to_frame()
    told = untouched(changes).assign(outcome=PLANNED) if result is None else result
    for column in ("outcome", "detail", "tries", "seconds"):
        frame[column] = told[column].to_numpy(dtype=object)
        frame[column] = frame[column].astype(told[column].dtype)
    frame["identifier"] = told["identifier"]
    run.save(name, frame)
    return frame


def _show(changes: ChangeSet) -> Callable[[object], None]:
    """Show changes; what it gives shows their outcomes in the same place, where a page can do that."""
    if not _in_kernel():
        from lcnb.display.terminal import print_changes

        print_changes(changes)
        return lambda made: None
    from IPython.display import display

    handle = display(changes, display_id=f"lcnb-changes-{os.urandom(6).hex()}")  # type: ignore[no-untyped-call]
    return lambda made: handle.update(made) if len(changes) else None


class _Made:
    """Changes with their outcomes, where they stood as planned."""

    def __init__(self, changes: ChangeSet, result: pd.DataFrame) -> None:
        rows = zip(changes, result.itertuples(), strict=True)
        self.changes = changes
        self.rows = [
            {**vars(each), "outcome": told.outcome, "detail": _text(told.detail)} for each, told in rows
        ]

    def __repr__(self) -> str:
        lines = [f"{each['outcome']}: {each['action']} {each['target']}" for each in self.rows]
        return "\n".join([f"ChangeSet {self.changes.id}", *lines])

    def _repr_html_(self) -> str:
        from lcnb.display.charts import Html, cards, details, table

        figures: dict[str, object] = dict(Counter(str(each["outcome"]) for each in self.rows))
        warn = [outcome for outcome in figures if outcome != "done"]
        made = [each for each in self.rows if each["outcome"] in ("done", "twins")]
        figures |= {f"{code} a month": f"{value:+,.2f}" for code, value in monthly_difference(made).items()}
        parts = [cards(figures, warn=warn), table(made_frame(self.rows))]
        parts += [details("Notes", self.changes.notes)] if self.changes.notes else []
        return Html.joined(parts, repr(self))._repr_html_()


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _say(text: str) -> None:
    say(text)


def _in_kernel() -> bool:
    shell = sys.modules.get("IPython")
    return getattr(shell.get_ipython() if shell else None, "kernel", None) is not None


@contextmanager
def _progress() -> Iterator[Callable[[int, int, str], None]]:
    """One line in the cell that changes while the work goes on; `lcnb run` shows it in the terminal too."""
    if not _in_kernel():
        from lcnb.display.terminal import change_progress

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


# --- afterwards -----------------------------------------------------------------------------------------


def made_by(folder: Path, settings: Settings | None) -> list[dict[str, Any]]:
    """What the run of a folder has changed, and what it planned and did not make; plain JSON, a row a change.

    Outcomes: done, failed, twins, unknown (sent, and no outcome known), not tried, not made.
    """
    journal = Journal(settings.state_dir if settings else state_dir())
    entries = journal.entries(run=folder.name)
    begun = {entry.changeset for entry in entries}
    rows = [_row(entry.plan, _outcome(entry), entry) for entry in entries]
    for path in sorted(folder.glob("*.json")):
        document = _plan(path)
        if document and document["id"] not in begun:
            rows += [_row(plan, PLANNED) for plan in document["changes"]]
    return rows


def is_made(change: Mapping[str, Any]) -> bool:
    """Whether a change of a record was to be made, and not only shown."""
    return bool(change["outcome"] != PLANNED)


def changes_line(changes: Sequence[Mapping[str, Any]], run: str, *, ended_well: bool) -> str:
    """How many changes of a run were made, and which; how many are open; how to go on with what is left.

    >>> changes_line([{"outcome": "done", "action": "create snapshot", "target": "api-02"}], "RUN", ended_well=True)
    '1 change made (create snapshot api-02), 0 open'
    """
    done = [f"{each['action']} {each['target']}" for each in changes if each["outcome"] == "done"]
    counts = Counter(
        "open" if each["outcome"] in ("unknown", "not tried") else each["outcome"] for each in changes
    )
    named = ", ".join(done[:3]) + (f" and {len(done) - 3} more" if len(done) > 3 else "")
    parts = [f"{len(done)} change{'' if len(done) == 1 else 's'} made{f' ({named})' if done else ''}"]
    parts += [f"{count} {outcome}" for outcome, count in counts.items() if outcome not in ("done", "open")]
    parts.append(f"{counts['open']} open")
    return ", ".join(parts) + ("" if ended_well else f". Go on: lcnb resume {run}")


def planned_by(folder: Path, client: LetsCloud) -> SyncChangeSet:
    """The changes that a dry run kept in its folder, to be looked at; passwords are others than will be made."""
    documents = [document for path in sorted(folder.glob("*.json")) if (document := _plan(path))]
    changes = [Change.from_plan(plan, anew=True) for document in documents for plan in document["changes"]]
    return SyncChangeSet(changes, client, id=folder.name)


def _plan(path: Path) -> dict[str, Any] | None:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
    return document if isinstance(document, dict) and document.get("lcnb") == "changeset" else None


def _outcome(entry: Entry) -> str:
    return {"planned": "not tried", "sent": "unknown"}.get(entry.state, entry.state)


def _row(plan: Mapping[str, Any], outcome: str, entry: Entry | None = None) -> dict[str, Any]:
    names = ("action", "target", "before", "after", "monthly_before", "monthly_after", "currencycode")
    return {
        **{name: plan[name] for name in names},
        "identifier": (entry.identifier if entry else None) or plan["identifier"],
        "outcome": outcome,
        "detail": entry.detail if entry else None,
        "changeset": entry.changeset if entry else None,
    }


def open_changesets_of(run: str, settings: Settings) -> list[str]:
    """The ChangeSets of a run that have changes without an outcome, the oldest first."""
    entries = Journal(settings.state_dir).entries(run=run)
    return list(dict.fromkeys(entry.changeset for entry in entries if entry.state in OPEN))


# --- one at a time --------------------------------------------------------------------------------------


@contextmanager
def locked_runbook(
    book: Runbook, settings: Settings | None, parameters: Mapping[str, Any] | None, wait: float | None
) -> Iterator[None]:
    """Keep other processes of this machine from the same work; the lock ends with this process.

    `parameters` None: from any run of this runbook for this account; else from one with the same parameters.
    `wait`: seconds to wait for it; None: no lock.
    """
    if wait is None:
        yield
        return
    from filelock import FileLock, Timeout

    whose = (settings.account, settings.base_url) if settings else ()
    what = json.dumps([str(book.path), whose, parameters], sort_keys=True, default=str)
    folder = (settings.state_dir if settings else state_dir()) / "locks"
    lock = FileLock(folder / f"runbook-{hashlib.sha256(what.encode()).hexdigest()[:24]}.lock")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock.acquire(timeout=wait)
    except Timeout:
        which = "" if parameters is None else " with these parameters"
        which += f" for {whose[0] or whose[1]}" if whose else ""
        raise Locked(
            f"another process runs {book.name}{which} now. Nothing was started. Wait for its end "
            "(--lock-wait SECONDS), or look at it: lcnb runs."
        ) from None
    except OSError as error:
        raise RunError(
            f"the lock of {book.name} cannot be made in {folder}: {error.strerror or error}. Nothing was started. "
            "Another place: LCNB_STATE_DIR; without a lock: --no-lock."
        ) from None
    try:
        yield
    finally:
        lock.release()
