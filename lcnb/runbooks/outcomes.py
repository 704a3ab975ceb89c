"""What a run has changed, as the journal and the files in its folder say, whatever ended the run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcnb.changes.apply import SyncChangeSet
from lcnb.changes.changeset import Change
from lcnb.changes.journal import OPEN_STATES, Journal, JournalEntry
from lcnb.config import Settings
from lcnb.folders import state_dir

if TYPE_CHECKING:
    from lcnb.client import LetsCloud

#: The outcome of a change that was only shown: a dry run, or nobody confirmed.
NOT_MADE = "not made"


# --- afterwards -----------------------------------------------------------------------------------------


def run_changes(folder: Path, settings: Settings | None) -> list[dict[str, Any]]:
    """What the run of a folder has changed, and what it planned and did not make; plain JSON, a row a change.

    Outcomes: done, failed, twins, unknown (sent, and no outcome known), not tried, not made.
    """
    journal = Journal(settings.state_dir if settings else state_dir())
    entries = journal.entries(run=folder.name)
    begun = {entry.changeset for entry in entries}
    rows = [_change_row(entry.plan, _entry_outcome(entry), entry) for entry in entries]
    for path in sorted(folder.glob("*.json")):
        document = _read_plan(path)
        if document and document["id"] not in begun:
            rows += [_change_row(plan, NOT_MADE) for plan in document["changes"]]
    return rows


def was_confirmed(change: Mapping[str, Any]) -> bool:
    """Whether a change of a record was to be made, and not only shown."""
    return bool(change["outcome"] != NOT_MADE)


def summarize_changes(changes: Sequence[Mapping[str, Any]], run: str, *, ended_well: bool) -> str:
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


def planned_changes(folder: Path, client: LetsCloud) -> SyncChangeSet:
    """The changes that a dry run kept in its folder, to be looked at; passwords are others than will be made."""
    documents = [document for path in sorted(folder.glob("*.json")) if (document := _read_plan(path))]
    changes = [Change.from_plan(plan, anew=True) for document in documents for plan in document["changes"]]
    return SyncChangeSet(changes, client, id=folder.name)


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
        "identifier": (entry.identifier if entry else None) or plan["identifier"],
        "outcome": outcome,
        "detail": entry.detail if entry else None,
        "changeset": entry.changeset if entry else None,
    }


def open_changesets(run: str, settings: Settings) -> list[str]:
    """The ChangeSets of a run that have changes without an outcome, the oldest first."""
    entries = Journal(settings.state_dir).entries(run=run)
    return list(dict.fromkeys(entry.changeset for entry in entries if entry.state in OPEN_STATES))
