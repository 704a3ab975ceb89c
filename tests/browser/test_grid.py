"""The table of machines in Chromium, without a kernel: the widget's script with a model that records what it sends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright")

from playwright.sync_api import expect

from browser.conftest import LIMIT_MS, RUN_AXE
from lcnb.display.palette import STATE_COLORS
from lcnb.widgets.fleet_table import BLOCKED_TEXT, MACHINE_COLUMNS, MACHINE_MENUS, bar_actions
from lcnb.widgets.grid import Grid
from lcnb.widgets.style import STYLE

#: What anywidget gives a script, as far as the grid uses it.
MODEL = """(values) => {
  const heard = {}, state = { ...values };
  window.sent = [];
  window.model = {
    get: (name) => state[name], send: (message) => sent.push(message),
    on: (name, listener) => (heard[name] ||= []).push(listener),
    set: (name, value) => { state[name] = value; (heard["change:" + name] || []).forEach((each) => each()); },
  };
}"""
PAGE = f"""<!doctype html><html lang="en"><head><title>machines</title></head>
<body data-jp-theme-light="true"><main class="lcnb-admin"><h1>Machines</h1>{STYLE}<div id="grid"></div></main></body></html>"""
START = "window.stop = render({ model, el: document.getElementById('grid') }); window.drawn = true;"
NUMBERS = ("cpus", "memory", "total_disk_size", "monthly_value")


def machine(number: int, label: str, **cells: Any) -> dict[str, Any]:
    """A row of the fleet table."""
    row: dict[str, Any] = {each.name: None for each in MACHINE_COLUMNS} | {
        "identifier": f"id-{number:04}", "label": label, "state": "running", "location": "MIA1", "tags": [],
        "protected": "no", "memory": 4096, "monthly_value": 10.0, "currencycode": "USD",
    }  # fmt: skip
    return row | cells


SMALL = [
    machine(1, "web-01", tags=["env=prod", "project=shop"], protected="yes"),
    machine(2, "web-02", tags=["project=shop"], monthly_value=5.4),
    machine(3, "db-01", tags=["project=blog"], location="SAO2", monthly_value=96.47, currencycode="BRL"),
    machine(4, "db-02", state="off", monthly_value=None, currencycode=None, memory=2048),
    machine(5, "ci-café", tags=["legacy"], state="off", expires="2020-01-01T00:00:00+00:00"),
    machine(
        6, "<img src=x onerror=window.hit=1>", tags=["project=<b>x</b>"], note="<script>window.hit=1</script>"
    ),
]


class GridPage:
    """A page with nothing but a grid in it."""

    def __init__(self, page: Any) -> None:
        self.page = page
        page.set_default_timeout(LIMIT_MS)

    def show(self, rows: list[dict[str, Any]]) -> GridPage:
        """Draw these rows anew."""
        self.page.set_content(PAGE)
        columns = [each.spec(each.name in NUMBERS) for each in MACHINE_COLUMNS]
        self.page.evaluate(MODEL, {
            "name": "machines", "key": "identifier", "columns": columns, "rows": rows, "selected": [], "ticks": True,
            "colors": STATE_COLORS, "menus": MACHINE_MENUS, "actions": bar_actions(), "hint": "Tick machines.",
            "blocked_text": BLOCKED_TEXT,
        })  # fmt: skip
        script = str(Grid._esm).replace("export default { render };", START)
        self.page.add_script_tag(type="module", content=script)
        self.page.wait_for_function("window.drawn")
        return self

    def labels(self) -> list[str]:
        """The labels of the rows that are drawn, without their marks."""
        cells = self.page.locator("tbody th").all()
        return [each.evaluate("(cell) => cell.firstChild.textContent") for each in cells]

    def box(self, label: str) -> Any:
        return self.page.get_by_label(f"tick {label}", exact=True)

    def search(self, text: str) -> None:
        self.page.get_by_label("Filter", exact=True).fill(text)

    def menu(self, title: str) -> Any:
        return self.page.get_by_label(f"Filter by {title}", exact=True)

    def button(self, name: str) -> Any:
        return self.page.get_by_role("button", name=name, exact=True)

    def bar(self) -> str:
        found: str = self.page.locator(".lcnb-bar-text").inner_text()
        return found

    def ticked(self) -> list[str]:
        found: list[str] = self.page.evaluate("model.get('selected')")
        return found


@pytest.fixture(scope="module")
def shared(browser: Any) -> Iterator[GridPage]:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    yield GridPage(page)
    page.close()


@pytest.fixture
def grid(shared: GridPage) -> GridPage:
    """The six machines."""
    return shared.show(SMALL)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("web", ["web-01", "web-02"]),
        ("WEB mia1 5.40", ["web-02"]),
        ("4,096 blog", ["db-01"]),
        ("4096 blog", ["db-01"]),
        ("project=shop", ["web-01", "web-02"]),
        ("protected", ["web-01"]),
        ("cafe\u0301", ["ci-café"]),
        ("no such machine", []),
    ],
)
def test_search(grid: GridPage, text: str, labels: list[str]) -> None:
    """Every word must be in a row: in any case, numbers with and without their comma, accents however they are written."""
    grid.search(text)
    assert grid.labels() == labels


@pytest.mark.parametrize(
    ("menu", "option", "labels"),
    [
        ("tag", "project (any value) – 4", ["web-01", "web-02", "db-01", SMALL[5]["label"]]),
        ("tag", "project=shop – 2", ["web-01", "web-02"]),
        ("tag", "legacy – 1", ["ci-café"]),
        ("tag", "no tag – 1", ["db-02"]),
        ("state", "off – 2", ["db-02", "ci-café"]),
        ("location", "SAO2 – 1", ["db-01"]),
        ("protection", "protected – 1", ["web-01"]),
    ],
)
def test_menus(grid: GridPage, menu: str, option: str, labels: list[str]) -> None:
    """A menu keeps the rows with the chosen value, a key of a tag those with any of its values; the texts count rows."""
    grid.menu(menu).select_option(label=option)
    assert grid.labels() == labels
    grid.button("Clear filters").click()
    assert len(grid.labels()) == len(SMALL)
    assert grid.menu(menu).evaluate("(it) => it.selectedIndex") == 0


def test_columns_without_facts(shared: GridPage) -> None:
    """Columns and menus for facts appear with the first machine that has one."""
    grid = shared.show([machine(1, "web-01"), machine(2, "web-02", state="off")])
    titles = grid.page.locator("thead button").all_inner_texts()
    assert not {"tags", "owner", "note", "expires"} & set(titles)
    assert grid.menu("tag").count() == grid.menu("protection").count() == 0
    assert grid.page.locator(".lcnb-shield").count() == 0


def test_shield(grid: GridPage) -> None:
    """A protected machine has a shield with the word next to its label, which the row's header contains."""
    (cell,) = grid.page.locator("tbody th", has=grid.page.locator(".lcnb-shield")).all()
    assert cell.inner_text().split() == ["web-01", "protected"]
    assert cell.locator("svg").get_attribute("aria-hidden") == "true"
    assert "refuses" in cell.locator(".lcnb-shield").get_attribute("title")


