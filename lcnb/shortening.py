"""The one way to name some of many in a message: the first ones, and how many more there are."""

from __future__ import annotations

from collections.abc import Sequence


def name_first(texts: Sequence[str], most: int = 3, *, separator: str = ", ") -> str:
    """Return the first `most` texts, and how many more there are.

    >>> name_first(["web-01", "web-02", "db-01", "db-02"])
    'web-01, web-02, db-01 and 1 more'
    >>> name_first(["line 2: no label", "line 7: no label"], 1, separator="; ")
    'line 2: no label; and 1 more'
    """
    named = separator.join(texts[:most])
    more = len(texts) - most
    if more <= 0:
        return named
    return f"{named}{' ' if separator == ', ' else separator}and {more} more"
