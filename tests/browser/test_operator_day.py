"""The day of an operator in 25 steps, by mouse and by keyboard alone, on the page and in JupyterLab.

All steps of a front end happen on one page. `Mouse` and `Keyboard` count what a person would press. Each key is pressed
once, and the app never loses the keyboard.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.request import Request, urlopen

import pytest

pytest.importorskip("playwright")
pytest.importorskip("voila")

from playwright.sync_api import expect

from browser.conftest import LIMIT_MS, RUN_AXE, Front
from browser.test_admin import ended, untick_all
from browser.test_machine_page import identifier_of, make_busy
from conftest import TOKEN

#: Sixty machines; two of the `ci-` machines run in MIA1.
ACCOUNT = {"fleet": 60, "seed": 4}
CI_MACHINES = ["ci-runner-01", "ci-runner-02"]
MAX_TABS = 250
#: How Tab reaches an element: 1 forward, -1 backward, 0 when it has the keyboard; null for one that the page has replaced.
WAY_TO = """(wanted) => {
  if (!wanted.isConnected) return null;
  const here = document.activeElement;
  if (here === wanted) return 0;
  if (wanted.closest("dialog[open]") && !here.closest("dialog[open]")) return 1;
  return here.compareDocumentPosition(wanted) & Node.DOCUMENT_POSITION_PRECEDING ? -1 : 1;
}"""
IS_IN_THE_APP = "document.activeElement.closest('.lcnb-admin') !== null"
IS_IN_THE_TABLE = "document.activeElement.closest('.lcnb-grid-scroll') !== null"
CHOSEN = "(select) => select.selectedOptions[0].text"


class Mouse:
    """Clicks; the keyboard only for text. The popup of a select is the browser's own: it counts as two clicks."""

    name = "mouse"

    def __init__(self, page: Any) -> None:
        self.page, self.clicks, self.keys = page, 0, 0

    def press(self, target: Any) -> None:
        """Press a button."""
        target.click()
        self.clicks += 1

    def write(self, field: Any, text: str) -> None:
        """Replace the text of a field."""
        field.click(click_count=3)
        self.clicks += 3 if field.input_value() else 1
        self._type(text)

    def choose(self, select: Any, text: str) -> None:
        """Choose the first option that contains a text."""
        option = select.locator("option").filter(has_text=text).first
        option.wait_for(state="attached")
        select.select_option(label=option.inner_text())
        self.clicks += 2

    def tick(self, box: Any, *, up_to_here: bool = False) -> None:
        """Tick a row, or all rows from the last ticked one to this one."""
        box.click(modifiers=["Shift"] if up_to_here else [])
        self.clicks += 1

    def open_row(self, label: str) -> None:
        """Open the dialog of a row of the visible table."""
        self.press(self.page.locator(".lcnb-grid tbody tr:visible", has_text=label).locator("td").nth(2))

    def leave_dialog(self, dialog: Any) -> None:
        """Close the dialog."""
        self.press(dialog.get_by_role("button", name="Close", exact=True))

    def _type(self, text: str) -> None:
        self.page.keyboard.press("Control+A")
        self.page.keyboard.press("Delete")
        self.page.keyboard.type(text)
        self.keys += len(text)


