"""`Form`: what a form knows and does, without widgets, threads or a network.

    EDIT ─ review ─→ LOADING ─ built ─→ CONFIRM ─ confirm ─→ BUSY ─→ DONE | FAILED | UNKNOWN
     ↑                  │                  │                                    │
     └──── refused ─────┴── edit, back ────┘                 UNKNOWN ─ resume ─→ BUSY

An event is a method. It returns the effects that the runner has to perform, and publishes the new state. Only
`confirm` returns an `ApplyChanges`, and only once per review: a second click, from whichever tab, finds the form
BUSY. An edit in CONFIRM voids the review. A response that arrives after the values have changed is dropped.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lcnb.changes.changeset import ChangeSet
from lcnb.errors import ChangeError, ChangesRefused, InputError, Protected, WaitTimeout
from lcnb.refused_machine import RefusedMachine
from lcnb.secret import Secret
from lcnb.widgets.form_effects import ApplyChanges, BuildChanges, Effects, LoadChoices
from lcnb.widgets.form_fields import Choice, FieldValues, FormField, FormSpec
from lcnb.widgets.form_messages import (
    error_message,
    field_message,
    invalid_fields_notice,
    judge_result,
    refused_notice,
)
from lcnb.widgets.form_state import END_PHASES, FormState, Phase

if TYPE_CHECKING:
    import pandas as pd


class Form:
    """A form in use. Each event method returns the effects to perform; `subscribe` adds a listener for its state."""

    voided = "A field was changed: review it again."

    def __init__(self, spec: FormSpec) -> None:
        self.spec = spec
        self.fields = {each.name: each for each in spec.fields}
        self._lock = threading.RLock()
        self._listeners: list[Callable[[FormState], None]] = []
        self._secrets: dict[str, Secret] = {}
        self._touched: set[str] = set()
        #: Field → the value that the account refused, and the reason.
        self._refusals: dict[str, tuple[Any, str]] = {}
        self._all_checked = False
        self._turns: dict[str, int] = {}
        self._turn = 0
        #: A review was requested, and starts when the choices have been read.
        self._waiting = False
        self._apply: ApplyChanges | None = None
        choices = {each.name: each.choices for each in spec.fields if each.choices}
        self.shown = FormState(values=self._default_values(), choices=choices)
        self._refresh_errors()

    def subscribe(self, listener: Callable[[FormState], None]) -> None:
        """Call `listener` with the state now and after each event, one event at a time."""
        with self._lock:
            self._listeners.append(listener)
            listener(self.shown)

    # --- filling in -------------------------------------------------------------------------------------

    def start(self) -> Effects:
        """Read the choices that depend on no other field."""
        with self._handle_event():
            return self._load_requests(lambda each: True)

    def enter_value(self, name: str, value: Any) -> Effects:
        """A person changed a field. In CONFIRM this voids the review; in BUSY it is ignored.

        A change during LOADING belongs to the review, which starts again.
        """
        return self._set_value(name, value, by_form=False)

    def fill_in(self, name: str, value: Any) -> Effects:
        """The program changes a field, for example with the rows picked in a table."""
        return self._set_value(name, value, by_form=True)

    def _set_value(self, name: str, value: Any, by_form: bool) -> Effects:
        with self._handle_event():
            before = self.shown.phase
            if before is Phase.BUSY or self.shown.values[name] == value:
                return ()
            # The result stays visible; `start_over` reads the choices again.
            if by_form and before in END_PHASES:
                self._store_value(name, value, by_form=True)
                return ()
            self._back_to_edit()
            if not by_form:
                self._touched.add(name)
            self._store_value(name, value, by_form=by_form)
            effects = self._reset_dependents(name)
            if before is Phase.LOADING:
                return (*effects, *self._begin_review())
            if before is Phase.CONFIRM:
                self._update_state(notice=self.voided)
            return effects

    def store_secret(self, name: str, secret: str) -> Effects:
        """A secret was typed. Only the form stores it, until it is confirmed or started over."""
        with self._handle_event():
            if self.shown.phase is not Phase.BUSY:
                self._back_to_edit()
                self._touched.add(name)
                if secret:
                    self._secrets[name] = Secret(secret)
                else:
                    self._secrets.pop(name, None)
            return ()

    def choices_loaded(self, load: LoadChoices, choices: Sequence[Choice]) -> Effects:
        """The choices of a field were read. A value that is no longer among them is removed."""
        with self._handle_event():
            name = load.field.name
            if self._turns.get(name) != load.turn:
                return ()
            found = tuple(choices)
            if not load.field.required and load.field.kind == "choice":
                found = (Choice("", "none"), *found)
            self._update_state(
                choices={**self.shown.choices, name: found}, loading=self.shown.loading - {name}
            )
            value = self.shown.values[name]
            effects: Effects = ()
            if value and load.field.kind == "choice" and value not in {each.value for each in found}:
                self._store_value(name, load.field.default, by_form=True)
                effects = self._reset_dependents(name)
            if self._waiting and not self.shown.loading:
                return (*effects, *self._begin_review())
            return effects

    # --- reviewing --------------------------------------------------------------------------------------

    def review(self) -> Effects:
        """Check all fields and request the ChangeSet."""
        with self._handle_event():
            if self.shown.phase is not Phase.EDIT:
                return ()
            self._update_state(refused=(), left_out=())
            return self._begin_review()

    def leave_out(self) -> Effects:
        """Review again without the machines that were refused; nothing happens when no other machine is picked."""
        with self._handle_event():
            if self.shown.phase is not Phase.EDIT or not self.shown.refused or not self.remaining_machines():
                return ()
            self._update_state(left_out=(*self.shown.left_out, *self.shown.refused), refused=())
            return self._begin_review()

    def remaining_machines(self) -> tuple[str, ...]:
        """Return the identifiers of the picked machines that were neither refused nor left out."""
        without = {each.identifier for each in (*self.shown.refused, *self.shown.left_out)}
        return tuple(
            each for name in self._row_fields() for each in self.shown.values[name] if each not in without
        )

    def _are_fields_valid(self) -> bool:
        """Check all fields, also those that nobody has touched, and say how many are wrong."""
        self._all_checked = True
        errors = self._field_errors()
        if errors:
            self._update_state(phase=Phase.EDIT, notice=invalid_fields_notice(len(errors)), alert=True)
        return not errors

    def _begin_review(self) -> Effects:
        if not self._are_fields_valid():
            return ()
        self._turn += 1
        self._waiting = bool(self.shown.loading)
        if self._waiting:
            self._update_state(phase=Phase.LOADING, notice="Reading the choices …", alert=False)
            return ()
        self._update_state(phase=Phase.LOADING, notice="Checking the account …", alert=False)
        return (BuildChanges(dict(self._asked_values()), dict(self._secrets), self._turn),)

    def changes_built(self, build: BuildChanges, changes: ChangeSet) -> Effects:
        """The ChangeSet was built. An empty one needs no confirmation: the notice says that there is nothing to do."""
        with self._handle_event():
            if self.shown.phase is not Phase.LOADING or build.turn != self._turn:
                return ()
            if not len(changes):
                notes = "; ".join(changes.notes)
                self._update_state(phase=Phase.EDIT, notice=f"Nothing to do{f': {notes}' if notes else ''}.")
                return ()
            self._update_state(
                phase=Phase.CONFIRM, changes=changes, challenge=changes.challenge, typed="", notice="",
                alert=False, changeset=changes.id,
            )  # fmt: skip
            return ()

    def effect_refused(self, effect: LoadChoices | BuildChanges, error: BaseException) -> Effects:
        """Choices could not be read, or no ChangeSet could be built. The error is shown at its field if known."""
        with self._handle_event():
            if isinstance(effect, LoadChoices):
                if self._turns.get(effect.field.name) != effect.turn:
                    return ()
                self._update_state(loading=self.shown.loading - {effect.field.name})
                if self._waiting:
                    self._back_to_edit()
            elif self.shown.phase is not Phase.LOADING or effect.turn != self._turn:
                return ()
            else:
                self._update_state(phase=Phase.EDIT)
            if isinstance(effect, BuildChanges) and (refused := self._refused_machines(error)):
                self._update_state(
                    notice=refused_notice(len(refused), len(self.remaining_machines())),
                    alert=True,
                    refused=refused,
                )
                return ()
            name = self._field_of(error) if isinstance(effect, BuildChanges) else None
            if name is None:
                self._update_state(notice=error_message(error), alert=True)
            else:
                self._refusals[name] = (self.shown.values.get(name), field_message(error))
                self._update_state(notice=invalid_fields_notice(1), alert=True)
            return ()

    def type_challenge(self, text: str) -> Effects:
        """A person typed into the field for the confirming text (`ChangeSet.challenge`)."""
        with self._handle_event():
            if self.shown.phase is Phase.CONFIRM:
                self._update_state(typed=text)
            return ()

    def back_to_fields(self) -> Effects:
        """Return from the review, or from waiting for it, to the fields."""
        with self._handle_event():
            if self.shown.phase in (Phase.CONFIRM, Phase.LOADING):
                self._back_to_edit()
            return ()

    # --- applying ---------------------------------------------------------------------------------------

    def confirm(self) -> Effects:
        """Return `ApplyChanges`, once per review and nowhere else; empty when there is nothing to confirm."""
        with self._handle_event():
            changes = self.shown.changes
            if not self.shown.can_confirm or changes is None:
                return ()
            self._apply = ApplyChanges(changes, changes.id)
            self._secrets.clear()
            self._update_state(
                phase=Phase.BUSY,
                progress=(0, len(changes), "starting"),
                notice="",
                alert=False,
                stopped=False,
            )
            return (self._apply,)

    def apply_progressed(self, apply: ApplyChanges, ended: int, total: int, text: str) -> Effects:
        """An apply reports its progress."""
        with self._handle_event():
            if apply is self._apply and self.shown.phase is Phase.BUSY:
                self._update_state(progress=(ended, total, text))
            return ()

    def stop(self) -> Effects:
        """Stop waiting. The provider continues what was sent; nothing more is sent; the journal records it."""
        with self._handle_event():
            if self._apply is not None and self.shown.phase is Phase.BUSY:
                self._apply.stop.set()
                self._update_state(
                    phase=Phase.UNKNOWN,
                    stopped=True,
                    notice="You stopped waiting. The provider continues what was sent; nothing more is sent. "
                    "“Look again” shows how it ended.",
                    alert=False,
                )
            return ()

    def apply_finished(self, apply: ApplyChanges, result: pd.DataFrame) -> Effects:
        """An apply has ended; its phase follows from the outcomes of the changes."""
        with self._handle_event():
            if apply is self._apply and self.shown.phase in (Phase.BUSY, Phase.UNKNOWN):
                phase, notice = judge_result(result)
                self._end_apply(phase, notice, result)
            return ()

    def apply_failed(self, apply: ApplyChanges, error: BaseException, still_open: bool = False) -> Effects:
        """An apply ended with an error. `still_open`: the journal has changes without an outcome."""
        with self._handle_event():
            if apply is not self._apply or self.shown.phase not in (Phase.BUSY, Phase.UNKNOWN):
                return ()
            result = error.result if isinstance(error, ChangeError) else None
            if self.shown.stopped and isinstance(error, KeyboardInterrupt):
                return ()
            if isinstance(error, WaitTimeout):
                self._end_apply(Phase.DONE, error_message(error), result)
            elif result is not None:
                self._end_apply(*judge_result(result), result)
            elif still_open:
                text = (
                    f"{error_message(error)} Changes may have been made: “Look again” shows how they ended."
                )
                self._end_apply(Phase.UNKNOWN, text, None)
            else:
                self._end_apply(Phase.FAILED, error_message(error), None)
            return ()

    def resume(self) -> Effects:
        """Settle an unknown outcome."""
        with self._handle_event():
            if self.shown.phase is not Phase.UNKNOWN:
                return ()
            earlier = self._apply
            self._apply = ApplyChanges(None, self.shown.changeset, after=earlier.ended if earlier else None)
            self._update_state(
                phase=Phase.BUSY,
                progress=(0, 0, "checking the account"),
                notice="",
                alert=False,
                stopped=False,
            )
            return (self._apply,)

    def start_over(self) -> Effects:
        """Start over with empty fields, and read the choices again."""
        with self._handle_event():
            if self.shown.phase is Phase.BUSY:
                return ()
            self._secrets.clear()
            self._touched.clear()
            self._refusals.clear()
            self._all_checked, self._apply = False, None
            rows = {name: self.shown.values[name] for name in self._row_fields()}
            values = {**self._default_values(), **rows}
            grown = {name: count + 1 for name, count in self.shown.settings.items()}
            settings = {**dict.fromkeys(values, 1), **grown}
            choices = {each.name: each.choices for each in self.spec.fields if each.choices}
            self.shown = FormState(values=values, settings=settings, choices=choices)
            return self._load_requests(lambda each: True)

    # --- details ----------------------------------------------------------------------------------------

    def _default_values(self) -> dict[str, Any]:
        return {each.name: each.default for each in self.spec.fields if each.kind != "secret"}

    @contextmanager
    def _handle_event(self) -> Iterator[None]:
        """Handle one event at a time and publish it under the same lock, so that views see events in order."""
        with self._lock:
            before = self.shown
            yield
            self._refresh_errors()
            if self.shown is not before:
                for listener in self._listeners:
                    listener(self.shown)

    def _update_state(self, **what: Any) -> None:
        self.shown = replace(self.shown, **what)

    def _refresh_errors(self) -> None:
        asked = tuple(each.name for each in self.spec.fields if each.when(self.shown.values))
        shown = {
            name: text
            for name, text in self._field_errors().items()
            if self._all_checked or name in self._touched
        }
        taken = {name: len(secret.reveal()) for name, secret in self._secrets.items()}
        if (asked, shown, taken) != (self.shown.asked, self.shown.errors, self.shown.taken):
            self._update_state(asked=asked, errors=shown, taken=taken)

    def _store_value(self, name: str, value: Any, *, by_form: bool = False) -> None:
        self._update_state(values={**self.shown.values, name: value})
        if by_form:
            count = self.shown.settings.get(name, 0) + 1
            self._update_state(settings={**self.shown.settings, name: count})

    def _reset_dependents(self, name: str) -> Effects:
        """Reset the fields that depend on a field, and read their choices again."""
        for each in self.spec.fields:
            if name in each.needs and self.shown.values.get(each.name) != each.default:
                self._store_value(each.name, each.default, by_form=True)
                self._touched.discard(each.name)
        return self._load_requests(lambda each: name in each.needs)

    def _load_requests(self, wanted: Callable[[FormField], bool]) -> Effects:
        loads = []
        for each in self.spec.fields:
            if each.load is None or not wanted(each):
                continue
            self._turns[each.name] = turn = self._turns.get(each.name, 0) + 1
            if each.when(self.shown.values) and all(self.shown.values[need] for need in each.needs):
                self._update_state(loading=self.shown.loading | {each.name})
                loads.append(LoadChoices(each, dict(self.shown.values), turn))
            else:
                left = {name: found for name, found in self.shown.choices.items() if name != each.name}
                self._update_state(choices=left, loading=self.shown.loading - {each.name})
        return tuple(loads)

    def _back_to_edit(self) -> None:
        self._turn += 1
        self._waiting = False
        if self.shown.phase is not Phase.EDIT or self.shown.notice:
            self._update_state(
                phase=Phase.EDIT,
                changes=None,
                challenge="",
                typed="",
                notice="",
                alert=False,
                result=None,
                changeset="",
                refused=(),
                left_out=(),
                run=None,
            )

    def _asked_values(self) -> FieldValues:
        """Return the values of the visible fields, without the machines that were left out."""
        values = {name: value for name, value in self.shown.values.items() if name in self.shown.asked}
        return values | (
            {name: self.remaining_machines() for name in self._row_fields()} if self.shown.left_out else {}
        )

    def _row_fields(self) -> list[str]:
        return [each.name for each in self.spec.fields if each.kind == "rows"]

    def _refused_machines(self, error: BaseException) -> tuple[RefusedMachine, ...]:
        """Return the machines that an error refuses, if several were picked; of one the error itself says all."""
        several = sum(len(self.shown.values[name]) for name in self._row_fields()) > 1
        return tuple(error.refused) if several and isinstance(error, ChangesRefused | Protected) else ()

    def _field_errors(self) -> dict[str, str]:
        errors = {}
        for each in self.spec.fields:
            if each.when(self.shown.values) and (text := self._field_error(each)):
                errors[each.name] = text
        return errors

    def _field_error(self, each: FormField) -> str:
        """The message below a field; empty when its value is right."""
        value = self._secrets.get(each.name) if each.kind == "secret" else self.shown.values[each.name]
        if not value:
            return "This field is required." if each.required and each.kind != "flag" else ""
        return (
            self._earlier_refusal(each.name)
            or self._choice_error(each, value)
            or self._check_error(each, value)
        )

    def _earlier_refusal(self, name: str) -> str:
        """The reason why the account refused this very value earlier."""
        value, reason = self._refusals.get(name, (None, ""))
        return reason if value == self.shown.values.get(name) else ""

    def _choice_error(self, each: FormField, value: Any) -> str:
        if each.kind != "choice" or each.name in self.shown.loading:
            return ""
        for choice in self.shown.choices.get(each.name, ()):
            if choice.value == value:
                return choice.refusal
        return f"{value} is not offered."

    def _check_error(self, each: FormField, value: Any) -> str:
        if each.check is None:
            return ""
        try:
            each.check(value, {**self.shown.values, **self._secrets})
        except InputError as error:
            return field_message(error)
        return ""

    def _field_of(self, error: BaseException) -> str | None:
        """Return the field that an error names in its first words."""
        if not isinstance(error, InputError):
            return None
        text = str(error).lower().replace("_", " ")
        for name in self.shown.asked:
            if text.startswith((f"{name.replace('_', ' ')} ", f"{name.replace('_', ' ')}:")):
                return name
        return None

    def _end_apply(self, phase: Phase, notice: str, result: pd.DataFrame | None) -> None:
        self._update_state(
            phase=phase, notice=notice, alert=phase is not Phase.DONE, result=result, stopped=False
        )
