"""Filters of listings that `lcnb instances --location MIA1` and `%lcnb instances --location MIA1` share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.client import LetsCloud


def filter_rows(client: LetsCloud, frame: pd.DataFrame, wanted: Mapping[str, str | None]) -> pd.DataFrame:
    """Return the rows whose column has the wanted value, in upper or lower case; None filters nothing.

    Raises InputError for a location that the account does not have: a typing error would give an empty table.
    """
    for column, value in wanted.items():
        if value is None:
            continue
        if column == "location":
            _check_location(client, frame, value)
        frame = frame[frame[column].str.lower() == value.lower()]
    return frame


def _check_location(client: LetsCloud, frame: pd.DataFrame, wanted: str) -> None:
    if wanted.lower() in {str(value).lower() for value in frame["location"]}:
        return
    known = client.locations()["slug"].dropna().tolist()
    if wanted.lower() not in {slug.lower() for slug in known}:
        from lcnb.api.queries import unknown_location_error

        raise unknown_location_error(wanted, known)
