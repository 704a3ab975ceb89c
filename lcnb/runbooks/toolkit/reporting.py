"""For several runbooks: sentences about labels and files, results for `lcnb.run().check`, bar charts of amounts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from lcnb.display import charts, markup, tables
from lcnb.runbooks.toolkit.typed_frames import is_known
from lcnb.shortening import name_first


class CheckResult(NamedTuple):
    """The arguments of `lcnb.run().check`: `run.check(*result)`."""

    ok: bool
    ok_text: str
    problem_text: str


def label_check(ok_text: str, bad: pd.Series[Any], one: str, several: str) -> CheckResult:
    """Return the arguments of `lcnb.run().check`: whether `bad` is empty, and what is said if it is or is not.

    Args:
        ok_text: what is said when `bad` is empty.
        bad: the labels for which it is not so.
        one, several: what these are, such as "machine is off" and "machines are off". The count precedes it, and the
            labels follow.

    >>> label_check("Every machine runs", pd.Series(["web-01"]), "machine is off", "machines are off")
    CheckResult(ok=False, ok_text='Every machine runs', problem_text='1 machine is off: web-01')
    """
    return CheckResult(
        not len(bad), ok_text, f"{len(bad)} {one if len(bad) == 1 else several}: {_list_labels(bad)}"
    )


def summarize_labels(labels: Iterable[Any], most: int = 5) -> str:
    """Return a count and the first labels, such as `3: web-01, web-02, db-01`, for a sentence.

    >>> summarize_labels(["a", None]), summarize_labels("abcdefg", most=2), summarize_labels([])
    ('2: a, (no label)', '7: a, b and 5 more', 'none')
    """
    known = list(labels)
    return f"{len(known)}: {_list_labels(known, most)}" if known else "none"


def _list_labels(labels: Iterable[Any], most: int = 5) -> str:
    """Return the first labels, such as `web-01, web-02 and 3 more`."""
    return name_first([str(label) if is_known(label) else "(no label)" for label in labels], most)


def facts_file_text(path: Path, example: str) -> str:
    """Say which facts file was read; where there is none yet, name the command `example` that starts one.

    >>> facts_file_text(Path("/no/facts.csv"), "lcnb tag web-01 project=shop")
    'There is no facts file yet (/no/facts.csv). To start one: lcnb tag web-01 project=shop'
    """
    if path.exists():
        return f"The facts file is {path}."
    return f"There is no facts file yet ({path}). To start one: {example}"


def money_bars(parts: Iterable[tuple[pd.Series[Any], str, str]]) -> markup.Html:
    """Return one bar chart of monthly amounts per (amounts, title, currency code)."""
    drawn = [
        charts.bar_chart(amounts, title, unit=f"{code} per month", decimals=2)
        for amounts, title, code in parts
    ]
    return join_html(drawn, "No amounts to show.")


def join_html(drawn: Sequence[markup.Html], empty: str) -> markup.Html:
    """Return several pieces of HTML as one; an empty table with the text `empty` when there are no pieces."""
    if not drawn:
        return tables.table(pd.DataFrame(), empty=empty)
    return markup.Html.joined(drawn, "\n".join(map(repr, drawn)))
