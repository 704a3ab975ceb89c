"""Give notebook outputs a form that a page without scripts can show, with a sentence for what is left out.

An output that needs a script (a Plotly chart, a widget, a map) is replaced by its own picture or text if it has one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from html import escape, unescape
from typing import Any

from lcnb.runbooks.publish.pictures import left_out_note
from lcnb.runbooks.publish.terminal_text import final_terminal_text

#: These enclose an output whose scripts are already named by its own sentence.
NOTED_MARKERS = ("<!--lcnb-said-->", "<!--/lcnb-said-->")
WIDGET_VIEW_TYPE = "application/vnd.jupyter.widget-view+json"
WIDGET_STATE_TYPE = "application/vnd.jupyter.widget-state+json"
#: A part of a MIME type or of HTML, and what people call such an output.
SCRIPT_KINDS = (
    ("itables", "an interactive table (itables)"),
    ("plotly", "an interactive chart (Plotly)"),
    ("bokeh", "an interactive chart (Bokeh)"),
    ("vega", "an interactive chart (Vega, Altair)"),
    ("holoviews", "an interactive chart (HoloViews)"),
    ("leaflet", "an interactive map (folium)"),
    ("folium", "an interactive map (folium)"),
    ("echarts", "an interactive chart (ECharts)"),
    ("highcharts", "an interactive chart (Highcharts)"),
    ("widget", "a control (ipywidgets)"),
    ("mathjax", "a formula"),
    ("<iframe", "a page within the page (iframe)"),
    ("geo+json", "an interactive map"),
    ("<video", "a video"),
    ("video/", "a video"),
    ("<audio", "a sound"),
    ("audio/", "a sound"),
    ("application/pdf", "a PDF"),
)
#: Pictures that browsers show without a script, the best first.
PICTURE_TYPES = (
    "image/svg+xml",
    "image/png",
    "image/jpeg",
    "image/webp",
    "image/gif",
    "image/avif",
    "image/bmp",
)
STATIC_TYPES = {*PICTURE_TYPES, "text/html", "text/markdown", "text/latex", "text/plain", WIDGET_VIEW_TYPE}
ACTIVE_TAG = re.compile(
    r"<\s*(?:script|iframe|frame|object|embed|applet|canvas|video|audio)\b", re.IGNORECASE
)
UNSEEN_ELEMENT = re.compile(
    r"<(script|style|iframe|object|applet|video|audio|noscript|template)\b.*?(?:</\1[^>]*>|\Z)|<!--.*?-->",
    re.DOTALL | re.IGNORECASE,
)
#: What pages show until a script replaces it.
LOADING_PLACEHOLDER = re.compile(
    r"loading\s+(?:itables|bokeh)|make this notebook trusted|javascript|bokehjs|^\s*loading\b", re.IGNORECASE
)
#: The default repr of an object, which says nothing.
BARE_REPR = re.compile(r"\s*<[\w.]+(?: object)?(?: at 0x[0-9a-f]+)?>\s*")
#: A progress bar (tqdm) as it was drawn at first.
EMPTY_PROGRESS_BAR = re.compile(r"(?:^|\s)0%\||\b0it \[")
LATEX_FORMULA = re.compile(
    r"\$\$.+?\$\$|\\\[.+?\\\]|\\\(.+?\\\)|\\begin\{\w+\*?\}|(?<![\\\w$])\$(?=[^\s$\d])[^$\n]*[\\^_={}][^$\n]*(?<!\s)\$(?!\d)",
    re.DOTALL,
)


def script_kind(text: str) -> str:
    """Return what people call an output that needs a script."""
    lower = text.lower()
    return next(
        (name for mark, name in SCRIPT_KINDS if mark in lower), "an output that needs a script (JavaScript)"
    )


def left_out_sentence(kind: str, shown: str, where: str) -> str:
    """Return a sentence: what was left out, what is shown instead, and where to see the rest."""
    return f"Left out: {kind}; a report runs no scripts. {shown}{where}"


def make_output_static(output: Any, widgets: Mapping[str, Any], where: str) -> None:
    """Replace the data of an output by a form that needs no script, with a sentence for what that leaves out.

    `widgets` are the states of `widget_states`; `where` says where to see what is left out.
    """
    data = output.data
    html = _joined_text(data.get("text/html"))
    extra = [name for name in data if name not in STATIC_TYPES and name != "application/json"]
    active = extra or WIDGET_VIEW_TYPE in data or ACTIVE_TAG.search(html)
    if not active and html:
        output.data = {"text/html": html}
    elif WIDGET_VIEW_TYPE in data and not extra:
        output.data = {"text/html": _widget_html(data, widgets, where)}
    elif active:
        output.data = {"text/html": _active_html(data, html, script_kind(" ".join([*extra, html])), where)}
    elif "text/markdown" in data:
        text = _joined_text(data["text/markdown"])
        output.data = {"text/markdown": text + formula_note(text)}
    else:
        output.data = {"text/html": _static_form(data)[0]}


def _active_html(data: Mapping[str, Any], html: str, kind: str, where: str) -> str:
    """Return what an output with scripts shows without them, with a sentence for what is left out."""
    if html and _has_visible_content(html):
        note = left_out_note(left_out_sentence(kind, "The parts that need no script are shown. ", where))
        return f"{NOTED_MARKERS[0]}{html}{NOTED_MARKERS[1]}{note}"
    static, shown = _static_form(data)
    return static + left_out_note(left_out_sentence(kind, shown, where))


def _static_form(data: Mapping[str, Any]) -> tuple[str, str]:
    """Return the best form that needs no script, as HTML, and the sentence that names it."""
    for kind in PICTURE_TYPES:
        if picture := _joined_text(data.get(kind)):
            if kind == "image/svg+xml":
                return f"<div>{picture}</div>", "A still picture is shown. "
            alt = escape(_joined_text(data.get("text/plain"))[:200])
            return (
                f'<img src="data:{kind};base64,{"".join(picture.split())}" alt="{alt}">',
                "A still picture is shown. ",
            )
    if latex := _joined_text(data.get("text/latex")):
        note = left_out_note("A formula is shown as its LaTeX source; a report runs no scripts.")
        return f"<pre>{escape(latex)}</pre>{note}", "Its LaTeX source is shown. "
    text = _joined_text(data.get("text/plain"))
    if text and not BARE_REPR.fullmatch(text):
        return f"<pre>{escape(text)}</pre>", "Its text is shown. "
    if "application/json" in data:
        shown = json.dumps(data["application/json"], ensure_ascii=False, indent=2)[:20_000]
        return f"<pre>{escape(shown)}</pre>", "Its data is shown. "
    return (f"<pre>{escape(text)}</pre>", "") if text and len(data) == 1 else ("", "")


def _joined_text(value: Any) -> str:
    """Return the text of one form of an output. nbformat joins its lines; a notebook made by hand may hold a list."""
    if isinstance(value, list):
        return "".join(map(str, value))
    return value if isinstance(value, str) else ""


def _has_visible_content(html: str) -> bool:
    """Whether HTML shows anything without its scripts, other than a message that something is loading."""
    rest = UNSEEN_ELEMENT.sub(" ", html)
    if LOADING_PLACEHOLDER.search(_visible_text(rest)):
        return False
    return bool(re.search(r"<(?:img|svg)\b", rest, re.IGNORECASE)) or bool(_visible_text(rest))


def _visible_text(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


def widget_states(notebook: Any) -> dict[str, Any]:
    """Return the last state of each widget that the notebook has saved: model id → model and state."""
    saved = notebook.metadata.get("widgets", {})
    found = saved.get(WIDGET_STATE_TYPE, {}).get("state", {}) if isinstance(saved, Mapping) else {}
    return dict(found) if isinstance(found, Mapping) else {}


def _widget_html(data: Mapping[str, Any], widgets: Mapping[str, Any], where: str) -> str:
    """Return the last state of a widget as HTML, with a sentence if it could be operated."""
    view = data[WIDGET_VIEW_TYPE]
    identifier = str(view.get("model_id")) if isinstance(view, Mapping) else ""
    still = "".join(_state_html(identifier, widgets, set()))
    if still and _is_display_only(identifier, widgets, set()):
        return still  # it only shows something, so nothing is missing
    shown = "Its last state is shown. " if still else ""
    if not still and EMPTY_PROGRESS_BAR.search(_joined_text(data.get("text/plain"))):
        return left_out_note(f"Left out: a progress bar, whose last state was not saved in this run. {where}")
    if not still:
        html = _joined_text(data.get("text/html"))
        still, shown = (
            (html, "Its text is shown. ") if html and not ACTIVE_TAG.search(html) else _static_form(data)
        )
    return still + left_out_note(left_out_sentence("a control (ipywidgets)", shown, where))


def _is_display_only(identifier: str, widgets: Mapping[str, Any], seen: set[str]) -> bool:
    """Whether a widget and all widgets in it only show something: a progress bar, text, outputs."""
    model = widgets.get(identifier)
    if not isinstance(model, Mapping) or identifier in seen:
        return True
    seen.add(identifier)
    name = str(model.get("model_name", ""))
    known = ("Progress", "HTML", "Label", "Box", "Output", "Valid")
    return any(each in name for each in known) and all(
        _is_display_only(each, widgets, seen) for each in _child_ids(model.get("state", {}))
    )


def _child_ids(state: Mapping[str, Any]) -> list[str]:
    children = state.get("children")
    found = [str(each) for each in children] if isinstance(children, list | tuple) else []
    return [each.removeprefix("IPY_MODEL_") for each in found]


def _state_html(identifier: str, widgets: Mapping[str, Any], seen: set[str]) -> Iterable[str]:
    """Yield the last state of a widget and of all widgets in it as HTML that needs no script."""
    model = widgets.get(identifier)
    if not isinstance(model, Mapping) or identifier in seen:
        return
    seen.add(identifier)
    state, name = model.get("state", {}), str(model.get("model_name", ""))
    if "Output" in name:
        yield from map(_nested_output_html, state.get("outputs") or ())
        return
    parts = [part for each in _child_ids(state) for part in _state_html(each, widgets, seen)]
    yield f'<div class="widget">{" ".join(parts)}</div>' if parts else _value_html(name, state)


def _value_html(name: str, state: Mapping[str, Any]) -> str:
    """Return description and value of a widget without children; empty when it has neither."""
    description = escape(_visible_text(str(state.get("description") or "")))
    if "Progress" in name:
        low, high, value = (
            _number_or_default(state.get(each), default)
            for each, default in (("min", 0), ("max", 100), ("value", 0))
        )
        share = min(1.0, max(0.0, (value - low) / (high - low))) if high > low else 1.0
        return f"{description} <progress max='1' value='{share:.4f}'>{share:.0%}</progress>"
    if "HTML" in name or "Label" in name:
        text = str(state.get("value") or "")
        return f"{description} <span>{escape(text) if 'Label' in name else text}</span>"
    if state.get("value") not in (None, ""):
        return f"<span>{description} {escape(str(state['value']))}</span>"
    return f"<span>{description}</span>" if description else ""


def _number_or_default(value: Any, default: float) -> float:
    return float(value) if isinstance(value, int | float) else default


def _nested_output_html(output: Any) -> str:
    """Return an output that a widget holds as HTML."""
    if not isinstance(output, Mapping):
        return ""
    if output.get("output_type") == "stream":
        return f"<pre>{escape(final_terminal_text(_joined_text(output.get('text'))))}</pre>"
    if output.get("output_type") == "error":
        return f"<pre>{escape(str(output.get('ename')))}: {escape(str(output.get('evalue')))}</pre>"
    data = output.get("data")
    if not isinstance(data, Mapping):
        return ""
    html = _joined_text(data.get("text/html"))
    return html if html and not ACTIVE_TAG.search(html) else _static_form(data)[0]


def formula_note(markdown: str) -> str:
    """Return the sentence below Markdown with formulas, which only a script could render; empty without formulas."""
    text = re.sub(r"```.*?```|~~~.*?~~~|`[^`\n]*`", "", markdown, flags=re.DOTALL)
    if not LATEX_FORMULA.search(text):
        return ""
    return "\n\n" + left_out_note("Formulas are shown as their LaTeX source; a report runs no scripts.")
