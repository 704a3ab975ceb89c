"""The journal: one SQLite file in the state folder that records every change, for all processes.

A row is written and synced to the disk before its change is sent; its outcome is written afterwards. So whatever ends a
process in between, the row says what may have happened, and `resume` settles it. The journal holds no secrets: bodies
are stored with stars. It uses SQLite's rollback journal, because WAL is unsafe on network homes.

The states of a row: `planned` (the ChangeSet was begun) → `sent` (about to be sent, or sent) → its outcome: `done`,
`failed` (certainly not made), `twins` (made more than once), `unknown` (not settled in time), `not tried`.
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcnb.errors import AlreadyApplied, JournalError
from lcnb.leases.clock import Moment, current_moment
from lcnb.leases.sightings import boot_identity
from lcnb.names import comparable_name
from lcnb.rows import TIME_DTYPE, Column, Rows, rows_of

if TYPE_CHECKING:
    import pandas as pd

JOURNAL_FILE = "journal.sqlite"
SCHEMA_VERSION = 4
#: Seconds that a process waits for another one's write to end.
LOCK_TIMEOUT_S = 30.0
OPEN_STATES = ("planned", "sent")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS changeset (
  id TEXT PRIMARY KEY, at TEXT NOT NULL, user TEXT, host TEXT, pid INTEGER, account TEXT, base_url TEXT NOT NULL,
  run TEXT, token TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS change (
  changeset TEXT NOT NULL REFERENCES changeset(id), position INTEGER NOT NULL, state TEXT NOT NULL,
  action TEXT NOT NULL, target TEXT NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL, body TEXT,
  plan TEXT NOT NULL, known TEXT, sent_at TEXT, tries INTEGER NOT NULL DEFAULT 0, ended_at TEXT, identifier TEXT,
  detail TEXT, given_up_at TEXT, fence INTEGER, steady REAL, boot TEXT, PRIMARY KEY (changeset, position)
) STRICT;
CREATE INDEX IF NOT EXISTS open_changes ON change (state) WHERE state IN ('planned', 'sent');
"""
#: Columns that the table of a journal of an older version does not have, in their order.
_LATER_COLUMNS = (("given_up_at", "TEXT"), ("fence", "INTEGER"), ("steady", "REAL"), ("boot", "TEXT"))


@dataclass(frozen=True)
class JournalEntry:
    """One change in the journal. `plan` holds what is needed to continue it; `known` lists what existed before."""

    changeset: str
    position: int
    state: str
    action: str
    target: str
    method: str
    path: str
    body: Mapping[str, Any] | None
    plan: Mapping[str, Any] = field(repr=False)
    known: Sequence[str] | None = None
    sent_at: str | None = None
    tries: int = 0
    ended_at: str | None = None
    identifier: str | None = None
    detail: str | None = None
    #: When the last attempt stopped waiting for its response.
    given_up_at: str | None = None
    #: The fencing token of the lock across machines under which the last attempt was sent.
    fence: int | None = None
    #: When the last attempt was sent or given up, on the steady clock of one start (`boot`) of a computer.
    steady: float | None = None
    boot: str | None = None

    def attempt_ended(self, attempt_s: float) -> datetime:
        """Return the latest time at which the last attempt ended. One attempt takes at most `attempt_s` seconds."""
        if self.given_up_at:
            return datetime.fromisoformat(self.given_up_at)
        return datetime.fromisoformat(self.sent_at or utc_now()) + timedelta(seconds=attempt_s)


@dataclass(frozen=True)
class ChangeSetOwner:
    """The user, host, process, time and account of a ChangeSet that was applied."""

    id: str
    at: str
    user: str
    host: str
    pid: int
    account: str | None
    base_url: str
    run: str | None
    #: A hash that distinguishes tokens where the account has no name.
    token: str | None = None


