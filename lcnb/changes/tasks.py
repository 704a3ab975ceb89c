"""`ChangeTask`: a change while it is applied. `ApplyRules`: how an apply behaves."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from lcnb.api.calls import WRITE_ATTEMPT_MIN_S
from lcnb.changes.change import Change
from lcnb.config import Settings

OnError = Literal["stop", "continue"]
#: What a machine must have reached: an SSH server that answers, and the end of cloud-init as well.
ReachLevel = Literal["ssh", "cloud-init"]
#: What `wait` accepts: whether to wait for the state that the provider shows, or until machines can be used.
Wait = bool | ReachLevel
#: Called before each step of an apply: the number of changes that have ended, of all changes, and the step.
Progress = Callable[[int, int, str], None]


@dataclass
class ChangeTask:
    """A change that is being applied.

    `state` is "not tried", "accepted" or "uncertain" while it is open, then its outcome: "done", "failed", "twins" or
    "unknown".
    """

    change: Change
    position: int
    state: str = "not tried"
    detail: str = ""
    identifier: str | None = None
    tries: int = 0
    #: When it was first sent, when it was last sent, and when it ended, on the clock of the client.
    began: float | None = None
    sent_at: float = 0.0
    ended: float | None = None
    #: Identifiers that existed before; none of them can be the effect of this change.
    known: frozenset[str] = frozenset()
    #: The provider refused a second attempt; there is no third one.
    refused: bool = False
    #: What the provider answered to the only attempt, which may have been carried out before that.
    refusal: str = ""
    #: The machine was busy after the change was sent, and was not busy before.
    seen_busy: bool = False
    #: The number of listings in a row without the thing that is to be deleted.
    absences: int = 0
    #: The public half of a pair that the provider generated, from its response.
    public_key: str | None = None
    #: The typed password was lost with an earlier process; a generated one replaces it.
    renewed: bool = False
    note: str = ""
    #: The first address and the state of its machine, as the account showed it last; None while it has none.
    address: str | None = None
    machine_state: str | None = None
    #: The name of the account in lcnb.toml.
    account: str | None = None
    #: The account has shown the effect at least once.
    found: bool = False
    #: The goal of the action was reached, or nobody waits for it.
    reached: bool = True
    #: What its machine has to reach and has not reached, while waiting can help; None otherwise.
    awaited: ReachLevel | None = None

    def note_machine(self, record: object) -> None:
        """Note address and state of the machine that this change is about; other records have none."""
        address = getattr(record, "ipv4", None) or getattr(record, "ipv6", None)
        self.address = address or self.address
        self.machine_state = getattr(record, "state", None)

    @property
    def open(self) -> bool:
        """Whether the change was sent and has no outcome yet."""
        return self.state in ("accepted", "uncertain")


def machine_command(name: str, tasks: Sequence[ChangeTask], options: str = "") -> str:
    """Return a command for the machines of some changes, for their account, as messages show it."""
    account = tasks[0].account
    targets = " ".join(shlex.quote(each.change.target) for each in tasks)
    return f"`lcnb {name} {targets}{options}{f' --account {shlex.quote(account)}' if account else ''}`"


def command_to_wait(tasks: Sequence[ChangeTask]) -> str:
    """Return the command that waits for the machines of some changes, for what they have not reached yet."""
    level = tasks[0].awaited
    return machine_command("wait", tasks, f" --for {level}" if level else "")


@dataclass(frozen=True)
class ApplyRules:
    """How an apply behaves."""

    #: Seconds after the last attempt in which a change may still take effect.
    settle_s: float
    #: Seconds that one attempt may take at most.
    attempt_s: float
    on_error: OnError = "stop"
    #: Seconds to wait for final states; None does not wait.
    wait_s: float | None = None
    #: What machines must have reached beyond their final state; None for nothing.
    reach: ReachLevel | None = None


def apply_rules(
    settings: Settings,
    on_error: OnError = "stop",
    wait_s: float | None = None,
    reach: ReachLevel | None = None,
) -> ApplyRules:
    """Return the rules that the settings of a client give."""
    attempt_s = max(settings.timeout, WRITE_ATTEMPT_MIN_S)
    return ApplyRules(settings.settle, attempt_s, on_error, wait_s, reach)
