"""Settle changes that were sent: read the account until it shows what happened to each, or its window is over.

A change is *done* when the account shows its effect, not when the provider has accepted it: an effect may come after
the response, and would undo a later change of the same machine. The account is read after 1, 2, 4, 8, 15, 20 ... s,
with one listing for all open changes. An attempt may take effect until the settle window after it has passed, so
nothing is sent again before; then only what may be repeated, only if the account shows no effect and the machine is
not busy, and at most twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lcnb.api.flows import Flow, LocalWork, Pause
from lcnb.changes.actions import action_of
from lcnb.changes.actions.base import Evidence, SimilarChanges
from lcnb.changes.live_account import LiveAccount
from lcnb.changes.session import ApplySession, needed_listings, poll_delays, target_names
from lcnb.changes.tasks import ChangeTask

#: How often one change may be sent in all.
MAX_SENDS = 3
#: Seconds after its window for which a change stays open while the account cannot be read or the machine is busy.
MAX_UNREADABLE_S = 300.0


class Settlement:
    """Settles the changes of one session; `resend` sends a change again."""

    def __init__(self, session: ApplySession, resend: Callable[[ChangeTask], Flow[None]]) -> None:
        self.session = session
        self.resend = resend

    def settle(self, tasks: Sequence[ChangeTask]) -> Flow[None]:
        """Read the account until each of these changes has an outcome."""
        delays = poll_delays()
        # The effect of an accepted change usually shows at once; a new machine does not.
        at_once = all(task.state == "accepted" and not action_of(task.change).creates for task in tasks)
        wait = 0.0 if at_once else next(delays)
        while still := [task for task in tasks if task.open]:
            why = f"looking for {target_names(still)}"
            self.session.report_step(why)
            if wait:
                yield Pause(wait, why)
            wait = next(delays)
            for task in (yield from self._judge_all(still)):
                yield from self.resend(task)
                delays = poll_delays()
                wait = next(delays)

    def _judge_all(self, tasks: Sequence[ChangeTask]) -> Flow[list[ChangeTask]]:
        """Read the account once and judge each change; return those that are to be sent again."""
        live = yield from self.session.try_read(needed_listings(tasks))
        again = []
        for task in tasks:
            if live is None:
                yield from self._give_up_unreadable(task)
            elif (yield from self._judge_task(task, live)):
                again.append(task)
        return again

    def _seconds_since_sent(self, task: ChangeTask) -> float:
        return self.session.clock() - task.sent_at

    def _is_over(self, task: ChangeTask, extra_s: float = 0.0) -> bool:
        """Whether the change can no longer take effect, since its settle window has passed."""
        return self._seconds_since_sent(task) >= self.session.rules.settle_s + extra_s

    def _give_up_unreadable(self, task: ChangeTask) -> Flow[None]:
        if self._is_over(task, MAX_UNREADABLE_S):
            detail = "; ".join(filter(None, [task.detail, "the account cannot be read"]))
            yield from self.session.record_outcome(task, "unknown", detail)

    def _judge_task(self, task: ChangeTask, live: LiveAccount) -> Flow[bool]:
        """End a change if the account shows how it ended; return True when it is to be sent again."""
        evidence = yield from self._read_evidence(task, live)
        verdict, identifier, detail = evidence.verdict, evidence.identifier, evidence.detail
        task.found = task.found or verdict in ("shown", "unnamed")
        over = bool(task.refusal) or self._is_over(task)
        if verdict == "twins":
            yield from self.session.record_outcome(task, "twins", detail, identifier)
        elif verdict == "lost":
            yield from self.session.record_outcome(task, "failed", detail, identifier)
        elif verdict == "shown":
            if over or not _may_become_twins(task):
                yield from self.session.record_outcome(task, "done", detail, identifier)
        elif verdict == "busy":
            yield from self._judge_busy(task)
        elif over:
            return (yield from self._judge_after_window(task, evidence, live))
        return False

    def _judge_busy(self, task: ChangeTask) -> Flow[None]:
        task.seen_busy = not task.refusal  # else another action may be the reason
        if task.state == "accepted":
            yield from self.session.record_outcome(
                task, "done", "accepted; the machine is still busy with it"
            )
        elif self._is_over(task, MAX_UNREADABLE_S):
            yield from self.session.record_outcome(
                task, "unknown", f"{task.detail} The machine is still busy"
            )

    def _judge_after_window(self, task: ChangeTask, evidence: Evidence, live: LiveAccount) -> Flow[bool]:
        if evidence.verdict == "unnamed":
            detail = "it is there, but has no identifier yet"
            yield from self.session.record_outcome(task, "done", detail, evidence.identifier)
        elif evidence.verdict == "absent":
            return (yield from self._judge_absent(task, live))
        elif task.absences == 1:  # doubtful; a first absence is read once more
            return False
        elif task.refusal:
            yield from self._record_refusal(task)
        else:
            detail = " ".join(filter(None, [task.detail, evidence.detail]))
            yield from self.session.record_outcome(task, "unknown", detail)
        return False

    def _judge_absent(self, task: ChangeTask, live: LiveAccount) -> Flow[bool]:
        """End a change that left no effect, or return True to send it again.

        It is sent again only to what was planned for: somebody may have given the machine another use meanwhile, or its
        identifier to another machine.
        """
        action = action_of(task.change)
        if task.state == "accepted":
            outcome = action.unseen_outcome(self.session.rules.settle_s)
            yield from self.session.record_outcome(task, outcome.state, outcome.detail)
        elif task.refusal:
            yield from self._record_refusal(task)
        elif task.found:
            yield from self.session.record_outcome(task, "unknown", "it was there, and is gone again")
        elif not action.may_be_resent:
            detail = f"{task.detail} It leaves no trace in the account: look at the machine before it is done again."
            yield from self.session.record_outcome(task, "unknown", detail)
        else:
            count = "once" if task.tries == 1 else f"{task.tries} times"
            if task.refused or task.tries >= MAX_SENDS:
                detail = f"sent {count} and not seen: {task.detail}"
            elif problem := action.find_drift(task.change, live, label_only=True):
                detail = f"sent {count} and not seen; not sent again: {problem}"
            else:
                return True
            yield from self.session.record_outcome(task, "unknown", detail)
        return False

    def _record_refusal(self, task: ChangeTask) -> Flow[None]:
        """End a change that the provider refused, and whose effect the account does not show."""
        yield from action_of(task.change).undo_preparation(task.change)
        yield from self.session.record_outcome(task, "failed", task.refusal)

    def _read_evidence(self, task: ChangeTask, live: LiveAccount) -> Flow[Evidence]:
        """Return what the account shows of a change, without what other changes may have caused."""
        action = action_of(task.change)
        similar = SimilarChanges()
        if action.journal_lookup:
            session = self.session
            similar = yield LocalWork(
                action.journal_lookup,
                lambda: action.find_similar(task, session.journal, session.changeset, session.rules),
            )
        evidence = action.find_evidence(task, live, similar)
        if action.creates and evidence.verdict == "absent" and action.kind in live.incomplete:
            hidden = live.incomplete[action.kind]
            return Evidence(
                "doubtful", None, f"It may be in a part of the listing that cannot be read: {hidden}"
            )
        if action.deletes:
            task.absences = task.absences + 1 if evidence.verdict == "shown" else 0
            if evidence.verdict == "shown" and not self.session.is_credible_absence(task, live):
                detail = "it is not listed, but neither is anything else that was there before"
                return Evidence("doubtful", None, detail)
        return evidence


def _may_become_twins(task: ChangeTask) -> bool:
    """Whether an earlier attempt of a create may still take effect: then it is watched for a whole window."""
    return action_of(task.change).creates and task.tries > 1
