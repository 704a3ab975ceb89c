"""Check all rows of a batch before any of them starts; one error names every wrong row."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from lcnb.errors import ConfirmationMissing, ParameterError
from lcnb.runbooks.batch.rows import BatchRow
from lcnb.runbooks.notebook import parameters as declared
from lcnb.runbooks.notebook import secret_names, types
from lcnb.runbooks.notebook.find import Runbook
from lcnb.runbooks.preflight import (
    check_language,
)
from lcnb.suggestions import did_you_mean

if TYPE_CHECKING:
    from lcnb.runbooks.batch.executors import Placement
#: Wrong rows that a message names; the rest is counted.
MAX_SHOWN_PROBLEMS = 20


def check_confirmed(book: Runbook, rows: list[BatchRow], confirm: bool) -> None:
    writing = [
        row
        for row in rows
        if declared.effective_values(book.parameters, row.parameters).get("dry_run") is False
    ]
    if writing and not confirm:
        raise ConfirmationMissing(
            f"{len(writing)} of the rows ({writing[0].where} first) have dry_run=False and change the account, and "
            "nobody confirmed that. Nothing was started. Look at a dry run, then pass confirm=True (--yes)."
        )


# --- the check ------------------------------------------------------------------------------------------


def check_rows(
    book: Runbook, rows: list[BatchRow], common: dict[str, object], where: Placement
) -> list[BatchRow]:
    """The rows with all their parameters converted. ParameterError names all that is wrong, row by row."""
    check_language(
        book, {**common, **{name: value for row in rows for name, value in row.parameters.items()}}
    )
    rows = [_mark_csv_values(row) for row in rows]
    problems = _unknown_column_problems(book, rows)
    names = {each.name for each in book.parameters}
    takes_account = "account" in names
    choices = cache(lambda account: where.choices(book, account))
    declared.check_values(book.parameters, common)  # what is wrong for all rows is told once
    usable: dict[str | None, str] = {}
    done: list[BatchRow] = []
    for row in rows:
        given = {**common, **row.parameters}
        account = row.account or given.get("account")
        if takes_account and account:
            given["account"] = account
        if account not in usable:
            usable[account] = where.problem(book, account)
            if usable[account]:
                problems.append(f"{row.where}, account: {usable[account]}")
        checked: dict[str, Any] = {}
        for name, value in given.items():
            if name not in names:
                continue  # told already, once for its column
            try:
                known = choices(account) if name in declared.ACCOUNT_KINDS and not usable[account] else None
                checked |= declared.check_values(book.parameters, {name: value}, known)
            except ParameterError as wrong:
                text = str(wrong).removesuffix(" Nothing was started.").removeprefix(f"parameter {name}: ")
                problems.append(f"{row.where}, {name}: {text}")
        try:
            declared.check_required(book.parameters, given)
        except ParameterError as wrong:
            problems.append(f"{row.where}: {str(wrong).removesuffix(' Nothing was started.')}")
        done.append(replace(row, parameters=checked, account=account))
    if problems:
        raise ParameterError(f"{_join_problems(problems)} Nothing was started.")
    return done


def _mark_csv_values(row: BatchRow) -> BatchRow:
    """A row of a CSV file: its cells are texts of whatever type they look like."""
    if row.line is None:
        return row
    written = {
        name: types.WrittenText(value) if isinstance(value, str) else value
        for name, value in row.parameters.items()
    }
    return replace(row, parameters=written)


def _unknown_column_problems(book: Runbook, rows: list[BatchRow]) -> list[str]:
    """A column that is no parameter is told once, with the first row that has it, and never with a secret's value."""
    names = [each.name for each in book.parameters]
    first: dict[str, BatchRow] = {}
    for row in rows:
        for name in row.parameters:
            if name not in names:
                first.setdefault(str(name), row)
    problems = []
    for name, row in first.items():
        if secret_names.is_secret_name(name):
            cure = "a secret cannot be a parameter, for parameters are saved; name an account"
            problems.append(f"column {name} (from {row.where}): {cure}.")
        else:
            near = did_you_mean(name, names)
            known = f"Parameters: {', '.join(names)}." if names else "This runbook takes none."
            problems.append(
                f"column {name} (from {row.where}, value {row.parameters[name]!r}): no such parameter{near}. {known}"
            )
    return problems


def _join_problems(problems: list[str]) -> str:
    if len(problems) == 1:
        return problems[0]
    more = (
        f"\n  ... and {len(problems) - MAX_SHOWN_PROBLEMS} more" if len(problems) > MAX_SHOWN_PROBLEMS else ""
    )
    return f"{len(problems)} problems:\n  " + "\n  ".join(problems[:MAX_SHOWN_PROBLEMS]) + more + "\n"
