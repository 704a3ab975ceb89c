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
  window.receive = (message) => heard["msg:custom"].forEach((each) => each({ value: undefined, ...message }));
}"""
PAGE = f"""<!doctype html><html lang="en"><head><title>machines</title></head>
<body data-jp-theme-light="true"><main class="lcnb-admin"><h1>Machines</h1>{STYLE}<div id="grid"></div></main></body></html>"""
START = "window.stop = render({ model, el: document.getElementById('grid') }); window.drawn = true;"
DARK = (
    "document.body.dataset.jpThemeLight = 'false'; document.body.style.cssText = "
    "'background:#111;--jp-layout-color0:#111;--jp-layout-color1:#111;--jp-layout-color2:#222;--jp-ui-font-color1:#eee'"
)
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
            "blocked_text": BLOCKED_TEXT, "opens": True, "reading": {},
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


def test_keys_are_not_shortcuts(grid: GridPage) -> None:
    """Every control says that its keys are no shortcuts of JupyterLab, which does not look at what is around it."""
    grid.box("web-01").click()
    controls = grid.page.locator("#grid input, #grid select, #grid button")
    assert controls.count() > len(SMALL)
    assert (
        grid.page.locator("#grid :is(input, select, button):not([data-lm-suppress-shortcuts])").count() == 0
    )


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
    # No other row comes under the pointer.
    assert grid.page.locator(".lcnb-grid-scroll").bounding_box() == before
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


@pytest.mark.parametrize("after", ["rows", "columns"])
def test_read_again_while_in_use(shared: GridPage, after: str) -> None:
    """Rows that are read again keep scroll position, order, filter, ticks, and the keyboard in a row, menu or header."""
    rows = [
        machine(number, f"web-{number:04}", state="off" if number % 2 else "running") for number in range(600)
    ]
    grid = shared.show(rows)
    grid.button("label").click()
    grid.button("label").click()
    grid.menu("state").select_option(label="running – 300")
    scroll = grid.page.locator(".lcnb-grid-scroll")
    scroll.evaluate("(it) => { it.scrollTop = 3000; }")
    grid.box("web-0390").click()
    top = scroll.evaluate("(it) => it.scrollTop")
    focus = ["document.querySelector('[aria-label=\"tick web-0390\"]').focus({ preventScroll: true })",
             "document.querySelector('[name=state]').focus()", "document.querySelector('thead th button').focus()"]  # fmt: skip
    for number, each in enumerate(focus):
        grid.page.evaluate(each)
        before = grid.page.evaluate("document.activeElement.outerHTML.slice(0, 60)")
        changed = [{**row, "memory": 8192 + number, "state": row["state"]} for row in rows]
        grid.page.evaluate("(rows) => model.set('rows', rows)", changed)
        if after == "columns":
            grid.page.evaluate("model.set('columns', structuredClone(model.get('columns')))")
        assert grid.page.evaluate("document.activeElement.outerHTML.slice(0, 60)") == before
        assert scroll.evaluate("(it) => it.scrollTop") == top
    assert grid.ticked() == ["id-0390"]
    assert "300 of 600 rows, 1 ticked" in grid.page.locator(".lcnb-grid-count").inner_text()
    assert grid.page.locator("tr", has=grid.box("web-0390")).locator("td", has_text="8,194").count() == 1


def test_same_rows_stay(grid: GridPage) -> None:
    """A row that is read again and is the same is not drawn again; one that differs is."""
    mark = "(it) => { it.mark = 1; }"
    for label in ("web-02", "db-01"):
        grid.page.locator("tr", has=grid.box(label)).evaluate(mark)
    rows = [{**row, "state": "busy"} if row["label"] == "db-01" else {**row} for row in SMALL]
    grid.page.evaluate("(rows) => model.set('rows', rows)", rows)
    marks = [
        grid.page.locator("tr", has=grid.box(each)).evaluate("(it) => it.mark || 0")
        for each in ("web-02", "db-01")
    ]
    assert marks == [1, 0]


@pytest.mark.parametrize("control", [
    "[name=tags]", "thead th[data-name=label] button", "thead th.tick input",
    ".lcnb-bar-fixes button",
])  # fmt: skip
def test_control_stays(grid: GridPage, control: str) -> None:
    """Rows that are read again, with a column and a tag more, leave the control that has the keyboard as it is."""
    grid.box("db-01").click()
    grid.search("web")
    focused = grid.page.locator(control).first
    focused.focus()
    focused.evaluate("(it) => { it.mark = 1; it.addEventListener('blur', () => { it.mark = 0; }); }")
    changed = [{**each, "owner": "ops", "tags": [*each["tags"], "new"]} for each in SMALL]
    grid.page.evaluate("(rows) => model.set('rows', rows)", changed)
    assert grid.page.locator("thead th[data-name=owner]").count() == 1
    assert grid.page.evaluate("document.activeElement.mark") == 1


FOCUSED = "document.activeElement.ariaLabel || document.activeElement.type"


@pytest.mark.parametrize(("name", "successor"), [
    ("Untick all", "machines"), ("Untick hidden rows", "machines"), ("Untick protected rows", "machines"),
    ("Clear filters", "search"),
])  # fmt: skip
def test_button_that_disappears(grid: GridPage, name: str, successor: str) -> None:
    """A button that disables or hides itself gives the keyboard to the table, or to the filter."""
    for label in ("web-01", "web-02", "db-01"):
        grid.box(label).click()
    grid.search("web")
    grid.button(name).focus()
    grid.page.keyboard.press("Enter")
    assert grid.page.evaluate(FOCUSED) == successor


@pytest.mark.parametrize(("control", "successor"), [
    ("[aria-label='tick db-01']", "machines"), ("thead th[data-name=note] button", "machines"),
    ("[name=tags]", "search"),
])  # fmt: skip
def test_control_that_is_gone(grid: GridPage, control: str, successor: str) -> None:
    """A row, column or menu that is gone after another reading gives the keyboard to the table, or to the filter."""
    grid.page.locator(control).focus()
    left = [{**each, "tags": [], "note": None} for each in SMALL if each["label"] != "db-01"]
    grid.page.evaluate("(rows) => model.set('rows', rows)", left)
    assert grid.page.evaluate(FOCUSED) == successor


@pytest.mark.parametrize(("unticked", "here", "successor"), [
    (False, "", "Reboot"), (False, "form", "Reboot"), (True, "form", "machines"), (False, "filter", "search"),
])  # fmt: skip
def test_form_was_closed(grid: GridPage, unticked: bool, here: str, successor: str) -> None:
    """The keyboard returns from a form to the button that opened it, or to the table, but not from elsewhere."""
    grid.box("web-02").click()
    grid.button("Reboot").click()
    grid.page.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<p class=lcnb-form><button>Close</button></p>')"
    )
    if unticked:
        grid.page.evaluate("model.set('selected', [])")
    grid.page.evaluate("document.activeElement.blur()")
    if here:
        (grid.button("Close") if here == "form" else grid.page.get_by_label("Filter", exact=True)).focus()
    grid.page.evaluate("receive({ do: 'focus' })")
    found = grid.page.evaluate(f"document.activeElement.textContent === 'Reboot' ? 'Reboot' : {FOCUSED}")
    assert found == successor


def test_time_of_reading(grid: GridPage) -> None:
    """The line above the table has the time of the last reading in the zone of the browser, and what is said about it."""
    at = "2026-11-30T12:03:10+00:00"
    grid.page.evaluate("(at) => model.set('reading', { at, note: 'refreshes every 10 s' })", at)
    shown = grid.page.evaluate("(at) => new Date(at).toLocaleTimeString('en-GB')", at)
    assert f"read {shown}, refreshes every 10 s" in grid.page.locator(".lcnb-grid-counts").inner_text()


# --- the dialog of a row ------------------------------------------------------------------------------------------

SECTIONS: list[dict[str, Any]] = [
    {"title": "Connect", "items": [{"name": "SSH", "value": "ssh root@192.0.2.7", "copy": True},
                                   {"name": "state", "value": "<img src=x onerror=window.hit=1>"}], "note": "A note."},
    {"title": "Journal", "columns": ["time", "action"], "rows": [["12:00", "<b>reboot</b>"]]},
    {"title": "Report", "links": [{"text": "Open it", "href": "/lcnb/reports/x/report.html"}],
     "page": "<p>the report</p><script>parent.hit = 1</script>"},
]  # fmt: skip


def fill_dialog(grid: GridPage, key: str, sections: list[dict[str, Any]], complete: bool = True) -> None:
    """As the kernel answers that a row was opened."""
    details = {"key": key, "sections": sections, "complete": complete}
    grid.page.evaluate("(details) => receive({ details })", details)


def opened(grid: GridPage) -> list[str]:
    found: list[str] = grid.page.evaluate("sent.filter((each) => each.open).map((each) => each.open)")
    return found


@pytest.mark.parametrize("way", ["click", "label", "Enter"])
def test_open_and_close(grid: GridPage, way: str) -> None:
    """A click on a row, its label, or Enter opens it; Escape closes it, and the keyboard is where it was."""
    row, dialog = (
        grid.page.locator("tr", has=grid.box("web-02")),
        grid.page.get_by_role("dialog", name="web-02"),
    )
    if way == "click":
        row.locator("td").nth(3).click()
    elif way == "label":
        row.get_by_role("button", name="web-02").click()
    else:
        grid.box("web-02").press("Enter")
    expect(dialog).to_be_visible()
    assert opened(grid) == ["id-0002"]
    assert "reading …" in dialog.inner_text()
    fill_dialog(grid, "id-0001", [{"title": "another machine"}])
    assert "another machine" not in dialog.inner_text()
    fill_dialog(grid, "id-0002", SECTIONS[:1], complete=False)
    fill_dialog(grid, "id-0002", SECTIONS)
    for text in ("Connect", "ssh root@192.0.2.7", "A note.", "<b>reboot</b>"):
        assert text in dialog.inner_text()
    assert "reading …" not in dialog.inner_text()
    grid.page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    # The browser hides a dialog first, and its close event, which moves the keyboard, is a task of its own.
    expect(grid.box("web-02") if way == "Enter" else grid.button("web-02")).to_be_focused()
    assert grid.ticked() == []
    assert grid.page.evaluate("window.hit") is None


def test_arrow_keys(grid: GridPage) -> None:
    """Arrow keys go from row to row; the box in a row ticks by Space and opens by Enter."""
    grid.box("web-01").focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowUp", "Space", "ArrowDown", "Enter"):
        grid.page.keyboard.press(key)
    assert grid.ticked() == ["id-0002"]
    assert opened(grid) == ["id-0003"]


def test_ticking_opens_nothing(grid: GridPage) -> None:
    """The column of boxes ticks, as do Shift and Ctrl anywhere in a row; the dialog ticks its row, too."""
    rows = grid.page.locator("tbody tr")
    rows.nth(1).locator("td.tick").click(position={"x": 3, "y": 3})
    rows.nth(3).locator("td").nth(3).click(modifiers=["Shift"])
    rows.nth(5).locator("td").nth(3).click(modifiers=["Control"])
    assert opened(grid) == []
    assert sorted(grid.ticked()) == ["id-0002", "id-0003", "id-0004", "id-0006"]
    grid.box("web-01").press("Enter")
    grid.button("Tick this row").click()
    assert "id-0001" in grid.ticked()
    grid.button("Untick this row").click()
    assert "id-0001" not in grid.ticked()


@pytest.mark.parametrize("clipboard", ["allowed", "missing", "nothing"])
def test_copy(grid: GridPage, clipboard: str) -> None:
    """A button copies, also where the browser has no clipboard for scripts; where it refuses, the text is selected."""
    scripts = {
        "allowed": "Object.defineProperty(navigator, 'clipboard', { configurable: true, "
        "value: { writeText: async (text) => { window.copied = text; } } })",
        "missing": "Object.defineProperty(navigator, 'clipboard', { configurable: true, value: undefined }); "
        "document.execCommand = () => { window.copied = document.activeElement.value; return true; }",
        "nothing": "Object.defineProperty(navigator, 'clipboard', { configurable: true, value: undefined }); "
        "document.execCommand = () => false",
    }
    grid.page.evaluate(scripts[clipboard])
    grid.box("web-01").press("Enter")
    fill_dialog(grid, "id-0001", SECTIONS)
    grid.button("Copy SSH").click()
    report = grid.page.locator(".lcnb-copied")
    if clipboard == "nothing":
        expect(report).to_contain_text("press Ctrl+C")
        assert grid.page.evaluate("getSelection().toString()") == "ssh root@192.0.2.7"
    else:
        expect(report).to_have_text("Copied: ssh root@192.0.2.7")
        assert grid.page.evaluate("window.copied") == "ssh root@192.0.2.7"
    assert grid.page.evaluate("document.activeElement.ariaLabel") == "Copy SSH"


def test_open_row_is_read_again(grid: GridPage) -> None:
    """When an open row is read again and differs, its details are requested again; what stays keeps the keyboard."""
    grid.box("web-02").press("Enter")
    fill_dialog(grid, "id-0002", SECTIONS)
    grid.button("Copy SSH").focus()
    grid.page.evaluate("(rows) => model.set('rows', rows)", SMALL)
    assert opened(grid) == ["id-0002"]
    rows = [{**row, "state": "busy"} if row["label"] == "web-02" else row for row in SMALL]
    grid.page.evaluate("(rows) => model.set('rows', rows)", rows)
    assert opened(grid) == ["id-0002", "id-0002"]
    fill_dialog(grid, "id-0002", [SECTIONS[0], {"title": "Journal", "note": "other"}])
    assert grid.page.evaluate("document.activeElement.ariaLabel") == "Copy SSH"


@pytest.mark.parametrize("width", [480, 1280])
@pytest.mark.parametrize("light", ["true", "false"])
def test_axe_in_the_dialog(shared: GridPage, axe: Path, width: int, light: str) -> None:
    """axe-core finds nothing in the dialog of a row, which is nowhere wider than the page."""
    grid = shared.show(SMALL)
    grid.page.set_viewport_size({"width": width, "height": 900})
    if light == "false":
        grid.page.evaluate(DARK)
    grid.box("web-01").press("Enter")
    fill_dialog(grid, "id-0001", SECTIONS[:2])
    grid.page.add_script_tag(path=str(axe))
    assert grid.page.evaluate(RUN_AXE, None) == []
    wide = "(it) => [it.scrollWidth, it.clientWidth, it.getBoundingClientRect().right]"
    inner, outer, right = grid.page.locator("dialog[open]").evaluate(wide)
    assert inner == outer
    assert right <= width
    grid.page.set_viewport_size({"width": 1280, "height": 900})


@pytest.mark.parametrize("width", [480, 1280])
@pytest.mark.parametrize("light", ["true", "false"])
def test_axe(shared: GridPage, axe: Path, width: int, light: str) -> None:
    """axe-core finds nothing in the table with its bar, a filter and a protected row, in both themes, on a telephone too."""
    grid = shared.show(SMALL)
    grid.page.set_viewport_size({"width": width, "height": 900})
    if light == "false":
        grid.page.evaluate(DARK)
    for label in ("web-01", "db-01"):
        grid.box(label).click()
    grid.search("web")
    grid.page.add_script_tag(path=str(axe))
    assert grid.page.evaluate(RUN_AXE, None) == []
    grid.page.set_viewport_size({"width": 1280, "height": 900})
