"""What is shown: escaped, aligned, complete without a network, and right for values that nobody expects."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcnb.display.charts import band_chart, bar_chart, line_chart
from lcnb.display.formats import money, state_html
from lcnb.display.markup import Html
from lcnb.display.palette import STATE_COLORS
from lcnb.display.panels import cards, note
from lcnb.display.row_choice import HEADINGS
from lcnb.display.tables import table

HOSTILE = "<img src=x onerror=alert(1)>\"'&amp;</td></svg><script>"
NS = "{http://www.w3.org/2000/svg}"


class Tags(HTMLParser):
    """The tags of a page with their attributes, and the texts between them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def html_of(shown: Html) -> str:
    return shown._repr_html_()


def cells(shown: Html) -> list[list[tuple[str, str]]]:
    """Class and text of each cell, each row of a table."""
    rows = re.findall(r"<tr>(.*?)</tr>", html_of(shown), re.DOTALL)
    return [
        [(found[0], re.sub("<[^>]*>", "", found[1])) for found in re.findall(r'<t[dh](?: scope="col")?(?: class="(\w[\w -]*)")?>(.*?)</t[dh]>', row)]
        for row in rows
    ]  # fmt: skip


def svg_of(shown: Html) -> ElementTree.Element:
    """The picture, as a browser or any reader of XML would read it."""
    found = re.search(r"<svg.*</svg>", html_of(shown), re.DOTALL)
    assert found
    return ElementTree.fromstring(found[0])


def texts(shown: Html) -> list[str]:
    return ["".join(each.itertext()) for each in svg_of(shown).iter(f"{NS}text")]


# --- tables ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "dtype", "cell"),
    [
        ("web", "str", ("", "web")),
        ("x" * 41, "str", ("w", "x" * 41)),
        (1234567, "Int64", ("n", "1,234,567")),
        (1234567, "int64", ("n", "1,234,567")),
        (1234.5, "Float64", ("n", "1,234.50")),
        (-0.5, "float64", ("n", "-0.50")),
        (True, "boolean", ("", "yes")),
        (False, "bool", ("", "no")),
        (None, "str", ("lcnb-none", "–")),
        (None, "Int64", ("n lcnb-none", "–")),
        (None, "Float64", ("n lcnb-none", "–")),
        (None, "boolean", ("lcnb-none", "–")),
        (float("nan"), "float64", ("n lcnb-none", "–")),
        (pd.NaT, "datetime64[ns]", ("lcnb-none", "–")),
        ((1, 2), "object", ("", "1, 2")),
        (["a", "b"], "object", ("", "[&#x27;a&#x27;, &#x27;b&#x27;]")),
        (np.array(["a", "b"]), "object", ("", "[&#x27;a&#x27; &#x27;b&#x27;]")),
        (np.int64(5), "object", ("n", "5")),
        ("<b>&", "str", ("", "&lt;b&gt;&amp;")),
    ],
)
def test_cell(value: object, dtype: str, cell: tuple[str, str]) -> None:
    """Numbers stand to the right with their digits in groups, what is missing is an en dash, texts are escaped."""
    frame = pd.DataFrame({"a": pd.Series([value], dtype=dtype)})
    assert cells(table(frame))[1] == [cell]


@pytest.mark.parametrize(
    ("dtype", "kind"),
    [
        ("Int64", "n"),
        ("Float64", "n"),
        ("int64", "n"),
        ("float64", "n"),
        ("str", ""),
        ("boolean", ""),
        ("object", ""),
    ],
)
def test_head(dtype: str, kind: str) -> None:
    """The head of a column of numbers stands to the right too, above its numbers."""
    frame = pd.DataFrame({"a_b": pd.Series([1]).astype(dtype)})
    assert cells(table(frame))[0] == [(kind, "a b")]


