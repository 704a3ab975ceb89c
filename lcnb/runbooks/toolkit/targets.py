"""What the runbooks that change things need beyond a few lines: who is meant, what is due, what to wait for.

Nothing here changes the account: what is to be changed is a ChangeSet that a runbook hands to
`lcnb.run().apply`. What an earlier run of the same work has done is known from the journal, so that a resumed
runbook neither does it again nor trips over it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain, repeat
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any

import pandas as pd

from lcnb.changes.accessor import rows_of
from lcnb.changes.apply import TICKS, WAIT_S
from lcnb.changes.build import DESIRED
from lcnb.changes.journal import Entry, Journal
from lcnb.config import did_you_mean
from lcnb.csv_file import read_csv
from lcnb.errors import InputError, WaitTimeout
from lcnb.names import comparable_name

if TYPE_CHECKING:
    from lcnb.changes.apply import SyncChangeSet
    from lcnb.client import LetsCloud
    from lcnb.runbooks.current import Run

NOTHING = "Nothing was sent."
#: Machines in another state are busy, being built or suspended: the provider refuses to change them.
ABLE = ("running", "off")


# --- a fleet as a file ----------------------------------------------------------------------------------


def read_fleet(path: str | Path, columns: Sequence[str] = DESIRED) -> pd.DataFrame:
    """The rows of a CSV file with some of these columns and a label in each; an empty cell is missing.

    All columns are texts, spaces around values are no part of them. `attrs["lcnb"]` has the lines that are comments:
    a plan that deletes looks whether one of them could be meant as a machine. InputError with the line and the reason
    for a file that cannot be meant so.
    """
    found = read_csv(path)
    _check_columns(path, found.columns, columns)
    rows = [
        (row.line, {name: comparable_name(text) for name, text in row.values.items()}) for row in found.rows
    ]
    _check_labels(path, rows)
    frame = pd.DataFrame(
        {name: pd.Series([row.get(name) for _, row in rows], dtype="str") for name in found.columns}
    )
    label_first = found.columns[0] == "label"
    frame.attrs["lcnb"] = {"kind": "fleet", "comments": list(found.comments.values()) if label_first else []}
    return frame


def _check_columns(path: str | Path, names: Sequence[str], columns: Sequence[str]) -> None:
    for name in names:
        if name not in columns:
            raise InputError(
                f"{path}: {name!r} is not a column of a fleet{did_you_mean(name, columns)}. Columns: "
                f"{', '.join(columns)}. {NOTHING}"
            )
    if "label" not in names:
        raise InputError(f"{path}: there is no column label. Columns: {', '.join(columns)}. {NOTHING}")


def _check_labels(path: str | Path, rows: Sequence[tuple[int, dict[str, str]]]) -> None:
    seen: dict[str, int] = {}
    for line, row in rows:
        label = row.get("label")
        if label is None:
            raise InputError(f"{path}, line {line}: the label is missing. {NOTHING}")
        if label in seen:
            raise InputError(
                f"{path}, line {line}: the label {label!r} stands in line {seen[label]} too. {NOTHING}"
            )
        seen[label] = line


# --- what went before -----------------------------------------------------------------------------------


def day(run: Run) -> str:
    """The UTC date of this work: that of the plan which is applied, or of the run which is resumed, else today's.

    So what was planned before midnight is the same after it.
    """
    for name in (*run.resumes[:1], Path(run.confirmed).name):
        found = re.match(r"(\d{4})(\d\d)(\d\d)T\d{6}Z-", name)
        if found:
            return "-".join(found.groups())
    return f"{datetime.now(UTC):%Y-%m-%d}"


def done_before(run: Run, lc: LetsCloud, action: str) -> list[Entry]:
    """The changes of one kind that the runs which this one goes on with have made."""
    journal = Journal(lc.settings.state_dir)
    entries = [entry for name in run.resumes for entry in journal.entries(run=name)]
    return [entry for entry in entries if entry.action == action and entry.state == "done"]


def catch_up(run: Run, lc: LetsCloud, *, timeout: float = WAIT_S) -> None:
    """In a resumed run, wait until nothing that it did before is still going on."""
    if run.resumes:
        journal = Journal(lc.settings.state_dir)
        touched = {entry.identifier for name in run.resumes for entry in journal.entries(run=name)}
        wait_until_free(lc, [each for each in touched if each], timeout=timeout)


# --- waiting --------------------------------------------------------------------------------------------


def _wait(look: Callable[[], dict[str, str]], goal: str, clock: Callable[[], float], timeout: float) -> None:
    """Look until nothing is left (name → what was seen); WaitTimeout with what was seen last."""
    deadline = clock() + timeout
    for tick in chain(TICKS, repeat(TICKS[-1])):
        left = look()
        if not left:
            return
        pause = min(tick, deadline - clock())
        if pause <= 0:
            seen = ", ".join(f"{name}: {what}" for name, what in left.items())
            raise WaitTimeout(f"not {goal} within {timeout:g} s; last seen: {seen}.")
        sleep(pause)


def wait_until_ready(lc: LetsCloud, labels: Iterable[str], *, timeout: float = WAIT_S) -> None:
    """Until the machines of these labels run and have an address."""
    wanted = list(labels)

    def look() -> dict[str, str]:
        machines = lc.instances()
        ready = machines[(machines.state == "running") & (machines.ipv4.notna() | machines.ipv6.notna())]
        states = dict(zip(map(_name_of, machines.label), machines.state, strict=True))
        done = set(map(_name_of, ready.label))
        return {
            label: str(states.get(comparable_name(label), "in no listing"))
            for label in wanted
            if comparable_name(label) not in done
        }

    if wanted:
        _wait(look, "ready", lc.clock, timeout)


def wait_until_free(lc: LetsCloud, identifiers: Iterable[str], *, timeout: float = WAIT_S) -> None:
    """Until no action is in progress on these machines; one that is gone is free."""
    wanted = set(identifiers)

    def look() -> dict[str, str]:
        machines = lc.instances()
        waiting = machines[machines.identifier.isin(wanted) & machines.state.isin(("busy", "building"))]
        return dict(zip(waiting.label, waiting.state, strict=True))

    if wanted:
        _wait(look, "free", lc.clock, timeout)


def wait_until_built(lc: LetsCloud, titles: Iterable[str], *, timeout: float = 3600.0) -> None:
    """Until each of these labels is one of snapshots that are all built: what follows may rely on them."""
    wanted = list(titles)

    def look() -> dict[str, str]:
        snapshots = lc.snapshots()
        built = snapshots.build.fillna(False).astype(bool)
        there, open_ = (set(map(_name_of, labels)) for labels in (snapshots.label, snapshots.label[~built]))
        names = {title: comparable_name(title) for title in wanted}
        left = [title for title in wanted if names[title] not in there or names[title] in open_]
        return {title: "being built" if names[title] in there else "in no listing" for title in left}

    if wanted:
        _wait(look, "built", lc.clock, timeout)


# --- who is meant ---------------------------------------------------------------------------------------


def able(machines: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Those that can be changed now, and the others: busy, being built, suspended, or without an identifier."""
    can = machines.state.isin(ABLE) & machines.identifier.notna()
    return machines[can], machines[~can]


