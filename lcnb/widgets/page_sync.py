"""`PageSync`: notices that a page has opened, and sends it the current state of all widgets.

A page that opens requests the state of every widget and then creates them. Updates in between reach widgets that do not
exist yet, and are lost: a table that was just read, or the end of a change, would never be shown. The slower the
machine, the longer that gap. Therefore a page sends a message once its widgets exist, and everything that can have
changed is sent again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anywidget
import ipywidgets as widgets

from lcnb.widgets.grid import Grid
from lcnb.widgets.input_field import InputField
from lcnb.widgets.message_widget import MessageWidget

#: The traits that change after a widget was created; values of a MessageWidget are sent separately.
CHANGING_TRAITS: dict[Any, tuple[str, ...]] = {
    widgets.HTML: ("value",),
    widgets.Button: ("description", "disabled", "button_style", "_dom_classes"),
    widgets.Box: ("children",),
    InputField: ("options", "error", "placeholder"),
    Grid: ("columns", "rows", "reading"),
}


class PageSync(anywidget.AnyWidget):
    """An invisible widget that keeps the widgets next to it up to date."""

    _esm = "export default { render({ model }) { model.send({ here: true }); } }"

    def __init__(self) -> None:
        super().__init__()
        self.layout.display = "none"
        self.on_msg(lambda *_: self.send_all())
        self.root: Any = None

    def wrap_widgets(self, *others: Any) -> Any:
        """Return a box with this widget and the others, which it keeps up to date."""
        self.root = widgets.VBox([self, *others])
        return self.root

    def send_all(self) -> None:
        """Send the current state of all widgets to every page."""
        for each in walk_widgets(self.root):
            for kind, names in CHANGING_TRAITS.items():
                if isinstance(each, kind):
                    each.send_state([*names])
            if isinstance(each, MessageWidget):
                each.send_answer()
            each.layout.send_state(["display"])


def walk_widgets(widget: Any) -> Iterator[Any]:
    """Yield a widget and all widgets in it."""
    yield widget
    for each in getattr(widget, "children", ()):
        yield from walk_widgets(each)
