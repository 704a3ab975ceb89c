"""The one reader of CSV files: fleets, batches of parameters, saved tables.

A file of desired machines decides what is deleted, so nothing in it is guessed or dropped: every value is a text (`007`
and `NA` too), only an empty cell is missing, a row of another length than the header is an error with its line, and
what spreadsheets add (byte order mark, semicolons, empty rows) is understood. A `#` begins a comment at the start of a
line and nowhere else.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lcnb.errors import InputError
from lcnb.files import NotText, read_text
from lcnb.names import comparable_name

#: What may separate the values of a row: the comma, the semicolon (Excel, where the comma is decimal), the tab.
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
#: Wrong rows that one message names; the rest are counted.
MAX_PROBLEMS_SHOWN = 20


@dataclass(frozen=True)
class CsvRow:
    """One row: the physical line of the file where it begins, and its values. An empty cell has no value."""

    line: int
    values: Mapping[str, str]


@dataclass(frozen=True)
class CsvFile:
    """What a CSV file holds: the names of its columns, its rows, and its comments (line → text)."""

    columns: list[str]
    rows: list[CsvRow]
    comments: Mapping[int, str] = field(default_factory=dict)


def read_csv(path: str | Path, *, consequence: str = "Nothing was sent.") -> CsvFile:
    """Read a CSV file that a person wrote or a spreadsheet saved.

    Names of columns are trimmed and Unicode-normalised. Values are texts as they are written; spaces after a separator
    are no part of them. Columns without a name, and rows without a value, are left out when they are entirely empty.

    Args:
        consequence: the end of each error message: what was not done.

    Raises InputError for a file that cannot be read, is not UTF-8, has no header, a column twice, a row with more or
    fewer values than columns, or a quote that does not end.
    """
    try:
        text = read_text(Path(path), "save it as CSV UTF-8")
        lines = _CsvLines(text)
        separator = _detect_separator(lines)
        reader = csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)
        records = _iter_records(reader, lines)
        start, names = next(records, (1, []))
        columns = [comparable_name(name) for name in names]
        _check_columns(path, start, columns, separator, consequence)
        rows = _parse_rows(path, columns, records, separator, consequence)
    except (OSError, NotText) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        raise InputError(f"{path} cannot be read: {reason}. {consequence}") from None
    except csv.Error as error:
        raise InputError(f"{path}, line {lines.start}: {error}. {consequence}") from None
    return CsvFile([name for name in columns if name], rows, lines.comments)


def read_table(path: Path) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of a table that lcnb saved itself: no comments, no row left out, every cell a text.

    Raises InputError for a row with more or fewer values than columns, OSError, NotText or csv.Error otherwise.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    header = next(reader, [])
    rows = [cells or [""] for cells in reader]
    if any(len(cells) != len(header) for cells in rows):
        raise InputError(f"{path}: a row has more or fewer values than columns.")
    return header, rows


class _CsvLines:
    """The lines of a text for `csv.reader`: comments are left out, and the line where each record begins is known.

    Within a quoted value a line that begins with # is no comment; so the caller says when a record begins.
    """

    def __init__(self, text: str) -> None:
        self._lines = iter(io.StringIO(text, newline=""))
        self._number = 0
        self._first = ""
        #: The line where the present record begins.
        self.start = 0
        self.comments: dict[int, str] = {}
        self.inside = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self._first:
            line, self._first = self._first, ""
            return line
        for line in self._lines:
            self._number += 1
            if not self.inside:
                self.start = self._number
                if line.startswith("#"):
                    self.comments[self._number] = line.rstrip("\r\n")
                    continue
                if line.lstrip(" \t").startswith("#"):
                    raise csv.Error(
                        "a comment begins at the very start of a line; quote a value that begins with #"
                    )
            self.inside = True
            return line
        raise StopIteration

    def first(self) -> str:
        """The first line that is no comment and not blank; it is read again as the first record."""
        for line in self:
            self.inside = False
            if line.strip(" ,;\t\r\n"):
                self._first, self.inside = line, True
                return line
        return ""


def _detect_separator(lines: _CsvLines) -> str:
    """What separates the values: as the header shows, or as Excel's own first line `sep=;` says."""
    header = lines.first()
    declared = header.strip().removeprefix("sep=")
    if header.startswith("sep=") and (declared or "\t") in SEPARATORS:
        next(lines)
        lines.inside = False
        lines.first()
        return declared or "\t"
    counts = {each: _count_columns(header, each) for each in SEPARATORS}
    return max(counts, key=lambda each: counts[each])  # of equals the first: the comma


def _count_columns(header: str, separator: str) -> int:
    try:
        return len(next(csv.reader([header], delimiter=separator, skipinitialspace=True)))
    except csv.Error:
        return 0


def _iter_records(reader: Iterator[list[str]], lines: _CsvLines) -> Iterator[tuple[int, list[str]]]:
    """Each record that holds something, with the line where it begins."""
    for cells in reader:
        lines.inside = False
        if any(cell.strip() for cell in cells):
            yield lines.start, cells


def _check_columns(
    path: str | Path, line: int, columns: Sequence[str], separator: str, consequence: str
) -> None:
    if not columns:
        raise InputError(
            f"{path} is empty: its first line, which names the columns, is missing. {consequence}"
        )
    doubled = [name for name, times in Counter(columns).items() if name and times > 1]
    if doubled:
        raise InputError(
            f"{path}, line {line}: the column {doubled[0]!r} is there twice (the file was read with "
            f"{SEPARATORS[separator]} between values). {consequence}"
        )


def _parse_rows(
    path: str | Path,
    columns: Sequence[str],
    records: Iterable[tuple[int, list[str]]],
    separator: str,
    consequence: str,
) -> list[CsvRow]:
    """The rows as values by column. InputError that names the rows which do not fit the header."""
    rows: list[CsvRow] = []
    problems: list[str] = []
    for line, cells in records:
        values = {name: cell for name, cell in zip(columns, cells, strict=False) if cell.strip()}
        if len(cells) != len(columns):
            how = "more" if len(cells) > len(columns) else "fewer"
            problems.append(f"line {line}: {how} values than columns ({len(cells)}, not {len(columns)})")
        elif "" in values:
            problems.append(f"line {line}: the value {values['']!r} is in a column without a name")
        else:
            rows.append(CsvRow(line, values))
    if problems:
        more = (
            f"; and {len(problems) - MAX_PROBLEMS_SHOWN} more" if len(problems) > MAX_PROBLEMS_SHOWN else ""
        )
        raise InputError(
            f"{path}, {'; '.join(problems[:MAX_PROBLEMS_SHOWN])}{more}. The values were read with "
            f'{SEPARATORS[separator]} between them; quote a value that holds one: "a{separator}b". {consequence}'
        )
    return rows
