"""The rows of a batch: read from a DataFrame, dicts or a CSV file, and repeated for each account."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcnb.csv_file import read_csv
from lcnb.errors import ConfigError, InputError, ParameterError
from lcnb.flags import checked_flag
from lcnb.runbooks.notebook.find import Runbook

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class BatchRow:
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


def collect_rows(over: Any, book: Runbook) -> list[BatchRow]:
    if over is None:
        return [BatchRow(1, {})]
    if isinstance(over, str | Path):
        rows = read_csv_rows(Path(over))
    elif hasattr(over, "to_dict") and hasattr(over, "columns"):
        rows = [BatchRow(number, given) for number, given in enumerate(_frame_rows(over), 1)]
    else:
        rows = []
        for number, given in enumerate(over, 1):
            if not isinstance(given, Mapping):
                raise InputError(f"row {number} of `over` is {type(given).__name__}, not a dict")
            rows.append(BatchRow(number, dict(given)))
    if not rows:
        raise InputError("there are no rows to run over. Nothing was started.")
    if any(each.name == "account" for each in book.parameters):
        return [replace(row, account=_row_account(row)) for row in rows]
    return [
        replace(row, account=_row_account(row), parameters=_drop_key(row.parameters, "account"))
        for row in rows
    ]


def _row_account(row: BatchRow) -> str | None:
    given = row.parameters.get("account")
    if given is None or isinstance(given, str):
        return given or None
    raise ParameterError(
        f"{row.where}, account: {given!r} is not the name of an account. Nothing was started."
    )


def _drop_key(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in given.items() if key != name}


def _frame_rows(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
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


def read_csv_rows(path: Path) -> list[BatchRow]:
    """The rows of a CSV file with a header, every value a text; an empty cell is not given.

    Raises InputError that names the lines which cannot be read.
    """
    found = read_csv(path, not_done="started").rows
    return [BatchRow(number, row.values, line=row.line) for number, row in enumerate(found, 1)]


def repeat_per_account(rows: list[BatchRow], accounts: bool | Sequence[str]) -> list[BatchRow]:
    """Each row for each of the accounts."""
    if isinstance(accounts, str):
        raise InputError(
            f"accounts: {accounts!r} is a text; say [{accounts!r}], or True for all. Nothing was started."
        )
    if not hasattr(accounts, "__iter__"):
        accounts = checked_flag("accounts", accounts, not_done="started")
    names = _account_names() if accounts is True else list(accounts or ())
    if not names:
        return rows
    both = next((row for row in rows if row.account), None)
    if both:
        raise InputError(
            f"{both.where} names the account {both.account!r}, and `accounts` others; say one. Nothing was started."
        )
    pairs = [(row, name) for row in rows for name in dict.fromkeys(names)]
    return [replace(row, number=number, account=name) for number, (row, name) in enumerate(pairs, 1)]


def _account_names() -> list[str]:
    from lcnb.token_places import accounts

    listed = accounts()
    names = [str(name) for name in listed["account"].dropna().drop_duplicates()]
    if not names:
        raise ConfigError(
            "lcnb.toml has no accounts; `lcnb accounts` tells where it is looked for. Nothing was started."
        )
    return names
