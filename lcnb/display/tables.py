"""A DataFrame as an HTML table: escaped, numbers to the right, missing values as en dashes, states in color."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from lcnb.api.fields import fields_of
from lcnb.display.formats import format_value, is_missing, state_html
from lcnb.display.markup import Html, class_attribute

if TYPE_CHECKING:
    import pandas as pd


def table(
    frame: pd.DataFrame,
    *,
    empty: str = "Nothing to show.",
    mark: pd.DataFrame | None = None,
    caption: str = "",
) -> Html:
    """A frame as a calm table: escaped, numbers to the right, money with decimals, states in colour.

    A missing value is an en dash. A named index is shown as leading columns; a plain one is not. `mark` is a
    frame of flags for the same rows: a cell whose flag holds stands out, in bold letters and in colour.
    `caption` stands above the table.
    """
    flags = _marked_cells(frame, mark)
    if frame.index.names != [None]:
        frame = frame.reset_index()
    if not len(frame):
        return Html(f'<p class="lcnb-none">{escape(empty)}</p>', empty)
    units = _column_units()
    head = "".join(_header_cell(str(name), dtype, units) for name, dtype in frame.dtypes.items())
    numbers = [_is_number(dtype) for dtype in frame.dtypes]
    rows = "".join(
        "<tr>" + "".join(map(cell_html, frame.columns, row, flags[number], numbers)) + "</tr>"
        for number, row in enumerate(frame.itertuples(index=False))
    )
    above = f"<caption>{escape(caption)}</caption>" if caption else ""
    html = (
        f'<div class="lcnb-scroll" tabindex="0" role="region" aria-label="table"><table class="lcnb-table">'
        f"{above}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
    return Html(html, f"{caption}\n" * bool(caption) + frame.to_string(index=False))


def _marked_cells(frame: pd.DataFrame, mark: pd.DataFrame | None) -> list[list[bool]]:
    """A flag for each cell that is shown; the columns of a named index, which come first, are never marked."""
    leading = [False] * (frame.index.nlevels if frame.index.names != [None] else 0)
    if mark is None:
        return [leading + [False] * len(frame.columns)] * len(frame)
    columns = [
        [not is_missing(flag) and bool(flag) for flag in mark[name]] if name in mark else [False] * len(frame)
        for name in frame.columns
    ]
    return [[*leading, *row] for row in zip(*columns, strict=True)]


def _column_units() -> dict[str, str]:
    from lcnb.api.models import Instance, Plan

    return {
        each.name: each.about.unit
        for model in (Instance, Plan)
        for each in fields_of(model)
        if each.about.unit in ("MB", "GB")
    }


def _header_cell(name: str, dtype: Any, units: Mapping[str, str]) -> str:
    unit = f" <small>{units[name]}</small>" if name in units else ""
    return f'<th scope="col"{class_attribute("n" if _is_number(dtype) else "")}>{escape(name.replace("_", " "))}{unit}</th>'


def _is_number(dtype: Any) -> bool:
    return dtype.kind in "iuf"


def cell_html(name: object, value: Any, marked: bool = False, number: bool = False) -> str:
    if is_missing(value):
        return f"<td{class_attribute('n lcnb-none' if number else 'lcnb-none')}>–</td>"
    also = " m" if marked else ""
    value = value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value
    if name == "state":
        return f"<td{class_attribute(also)}>{state_html(str(value))}</td>"
    if isinstance(value, float):
        return f"<td{class_attribute('n' + also)}>{value:,.2f}</td>"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"<td{class_attribute('n' + also)}>{value:,}</td>"
    text = format_value(value)
    return f"<td{class_attribute(('w' if len(text) > 40 else '') + also)}>{escape(text)}</td>"
