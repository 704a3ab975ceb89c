"""Facts of a machine that is still to be made: cells of a row without an identifier, kept with the change.

They are written when the account shows the new machine, so a plan file and the journal hold them as plain texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta

from lcnb.errors import InputError
from lcnb.facts.edits import Tags, describe, expire, protect, read_expiry, read_tags
from lcnb.facts.facts_file import FactsFile
from lcnb.facts.machine_facts import COLUMNS, MachineFacts, facts_from_row, format_time
from lcnb.times import is_duration

#: Column of a facts file → its cell.
FactsWish = Mapping[str, str]
#: Columns that come from the machine itself.
_MACHINE_COLUMNS = ("identifier", "label")


def make_wish(
    *,
    tags: Tags | Iterable[Tags] | None,
    owner: str | None,
    expires: str | timedelta | date | None,
    protect_by: str,
    now: datetime,
) -> dict[str, str]:
    """Return the facts that a new machine shall get; empty for none.

    Args:
        tags: As texts `key=value` or bare keys, or a mapping.
        owner: Who answers for the machine.
        expires: A duration from now, or a time, which must be in the future.
        protect_by: The user and host that protect the machine; empty for no protection.
        now: The current time.

    Raises InputError for a wrong one.
    """
    try:
        facts = _wished_facts(tags, owner, expires, protect_by, now)
    except InputError as error:
        raise error.restate(not_done="sent") from None
    return {name: cell for name, cell in facts.row().items() if cell and name not in _MACHINE_COLUMNS}


def _wished_facts(
    tags: Tags | Iterable[Tags] | None,
    owner: str | None,
    expires: str | timedelta | date | None,
    protect_by: str,
    now: datetime,
) -> MachineFacts:
    facts = MachineFacts("")
    if tags is not None:
        given = [tags] if isinstance(tags, str | Mapping) else list(tags)
        facts = replace(facts, tags=read_tags(given) if given else {})
    if owner is not None:
        facts = describe(owner, None)(facts)
    if expires is not None:
        duration = expires if isinstance(expires, timedelta) or is_duration(expires) else None
        at = None if duration is not None else expires
        facts = expire(read_expiry(duration, at, False, now))(facts)  # type: ignore[arg-type]
    if protect_by:
        facts = protect(protect_by, now)(facts)
    return facts


def read_wish(wish: FactsWish, identifier: str = "", label: str = "") -> MachineFacts:
    """Return the facts of a wish for this machine. InputError for a wish that was not made by `make_wish`."""
    for name in wish:
        if name not in COLUMNS or name in _MACHINE_COLUMNS:
            raise InputError(f"unknown fact {name!r}", field="facts", value=name)
    cells = {name: str(cell) for name, cell in wish.items()}
    return replace(
        facts_from_row({"identifier": identifier or "new", "label": label, **cells}), identifier=identifier
    )


def describe_wish(wish: FactsWish) -> str:
    """Return a wish for people: `project=shop; owner ana; protected; expires 2026-12-01T08:00:00Z`."""
    facts = read_wish(wish)
    parts = [
        wish.get("tags", ""),
        f"owner {facts.owner}" if facts.owner else "",
        "protected" if facts.protected else "",
        f"expires {format_time(facts.expires)}" if facts.expires else "",
    ]
    return "; ".join(filter(None, parts))


def write_wish(file: FactsFile, wish: FactsWish, identifier: str, label: str) -> None:
    """Write the facts of a new machine; what the file has of it already is kept. InputError when that is impossible."""
    wished = read_wish(wish, identifier, label)
    file.edit(
        {identifier: label},
        lambda facts: replace(
            facts,
            tags=dict(sorted({**wished.tags, **facts.tags}.items())),
            owner=facts.owner or wished.owner,
            note=facts.note or wished.note,
            protection=facts.protection or wished.protection,
            expires=facts.expires or wished.expires,
        ),
    )
