"""`ApplySession`: what the steps of one apply share: its tasks, the journal, the clock, and reading the account."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence

from lcnb.api.flows import Flow, LocalWork
from lcnb.changes.actions import action_of
from lcnb.changes.journal import Journal
from lcnb.changes.live_account import LiveAccount, read_account
from lcnb.changes.machine_locks import ChangeLocks
from lcnb.changes.tasks import ApplyRules, ChangeTask, Progress
from lcnb.config import Settings
from lcnb.errors import AuthenticationError, DeadlineExceeded, LcnbError
from lcnb.facts.facts_file import FactsFile
from lcnb.facts.wishes import describe_wish, write_wish
from lcnb.shortening import name_first

#: Seconds between two readings of the account; the last value repeats.
POLL_DELAYS_S = (1.0, 2.0, 4.0, 8.0, 15.0, 20.0)


def poll_delays() -> Iterator[float]:
    """Yield the seconds to wait before each reading of the account, without end."""
    return itertools.chain(POLL_DELAYS_S, itertools.repeat(POLL_DELAYS_S[-1]))


def target_names(tasks: Sequence[ChangeTask]) -> str:
    """Return the targets of some changes in one line, at most three by name."""
    return name_first([task.change.target for task in tasks])


def needed_listings(tasks: Sequence[ChangeTask]) -> set[str]:
    """Return the listings that show the targets and the effects of some changes."""
    return {kind for task in tasks for kind in action_of(task.change).listings}


class ApplySession:
    """One ChangeSet while it is applied."""

    def __init__(
        self,
        changeset: str,
        tasks: Sequence[ChangeTask],
        journal: Journal,
        rules: ApplyRules,
        settings: Settings,
        clock: Callable[[], float],
        progress: Progress | None = None,
        locks: ChangeLocks | None = None,
    ) -> None:
        self.changeset = changeset
        self.tasks = list(tasks)
        self.journal = journal
        self.rules = rules
        self.settings = settings
        self.clock = clock
        #: The locks across machines, where they are configured.
        self.locks = locks
        self._progress = progress or (lambda ended, total, text: None)
        #: Kind → the identifiers that the first reading listed.
        self._listed_first: dict[str, set[str]] = {}

    def report_step(self, text: str) -> None:
        """Report a step to the progress function of the caller."""
        ended = sum(task.ended is not None for task in self.tasks)
        self._progress(ended, len(self.tasks), text)

    def record_outcome(
        self, task: ChangeTask, state: str, detail: str = "", identifier: str | None = None
    ) -> Flow[None]:
        """Set the outcome of a change, in memory and in the journal.

        An `unknown` change stays open in the journal, so that `resume` can settle it, unless its action never leaves a
        trace that could settle it.
        """
        detail = detail or (task.note if state == "done" else "")
        task.identifier = identifier or task.identifier or task.change.identifier
        task.account = self.settings.account
        if state in ("done", "twins") and task.change.facts:
            # Before the journal says "done": after a crash in between, `resume` settles the change and writes again.
            problem = yield LocalWork("facts", lambda: self._write_facts(task, state))
            detail = "; ".join(filter(None, [detail, problem]))
        task.state, task.detail, task.ended = state, detail, self.clock()
        kept = "sent" if state == "unknown" and action_of(task.change).may_be_resent else state
        yield LocalWork(
            "ended",
            lambda: self.journal.record_outcome(self.changeset, task.position, kept, task.identifier, detail),
        )
        self.report_step(f"{task.change.action} {task.change.target}: {state}")

    def _write_facts(self, task: ChangeTask, state: str) -> str:
        """Write the facts that a new machine shall get. Return why this was not possible, which undoes nothing."""
        wish = task.change.facts
        if state == "twins":
            reason = "which machine to keep is not decided"
        elif task.identifier is None:
            reason = "it has no identifier yet"
        else:
            try:
                write_wish(FactsFile(self.settings.facts_path), wish, task.identifier, task.change.target)
                return ""
            except (LcnbError, OSError) as error:
                reason = error.statement if isinstance(error, LcnbError) else str(error)
        return f"its facts were not written ({describe_wish(wish)}): {reason}"

    # --- reading the account ----------------------------------------------------------------------------

    def read_first(self) -> Flow[LiveAccount]:
        """Read everything that the changes are about, and remember what was listed.

        A reading that exceeds its deadline is repeated once, so that one lost response does not end the whole set.
        """
        kinds = needed_listings(self.tasks)
        try:
            live = yield from read_account(kinds)
        except DeadlineExceeded:
            live = yield from read_account(kinds)
        self._listed_first = {kind: live.identifiers(kind) for kind in kinds}
        return live

    def try_read(self, kinds: Collection[str]) -> Flow[LiveAccount | None]:
        """Read listings; None when the account cannot be read now. A refused token raises: waiting cannot help."""
        try:
            return (yield from read_account(kinds))
        except AuthenticationError:
            raise
        except LcnbError:
            return None

    def is_credible_absence(self, task: ChangeTask, live: LiveAccount) -> bool:
        """Whether a listing without a deleted thing can be believed.

        It must list another thing that was there before. Where there was no other, two such listings in a row are
        required.
        """
        kind = action_of(task.change).kind
        deleted = {each.change.identifier for each in self.tasks if action_of(each.change).deletes}
        others = self._listed_first.get(kind, set()) - deleted
        return bool(others & live.identifiers(kind)) if others else task.absences > 1
