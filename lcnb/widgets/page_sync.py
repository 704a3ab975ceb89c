"""`Arrival`: hears that a page has come, and tells it how all widgets are by now.

A page that opens asks the kernel for the state of every widget and then makes them. What changes in between is told
to widgets that are not there yet, and lost: a table that was just read, or the end of a change, would never be shown.
The slower the machine, the longer that moment. So once its widgets are made a page says so, and what can have changed
is told again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anywidget
import ipywidgets as widgets

from lcnb.widgets.grid import Grid
from lcnb.widgets.input_field import InputField
from lcnb.widgets.message_widget import MessageWidget

#: What of a widget changes after it was made; an answer is told by its own way.
CHANGING_TRAITS: dict[Any, tuple[str, ...]] = {
    widgets.HTML: ("value",),
    widgets.Button: ("description", "disabled", "button_style", "_dom_classes"),
    widgets.Box: ("children",),
    InputField: ("options", "error", "placeholder"),
    Grid: ("columns", "rows"),
}


class PageSync(anywidget.AnyWidget):
    """Shows nothing. Put it beside what it is to keep up to date."""

    _esm = "export default { render({ model }) { model.send({ here: true }); } }"

    def __init__(self) -> None:
        super().__init__()
        self.layout.display = "none"
        self.on_msg(lambda *_: self.tell())
        self.root: Any = None

    def within(self, *beside: Any) -> Any:
        """A box with this widget in it, and what is to be kept up to date."""
        self.root = widgets.VBox([self, *beside])
        return self.root

    def tell(self) -> None:
        """Tell every page how everything is."""
        for each in walk_widgets(self.root):
            for kind, names in CHANGING_TRAITS.items():
                if isinstance(each, kind):
                    each.send_state([*names])
            if isinstance(each, MessageWidget):
                each.tell()
            each.layout.send_state(["display"])


def walk_widgets(widget: Any) -> Iterator[Any]:
    """A widget and all that is in it."""
    yield widget
    for each in getattr(widget, "children", ()):
        yield from walk_widgets(each)
