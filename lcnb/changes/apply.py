"""Making changes exactly once, whatever happens between here and the provider.

One flow does it: look at the live account and refuse when it is no longer as planned; write the whole ChangeSet
into the journal; then for each change write the intent, send once, write the outcome. A change is *done* when the
account shows its effect, not when the provider has accepted it: an effect may come after its answer, and would undo a
later change of the same machine. So the account is looked at, at 1, 2, 4, 8, 15, 20 ... s, by one listing for all open
changes, until it shows what happened. An answer that does not come, or a 5xx, leaves the outcome *unknown* until then.

An attempt may take effect until the settle window after it is over, so nothing is sent again before; then only what
can be repeated, only if the account shows no effect and the machine is not busy, and at most twice. A create has no
idempotency key: its label and hostname, not there before, are its identity, and afterwards the account is watched for
twins.

Every step is an effect that the flow yields (a call, a pause, a line in the journal), so tests enumerate the
places where a process can die, and turn the clock themselves. `resume` goes on from the journal.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import operator
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcnb.api import flows, queries
from lcnb.api.calls import WRITE_ATTEMPT_MIN_S
from lcnb.api.fields import Record
from lcnb.api.flows import Flow, LocalWork, Pause, Together
from lcnb.api.models import Instance, Snapshot, SSHKey
from lcnb.api.record_reader import read_record
from lcnb.changes.changeset import Change, ChangeSet, Confirm, OnError, Progress
from lcnb.changes.journal import ChangeSetOwner, Journal, JournalEntry, utc_now
from lcnb.config import Settings
from lcnb.errors import (
    AlreadyApplied,
    AuthenticationError,
    BadReply,
    ChangeFailed,
    ConnectionFailed,
    ConnectionLost,
    DeadlineExceeded,
    Drifted,
    InputError,
    JournalError,
    LcnbError,
    Locked,
    ServerError,
    WaitTimeout,
)
from lcnb.flags import checked_flag
from lcnb.folders import make_state_folder
from lcnb.names import comparable_name, same_name
from lcnb.secret import STARS, Secret
from lcnb.suggestions import did_you_mean
from lcnb.transport.budget import budget_key

if TYPE_CHECKING:
    import pandas as pd

#: Seconds between two looks; the last one goes on.
POLL_DELAYS_S = (1.0, 2.0, 4.0, 8.0, 15.0, 20.0)
#: How often a change may be sent in all.
MAX_SENDS = 3
#: Seconds that waiting for final states may take.
DEFAULT_WAIT_S = 1200.0
#: Seconds that one change waits for the one before it on the same machine.
MAX_BUSY_WAIT_S = 300.0
#: Seconds for which looking may fail before a change's outcome is given up on.
MAX_UNREADABLE_S = 300.0
#: Seconds that a selection of rows may be old.
MAX_SELECTION_AGE_S = 900.0

#: After these the request may have been carried out.
_AMBIGUOUS_ERRORS = (ServerError, ConnectionLost, DeadlineExceeded, BadReply)
_LISTING_FLOWS = {
    "instance": queries.list_instances,
    "sshkey": queries.list_sshkeys,
    "snapshot": queries.list_snapshots,
}
_MODELS: dict[str, type[Record]] = {"instance": Instance, "sshkey": SSHKey, "snapshot": Snapshot}


@dataclass
class ChangeTask:
    """A change under way. States: not tried, accepted, uncertain; and how it ended: done, failed, twins, unknown."""

    change: Change
    position: int
    state: str = "not tried"
    detail: str = ""
    identifier: str | None = None
    tries: int = 0
    #: When it was first and last sent, and when it ended, on the flow's clock.
    began: float | None = None
    sent_at: float = 0.0
    ended: float | None = None
    #: Identifiers that its effect must not be confused with, since they were there before.
    known: frozenset[str] = frozenset()
    #: A second sending was refused: no third one.
    refused: bool = False
    #: The machine was busy after it was sent, and was not before.
    seen_busy: bool = False
    #: In how many looks in a row what is to be deleted was not listed.
    absences: int = 0
    #: The public half of a pair that the provider has made, as its answer has it.
    public_key: str | None = None
    #: A typed password is kept nowhere: one that was made stands in its place.
    renewed: bool = False
    note: str = ""
    found: bool = False
    reached: bool = True

    @property
    def open(self) -> bool:
        return self.state in ("accepted", "uncertain")

    @property
    def creates(self) -> bool:
        return self.change.action in ("create instance", "create snapshot", "generate ssh key")


@dataclass(frozen=True)
class LiveAccount:
    """The account as it was just seen: kind → records with their raw JSON."""

    seen: Mapping[str, list[tuple[Any, Mapping[str, Any]]]]
    #: Kinds with records that could not be read: what is not seen of them may be there.
    incomplete: frozenset[str] = frozenset()

    def of(self, kind: str) -> list[Any]:
        return [record for record, _ in self.seen[kind]]

    def find(self, change: Change, slug: str | None = None) -> tuple[Any, Mapping[str, Any]] | None:
        """The record that a change is about; `slug`: of an ssh key, as the provider's answer names it."""
        kind = "instance" if change.action == "create snapshot" else change.about.kind
        key = "identifier" if kind == "instance" else "slug"
        for record, raw in self.seen[kind]:
            if change.identifier is not None and getattr(record, key) in {change.identifier, slug} - {None}:
                return record, raw
        return None

    def identifiers(self, kind: str) -> set[str]:
        key = "identifier" if kind == "instance" else "slug"
        return {found for each in self.of(kind) if (found := getattr(each, key))}

    def may_hide(self, change: Change) -> bool:
        """Whether the target of a change may be there though it was not found: in a record that could not be read."""
        kind = change.about.kind
        return kind in self.incomplete or any(
            not each.identifier and same_name(each.label, change.target)
            for each in (self.of(kind) if kind == "instance" else ())
        )


