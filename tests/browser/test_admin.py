"""The app in Chromium, in JupyterLab and as a web page, against a sandbox that keeps the log of what was written."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

pytest.importorskip("playwright")
pytest.importorskip("voila")

from playwright.sync_api import expect

from browser.conftest import KERNEL, LIMIT_MS, RUN_AXE, Front
from conftest import TOKEN

PASSWORD = "Canary-4-Typed-Pw"
#: What an action asks for besides.
ASKED = {
    "Change plan …": "New plan", "Snapshot …": "Snapshot label", "Reset password …": "Root password"
}  # fmt: skip
ANOTHER_CELL = f"async () => (await {KERNEL}.requestExecute({{ code: '6 * 7' }}).done).content.status"


def choose(form: Any, label: str, option: str) -> None:
    """Choose an option once it is offered."""
    form.get_by_label(label, exact=True).select_option(label=option)


def press(form: Any, name: str) -> None:
    form.get_by_role("button", name=name, exact=True).click()


def ended(form: Any, phase: str = "done") -> None:
    form.locator(f"[data-phase={phase}]").wait_for(state="attached")


def on_a_button(page: Any) -> None:
    """The keyboard is on a button, not lost to the page's body."""
    page.wait_for_function("() => document.activeElement.tagName === 'BUTTON'")


def begin(form: Any) -> None:
    """The form as it is shown, begun anew if it shows what came of the last time."""
    form.get_by_role("button", name=re.compile("^(Review …|Start over)$")).first.wait_for()
    over = form.get_by_role("button", name="Start over", exact=True)
    if over.is_visible():
        over.click()


def typed(form: Any, password: str) -> None:
    """A password of one's own, typed twice."""
    choose(form, "Root password", "type one")
    for label in ("New password", "Repeat password"):
        form.get_by_label(label, exact=True).fill(password)
        form.get_by_label(label, exact=True).press("Tab")


def fill_in(page: Any, label: str) -> Any:
    page.get_by_role("button", name="New machine", exact=True).click()
    form = page.locator(".lcnb-form-create")
    begin(form)
    choose(form, "Location", "MIA1 – Miami")
    form.get_by_label("Label", exact=True).fill(label)
    choose(form, "Plan", "1 CPU, 1 GB, 10 GB disk – 5.40 USD per month")
    choose(form, "Image", "Debian 12 x86_64")
    return form


def act(page: Any, label: str, action: str) -> Any:
    """Tick a machine and press an action of the bar: its form is open, reviewed already if it asks for nothing."""
    page.get_by_role("button", name="Machines", exact=True).click()
    page.get_by_label(f"tick {label}", exact=True).check()
    press(page, action)
    form = page.locator(".lcnb-form-act")
    if action in ASKED:
        form.get_by_label(ASKED[action], exact=True).wait_for()
    return form


def untick_all(page: Any) -> None:
    page.get_by_label("tick all rows shown", exact=True).wait_for()
    none = page.get_by_role("button", name="Untick all", exact=True)
    if none.is_visible():
        none.click()
    page.locator("td.tick input:checked").first.wait_for(state="detached")


def form_of(page: Any, part: str, name: str, texts: dict[str, str], chosen: str = "") -> Any:
    """A form of a part that has several, filled in; of its first choice the option that has this text."""
    for each in (part, name):
        page.get_by_role("button", name=each, exact=True).click()
    form = page.locator("[class*=lcnb-form-]:visible").filter(has=page.get_by_role("heading", name=name))
    begin(form)
    for label, text in texts.items():
        form.get_by_label(label, exact=True).fill(text)
    if chosen:
        choice = form.locator("select").first
        option = choice.locator("option").filter(has_text=chosen).first
        option.wait_for(state="attached")
        choice.select_option(label=option.inner_text())
    return form


