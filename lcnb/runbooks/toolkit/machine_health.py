"""Watch the states of machines for a while, and report which of them need attention and why."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from lcnb.display import markup, panels
from lcnb.errors import InputError
from lcnb.runbooks.toolkit.reachability import OUTCOMES, machine_address
from lcnb.runbooks.toolkit.reporting import label_check
from lcnb.runbooks.toolkit.typed_frames import frame_records, is_known, typed_frame

# --- health_watch ---------------------------------------------------------------------------------------

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
    """Look at the machines again and again for `watch_s` seconds, and tell what each was seen to be.

    The API tells no times, so this is the only way to know how long something takes: `unsettled_s` is how
    long a machine was seen building or busy without a break up to the last look, and `all_along` says that it was
    so at every look, of which there were at least two. It ends early once nothing is unsettled. Columns as
    `WATCHED` says; `state` is `gone` for a machine that the last look did not show.
    """
    if every_s <= 0:
        raise InputError(f"every_s: {every_s:g} is not a number of seconds above 0")
    start = clock()
    looks = [_observe_machines(read())]
    times = [0.0]
    while _any_pending(looks) and clock() - start < watch_s:
        sleep(min(every_s, max(0.0, watch_s - (clock() - start))))
        looks.append(_observe_machines(read()))
        times.append(clock() - start)
    keys = list(dict.fromkeys(key for look in looks for key in look))
    return typed_frame([_watch_row(key, looks, times) for key in keys], WATCH_DTYPES)


_Observation = dict[tuple[str, int], dict[str, Any]]


def _observe_machines(machines: pd.DataFrame) -> _Observation:
    """The machines by what stays the same while one builds: label and host name. Twins are numbered."""
    found: _Observation = {}
    met: dict[str, int] = {}
    for row in frame_records(machines):
        key = "\0".join(str(row[name]) for name in ("label", "hostname") if is_known(row[name]))
        key = key or str(row["identifier"])
        met[key] = met.get(key, 0) + 1
        found[key, met[key]] = row
    return found


def _any_pending(looks: Sequence[_Observation]) -> bool:
    """Whether any machine was building or busy at all looks so far."""
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
    """One row a machine with what is wrong with it in `concern` (missing when nothing is).

    Columns as `HEALTH` says: `tcp` tells each port's outcome, `reached` whether all were open (missing where
    none was asked, or from here none can be).
    """
    outcomes: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for row in frame_records(reached):
        outcomes.setdefault(_machine_key(row, row["address"]), []).append((row["port"], row["outcome"]))
    rows = []
    for row in frame_records(watched):
        asked = outcomes.get(_machine_key(row, machine_address(row)), []) if row["state"] == "running" else []
        bad = [(port, outcome) for port, outcome in asked if outcome in OUTCOMES[1:4]]
        from_here = [outcome for _, outcome in asked if outcome != OUTCOMES[4]]
        concerns = [*_state_concerns(row), *(f"port {port}: {outcome}" for port, outcome in bad)]
        rows.append(
            row
            | {
                "concern": "; ".join(concerns) or None,
                "tcp": ", ".join(f"{port} {outcome}" for port, outcome in asked) or None,
                "reached": not bad if from_here else None,
            }
        )
    return typed_frame(rows, HEALTH_DTYPES)


def _machine_key(row: dict[str, Any], address: Any) -> tuple[str, str]:
    return str(row["label"]), str(address) if is_known(address) else ""


def _state_concerns(row: dict[str, Any]) -> list[str]:
    if not is_known(row["state"]):
        return ["its state is not told"]
    if row["state"] == "suspended":
        return ["suspended by the provider"]
    if row["all_along"]:
        return [f"{row['state']} at each of {row['looks']} looks in {row['unsettled_s']:.0f} s"]
    return []


def list_concerns(found: pd.DataFrame) -> pd.DataFrame:
    """The rows of `health` with a concern, alike ones together, those of running machines last."""
    rows = found[found.concern.notna()].sort_values(["concern", "label"], kind="stable")
    return rows.sort_values("state", key=lambda states: states == "running", kind="stable")


def health_checks(watched: pd.DataFrame, reached: pd.DataFrame) -> list[tuple[bool, str]]:
    """What should hold of the machines, and whether it does. Nothing for no machines: nothing was checked."""
    if not len(watched):
        return []
    checks = [
        ("No machine is suspended", watched.label[watched.state == "suspended"]),
        ("The state of every machine is told", watched.label[watched.state.isna()]),
    ]
    if watched.looks.max() > 1 or not watched.state.isin(UNSETTLED_STATES).any():
        checks.append(("No machine was building or busy all the time", watched.label[watched.all_along]))
    for port, part in reached.groupby("port"):
        shut = part.label[part.outcome.isin(OUTCOMES[1:4])]
        checks.append((f"Every running machine has port {port} open", shut))
    far = reached[reached.outcome == OUTCOMES[4]].drop_duplicates(["label", "address"])
    if len(far):
        checks.append(("This computer has a network that leads to every machine", far.label))
    return [label_check(text, bad) for text, bad in checks]


def watch_note(watched: pd.DataFrame, watch_s: float) -> markup.Html:
    """How long was watched, and what that can tell."""
    unsettled = int(watched.state.isin(UNSETTLED_STATES).sum())
    if not len(watched):
        return panels.note("There is no machine to watch.")
    looks, be = int(watched.looks.max()), "is" if unsettled == 1 else "are"
    words = [f"The API tells no times. The machines were looked at {looks} time{'s' if looks > 1 else ''}."]
    if unsettled and looks == 1:
        words.append(
            f"{unsettled} {be} building or busy; for how long cannot be told by one look (watch_s is {watch_s:g})."
        )
    elif unsettled:
        words.append(
            f"{unsettled} {be} building or busy at the end of {watch_s:g} s. To build one takes minutes: a longer "
            "watch_s tells a slow machine from one that is stuck."
        )
    return panels.note(" ".join(words))
