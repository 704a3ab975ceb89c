"""One record as people read it: a two-column table in a notebook, one line per field in a terminal.

A record arrives as plain rows of (name, unit, value), so that this module needs no model of the API.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from html import escape
from typing import Any

from lcnb.display.formats import unit_html
from lcnb.display.markup import Html
from lcnb.display.palette import HEADING_STYLE
from lcnb.display.row_layout import cell_text
from lcnb.display.tables import cell_html
from lcnb.display.terminal import print_lines

#: Name, unit ("" for none) and value of one field.
RecordRow = tuple[str, str, Any]


def record_html(title: str, rows: Iterable[RecordRow], text: str) -> str:
    """Render a record as a table of two columns.

    Args:
        title: The caption. It is escaped here.
        rows: Name, unit and value of each field.
        text: The plain text for front ends that do not show HTML.
    """
    body = "".join(
        f'<tr><th scope="row">{escape(name)}{unit_html(unit)}</th>'
        f"{cell_html(name, ', '.join(value) if isinstance(value, tuple) else value)}</tr>"
        for name, unit, value in rows
    )
    table = f'<table class="lcnb-table lcnb-record"><caption>{escape(title)}</caption>{body}</table>'
    return Html(table, text)._repr_html_()


def print_record(rows: Iterable[RecordRow], output: str = "table") -> None:
    """Print a record to stdout: one line per field, or one JSON object for `output="json"`."""
    if output == "json":
        print(json.dumps({name: value for name, _, value in rows}, ensure_ascii=False, indent=2))
        return
    shown = [(name, cell_text(value)) for name, _, value in rows]
    width = max((len(name) for name, _ in shown), default=0)
    print_lines([(f"{name:<{width}}  ", HEADING_STYLE), (text, "")] for name, text in shown)
