"""Durations: what is one, and what is refused."""

from __future__ import annotations

from datetime import timedelta

import pytest

from lcnb.durations import parse_duration
from lcnb.errors import InputError


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
    assert str(caught.value).startswith("expires: expected a duration such as 30m, 8h, 7d or 1d12h, got ")
