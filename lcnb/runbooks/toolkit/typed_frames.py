"""DataFrames whose columns and dtypes do not depend on their rows, and the rows of frames as dicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd


def is_known(value: Any) -> bool:
    return not pd.isna(value)


def frame_records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def typed_frame(rows: Sequence[dict[str, Any]], dtypes: dict[str, str]) -> pd.DataFrame:
    """The same columns and dtypes for any number of rows."""
    return pd.DataFrame(
        {name: pd.Series([row.get(name) for row in rows], dtype=dtype) for name, dtype in dtypes.items()}
    )