def test_head_units() -> None:
    """Memory, disk and monthly price have their unit in the head, and times their time zone."""
    at = pd.to_datetime(["2026-11-30T06:00:00"])
    frame = pd.DataFrame(
        {"memory": [1], "total_disk_size": [1], "monthly_value": [1.0], "at": at.tz_localize("UTC")}
    )
    heads = cells(table(frame.assign(local=at)))[0]
    assert [text for _, text in heads] == ["memory MB", "disk GB", "price per month", "at UTC", "local"]


@pytest.mark.parametrize("name", HEADINGS)
def test_head_is_that_of_terminals(name: str) -> None:
    """A report has the heading that the terminal has, in words, and not the name of the column."""
    ((_, text),) = cells(table(pd.DataFrame({name: ["x"]})))[0]
    assert text.removesuffix(" GB").removesuffix(" per month") == HEADINGS[name].replace("_", " ")
    assert "_" not in text
    assert name not in text


def test_table_is_escaped() -> None:
    """No value, column name, index or state of a table becomes a tag."""
    frame = pd.DataFrame(
        {HOSTILE: [HOSTILE], "state": [HOSTILE]}, index=pd.Index([HOSTILE], name=f"i{HOSTILE}")
    )
    tags = {tag for tag, _ in Tags(html_of(table(frame))).tags}
    assert tags == {"style", "div", "table", "thead", "tr", "th", "tbody", "td", "span"}


def test_table_states() -> None:
    """A state has its colour and its word; an unknown one has the word and grey."""
    html = html_of(table(pd.DataFrame({"state": ["running", "melted"]})))
    assert f'<span class="lcnb-pill" style="--c:{STATE_COLORS["running"]}">running</span>' in html
    assert ">melted</span>" in html
    assert "<img" not in state_html(HOSTILE)


@pytest.mark.parametrize(
    ("frame", "heads"),
    [
        (pd.DataFrame({"a": [1]}), ["a"]),
        (pd.DataFrame({"a": [1]}, index=["x"]), ["a"]),
        (pd.DataFrame({"a": [1]}, index=pd.Index(["x"], name="label")), ["label", "a"]),
        (
            pd.DataFrame({"a": [1]}, index=pd.MultiIndex.from_tuples([("x", 1)], names=["l", "m"])),
            ["l", "m", "a"],
        ),
        (pd.DataFrame([[1, "x"]], columns=["a", "a"]), ["a", "a"]),
        (pd.DataFrame([[1]], columns=[5]), ["5"]),
        (
            pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b")])),
            ["(&#x27;a&#x27;, &#x27;b&#x27;)"],
        ),
    ],
)
def test_table_columns(frame: pd.DataFrame, heads: list[str]) -> None:
    """A named index is shown as columns, a plain one is not; doubled and odd column names are shown."""
    found = cells(table(frame))
    assert [text for _, text in found[0]] == heads
    assert len(found[1]) == len(heads)


@pytest.mark.parametrize(
    "frame", [pd.DataFrame(), pd.DataFrame({"a": []}), pd.DataFrame({"a": []}).rename_axis("i")]
)
def test_empty_table(frame: pd.DataFrame) -> None:
    """An empty frame is a sentence, escaped."""
    assert repr(table(frame)) == "Nothing to show."
    shown = table(frame, empty="No <machine> matches.")
    assert "No &lt;machine&gt; matches.</p>" in html_of(shown)
    assert repr(shown) == "No <machine> matches."


def test_table_leaves_the_frame() -> None:
    """Showing a frame does not change it."""
    frame = pd.DataFrame({"a": [1]}, index=pd.Index(["x"], name="label"))
    before = frame.copy()
    table(frame)
    pd.testing.assert_frame_equal(frame, before)


VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=60)
    | st.lists(st.integers(), max_size=2)
)


@settings(deadline=None, max_examples=100)
@given(rows=st.lists(st.fixed_dictionaries({"state": VALUES, "a": VALUES, "memory": VALUES}), max_size=4))
def test_table_of_anything(rows: list[dict[str, Any]]) -> None:
    """Any frame can be shown: a row a row, a cell a column, and no tag but the table's own."""
    frame = pd.DataFrame(rows, columns=["state", "a", "memory"], dtype=object)
    found = Tags(html_of(table(frame))).tags
    counted = [tag for tag, _ in found]
    if rows:
        assert (counted.count("tr"), counted.count("td")) == (len(rows) + 1, 3 * len(rows))
    assert set(counted) <= {"style", "div", "p", "table", "thead", "tr", "th", "tbody", "td", "span", "small"}


