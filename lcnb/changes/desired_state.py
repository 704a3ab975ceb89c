"""The desired state of an account, one row per machine, and the changes that reach it.

Machines are created, changed and, with `prune`, deleted. What cannot be changed in place becomes a note. Nothing is
deleted because a listing or a file could not be read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lcnb.api.flows import Flow
from lcnb.api.models import Instance
from lcnb.changes.actions.instances import ChangePlan, CreateInstance, DeleteInstance, PowerOff, PowerOn
from lcnb.changes.built import (
    BuiltChanges,
    FixedDifference,
    change_machines,
    collect_refusals,
    combine_builds,
    satisfied_action,
)
from lcnb.changes.change import Change
from lcnb.changes.lookups import find_image
from lcnb.changes.machine_specs import MachineSpec, checked_spec
from lcnb.changes.name_rules import NOTHING_SENT, comparable_label
from lcnb.changes.reading import REPLACEMENT_CHARACTER, ListedMachines, ReadCache, read_machines
from lcnb.errors import InputError
from lcnb.flags import checked_flag
from lcnb.names import comparable_name, lookalike_form, made_by_spreadsheet, spreadsheet_form
from lcnb.shortening import name_first
from lcnb.suggestions import did_you_mean

#: Columns of a desired state. `label` names the machine; the others are what it should be.
DESIRED_COLUMNS = ("label", "location", "plan", "image", "hostname", "ssh_key", "state")
#: `prune` deletes at most this part of an account's machines, unless more is allowed.
MAX_DELETE_PERCENT = 20.0
#: Messages name at most so many machines.
MAX_SHOWN_LABELS = 5


@dataclass(frozen=True)
class _PruneLimits:
    """What `prune` may delete: the arguments of `desired_changes`."""

    allow_all: bool
    most_percent: float
    comments: Sequence[str]
    protected: Collection[str]


def desired_changes(
    cache: ReadCache,
    rows: Sequence[Mapping[str, Any]],
    *,
    prune: bool,
    allow_delete_all: bool = False,
    skip_busy: bool = False,
    max_delete_percent: float = MAX_DELETE_PERCENT,
    comments: Sequence[str] = (),
    protected: Collection[str] = (),
) -> Flow[BuiltChanges]:
    """Build the changes that make the account match the rows; with `prune`, machines without a row are deleted.

    A difference that only a new machine could remove becomes a note. `allow_delete_all`: `prune` may delete every
    machine. `max_delete_percent`: otherwise it may delete at most this part of the machines. `comments`: the comment
    lines of the file; one may mean a machine whose label begins with #. `skip_busy`: leave out, with a note, the
    machines that are busy, being built or suspended. `protected`: the identifiers of machines that `prune` leaves
    alone. They do not count as named by the rows.
    """
    checked_flag("prune", prune)
    checked_flag("allow_delete_all", allow_delete_all)
    checked_flag("skip_busy", skip_busy)
    limits = _PruneLimits(allow_delete_all, _checked_percent(max_delete_percent), comments, protected)
    wanted = _checked_rows(rows)
    if prune and not wanted and not allow_delete_all:
        raise InputError(f"the desired state has no rows, and prune {DELETE_ALL_WARNING}")
    there = yield from read_machines(cache)
    by_label = _machines_by_label(there.machines)
    built = yield from combine_builds(
        collect_refusals(_row_changes(cache, label, row, by_label.get(label, []), number, there))
        for number, (label, row) in enumerate(wanted.items(), 1)
    )
    others = [each for each in there.machines if comparable_name(each.label) not in wanted]
    _check_no_spreadsheet_form(built, others)
    if prune:
        doomed, kept = _machines_to_prune(there, others, limits)
        _check_no_look_alike(built, doomed)
        _check_amount(doomed, others, len(there.machines), limits)
        part = yield from change_machines(doomed, lambda each: DeleteInstance().build(cache, each))
        built.add(part)
        built.notes.extend(kept)
    elif others:
        built.notes.append(_left_alone_note(others))
    if skip_busy:
        built.leave_out_busy()
    return built


def _checked_percent(value: object) -> float:
    """Return a number of percent as a float. InputError unless it is a number from 0 to 100."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= float(value) <= 100:  # type: ignore[arg-type]  # a number, as the line before says
        raise InputError(
            field="max_delete_percent", expected="a number from 0 to 100", value=value, not_done="sent"
        )
    return float(value)  # type: ignore[arg-type]