class Journal:
    """The journal of a state folder. Each call opens the file, so it is safe in threads and after a fork."""

    def __init__(
        self, state_dir: Path, *, clock: Callable[[], Moment] = current_moment, boot: str | None = None
    ) -> None:
        self.path = state_dir / JOURNAL_FILE
        self._clock = clock
        self._boot = boot or boot_identity()

    # --- how long ago an attempt ended ------------------------------------------------------------------

    def certain_age_s(self, entry: JournalEntry, attempt_s: float) -> float:
        """Return the seconds that have certainly passed since the last attempt of a change ended.

        The wall clock may have been set since, so the steady clock of this start of the computer decides. After another
        start, or on another computer, nothing is certain: 0.
        """
        return max(0.0, self._age_s(entry, attempt_s)) if entry.boot == self._boot else 0.0

    def _age_s(self, entry: JournalEntry, attempt_s: float) -> float:
        """Return the seconds since the last attempt ended: by the steady clock where it counts, else by the wall clock.

        Below 0 while the attempt may go on.
        """
        now = self._clock()
        if entry.boot == self._boot and entry.steady is not None:
            return now.steady - entry.steady - (0.0 if entry.given_up_at else attempt_s)
        return now.wall - entry.attempt_ended(attempt_s).timestamp()

    # --- writing ----------------------------------------------------------------------------------------

    def begin(
        self,
        changeset: str,
        entries: Sequence[JournalEntry],
        *,
        account: str | None,
        base_url: str,
        token: str | None = None,
        looked_at: str | None = None,
        pending_s: float = 0.0,
        attempt_s: float = 0.0,
    ) -> None:
        """Record a whole ChangeSet before its first change is sent.

        AlreadyApplied when the journal has this ChangeSet; when another process makes a machine of the same label, or
        made it after `looked_at`, so that the listing may not have shown it; or when a change of one of its machines
        may still take effect (see `check_settled`), which could undo this one.
        """
        owner = (
            changeset,
            utc_now(),
            user_name(),
            socket.gethostname(),
            os.getpid(),
            account,
            base_url,
            current_run(),
            token,
        )
        whose = (base_url, token, account)
        wanted = {
            str(each.plan["identifier"]): f"{each.action} {each.target}"
            for each in entries
            if each.plan.get("identifier")
        }
        with self._open() as db:
            for each in entries:
                if each.action == "create instance":
                    self._check_label_free(db, each.target, whose, looked_at or utc_now())
            self._check_nothing_pending(db, wanted, whose, pending_s, attempt_s)
            try:
                db.execute("INSERT INTO changeset VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", owner)
            except sqlite3.IntegrityError:
                raise AlreadyApplied(self._applied_message(db, changeset)) from None
            db.executemany(
                "INSERT INTO change (changeset, position, state, action, target, method, path, body, plan) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (changeset, each.position, each.state, each.action, each.target, each.method, each.path,
                     _json_text(each.body), _json_text(each.plan))
                    for each in entries
                ],
            )  # fmt: skip

    def check_new(self, changeset: str) -> None:
        """Raise AlreadyApplied when the journal has this ChangeSet. `begin` checks again, in the same transaction."""
        if self.path.exists():
            with self._open() as db:
                if db.execute("SELECT 1 FROM changeset WHERE id = ?", (changeset,)).fetchone():
                    raise AlreadyApplied(self._applied_message(db, changeset))

    def _check_label_free(
        self, db: sqlite3.Connection, label: str, whose: tuple[str, str | None, str | None], looked_at: str
    ) -> None:
        """Refuse a label that another ChangeSet of this account is creating: the API would make two machines."""
        db.create_function("comparable_name", 1, comparable_name, deterministic=True)
        other = db.execute(
            "SELECT changeset.id, host, pid, state FROM change JOIN changeset ON changeset.id = change.changeset "
            "WHERE action = 'create instance' AND comparable_name(target) = comparable_name(?) "
            "AND base_url = ? AND (token IS ? OR (account IS NOT NULL AND account IS ?)) "
            "AND (state IN ('planned', 'sent') OR (state = 'done' AND ended_at >= ?))",
            (label, *whose, looked_at),
        ).fetchone()
        if other:
            name, host, pid, state = other
            other_one = f"another lcnb (process {pid} on {host}, ChangeSet {name})"
            then = (
                f"{other_one} has just made it"
                if state == "done"
                else f"{other_one} may be creating it; `lcnb pending` shows it, `lcnb resume` settles it if that "
                "process has ended"
            )
            raise AlreadyApplied(f"create instance {label}: {then}. Nothing was sent.")

    def check_settled(
        self,
        wanted: Mapping[str, str],
        *,
        account: str | None,
        base_url: str,
        token: str | None,
        pending_s: float,
        attempt_s: float,
    ) -> None:
        """Raise AlreadyApplied when an open change of one of these things may still take effect.

        `wanted`: identifier → what is wanted. Such a change has no outcome, and its last attempt ended in the last
        `pending_s` seconds.
        """
        if wanted and self.path.exists():
            with self._open() as db:
                self._check_nothing_pending(db, wanted, (base_url, token, account), pending_s, attempt_s)

    def _check_nothing_pending(
        self,
        db: sqlite3.Connection,
        wanted: Mapping[str, str],
        whose: tuple[str, str | None, str | None],
        pending_s: float,
        attempt_s: float,
    ) -> None:
        rows = db.execute(
            "SELECT change.* FROM change JOIN changeset ON changeset.id = change.changeset "
            "WHERE state = 'sent' AND base_url = ? AND (token IS ? OR (account IS NOT NULL AND account IS ?))",
            whose,
        ).fetchall()
        for each in map(_entry_from_row, rows):
            what = wanted.get(str(each.plan.get("identifier")))
            if what is not None and self._age_s(each, attempt_s) <= pending_s:
                raise AlreadyApplied(
                    f"{what}: the ChangeSet {each.changeset} sent {each.action} of it at {each.sent_at}, which "
                    f"may still take effect. Nothing was sent now. `lcnb resume {each.changeset}` waits for its "
                    "outcome; then do this again."
                )

    def snapshots_of_title(
        self, title: str, changeset: str, position: int, *, pending_s: float, attempt_s: float
    ) -> tuple[set[str], int]:
        """Return what other changes of this account made, or may still make, under a snapshot title.

        The slugs of their snapshots, and the number of changes without an outcome that could have made a snapshot after
        `changeset` was begun: those whose last attempt ended at most `pending_s` seconds before, and `attempt_s` more,
        which reading the account before that may have taken. An older snapshot was in that reading.
        """
        with self._open() as db:
            at, *whose = db.execute(
                "SELECT at, base_url, token, account FROM changeset WHERE id = ?", (changeset,)
            ).fetchone()
            rows = db.execute(
                "SELECT change.* FROM change JOIN changeset ON changeset.id = change.changeset "
                "WHERE action = 'create snapshot' AND json_extract(plan, '$.expect.title') = ? "
                "AND NOT (changeset = ? AND position = ?) "
                "AND base_url = ? AND (token IS ? OR (account IS NOT NULL AND account IS ?))",
                (title, changeset, position, *whose),
            ).fetchall()
        entries = [_entry_from_row(row) for row in rows]
        since = datetime.fromisoformat(at) - timedelta(seconds=pending_s + attempt_s)
        made = {each.identifier for each in entries if each.identifier and each.state != "sent"}
        return made, sum(each.state == "sent" and each.attempt_ended(attempt_s) >= since for each in entries)

    def _applied_message(self, db: sqlite3.Connection, changeset: str) -> str:
        at, user, host, pid = db.execute(
            "SELECT at, user, host, pid FROM changeset WHERE id = ?", (changeset,)
        ).fetchone()
        left = db.execute(
            "SELECT count(*) FROM change WHERE changeset = ? AND state IN ('planned', 'sent')", (changeset,)
        ).fetchone()[0]
        then = (
            f"{left} of its changes have no outcome yet: `lcnb pending`"
            if left
            else "all its changes have ended"
        )
        return (
            f"the ChangeSet {changeset} was applied at {at} by {user} on {host} (process {pid}); {then}. Nothing "
            "was sent now. To do the same again, make a new ChangeSet."
        )

    def record_attempt(
        self, changeset: str, position: int, known: Sequence[str], fence: int | None = None
    ) -> None:
        """Record an attempt, on the disk, before the request is sent: from now on the change may have happened.

        `fence`: the fencing token of the lock across machines, if there is one.
        """
        now = self._clock()
        with self._open("nothing more is sent") as db:
            changed = db.execute(
                "UPDATE change SET state = 'sent', sent_at = ?, steady = ?, boot = ?, given_up_at = NULL, "
                "tries = tries + 1, known = coalesce(known, ?), fence = ? WHERE changeset = ? AND position = ?",
                (
                    _wall_text(now),
                    now.steady,
                    self._boot,
                    _json_text(list(known)),
                    fence,
                    changeset,
                    position,
                ),
            ).rowcount
            self._check_kept(changed, changeset)

    def record_giving_up(self, changeset: str, position: int) -> None:
        """Record that nobody waits for the response any more: now the window starts in which it may take effect."""
        now = self._clock()
        with self._open() as db:
            db.execute(
                "UPDATE change SET given_up_at = ?, steady = ?, boot = ? "
                "WHERE changeset = ? AND position = ? AND state = 'sent'",
                (_wall_text(now), now.steady, self._boot, changeset, position),
            )

    def unsettled(self, changeset: str, *, pending_s: float, attempt_s: float) -> list[str]:
        """Return the changes of a ChangeSet that were sent, have no outcome, and may still take effect."""
        return [
            f"{each.action} {each.target}"
            for each in self.entries(changeset, pending=True)
            if each.state == "sent" and self._age_s(each, attempt_s) <= pending_s
        ]

    def record_outcome(
        self, changeset: str, position: int, state: str, identifier: str | None = None, detail: str = ""
    ) -> None:
        """Record the outcome of a change."""
        with self._open("nothing more is sent") as db:
            changed = db.execute(
                "UPDATE change SET state = ?, ended_at = ?, identifier = coalesce(?, identifier), detail = ? "
                "WHERE changeset = ? AND position = ?",
                (state, utc_now(), identifier, detail or None, changeset, position),
            ).rowcount
            self._check_kept(changed, changeset)

    def _check_kept(self, changed: int, changeset: str) -> None:
        """Raise JournalError when the file does not have a change that was begun: it was deleted or replaced."""
        if not changed:
            raise JournalError(
                f"the journal {self.path} was deleted or replaced while the ChangeSet {changeset} was applied. Without "
                "it a change could be lost or made twice, so nothing more is sent. Look at the listing before you do "
                "the rest again."
            )

    # --- reading ----------------------------------------------------------------------------------------

    def owners(self, base_url: str | None = None) -> dict[str, ChangeSetOwner]:
        """Return the owner of every ChangeSet that was begun, the oldest first."""
        if not self.path.exists():
            return {}
        with self._open() as db:
            rows = db.execute("SELECT * FROM changeset ORDER BY at, rowid").fetchall()
        return {row[0]: ChangeSetOwner(*row) for row in rows if base_url in (None, row[6])}

    def entries(
        self, changeset: str | None = None, *, pending: bool = False, run: str | None = None
    ) -> list[JournalEntry]:
        """Return changes in the order in which they were begun.

        `pending`: only those without an outcome. `run`: only those of that run.
        """
        if not self.path.exists():
            return []
        query = (
            "SELECT change.* FROM change JOIN changeset ON changeset.id = change.changeset "
            "WHERE (:changeset IS NULL OR change.changeset = :changeset) "
            "AND (NOT :pending OR state IN ('planned', 'sent')) AND (:run IS NULL OR run = :run) "
            "ORDER BY changeset.at, changeset.rowid, position"
        )
        with self._open() as db:
            rows = db.execute(query, {"changeset": changeset, "pending": pending, "run": run}).fetchall()
        return [_entry_from_row(row) for row in rows]

    def frame(self, *, pending: bool = False) -> pd.DataFrame:
        """Return the journal as a frame, one row per change; times as `datetime64[us, UTC]`, secrets as stars."""
        return self.rows(pending=pending).frame()

    def rows(self, *, pending: bool = False) -> Rows:
        """Return the same rows without pandas."""
        owners = self.owners()
        entries = [(each, owners[each.changeset]) for each in self.entries(pending=pending)]
        return rows_of(entries, _JOURNAL_COLUMNS, kind="journal")

    # --- the file ---------------------------------------------------------------------------------------

    @contextmanager
    def _open(self, sent: str = "nothing was sent") -> Iterator[sqlite3.Connection]:
        """Open the file for one transaction. After it the commit is on the disk (synchronous=EXTRA).

        `sent`: what an error message says about the changes.
        """
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh = not self.path.exists()
            db = sqlite3.connect(self.path, timeout=LOCK_TIMEOUT_S, isolation_level=None)
            try:
                if fresh:
                    self.path.chmod(0o600)
                db.execute("PRAGMA synchronous = EXTRA")
                self._prepare(db)
                db.execute("BEGIN IMMEDIATE")
                try:
                    yield db
                except BaseException:
                    if db.in_transaction:  # SQLite has rolled back already when the disk is full
                        db.execute("ROLLBACK")
                    raise
                db.execute("COMMIT")
            finally:
                db.close()
        except (sqlite3.Error, OSError) as error:
            raise JournalError(
                f"the journal {self.path} cannot be used: {error}. Without it a change could be lost or made "
                f"twice, so {sent}. Free some space or correct the disk, or choose another folder by LCNB_STATE_DIR."
            ) from None

    def _prepare(self, db: sqlite3.Connection) -> None:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise JournalError(f"the journal {self.path} was written by a newer lcnb; update this one.")
        if version < SCHEMA_VERSION:
            db.execute("BEGIN IMMEDIATE")
            for statement in _SCHEMA.split(";"):
                db.execute(statement)
            present = {row[1] for row in db.execute("PRAGMA table_info(change)")}
            for column, kind in _LATER_COLUMNS:
                if column not in present:
                    db.execute(f"ALTER TABLE change ADD COLUMN {column} {kind}")
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            db.execute("COMMIT")