class Keyboard(Mouse):
    """Tab, Shift+Tab, Enter, Space, arrows and text, and never the pointer."""

    name = "keyboard"
    #: Whether the app has had the keyboard. From then on it always has it: no press may lose it.
    is_in_the_app = False

    def reach(self, target: Any) -> None:
        """Move the keyboard to an element with Tab or Shift+Tab, from where it is in the app."""
        target.wait_for()
        if self.is_in_the_app:
            self.page.wait_for_function(IS_IN_THE_APP)
        self.is_in_the_app = True
        element = target.element_handle()
        for _ in range(MAX_TABS):
            way = self.page.evaluate(WAY_TO, element)
            if way == 0:
                return
            if way is None:
                element = target.element_handle()
            else:
                self._key("Tab" if way > 0 else "Shift+Tab")
        there = self.page.evaluate("document.activeElement.outerHTML.slice(0, 300)")
        raise AssertionError(f"{MAX_TABS} times Tab do not reach {target}; the keyboard is on {there}")

    def press(self, target: Any) -> None:
        """Press a button with Enter."""
        expect(target).to_be_enabled(timeout=LIMIT_MS)
        self.reach(target)
        self._key("Enter")

    def write(self, field: Any, text: str) -> None:
        """Replace the text of a field."""
        self.reach(field)
        self._type(text)

    def choose(self, select: Any, text: str) -> None:
        """Choose the first option that contains a text: Home, then the arrow down until it is chosen."""
        select.locator("option").filter(has_text=text).first.wait_for(state="attached")
        self.reach(select)
        self._key("Home")
        for _ in range(select.locator("option").count()):
            if text in select.evaluate(CHOSEN):
                return
            self._key("ArrowDown")
        raise AssertionError(f"{select} has no option {text}; chosen is {select.evaluate(CHOSEN)}")

    def tick(self, box: Any, *, up_to_here: bool = False) -> None:
        """Tick a row with Space, or with Shift+Space all rows from the last ticked one to this one."""
        self.reach(box)
        self._key("Shift+Space" if up_to_here else "Space")

    def open_row(self, label: str) -> None:
        """Open the dialog of a row: Enter in its box, or on its name where rows have no box."""
        row = self.page.locator(".lcnb-grid tbody tr:visible", has_text=label).first
        self.reach(row.locator("input, .lcnb-open").first)
        self._key("Enter")

    def leave_dialog(self, dialog: Any) -> None:
        """Close the dialog with Escape; an event after that moves the keyboard back to its row."""
        self._key("Escape")
        self.page.wait_for_function(IS_IN_THE_TABLE)

    def _key(self, key: str) -> None:
        self.page.keyboard.press(key)
        self.keys += 1


