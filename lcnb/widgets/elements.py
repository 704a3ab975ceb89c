"""Small parts that all forms and panels share: a button, the status line, showing and hiding a widget."""

from __future__ import annotations

from html import escape
from typing import Any

import ipywidgets as widgets

from lcnb.widgets.form_state import Phase


def make_button(text: str, style: str = "") -> Any:
    """Return a button that is as wide as its text."""
    return widgets.Button(
        description=text, button_style=style, layout=widgets.Layout(width="auto", min_width="96px")
    )


def set_visible(widget: Any, visible: bool) -> None:
    """Show or hide a widget; do nothing if it is so already."""
    display = "" if visible else "none"
    if widget.layout.display != display:
        widget.layout.display = display


def status_html(text: str, *, alert: bool = False, phase: str = "") -> str:
    """Return a status line for people and screen readers. An Output widget would lose text across threads."""
    role = "alert" if alert else "status"
    kind = "lcnb-alert" if alert else ("lcnb-done" if phase == Phase.DONE else "lcnb-info")
    shown = f'<div class="{kind}">{escape(text)}</div>' if text else ""
    return f'<div class="lcnb-status" role="{role}" data-phase="{escape(phase)}">{shown}</div>'
