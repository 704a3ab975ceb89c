"""The approval of a planned run by a second person: who may give it, its file, and the check before it is used.

`approval.json` in the folder of the planned run names the user, the host and the time, and contains the SHA-256 of the
run's final `run.json`. That record contains the hashes of the planned changes and of the notebook, so an approval is
valid for exactly the plan that was looked at.

The limits: users are compared by the name that the operating system gives them, and nothing is signed. The approval
prevents that one person changes an account by mistake or alone out of habit. It does not stop a person who has the
token, may edit the settings, or can log in as another user.
"""

from __future__ import annotations

import hashlib
import json
import socket
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from lcnb.changes.journal import user_name
from lcnb.errors import ApprovalMissing, InputError
from lcnb.files import write_atomically
from lcnb.names import same_name
from lcnb.runbooks.records.artifacts import APPROVAL_FILE, RECORD_FILE
from lcnb.runbooks.records.index import verify_runs
from lcnb.runbooks.records.run_record import RunRecord


@dataclass(frozen=True)
class Approval:
    """Who approved a planned run, where and when (UTC, ISO 8601), and the SHA-256 of the record that was approved."""

    run: str
    user: str
    host: str
    at: str
    record_sha256: str
    note: str = ""

    @property
    def facts(self) -> dict[str, str]:
        """The approval as JSON values: the content of its file."""
        return asdict(self)

    def __str__(self) -> str:
        note = f": {self.note}" if self.note else ""
        return f"approved by {self.user}@{self.host} at {self.at}{note}"


def read_approval(run: RunRecord) -> Approval | None:
    """Return the approval of a planned run; None if nobody has approved it. InputError for a damaged file."""
    path = run.folder / APPROVAL_FILE
    try:
        approval = Approval(**json.loads(path.read_bytes()))
        if not all(isinstance(value, str) for value in approval.facts.values()) or not approval.user:
            raise ValueError("a value is not a text")  # noqa: TRY301 - one message for all kinds of damage
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise InputError(
            f"the approval {path} cannot be read: {error}",
            cure="Delete this file, and approve the run again: lcnb approve RUN.",
            not_done="sent",
        ) from None
    return approval


def check_approver(planned: RunRecord) -> None:
    """Raise ApprovalMissing if the user of this process cannot approve a run, or its files are not as recorded."""
    if problem := _find_problem(planned, user_name()):
        raise ApprovalMissing(problem[0], cure=problem[1], not_done="approved")


def approve_run(planned: RunRecord, note: str = "", now: datetime | None = None) -> Approval:
    """Write the approval of a planned run by the user of this process, and return it.

    An approval that is valid already is returned as it is. Raises ApprovalMissing for the user who planned the run, and
    InputError when its files are no longer as they were. OSError when the file cannot be written.
    """
    user = user_name()
    check_approver(planned)
    sha256 = _hash_record(planned)
    existing = read_approval(planned)
    if existing is not None and (existing.run, existing.record_sha256) == (planned.id, sha256):
        return existing
    at = (now or datetime.now(UTC)).isoformat(timespec="seconds")
    approval = Approval(planned.id, user, socket.gethostname(), at, sha256, note.strip())
    text = json.dumps(approval.facts, ensure_ascii=False, indent=2)
    write_atomically(planned.folder / APPROVAL_FILE, text.encode("utf-8", "replace"))
    return approval


def require_approval(planned: RunRecord, not_done: str = "sent") -> Approval:
    """Return the approval of a planned run. `not_done`: what did not happen, for the message.

    Raises ApprovalMissing when nobody has approved the run, or the person who planned it, or when its files are no
    longer those that were approved.
    """
    approval = read_approval(planned)
    if approval is None:
        planner = planned.facts.get("user") or "its planner"
        raise ApprovalMissing(
            f"nobody has approved the run {planned.id}",
            cure=f"Another user than {planner} looks at it and approves it: lcnb approve {planned.id}",
            not_done=not_done,
        )
    if problem := _find_problem(planned, approval.user):
        raise ApprovalMissing(problem[0], cure=problem[1], not_done=not_done)
    if (approval.run, approval.record_sha256) != (planned.id, _hash_record(planned)):
        raise ApprovalMissing(
            f"{approval.user} approved another record than that of the run {planned.id}",
            cure="Plan again (lcnb plan-run NAME), and let another user approve the new run.",
            not_done=not_done,
        )
    return approval


def _find_problem(planned: RunRecord, approver: str) -> tuple[str, str] | None:
    """Return why `approver` cannot approve a run, and the cure; None if that is possible."""
    planner: Any = planned.typed_fact("user", str)
    if not planner:
        return (
            f"the record of the run {planned.id} does not say who planned it",
            "Plan again: lcnb plan-run NAME.",
        )
    if same_name(planner.casefold(), approver.casefold()):
        return (
            f"{planner} planned the run {planned.id} and cannot approve it",
            f"Another user has to: lcnb approve {planned.id}",
        )
    found = verify_runs(planned.folder.parent, [planned.id]).problems
    problems = [f"{each.file or 'the folder'} {each.problem}" for each in found if each.run == planned.id]
    if problems:
        return (
            f"the run {planned.id} is not as it was recorded: {'; '.join(problems)}",
            "Plan again: lcnb plan-run NAME.",
        )
    return None


def _hash_record(planned: RunRecord) -> str:
    return hashlib.sha256((planned.folder / RECORD_FILE).read_bytes()).hexdigest()
