"""A report in a real browser: its tables sort by mouse and keyboard, and a printed page cuts nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest

from lcnb.display.tables import table
from lcnb.runbooks.publish.report import render_page

FACTS: dict[str, Any] = {
    "title": "Night", "purpose": "", "status": "done", "reason": "", "account": "lab", "base_url": None, "id": "a-run",
    "started": "2026-11-29T22:00:00+00:00", "duration_s": 1.0, "user": "me", "host": "here", "parameters": {},
    "failed_cell": None, "versions": {"lcnb": "0"}, "notebook": None,
}  # fmt: skip
FRAME = pd.DataFrame(
    {
        "label": pd.array(["web-10", "web-9", None, "db-1"], dtype="str"),
        "memory": pd.array([2048, 1024, 512, None], dtype="Int64"),
        **{f"a_column_with_a_long_name_{number}": ["some words in a cell"] * 4 for number in range(16)},
    }
)
WIDTH_OF_A_PAGE_PX = 1000


@pytest.fixture(scope="module")
def report(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The page of a report with a wide table of lcnb and one of pandas; a script of a cell is in it too."""
    new: Any = nbformat.v4
    outputs = [
        new.new_output("display_data", {"text/html": html})
        for html in (
            table(FRAME)._repr_html_(),
            FRAME._repr_html_(),
            "<script>document.title = 'run'</script>",
        )
    ]
    book = new.new_notebook(cells=[new.new_code_cell("1", outputs=[each]) for each in outputs])
    path: Path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render_page(FACTS, book, []), encoding="utf-8")
    page = browser.new_page(viewport={"width": WIDTH_OF_A_PAGE_PX, "height": 700})
    page.goto(path.as_uri())
    return page


def labels(page: Any) -> list[str]:
    found: list[str] = page.locator("table.lcnb-table tbody tr td:first-child").all_inner_texts()
    return found


def test_sorted_by_mouse_and_keyboard(report: Any) -> None:
    """A click sorts up, another down; numbers by value, texts as people count, missing values last."""
    title = report.locator("table.lcnb-table").get_by_role("button", name="label")
    title.click()
    assert labels(report) == ["db-1", "web-9", "web-10", "–"]
    title.press("Enter")
    assert labels(report) == ["web-10", "web-9", "db-1", "–"]
    assert title.locator("xpath=..").get_attribute("aria-sort") == "descending"
    report.locator("table.lcnb-table").get_by_role("button", name="memory").press(" ")
    assert labels(report) == ["–", "web-9", "web-10", "db-1"]
    assert title.locator("xpath=..").get_attribute("aria-sort") is None


def test_only_script(report: Any) -> None:
    """The script of a cell did not run."""
    assert report.title() == "Night – done"


def test_print_cuts_nothing(report: Any) -> None:
    """On a printed page no element scrolls, and none is wider than the page."""
    report.emulate_media(media="print")
    wide = report.evaluate(
        """() => [...document.querySelectorAll("main, main *")].filter(each =>
            each.getBoundingClientRect().right > innerWidth + 1
            || (getComputedStyle(each).overflowX !== "visible" && each.scrollWidth > each.clientWidth + 1)
        ).map(each => each.outerHTML.slice(0, 80))"""
    )
    report.emulate_media(media="screen")
    assert wide == []
