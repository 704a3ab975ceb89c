"""How a complete reading becomes versions, also one that is older than readings that are stored already.

A version of a record is open from the reading that first had this content (`opened`) until the first complete reading
without it (`closed`). Only complete readings open and close versions. Times are whole milliseconds since 1970 (UTC).
The result does not depend on the order in which readings are folded: two processes may write in any order.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from lcnb.history.contents import Content, compress

#: `closed` of a version that the newest complete reading has; a number, so that one comparison finds what was open.
OPEN = 2**63 - 1
#: A reading that says the same as the newest one is not stored if it is less than this many seconds younger.
REPEAT_AFTER_S = 60.0


@dataclass(frozen=True)
class Reading:
    """What one reading says about one kind of records, such as `instances` or `plans of MIA1`.

    `records` maps the key of each record to its content; it is None for a reading that failed or was partial, and
    `problem` says why.
    """

    kind: str
    records: Mapping[str, Content] | None = field(repr=False)
    problem: str = ""
    #: When it was read, in milliseconds since 1970, if it comes from the cache of the catalogue.
    cached_at: int | None = None

    @property
    def complete(self) -> bool:
        """Whether every record was read."""
        return self.records is not None


class OpenVersion(NamedTuple):
    """A version at some time."""

    item: int
    opened: int
    closed: int
    content: int
    digest: bytes


#: At the end of time the partial index of open versions is enough; at any other, each item is looked up by its key.
_STATE_NOW = """
SELECT item.key, item.id, version.opened, version.closed, version.content, content.digest
FROM version JOIN item ON item.id = version.item JOIN content ON content.id = version.content
WHERE version.closed = 9223372036854775807 AND item.series = ?
"""
_STATE_AT = """
SELECT item.key, item.id, version.opened, version.closed, version.content, content.digest
FROM item JOIN version ON version.item = item.id JOIN content ON content.id = version.content
WHERE item.series = ? AND version.closed > ? AND version.opened = (
  SELECT max(older.opened) FROM version AS older WHERE older.item = item.id AND older.opened <= ?
)
"""


def versions_at(db: sqlite3.Connection, series: int, at: int | None) -> dict[str, OpenVersion]:
    """Return the version of each record at a time; None for the newest reading."""
    rows = db.execute(_STATE_NOW, (series,)) if at is None else db.execute(_STATE_AT, (series, at, at))
    return {key: OpenVersion(*rest) for key, *rest in rows}


def is_repetition(db: sqlite3.Connection, series: int, reading: Reading, at: int) -> bool:
    """Whether a series has this reading, or one that is only seconds older and says the same."""
    if reading.cached_at is not None:
        at = reading.cached_at
        newer = db.execute(
            "SELECT 1 FROM reading WHERE series = ? AND complete AND at >= ? LIMIT 1", (series, at)
        ).fetchone()
        if newer is not None:  # it was stored when it was read
            return True
    last = db.execute(
        "SELECT at, complete FROM reading WHERE series = ? AND at <= ? ORDER BY at DESC LIMIT 1", (series, at)
    ).fetchone()
    if last is None or not at - last[0] < REPEAT_AFTER_S * 1000 or bool(last[1]) != reading.complete:
        return False
    if reading.records is None:
        return True
    later = db.execute("SELECT 1 FROM reading WHERE series = ? AND at > ? LIMIT 1", (series, at)).fetchone()
    return not _differs(versions_at(db, series, at if later else None), reading.records)


def _differs(state: Mapping[str, OpenVersion], records: Mapping[str, Content]) -> bool:
    return len(state) != len(records) or any(
        (known := state.get(key)) is None or known.digest != content.digest
        for key, content in records.items()
    )


def fold_reading(db: sqlite3.Connection, series: int, reading: Reading, at: int) -> None:
    """Store a reading. The caller holds the write lock, and the series has no other complete reading of that time."""
    db.execute(
        "INSERT OR REPLACE INTO reading (series, at, complete, problem) VALUES (?, ?, ?, ?)",
        (series, at, reading.complete, reading.problem or None),
    )
    if reading.records is None:
        return
    (later,) = db.execute(
        "SELECT min(at) FROM reading WHERE series = ? AND complete AND at > ?", (series, at)
    ).fetchone()
    before = versions_at(db, series, at if later else None)
    after = versions_at(db, series, later) if later else {}
    _close_versions(db, before, reading.records, at, later)
    _open_versions(db, series, before, reading.records, after, at, later)


def _close_versions(
    db: sqlite3.Connection,
    before: Mapping[str, OpenVersion],
    records: Mapping[str, Content],
    at: int,
    later: int | None,
) -> None:
    """Close the versions that a reading does not have; where the next reading has them, a new one begins there."""
    for key, version in before.items():
        content = records.get(key)
        if content is not None and content.digest == version.digest:
            continue
        db.execute(
            "UPDATE version SET closed = ? WHERE item = ? AND opened = ?", (at, version.item, version.opened)
        )
        if later is not None and version.closed > later:
            db.execute(
                "INSERT INTO version (item, opened, closed, content) VALUES (?, ?, ?, ?)",
                (version.item, later, version.closed, version.content),
            )


def _open_versions(
    db: sqlite3.Connection,
    series: int,
    before: Mapping[str, OpenVersion],
    records: Mapping[str, Content],
    after: Mapping[str, OpenVersion],
    at: int,
    later: int | None,
) -> None:
    """Open the versions that only a reading has; the version of the next reading begins here if it says the same."""
    changed = [
        (key, content)
        for key, content in records.items()
        if key not in before or before[key].digest != content.digest
    ]
    items = _item_ids(db, series, [key for key, _ in changed if key not in before], before)
    for key, content in changed:
        following = after.get(key)
        if following is not None and following.digest == content.digest:
            # The next reading has the same content: its version began earlier than was known.
            db.execute(
                "UPDATE version SET opened = ? WHERE item = ? AND opened = ?",
                (at, following.item, following.opened),
            )
        else:
            db.execute(
                "INSERT INTO version (item, opened, closed, content) VALUES (?, ?, ?, ?)",
                (items[key], at, later or OPEN, _content_id(db, content)),
            )


def _item_ids(
    db: sqlite3.Connection, series: int, new: Iterable[str], before: Mapping[str, OpenVersion]
) -> dict[str, int]:
    """Return the number of each key; keys that were never seen get one."""
    ids = {key: version.item for key, version in before.items()}
    for key in new:
        db.execute("INSERT OR IGNORE INTO item (series, key) VALUES (?, ?)", (series, key))
        (ids[key],) = db.execute("SELECT id FROM item WHERE series = ? AND key = ?", (series, key)).fetchone()
    return ids


def _content_id(db: sqlite3.Connection, content: Content) -> int:
    """Return the number of a content, which is stored once: a machine that is off every night has two contents."""
    found = db.execute("SELECT id FROM content WHERE digest = ?", (content.digest,)).fetchone()
    if found is None:
        found = db.execute(
            "INSERT INTO content (digest, data) VALUES (?, ?) RETURNING id",
            (content.digest, compress(content.text)),
        ).fetchone()
    return int(found[0])
