"""What a selection compares with and no machine has: a typing error must not look like an account without machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lcnb.frames.selection import (
    STATE_NAME,
    ComparedValue,
    selectable_rows,
    selection_of_frame,
    shorten_selection,
)
from lcnb.shortening import name_first
from lcnb.suggestions import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

#: A description names at most so many values, and counts the others.
MAX_SHOWN_VALUES = 5
_VERBS = {"startswith": "starts with", "endswith": "ends with", "contains": "contains"}


def find_unmatched(machines: pd.DataFrame, selection: str) -> list[str]:
    """Return a clause for each text or number of a selection that no machine has in the compared column or tag.

    States are left out: which exist is fixed, and that no machine is in one now is no mistake. So are flags and times,
    and every value if there are no machines. Raises InputError for a text that is not a selection.

    >>> import lcnb
    >>> from lcnb.frames.unmatched import find_unmatched
    >>> fleet = lcnb.connect(sandbox=True).inventory()
    >>> find_unmatched(fleet, "location == 'MIA9' or label in ['web-01', 'web-1']")
    ["no machine has location 'MIA9' (did you mean 'MIA1'?)", "no machine has label 'web-1' (did you mean 'web-01'?)"]
    """
    compared = [
        each for each in selection_of_frame(machines, selection).compared if each.column != STATE_NAME
    ]
    rows = list(selectable_rows(machines)) if compared else []
    found = [(each, _known_values(each, rows)) for each in compared]
    texts = [_describe(each, known) for each, known in found if rows and not any(map(each.matches, known))]
    return list(dict.fromkeys(texts))


def describe_selection(machines: pd.DataFrame, selection: str, selected: int) -> str:
    """Return why a selection asks for attention: values that no machine has, or no machine selected; "" otherwise.

    Args:
        machines: the machines to select from.
        selection: the text; `select` accepts it.
        selected: how many machines it selects.

    >>> import pandas as pd
    >>> print(describe_selection(pd.DataFrame({"label": ["web-01"]}), "label == 'web-02'", 0))
    selection "label == 'web-02'": no machine has label 'web-02' (did you mean 'web-01'?)
    """
    problems = find_unmatched(machines, selection)
    if not problems and not selected:
        count = f"none of the {len(machines)} machines" if len(machines) > 1 else "no machine"
        nothing = f"it selects {count}" if len(machines) else "the account has no machines"
        problems = [
            nothing if selection.strip() else "an empty selection selects no machine; write all for all"
        ]
    named = name_first(problems, MAX_SHOWN_VALUES, separator="; ")
    return f"selection {shorten_selection(selection)!r}: {named}" if problems else ""


def _known_values(compared: ComparedValue, rows: Sequence[dict[str, Any]]) -> set[Any]:
    return {value for row in rows if (value := compared.read(row)) is not None}


def _describe(compared: ComparedValue, known: set[Any]) -> str:
    name, value = compared.column, compared.value
    if compared.compare != "==":
        return f"no machine has a {name} that {_VERBS[compared.compare]} {value!r}{did_you_mean(str(value), known)}"
    if isinstance(value, str):
        return f"no machine has {name} {value!r}{did_you_mean(value, sorted(known))}"
    near = min(known, key=lambda each: abs(each - value), default=None)
    return f"no machine has {name} {value:g}{'' if near is None else f' (the nearest is {near:g})'}"
