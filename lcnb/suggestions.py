"""The nearest known name for one that does not exist, as the end of an error message."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    pass


def did_you_mean(name: str, known: Any) -> str:
    """` (did you mean 'x'?)`, or nothing when no known name is near."""
    lower = {str(each).lower(): str(each) for each in known}
    near = get_close_matches(str(name).lower(), lower, n=1, cutoff=0.6)
    return f" (did you mean {lower[near[0]]!r}?)" if near else ""
