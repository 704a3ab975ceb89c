"""What the history holds about one account: readings, records at a time, and versions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lcnb.history.contents import decompress, read_content
from lcnb.history.folding import OPEN, versions_at


@dataclass(frozen=True)
class StoredReading:
    """One reading of one kind of records. `at` is in milliseconds since 1970."""

    kind: str
    at: int
    complete: bool
    problem: str | None


@dataclass(frozen=True)
class StoredVersion:
    """A record with one content: seen first at `opened`; `closed` is the first complete reading without it.

    `closed` is None for a version that the newest complete reading has. `content` is the number of the content.
    """

    key: str
    opened: int
    closed: int | None
    content: int


class StoredHistory:
    """The history of one account, while its file is open. It is empty for an account that was never read.

    Readings after `until`, in milliseconds since 1970, are only listed by `readings()`: they come from a time at which
    the clock of the machine was wrong, and one of them must not hide every reading until then.
    """

    def __init__(self, db: sqlite3.Connection | None, source: int | None, until: int = OPEN) -> None:
        self._db = db
        self._source = source
        self.until = until
        self._records: dict[int, Any] = {}

    def kinds(self) -> list[str]:
        """Return the kinds of records that were read, such as `instances` and `plans of MIA1`."""
        rows = self._rows("SELECT kind FROM series WHERE source = :source ORDER BY kind")
        return [kind for (kind,) in rows]

    def readings(self, kind: str | None = None) -> list[StoredReading]:
        """Return all readings of a kind, or of all kinds, the oldest first."""
        rows = self._rows(
            "SELECT kind, at, complete, problem FROM reading JOIN series ON series.id = reading.series "
            "WHERE source = :source AND (:kind IS NULL OR kind = :kind) ORDER BY at, kind",
            kind=kind,
        )
        return [StoredReading(kind, at, bool(complete), problem) for kind, at, complete, problem in rows]

    def complete_times(self, kind: str) -> list[int]:
        """Return the times of the complete readings of a kind, in order."""
        rows = self._rows(
            "SELECT at FROM reading JOIN series ON series.id = reading.series "
            "WHERE source = :source AND kind = :kind AND complete AND at <= :until ORDER BY at",
            kind=kind,
            until=self.until,
        )
        return [at for (at,) in rows]

    def last_complete(self, kind: str, at: int = OPEN) -> int | None:
        """Return the time of the last complete reading of a kind until `at`, or None."""
        return self._time("max", kind, (0, min(at, self.until)))

    def first_complete(self, kind: str, at: int = 0) -> int | None:
        """Return the time of the first complete reading of a kind from `at` on, or None."""
        return self._time("min", kind, (at, self.until))

    def records_at(self, kind: str, at: int) -> dict[str, Any]:
        """Return the records of a kind at a time, by their keys, in the order in which they were first seen."""
        series = self._series(kind)
        if series is None or self._db is None:
            return {}
        found = versions_at(self._db, series, min(at, self.until))
        ordered = sorted(found.items(), key=lambda each: each[1].item)
        records = self.contents(version.content for _, version in ordered)
        return {key: records[version.content] for key, version in ordered}

    def versions(self, kind: str) -> list[StoredVersion]:
        """Return all versions of the records of a kind, by record and then by time."""
        rows = self._rows(
            "SELECT item.key, opened, closed, content FROM series JOIN item ON item.series = series.id "
            "JOIN version ON version.item = item.id WHERE source = :source AND kind = :kind AND opened <= :until "
            "ORDER BY item.id, opened",
            kind=kind,
            until=self.until,
        )
        return [
            StoredVersion(key, opened, None if closed == OPEN or closed > self.until else closed, content)
            for key, opened, closed, content in rows
        ]

    def changes_at(self, kind: str, at: int) -> tuple[set[str], set[str]]:
        """Return the keys of the versions that a reading opened, and of those that it closed."""
        query = (
            "SELECT item.key FROM series JOIN item ON item.series = series.id "
            "JOIN version ON version.item = item.id WHERE source = :source AND kind = :kind AND {} = :at"
        )
        opened, closed = (
            {key for (key,) in self._rows(query.format(name), kind=kind, at=at)}
            for name in ("opened", "closed")
        )
        return opened, closed

    def count_at(self, kind: str, at: int) -> int:
        """Return how many records of a kind a complete reading has."""
        series = self._series(kind)
        return 0 if series is None or self._db is None else len(versions_at(self._db, series, at))

    def contents(self, numbers: Iterable[int]) -> dict[int, Any]:
        """Return the records of contents by their numbers. Each is decoded once; do not change them."""
        wanted = set(numbers)
        if self._db is not None:
            for number in wanted - self._records.keys():
                (data,) = self._db.execute("SELECT data FROM content WHERE id = ?", (number,)).fetchone()
                self._records[number] = read_content(decompress(data))
        return {number: self._records[number] for number in wanted}

    # --- details ----------------------------------------------------------------------------------------

    def _rows(self, query: str, **values: Any) -> list[Any]:
        if self._db is None or self._source is None:
            return []
        return self._db.execute(query, {"source": self._source, **values}).fetchall()

    def _series(self, kind: str) -> int | None:
        rows = self._rows("SELECT id FROM series WHERE source = :source AND kind = :kind", kind=kind)
        return rows[0][0] if rows else None

    def _time(self, which: str, kind: str, period: tuple[int, int]) -> int | None:
        begin, end = period
        rows = self._rows(
            f"SELECT {which}(at) FROM reading JOIN series ON series.id = reading.series "  # noqa: S608
            f"WHERE source = :source AND kind = :kind AND complete AND at BETWEEN :begin AND :end",
            kind=kind,
            begin=begin,
            end=end,
        )
        return rows[0][0] if rows else None
