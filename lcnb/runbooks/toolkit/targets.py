"""Which machines a runbook may change: found by label, confirmed by typing labels twice, in a state that allows it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from lcnb.errors import InputError
from lcnb.names import comparable_name
from lcnb.suggestions import did_you_mean

if TYPE_CHECKING:
    pass

NOTHING_SENT = "Nothing was sent."
#: Machines in another state are busy, being built or suspended: the provider refuses to change them.
CHANGEABLE_STATES = ("running", "off")


# --- who is meant ---------------------------------------------------------------------------------------


def split_changeable(machines: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Those that can be changed now, and the others: busy, being built, suspended, or without an identifier."""
    can = machines.state.isin(CHANGEABLE_STATES) & machines.identifier.notna()
    return machines[can], machines[~can]


def comparable_label(label: object) -> str:
    """A label of a frame, where a missing one is no text, in the form in which names are compared."""
    return comparable_name(label if isinstance(label, str) else None)


def has_label(machines: pd.DataFrame, labels: Iterable[str]) -> pd.Series[bool]:
    """Which of the machines have one of these labels, compared as people see them."""
    wanted = {comparable_name(label) for label in labels} - {""}
    return pd.Series(
        [comparable_label(label) in wanted for label in machines.label], index=machines.index, dtype="bool"
    )


def find_by_label(machines: pd.DataFrame, labels: Sequence[str], gone: Iterable[str] = ()) -> pd.DataFrame:
    """The machines of these labels, one each; those in `gone` need not be there any more.

    InputError for a label that no machine has, or several have.
    """
    check_label_list("labels", labels)
    names = [comparable_name(label) for label in labels]
    doubled = [label for label, name in zip(labels, names, strict=True) if names.count(name) > 1]
    if doubled:
        raise InputError(f"labels: {doubled[0]!r} stands there twice. {NOTHING_SENT}")
    found = machines[has_label(machines, labels)]
    counts = found.label.map(comparable_name).value_counts()
    there = {*counts.index, *map(comparable_name, gone)}
    missing = [label for label, name in zip(labels, names, strict=True) if name not in there]
    if missing:
        near = did_you_mean(missing[0], machines.label.dropna())
        raise InputError(f"no machine has the label {missing[0]!r}{near}. {NOTHING_SENT}")
    several = counts[counts > 1]
    if len(several):
        raise InputError(
            f"{several.iloc[0]} machines have the label {several.index[0]!r}: give them labels of their own. {NOTHING_SENT}"
        )
    return found


def check_label_list(name: str, labels: object) -> None:
    """InputError for what is no list of texts: the letters of a text would be taken for labels."""
    if not isinstance(labels, list | tuple) or not all(isinstance(each, str) for each in labels):
        raise InputError(
            f"{name}: expected a list of labels, such as ['web-01'], got {labels!r}. {NOTHING_SENT}"
        )


def check_typed_again(labels: Sequence[str], confirm_labels: Sequence[str]) -> None:
    """InputError unless the same labels were given twice, in whatever order."""
    check_label_list("labels", labels)
    check_label_list("confirm_labels", confirm_labels)
    if sorted(map(comparable_name, labels)) != sorted(map(comparable_name, confirm_labels)):
        given = ", ".join(confirm_labels) or "nothing"
        raise InputError(
            f"confirm_labels: type the labels again to confirm them: {', '.join(labels) or 'nothing'}; got {given}. "
            f"{NOTHING_SENT}"
        )
