"""The lock of a runbook: which runs exclude each other on this machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lcnb.config import Settings
from lcnb.errors import Locked, RunError
from lcnb.folders import state_dir

if TYPE_CHECKING:
    from lcnb.runbooks.notebook.find import Runbook


@contextmanager
def runbook_lock(
    book: Runbook,
    settings: Settings | None,
    parameters: Mapping[str, Any],
    wait: float | None,
    *,
    writes: bool,
    name: str | None = None,
) -> Iterator[None]:
    """Hold the lock of a run, which excludes similar runs on this machine. It ends with this process.

    A run that changes the account excludes every other such run of the runbook for this account. A run that only reads
    excludes reading runs with the same parameters. A reading and a changing run do not exclude each other.

    Args:
        book: the runbook.
        settings: the account that it runs for; None for a notebook without an account.
        parameters: the values of all parameters; they do not matter if the run writes.
        wait: seconds to wait for the lock; None takes no lock.
        writes: the run changes the account.
        name: identifies the runbook; by default its path does.

    Locked when another process holds the lock; RunError when the lock file cannot be created.
    """
    if wait is None:
        yield
        return
    from filelock import FileLock, Timeout

    whose = (settings.account, settings.base_url) if settings else ()
    what = json.dumps(
        [name or str(book.path), whose, None if writes else parameters], sort_keys=True, default=str
    )
    folder = (settings.state_dir if settings else state_dir()) / "locks"
    lock = FileLock(folder / f"runbook-{hashlib.sha256(what.encode()).hexdigest()[:24]}.lock")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock.acquire(timeout=wait)
    except Timeout:
        which = " with dry_run=False" if writes else " with these parameters"
        which += f" for {whose[0] or whose[1]}" if whose else ""
        raise Locked(
            f"another process runs {book.name}{which} now. Nothing was started. Wait until it ends "
            "(--lock-wait SECONDS), or look at it: lcnb runs."
        ) from None
    except OSError as error:
        raise RunError(
            f"the lock of {book.name} cannot be created in {folder}: {error.strerror or error}. Nothing was started. "
            "Set LCNB_STATE_DIR to another folder, or use --no-lock to run without a lock."
        ) from None
    try:
        yield
    finally:
        lock.release()
