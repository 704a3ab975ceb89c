"""How frames, warnings and errors look in a terminal, and what a pipe receives.

In a terminal a listing is a table with colors. In a pipe it is the same table without colors and with whole cells. With
`-o json|csv|parquet` it is data. Only data goes to stdout; progress, warnings and errors go to stderr.
"""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any, TextIO

from lcnb.display.formats import MISSING, format_value
from lcnb.display.palette import ERROR_STYLE, MISSING_STYLE, STATE_COLORS, WARNING_STYLE
from lcnb.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

#: The values of `--output`.
OUTPUT_FORMATS = ("table", "json", "csv", "parquet")

#: Columns of each listing that a table in a terminal leaves out, to fit the width. Every other format has all columns.
WIDE_COLUMNS = {
    "instances": ("city", "country", "ip_addresses", "booted", "built", "locked", "suspended", "domain"),
    "inventory": ("hostname", "city", "country", "ipv6", "template_label", "owner", "note"),
    "plans": ("shortcode",),
    "sshkeys": (),
    "snapshots": ("reference",),
    "runs": ("user", "host", "problem", "folder"),
    "history": ("cpus", "memory", "total_disk_size"),
}

#: Further columns that a table omits, one after the other, until it fits into a narrow terminal.
NARROW_COLUMNS = {
    "instances": ("template_label", "ipv6", "hostname", "total_disk_size", "memory", "cpus", "ipv4"),
    "inventory": (
        *("price_note", "total_disk_size", "memory", "cpus", "identifier", "ipv4"),
        *("expires", "protected", "tags", "location"),
    ),
    "plans": ("bandwidth", "currencycode"),
    "snapshots": ("locations", "build", "os_reference"),
    "runs": ("account", "exit_code", "attention", "changes", "duration_s"),
    "history": ("ipv4", "identifier", "currencycode", "location", "state"),
    "comparison": ("identifier", "not_before", "currencycode"),
    "spending": ("longest_gap_hours", "uncertain_hours", "unpriced", "hours", "machines"),
}


def print_frame(frame: pd.DataFrame, output: str = "table") -> None:
    """Print a frame to stdout in one of OUTPUT_FORMATS. Raises InputError for parquet to a terminal."""
    if output == "json":
        print(frame.to_json(orient="records", force_ascii=False, indent=2, date_format="iso"))
    elif output == "csv":
        frame.to_csv(sys.stdout, index=False, lineterminator="\n")
    elif output == "parquet":
        _print_parquet(frame)
    else:
        console = stdout_console()
        if console.is_terminal:
            _print_fitting_table(frame, console)
        else:
            console.print(frame_table(frame, wide=True))


def _print_fitting_table(frame: pd.DataFrame, console: Console) -> None:
    """Print a table without the columns for which the terminal is too narrow, and say how to see them."""
    unlimited = console.options.update(width=10_000)
    table = frame_table(frame)
    omitted = 0
    for name in NARROW_COLUMNS.get(frame.attrs.get("lcnb", {}).get("kind", ""), ()):
        if console.measure(table, options=unlimited).maximum <= console.width:
            break
        if name in frame:
            omitted += 1
            frame = frame.drop(columns=name)
            table = frame_table(frame)
    console.print(table)
    if omitted:
        columns = "1 column is" if omitted == 1 else f"{omitted} columns are"
        console.print(f"[dim]{columns} omitted in this narrow terminal; -o csv prints all[/]", soft_wrap=True)


def check_output(output: str) -> None:
    """Raise InputError when this output cannot be printed here. A command that changes something checks this first."""
    if output == "parquet" and sys.stdout.isatty():
        raise InputError("parquet is binary; send it to a file: lcnb ... -o parquet > file.parquet")


def _print_parquet(frame: pd.DataFrame) -> None:
    check_output("parquet")
    from io import BytesIO

    buffer = BytesIO()  # a writer of parquet seeks, and a pipe cannot
    frame.to_parquet(buffer, index=False)
    sys.stdout.buffer.write(buffer.getvalue())
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


def frame_table(frame: pd.DataFrame, *, wide: bool = False, title: str | None = None) -> Any:
    """Build a rich table: numbers to the right, money with two decimals, states in color, missing as an en dash.

    Args:
        frame: The rows.
        wide: Show the columns of WIDE_COLUMNS too.
        title: A line above the table.
    """
    from rich import box
    from rich.table import Table

    left_out = () if wide else WIDE_COLUMNS.get(frame.attrs.get("lcnb", {}).get("kind", ""), ())
    columns = [name for name in frame.columns if name not in left_out]
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for name in columns:
        number = frame[name].dtype in ("Int64", "Float64", "int64", "float64")
        table.add_column(str(name), justify="right" if number else "left", overflow="fold")
    for row in frame[columns].itertuples(index=False):
        table.add_row(*(_table_cell(name, value) for name, value in zip(columns, row, strict=True)))
    if not len(frame):
        table.caption = "no rows"
    return table


def _table_cell(column: str, value: Any) -> Any:
    import pandas as pd
    from rich.text import Text

    if value is None or value is pd.NA or value != value:
        return Text(MISSING, style=MISSING_STYLE)
    if isinstance(value, float):
        return Text(f"{value:,.2f}")
    if column == "state":
        return Text(str(value), style=STATE_COLORS.get(str(value), ""))
    return Text(format_value(value if not hasattr(value, "item") else value.item()))


def show_warnings() -> None:
    """From now on, print each warning as one line to stderr, without the source line that Python adds."""

    def show(message: Warning | str, *_: Any) -> None:
        print_warning(str(message))

    warnings.showwarning = show  # type: ignore[assignment]  # accepts every argument that Python passes


def print_warning(text: str) -> None:
    """Print `warning: TEXT` to stderr."""
    stderr_console().print(f"[{WARNING_STYLE}]warning:[/] {escape_markup(text)}", soft_wrap=True)


def print_error(error: BaseException) -> None:
    """Print `error: MESSAGE` to stderr."""
    stderr_console().print(f"[{ERROR_STYLE}]error:[/] {escape_markup(str(error))}", soft_wrap=True)


def escape_markup(text: str) -> str:
    """The text with its square brackets escaped, so that rich does not read them as markup."""
    from rich.markup import escape

    return escape(text)
