"""What a terminal shows and what a pipe receives: rows as a table or as data, warnings and errors.

In a terminal a table has colors and fits the width. In a pipe it is plain text in which no value is cut. With
`-o json|csv|parquet|xlsx` it is data, with every column. Only data goes to stdout; progress, warnings and errors go to
stderr. rich is imported where a person looks; pandas for parquet, and for a frame.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TextIO

from lcnb.display.palette import ERROR_STYLE, MISSING_STYLE, WARNING_STYLE
from lcnb.display.row_choice import RowChoice, arrange_rows, chosen_columns, replace_values, select_columns
from lcnb.display.row_layout import Line, Span, TextTable, layout_rows, text_width
from lcnb.errors import InputError
from lcnb.rows import Rows

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

#: The values of `--output`.
OUTPUT_FORMATS = ("table", "json", "csv", "parquet", "xlsx")
#: Formats that are bytes and no text: a terminal cannot show them.
BINARY_FORMATS = ("parquet", "xlsx")
#: Characters with which a label inside a message would color, clear or reverse what a terminal shows. Lines and tabs
#: stay.
_DISTURBING = {
    code: f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
    for code in (*range(9), *range(11, 32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}
#: For a terminal whose encoding lacks the characters of a table.
_PLAIN_CHARACTERS = str.maketrans({"─": "-", "…": "~", "–": "-"})


def print_frame(frame: pd.DataFrame, output: str = "table", choice: RowChoice | None = None) -> None:
    """Print a frame to stdout, as `print_rows` does."""
    rows = frame_rows(frame)
    if output == "parquet":  # from the frame itself: a query can have dtypes that rows do not know
        names = chosen_columns(rows, choice or RowChoice())
        places = replace(rows, values=[(*row, place) for place, row in enumerate(rows)])
        order = [row[-1] for row in arrange_rows(places, choice or RowChoice())]
        _print_parquet(frame.iloc[order][names])
    else:
        print_rows(rows, output, choice)


def print_rows(
    rows: Rows,
    output: str = "table",
    choice: RowChoice | None = None,
    *,
    shown: Mapping[str, Mapping[str, str]] | None = None,
) -> None:
    """Print rows to stdout.

    Args:
        rows: The rows.
        output: One of OUTPUT_FORMATS.
        choice: Which columns and rows, in which order, for a command that has the options for it. By default a table
            has the most important columns, and data all.
        shown: Column → value → the text that a table shows for it, such as a short id.

    Raises InputError for parquet or xlsx to a terminal, and for a column in `choice` that the rows do not have.
    """
    rows = arrange_rows(rows, choice or RowChoice())
    if output == "table":
        print_table(replace_values(rows, shown or {}), choice)
        return
    choice = choice or RowChoice()
    rows = select_columns(rows, chosen_columns(rows, choice))
    if output == "json":
        print(json_text(rows))
    elif output == "csv":
        write_csv(rows, sys.stdout, header=choice.header)
    elif output == "xlsx":
        check_output(output)
        from lcnb.display.workbook import workbook_bytes

        _print_bytes(workbook_bytes(rows, header=choice.header))
    else:
        _print_parquet(rows.frame())


def print_table(
    rows: Rows, choice: RowChoice | None, *, stream: TextIO | None = None, title: str = ""
) -> None:
    """Print a table, with a line above it if it has a title.

    `choice` chooses its columns; it is None for a command without the option `--wide`.
    """
    stream = stream or sys.stdout
    has_wide = choice is not None
    choice = choice or RowChoice()
    console = console_for(stream) if is_colored(stream) else None
    table = layout_rows(rows, choice, console.width if console and stream.isatty() else None)
    lines = [[(title, "")], *table.lines] if title else list(table.lines)
    if not len(rows) and choice.header:
        lines.append([("no rows", MISSING_STYLE)])
    if note := _shortening_note(table, has_wide=has_wide):
        lines.append([(note, MISSING_STYLE)])
    print_lines(lines, stream=stream, console=console)


def _shortening_note(table: TextTable, *, has_wide: bool) -> str:
    """Return what a table omits or cuts to fit the terminal, and what shows more; "" if it shows everything.

    `has_wide`: whether the command has the option `--wide`.
    """
    parts = []
    if table.omitted:
        parts.append("1 column omitted" if table.omitted == 1 else f"{table.omitted} columns omitted")
    if table.cut:
        parts.append("long texts cut")
    if not parts:
        return ""
    return f"{', '.join(parts)}; {'--wide shows all' if has_wide else 'a wider terminal shows more'}"


def print_lines(
    lines: Iterable[Line], *, stream: TextIO | None = None, console: Console | None = None
) -> None:
    """Print lines of styled texts, each line whole: with colors in a terminal, as plain text elsewhere."""
    stream = stream or sys.stdout
    lines = [[(text.translate(_DISTURBING), style) for text, style in line] for line in lines]
    if console is None and is_colored(stream):
        console = console_for(stream)
    if console is None:
        for line in lines:
            print("".join([text for text, _ in line]).rstrip(" "), file=stream)
    else:
        _print_styled(lines, stream, console)


def _print_styled(lines: Iterable[Line], stream: TextIO, console: Console) -> None:
    """Print lines in color to the console of a stream, in characters that the stream can encode."""
    from rich.text import Text

    plain = str.maketrans({}) if _is_unicode(stream) else _PLAIN_CHARACTERS
    for line in lines:
        text = Text.assemble(*[(part.translate(plain), style) for part, style in line])
        console.print(text, soft_wrap=True, highlight=False)


def print_line(*spans: Span, stream: TextIO | None = None) -> None:
    """Print one line of styled texts to stdout, or to another stream."""
    print_lines([list(spans)], stream=stream)


def print_finding(*head: Span, text: str, indent: int) -> None:
    """Print styled words and a text to stdout. In a terminal each further line of the text has an indent.

    Words such as paths stay whole, so that they can be copied.
    """
    if not sys.stdout.isatty():
        print_line(*head, (text, ""))
        return
    from textwrap import wrap

    begin = " " * text_width("".join(each for each, _ in head))
    lines: list[str] = []
    for line in text.split("\n"):
        lines += wrap(
            line, console_for(sys.stdout).width, initial_indent=" " * indent if lines else begin,
            subsequent_indent=" " * (indent + _hanging_indent(line)), break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
    first, *others = lines or [begin]
    print_lines([[*head, (first[len(begin) :], "")], *([(each, "")] for each in others)])


def is_colored(stream: TextIO) -> bool:
    """Whether a stream shows colors: it is a terminal, or FORCE_COLOR asks for them."""
    return stream.isatty() or bool(os.environ.get("FORCE_COLOR"))


def _is_unicode(stream: TextIO) -> bool:
    return (stream.encoding or "").lower().replace("-", "").startswith("utf")


# --- rows as data ---------------------------------------------------------------------------------------


def frame_rows(frame: pd.DataFrame) -> Rows:
    """Return the rows of any frame as plain values, None for missing ones; its index is left out."""
    columns = [_plain_values(frame[name]) for name in frame.columns]
    dtypes = {str(name): _rows_dtype(str(dtype)) for name, dtype in frame.dtypes.items()}
    about = frame.attrs.get("lcnb", {})
    return Rows(str(about.get("kind", "")), dtypes, list(zip(*columns, strict=True)))


def _rows_dtype(dtype: str) -> str:
    """The dtype of rows for one of pandas; `int64` differs from `Int64` only by its missing values."""
    kinds = {"int": "Int64", "uint": "Int64", "float": "Float64", "Float": "Float64"}
    return kinds.get(dtype.rstrip("0123456789"), dtype)


def _plain_values(values: pd.Series[Any]) -> list[Any]:
    from lcnb.display.formats import is_missing

    return [None if is_missing(each) else _plain_value(each) for each in values.tolist()]


def _plain_value(value: Any) -> Any:
    if hasattr(value, "to_pydatetime"):
        return value.to_pydatetime(warn=False)
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value


def json_text(rows: Rows) -> str:
    """Return rows as a JSON list of objects, one per row; missing values are null, times are in UTC."""
    import msgspec

    names = list(rows.dtypes)
    objects = [dict(zip(names, row, strict=True)) for row in rows]
    return msgspec.json.format(msgspec.json.encode(objects, enc_hook=str), indent=2).decode()


def write_csv(rows: Rows, stream: TextIO, *, header: bool = True) -> None:
    """Write rows as CSV; missing values are empty."""
    import csv

    writer = csv.writer(stream, lineterminator="\n")
    if header:
        writer.writerow(rows.dtypes)
    writer.writerows(rows)


def check_output(output: str) -> None:
    """Raise an error when this output cannot be printed here. A command that changes something checks this first.

    InputError for a format of bytes to a terminal, ConfigError when its library is not installed.
    """
    if output in BINARY_FORMATS and sys.stdout.isatty():
        raise InputError(f"{output} is binary; send it to a file: lcnb ... -o {output} > file.{output}")
    if output == "xlsx":
        from lcnb.display.workbook import check_workbook_library

        check_workbook_library()


def _print_parquet(frame: pd.DataFrame) -> None:
    check_output("parquet")
    from io import BytesIO

    buffer = BytesIO()  # a writer of parquet seeks, and a pipe cannot
    frame.to_parquet(buffer, index=False)
    _print_bytes(buffer.getvalue())


def _print_bytes(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.flush()


def stdout_console() -> Console:
    """A console for stdout."""
    return console_for(sys.stdout)


def console_for(stream: TextIO) -> Console:
    """A console for a stream. Outside a terminal its lines are never wrapped or cut."""
    from rich.console import Console

    return Console(file=stream) if stream.isatty() else Console(file=stream, width=10_000, soft_wrap=True)


def stderr_console() -> Console:
    """A console for stderr, which does not color numbers and paths."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def show_warnings() -> None:
    """From now on, print each warning as one line to stderr, without the source line that Python adds."""

    def show(message: Warning | str, *_: Any) -> None:
        print_warning(str(message))

    warnings.showwarning = show  # type: ignore[assignment]  # accepts every argument that Python passes


