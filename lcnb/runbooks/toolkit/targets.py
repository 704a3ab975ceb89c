"""For all runbooks that change machines: find them by label, check the confirmation, and leave busy machines alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from lcnb.errors import InputError
from lcnb.frames.selection import select
from lcnb.frames.unmatched import describe_selection
from lcnb.names import comparable_name
from lcnb.runbooks.toolkit.reporting import CheckResult, label_check
from lcnb.suggestions import did_you_mean

if TYPE_CHECKING:
    from lcnb.runbooks.current import RunContext

#: Machines in any other state are busy, being built or suspended, and the provider refuses to change them.
CHANGEABLE_STATES = ("running", "off")


def select_machines(run: RunContext, machines: pd.DataFrame, selection: str) -> pd.DataFrame:
    """Return the machines that a selection selects, and ask for attention where nothing matches.

    That is when no machine is selected, or when a value of the selection is one that no machine has. A run that resumes
    another one may find no machine left to select. InputError for a text that is not a selection, or for a state that
    no machine can have.
    """
    chosen = select(machines, selection)
    problem = describe_selection(machines, selection, len(chosen))
    if problem and not run.resumes:
        run.attention(problem)
    return chosen


def split_changeable(machines: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the machines that can be changed now, and the others: busy, building, suspended, or without identifier."""
    can = machines.state.isin(CHANGEABLE_STATES) & machines.identifier.notna()
    return machines[can], machines[~can]


def changeable_check(others: pd.DataFrame) -> CheckResult:
    """Return the arguments of `lcnb.run().check` for the machines that cannot be changed now."""
    return label_check(
        "Every selected machine can be changed now",
        others.label,
        "selected machine cannot be changed now",
        "selected machines cannot be changed now",
    )


def comparable_label(label: object) -> str:
    """Return a label in the form in which names are compared; an empty text for a missing label."""
    return comparable_name(label if isinstance(label, str) else None)


def has_label(machines: pd.DataFrame, labels: Iterable[str]) -> pd.Series[bool]:
    """Return a mask of the machines that have one of these labels, compared as people see them."""
    wanted = {comparable_name(label) for label in labels} - {""}
    return pd.Series(
        [comparable_label(label) in wanted for label in machines.label], index=machines.index, dtype="bool"
    )


def find_by_label(machines: pd.DataFrame, labels: Sequence[str], gone: Iterable[str] = ()) -> pd.DataFrame:
    """Return the machines with these labels, one per label. Labels in `gone` may be missing: they were deleted before.

    InputError for a label that is given twice, or that no machine or several machines have.
    """
    check_label_list("labels", labels)
    names = [comparable_name(label) for label in labels]
    doubled = [label for label, name in zip(labels, names, strict=True) if names.count(name) > 1]
    if doubled:
        raise InputError(f"{doubled[0]!r} is given twice", field="labels", value=doubled[0], not_done="sent")
    found = machines[has_label(machines, labels)]
    counts = found.label.map(comparable_name).value_counts()
    there = {*counts.index, *map(comparable_name, gone)}
    missing = [label for label, name in zip(labels, names, strict=True) if name not in there]
    if missing:
        near = did_you_mean(missing[0], machines.label.dropna())
        raise InputError(f"no machine has the label {missing[0]!r}{near}", value=missing[0], not_done="sent")
    several = counts[counts > 1]
    if len(several):
        raise InputError(
            f"{several.iloc[0]} machines have the label {several.index[0]!r}",
            cure="Give each machine its own label.",
            value=several.index[0],
            not_done="sent",
        )
    return found


def check_label_list(name: str, labels: object) -> None:
    """InputError unless `labels` is a list of texts. A single text would be read as a list of its letters."""
    if not isinstance(labels, list | tuple) or not all(isinstance(each, str) for each in labels):
        raise InputError(
            field=name, expected="a list of labels, such as ['web-01']", value=labels, not_done="sent"
        )


def check_typed_again(labels: Sequence[str], confirm_labels: Sequence[str]) -> None:
    """InputError unless both lists have the same labels, in any order."""
    check_label_list("labels", labels)
    check_label_list("confirm_labels", confirm_labels)
    if sorted(map(comparable_name, labels)) != sorted(map(comparable_name, confirm_labels)):
        given = ", ".join(confirm_labels) or "nothing"
        raise InputError(
            f"type the labels again to confirm them: {', '.join(labels) or 'nothing'}; got {given}",
            field="confirm_labels",
            value=confirm_labels,
            not_done="sent",
        )
