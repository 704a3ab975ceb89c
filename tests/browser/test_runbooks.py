"""Runbooks from the app in Chromium: a report that is seen, and a dry run whose plan is applied once."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright")
pytest.importorskip("voila")

from browser.conftest import Front
from browser.test_admin import choose, ended, on_a_button, press


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
    page.locator("table.lcnb-table", has_text="report.html").locator(
        "td", has_text="inventory"
    ).first.wait_for()
    assert page.locator("table.lcnb-table td", has_text="report.html").count() == 1
    assert front.writes() == []

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
