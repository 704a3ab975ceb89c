"""Frames with fixed columns and dtypes, from any rows: a table of (name, dtype, value of a row) describes a frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
#: Name, dtype, and the function that returns the value of a row.
Column = tuple[str, str, Callable[[T], Any]]


def rows_frame(rows: Iterable[T], columns: Sequence[Column[T]], **facts: Any) -> pd.DataFrame:
    """Return a frame with one row per item; its columns and dtypes are the same for any number of rows.

    `facts`: what `frame.attrs["lcnb"]` holds.
    """
    import pandas as pd

    items = list(rows)
    frame = pd.DataFrame(
        {name: pd.Series([value(item) for item in items], dtype=dtype) for name, dtype, value in columns}
    )
    if facts:
        frame.attrs["lcnb"] = facts
    return frame
