"""Rows that lost what lcnb knew about them, as after `merge`: their machines are looked up by identifier.

A row counts as the machine of its identifier only while the account agrees with what the row shows of it, its label
and its state; a row of a key or snapshot, only while its public key or its label is the one of the row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lcnb.api.flows import Flow
from lcnb.api.machine_names import MachineName
from lcnb.api.models import Instance
from lcnb.changes.built import BuiltChanges
from lcnb.changes.reading import ReadCache, find_instances
from lcnb.errors import InputError
from lcnb.names import same_name

if TYPE_CHECKING:
    import pandas as pd

KEY = "identifier"
MAX_NAMED = 3


def check_identifiers(frame: pd.DataFrame) -> None:
    """Raise InputError unless each row of a frame has the identifier of another machine, as a text."""
    count = list(frame.columns).count(KEY)
    if count != 1:
        raise InputError(_column_problem(frame, count), not_done="sent", cure=_column_cure(frame, count))
    keys = frame[KEY]
    if missing := int(keys.isna().sum()):
        raise InputError(
            f"each row needs its identifier; {missing} of {len(frame)} rows have none, as rows without a machine in an "
            "outer merge, or machines that are still being built",
            cure="Leave them out: frame[frame.identifier.notna()].",
            not_done="sent",
        )
    if odd := next((each for each in keys if not isinstance(each, str) or not each), None):
        raise InputError(
            field=KEY, expected="the identifier of a machine, as a text", value=odd, not_done="sent"
        )
    check_repeated(frame)


def check_repeated(frame: pd.DataFrame) -> None:
    """Raise InputError when several rows have the same identifier; without one they are different machines."""
    keys = frame[KEY].dropna()
    repeated = keys[keys.duplicated()].unique()
    if len(repeated):
        named = ", ".join(f"{each} ({(keys == each).sum()} rows)" for each in repeated[:MAX_NAMED])
        raise InputError(
            f"the rows hold {len(repeated)} machine{'s' if len(repeated) > 1 else ''} more than once: {named}"
            f"{', …' if len(repeated) > MAX_NAMED else ''}. A merge repeats a machine for each row that fits it",
            cure="Keep one row per machine: frame.drop_duplicates('identifier').",
            not_done="sent",
        )


def _column_problem(frame: pd.DataFrame, count: int) -> str:
    if count > 1:
        return f"{count} columns are named identifier"
    found = _renamed_columns(frame)
    if found:
        return f"the rows have no column identifier: merge renamed it to {' and '.join(found)}"
    if KEY in frame.index.names:
        return "each row needs its identifier, and here it is the index of the frame"
    return "each row needs its identifier, and the frame has no such column"


def _column_cure(frame: pd.DataFrame, count: int) -> str:
    if count > 1:
        return "Keep one of them."
    found = _renamed_columns(frame)
    if found:
        return f"Say which one is meant: frame.rename(columns={{{found[0]!r}: 'identifier'}})."
    if KEY in frame.index.names:
        return "Make it a column again: frame.reset_index()."
    return "Select the column too, or merge with it."


def _renamed_columns(frame: pd.DataFrame) -> list[str]:
    """Return the columns that `merge` makes of two columns `identifier`."""
    return [str(name) for name in frame.columns if str(name) in (f"{KEY}_x", f"{KEY}_y")]


def find_row_machines(cache: ReadCache, rows: Sequence[Mapping[Any, Any]]) -> Flow[list[Instance]]:
    """Read the machines of rows by their identifiers. InputError for a machine that is not as its row shows it.

    NotFound that lists the identifiers that the account does not have.
    """
    machines = yield from find_instances(cache, [MachineName(row[KEY], "identifier") for row in rows])
    for row, machine in zip(rows, machines, strict=True):
        _check_same(row, machine)
    return machines


def expect_row(row: Mapping[Any, Any], build: Flow[BuiltChanges]) -> Flow[BuiltChanges]:
    """Run the build for a key or snapshot. InputError when it is not as its row shows it, by which it was selected."""
    built = yield from build
    for change in built.changes:
        for name, now in change.expect.items():
            shown = _text(row, name)
            if shown and not same_name(shown, now):
                raise InputError(
                    f"the row of {change.identifier} has the {name} {shown!r}, and it is {now!r} now",
                    cure="Read the listing again, and select the rows again.",
                    not_done="sent",
                )
    return built


def _check_same(row: Mapping[Any, Any], machine: Instance) -> None:
    """Raise InputError when label or state of a row are not those of its machine now."""
    for name, now, is_same in (
        ("label", machine.label, same_name(_text(row, "label"), machine.label)),
        ("state", machine.state, _text(row, "state") == machine.state),
    ):
        if _text(row, name) and not is_same:
            raise InputError(
                f"the row of {row[KEY]} has the {name} {_text(row, name)!r}, and the machine has {now!r} now",
                cure="Read the listing again, and merge it again.",
                not_done="sent",
            )


def _text(row: Mapping[Any, Any], name: str) -> str:
    """Return the text in a column of a row; "" when it has none."""
    value = row.get(name)
    return value if isinstance(value, str) else ""
