"""One input of a form in Chromium, without a kernel: the widget's script with a model that records what it sends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("playwright")

from browser.conftest import LIMIT_MS
from browser.test_grid import MODEL
from lcnb.widgets.input_field import InputField

START = "window.stop = render({ model, el: document.getElementById('field') }); window.drawn = true;"
NAMES = [f"book-{number}" for number in range(9)]


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page with a list of choices; its timers wait until the test moves the clock."""
    one = browser.new_page()
    one.set_default_timeout(LIMIT_MS)
    one.clock.install()
    one.set_content('<div id="field"></div><button>Next</button>')
    values = {"kind": "choice", "label": "Runbook", "value": "", "options": [[each, each] for each in NAMES]}
    one.evaluate(MODEL, {**values, "placeholder": "", "help": "", "error": ""})
    one.add_script_tag(
        type="module", content=str(InputField._esm).replace("export default { render };", START)
    )
    one.wait_for_function("window.drawn")
    one.clock.pause_at(one.evaluate("Date.now() + 1000"))
    one.get_by_label("Runbook").select_option("book-0")
    one.evaluate("sent.length = 0")
    one.get_by_label("Runbook").focus()
    yield one
    one.close()


def answers(page: Any) -> list[str]:
    return [each["answer"] for each in page.evaluate("sent")]


def test_repeated_keys_make_one_choice(page: Any) -> None:
    """While arrow keys go through the options nothing is sent; the option at which they rest is."""
    for _ in range(5):
        page.keyboard.press("ArrowDown")
    page.evaluate("receive({ value: 'book-0', heard: {} })")  # what the kernel heard before
    assert (answers(page), page.get_by_label("Runbook").input_value()) == ([], "book-5")
    page.clock.run_for(400)
    assert answers(page) == ["book-5"]


@pytest.mark.parametrize("end", ["Enter", "Tab", "removed"])
def test_a_choice_is_never_lost(page: Any, end: str) -> None:
    """Enter, or leaving the field, sends the choice at once."""
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    if end == "removed":
        page.evaluate("stop()")
    else:
        page.keyboard.press(end)
    assert answers(page) == ["book-2"]
    page.clock.run_for(400)
    assert answers(page) == ["book-2"]


def test_a_choice_by_mouse_is_sent_at_once(page: Any) -> None:
    """What is chosen by mouse does not wait."""
    page.keyboard.press("ArrowDown")
    page.get_by_role("button", name="Next").focus()
    page.get_by_label("Runbook").dispatch_event("pointerdown")
    page.get_by_label("Runbook").select_option("book-7")
    assert answers(page) == ["book-1", "book-7"]
