"""`Grid`: rows to sort, filter and tick, as a real table that works with a keyboard and a screen reader.

Rows are identified by their key, not by their position, so ticked rows stay ticked when rows are read again, sorted or
filtered. Only the rows near the visible ones exist in the page, so thousands of rows are as fast as dozens. The
widget loads nothing from other hosts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import traitlets

from lcnb.widgets.message_widget import MessageWidget

_SCRIPTS = ("grid_rows.js", "details_dialog.js", "grid.js")


class Grid(MessageWidget):
    """A table whose rows can be sorted, filtered and ticked; `selected` holds the keys of ticked rows.

    A column is a dict of `name` and `title`, and optionally:

    - `number`; `kind`: `state`, `money`, `tags` or `time`; of a `money` the column of its currency, `unit`, and `per`;
    - `optional`: the column is not shown while all its cells are empty;
    - `mark`: `name`, `title` and `help` of a mark next to the value, in rows whose cell `name` is "yes".

    A menu filters by the column `name`. `none` is the text for rows without a value, `titles` has the texts of values.
    A menu is shown when there is something to choose; with `needs`, only when a row has that value.

    With `opens` a click on a row, or Enter, opens a dialog; `show_details` fills it.

    The first ticked row shows a bar of `actions`: `name`, `title`, `danger`, and `blocked` if rows with the mark
    prevent it.
    """

    answer = "selected"
    _esm = "".join(Path(__file__).with_name(each).read_text(encoding="utf-8") for each in _SCRIPTS)
    name = traitlets.Unicode("table").tag(sync=True)
    key = traitlets.Unicode("identifier").tag(sync=True)
    columns = traitlets.List(traitlets.Dict()).tag(sync=True)
    rows = traitlets.List(traitlets.Dict()).tag(sync=True)
    selected = traitlets.List(traitlets.Unicode()).tag(sync=True)
    ticks = traitlets.Bool(True).tag(sync=True)
    colors = traitlets.Dict().tag(sync=True)
    menus = traitlets.List(traitlets.Dict()).tag(sync=True)
    actions = traitlets.List(traitlets.Dict()).tag(sync=True)
    #: What the bar says before a row is ticked, and what follows the names of the rows with the mark.
    hint = traitlets.Unicode("").tag(sync=True)
    blocked_text = traitlets.Unicode("").tag(sync=True)
    opens = traitlets.Bool(False).tag(sync=True)
    #: When the rows were read (`at`, a time in ISO format), and what is said about it (`note`).
    reading = traitlets.Dict().tag(sync=True)

    def on_press(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the name of each action that a person presses in the bar."""

        def receive(widget: Any, content: Any, buffers: Any) -> None:
            if isinstance(content, dict) and isinstance(content.get("press"), str):
                listener(content["press"])

        self.on_msg(receive)

    def on_open(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the key of each row that a person opens."""

        def receive(widget: Any, content: Any, buffers: Any) -> None:
            if isinstance(content, dict) and isinstance(content.get("open"), str):
                listener(content["open"])

        self.on_msg(receive)

    def show_details(self, key: str, sections: Sequence[Mapping[str, Any]], *, complete: bool) -> None:
        """Fill the dialog of a row on the pages where it is open.

        A section is a dict of `title` and, optionally: `items` (each `name`, `value`, and `copy` for a button that
        copies it), `columns` and `rows` of a table, `note`, `links` (each `text` and `href`), and `page`, the HTML of
        a report, which is shown without scripts. `complete`: no further sections follow.
        """
        self.send({"details": {"key": key, "sections": list(sections), "complete": complete}})
