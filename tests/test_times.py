"""Times and durations: what is one, and what is refused."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pytest

from lcnb.errors import InputError
from lcnb.times import parse_duration, to_utc


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30m", timedelta(minutes=30)),
        (" 8H ", timedelta(hours=8)),
        ("7d", timedelta(days=7)),
        ("1w2d3h4m5s", timedelta(weeks=1, days=2, hours=3, minutes=4, seconds=5)),
        ("90s", timedelta(seconds=90)),
        (timedelta(hours=1), timedelta(hours=1)),
    ],
)
def test_duration(text: str | timedelta, expected: timedelta) -> None:
    """Each number has its unit; units go from the longest to the shortest."""
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "8", "h", "-8h", "0m", "1.5h", "8h7d", "8 h", "8hours", "٨h", "999999999w", 8, None, timedelta(0)],
)
def test_no_duration(text: object) -> None:
    """A number without a unit, nothing, or less than nothing is refused with the value."""
    with pytest.raises(InputError) as caught:
        parse_duration(text, "expires")  # type: ignore[arg-type]
    assert re.match(
        "expires: expected a duration (above 0 )?such as 30m, 8h, 7d or 1d12h, without spaces, got ",
        str(caught.value),
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        (" 2026-11-01T09:30 ", datetime(2026, 11, 1, 9, 30, tzinfo=UTC)),
        ("2026-11-01 09:30-03:00", datetime(2026, 11, 1, 12, 30, tzinfo=UTC)),
        (date(2026, 11, 1), datetime(2026, 11, 1, tzinfo=UTC)),
        (datetime(2026, 11, 1, 9, 30), datetime(2026, 11, 1, 9, 30, tzinfo=UTC)),
        (pd.Timestamp("2026-11-01T09:30Z"), datetime(2026, 11, 1, 9, 30, tzinfo=UTC)),
        ("0001-01-01T00:00+10:00", None),
        ("tomorrow", None),
        ("", None),
        (pd.NaT, None),
        (1_700_000_000, None),
        (None, None),
    ],
)
def test_to_utc(value: object, expected: datetime | None) -> None:
    """A time without an offset is in UTC, and a date is its midnight in UTC."""
    assert to_utc(value) == expected
