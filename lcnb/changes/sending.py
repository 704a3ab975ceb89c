"""`ApplyFlow`: make changes exactly once, whatever happens between this machine and the provider.

It reads the live account and refuses when the account is no longer as planned; writes the whole ChangeSet into the
journal; then for each change writes the intent, sends once, and writes the outcome. Without a response, or with a 5xx,
the outcome is *unknown* until the account shows it (see `settling`). A create has no idempotency key: its label and
hostname, which did not exist before, identify it, and afterwards the account is watched for twins.

Every step is an effect that the flow yields (a call, a pause, a line in the journal), so tests enumerate the places
where a process can die, and turn the clock themselves. `resume` continues from the journal.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from lcnb.api.flows import Envelope, Flow, GuardedCall, LocalWork, Pause
from lcnb.changes.actions import action_of
from lcnb.changes.change import Change
from lcnb.changes.goals import GoalWait
from lcnb.changes.journal import JournalEntry, utc_now
from lcnb.changes.live_account import LiveAccount, read_account
from lcnb.changes.protection import check_protection, find_refusal
from lcnb.changes.session import ApplySession, needed_listings, poll_delays
from lcnb.changes.settling import Settlement
from lcnb.changes.tasks import ChangeTask
from lcnb.errors import (
    BadReply,
    Conflict,
    ConnectionFailed,
    ConnectionLost,
    DeadlineExceeded,
    Drifted,
    JournalError,
    LcnbError,
    Locked,
    NotFound,
    Protected,
    Refused,
    ServerError,
    ValidationError,
)
from lcnb.transport.budget import budget_key

#: Seconds that one change waits for an earlier one on the same machine.
MAX_BUSY_WAIT_S = 300.0
#: Seconds for which a reading of the account shows that a change may be sent: a set on a slow provider takes minutes.
MAX_READING_AGE_S = 20.0

#: After these errors the provider may have carried out the request.
_AMBIGUOUS_ERRORS = (ServerError, ConnectionLost, DeadlineExceeded, BadReply)
#: With these errors the provider may answer a request that was carried out a moment ago.
_REFUSALS_OF_A_STATE = (Refused, Conflict, NotFound, ValidationError)


class ApplyFlow:
    """Sends the changes of one session, in order. Run `apply` or `resume` on the wire of the client, once."""

    def __init__(self, session: ApplySession) -> None:
        self.session = session
        self.tasks = session.tasks
        self._settlement = Settlement(session, self._send_attempt)
        #: When the account was read to check the planned changes; the reading, where it was not the first one.
        self._read_at = session.clock()
        self._reread: LiveAccount | None = None

    # --- the two entry points ---------------------------------------------------------------------------

    def apply(self) -> Flow[list[ChangeTask]]:
        """Check the account, write the ChangeSet into the journal, make the changes."""
        session, settings = self.session, self.session.settings
        session.report_step("looking at the account")
        owner: dict[str, Any] = {
            "account": settings.account,
            "base_url": settings.base_url,
            "token": budget_key(settings.token),
            "looked_at": utc_now(),
            "pending_s": session.rules.settle_s,
            "attempt_s": session.rules.attempt_s,
        }
        self._read_at = session.clock()
        live = yield from session.read_first()
        problems = [
            problem
            for task in self.tasks
            if (problem := action_of(task.change).find_drift(task.change, live))
        ]
        if problems:
            raise Drifted(
                f"the account is no longer as planned: {'; '.join(problems)}",
                cure="Plan again, look at the new plan, and apply it.",
                not_done="sent",
            )
        check_protection([task.change for task in self.tasks], settings)
        for task in self.tasks:
            task.known = action_of(task.change).known_identifiers(task.change, live)
        entries = [journal_entry(session.changeset, task) for task in self.tasks]
        yield LocalWork("begin", lambda: session.journal.begin(session.changeset, entries, **owner))
        return (yield from self._make_changes())

    def resume(self) -> Flow[list[ChangeTask]]:
        """Settle what was sent, and make what was planned; each planned change is checked against the account."""
        self.session.report_step("looking at the account")
        self._read_at = self.session.clock()
        live = yield from self.session.read_first()
        if begun := [task for task in self.tasks if task.open]:
            yield from self._settlement.settle(begun)
            self._read_at = self.session.clock()
            live = yield from read_account(set(live.seen))
        if self.session.settings.read_only:
            return self.tasks  # what was planned stays open until the account may be changed
        yield from self._check_planned(live)
        return (yield from self._make_changes())

    def _check_planned(self, live: LiveAccount) -> Flow[None]:
        """Check each change that was not tried; one that is no longer as planned fails, and the others stay planned.

        Raises InputError, before any fails, if a protection could refuse one and the facts file cannot be read.
        """
        planned = [task for task in self.tasks if task.state == "not tried"]
        with suppress(Protected):  # each is checked before it is sent
            check_protection([task.change for task in planned], self.session.settings)
        touched: set[str | None] = {task.identifier for task in self.tasks if task.tries}
        for task in planned:
            yield from self._check_change(task, live, label_only=task.change.identifier in touched)
            touched.add(task.change.identifier)

    def _check_change(self, task: ChangeTask, live: LiveAccount, *, label_only: bool) -> Flow[None]:
        action = action_of(task.change)
        problem = action.find_drift(task.change, live, label_only=label_only)
        if problem:
            yield from self.session.record_outcome(
                task, "failed", f"no longer as planned, not sent: {problem}"
            )
        task.known = action.known_identifiers(task.change, live)

    # --- all changes ------------------------------------------------------------------------------------

    def _make_changes(self) -> Flow[list[ChangeTask]]:
        """Make the changes that were not tried, settle all that were sent, and wait for the final states."""
        for task in self.tasks:
            if task.state == "not tried" and not (yield from self._make_change(task)):
                break
        yield from self._settlement.settle([task for task in self.tasks if task.open])
        if self.session.rules.wait_s is not None:
            yield from GoalWait(self.session).wait(self._changes_with_goals())
        return self.tasks

    def _changes_with_goals(self) -> list[ChangeTask]:
        """Return the changes whose final state the account shows: of several changes of one machine, the last one."""
        last = {task.identifier or task.change.target: task for task in self.tasks if task.state == "done"}
        return [task for task in last.values() if action_of(task.change).goal]

    def _make_change(self, task: ChangeTask) -> Flow[bool]:
        """Make one change; return whether the next one may follow."""
        yield from self._wait_until_free(task)
        yield from self._check_again(task)
        if task.state == "not tried" and not task.detail:
            yield from self._send_attempt(task)
        if self.session.rules.on_error == "continue":
            return True
        if task.state == "uncertain":
            yield from self._settlement.settle([task])
        return task.state not in ("failed", "unknown", "twins", "not tried")

    def _wait_until_free(self, task: ChangeTask) -> Flow[None]:
        """Wait until the earlier changes of the same thing have shown their effect and ended.

        When it is unknown whether an earlier change took effect, this one is not sent: the earlier one could still take
        effect after it, and undo it.
        """
        earlier = self._earlier_attempts(task)
        if not earlier:
            return
        yield from self._settlement.settle([each for each in earlier if each.open])
        doubtful = next((each for each in earlier if each.state == "unknown"), None)
        if doubtful is not None:
            task.detail = (
                f"not sent: {doubtful.change.action} of {doubtful.change.target} may still take effect"
            )
        elif action_of(task.change).target_can_be_busy:
            yield from self._wait_while_busy(task)

    def _earlier_attempts(self, task: ChangeTask) -> list[ChangeTask]:
        """Return the changes of the same thing that precede this one and were sent."""
        identifier = task.change.identifier
        if identifier is None:
            return []
        return [
            each
            for each in self.tasks[: task.position]
            if each.tries and identifier in (each.identifier, each.change.identifier)
        ]

    def _wait_while_busy(self, task: ChangeTask) -> Flow[None]:
        """Wait at most MAX_BUSY_WAIT_S; then the change is sent, and the provider says what is wrong."""
        action = action_of(task.change)
        deadline = self.session.clock() + MAX_BUSY_WAIT_S
        for delay in poll_delays():
            yield Pause(delay, f"waiting for {task.change.target} to be free")
            live = yield from self.session.try_read(action.listings)
            if live is not None and (state := _target_state(task.change, live)) != "busy":
                if state:
                    yield from self._check_change(task, live, label_only=True)
                return
            if self.session.clock() >= deadline:
                return

    def _check_again(self, task: ChangeTask) -> Flow[None]:
        """Check a change against a recent reading: somebody may have relabelled its machine, or taken its label.

        A change of something that an earlier change has touched was checked when it had waited for that one.
        """
        if self._earlier_attempts(task):
            return
        now = self.session.clock()
        if now - self._read_at > MAX_READING_AGE_S:
            planned = [each for each in self.tasks if each.state == "not tried"]
            self._reread = (yield from self.session.try_read(needed_listings(planned))) or self._reread
            self._read_at = now
        if self._reread is not None:
            yield from self._check_change(task, self._reread, label_only=False)

    # --- one change -------------------------------------------------------------------------------------

    def _send_attempt(self, task: ChangeTask) -> Flow[None]:
        """Send one attempt of a change. The intent is on the disk before the request is sent."""
        session, change = self.session, task.change
        if problem := find_refusal(change, session.settings):
            return (yield from self._refuse_attempt(task, problem))
        if problem := (yield from self._check_locks()):
            return self._leave_unsent(task, problem)
        session.report_step(f"{change.action} {change.target}")
        if task.tries == 0:
            failure = yield from action_of(change).prepare(change)
            if failure is not None:
                return (yield from session.record_outcome(task, "failed", failure))
        if task.renewed:
            task.note = "with a new password, since lcnb does not store typed ones; `reveal` returns it"
        known = sorted(task.known)
        yield LocalWork(
            "sending",
            lambda: session.journal.record_attempt(
                session.changeset, task.position, known, self._fence(task)
            ),
        )
        task.tries += 1
        task.began = session.clock() if task.began is None else task.began
        try:
            envelope = yield GuardedCall(change.call, session.locks.check) if session.locks else change.call
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            with suppress(JournalError):
                session.journal.record_giving_up(session.changeset, task.position)
            raise
        except _AMBIGUOUS_ERRORS as error:
            task.state, task.detail, task.sent_at = "uncertain", brief_message(error), session.clock()
            yield LocalWork(
                "given up", lambda: session.journal.record_giving_up(session.changeset, task.position)
            )
        except LcnbError as error:
            yield from self._take_refusal(task, error)
        else:
            task.sent_at = session.clock()
            yield from self._take_success(task, envelope)
        return None

    def _check_locks(self) -> Flow[str]:
        """Return why the locks across machines do not allow to send now, or nothing. Renews them where it is time."""
        if self.session.locks is None:
            return ""
        return (yield LocalWork("locks", self.session.locks.ensure))  # type: ignore[no-any-return]

    def _fence(self, task: ChangeTask) -> int | None:
        return self.session.locks.fence(task.change) if self.session.locks else None

    def _leave_unsent(self, task: ChangeTask, problem: str) -> None:
        """Leave a change as it is without a lock: one that was not tried stays planned, for `resume`.

        Locked when nothing of the ChangeSet was sent.
        """
        if not any(each.tries for each in self.tasks):
            raise Locked(f"{task.change.action} {task.change.target}: {problem}", not_done="sent")
        if task.tries == 0:
            task.detail = f"not sent: {problem}"
        else:
            task.detail, task.refused = f"not sent again: {problem}", True

    def _refuse_attempt(self, task: ChangeTask, problem: str) -> Flow[None]:
        """End a change that was never sent; leave one that was sent to the account, without another attempt."""
        if task.tries == 0:
            yield from self.session.record_outcome(task, "failed", f"not sent: {problem}")
        else:
            task.detail, task.refused = f"not sent again: {problem}", True

    def _take_refusal(self, task: ChangeTask, error: LcnbError) -> Flow[None]:
        """End a change whose only request was certainly not carried out; keep any other one open.

        An earlier request may have been carried out meanwhile, which can be why the provider refuses this one. That may
        be an earlier attempt, or this one: a proxy may send a request again by itself. Creates are left out: the
        provider would make twins, and a new machine is listed too late to look for it after each refusal.
        """
        action, message = action_of(task.change), brief_message(error)
        can_show = action.may_be_resent and not action.creates
        if task.tries == 1 and can_show and isinstance(error, _REFUSALS_OF_A_STATE):
            task.state, task.refusal = "uncertain", message
            task.note = "; ".join(
                filter(None, [task.note, f"the account shows it, although the response was: {message}"])
            )
        elif task.tries == 1:
            yield from action.undo_preparation(task.change)
            yield from self.session.record_outcome(task, "failed", message)
            return
        task.detail, task.sent_at = message, self.session.clock()
        if not isinstance(error, ConnectionFailed):  # then the provider has not seen it
            task.refused = True

    def _take_success(self, task: ChangeTask, envelope: Envelope) -> Flow[None]:
        outcome = yield from action_of(task.change).take_response(task, envelope)
        if outcome is None:
            task.state = "accepted"
        else:
            yield from self.session.record_outcome(task, *outcome)


def _target_state(change: Change, live: LiveAccount) -> str:
    """Return the state of what a change is about; "" when it is not listed.

    No generator keeps the record: it holds an initial password, and a traceback may print the variables of each frame.
    """
    found = action_of(change).find_target(change, live)
    return "" if found is None else str(getattr(found[0], "state", None))


def brief_message(error: LcnbError) -> str:
    """Return what happened and what to do next, without the number of attempts, which the result has."""
    return str(getattr(error, "brief", "") or error)


def journal_entry(changeset: str, task: ChangeTask) -> JournalEntry:
    """Return the entry of a change that is about to be made."""
    change = task.change
    call = change.call
    return JournalEntry(
        changeset, task.position, "planned", change.action, change.target, call.method, call.path,
        call.masked_body(), change.plan(),
    )  # fmt: skip
