"""What a report shows of pictures, of outputs that need a script, of allowed errors and of progress bars."""

from __future__ import annotations

import base64
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import nbformat
import pytest

from conftest import write_notebook
from lcnb.runbooks.publish import pictures
from lcnb.runbooks.publish.outputs import WIDGET_VIEW_TYPE
from lcnb.runbooks.publish.page_extras import SORT_SCRIPT
from lcnb.runbooks.publish.report import render_page
from lcnb.runbooks.publish.terminal_text import final_terminal_text
from lcnb.runbooks.run import run_runbook

FACTS: dict[str, Any] = {
    "title": "Night", "purpose": "", "status": "done", "reason": "", "account": "lab", "base_url": None, "id": "a-run",
    "started": "2026-11-29T22:00:00+00:00", "duration_s": 1.0, "user": "me", "host": "here", "parameters": {},
    "failed_cell": None, "versions": {"lcnb": "0"}, "notebook": "/books/night.ipynb",
}  # fmt: skip
ANYTHING: Any = nbformat.v4


def png(color: int = 0) -> bytes:
    """A picture of one dot."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    dot = zlib.compress(bytes([0, color, color, color]))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", dot) + chunk(b"IEND", b"")


def data_address(content: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def page(*cells: Any, folder: Path | None = None, widgets: Any = None, **facts: Any) -> str:
    """The body of a report of these cells."""
    notebook = ANYTHING.new_notebook(cells=list(cells))
    if widgets:
        notebook.metadata.widgets = {"application/vnd.jupyter.widget-state+json": {"state": widgets}}
    html = render_page(FACTS | facts, notebook, [], [folder] if folder else [])
    no_request(html)
    return html.partition("</header>")[2]


def no_request(html: str) -> None:
    """Nothing in a page runs or asks for anything but the script that sorts; the icon of its head is empty."""
    html = html.replace('<link rel="icon" href="data:,">', "").replace(
        f"<script>{SORT_SCRIPT}</script>", "", 1
    )
    assert not re.search(r"<(?:script|iframe|object|embed|link|base)\b", html, re.IGNORECASE)
    for address in re.findall(r"<(?:img|image|source|video)[^>]*?(?:src|href)=[\"']([^\"']*)", html):
        assert address.startswith("data:"), address[:80]


def markdown(source: str, **more: Any) -> Any:
    return ANYTHING.new_markdown_cell(source, **more)


def mime(data: dict[str, Any]) -> Any:
    """A code cell with one output in these forms."""
    return ANYTHING.new_code_cell("1", outputs=[ANYTHING.new_output("display_data", data)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A notebook's folder with pictures next to a secret one."""
    place = tmp_path / "books"
    (place / "img" / "sub dir").mkdir(parents=True)
    (place / "a.png").write_bytes(png())
    (place / "img" / "a.png").write_bytes(png(1))
    (place / "img" / "my pic.png").write_bytes(png(2))
    (place / "img" / "sub dir" / "ü.png").write_bytes(png(3))
    (place / "img" / "100%.png").write_bytes(png(4))
    (place / "img" / "v.svg").write_bytes(
        b"<?xml version='1.0'?>\n<!-- by hand -->\n<svg xmlns='x'><script>1</script></svg>"
    )
    (place / "img" / "j.jpg").write_bytes(b"\xff\xd8\xff\xe0rest")
    (place / "img" / "text.png").write_text("root:x:0:0")
    (place / "img" / "empty.png").write_bytes(b"")
    (place / "img" / "big.png").write_bytes(png() + bytes(pictures.MAX_PICTURE_BYTES))
    (tmp_path / "secret.png").write_bytes(png(99))
    (place / "img" / "link.png").symlink_to(tmp_path / "secret.png")
    (place / "img" / "inner.png").symlink_to(place / "a.png")
    (place / "loop.png").symlink_to(place / "loop.png")
    return place


EMBEDDED = [
    ("![a](a.png)", png()), ("![a](img/a.png)", png(1)), ("![a](./img/../img/a.png)", png(1)),
    ("![a](img/my%20pic.png)", png(2)), ("![a](<img/my pic.png>)", png(2)), ("![a](img/my pic.png)", png(2)),
    ("![a](img/my pic.png \"a title\")", png(2)), ("![a](img/sub%20dir/%C3%BC.png)", png(3)),
    ("![a](img/sub dir/ü.png)", png(3)), ("![a](img/100%.png)", png(4)), ("![a](img/a.png?raw=true)", png(1)),
    ("![a](img/a.png#gh-dark-mode-only)", png(1)), ("<img src='img/a.png' width=80>", png(1)),
    ('<IMG ALT="a" SRC="img/a.png">', png(1)), ("<img src=img/a.png>", png(1)), ("<img src='img\\a.png'>", png(1)),
    ("![a](img/inner.png)", png()), ("[![a](img/a.png)](https://example.com)", png(1)),
    ("| x |\n|---|\n| ![a](img/a.png) |", png(1)), ("![a][ref]\n\n[ref]: img/a.png", png(1)),
    ("<svg><image href='img/a.png'/></svg>", png(1)),
]  # fmt: skip