# --- cards and money ------------------------------------------------------------------------------------


def test_cards() -> None:
    """A card has the value and its label; a marked one is told apart; as text each is a line."""
    shown = cards({"machines": 60, "without a price": 2}, warn=["without a price"])
    html = html_of(shown)
    assert '<div class="lcnb-card"><b>60</b><span>machines</span></div>' in html
    assert '<div class="lcnb-card warn"><b>2</b><span>without a price</span></div>' in html
    assert repr(shown) == "machines: 60\nwithout a price: 2"


def test_cards_are_escaped() -> None:
    """Neither a label nor a value of a card becomes a tag."""
    found = Tags(html_of(cards({HOSTILE: HOSTILE}, warn=[HOSTILE])))
    assert {tag for tag, _ in found.tags} == {"style", "div", "b", "span"}
    assert HOSTILE in "".join(found.texts)


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA, pd.NaT])
def test_missing_is_a_dash(missing: Any) -> None:
    """A missing value is an en dash on a card and as money."""
    assert "<b>–</b>" in html_of(cards({"cost": missing}))
    assert repr(cards({"cost": missing})) == "cost: –"
    assert money(missing, "USD") == "–"


@pytest.mark.parametrize(
    ("value", "code", "text"),
    [
        (1234.5, "USD", "1,234.50 USD"),
        (0, "BRL", "0.00 BRL"),
        (-5.4, "USD", "-5.40 USD"),
        (np.float64(2.675), "USD", "2.67 USD"),
        (1e9, "USD", "1,000,000,000.00 USD"),
    ],
)
def test_money(value: float, code: str, text: str) -> None:
    """Money has two decimals, digits in groups, and the code of its currency."""
    assert money(value, code) == text


# --- pictures -------------------------------------------------------------------------------------------


def test_barh() -> None:
    """A picture has a title with the unit, a label and a value a bar, and the same told in words."""
    shown = bar_chart(pd.Series({"MIA1": 1234.5, "DAL1": 2}), "Cost", unit="USD a month", decimals=2)
    assert set(texts(shown)) == {"Cost (USD a month)", "MIA1", "DAL1", "1,234.50", "2.00"}
    assert repr(shown) == "Cost. MIA1: 1,234.50, DAL1: 2.00 USD a month"
    assert ("figure", {"class": "lcnb-figure", "role": "img", "aria-label": repr(shown)}) in Tags(
        html_of(shown)
    ).tags


def test_barh_stacked() -> None:
    """A frame is stacked: a legend names the columns, states have their colours, the value is the sum."""
    shown = bar_chart(pd.DataFrame({"running": [3, 1], "off": [2, 0]}, index=["MIA1", "DAL1"]), "Machines")
    assert set(texts(shown)) == {"Machines", "MIA1", "DAL1", "5", "1", "running", "off"}
    for state in ("running", "off"):
        assert STATE_COLORS[state] in html_of(shown)


def test_barh_alt() -> None:
    """The words for those who do not see the picture can be given, and are escaped."""
    shown = bar_chart(pd.Series({"a": 1}), "T", alt=HOSTILE)
    assert [attrs["aria-label"] for tag, attrs in Tags(html_of(shown)).tags if tag == "figure"] == [HOSTILE]