def _name_of(label: object) -> str:
    """A label of a frame, where a missing one is no text, in the form in which names are compared."""
    return comparable_name(label if isinstance(label, str) else None)


def has_label(machines: pd.DataFrame, labels: Iterable[str]) -> pd.Series[bool]:
    """Which of the machines have one of these labels, compared as people see them."""
    wanted = {comparable_name(label) for label in labels} - {""}
    return pd.Series(
        [_name_of(label) in wanted for label in machines.label], index=machines.index, dtype="bool"
    )


def named(machines: pd.DataFrame, labels: Sequence[str], gone: Iterable[str] = ()) -> pd.DataFrame:
    """The machines of these labels, one each; those in `gone` need not be there any more.

    InputError for a label that no machine has, or several have.
    """
    _check_list("labels", labels)
    names = [comparable_name(label) for label in labels]
    doubled = [label for label, name in zip(labels, names, strict=True) if names.count(name) > 1]
    if doubled:
        raise InputError(f"labels: {doubled[0]!r} stands there twice. {NOTHING}")
    found = machines[has_label(machines, labels)]
    counts = found.label.map(comparable_name).value_counts()
    there = {*counts.index, *map(comparable_name, gone)}
    missing = [label for label, name in zip(labels, names, strict=True) if name not in there]
    if missing:
        near = did_you_mean(missing[0], machines.label.dropna())
        raise InputError(f"no machine has the label {missing[0]!r}{near}. {NOTHING}")
    several = counts[counts > 1]
    if len(several):
        raise InputError(
            f"{several.iloc[0]} machines have the label {several.index[0]!r}: give them labels of their own. {NOTHING}"
        )
    return found


