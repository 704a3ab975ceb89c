"""By what machines can be grouped: columns of the inventory, the owner, and the value of a tag."""

from __future__ import annotations

from lcnb.errors import InputError
from lcnb.suggestions import did_you_mean

#: Columns of the inventory by which machines can be grouped; besides them, facts: `tag:KEY` and `owner`.
GROUP_COLUMNS = ("label", "location", "plan", "state", "template_label")
OWNER, TAG_PREFIX = "owner", "tag:"


def check_group(by: object) -> None:
    """Raise InputError unless machines can be grouped by this.

    >>> check_group("tag:project")
    >>> check_group("projct")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    lcnb.errors.InputError: by: machines cannot be grouped by 'projct'. Groups: label, location, ...
    """
    if by in (*GROUP_COLUMNS, OWNER):
        return
    if not isinstance(by, str) or by.removeprefix(TAG_PREFIX) in ("", by):
        known = [*GROUP_COLUMNS, OWNER]
        raise InputError(
            f"machines cannot be grouped by {by!r}{did_you_mean(str(by), known)}",
            field="by",
            value=by,
            cure=f"Groups: {', '.join(known)}, tag:KEY.",
        )
