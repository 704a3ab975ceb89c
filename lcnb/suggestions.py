"""The one lookup that names a known name for an unknown one: every message about an unknown name uses it."""

from __future__ import annotations

from collections.abc import Iterable

#: How similar two names must be, from 0 to 1.
MIN_SIMILARITY = 0.6


def did_you_mean(name: str, known: Iterable[object]) -> str:
    """Return ` (did you mean 'x'?)` for the known name that is most similar, or "" when none is.

    Upper and lower case make no difference.

    >>> did_you_mean("Instnces", ["instances", "plans"])
    " (did you mean 'instances'?)"
    >>> did_you_mean("xyz", ["instances", "plans"])
    ''
    """
    from difflib import get_close_matches

    by_lower_name = {str(each).lower(): str(each) for each in known}
    nearest = get_close_matches(str(name).lower(), by_lower_name, n=1, cutoff=MIN_SIMILARITY)
    return f" (did you mean {by_lower_name[nearest[0]]!r}?)" if nearest else ""