def _check_list(name: str, labels: object) -> None:
    """InputError for what is no list of texts: the letters of a text would be taken for labels."""
    if not isinstance(labels, list | tuple) or not all(isinstance(each, str) for each in labels):
        raise InputError(f"{name}: expected a list of labels, such as ['web-01'], got {labels!r}. {NOTHING}")


def typed_again(labels: Sequence[str], confirm_labels: Sequence[str]) -> None:
    """InputError unless the same labels were given twice, in whatever order."""
    _check_list("labels", labels)
    _check_list("confirm_labels", confirm_labels)
    if sorted(map(comparable_name, labels)) != sorted(map(comparable_name, confirm_labels)):
        given = ", ".join(confirm_labels) or "nothing"
        raise InputError(
            f"confirm_labels: type the labels again to confirm them: {', '.join(labels) or 'nothing'}; got {given}. "
            f"{NOTHING}"
        )


# --- provision ------------------------------------------------------------------------------------------

#: Columns of the file that `provision` takes.
NEW_COLUMNS = ("label", "location", "plan", "image", "hostname", "ssh_key")


def new_machines(lc: LetsCloud, run: Run, rows: pd.DataFrame) -> SyncChangeSet:
    """What makes the machines of these rows; one that is there as asked for is left alone.

    InputError for a row that lacks a place, plan or image, or whose machine is there and is another one.
    """
    before = {comparable_name(entry.target) for entry in done_before(run, lc, "create instance")}
    wanted = rows_of(rows)
    for row in wanted:
        missing = [name for name in ("location", "plan", "image") if not row.get(name)]
        if missing:
            raise InputError(f"{row['label']}: {', '.join(missing)} is missing. {NOTHING}")
    return lc.changes(
        lc.ensure_instance(**row) for row in wanted if comparable_name(row["label"]) not in before
    )


def made_labels(lc: LetsCloud, run: Run, made: pd.DataFrame) -> list[str]:
    """The labels of the machines that this work has made: in this run, and in those that it goes on with."""
    before = [entry.target for entry in done_before(run, lc, "create instance")]
    return list(dict.fromkeys([*before, *made.target[made.outcome == "done"]]))


# --- drift ----------------------------------------------------------------------------------------------


def differences(changes: SyncChangeSet, wanted: pd.DataFrame, live: pd.DataFrame) -> pd.DataFrame:
    """In what the account is not as a fleet file says; columns label, what, is, should_be, all `str`.

    what: missing, differs, cannot be changed in place, not in the file.
    """
    rows: list[tuple[str | None, str, str | None, str | None]] = []
    for each in changes:
        if each.action == "create instance":
            rows.append((each.target, "missing", None, each.after))
        elif each.action != "delete instance":
            rows.append((each.target, "differs", each.before, each.after))
    for note in changes.notes:
        label, found, why = note.partition(" cannot be changed in place: ")
        if found:
            rows.append((label, "cannot be changed in place", why, None))
    others = rows_of(live[~has_label(live, wanted.label)])
    rows += [
        (each["label"], "not in the file", f"{each['state']} at {each['location']}", None) for each in others
    ]
    columns = ["label", "what", "is", "should_be"]
    return pd.DataFrame(rows, columns=columns).astype("str")


