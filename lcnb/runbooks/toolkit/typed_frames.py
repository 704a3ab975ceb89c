"""For all toolkit modules: frames whose columns and dtypes do not depend on their rows, and rows as dicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd


def is_known(value: Any) -> bool:
    """Whether a value of a frame is not missing."""
    return not pd.isna(value)


def frame_records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a frame as dicts; missing values stay as pandas has them."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def typed_frame(rows: Sequence[Mapping[str, Any]], dtypes: Mapping[str, str]) -> pd.DataFrame:
    """Return a frame with these columns and dtypes, whatever the rows hold and even when there are no rows.

    >>> typed_frame([{"label": "web-01"}], {"label": "str", "port": "Int64"}).port.isna().tolist()
    [True]
    """
    return pd.DataFrame(
        {name: pd.Series([row.get(name) for row in rows], dtype=dtype) for name, dtype in dtypes.items()}
    )
