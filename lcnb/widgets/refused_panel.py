"""The machines that a review refused, each with its reason, and the button that leaves them out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from html import escape

import ipywidgets as widgets

from lcnb.changes.refusals import LeftOut
from lcnb.refused_machine import RefusedMachine
from lcnb.widgets.elements import make_button, set_visible
from lcnb.widgets.focus_mover import FocusMover
from lcnb.widgets.form import Form
from lcnb.widgets.form_effects import Effects
from lcnb.widgets.form_state import FormState

#: Notes that are visible; more can be opened.
MAX_VISIBLE_NOTES = 8


class RefusedPanel:
    """The list of refused machines, in `.widget`; hidden while there are none."""

    def __init__(self, form: Form, do: Callable[[Callable[[], Effects]], None]) -> None:
        self.form = form
        self._shown: tuple[RefusedMachine, ...] = ()
        self.listing = widgets.HTML()
        self.leave_out = make_button("Leave out", "primary")
        self.leave_out.layout.align_self = "flex-start"
        self.leave_out.on_click(lambda _: do(form.leave_out))
        self._focus = FocusMover(self.leave_out)
        self.widget = widgets.VBox([self.listing, self.leave_out, self._focus])
        self.widget.add_class("lcnb-panel")
        self.widget.add_class("lcnb-refused")
        set_visible(self.widget, False)

    def render(self, shown: FormState) -> None:
        """Show the refused machines of a state; set only what differs."""
        if shown.refused == self._shown:
            return
        self._shown = shown.refused
        self.listing.value = refused_html(shown.refused)
        left = bool(shown.refused) and bool(self.form.remaining_machines())
        if left:
            self.leave_out.description = f"Leave out {len(shown.refused)} and continue"
        set_visible(self.leave_out, left)
        set_visible(self.widget, bool(shown.refused))
        if left:
            self._focus.move_to(self.leave_out)


def refused_html(refused: Sequence[RefusedMachine]) -> str:
    """Return machines and the reasons why they cannot be changed now as a table in HTML."""
    import pandas as pd

    from lcnb.display.tables import table

    count = Counter(each.name for each in refused)
    names = [each.name if count[each.name] == 1 else f"{each.name} ({each.identifier})" for each in refused]
    reasons = [each.reason for each in refused]
    frame = pd.DataFrame({"machine": names, "why it cannot be changed now": reasons}, dtype="str")
    return table(frame, empty="")._repr_html_() if refused else ""


def notes_html(notes: Sequence[str], left_out: Sequence[RefusedMachine] = ()) -> str:
    """Return what changes do not contain, and why, as HTML; "" if there is nothing to say."""
    lines = [*map(str, notes), *(LeftOut(each) for each in left_out)]
    if not lines:
        return ""
    first, more = (
        "".join(f"<li>{escape(line)}</li>" for line in part)
        for part in (lines[:MAX_VISIBLE_NOTES], lines[MAX_VISIBLE_NOTES:])
    )
    hidden = (
        f"<details><summary>{len(lines) - MAX_VISIBLE_NOTES} more</summary><ul>{more}</ul></details>"
        if more
        else ""
    )
    return f'<div class="lcnb-not-changed"><b>Not changed</b><ul>{first}</ul>{hidden}</div>'
