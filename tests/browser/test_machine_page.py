"""One machine, machines that cannot be changed now, and a table that follows changes, in Chromium and JupyterLab."""

from __future__ import annotations

import json
from typing import Any
from urllib.request import Request, urlopen

import pytest

pytest.importorskip("playwright")
pytest.importorskip("voila")

from playwright.sync_api import expect

from browser.conftest import LIMIT_MS, Front
from browser.test_admin import ended, press, untick_all
from conftest import TOKEN


def identifier_of(front: Front, label: str) -> str:
    found: str = next(each["identifier"] for each in front.machines() if each["label"] == label)
    return found


def make_busy(front: Front, label: str) -> None:
    """Reboot a machine whose work never ends."""
    front.ask("faults", {"rules": [{"kind": "stuck", "method": "PUT", "path": "/reboot$"}]})
    address = f"{front.sandbox.base_url}/instances/{identifier_of(front, label)}/reboot"
    urlopen(
        Request(address, json.dumps({}).encode(), {"api-token": TOKEN}, method="PUT"), timeout=600
    ).close()
    front.ask("faults", {})


def labels_running(front: Front) -> list[str]:
    return sorted(each["label"] for each in front.machines() if each["booted"] and not each["locked"])


def show_machines(front: Front) -> Any:
    page = front.page
    press(page, "Machines")
    untick_all(page)
    return page


def test_by_keyboard(front: Front) -> None:
    """Enter in the box of a row opens the machine with what its row, journal and history say; Escape goes back to it."""
    page, label = show_machines(front), labels_running(front)[0]
    address = next(each for each in front.machines() if each["label"] == label)["ip_addresses"][0]
    box = page.get_by_label(f"tick {label}", exact=True)
    box.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name=label)
    dialog.get_by_role("heading", name="History").wait_for()
    for title in ("Connect", "Machine", "Facts", "Journal", "Snapshots"):
        assert dialog.get_by_role("heading", name=title, exact=True).count() == 1
    host = address["address"] if isinstance(address, dict) else address
    assert f"ssh root@{host}" in dialog.inner_text()
    page.keyboard.press("Tab")
    assert dialog.evaluate("(it) => it.contains(document.activeElement)")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    # The browser hides a dialog first, and its close event, which moves the keyboard, is a task of its own.
    expect(box).to_be_focused(timeout=LIMIT_MS)
    page.keyboard.press("Space")
    assert box.is_checked()
    assert front.writes() == []
    assert front.abroad == []


def test_leave_out(front: Front) -> None:
    """A busy machine is listed with its reason; one click leaves it out, and only the others are changed."""
    page = show_machines(front)
    busy, first, second = labels_running(front)[:3]
    make_busy(front, busy)
    before = len(front.writes())
    for label in (busy, first, second):
        page.get_by_label(f"tick {label}", exact=True).check()
    press(page, "Reboot")
    form = page.locator(".lcnb-form-act")
    leave = form.get_by_role("button", name="Leave out 1 and continue", exact=True)
    leave.wait_for()
    expect(form.locator(".lcnb-refused td", has_text="an action is in progress")).to_be_visible()
    expect(leave).to_be_focused(timeout=LIMIT_MS)
    page.keyboard.press("Enter")
    yes = form.get_by_role("button", name="Yes, reboot 2", exact=True)
    yes.wait_for()
    expect(form.get_by_text(f"{busy} was left out")).to_be_visible()
    assert page.locator("td.tick input:checked").count() == 3
    assert len(front.writes()) == before
    yes.click()
    ended(form)
    changed = {each.split("/")[1] for each in front.writes()[before:]}
    assert changed == {identifier_of(front, first), identifier_of(front, second)}
    press(form, "Close")


def test_follows(front: Front) -> None:
    """While a machine is busy the table reads itself again; what is typed, ticked and sorted meanwhile stays."""
    page = show_machines(front)
    if not any(each["locked"] for each in front.machines()):
        make_busy(front, labels_running(front)[0])
    press(page, "Refresh")
    line = page.locator(".lcnb-grid-counts:visible")
    expect(line).to_contain_text("refreshes every 10 s while machines are changing", timeout=LIMIT_MS)
    page.locator("thead th", has_text="memory").get_by_role("button").click()
    page.get_by_label("Filter", exact=True).first.fill("running")
    label = labels_running(front)[-1]
    page.get_by_label(f"tick {label}", exact=True).check()
    press(page, "Delete …")
    form = page.locator(".lcnb-form-act")
    typed = form.get_by_label("Type to confirm", exact=True)
    typed.fill(label[:3])
    read = line.inner_text()
    page.wait_for_function(
        "(read) => [...document.querySelectorAll('.lcnb-grid-counts')].every((it) => it.innerText !== read)",
        arg=read,
    )
    expect(typed).to_be_focused()
    assert typed.input_value() == label[:3]
    assert page.get_by_label(f"tick {label}", exact=True).is_checked()
    assert page.locator("thead th[aria-sort=ascending]").inner_text().startswith("memory")
    assert page.get_by_label("Filter", exact=True).first.input_value() == "running"
    press(form, "Back")
    press(form, "Close")
    page.get_by_label("Filter", exact=True).first.fill("")