def test_expired(grid: GridPage) -> None:
    """What has expired says so in words, with the time in UTC."""
    time = grid.page.locator("time")
    assert time.inner_text().startswith("expired")
    assert time.get_attribute("title") == "2020-01-01 00:00 UTC"


def test_texts_are_no_markup(grid: GridPage) -> None:
    """Labels, tags and notes are shown as they are, in the table, the menus and the bar; nothing in them runs."""
    label = SMALL[5]["label"]
    grid.box(label).click()
    grid.menu("tag").select_option(label="project=<b>x</b> – 1")
    assert grid.labels() == [label]
    assert grid.page.locator("#grid img, #grid b, #grid script").count() == 0
    assert grid.page.evaluate("window.hit") is None


def test_bar(grid: GridPage) -> None:
    """The bar appears with the first tick: what the ticked rows cost in each currency, and how many have no price."""
    group = grid.page.get_by_role("group", name="Actions for the ticked rows")
    assert not group.is_visible()
    before = grid.page.locator(".lcnb-grid-scroll").bounding_box()
    grid.box("web-02").click()
    expect(group).to_be_visible()
    assert grid.bar() == "1 ticked: 5.40 USD per month."
    assert (
        grid.page.locator(".lcnb-grid-scroll").bounding_box() == before
    )  # no other row comes under the pointer
    for label in ("db-01", "db-02", "ci-café"):
        grid.box(label).click()
    assert grid.bar() == "4 ticked: 96.47 BRL + 15.40 USD per month, 1 without a price."
    grid.button("Reboot").click()
    assert grid.page.evaluate("sent.at(-1)") == {"press": "reboot"}
    grid.button("Untick all").click()
    assert grid.ticked() == []
    expect(group).to_be_hidden()


