"""A DataFrame as an HTML table: escaped, numbers to the right, missing values as en dashes, states in color."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from lcnb.display.formats import (
    MISSING,
    PER_MONTH,
    TIME_ZONE,
    format_value,
    is_missing,
    state_html,
    unit_html,
)
from lcnb.display.markup import Html, class_attribute
from lcnb.display.row_choice import HEADINGS

if TYPE_CHECKING:
    import pandas as pd


def table(
    frame: pd.DataFrame,
    *,
    empty: str = "Nothing to show.",
    mark: pd.DataFrame | None = None,
    caption: str = "",
) -> Html:
    """Show a frame as a table: escaped, numbers to the right, money with decimals, states in color.

    Args:
        frame: The rows. The levels of a named index become leading columns; an index without a name is not shown.
        empty: The sentence that replaces a table without rows.
        mark: Flags for the same rows. A cell whose flag is True is bold and colored.
        caption: A title above the table.
    """
    from lcnb.frames.columns import column_units  # loads pandas

    flags = _marked_cells(frame, mark)
    if frame.index.names != [None]:
        frame = frame.reset_index()
    if not len(frame):
        return Html(f'<p class="lcnb-none">{escape(empty)}</p>', empty)
    units = column_units() | {"monthly_value": PER_MONTH}
    head = "".join(_header_cell(str(name), dtype, units) for name, dtype in frame.dtypes.items())
    numbers = [_is_number(dtype) for dtype in frame.dtypes]
    rows = "".join(
        "<tr>" + "".join(map(cell_html, frame.columns, row, flags[number], numbers)) + "</tr>"
        for number, row in enumerate(frame.itertuples(index=False))
    )
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    html = (
        f'<div class="lcnb-scroll" tabindex="0" role="group" aria-label="table"><table class="lcnb-table">'
        f"{title}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
    return Html(html, f"{caption}\n" * bool(caption) + frame.to_string(index=False))


def _marked_cells(frame: pd.DataFrame, mark: pd.DataFrame | None) -> list[list[bool]]:
    """A flag for each shown cell. The columns of a named index come first and are never marked."""
    leading = [False] * (frame.index.nlevels if frame.index.names != [None] else 0)
    if mark is None:
        return [leading + [False] * len(frame.columns)] * len(frame)
    columns = [
        [not is_missing(flag) and bool(flag) for flag in mark[name]] if name in mark else [False] * len(frame)
        for name in frame.columns
    ]
    return [[*leading, *row] for row in zip(*columns, strict=True)]


def _header_cell(name: str, dtype: Any, units: Mapping[str, str]) -> str:
    alignment = class_attribute("n" if _is_number(dtype) else "")
    heading = HEADINGS.get(name, name).replace("_", " ")
    unit = TIME_ZONE if getattr(dtype, "tz", None) is not None else units.get(name, "")
    return f'<th scope="col"{alignment}>{escape(heading)}{unit_html(unit)}</th>'


def _is_number(dtype: Any) -> bool:
    return dtype.kind in "iuf"


def cell_html(name: object, value: Any, marked: bool = False, number: bool = False) -> str:
    """Render one cell.

    Args:
        name: The column. The values of `state` get a dot in their color.
        value: The value. A missing one is an en dash.
        marked: Whether the cell is bold and colored.
        number: Whether the column holds numbers, so that a missing value is aligned to the right.
    """
    if is_missing(value):
        return f"<td{class_attribute('n lcnb-none' if number else 'lcnb-none')}>{MISSING}</td>"
    mark = " m" if marked else ""
    value = value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value
    if name == "state":
        return f"<td{class_attribute(mark)}>{state_html(str(value))}</td>"
    if isinstance(value, float):
        return f"<td{class_attribute('n' + mark)}>{value:,.2f}</td>"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"<td{class_attribute('n' + mark)}>{value:,}</td>"
    text = format_value(value)
    return f"<td{class_attribute(('w' if len(text) > 40 else '') + mark)}>{escape(text)}</td>"
