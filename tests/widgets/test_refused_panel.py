"""Machines that cannot be changed now: the form lists all of them, and one click leaves them out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import lcnb
from lcnb.refused_machine import RefusedMachine
from lcnb.sandbox import Sandbox
from lcnb.widgets.admin_app import AdminApp
from lcnb.widgets.form import Form
from lcnb.widgets.form_state import Phase
from lcnb.widgets.form_view import FormView
from lcnb.widgets.refused_panel import MAX_VISIBLE_NOTES, notes_html, refused_html
from lcnb.widgets.runner import run_inline

LABELS = ("web-01", "api-01", "web-02", "api-02")


class Page:
    """The app of six machines, inline, and their sandbox."""

    def __init__(self, sandbox: Sandbox, lc: lcnb.LetsCloud) -> None:
        self.sandbox, self.lc = sandbox, lc
        self.app = AdminApp(lc, run_inline)

    def identifier(self, label: str) -> str:
        found: str = self.lc.instance(label=label).identifier  # type: ignore[assignment]
        return found

    def set_flags(self, label: str, **flags: bool) -> None:
        self.sandbox.world.machine(self.identifier(label)).update(flags)

    def press(self, action: str, *labels: str) -> FormView:
        """Tick these machines and press an action of the bar."""
        self.app.fleet.grid.selected = [self.identifier(each) for each in labels]
        self.app.fleet.grid._handle_custom_msg({"press": action}, [])
        return self.app.form("act")

    def writes(self) -> int:
        return len(self.lc.journal())


@pytest.fixture
def page(small_account: tuple[Sandbox, lcnb.LetsCloud]) -> Page:
    return Page(*small_account)


def click(widget: Any) -> None:
    widget._click_handlers(widget)


def running(page: Page) -> list[str]:
    fleet = page.lc.instances()
    return list(fleet[fleet.state == "running"].label)


def test_left_out(page: Page) -> None:
    """All refused machines are listed with their reasons; one click reviews the others, which are the ones changed."""
    labels = running(page)
    page.set_flags(labels[0], locked=True)
    page.set_flags(labels[1], built=False)
    view = page.press("reboot", *labels)
    assert view.form.shown.phase is Phase.EDIT
    assert view.form.shown.notice == f"2 of {len(labels)} machines cannot be changed now. Nothing was sent."
    for text in (labels[0], "an action is in progress", labels[1], "still being built"):
        assert text in view.refused.listing.value
    assert view.refused.leave_out.description == "Leave out 2 and continue"
    click(view.refused.leave_out)
    shown = view.form.shown
    assert shown.phase is Phase.CONFIRM
    assert [each.target for each in shown.changes or ()] == labels[2:]
    assert f"{labels[0]} was left out" in view.panel.notes.value
    assert set(page.app.fleet.grid.selected) == {page.identifier(each) for each in labels}
    assert page.writes() == 0
    click(view.panel.yes)
    assert set(page.lc.journal().target) == set(labels[2:])
    assert f"{labels[1]} was left out" in view.panel.notes.value


def test_protected_is_left_out(page: Page) -> None:
    """A machine that was protected meanwhile is listed too, and can only be left out."""
    first, second = running(page)[:2]
    page.press("reboot", first)
    page.lc.protect(first)
    view = page.press("power_off", first, second)
    assert [each.kind for each in view.form.shown.refused] == ["protected"]
    click(view.refused.leave_out)
    assert [each.target for each in view.form.shown.changes or ()] == [second]


def test_another_is_refused_meanwhile(page: Page) -> None:
    """A machine that gets busy after the first click is listed next; both are left out."""
    first, second, third = running(page)[:3]
    page.set_flags(first, locked=True)
    view = page.press("reboot", first, second, third)
    page.set_flags(second, locked=True)
    click(view.refused.leave_out)
    assert [each.label for each in view.form.shown.refused] == [second]
    click(view.refused.leave_out)
    assert [each.target for each in view.form.shown.changes or ()] == [third]


def test_nothing_remains(page: Page) -> None:
    """When no machine can be changed there is no button, and the event does nothing; one machine gives a sentence."""
    first, second = running(page)[:2]
    page.set_flags(first, locked=True)
    page.set_flags(second, locked=True)
    view = page.press("reboot", first, second)
    assert view.form.shown.notice == "No machine can be changed now. Nothing was sent."
    assert view.refused.leave_out.layout.display == "none"
    assert view.form.leave_out() == ()
    view = page.press("reboot", first)
    assert view.form.shown.refused == ()
    assert f"{first} cannot be changed now: busy" in view.form.shown.notice


@pytest.mark.parametrize("event", ["review", "tick", "back_to_fields", "start_over"])
def test_left_out_ends(page: Page, event: str) -> None:
    """What was left out is left out of one review only: a new review, another tick or a step back counts all machines."""
    labels = running(page)[:3]
    page.set_flags(labels[0], locked=True)
    view = page.press("reboot", *labels)
    if event == "review":
        click(view.refused.leave_out)
        view.handle_event(view.form.back_to_fields)
        view.handle_event(view.form.review)
        assert [each.label for each in view.form.shown.refused] == labels[:1]
        return
    click(view.refused.leave_out)
    events: dict[str, Callable[[], Any]] = {
        "tick": lambda: setattr(
            page.app.fleet.grid, "selected", [page.identifier(each) for each in labels[:2]]
        ),
        "back_to_fields": lambda: view.handle_event(view.form.back_to_fields),
        "start_over": lambda: view.handle_event(view.form.start_over),
    }
    events[event]()
    assert view.form.shown.left_out == ()
    assert view.form.confirm() == ()


def test_notes() -> None:
    """Notes are escaped; the first ones are visible, more can be opened."""
    assert notes_html(()) == ""
    machines = [
        RefusedMachine(f"<b>{number}", str(number), "busy", "busy") for number in range(MAX_VISIBLE_NOTES)
    ]
    text = notes_html(["web-01 is off already"], machines)
    assert "<li>web-01 is off already</li><li>&lt;b&gt;0 was left out: busy</li>" in text
    assert "<summary>1 more</summary>" in text
    assert "<b>0" not in text


def test_twins() -> None:
    """Machines are listed by label; those that share one have their identifiers as well."""
    twins = [
        RefusedMachine(label, str(number), "busy", "busy") for number, label in enumerate(("a", "a", "b"))
    ]
    text = refused_html(twins)
    assert all(f"<td>{each}</td>" in text for each in ("a (0)", "a (1)", "b"))
    assert refused_html(()) == ""


def test_forms_without_machines() -> None:
    """A form without a field of machines has none to leave out."""
    from lcnb.widgets.form_specs import SPECS_BY_NAME

    form = Form(SPECS_BY_NAME["create"])
    assert form.remaining_machines() == ()
    assert form.leave_out() == ()
