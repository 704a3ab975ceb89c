"""One sum of prices in several currencies, by exchange rates that the user gives."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lcnb.errors import InputError
from lcnb.suggestions import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

CURRENCY_COLUMN = "currencycode"


@dataclass(frozen=True, repr=False)
class Total:
    """The sum of prices in one currency; `float(total)` is its amount.

    `amounts` holds the sum in each currency before the exchange. `priced` and `unpriced` count rows: machines, in an
    inventory. Rows without a price or without a currency are not in the sum.
    """

    amount: float
    currencycode: str | None
    amounts: Mapping[str, float]
    priced: int
    unpriced: int

    def __float__(self) -> float:
        return self.amount

    def __repr__(self) -> str:
        parts = [f"{self.amount:,.2f} {self.currencycode or ''}".rstrip()]
        if len(self.amounts) > 1 or set(self.amounts) - {self.currencycode}:
            parts.append("from " + " and ".join(f"{sum_:,.2f} {code}" for code, sum_ in self.amounts.items()))
        counted = f"{self.priced} row{'' if self.priced == 1 else 's'}"
        left_out = f", and {self.unpriced} without a price, not in the sum" if self.unpriced else ""
        return f"{' '.join(parts)}: {counted}{left_out}"


def total(
    table: pd.DataFrame | Iterable[Mapping[str, Any]],
    rates: Mapping[str, float] | None = None,
    *,
    to: str | None = None,
    column: str = "monthly_value",
) -> Total:
    """Return the sum of prices in one currency, by exchange rates that you give: lcnb never guesses one.

    Args:
        table: a frame or rows with prices and their `currencycode`, such as `lc.inventory()`.
        rates: what one unit of each other currency is worth in the currency of the sum: `{"BRL": 0.18}` makes 100 BRL
            18 of it. Rates of currencies that the table does not have are ignored.
        to: the currency of the sum. By default it is the one currency of the table that has no rate.
        column: the column with the prices; "lower" or "upper" for `lc.spend`.

    Raises InputError for a currency without a rate, which is named, for a rate that is no number above 0, when it is
    not clear which currency the rates convert to, and for a table without these columns.

    >>> import lcnb
    >>> fleet = [{"monthly_value": 5.4, "currencycode": "USD"}, {"monthly_value": 90.0, "currencycode": "BRL"},
    ...          {"monthly_value": None, "currencycode": None}]
    >>> lcnb.total(fleet, rates={"BRL": 0.18})
    21.60 USD from 90.00 BRL and 5.40 USD: 2 rows, and 1 without a price, not in the sum
    >>> float(lcnb.total(fleet, rates={"USD": 5.5}, to="BRL"))
    119.7
    >>> lcnb.total(fleet)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    lcnb.errors.InputError: rates: the prices are in BRL and USD, ...
    """
    prices, unpriced = _read_prices(table, column)
    known = {str(code): _checked_rate(code, rate) for code, rate in (rates or {}).items()}
    target = _target_currency(sorted(prices), known, to)
    amounts = {code: math.fsum(prices[code]) for code in sorted(prices)}
    amount = math.fsum(value * (1.0 if code == target else known[code]) for code, value in amounts.items())
    priced = sum(map(len, prices.values()))
    return Total(round(amount, 6), target, amounts, priced, unpriced)


def _read_prices(
    table: pd.DataFrame | Iterable[Mapping[str, Any]], column: str
) -> tuple[dict[str, list[float]], int]:
    """Return the prices by currency, and the number of rows without a price or a currency."""
    prices: dict[str, list[float]] = defaultdict(list)
    unpriced = 0
    for value, code in _price_pairs(table, column):
        if _is_missing(value) or _is_missing(code):
            unpriced += 1
        else:
            prices[str(code)].append(float(value))
    return prices, unpriced


def _price_pairs(table: pd.DataFrame | Iterable[Mapping[str, Any]], column: str) -> Iterable[tuple[Any, Any]]:
    names = (column, CURRENCY_COLUMN)
    frame: Any = table
    if hasattr(frame, "columns"):
        for name in names:
            if name not in frame.columns:
                raise _no_column(name, frame.columns)
        return zip(*(frame[name] for name in names), strict=True)
    rows: list[Any] = list(table)
    for row in rows:
        if not isinstance(row, Mapping):
            raise InputError(field="table", expected="a frame, or rows with prices", value=row)
        for name in names:
            if name not in row:
                raise _no_column(name, row)
    return [(row[column], row[CURRENCY_COLUMN]) for row in rows]


def _no_column(name: str, known: Iterable[object]) -> InputError:
    return InputError(
        f"no column {name!r}{did_you_mean(name, known)}",
        field="table",
        value=name,
        cure="A table of prices has a column of prices (column=...) and a column currencycode, as lc.inventory() has.",
    )


def _is_missing(value: Any) -> bool:
    """Whether a cell is empty: None, NaN or pandas' NA."""
    return value is None or value is not value or type(value).__name__ in ("NAType", "NaTType")


def _checked_rate(code: object, rate: object) -> float:
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < math.inf:
        raise InputError(field=f"rates[{code!r}]", expected="a number above 0", value=rate)
    return float(rate)


def _check_rates_to(to: str, codes: list[str], rates: Mapping[str, float]) -> None:
    """Raise InputError unless each other currency has a rate, and the currency of the sum has none but 1."""
    if rates.get(to, 1.0) != 1.0:
        raise InputError(f"rates: {to} is the currency of the sum, so its rate is 1", value=rates[to])
    missing = [code for code in codes if code != to and code not in rates]
    if missing:
        raise _no_rate(
            missing, rates, f"Pass what one {missing[0]} is worth in {to}: rates={{{missing[0]!r}: ...}}."
        )


def _target_currency(codes: list[str], rates: Mapping[str, float], to: str | None) -> str | None:
    """Return the currency of the sum. InputError when it is not clear, or when a rate is missing."""
    if to is not None:
        _check_rates_to(to, codes, rates)
        return to
    without = [code for code in codes if code not in rates]
    if len(without) == 1:
        return without[0]
    if len(without) > 1:
        raise _no_rate_for_any(without, rates)
    if codes:
        raise InputError(
            f"rates: each currency of the table has a rate ({', '.join(codes)}), so it is not clear which currency "
            "they convert to",
            cure='Name it: to="USD".',
        )
    return None


def _no_rate(missing: list[str], rates: Mapping[str, float], cure: str) -> InputError:
    near = did_you_mean(missing[0], rates) if len(missing) == 1 else ""
    return InputError(f"rates: no rate for {' and '.join(missing)}{near}", value=missing, cure=cure)


def _no_rate_for_any(without: list[str], rates: Mapping[str, float]) -> InputError:
    """Return the error for several currencies without a rate: only the currency of the sum may have none."""
    if rates:
        return _no_rate(
            without,
            rates,
            "Only the currency of the sum needs none: name it with to=.",
        )
    return InputError(
        f"rates: the prices are in {' and '.join(without)}, and there is no rate for one of them",
        value=without,
        cure=f"Pass what one {without[0]} is worth in {without[-1]}: rates={{{without[0]!r}: ...}}.",
    )
