"""A form on the screen: its fields, one status line and the panel.

The view has no logic: it passes events to the form, and `render` shows the state.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from html import escape
from typing import Any

import ipywidgets as widgets

from lcnb.widgets.confirm_panel import ConfirmPanel
from lcnb.widgets.elements import make_button, set_visible, status_html
from lcnb.widgets.field_control import FieldControl
from lcnb.widgets.focus_mover import FocusMover
from lcnb.widgets.form import Form
from lcnb.widgets.form_effects import Effects
from lcnb.widgets.form_messages import error_message
from lcnb.widgets.form_state import FormState, Phase
from lcnb.widgets.refused_panel import RefusedPanel
from lcnb.widgets.runner import Runner

logger = logging.getLogger("lcnb.widgets")


def _intro_html(form: Form) -> str:
    return f'<p class="lcnb-intro">{escape(form.spec.intro)}</p>' if form.spec.intro else ""


class FormView:
    """The widgets of one form, in `.widget`."""

    panel_class: type[ConfirmPanel] = ConfirmPanel

    def __init__(self, form: Form, runner: Runner, on_close: Callable[[], None] | None = None) -> None:
        self.form, self.runner = form, runner
        self.controls = [
            FieldControl(each, self._change_listener(each.name), self._secret_listener(each.name))
            for each in form.spec.fields
        ]
        self.review = make_button(form.spec.verb, "primary")
        self.cancel = make_button("Cancel")
        self.review.on_click(lambda _: self.handle_event(form.review))
        self.cancel.on_click(lambda _: self.handle_event(form.back_to_fields))
        self.status = widgets.HTML(status_html("", phase=Phase.EDIT))
        self.panel = self.panel_class(form, self.handle_event, runner.client.settings.read_only)
        self.refused = RefusedPanel(form, self.handle_event)
        # These buttons disappear when they are pressed: the keyboard goes on where a person continues.
        for each in (self.cancel, self.panel.back, self.refused.leave_out):
            each.on_click(lambda _: self._focus_review())
        self.panel.again.on_click(lambda _: self.focus_field())
        begin = widgets.HBox([self.review, self.cancel])
        begin.add_class("lcnb-begin")
        self.asking = widgets.VBox([
            *(each.input for each in self.controls),
            begin,
        ])  # fmt: skip
        self.asking.add_class("lcnb-asking")
        title = widgets.HTML(f'<h2 class="lcnb-title">{escape(form.spec.title)}</h2>{_intro_html(form)}')
        self.close = make_button("Close")
        self.close.layout.align_self = "flex-start"
        self._focus = FocusMover(self.review, *(each.input for each in self.controls))
        parts = [title, self.asking, self.status, self.refused.widget, self.panel.widget, self._focus]
        if on_close is not None:
            self.close.on_click(lambda _: on_close())
            parts.append(self.close)
        self.widget = widgets.VBox(parts)
        self.widget.add_class("lcnb-form")
        self.widget.add_class(f"lcnb-form-{form.spec.name.replace('_', '-')}")
        self._started = False
        form.subscribe(self.render)

    def start(self) -> None:
        """Read the choices of the form, the first time only."""
        if not self._started:
            self._started = True
            self.handle_event(self.form.start)

    def focus_field(self, skip: Collection[str] = ()) -> None:
        """Move the keyboard focus to the first visible field that a person fills in, except those of `skip`.

        Without such a field it moves to the button below the fields.
        """
        asked = self.form.shown.asked
        for each in self.controls:
            if each.field.name in asked and each.field.kind != "rows" and each.field.name not in skip:
                self._focus.move_to(each.input)
                return
        self._focus.move_to(self.review)

    def _focus_review(self) -> None:
        """Move the keyboard focus to the button that reviews, unless the form asks for something already."""
        shown = self.form.shown
        if shown.phase in (Phase.EDIT, Phase.LOADING) and not shown.refused:
            self._focus.move_to(self.review)

    def handle_event(self, event: Callable[[], Effects]) -> None:
        """Pass an event to the form and perform its effects. Errors are shown, because ipywidgets swallows them."""
        try:
            self.runner.run(self.form, event())
        except Exception as error:
            logger.exception("a form's callback failed")
            self.status.value = status_html(error_message(error), alert=True, phase=self.form.shown.phase)

    def render(self, shown: FormState) -> None:
        """Show a state of the form; set only what differs.

        The keyboard moves at last, when everything else is in its place, so that it moves at once with the new buttons.
        Only the buttons that had it are hidden after that.
        """
        for each in self.controls:
            each.render(shown)
        self.panel.draw_contents(shown)
        set_visible(self.asking, shown.phase in (Phase.EDIT, Phase.LOADING, Phase.CONFIRM))
        set_visible(self.close, shown.phase not in (Phase.LOADING, Phase.BUSY))
        for button, visible in (buttons := self._begin_buttons(shown)):
            if visible:
                set_visible(button, True)
        text = status_html(shown.notice, alert=shown.alert, phase=shown.phase)
        if self.status.value != text:
            self.status.value = text
        self.refused.render(shown)
        self.panel.render(shown)
        for button, visible in buttons:
            set_visible(button, visible)

    def _begin_buttons(self, shown: FormState) -> list[tuple[Any, bool]]:
        """Return the buttons below the fields, and whether each is visible."""
        phase = shown.phase
        return [(self.review, phase is not Phase.CONFIRM), (self.cancel, phase is Phase.LOADING)]

    def _change_listener(self, name: str) -> Callable[[Any], None]:
        return lambda value: self.handle_event(lambda: self.form.enter_value(name, value))

    def _secret_listener(self, name: str) -> Callable[[str], None]:
        return lambda text: self.handle_event(lambda: self.form.store_secret(name, text))
