"""A listing of the API as rows or as a DataFrame: one row per record, no column with a secret.

In a frame `lcnb.frames.arrow` reads machines; all other records are read one by one by their models.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lcnb.api import listing_reader
from lcnb.api.fields import Drift, Record
from lcnb.api.models import MODELS
from lcnb.api.record_reader import read_record
from lcnb.frames.columns import record_rows
from lcnb.frames.provenance import attach_provenance, warn_about_drift
from lcnb.rows import Rows

if TYPE_CHECKING:
    import pandas as pd


def listing_frame(
    kind: str, found: listing_reader.Listing, account: str | None = None, client: str | None = None
) -> pd.DataFrame:
    """Return the frame of one listing. Odd values are reported once: as a DriftWarning and in `attrs`.

    Args:
        kind: The listing, such as "instances".
        found: The records as they were read.
        account: The account's name, for `attrs`.
        client: The id of the client, for `attrs`: `frame.lc` finds the client by it.
    """
    frame, drift = read_frame(kind, found)
    return attach_provenance(kind, frame, drift, account, client, found.read_at)


def read_frame(kind: str, found: listing_reader.Listing) -> tuple[pd.DataFrame, list[Drift]]:
    """Return the rows of a listing, and everything that was odd in it."""
    if kind == "instances" and any(found.rows):
        from lcnb.frames.arrow import read_machines

        frame, odd = read_machines(found.rows)
        return frame, [*found.drift, *odd]
    records, drift = read_records(kind, found)
    return record_rows(MODELS[kind], records).frame(), drift


def listing_rows(kind: str, found: listing_reader.Listing) -> Rows:
    """Return the rows of one listing, without pandas. Odd values are reported once, by the same DriftWarning."""
    records, drift = read_records(kind, found)
    warn_about_drift(kind, drift)
    return record_rows(MODELS[kind], records, kind)


def read_records(kind: str, found: listing_reader.Listing) -> tuple[list[Record], list[Drift]]:
    """Return the typed records of a listing, and everything that was odd in it."""
    drift = list(found.drift)
    return [read_record(MODELS[kind], record, path, drift) for path, record in found.records], drift
