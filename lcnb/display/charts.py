"""Bar, line and band charts as SVG inside the page.

matplotlib draws them. Their text has the color of the page's text, so it is readable on light and dark pages.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping
from datetime import timedelta
from html import escape
from typing import TYPE_CHECKING, Any

from lcnb.display.formats import MISSING, is_missing
from lcnb.display.markup import Html
from lcnb.display.palette import NEUTRAL_COLOR, PAGE_TEXT_COLOR, SERIES_COLORS, STATE_COLORS

if TYPE_CHECKING:
    import pandas as pd


def bar_chart(
    data: pd.Series[Any] | pd.DataFrame, title: str, *, unit: str = "", decimals: int = 0, alt: str = ""
) -> Html:
    """Draw horizontal bars, each with its value. A missing value is an en dash without a bar.

    Args:
        data: A Series, or a DataFrame whose columns are stacked and named in a legend. Names of states get the colors
            of the states.
        title: A line above the bars.
        unit: The unit of the values, after the title.
        decimals: The decimals of the values.
        alt: A text for readers who do not see the picture; the values by default.
    """
    import pandas as pd

    frame = data.to_frame() if isinstance(data, pd.Series) else data
    if not len(frame):
        return Html(
            f'<p class="lcnb-none">{escape(title)}: nothing to show.</p>', f"{title}: nothing to show."
        )
    frame = frame.astype("float64")
    totals = frame.sum(axis=1, min_count=1).tolist()
    values = [MISSING if is_missing(total) else f"{total:,.{decimals}f}" for total in totals]
    described = ", ".join(f"{name}: {value}" for name, value in zip(frame.index, values, strict=True))
    alt = alt or f"{title}. {described}{' ' + unit if unit else ''}"
    ends = [0.0 if is_missing(total) else total for total in totals]
    svg = _draw_bars(frame, ends, values, title, unit)
    html = f'<figure class="lcnb-figure" role="img" aria-label="{escape(alt)}">{svg}</figure>'
    return Html(html, alt)


def line_chart(
    data: pd.Series[Any] | pd.DataFrame,
    title: str,
    *,
    unit: str = "",
    decimals: int = 0,
    alt: str = "",
    at: Mapping[str, Any] | None = None,
) -> Html:
    """Draw values over days or numbers (the index), each line with its first and last value.

    Args:
        data: A Series, or a DataFrame with one line per column and a legend. A missing value is a gap.
        title: A line above the picture.
        unit: The unit of the values, after the title.
        decimals: The decimals of the values.
        alt: A text for readers who do not see the picture; the first and last values by default.
        at: Texts and the positions of the index that they mark.
    """
    import pandas as pd

    frame = (data.to_frame() if isinstance(data, pd.Series) else data).astype("float64")
    frame = frame.dropna(how="all")
    if frame.empty:
        return Html(
            f'<p class="lcnb-none">{escape(title)}: nothing to show.</p>', f"{title}: nothing to show."
        )
    single = isinstance(data, pd.Series)
    ends = [
        f"{'' if single else f'{name}: '}{_describe_ends(frame[name], decimals)}" for name in frame.columns
    ]
    markers = [f"{text}: {_format_position(value)}" for text, value in (at or {}).items()]
    alt = alt or f"{title}. {', '.join([*ends, *markers])}{' ' + unit if unit else ''}"
    svg = _draw_lines(frame, f"{title}{f' ({unit})' if unit else ''}", decimals, at or {})
    return Html(f'<figure class="lcnb-figure" role="img" aria-label="{escape(alt)}">{svg}</figure>', alt)


def band_chart(
    lower: pd.DataFrame,
    upper: pd.DataFrame,
    title: str,
    *,
    step: timedelta,
    unit: str = "",
    decimals: int = 0,
    alt: str = "",
) -> Html:
    """Draw values that are only known to lie between two bounds: a band per column, over times (the index).

    Args:
        lower: The lower bounds, one column per band.
        upper: The upper bounds: the same index and columns. Where both are equal, the band is a line.
        title: A line above the picture.
        step: How long a value holds from its time on.
        unit: The unit of the values, after the title.
        decimals: The decimals of the values.
        alt: A text for readers who do not see the picture; the last bounds of each column by default.
    """
    if not len(lower) or not len(lower.columns):
        return Html(
            f'<p class="lcnb-none">{escape(title)}: nothing to show.</p>', f"{title}: nothing to show."
        )
    lower, upper = lower.astype("float64"), upper.astype("float64")
    last = [
        f"{name}: {lower[name].iloc[-1]:,.{decimals}f} to {upper[name].iloc[-1]:,.{decimals}f}"
        for name in lower.columns
    ]
    when = _format_position(lower.index[-1])
    alt = alt or f"{title}. At {when}: {', '.join(last)}{' ' + unit if unit else ''}"
    svg = _draw_bands(lower, upper, f"{title}{f' ({unit})' if unit else ''}", decimals, step)
    return Html(f'<figure class="lcnb-figure" role="img" aria-label="{escape(alt)}">{svg}</figure>', alt)


def _describe_ends(values: pd.Series[Any], decimals: int) -> str:
    known = values.dropna()
    if not len(known):
        return MISSING
    first, last = (
        f"{known.iloc[end]:,.{decimals}f} at {_format_position(known.index[end])}" for end in (0, -1)
    )
    return f"{first} to {last}"


def _format_position(value: Any) -> str:
    return f"{value.day} {value:%b %Y}" if hasattr(value, "strftime") else f"{value:g}"


#: A label is text, never a formula. The fonts of the page draw it, so matplotlib's fonts need not have every glyph.
_CHART_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 10.5,
    "text.color": PAGE_TEXT_COLOR,
    "text.parse_math": False,
}
MAX_LABEL_CHARACTERS, MAX_TITLE_CHARACTERS = 48, 90


def _draw_bars(frame: pd.DataFrame, totals: list[float], values: list[str], title: str, unit: str) -> str:
    import matplotlib as mpl
    from matplotlib.figure import Figure  # not pyplot, which has global state and keeps figures in memory

    with mpl.rc_context(_CHART_SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        figure = Figure(
            figsize=(8.6, (0.85 if len(frame.columns) > 1 else 0.5) + 0.33 * len(frame)), layout="constrained"
        )
        axes = figure.subplots()
        _plot_bars(axes, frame)
        for position, (total, value) in enumerate(zip(totals, values, strict=True)):
            end = max(total, 0.0)  # the value of a negative bar is written at the zero line
            axes.annotate(value, (end, position), (5, 0), textcoords="offset points", va="center")
        _style_bar_axes(axes, frame, title, unit, totals)
        return _figure_svg(figure)


def _draw_lines(frame: pd.DataFrame, title: str, decimals: int, at: Mapping[str, Any]) -> str:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_CHART_SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        figure = Figure(figsize=(8.6, 3.2), layout="constrained")
        axes = figure.subplots()
        for number, name in enumerate(frame.columns):
            color = SERIES_COLORS[number % len(SERIES_COLORS)]
            axes.plot(
                frame.index,
                frame[name],
                color=color,
                linewidth=2.4,
                label=_legend_label(name),
            )
            if len(frame.columns) == 1:
                axes.fill_between(frame.index, frame[name], color=color, alpha=0.13, linewidth=0)
            _annotate_ends(axes, frame[name].dropna(), decimals)
        _draw_markers(axes, frame, at)
        _style_line_axes(axes, frame, title, decimals)
        return _figure_svg(figure)


def _draw_bands(lower: pd.DataFrame, upper: pd.DataFrame, title: str, decimals: int, step: timedelta) -> str:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_CHART_SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        figure = Figure(figsize=(8.6, 3.4), layout="constrained")
        axes = figure.subplots()
        # The last value holds for a step, too: a repeated value at its end draws that.
        times = [*lower.index, lower.index[-1] + step]
        for number, name in enumerate(lower.columns):
            color = SERIES_COLORS[number % len(SERIES_COLORS)]
            low, high = ([*bounds[name], bounds[name].iloc[-1]] for bounds in (lower, upper))
            axes.fill_between(times, low, high, step="post", color=color, alpha=0.3, linewidth=0)
            for bounds, label in ((low, "_nolegend_"), (high, _legend_label(name))):
                axes.step(times, bounds, where="post", color=color, linewidth=1.6, label=label)
        _style_line_axes(axes, upper, title, decimals)
        return _figure_svg(figure)


def _annotate_ends(axes: Any, values: pd.Series[Any], decimals: int) -> None:
    """Write the first and the last value above the ends of the line, inside the picture."""
    ends = (
        {0: "left", len(values) - 1: "right"}
        if len(values) > 1
        else dict.fromkeys(range(len(values)), "left")
    )
    for position, side in ends.items():
        text = f"{values.iloc[position]:,.{decimals}f}"
        place = (values.index[position], values.iloc[position])
        axes.annotate(
            text, place, (0, 6), textcoords="offset points", ha=side, va="bottom", fontweight="bold"
        )


def _draw_markers(axes: Any, frame: pd.DataFrame, at: Mapping[str, Any]) -> None:
    """Draw a dashed line per marker, with the text on the wider side, one text below the other."""
    middle = frame.index[0] + (frame.index[-1] - frame.index[0]) / 2
    for number, (text, value) in enumerate(at.items()):
        axes.axvline(value, color=STATE_COLORS["suspended"], linewidth=1.4, linestyle=(0, (4, 3)))
        left = value > middle
        axes.annotate(
            _shorten_text(text, MAX_LABEL_CHARACTERS),
            (value, 0.94 - 0.11 * number),
            (-6 if left else 6, 0),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
        )


def _style_line_axes(axes: Any, frame: pd.DataFrame, title: str, decimals: int) -> None:
    from matplotlib.dates import AutoDateLocator, DateFormatter
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_title(_shorten_text(title, MAX_TITLE_CHARACTERS), loc="left", fontweight="bold", fontsize=11.5)
    least, most = min(0.0, frame.min().min()), max(0.0, frame.max().max())
    room = (most - least) or 1.0
    axes.set_ylim(least - (0.04 * room if least < 0 else 0), most + 0.22 * room)
    axes.margins(x=0.01)
    axes.spines[["top", "left", "right"]].set_visible(False)
    axes.spines["bottom"].set_color(NEUTRAL_COLOR)
    axes.grid(axis="y", color=NEUTRAL_COLOR, alpha=0.3, linewidth=0.8)
    axes.tick_params(length=0, labelcolor=PAGE_TEXT_COLOR)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:,.{0 if room > 20 else decimals}f}")
    )
    if hasattr(frame.index[0], "strftime"):
        axes.xaxis.set_major_locator(AutoDateLocator(minticks=3, maxticks=8))  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_formatter(DateFormatter("%d %b"))  # type: ignore[no-untyped-call]
    if len(frame.columns) > 1:
        axes.legend(frameon=False, ncols=4, loc="upper left", bbox_to_anchor=(0, -0.08), fontsize=9.5)


def _shorten_text(text: object, most: int) -> str:
    """Return the text as one line of at most `most` characters."""
    line = " ".join(str(text).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _legend_label(name: object) -> str:
    """Return a name for a legend. matplotlib leaves out labels that begin with an underscore, or are empty."""
    text = _shorten_text(name, MAX_LABEL_CHARACTERS)
    return text if text and not text.startswith("_") else f"\u200b{text}"


def _plot_bars(axes: Any, frame: pd.DataFrame) -> None:
    names = [_shorten_text(name, MAX_LABEL_CHARACTERS) for name in frame.index]
    left = [0.0] * len(frame)
    for number, column in enumerate(frame.columns):
        widths = [float(value) for value in frame[column].fillna(0)]
        if len(frame.columns) == 1:
            color: Any = [STATE_COLORS.get(name, SERIES_COLORS[0]) for name in names]
        else:
            color = STATE_COLORS.get(str(column), SERIES_COLORS[number % len(SERIES_COLORS)])
        label = _legend_label(column)
        axes.barh(range(len(frame)), widths, left=left, color=color, height=0.68, label=label)
        left = [before + width for before, width in zip(left, widths, strict=True)]
    axes.set_yticks(range(len(frame)), names)


def _style_bar_axes(axes: Any, frame: pd.DataFrame, title: str, unit: str, totals: list[float]) -> None:
    axes.invert_yaxis()
    full = _shorten_text(f"{title}{f' ({unit})' if unit else ''}", MAX_TITLE_CHARACTERS)
    axes.set_title(full, loc="left", fontweight="bold", fontsize=11.5)
    least, most = min([*totals, 0.0]), max([*totals, 0.0])
    axes.set_xlim(least, most + (most - least) * 0.12 or 1)
    axes.xaxis.set_visible(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelcolor=PAGE_TEXT_COLOR)
    if len(frame.columns) > 1:
        axes.legend(
            frameon=False,
            ncols=4 if len(frame.columns) > 5 else 5,
            loc="upper left",
            bbox_to_anchor=(0, 0),
            fontsize=9.5,
        )


def _figure_svg(figure: Any) -> str:
    """Return the figure as an SVG element whose text has the color of the page."""
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :].replace(PAGE_TEXT_COLOR, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    return svg.replace("<svg ", '<svg aria-hidden="true" ', 1)
