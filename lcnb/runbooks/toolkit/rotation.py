"""Snapshots that rotate: which machine is due for a new one, and which old ones to delete."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pandas as pd

from lcnb.changes.accessor import plain_rows
from lcnb.errors import InputError
from lcnb.names import comparable_name
from lcnb.runbooks.toolkit.targets import CHANGEABLE_STATES, NOTHING_SENT, comparable_label

if TYPE_CHECKING:
    pass


# --- snapshots that take turns --------------------------------------------------------------------------


def rotation_title(label: str, date: str) -> str:
    """The label of a machine's snapshot of a day: `web-01 rotation 2026-11-24`. The API keeps no dates."""
    return f"{label} rotation {date}"


def plan_rotation(machines: pd.DataFrame, snapshots: pd.DataFrame, keep: int, date: str) -> pd.DataFrame:
    """What is due for each machine that can be changed: a snapshot of today, and the oldest ones too many.

    Columns: label, identifier, title (of today's snapshot), there (it exists already), kept (labels that stay),
    surplus (slugs to delete), why_not (why nothing is due, else missing). Only snapshots whose label this made
    itself are looked at; one that is not built counts for nothing and stays.
    """
    if isinstance(keep, bool) or not isinstance(keep, int) or keep < 1:
        raise InputError(f"keep: expected 1 or more, got {keep!r}. {NOTHING_SENT}")
    labels = [comparable_label(label) for label in machines.label]
    rows: list[dict[str, Any]] = []
    for machine in plain_rows(machines):
        label, why_not = machine["label"], None
        if label is None or labels.count(comparable_name(label)) > 1:
            why_not = "no label of its own"
        elif machine["state"] not in CHANGEABLE_STATES or machine["identifier"] is None:
            why_not = f"it is {machine['state']}"
        title = comparable_name(rotation_title(label or "", date))
        mine = list(_rotation_snapshots(label or "", snapshots))
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


def _rotation_snapshots(label: str, snapshots: pd.DataFrame) -> Iterator[tuple[str, str, bool]]:
    """(label, slug, built) of the snapshots of a machine that were labelled here: by name and a real date."""
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
