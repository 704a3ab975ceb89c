"""Which dtype each column has, and how typed records become columns.

Texts are `str`, whole numbers `Int64`, flags `boolean`, other numbers and money `Float64`. A missing value is missing, never
0 or "". Columns, their order and their dtypes are the same for 0, 1, n or damaged rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any

import pandas as pd
from pandas.api.extensions import ExtensionArray

from lcnb.api.fields import Field, Record, fields_of

DTYPES: dict[type, str] = {str: "str", int: "Int64", float: "Float64", bool: "boolean", tuple: "str"}


def records_frame(model: type[Record], records: Sequence[Record]) -> pd.DataFrame:
    """One row a record, one column a field of the model."""
    return pd.DataFrame(
        {each.name: _build_column(each, map(attrgetter(each.name), records)) for each in fields_of(model)},
        index=pd.RangeIndex(len(records)),
    )


def _build_column(field: Field, values: Iterable[Any]) -> ExtensionArray:
    return pandas_array(map(cell_value, values) if field.type is tuple else values, DTYPES[field.type])


def cell_value(value: Any) -> Any:
    """A field's value as it stands in a column: texts of a list are joined, and an empty text counts as missing."""
    return (", ".join(value) or None) if type(value) is tuple else value


def pandas_array(values: Iterable[Any], dtype: str) -> ExtensionArray:
    return pd.array(list(values), dtype=dtype)  # type: ignore[call-overload,no-any-return] # a name of DTYPES
