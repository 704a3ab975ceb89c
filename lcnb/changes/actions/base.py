"""`Action`: what one kind of change means. Each subclass is one action; the registry in the package lists them.

An action answers these questions, and `apply` and `build` ask nothing else:

- `build`: which checks does a wish pass, and which `Change` comes out of it, at which cost?
- `find_drift`: is the account still as the change expects it?
- `find_evidence`: does the account show that the change happened?
- `goal` and `goal_state`: in which state does it end, and has it reached that state?
- `may_be_resent`: is a second attempt harmless when the first one left no trace?
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple

from lcnb.api import calls
from lcnb.api.flows import Envelope, Flow
from lcnb.api.models import Instance
from lcnb.changes.change import Change
from lcnb.changes.journal import Journal
from lcnb.changes.live_account import Kind, LiveAccount, identifier_field
from lcnb.changes.refusals import refusal
from lcnb.changes.tasks import ApplyRules, ChangeTask
from lcnb.names import comparable_name

#: absent: no effect is seen. busy: the machine works, the effect is not seen yet. unnamed: the new machine has no
#: identifier yet. twins: it was made more than once. doubtful: another cause is possible. lost: it happened, but what
#: only its response held is lost.
Verdict = Literal["shown", "absent", "busy", "unnamed", "twins", "doubtful", "lost"]


@dataclass(frozen=True)
class Evidence:
    """What the account shows of a change."""

    verdict: Verdict
    identifier: str | None = None
    detail: str = ""


SHOWN, ABSENT, BUSY = Evidence("shown"), Evidence("absent"), Evidence("busy")


class TaskOutcome(NamedTuple):
    """How a change ended: its state, a detail for people, and the identifier of what it made."""

    state: str
    detail: str = ""
    identifier: str | None = None


class MonthlyCost(NamedTuple):
    """The monthly price before and after a change, and its currency; None where it is unknown.

    `currencycode_before`: the currency of the price before, where it is another one.
    """

    before: float | None = None
    after: float | None = None
    currencycode: str | None = None
    currencycode_before: str | None = None


NO_COST = MonthlyCost()


@dataclass(frozen=True)
class SimilarChanges:
    """Other changes of the journal that could have caused the same evidence."""

    #: Identifiers of what they made.
    made: frozenset[str] = field(default_factory=frozenset)
    #: The number of those that have no outcome yet and may still take effect.
    open_count: int = 0


class Action:
    """One kind of change. Class attributes state the facts, methods answer the questions of `build` and `apply`."""

    #: The name that people, plan files and the journal use.
    name: ClassVar[str]
    #: The listing that shows the effect.
    kind: ClassVar[Kind]
    #: The listing that shows the target, where it is another one.
    target_kind: ClassVar[Kind]
    #: The effect cannot be undone: people confirm it by typing the label.
    irreversible: ClassVar[bool] = False
    #: It interrupts or ends a machine, or takes its password: refused while the machine is protected.
    refused_when_protected: ClassVar[bool] = False
    #: The state to wait for afterwards; empty when there is nothing to wait for.
    goal: ClassVar[str] = ""
    #: It makes a new thing, which is recognised because it was not there before.
    creates: ClassVar[bool] = False
    #: Its evidence is an absence, which a damaged listing can imitate.
    deletes: ClassVar[bool] = False
    #: A second attempt is harmless, or at least detectable, once the first one cannot take effect any more.
    may_be_resent: ClassVar[bool] = True
    #: The target can be busy with an earlier action, so that the next change has to wait.
    target_can_be_busy: ClassVar[bool] = True
    #: The provider's acceptance counts as done when the account never shows a trace.
    acceptance_suffices: ClassVar[bool] = False
    #: What to look up in the journal before the evidence is judged; empty for nothing.
    journal_lookup: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        if "kind" in vars(cls) and "target_kind" not in vars(cls):
            cls.target_kind = cls.kind

    # --- before sending ---------------------------------------------------------------------------------

    def request_of(self, change: Change) -> calls.Call:
        """Return the request that a change of this action makes; a plan file with another one is refused."""
        raise NotImplementedError

    @property
    def listings(self) -> set[str]:
        """The listings that show the target and the effect."""
        return {self.kind, self.target_kind}

    def find_target(
        self, change: Change, live: LiveAccount, other_identifier: str | None = None
    ) -> tuple[Any, Mapping[str, Any]] | None:
        """Find the record that a change is about; `other_identifier` is one that the response gave it."""
        if change.identifier is None:
            return None
        return live.find_record(self.target_kind, {change.identifier, other_identifier} - {None})

    def known_identifiers(self, change: Change, live: LiveAccount) -> frozenset[str]:
        """Return what exists already and could be taken for the effect."""
        return frozenset()

    def find_drift(self, change: Change, live: LiveAccount, *, label_only: bool = False) -> str:
        """Return why the change must not be made now; empty when the account is as planned.

        `label_only`: an earlier change of the same set has touched the target, so its state may differ.
        """
        found = self.find_target(change, live)
        if found is None:
            return f"{change.target} ({change.identifier}) is gone"
        if live.is_ambiguous(self.target_kind, change.identifier):
            noun = "machines" if self.target_kind == "instance" else f"{self.target_kind}s"
            return f"several {noun} are listed with the identifier {change.identifier}"
        wrong = [
            f"{name} is {getattr(found[0], name)!r}, was {change.expect[name]!r}"
            for name in (("label",) if label_only else ("label", "state", "location"))
            if name in change.expect
            and hasattr(found[0], name)
            and not (_same_label if name == "label" else operator.eq)(
                getattr(found[0], name), change.expect[name]
            )
        ]
        return f"{change.target} ({change.identifier}): {', '.join(wrong)}" if wrong else ""

    def prepare(self, change: Change) -> Flow[str | None]:
        """Do what has to be done on this machine before the first attempt; return why it cannot be done."""
        yield from ()
        return None

    def undo_preparation(self, change: Change) -> Flow[None]:
        """Undo `prepare` when the provider certainly did not make the change."""
        yield from ()

    # --- after sending ----------------------------------------------------------------------------------

    def take_response(self, task: ChangeTask, envelope: Envelope) -> Flow[TaskOutcome | None]:
        """Use the response of an accepted attempt; return the outcome if the response alone proves it."""
        yield from ()
        return None

    def find_similar(
        self, task: ChangeTask, journal: Journal, changeset: str, rules: ApplyRules
    ) -> SimilarChanges:
        """Read the changes of the journal that could be mistaken for this one; only with `journal_lookup`."""
        return SimilarChanges()

    def find_evidence(self, task: ChangeTask, live: LiveAccount, similar: SimilarChanges) -> Evidence:
        """Judge what the account shows of a change."""
        found = self.find_target(task.change, live)
        if found is not None:
            task.note_machine(found[0])
            return self.record_evidence(task, *found)
        gone = self.deletes and not live.may_hide(self.kind, task.change.target)
        return SHOWN if gone else ABSENT

    def record_evidence(self, task: ChangeTask, record: Any, raw: Mapping[str, Any]) -> Evidence:
        """Judge what the record of the target shows."""
        if getattr(record, "state", "") == "busy":  # it was not when the change was sent
            return BUSY
        return SHOWN if self.took_effect(task.change, record) else ABSENT

    def took_effect(self, change: Change, record: Any) -> bool:
        """Whether the record has the state that the change sets."""
        return False

    def unseen_outcome(self, window_s: float) -> TaskOutcome:
        """Return the outcome of an accepted change that the account did not show for `window_s` seconds."""
        if self.creates:
            return TaskOutcome("unknown", f"accepted, but in no listing for {window_s:g} s")
        if self.acceptance_suffices:
            return TaskOutcome(
                "done",
                f"accepted; the account showed no trace of it within {window_s:g} s, it may still follow",
            )
        return TaskOutcome(
            "unknown", f"accepted, but the account showed no effect for {window_s:g} s; it may still follow"
        )

    # --- waiting for the final state --------------------------------------------------------------------

    def goal_reached(self, task: ChangeTask, live: LiveAccount) -> tuple[bool, str]:
        """Return whether the goal is reached, and the state that was seen."""
        change = task.change
        wanted = task.identifier if self.creates else change.identifier
        key = identifier_field(self.kind)
        record = next((each for each in live.records_of(self.kind) if getattr(each, key) == wanted), None)
        if record is not None:
            task.note_machine(record)
            return self.goal_state(change, record)
        return self.goal == "gone" and not live.may_hide(self.kind, change.target), "not in the listing"

    def goal_state(self, change: Change, record: Any) -> tuple[bool, str]:
        """Return whether a record is in the final state, and the state that was seen."""
        return bool(record.state == self.goal), str(record.state)

    # --- afterwards -------------------------------------------------------------------------------------

    def next_step(self, task: ChangeTask) -> str:
        """Return what people need after this change, such as how to log in; "" for nothing. Never a secret."""
        return ""


def _same_label(one: str | None, other: str | None) -> bool:
    """Whether a label is as it was; an empty one too, which names nothing."""
    return comparable_name(one) == comparable_name(other)


def target_name(label: str | None, identifier: str | None) -> str:
    """Return what people call the target of a change, and type to confirm it: its label, or else its identifier."""
    return label if label and comparable_name(label) else identifier or ""


class MachineAction(Action):
    """An action on one existing machine, which must still be what it was when the change was built."""

    kind: ClassVar[Kind] = "instance"

    def machine_change(
        self,
        machine: Instance,
        call: calls.Call,
        before: str,
        after: str,
        *,
        cost: MonthlyCost = NO_COST,
        made_password: bool = False,
        **expect: Any,
    ) -> Change:
        """Return the change of a machine; it expects the label, state and location that the machine has now."""
        seen = {"label": machine.label, "state": machine.state, "location": machine.location}
        seen = {name: value for name, value in seen.items() if value is not None}
        return Change(
            self.name, target_name(machine.label, machine.identifier), call, machine.identifier, before, after, *cost,
            {**seen, **expect}, made_password,
        )  # fmt: skip


def check_ready(machine: Instance) -> None:
    """Raise ChangesRefused for a machine whose changes the provider would refuse: busy, building or suspended."""
    check_not_busy(machine)
    if machine.state == "building":
        raise refusal(machine, "building", "still being built")
    if machine.state == "suspended":
        raise refusal(machine, "suspended", "suspended by the provider")


def check_not_busy(machine: Instance) -> None:
    """Raise ChangesRefused for a machine with an action in progress."""
    if machine.state == "busy":
        raise refusal(machine, "busy", "busy, an action is in progress")
