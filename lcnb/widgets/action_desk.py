"""The forms for the ticked machines, above the table: the bar of actions opens them."""

from __future__ import annotations

from collections.abc import Callable

from lcnb.widgets.elements import set_visible
from lcnb.widgets.fleet_table import FACTS_ACTION, FleetTable
from lcnb.widgets.form_state import END_PHASES, Phase
from lcnb.widgets.form_view import FormView

FORM_NAMES = ("act", FACTS_ACTION)
#: The fields of the form for changes that the table and the bar fill in.
GIVEN_FIELDS = {"machines", "action"}


class ActionDesk:
    """Shows one of the forms for the ticked machines, or none.

    The forms are made when the first machine is ticked, so that they are there when an action is pressed: a page
    creates new widgets slowly.
    """

    def __init__(self, table: FleetTable, form: Callable[[str], FormView]) -> None:
        self.table, self._form = table, form
        self._open = ""
        table.grid.observe(lambda change: self._tick(tuple(change["new"])), "selected")
        table.grid.on_press(self.press)

    def press(self, action: str) -> None:
        """Open the form of an action for the ticked machines.

        An action that asks for nothing more is reviewed at once.
        """
        self._tick(tuple(self.table.grid.selected))
        if not self.table.grid.selected:
            return
        view = self._show(FACTS_ACTION if action == FACTS_ACTION else "act")
        phase = view.form.shown.phase
        if phase in (Phase.BUSY, Phase.UNKNOWN):  # its own buttons say what to do next
            return
        view.handle_event(view.form.start_over if phase in END_PHASES else view.form.back_to_fields)
        if action == FACTS_ACTION:
            view.focus_field(skip=GIVEN_FIELDS)
            return
        view.handle_event(lambda: view.form.fill_in("action", action))
        if set(view.form.shown.asked) <= GIVEN_FIELDS:
            view.handle_event(view.form.review)
        else:
            view.focus_field(skip=GIVEN_FIELDS)

    def leave(self) -> None:
        """Close the open form. The keyboard goes to the table first: a button that is hidden would lose it."""
        self.table.grid.focus()
        self.close()

    def close(self) -> None:
        """Hide the open form and empty it.

        A form whose outcome is unknown stays as it is, and is shown again when an action is pressed.
        """
        if self._open:
            view, self._open = self._form(self._open), ""
            if view.form.shown.phase is not Phase.UNKNOWN:
                view.handle_event(view.form.start_over)
            set_visible(view.widget, False)

    def _show(self, name: str) -> FormView:
        """Show the form of this name and hide the others."""
        self._open = name
        for each in FORM_NAMES:
            set_visible(self._form(each).widget, each == name)
        return self._form(name)

    def _tick(self, identifiers: tuple[str, ...]) -> None:
        """Pass the ticked machines to the forms; without any, a form that is only being filled in is closed."""
        desk = self.table.desk
        if identifiers and not desk.children:
            self._add_forms()
        if not desk.children:
            return
        for name in FORM_NAMES:
            self._fill_machines(self._form(name), identifiers)
        if not identifiers and self._open and self._form(self._open).form.shown.phase is Phase.EDIT:
            self.close()

    def _add_forms(self) -> None:
        """Put the forms above the table, hidden, and read their choices."""
        views = [self._form(name) for name in FORM_NAMES]
        for view in views:
            set_visible(view.widget, False)
            view.start()
        self.table.desk.children = [view.widget for view in views]

    @staticmethod
    def _fill_machines(view: FormView, identifiers: tuple[str, ...]) -> None:
        view.handle_event(lambda: view.form.fill_in("machines", identifiers))
