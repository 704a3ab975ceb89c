"""What several runbooks show: sentences about labels, results for `lcnb.run().check`, and bar charts of money."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from lcnb.display import charts, markup, tables
from lcnb.runbooks.toolkit.typed_frames import is_known


def label_check(text: str, bad: pd.Series[Any]) -> tuple[bool, str]:
    """For `lcnb.run().check`: whether something holds, which is not so for some labels; and the sentence of it."""
    return not len(bad), f"{text}{f' (not so for {summarize_labels(bad)})' if len(bad) else ''}."


def summarize_labels(labels: Iterable[Any], most: int = 5) -> str:
    """`3: web-01, web-02, db-01` for a sentence; what has no label is `(no label)`, the rest is counted.

    >>> named(["a", None]), named("abcdefg", most=2), named([])
    ('2: a, (no label)', '7: a, b and 5 more', 'none')
    """
    texts = [str(label) if is_known(label) else "(no label)" for label in labels]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return f"{len(texts)}: {', '.join(texts[:most])}{more}" if texts else "none"


def money_bars(parts: Iterable[tuple[pd.Series[Any], str, str]]) -> markup.Html:
    """Bars of money for each (amounts, title, currency code), one picture each."""
    drawn = [
        charts.bar_chart(amounts, title, unit=f"{code} a month", decimals=2) for amounts, title, code in parts
    ]
    return join_html(drawn, "There is nothing to show.")


def join_html(drawn: Sequence[markup.Html], empty: str) -> markup.Html:
    if not drawn:
        return tables.table(pd.DataFrame(), empty=empty)
    return markup.Html.joined(drawn, "\n".join(map(repr, drawn)))
