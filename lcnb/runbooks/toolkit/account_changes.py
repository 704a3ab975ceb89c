"""For the runbook `changes`: what changed in the account since the last run of this runbook, or since a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from lcnb.display import markup, panels
from lcnb.history.comparison import COMPARISON_DTYPES
from lcnb.history.moments import parse_moment, to_datetime
from lcnb.runbooks.toolkit.readings import complete_times, format_time
from lcnb.runbooks.toolkit.reporting import CheckResult, label_check
from lcnb.runbooks.toolkit.typed_frames import typed_frame

if TYPE_CHECKING:
    from lcnb.client import LetsCloud

#: Name of the table that a run saves, so that the next one begins where it ended.
PERIOD_TABLE = "period"
PERIOD_DTYPES = {"since": "datetime64[us, UTC]", "until": "datetime64[us, UTC]"}
#: Kind of change → what the report calls it. `temporary`: seen only in between.
KINDS = {
    "appeared": "appeared",
    "gone": "gone",
    "changed": "changed",
    "temporary": "appeared and gone again",
}


@dataclass(frozen=True)
class ComparedPeriod:
    """The two times that are compared, in UTC. Without `since` or `until` there is nothing to compare."""

    since: datetime | None
    until: datetime | None
    #: The first complete reading of the machines.
    history_begin: datetime | None
    #: Where `since` comes from, as a sentence.
    source: str

    def frame(self) -> pd.DataFrame:
        """Return the period as a table of one row, which `last_compared` reads; without rows when nothing was read."""
        rows = [{"since": self.since, "until": self.until}] if self.until else []
        return typed_frame(rows, PERIOD_DTYPES)


def last_compared(folder: Path, readings: pd.DataFrame) -> datetime | None:
    """Return the end of the last comparison that a run saved, None when there is none.

    Args:
        folder: the folder of this run; the runs next to it are looked at, and a file in it by an earlier execution.
        readings: a frame of `lc.readings()`. A time that is none of these readings belongs to another account.
    """
    known = set(complete_times(readings))
    name = f"{PERIOD_TABLE}.parquet"
    # The name of a run begins with its time, so the newest is found without reading the others.
    paths = [folder / name, *sorted(folder.parent.glob(f"*/{name}"), reverse=True)]
    return next((end for path in paths if (end := _saved_end(path)) in known), None)


def _saved_end(path: Path) -> pd.Timestamp | None:
    """Return the end of a saved period; None for a file that is damaged, empty or something else."""
    try:
        saved = pd.read_parquet(path)
        return (
            saved["until"].iloc[0]
            if len(saved) and saved.dtypes.astype(str).to_dict() == PERIOD_DTYPES
            else None
        )
    except (OSError, ValueError, KeyError):
        return None


def choose_period(
    readings: pd.DataFrame, since: str | None, last: datetime | None, now: datetime
) -> ComparedPeriod:
    """Return the period to compare: since the given time, otherwise since the last run, until the newest reading.

    Args:
        readings: a frame of `lc.readings()`.
        since: a date, a time or how long ago, such as 2026-11-01, 2026-11-01T09:30Z, 24h or 7d.
        last: the result of `last_compared`.
        now: the present, with its offset.

    Raises InputError for a text that is no time, or a time that has not come yet.
    """
    times = complete_times(readings)
    begin, until = (times[0], times[-1]) if times else (None, None)
    if since:
        start = to_datetime(parse_moment("since", since, now.timestamp()))
        if begin is None or start >= begin:
            return ComparedPeriod(start, until, begin, f"Compared with {format_time(start)}.")
        text = f"The history begins later than {format_time(start)}, so its first reading is compared."
        return ComparedPeriod(begin, until, begin, text)
    if last is not None:
        return ComparedPeriod(last, until, begin, f"Compared with the last run, at {format_time(last)}.")
    return ComparedPeriod(None, until, begin, "In this folder there is no earlier run of this runbook.")


def find_changes(lc: LetsCloud, period: ComparedPeriod) -> pd.DataFrame:
    """Return what changed in a period, as `lc.compare` does; a frame without rows when there is nothing to compare."""
    if period.since is None or period.until is None:
        return typed_frame([], COMPARISON_DTYPES)
    return lc.compare(since=period.since, until=max(period.since, period.until))


def change_check(found: pd.DataFrame) -> CheckResult:
    """Return the arguments of `lcnb.run().check`: whether nothing has changed, and what has."""
    machines = found.label.drop_duplicates()
    changed = label_check("", machines, "machine", "machines").problem_text
    return CheckResult(
        not len(found),
        "Nothing has changed",
        f"{len(found)} change{'' if len(found) == 1 else 's'} of {changed}",
    )


def period_note(period: ComparedPeriod) -> markup.Html:
    """Say which times are compared; without an earlier time, since when there is a history to compare with."""
    words = [period.source]
    if period.history_begin is None:
        words.append("There is nothing to compare with yet: the machines were never read completely.")
    elif period.since is None:
        words.append("There is nothing to compare with yet: the next run is compared with this one.")
        words.append(f"The history of this account begins at {format_time(period.history_begin)}.")
        if period.history_begin != period.until:
            words.append(f"To compare with its begin: -p since={period.history_begin:%Y-%m-%dT%H:%M:%SZ}.")
    elif period.until is not None:
        words.append(f"The newest complete reading is of {format_time(period.until)}.")
    return panels.note(" ".join(words))


def change_cards(found: pd.DataFrame, period: ComparedPeriod) -> markup.Html:
    """Return the key figures of a comparison as cards: how many changes of each kind, and the price difference."""
    counts = found.change.value_counts()
    figures: dict[str, object] = {text: int(counts.get(kind, 0)) for kind, text in KINDS.items()}
    if period.since is None:
        figures = dict.fromkeys(figures)
    figures |= {
        f"{code} per month": f"{amounts.sum():+,.2f}" for amounts, _, code in difference_charts(found)
    }
    unpriced = int((found.monthly_difference.isna() & (found.change != "temporary")).sum())
    figures |= {"without a known price": unpriced} if unpriced else {}
    return panels.cards(figures, warn=["without a known price"])


def difference_charts(found: pd.DataFrame) -> Iterator[tuple[pd.Series[Any], str, str]]:
    """Yield (amounts by kind of change, title, currency code) of each currency, for `reporting.money_bars`.

    Changes that do not change the price are left out, and so are machines that were seen only in between.
    """
    priced = found[(found.monthly_difference.fillna(0) != 0) & (found.change != "temporary")]
    for code, part in priced.groupby("currencycode"):
        amounts = part.groupby("change").monthly_difference.sum()
        order = [kind for kind in KINDS if kind in amounts.index]
        yield amounts.reindex(order).rename(index=KINDS), "Difference in cost", str(code)


def shown_changes(found: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `find_changes` for a table: without the identifiers, the newest first."""
    rows = found.assign(change=found.change.map(KINDS)).sort_values("not_after", ascending=False)
    return rows.drop(columns="identifier")


def empty_text(period: ComparedPeriod) -> str:
    """Return what a table without changes says."""
    return "There is nothing to compare with yet." if period.since is None else "Nothing has changed."
