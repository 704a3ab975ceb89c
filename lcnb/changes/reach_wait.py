"""Wait until machines can be used, as `reachability` watches them, and follow them in the account meanwhile.

A machine may be deleted or get another address while it is waited for. So the account is read again now and then, with
one listing for all machines.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from lcnb.api.flows import Flow, Pause
from lcnb.changes.live_account import LiveAccount, read_account
from lcnb.errors import LcnbError
from lcnb.facts.connection import plain_address
from lcnb.shortening import name_first

if TYPE_CHECKING:
    from lcnb.changes.reachability import ReachabilityWatch, SshTarget

#: Seconds between two looks at what a watch has found.
LOOK_S = 0.5
#: Seconds between two readings of the account.
READ_PAUSE_S = 30.0
#: Complete listings in a row without a machine, after which it is gone: one listing alone may be wrong.
MAX_ABSENCES = 2


class ReachWait:
    """Waits for the machines of a watch until each is settled or `deadline`, a time of `clock`, has passed."""

    def __init__(
        self,
        watch: ReachabilityWatch,
        deadline: float,
        clock: Callable[[], float],
        report: Callable[[str], None] | None = None,
    ) -> None:
        self.watch = watch
        self.deadline = deadline
        self.clock = clock
        #: Called with each step when it changes.
        self.report = report or (lambda step: None)
        self._absences: Counter[str] = Counter()

    def wait(self) -> Flow[None]:
        """Watch the machines, and end the watch."""
        self.watch.start()
        shown, read_at = "", self.clock()
        try:
            while (waiting := self.watch.waiting()) and (left := self.deadline - self.clock()) > 0:
                names = name_first([each.name for each in waiting])
                if (why := f"waiting for {self.watch.level} of {names}") != shown:
                    self.report(why)
                    shown = why
                yield Pause(min(LOOK_S, left), why)
                if self.clock() - read_at >= READ_PAUSE_S:
                    yield from self._read_again()
                    read_at = self.clock()
        finally:
            self.watch.stop()

    def _read_again(self) -> Flow[None]:
        """Read the account once, and take over what it shows of the machines; without an answer nothing changes."""
        try:
            live = yield from read_account({"instance"})
        except LcnbError:  # also a token that is refused: SSH may answer nevertheless
            return
        for target in self.watch.waiting():
            self._follow(target, live)

    def _follow(self, target: SshTarget, live: LiveAccount) -> None:
        identifier = target.identifier
        found = live.find_record("instance", {identifier})
        if found is None:
            self._absences[identifier] += not live.may_hide("instance", target.name)
            if self._absences[identifier] >= MAX_ABSENCES:
                self.watch.give_up(identifier)
            return
        self._absences[identifier] = 0
        record, _ = found
        listed = [plain_address(each) for each in record.ip_addresses or ()]
        new = plain_address(record.ipv4 or record.ipv6)
        if new and target.address not in listed and not live.is_ambiguous("instance", identifier):
            self.watch.move(identifier, new)
