"""`RunForm`: a runbook as a form. Its parameters are the fields; a run, in a process of its own, is its effect.

    EDIT ─ review ─→ BUSY ─→ DONE | FAILED                    a runbook that changes nothing
    EDIT ─ review ─→ BUSY ─→ CONFIRM ─ confirm ─→ BUSY ─→ …   one that writes: a dry run, then what it planned
                              UNKNOWN ─ resume ─→ BUSY ─→ …   the outcome of a change is unknown: `lcnb resume RUN`

The rest is as in `Form`: an edit in CONFIRM voids the plan, and a second click finds the form BUSY. A run with
`dry_run=False` starts only by `confirm`, from the folder of the dry run.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

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


# --- the form -------------------------------------------------------------------------------------------


class RunForm(Form):
    """The form of one runbook. `review` starts a run, a dry one if the runbook writes; `confirm` applies that."""

    voided = "An answer was changed: the plan is void. Make another dry run."

    def __init__(self, book: Runbook) -> None:
        self.book = book
        self.writes = any(each.name == "dry_run" for each in book.parameters)
        self._run: StartRun | None = None
        super().__init__(runbook_spec(book, "Dry run" if self.writes else "Run"))

    def _review(self) -> Effects:
        """What there is to propose may still be on its way: the run checks the values itself."""
        self._all_checked = True
        errors = self._errors()
        if errors:
            self._show(notice=invalid_fields_notice(len(errors)), alert=True)
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
        return self._begin(StartRun(given, LocalStop()))

    def confirm(self) -> Effects:
        """Make what the dry run planned: once, and nothing else."""
        with self._event():
            ended = self.shown.run
            if not self.shown.unlocked or not isinstance(ended, FinishedRun) or ended.folder is None:
                return ()
            return self._begin(StartRun({}, LocalStop(), plan=ended.folder))

    def resume(self) -> Effects:
        """Have what is unknown settled, and the rest of the runbook carried out, as `lcnb resume RUN` does."""
        with self._event():
            ended = self.shown.run
            if (
                self.shown.phase is not Phase.UNKNOWN
                or not isinstance(ended, FinishedRun)
                or ended.folder is None
            ):
                return ()
            return self._begin(StartRun({}, LocalStop(), resumes=ended.folder), "looking at the account")

    def _begin(self, run: StartRun, text: str = "starting the kernel") -> Effects:
        self._run = run
        self._show(phase=Phase.BUSY, progress=(0, 0, text), notice="", alert=False, stopped=False)
        return (run,)

    def cell(self, run: StartRun, done: int, total: int, title: str) -> Effects:
        """A cell begins, after so many that are done."""
        with self._event():
            if run is self._run and self.shown.phase is Phase.BUSY:
                self._show(progress=(done, total, title))
            return ()

    def stop(self) -> Effects:
        """End the run as Ctrl-C would; asked again, kill it. The form stays busy until the run has ended."""
        with self._event():
            if self._run is not None and self.shown.phase is Phase.BUSY:
                stop = self._run.stop
                (stop.now if stop.is_requested() else stop.stop).set()
                text = "Stopping: the run writes down what it did."
                if stop.now.is_set():
                    text = "Killing the run."
                self._show(stopped=True, notice=text, alert=False)
            return ()

    def run_ended(self, run: StartRun, ended: FinishedRun) -> Effects:
        """How it ended. A dry run that planned something is followed by the question whether to make it."""
        with self._event():
            if run is not self._run or self.shown.phase is not Phase.BUSY:
                return ()
            self._run = None
            if self._refuses(ended):
                return ()
            planned = ended.planned
            if run.dry and planned is not None and len(planned) and ended.status in COMPLETED_STATUSES:
                self._show(
                    phase=Phase.CONFIRM, changes=planned, challenge=planned.challenge, typed="", run=ended,
                    notice="A dry run: nothing was changed yet.", alert=False, changeset=planned.id,
                )  # fmt: skip
                return ()
            phase = Phase.DONE if ended.status in COMPLETED_STATUSES else Phase.FAILED
            if ended.unknown:
                phase = Phase.UNKNOWN
            self._show(
                phase=phase, run=ended, notice=_end_notice(self, run, ended), alert=ended.status != DONE.status,
                changes=None, stopped=False,
            )  # fmt: skip
            return ()

    def _refuses(self, ended: FinishedRun) -> bool:
        """A value that the account does not know is told at its field."""
        found = re.match(r"parameter (\w+): ", ended.error) if ended.status == MISUSED.status else None
        if found is None or found[1] not in self.shown.asked:
            return False
        name = found[1]
        self._back_to_edit()
        self._refusals[name] = (self.shown.values[name], short_refusal(name, ended.error))
        self._show(notice=invalid_fields_notice(1), alert=True)
        return True

    def run_failed(self, run: StartRun, error: BaseException) -> Effects:
        """It could not be started, or how it ended could not be read."""
        with self._event():
            if run is self._run:
                self._run = None
                self._show(
                    phase=Phase.FAILED, notice=error_message(error), alert=True, changes=None, stopped=False
                )
            return ()

    def again(self) -> Effects:
        """Back to the answers, which stay; what there is to propose is read again."""
        with self._event():
            if self.shown.phase is Phase.BUSY:
                return ()
            self._back_to_edit()
            return self._loads(lambda each: True)


def _end_notice(form: RunForm, run: StartRun, ended: FinishedRun) -> str:
    name = form.book.name
    if ended.unknown:
        many = (
            f"{ended.unknown} of {len(ended.made)} changes have" if len(ended.made) > 1 else "The change has"
        )
        return (
            f"{many} no known outcome: it may have happened. “Look again” settles that, sends nothing twice, and goes "
            f"on with what is left, as lcnb resume {ended.folder.name if ended.folder else ''} does."
        )
    if ended.status == INTERRUPTED.status:
        return f"Stopped: {name} was interrupted. What it did until then stands in its folder."
    if ended.status not in COMPLETED_STATUSES:
        first = (ended.error.strip().splitlines() or ["no reason was told"])[0]
        return f"{name} ended as {ended.status}, exit code {ended.exit_code}: {first}"
    if ended.status == ATTENTION.status:
        return f"{name} is done, and asks for attention: {'; '.join(ended.attention)}"
    if not run.dry:
        count = len(ended.made)
        return f"Done: {count} change{'s' if count != 1 else ''} made."
    return "Done: nothing to change." if form.writes else f"Done: {name}."
