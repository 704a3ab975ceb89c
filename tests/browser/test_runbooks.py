"""Runbooks from the app in Chromium: a report that is seen, and a dry run whose plan is applied once."""

from __future__ import annotations

from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

pytest.importorskip("playwright")
pytest.importorskip("voila")

from browser.conftest import Front
from browser.test_admin import choose, ended, on_a_button, press
from conftest import write_notebook

#: A folder of notebooks next to the files that they read.
ENVIRONMENT = {"LCNB_NOTEBOOKS": "own"}


def only_with_the_token(report: str, page: str) -> None:
    """A report is sent to people with the token of the page only; no other file of a run, and no other folder, is."""
    token = urlsplit(page).query

    def status(url: str, method: str = "GET") -> int:
        parts = urlsplit(url)
        connection = HTTPConnection(parts.hostname or "", parts.port or 80, timeout=600)
        with closing(connection):
            connection.request(method, f"{parts.path}?{parts.query}")
            return connection.getresponse().status

    assert status(f"{report}?{token}") == 200
    assert status(report) == 302  # to the page that asks for the token
    assert status(f"{report}?token=wrong") == 302
    folder = report.rpartition("/")[0]
    others = (
        "run.json",
        "../report.html",
        "..%2freport.html",
        "%2e%2e/report.html",
        "",
        "report.html/",
        "output.ipynb",
    )
    assert {status(f"{folder}/{each}?{token}") for each in others} == {404}
    assert status(f"{report}?{token}", "DELETE") in (403, 405)


@pytest.mark.parametrize("front", ["page"], indirect=True)
def test_run_and_apply(front: Front) -> None:
    """`inventory` shows its report; `power_schedule` is run dry, applied by two clicks, and writes once."""
    page = front.page
    page.get_by_role("button", name="Runbooks", exact=True).click()
    choose(page, "Runbook", "inventory – Inventory")
    form = page.locator(".lcnb-form-run-inventory")
    form.get_by_role("button", name="Run", exact=True).dblclick()
    ended(form)
    form.frame_locator("iframe[title=report]").get_by_role("heading", name="Inventory").first.wait_for()
    with page.context.expect_page() as opened:
        form.get_by_role("link", name="Open it in a new tab").click()
    report = opened.value
    report.get_by_role("heading", name="Inventory").first.wait_for()
    sorted_by = report.locator("th .sort").first
    sorted_by.click()
    assert report.locator("th[aria-sort=ascending], th[aria-sort=descending]").count() == 1
    # It has no origin: nothing in it can use the page of the account.
    assert report.evaluate("origin") == "null"
    row = page.locator(".lcnb-grid tbody tr:visible", has_text="inventory")
    assert row.count() == 1
    row.locator("td").nth(1).click()
    dialog = page.get_by_role("dialog", name="inventory")
    dialog.frame_locator("iframe").get_by_role("heading", name="Inventory").first.wait_for()
    page.keyboard.press("Escape")
    assert front.writes() == []
    only_with_the_token(report.url, front.address)
    report.close()

    choose(page, "Runbook", "power_schedule – Power schedule")
    form = page.locator(".lcnb-form-run-power-schedule")
    form.get_by_label("Selection", exact=True).fill("label ==")
    press(form, "Dry run")
    form.locator("[role=alert]").first.wait_for()
    form.get_by_label("Selection", exact=True).fill("label == 'web-01'")
    press(form, "Dry run")
    apply = form.get_by_role("button", name="Apply", exact=True)
    apply.wait_for()
    on_a_button(page)
    assert front.writes() == []
    apply.dblclick()
    ended(form)
    form.get_by_text("Done: 1 change made.").wait_for()
    assert len(front.writes()) == 1
    assert front.writes()[0].endswith("/power-off")
    assert front.abroad == []


@pytest.mark.parametrize("front", ["page"], indirect=True)
def test_own_notebook(front: Front) -> None:
    """A notebook of the folder is offered; its files are relative to the folder in which the page was started."""
    (front.folder / "labels.txt").write_text("a line of the file")
    cells = (
        ("from pathlib import Path\nfile: Path = 'labels.txt'  # what to read", "parameters"),
        ("print(open(file).read())",),
    )
    write_notebook(front.folder / "own" / "reader.ipynb", *cells)
    page = front.open()
    page.get_by_role("button", name="Runbooks", exact=True).click()
    choose(page, "Runbook", "reader (your own)")
    form = page.locator(".lcnb-form-run-reader")
    press(form, "Run")
    ended(form)
    form.frame_locator("iframe[title=report]").get_by_text("a line of the file").wait_for()
    assert [each.name for each in (front.folder / "runs").iterdir() if "reader" in each.name]
