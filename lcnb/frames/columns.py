"""The dtype of each column, and how typed records become columns.

Texts are `str`, whole numbers `Int64`, flags `boolean`, other numbers and money `Float64`. A missing value is missing,
never 0 or "". Columns, their order and their dtypes are the same for 0, 1, n or damaged rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any

import pandas as pd
from pandas.api.extensions import ExtensionArray

from lcnb.api.fields import Field, Record, fields_of
from lcnb.api.models import Instance, Plan

#: The dtype of times.
TIME_DTYPE = "datetime64[us, UTC]"
DTYPES: dict[type, str] = {str: "str", int: "Int64", float: "Float64", bool: "boolean", tuple: "str"}


def records_frame(model: type[Record], records: Sequence[Record]) -> pd.DataFrame:
    """One row per record, one column per field of the model."""
    return pd.DataFrame(
        {each.name: _build_column(each, map(attrgetter(each.name), records)) for each in fields_of(model)},
        index=pd.RangeIndex(len(records)),
    )


def column_units() -> dict[str, str]:
    """The unit of each column of machines and plans that has one: MB, GB or currency."""
    return {
        each.name: each.about.unit
        for model in (Instance, Plan)
        for each in fields_of(model)
        if each.about.unit
    }


def _build_column(field: Field, values: Iterable[Any]) -> ExtensionArray:
    return pandas_array(map(cell_value, values) if field.type is tuple else values, DTYPES[field.type])


def cell_value(value: Any) -> Any:
    """A field's value as a column holds it: the texts of a list are joined, and an empty text is missing."""
    return (", ".join(value) or None) if type(value) is tuple else value


def pandas_array(values: Iterable[Any], dtype: str) -> ExtensionArray:
    """The values as a pandas array of one of the DTYPES, or of TIME_DTYPE."""
    return pd.array(list(values), dtype=dtype)  # type: ignore[call-overload,no-any-return] # a name of DTYPES
