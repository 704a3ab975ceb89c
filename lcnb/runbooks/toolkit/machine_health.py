"""For the runbook `health_watch`: watch the states of machines, and report which need attention and why."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from lcnb.display import markup, panels
from lcnb.errors import InputError
from lcnb.runbooks.toolkit.reachability import OUTCOMES, machine_address
from lcnb.runbooks.toolkit.reporting import CheckResult, label_check
from lcnb.runbooks.toolkit.typed_frames import frame_records, is_known, typed_frame

#: States that pass by themselves.
UNSETTLED_STATES = ("building", "busy")
WATCH_DTYPES = {
    "label": "str",
    "hostname": "str",
    "location": "str",
    "ipv4": "str",
    "ipv6": "str",
    "state": "str",
    "first_state": "str",
    "looks": "Int64",
    "unsettled_s": "Float64",
    "all_along": "boolean",
}


def watch_machines(
    read: Callable[[], pd.DataFrame],
    watch_s: float,
    every_s: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> pd.DataFrame:
    """Read the machines every `every_s` seconds for `watch_s` seconds, and report their states: one row per machine.

    The API reports no times, so this is the only way to measure how long a machine is building or busy. The watch ends
    early when no machine has been building or busy all the time. `read` returns the machines, `clock` and `sleep` are
    for tests.

    Columns (`WATCH_DTYPES`): `label`, `hostname`, `location`, `ipv4`, `ipv6`; `state` at the last look (`gone` when
    the machine was missing then) and `first_state` at the first; `looks` is how often it was seen; `unsettled_s` is
    how many seconds it had been building or busy at the last look; `all_along` says that it was so at every one of at
    least two looks.
    """
    if every_s <= 0:
        raise InputError(field="every_s", expected="seconds above 0", value=every_s)
    start = clock()
    looks = [_observe_machines(read())]
    times = [0.0]
    while _any_pending(looks) and clock() - start < watch_s:
        sleep(min(every_s, max(0.0, watch_s - (clock() - start))))
        looks.append(_observe_machines(read()))
        times.append(clock() - start)
    keys = list(dict.fromkeys(key for look in looks for key in look))
    return typed_frame([_watch_row(key, looks, times) for key in keys], WATCH_DTYPES)


#: (label and host name, number) → what one look showed of a machine.
_Observation = dict[tuple[str, int], dict[str, Any]]


def _observe_machines(machines: pd.DataFrame) -> _Observation:
    """Return the machines by label and host name, which stay the same while one is built; equal ones are numbered."""
    found: _Observation = {}
    counts: dict[str, int] = {}
    for row in frame_records(machines):
        key = "\0".join(str(row[name]) for name in ("label", "hostname") if is_known(row[name]))
        key = key or str(row["identifier"])
        counts[key] = counts.get(key, 0) + 1
        found[key, counts[key]] = row
    return found


def _any_pending(looks: Sequence[_Observation]) -> bool:
    """Whether any machine was building or busy at every look so far."""
    return any(all(_is_unsettled(look.get(key)) for look in looks) for key in looks[0])


def _is_unsettled(row: dict[str, Any] | None) -> bool:
    return row is not None and is_known(row["state"]) and row["state"] in UNSETTLED_STATES


def _watch_row(key: tuple[str, int], looks: Sequence[_Observation], times: Sequence[float]) -> dict[str, Any]:
    seen = [(moment, look.get(key)) for moment, look in zip(times, looks, strict=True)]
    rows = [row for _, row in seen if row is not None]
    since = None
    for moment, row in seen:
        since = (moment if since is None else since) if _is_unsettled(row) else None
    latest = rows[-1] if seen[-1][1] is not None else {**rows[-1], "state": "gone"}
    return latest | {
        "first_state": rows[0]["state"],
        "looks": len(rows),
        "unsettled_s": 0.0 if since is None else times[-1] - since,
        "all_along": since == times[0] and len(looks) > 1,
    }


HEALTH_DTYPES = {
    "label": "str",
    "state": "str",
    "location": "str",
    "concern": "str",
    "tcp": "str",
    "reached": "boolean",
    "unsettled_s": "Float64",
}


def assess_health(watched: pd.DataFrame, reached: pd.DataFrame) -> pd.DataFrame:
    """Return what is wrong with each machine: one row per machine.

    Args:
        watched: the result of `watch_machines`.
        reached: the result of `reachability.probe_ports`.

    Columns (`HEALTH_DTYPES`): `label`, `state`, `location`; `concern` describes what is wrong (missing when nothing
    is); `tcp` lists the outcome of each port; `reached` says whether all ports were open (missing when none was
    probed, or when this computer cannot reach the network); `unsettled_s` as in `watched`.
    """
    outcomes: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for row in frame_records(reached):
        outcomes.setdefault(_machine_key(row, row["address"]), []).append((row["port"], row["outcome"]))
    rows = []
    for row in frame_records(watched):
        probed = (
            outcomes.get(_machine_key(row, machine_address(row)), []) if row["state"] == "running" else []
        )
        rows.append(row | _health_columns(row, probed))
    return typed_frame(rows, HEALTH_DTYPES)


def _health_columns(row: dict[str, Any], probed: Sequence[tuple[int, str]]) -> dict[str, Any]:
    """Return `concern`, `tcp` and `reached` of a machine whose ports had these outcomes."""
    shut = [(port, outcome) for port, outcome in probed if outcome in OUTCOMES[1:4]]
    concerns = [*_state_concerns(row), *(f"port {port}: {outcome}" for port, outcome in shut)]
    can_be_probed = any(outcome != OUTCOMES[4] for _, outcome in probed)
    return {
        "concern": "; ".join(concerns) or None,
        "tcp": ", ".join(f"{port} {outcome}" for port, outcome in probed) or None,
        "reached": not shut if can_be_probed else None,
    }


def _machine_key(row: dict[str, Any], address: Any) -> tuple[str, str]:
    return str(row["label"]), str(address) if is_known(address) else ""


def _state_concerns(row: dict[str, Any]) -> list[str]:
    if not is_known(row["state"]):
        return ["the API reports no state"]
    if row["state"] == "suspended":
        return ["suspended by the provider"]
    if row["all_along"]:
        return [f"{row['state']} at each of {row['looks']} looks in {row['unsettled_s']:.0f} s"]
    return []


def list_concerns(found: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `assess_health` with a concern, sorted by concern, those of running machines last."""
    rows = found[found.concern.notna()].sort_values(["concern", "label"], kind="stable")
    return rows.sort_values("state", key=lambda states: states == "running", kind="stable")


