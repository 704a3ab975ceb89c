"""Rows as lines of text: each value in one line, columns aligned, and no wider than a terminal.

When a terminal is too narrow, first the free texts are cut (an ellipsis shows it) and the sentences are wrapped, then
less important columns are omitted, then the longest texts are cut; a time is never cut. A table whose columns were
chosen omits none, and a wide one also cuts nothing: where that does not fit, it shows one block per row, with one line
per value. Without a width, as in a pipe, nothing is cut, wrapped or omitted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import accumulate, zip_longest
from typing import Any

from lcnb.display.formats import MISSING, SHOWN_UNITS, TIME_ZONE, format_value
from lcnb.display.palette import HEADING_STYLE, MISSING_STYLE, STATE_COLORS
from lcnb.display.row_choice import (
    HEADINGS,
    LESS_IMPORTANT_COLUMNS,
    RowChoice,
    chosen_columns,
    default_columns,
    select_columns,
)
from lcnb.rows import NUMBER_DTYPES, TIME_DTYPE, Rows

ELLIPSIS = "…"
GAP = "  "
#: Columns of sentences, which may be cut before another column is omitted.
FREE_TEXTS = frozenset(
    ("purpose", "help", "title", "detail", "problem", "price_note", "public_key", "token_from", "base_url",
     "folder", "description", "note", "error", "request", "body", "parameters", "value", "first", "second")
)  # fmt: skip
#: Columns of sentences that say little when they are cut: what does not fit continues in further lines.
WRAPPED_TEXTS = frozenset(("purpose", "type", "help", "detail", "reason", "text"))
#: The tables that have columns in MB or GB.
KINDS_WITH_UNITS = frozenset(("instances", "inventory", "history", "plans", "snapshots"))
#: The least width, in characters, to which a column is cut.
MIN_FREE_WIDTH, MIN_TEXT_WIDTH = 24, 8
#: Matches texts of which each character takes one place in a terminal.
_PLAIN_TEXT = re.compile(r"[\x20-\u02ff–…→]*")

#: A piece of a line, and its style for a terminal ("" for none).
Span = tuple[str, str]
Line = list[Span]


@dataclass(frozen=True)
class TextColumn:
    """A column as it is printed."""

    name: str
    cells: list[str]
    width: int
    #: Numbers are aligned to the right.
    right: bool
    #: Whether a narrow terminal may cut the cells: half a number or half a time is a wrong one.
    can_be_cut: bool
    #: The name above the column, with its unit.
    heading: str


@dataclass(frozen=True)
class TextTable:
    """Lines to print; the number of default columns for which there was no room, and whether a text was cut."""

    lines: Sequence[Line]
    omitted: int = 0
    cut: bool = False


def layout_rows(rows: Rows, choice: RowChoice, width: int | None = None) -> TextTable:
    """Return the lines of a table that is at most `width` characters wide; None for any width.

    >>> machines = Rows("x", {"label": "str", "cpus": "Int64"}, [("web-01", 1), (None, 16)])
    >>> for line in layout_rows(machines, RowChoice()).lines:
    ...     print("".join(text for text, _ in line).rstrip())
    label   cpus
    web-01     1
    –         16
    """
    names = chosen_columns(rows, choice, default=default_columns(rows))
    columns = _text_columns(rows, names, choice.header)
    if width is None or _total_width(columns) <= width:
        return TextTable(list(_table_lines(columns, choice.header, rule=width is not None)))
    fitted = _fitted_columns(columns, choice, width, LESS_IMPORTANT_COLUMNS.get(rows.kind, ()))
    if _total_width(fitted) > width:
        return TextTable(list(_block_lines(_text_columns(rows, names))))
    full_widths = {each.name: each.width for each in columns}
    cut = any(each.width < full_widths[each.name] and each.name not in WRAPPED_TEXTS for each in fitted)
    return TextTable(list(_table_lines(fitted, choice.header, rule=True)), len(names) - len(fitted), cut)


# --- columns --------------------------------------------------------------------------------------------


def _text_columns(rows: Rows, names: Sequence[str], header: bool = True) -> list[TextColumn]:
    """The columns of a table as texts, as wide as their cells and, with `header`, their headings.

    A price without a column for its currency names the currency itself.
    """
    shown = select_columns(rows, names)
    values = list(zip(*shown.values, strict=True)) or [()] * len(names)
    currency_hidden = "currencycode" in rows.dtypes and "currencycode" not in names
    columns = []
    for name, of_column in zip(shown.dtypes, values, strict=True):
        cells = [cell_text(value) for value in of_column]
        if name == "monthly_value" and currency_hidden:
            cells = _cells_with_currency(cells, of_column, rows.column("currencycode"))
        widest = max(map(text_width, cells), default=0)
        heading = _heading(rows, name)
        number = shown.dtypes[name] in NUMBER_DTYPES
        can_be_cut = not number and shown.dtypes[name] != TIME_DTYPE
        width = max(widest, text_width(heading) if header else 0)
        columns.append(TextColumn(name, cells, width, number, can_be_cut, heading))
    return columns


def _heading(rows: Rows, name: str) -> str:
    """The name of a column as people read it, with the unit or time zone of its values."""
    text, unit = HEADINGS.get(name, name), None
    if rows.dtypes[name].endswith(", UTC]"):
        unit = TIME_ZONE
    elif rows.kind in KINDS_WITH_UNITS:
        from lcnb.frames.columns import column_units  # loads the models, which other tables do not need

        unit = column_units(rows.kind).get(name)
    return f"{text} {unit}" if unit in SHOWN_UNITS else text


def _cells_with_currency(cells: Sequence[str], prices: Sequence[Any], codes: Sequence[Any]) -> list[str]:
    """The texts of prices, each with its currency where both are known."""
    return [
        text if price is None or code is None else f"{text} {code}"
        for text, price, code in zip(cells, prices, codes, strict=True)
    ]


def cell_text(value: Any) -> str:
    """Write a value as one line: money with two decimals, times in UTC, None as an en dash.

    >>> cell_text(1234.5), cell_text(True), cell_text("a\\nb"), cell_text(None)
    ('1,234.50', 'yes', 'a b', '–')
    """
    if isinstance(value, float):
        return f"{value:,.2f}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    text = value if isinstance(value, str) else format_value(value)
    return text if text.isprintable() else "".join(map(_printable_character, text))


#: Characters inside a word of some languages and inside some pictures; they are no format of the whole line.
_JOINERS = "\u200c\u200d"


def _printable_character(character: str) -> str:
    """A character that takes no part in the format of the terminal: a label may hold an escape sequence."""
    if character.isprintable() or character in _JOINERS:
        return character
    return " " if character.isspace() else character.encode("unicode_escape").decode("ascii")


def text_width(text: str) -> int:
    """The number of places that a text takes in a terminal; some characters take two, some none."""
    if _PLAIN_TEXT.fullmatch(text):
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _total_width(columns: Sequence[TextColumn]) -> int:
    return sum(each.width for each in columns) + len(GAP) * (len(columns) - 1)


def _fitted_columns(
    columns: Sequence[TextColumn], choice: RowChoice, width: int, less_important: Sequence[str]
) -> Sequence[TextColumn]:
    """The columns made as narrow as `width` requires and `choice` allows, without those that had to be omitted."""
    if choice.wide:
        return columns
    free = FREE_TEXTS | WRAPPED_TEXTS
    fitted = _cut_columns(columns, width, free, MIN_FREE_WIDTH)
    if choice.columns:
        return fitted
    for name in less_important:
        if _total_width(fitted) <= width:
            break
        columns = [each for each in columns if each.name != name]
        fitted = _cut_columns(columns, width, free, MIN_FREE_WIDTH)
    texts = {each.name for each in fitted if each.can_be_cut}
    return _cut_columns(fitted, width, texts, MIN_TEXT_WIDTH)


def _cut_columns(
    columns: Sequence[TextColumn], width: int, names: frozenset[str] | set[str], least: int
) -> list[TextColumn]:
    """Make the widest of the named columns narrower, until the table fits or each is as narrow as it may be."""
    named = [each for each in columns if each.name in names]
    widths = _cut_widths(
        {each.name: each.width for each in named},
        {each.name: max(least, text_width(each.heading)) for each in named},
        _total_width(columns) - width,
    )
    return [replace(each, width=widths.get(each.name, each.width)) for each in columns]


def _cut_widths(widths: dict[str, int], least: dict[str, int], excess: int) -> dict[str, int]:
    """The widths with `excess` taken from them, always from the widest one that is above its least width."""
    widths = dict(widths)
    while excess > 0:
        candidates = [name for name in widths if widths[name] > least[name]]
        if not candidates:
            break
        widest = max(candidates, key=widths.__getitem__)
        narrower = [widths[name] for name in candidates if widths[name] < widths[widest]]
        step = min(excess, widths[widest] - max([*narrower, least[widest]]))
        widths[widest] -= step
        excess -= step
    return widths


def cut_text(text: str, width: int) -> str:
    """Return a text of at most this width, with an ellipsis at its end if something was cut.

    >>> cut_text("web-server-01", 8)
    'web-ser…'
    """
    if text_width(text) <= width:
        return text
    widths = accumulate(map(text_width, text))
    return "".join(character for character, end in zip(text, widths, strict=True) if end < width) + ELLIPSIS


# --- lines ----------------------------------------------------------------------------------------------


def _table_lines(columns: Sequence[TextColumn], header: bool, *, rule: bool) -> Iterator[Line]:
    if header:
        yield _joined_line([(_aligned(each, each.heading), HEADING_STYLE) for each in columns])
        if rule:
            yield [("─" * _total_width(columns), MISSING_STYLE)]
    for cells in zip(*(each.cells for each in columns), strict=True):
        parts = [_cell_lines(column, text) for column, text in zip(columns, cells, strict=True)]
        for texts in zip_longest(*parts, fillvalue=""):
            yield _joined_line(
                [
                    (_aligned(column, text), _cell_style(column.name, text))
                    for column, text in zip(columns, texts, strict=True)
                ]
            )


def _cell_lines(column: TextColumn, text: str) -> list[str]:
    """The lines of a cell: several for a sentence that is wider than its column, else one."""
    if column.name not in WRAPPED_TEXTS or text_width(text) <= column.width:
        return [text]
    return wrap_text(text, column.width)


def wrap_text(text: str, width: int) -> list[str]:
    """Return a text as lines of at most this width, broken between words; a longer word is broken inside.

    The width is that of a terminal, where a character may take two columns: textwrap counts characters.

    >>> wrap_text("Turns the selected machines on or off.", 12)
    ['Turns the', 'selected', 'machines on', 'or off.']
    """
    lines = [""]
    for word in text.split():
        if lines[-1] and text_width(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
            continue
        if lines[-1]:
            lines.append("")
        for character in word:
            if lines[-1] and text_width(lines[-1] + character) > width:
                lines.append("")
            lines[-1] += character
    return lines


def _block_lines(columns: Sequence[TextColumn]) -> Iterator[Line]:
    """One block of lines per row, with one line per value; a terminal wraps only a value that is longer than a line."""
    name_width = max(text_width(each.heading) for each in columns)
    for number, cells in enumerate(zip(*(each.cells for each in columns), strict=True)):
        if number:
            yield []
        for column, text in zip(columns, cells, strict=True):
            yield [
                (column.heading.ljust(name_width) + GAP, HEADING_STYLE),
                (text, _cell_style(column.name, text)),
            ]


def _aligned(column: TextColumn, text: str) -> str:
    text = cut_text(text, column.width)
    space = " " * (column.width - text_width(text))
    return space + text if column.right else text + space


def _joined_line(cells: Sequence[Span]) -> Line:
    line: Line = []
    for number, cell in enumerate(cells):
        line += [(GAP, ""), cell] if number else [cell]
    return line


def _cell_style(name: str, text: str) -> str:
    if text == MISSING:
        return MISSING_STYLE
    return STATE_COLORS.get(text, "") if name == "state" else ""
