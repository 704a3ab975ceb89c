"""A listing of the API as a DataFrame: one row per record, no column with a secret.

Machines are read by `lcnb.frames.arrow`, all other records one by one by their models."""

from __future__ import annotations

import pandas as pd

from lcnb.api import listing_reader
from lcnb.api.fields import Drift, Record
from lcnb.api.models import MODELS
from lcnb.api.record_reader import read
from lcnb.frames.columns import frame_of
from lcnb.frames.provenance import _report

# --- building -------------------------------------------------------------------------------------------


def listing(
    kind: str, found: listing_reader.Listing, account: str | None = None, client: str | None = None
) -> pd.DataFrame:
    """The frame of one listing; odd places are reported once, as a DriftWarning and in `attrs`."""
    if kind == "instances" and any(found.rows):
        from lcnb.frames.arrow import machines

        frame, odd = machines(found.rows)
        return _report(kind, frame, [*found.drift, *odd], account, client, found.read_at)
    records, drift = _read(kind, found)
    return _report(kind, frame_of(MODELS[kind], records), drift, account, client, found.read_at)


def _read(kind: str, found: listing_reader.Listing) -> tuple[list[Record], list[Drift]]:
    drift = list(found.drift)
    return [read(MODELS[kind], record, path, drift) for path, record in found.records], drift
