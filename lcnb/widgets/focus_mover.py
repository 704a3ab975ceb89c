"""`FocusMover`: moves the keyboard to a control of a form, and takes it from nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget


class FocusMover(anywidget.AnyWidget):
    """An invisible widget next to controls of a form.

    A form asks, or has ended, some time after a button was pressed. Meanwhile a person may type in the filter of the
    table, or in a cell of the notebook: what they type must not press a button of the form. Therefore the keyboard only
    moves from a place in the form, from a button of the app, or from nowhere.
    """

    _esm = Path(__file__).with_name("focus_mover.js")

    def __init__(self, *controls: Any) -> None:
        super().__init__()
        self.layout.display = "none"
        for each in controls:
            each.add_class(_class_of(each))

    def move_to(self, control: Any) -> None:
        """Move the keyboard to one of the controls, a button or an InputField."""
        self.send({"to": _class_of(control)})


def _class_of(control: Any) -> str:
    return f"lcnb-focus-{control.model_id}"
