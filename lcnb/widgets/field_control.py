"""One field of a form on the screen: shows the state of the field in its `InputField`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lcnb.widgets.form_fields import Choice, FormField
from lcnb.widgets.form_state import FormState
from lcnb.widgets.input_field import InputField


class FieldControl:
    """One field on the screen, in `.input`. `render` is idempotent and sets only what differs.

    It never resets text that a person is typing: the form counts how often it sets a value itself, and only a new count
    is taken over.
    """

    def __init__(
        self, field: FormField, on_change: Callable[[Any], None], on_secret: Callable[[str], None]
    ) -> None:
        self.field = field
        self._settings = 0
        self._choices: tuple[Choice, ...] | None = None
        self._loading = False
        value = "" if field.kind in ("rows", "secret") else field.default
        self.input = InputField(kind=field.kind, label=field.label, help=field.help, value=value)
        self.input.add_class("lcnb-field")
        self.input.add_class(f"lcnb-field-{field.name.replace('_', '-')}")
        if field.kind == "secret":
            self.input.on_secret(on_secret)
        else:
            self.input.on_answer(on_change)

    def render(self, shown: FormState) -> None:
        """Show the state of the field."""
        field, name = self.field, self.field.name
        display = "" if name in shown.asked else "none"
        if self.input.layout.display != display:
            self.input.layout.display = display
        self.input.error = shown.errors.get(name, "")
        if field.kind == "secret":
            count = shown.taken.get(name, 0)
            self.input.placeholder = f"{count} characters stored; type to replace" if count else ""
        elif field.kind == "rows":
            picked = len(shown.values[name])
            self.input.value = (
                f"{picked} ticked in the table" if picked else "none yet: tick them in the table"
            )
        else:
            if field.kind == "choice":
                self._render_choices(shown)
            elif field.kind == "suggest":
                self._render_suggestions(shown)
            count = shown.settings.get(name, 0)
            if count != self._settings:
                self._settings = count
                self.input.value = shown.values[name]

    def _render_suggestions(self, shown: FormState) -> None:
        """Offer suggestions. A browser compares each with the whole text, so it repeats the values typed before it."""
        name = self.field.name
        before = ""
        separator = self.field.separator
        if self.field.several and separator in shown.values[name]:
            before = shown.values[name].rpartition(separator)[0] + f"{separator} "
        taken = {each.strip() for each in before.split(separator)}
        found = [each.value for each in shown.choices.get(name, ()) if each.value not in taken]
        self.input.options = [[before + each, each] for each in found]

    def _render_choices(self, shown: FormState) -> None:
        name = self.field.name
        choices, loading = shown.choices.get(name, ()), name in shown.loading
        if (choices, loading) == (self._choices, self._loading):
            return
        self._choices, self._loading = choices, loading
        options = [[each.value, each.text] for each in choices]
        if "" not in {each.value for each in choices} and not self.field.default:
            options.insert(0, ["", self._empty_choice_text(shown)])
        value = shown.values[name]
        if value not in {each for each, _ in options}:  # its choices are still being read
            options.append([value, value])
        self.input.options = options
        self.input.value = value

    def _empty_choice_text(self, shown: FormState) -> str:
        """The text of the empty choice."""
        if self.field.name in shown.loading:
            return "reading …"
        if self.field.load is not None and self.field.name not in shown.choices:
            return "fill in the fields above first"
        return "choose …"