def show_logged_warnings() -> None:
    """From now on, print what lcnb logs as a warning, such as a budget that cannot be kept, as other warnings."""
    import logging  # takes a tenth of the time of a short command

    class Printer(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            print_warning(record.getMessage())

    logger = logging.getLogger("lcnb")
    if not logger.handlers:
        logger.addHandler(Printer(logging.WARNING))


def print_warning(text: str) -> None:
    """Print `warning: TEXT` to stderr."""
    _print_message("warning:", WARNING_STYLE, text)


def print_error(error: BaseException) -> None:
    """Print `error: MESSAGE` to stderr."""
    _print_message("error:", ERROR_STYLE, str(error))


def _print_message(mark: str, style: str, text: str) -> None:
    whole = fit_message(f"{mark} {text}", sys.stderr)
    print_line((mark, style), (whole.removeprefix(mark), ""), stream=sys.stderr)


def fit_message(text: str, stream: TextIO) -> str:
    """Return a message with line ends between words, so that it fits the terminal; unchanged for other streams.

    What is in backquotes stays on one line, so that a command can be copied.
    """
    if not stream.isatty():
        return text
    import shutil

    return wrap_message(text, shutil.get_terminal_size().columns)


def wrap_message(text: str, width: int) -> str:
    r"""Return a message in lines of at most `width` characters, except for longer words and commands in backquotes.

    >>> print(wrap_message("no run 'last'. List them: `lcnb runs --since 7d`", 30))
    no run 'last'. List them:
    `lcnb runs --since 7d`
    """
    import re
    import textwrap

    joined = re.sub(r"`[^`\n]+`", lambda found: found[0].replace(" ", "\0"), text)
    lines = (
        textwrap.fill(
            line, width, break_long_words=False, break_on_hyphens=False, drop_whitespace=True,
            subsequent_indent=" " * _hanging_indent(line),
        )
        for line in joined.split("\n")
    )  # fmt: skip
    return "\n".join(lines).replace("\0", " ")


def _hanging_indent(line: str) -> int:
    """The indent of the lines that continue a line: its own, and behind the mark of an item of a list."""
    text = line.lstrip(" ")
    return len(line) - len(text) + (2 if text.startswith("- ") else 0)


def escape_markup(text: str) -> str:
    """The text with its square brackets escaped, so that rich does not read them as markup."""
    from rich.markup import escape

    return escape(text)
