"""The file of a saved plan: what `ChangeSet.save` writes and `ChangeSet.load` reads.

Anybody may have edited the file meanwhile. So a plan is of one account, and each of its requests must be that of its
action, which is what people confirm and approve.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lcnb.changes.actions import action_of
from lcnb.changes.change import Change
from lcnb.config import Settings
from lcnb.errors import InputError
from lcnb.files import read_text, replace_file
from lcnb.names import comparable_name
from lcnb.secret import Secret


@dataclass(frozen=True)
class SavedPlan:
    """A planned ChangeSet: its id, its notes and its changes."""

    id: str
    notes: Sequence[str]
    changes: Sequence[Change]


def write_plan(path: str | Path, plan: SavedPlan, settings: Settings) -> Path:
    """Write a plan with the account that it is for, and return its path; mode 0600, no secrets in it."""
    document = {
        "lcnb": "changeset",
        "version": 1,
        "id": plan.id,
        "base_url": settings.base_url,
        "account": settings.account,
        "made_at": datetime.now(UTC).isoformat(timespec="microseconds"),
        "notes": list(plan.notes),
        "changes": [each.plan() for each in plan.changes],
    }
    text = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
    # Not the permissions of an earlier file: labels and prices of an account are in every plan.
    replace_file(Path(path), text, mode=0o600, keep_mode=False)
    return Path(path)


def read_plan(
    path: str | Path, settings: Settings, passwords: Mapping[str, Secret] | None = None
) -> SavedPlan:
    """Read a plan for this account. InputError when the file is not a plan, or is of another account.

    `passwords`: label → a typed password, which the file does not hold.
    """
    document = _read_document(path, settings)
    given = {comparable_name(label): password for label, password in (passwords or {}).items()}
    try:
        changes = [
            Change.from_plan(each, given.get(comparable_name(each["target"]))) for each in document["changes"]
        ]
        notes = [str(each) for each in document["notes"]]
        edited = next((each for each in changes if not _has_its_request(each)), None)
    except InputError:
        raise  # such as a password that is missing
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _plan_error(path, f" is not a plan that lcnb saved ({type(error).__name__}: {error})") from None
    if edited is not None:
        name = f"{edited.action} {edited.target}"
        problem = f": the request of {name!r} is not the one of that action; somebody has changed the file"
        raise _plan_error(path, problem)
    return SavedPlan(str(document["id"]), notes, changes)


def _read_document(path: str | Path, settings: Settings) -> Mapping[str, Any]:
    """Return the document of a plan for this account."""
    try:
        document = json.loads(read_text(Path(path)))
        known = document["lcnb"] == "changeset" and document["version"] == 1
        planned_for = (document["base_url"], document["account"])
        _ = (document["changes"], document["notes"], document["id"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else ""
        problem = f" is not a plan that lcnb saved{f' ({reason})' if reason else ''}"
        raise _plan_error(path, problem, "`lcnb plan FILE.csv --out PLAN.json` saves one.") from None
    if not known or planned_for != (settings.base_url, settings.account):
        raise InputError(
            f"{path} was planned for {planned_for[1] or planned_for[0]}, this client is of "
            f"{settings.account or settings.base_url}",
            not_done="sent",
        )
    return dict(document)


def _has_its_request(change: Change) -> bool:
    """Whether a change makes the request of its action: people confirm and approve the action."""
    call, wanted = change.call, action_of(change).request_of(change)
    return (call.method, call.path, call.effect, call.body, call.may_be_empty) == (
        wanted.method, wanted.path, wanted.effect, wanted.body, wanted.may_be_empty,
    )  # fmt: skip


def _plan_error(path: str | Path, problem: str, cure: str = "Plan again.") -> InputError:
    return InputError(f"{path}{problem}", value=str(path), cure=cure, not_done="sent")