def test_protected_rows_block(grid: GridPage) -> None:
    """With a protected machine ticked, what protection refuses is disabled, and the bar says which machine and why."""
    for label in ("web-01", "web-02"):
        grid.box(label).click()
    assert "web-01 is protected. Lift the protection with “Tags and facts …”" in grid.bar()
    for name in ("Power off", "Shut down", "Change plan …", "Reset password …", "Delete …"):
        assert grid.button(name).is_disabled()
        assert "web-01 is protected" in grid.button(name).get_attribute("title")
    for name in ("Power on", "Reboot", "Snapshot …", "Tags and facts …"):
        assert grid.button(name).is_enabled()
    grid.button("Untick protected rows").click()
    assert grid.ticked() == ["id-0002"]
    assert grid.button("Power off").is_enabled()


def test_hidden_rows_are_counted(grid: GridPage) -> None:
    """Ticked rows that a filter hides are counted in the bar, and one click unticks them."""
    for label in ("web-02", "db-01", "db-02"):
        grid.box(label).click()
    grid.search("web")
    assert (
        "3 ticked: 96.47 BRL + 5.40 USD per month, 1 without a price. 2 of them are hidden by the filter."
        in grid.bar()
    )
    grid.button("Untick hidden rows").click()
    assert grid.ticked() == ["id-0002"]
    assert "hidden" not in grid.bar()


def test_box_in_the_header(grid: GridPage) -> None:
    """The box in the header shows whether all, some or no rows that are shown are ticked, and ticks those only."""
    box = grid.page.get_by_label("tick all rows shown", exact=True)
    state = "(it) => it.indeterminate ? 'some' : it.checked ? 'all' : 'none'"
    assert box.evaluate(state) == "none"
    grid.box("web-02").click()
    assert box.evaluate(state) == "some"
    grid.search("web")
    box.click()
    assert box.evaluate(state) == "all"
    assert grid.ticked() == ["id-0002", "id-0001"]
    grid.search("")
    assert box.evaluate(state) == "some"
    grid.search("db")
    assert box.evaluate(state) == "none"


def test_ranges(grid: GridPage) -> None:
    """Shift ticks all rows between the last one and this, in the order that is shown; also on the row and by Space."""
    grid.button("label").click()
    order = grid.labels()
    grid.box(order[1]).click()
    grid.box(order[3]).click(modifiers=["Shift"])
    count = grid.page.locator(".lcnb-grid-count")
    assert count.inner_text() == "6 rows, 3 ticked"
    grid.page.locator("tbody tr").nth(5).locator("td").nth(3).click(modifiers=["Shift"])
    assert count.inner_text() == "6 rows, 5 ticked"
    grid.box(order[5]).focus()
    grid.page.keyboard.press("Space")
    grid.box(order[4]).focus()
    grid.page.keyboard.press("Shift+Space")
    assert count.inner_text() == "6 rows, 3 ticked"


