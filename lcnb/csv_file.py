"""The one reader of CSV files: fleets, batches of parameters, saved tables.

A file of desired machines decides what is deleted, so the reader guesses and drops nothing. Every value is a text
(`007` and `NA` too), and only an empty cell is missing. A row whose length differs from the header's is an error with
its line number. What spreadsheets add is understood: a byte order mark, semicolons, empty rows. A `#` begins a comment
at the start of a line and nowhere else.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lcnb.errors import InputError
from lcnb.files import NotText, read_text
from lcnb.names import comparable_name
from lcnb.shortening import name_first

#: Separators and their names: the comma, the semicolon (Excel with decimal commas), the tab.
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
#: Wrong rows that one message lists; the others are counted.
MAX_PROBLEMS_SHOWN = 20


@dataclass(frozen=True)
class CsvRow:
    """One row: the line of the file where it begins, and its values by column. An empty cell has no entry."""

    line: int
    values: Mapping[str, str]


@dataclass(frozen=True)
class CsvFile:
    """The content of a CSV file: the names of its columns, its rows, and its comments by line number."""

    columns: list[str]
    rows: list[CsvRow]
    comments: Mapping[int, str] = field(default_factory=dict)


def read_csv(path: str | Path, *, not_done: str = "sent") -> CsvFile:
    """Read a CSV file that a user wrote or a spreadsheet saved.

    Names of columns are trimmed and Unicode-normalised. Values are texts as they are written, without the spaces after
    a separator. Rows without a value, and columns without a name and a value, are left out.

    Args:
        path: The file.
        not_done: What did not happen, for the messages: "sent", "started".

    Raises InputError for a file that cannot be read, is not UTF-8, has no header, a column twice, a row with more or
    fewer values than columns, or a quote that is not closed.
    """
    try:
        text = read_text(Path(path), "save it as CSV UTF-8")
    except (OSError, NotText) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        raise InputError(f"{path} cannot be read: {reason}", not_done=not_done) from None
    return parse_csv(text, path, not_done=not_done)


def parse_csv(text: str, path: str | Path, *, not_done: str = "sent") -> CsvFile:
    """Return the content of a CSV file from its text; `path` is for the messages. Raises as `read_csv` does."""
    lines = _CsvLines(text)
    try:
        separator = _detect_separator(lines)
        reader = csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)
        records = _iter_records(reader, lines)
        start, names = next(records, (1, []))
        columns = [comparable_name(name) for name in names]
        _check_columns(path, start, columns, separator)
        rows = _parse_rows(path, columns, records, separator)
    except csv.Error as error:
        raise InputError(f"{path}, line {lines.start}: {error}", not_done=not_done) from None
    except InputError as error:
        error.restate(not_done=not_done)
        raise
    return CsvFile([name for name in columns if name], rows, lines.comments)


def read_table(path: Path) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of a table that lcnb saved: no comments, every row, every cell a text.

    Raises InputError for a row with more or fewer values than columns; OSError, NotText or csv.Error for a file that
    cannot be read.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    header = next(reader, [])
    rows = [cells or [""] for cells in reader]
    if any(len(cells) != len(header) for cells in rows):
        raise InputError(f"{path}: a row has more or fewer values than columns.")
    return header, rows


class _CsvLines:
    """The lines of a text for `csv.reader`, without comments. `start` is the line where the current record begins.

    A line of a quoted value may begin with # and is not a comment. So the caller resets `inside` at the end of each
    record.
    """

    def __init__(self, text: str) -> None:
        self._lines = iter(io.StringIO(text, newline=""))
        self._number = 0
        self._header = ""
        self.start = 0
        self.comments: dict[int, str] = {}
        self.inside = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self._header:
            line, self._header = self._header, ""
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

    def read_header(self) -> str:
        """Return the first line that is neither blank nor a comment. It is also the next line of the iterator."""
        for line in self:
            self.inside = False
            if line.strip(" ,;\t\r\n"):
                self._header, self.inside = line, True
                return line
        return ""


def _detect_separator(lines: _CsvLines) -> str:
    """Return the separator that splits the header into most columns, or the one in Excel's first line `sep=;`."""
    header = lines.read_header()
    declared = header.strip().removeprefix("sep=")
    if header.startswith("sep=") and (declared or "\t") in SEPARATORS:
        next(lines)
        lines.inside = False
        lines.read_header()
        return declared or "\t"
    counts = {each: _count_columns(header, each) for each in SEPARATORS}
    return max(counts, key=lambda each: counts[each])  # for equal counts the first: the comma


def separator_hint(columns: Sequence[str]) -> str:
    """Return what separates columns, for a message about a header that was read as one odd name; "" for others.

    >>> separator_hint(["label|plan"])
    'The whole line was read as one column: commas, semicolons or tabs separate columns.'
    """
    if len(columns) != 1 or re.fullmatch(r"[\w -]*", columns[0]):
        return ""
    return "The whole line was read as one column: commas, semicolons or tabs separate columns."


def _count_columns(header: str, separator: str) -> int:
    try:
        return len(next(csv.reader([header], delimiter=separator, skipinitialspace=True)))
    except csv.Error:
        return 0


def _iter_records(reader: Iterator[list[str]], lines: _CsvLines) -> Iterator[tuple[int, list[str]]]:
    """Yield each record that has a value, with the line where it begins."""
    for cells in reader:
        lines.inside = False
        if any(cell.strip() for cell in cells):
            yield lines.start, cells


def _check_columns(path: str | Path, line: int, columns: Sequence[str], separator: str) -> None:
    if not columns:
        raise InputError(f"{path} is empty: its first line, which names the columns, is missing")
    doubled = [name for name, times in Counter(columns).items() if name and times > 1]
    if doubled:
        raise InputError(
            f"{path}, line {line}: the column {doubled[0]!r} is there twice (the file was read with "
            f"{SEPARATORS[separator]} between values)"
        )


def _parse_rows(
    path: str | Path,
    columns: Sequence[str],
    records: Iterable[tuple[int, list[str]]],
    separator: str,
) -> list[CsvRow]:
    """Return the rows as values by column. InputError lists the rows that do not fit the header."""
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
        raise InputError(
            f"{path}, {name_first(problems, MAX_PROBLEMS_SHOWN, separator='; ')}. The values were read with "
            f"{SEPARATORS[separator]} between them",
            cure=f'Quote a value that contains one: "a{separator}b".',
        )
    return rows
