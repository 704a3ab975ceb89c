"""`RunForm`: a runbook as a form. Its parameters are the fields; its effect is a run, in a separate process.

    EDIT ─ review ─→ BUSY ─→ DONE | FAILED                    the runbook changes nothing
    EDIT ─ review ─→ BUSY ─→ CONFIRM ─ confirm ─→ BUSY ─→ …   it writes: a dry run, then its plan
                              UNKNOWN ─ resume ─→ BUSY ─→ …   the outcome of a change is unknown: `lcnb resume RUN`

The rest is as in `Form`: an edit in CONFIRM voids the plan, and a second click finds the form BUSY. A run with
`dry_run=False` starts only by `confirm`, from the folder of the dry run.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lcnb.errors import ConfirmationMissing
from lcnb.runbooks.batch.stops import LocalStop
from lcnb.runbooks.ends import ATTENTION, COMPLETED_STATUSES, DONE, INTERRUPTED, MISUSED
from lcnb.widgets.form import Form
from lcnb.widgets.form_effects import Effects, StartRun
from lcnb.widgets.form_messages import error_message, invalid_fields_notice
from lcnb.widgets.form_state import Phase
from lcnb.widgets.runbook_fields import runbook_spec, short_refusal
from lcnb.widgets.runbook_process import FinishedRun

if TYPE_CHECKING:
    from lcnb.runbooks.notebook.find import Runbook

#: A notebook that changes something without a parameter dry_run, which the page would set to show its plan first.
NOT_CONFIRMED_TEXT = (
    "Nothing was sent: {name} changes something, and nobody confirmed it. This page confirms only changes whose plan "
    "it has shown. Give the notebook a parameter dry_run = True, and make its changes with "
    "run.apply(changes, dry_run=dry_run). As it is: lcnb run --yes."
)


class RunForm(Form):
    """The form of one runbook. `review` starts a run, a dry one if the runbook writes; `confirm` applies that."""

    voided = "A field was changed, so the plan is void. Make another dry run."

    def __init__(self, book: Runbook) -> None:
        self.book = book
        self.writes = any(each.name == "dry_run" for each in book.parameters)
        self._run: StartRun | None = None
        super().__init__(runbook_spec(book, "Dry run" if self.writes else "Run"))

    def _begin_review(self) -> Effects:
        """Start without waiting for suggestions that are still being read: the run checks the values itself."""
        if not self._are_fields_valid():
            return ()
        values = self.shown.values
        needed = {each.name for each in self.book.parameters if each.required}
        given = {
            name: value
            for name, value in values.items()
            if name in needed or value != self.fields[name].default
        }
        if self.writes:
            given["dry_run"] = True
        return self._begin_run(StartRun(given, LocalStop()))

    def confirm(self) -> Effects:
        """Apply the plan of the dry run, once."""
        with self._handle_event():
            ended = self.shown.run
            if not self.shown.can_confirm or not isinstance(ended, FinishedRun) or ended.folder is None:
                return ()
            return self._begin_run(StartRun({}, LocalStop(), plan=ended.folder))

    def resume(self) -> Effects:
        """Settle unknown changes and run the rest of the runbook, as `lcnb resume RUN` does."""
        with self._handle_event():
            ended = self.shown.run
            if (
                self.shown.phase is not Phase.UNKNOWN
                or not isinstance(ended, FinishedRun)
                or ended.folder is None
            ):
                return ()
            return self._begin_run(StartRun({}, LocalStop(), resumes=ended.folder), "checking the account")

    def _begin_run(self, run: StartRun, text: str = "starting the kernel") -> Effects:
        self._run = run
        self._update_state(phase=Phase.BUSY, progress=(0, 0, text), notice="", alert=False, stopped=False)
        return (run,)

    def cell_started(self, run: StartRun, done: int, total: int, title: str) -> Effects:
        """A cell starts; `done` of `total` cells are done."""
        with self._handle_event():
            if run is self._run and self.shown.phase is Phase.BUSY:
                self._update_state(progress=(done, total, title))
            return ()

    def stop(self) -> Effects:
        """Interrupt the run as Ctrl-C does; a second call kills it. The form stays BUSY until the run has ended."""
        with self._handle_event():
            if self._run is not None and self.shown.phase is Phase.BUSY:
                stop = self._run.stop
                (stop.now if stop.is_requested() else stop.stop).set()
                text = "Stopping: the run records what it did."
                if stop.now.is_set():
                    text = "Killing the run."
                self._update_state(stopped=True, notice=text, alert=False)
            return ()

    def run_ended(self, run: StartRun, ended: FinishedRun) -> Effects:
        """A run has ended. After a dry run with planned changes the form asks for confirmation."""
        with self._handle_event():
            if run is not self._run or self.shown.phase is not Phase.BUSY:
                return ()
            self._run = None
            if self._show_refused_parameter(ended):
                return ()
            planned = ended.planned
            if run.is_dry and planned is not None and len(planned) and ended.status in COMPLETED_STATUSES:
                self._update_state(
                    phase=Phase.CONFIRM, changes=planned, challenge=planned.challenge, typed="", run=ended,
                    notice="This was a dry run: nothing was changed yet.", alert=False, changeset=planned.id,
                )  # fmt: skip
                return ()
            phase = Phase.DONE if ended.status in COMPLETED_STATUSES else Phase.FAILED
            if ended.unknown_count:
                phase = Phase.UNKNOWN
            self._update_state(
                phase=phase, run=ended, notice=_end_notice(self, run, ended), alert=ended.status != DONE.status,
                changes=None, stopped=False,
            )  # fmt: skip
            return ()

    def _show_refused_parameter(self, ended: FinishedRun) -> bool:
        """Show a refused parameter at its field; return whether the run was refused for that reason."""
        found = re.match(r"parameter (\w+): ", ended.error) if ended.status == MISUSED.status else None
        if found is None or found[1] not in self.shown.asked:
            return False
        name = found[1]
        self._back_to_edit()
        self._refusals[name] = (self.shown.values[name], short_refusal(name, ended.error))
        self._update_state(notice=invalid_fields_notice(1), alert=True)
        return True

    def run_failed(self, run: StartRun, error: BaseException) -> Effects:
        """The run could not be started, or its record could not be read."""
        with self._handle_event():
            if run is self._run:
                self._run = None
                self._update_state(
                    phase=Phase.FAILED, notice=error_message(error), alert=True, changes=None, stopped=False
                )
            return ()

    def start_over(self) -> Effects:
        """Return to the fields with their values, and read the suggestions again."""
        with self._handle_event():
            if self.shown.phase is Phase.BUSY:
                return ()
            self._back_to_edit()
            return self._load_requests(lambda each: True)


def _end_notice(form: RunForm, run: StartRun, ended: FinishedRun) -> str:
    name = form.book.name
    if ended.unknown_count:
        return _unknown_notice(ended)
    if ended.status == INTERRUPTED.status:
        return f"Stopped: {name} was interrupted. Its folder contains what it did until then."
    error, text = ended.unconfirmed_error
    if error:
        return NOT_CONFIRMED_TEXT.format(name=name) if error == ConfirmationMissing.__name__ else text
    if ended.status not in COMPLETED_STATUSES:
        first = (ended.error.strip().splitlines() or ["no reason was recorded"])[0]
        return f"{name} ended as {ended.status}, exit code {ended.exit_code}: {first}"
    if ended.status == ATTENTION.status:
        return f"{name} is done, and asks for attention: {'; '.join(ended.attention)}"
    return _done_notice(form, run, len(ended.made))


def _done_notice(form: RunForm, run: StartRun, made: int) -> str:
    if not run.is_dry:
        return f"Done: {made} change{'s' if made != 1 else ''} made."
    return "Done: nothing to change." if form.writes else f"Done: {form.book.name}."


def _unknown_notice(ended: FinishedRun) -> str:
    changes = (
        f"{ended.unknown_count} of {len(ended.made)} changes have"
        if len(ended.made) > 1
        else "The change has"
    )
    return (
        f"{changes} no known outcome: it may have happened. “Look again” settles that, sends nothing twice, and "
        f"continues with the rest, as lcnb resume {ended.folder.name if ended.folder else ''} does."
    )
