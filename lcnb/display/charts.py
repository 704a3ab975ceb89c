"""How things look: the one place for colours, tables, cards and pictures in notebooks and reports.

Everything here gives a `Html` object: escaped HTML for a notebook or a report, plain text elsewhere. Pictures
are matplotlib's, as SVG inside the page whose text takes the page's own colour, so they are right on light
and dark pages. The colours of states are told apart by colour-blind people too (after Okabe and Ito).
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from lcnb.api.models import fields_of, shown

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.api.models import Record

#: The colour of each state, in the order in which states are shown.
STATE_COLORS = {
    "running": "#0a9b74",
    "off": "#8c95a4",
    "building": "#3d8fd1",
    "busy": "#dd9a1f",
    "suspended": "#d1552b",
}
SERIES_COLORS = ("#3d8fd1", "#dd9a1f", "#0a9b74", "#b0679f", "#8c95a4", "#d1552b")
_INK = "#010203"  # stands for the page's text colour until the SVG is written
_GRID = "#8c95a4"

STYLE = """
<style>
.lcnb{font:14px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
.lcnb-cards{display:flex;flex-wrap:wrap;gap:12px;margin:4px 0 12px}
.lcnb-card{flex:1 1 130px;padding:14px 18px;border:1px solid rgba(140,149,164,.35);border-radius:12px}
.lcnb-card b{display:block;font-size:26px;line-height:1.2;font-weight:650;font-variant-numeric:tabular-nums}
.lcnb-card span{opacity:.75;font-size:12.5px}
.lcnb-card.warn{border-color:#dd9a1f;box-shadow:inset 4px 0 0 #dd9a1f}
.lcnb-attention{margin:4px 0 12px;padding:10px 16px;border:1px solid #dd9a1f;border-left-width:6px;border-radius:10px;
 white-space:pre-wrap;overflow-wrap:anywhere}
.lcnb-note{margin:4px 0 12px;padding:8px 16px;border-left:4px solid rgba(140,149,164,.6);max-width:80ch}
.lcnb-scroll{overflow-x:auto;margin:4px 0 12px}
.lcnb table.lcnb-table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums;min-width:50%}
.lcnb table.lcnb-table th{font-weight:600;text-align:left;white-space:nowrap;opacity:.8;
 border-bottom:2px solid rgba(140,149,164,.5)}
.lcnb table.lcnb-table th,.lcnb table.lcnb-table td{padding:5px 14px 5px 2px}
.lcnb table.lcnb-table td{border-bottom:1px solid rgba(140,149,164,.25);text-align:left;white-space:nowrap}
.lcnb table.lcnb-table td.w{white-space:normal;min-width:22ch}
.lcnb table.lcnb-table .n{text-align:right}
.lcnb table.lcnb-table th[scope=row]{border-bottom:1px solid rgba(140,149,164,.25)}
.lcnb table.lcnb-table caption{caption-side:top;text-align:left;font-weight:650;padding:2px 0 6px;color:inherit}
.lcnb table.lcnb-table td.m{font-weight:700;background:rgba(10,155,116,.2);box-shadow:inset 0 -2px 0 #0a9b74}
.lcnb table.lcnb-record td.n{text-align:left}
.lcnb table.lcnb-table small{font-weight:400;opacity:.8}
.lcnb-none{opacity:.75}
.lcnb-details{margin:4px 0 12px}
.lcnb-details summary{cursor:pointer;opacity:.8}
.lcnb-details pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:12px;margin:6px 0}
.lcnb-pill{display:inline-block;white-space:nowrap}
.lcnb-pill::before{content:"";display:inline-block;width:9px;height:9px;border-radius:50%;margin-right:7px;
 background:var(--c)}
figure.lcnb-figure{margin:4px 0 12px}
figure.lcnb-figure svg{max-width:100%;height:auto}
figure.lcnb-figure svg text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif !important}
</style>
""".strip()


class Html:
    """A piece of a page: HTML in a notebook, plain text elsewhere."""

    def __init__(self, html: str, text: str) -> None:
        self._html = html
        self._text = text

    @classmethod
    def joined(cls, parts: Sequence[Html], text: str) -> Html:
        """Several pieces as one."""
        return cls("".join(part._html for part in parts), text)

    def _repr_html_(self) -> str:
        return f'{STYLE}<div class="lcnb">{self._html}</div>'

    def __repr__(self) -> str:
        return self._text


# --- tables and cards -----------------------------------------------------------------------------------


def cards(values: Mapping[str, object], *, warn: Sequence[str] = ()) -> Html:
    """Key figures side by side: label → value. Labels in `warn` are marked; a missing value is an en dash."""
    values = {label: "–" if _missing(value) else value for label, value in values.items()}
    boxes = "".join(
        f'<div class="lcnb-card{" warn" if label in warn else ""}"><b>{escape(str(value))}</b>'
        f"<span>{escape(label)}</span></div>"
        for label, value in values.items()
    )
    text = "\n".join(f"{label}: {value}" for label, value in values.items())
    return Html(f'<div class="lcnb-cards">{boxes}</div>', text)


def table(
    frame: pd.DataFrame,
    *,
    empty: str = "Nothing to show.",
    mark: pd.DataFrame | None = None,
    caption: str = "",
) -> Html:
    """A frame as a calm table: escaped, numbers to the right, money with decimals, states in colour.

    A missing value is an en dash. A named index is shown as leading columns; a plain one is not. `mark` is a
    frame of flags for the same rows: a cell whose flag holds stands out, in bold letters and in colour.
    `caption` stands above the table.
    """
    flags = _flags(frame, mark)
    if frame.index.names != [None]:
        frame = frame.reset_index()
    if not len(frame):
        return Html(f'<p class="lcnb-none">{escape(empty)}</p>', empty)
    units = _units()
    head = "".join(_head(str(name), dtype, units) for name, dtype in frame.dtypes.items())
    numbers = [_is_number(dtype) for dtype in frame.dtypes]
    rows = "".join(
        "<tr>" + "".join(map(_cell, frame.columns, row, flags[number], numbers)) + "</tr>"
        for number, row in enumerate(frame.itertuples(index=False))
    )
    above = f"<caption>{escape(caption)}</caption>" if caption else ""
    html = (
        f'<div class="lcnb-scroll" tabindex="0" role="region" aria-label="table"><table class="lcnb-table">'
        f"{above}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
    return Html(html, f"{caption}\n" * bool(caption) + frame.to_string(index=False))


def _flags(frame: pd.DataFrame, mark: pd.DataFrame | None) -> list[list[bool]]:
    """A flag for each cell that is shown; the columns of a named index, which come first, are never marked."""
    leading = [False] * (frame.index.nlevels if frame.index.names != [None] else 0)
    if mark is None:
        return [leading + [False] * len(frame.columns)] * len(frame)
    columns = [
        [not _missing(flag) and bool(flag) for flag in mark[name]] if name in mark else [False] * len(frame)
        for name in frame.columns
    ]
    return [[*leading, *row] for row in zip(*columns, strict=True)]


def _units() -> dict[str, str]:
    from lcnb.api.models import Instance, Plan

    return {
        each.name: each.about.unit
        for model in (Instance, Plan)
        for each in fields_of(model)
        if each.about.unit in ("MB", "GB")
    }


def _head(name: str, dtype: Any, units: Mapping[str, str]) -> str:
    unit = f" <small>{units[name]}</small>" if name in units else ""
    return f'<th scope="col"{_class("n" if _is_number(dtype) else "")}>{escape(name.replace("_", " "))}{unit}</th>'


def _is_number(dtype: Any) -> bool:
    return dtype.kind in "iuf"


def _missing(value: Any) -> bool:
    import pandas as pd

    return bool(pd.api.types.is_scalar(value) and pd.isna(value))


def _cell(name: object, value: Any, marked: bool = False, number: bool = False) -> str:
    if _missing(value):
        return f"<td{_class('n lcnb-none' if number else 'lcnb-none')}>–</td>"
    also = " m" if marked else ""
    value = value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value
    if name == "state":
        return f"<td{_class(also)}>{state_html(str(value))}</td>"
    if isinstance(value, float):
        return f"<td{_class('n' + also)}>{value:,.2f}</td>"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"<td{_class('n' + also)}>{value:,}</td>"
    text = shown(value)
    return f"<td{_class(('w' if len(text) > 40 else '') + also)}>{escape(text)}</td>"


def _class(names: str) -> str:
    return f' class="{names.strip()}"' if names else ""


def note(text: str) -> Html:
    """A sentence or two that explain what stands around them, such as what cannot be known."""
    return Html(f'<p class="lcnb-note">{escape(text)}</p>', text)


def attention(title: str, text: str) -> Html:
    """Something that needs a look, as a box with a coloured edge; the word is there too."""
    html = f'<div class="lcnb-attention" role="note"><b>{escape(title)}</b> {escape(text)}</div>'
    return Html(html, f"{title}: {text}")


def details(title: str, lines: Sequence[str]) -> Html:
    """Lines behind a title that opens on a click or by the keyboard."""
    body = escape("\n".join(lines))
    html = f'<details class="lcnb-details"><summary>{escape(title)}</summary><pre>{body}</pre></details>'
    return Html(html, "\n".join([title, *lines]))


def state_html(state: str) -> str:
    """A state with its dot of colour; the word is there too, for those who cannot see colours."""
    color = STATE_COLORS.get(state, _GRID)
    return f'<span class="lcnb-pill" style="--c:{color}">{escape(state)}</span>'


def record_html(record: Record) -> str:
    """One typed object as a small two-column table."""
    title = escape(shown(getattr(record, record.TITLE, None)))
    rows = "".join(
        f'<tr><th scope="row">{escape(each.name)}'
        f"{f' <small>{each.about.unit}</small>' if each.about.unit in ('MB', 'GB') else ''}</th>"
        f"{_cell(each.name, ', '.join(value) if isinstance(value, tuple) else value)}</tr>"
        for each, value in record.rows()
    )
    table = f'<table class="lcnb-table lcnb-record"><caption>{type(record).__name__} {title}</caption>{rows}</table>'
    return Html(table, repr(record))._repr_html_()


def money(value: float, currencycode: str) -> str:
    """`1,234.50 USD`; a missing value is an en dash."""
    return "–" if _missing(value) else f"{value:,.2f} {currencycode}".rstrip()


# --- pictures -------------------------------------------------------------------------------------------


def barh(
    data: pd.Series[Any] | pd.DataFrame, title: str, *, unit: str = "", decimals: int = 0, alt: str = ""
) -> Html:
    """Horizontal bars, each with its value; a DataFrame is stacked, its columns told by colour and legend.

    Columns (or the index of a Series) that are states have their states' colours. `alt` is the text for
    those who do not see the picture; without it the values themselves are told. A missing value is an en
    dash and no bar.
    """
    import pandas as pd

    frame = data.to_frame() if isinstance(data, pd.Series) else data
    if not len(frame):
        return Html(
            f'<p class="lcnb-none">{escape(title)}: nothing to show.</p>', f"{title}: nothing to show."
        )
    frame = frame.astype("float64")
    totals = frame.sum(axis=1, min_count=1).tolist()
    values = ["–" if _missing(total) else f"{total:,.{decimals}f}" for total in totals]
    told = ", ".join(f"{name}: {value}" for name, value in zip(frame.index, values, strict=True))
    alt = alt or f"{title}. {told}{' ' + unit if unit else ''}"
    ends = [0.0 if _missing(total) else total for total in totals]
    svg = _draw(frame, ends, values, title, unit)
    html = f'<figure class="lcnb-figure" role="img" aria-label="{escape(alt)}">{svg}</figure>'
    return Html(html, alt)


def line(
    data: pd.Series[Any] | pd.DataFrame,
    title: str,
    *,
    unit: str = "",
    decimals: int = 0,
    alt: str = "",
    at: Mapping[str, Any] | None = None,
) -> Html:
    """Values over days or numbers (the index), a line a column, each with its first and last value.

    `at` marks places of the index: text → value. A Series has its title alone; a DataFrame has a legend. A
    missing value is a gap. `alt` is the text for those who do not see the picture; without it first and last
    value of each line are told.
    """
    import pandas as pd

    frame = (data.to_frame() if isinstance(data, pd.Series) else data).astype("float64")
    frame = frame.dropna(how="all")
    if frame.empty:
        return Html(
            f'<p class="lcnb-none">{escape(title)}: nothing to show.</p>', f"{title}: nothing to show."
        )
    told = [f"{name}: {_ends(frame[name], decimals)}" for name in frame.columns]
    if isinstance(data, pd.Series):
        told = [_ends(frame.iloc[:, 0], decimals)]
    places = [f"{text}: {_place(value)}" for text, value in (at or {}).items()]
    alt = alt or f"{title}. {', '.join([*told, *places])}{' ' + unit if unit else ''}"
    svg = _draw_lines(frame, f"{title}{f' ({unit})' if unit else ''}", decimals, at or {})
    return Html(f'<figure class="lcnb-figure" role="img" aria-label="{escape(alt)}">{svg}</figure>', alt)


def _ends(values: pd.Series[Any], decimals: int) -> str:
    known = values.dropna()
    if not len(known):
        return "–"
    first, last = known.iloc[0], known.iloc[-1]
    return f"{first:,.{decimals}f} at {_place(known.index[0])} to {last:,.{decimals}f} at {_place(known.index[-1])}"


def _place(value: Any) -> str:
    return f"{value.day} {value:%b %Y}" if hasattr(value, "strftime") else f"{value:g}"


#: A label is a text and never a formula; the page's fonts draw it, so those of matplotlib may lack a glyph.
_PLAIN: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 10.5,
    "text.color": _INK,
    "text.parse_math": False,
}
LABEL_SHOWN, TITLE_SHOWN = 48, 90


def _draw(frame: pd.DataFrame, totals: list[float], values: list[str], title: str, unit: str) -> str:
    import matplotlib as mpl
    from matplotlib.figure import Figure  # no pyplot: no global state, no back end, no leak of figures

    with mpl.rc_context(_PLAIN), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        figure = Figure(
            figsize=(8.6, (0.85 if len(frame.columns) > 1 else 0.5) + 0.33 * len(frame)), layout="constrained"
        )
        axes = figure.subplots()
        _bars(axes, frame)
        for position, (total, value) in enumerate(zip(totals, values, strict=True)):
            end = max(total, 0.0)  # a negative bar ends to the left, and its value stands beside it
            axes.annotate(value, (end, position), (5, 0), textcoords="offset points", va="center")
        _dress(axes, frame, title, unit, totals)
        return _svg(figure)


def _draw_lines(frame: pd.DataFrame, title: str, decimals: int, at: Mapping[str, Any]) -> str:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_PLAIN), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        figure = Figure(figsize=(8.6, 3.2), layout="constrained")
        axes = figure.subplots()
        for number, name in enumerate(frame.columns):
            color = SERIES_COLORS[number % len(SERIES_COLORS)]
            axes.plot(frame.index, frame[name], color=color, linewidth=2.4, label=_short(name, LABEL_SHOWN))
            if len(frame.columns) == 1:
                axes.fill_between(frame.index, frame[name], color=color, alpha=0.13, linewidth=0)
            _tell_ends(axes, frame[name].dropna(), decimals)
        _mark_places(axes, frame, at)
        _dress_lines(axes, frame, title, decimals)
        return _svg(figure)


def _tell_ends(axes: Any, values: pd.Series[Any], decimals: int) -> None:
    """First and last value stand above the line's ends, inside the picture."""
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


