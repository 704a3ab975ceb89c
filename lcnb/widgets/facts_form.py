"""`FactsForm`: tags, owner, note, expiry and protection of the ticked machines.

    EDIT ─ review ─→ BUSY ─→ DONE | FAILED                     saved at once: facts are in a file on this computer
    EDIT ─ review ─→ CONFIRM ─ confirm ─→ BUSY ─→ …            a protection is lifted: that asks for a second step

Nothing is sent to the provider, so there is no ChangeSet. The rest is as in `Form`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lcnb.changes.changeset import ChangeSet
from lcnb.errors import InputError, LcnbError
from lcnb.widgets.facts_fields import FACTS_FIELDS, LIFT
from lcnb.widgets.form import Form
from lcnb.widgets.form_effects import EditFacts, Effects
from lcnb.widgets.form_fields import FieldValues, FormSpec
from lcnb.widgets.form_messages import error_message
from lcnb.widgets.form_state import Phase


def _refuse_build(client: Any, values: FieldValues, secrets: Any) -> ChangeSet:
    raise InputError("facts are saved on this machine; they are no changes of the account. Nothing was sent.")


FACTS = FormSpec(
    "facts",
    "Tags and facts",
    FACTS_FIELDS,
    _refuse_build,
    "Saved at once in a file on this computer; LetsCloud does not store them.",
    "Save",
)


class FactsForm(Form):
    """The form for facts. `review` saves them; `confirm` saves them after a protection is to be lifted.

    `rows` returns the rows of the table, which have the labels of machines and whether they are protected.
    """

    voided = "A field was changed: save it again."

    def __init__(self, rows: Callable[[], Sequence[Mapping[str, Any]]]) -> None:
        self._rows = rows
        self._edit: EditFacts | None = None
        super().__init__(FACTS)

    def _begin_review(self) -> Effects:
        """Save without waiting for suggestions that are still being read."""
        if not self._are_fields_valid():
            return ()
        if not any(value for name, value in self.shown.values.items() if name != "machines"):
            self._update_state(notice="Nothing to save: every field is empty.", alert=True)
            return ()
        if self.shown.values["protection"] == LIFT:
            self._update_state(phase=Phase.CONFIRM, notice="", alert=False, typed="")
            return ()
        return self._save()

    def confirm(self) -> Effects:
        """Save the facts after the second step, once."""
        with self._handle_event():
            return self._save() if self.shown.can_confirm else ()

    def _save(self) -> Effects:
        self._edit = EditFacts(dict(self._asked_values()))
        self._update_state(phase=Phase.BUSY, notice="", alert=False, stopped=False)
        return (self._edit,)

    def facts_saved(self, edit: EditFacts, saved: Sequence[str], error: LcnbError | None) -> Effects:
        """The facts were saved, or only the first of them because of an error."""
        with self._handle_event():
            if edit is self._edit and self.shown.phase is Phase.BUSY:
                count = len(edit.values["machines"])
                notice = (
                    f"Saved for {count} machine{'s' if count != 1 else ''}: {', '.join(saved) or 'nothing'}."
                )
                if error is None:
                    self._update_state(phase=Phase.DONE, notice=notice, alert=False)
                else:
                    text = f"{notice} The rest was not saved: {error_message(error)}"
                    self._update_state(phase=Phase.FAILED, notice=text, alert=True)
            return ()

    def facts_refused(self, edit: EditFacts, error: BaseException) -> Effects:
        """Nothing was saved. The fields keep what was typed."""
        with self._handle_event():
            if edit is self._edit and self.shown.phase is Phase.BUSY:
                self._back_to_edit()
                self._update_state(notice=error_message(error), alert=True)
            return ()

    def stop(self) -> Effects:
        """Saving cannot be stopped: it writes one file, and waits at most for another process that writes it."""
        return ()

    def lifted_machines(self) -> list[str]:
        """Return the labels of the ticked machines whose protection is to be lifted."""
        picked = set(self.shown.values["machines"])
        return [
            str(row["label"] or row["identifier"])
            for row in self._rows()
            if row["identifier"] in picked and row["protected"] == "yes"
        ]
