"""For the runbook `expire`: which machines are past their time, which of them may end now, and which are left alone.

A facts file says when a machine expires; the listing of the account says whether that machine still exists. Only a
machine whose identifier is in both can end.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd

from lcnb.changes.accessor import plain_rows
from lcnb.display import markup, panels
from lcnb.errors import InputError, WaitTimeout
from lcnb.facts.machine_facts import MachineFacts
from lcnb.names import comparable_name
from lcnb.runbooks.toolkit import waiting
from lcnb.runbooks.toolkit.earlier_runs import changes_done
from lcnb.runbooks.toolkit.reporting import CheckResult, label_check
from lcnb.runbooks.toolkit.targets import CHANGEABLE_STATES, comparable_label, split_changeable
from lcnb.runbooks.toolkit.typed_frames import frame_records, typed_frame

if TYPE_CHECKING:
    from lcnb.client import LetsCloud
    from lcnb.runbooks.current import RunContext

#: Action of the runbook → action of its changes, in the journal.
ACTIONS = {"power off": "power off", "delete": "delete instance"}
#: `due`: past its time, and ends now. `left alone`: past its time, and does not end. `ended`: it is off already.
#: `soon` and `later`: it has time left. `replaced`: the machine is gone, and another one has its label. `gone`: the
#: machine is gone.
STATUSES = ("due", "left alone", "ended", "soon", "later", "replaced", "gone")
EXPIRY_DTYPES = {
    "label": "str",
    "identifier": "str",
    "status": "str",
    "expires": "datetime64[us, UTC]",
    "hours_left": "Float64",
    "why": "str",
    "owner": "str",
    "state": "str",
    "location": "str",
    "monthly_value": "Float64",
    "currencycode": "str",
}
#: Upper ends of the groups in the chart of `count_by_time_left`, in hours.
_TIME_GROUPS_H = {"past": 0, "within a day": 24, "within a week": 24 * 7, "within 30 days": 24 * 30}
#: Below so many hours, a time is shown as hours times a factor, with a unit.
_TIME_UNITS = ((1, 60, "min"), (48, 1, "h"), (math.inf, 1 / 24, "days"))
_MAX_LABEL_IN_TITLE = 200


@dataclass(frozen=True)
class ExpiryRules:
    """How machines end: the action, how many at most, and when a warning begins (hours before the end)."""

    action: str = "power off"
    max_machines: int = 10
    warn_hours: float = 24.0

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise InputError(
                field="action", expected="'power off' or 'delete'", value=self.action, not_done="sent"
            )
        if isinstance(self.max_machines, bool) or not isinstance(self.max_machines, int):
            raise InputError(
                field="max_machines", expected="a whole number", value=self.max_machines, not_done="sent"
            )
        if self.max_machines < 0 or not self.warn_hours >= 0:
            name = "max_machines" if self.max_machines < 0 else "warn_hours"
            raise InputError(field=name, expected="0 or more", value=getattr(self, name), not_done="sent")


def list_expiries(
    machines: pd.DataFrame,
    facts: Mapping[str, MachineFacts],
    now: datetime,
    rules: ExpiryRules,
    ended_before: int = 0,
) -> pd.DataFrame:
    """Return each machine that has an expiry in the facts file: one row per machine, the earliest first.

    Args:
        machines: the inventory.
        facts: the facts of each machine by its identifier, from `FactsFile.read`.
        now: the time that counts as now, with its offset.
        rules: what ends how.
        ended_before: how many machines the runs that this run resumes have ended; they count for `max_machines`.

    Columns (`EXPIRY_DTYPES`): `label` in the account, or in the facts file for a machine that is gone; `identifier`;
    `status` is one of `STATUSES`; `expires` (UTC); `hours_left` (negative when it is past); `why` says why a machine
    is left alone, or what is odd (missing otherwise); `owner`; the others as in the inventory.

    >>> import lcnb
    >>> from datetime import UTC
    >>> lc = lcnb.connect(sandbox=True)
    >>> list_expiries(lc.inventory(), {}, datetime(2026, 12, 1, tzinfo=UTC), ExpiryRules()).status.tolist()
    []
    """
    known = plain_rows(machines)
    live = {row["identifier"]: row for row in known if row["identifier"]}
    holders = _label_holders(known)
    dated = [each for each in facts.values() if each.expires is not None]
    rows = []
    for each in sorted(dated, key=lambda one: (one.expires or now, one.identifier)):
        machine = live.get(each.identifier)
        row = (
            _live_row(each, machine, holders, now, rules) if machine else _gone_row(each, holders, facts, now)
        )
        rows.append(row)
    _limit_due(rows, max(0, rules.max_machines - ended_before), rules.max_machines)
    return typed_frame(rows, EXPIRY_DTYPES)


def _label_holders(machines: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the identifiers of the machines of each label, compared as people see it.

    A machine that is being built may have no identifier yet, but it has its label.
    """
    found: dict[str, list[str]] = {}
    for machine in machines:
        name = machine["identifier"] or "(being built)"
        found.setdefault(comparable_label(machine["label"]), []).append(name)
    return found