@dataclass(frozen=True)
class ApplyRules:
    """How an apply behaves."""

    settle_s: float
    #: Seconds that one attempt may take at most.
    attempt_s: float
    on_error: OnError = "stop"
    wait_s: float | None = None


def _apply_rules(settings: Settings, on_error: OnError, wait_s: float | None) -> ApplyRules:
    return ApplyRules(settings.settle, max(settings.timeout, WRITE_ATTEMPT_MIN_S), on_error, wait_s)


def check_settled(settings: Settings, wanted: Mapping[str, str]) -> None:
    """AlreadyApplied when a change of one of these things, identifier → what is wanted, may still take effect."""
    rules = _apply_rules(settings, "stop", None)
    Journal(settings.state_dir).check_settled(
        wanted,
        account=settings.account,
        base_url=settings.base_url,
        token=budget_key(settings.token),
        pending_s=rules.settle_s,
        attempt_s=rules.attempt_s,
    )


class ApplyFlow:
    """The changes of one ChangeSet on their way."""

    def __init__(
        self,
        changeset: str,
        tasks: Sequence[ChangeTask],
        journal: Journal,
        rules: ApplyRules,
        clock: Callable[[], float],
        progress: Progress | None = None,
    ) -> None:
        self.changeset = changeset
        self.tasks = list(tasks)
        self.journal = journal
        self.rules = rules
        self.clock = clock
        self._progress = progress or (lambda ended, total, text: None)
        #: Kind → the identifiers that were listed at the first look.
        self._there: dict[str, set[str]] = {}

    # --- the two ways in --------------------------------------------------------------------------------

    def apply(self, settings: Settings) -> Flow[list[ChangeTask]]:
        """Check, write down, make."""
        self._tell("looking at the account")
        whose: dict[str, Any] = {
            "account": settings.account,
            "base_url": settings.base_url,
            "token": budget_key(settings.token),
            "looked_at": utc_now(),
            "pending_s": self.rules.settle_s,
            "attempt_s": self.rules.attempt_s,
        }
        live = yield from self._first_look()
        problems = [problem for task in self.tasks if (problem := _drift_problem(task, live))]
        if problems:
            raise Drifted(f"the account is no longer as planned: {'; '.join(problems)}. Nothing was sent.")
        for task in self.tasks:
            task.known = _known_identifiers(task.change, live)
        entries = [_journal_entry(self.changeset, task) for task in self.tasks]
        yield LocalWork("begin", lambda: self.journal.begin(self.changeset, entries, **whose))
        return (yield from self._make())

    def resume(self) -> Flow[list[ChangeTask]]:
        """Settle what was sent, and make what was planned; each planned one is checked against the account."""
        self._tell("looking at the account")
        live = yield from self._first_look()
        if begun := [task for task in self.tasks if task.open]:
            yield from self._settle(begun)
            live = yield from self._look(set(live.seen))
        touched: set[str | None] = {task.identifier for task in self.tasks if task.tries}
        for task in self.tasks:
            if task.state == "not tried":
                problem = _drift_problem(task, live, label_only=task.change.identifier in touched)
                if problem:
                    yield from self._end(task, "failed", f"no longer as planned, not sent: {problem}")
                task.known = _known_identifiers(task.change, live)
                touched.add(task.change.identifier)
        return (yield from self._make())

    def _make(self) -> Flow[list[ChangeTask]]:
        for task in self.tasks:
            if task.state != "not tried":
                continue
            yield from self._until_free(task)
            if task.state == "not tried" and not task.detail:
                yield from self._send(task)
            if self.rules.on_error == "stop":
                if task.state == "uncertain":
                    yield from self._settle([task])
                if task.state in ("failed", "unknown", "twins", "not tried"):
                    break
        yield from self._settle([task for task in self.tasks if task.open])
        if self.rules.wait_s is not None:
            # Of several changes of one machine the last decides in which state it ends.
            last = {
                task.identifier or task.change.target: task for task in self.tasks if task.state == "done"
            }
            yield from self._wait([task for task in last.values() if task.change.about.goal])
        return self.tasks

    # --- sending ----------------------------------------------------------------------------------------

    def _send(self, task: ChangeTask) -> Flow[None]:
        change = task.change
        self._tell(f"{change.action} {change.target}")
        if change.private_key is not None and task.tries == 0:
            written = yield LocalWork("write key", lambda: _write_key(change, change.private_key))
            if isinstance(written, str):
                return (yield from self._end(task, "failed", written))
        elif change.key_file is not None and task.tries == 0:
            problem = yield LocalWork("try key file", lambda: _try_key_file(change))
            if isinstance(problem, str):
                return (yield from self._end(task, "failed", problem))
        if task.renewed:
            task.note = "with a new password, since the typed one is kept nowhere; reveal tells it"
        known = sorted(task.known)
        yield LocalWork("sending", lambda: self.journal.sending(self.changeset, task.position, known))
        task.tries += 1
        task.began = self.clock() if task.began is None else task.began
        first = task.tries == 1
        try:
            envelope = yield change.call
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            with suppress(JournalError):
                self.journal.given_up(self.changeset, task.position)
            raise
        except _AMBIGUOUS_ERRORS as error:
            task.state, task.detail, task.sent_at = "uncertain", _brief_message(error), self.clock()
            yield LocalWork("given up", lambda: self.journal.given_up(self.changeset, task.position))
        except ConnectionFailed as error:
            if first:
                return (yield from self._refused(task, error))
            task.detail, task.sent_at = _brief_message(error), self.clock()
        except LcnbError as error:
            if first:
                return (yield from self._refused(task, error))
            # The one before may have been carried out meanwhile, which can be why this one is refused.
            task.detail, task.refused, task.sent_at = _brief_message(error), True, self.clock()
        else:
            task.sent_at = self.clock()
            yield from self._accepted(task, envelope)
        return None

    def _refused(self, task: ChangeTask, error: LcnbError) -> Flow[None]:
        """Certainly not made. The private half of a pair that nobody knows would be in the way of the next try."""
        if task.change.private_key is not None:
            yield LocalWork("remove key", lambda: _key_path(task.change).unlink(missing_ok=True))
        yield from self._end(task, "failed", _brief_message(error))

    def _accepted(self, task: ChangeTask, envelope: flows.Envelope) -> Flow[None]:
        change = task.change
        data = envelope.data if isinstance(envelope.data, Mapping) else {}
        if change.action == "create instance" or (task.creates and task.tries > 1):
            task.state = "accepted"
            return
        if change.call.effect == "create" and change.about.kind == "sshkey":
            yield from self._keep_key(task, data)
            return
        slug = data.get("slug")
        if isinstance(slug, str) and change.about.kind == "sshkey":
            task.identifier = slug  # the answer may come before the key is in force
        if isinstance(slug, str) and change.action == "create snapshot":
            yield from self._end(task, "done", identifier=slug)
        else:
            task.state = "accepted"

    def _keep_key(self, task: ChangeTask, data: Mapping[str, Any]) -> Flow[None]:
        """The private half stands in this answer alone: on the disk before anything else."""
        from lcnb.changes.build import key_weakness

        private = data.get("private_key")
        if not isinstance(private, str) or not private:
            yield from self._end(
                task, "failed", "the provider made a key, but told no private half; delete it"
            )
            return
        written = yield LocalWork("write key", lambda: _write_key(task.change, Secret(private)))
        if isinstance(written, str):
            yield from self._end(
                task, "failed", f"the pair was made, but its private half is lost: {written}"
            )
            return
        slug, public = data.get("slug"), data.get("public_key")
        task.identifier = slug if isinstance(slug, str) else task.change.identifier
        task.note = key_weakness(public)
        if isinstance(public, str) and public.strip():
            task.state, task.public_key = "accepted", public
        else:
            yield from self._end(task, "done")

    def _end(
        self, task: ChangeTask, state: str, detail: str = "", identifier: str | None = None
    ) -> Flow[None]:
        """The outcome, in memory and in the journal. What is `unknown` stays open there, for `resume`."""
        detail = detail or (task.note if state == "done" else "")
        task.state, task.detail, task.ended = state, detail, self.clock()
        task.identifier = identifier or task.identifier or task.change.identifier
        kept = "sent" if state == "unknown" and task.change.call.effect != "toggle" else state
        yield LocalWork(
            "ended",
            lambda: self.journal.ended(self.changeset, task.position, kept, task.identifier, detail),
        )
        self._tell(f"{task.change.action} {task.change.target}: {state}")

    def _until_free(self, task: ChangeTask) -> Flow[None]:
        """A change of a machine that this set has touched waits until that action has shown its effect and ended.

        When it is not known whether an earlier change took effect, this one is not sent: the earlier one could still
        come true after it, and undo it.
        """
        one = task.change.identifier
        earlier = [
            each
            for each in self.tasks[: task.position]
            if each.tries and one in (each.identifier, each.change.identifier)
        ]
        if not earlier or one is None:
            return
        yield from self._settle([each for each in earlier if each.open])
        doubtful = next((each for each in earlier if each.state == "unknown"), None)
        if doubtful is not None:
            task.detail = (
                f"not sent: {doubtful.change.action} of {doubtful.change.target} may still take effect"
            )
            return
        if task.change.about.kind == "sshkey":
            return  # never busy
        deadline = self.clock() + MAX_BUSY_WAIT_S
        for tick in _poll_delays():
            yield Pause(tick, f"waiting for {task.change.target} to be free")
            live = yield from self._try_look(_listing_kinds(task.change))
            found = live.find(task.change) if live else None
            if live and (found is None or getattr(found[0], "state", "") != "busy"):
                return
            if self.clock() >= deadline:
                return  # it is sent, and the provider says what is the matter

    # --- settling ---------------------------------------------------------------------------------------

    def _settle(self, tasks: Sequence[ChangeTask]) -> Flow[None]:
        """Look until each open change shows what happened to it, or its window is over."""
        ticks = _poll_delays()
        # What was accepted is usually seen at once; a new machine is not.
        at_once = all(task.state == "accepted" and not task.creates for task in tasks)
        wait = 0.0 if at_once else next(ticks)
        while still := [task for task in tasks if task.open]:
            self._tell(f"looking for {_target_names(still)}")
            if wait:
                yield Pause(wait, f"looking for {_target_names(still)}")
            wait = next(ticks)
            live = yield from self._try_look({kind for task in still for kind in _listing_kinds(task.change)})
            again = []
            for task in still:
                if live is None:
                    if self.clock() - task.sent_at >= self.rules.settle_s + MAX_UNREADABLE_S:
                        detail = "; ".join(filter(None, [task.detail, "the account cannot be read"]))
                        yield from self._end(task, "unknown", detail)
                elif (yield from self._judge(task, live)):
                    again.append(task)
            for task in again:
                yield from self._send(task)
                ticks = _poll_delays()
                wait = next(ticks)

    def _judge(self, task: ChangeTask, live: LiveAccount) -> Flow[bool]:
        """End a change if the account shows how; True when it is to be sent again."""
        over = self.clock() - task.sent_at >= self.rules.settle_s
        happened, identifier, detail = yield from self._evidence(task, live)
        task.found = task.found or happened == "yes" or happened == "unnamed"
        if happened == "twins":
            yield from self._end(task, "twins", detail, identifier)
        elif happened == "lost key":
            yield from self._end(task, "failed", detail, identifier)
        elif happened == "yes" and (over or not task.creates or task.tries == 1):
            # One that was sent again is watched for a whole window: the first sending may still come true.
            yield from self._end(task, "done", detail, identifier)
        elif happened == "unnamed" and over:
            yield from self._end(task, "done", "it is there, but has no identifier yet", identifier)
        elif happened == "busy":
            task.seen_busy = True
            if task.state == "accepted":
                yield from self._end(task, "done", "in progress: the machine is busy")
            elif self.clock() - task.sent_at >= self.rules.settle_s + MAX_UNREADABLE_S:
                yield from self._end(task, "unknown", f"{task.detail} The machine is still busy")
        elif happened == "doubtful" and over and task.absences != 1:
            yield from self._end(task, "unknown", " ".join(filter(None, [task.detail, detail])))
        elif happened == "no" and over:
            return (yield from self._absent(task))
        return False

    def _evidence(self, task: ChangeTask, live: LiveAccount) -> Flow[tuple[str, str | None, str]]:
        """What the account shows of a change, without what other changes of the same kind may have caused."""
        change = task.change
        if change.action == "create snapshot":
            title = str(change.expect["title"])
            made, others = yield LocalWork(
                "snapshots of the title",
                lambda: self.journal.snapshots_of_title(title, self.changeset, task.position),
            )
            return _snapshot_evidence(task, live, made, others)
        happened, identifier, detail = _change_evidence(task, live)
        if change.call.effect == "delete":
            task.absences = task.absences + 1 if happened == "yes" else 0
            if happened == "yes" and not self._is_credible(task, live):
                return (
                    "doubtful",
                    None,
                    "it is not listed, but neither is anything else that was there before",
                )
        return happened, identifier, detail

    def _is_credible(self, task: ChangeTask, live: LiveAccount) -> bool:
        """Whether a listing without what is to be deleted can be believed: it has another thing that was there before.

        Where there was no other, two such listings in a row are wanted.
        """
        kind = task.change.about.kind
        deleted = {each.change.identifier for each in self.tasks if each.change.call.effect == "delete"}
        others = self._there.get(kind, set()) - deleted
        return bool(others & live.identifiers(kind)) if others else task.absences > 1

    def _absent(self, task: ChangeTask) -> Flow[bool]:
        if task.state == "accepted":
            yield from self._unseen(task)
        elif task.found:
            yield from self._end(task, "unknown", "it was there, and is gone again")
        elif task.change.call.effect == "toggle":
            detail = f"{task.detail} It leaves no trace in the account: look at the machine before it is done again."
            yield from self._end(task, "unknown", detail)
        elif task.refused or task.tries >= MAX_SENDS:
            yield from self._end(
                task, "unknown", f"sent {_count_text(task.tries)} and not seen: {task.detail}"
            )
        else:
            return True
        return False

    def _unseen(self, task: ChangeTask) -> Flow[None]:
        """Accepted by the provider, but the account did not show it for the whole window."""
        window = f"{self.rules.settle_s:g} s"
        if task.creates:
            yield from self._end(task, "unknown", f"accepted, but in no listing for {window}")
        elif task.change.action in ("reboot", "reset password"):
            yield from self._end(
                task,
                "done",
                f"accepted; the account showed no trace of it within {window}, it may still follow",
            )
        else:
            yield from self._end(
                task,
                "unknown",
                f"accepted, but the account showed no effect for {window}; it may still follow",
            )

    # --- waiting ----------------------------------------------------------------------------------------

    def _wait(self, tasks: Sequence[ChangeTask]) -> Flow[None]:
        """Look until each is in its final state, or the deadline passes; the last state seen is told."""
        for task in tasks:
            task.reached = False
        deadline = self.clock() + (self.rules.wait_s or 0)
        ticks = _poll_delays()
        while waiting := [task for task in tasks if not task.reached]:
            left = deadline - self.clock()
            if left <= 0:
                return
            self._tell(f"waiting for {_target_names(waiting)}")
            yield Pause(min(next(ticks), left), f"waiting for {_target_names(waiting)}")
            live = yield from self._try_look({kind for task in waiting for kind in _goal_kinds(task.change)})
            for task in waiting:
                if live is not None:
                    task.reached, seen = _goal_reached(task, live)
                    wanted = task.change.about.goal
                    task.detail = "" if task.reached else f"not {wanted} yet; last seen: {seen}"
                if task.reached:
                    task.ended = self.clock()

    # --- looking ----------------------------------------------------------------------------------------

    def _look(self, kinds: set[str]) -> Flow[LiveAccount]:
        names = sorted(kinds)
        found = yield Together([_LISTING_FLOWS[name]() for name in names])
        return LiveAccount(
            {
                name: [(read_record(_MODELS[name], raw, path, []), raw) for path, raw in listing.records]
                for name, listing in zip(names, found, strict=True)
            },
            frozenset(name for name, listing in zip(names, found, strict=True) if listing.drift),
        )

    def _first_look(self) -> Flow[LiveAccount]:
        """All that the changes are about. One answer that never comes must not end the whole set."""
        kinds = {kind for task in self.tasks for kind in _listing_kinds(task.change)}
        try:
            live = yield from self._look(kinds)
        except DeadlineExceeded:
            live = yield from self._look(kinds)
        self._there = {kind: live.identifiers(kind) for kind in kinds}
        return live

    def _try_look(self, kinds: set[str]) -> Flow[LiveAccount | None]:
        """None when the account cannot be read now; a token that is refused will not get better."""
        try:
            return (yield from self._look(kinds))
        except AuthenticationError:
            raise
        except LcnbError:
            return None

    def _tell(self, text: str) -> None:
        ended = sum(task.ended is not None for task in self.tasks)
        self._progress(ended, len(self.tasks), text)


