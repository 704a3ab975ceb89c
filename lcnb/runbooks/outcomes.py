"""What a run changed, according to the journal and the files in its folder, whatever ended the run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcnb.changes.apply import SyncChangeSet
from lcnb.changes.changeset import Change
from lcnb.changes.journal import OPEN_STATES, Journal, JournalEntry
from lcnb.config import Settings
from lcnb.folders import state_dir
from lcnb.shortening import name_first

if TYPE_CHECKING:
    from lcnb.client import LetsCloud

#: The outcome of a change that was only shown: a dry run, or nobody confirmed.
NOT_MADE = "not made"


def run_changes(folder: Path, settings: Settings | None) -> list[dict[str, Any]]:
    """Return the changes of a run, made or only planned, as plain JSON: one row per change.

    Outcomes: done, failed, twins, unknown (sent, but the outcome is not known), not tried, not made (only shown).
    """
    entries = run_entries(folder.name, settings)
    started = {entry.changeset for entry in entries}
    rows = [_change_row(entry.plan, _entry_outcome(entry), entry) for entry in entries]
    for document in _read_plans(folder):
        if document["id"] not in started:
            rows += [_change_row(plan, NOT_MADE) for plan in document["changes"]]
    return rows


def run_entries(run: str, settings: Settings | None) -> list[JournalEntry]:
    """Return the journal entries of a run, in the order in which its changes were begun. JournalError if unreadable."""
    return Journal(settings.state_dir if settings else state_dir()).entries(run=run)


def was_confirmed(change: Mapping[str, Any]) -> bool:
    """Whether a change of a record was confirmed, and not only shown."""
    return bool(change["outcome"] != NOT_MADE)


def summarize_changes(changes: Sequence[Mapping[str, Any]], run: str, *, ended_well: bool) -> str:
    """Summarize in one line how many changes of a run were made and which, and how many are open.

    Args:
        changes: rows of `run_changes`.
        run: the id of the run.
        ended_well: False adds the command that resumes the run.

    >>> made = {"outcome": "done", "action": "create snapshot", "target": "api-02"}
    >>> summarize_changes([made], "RUN", ended_well=True)
    '1 change made (create snapshot api-02), 0 open'
    """
    done = [f"{each['action']} {each['target']}" for each in changes if each["outcome"] == "done"]
    counts = Counter(
        "open" if each["outcome"] in ("unknown", "not tried") else each["outcome"] for each in changes
    )
    parts = [f"{len(done)} change{'' if len(done) == 1 else 's'} made{_format_examples(done)}"]
    parts += [f"{count} {outcome}" for outcome, count in counts.items() if outcome not in ("done", "open")]
    parts.append(f"{counts['open']} open")
    return ", ".join(parts) + ("" if ended_well else f". Continue: lcnb resume {run}")


def _format_examples(names: Sequence[str]) -> str:
    return f" ({name_first(names)})" if names else ""


def planned_changes(folder: Path, client: LetsCloud) -> SyncChangeSet:
    """Return the changes that a dry run saved in its folder, to look at them.

    Passwords that lcnb generates are placeholders here: `apply` generates new ones.
    """
    documents = _read_plans(folder)
    changes = [
        Change.from_plan(plan, allow_new_password=True)
        for document in documents
        for plan in document["changes"]
    ]
    notes = [str(note) for document in documents for note in document.get("notes", ())]
    return SyncChangeSet(changes, client, notes=notes, id=folder.name)


def _read_plans(folder: Path) -> list[dict[str, Any]]:
    """Return the plans in the folder of a run, in the order in which the notebook made them.

    That is the order in which the changes are made, which the names of the files do not have.
    """
    found = [(path.name, document) for path in folder.glob("*.json") if (document := _read_plan(path))]
    return [document for _, document in sorted(found, key=lambda each: (_made_at(each[1]), each[0]))]


def _made_at(document: Mapping[str, Any]) -> float:
    try:
        return datetime.fromisoformat(str(document.get("made_at"))).timestamp()
    except ValueError:
        return 0.0


def _read_plan(path: Path) -> dict[str, Any] | None:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
    return document if isinstance(document, dict) and document.get("lcnb") == "changeset" else None


def _entry_outcome(entry: JournalEntry) -> str:
    return {"planned": "not tried", "sent": "unknown"}.get(entry.state, entry.state)


def _change_row(plan: Mapping[str, Any], outcome: str, entry: JournalEntry | None = None) -> dict[str, Any]:
    names = ("action", "target", "before", "after", "monthly_before", "monthly_after", "currencycode")
    return {
        **{name: plan[name] for name in names},
        "currencycode_before": plan.get("currencycode_before"),
        "identifier": (entry.identifier if entry else None) or plan["identifier"],
        "outcome": outcome,
        "detail": entry.detail if entry else None,
        "changeset": entry.changeset if entry else None,
    }


def open_changesets(run: str, settings: Settings) -> list[str]:
    """Return the ids of a run's ChangeSets that have changes without an outcome, oldest first."""
    entries = run_entries(run, settings)
    return list(dict.fromkeys(entry.changeset for entry in entries if entry.state in OPEN_STATES))
