"""All colors: of states, run ends, charts, forms and reports, and the styles of terminals.

No other module contains a color (`tests/display/test_palette.py`). People with color blindness can distinguish the
states too: the colors follow Okabe and Ito. The name of a state is always shown with its color.
"""

from __future__ import annotations

from collections.abc import Mapping

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
#: Lighter shades, which are readable on a dark form.
LIGHT_GREEN, LIGHT_BLUE, LIGHT_RED = "#5fd3b0", "#8ab8f5", "#ff9a8f"
WHITE, BLACK = "#fff", "#000000"

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

#: The colors of a form where JupyterLab's theme has no color for it.
FORM_COLORS = {"ink": "#1b1f24", "field": WHITE, "button": "#eee"}
#: The colors of a report: text, quiet text, lines, background, boxes, and the text of each tone; on a light and a dark
#: page.
REPORT_COLORS = {
    "ink": "#1d2530",
    "soft": "#5c6878",
    "line": "#dfe4ea",
    "page": "#f5f7f9",
    "card": WHITE,
    "bad": "#b3411c",
    "warn": DARK_AMBER,
    "good": "#0a7f5f",
}
DARK_REPORT_COLORS = {
    "ink": "#e4e9f0",
    "soft": "#98a4b5",
    "line": "#2b3441",
    "page": "#11161d",
    "card": "#19202a",
    "bad": "#f0875f",
    "warn": "#eeb04a",
    "good": "#3fc79f",
}

#: Styles of a terminal, as rich names them.
WARNING_STYLE, ERROR_STYLE, SUCCESS_STYLE, MISSING_STYLE = "yellow", "bold red", "green", "dim"
HEADING_STYLE = "bold"
#: The style for each tone of a run's end in a terminal.
TONE_STYLES = {"good": SUCCESS_STYLE, "open": "bold blue", "warning": "bold yellow", "bad": ERROR_STYLE}


def translucent(color: str, opacity: float) -> str:
    """A color in CSS with an opacity between 0 and 1.

    >>> translucent(GREY, 0.35)
    'rgba(140,149,164,.35)'
    """
    red, green, blue = bytes.fromhex(color.removeprefix("#"))
    return f"rgba({red},{green},{blue},{f'{opacity:g}'.removeprefix('0')})"


def css_variables(colors: Mapping[str, str]) -> str:
    """Declare a CSS variable for each color.

    >>> css_variables({"ink": "#1d2530", "card": WHITE})
    '--ink:#1d2530;--card:#fff'
    """
    return ";".join(f"--{name}:{color}" for name, color in colors.items())