# --- what the account shows -----------------------------------------------------------------------------


def _listing_kinds(change: Change) -> set[str]:
    """The listings that show a change's target and its effect."""
    return {"instance", "snapshot"} if change.action == "create snapshot" else {change.about.kind}


def _goal_kinds(change: Change) -> set[str]:
    return {change.about.kind}


def _known_identifiers(change: Change, live: LiveAccount) -> frozenset[str]:
    """What is there already and could be taken for the new one: the same name."""
    if change.action == "create instance":
        return frozenset(
            each.identifier
            for each in live.of("instance")
            if each.identifier and same_name(each.label, change.target)
        )
    if change.action == "create snapshot":
        return frozenset(each.slug for each in live.of("snapshot") if each.slug)
    return frozenset()


def _drift_problem(task: ChangeTask, live: LiveAccount, *, label_only: bool = False) -> str:
    """Why a change must not be made now; empty when all is as planned."""
    change = task.change
    if change.action == "create instance":
        same = [each for each in live.of("instance") if same_name(each.label, change.target)]
        return f"a machine with the label {change.target!r} exists" if same else ""
    found = live.find(change)
    if change.about.kind == "sshkey":
        now, planned = (found[0].public_key if found else None), change.expect.get("public_key")
        return "" if now == planned else f"the ssh key {change.identifier} is not what it was"
    if found is None:
        return f"{change.target} ({change.identifier}) is gone"
    fields = ("label",) if label_only else ("label", "state", "location")
    wrong = [
        f"{name} is {getattr(found[0], name)!r}, was {change.expect[name]!r}"
        for name in fields
        if name in change.expect
        and hasattr(found[0], name)
        and not (same_name if name == "label" else operator.eq)(getattr(found[0], name), change.expect[name])
    ]
    return f"{change.target} ({change.identifier}): {', '.join(wrong)}" if wrong else ""


