"""`InputField`: one input of a form, with its label and a line below for help or an error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import traitlets

from lcnb.widgets.message_widget import MessageWidget


class InputField(MessageWidget):
    """A label, an input, and a line below for help or an error.

    `kind` is `text`, `area` (several lines), `choice` (of `options`), `suggest` (text, with `options` as suggestions),
    `flag`, `rows` (text that is only shown), or `secret`. A secret is sent as a message only and the input empties
    itself: a trait would be saved with the notebook in plain text.
    """

    _esm = Path(__file__).with_name("input_field.js")
    kind = traitlets.Unicode("text").tag(sync=True)
    label = traitlets.Unicode("").tag(sync=True)
    #: Pairs of a value and its text.
    options = traitlets.List(traitlets.List(traitlets.Unicode())).tag(sync=True)
    value = traitlets.Union([traitlets.Unicode(), traitlets.Bool()], default_value="").tag(sync=True)
    placeholder = traitlets.Unicode("").tag(sync=True)
    help = traitlets.Unicode("").tag(sync=True)
    error = traitlets.Unicode("").tag(sync=True)

    def on_secret(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with each secret that a person types; nothing else stores it."""

        def receive(widget: Any, content: Any, buffers: Any) -> None:
            if isinstance(content, dict) and isinstance(content.get("secret"), str):
                listener(content["secret"])

        self.on_msg(receive)