# --- snapshots that take turns --------------------------------------------------------------------------


def rotation_title(label: str, date: str) -> str:
    """The label of a machine's snapshot of a day: `web-01 rotation 2026-11-24`. The API keeps no dates."""
    return f"{label} rotation {date}"


def rotation(machines: pd.DataFrame, snapshots: pd.DataFrame, keep: int, date: str) -> pd.DataFrame:
    """What is due for each machine that can be changed: a snapshot of today, and the oldest ones too many.

    Columns: label, identifier, title (of today's snapshot), there (it exists already), kept (labels that stay),
    surplus (slugs to delete), why_not (why nothing is due, else missing). Only snapshots whose label this made
    itself are looked at; one that is not built counts for nothing and stays.
    """
    if isinstance(keep, bool) or not isinstance(keep, int) or keep < 1:
        raise InputError(f"keep: expected 1 or more, got {keep!r}. {NOTHING}")
    labels = [_name_of(label) for label in machines.label]
    rows: list[dict[str, Any]] = []
    for machine in rows_of(machines):
        label, why_not = machine["label"], None
        if label is None or labels.count(comparable_name(label)) > 1:
            why_not = "no label of its own"
        elif machine["state"] not in ABLE or machine["identifier"] is None:
            why_not = f"it is {machine['state']}"
        title = comparable_name(rotation_title(label or "", date))
        mine = list(_of_rotation(label or "", snapshots))
        older = sorted(((name, slug) for name, slug, built in mine if name != title and built), reverse=True)
        surplus = [] if why_not else older[keep - 1 :]
        rows.append(
            {
                "label": label,
                "identifier": machine["identifier"],
                "title": title,
                "there": title in {name for name, _, _ in mine},
                "kept": [name for name, slug in older if (name, slug) not in surplus],
                "surplus": [slug for _, slug in surplus],
                "surplus_labels": [name for name, _ in surplus],
                "why_not": why_not,
            }
        )
    columns = ["label", "identifier", "title", "there", "kept", "surplus", "surplus_labels", "why_not"]
    return pd.DataFrame(rows, columns=columns)


def _of_rotation(label: str, snapshots: pd.DataFrame) -> Iterator[tuple[str, str, bool]]:
    """(label, slug, built) of the snapshots of a machine that were labelled here: by name and a real date."""
    start = comparable_name(rotation_title(label, "")) + " "
    for snapshot in rows_of(snapshots):
        title, slug = comparable_name(snapshot["label"]), snapshot["slug"]
        if slug and title.startswith(start) and _is_date(title.removeprefix(start)):
            yield title, slug, bool(snapshot["build"])


def _is_date(text: str) -> bool:
    try:
        return datetime.strptime(text, "%Y-%m-%d").strftime("%Y-%m-%d") == text
    except ValueError:
        return False


# --- sizes and prices -----------------------------------------------------------------------------------


def resize_advice(fleet: pd.DataFrame, plans: pd.DataFrame, currency: str | None = None) -> pd.DataFrame:
    """For each machine the cheapest plan at its location that is nowhere smaller, where that is worth a look.

    A disk cannot shrink, and nothing tells how much of a machine is used; so a plan is suggested where it costs less
    than the present one, or where the present size is no plan that is offered. Prices are compared within a currency
    only; `currency` (the account's symbol) decides where the machine's own is not known.

    Columns: label, identifier, state, location, plan, monthly_value, currencycode, suggested, suggested_value, saves
    (missing where the present price is not known), why.
    """
    rows = []
    for machine in rows_of(fleet):
        here = plans[plans.location.str.upper() == str(machine["location"]).upper()]
        best = _cheapest_fitting(machine, here, currency)
        price = machine["monthly_value"]
        if best is None or (price is not None and best["monthly_value"] >= price):
            continue
        if price is None and machine["plan"] is not None:
            continue  # its plan is offered, and has no price
        rows.append(
            {
                **machine,
                "currencycode": best["currencycode"],
                "suggested": best["slug"],
                "suggested_value": best["monthly_value"],
                "saves": None if price is None else round(price - best["monthly_value"], 2),
                "why": "its size is no plan here" if price is None else "costs less, nowhere smaller",
            }
        )
    return _typed(rows, _ADVICE)