def test_sort(grid: GridPage) -> None:
    """Prices are sorted within their currency, machines without one come last in both directions."""
    for _ in range(2):
        grid.button("per month").click()
        assert grid.labels()[-1] == "db-02"
    assert grid.labels()[0] == "db-01"
    head = grid.page.locator("thead th[data-name=monthly_value]")
    assert head.get_attribute("aria-sort") == "descending"


def test_other_rows(grid: GridPage) -> None:
    """New rows keep the filter, the order, the ticks and the keyboard where they are."""
    grid.menu("state").select_option(label="off – 2")
    grid.box("ci-café").focus()
    grid.page.keyboard.press("Space")
    grid.page.evaluate("(rows) => model.set('rows', rows)", [{**each, "memory": 1} for each in SMALL])
    assert grid.labels() == ["db-02", "ci-café"]
    assert grid.ticked() == ["id-0005"]
    assert grid.page.evaluate("document.activeElement.ariaLabel") == "tick ci-café"
    grid.page.evaluate("(rows) => model.set('rows', rows)", [{**each, "state": "running"} for each in SMALL])
    assert grid.labels() == []  # the filter says so: its choice is still there
    assert grid.menu("state").evaluate("(it) => it.selectedOptions[0].text") == "off – 0"


def test_thousands_of_rows(shared: GridPage) -> None:
    """Of 5,000 rows only those near the visible ones exist; all can be scrolled to, ticked, filtered and sorted."""
    rows = [machine(number, f"web-{number:04}", tags=["legacy"]) for number in range(5000)]
    grid = shared.show(rows)
    lines, scroll = grid.page.locator("tbody tr"), grid.page.locator(".lcnb-grid-scroll")
    assert lines.count() < 100
    height = scroll.evaluate("(it) => it.scrollHeight")
    scroll.evaluate("(it) => { it.scrollTop = it.scrollHeight; }")
    last = grid.box("web-4999")
    last.click()
    assert lines.count() < 100
    assert scroll.evaluate("(it) => it.scrollHeight") == height
    assert last.locator("xpath=ancestor::tr").get_attribute("aria-rowindex") == "5001"
    scroll.evaluate("(it) => { it.scrollTop = 0; }")
    first = grid.box("web-0000")
    first.wait_for()
    scroll.evaluate("(it) => { it.scrollTop = it.scrollHeight; }")
    last.wait_for()
    assert last.is_checked()
    grid.search("web-49")
    assert grid.labels()[0] == "web-4900"
    grid.page.get_by_label("tick all rows shown", exact=True).click()
    assert grid.bar() == "100 ticked: 1,000.00 USD per month."
    grid.box("web-4900").focus()
    for _ in range(99):  # the keyboard reaches rows that did not exist before, and those before them again
        grid.page.keyboard.press("Tab")
    assert grid.page.evaluate("document.activeElement.ariaLabel") == "tick web-4999"
    for _ in range(99):
        grid.page.keyboard.press("Shift+Tab")
    assert grid.page.evaluate("document.activeElement.ariaLabel") == "tick web-4900"


@pytest.mark.parametrize("width", [480, 1280])
@pytest.mark.parametrize("light", ["true", "false"])
def test_axe(shared: GridPage, axe: Path, width: int, light: str) -> None:
    """axe-core finds nothing in the table with its bar, a filter and a protected row, in both themes, on a telephone too."""
    grid = shared.show(SMALL)
    grid.page.set_viewport_size({"width": width, "height": 900})
    dark = (
        "document.body.dataset.jpThemeLight = 'false'; document.body.style.cssText = "
        "'background:#111;--jp-layout-color1:#111;--jp-layout-color2:#222;--jp-ui-font-color1:#eee'"
    )
    if light == "false":
        grid.page.evaluate(dark)
    for label in ("web-01", "db-01"):
        grid.box(label).click()
    grid.search("web")
    grid.page.add_script_tag(path=str(axe))
    assert grid.page.evaluate(RUN_AXE, None) == []
    grid.page.set_viewport_size({"width": 1280, "height": 900})
