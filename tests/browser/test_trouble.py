"""What goes wrong around the forms: kernels that are restarted, cells that are run again, calls that hang, faults."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any

import psutil
import pytest

pytest.importorskip("playwright")
pytest.importorskip("voila")

from playwright.sync_api import TimeoutError as NotInTime

from browser.conftest import KERNEL, RUN, Front, served
from browser.test_admin import act, fill_in, form_of, press
from conftest import FAULTS, ROOT

#: Reads are repeated for as long: an alert comes when that is over.
ENVIRONMENT = {"LCNB_TIMEOUT": "2"}
RESTART = f"async () => {{ await {KERNEL}.restart(); await {KERNEL}.info; }}"
CLEAR = "() => window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')"


def run_again(page: Any) -> None:
    """Run the cell of the notebook once more; what it has shown is gone first."""
    page.evaluate(CLEAR)
    page.wait_for_function("() => !document.querySelector('.lcnb-admin')")
    page.evaluate(RUN)
    page.locator(".lcnb-grid tbody tr").first.wait_for()


def until(page: Any, condition: Callable[[], object]) -> None:
    """Wait for something that is not on the page."""
    for _ in range(6000):
        if condition():
            return
        page.wait_for_timeout(100)
    raise AssertionError("that did not come")


def send(front: Front, label: str, seconds: float) -> None:
    """Confirm a create whose answer does not come for so long, though it is carried out at once."""
    page = front.page
    page.evaluate("() => window.scrollTo(0, 0)")
    before = len(front.writes())
    form = fill_in(page, label)
    press(form, "Review …")
    form.get_by_role("button", name="Yes, create it", exact=True).wait_for()
    rule = {"kind": "stall", "method": "POST", "path": "^/instances$", "seconds": seconds, "after": True}
    front.ask("faults", {"rules": [rule]})
    press(form, "Yes, create it")
    until(page, lambda: len(front.writes()) > before)


@pytest.mark.parametrize("front", ["lab"], indirect=True)
def test_kernel_restarted(front: Front) -> None:
    """A kernel that is restarted in the middle of a create: the journal settles it, and there was one write."""
    before = len(front.writes())
    send(front, "again-01", 60)
    front.page.evaluate(RESTART)
    front.ask("faults", {})
    run_again(front.page)
    front.page.get_by_role("button", name="Journal", exact=True).click()
    press(front.page, "Settle open changes")
    front.page.get_by_text("1 done", exact=True).wait_for()
    assert front.writes()[before:] == ["POST instances"]
    assert [each["label"] for each in front.machines()].count("again-01") == 1


@pytest.mark.parametrize("front", ["lab"], indirect=True)
def test_cell_run_again(front: Front) -> None:
    """A cell that is run again while its create is under way: the new form refuses the same, and there was one write."""
    before = len(front.writes())
    send(front, "again-02", 1)
    run_again(front.page)
    front.ask("faults", {})
    form = fill_in(front.page, "again-02")
    press(form, "Review …")
    form.get_by_text("a machine of this label exists").first.wait_for()
    front.page.get_by_role("button", name="Journal", exact=True).click()
    front.page.locator(".lcnb-table td", has_text="again-02").first.wait_for()
    assert front.writes()[before:] == ["POST instances"]


def kernels() -> list[psutil.Process]:
    """The kernels of the front end that is there now."""
    found = []
    for each in psutil.Process().children(recursive=True):
        try:
            if "ipykernel_launcher" in " ".join(each.cmdline()):
                found.append(each)
        except psutil.NoSuchProcess:
            pass  # it has just ended
    return found


@pytest.mark.parametrize("front", ["page"], indirect=True)
def test_kernel_of_a_closed_page(front: Front) -> None:
    """The kernel of a page that was closed is ended; that of one that is open stays, however long nobody clicks."""
    page = front.page
    before = {each.pid for each in kernels()}
    second = front.open()
    (new,) = (each for each in kernels() if each.pid not in before)
    second.close()
    front.pages.remove(second)
    until(page, lambda: not new.is_running())
    page.get_by_role("button", name="Account", exact=True).click()
    page.get_by_text("calls per hour after that").wait_for()
    assert before <= {each.pid for each in kernels()}


# --- faults ---------------------------------------------------------------------------------------------


def part(page: Any, *names: str) -> None:
    for name in names:
        page.get_by_role("button", name=name, exact=True).first.click()


def filled(page: Any, front: Front) -> dict[tuple[str, ...], Any]:
    """Every form filled in, by the way to it."""
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIM3RptBQl/bvTu7bQRwOZKxKZOWEmX+k+CwgafWzJxIw ana"
    forms = {("New machine",): fill_in(page, "fault-01"), ("Machines",): act(page, "web-01", "Snapshot …")}
    for place, name, texts in (
        ("SSH keys", "Add a public key", {"Title": "Mine", "Public key": key}),
        ("SSH keys", "Generate a key pair", {"Title": "New", "Private key file": str(front.folder / "k")}),
        ("SSH keys", "Delete a key", {}),
        ("Snapshots", "New snapshot", {"Snapshot name": "kept"}),
        ("Snapshots", "Rename a snapshot", {"New name": "named"}),
        ("Snapshots", "Delete a snapshot", {}),
    ):
        choice = "" if place == "SSH keys" and texts else "("  # each that is offered has its slug in brackets
        forms[place, name] = form_of(page, place, name, texts, choice)
    return forms


def test_faults(front: Front) -> None:
    """Each fault is shown as an alert with the next step, one in every form; nothing is sent, no input is lost."""
    page = front.page
    if front.kind == "lab":
        run_again(page)  # a client that remembers no listing of the test before
    before = front.writes()
    forms = filled(page, front)
    create = forms["New machine",]
    label = create.get_by_label("Label", exact=True)

    def alert(form: Any, fault: str, **limit: int) -> None:
        rule, step = FAULTS[fault]
        front.ask("faults", {"rules": [{**rule, "method": "GET", **limit}]})
        press(form, "Review …")
        form.locator("[role=alert]").filter(has_text=re.compile(step)).wait_for()
        front.ask("faults", {})

    for way, form in forms.items():
        part(page, *way)
        alert(form, "403")
    part(page, "New machine")
    # Of a 429 the budget takes notice: what is read after it waits.
    for fault in sorted(FAULTS, key="429".__eq__):
        label.fill(f"fault-{fault.replace(' ', '-')}".lower())
        label.press("Tab")
        # A new value removes the message about the last one.
        create.locator("[role=alert]").wait_for(state="detached")
        alert(create, fault, **({"times": 1} if fault == "429" else {}))
    assert label.input_value() == "fault-429"
    again, yes = (
        create.get_by_role("button", name=each, exact=True) for each in ("Review …", "Yes, create it")
    )

    def reviewed() -> bool:
        if not yes.is_visible():
            with suppress(NotInTime):  # it goes when the review is there
                again.click(timeout=1000)
        return bool(yes.is_visible())

    until(page, reviewed)  # the token waits for its turn
    press(create, "Back")
    assert front.writes() == before


@pytest.mark.parametrize("where", ["no such name", "untrusted"])
def test_unreachable(front: Front, where: str, untrusted: str) -> None:
    """An unreachable account is reported in every part, with what to check."""
    address = untrusted if where == "untrusted" else "https://name.invalid/api"
    step = "SSL_CERT_FILE" if where == "untrusted" else "Check the network"
    if front.kind == "lab":
        notebook = json.loads((ROOT / "notebooks" / "admin" / "admin.ipynb").read_text())
        source = notebook["cells"][1]["source"]
        source.insert(0, f"import os\nos.environ['LCNB_BASE_URL'] = {address!r}\n")
        (front.folder / "away.ipynb").write_text(json.dumps(notebook))
        look_at(front.open("away.ipynb"), step)
        return
    folder = front.folder / where.replace(" ", "-")
    folder.mkdir()
    away = replace(front, folder=folder, pages=[])
    with served(away, LCNB_BASE_URL=address, **ENVIRONMENT) as away.address:
        look_at(away.open(), step)


def look_at(page: Any, step: str) -> None:
    """Every part that reads says so by itself."""
    with closing(page):
        for way in (
            ("Machines",),
            ("New machine",),
            ("SSH keys", "Delete a key"),
            ("Snapshots", "Delete a snapshot"),
            ("Account",),
        ):
            part(page, *way)
            page.locator("[role=alert]:visible").filter(has_text=step).first.wait_for()
