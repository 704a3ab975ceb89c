"""The file of the history: `history.db` in the state folder, for all accounts and all processes.

    source    an account: base URL, key of its token, name
    series    one kind of records of a source: instances, locations, plans of MIA1, profile, facts
    reading   when a series was read, and whether the reading was complete
    item      the key of a record, such as an identifier
    version   an item with one content, from `opened` until `closed`
    content   a record, compressed; each is stored once

It is readable for its owner only, and uses SQLite's rollback journal, because WAL is unsafe on network homes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lcnb.errors import HistoryError
from lcnb.history.folding import OPEN, Reading, fold_reading, is_repetition
from lcnb.history.stored import StoredHistory

HISTORY_FILE = "history.db"
SCHEMA_VERSION = 1
#: Seconds that a reading waits for the write of another process: an account must not become slow by its history.
WRITE_TIMEOUT_S = 1.0
#: Seconds that reading the history waits for a write of another process.
READ_TIMEOUT_S = 20.0

_SCHEMA = """
CREATE TABLE source (id INTEGER PRIMARY KEY, base_url TEXT NOT NULL, token TEXT, account TEXT) STRICT;
CREATE TABLE series (
  id INTEGER PRIMARY KEY, source INTEGER NOT NULL REFERENCES source(id), kind TEXT NOT NULL, UNIQUE (source, kind)
) STRICT;
CREATE TABLE reading (
  series INTEGER NOT NULL, at INTEGER NOT NULL, complete INTEGER NOT NULL, problem TEXT, PRIMARY KEY (series, at)
) STRICT, WITHOUT ROWID;
CREATE TABLE item (
  id INTEGER PRIMARY KEY, series INTEGER NOT NULL, key TEXT NOT NULL, UNIQUE (series, key)
) STRICT;
CREATE TABLE content (id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, data BLOB NOT NULL) STRICT;
CREATE TABLE version (
  item INTEGER NOT NULL, opened INTEGER NOT NULL, closed INTEGER NOT NULL, content INTEGER NOT NULL,
  PRIMARY KEY (item, opened)
) STRICT, WITHOUT ROWID;
CREATE INDEX open_version ON version (item) WHERE closed = 9223372036854775807;
"""


@dataclass(frozen=True)
class AccountIdentity:
    """Which account a reading is of. `token` is the key of the token (`budget_key`), never the token itself.

    Two identities are of the same account if their base URLs are equal and their tokens or their names are, as in the
    journal: so a named account whose token was replaced keeps its history.
    """

    base_url: str
    token: str | None
    account: str | None


class HistoryFile:
    """The history of a state folder. Each call opens the file, so it is safe in threads and after a fork."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / HISTORY_FILE

    def fold(
        self, identity: AccountIdentity, readings: Sequence[Reading], at: int, *, imported: bool = False
    ) -> int:
        """Store readings of one moment, in milliseconds since 1970; return how many of them were stored.

        A reading that says the same as one some seconds before is not stored, nor a failed one of an account without
        a history. `imported`: not stored either if there is a complete reading of exactly that moment, so that an
        import can be repeated; it also waits longer for other processes. HistoryError when the file cannot be used.
        """
        if not readings:
            return 0
        with self._connect(READ_TIMEOUT_S if imported else WRITE_TIMEOUT_S) as db:
            if not imported and self._all_known(db, identity, readings, at):
                return 0
            with _transaction(db):
                if not imported and self._all_known(db, identity, readings, at):  # another process was faster
                    return 0
                return self._fold(db, identity, readings, at, imported)

    @contextmanager
    def read(self, identity: AccountIdentity, until: int = OPEN) -> Iterator[StoredHistory]:
        """Read what is stored about an account until a time. HistoryError when that cannot be read."""
        if not self.path.exists():
            yield StoredHistory(None, None, until)
            return
        with self._connect(READ_TIMEOUT_S) as db:
            db.execute("BEGIN")
            try:
                yield StoredHistory(db, _find_source(db, identity), until)
            finally:
                _roll_back(db)

    # --- details ----------------------------------------------------------------------------------------

    def _all_known(
        self, db: sqlite3.Connection, identity: AccountIdentity, readings: Sequence[Reading], at: int
    ) -> bool:
        source = _find_source(db, identity)
        if source is None:
            return not any(each.complete for each in readings)
        if not _is_current(db, source, identity):
            return False
        known = (_find_series(db, source, each.kind) for each in readings)
        return all(
            series is not None and is_repetition(db, series, each, at)
            for series, each in zip(known, readings, strict=True)
        )

    def _fold(
        self,
        db: sqlite3.Connection,
        identity: AccountIdentity,
        readings: Sequence[Reading],
        at: int,
        imported: bool,
    ) -> int:
        source = _ensure_source(db, identity)
        series = [_ensure_series(db, source, each.kind) for each in readings]
        if not imported:
            at = _free_moment(db, series, at)
        taken = [_has_reading(db, each, at) for each in series]
        stored = 0
        for number, reading, is_taken in zip(series, readings, taken, strict=True):
            if is_taken or (not imported and is_repetition(db, number, reading, at)):
                continue
            fold_reading(db, number, reading, at if reading.cached_at is None else reading.cached_at)
            stored += 1
        return stored

    @contextmanager
    def _connect(self, timeout_s: float) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            is_new = not self.path.exists()
            db = sqlite3.connect(self.path, timeout=timeout_s, isolation_level=None)
            try:
                if is_new:
                    # By its path: to close another handle of the file would release the locks of every connection of
                    # this process.
                    self.path.chmod(0o600)
                self._prepare(db)
                yield db
            finally:
                db.close()
        except (sqlite3.Error, OSError) as error:
            raise _unusable_history(self.path, error) from None

    def _prepare(self, db: sqlite3.Connection) -> None:
        version = _schema_version(db)
        if version > SCHEMA_VERSION:
            raise HistoryError(
                f"the history {self.path} was written by a newer lcnb", cure="Update this one.", sent=None
            )
        if version < SCHEMA_VERSION:
            with _transaction(db):
                if _schema_version(db) < SCHEMA_VERSION:  # another process may have been faster
                    for statement in _SCHEMA.split(";"):
                        db.execute(statement)
                    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        _roll_back(db)
        raise