def test_whole_way(front: Front) -> None:
    """A machine is made, stopped, resized, kept and deleted: refused first, confirmed once, exactly these writes."""
    page = front.page
    form = fill_in(page, "")
    press(form, "Review …")
    form.get_by_text("This field is required.").first.wait_for()
    choose(form, "Location", "LON1 – London (sold out)")
    form.get_by_text("takes no new machines").wait_for()
    choose(form, "Root password", "type one")
    form.get_by_label("New password", exact=True).fill("short")
    form.get_by_label("New password", exact=True).press("Tab")
    form.get_by_text("12 to 32 characters (it has 5)").wait_for()
    typed(form, PASSWORD)
    form = fill_in(page, "shop-01")
    assert front.writes() == []

    press(form, "Review …")
    form.get_by_text('"password": "*****"').wait_for()
    on_a_button(page)
    form.get_by_role("button", name="Yes, create it", exact=True).dblclick()
    ended(form)
    on_a_button(page)
    # What came of it is to be seen, though the form above it has gone.
    expect(form.get_by_text("Done: create instance shop-01.")).to_be_in_viewport(timeout=LIMIT_MS)
    assert front.writes() == ["POST instances"]

    form = act(page, "shop-01", "Power off")
    press(form, "Yes, power off")
    ended(form)
    page.locator("tr.picked", has_text="shop-01").locator("td", has_text="off").first.wait_for()
    form = act(page, "shop-01", "Change plan …")
    choose(form, "New plan", "1 CPU, 2 GB, 20 GB disk – 10.00 USD per month each (+4.60 USD)")
    press(form, "Review …")
    press(form, "Yes, change plan")
    ended(form)
    form = act(page, "shop-01", "Snapshot …")
    press(form, "Review …")
    press(form, "Yes, create it")
    ended(form)
    form = act(page, "shop-01", "Delete …")
    yes = form.get_by_role("button", name="Yes, delete it", exact=True)
    form.get_by_label("Type to confirm", exact=True).fill("shop-0")
    assert yes.is_disabled()
    form.get_by_label("Type to confirm", exact=True).fill("shop-01")
    yes.click()
    ended(form)
    page.wait_for_function("() => !document.querySelector('.lcnb-grid').textContent.includes('shop-01')")

    writes = front.writes()
    machine = writes[1].split("/")[1]
    assert writes == [
        "POST instances",
        f"PUT instances/{machine}/power-off",
        f"PUT instances/{machine}/change-plan",
        f"POST instances/{machine}/snapshots",
        f"DELETE instances/{machine}",
    ]
    assert front.abroad == []
    if front.kind == "lab":
        saved(page, front)


def saved(page: Any, front: Front) -> None:
    """The notebook, saved with the widgets' state in it, holds no secret; the state is there."""
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    text = (front.folder / "admin.ipynb").read_text()
    assert "application/vnd.jupyter.widget-state+json" in text
    for secret in (PASSWORD, TOKEN):
        assert secret not in text
        assert json.dumps(secret) not in text


def test_unknown_outcome(front: Front) -> None:
    """A create that no listing shows is reported as unknown; the button settles it, and nothing is sent twice."""
    before = len(front.writes())
    page = front.page
    form = fill_in(page, "late-01")
    press(form, "Review …")
    form.get_by_role("button", name="Yes, create it", exact=True).wait_for()
    front.ask("faults", {"rules": [{"kind": "lag", "path": "^/instances$", "seconds": 1e8}]})
    press(form, "Yes, create it")
    ended(form, "unknown")
    assert form.locator("[role=alert]").filter(has_text="may have been made").count() == 1
    front.ask("faults", {})
    press(form, "Look again")
    ended(form)
    assert front.writes()[before:] == ["POST instances"]


def test_two_tabs(front: Front) -> None:
    """Two pages that review the same create make one machine; the second is refused because it exists."""
    if front.kind == "lab":
        pytest.skip("in JupyterLab two tabs of a notebook share one kernel and one form")
    before = len(front.writes())
    second = front.open()
    forms = [fill_in(page, "twin-01") for page in (second, front.page)]
    for page, form in zip((second, front.page), forms, strict=True):
        page.bring_to_front()  # a page behind another one is drawn once a second
        press(form, "Review …")
        form.get_by_role("button", name="Yes, create it", exact=True).wait_for()
    second.bring_to_front()
    press(forms[0], "Yes, create it")
    ended(forms[0])
    second.close()
    press(forms[1], "Yes, create it")
    ended(forms[1], "failed")
    forms[1].get_by_text("a machine with the label 'twin-01' exists").first.wait_for()
    assert front.writes()[before:] == ["POST instances"]


def facts_form(page: Any, *labels: str) -> Any:
    """The form for facts of these machines, empty."""
    page.get_by_role("button", name="Machines", exact=True).click()
    untick_all(page)
    for label in labels:
        page.get_by_label(f"tick {label}", exact=True).check()
    press(page, "Tags and facts …")
    form = page.locator(".lcnb-form-facts")
    form.get_by_role("button", name="Save", exact=True).wait_for()
    return form


