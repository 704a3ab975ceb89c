"""The sentences of a form: errors, notices, and how a set of changes ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lcnb.errors import LcnbError
from lcnb.widgets.form_state import Phase

if TYPE_CHECKING:
    import pandas as pd


# --- words ----------------------------------------------------------------------------------------------


def error_message(error: BaseException) -> str:
    """An error as a person reads it: ours say what to do next; of others the kind is told too."""
    text = str(error).strip()
    if isinstance(error, LcnbError) and text:
        return text
    kind = type(error).__name__
    return f"This is a fault of lcnb: {kind}{f': {text}' if text else ''}. Nothing further was sent."


def invalid_fields_notice(count: int) -> str:
    answers = "One answer needs" if count == 1 else f"{count} answers need"
    return f"{answers} another look; what is wrong stands below it. Nothing was sent."


def field_message(error: BaseException) -> str:
    text = str(error).removesuffix("Nothing was sent.").strip()
    return text.replace("replace=True", "tick “Replace”")


def judge_result(result: pd.DataFrame) -> tuple[Phase, str]:
    """How a set of changes ended, and a line that says it."""
    outcomes = list(result.outcome)
    count = {name: outcomes.count(name) for name in dict.fromkeys(outcomes)}
    text = ", ".join(f"{number} {name}" for name, number in count.items()) or "nothing was open"
    if any(
        name in ("unknown", "sent", "planned") and (action, name) != ("reboot", "unknown")
        for action, name in zip(result.action, outcomes, strict=True)
    ):  # that of a reboot stays unknown, however often one looks
        return Phase.UNKNOWN, f"{text}. What is unknown may have happened: “Look again” tells how it ended."
    if all(name == "done" for name in outcomes):
        what = ", ".join(
            dict.fromkeys(
                f"{action} {target}" for action, target in zip(result.action, result.target, strict=True)
            )
        )
        return Phase.DONE, f"Done: {what}." if what else "Nothing was open any more."
    details = "; ".join(str(text) for text in result.detail.dropna())
    return Phase.FAILED, f"{text}{f': {details}' if details else ''}".rstrip(".") + "."