def _hours_left(facts: MachineFacts, now: datetime) -> float:
    return ((facts.expires or now) - now) / timedelta(hours=1)


def _live_row(
    facts: MachineFacts,
    machine: Mapping[str, Any],
    holders: Mapping[str, list[str]],
    now: datetime,
    rules: ExpiryRules,
) -> dict[str, Any]:
    hours = _hours_left(facts, now)
    why = _reason_to_spare(facts, machine, holders)
    if hours > 0:
        status = "soon" if hours <= rules.warn_hours else "later"
    elif rules.action == "power off" and machine["state"] == "off":
        status, why = "ended", "it is off already"
    else:
        status = "left alone" if why else "due"
    return {
        **machine,
        "status": status,
        "expires": facts.expires,
        "hours_left": hours,
        "why": why or None,
        "owner": facts.owner or None,
    }


def _reason_to_spare(
    facts: MachineFacts, machine: Mapping[str, Any], holders: Mapping[str, list[str]]
) -> str:
    """Return why a machine must not end; "" when it may."""
    if facts.protection is not None:
        known = str(facts.protection)
        return "it is protected" if known == "yes" else f"it is protected (by {known})"
    label, recorded = comparable_label(machine["label"]), comparable_name(facts.label)
    if not label:
        return "it has no label"
    if len(holders[label]) > 1:
        return "another machine has the same label"
    if recorded and recorded != label and recorded in holders:
        other = ", ".join(holders[recorded])
        return f"the facts file calls it {recorded}, which is now the label of the machine {other}"
    if machine["state"] not in CHANGEABLE_STATES:
        return f"it is {machine['state'] or 'in an unknown state'}"
    return ""


def _gone_row(
    facts: MachineFacts, holders: Mapping[str, list[str]], known: Mapping[str, MachineFacts], now: datetime
) -> dict[str, Any]:
    """Return the row of a machine that is not in the account. A machine that has its label now is not touched."""
    successors = holders.get(comparable_name(facts.label), []) if facts.label else []
    without = [each for each in successors if each not in known or known[each].expires is None]
    status, why = "gone", "it is not in the account"
    if without:
        status = "replaced"
        why = f"its label is now that of the machine {', '.join(without)}, which has no expiry of its own"
    elif successors:
        why = f"it is not in the account; {', '.join(successors)} has its label, and an expiry of its own"
    return {
        "label": facts.label or None,
        "identifier": facts.identifier,
        "status": status,
        "expires": facts.expires,
        "hours_left": _hours_left(facts, now),
        "why": why,
        "owner": facts.owner or None,
    }


def _limit_due(rows: list[dict[str, Any]], allowed: int, most: int) -> None:
    """Leave alone all but the first `allowed` rows that are due; the rows are sorted by their expiry."""
    due = [row for row in rows if row["status"] == "due"]
    for row in due[allowed:]:
        row |= {
            "status": "left alone",
            "why": f"only {most} may end at once (max_machines), the earliest first",
        }


def ended_before(run: RunContext, lc: LetsCloud, action: str) -> int:
    """Return how many machines the runs that this run resumes have ended with this action."""
    return len(changes_done(run, lc, ACTIONS[action]))


def expiry_checks(expiries: pd.DataFrame, rules: ExpiryRules, *, dry_run: bool) -> list[CheckResult]:
    """Return the checks of all expiries, for `lcnb.run().check`.

    In a dry run nothing ends, so a machine that is past its time is a finding.
    """
    labels = {status: expiries.label[expiries.status == status] for status in STATUSES}
    hours = f"{rules.warn_hours:g} hours"
    found = [
        ("Every machine that is past its time can end now", labels["left alone"],
         "machine is past its time and is left alone", "machines are past their time and are left alone"),
        (f"No machine expires within {hours}", labels["soon"],
         f"machine expires within {hours}", f"machines expire within {hours}"),
        ("No machine with an expiry was replaced by another one of its label", labels["replaced"],
         "machine with an expiry was replaced by another one of its label",
         "machines with an expiry were replaced by other ones of their labels"),
    ]  # fmt: skip
    if dry_run:
        past = "machine is past its time", "machines are past their time"
        found.insert(0, ("No machine is past its time", labels["due"], *past))
    return [label_check(*each) for each in found]


