"""Wait for the final states of changes that are done: as the account shows them, and until machines can be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lcnb.api.flows import Flow, LocalWork, Pause
from lcnb.changes.actions import action_of
from lcnb.changes.reach_wait import ReachWait
from lcnb.changes.session import ApplySession, poll_delays, target_names
from lcnb.changes.tasks import ChangeTask
from lcnb.errors import InputError
from lcnb.facts.connection import Connection, read_connection
from lcnb.facts.facts_file import FactsFile

if TYPE_CHECKING:
    from lcnb.changes.reachability import ReachabilityWatch, SshTarget

#: The goals of actions after which a machine runs.
RUNNING_GOALS = ("ready", "running")


class GoalWait:
    """Waits for the goals of one session, with one deadline for all of them."""

    def __init__(self, session: ApplySession) -> None:
        self.session = session
        self.deadline = session.clock() + (session.rules.wait_s or 0)

    def wait(self, tasks: Sequence[ChangeTask]) -> Flow[None]:
        """Wait until each change is in its final state or the deadline passes; keep the last state seen."""
        level = self.session.rules.reach
        for task in tasks:
            if action_of(task.change).goal in RUNNING_GOALS:
                task.awaited = level
        yield from self._wait_for_states(tasks)
        started = [task for task in tasks if task.reached and action_of(task.change).goal in RUNNING_GOALS]
        if level is not None and started:
            # Loads asyncio, which most applies do not need.
            from lcnb.changes.reachability import ReachabilityWatch

            targets = yield from self._find_targets(started)
            watch = ReachabilityWatch(targets.values(), level)
            yield from ReachWait(watch, self.deadline, self.session.clock, self.session.report_step).wait()
            for task in started:
                if (target := targets.get(task.position)) is not None:
                    self._note_reach(task, watch, target.identifier)

    def _seconds_left(self) -> float:
        return self.deadline - self.session.clock()

    # --- states that the account shows ------------------------------------------------------------------

    def _wait_for_states(self, tasks: Sequence[ChangeTask]) -> Flow[None]:
        for task in tasks:
            task.reached = False
        delays = poll_delays()
        while waiting := [task for task in tasks if not task.reached]:
            left = self._seconds_left()
            if left <= 0:
                return
            why = f"waiting for {target_names(waiting)}"
            self.session.report_step(why)
            yield Pause(min(next(delays), left), why)
            yield from self._check_states(waiting)

    def _check_states(self, tasks: Sequence[ChangeTask]) -> Flow[None]:
        """Read the account once, and mark the changes whose goal is reached."""
        live = yield from self.session.try_read({action_of(task.change).kind for task in tasks})
        if live is None:
            return
        for task in tasks:
            action = action_of(task.change)
            task.reached, seen = action.goal_reached(task, live)
            task.detail = "" if task.reached else f"not {action.goal} yet; last seen: {seen}"
            if task.reached:
                task.ended = self.session.clock()

    # --- machines that can be used ----------------------------------------------------------------------

    def _find_targets(self, tasks: Sequence[ChangeTask]) -> Flow[dict[int, SshTarget]]:
        """Return where each machine is reached, by the position of its change; without one where that is unknown."""
        live = None
        delays = poll_delays()
        while live is None and self._seconds_left() > 0:
            live = yield from self.session.try_read({"instance"})
            if live is None:
                yield Pause(min(next(delays), max(self._seconds_left(), 0)), "reading the addresses")
        connections: dict[str, Connection | str] = yield LocalWork("facts", self._read_connections)
        records = {} if live is None else {each.identifier: each for each in live.records_of("instance")}
        targets = {}
        for task in tasks:
            task.reached = False
            identifier = task.identifier or task.change.identifier or ""
            target = _target_of(task, records.get(identifier), connections.get(identifier, Connection()))
            if target is not None:
                targets[task.position] = target
        return targets

    def _read_connections(self) -> Mapping[str, Connection | str]:
        """Return what the tags of each machine say about reaching it, or why they cannot be used."""
        found: dict[str, Connection | str] = {}
        try:
            facts = FactsFile(self.session.settings.facts_path).read()
        except InputError:
            return {}  # reported where facts are needed; the defaults are right for new machines
        for identifier, each in facts.items():
            try:
                found[identifier] = read_connection(each.tags)
            except InputError as error:
                found[identifier] = error.statement
        return found

    def _note_reach(self, task: ChangeTask, watch: ReachabilityWatch, identifier: str) -> None:
        """Note what a watch found about the machine of a change, and its address, which may be another one by now."""
        state = watch.states[identifier]
        task.reached = state.reached
        task.detail = (
            state.detail if state.reached or state.gone else f"running, but not usable: {state.detail}"
        )
        task.address = next(each.address for each in watch.targets if each.identifier == identifier) or None
        task.awaited = None if state.reached or state.final else task.awaited
        if state.reached:
            task.ended = self.session.clock()


def _target_of(task: ChangeTask, record: Any, connection: Connection | str) -> SshTarget | None:
    """Return where a machine is reached; None, with the reason in the detail of its task, where that is unknown."""
    from lcnb.changes.reachability import SshTarget

    if isinstance(connection, str):
        task.detail, task.awaited = f"running, but not usable: {connection}", None
    elif record is None:
        task.detail = "running, but its address is not known"
    else:
        address = record.ipv4 or record.ipv6
        return SshTarget(task.change.target, record.identifier, address, connection)
    return None