def _mark_places(axes: Any, frame: pd.DataFrame, at: Mapping[str, Any]) -> None:
    """A dashed line each, its text on the side where there is more room; several stand below each other."""
    middle = frame.index[0] + (frame.index[-1] - frame.index[0]) / 2
    for number, (text, value) in enumerate(at.items()):
        axes.axvline(value, color=STATE_COLORS["suspended"], linewidth=1.4, linestyle=(0, (4, 3)))
        left = value > middle
        axes.annotate(
            _short(text, LABEL_SHOWN),
            (value, 0.94 - 0.11 * number),
            (-6 if left else 6, 0),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
        )


def _dress_lines(axes: Any, frame: pd.DataFrame, title: str, decimals: int) -> None:
    from matplotlib.dates import AutoDateLocator, DateFormatter
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_title(_short(title, TITLE_SHOWN), loc="left", fontweight="bold", fontsize=11.5)
    least, most = min(0.0, frame.min().min()), max(0.0, frame.max().max())
    room = (most - least) or 1.0
    axes.set_ylim(least - (0.04 * room if least < 0 else 0), most + 0.22 * room)
    axes.margins(x=0.01)
    axes.spines[["top", "left", "right"]].set_visible(False)
    axes.spines["bottom"].set_color(_GRID)
    axes.grid(axis="y", color=_GRID, alpha=0.3, linewidth=0.8)
    axes.tick_params(length=0, labelcolor=_INK)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:,.{0 if room > 20 else decimals}f}")
    )
    if hasattr(frame.index[0], "strftime"):
        axes.xaxis.set_major_locator(AutoDateLocator(minticks=3, maxticks=8))  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_formatter(DateFormatter("%d %b"))  # type: ignore[no-untyped-call]
    if len(frame.columns) > 1:
        axes.legend(frameon=False, ncols=4, loc="upper left", bbox_to_anchor=(0, -0.08), fontsize=9.5)