def expiry_cards(expiries: pd.DataFrame, rules: ExpiryRules, machines: int) -> markup.Html:
    """Return the key figures as cards. Only a deletion saves money: a machine that is off may still be charged.

    `machines` is how many machines the account has.
    """
    counts = expiries.status.value_counts()
    gone = int(counts.get("gone", 0) + counts.get("replaced", 0))
    figures: dict[str, object] = {
        f"with an expiry, of {machines} machine{'' if machines == 1 else 's'}": len(expiries) - gone,
        f"to {rules.action}": int(counts.get("due", 0)),
        "past and left alone": int(counts.get("left alone", 0)),
        f"within {rules.warn_hours:g} hours": int(counts.get("soon", 0)),
        "no longer in the account": gone,
    }
    warn = [name for name in list(figures)[2:4] if figures[name]]
    if rules.action == "delete":
        saved = expiries[expiries.status == "due"].groupby("currencycode").monthly_value.sum()
        figures |= {f"{code} per month": f"-{value:,.2f}" for code, value in saved.items()}
    return panels.cards(figures, warn=warn)


def shown_expiries(expiries: pd.DataFrame) -> pd.DataFrame:
    """Return rows of `list_expiries` for a table: `time_left` as text, and `why` only where a row has one."""
    texts = [time_left_text(float(hours)) for hours in expiries.hours_left]
    shown = expiries.assign(time_left=pd.Series(texts, index=expiries.index, dtype="str"))
    columns = ["label", "owner", "expires", "time_left", "state", "location", "why"]
    return shown[columns if expiries.why.notna().any() else columns[:-1]]


def time_left_text(hours: float) -> str:
    """Return hours as text for people, negative ones as the past.

    >>> time_left_text(0.5), time_left_text(30), time_left_text(-50)
    ('30 min', '30 h', '2 days ago')
    """
    size, unit = next(
        (abs(hours) * factor, unit) for limit, factor, unit in _TIME_UNITS if abs(hours) < limit
    )
    text = f"{size:.0f} {unit}"
    return text if hours > 0 else f"{text} ago"


def count_by_time_left(expiries: pd.DataFrame) -> pd.Series[Any]:
    """Return how many machines of the account have how much time left, for a chart; empty when none has an expiry."""
    there = expiries[~expiries.status.isin(("replaced", "gone"))]
    counts = Counter(_time_group(float(hours)) for hours in there.hours_left)
    names = [*_TIME_GROUPS_H, "later"] if len(there) else []
    return pd.Series({name: counts[name] for name in names}, dtype="int64")


def _time_group(hours: float) -> str:
    return next((name for name, end in _TIME_GROUPS_H.items() if hours <= end), "later")


def snapshot_title(label: str, date: str) -> str:
    """Return the label of the snapshot of a machine that ends.

    >>> snapshot_title("ci-07", "2026-11-24")
    'ci-07 before its end 2026-11-24'
    """
    text = "".join(each if each.isprintable() else "?" for each in comparable_name(label))
    return f"{text[:_MAX_LABEL_IN_TITLE].strip()} before its end {date}"


def with_snapshots(
    lc: LetsCloud, run: RunContext, due: pd.DataFrame, made: pd.DataFrame, *, timeout: float
) -> pd.DataFrame:
    """Return the machines that are due and whose snapshot is built, after at most `timeout` seconds of waiting.

    Args:
        due: the rows of `list_expiries` that are due.
        made: the result of `run.apply` for the snapshots. Snapshots of the runs that this run resumes count, too.

    A snapshot counts only when it is known by its slug to have been made for this end; an older one of the same label
    does not. The returned machines can be changed now.
    """
    slugs = {
        comparable_name(entry.target): entry.identifier for entry in changes_done(run, lc, "create snapshot")
    }
    for row in frame_records(made[made.outcome == "done"]):
        slugs[comparable_name(row["target"])] = row["identifier"]
    own = [slugs.get(comparable_label(label)) for label in due.label]
    with suppress(WaitTimeout):  # the listing that is read next shows which snapshots are built
        limit = timeout if run.resumes else 0.0  # `run.apply` has waited for the new ones
        waiting.wait_until_snapshots_built(lc, [slug for slug in own if slug], timeout=limit)
    snapshots = lc.snapshots()
    built = set(snapshots.slug[snapshots.build.fillna(False).astype(bool)])
    ready = due[pd.Series([slug in built for slug in own], index=due.index, dtype="bool")]
    with suppress(WaitTimeout):
        waiting.wait_until_free(lc, ready.identifier)
    able, _ = split_changeable(lc.instances())
    return ready[ready.identifier.isin(able.identifier)]
