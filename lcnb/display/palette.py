"""The colors of states, run ends and series: the same in notebooks, forms, reports and terminals.

People with color blindness can distinguish the states too: the colors follow Okabe and Ito. The name of a state is
always shown with its color.
"""

from __future__ import annotations

GREEN, BLUE, AMBER, VERMILION, PURPLE, GREY = (
    "#0a9b74",
    "#3d8fd1",
    "#dd9a1f",
    "#d1552b",
    "#b0679f",
    "#8c95a4",
)
#: Darker shades, on which white text is readable (a contrast of at least 4.5 to 1).
DARK_GREEN, DARK_BLUE, DARK_AMBER, DARK_RED = "#0a7d5d", "#1565c0", "#96590a", "#b3261e"

#: The color of each state of a machine, in the order in which states are listed.
STATE_COLORS = {"running": GREEN, "off": GREY, "building": BLUE, "busy": AMBER, "suspended": VERMILION}
#: The background for each tone of a run's end (`lcnb.runbooks.ends`), for white text.
TONE_COLORS = {"good": DARK_GREEN, "open": DARK_BLUE, "warning": DARK_AMBER, "bad": DARK_RED}
#: The colors of a chart's series, used in this order.
SERIES_COLORS = (BLUE, AMBER, GREEN, PURPLE, GREY, VERMILION)
#: A placeholder for the text color of the page, which replaces it when the SVG is written.
PAGE_TEXT_COLOR = "#010203"
NEUTRAL_COLOR = GREY
WARNING_COLOR = AMBER

#: Styles of a terminal, as rich names them.
WARNING_STYLE, ERROR_STYLE, SUCCESS_STYLE, MISSING_STYLE = "yellow", "bold red", "green", "dim"
