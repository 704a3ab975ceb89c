"""The rows of a batch: read from a DataFrame, dicts or a CSV file, and repeated for each account."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcnb.csv_file import read_csv
from lcnb.errors import ConfigError, InputError, ParameterError
from lcnb.flags import NOTHING_STARTED, checked_flag
from lcnb.runbooks.notebook.find import Runbook

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Row:
    """One run to be made: its number (from 1), its parameters as given, its account."""

    number: int
    parameters: Mapping[str, Any]
    account: str | None = None
    #: The line of the CSV file, for messages.
    line: int | None = None

    @property
    def where(self) -> str:
        return f"row {self.number}" + (f" (line {self.line})" if self.line else "")


# --- the rows -------------------------------------------------------------------------------------------


def _rows(over: Any, book: Runbook) -> list[Row]:
    if over is None:
        return [Row(1, {})]
    if isinstance(over, str | Path):
        rows = read_rows(Path(over))
    elif hasattr(over, "to_dict") and hasattr(over, "columns"):
        rows = [Row(number, given) for number, given in enumerate(_of_frame(over), 1)]
    else:
        rows = []
        for number, given in enumerate(over, 1):
            if not isinstance(given, Mapping):
                raise InputError(f"row {number} of `over` is {type(given).__name__}, not a dict")
            rows.append(Row(number, dict(given)))
    if not rows:
        raise InputError("there are no rows to run over. Nothing was started.")
    if any(each.name == "account" for each in book.parameters):
        return [replace(row, account=_account_of(row)) for row in rows]
    return [
        replace(row, account=_account_of(row), parameters=_without(row.parameters, "account")) for row in rows
    ]


def _account_of(row: Row) -> str | None:
    given = row.parameters.get("account")
    if given is None or isinstance(given, str):
        return given or None
    raise ParameterError(
        f"{row.where}, account: {given!r} is not the name of an account. Nothing was started."
    )


def _without(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in given.items() if key != name}


def _of_frame(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    import pandas as pd

    names = [str(name) for name in frame.columns]
    doubles = [name for name, times in Counter(names).items() if times > 1]
    if doubles:
        raise InputError(f"the column {doubles[0]!r} is there twice. Nothing was started.")
    for values in zip(*(frame[name] for name in frame.columns), strict=True):
        yield {
            name: value
            for name, value in zip(names, values, strict=True)
            if not (pd.api.types.is_scalar(value) and pd.isna(value))
        }


def read_rows(path: Path) -> list[Row]:
    """The rows of a CSV file with a header, every value a text; an empty cell is not given.

    Raises InputError that names the lines which cannot be read.
    """
    found = read_csv(path, consequence="Nothing was started.").rows
    return [Row(number, row.values, line=row.line) for number, row in enumerate(found, 1)]


def _with_accounts(rows: list[Row], accounts: bool | Sequence[str]) -> list[Row]:
    """Each row for each of the accounts."""
    if isinstance(accounts, str):
        raise InputError(
            f"accounts: {accounts!r} is a text; say [{accounts!r}], or True for all. Nothing was started."
        )
    if not hasattr(accounts, "__iter__"):
        accounts = checked_flag("accounts", accounts, NOTHING_STARTED)
    names = _all_accounts() if accounts is True else list(accounts or ())
    if not names:
        return rows
    both = next((row for row in rows if row.account), None)
    if both:
        raise InputError(
            f"{both.where} names the account {both.account!r}, and `accounts` others; say one. Nothing was started."
        )
    pairs = [(row, name) for row in rows for name in dict.fromkeys(names)]
    return [replace(row, number=number, account=name) for number, (row, name) in enumerate(pairs, 1)]


def _all_accounts() -> list[str]:
    from lcnb.token_places import accounts

    listed = accounts()
    names = [str(name) for name in listed["account"].dropna().drop_duplicates()]
    if not names:
        raise ConfigError(
            "lcnb.toml has no accounts; `lcnb accounts` tells where it is looked for. Nothing was started."
        )
    return names