def _check_amount(
    doomed: Sequence[Instance], others: Sequence[Instance], machines: int, limits: _PruneLimits
) -> None:
    """Raise InputError when no machine but protected ones would stay, or too many percent of all would be deleted."""
    if limits.allow_all or not doomed:
        return
    guarded = sum(each.identifier in limits.protected for each in others)
    if len(doomed) + guarded == machines:
        raise InputError(f"the desired state names no machine of the account, and prune {DELETE_ALL_WARNING}")
    share = 100 * len(doomed) / machines
    if share <= limits.most_percent:
        return
    needed = math.ceil(share)
    raise InputError(
        f"prune would delete {len(doomed)} of {machines} machines ({share:.3g} %), more than "
        f"{limits.most_percent:g} %: {_list_labels(doomed)}",
        field="max_delete_percent",
        value=limits.most_percent,
        cure=f"If that is meant, allow it: max_delete_percent={needed} (on the command line: --max-delete {needed}).",
        not_done="sent",
    )


def _machines_by_label(machines: Sequence[Instance]) -> dict[str, list[Instance]]:
    found: dict[str, list[Instance]] = {}
    for each in machines:
        found.setdefault(comparable_name(each.label), []).append(each)
    return found


def _left_alone_note(others: Sequence[Instance]) -> str:
    return f"not in the desired state and left alone (prune deletes them): {_list_labels(others)}"


def _list_labels(machines: Sequence[Instance]) -> str:
    return name_first(sorted(str(each.label) for each in machines), MAX_SHOWN_LABELS)


def _creates(built: BuiltChanges) -> list[Change]:
    return [each for each in built.changes if each.action == CreateInstance.name]


def _check_no_look_alike(built: BuiltChanges, doomed: Sequence[Instance]) -> None:
    """Raise InputError when a new label looks like the label of a machine that would be deleted."""
    made = {lookalike_form(each.target): each.target for each in _creates(built)}
    for each in doomed:
        target = made.get(lookalike_form(each.label))
        if target is not None:
            raise InputError(
                f"the machine {each.label!r} would be deleted and {target!r} made: their labels differ in case, "
                f"spaces, dashes or invisible characters only ({each.label!a}, {target!a}). Write the label as the "
                f"account has it; to replace the machine, delete it by itself. {NOTHING_SENT}"
            )


def _check_no_spreadsheet_form(built: BuiltChanges, others: Sequence[Instance]) -> None:
    """Raise InputError when a spreadsheet may have made a new label of the label of a machine without a row."""
    made: dict[str, list[str]] = {}
    for change in _creates(built):
        made.setdefault(spreadsheet_form(change.target), []).append(change.target)
    for each in others:
        alike = made.get(spreadsheet_form(each.label), [])
        target = next((name for name in alike if made_by_spreadsheet(name, each.label)), None)
        if target is not None:
            raise InputError(
                f"the machine {target!r} would be made, and the machine {each.label!r} has no row: a spreadsheet makes "
                "one of the other when it takes a label for a number, a date or a truth value",
                value=target,
                cure=f"Write {each.label!r}, in a column of the format Text. If both are meant, give {each.label!r} a "
                "row too, or delete it by itself.",
                not_done="sent",
            )


DELETE_ALL_WARNING = (
    "would delete every machine. If that is meant, say so: allow_delete_all=True (on the command line: "
    f"--allow-delete-all). {NOTHING_SENT}"
)


def _machines_to_prune(
    there: ListedMachines, others: Sequence[Instance], limits: _PruneLimits
) -> tuple[list[Instance], list[str]]:
    """Return the machines that the desired state certainly does not name, and a note for each one left alone."""
    if others:
        there.check_readable("what it hides may be a machine that must stay")
    left_out = {comparable_name(re.split(r"[,;\t]", line)[0]) for line in limits.comments}
    doomed, notes = [], []
    for each in others:
        name = each.label or each.identifier or "a machine"
        if each.identifier in limits.protected:
            notes.append(f"{name}: it is protected, and is left alone")
            continue
        if comparable_name(each.label) in left_out:
            raise InputError(
                f"the machine {name!r} would be deleted, and a line of the file begins with {name!r}: as a comment, "
                f'or as this machine? Quote the label ("{name}"), or put a space behind the #. {NOTHING_SENT}'
            )
        note = _reason_to_keep(each)
        if note:
            notes.append(f"{name}: {note}")
        else:
            doomed.append(each)
    return doomed, notes