def _change_evidence(task: ChangeTask, live: LiveAccount) -> tuple[str, str | None, str]:
    """Whether a change shows: yes, no, unnamed (there, without identifier), twins; identifier; detail."""
    change = task.change
    if change.action == "create instance":
        return _creation_evidence(task, live.of("instance"))
    if change.about.kind == "sshkey":
        return _key_evidence(task, live.find(change, task.identifier), live)
    found = live.find(change)
    if found is None:
        gone = change.call.effect == "delete" and not live.may_hide(change)
        return ("yes" if gone else "no"), None, ""
    record, raw = found
    if change.action == "reset password":
        return _password_evidence(task, record, raw)
    if getattr(record, "state", "") == "busy":  # it was not when this was sent
        # A reboot leaves no other trace; all else shows when the machine is free again whether this was its work.
        return ("yes" if change.call.effect == "toggle" else "busy"), None, ""
    return ("yes" if _took_effect(change, record) else "no"), None, ""


def _snapshot_evidence(
    task: ChangeTask, live: LiveAccount, made: Collection[str], others: int
) -> tuple[str, str | None, str]:
    """A snapshot names no machine: one of the title counts only when no other change can have made it.

    `made`: the slugs that other changes have made under this title; `others`: how many of them have no outcome yet.
    """
    title = task.change.expect["title"]
    new = [
        each.slug
        for each in live.of("snapshot")
        if each.slug
        and same_name(each.label, title)
        and each.slug not in task.known
        and each.slug not in made
    ]
    if new and len(new) <= others:
        return "doubtful", None, f"{others + 1} changes may have made the snapshot {', '.join(new)}."
    if len(new) > others + 1:
        detail = (
            f"{len(new)} snapshots with this label are new: {', '.join(new)}. A snapshot does not say of which machine "
            "it is: keep them until you know"
        )
        return "twins", new[0], detail
    return ("yes", new[0], "") if new else ("no", None, "")


