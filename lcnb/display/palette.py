"""The colors of states and series, the same in notebooks, reports and terminals.

Color-blind people can tell the colors of the states apart too (after Okabe and Ito)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass

#: The colour of each state, in the order in which states are shown.
STATE_COLORS = {
    "running": "#0a9b74",
    "off": "#8c95a4",
    "building": "#3d8fd1",
    "busy": "#dd9a1f",
    "suspended": "#d1552b",
}
SERIES_COLORS = ("#3d8fd1", "#dd9a1f", "#0a9b74", "#b0679f", "#8c95a4", "#d1552b")
PAGE_TEXT_COLOR = "#010203"  # stands for the page's text colour until the SVG is written
NEUTRAL_COLOR = "#8c95a4"