def _reason_to_keep(machine: Instance) -> str:
    """Return why a machine that the desired state does not name is left alone; empty when it can be deleted."""
    if not comparable_name(machine.label) or REPLACEMENT_CHARACTER in (machine.label or ""):
        return "it has no label that can be read, and is left alone; delete it by its identifier"
    return "" if machine.identifier else "it is still being built, and is left alone"


def _checked_rows(rows: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    wanted: dict[str, Mapping[str, Any]] = {}
    for number, row in enumerate(rows, 1):
        unknown = [str(name) for name in row if name not in DESIRED_COLUMNS]
        if unknown:
            near = did_you_mean(unknown[0], DESIRED_COLUMNS)
            raise InputError(
                f"column {unknown[0]!r} is not one of a desired state{near}. Columns: "
                f"{', '.join(DESIRED_COLUMNS)}. {NOTHING_SENT}"
            )
        label = comparable_label(row.get("label"), f"row {number}: label")
        if label in wanted:
            raise InputError(f"row {number}: the label {label!r} occurs twice. {NOTHING_SENT}")
        if row.get("state") not in (None, "running", "off"):
            raise InputError(
                f"row {number} ({label}): state {row['state']!r} is not one of running, off",
                value=row["state"],
                cure="Leave the row out, or its state empty; query(\"state in ['running', 'off']\") selects the others",
                not_done="sent",
            )
        wanted[label] = row
    return wanted


def _row_changes(
    cache: ReadCache,
    label: str,
    row: Mapping[str, Any],
    live: Sequence[Instance],
    number: int,
    there: ListedMachines,
) -> Flow[BuiltChanges]:
    if len(live) > 1:
        raise InputError(f"row {number}: {len(live)} machines have the label {label!r}. {NOTHING_SENT}")
    if not live:
        missing = [name for name in ("location", "plan", "image") if row.get(name) is None]
        if missing:
            raise InputError(
                f"row {number}: there is no machine {label!r} yet. To create it, the row needs {', '.join(missing)}",
                value=label,
                not_done="sent",
            )
        texts: dict[str, Any] = {name: row.get(name) for name in DESIRED_COLUMNS[1:-1]}
        try:
            change = yield from CreateInstance().build(
                cache, checked_spec(MachineSpec(label, **texts)), there
            )
        except InputError as error:
            error.restate(problem=f"row {number} ({label}): {error.problem}")
            raise
        return BuiltChanges([change])
    return (yield from _in_place_changes(cache, live[0], row))


def _in_place_changes(cache: ReadCache, machine: Instance, row: Mapping[str, Any]) -> Flow[BuiltChanges]:
    notes = yield from _fixed_differences(cache, machine, row)
    built = BuiltChanges([], [FixedDifference(machine.label, note) for note in notes])
    if notes:
        return built
    parts = []
    size = (machine.cpus, machine.memory, machine.total_disk_size)
    if row.get("plan") is not None and None in size:
        built.notes.append(f"{machine.label}: its size cannot be read, and its plan is left alone")
    elif row.get("plan") is not None:
        parts.append((yield from ChangePlan().build(cache, machine, str(row["plan"]))))
    if row.get("state") is not None:
        power = PowerOn() if row["state"] == "running" else PowerOff()
        parts.append(power.build(machine))
    for part in parts:
        built.changes.extend(part.changes)
    if not built.changes:
        built.as_wanted.update(satisfied_action(machine, "plan"))
    return built


def _fixed_differences(cache: ReadCache, machine: Instance, row: Mapping[str, Any]) -> Flow[list[str]]:
    """Return each difference that cannot be changed in place, as a clause for people."""
    notes = []
    location, image, hostname = row.get("location"), row.get("image"), row.get("hostname")
    if location is not None and str(location).upper() != str(machine.location).upper():
        notes.append(f"it is at {machine.location}, not {location}")
    if hostname is not None and hostname != machine.hostname:
        notes.append(f"its hostname is {machine.hostname}, not {hostname}")
    if image is not None and machine.location and not notes:
        wanted = yield from find_image(cache, machine.location, str(image))
        if wanted.distro != machine.template_label:
            notes.append(f"it was made from {machine.template_label}, not {wanted.distro}")
    return notes