def _entry_from_row(row: tuple[Any, ...]) -> JournalEntry:
    changeset, position, state, action, target, method, path, body, plan, known, *rest = row
    parsed = map(_parse_json, (body, plan, known))
    return JournalEntry(changeset, position, state, action, target, method, path, *parsed, *rest)


def _parse_json(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def _json_text(value: object) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False)


def utc_now() -> str:
    """Return the current UTC time as the journal writes it; these texts sort like times."""
    return _format_time(datetime.now(UTC))


def _wall_text(now: Moment) -> str:
    return _format_time(datetime.fromtimestamp(now.wall, UTC))


def _format_time(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


def _parse_time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def user_name() -> str:
    """Return the name that the operating system gives the user of this process.

    The variables LOGNAME and USER do not count: anybody can set them, and `su` without a dash leaves them as they were.
    """
    if sys.platform == "win32":
        return os.getlogin()
    import pwd  # Windows has no such module

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container without a name for its user
        return str(os.getuid())


def user_at_host() -> str:
    """Return the user of this process and its machine, as `ana@workstation`."""
    return f"{user_name()}@{socket.gethostname()}"


def current_run() -> str | None:
    """Return the run that this process belongs to, from the folder that `lcnb run` passes to its kernel."""
    folder = os.environ.get("LCNB_RUN_DIR")
    return Path(folder).name if folder else None


_JOURNAL_COLUMNS: Sequence[Column[tuple[JournalEntry, ChangeSetOwner]]] = (
    ("at", TIME_DTYPE, lambda row: _parse_time(row[1].at)),
    ("changeset", "str", lambda row: row[0].changeset),
    ("change", "Int64", lambda row: row[0].position + 1),
    ("action", "str", lambda row: row[0].action),
    ("target", "str", lambda row: row[0].target),
    ("outcome", "str", lambda row: row[0].state),
    ("identifier", "str", lambda row: row[0].identifier),
    ("detail", "str", lambda row: row[0].detail),
    ("tries", "Int64", lambda row: row[0].tries),
    ("sent_at", TIME_DTYPE, lambda row: _parse_time(row[0].sent_at)),
    ("ended_at", TIME_DTYPE, lambda row: _parse_time(row[0].ended_at)),
    ("request", "str", lambda row: f"{row[0].method} {row[0].path}"),
    ("body", "str", lambda row: _json_text(row[0].body)),
    ("account", "str", lambda row: row[1].account),
    ("base_url", "str", lambda row: row[1].base_url),
    ("user", "str", lambda row: row[1].user),
    ("host", "str", lambda row: row[1].host),
    ("run", "str", lambda row: row[1].run),
    ("fence", "Int64", lambda row: row[0].fence),
)