@pytest.mark.parametrize(
    ("data", "values"),
    [
        (pd.Series({"a": -5.0, "b": 3.0}), ["-5", "3"]),
        (pd.Series({"a": -5.0, "b": -3.0}), ["-5", "-3"]),
        (pd.Series({"a": 0.0}), ["0"]),
        (pd.Series({"a": float("nan"), "b": 1.0}), ["–", "1"]),
        (pd.Series({"a": float("nan")}), ["–"]),
        (pd.Series({"a": 1, "b": None}, dtype="Int64"), ["1", "–"]),
        (pd.Series({"a": None}, dtype="Float64"), ["–"]),
        (pd.Series({"a": 1e12}), ["1,000,000,000,000"]),
        (pd.Series({"a": 1e-12}), ["0"]),
        (pd.Series({"a": True}), ["1"]),
        (pd.DataFrame({"x": [1.0, None], "y": [None, None]}, index=["a", "b"]), ["1", "–"]),
    ],
)
def test_barh_values(data: pd.Series | pd.DataFrame, values: list[str]) -> None:
    """Each bar tells its value, a negative one too; what is missing is an en dash and not a zero."""
    shown = bar_chart(data, "T")
    found = texts(shown)
    assert all(found.count(value) >= values.count(value) for value in values)
    told = ", ".join(f"{name}: {value}" for name, value in zip(data.index, values, strict=True))
    assert repr(shown) == f"T. {told}"


def test_negative_bars_are_drawn() -> None:
    """A negative bar lies within the picture, left of the others."""
    svg = svg_of(bar_chart(pd.Series({"a": -5.0, "b": 3.0}), "T"))
    bars = [each for each in svg.iter(f"{NS}path") if "fill: #3d8fd1" in (each.get("style") or "")]
    left, right = ([float(x) for x in re.findall(r"[ML] ([-\d.]+) ", each.get("d") or "")] for each in bars)
    assert 0 <= min(left) < max(left) <= min(right) + 0.01
    assert max(right) < float((svg.get("width") or "").removesuffix("pt"))


@pytest.mark.parametrize("data", [pd.Series(dtype=float), pd.DataFrame(), pd.DataFrame({"a": []})])
def test_barh_of_nothing(data: pd.Series | pd.DataFrame) -> None:
    """Without a row there is a sentence instead of a picture."""
    shown = bar_chart(data, f"Cost{HOSTILE}")
    assert repr(shown) == f"Cost{HOSTILE}: nothing to show."
    assert {tag for tag, _ in Tags(html_of(shown)).tags} == {"style", "div", "p"}


LABELS = [
    HOSTILE, "$x$", "$\\bad$", "$", "R$ 5 and R$ 6", "a_b^c", "\\frac{1}{2}", "são paulo", "日本", "🐘", "a\nb", "\t",
    "", " ", "_hidden", "x" * 500, "wide " * 100, "]]>", "&lt;", "{}", "%s", "https://example.com/x.png",
]  # fmt: skip


@pytest.mark.parametrize("label", LABELS, ids=range(len(LABELS)))
def test_odd_label(label: str) -> None:
    """A label, a column or a title is a text as it stands: no tag, no formula, and no picture squeezed by it."""
    line = " ".join(label.split())
    shown = [
        bar_chart(pd.Series({label: 1.0, "b": 2.0}), "T"),
        bar_chart(pd.DataFrame({"b": [2.0], f"c{label}": [1.0]}, index=["x"]), "T"),
        bar_chart(pd.Series({"a": 1.0, "b": 2.0}), f"c{label}"),
    ]
    for each, text in zip(shown, (line, f"c{line}", f"c{line}"), strict=True):
        found = [found for found in texts(each) if not text or found[:40] == text[:40]]
        assert found, texts(each)
        assert len(found[0]) <= 90
        tags = {tag for tag, _ in Tags(html_of(each)).tags}
        assert not tags & {"img", "script", "image", "a"}
        assert not list(svg_of(each).iter(f"{NS}tspan"))


def test_long_label_is_told_whole() -> None:
    """A label too long for the picture is whole in the words beside it."""
    label = "x" * 500
    shown = bar_chart(pd.Series({label: 1.0}), "T")
    assert label in repr(shown)
    assert "x" * 47 + "…" in texts(shown)


