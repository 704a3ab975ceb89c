"""For the runbook `spend`: what the machines cost over time by tag, with a lower and an upper bound."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd

from lcnb.display import charts, markup, panels
from lcnb.display.palette import SERIES_COLORS
from lcnb.runbooks.toolkit.readings import complete_times, format_time
from lcnb.runbooks.toolkit.reporting import join_html
from lcnb.runbooks.toolkit.typed_frames import frame_records

#: The row of a table with the total of all groups. Its bounds are not the sums of the groups' bounds: a machine that
#: changed its group is uncertain in both groups, and certain in the total.
TOTAL = "total"
OTHERS = "others"
HOURS_PER_DAY = 24.0


def name_groups(spent: pd.DataFrame, by: str) -> pd.DataFrame:
    """Return a frame of `lc.spend` whose missing group has a name, such as `(no project)` for `by="tag:project"`."""
    return spent.assign(group=spent.group.fillna(f"(no {by.removeprefix('tag:')})"))


def month_table(months: pd.DataFrame, totals: pd.DataFrame) -> pd.DataFrame:
    """Return what each group cost in each month, for a table: one row per month, currency and group, the total last.

    Args:
        months: a frame of `lc.spend(freq="MS")` after `name_groups`.
        totals: a frame of `lc.spend(freq="MS")` without groups.

    Columns: `month` (such as 2026-11), `group`, `lower`, `upper`, `currencycode`, `machines`, `unpriced`, `hours` and
    `uncertain_hours`.
    """
    rows = pd.concat([months, totals.assign(group=TOTAL)], ignore_index=True)
    rows = rows.assign(
        month=rows.month.dt.strftime("%Y-%m").astype("str"),
        last=rows.group == TOTAL,
        unknown=rows.currencycode.isna(),
    )
    rows = rows.sort_values(
        ["month", "unknown", "currencycode", "last", "upper", "group"],
        ascending=[True, True, True, True, False, True],
        ignore_index=True,
    )
    columns = [
        "month",
        "group",
        "lower",
        "upper",
        "currencycode",
        "machines",
        "unpriced",
        "hours",
        "uncertain_hours",
    ]
    return rows[columns]


def total_marks(table: pd.DataFrame) -> pd.DataFrame:
    """Return the marks of the rows of `month_table` that are totals, for `tables.table`."""
    is_total = table.group == TOTAL
    return pd.DataFrame(dict.fromkeys(("group", "lower", "upper"), is_total))


def spend_charts(days: pd.DataFrame, by: str) -> markup.Html:
    """Draw the cost per day of each group, one chart per currency: the band reaches from lower to upper bound.

    `days` is a frame of `lc.spend(freq="D")` after `name_groups`. A day that was counted only in part is shown with
    what it would cost in full.
    """
    priced = days[days.currencycode.notna() & (days.hours > 0)]
    drawn = []
    for code, part in priced.groupby("currencycode"):
        lower, upper = _daily_bounds(part, priced.day)
        title = f"Cost per day by {by.removeprefix('tag:')}"
        drawn.append(
            charts.band_chart(lower, upper, title, unit=str(code), decimals=2, step=timedelta(days=1))
        )
    return join_html(drawn, "There is no cost to show.")


def _daily_bounds(part: pd.DataFrame, days: pd.Series[Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the lower and the upper bound per full day of the groups that cost most; the others are added up."""
    order = part.groupby("group").upper.sum().sort_values(ascending=False).index.tolist()
    most = len(SERIES_COLORS)
    shown = order if len(order) <= most else order[: most - 1]
    names = part.group.where(part.group.isin(shown), OTHERS)
    every_day = pd.date_range(days.min(), days.max(), freq="D")
    bounds = []
    for column in ("lower", "upper"):
        amounts = part[column] / part.hours * HOURS_PER_DAY
        table = (
            amounts.groupby([part.day, names]).sum().unstack().fillna(0.0).reindex(every_day, fill_value=0.0)
        )
        bounds.append(table[[*shown, *([OTHERS] if len(order) > most else [])]].astype("float64"))
    return bounds[0], bounds[1]


def spend_cards(totals: pd.DataFrame, gaps: pd.DataFrame) -> markup.Html:
    """Return the key figures as cards: what everything cost per currency, with bounds, and what is uncertain.

    Args:
        totals: a frame of `lc.spend(freq="MS")` without groups.
        gaps: a frame of `readings.list_gaps`.
    """
    sums = totals.dropna(subset="currencycode").groupby("currencycode")[["lower", "upper"]].sum()
    figures: dict[str, object] = {
        f"{code} in this time": range_text(float(row["lower"]), float(row["upper"]))
        for code, row in zip(sums.index, frame_records(sums), strict=True)
    }
    unpriced = int(totals.unpriced.max()) if len(totals) else 0
    figures |= {"machines without a price": unpriced, "gaps between readings": len(gaps)}
    return panels.cards(figures, warn=[name for name in list(figures)[-2:] if figures[name]])


def range_text(lower: float, upper: float) -> str:
    """Return two bounds as text; one amount when they are equal to the cent.

    >>> range_text(12.3, 12.301), range_text(1200, 1350.5)
    ('12.30', '1,200.00 to 1,350.50')
    """
    texts = [f"{value:,.2f}" for value in (lower, upper)]
    return texts[0] if texts[0] == texts[1] else " to ".join(texts)


def coverage_note(spent: pd.DataFrame, readings: pd.DataFrame, wanted: Sequence[datetime]) -> markup.Html:
    """Say which time was counted, and what of the wanted time lies before or after the readings.

    Args:
        spent: a frame of `lc.spend`, whose attributes have the counted time.
        readings: a frame of `lc.readings()`.
        wanted: the begin and the end of the time that the user asked for.
    """
    times = complete_times(readings)
    if not times:
        return panels.note("The machines were never read completely, so nothing is known about their cost.")
    facts = spent.attrs.get("lcnb", {})
    if "begin" not in facts:
        text = f"There is nothing to show yet: the history of this account begins at {format_time(times[0])}."
        return panels.note(f"{text} Two readings are needed: schedule `lcnb record`.")
    begin, end = (datetime.fromisoformat(facts[name]).astimezone(UTC) for name in ("begin", "end"))
    words = [f"Counted from {format_time(begin)} to {format_time(end)}."]
    words += _missing_texts(times, wanted)
    words.append(
        "Between two readings that differ, the lower bound has the cheaper state, the upper the dearer one."
    )
    return panels.note(" ".join(words))


def _missing_texts(times: Sequence[datetime], wanted: Sequence[datetime]) -> Iterator[str]:
    if wanted[0] < times[0]:
        yield f"Earlier costs are not known: the history begins at {format_time(times[0])}."
    if wanted[1] > times[-1] + timedelta(hours=1):
        yield f"Later costs are not known: the newest complete reading is of {format_time(times[-1])}."
