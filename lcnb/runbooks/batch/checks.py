"""Check all rows of a batch before any of them starts; one error lists the problems of all rows."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from lcnb.errors import ConfirmationMissing, ParameterError
from lcnb.runbooks.batch.rows import BatchRow
from lcnb.runbooks.notebook import parameters as declared
from lcnb.runbooks.notebook import secret_names, types
from lcnb.runbooks.notebook.find import Runbook
from lcnb.runbooks.preflight import check_account_writable, check_language, find_approval
from lcnb.shortening import name_first
from lcnb.suggestions import did_you_mean

if TYPE_CHECKING:
    from lcnb.runbooks.batch.executors import Placement

#: Problems that one message lists; the others are counted.
MAX_SHOWN_PROBLEMS = 20


def check_confirmed(book: Runbook, rows: list[BatchRow], confirm: bool, placement: Placement) -> None:
    """Raise ConfirmationMissing when rows change an account (`dry_run=False`) without `confirm`.

    Raises ReadOnly when the settings make the account of such a row read-only, ApprovalMissing when they require the
    approval of a second person: a batch has none.
    """
    writing = [
        row
        for row in rows
        if declared.effective_values(book.parameters, row.parameters).get("dry_run") is False
    ]
    if writing and not confirm:
        raise ConfirmationMissing(
            f"{len(writing)} of the rows ({writing[0].where} first) have dry_run=False and change the account, and "
            "nobody confirmed that. Nothing was started. Review a dry run, then pass confirm=True (--yes)."
        )
    for account in dict.fromkeys(row.account for row in writing):
        settings = placement.resolve_settings(book, account)
        check_account_writable(settings)
        find_approval(settings, approved=None)


# --- parameters -----------------------------------------------------------------------------------------


def check_rows(
    book: Runbook, rows: list[BatchRow], common: dict[str, object], placement: Placement
) -> list[BatchRow]:
    """Return the rows with checked and converted parameters. ParameterError lists the problems of all rows.

    `common` holds parameters that every row gets. Each account's values, such as its locations, are read once.
    """
    check_language(
        book, {**common, **{name: value for row in rows for name, value in row.parameters.items()}}
    )
    rows = [_mark_csv_values(row) for row in rows]
    problems = _unknown_column_problems(book, rows)
    declared.check_values(book.parameters, common)  # a problem of all rows is reported once
    row_checks = _RowChecks(book, common, placement)
    checked = [row_checks.check_row(row) for row in rows]
    problems += row_checks.problems
    if problems:
        raise ParameterError(f"{_join_problems(problems)} Nothing was started.")
    return checked


class _RowChecks:
    """Checks rows one by one and collects their problems; what it reads of an account is kept for the next row."""

    def __init__(self, book: Runbook, common: dict[str, object], placement: Placement) -> None:
        self.book, self.common, self.placement = book, common, placement
        self.names = {each.name for each in book.parameters}
        self.problems: list[str] = []
        self._account_problems: dict[str | None, str] = {}
        self._account_choices = cache(lambda account: placement.choices_of_account(book, account))

    def check_row(self, row: BatchRow) -> BatchRow:
        """Return the row with converted parameters; its problems are added to `problems`."""
        given = {**self.common, **row.parameters}
        account = row.account or given.get("account")
        if "account" in self.names and account:
            given["account"] = account
        self._check_account(row, account)
        values: dict[str, Any] = {}
        for name, value in given.items():
            if name in self.names:  # an unknown column is reported once, not per row
                values |= self._checked_value(row, name, value, account)
        try:
            declared.check_required(self.book.parameters, given)
        except ParameterError as error:
            self.problems.append(f"{row.where}: {str(error).removesuffix(' Nothing was started.')}")
        return replace(row, parameters=values, account=account)

    def _check_account(self, row: BatchRow, account: str | None) -> None:
        if account not in self._account_problems:
            problem = self._account_problems[account] = self.placement.account_problem(self.book, account)
            if problem:
                self.problems.append(f"{row.where}, account: {problem}")

    def _checked_value(self, row: BatchRow, name: str, value: Any, account: str | None) -> dict[str, Any]:
        needs_choices = name in declared.ACCOUNT_KINDS and not self._account_problems[account]
        try:
            choices = self._account_choices(account) if needs_choices else None
            return declared.check_values(self.book.parameters, {name: value}, choices)
        except ParameterError as error:
            text = str(error).removesuffix(" Nothing was started.").removeprefix(f"parameter {name}: ")
            self.problems.append(f"{row.where}, {name}: {text}")
            return {}


def _mark_csv_values(row: BatchRow) -> BatchRow:
    """Mark the values of a CSV row as texts that are still to be converted to the type of their parameter."""
    if row.line is None:
        return row
    written = {
        name: types.WrittenText(value) if isinstance(value, str) else value
        for name, value in row.parameters.items()
    }
    return replace(row, parameters=written)


def _unknown_column_problems(book: Runbook, rows: list[BatchRow]) -> list[str]:
    """Describe each column that is not a parameter once, with its first row and without the values of secrets."""
    names = [each.name for each in book.parameters]
    first: dict[str, BatchRow] = {}
    for row in rows:
        for name in row.parameters:
            if name not in names:
                first.setdefault(str(name), row)
    problems = []
    for name, row in first.items():
        if secret_names.is_secret_name(name):
            cure = "a secret cannot be a parameter, because parameters are saved; name an account instead"
            problems.append(f"column {name} (from {row.where}): {cure}.")
        else:
            near = did_you_mean(name, names)
            known = f"Parameters: {', '.join(names)}." if names else "This runbook has no parameters."
            problems.append(
                f"column {name} (from {row.where}, value {row.parameters[name]!r}): no such parameter{near}. {known}"
            )
    return problems


def _join_problems(problems: list[str]) -> str:
    if len(problems) == 1:
        return problems[0]
    separator = "\n  "
    return f"{len(problems)} problems:{separator}{name_first(problems, MAX_SHOWN_PROBLEMS, separator=separator)}\n"