@pytest.mark.parametrize(
    "show",
    [
        lambda: bar_chart(pd.Series({"a": 1.0}), "T"),
        lambda: bar_chart(pd.DataFrame({"a": [1.0], "b": [2.0]}, index=["x"]), "T"),
        lambda: table(pd.DataFrame({"a": [1.0], "state": ["running"]})),
        lambda: cards({"a": 1}),
    ],
    ids=["bars", "stacked", "table", "cards"],
)
def test_needs_no_network(show: Callable[[], Html]) -> None:
    """Nothing that is shown asks for anything: no script, no import, no address but the names of namespaces."""
    html = html_of(show())
    assert set(re.findall(r'([\w:]+)="?https?://[^"]*', html)) <= {"xmlns", "xmlns:xlink"}
    assert len(re.findall("https?:", html)) == len(re.findall(r'xmlns(?::xlink)?="http', html))
    assert not re.search(r"@import|url\((?!#)|<script|<link|<image|<!DOCTYPE|<\?xml|<metadata", html)


def test_picture_takes_the_colour_of_the_page() -> None:
    """The text of a picture has the colour of the page around it, so it can be read on light and dark ones."""
    html = html_of(bar_chart(pd.DataFrame({"a": [1.0], "b": [2.0]}, index=["x"]), "T"))
    assert html.count("currentColor") >= len(texts(bar_chart(pd.Series({"x": 1.0}), "T")))
    assert "#010203" not in html
    assert "#000000" not in html


def test_settings_of_matplotlib_stay() -> None:
    """A picture leaves matplotlib's settings as they were."""
    names = [name for name in mpl.rcParams if name != "backend"]  # to ask for that one chooses it
    before = [mpl.rcParams[name] for name in names]
    bar_chart(pd.Series({"a": 1.0}), "T")
    assert [mpl.rcParams[name] for name in names] == before


def test_many_bars() -> None:
    """Each of many bars has its label and value."""
    found = texts(bar_chart(pd.Series({f"m{number}": number for number in range(100)}), "T"))
    assert {f"m{number}" for number in range(100)} | {str(number) for number in range(100)} <= set(found)


def test_plain_text() -> None:
    """Outside a notebook a table is the frame as text."""
    frame = pd.DataFrame({"a": [1], "b": ["x"]})
    assert repr(table(frame)) == frame.to_string(index=False)


# --- marks, notes, lines --------------------------------------------------------------------------------


def test_marked_cells() -> None:
    """A marked cell stands out; its neighbours, the columns of the index and unknown columns do not."""
    frame = pd.DataFrame({"a": [1.5, 2.5], "b": ["x", None]}, index=pd.Index(["r", "s"], name="size"))
    mark = pd.DataFrame({"a": [False, True], "b": [True, None], "size": [True, True]}, index=frame.index)
    found = [[kind for kind, _ in row] for row in cells(table(frame, mark=mark))]
    assert found == [["", "n", ""], ["", "n", "m"], ["", "n m", "lcnb-none"]]


def test_caption() -> None:
    """A caption stands above the table, escaped, and above its text."""
    shown = table(pd.DataFrame({"a": [1]}), caption=HOSTILE)
    assert {tag for tag, _ in Tags(html_of(shown)).tags} >= {"caption"}
    assert "img" not in {tag for tag, _ in Tags(html_of(shown)).tags}
    assert repr(shown).startswith(HOSTILE)


def test_note() -> None:
    """A note is its text, escaped."""
    shown = note(HOSTILE)
    assert {tag for tag, _ in Tags(html_of(shown)).tags} == {"style", "div", "p"}
    assert repr(shown) == HOSTILE


DAYS = pd.date_range("2026-11-24", periods=3, tz="UTC")


def test_line() -> None:
    """A line tells its title, first and last value and the marked places, in the picture and in words."""
    shown = line_chart(
        pd.Series([482.4, 241.2, 0.0], DAYS), "Balance", unit="USD", decimals=2, at={"gone": DAYS[2]}
    )
    assert {"Balance (USD)", "482.40", "0.00", "gone"} <= set(texts(shown))
    assert repr(shown) == (
        "Balance. 482.40 at 24 Nov 2026 to 0.00 at 26 Nov 2026, gone: 26 Nov 2026 USD"
    )  # fmt: skip
    assert "currentColor" in html_of(shown)


