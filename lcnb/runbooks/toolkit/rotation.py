"""For the runbook `snapshot_rotation`: which machines are due for a snapshot, and which old snapshots to delete."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd

from lcnb.changes.accessor import plain_rows
from lcnb.errors import InputError
from lcnb.names import comparable_name
from lcnb.runbooks.toolkit.targets import CHANGEABLE_STATES, comparable_label

_ROTATION_COLUMNS = ["label", "identifier", "title", "there", "kept", "surplus", "surplus_labels", "why_not"]


def rotation_title(label: str, date: str) -> str:
    """Return the label of a machine's snapshot of one day. It carries the date because the API stores none.

    >>> rotation_title("web-01", "2026-11-24")
    'web-01 rotation 2026-11-24'
    """
    return f"{label} rotation {date}"


def plan_rotation(machines: pd.DataFrame, snapshots: pd.DataFrame, keep: int, date: str) -> pd.DataFrame:
    """Return what is due for each machine: one row per machine.

    Args:
        keep: how many snapshots of each machine stay, including today's; at least 1.
        date: today, such as 2026-11-24.

    Columns: `label`, `identifier`; `title` (the label of today's snapshot); `there` (whether it exists); `kept` (the
    labels of older snapshots that stay); `surplus` and `surplus_labels` (slugs and labels of those to delete);
    `why_not` (why nothing is due, otherwise missing). Only snapshots with labels of this rotation are considered. A
    snapshot that is not built is neither counted nor deleted.
    """
    if isinstance(keep, bool) or not isinstance(keep, int) or keep < 1:
        raise InputError(field="keep", expected="1 or more", value=keep, not_done="sent")
    labels = [comparable_label(label) for label in machines.label]
    rows = [
        _rotation_row(machine, _reason_to_skip(machine, labels), snapshots, keep, date)
        for machine in plain_rows(machines)
    ]
    return pd.DataFrame(rows, columns=_ROTATION_COLUMNS)


def _reason_to_skip(machine: Mapping[str, Any], labels: Sequence[str]) -> str | None:
    """Return why a machine gets no snapshot; `labels` are those of all selected machines."""
    label = machine["label"]
    if label is None or labels.count(comparable_name(label)) > 1:
        return "it has no label of its own"
    if machine["state"] not in CHANGEABLE_STATES or machine["identifier"] is None:
        return f"it is {machine['state']}"
    return None


def _rotation_row(
    machine: Mapping[str, Any], why_not: str | None, snapshots: pd.DataFrame, keep: int, date: str
) -> dict[str, Any]:
    label = machine["label"] or ""
    title = comparable_name(rotation_title(label, date))
    existing = list(_rotation_snapshots(label, snapshots))
    older = sorted(((name, slug) for name, slug, built in existing if name != title and built), reverse=True)
    surplus = [] if why_not else older[keep - 1 :]
    return {
        "label": machine["label"],
        "identifier": machine["identifier"],
        "title": title,
        "there": title in {name for name, _, _ in existing},
        "kept": [name for name, slug in older if (name, slug) not in surplus],
        "surplus": [slug for _, slug in surplus],
        "surplus_labels": [name for name, _ in surplus],
        "why_not": why_not,
    }


def _rotation_snapshots(label: str, snapshots: pd.DataFrame) -> Iterator[tuple[str, str, bool]]:
    """Yield (label, slug, built) of the snapshots whose label is that of a machine and a real date."""
    start = comparable_name(rotation_title(label, "")) + " "
    for snapshot in plain_rows(snapshots):
        title, slug = comparable_name(snapshot["label"]), snapshot["slug"]
        if slug and title.startswith(start) and _is_date(title.removeprefix(start)):
            yield title, slug, bool(snapshot["build"])


def _is_date(text: str) -> bool:
    try:
        return datetime.strptime(text, "%Y-%m-%d").strftime("%Y-%m-%d") == text
    except ValueError:
        return False
