"""The table of machines reads itself again while something changes; time and waiting are moved by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

import lcnb
from conftest import HandClock
from lcnb.sandbox import Sandbox
from lcnb.sandbox.faults import Faults
from lcnb.widgets.admin_app import AdminApp
from lcnb.widgets.auto_refresh import (
    INTERVAL_S,
    MAX_INTERVAL_S,
    MAX_SAME_S,
    AutoRefresh,
    call_later,
    call_never,
)
from lcnb.widgets.form_state import Phase
from lcnb.widgets.runner import Runner, run_in_thread, run_inline


@dataclass
class Waiting:
    """What waits, by hand: at most one reading, of which the seconds are known."""

    clock: HandClock = field(default_factory=HandClock)
    planned: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    def __call__(self, seconds: float, work: Callable[[], None]) -> Callable[[], None]:
        entry = (seconds, work)
        self.planned.append(entry)
        return lambda: self.planned.remove(entry) if entry in self.planned else None

    def fire(self) -> float:
        """Let the time of the planned reading come; return how long it took."""
        ((seconds, work),) = self.planned
        self.planned.clear()
        self.clock.now += seconds
        work()
        return seconds


@pytest.fixture
def waiting() -> Waiting:
    return Waiting()


def test_stops_when_nothing_changes(waiting: Waiting) -> None:
    """A reading is planned while something changes; at most one, and none when nothing changes any more."""
    auto = AutoRefresh(lambda: None, waiting, waiting.clock)
    assert auto.after_reading(changing=False, same=True) == ""
    assert waiting.planned == []
    auto.after_reading(changing=True, same=False)
    assert auto.after_reading(changing=True, same=True) == "refreshes every 10 s while machines are changing"
    assert [seconds for seconds, _ in waiting.planned] == [INTERVAL_S]
    auto.after_reading(changing=False, same=False)
    assert waiting.planned == []


def test_stuck(waiting: Waiting) -> None:
    """After 15 minutes without any difference it stops and says so; a difference or a change of ours starts it again."""
    auto = AutoRefresh(lambda: None, waiting, waiting.clock)
    auto.after_reading(changing=True, same=False)
    waiting.clock.now += MAX_SAME_S
    assert "nothing was different for 15 min" in auto.after_reading(changing=True, same=True)
    assert waiting.planned == []
    auto.after_change()
    assert len(waiting.planned) == 1
    auto.after_reading(changing=True, same=True)
    assert len(waiting.planned) == 1


def test_errors(waiting: Waiting) -> None:
    """After errors it waits longer each time, within a limit; without something that changes it does not try again."""
    auto = AutoRefresh(lambda: None, waiting, waiting.clock)
    waits = []
    for _ in range(7):
        auto.after_error(changing=True)
        waits.append(waiting.planned[0][0])
    assert waits == [20, 40, 80, 160, MAX_INTERVAL_S, MAX_INTERVAL_S, MAX_INTERVAL_S]
    auto.after_reading(changing=True, same=False)
    assert waiting.planned[0][0] == INTERVAL_S
    assert auto.after_error(changing=False) == ""
    assert waiting.planned == []


def test_budget(waiting: Waiting) -> None:
    """The rate budget makes the interval longer, after an error too."""
    auto = AutoRefresh(lambda: None, waiting, waiting.clock)
    assert "every 45 s" in auto.after_reading(changing=True, same=False, least_s=45)
    assert waiting.planned[0][0] == 45
    auto.after_error(changing=True, least_s=600)
    assert waiting.planned[0][0] == 600


def test_waiting_in_threads() -> None:
    """A page waits in threads; where everything is inline, nothing happens by itself."""
    done: list[int] = []
    cancel = call_later(3600, lambda: done.append(1))
    cancel()
    call_never(0, lambda: done.append(2))()
    assert done == []
    client: Any = None
    assert Runner(client, run_in_thread).later is call_later
    assert Runner(client, run_inline).later is call_never


# --- the table ------------------------------------------------------------------------------------------


@dataclass
class Page:
    sandbox: Sandbox
    lc: lcnb.LetsCloud
    app: AdminApp
    waiting: Waiting

    def set_flags(self, label: str, **flags: bool) -> None:
        found = next(each for each in self.sandbox.world.machines if each["label"] == label)
        found.update(flags)

    def states(self) -> dict[str, str]:
        return {row["label"]: row["state"] for row in self.app.fleet.grid.rows}

    def note(self) -> str:
        return str(self.app.fleet.grid.reading["note"])


@pytest.fixture
def page(small_account: tuple[Sandbox, lcnb.LetsCloud], waiting: Waiting) -> Page:
    sandbox, lc = small_account
    return Page(sandbox, lc, AdminApp(lc, run_inline, waiting), waiting)


def test_follows_a_busy_machine(page: Page) -> None:
    """While a machine is busy the table is read again; ticks stay, nothing says "reading", and then it stops."""
    assert page.waiting.planned == []
    assert page.note() == ""
    page.set_flags("web-01", locked=True)
    page.app.fleet.refresh()
    assert page.states()["web-01"] == "busy"
    assert "while machines are changing" in page.note()
    page.app.fleet.grid.selected = [page.app.fleet.grid.rows[0]["identifier"]]
    texts: list[str] = []
    page.app.fleet.status.observe(lambda change: texts.append(change["new"]), "value")
    read_at = page.app.fleet.grid.reading["at"]
    assert page.waiting.fire() == INTERVAL_S
    assert page.app.fleet.grid.reading["at"] > read_at
    page.set_flags("web-01", locked=False)
    page.waiting.fire()
    assert page.states()["web-01"] == "running"
    assert (page.waiting.planned, page.note(), texts) == ([], "", [])
    assert page.app.fleet.grid.selected == [page.app.fleet.grid.rows[0]["identifier"]]


def test_a_review_stays(page: Page) -> None:
    """A form that waits for its confirmation stays as it is while the table is read again."""
    page.set_flags("web-01", locked=True)
    page.app.fleet.refresh()
    found = next(row["identifier"] for row in page.app.fleet.grid.rows if row["state"] == "running")
    page.app.fleet.grid.selected = [found]
    page.app.fleet.grid._handle_custom_msg({"press": "power_off"}, [])
    form = page.app.form("act").form
    before = form.shown
    assert before.phase is Phase.CONFIRM
    page.set_flags("web-01", locked=False)
    page.waiting.fire()
    assert form.shown is before


def test_follows_our_change(page: Page) -> None:
    """A change of the page that is being applied is followed from its beginning to its end."""
    found = next(row["identifier"] for row in page.app.fleet.grid.rows if row["state"] == "running")
    page.app.fleet.grid.selected = [found]
    page.app.fleet.grid._handle_custom_msg({"press": "power_off"}, [])
    view, seen = page.app.form("act"), []
    view.form.subscribe(
        lambda shown: seen.append((shown.phase, page.app.runner.is_changing, len(page.waiting.planned)))
    )
    view.handle_event(view.form.confirm)
    assert (Phase.BUSY, True, 1) in seen
    assert not page.app.runner.is_changing
    assert view.form.shown.phase is Phase.DONE


def test_an_error_is_tried_again(page: Page) -> None:
    """An error while something changes is shown with the time of the next attempt, and is gone after that."""
    page.set_flags("web-01", locked=True)
    page.app.fleet.refresh()
    page.sandbox.faults = Faults([{"kind": "html", "path": "^/instances$", "status": 403}])
    page.waiting.fire()
    assert "next attempt in 20 s" in page.app.fleet.status.value
    assert page.states()["web-01"] == "busy"
    page.sandbox.faults = Faults()
    assert page.waiting.fire() == 20
    assert "attempt" not in page.app.fleet.status.value
    assert "every 10 s" in page.note()