def _roll_back(db: sqlite3.Connection) -> None:
    """End a transaction, unless SQLite has ended it: it does for a full disk, and a second ROLLBACK hides why."""
    if db.in_transaction:
        db.execute("ROLLBACK")


def _unusable_history(path: Path, error: sqlite3.Error | OSError) -> HistoryError:
    """Return the error for a file that cannot be used. Only a file that is damaged may be moved away."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        problem = "another process is writing to it and has not ended in time"
        cure = "Nothing is damaged: try again."
    elif primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        problem = f"it is damaged ({error})"
        cure = "Restore it from a backup, or move the file away: lcnb then begins a new one."
    else:
        problem = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        cure = (
            "Check the permissions and the free space of its folder, or set LCNB_STATE_DIR to another folder."
        )
    return HistoryError(
        f"the history {path} cannot be used: {problem}",
        cure=f"{cure} LCNB_HISTORY=0 switches the history off.",
        sent=None,
    )


def _schema_version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _find_source(db: sqlite3.Connection, identity: AccountIdentity) -> int | None:
    """Return the number of an account; if both its name and its token are known, the account with the name."""
    row = db.execute(
        "SELECT id FROM source WHERE base_url = :base_url "
        "AND (token IS :token OR (account IS NOT NULL AND account IS :account)) "
        "ORDER BY (account IS NOT NULL AND account IS :account) DESC, id LIMIT 1",
        identity.__dict__,
    ).fetchone()
    return None if row is None else int(row[0])


def _is_current(db: sqlite3.Connection, source: int, identity: AccountIdentity) -> bool:
    """Whether the row of an account has the token and the name of this reading."""
    token, account = db.execute("SELECT token, account FROM source WHERE id = ?", (source,)).fetchone()
    return token == identity.token and identity.account in (None, account)


def _ensure_source(db: sqlite3.Connection, identity: AccountIdentity) -> int:
    source = _find_source(db, identity)
    if source is None:
        row = db.execute(
            "INSERT INTO source (base_url, token, account) VALUES (:base_url, :token, :account) RETURNING id",
            identity.__dict__,
        ).fetchone()
        return int(row[0])
    if not _is_current(db, source, identity):
        db.execute(
            "UPDATE source SET token = ?, account = coalesce(?, account) WHERE id = ?",
            (identity.token, identity.account, source),
        )
    return source


def _find_series(db: sqlite3.Connection, source: int, kind: str) -> int | None:
    row = db.execute("SELECT id FROM series WHERE source = ? AND kind = ?", (source, kind)).fetchone()
    return None if row is None else int(row[0])


def _ensure_series(db: sqlite3.Connection, source: int, kind: str) -> int:
    db.execute("INSERT OR IGNORE INTO series (source, kind) VALUES (?, ?)", (source, kind))
    row = db.execute("SELECT id FROM series WHERE source = ? AND kind = ?", (source, kind)).fetchone()
    return int(row[0])


def _free_moment(db: sqlite3.Connection, series: Sequence[int], at: int) -> int:
    """Return the first millisecond from `at` that no series has a reading of: two processes may share one."""
    while any(_has_reading(db, each, at) for each in series):
        at += 1
    return at


def _has_reading(db: sqlite3.Connection, series: int, at: int) -> bool:
    """Whether a complete reading of that very moment is stored."""
    return (
        db.execute("SELECT 1 FROM reading WHERE series = ? AND at = ? AND complete", (series, at)).fetchone()
        is not None
    )
