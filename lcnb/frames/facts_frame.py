"""Facts about machines as columns: of the frame of a facts file, and of the inventory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from lcnb.facts.machine_facts import KnownFacts, MachineFacts, format_tags
from lcnb.rows import TIME_DTYPE, Rows

if TYPE_CHECKING:
    import pandas as pd

#: Columns that facts add to an inventory, with dtype, unit and meaning.
FACT_COLUMNS = {
    "tags": ("str", "", "tags of the facts file, sorted by key: `legacy; project=shop`"),
    "owner": ("str", "", "who answers for the machine, from the facts file"),
    "note": ("str", "", "a note of the facts file"),
    "protected": ("boolean", "", "whether lcnb refuses changes that interrupt or end the machine"),
    "expires": (TIME_DTYPE, "", "when the machine may be ended, from the facts file"),
}
#: Columns of `facts()`, with dtype, unit and meaning.
FACTS_FRAME_COLUMNS = {
    "identifier": ("str", "", "the machine's identifier, which is the key of its facts"),
    "label": ("str", "", "the machine's label when its facts were last changed"),
    "tags": FACT_COLUMNS["tags"],
    "owner": FACT_COLUMNS["owner"],
    "note": FACT_COLUMNS["note"],
    "protected": FACT_COLUMNS["protected"],
    "protected_by": ("str", "", "who protected it, as user@host; missing where the file was edited by hand"),
    "protected_at": (TIME_DTYPE, "", "when it was protected; missing where the file was edited by hand"),
    "expires": FACT_COLUMNS["expires"],
}


def facts_frame(facts: Iterable[MachineFacts], account: str | None = None) -> pd.DataFrame:
    """Return facts as a frame with one row per machine, sorted by label and identifier, and FACTS_FRAME_COLUMNS."""
    return facts_rows(facts, account).frame()


def facts_rows(facts: Iterable[MachineFacts], account: str | None = None) -> Rows:
    """Return the rows of `facts_frame`."""
    listed = [_cells(each) for each in sorted(facts, key=lambda one: (one.label, one.identifier))]
    values = [tuple([cells[name] for name in FACTS_FRAME_COLUMNS]) for cells in listed]
    dtypes = {name: dtype for name, (dtype, _, _) in FACTS_FRAME_COLUMNS.items()}
    return Rows("facts", dtypes, values, {"account": account})


def fact_values(identifier: str | None, facts: KnownFacts) -> dict[str, Any]:
    """Return the FACT_COLUMNS of the machine with this identifier, None where a value is missing.

    A machine without facts is not protected. Whether one without an identifier is protected is not known: facts belong
    to identifiers, and the provider has not given it one yet.
    """
    if not identifier:
        return dict.fromkeys(FACT_COLUMNS)
    cells = _cells(facts.get(identifier, MachineFacts(identifier)))
    return {name: cells[name] for name in FACT_COLUMNS}


def _cells(facts: MachineFacts) -> dict[str, Any]:
    """Return the value of each column; None where it is missing."""
    protection = facts.protection
    return {
        "identifier": facts.identifier,
        "label": facts.label or None,
        "tags": format_tags(facts.tags) or None,
        "owner": facts.owner or None,
        "note": facts.note or None,
        "protected": facts.protected,
        "protected_by": (protection.by or None) if protection else None,
        "protected_at": protection.at if protection else None,
        "expires": facts.expires,
    }
