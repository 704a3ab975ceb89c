"""A field as a control: what the form knows of it, set on its `Answer`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lcnb.widgets.form_fields import Choice, FormField
from lcnb.widgets.form_state import FormState
from lcnb.widgets.input_field import InputField


class FieldControl:
    """One field on the screen, in `.input`. `render` is idempotent and sets only what differs.

    A text that somebody is typing is never set back: the form counts what it sets itself, and only a new
    count is taken over.
    """

    def __init__(
        self, field: FormField, changed: Callable[[Any], None], typed: Callable[[str], None]
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
            self.input.on_secret(typed)
        else:
            self.input.on_answer(changed)

    def render(self, shown: FormState) -> None:
        """Show the field as the form has it."""
        field, name = self.field, self.field.name
        display = "" if name in shown.asked else "none"
        if self.input.layout.display != display:
            self.input.layout.display = display
        self.input.error = shown.errors.get(name, "")
        if field.kind == "secret":
            count = shown.taken.get(name, 0)
            self.input.placeholder = f"{count} characters taken; type to replace" if count else ""
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
        """Of several, each proposal is what is there with one more: a browser proposes for the whole text."""
        name = self.field.name
        before = ""
        if self.field.several and "," in shown.values[name]:
            before = shown.values[name].rpartition(",")[0] + ", "
        taken = {each.strip() for each in before.split(",")}
        found = [each.value for each in shown.choices.get(name, ()) if each.value not in taken]
        self.input.options = [[before + each, each] for each in found]

    def _render_choices(self, shown: FormState) -> None:
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