def _took_effect(change: Change, record: Any) -> bool:
    if change.action == "rename snapshot":
        return same_name(record.label, change.after)
    if change.action in ("power on", "power off", "shut down"):
        return bool(record.state == change.after)
    return change.action == "change plan" and _has_size(change, record)


def _password_evidence(task: ChangeTask, record: Any, raw: Mapping[str, Any]) -> tuple[str, str | None, str]:
    """The new password in the listing. Where the listing shows none, that the machine was busy has to do."""
    sent = (task.change.call.body or {}).get("password")
    shown = raw.get("initial_root_password")
    if shown and isinstance(sent, Secret) and sent == Secret(str(shown)):
        return "yes", None, ""
    if record.state == "busy":
        return "busy", None, ""
    return ("yes" if task.seen_busy and not shown else "no"), None, ""


def _has_size(change: Change, record: Any) -> bool:
    goal = change.expect.get("goal", {})
    return bool(goal) and all(getattr(record, name) == value for name, value in goal.items())


def _creation_evidence(task: ChangeTask, machines: Sequence[Instance]) -> tuple[str, str | None, str]:
    hostname = task.change.expect.get("hostname")
    new = [
        each
        for each in machines
        if same_name(each.label, task.change.target)
        and each.hostname in (hostname, None)
        and (each.identifier or "") not in task.known
    ]
    if len(new) == 1 and not new[0].identifier:
        return "unnamed", None, ""
    return _twin_evidence([each.identifier or "one still without identifier" for each in new], "machines")


def _twin_evidence(new: Sequence[str], what: str) -> tuple[str, str | None, str]:
    if len(new) > 1:
        detail = f"{len(new)} {what} were made: {', '.join(new)}. Keep one, and delete the others by their identifiers"
        return "twins", new[0], detail
    return ("yes", new[0], "") if new else ("no", None, "")


def _key_evidence(
    task: ChangeTask, found: tuple[Any, Any] | None, live: LiveAccount
) -> tuple[str, str | None, str]:
    change = task.change
    now = found[0].public_key if found else None
    if change.call.effect == "delete":
        return ("yes" if found is None and not live.may_hide(change) else "no"), None, ""
    if change.call.effect == "create" and task.public_key is None:
        if now == change.expect.get("public_key"):
            return "no", None, ""
        return (
            "lost key",
            change.identifier,
            "the pair was made, but its private half was lost with the answer; delete it",
        )
    sent = task.public_key or str((change.call.body or {}).get("key"))
    same = bool(now) and str(now).split()[:2] == sent.split()[:2]
    return ("yes" if same else "no"), change.identifier, ""


