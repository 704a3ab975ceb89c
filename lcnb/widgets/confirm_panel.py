"""The lower half of a form: preview, confirmation, progress and result.

The panel shows the ChangeSet that will be sent, not a copy of it. One click sends once because the form returns
its `ApplyChanges` once; disabling the button would not stop a second click.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import ipywidgets as widgets

from lcnb.refused_machine import RefusedMachine
from lcnb.widgets.elements import make_button, set_visible
from lcnb.widgets.focus_mover import FocusMover
from lcnb.widgets.form import Form
from lcnb.widgets.form_effects import Effects
from lcnb.widgets.form_state import END_PHASES, FormState, Phase
from lcnb.widgets.input_field import InputField
from lcnb.widgets.refused_panel import notes_html

EventHandler = Callable[[Callable[[], Effects]], None]

#: Action of a change → the verb on the button.
_CONFIRM_VERBS = {
    "create instance": "create it",
    "create snapshot": "create it",
    "generate ssh key": "generate it",
    "add ssh key": "add it",
    "replace ssh key": "replace it",
    "rename snapshot": "rename it",
    "delete instance": "delete it",
    "delete ssh key": "delete it",
    "delete snapshot": "delete it",
}


class ConfirmPanel:
    """The lower half of a form, from the review on."""

    def __init__(self, form: Form, do: EventHandler, read_only: str = "") -> None:
        self.form = form
        #: The setting that makes the account read-only; then nothing can be confirmed.
        self._read_only = read_only
        self._phase: Phase | None = None
        self._html: dict[str, object] = {}
        #: What the changes do not contain, and why: next to the button that confirms.
        self.preview, self.notes, self.report = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.label = InputField(label="Type to confirm")
        self.yes, self.back = make_button("Yes"), make_button("Back")
        self.stop, self.resume, self.again = (
            make_button("Stop waiting"),
            make_button("Look again", "primary"),
            make_button("Start over"),
        )
        self.yes.tooltip = f"read-only: {read_only}" if read_only else ""
        self.label.on_answer(lambda text: do(lambda: form.type_challenge(text)))
        for each, event in (
            (self.yes, form.confirm), (self.back, form.back_to_fields), (self.stop, form.stop),
            (self.resume, form.resume), (self.again, form.start_over),
        ):  # fmt: skip
            each.on_click(lambda _, event=event: do(event))
        self.buttons = widgets.HBox(
            [self.yes, self.back, self.stop, self.resume, self.again],
            layout=widgets.Layout(flex_flow="row wrap", grid_gap="8px"),
        )
        self._focus = FocusMover(*self.buttons.children)
        parts = [self.preview, self.notes, self.label, self.report, self.buttons, self._focus]
        self.widget = widgets.VBox(parts)
        self.widget.add_class("lcnb-panel")

    def draw_contents(self, shown: FormState) -> None:
        """Draw preview, notes, report and question of a state; set only what differs."""
        phase = shown.phase
        self._set_html("preview", self.preview_key(shown), lambda: self.preview_html(shown))
        self._set_html(
            "notes",
            (phase, shown.changes, shown.left_out, shown.run),
            lambda: notes_html(*self.notes_of(shown)),
        )
        self._set_html(
            "report",
            (phase, shown.progress, shown.result is None, shown.changeset, shown.run),
            lambda: self.report_html(shown),
        )
        if phase is Phase.CONFIRM:
            self._show_question(shown)

    def render(self, shown: FormState) -> None:
        """Show what was drawn for a state, and move the keyboard to its safe button.

        The button comes into view where it stays, so what is above it is shown and hidden first. The other buttons are
        hidden after it has the keyboard, because a button that is hidden loses it.
        """
        phase = shown.phase
        set_visible(self.preview, phase in (Phase.CONFIRM, Phase.BUSY))
        set_visible(self.label, phase is Phase.CONFIRM and bool(shown.challenge))
        set_visible(self.report, phase is Phase.BUSY or phase in END_PHASES)
        phases: dict[Any, tuple[Phase, ...]] = {
            self.yes: (Phase.CONFIRM,), self.back: (Phase.CONFIRM,), self.stop: (Phase.BUSY,),
            self.resume: (Phase.UNKNOWN,), self.again: END_PHASES,
        }  # fmt: skip
        for button in phases:
            if phase in phases[button]:
                set_visible(button, True)
        set_visible(self.widget, phase in (Phase.CONFIRM, Phase.BUSY, *END_PHASES))
        if phase is not self._phase:
            self._focus_button(phase)
        for button in phases:
            set_visible(button, phase in phases[button])

    def yes_text(self, shown: FormState) -> str:
        """Return the text of the button that confirms."""
        return _confirm_text(shown)

    def preview_key(self, shown: FormState) -> object:
        """Return what the preview depends on; it is drawn again when this changes."""
        return shown.changes, shown.phase is Phase.BUSY

    def preview_html(self, shown: FormState) -> str:
        """Return the preview of the changes as HTML."""
        return _changes_html(shown)

    def notes_of(self, shown: FormState) -> tuple[Sequence[str], Sequence[RefusedMachine]]:
        """Return the notes of the changes, and the machines that were left out."""
        changes = shown.changes
        return (() if changes is None else changes.notes), shown.left_out

    def report_html(self, shown: FormState) -> str:
        """Return the progress, or the result, as HTML."""
        return _outcome_html(shown)

    def _set_html(self, name: str, key: object, text: Callable[[], str]) -> None:
        if self._html.get(name, self) is not key and self._html.get(name) != key:
            self._html[name] = key
            getattr(self, name).value = text()

    def _show_question(self, shown: FormState) -> None:
        text = self.yes_text(shown)
        if self.yes.description != text:
            self.yes.description = text
            self.yes.button_style = "danger" if shown.challenge else "primary"
        if shown.challenge:
            self.label.placeholder = shown.challenge
            if not shown.typed and self.label.value:
                self.label.value = ""
        locked = bool(self._read_only) or not shown.can_confirm
        if self.yes.disabled != locked:
            self.yes.disabled = locked

    def _focus_button(self, phase: Phase) -> None:
        """Move the keyboard focus to the safe button."""
        before, self._phase = self._phase, phase
        if phase is Phase.CONFIRM:
            self._focus.move_to(self.back)
        elif phase is Phase.BUSY:
            self._focus.move_to(self.stop)
        elif phase in END_PHASES and before is not None:
            self._focus.move_to(self.resume if phase is Phase.UNKNOWN else self.again)


def _confirm_text(shown: FormState) -> str:
    changes = list(shown.changes or ())
    actions = list(dict.fromkeys(each.action for each in changes))
    if len(actions) > 1:
        return f"Yes, make {len(changes)} changes"
    text = " ".join(_CONFIRM_VERBS.get(each, each) for each in actions)
    if len(changes) > 1:
        text = f"{text.removesuffix(' it')} {len(changes)}"
    return f"Yes, {text}"


def _changes_html(shown: FormState) -> str:
    if shown.changes is None:
        return ""
    busy = shown.phase is Phase.BUSY
    text = shown.changes.preview_html("in progress" if busy else "not applied", with_notes=False).replace(
        "<details ", "<details open ", 1 if len(shown.changes) < 4 else 0
    )
    if busy:
        return text
    if shown.challenge:
        text += (
            f'<p class="lcnb-danger">{escape(shown.changes.challenge_reason)} Type <b>{escape(shown.challenge)}</b> to '
            "confirm. Capitals count; spaces at the ends do not.</p>"
        )
    return text


def _outcome_html(shown: FormState) -> str:
    from lcnb.changes.outcomes_view import next_steps
    from lcnb.display.markup import Html
    from lcnb.display.panels import note
    from lcnb.display.tables import table

    if shown.phase is Phase.BUSY:
        ended, total, text = shown.progress
        return (
            f'<div class="lcnb-progress"><progress aria-label="progress"></progress> '
            f"<span>{ended} of {total} ended – {escape(text)}</span></div>"
        )
    if not shown.changeset:
        return ""
    parts = []
    if shown.result is not None and len(shown.result):
        names = ["action", "target", "outcome", "identifier", "detail", "tries"]
        parts.append(table(shown.result[names]))
        parts += map(note, next_steps(shown.result))
    text = (
        f'<p class="lcnb-journal">Recorded in the journal as ChangeSet <code>{escape(shown.changeset)}</code>; '
        "<code>lcnb journal</code> and <code>lc.journal()</code> show it.</p>"
    )
    return Html.joined([*parts, Html(text, "")], "")._repr_html_()