def _short(text: object, most: int) -> str:
    """One line that leaves room for the picture."""
    line = " ".join(str(text).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _bars(axes: Any, frame: pd.DataFrame) -> None:
    names = [_short(name, LABEL_SHOWN) for name in frame.index]
    left = [0.0] * len(frame)
    for number, column in enumerate(frame.columns):
        widths = [float(value) for value in frame[column].fillna(0)]
        if len(frame.columns) == 1:
            color: Any = [STATE_COLORS.get(name, SERIES_COLORS[0]) for name in names]
        else:
            color = STATE_COLORS.get(str(column), SERIES_COLORS[number % len(SERIES_COLORS)])
        label = _short(column, LABEL_SHOWN)
        axes.barh(range(len(frame)), widths, left=left, color=color, height=0.68, label=label)
        left = [before + width for before, width in zip(left, widths, strict=True)]
    axes.set_yticks(range(len(frame)), names)


def _dress(axes: Any, frame: pd.DataFrame, title: str, unit: str, totals: list[float]) -> None:
    axes.invert_yaxis()
    full = _short(f"{title}{f' ({unit})' if unit else ''}", TITLE_SHOWN)
    axes.set_title(full, loc="left", fontweight="bold", fontsize=11.5)
    least, most = min([*totals, 0.0]), max([*totals, 0.0])
    axes.set_xlim(least, most + (most - least) * 0.12 or 1)
    axes.xaxis.set_visible(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelcolor=_INK)
    if len(frame.columns) > 1:
        axes.legend(
            frameon=False,
            ncols=4 if len(frame.columns) > 5 else 5,
            loc="upper left",
            bbox_to_anchor=(0, 0),
            fontsize=9.5,
        )


def _svg(figure: Any) -> str:
    """The figure as an SVG element whose text has the colour of the page around it."""
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :].replace(_INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    return svg.replace("<svg ", '<svg aria-hidden="true" ', 1)