def test_facts(front: Front) -> None:
    """Facts are saved and shown; a tag filters; a shield blocks the bar; lifting it asks; nothing is sent."""
    page = front.page
    before = front.writes()
    form = facts_form(page, "web-01", "api-01")
    form.get_by_label("Add tags", exact=True).fill("2=x")
    form.get_by_text("begins with a letter").wait_for()
    form.get_by_label("Add tags", exact=True).fill("project=<b>x</b>; legacy")
    form.get_by_label("Expires", exact=True).fill("7d")
    choose(form, "Protection", "protect")
    press(form, "Save")
    form.get_by_text("Saved for 2 machines").wait_for()
    row = page.locator("tr.picked", has_text="web-01")
    row.locator("th .lcnb-shield", has_text="protected").wait_for()
    row.get_by_text("project=<b>x</b>", exact=True).wait_for()
    row.get_by_text("in 6 d", exact=True).wait_for()
    page.get_by_text("api-01, web-01 are protected.").wait_for()
    assert page.get_by_role("button", name="Delete …", exact=True).is_disabled()
    page.get_by_label("Filter by tag", exact=True).select_option(label="legacy – 2")
    expect(page.locator("tbody th")).to_contain_text(["api-01", "web-01"], timeout=LIMIT_MS)
    assert page.locator(".lcnb-grid-scroll tbody tr:visible").count() == 2
    press(form, "Close")
    page.get_by_role("button", name="Clear filters", exact=True).click()

    form = facts_form(page, "web-01", "api-01")
    choose(form, "Protection", "lift the protection")
    press(form, "Save")
    form.get_by_text("This lifts the protection of").wait_for()
    on_a_button(page)
    press(form, "Yes, lift the protection")
    form.get_by_text("Saved for 2 machines: protection lifted.").wait_for()
    page.locator(".lcnb-shield").first.wait_for(state="detached")
    press(form, "Close")
    untick_all(page)
    assert front.writes() == before
    assert front.abroad == []


def test_facts_by_keyboard(front: Front) -> None:
    """A machine gets a tag without a pointer: the keyboard goes from the bar into the form, and is never lost."""
    if front.kind == "lab":
        pytest.skip("JupyterLab has keys of its own; the widgets are the same")
    page, before = front.page, front.writes()
    page.get_by_role("button", name="Machines", exact=True).click()
    untick_all(page)
    page.get_by_role("button", name="Refresh", exact=True).first.focus()
    tab_to(page, "tick web-01")
    page.keyboard.press("Space")
    form = page.locator(".lcnb-form-facts")
    form.wait_for(state="attached")
    for _ in range(60):
        page.keyboard.press("Shift+Tab")
        if page.evaluate(NAME_OF_FOCUSED) == "Tags and facts …":
            break
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.activeElement.labels?.[0]?.textContent === 'Add tags'")
    page.keyboard.type("keys=yes")
    tab_to(page, "Save")
    page.keyboard.press("Enter")
    form.get_by_text("Saved for 1 machine: tags added: keys=yes.").wait_for()
    on_a_button(page)
    page.locator("tr.picked", has_text="web-01").get_by_text("keys=yes", exact=True).wait_for()
    tab_to(page, "Close")
    page.keyboard.press("Enter")
    opener = page.get_by_role("button", name="Tags and facts …", exact=True)
    expect(opener).to_be_focused(timeout=LIMIT_MS)
    expect(form).to_be_hidden(timeout=LIMIT_MS)
    expect(opener).to_be_focused()
    untick_all(page)
    assert front.writes() == before


def test_keyboard_after_back(front: Front) -> None:
    """*Back* disappears when it is pressed: the keyboard is on the button that reviews then, and *Close* leaves it."""
    page, before = front.page, front.writes()
    untick_all(page)
    form = act(page, "web-01", "Reboot")
    back, review, close = (
        form.get_by_role("button", name=each, exact=True) for each in ("Back", "Review …", "Close")
    )
    for button, successor in (
        (back, review),
        (review, back),
        (close, page.get_by_role("button", name="Reboot", exact=True)),
    ):
        if button is close:
            button.focus()
        expect(button).to_be_focused(timeout=LIMIT_MS)
        page.keyboard.press("Enter")
        expect(successor).to_be_focused(timeout=LIMIT_MS)
    expect(form).to_be_hidden(timeout=LIMIT_MS)
    untick_all(page)
    assert front.writes() == before


