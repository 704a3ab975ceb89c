"""The sentences of a form: errors, notices, and how a set of changes ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lcnb.errors import LcnbError
from lcnb.widgets.form_state import Phase

if TYPE_CHECKING:
    import pandas as pd


def error_message(error: BaseException) -> str:
    """Return an error as a sentence: errors of lcnb say what to do next, others are shown with their class."""
    text = str(error).strip()
    if isinstance(error, LcnbError) and text:
        return text
    kind = type(error).__name__
    return f"This is an error in lcnb: {kind}{f': {text}' if text else ''}. Nothing further was sent."


def invalid_fields_notice(count: int) -> str:
    """Return the notice for this number of wrong fields."""
    if count == 1:
        return "One field needs a correction: see the message below it. Nothing was sent."
    return f"{count} fields need corrections: see the messages below them. Nothing was sent."


def refused_notice(refused: int, picked: int) -> str:
    """Return the notice that some of the picked machines, or all of them, cannot be changed now.

    >>> refused_notice(3, 8), refused_notice(2, 2)
    ('3 of 8 machines cannot be changed now. Nothing was sent.', 'No machine can be changed now. Nothing was sent.')
    """
    if refused == picked:
        return "No machine can be changed now. Nothing was sent."
    return f"{refused} of {picked} machines cannot be changed now. Nothing was sent."


def field_message(error: BaseException) -> str:
    """Return an error as the message below its field."""
    text = str(error).removesuffix("Nothing was sent.").removesuffix("Nothing was written.").strip()
    return text.replace("replace=True", "tick “Replace”")


def judge_result(result: pd.DataFrame) -> tuple[Phase, str]:
    """Return the phase in which a set of changes ended, and a notice about it."""
    outcomes = list(result.outcome)
    text = count_outcomes(outcomes)
    if any(map(_can_be_settled, result.action, outcomes)):
        return (
            Phase.UNKNOWN,
            f"{text}. Unknown changes may have been made: “Look again” shows how they ended.",
        )
    if all(name == "done" for name in outcomes):
        changes = dict.fromkeys(map("{} {}".format, result.action, result.target))
        return Phase.DONE, f"Done: {', '.join(changes)}." if changes else "No change was open any more."
    details = "; ".join(str(text) for text in result.detail.dropna())
    return Phase.FAILED, f"{text}{f': {details}' if details else ''}".rstrip(".") + "."


def count_outcomes(outcomes: Sequence[str]) -> str:
    """Return how often each outcome occurs, such as `2 done, 1 failed`."""
    counts = {name: outcomes.count(name) for name in dict.fromkeys(outcomes)}
    return ", ".join(f"{number} {name}" for name, number in counts.items()) or "nothing was open"


def _can_be_settled(action: str, outcome: str) -> bool:
    """Whether looking at the account can settle a change; it cannot show whether a machine was rebooted."""
    return outcome in ("unknown", "sent", "planned") and (action, outcome) != ("reboot", "unknown")
