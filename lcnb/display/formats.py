"""How a single value is written: missing values, money, units, states."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from lcnb.display.palette import NEUTRAL_COLOR, STATE_COLORS

#: The text for a missing value.
MISSING = "–"
#: The unit of a monthly price in a heading; its currency has a column of its own.
PER_MONTH = "per month"
#: What a heading adds to the name of a column of times.
TIME_ZONE = "UTC"
#: Units that are shown next to a name; a currency is not, because a column of its own names it.
SHOWN_UNITS = ("MB", "GB", PER_MONTH, TIME_ZONE)


def format_value(value: Any) -> str:
    """Write a value for people: a flag as yes or no, None as an en dash. The result is not escaped.

    >>> format_value(True), format_value(None), format_value(("a", "b"))
    ('yes', '–', 'a, b')
    """
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or MISSING
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return str(value)


def is_missing(value: Any) -> bool:
    """Whether a value is None, NaN, NaT or `pandas.NA`; a list or an array never is."""
    import pandas as pd

    return bool(pd.api.types.is_scalar(value) and pd.isna(value))


def unit_html(unit: str) -> str:
    """A unit in small letters, to follow a name; "" for a unit that is not shown."""
    return f" <small>{unit}</small>" if unit in SHOWN_UNITS else ""


def state_html(state: str) -> str:
    """A state with a dot in its color. The word is always there, for people who cannot see the color."""
    from html import escape  # terminals do not need it

    color = STATE_COLORS.get(state, NEUTRAL_COLOR)
    return f'<span class="lcnb-pill" style="--c:{color}">{escape(state)}</span>'


def money(value: float, currencycode: str) -> str:
    """An amount with its currency, such as `1,234.50 USD`; a missing amount is an en dash."""
    return MISSING if is_missing(value) else f"{value:,.2f} {currencycode}".rstrip()