def test_keyboard_is_not_taken(front: Front) -> None:
    """What somebody types into the filter while a change is made does not go to the buttons of the form at its end."""
    page = front.page
    untick_all(page)
    form = act(page, "web-01", "Reboot")
    expect(form.get_by_role("button", name="Back", exact=True)).to_be_focused(timeout=LIMIT_MS)
    press(form, "Yes, reboot")
    find = page.get_by_label("Filter", exact=True).locator("visible=true").first
    find.click()
    page.keyboard.type("web ")
    ended(form)
    form.get_by_role("button", name="Start over", exact=True).wait_for()
    page.keyboard.type("01")
    expect(find).to_be_focused()
    assert find.input_value() == "web 01"
    find.fill("")
    press(form, "Close")
    untick_all(page)


IN_ONE_GO = """(labels) => {
  for (const label of labels) document.querySelector(`[aria-label="tick ${label}"]`).click();
  [...document.querySelectorAll(".lcnb-bar button")].find((each) => each.textContent === "Reboot").click();
}"""


def test_faster_than_the_kernel(front: Front) -> None:
    """What is ticked in the very moment in which an action is pressed is what is reviewed."""
    page = front.page
    page.get_by_role("button", name="Machines", exact=True).click()
    form = page.locator(".lcnb-form-act")
    untick_all(page)
    before = front.writes()
    page.evaluate(IN_ONE_GO, ["web-01", "api-01", "db-01"])
    form.get_by_role("button", name="Yes, reboot 3", exact=True).wait_for()
    press(form, "Close")
    untick_all(page)
    assert front.writes() == before


def test_slow_page(front: Front) -> None:
    """A page that comes so slowly that it asks for each widget by itself shows what was read meanwhile."""
    if front.kind == "lab":
        pytest.skip("the same widgets and the same way; a page of JupyterLab has more besides")
    front.ask("faults", {"rules": [{"kind": "stall", "path": "^/instances$", "seconds": 9}]})
    page, held = front.blank(), []

    def pass_on(socket: Any) -> None:
        server = socket.connect_to_server()

        def hold(message: Any) -> None:
            text = message if isinstance(message, bytes) else message.encode()
            if b'"update_states"' in text:
                return  # as if it took longer than the four seconds that ipywidgets waits for it
            if b"_model_name" in text and not held:  # one widget's answer comes after the fleet was read
                held.append(message)
                front.ask("faults", {})
                return
            socket.send(message)
            if b'"rows"' in text and b"web-01" in text and len(held) == 1:
                socket.send(held[0])
                held.append("sent")

        server.on_message(hold)
        socket.on_message(server.send)

    page.route_web_socket("**/channels*", pass_on)
    page.goto(front.address)
    page.locator(".lcnb-grid tbody tr").first.wait_for()
    assert held[1:] == ["sent"]


def test_never_freezes(front: Front) -> None:
    """While a call hangs another cell is answered, the form is cancelled; an alert soon shows what went wrong."""
    page = front.page
    before = front.writes()
    front.ask("faults", {"rules": [{"kind": "stall", "path": "^/instances$", "seconds": 30}]})
    form = act(page, "web-01", "Reboot")
    ended(form, "loading")
    if front.kind == "lab":
        assert page.evaluate(ANOTHER_CELL) == "ok"
    press(form, "Cancel")
    ended(form, "edit")
    front.ask("faults", {"rules": [{"kind": "html", "status": 403, "path": "^/instances$"}]})
    press(form, "Review …")
    form.locator("[role=alert]").filter(has_text="403").wait_for()
    assert front.writes() == before


def test_only_with_the_token(front: Front) -> None:
    """The page wants its token; without it there is nothing but a place to give it."""
    if front.kind == "lab":
        pytest.skip("JupyterLab has its own")
    with urlopen(front.address.partition("?")[0], timeout=600) as reply:
        text = reply.read().decode()
    assert "token" in text
    assert "lcnb" not in text
    assert 'type="password"' in text


def tab_to(page: Any, name: str) -> None:
    """Press Tab until something of this name has the keyboard."""
    for _ in range(120):
        page.keyboard.press("Tab")
        found = page.evaluate(NAME_OF_FOCUSED)
        if found == name:
            return
    raise AssertionError(f"the keyboard does not come to {name!r}")


NAME_OF_FOCUSED = """() => {
  const it = document.activeElement;
  return it.ariaLabel || (it.labels && it.labels.length ? it.labels[0].textContent : it.textContent);
}"""


