"""For all runbooks that change machines: wait until machines are ready or free, or snapshots are built.

Every wait has a timeout in seconds. WaitTimeout says which states were seen last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, repeat
from time import sleep
from typing import TYPE_CHECKING, Any, Literal

from lcnb.changes.accessor import plain_rows
from lcnb.changes.apply import DEFAULT_WAIT_S, POLL_DELAYS_S
from lcnb.changes.reach_wait import ReachWait
from lcnb.changes.reachability import ReachabilityWatch, SshTarget
from lcnb.changes.starting import check_may_answer, check_reach_level
from lcnb.changes.tasks import ReachLevel
from lcnb.errors import WaitTimeout
from lcnb.facts.connection import NO_ADDRESS, read_connection, ssh_command
from lcnb.facts.machine_facts import tag_values
from lcnb.names import comparable_name
from lcnb.runbooks.toolkit.targets import comparable_label

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.client import LetsCloud


def _wait_until(
    look: Callable[[], dict[str, str]], goal: str, clock: Callable[[], float], timeout: float
) -> None:
    """Call `look` until it returns nothing. It returns what is not there yet: name → state."""
    deadline = clock() + timeout
    for tick in chain(POLL_DELAYS_S, repeat(POLL_DELAYS_S[-1])):
        left = look()
        if not left:
            return
        pause = min(tick, deadline - clock())
        if pause <= 0:
            raise _timeout_error(left, goal, timeout)
        sleep(pause)


def _timeout_error(left: Mapping[str, str], goal: str, timeout: float) -> WaitTimeout:
    """Return the error for what is not there at the deadline: name → what was seen last."""
    seen = ", ".join(f"{name}: {what}" for name, what in left.items())
    # Rounded: of one limit for several waits, a fraction is left for the later ones.
    return WaitTimeout(f"not {goal} within {round(timeout) or timeout:g} s; last seen: {seen}.")


def wait_until_ready(lc: LetsCloud, labels: Iterable[str], *, timeout: float = DEFAULT_WAIT_S) -> None:
    """Wait until the machines with these labels run and have an address."""
    wanted = list(labels)

    def look() -> dict[str, str]:
        machines = lc.instances()
        ready = machines[(machines.state == "running") & (machines.ipv4.notna() | machines.ipv6.notna())]
        states = dict(zip(map(comparable_label, machines.label), machines.state, strict=True))
        done = set(map(comparable_label, ready.label))
        return {
            label: str(states.get(comparable_name(label), "in no listing"))
            for label in wanted
            if comparable_name(label) not in done
        }

    if wanted:
        _wait_until(look, "ready", lc.clock, timeout)


def wait_until_free(lc: LetsCloud, identifiers: Iterable[str], *, timeout: float = DEFAULT_WAIT_S) -> None:
    """Wait until no action is in progress on these machines. A machine that no longer exists is free."""
    wanted = set(identifiers)

    def look() -> dict[str, str]:
        machines = lc.instances()
        waiting = machines[machines.identifier.isin(wanted) & machines.state.isin(("busy", "building"))]
        return dict(zip(waiting.label, waiting.state, strict=True))

    if wanted:
        _wait_until(look, "free", lc.clock, timeout)


def wait_until_built(lc: LetsCloud, titles: Iterable[str], *, timeout: float = 3600.0) -> None:
    """Wait until a snapshot with each of these labels exists, and every snapshot with such a label is built."""
    wanted = list(titles)

    def look() -> dict[str, str]:
        snapshots = lc.snapshots()
        built = snapshots.build.fillna(False).astype(bool)
        there, open_ = (
            set(map(comparable_label, labels)) for labels in (snapshots.label, snapshots.label[~built])
        )
        names = {title: comparable_name(title) for title in wanted}
        left = [title for title in wanted if names[title] not in there or names[title] in open_]
        return {title: "being built" if names[title] in there else "in no listing" for title in left}

    if wanted:
        _wait_until(look, "built", lc.clock, timeout)


def wait_until_snapshots_built(lc: LetsCloud, slugs: Iterable[str], *, timeout: float = 3600.0) -> None:
    """Wait until the snapshots with these slugs are built."""
    wanted = list(slugs)

    def look() -> dict[str, str]:
        snapshots = lc.snapshots()
        built = snapshots.build.fillna(False).astype(bool)
        there, ready = set(snapshots.slug), set(snapshots.slug[built])
        return {
            slug: "being built" if slug in there else "in no listing" for slug in wanted if slug not in ready
        }

    if wanted:
        _wait_until(look, "built", lc.clock, timeout)


#: What a runbook waits for: nothing beyond the state that the provider shows, or as `wait` of `apply`.
Usable = Literal["running"] | ReachLevel


def check_usable(level: Usable) -> None:
    """Raise InputError for an unknown level, ConfigError if it needs asyncssh and that is not installed."""
    if level != "running":
        check_reach_level(level)


def wait_until_usable(
    lc: LetsCloud, machines: pd.DataFrame, level: Usable, *, timeout: float = DEFAULT_WAIT_S
) -> None:
    """Wait until machines answer by SSH, and with `cloud-init` until that has ended; record their host keys.

    `machines` is an inventory; `running` waits for nothing. Raises WaitTimeout that names each machine that is not
    usable, InputError for a tag that cannot be used and in the sandbox, and ConfigError without asyncssh.
    """
    _usable_targets(lc, machines, level, timeout)


def _usable_targets(lc: LetsCloud, machines: pd.DataFrame, level: Usable, timeout: float) -> list[SshTarget]:
    """Wait as `wait_until_usable` does, and return where each machine is reached now."""
    targets = [_ssh_target(each) for each in plain_rows(machines)]
    if level == "running" or not targets:
        return targets
    check_usable(level)
    check_may_answer(lc.settings, level)
    watch = ReachabilityWatch(targets, level)
    waits = ReachWait(watch, lc.clock() + timeout, lc.clock)
    lc._wire.run(waits.wait(), each_call=True)
    left = [each for each in watch.targets if not watch.states[each.identifier].reached]
    details = [(each.name, watch.states[each.identifier].detail) for each in left]
    if watch.waiting():
        raise _timeout_error(dict(details), "usable", timeout)
    if left:
        raise WaitTimeout(f"not usable: {'; '.join(': '.join(each) for each in details)}.")
    return watch.targets


def wait_for_machines(
    lc: LetsCloud, names: Sequence[str], level: Usable, *, timeout: float | None
) -> list[tuple[str, str]]:
    """Wait until machines are ready and usable; return label and ssh command of each.

    Args:
        names: labels or identifiers; an unknown one is refused before anything is waited for.
        level: as for `wait_until_usable`.
        timeout: seconds for everything; None for DEFAULT_WAIT_S.
    """
    check_usable(level)
    if level != "running":
        check_may_answer(lc.settings, level)
    end = lc.clock() + (timeout or DEFAULT_WAIT_S)
    found = [lc.instance(name) for name in names]
    wait_until_ready(lc, [each.label or "" for each in found], timeout=end - lc.clock())
    fleet = lc.inventory()
    known = [each.identifier for each in found if each.identifier]
    # New machines get their identifier while they are built.
    unnamed = [each.label for each in found if not each.identifier]
    machines = fleet[fleet.identifier.isin(known) | fleet.label.isin(unnamed)]
    targets = _usable_targets(lc, machines, level, max(end - lc.clock(), 0.0))
    return [(each.name, ssh_command(each.address or NO_ADDRESS, each.connection)) for each in targets]


def _ssh_target(machine: dict[str, Any]) -> SshTarget:
    connection = read_connection(tag_values(machine["tags"] or ""))
    address = machine["ipv4"] or machine["ipv6"]
    return SshTarget(machine["label"] or machine["identifier"], machine["identifier"], address, connection)