_ADVICE = {
    "label": "str",
    "identifier": "str",
    "state": "str",
    "location": "str",
    "plan": "str",
    "monthly_value": "Float64",
    "currencycode": "str",
    "suggested": "str",
    "suggested_value": "Float64",
    "saves": "Float64",
    "why": "str",
}
_ELSEWHERE = {
    "label": "str",
    "location": "str",
    "plan": "str",
    "monthly_value": "Float64",
    "currencycode": "str",
    "cheapest_at": "str",
    "there_plan": "str",
    "there_value": "Float64",
    "difference": "Float64",
}


def cheaper_elsewhere(fleet: pd.DataFrame, plans: pd.DataFrame) -> pd.DataFrame:
    """Machines whose size costs less at another location, in the same currency: what only a new machine could save.

    Columns: label, location, plan, monthly_value, currencycode, cheapest_at, there_plan, there_value, difference.
    """
    rows = []
    for machine in rows_of(fleet[fleet.monthly_value.notna()]):
        others = plans[plans.location.str.upper() != str(machine["location"]).upper()]
        best = _cheapest_fitting(machine, others, None)
        if best is not None and best["monthly_value"] < machine["monthly_value"]:
            difference = round(machine["monthly_value"] - best["monthly_value"], 2)
            there = {"cheapest_at": best["location"], "there_plan": best["slug"]}
            rows.append({**machine, **there, "there_value": best["monthly_value"], "difference": difference})
    return _typed(rows, _ELSEWHERE).sort_values("difference", ascending=False, ignore_index=True)


def _cheapest_fitting(
    machine: Mapping[str, Any], plans: pd.DataFrame, currency: str | None
) -> dict[str, Any] | None:
    """The cheapest plan that is nowhere smaller than a machine, in its currency; None when there is none."""
    size = [machine[name] for name in ("cpus", "memory", "total_disk_size")]
    if None in size:
        return None
    if machine["currencycode"] is None:
        own = plans[plans.shortcode == currency] if currency else plans
        plans = own if len(own) else plans
    else:
        plans = plans[plans.currencycode == machine["currencycode"]]
    fitting = [
        plan
        for plan in rows_of(plans)
        if plan["monthly_value"] is not None
        and all(
            plan[name] is not None and plan[name] >= least
            for name, least in zip(("core", "memory", "disk"), size, strict=True)
        )
    ]
    order = ("monthly_value", "core", "memory", "disk", "slug")
    return min(fitting, key=lambda plan: [plan[name] for name in order], default=None)


def _typed(rows: Sequence[Mapping[str, Any]], dtypes: Mapping[str, str]) -> pd.DataFrame:
    return pd.DataFrame(
        {name: pd.Series([row[name] for row in rows], dtype=dtype) for name, dtype in dtypes.items()}
    )


def resizes(lc: LetsCloud, run: Run, advice: pd.DataFrame, labels: Sequence[str]) -> SyncChangeSet:
    """What gives the machines of these labels their suggested plans. InputError for one without a suggestion."""
    _check_list("apply_labels", labels)
    before = {comparable_name(entry.target) for entry in done_before(run, lc, "change plan")}
    chosen = [label for label in labels if comparable_name(label) not in before]
    advised = set(map(_name_of, advice.label))
    without = [label for label in chosen if comparable_name(label) not in advised]
    if without:
        raise InputError(f"apply_labels: there is no suggestion for {without[0]!r}. {NOTHING}")
    rows = named(advice, chosen)
    return lc.changes(
        lc.change_plan(identifier, plan=plan)
        for identifier, plan in zip(rows.identifier, rows.suggested, strict=True)
    )