@pytest.mark.parametrize(("source", "content"), EMBEDDED, ids=[each[0] for each in EMBEDDED])
def test_c10_embedded(source: str, content: bytes, folder: Path) -> None:
    """A picture of the notebook's folder is part of the page, however its path is written."""
    html = page(markdown(source), folder=folder)
    assert data_address(content) in html
    assert "left-out" not in html


def test_c10_other_pictures(folder: Path) -> None:
    """SVG and JPEG are embedded too, attachments come from their cell, and what a cell shows from its output."""
    assert data_address((folder / "img" / "v.svg").read_bytes(), "svg+xml") in page(
        markdown("![a](img/v.svg)"), folder=folder
    )
    assert "data:image/jpeg;base64," in page(markdown("![a](img/j.jpg)"), folder=folder)
    dot = base64.b64encode(png(7)).decode()
    attached = markdown("![a](attachment:x.png)", attachments={"x.png": {"image/png": dot}})
    assert data_address(png(7)) in page(attached)
    spaced = markdown("![a](attachment:my%20x.png)", attachments={"my x.png": {"image/png": dot}})
    assert data_address(png(7)) in page(spaced)
    assert data_address(png(7)) in page(mime({"image/png": dot, "text/plain": "<Figure>"}))
    assert "data:image/gif;base64," in page(mime({"image/gif": "R0lGODlh"}))
    assert "data:image/webp;base64," in page(mime({"image/webp": "UklGRg=="}))
    assert data_address(png(1)) in page(mime({"text/html": "<img src='img/a.png'>"}), folder=folder)


NAMED = [
    ("![a](none.png)", "(a): the file none.png was not found."),
    ("![](img)", "the file img was not found."),
    ("![a](../secret.png)", "../secret.png is outside the notebook's folder"),
    ("![a](%2e%2e/secret.png)", "../secret.png is outside the notebook's folder"),
    ("![a](img/link.png)", "img/link.png is outside the notebook's folder"),
    ("![a](../../../../../../etc/passwd)", "etc/passwd is outside the notebook's folder"),
    ("![a](/etc/passwd)", "/etc/passwd is outside the notebook's folder"),
    ("<img src='file:///etc/passwd'>", "/etc/passwd is outside the notebook's folder"),
    ("![a](~/a.png)", "the file ~/a.png was not found"),
    ("![a](loop.png)", "the file loop.png was not found"),
    ("![a](img/text.png)", "img/text.png is not a picture"),
    ("![a](img/empty.png)", "img/empty.png is empty"),
    ("![a](img/big.png)", "img/big.png has 5.0 MB; at most 5 MB are embedded"),
    ("![a](https://user:pw-canary@example.com/x.png?token=pw-canary)", "x.png is on the server example.com, and this page sends no requests"),
    ("<img src='//example.com/x.png'>", "x.png is on the server example.com"),
    ("<img src='http://[bad'>", "is not an address"),
    ("![a](attachment:gone.png)", "the cell has no attachment gone.png"),
    ("<img alt='the fleet' src='ftp://example.com/x.png'>", "(the fleet): x.png is on the server example.com"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "problem"), NAMED)
def test_c10_named(source: str, problem: str, folder: Path) -> None:
    """A picture that is not shown is named in its place with the reason; nothing outside the folder is read."""
    html = page(markdown(source), folder=folder)
    assert "Picture left out" in html
    assert problem.replace("'", "&#x27;") in html
    assert base64.b64encode(png(99)).decode() not in html
    assert "root:" not in html
    assert "pw-canary" not in html


