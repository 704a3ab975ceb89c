"""What an apply returns: one frame with a row per change, or an error that carries it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lcnb.changes.actions import action_of
from lcnb.changes.change import Change
from lcnb.changes.tasks import ChangeTask, command_to_wait
from lcnb.errors import ChangeFailed, WaitTimeout
from lcnb.rows import Column, rows_of

if TYPE_CHECKING:
    import pandas as pd

#: Steps that a result names one by one.
MAX_NEXT_STEPS = 10


def apply_result(
    changeset: str, tasks: Sequence[ChangeTask], frame: pd.DataFrame, on_error: str
) -> pd.DataFrame:
    """Return the frame of what happened to these tasks.

    With `on_error` "stop", ChangeFailed or WaitTimeout when not everything was made; `.result` is the frame.
    """
    if on_error == "stop":
        _raise_failures(changeset, tasks, frame)
    return frame


def combined_result(found: Sequence[tuple[str, Sequence[ChangeTask]]], on_error: str) -> pd.DataFrame:
    """Return one frame of several resumed ChangeSets; errors as in `apply_result`."""
    import pandas as pd

    if not found:
        return tasks_frame("", [])
    frames = [apply_result(name, tasks, tasks_frame(name, tasks), on_error) for name, tasks in found]
    frame = pd.concat(frames, ignore_index=True)
    steps = [step for each in frames for step in each.attrs["lcnb"]["next"]]
    frame.attrs["lcnb"] = {"kind": "result", "next": tuple(steps)}
    return frame


def unapplied_frame(changeset: str, changes: Sequence[Change], notes: Sequence[str] = ()) -> pd.DataFrame:
    """Return the frame of changes that were not made."""
    tasks = [ChangeTask(change, position) for position, change in enumerate(changes)]
    return tasks_frame(changeset, tasks, notes)


def tasks_frame(changeset: str, tasks: Sequence[ChangeTask], notes: Sequence[str] = ()) -> pd.DataFrame:
    """Return one row per change: change, action, target, identifier, outcome, detail, tries, seconds.

    `attrs["lcnb"]` has the notes of the ChangeSet (`notes`), and what people need next (`next`), such as how to log in.
    """
    plain = tuple(str(each) for each in notes)
    how = {"changeset": changeset, "notes": plain, "next": _next_steps(tasks)}
    return rows_of(tasks, _RESULT_COLUMNS, kind="result", **how).frame()


def _next_steps(tasks: Sequence[ChangeTask]) -> tuple[str, ...]:
    """Return what people need after the changes that were made; of many, the first ones."""
    steps = [
        step for task in tasks if task.state == "done" and (step := action_of(task.change).next_step(task))
    ]
    if len(steps) > MAX_NEXT_STEPS:
        more = (
            f"{len(steps) - MAX_NEXT_STEPS} more: `lcnb instances` lists the machines with their addresses."
        )
        steps[MAX_NEXT_STEPS:] = [more]
    return tuple(steps)


def _seconds_taken(task: ChangeTask) -> float | None:
    return None if task.began is None or task.ended is None else round(task.ended - task.began, 3)


_RESULT_COLUMNS: Sequence[Column[ChangeTask]] = (
    ("change", "Int64", lambda task: task.position + 1),
    ("action", "str", lambda task: task.change.action),
    ("target", "str", lambda task: task.change.target),
    ("identifier", "str", lambda task: task.identifier or task.change.identifier),
    ("outcome", "str", lambda task: task.state),
    ("detail", "str", lambda task: task.detail or None),
    ("tries", "Int64", lambda task: task.tries),
    ("seconds", "Float64", _seconds_taken),
)


def _raise_failures(changeset: str, tasks: Sequence[ChangeTask], frame: pd.DataFrame) -> None:
    bad = [
        task
        for task in tasks
        if task.state in ("failed", "unknown", "twins") or (task.state == "not tried" and task.detail)
    ]
    if bad:
        raise ChangeFailed(_failure_text(changeset, tasks), result=frame)
    if late := [task for task in tasks if not task.reached]:
        raise WaitTimeout(_late_text(late), result=frame)


def _late_text(late: Sequence[ChangeTask]) -> str:
    """Return what was not finished in time, and how to wait for it."""
    text = "; ".join(f"{task.change.target}: {task.detail}" for task in late)
    awaited = [task for task in late if task.awaited]
    advice = f"{command_to_wait(awaited)} goes on waiting" if awaited else "`lcnb instances` shows them"
    return f"made, but not finished in time: {text}. {advice}; nothing needs to be sent again."


def _failure_text(changeset: str, tasks: Sequence[ChangeTask]) -> str:
    """Return what was done, what failed, what is unknown, what was not tried, and the next safe step."""
    lines = []
    for state in ("done", "failed", "twins", "unknown", "not tried"):
        for task in tasks:
            if task.state == state:
                detail = f": {task.detail}" if task.detail else ""
                lines.append(f"  {state}: {task.change.action} {task.change.target}{detail}")
    return "not all changes were made:\n" + "\n".join(lines) + _resume_advice(changeset, tasks)


def _resume_advice(changeset: str, tasks: Sequence[ChangeTask]) -> str:
    if any(task.state == "unknown" and action_of(task.change).may_be_resent for task in tasks):
        return f"\nWhat is unknown may have happened. `lcnb resume {changeset}` looks again and settles it."
    if any(task.state == "not tried" for task in tasks):
        return f"\nOnce the cause is mended, `lcnb resume {changeset}` makes the changes that were not tried."
    return ""
