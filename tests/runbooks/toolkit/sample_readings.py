"""Frames of `lc.readings()`, for the tests of this folder."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pandas as pd

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)


def read_at(*hours_ago: float, incomplete: tuple[float, ...] = (), kind: str = "instances") -> pd.DataFrame:
    """A frame of `lc.readings()`: complete readings, and others that were not."""
    rows = [(each, True, None) for each in hours_ago] + [(each, False, "HTTP 500") for each in incomplete]
    rows.sort(reverse=True)
    return pd.DataFrame(
        {
            "at": pd.Series(
                [NOW - timedelta(hours=each) for each, _, _ in rows], dtype="datetime64[us, UTC]"
            ),
            "kind": pd.Series([kind] * len(rows), dtype="str"),
            "complete": pd.Series([ok for _, ok, _ in rows], dtype="boolean"),
            "problem": pd.Series([why for _, _, why in rows], dtype="str"),
        }
    )
