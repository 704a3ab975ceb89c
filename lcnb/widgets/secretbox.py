"""`SecretBox`: shows a secret for a while. The text is a message and nothing else: it is in no widget's state."""

from __future__ import annotations

from pathlib import Path

import anywidget


class SecretBox(anywidget.AnyWidget):
    """Nothing, until it is given a secret to show."""

    _esm = Path(__file__).with_name("secretbox.js")

    def show(self, label: str, text: str, seconds: int = 60) -> None:
        """Show a text in the pages that are open now; it is gone after `seconds`, and in no saved file."""
        self.send({"show": text, "label": label, "seconds": seconds})
