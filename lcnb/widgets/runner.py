"""Performs the effects of forms: reads choices, builds the ChangeSet, applies it. The only place that waits.

`Runner(client)` works in daemon threads, so that neither kernel nor page is blocked; `Runner(client, run_inline)` works
at once, for tests and scripts. Exceptions go back to the form, which shows them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, cast

from lcnb.errors import LcnbError
from lcnb.widgets.auto_refresh import Later, call_later, call_never
from lcnb.widgets.form import Form
from lcnb.widgets.form_effects import (
    ApplyChanges,
    BuildChanges,
    EditFacts,
    Effect,
    Effects,
    LoadChoices,
    StartRun,
)
from lcnb.widgets.form_state import Phase

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.client import LetsCloud
    from lcnb.widgets.facts_form import FactsForm
    from lcnb.widgets.runbook_form import RunForm

logger = logging.getLogger("lcnb.widgets")

Spawn = Callable[[Callable[[], None]], None]


def run_inline(work: Callable[[], None]) -> None:
    """Call `work` now, in this thread."""
    work()


def run_in_thread(work: Callable[[], None]) -> None:
    """Call `work` in a thread that does not keep the process alive."""
    threading.Thread(target=work, daemon=True, name="lcnb-form").start()


class OneAtATime:
    """Work that is done in the background, one call at a time. Calls during the work repeat it once, afterwards.

    So the result is always newer than the last call.
    """

    def __init__(self, spawn: Spawn, work: Callable[[], None]) -> None:
        self._spawn, self._work = spawn, work
        self._lock = threading.Lock()
        self._busy = self._again = False

    def __call__(self) -> None:
        with self._lock:
            self._again = self._busy
            if self._busy:
                return
            self._busy = True
        self._spawn(self._work_until_done)

    def _work_until_done(self) -> None:
        while True:
            try:
                self._work()
            except BaseException as error:
                _log_error(error)
            with self._lock:
                if not self._again:
                    self._busy = False
                    return
                self._again = False


class Runner:
    """Performs the effects of forms with one client."""

    def __init__(self, client: LetsCloud, spawn: Spawn = run_in_thread, later: Later | None = None) -> None:
        self.client = client
        self.spawn = spawn
        #: Waits; where everything is done inline, nothing happens later by itself.
        self.later: Later = later or (call_later if spawn is run_in_thread else call_never)
        self._lock = threading.Lock()
        self._changes_in_flight = 0
        #: Called when an apply begins.
        self.on_begin: list[Callable[[], None]] = []
        #: Called after each apply that has ended.
        self.on_change: list[Callable[[], None]] = []
        #: Called after each run of a runbook.
        self.on_run: list[Callable[[], None]] = []

    @property
    def is_changing(self) -> bool:
        """Whether a change of a form is being applied now."""
        return self._changes_in_flight > 0

    @contextmanager
    def _change_in_flight(self) -> Iterator[None]:
        with self._lock:
            self._changes_in_flight += 1
        try:
            for listener in self.on_begin:
                listener()
            yield
        finally:
            with self._lock:
                self._changes_in_flight -= 1

    def run(self, form: Form, effects: Effects) -> None:
        """Perform effects. Their results are events of the form, whose effects are performed in turn."""
        for effect in effects:
            self.spawn(lambda effect=effect: self._perform_effect(form, effect))  # type: ignore[misc]

    def _perform_effect(self, form: Form, effect: Effect) -> None:
        try:
            if isinstance(effect, StartRun):
                self._run_runbook(cast("RunForm", form), effect)
            elif isinstance(effect, EditFacts):
                self._save_facts(cast("FactsForm", form), effect)
            elif isinstance(effect, ApplyChanges):
                self._apply_and_report(form, effect)
            elif isinstance(effect, BuildChanges):
                form.changes_built(effect, form.spec.build(self.client, effect.values, effect.secrets))
            elif effect.field.load is not None:
                self.run(form, form.choices_loaded(effect, effect.field.load(self.client, effect.values)))
        except BaseException as error:
            _log_error(error)
            if isinstance(effect, LoadChoices | BuildChanges):
                form.effect_refused(effect, error)

    def _save_facts(self, form: FactsForm, effect: EditFacts) -> None:
        from lcnb.widgets.facts_fields import save_facts

        try:
            saved, error = save_facts(self.client, effect.values)
        except BaseException as refused:
            _log_error(refused)
            form.facts_refused(effect, refused)
            return
        form.facts_saved(effect, saved, error)
        for listener in self.on_change:
            listener()

    def _run_runbook(self, form: RunForm, effect: StartRun) -> None:
        from lcnb.widgets.runbook_process import run_and_wait

        try:
            with nullcontext() if effect.is_dry else self._change_in_flight():
                ended = run_and_wait(
                    form.book, effect, self.client, lambda *cell: form.cell_started(effect, *cell)
                )
        except BaseException as error:
            _log_error(error)
            form.run_failed(effect, error)
            return
        self.run(form, form.run_ended(effect, ended))
        for listener in [*self.on_run, *(() if effect.is_dry else self.on_change)]:
            listener()

    def _apply_and_report(self, form: Form, effect: ApplyChanges) -> None:
        def progress(ended: int, total: int, text: str) -> None:
            if effect.stop.is_set():
                # As Ctrl-C in a cell does: the journal records the rest.
                raise KeyboardInterrupt("the wait was stopped")
            form.apply_progressed(effect, ended, total, text)

        if effect.after is not None:
            effect.after.wait()
        try:
            try:
                with self._change_in_flight():
                    result = self._apply_changes(effect, progress)
            finally:
                effect.ended.set()
        except BaseException as error:
            _log_error(error)
            form.apply_failed(effect, error, self._still_open(effect.changeset))
        else:
            form.apply_finished(effect, result)
        if form.shown.phase is not Phase.BUSY:
            for listener in self.on_change:
                listener()

    def _apply_changes(self, effect: ApplyChanges, progress: Callable[[int, int, str], None]) -> pd.DataFrame:
        if effect.changes is not None:
            changes: Any = effect.changes
            return changes.apply(confirm=True, wait=True, progress=progress)  # type: ignore[no-any-return]
        result = self.client.resume(effect.changeset, confirm=True, progress=progress)
        return result if len(result) else _journal_result(self.client, effect.changeset)

    def _still_open(self, changeset: str) -> bool:
        """Whether the journal has, or may have, changes without an outcome; True if it cannot be read."""
        try:
            return bool((self.client.pending().changeset == changeset).any())
        except LcnbError:
            return True


def _journal_result(client: LetsCloud, changeset: str) -> pd.DataFrame:
    """Return what the journal records of a ChangeSet that is not open any more, as `apply` would return it."""
    journal = client.journal()
    rows = journal[journal.changeset == changeset]
    return rows[["change", "action", "target", "identifier", "outcome", "detail", "tries"]].reset_index(
        drop=True
    )


def _log_error(error: BaseException) -> None:
    """Log an error. Errors of lcnb contain no secret; of others the class and the traceback are logged."""
    if isinstance(error, LcnbError):
        logger.info("%s: %s", type(error).__name__, error)
    else:
        logger.error("%s in a form", type(error).__name__, exc_info=not isinstance(error, KeyboardInterrupt))
