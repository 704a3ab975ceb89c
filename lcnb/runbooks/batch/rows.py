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
    """One run of a batch: its number (from 1), its parameters as given, and its account."""

    number: int
    parameters: Mapping[str, Any]
    account: str | None = None
    #: The line of the CSV file, for messages.
    line: int | None = None

    @property
    def where(self) -> str:
        """The place of the row, for messages, such as `row 2 (line 3)`."""
        return f"row {self.number}" + (f" (line {self.line})" if self.line else "")


def collect_rows(over: Any, book: Runbook) -> list[BatchRow]:
    """Return the rows of `over` (None, a DataFrame, dicts, or the path of a CSV file), each with its account.

    Without `over` there is one row without parameters. InputError when `over` has no rows or an unusable row.
    """
    if over is None:
        return [BatchRow(1, {})]
    rows = _read_rows(over)
    if not rows:
        raise InputError("there are no rows to run over. Nothing was started.")
    has_account_parameter = any(each.name == "account" for each in book.parameters)
    return [
        replace(
            row,
            account=_row_account(row),
            parameters=row.parameters if has_account_parameter else _drop_key(row.parameters, "account"),
        )
        for row in rows
    ]


def _read_rows(over: Any) -> list[BatchRow]:
    if isinstance(over, str | Path):
        return read_csv_rows(Path(over))
    if hasattr(over, "to_dict") and hasattr(over, "columns"):
        return [BatchRow(number, given) for number, given in enumerate(_frame_rows(over), 1)]
    rows = []
    for number, given in enumerate(over, 1):
        if not isinstance(given, Mapping):
            raise InputError(
                f"row {number} of `over` is {type(given).__name__}, not a dict. Nothing was started."
            )
        rows.append(BatchRow(number, dict(given)))
    return rows


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
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise InputError(f"the column {repeated[0]!r} exists twice. Nothing was started.")
    for values in zip(*(frame[name] for name in frame.columns), strict=True):
        yield {
            name: value
            for name, value in zip(names, values, strict=True)
            if not (pd.api.types.is_scalar(value) and pd.isna(value))
        }


def read_csv_rows(path: Path) -> list[BatchRow]:
    """Read the rows of a CSV file with a header. All values are texts; an empty cell leaves its parameter out.

    InputError names the lines that cannot be read.
    """
    found = read_csv(path, not_done="started").rows
    return [BatchRow(number, row.values, line=row.line) for number, row in enumerate(found, 1)]


def repeat_per_account(rows: list[BatchRow], accounts: bool | Sequence[str]) -> list[BatchRow]:
    """Return every row once per account: all accounts of lcnb.toml for True, else the named ones."""
    names = _chosen_accounts(accounts)
    if not names:
        return rows
    conflict = next((row for row in rows if row.account), None)
    if conflict:
        raise InputError(
            f"{conflict.where} names the account {conflict.account!r}, and `accounts` names others. Use one of them. "
            "Nothing was started."
        )
    pairs = [(row, name) for row in rows for name in dict.fromkeys(names)]
    return [replace(row, number=number, account=name) for number, (row, name) in enumerate(pairs, 1)]


def _chosen_accounts(accounts: bool | Sequence[str]) -> list[str]:
    if isinstance(accounts, str):
        raise InputError(
            f"accounts: {accounts!r} is a text. Pass a list such as [{accounts!r}], or True for all. "
            "Nothing was started."
        )
    if not hasattr(accounts, "__iter__"):
        accounts = checked_flag("accounts", accounts, not_done="started")
    return _configured_accounts() if accounts is True else list(accounts or ())


def _configured_accounts() -> list[str]:
    from lcnb.token_places import account_rows

    names = list(dict.fromkeys(name for name in account_rows().column("account") if name))
    if not names:
        raise ConfigError(
            "lcnb.toml has no accounts; `lcnb accounts` shows where that file is expected. Nothing was started."
        )
    return names
