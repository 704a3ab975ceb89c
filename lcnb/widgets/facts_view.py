"""The form for facts on the screen: its second step before a protection is lifted."""

from __future__ import annotations

from html import escape

from lcnb.shortening import name_first
from lcnb.widgets.confirm_panel import ConfirmPanel, EventHandler
from lcnb.widgets.facts_form import FactsForm
from lcnb.widgets.form import Form
from lcnb.widgets.form_state import FormState, Phase
from lcnb.widgets.form_view import FormView

#: Labels that a sentence names; of more machines it gives the number.
MAX_NAMED_MACHINES = 5


class FactsPanel(ConfirmPanel):
    """The lower half of the form for facts: the second step before a protection is lifted."""

    form: FactsForm

    def __init__(self, form: Form, do: EventHandler, read_only: str = "") -> None:
        super().__init__(form, do)  # a read-only account may have facts: they change nothing of it

    def preview_key(self, shown: FormState) -> object:
        """Return what the preview depends on."""
        return shown.phase, shown.values["machines"]

    def preview_html(self, shown: FormState) -> str:
        """Return what it means to lift the protection, as HTML."""
        if shown.phase is not Phase.CONFIRM:
            return ""
        labels = self.form.lifted_machines()
        if not labels:
            return "<p>None of the ticked machines was protected when the table was read.</p>"
        named = name_first(labels, MAX_NAMED_MACHINES)
        one = len(labels) == 1
        return (
            f'<p class="lcnb-danger">This lifts the protection of <b>{escape(named)}</b>. After that, people, '
            f"scripts and runbooks can power {'it' if one else 'them'} off, resize, reset and delete "
            f"{'it' if one else 'them'}.</p>"
        )

    def yes_text(self, shown: FormState) -> str:
        """Return the text of the button that lifts the protection."""
        return "Yes, lift the protection"

    def report_html(self, shown: FormState) -> str:
        """Return that the facts are being saved, as HTML."""
        if shown.phase is not Phase.BUSY:
            return ""
        return '<div class="lcnb-progress"><progress aria-label="progress"></progress> saving …</div>'


class FactsView(FormView):
    """The widgets of the form for facts."""

    panel_class = FactsPanel
