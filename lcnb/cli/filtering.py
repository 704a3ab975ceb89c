"""Filters of listings that `lcnb instances --location MIA1` and `%lcnb instances --location MIA1` share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lcnb.client import LetsCloud


def matching_rows(
    client: LetsCloud, count: int, column: Callable[[str], Iterable[Any]], wanted: Mapping[str, str | None]
) -> list[bool]:
    """Return a flag for each of `count` rows: whether its columns have the wanted values, in upper or lower case.

    Args:
        client: The client that read the rows.
        count: The number of rows.
        column: Returns the values of a column.
        wanted: Column and value; None filters nothing.

    Raises InputError for a location that the account does not have: a typing error would give an empty table.
    """
    flags = [True] * count
    for name, value in wanted.items():
        if value is None:
            continue
        found = [each.lower() if isinstance(each, str) else None for each in column(name)]
        if name == "location" and value.lower() not in found:
            _check_location(client, value)
        flags = [flag and each == value.lower() for flag, each in zip(flags, found, strict=True)]
    return flags


def _check_location(client: LetsCloud, wanted: str) -> None:
    known = [slug for slug in client._rows("locations").column("slug") if slug]
    if wanted.lower() not in {slug.lower() for slug in known}:
        from lcnb.api.queries import unknown_location_error

        raise unknown_location_error(wanted, known)
