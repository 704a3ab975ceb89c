"""Static forms of notebook outputs: what a page without scripts shows, and a sentence for what it leaves out.

An output that needs a script (a Plotly chart, a widget, a map) is replaced by a picture or text of the same output where there is one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from html import escape, unescape
from typing import Any

from lcnb.runbooks.publish.pictures import left_out_note
from lcnb.runbooks.publish.terminal_text import final_terminal_text

#: Between these an output is shown whose scripts are named by a sentence of its own.
NOTED_MARKERS = ("<!--lcnb-said-->", "<!--/lcnb-said-->")
WIDGET_VIEW_TYPE = "application/vnd.jupyter.widget-view+json"
WIDGET_STATE_TYPE = "application/vnd.jupyter.widget-state+json"
#: What a type, or the text of a page, is known by, and what people call it.
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
#: Forms that need no script, the best first; each picture as a browser's own type.
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
#: What pages say in place of what a script would show.
LOADING_PLACEHOLDER = re.compile(
    r"loading\s+(?:itables|bokeh)|make this notebook trusted|javascript|bokehjs|^\s*loading\b", re.IGNORECASE
)
#: How Python shows objects that have nothing to say as text.
BARE_REPR = re.compile(r"\s*<[\w.]+(?: object)?(?: at 0x[0-9a-f]+)?>\s*")
#: A progress bar (tqdm) as it was drawn first.
EMPTY_PROGRESS_BAR = re.compile(r"(?:^|\s)0%\||\b0it \[")
LATEX_FORMULA = re.compile(
    r"\$\$.+?\$\$|\\\[.+?\\\]|\\\(.+?\\\)|\\begin\{\w+\*?\}|(?<![\\\w$])\$(?=[^\s$\d])[^$\n]*[\\^_={}][^$\n]*(?<!\s)\$(?!\d)",
    re.DOTALL,
)


def script_kind(text: str) -> str:
    """What people call an output that needs a script."""
    lower = text.lower()
    return next(
        (name for mark, name in SCRIPT_KINDS if mark in lower), "an output that needs a script (JavaScript)"
    )


def left_out_sentence(kind: str, shown: str, where: str) -> str:
    """What was left out, what is shown instead, and where the rest can be seen."""
    return f"Left out: {kind}; a report runs no scripts. {shown}{where}"


def make_output_static(output: Any, widgets: Mapping[str, Any], where: str) -> None:
    """Give an output the form in which a page without scripts shows it, with a sentence for what that leaves out."""
    data = output.data
    html = _joined_text(data.get("text/html"))
    extra = [name for name in data if name not in STATIC_TYPES and name != "application/json"]
    active = extra or WIDGET_VIEW_TYPE in data or ACTIVE_TAG.search(html)
    if not active and html:
        output.data = {"text/html": html}
        return
    if WIDGET_VIEW_TYPE in data and not extra:
        output.data = {"text/html": _widget_html(data, widgets, where)}
        return
    if active and html and _has_visible_content(html):
        told = left_out_sentence(script_kind(" ".join([*extra, html])), "What needs none is shown. ", where)
        output.data = {"text/html": f"{NOTED_MARKERS[0]}{html}{NOTED_MARKERS[1]}{left_out_note(told)}"}
        return
    still, shown = _static_form(data)
    if active:
        told = left_out_sentence(script_kind(" ".join([*extra, html])), shown, where)
        output.data = {"text/html": still + left_out_note(told)}
    elif "text/markdown" in data:
        text = _joined_text(data["text/markdown"])
        output.data = {"text/markdown": text + formula_note(text)}
    else:
        output.data = {"text/html": still}


def _static_form(data: Mapping[str, Any]) -> tuple[str, str]:
    """The best form that needs no script, as HTML, and how the sentence calls it."""
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
    """A form of an output: nbformat joins lines, yet a notebook made by hand may have a list."""
    if isinstance(value, list):
        return "".join(map(str, value))
    return value if isinstance(value, str) else ""


def _has_visible_content(html: str) -> bool:
    """Whether anything is left of HTML without its scripts, but for the word that something is loading."""
    rest = UNSEEN_ELEMENT.sub(" ", html)
    if LOADING_PLACEHOLDER.search(_visible_text(rest)):
        return False
    return bool(re.search(r"<(?:img|svg)\b", rest, re.IGNORECASE)) or bool(_visible_text(rest))


def _visible_text(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


# --- widgets --------------------------------------------------------------------------------------------


def widget_states(notebook: Any) -> dict[str, Any]:
    """The last state of each widget, as far as the notebook has it: model id → its model and state."""
    saved = notebook.metadata.get("widgets", {})
    found = saved.get(WIDGET_STATE_TYPE, {}).get("state", {}) if isinstance(saved, Mapping) else {}
    return dict(found) if isinstance(found, Mapping) else {}


def _widget_html(data: Mapping[str, Any], widgets: Mapping[str, Any], where: str) -> str:
    view = data[WIDGET_VIEW_TYPE]
    identifier = str(view.get("model_id")) if isinstance(view, Mapping) else ""
    still = "".join(_state_html(identifier, widgets, set()))
    if still and _is_display_only(identifier, widgets, set()):
        return still  # nothing of it asks for an answer: nothing is missing
    shown = "Its last state is shown. " if still else ""
    if not still and EMPTY_PROGRESS_BAR.search(_joined_text(data.get("text/plain"))):
        return left_out_note(f"Left out: a progress bar, whose last state this run does not keep. {where}")
    if not still:
        html = _joined_text(data.get("text/html"))
        still, shown = (
            (html, "Its text is shown. ") if html and not ACTIVE_TAG.search(html) else _static_form(data)
        )
    return still + left_out_note(left_out_sentence("a control (ipywidgets)", shown, where))


def _is_display_only(identifier: str, widgets: Mapping[str, Any], seen: set[str]) -> bool:
    """Whether a widget, and all that are in it, only show something: a progress bar, text, outputs."""
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
    """The last state of a widget, and of those in it, as HTML that needs no script."""
    model = widgets.get(identifier)
    if not isinstance(model, Mapping) or identifier in seen:
        return
    seen.add(identifier)
    state, name = model.get("state", {}), str(model.get("model_name", ""))
    if "Output" in name:
        for each in state.get("outputs") or ():
            yield _nested_output_html(each)
        return
    parts = [part for each in _child_ids(state) for part in _state_html(each, widgets, seen)]
    if parts:
        yield f'<div class="widget">{" ".join(parts)}</div>'
        return
    description = escape(_visible_text(str(state.get("description") or "")))
    if "Progress" in name:
        low, high, value = (
            _number_or_default(state.get(each), default)
            for each, default in (("min", 0), ("max", 100), ("value", 0))
        )
        share = min(1.0, max(0.0, (value - low) / (high - low))) if high > low else 1.0
        yield f"{description} <progress max='1' value='{share:.4f}'>{share:.0%}</progress>"
    elif "HTML" in name or "Label" in name:
        text = str(state.get("value") or "")
        yield f"{description} <span>{escape(text) if 'Label' in name else text}</span>"
    elif state.get("value") not in (None, ""):
        yield f"<span>{description} {escape(str(state['value']))}</span>"
    elif description:
        yield f"<span>{description}</span>"


def _number_or_default(value: Any, default: float) -> float:
    return float(value) if isinstance(value, int | float) else default


def _nested_output_html(output: Any) -> str:
    """An output that a widget holds."""
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
    """A sentence below Markdown with formulas, which nothing sets without a script; empty where there is none."""
    text = re.sub(r"```.*?```|~~~.*?~~~|`[^`\n]*`", "", markdown, flags=re.DOTALL)
    if not LATEX_FORMULA.search(text):
        return ""
    return "\n\n" + left_out_note("Formulas are shown as their LaTeX source; a report runs no scripts.")