def reviewed_by_keyboard(page: Any, form: Any) -> None:
    """From *Review …* on: the keyboard is on *Back*, and what is before it is the button that does it, or the label."""
    action_by_keyboard(page, form, "Review …")


def action_by_keyboard(page: Any, form: Any, name: str) -> None:
    """Press a button that asks for a review: the keyboard goes to *Back*, and Shift+Tab to what is before it."""
    tab_to(page, name)
    page.keyboard.press("Enter")
    expect(form.get_by_role("button", name="Back", exact=True)).to_be_focused(timeout=LIMIT_MS)
    page.keyboard.press("Shift+Tab")


def confirmed_by_keyboard(page: Any, form: Any, button: str) -> None:
    assert page.evaluate(NAME_OF_FOCUSED) == button
    page.keyboard.press("Enter")
    ended(form)
    expect(form.get_by_role("button", name="Start over", exact=True)).to_be_focused(timeout=LIMIT_MS)
    page.keyboard.press("Enter")
    expect(form.locator("input:visible, select:visible").first).to_be_focused(timeout=LIMIT_MS)


def test_by_keyboard(front: Front) -> None:
    """A machine is made, powered off and deleted without a pointer, and the keyboard is never lost to the page's body."""
    if front.kind == "lab":
        pytest.skip("JupyterLab has keys of its own; the widgets are the same")
    page = front.page
    before = len(front.writes())
    create, act_on = (page.locator(f".lcnb-form-{name}") for name in ("create", "act"))
    page.get_by_role("button", name="New machine", exact=True).click()
    begin(create)
    page.get_by_role("button", name="Machines", exact=True).click()
    untick_all(page)

    page.get_by_role("button", name="Machines", exact=True).focus()
    tab_to(page, "New machine")
    page.keyboard.press("Enter")
    tab_to(page, "Label")
    page.keyboard.press("Control+A")
    page.keyboard.type("keys-01")
    for name, options in (("Location", "MIA1"), ("Plan", "USD"), ("Image", "CentOS")):
        choice = create.get_by_label(name, exact=True)
        choice.locator("option").filter(has_text=options).first.wait_for(state="attached")
        tab_to(page, name)
        page.keyboard.press("Home")
        page.keyboard.press("ArrowDown")
        page.wait_for_function("(it) => it.selectedIndex === 1", arg=choice.element_handle())
    reviewed_by_keyboard(page, create)
    confirmed_by_keyboard(page, create, "Yes, create it")

    page.get_by_role("button", name="New machine", exact=True).focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    page.get_by_label("tick keys-01", exact=True).wait_for()
    tab_to(page, "tick keys-01")
    page.keyboard.press("Space")
    action_by_keyboard(page, act_on, "Power off")
    confirmed_by_keyboard(page, act_on, "Yes, power off")
    action_by_keyboard(page, act_on, "Delete …")
    page.keyboard.type("keys-01")
    act_on.get_by_role("button", name="Yes, delete it", exact=True, disabled=False).wait_for()
    page.keyboard.press("Tab")
    confirmed_by_keyboard(page, act_on, "Yes, delete it")
    assert [each.split()[0] for each in front.writes()[before:]] == ["POST", "PUT", "DELETE"]


def test_accessible(front: Front, axe: Path) -> None:
    """axe-core finds nothing to complain of: on the whole page, and in the app where JupyterLab is around it."""
    page = front.page
    page.add_script_tag(path=str(axe))
    root = ".lcnb-admin" if front.kind == "lab" else None
    for part in ("Machines", "New machine", "SSH keys", "Snapshots", "Account", "Journal"):
        page.get_by_role("button", name=part, exact=True).click()
        page.wait_for_function("() => !document.body.textContent.includes('reading …')")
        assert page.evaluate(RUN_AXE, root) == [], part
    form = page.locator(".lcnb-form-create")
    page.get_by_role("button", name="New machine", exact=True).click()
    begin(form)
    press(form, "Review …")
    form.get_by_text("This field is required.").first.wait_for()
    assert page.evaluate(RUN_AXE, root) == []
    form = facts_form(page, "web-01")
    assert page.evaluate(RUN_AXE, root) == []
    choose(form, "Protection", "lift the protection")
    press(form, "Save")
    form.get_by_role("button", name="Yes, lift the protection", exact=True).wait_for()
    assert page.evaluate(RUN_AXE, root) == []
    press(form, "Close")
    untick_all(page)
