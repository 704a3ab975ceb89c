"""`SecretBox`: shows a secret for a limited time. The text is sent as a message only, never as a widget's state."""

from __future__ import annotations

from pathlib import Path

import anywidget


class SecretBox(anywidget.AnyWidget):
    """A widget that is empty until `show` is called."""

    _esm = Path(__file__).with_name("secretbox.js")

    def show(self, label: str, text: str, seconds: int = 60) -> None:
        """Show a text in the pages that are open now, for `seconds`; no file stores it."""
        self.send({"show": text, "label": label, "seconds": seconds})