def _goal_reached(task: ChangeTask, live: LiveAccount) -> tuple[bool, str]:
    """Whether a change's goal is reached, and what was seen."""
    change = task.change
    wanted = task.identifier if task.creates else change.identifier
    key = "slug" if change.about.kind == "snapshot" else "identifier"
    record = next((each for each in live.of(change.about.kind) if getattr(each, key) == wanted), None)
    if record is None:
        return change.about.goal == "gone" and not live.may_hide(change), "not in the listing"
    if change.about.goal == "built":
        return bool(record.build), "built" if record.build else "being built"
    seen = str(record.state)
    if change.about.goal == "ready":
        return bool(record.state == "running" and record.ip_addresses), seen
    if change.about.goal == "unlocked":
        return record.state != "busy", seen
    if change.about.goal == "resized":
        size = f"{record.cpus} CPUs, {record.memory} MB, {record.total_disk_size} GB"
        return record.state != "busy" and _has_size(change, record), f"{seen}, {size}"
    return bool(record.state == change.about.goal), seen


# --- details --------------------------------------------------------------------------------------------


def _poll_delays() -> Iterator[float]:
    return itertools.chain(POLL_DELAYS_S, itertools.repeat(POLL_DELAYS_S[-1]))


def _target_names(tasks: Sequence[ChangeTask]) -> str:
    names = [task.change.target for task in tasks]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _count_text(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _brief_message(error: LcnbError) -> str:
    """What happened and what to do next; how often it was sent stands beside it."""
    return str(getattr(error, "brief", "") or error)


def _journal_entry(changeset: str, task: ChangeTask) -> JournalEntry:
    change = task.change
    call = change.call
    return JournalEntry(
        changeset, task.position, "planned", change.action, change.target, call.method, call.path,
        call.masked_body(), change.plan(),
    )  # fmt: skip


def _key_path(change: Change) -> Path:
    return Path(str(change.key_file)).expanduser()


def _write_key(change: Change, private_key: Secret | None) -> str | None:
    """Write a private key to its file, which must not exist, and read it back; the reason when it is not kept there."""
    path = _key_path(change)
    data = _pem_lines(private_key.reveal() if private_key else "")
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        return f"the key file {path} cannot be written: {error.strerror}"
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        kept = path.read_bytes()
    except OSError as error:
        path.unlink(missing_ok=True)
        return f"the key file {path} cannot be written: {error.strerror}"
    if kept != data:
        path.unlink(missing_ok=True)
        return f"the key file {path} does not keep what is written: other bytes are read back"
    return None


def _pem_lines(text: str) -> bytes:
    """A private key with the line ends that ssh takes: the provider sends CRLF, and none after the last line [node]."""
    return "".join(f"{line.rstrip()}\n" for line in text.strip().splitlines()).encode(
        "utf-8", "surrogatepass"
    )


#: Longer than the private half of any key pair that is offered.
_MAX_KEY_BYTES = 8192


def _try_key_file(change: Change) -> str | None:
    """Whether a key that the provider makes could be kept: its private half comes in one answer and never again."""
    problem = _write_key(change, Secret("0" * _MAX_KEY_BYTES))
    if problem is None:
        _key_path(change).unlink()
    return problem


# --- around the flow ------------------------------------------------------------------------------------


def confirm_apply(
    changes: ChangeSet, confirm: Confirm, wait: object, on_error: str, timeout: float | None
) -> bool:
    """Whether to make the changes: there are some, the arguments are right, and somebody confirmed."""
    check_arguments(confirm, wait, timeout, on_error)
    _check_age(changes)
    return bool(changes.changes) and changes.confirmed(confirm)


def check_arguments(confirm: Confirm, wait: object, timeout: float | None, on_error: str) -> None:
    """InputError for an argument of `apply` or `resume` that cannot be right."""
    if confirm is not None and not callable(confirm):
        checked_flag("confirm", confirm)
    checked_flag("wait", wait)
    if on_error not in ("stop", "continue"):
        raise InputError(f"on_error: expected 'stop' or 'continue', got {on_error!r}. Nothing was sent.")
    if timeout is not None and not (isinstance(timeout, int | float) and 0 < timeout < math.inf):
        raise InputError(f"timeout: expected seconds above 0, got {timeout!r}. Nothing was sent.")


def _check_age(changes: ChangeSet) -> None:
    read_at = changes.read_at
    if read_at is not None:
        age = (datetime.now(UTC) - read_at).total_seconds()
        if age > MAX_SELECTION_AGE_S:
            raise Drifted(
                f"the rows were read {age / 60:.0f} minutes ago, more than {MAX_SELECTION_AGE_S / 60:.0f}: the account may have "
                "changed since. Read the listing again and select anew. Nothing was sent."
            )


@contextmanager
def prepare_apply(
    changes: ChangeSet,
    wait: bool,
    timeout: float | None,
    on_error: OnError,
    progress: Progress | None,
) -> Iterator[Flow[list[ChangeTask]]]:
    """The flow that makes the changes, while no other process may touch this ChangeSet."""
    client: Any = changes._client
    rules = _apply_rules(client.settings, on_error, (timeout or DEFAULT_WAIT_S) if wait else None)
    tasks = [ChangeTask(change, position) for position, change in enumerate(changes)]
    work = ApplyFlow(changes.id, tasks, Journal(client.settings.state_dir), rules, client.clock, progress)
    with lock_machines(client, changes.id, changes):
        yield work.apply(client.settings)


def open_changesets(client: Any, changeset: str | None) -> list[str]:
    """The ChangeSets of this account that have changes without an outcome, the oldest first."""
    journal = Journal(client.settings.state_dir)
    owners = journal.owners()
    if changeset is not None and changeset not in owners:
        raise InputError(
            f"the journal {journal.path} has no ChangeSet {changeset!r}{did_you_mean(changeset, owners)}. "
            "`lcnb pending` lists those that are open. Nothing was sent."
        )
    found = dict.fromkeys(each.changeset for each in journal.entries(changeset, pending=True))
    settings = client.settings
    mine = [name for name in found if _belongs_to(owners[name], settings)]
    if changeset is not None and changeset in found and not mine:
        owner = owners[changeset]
        raise InputError(
            f"the ChangeSet {changeset} is of {owner.account or owner.base_url}, this client of "
            f"{settings.account or settings.base_url}, or of another token. Nothing was sent."
        )
    return mine


def _belongs_to(owner: ChangeSetOwner, settings: Settings) -> bool:
    """Whether a ChangeSet is of this account. Without a name the token tells: in another account a machine that
    was made would look absent, and be made again."""
    if (owner.account, owner.base_url) != (settings.account, settings.base_url):
        return False
    return owner.account is not None or owner.token == budget_key(settings.token)


def unfinished_changes(client: Any, changeset: str) -> ChangeSet:
    """The changes of a ChangeSet that have no outcome yet, to be looked at before they are resumed."""
    entries = Journal(client.settings.state_dir).entries(changeset, pending=True)
    changes = [Change.from_plan(entry.plan, anew=True) for entry in entries]
    return ChangeSet(changes, client, id=changeset)


def restore_flow(
    client: Any,
    changeset: str,
    passwords: Mapping[str, Secret],
    rules: ApplyRules,
    progress: Progress | None = None,
) -> ApplyFlow:
    """The work that is left of a ChangeSet, from the journal."""
    passwords = {comparable_name(label): password for label, password in passwords.items()}
    journal = Journal(client.settings.state_dir)
    now = datetime.now(UTC)
    tasks = []
    for entry in journal.entries(changeset):
        change = Change.from_plan(entry.plan, passwords.get(comparable_name(entry.target)), anew=True)
        task = ChangeTask(change, entry.position, identifier=entry.identifier, tries=entry.tries)
        typed = STARS in (entry.body or {}).values() and not change.made_password
        task.renewed = typed and comparable_name(entry.target) not in passwords
        task.known = frozenset(entry.known or ())
        if entry.state == "sent" and entry.sent_at:
            ago = max(0.0, (now - entry.attempt_ended(rules.attempt_s)).total_seconds())
            task.state, task.sent_at = "uncertain", client.clock() - ago
            task.detail = entry.detail or "interrupted before its outcome was known"
        elif entry.state != "planned":
            task.state, task.detail, task.ended = entry.state, entry.detail or "", client.clock()
        tasks.append(task)
    return ApplyFlow(changeset, tasks, journal, rules, client.clock, progress)


@contextmanager
def prepare_resume(
    client: Any,
    changeset: str,
    confirm: Confirm,
    wait: bool,
    timeout: float | None,
    on_error: OnError,
    passwords: Mapping[str, Secret] | None,
    progress: Progress | None,
    *,
    others: bool,
) -> Iterator[ApplyFlow | None]:
    """What is left of a ChangeSet, confirmed; None when nobody wants it. `others`: it is one of several, and left
    to the process that is at it, if there is one."""
    left = unfinished_changes(client, changeset)
    if not confirm_apply(left, confirm, wait, on_error, timeout):
        yield None
        return
    rules = _apply_rules(client.settings, on_error, (timeout or DEFAULT_WAIT_S) if wait else None)
    with ExitStack() as held:
        try:
            held.enter_context(lock_machines(client, changeset, left))
        except (AlreadyApplied, Locked):
            if not others:
                raise
            yield None
            return
        yield restore_flow(client, changeset, passwords or {}, rules, progress)


def combined_result(found: Sequence[tuple[str, Sequence[ChangeTask]]], on_error: str) -> pd.DataFrame:
    """One frame of several resumed ChangeSets."""
    import pandas as pd

    if not found:
        return tasks_frame("", [])
    if on_error == "stop":
        for name, tasks in found:
            _raise_failures(name, tasks, tasks_frame(name, tasks))
    frame = pd.concat([tasks_frame(name, tasks) for name, tasks in found], ignore_index=True)
    frame.attrs["lcnb"] = {"kind": "result"}
    return frame


@contextmanager
def lock_machines(client: Any, changeset: str, changes: ChangeSet) -> Iterator[None]:
    """Keep every other process of this machine from a ChangeSet and its machines; the locks end with this process."""
    from filelock import FileLock, Timeout

    folder = client.settings.state_dir / "locks"
    make_state_folder(folder)
    with ExitStack() as held:
        try:
            held.enter_context(FileLock(folder / f"{changeset}.lock", timeout=0))
        except Timeout:
            raise AlreadyApplied(
                f"the ChangeSet {changeset} is being applied by another process now. Nothing was sent by this one."
            ) from None
        for identifier, label in sorted(_locked_machines(changes)):
            name = hashlib.sha256(f"{client.settings.base_url} {identifier}".encode()).hexdigest()[:24]
            try:
                held.enter_context(FileLock(folder / f"machine-{name}.lock", timeout=0))
            except Timeout:
                raise Locked(
                    f"another process is changing {label} ({identifier}) now. Nothing was sent by this one; try again "
                    "when that has ended."
                ) from None
        held.callback(client._cache.forget_listings)
        held.enter_context(_add_journal_note(client, changeset))
        yield


def _locked_machines(changes: ChangeSet) -> set[tuple[str, str]]:
    """The machines that a set works on, by identifier. New ones have none: the journal keeps their labels apart."""
    return {
        (each.identifier, each.target)
        for each in changes
        if each.identifier and "instance" in _listing_kinds(each)
    }


@contextmanager
def _add_journal_note(client: Any, changeset: str) -> Iterator[None]:
    """What ends a set in the middle is told where the rest of it stands."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, LcnbError) as stop:
        with suppress(JournalError):
            if Journal(client.settings.state_dir).entries(changeset, pending=True):
                stop.add_note(
                    f"what was begun of the ChangeSet {changeset} stands in the journal: `lcnb pending` shows what is "
                    "open, `lcnb resume` settles it."
                )
        raise


def apply_result(changes: ChangeSet, tasks: Sequence[ChangeTask], on_error: str) -> pd.DataFrame:
    """The frame of what happened. ChangeFailed or WaitTimeout when not all was made, unless told to continue."""
    frame = tasks_frame(changes.id, tasks)
    if on_error == "stop":
        _raise_failures(changes.id, tasks, frame)
    return frame


def _raise_failures(changeset: str, tasks: Sequence[ChangeTask], frame: pd.DataFrame) -> None:
    bad = [task for task in tasks if task.state in ("failed", "unknown", "twins")]
    late = [task for task in tasks if not task.reached]
    if bad:
        raise ChangeFailed(_failure_text(changeset, tasks), result=frame)
    if late:
        text = "; ".join(f"{task.change.target}: {task.detail}" for task in late)
        raise WaitTimeout(
            f"made, but not finished in time: {text}. `lcnb instances` shows them; nothing needs to be sent again.",
            result=frame,
        )


def untouched_frame(changes: ChangeSet) -> pd.DataFrame:
    """The frame of changes that nobody made."""
    return tasks_frame(changes.id, [ChangeTask(change, position) for position, change in enumerate(changes)])


def _failure_text(changeset: str, tasks: Sequence[ChangeTask]) -> str:
    """What was done, what failed, what is not known, what was not tried, and the next safe step."""
    lines = []
    for state in ("done", "failed", "twins", "unknown", "not tried"):
        for task in tasks:
            if task.state == state:
                detail = f": {task.detail}" if task.detail else ""
                lines.append(f"  {state}: {task.change.action} {task.change.target}{detail}")
    advice = ""
    if any(task.state == "unknown" and task.change.call.effect != "toggle" for task in tasks):
        advice = f"\nWhat is unknown may have happened. `lcnb resume {changeset}` looks again and settles it."
    elif any(task.state == "not tried" for task in tasks):
        advice = f"\nOnce the cause is mended, `lcnb resume {changeset}` goes on with what was not tried."
    return "not all changes were made:\n" + "\n".join(lines) + advice


def tasks_frame(changeset: str, tasks: Sequence[ChangeTask]) -> pd.DataFrame:
    """One row a change: change, action, target, identifier, outcome, detail, tries, seconds."""
    import pandas as pd

    seconds = [
        None if task.began is None or task.ended is None else round(task.ended - task.began, 3)
        for task in tasks
    ]
    rows: dict[str, tuple[str, list[Any]]] = {
        "change": ("Int64", [task.position + 1 for task in tasks]),
        "action": ("str", [task.change.action for task in tasks]),
        "target": ("str", [task.change.target for task in tasks]),
        "identifier": ("str", [task.identifier or task.change.identifier for task in tasks]),
        "outcome": ("str", [task.state for task in tasks]),
        "detail": ("str", [task.detail or None for task in tasks]),
        "tries": ("Int64", [task.tries for task in tasks]),
        "seconds": ("Float64", seconds),
    }
    frame = pd.DataFrame({name: pd.Series(values, dtype=dtype) for name, (dtype, values) in rows.items()})
    frame.attrs["lcnb"] = {"kind": "result", "changeset": changeset}
    return frame


# --- what clients give ---------------------------------------------------------------------------------


class AsyncChangeSet(ChangeSet):
    """The same for AsyncLetsCloud: `await changes.apply(...)`."""

    async def apply(
        self,
        confirm: Confirm = None,
        *,
        wait: bool = False,
        timeout: float | None = None,
        on_error: OnError = "stop",
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """As SyncChangeSet.apply."""
        if not confirm_apply(self, confirm, wait, on_error, timeout):
            return untouched_frame(self)
        with prepare_apply(self, wait, timeout, on_error, progress) as flow:
            tasks = await self._client._wire.run(flow, each_call=True)  # type: ignore[misc]
        return apply_result(self, tasks, on_error)


class SyncChangeSet(ChangeSet):
    """What the methods of LetsCloud give."""

    def apply(
        self,
        confirm: Confirm = None,
        *,
        wait: bool = False,
        timeout: float | None = None,
        on_error: OnError = "stop",
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """Make the changes: each is journaled, sent once, and settled when its outcome is not known.

        Args:
            confirm: True when it has been confirmed; None asks in a terminal or a notebook, and refuses elsewhere;
                a function is called with the ChangeSet.
            wait: wait until each machine or snapshot is in its final state (ready, off, gone, built).
            timeout: seconds that waiting may take (1,200).
            on_error: `stop` at the first change that fails and raise ChangeFailed; `continue` with the others and
                tell failures in the result.
            progress: called with the number of changes that have ended, of all, and what is going on.

        Returns a frame, one row a change: change, action, target, identifier, outcome (done, failed, unknown,
        twins, not tried), detail, tries, seconds. Raises ConfirmationMissing, Drifted and AlreadyApplied (nothing
        was sent), ChangeFailed, WaitTimeout (`.result` is the frame), JournalError.

        >>> import lcnb
        >>> lc = lcnb.connect(sandbox=True)
        >>> lc.rename_snapshot(lc.snapshots().slug[0], "kept").apply(confirm=True).outcome.tolist()
        ['done']
        """
        if not confirm_apply(self, confirm, wait, on_error, timeout):
            return untouched_frame(self)
        with prepare_apply(self, wait, timeout, on_error, progress) as flow:
            tasks: list[ChangeTask] = self._client._wire.run(flow, each_call=True)  # type: ignore[assignment]
        return apply_result(self, tasks, on_error)
