"""`InputField`: one input of a form, with its label and a line below for help or an error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import traitlets

from lcnb.widgets.message_widget import MessageWidget


class InputField(MessageWidget):
    """A label, an input, and a line below for help or for what is wrong.

    `kind` is `text`, `area` (several lines), `choice` (of `options`), `suggest` (a text, `options` are proposals),
    `flag`, `rows` (a text that is only shown), or `secret`: what is typed there is a message and nothing else, the box
    empties itself, and no trait, which would be saved with a notebook in plain text, ever holds it.
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

    def on_secret(self, told: Callable[[str], None]) -> None:
        """`told` gets each secret that is typed; it is kept nowhere else."""

        def heard(widget: Any, content: Any, buffers: Any) -> None:
            if isinstance(content, dict) and isinstance(content.get("secret"), str):
                told(content["secret"])

        self.on_msg(heard)
