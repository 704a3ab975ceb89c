"""`ChoiceBox`: a drop-down that says which answer was chosen, not which line of the list.

ipywidgets' Dropdown sends the place in the list. When the list changes while the kernel is busy, such as the plans
after another location, that place is somebody else's plan. Here the value itself travels, as a message: messages keep
their order with clicks, while front ends hold back changes of state as long as the kernel is busy.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import traitlets


class ChoiceBox(anywidget.AnyWidget):
    """A labelled drop-down: `options` are pairs of value and text, `value` is the chosen one's value."""

    _esm = Path(__file__).with_name("choice.js")
    label = traitlets.Unicode("").tag(sync=True)
    options = traitlets.List(traitlets.List(traitlets.Unicode())).tag(sync=True)
    value = traitlets.Unicode("").tag(sync=True)

    _picked = False

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.on_msg(self._heard)

    def _heard(self, widget: Any, content: Any, buffers: Any) -> None:
        if isinstance(content, dict) and isinstance(content.get("chosen"), str):
            self._picked = True
            try:
                self.value = content["chosen"]
            finally:
                self._picked = False

    def _should_send_property(self, key: str, value: Any) -> bool:
        """What a person chose is not sent back: meanwhile they may have chosen something else."""
        held = key == "value" and self._picked and value == self.value
        return not held and bool(super()._should_send_property(key, value))
