"""The dtype of each column, and how typed records become columns.

Texts are `str`, whole numbers `Int64`, flags `boolean`, other numbers and money `Float64`. A missing value is missing,
never 0 or "". Columns, their order and their dtypes are the same for 0, 1, n or damaged rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from lcnb.api.fields import Record, fields_of
from lcnb.api.models import Instance, Plan, Snapshot
from lcnb.rows import Rows

if TYPE_CHECKING:
    import pandas as pd

DTYPES: dict[type, str] = {str: "str", int: "Int64", float: "Float64", bool: "boolean", tuple: "str"}


def record_rows(model: type[Record], records: Iterable[Record], kind: str = "") -> Rows:
    """One row per record, one column per field of the model."""
    fields = fields_of(model)
    names = [each.name for each in fields]
    values = [tuple([cell_value(getattr(record, name)) for name in names]) for record in records]
    return Rows(kind, {each.name: DTYPES[each.type] for each in fields}, values)


def records_frame(model: type[Record], records: Iterable[Record]) -> pd.DataFrame:
    """The frame of `record_rows`."""
    return record_rows(model, records).frame()


#: Kind of a table → the model whose units its columns have.
_MODEL_OF_KIND: dict[str, type[Record]] = {
    "instances": Instance,
    "inventory": Instance,
    "history": Instance,
    "plans": Plan,
    "snapshots": Snapshot,
}


def column_units(kind: str = "") -> dict[str, str]:
    """The unit of each column that has one: MB, GB or currency. Without a kind: of machines and plans.

    >>> column_units("snapshots")
    {'size': 'GB'}
    """
    models = (_MODEL_OF_KIND[kind],) if kind else (Instance, Plan)
    return {each.name: each.about.unit for model in models for each in fields_of(model) if each.about.unit}


def cell_value(value: Any) -> Any:
    """A field's value as a column holds it: the texts of a list are joined, and an empty text is missing."""
    return (", ".join(value) or None) if type(value) is tuple else value