class Day:
    """The steps, in order. Each is a method whose docstring says what the operator does."""

    def __init__(self, front: Front, hand: Mouse, axe: Path) -> None:
        self.front, self.hand, self.page, self.axe = front, hand, hand.page, axe
        self.new = f"day-{hand.name}"
        self.guarded = "cache-01" if hand.name == "mouse" else "cache-02"
        self.act_form = self.page.locator(".lcnb-form-act")
        self.facts_form = self.page.locator(".lcnb-form-facts")
        self.create_form = self.page.locator(".lcnb-form-create")
        self.before = len(front.writes())

    # --- parts of the page -------------------------------------------------------------------------------

    def button(self, name: str, inside: Any = None) -> Any:
        return (
            (inside or self.page)
            .get_by_role("button", name=name, exact=True)
            .and_(self.page.locator(":visible"))
        )

    @property
    def grid(self) -> Any:
        return self.page.locator(".lcnb-grid:visible").first

    def labels(self) -> list[str]:
        found: list[str] = self.grid.locator("tbody th .lcnb-open").all_inner_texts()
        return found

    def box(self, label: str) -> Any:
        return self.page.get_by_label(f"tick {label}", exact=True)

    def search(self, text: str) -> None:
        self.hand.write(self.grid.get_by_label("Filter", exact=True), text)

    def menu(self, title: str) -> Any:
        return self.grid.get_by_label(f"Filter by {title}", exact=True)

    def expect_count(self, text: str) -> None:
        expect(self.grid.locator(".lcnb-grid-count")).to_contain_text(text, timeout=LIMIT_MS)

    def select_only(self, text: str) -> list[str]:
        """Untick everything, search a text, and tick all rows that are shown; return their labels."""
        everything = self.page.get_by_label("tick all rows shown", exact=True)
        everything.wait_for()
        none = self.button("Untick all")
        if none.count() and none.is_enabled():
            self.hand.press(none)
        self.search(text)
        self.hand.tick(everything)
        expect(everything).to_be_checked(timeout=LIMIT_MS)
        return self.labels()

    def begin_anew(self, form: Any, first: str, again: str) -> None:
        """Leave the result of the last time, if the form shows one, until its first field has the keyboard."""
        self.button(first, form).or_(self.button(again, form)).first.wait_for()
        if (button := self.button(again, form)).count():
            self.hand.press(button)
            field = form.locator("input:visible, select:visible, textarea:visible").first
            expect(field).to_be_focused(timeout=LIMIT_MS)

    def open_form(self, action: str, first: Any) -> None:
        """Press an action of the bar, and wait until its form has the keyboard in its first field."""
        self.hand.press(self.button(action))
        expect(first).to_be_focused(timeout=LIMIT_MS)

    def until_asked(self, form: Any) -> None:
        """Wait until a form asks for confirmation: its safe button has the keyboard then."""
        expect(self.button("Back", form)).to_be_focused(timeout=LIMIT_MS)

    def confirm(self, form: Any, yes: str | re.Pattern[str], typed: str = "") -> None:
        """Confirm the changes, with a label where the form asks for one, and wait for the end."""
        self.until_asked(form)
        if typed:
            self.hand.write(form.get_by_label("Type to confirm", exact=True), typed)
        self.hand.press(form.get_by_role("button", name=yes, exact=isinstance(yes, str)))
        ended(form)
        self.until_over(form)

    def until_over(self, form: Any) -> None:
        """Wait until a form that has ended offers another beginning: that button has the keyboard then."""
        again = self.button("Start over", form).or_(self.button("Back to the form", form))
        expect(again).to_be_focused(timeout=LIMIT_MS)

    def save_facts(self, message: str, **fields: str) -> None:
        """Open the form for facts of the ticked machines, fill it in, save and close it."""
        self.open_form("Tags and facts …", self.facts_form.get_by_label("Add tags", exact=True))
        for name, text in fields.items():
            label = name.replace("_", " ")
            field = self.facts_form.get_by_label(label, exact=True)
            (self.hand.choose if label == "Protection" else self.hand.write)(field, text)
        self.hand.press(self.button("Save", self.facts_form))
        self.facts_form.get_by_text(message).wait_for()
        self.until_over(self.facts_form)
        self.hand.press(self.button("Close", self.facts_form))

    def written(self) -> list[str]:
        """What was sent since the step before, with labels in place of identifiers."""
        names = {each["identifier"]: each["label"] for each in self.front.machines()}
        new = self.front.writes()[self.before :]
        self.before += len(new)
        return sorted(
            re.sub(r"(?<=instances/)\w+", lambda found: names.get(found[0], "gone"), each) for each in new
        )

    def expect_accessible(self) -> None:
        """Expect that axe finds nothing. By keyboard the same pages are shown, so the day by mouse is enough."""
        if isinstance(self.hand, Keyboard):
            return
        if not self.page.evaluate("'axe' in window"):
            self.page.add_script_tag(path=str(self.axe))
        root = ".lcnb-admin" if self.front.kind == "lab" else None
        assert self.page.evaluate(RUN_AXE, root) == []

    # --- the day -----------------------------------------------------------------------------------------

    def open_page(self) -> None:
        """1. Open the page: all machines are listed."""
        self.hand.press(self.button("Machines"))
        self.expect_count("60 rows")

    def read_header(self) -> None:
        """2. Read which account it is, and what it costs."""
        expect(self.page.locator(".lcnb-head")).to_contain_text("SANDBOX", timeout=LIMIT_MS)
        expect(self.page.get_by_text("USD per month").first).to_be_visible(timeout=LIMIT_MS)
        self.expect_accessible()

    def search_machines(self) -> None:
        """3. Search by two words."""
        self.search("web 2,048")
        assert self.labels()
        assert all(each.startswith("web-") for each in self.labels())

    def filter_state(self) -> None:
        """4. Keep the machines that run."""
        self.search("")
        self.hand.choose(self.menu("state"), "running – ")
        states = set(self.grid.locator("tbody tr").locator("td:nth-child(3)").all_inner_texts())
        assert states == {"running"}

    def filter_location(self) -> None:
        """5. Keep those in MIA1."""
        self.hand.choose(self.menu("location"), "MIA1 – ")
        self.expect_count(" of 6")
        places = set(self.grid.locator("tbody tr").locator("td:nth-child(4)").all_inner_texts())
        assert places == {"MIA1"}

    def filter_plan(self) -> None:
        """6. Keep those of one plan, then clear all filters."""
        before = len(self.labels())
        self.hand.choose(self.menu("plan"), "2vcpu-4gb-30ssd – ")
        assert 0 < len(self.labels()) < before
        self.hand.press(self.button("Clear filters"))
        self.expect_count("60 rows")

    def sort_by_price(self) -> None:
        """7. Sort by price, the dearest first."""
        title = self.grid.locator("thead").get_by_role("button", name="per month")
        self.hand.press(title)
        expect(title.locator("xpath=..")).to_have_attribute("aria-sort", "ascending")
        self.hand.press(title)
        expect(title.locator("xpath=..")).to_have_attribute("aria-sort", "descending")

    def open_machine(self) -> None:
        """8. Open a machine and read what is known about it."""
        self.search("web-01")
        self.hand.open_row("web-01")
        self.dialog = self.page.get_by_role("dialog", name="web-01")
        self.dialog.get_by_role("heading", name="Snapshots", exact=True).wait_for()
        self.expect_accessible()

    def copy_ssh(self) -> None:
        """9. Copy the ssh command and close the dialog."""
        self.hand.press(self.button("Copy SSH", self.dialog))
        self.dialog.get_by_text("Copied: ssh root@").wait_for()
        assert self.page.evaluate("navigator.clipboard.readText()").startswith("ssh root@")
        self.hand.leave_dialog(self.dialog)
        expect(self.dialog).to_be_hidden(timeout=LIMIT_MS)

    def tick_range(self) -> None:
        """10. Tick three rows with two ticks."""
        self.search("api-")
        first, _, last = self.labels()[:3]
        self.hand.tick(self.box(first))
        self.hand.tick(self.box(last), up_to_here=True)
        self.expect_count("3 ticked")
        expect(self.page.locator(".lcnb-bar-text:visible")).to_contain_text("per month")
        self.expect_accessible()

    def power_off(self) -> None:
        """11. Power off all ci- machines in MIA1."""
        assert sorted(self.select_only("ci- MIA1")) == CI_MACHINES
        self.hand.press(self.button("Power off"))
        self.confirm(self.act_form, "Yes, power off 2")
        assert self.written() == [f"PUT instances/{each}/power-off" for each in CI_MACHINES]

    def make_snapshots(self) -> None:
        """12. Snapshot the databases."""
        chosen = self.select_only("db-0")
        self.hand.press(self.button("Snapshot …"))
        self.hand.write(
            self.act_form.get_by_label("Snapshot label", exact=True), f"{{label}} {self.hand.name}"
        )
        self.hand.press(self.button("Review …", self.act_form))
        self.confirm(self.act_form, f"Yes, create {len(chosen)}")
        assert self.written() == sorted(f"POST instances/{each}/snapshots" for each in chosen)

    def protect_machine(self) -> None:
        """13. Protect a machine."""
        assert self.select_only(self.guarded) == [self.guarded]
        self.save_facts("Saved for 1 machine: protection.", Protection="protect")
        self.page.locator("tr.picked .lcnb-shield").wait_for()

    def refuse_delete(self) -> None:
        """14. Try to delete it: the bar says why that is refused."""
        delete = self.button("Delete …")
        expect(delete).to_be_disabled(timeout=LIMIT_MS)
        expect(self.page.locator(".lcnb-bar-text:visible")).to_contain_text(f"{self.guarded} is protected.")
        self.expect_accessible()

    def set_expiry(self) -> None:
        """15. Let it expire in a week."""
        self.save_facts("Saved for 1 machine: expiry.", Expires="7d")
        self.grid.locator("tr.picked time").wait_for()

    def add_tag(self) -> None:
        """16. Tag it, and keep the machines with this tag."""
        tag = f"day={self.hand.name}"
        self.save_facts(f"Saved for 1 machine: tags added: {tag}.", Add_tags=tag)
        self.search("")
        self.hand.choose(self.menu("tag"), tag)
        assert self.labels() == [self.guarded]
        self.hand.press(self.button("Clear filters"))

    def preview_create(self) -> None:
        """17. Describe a new machine and read the preview with its price."""
        form = self.create_form
        self.hand.press(self.button("New machine"))
        self.begin_anew(form, "Review …", "Start over")
        self.hand.write(form.get_by_label("Label", exact=True), self.new)
        for name, option in (("Location", "MIA1"), ("Plan", "1 CPU, 1 GB"), ("Image", "Debian 12")):
            self.hand.choose(form.get_by_label(name, exact=True), option)
        self.hand.press(self.button("Review …", form))
        form.locator(".lcnb-panel").get_by_text("0.00 → 5.40 USD").wait_for()
        self.until_asked(form)
        self.expect_accessible()
        assert self.written() == []

    def create_machine(self) -> None:
        """18. Confirm it, and read how to log in and where the password is."""
        self.confirm(self.create_form, "Yes, create it")
        expect(self.create_form).to_contain_text("ssh root@")
        expect(self.create_form).to_contain_text(f"lcnb reveal {self.new}")
        self.expect_accessible()
        assert self.written() == ["POST instances"]

    def resize_machine(self) -> None:
        """19. Give it a larger plan after reading the price difference."""
        self.hand.press(self.button("Machines"))
        until_running(self.front, self.page, self.new)
        assert self.select_only(self.new) == [self.new]
        self.hand.press(self.button("Power off"))
        self.confirm(self.act_form, "Yes, power off")
        plan = self.act_form.get_by_label("New plan", exact=True)
        self.open_form("Change plan …", plan)
        self.hand.choose(plan, "(+4.60 USD)")
        self.hand.press(self.button("Review …", self.act_form))
        expect(self.act_form).to_contain_text("+4.60 USD", timeout=LIMIT_MS)
        self.confirm(self.act_form, "Yes, change plan")
        assert self.written() == [f"PUT instances/{self.new}/{each}" for each in ("change-plan", "power-off")]

    def reset_password(self) -> None:
        """20. Reset its root password, which asks for its label, and read how to see it."""
        self.open_form("Reset password …", self.act_form.get_by_label("Root password", exact=True))
        self.hand.press(self.button("Review …", self.act_form))
        self.confirm(self.act_form, re.compile("^Yes, reset"), self.new)
        expect(self.act_form).to_contain_text(f"lcnb reveal {self.new}")
        assert self.written() == [f"PUT instances/{self.new}/reset-password"]

    def leave_out_busy(self) -> None:
        """21. Reboot machines of which one is busy: leave it out by one press."""
        busy, *others = [
            each["label"] for each in self.front.machines()
            if each["label"].startswith("worker-") and each["booted"] and not each["locked"]
        ][:3]  # fmt: skip
        make_busy(self.front, busy)
        self.before += 1
        self.hand.press(self.button("Untick all"))
        self.search("worker-")
        for label in sorted((busy, *others)):
            self.hand.tick(self.box(label))
        self.hand.press(self.button("Reboot"))
        self.act_form.locator(".lcnb-refused td", has_text="an action is in progress").wait_for()
        self.expect_accessible()
        self.hand.press(self.button("Leave out 1 and continue", self.act_form))
        self.confirm(self.act_form, "Yes, reboot 2")
        assert self.written() == [f"PUT instances/{each}/reboot" for each in sorted(others)]

    def delete_machine(self) -> None:
        """22. Delete the new machine, which asks for its label."""
        self.select_only(self.new)
        self.hand.press(self.button("Delete …"))
        self.confirm(self.act_form, "Yes, delete it", self.new)
        self.grid.get_by_text(self.new, exact=True).wait_for(state="detached")
        assert self.written() == ["DELETE instances/gone"]
        self.hand.press(self.button("Close", self.act_form))

    def read_journal(self) -> None:
        """23. Look into the journal."""
        self.hand.press(self.button("Journal"))
        self.page.locator(".lcnb-table:visible td", has_text=self.new).first.wait_for()
        self.expect_accessible()

    def run_dry(self) -> None:
        """24. Run a runbook dry and read its plan."""
        self.hand.press(self.button("Runbooks"))
        self.hand.choose(self.page.get_by_label("Runbook", exact=True), "power_schedule – ")
        self.run_form = self.page.locator(".lcnb-form-run-power-schedule")
        self.begin_anew(self.run_form, "Dry run", "Back to the form")
        runs = any(each["label"] == "monitor-01" and each["booted"] for each in self.front.machines())
        self.power = "off" if runs else "on"
        self.hand.write(self.run_form.get_by_label("Selection", exact=True), "label == 'monitor-01'")
        self.hand.choose(self.run_form.get_by_label("Power", exact=True), self.power)
        self.hand.press(self.button("Dry run", self.run_form))
        self.until_asked(self.run_form)
        assert self.written() == []

    def apply_plan(self) -> None:
        """25. Apply the plan and open the report of the run."""
        self.confirm(self.run_form, "Apply")
        assert self.written() == [f"PUT instances/monitor-01/power-{self.power}"]
        self.expect_accessible()
        self.hand.open_row("power_schedule")
        dialog = self.page.get_by_role("dialog", name="power_schedule")
        dialog.frame_locator("iframe").get_by_role("heading", name="Power schedule").first.wait_for()
        self.hand.leave_dialog(dialog)
        expect(dialog).to_be_hidden(timeout=LIMIT_MS)

    def steps(self) -> list[Callable[[], None]]:
        """The 25 steps in order."""
        return [
            self.open_page, self.read_header, self.search_machines, self.filter_state, self.filter_location,
            self.filter_plan, self.sort_by_price, self.open_machine, self.copy_ssh, self.tick_range, self.power_off,
            self.make_snapshots, self.protect_machine, self.refuse_delete, self.set_expiry, self.add_tag,
            self.preview_create, self.create_machine, self.resize_machine, self.reset_password, self.leave_out_busy,
            self.delete_machine, self.read_journal, self.run_dry, self.apply_plan,
        ]  # fmt: skip


