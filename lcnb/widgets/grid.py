"""`Grid`: rows to sort, filter and tick, as a real table that works with a keyboard and a screen reader.

Rows are identified by their key, not by their position, so ticked rows stay ticked when rows are read again, sorted or
filtered. The widget loads nothing from other hosts.
"""

from __future__ import annotations

from pathlib import Path

import traitlets

from lcnb.widgets.message_widget import MessageWidget


class Grid(MessageWidget):
    """A table whose rows can be sorted, filtered and ticked; `selected` holds the keys of ticked rows."""

    answer = "selected"
    _esm = Path(__file__).with_name("grid.js")
    name = traitlets.Unicode("table").tag(sync=True)
    key = traitlets.Unicode("identifier").tag(sync=True)
    columns = traitlets.List(traitlets.Dict()).tag(sync=True)
    rows = traitlets.List(traitlets.Dict()).tag(sync=True)
    selected = traitlets.List(traitlets.Unicode()).tag(sync=True)
    ticks = traitlets.Bool(True).tag(sync=True)
    colors = traitlets.Dict().tag(sync=True)
