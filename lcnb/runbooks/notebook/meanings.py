"""What the text of a parameter can mean, such as `Annotated[str, "past time"]`: it is checked before a run starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType

from lcnb.errors import InputError
from lcnb.times import past_time


def _past_time_problem(text: str) -> str:
    """Return why a text is no time of the past; "" when it is one."""
    now = datetime.now(UTC)
    found = past_time(text, now)
    if found is None:
        return "such as 2026-11-01, 2026-11-01T09:30 (UTC), 24h, 7d or 4w"
    return "it has not come yet" if found > now else ""


def _group_problem(text: str) -> str:
    """Return why machines cannot be grouped by a text; "" when they can."""
    from lcnb.frames.grouping import check_group

    try:
        check_group(text)
    except InputError as error:
        return f"{error.problem}. {error.cure}".rstrip(".")
    return ""


#: Meaning → the function that returns what is wrong with a text, or "".
MEANINGS: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {"past time": _past_time_problem, "group of machines": _group_problem}
)
