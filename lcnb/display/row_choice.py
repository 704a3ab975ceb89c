"""Which rows and columns of a table are printed, and in which order: the options `--columns`, `--sort`, `--limit`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lcnb.errors import InputError
from lcnb.rows import Rows
from lcnb.suggestions import did_you_mean

#: Headings of columns whose names people do not read easily, in terminals, reports and forms. The options of a command
#: accept the name and the heading.
HEADINGS = {
    "monthly_value": "price",
    "daily_value": "price_per_day",
    "suggested_value": "suggested_price",
    "there_value": "price_there",
    "dearest_value": "dearest_price",
    "currencycode": "currency",
    "total_disk_size": "disk",
    "template_label": "image",
    "duration_s": "seconds",
}
#: The columns that a table shows by default, for tables that have more. `--wide` and data have every column.
DEFAULT_COLUMNS = {
    "instances": (
        "label",
        "state",
        "location",
        "cpus",
        "memory",
        "total_disk_size",
        "ipv4",
        "identifier",
    ),
    "inventory": ("account", "label", "state", "location", "plan", "monthly_value", "ipv4", "tags"),
    "plans": ("slug", "location", "core", "memory", "disk", "bandwidth", "monthly_value"),
    "snapshots": ("slug", "label", "size", "os_reference", "build", "locations"),
    "runs": ("id", "runbook", "status", "started", "duration_s", "account", "attention", "changes"),
    "refused": ("started", "runbook", "exit_code", "account", "reason"),
    "journal": ("at", "changeset", "action", "target", "outcome", "detail"),
    "runbooks": ("name", "purpose"),
    "schedules": ("name", "cron", "next", "last", "status"),
    "schedule problems": ("schedule", "kind", "text"),
    "facts": (
        *(
            "account",
            "label",
            "tags",
            "owner",
            "note",
            "protected",
            "expires",
            "protected_by",
            "protected_at",
        ),
        "identifier",
    ),
    "history": (
        *("label", "state", "location", "plan", "monthly_value", "currencycode", "ipv4", "identifier"),
        *("first_seen", "last_seen", "ended"),
    ),
}
#: Default columns that a narrow terminal omits, the least important one first.
LESS_IMPORTANT_COLUMNS = {
    "instances": ("total_disk_size", "memory", "cpus", "ipv4", "location"),
    "inventory": ("tags", "ipv4", "location"),
    "plans": ("bandwidth",),
    "snapshots": ("locations", "build", "os_reference"),
    "runs": ("started", "account", "changes", "attention", "duration_s"),
    "refused": ("account", "exit_code"),
    "journal": ("detail", "changeset"),
    "facts": ("protected_at", "protected_by", "identifier", "note", "owner"),
    "history": ("ipv4", "identifier", "currencycode", "location", "monthly_value", "plan"),
    "result": ("seconds", "tries", "identifier", "change"),
    "comparison": ("identifier", "not_before", "currencycode"),
    "spending": ("longest_gap_hours", "uncertain_hours", "unpriced", "hours", "machines"),
    "accounts": ("base_url",),
    "schedules": ("cron", "last"),
}


@dataclass(frozen=True)
class RowChoice:
    """What a person asked to see of a table."""

    #: Names or headings of columns, in the order in which they are shown; empty for the default ones.
    columns: Sequence[str] = ()
    #: Show every column.
    wide: bool = False
    #: A column to sort by; `-` before it sorts the largest value first. Missing values are always last.
    sort: str = ""
    #: Show at most this number of rows.
    limit: int | None = None
    #: Show the names of the columns.
    header: bool = True


def arrange_rows(rows: Rows, choice: RowChoice) -> Rows:
    """Return the rows in the wanted order, and of them the wanted number; all columns stay.

    Raises InputError for a column that the table does not have, or whose values have no order.

    >>> machines = Rows("x", {"label": "str", "cpus": "Int64"}, [("web-10", 1), ("web-2", None), ("db", 4)])
    >>> arrange_rows(machines, RowChoice(sort="label")).column("label")
    ['db', 'web-2', 'web-10']
    >>> arrange_rows(machines, RowChoice(sort="-cpus", limit=2)).values
    [('db', 4), ('web-10', 1)]
    """
    values = rows.values
    if choice.sort:
        descending = choice.sort.startswith("-")
        name = find_column(rows, choice.sort.removeprefix("-"), "--sort")
        try:
            values = _sorted_rows(values, list(rows.dtypes).index(name), descending)
        except TypeError:  # structs and lists of a query
            raise InputError(
                f"the values of the column {name!r} have no order", field="--sort", value=name
            ) from None
    return replace(rows, values=values if choice.limit is None else values[: choice.limit])


def chosen_columns(rows: Rows, choice: RowChoice, *, default: Sequence[str] = ()) -> list[str]:
    """Return the columns to show: those of the choice, else all for a wide table, else `default`, else all.

    Raises InputError for a column that the table does not have.
    """
    if choice.columns:
        return list(dict.fromkeys(find_column(rows, name, "--columns") for name in choice.columns))
    return list(rows.dtypes) if choice.wide or not default else list(default)


def select_columns(rows: Rows, names: Sequence[str]) -> Rows:
    """Return the rows with only these columns, in this order."""
    places = [list(rows.dtypes).index(name) for name in names]
    values = [tuple([row[place] for place in places]) for row in rows.values]
    return replace(rows, dtypes={name: rows.dtypes[name] for name in names}, values=values)


def replace_values(rows: Rows, shown: Mapping[str, Mapping[str, str]]) -> Rows:
    """Return the rows with other texts in some columns: column → value → text; other values stay."""
    texts = [shown.get(name, {}) for name in rows.dtypes]
    if not any(texts):
        return rows
    values = [tuple([of.get(value, value) for of, value in zip(texts, row, strict=True)]) for row in rows]
    return replace(rows, values=values)


def find_column(rows: Rows, name: str, option: str) -> str:
    """Return the column with this name or heading. Raises InputError, with the most similar name, if there is none."""
    if name in rows.dtypes:
        return name
    by_heading = {HEADINGS.get(each, each): each for each in rows.dtypes}
    wanted = re.sub(r"\s+(mb|gb|utc)$", "", name.strip().lower())  # as a heading names the unit
    if wanted in rows.dtypes:
        return wanted
    if wanted in by_heading:
        return by_heading[wanted]
    known = [*rows.dtypes, *by_heading]
    raise InputError(
        f"no column {name!r}{did_you_mean(name, known)}. Columns: {', '.join(rows.dtypes)}",
        field=option,
        value=name,
    )


def _sorted_rows(values: Sequence[tuple[Any, ...]], place: int, descending: bool) -> list[tuple[Any, ...]]:
    known = [row for row in values if row[place] is not None]
    missing = [row for row in values if row[place] is None]
    return sorted(known, key=lambda row: _sort_key(row[place]), reverse=descending) + missing


def _sort_key(value: Any) -> Any:
    """Texts are compared as people read them: `web-2` before `web-10`, and capitals like small letters."""
    if not isinstance(value, str):
        return value
    parts = re.split(r"(\d{1,18})", value.casefold())
    return [
        (0, int(part), "") if number % 2 else (1, 0, part) for number, part in enumerate(parts) if part
    ], value


def default_columns(rows: Rows) -> list[str]:
    """Return the columns that a table shows when nothing else is asked for."""
    wanted = DEFAULT_COLUMNS.get(rows.kind)
    return list(rows.dtypes) if wanted is None else [name for name in wanted if name in rows.dtypes]
