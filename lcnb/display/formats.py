"""How a single value is written: missing values, money, states."""

from __future__ import annotations

from datetime import datetime
from html import escape
from typing import Any

from lcnb.display.palette import NEUTRAL_COLOR, STATE_COLORS


def format_value(value: Any) -> str:
    """A value as people read it; a missing one is an en dash. Not escaped."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "–"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return str(value)


def is_missing(value: Any) -> bool:
    import pandas as pd

    return bool(pd.api.types.is_scalar(value) and pd.isna(value))


def state_html(state: str) -> str:
    """A state with its dot of colour; the word is there too, for those who cannot see colours."""
    color = STATE_COLORS.get(state, NEUTRAL_COLOR)
    return f'<span class="lcnb-pill" style="--c:{color}">{escape(state)}</span>'


def money(value: float, currencycode: str) -> str:
    """`1,234.50 USD`; a missing value is an en dash."""
    return "–" if is_missing(value) else f"{value:,.2f} {currencycode}".rstrip()
