"""How changes look after they were applied: each with its outcome, in the order in which they were made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lcnb.changes.change import Change
from lcnb.rows import Column, rows_of

if TYPE_CHECKING:
    import pandas as pd

#: Outcomes of changes that cost something, or cost less, from now on.
_MADE = ("done", "twins")


def monthly_difference(changes: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return what changes add to the monthly cost, by currency code; unknown prices are left out.

    A change from a price in one currency to a price in another one counts in both.
    """
    sums: dict[str, float] = {}
    for each in changes:
        code, before, after = each["currencycode"], each["monthly_before"], each["monthly_after"]
        if code and before is not None and after is not None:
            code_before = each.get("currencycode_before") or code
            for name, value in ((code_before, -before), (code, after)):
                sums[name] = round(sums.get(name, 0.0) + value, 2)
    return sums


def money_change(
    before: float | None,
    after: float | None,
    currencycode: str | None,
    currencycode_before: str | None = None,
) -> str | None:
    """Return a text like `5.40 → 17.70 USD`; None where the cost is unchanged or unknown.

    >>> money_change(5.4, 17.7, "USD"), money_change(5.4, 90, "BRL", "USD")
    ('5.40 → 17.70 USD', '5.40 USD → 90.00 BRL')
    """
    two_currencies = currencycode_before not in (None, "", currencycode)
    if not currencycode or (before == after and not two_currencies):
        return None
    known = [f"{each:,.2f}" if each is not None else "?" for each in (before, after)]
    if two_currencies:
        known[0] += f" {currencycode_before}"
    return f"{known[0]} → {known[1]} {currencycode}"


def recorded_frame(changes: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return changes with their outcomes for people: those of a run's record, or of an applied ChangeSet."""
    with_detail = any(each["detail"] for each in changes)
    columns = [each for each in _RECORDED_COLUMNS if with_detail or each[0] != "detail"]
    return rows_of(changes, columns).frame()


def outcome_rows(changes: Sequence[Change], result: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the changes of a set with their outcomes in `result`, the frame that `apply` returned."""
    details = [each if isinstance(each, str) else None for each in result["detail"]]
    outcomes = zip(result["outcome"].tolist(), details, strict=True)
    return [
        {**vars(each), "outcome": outcome, "detail": detail}
        for each, (outcome, detail) in zip(changes, outcomes, strict=True)
    ]


def count_outcomes(outcomes: Iterable[str]) -> str:
    """Return a text such as `2 done, 1 failed`.

    >>> count_outcomes(["done", "failed", "done"])
    '2 done, 1 failed'
    """
    return ", ".join(f"{count} {outcome}" for outcome, count in Counter(outcomes).items())


def outcomes_text(
    changeset: str, rows: Sequence[Mapping[str, Any]], notes: Sequence[str], steps: Sequence[str] = ()
) -> str:
    """Return the outcomes as lines of text."""
    lines = [f"ChangeSet {changeset}: {count_outcomes(each['outcome'] for each in rows)}"]
    for number, each in enumerate(rows, 1):
        detail = f": {each['detail']}" if each["detail"] else ""
        lines.append(f"  {number}. {each['outcome']}: {each['action']} {each['target']}{detail}")
    return "\n".join([*lines, *(f"  note: {note}" for note in notes), *(f"  next: {step}" for step in steps)])


def next_steps(result: pd.DataFrame) -> tuple[str, ...]:
    """Return what people need after the changes of a result, such as how to log in to a new machine."""
    return tuple(result.attrs.get("lcnb", {}).get("next", ()))


def outcomes_html(
    changeset: str, rows: Sequence[Mapping[str, Any]], notes: Sequence[str], steps: Sequence[str] = ()
) -> str:
    """Return the outcomes as HTML: their numbers, what the made changes cost, a table, what is next, the notes."""
    from lcnb.display.markup import Html
    from lcnb.display.panels import cards, details, note
    from lcnb.display.tables import table

    figures: dict[str, object] = dict(Counter(str(each["outcome"]) for each in rows))
    warn = [outcome for outcome in figures if outcome != "done"]
    made = [each for each in rows if each["outcome"] in _MADE]
    figures |= {f"{code} per month": f"{value:+,.2f}" for code, value in monthly_difference(made).items()}
    parts = [cards(figures, warn=warn), table(recorded_frame(rows)), *map(note, steps)]
    parts += [details("Notes", notes)] if notes else []
    return Html.joined(parts, outcomes_text(changeset, rows, notes, steps))._repr_html_()


def _recorded_price(change: Mapping[str, Any]) -> str | None:
    return money_change(
        change["monthly_before"],
        change["monthly_after"],
        change["currencycode"],
        change.get("currencycode_before"),
    )


_RECORDED_COLUMNS: Sequence[Column[Mapping[str, Any]]] = (
    ("action", "str", lambda each: each["action"]),
    ("target", "str", lambda each: each["target"]),
    ("from", "str", lambda each: each["before"] or None),
    ("to", "str", lambda each: each["after"] or None),
    ("a month", "str", _recorded_price),
    ("outcome", "str", lambda each: each["outcome"]),
    ("detail", "str", lambda each: each["detail"]),
)
