"""Secrets on the screen that are in no widget's state: `SecretBox` takes one, or shows one for a while.

A typed password in a `Password` widget is a trait, and traits are saved with a notebook (measured: in plain
text, in JupyterLab and by papermill). Here the text travels as a message alone and the box empties itself.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets


class SecretBox(anywidget.AnyWidget):
    """A box for typing a secret, or with `shows=True` one that shows a secret for some seconds."""

    _esm = Path(__file__).with_name("secretbox.js")
    label = traitlets.Unicode("").tag(sync=True)
    taken = traitlets.Int(0).tag(sync=True)
    shows = traitlets.Bool(False).tag(sync=True)

    def on_secret(self, told: Callable[[str], None]) -> None:
        """`told` gets each text that is typed; it is kept nowhere else."""

        def heard(widget: Any, content: Any, buffers: Any) -> None:
            if isinstance(content, dict) and isinstance(content.get("secret"), str):
                told(content["secret"])

        self.on_msg(heard)

    def show(self, label: str, text: str, seconds: int = 60) -> None:
        """Show a text in the pages that are open now; it is gone after `seconds`, and in no saved file."""
        self.send({"show": text, "label": label, "seconds": seconds})