def test_c10_all_pictures(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All pictures of a page together have a limit, and the first one beyond it is named."""
    monkeypatch.setattr(pictures, "MAX_PAGE_PICTURE_BYTES", len(png()) + 10)
    html = page(markdown("![a](a.png) ![b](img/a.png)"), folder=folder)
    assert data_address(png()) in html
    assert "Picture left out (b): img/a.png: the pictures of this page together exceed" in html


DOT = base64.b64encode(png()).decode()
PLOTLY = "<div><script>window.P={}</script><div class='plotly-graph-div' style='height:525px'></div><script>P()</script></div>"
ITABLES = (
    "<table><thead><tr><th>label</th></tr></thead><tbody><tr><td>Loading ITables v2.5 from the internet...</td></tr></tbody>"
    "</table><link href='https://cdn.example.com/dt.css' rel='stylesheet'><script type='module'>import 'https://x'</script>"
)
FOLIUM = (
    "<div><span>Make this Notebook Trusted to load map: File -> Trust Notebook</span>"
    "<iframe srcdoc='&lt;div class=leaflet&gt;'></iframe></div>"
)
SCRIPTS = {
    "plotly with a picture": (
        {"application/vnd.plotly.v1+json": {}, "text/html": PLOTLY, "image/png": DOT, "text/plain": "Figure()"},
        ["an interactive chart (Plotly)", "A still picture is shown.", data_address(png())], ["525px"],
    ),
    "plotly alone": ({"text/html": PLOTLY}, ["an interactive chart (Plotly)"], ["A still", "525px"]),
    "plotly with text": (
        {"application/vnd.plotly.v1+json": {}, "text/plain": "Figure({'x': [1]})"},
        ["an interactive chart (Plotly)", "Its text is shown.", "Figure({'x': [1]})"], [],
    ),
    "itables": (
        {"text/html": ITABLES, "text/plain": "<IPython.core.display.HTML object>"},
        ["an interactive table (itables)"], ["Loading", "IPython.core"],
    ),
    "folium": ({"text/html": FOLIUM, "text/plain": "<folium.folium.Map object at 0x7f>"}, ["an interactive map"], ["Trusted"]),
    "altair": (
        {"application/vnd.vegalite.v5+json": {}, "image/png": DOT, "text/plain": "alt.Chart(...)"},
        ["an interactive chart (Vega, Altair)", data_address(png())], ["alt.Chart(...)</pre>"],
    ),
    "bokeh": (
        {"application/vnd.bokehjs_exec.v0+json": "", "text/html": "<div id='x'></div><script>BokehJS</script>"},
        ["an interactive chart (Bokeh)"], [],
    ),
    "JavaScript": ({"application/javascript": "alert(1)", "text/plain": "<IPython.core.display.Javascript object>"},
                   ["an output that needs a script (JavaScript)"], ["alert", "IPython"]),
    "a table with a script": (
        {"text/html": "<table><tr><td>web-03</td></tr></table><script>sort()</script>"},
        ["web-03", "The parts that need no script are shown."], ["sort()"],
    ),
    "a widget": ({WIDGET_VIEW_TYPE: {"model_id": "m"}, "text/plain": "IntSlider(value=7)"},
                 ["a control (ipywidgets)", "IntSlider(value=7)"], []),
    "a formula": ({"text/latex": "$x^2$", "text/plain": "x**2"}, ["$x^2$", "LaTeX source"], []),
    "a formula with a picture": ({"text/latex": "$x^2$", "image/png": DOT}, [data_address(png())], ["left-out"]),
    "data": ({"application/json": {"a": [1]}}, ['"a": ['], ["left-out"]),
    "an unknown form": ({"application/vnd.acme.v3+json": {"x": 1}}, ["Left out: an output that needs a script"], []),
    "a video": ({"text/html": "<video controls src='data:video/mp4;base64,AA'></video>"}, ["a video"], []),
    "a PDF": ({"application/pdf": "JVBERi0="}, ["a PDF"], []),
    "a list of lines": ({"text/html": ["<p>one ", "two</p>"]}, ["one two"], ["left-out"]),
    "a plain table": ({"text/html": "<table><tr><td>a</td></tr></table>", "text/plain": "a"}, ["<td>a</td>"], ["left-out"]),
}  # fmt: skip


@pytest.mark.parametrize("case", SCRIPTS)
def test_c10_scripts(case: str) -> None:
    """What needs a script is named once, with where it is, and its best still form is shown."""
    data, there, absent = SCRIPTS[case]
    html = page(mime(data))
    assert all(each in html for each in there), html
    assert not any(each in html for each in absent), html
    assert html.count("Left out") <= 1
    if "Left out" in html:
        assert "night.ipynb, in the folder of this page" in html


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("<script>alert(1)</script>", "an output that needs a script"),
        ("<iframe src='https://grafana.example.com/d/1'></iframe>", "a page within the page (iframe)"),
        ("<video src='a.mp4'></video>", "a video"),
        ("$$x^2$$", "Formulas are shown as their LaTeX source"),
        ("so $x_1 = 2$ here", "Formulas are shown as their LaTeX source"),
        ("\\begin{align}x\\end{align}", "Formulas are shown as their LaTeX source"),
    ],
)
def test_c10_markdown(source: str, words: str) -> None:
    """Scripts, frames and formulas in Markdown are named too; prices and variables are no formulas."""
    assert words in page(markdown(source))
    assert "left-out" not in page(markdown("it costs $5 and $6, or $HOME, or `$x^2$`"))


def test_c10_errors() -> None:
    """An error that a cell may raise is shown in its place; the one that ended the run is shown once, above."""
    error = {
        "ename": "ValueError",
        "evalue": "no <b>such</b> day",
        "traceback": ["\x1b[31mTrace\x1b[0m back"],
    }
    allowed = ANYTHING.new_code_cell("1/0", outputs=[ANYTHING.new_output("error", **error)])
    html = page(allowed)
    assert "ValueError: no &lt;b&gt;such&lt;/b&gt; day" in html
    assert "Trace back" in html
    failed = {"number": 2, "source": "2/0", "ename": "KeyError", "evalue": "x", "traceback": "KeyError: x"}
    last = ANYTHING.new_code_cell(
        "2/0", outputs=[ANYTHING.new_output("error", **error | {"ename": "KeyError"})]
    )
    html = page(allowed, last, status="failed", failed_cell=failed)
    assert html.count("ValueError: ") == 1
    assert html.count("<b>KeyError") == 0
    assert "Cell 2: KeyError: x" in html


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("  0%|  | 0/3\r 33%|# | 1/3\r100%|##| 3/3\n", "100%|##| 3/3\n"),
        ("counting\rcounted 3 \n", "counted 3 \n"),
        ("one\r\ntwo\r\n", "one\ntwo\n"),
        ("a: 0%\nb: 0%\x1b[A\ra: 100%\x1b[B\rb: 100%", "a: 100%\nb: 100%"),
        ("a 0%\n\x1b[1A\x1b[2Ka 100%\n", "a 100%\n"),
        ("12\b\b34", "34"),
        ("long text\r\x1b[Kshort\n", "short\n"),
        ("\x1b[32m 0%\x1b[0m\r\x1b[32m100%\x1b[0m\n", "\x1b[32m100%\x1b[0m\n"),
        ("plain \x1b[31mred\x1b[0m\ntext", "plain \x1b[31mred\x1b[0m\ntext"),
        ("\x1b[?25lhidden\rshown!\x1b[?25h", "shown!"),
    ],
)
def test_c10_last_state(text: str, end: str) -> None:
    """A text that draws over itself is shown as a terminal shows it at its end."""
    assert final_terminal_text(text) == end


def bar(value: float) -> dict[str, Any]:
    """The widgets of a tqdm bar."""
    return {
        "box": {"model_name": "HBoxModel", "state": {"children": [f"IPY_MODEL_{each}" for each in "abc"]}},
        "a": {"model_name": "HTMLModel", "state": {"value": "machines: 100%"}},
        "b": {"model_name": "FloatProgressModel", "state": {"value": value, "max": 3.0}},
        "c": {"model_name": "HTMLModel", "state": {"value": " 3/3 [00:00&lt;00:00]"}},
    }


def test_c10_widgets() -> None:
    """The last state of a bar made of widgets is shown without a word of what is missing; of a control, with it."""
    first = {
        WIDGET_VIEW_TYPE: {"model_id": "box"},
        "text/plain": "machines:   0%|          | 0/3 [00:00<?, ?it/s]",
    }
    html = page(mime(first), widgets=bar(3.0))
    assert "machines: 100%" in html and "3/3 [00:00&lt;00:00]" in html and ">100%</progress>" in html
    assert "left-out" not in html and "0/3" not in html
    unknown = page(mime(first))
    assert "a progress bar, whose last state was not saved in this run" in unknown and "0/3" not in unknown
    slider = {"m": {"model_name": "IntSliderModel", "state": {"description": "days", "value": 7}}}
    html = page(mime({WIDGET_VIEW_TYPE: {"model_id": "m"}, "text/plain": "IntSlider()"}), widgets=slider)
    assert "days 7" in html and "Left out: a control (ipywidgets)" in html
    lines = [{"output_type": "stream", "name": "stdout", "text": "Working 0%\rWorking 100%"}]
    held = {"o": {"model_name": "OutputModel", "state": {"outputs": lines}}}
    html = page(mime({WIDGET_VIEW_TYPE: {"model_id": "o"}, "text/plain": "Output()"}), widgets=held)
    assert "<pre>Working 100%</pre>" in html and "left-out" not in html
    loop = {"box": {"model_name": "VBoxModel", "state": {"children": ["IPY_MODEL_box", "IPY_MODEL_gone", 7]}}}
    page(mime({WIDGET_VIEW_TYPE: {"model_id": "box"}}), widgets=loop)


def test_c10_run(tmp_path: Path) -> None:
    """A run shows the last state of each bar, the allowed error, and which cell ended it by `sys.exit(0)`."""
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "a.png").write_bytes(png(5))
    book = write_notebook(
        tmp_path / "books" / "night.ipynb",
        "# Night\n\nWhat happened.\n\n![fleet](a.png)",
        "from tqdm import tqdm\nfor i in tqdm(range(3), desc='plain'): pass",
        "from tqdm.notebook import tqdm as bar\nfor i in bar(range(3), desc='widget'): pass",
        "from rich.progress import track\nfor i in track(range(3), description='rich'): pass",
        "import ipywidgets\nipywidgets.Password(value='typed-canary')",
        ("1/0", "raises-exception"),
        "import sys\nsys.exit(0)",
        "print('never')",
    )
    run = run_runbook(str(book), engine="kernel")
    assert (run.status, run.exit_code) == ("done", 0), run.error
    html = run.report.read_text(encoding="utf-8")
    no_request(html)
    assert "Ended by sys.exit in cell 7: the cells after it were not run." in html
    assert data_address(png(5)) in html
    text = " ".join(re.sub(r"<[^>]*>", " ", html).split())
    for shown in (
        r"plain: 100%\S* 3/3",
        r"widget: 100%.* 3/3",
        r"rich .*100%",
        "ZeroDivisionError: division by zero",
    ):
        assert re.search(shown, text), (shown, text)
    assert not re.search(r"\b0%\|", text)
    assert "never" not in text
    for path in run.folder.iterdir():
        assert b"typed-canary" not in path.read_bytes().replace(b"Password(value='typed-canary')", b""), path


@pytest.mark.parametrize(("sections", "listed"), [(3, False), (4, True)])
def test_contents(sections: int, listed: bool) -> None:
    """A report with at least four sections begins with links to them; their titles stay escaped."""
    html = page(*(markdown(f"## Part {number} & more") for number in range(sections)))
    links = re.findall(r'<li><a href="#([^"]+)">([^<]*)</a>', html)
    assert [title for _, title in links] == [
        f"Part {number} &amp; more" for number in range(sections)
    ] * listed
    assert all(f'<h2 id="{name}">' in html for name, _ in links)


@pytest.mark.parametrize(
    ("passed", "summary"),
    [
        ([True], "The check passed"),
        ([True, True], "All 2 checks passed"),
        ([True, False, False], "1 of 3 checks passed"),
        ([False], ""),
        ([False, False], ""),
        ([], ""),
    ],
)
def test_checks(passed: list[bool], summary: str) -> None:
    """A failed check is listed once, among what needs attention; the passed ones are counted below it."""
    checks = [{"text": f"{'all' if ok else 'few'} <{n}> run", "ok": ok} for n, ok in enumerate(passed)]
    failed = [each for each in checks if not each["ok"]]
    boxes = [
        ANYTHING.new_output(
            "display_data",
            {"text/html": f"<i>few &lt;{n}&gt; run</i>"},
            metadata={"lcnb_note": f"few <{n}> run"},
        )
        for n in range(3)
    ]
    html = page(ANYTHING.new_code_cell("1", outputs=boxes), checks=checks, attention=failed)
    assert summary in html
    assert ("passed" in html) == any(passed)
    for each in checks:
        assert html.count(f"{each['text'][:3]} &lt;{each['text'][5]}&gt; run") == 1
    assert html.count("<i>few") == 3 - len(failed)  # a box that the list does not have stays


def test_source_notebook(tmp_path: Path) -> None:
    """The page links the notebook that was run where it exists, and names it elsewhere."""
    book = tmp_path / "night & day.ipynb"
    book.write_text("{}")
    assert f'<a href="{tmp_path.as_uri()}/night%20%26%20day.ipynb">' in page(notebook=str(book))
    assert "<p>Notebook: /books/night.ipynb</p>" in page()