def until_running(front: Front, page: Any, label: str) -> None:
    """Wait until a new machine runs, which its building allows to change."""
    for _ in range(6000):
        if any(each["label"] == label and each["booted"] and not each["locked"] for each in front.machines()):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"{label} does not run")


def power_on(front: Front, label: str) -> None:
    """Power on a machine behind the page's back."""
    address = f"{front.sandbox.base_url}/instances/{identifier_of(front, label)}/power-on"
    urlopen(
        Request(address, json.dumps({}).encode(), {"api-token": TOKEN}, method="PUT"), timeout=600
    ).close()


@pytest.mark.parametrize("hand_type", [Mouse, Keyboard])
def test_day(front: Front, hand_type: type[Mouse], axe: Path) -> None:
    """The whole day works, each change is sent once, axe finds nothing (by mouse), no request leaves this machine."""
    page = front.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    hand = hand_type(page)
    if any(each["label"] in CI_MACHINES and not each["booted"] for each in front.machines()):
        for label in CI_MACHINES:  # after the other hand's day
            power_on(front, label)
        page.get_by_role("button", name="Machines", exact=True).click()
        untick_all(page)
        page.get_by_role("button", name="Refresh", exact=True).first.click()
    day = Day(front, hand, axe)
    steps = day.steps()
    assert len(steps) == 25
    for step in steps:
        clicks, keys, began = hand.clicks, hand.keys, monotonic()
        try:
            step()
        except BaseException as error:
            error.add_note(f"in the step: {step.__doc__}")
            raise
        effort = f"{hand.clicks - clicks} clicks, {hand.keys - keys} keys, {monotonic() - began:.1f} s"
        print(f"{step.__doc__} {effort}")
    assert front.abroad == []