def health_checks(watched: pd.DataFrame, reached: pd.DataFrame) -> list[CheckResult]:
    """Return the checks of all machines, for `lcnb.run().check`. Without machines there are no checks."""
    if not len(watched):
        return []
    checks = [
        label_check(
            "No machine is suspended",
            watched.label[watched.state == "suspended"],
            "machine is suspended",
            "machines are suspended",
        ),
        label_check(
            "The API reports the state of every machine",
            watched.label[watched.state.isna()],
            "machine has no state in the API",
            "machines have no state in the API",
        ),
    ]
    if watched.looks.max() > 1 or not watched.state.isin(UNSETTLED_STATES).any():
        checks.append(
            label_check(
                "No machine was building or busy all the time",
                watched.label[watched.all_along],
                "machine was building or busy all the time",
                "machines were building or busy all the time",
            )
        )
    for port, part in reached.groupby("port"):
        checks.append(
            label_check(
                f"Every running machine has port {port} open",
                part.label[part.outcome.isin(OUTCOMES[1:4])],
                f"running machine does not have port {port} open",
                f"running machines do not have port {port} open",
            )
        )
    far = reached[reached.outcome == OUTCOMES[4]].drop_duplicates(["label", "address"])
    if len(far):
        checks.append(
            label_check(
                "This computer can reach the network of every machine",
                far.label,
                "machine is in a network that this computer cannot reach",
                "machines are in a network that this computer cannot reach",
            )
        )
    return checks


def watch_note(watched: pd.DataFrame, watch_s: float) -> markup.Html:
    """Say how long the machines were watched, and what can be concluded from it."""
    unsettled = int(watched.state.isin(UNSETTLED_STATES).sum())
    if not len(watched):
        return panels.note("There are no machines to watch.")
    looks, be = int(watched.looks.max()), "is" if unsettled == 1 else "are"
    words = [f"The API reports no times, so the machines were read {looks} time{'s' if looks > 1 else ''}."]
    if unsettled and looks == 1:
        words.append(
            f"{unsettled} {be} building or busy; one look does not show for how long (watch_s is {watch_s:g})."
        )
    elif unsettled:
        words.append(
            f"{unsettled} {be} building or busy after {watch_s:g} s. Building a machine takes minutes: a longer "
            "watch_s distinguishes a slow machine from a stuck one."
        )
    return panels.note(" ".join(words))
