"""A field as a control: a label, an input, and a line below it for help or for what is wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable
from html import escape
from typing import Any

import ipywidgets as widgets

from lcnb.widgets.choice import ChoiceBox
from lcnb.widgets.forms import Choice, Field, Shown
from lcnb.widgets.secretbox import SecretBox

_STYLE = {"description_width": "132px"}


def wide() -> widgets.Layout:
    """A layout of its own for each control: a shared one would hide all of them at once."""
    return widgets.Layout(width="100%", max_width="620px")


class Control:
    """One field on the screen. `render` is idempotent and sets only what differs.

    A text that somebody is typing is never set back: the form counts what it sets itself, and only a new
    count is taken over.
    """

    def __init__(self, field: Field, changed: Callable[[Any], None], typed: Callable[[str], None]) -> None:
        self.field = field
        self._changed = changed
        self._setting: int | None = None
        self._settings = 0
        self._choices: tuple[Choice, ...] | None = None
        self._loading = False
        self.input = self._input(typed)
        self.note = widgets.HTML()
        self.note.add_class("lcnb-hint")
        self.widget = widgets.VBox([self.input, self.note], layout=widgets.Layout(width="100%"))
        self.widget.add_class("lcnb-field")
        self.widget.add_class(f"lcnb-field-{field.name.replace('_', '-')}")

    def _input(self, typed: Callable[[str], None]) -> Any:
        field = self.field
        about = {"description": field.label, "style": _STYLE, "layout": wide()}
        if field.kind == "secret":
            box = SecretBox(label=field.label)
            box.on_secret(typed)
            return box
        if field.kind == "rows":
            return widgets.HTML()
        made: Any
        if field.kind == "flag":
            made = widgets.Checkbox(value=field.default, indent=True, **about)
        elif field.kind == "choice":
            made = ChoiceBox(label=field.label)
        elif field.kind == "suggest":
            made = widgets.Combobox(value=field.default, ensure_option=False, **about)
        elif field.kind == "area":
            made = widgets.Textarea(value=field.default, rows=3, **about)
        else:
            made = widgets.Text(value=field.default, **about)
        made.observe(self._observed, "value")
        return made

    def _observed(self, change: Any) -> None:
        if self._setting != threading.get_ident():  # not what `render` does itself
            self._changed(change["new"])

    def render(self, shown: Shown) -> None:
        """Show the field as the form has it."""
        name = self.field.name
        display = "" if name in shown.asked else "none"
        if self.widget.layout.display != display:
            self.widget.layout.display = display
        self._setting = threading.get_ident()
        try:
            self._render_input(shown)
        finally:
            self._setting = None
        text = shown.errors.get(name)
        help_ = f'<span class="lcnb-help">{escape(self.field.help)}</span>' if self.field.help else ""
        note = f'<span class="lcnb-bad" role="alert">{escape(text)}</span>' if text else help_
        if self.note.value != note:
            self.note.value = note

    def _render_input(self, shown: Shown) -> None:
        field, name = self.field, self.field.name
        if field.kind == "secret":
            self.input.taken = shown.taken.get(name, 0)
        elif field.kind == "rows":
            self.input.value = _rows(field, shown.values[name])
        else:
            if field.kind == "choice":
                self._render_choices(shown)
            elif field.kind == "suggest":
                self._render_suggestions(shown)
            count = shown.settings.get(name, 0)
            if count != self._settings:
                self._settings = count
                self.input.value = shown.values[name]

    def _render_suggestions(self, shown: Shown) -> None:
        """Of several, each proposal is what is there with one more: a browser proposes for the whole text."""
        name = self.field.name
        before = ""
        if self.field.several and "," in shown.values[name]:
            before = shown.values[name].rpartition(",")[0] + ", "
        taken = {each.strip() for each in before.split(",")}
        found = (each.value for each in shown.choices.get(name, ()) if each.value not in taken)
        options = tuple(before + each for each in found)
        if self.input.options != options:
            self.input.options = options

    def _render_choices(self, shown: Shown) -> None:
        name = self.field.name
        choices, loading = shown.choices.get(name, ()), name in shown.loading
        if (choices, loading) == (self._choices, self._loading):
            return
        self._choices, self._loading = choices, loading
        options = [[each.value, each.text] for each in choices]
        if loading:
            first = "reading …"
        elif self.field.load is not None and name not in shown.choices:
            first = "choose what is above first"
        else:
            first = "choose …"
        if "" not in {each.value for each in choices} and not self.field.default:
            options.insert(0, ["", first])
        value = shown.values[name]
        if value not in {each for each, _ in options}:  # its choices are still on their way
            options.append([value, value])
        self.input.options = options
        self.input.value = value


def _rows(field: Field, labels: Any) -> str:
    picked = len(labels)
    text = "none yet: tick them in the table" if not picked else f"{picked} ticked in the table"
    return f'<div class="lcnb-rows"><span>{escape(field.label)}</span><b>{escape(text)}</b></div>'