def test_lines() -> None:
    """Each column is a line, named in a legend."""
    shown = line_chart(pd.DataFrame({"a": [1, 2], "b": [3, None]}, index=[0, 10]), "T")
    assert {"T", "a", "b"} <= set(texts(shown))
    assert repr(shown) == "T. a: 1 at 0 to 2 at 10, b: 3 at 0 to 3 at 0"


@pytest.mark.parametrize(
    "values", [[0.0, 0.0], [-5.0, 3.0], [5.0], [1e12, 0.0], [0.001, 0.0], [float("nan"), 1.0], [7, 7]]
)
def test_line_of_odd_values(values: list[float]) -> None:
    """Zeros, one value, negative, large and missing ones are drawn without a warning."""
    assert texts(line_chart(pd.Series(values), "T"))


@pytest.mark.parametrize(
    "data", [pd.Series(dtype="Float64"), pd.DataFrame(), pd.Series([None], dtype="Float64")]
)
def test_line_of_nothing(data: pd.Series | pd.DataFrame) -> None:
    """Without a value there is a sentence instead of a picture."""
    assert repr(line_chart(data, "Balance")) == "Balance: nothing to show."
    assert "<svg" not in html_of(line_chart(data, "Balance"))


def bands(values: list[float], more: float = 0.0) -> pd.DataFrame:
    return pd.DataFrame({"a": values, "b": values}, index=DAYS[: len(values)]) + more


def test_bands() -> None:
    """Each column is a band between its bounds, named in a legend; its text says the last bounds."""
    shown = band_chart(
        bands([1, 2, 3]), bands([1, 2, 3], 1.5), "Cost", step=timedelta(days=1), unit="USD", decimals=2
    )
    assert {"Cost (USD)", "a", "b"} <= set(texts(shown))
    assert repr(shown) == "Cost. At 26 Nov 2026: a: 3.00 to 4.50, b: 3.00 to 4.50 USD"
    assert html_of(shown).count("FillBetween") == 2 or html_of(shown).count("PolyCollection") == 2


@pytest.mark.parametrize("values", [[0.0], [0.0, 0.0, 0.0], [1e12, 0.0], [float("nan"), 1.0], [-5.0, 3.0]])
def test_band_of_odd_values(values: list[float]) -> None:
    """Zeros, one value, negative, large and missing ones are drawn without a warning."""
    assert texts(band_chart(bands(values), bands(values), "T", step=timedelta(days=1)))


def test_band_of_nothing() -> None:
    """Without a value there is a sentence instead of a picture."""
    for data in (pd.DataFrame(), pd.DataFrame({"a": []}), pd.DataFrame(index=DAYS)):
        shown = band_chart(data, data, "Cost", step=timedelta(days=1))
        assert repr(shown) == "Cost: nothing to show."
        assert "<svg" not in html_of(shown)


@pytest.mark.parametrize("label", LABELS, ids=range(len(LABELS)))
def test_odd_label_of_a_band(label: str) -> None:
    """A title and the name of a band are texts as they stand: no tag, no formula."""
    data = pd.DataFrame({"a": [1.0], label: [2.0]}, index=DAYS[:1])
    shown = band_chart(data, data, f"c{label}", step=timedelta(days=1))
    assert len(label) > 40 or any(each.strip("\u200b") == " ".join(label.split()) for each in texts(shown))
    assert not {tag for tag, _ in Tags(html_of(shown)).tags} & {"img", "script", "image", "a"}


@pytest.mark.parametrize("label", LABELS, ids=range(len(LABELS)))
def test_odd_label_of_a_line(label: str) -> None:
    """A title, a line's name and a mark are texts as they stand: no tag, no formula."""
    shown = line_chart(pd.DataFrame({"a": [1, 2], label: [2, 3]}), f"c{label}", at={label: 1})
    assert not {tag for tag, _ in Tags(html_of(shown)).tags} & {"img", "script", "image", "a"}
