"""Does what a form asks for: reads choices, makes the ChangeSet, applies it. The only place that waits.

`Runner(client)` works in daemon threads, so neither a kernel nor a page stands still; `Runner(client, inline)`
works at once, for tests and scripts. Whatever is raised goes back to the form, which shows it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from lcnb.errors import LcnbError
from lcnb.widgets.form import Form
from lcnb.widgets.form_effects import ApplyChanges, BuildChanges, Effect, Effects, StartRun
from lcnb.widgets.form_state import Phase

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.client import LetsCloud
    from lcnb.widgets.runbook_form import RunForm

logger = logging.getLogger("lcnb.widgets")

Spawn = Callable[[Callable[[], None]], None]


def run_inline(work: Callable[[], None]) -> None:
    """Now, in this thread."""
    work()


def run_in_thread(work: Callable[[], None]) -> None:
    """Beside, in a thread that does not keep the process alive."""
    threading.Thread(target=work, daemon=True, name="lcnb-form").start()


class OneAtATime:
    """Work that is done beside, once at a time; asked for meanwhile, it is done once more afterwards.

    So what is shown in the end was read after the last thing that happened.
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
        self._spawn(self._run)

    def _run(self) -> None:
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
    """Performs the effects of forms with one client. `on_change` is called after each apply that has ended."""

    def __init__(self, client: LetsCloud, spawn: Spawn = run_in_thread) -> None:
        self.client = client
        self.spawn = spawn
        self.on_change: list[Callable[[], None]] = []
        #: Called after each run of a runbook.
        self.on_run: list[Callable[[], None]] = []

    def run(self, form: Form, effects: Effects) -> None:
        """Perform effects; their answers are events of the form, whose effects are performed in turn."""
        for effect in effects:
            self.spawn(lambda effect=effect: self._perform(form, effect))  # type: ignore[misc]

    def _perform(self, form: Form, effect: Effect) -> None:
        try:
            if isinstance(effect, StartRun):
                self._run(cast("RunForm", form), effect)
            elif isinstance(effect, ApplyChanges):
                self._apply(form, effect)
            elif isinstance(effect, BuildChanges):
                form.built(effect, form.spec.build(self.client, effect.values, effect.secrets))
            elif effect.field.load is not None:
                self.run(form, form.loaded(effect, effect.field.load(self.client, effect.values)))
        except BaseException as error:
            _log_error(error)
            if not isinstance(effect, ApplyChanges | StartRun):
                form.refused(effect, error)

    def _run(self, form: RunForm, effect: StartRun) -> None:
        from lcnb.widgets.runbook_process import run_and_wait

        try:
            ended = run_and_wait(form.book, effect, self.client, lambda *cell: form.cell(effect, *cell))
        except BaseException as error:
            _log_error(error)
            form.run_failed(effect, error)
            return
        self.run(form, form.run_ended(effect, ended))
        for told in [*self.on_run, *(() if effect.dry else self.on_change)]:
            told()

    def _apply(self, form: Form, effect: ApplyChanges) -> None:
        def progress(ended: int, total: int, text: str) -> None:
            if effect.stop.is_set():
                raise KeyboardInterrupt(
                    "nobody waits any more"
                )  # as Ctrl-C in a cell: the journal has the rest
            form.progressed(effect, ended, total, text)

        if effect.after is not None:
            effect.after.wait()
        try:
            try:
                result = self._applied(effect, progress)
            finally:
                effect.ended.set()
        except BaseException as error:
            _log_error(error)
            form.failed(effect, error, self._still_open(effect.changeset))
        else:
            form.finished(effect, result)
        if form.shown.phase is not Phase.BUSY:
            for told in self.on_change:
                told()

    def _applied(self, effect: ApplyChanges, progress: Callable[[int, int, str], None]) -> pd.DataFrame:
        if effect.changes is not None:
            changes: Any = effect.changes
            return changes.apply(confirm=True, wait=True, progress=progress)  # type: ignore[no-any-return]
        result = self.client.resume(effect.changeset, confirm=True, progress=progress)
        return result if len(result) else _journal_result(self.client, effect.changeset)

    def _still_open(self, changeset: str) -> bool:
        """Whether the journal has changes without an outcome; where it cannot be read, they may be there."""
        try:
            return bool((self.client.pending().changeset == changeset).any())
        except LcnbError:
            return True


def _journal_result(client: LetsCloud, changeset: str) -> pd.DataFrame:
    """What the journal says of a ChangeSet that is not open any more, as a result of `apply` would say it."""
    journal = client.journal()
    rows = journal[journal.changeset == changeset]
    return rows[["change", "action", "target", "identifier", "outcome", "detail", "tries"]].reset_index(
        drop=True
    )


def _log_error(error: BaseException) -> None:
    """For `logging`; lcnb's errors hold no secret, and of others the kind and the place are enough."""
    if isinstance(error, LcnbError):
        logger.info("%s: %s", type(error).__name__, error)
    else:
        logger.error("%s in a form", type(error).__name__, exc_info=not isinstance(error, KeyboardInterrupt))
