"""Rows as a workbook for Excel, by XlsxWriter (`pip install 'lcnb[xlsx]'`).

Each value has the type of its column. A text stays a text: no label becomes a number, a formula or a link. Excel knows
no time zones, so times are written in UTC and the header says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO
from typing import Any

from lcnb.errors import ConfigError, InputError
from lcnb.rows import Rows

#: Limits of a worksheet.
MAX_ROWS, MAX_COLUMNS, MAX_TEXT_LENGTH = 1_048_576, 16_384, 32_767
#: Larger integers are not exact in Excel, whose numbers are floats.
MAX_EXACT_INTEGER = 2**53
#: Excel's calendar begins in 1900, with a day that did not exist.
FIRST_YEAR = 1901
MAX_COLUMN_WIDTH_PIXELS = 420
TIME_WIDTH_PIXELS = 150
TIME_DTYPE_PREFIX = "datetime64"
MAX_SHEET_NAME_LENGTH = 31
NUMBER_FORMAT, TIME_FORMAT, DATE_FORMAT = "#,##0.00####", "yyyy-mm-dd hh:mm:ss", "yyyy-mm-dd"


def check_workbook_library() -> None:
    """Raise ConfigError when XlsxWriter is not installed."""
    try:
        import xlsxwriter  # noqa: F401
    except ImportError:
        raise ConfigError(
            "-o xlsx needs XlsxWriter, which is not installed",
            cure="Install it: pip install 'lcnb[xlsx]'.",
            not_done="sent",
        ) from None


def workbook_bytes(rows: Rows, *, header: bool = True) -> bytes:
    """Return the bytes of a workbook with one sheet: a frozen header, columns as wide as their values.

    Missing values are empty cells. Raises InputError for more rows or columns, or a longer text, than a sheet can hold.

    >>> workbook_bytes(Rows("plans", {"slug": "str", "core": "Int64"}, [("1vcpu", 1)]))[:2]
    b'PK'
    """
    import xlsxwriter

    _check_size(rows, header)
    buffer = BytesIO()
    with xlsxwriter.Workbook(buffer, {"in_memory": True}) as book:
        sheet = book.add_worksheet((rows.kind or "table")[:MAX_SHEET_NAME_LENGTH])
        if header:
            _write_header(sheet, rows, book.add_format({"bold": True, "bottom": 1}))
        formats = {text: book.add_format({"num_format": text}) for text in (TIME_FORMAT, DATE_FORMAT)}
        for place, (name, dtype) in enumerate(rows.dtypes.items()):
            number = book.add_format({"num_format": NUMBER_FORMAT}) if dtype == "Float64" else None
            write = _cell_writer(sheet, {**formats, "": number}, is_text=dtype == "str")
            for line, value in enumerate(rows.column(name), int(header)):
                write(line, place, value)
        sheet.autofit(MAX_COLUMN_WIDTH_PIXELS)
        for place, dtype in enumerate(rows.dtypes.values()):
            if dtype.startswith(TIME_DTYPE_PREFIX):  # autofit measures a date without its time
                sheet.set_column_pixels(place, place, TIME_WIDTH_PIXELS)
    return buffer.getvalue()


def _write_header(sheet: Any, rows: Rows, bold: Any) -> None:
    """Write the names of the columns into a row that stays visible and filters."""
    for place, (name, dtype) in enumerate(rows.dtypes.items()):
        sheet.write_string(0, place, f"{name} (UTC)" if dtype.startswith(TIME_DTYPE_PREFIX) else name, bold)
    sheet.freeze_panes(1, 0)
    if len(rows) and len(rows.dtypes):
        sheet.autofilter(0, 0, len(rows), len(rows.dtypes) - 1)


def _check_size(rows: Rows, header: bool) -> None:
    for count, most, noun in (
        (len(rows) + header, MAX_ROWS, "rows"),
        (len(rows.dtypes), MAX_COLUMNS, "columns"),
    ):
        if count > most:
            raise InputError(
                f"-o xlsx: a sheet holds at most {most:,} {noun}, and this table has {count:,}",
                cure="Use -o parquet or -o csv.",
            )
    for name in rows.dtypes:
        longest = max((_text_length(value) for value in rows.column(name)), default=0)
        if longest > MAX_TEXT_LENGTH:
            raise InputError(
                f"-o xlsx: a text of column {name} has {longest:,} characters; a cell holds {MAX_TEXT_LENGTH:,}",
                cure="Use -o parquet or -o csv, or choose other columns: --columns.",
            )


def _text_length(value: object) -> int:
    """Return the length of a value as text, in the units of UTF-16, which Excel counts; 0 for one that is no text."""
    return len(value.encode("utf-16-le", "surrogatepass")) // 2 if isinstance(value, str) else 0


def _cell_writer(sheet: Any, formats: dict[str, Any], *, is_text: bool) -> Callable[[int, int, object], None]:
    """Return a function that writes a value into the cell of a row and a column; a column of texts has only texts."""

    def write(line: int, place: int, value: object) -> None:
        if value is None:
            return
        if is_text:
            sheet.write_string(line, place, str(value))
        elif isinstance(value, bool):
            sheet.write_boolean(line, place, value)
        elif isinstance(value, int | float | Decimal) and _is_exact_number(value):
            sheet.write_number(line, place, value, formats[""])
        elif isinstance(value, datetime) and value.year >= FIRST_YEAR:
            naive = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
            sheet.write_datetime(line, place, naive, formats[TIME_FORMAT])
        elif isinstance(value, date) and value.year >= FIRST_YEAR:
            sheet.write_datetime(line, place, value, formats[DATE_FORMAT])
        else:
            sheet.write_string(line, place, str(value))

    return write


def _is_exact_number(value: int | float | Decimal) -> bool:
    """Whether Excel can hold a number: not infinite, and no integer that it would round."""
    if isinstance(value, int):
        return abs(value) <= MAX_EXACT_INTEGER
    return math.isfinite(value)
