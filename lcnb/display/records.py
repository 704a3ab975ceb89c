"""How one typed object looks: a two-column table in a notebook, one line per field in a terminal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lcnb.display.terminal import stdout_console

if TYPE_CHECKING:
    from lcnb.api.fields import Record

from html import escape
from typing import TYPE_CHECKING

from lcnb.display.formats import format_value
from lcnb.display.markup import Html
from lcnb.display.tables import cell_html

if TYPE_CHECKING:
    from lcnb.api.fields import Record


def record_html(record: Record) -> str:
    """One typed object as a small two-column table."""
    title = escape(format_value(getattr(record, record.TITLE, None)))
    rows = "".join(
        f'<tr><th scope="row">{escape(each.name)}'
        f"{f' <small>{each.about.unit}</small>' if each.about.unit in ('MB', 'GB') else ''}</th>"
        f"{cell_html(each.name, ', '.join(value) if isinstance(value, tuple) else value)}</tr>"
        for each, value in record.rows()
    )
    table = f'<table class="lcnb-table lcnb-record"><caption>{type(record).__name__} {title}</caption>{rows}</table>'
    return Html(table, repr(record))._repr_html_()


def print_record(record: Record, output: str = "table") -> None:
    """One typed object on stdout: a line a field, or JSON."""
    if output == "json":
        print(json.dumps({each.name: value for each, value in record.rows()}, ensure_ascii=False, indent=2))
        return
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    for each, value in record.rows():
        text = f"{value:,.2f}" if isinstance(value, float) else format_value(value)
        table.add_row(each.name, text)
    stdout_console().print(table)
