"""The lock that keeps two processes of a machine from running the same runbook at once."""

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
    book: Runbook, settings: Settings | None, parameters: Mapping[str, Any] | None, wait: float | None
) -> Iterator[None]:
    """Hold the lock of a runbook, so that no other process of this machine runs it. It ends with this process.

    Args:
        book: the runbook.
        settings: the account that it runs for; None for a notebook without an account.
        parameters: only runs with the same parameters are kept out; None keeps out every run for this account.
        wait: seconds to wait for the lock; None takes no lock.

    Locked when another process holds the lock; RunError when the lock file cannot be created.
    """
    if wait is None:
        yield
        return
    from filelock import FileLock, Timeout

    whose = (settings.account, settings.base_url) if settings else ()
    what = json.dumps([str(book.path), whose, parameters], sort_keys=True, default=str)
    folder = (settings.state_dir if settings else state_dir()) / "locks"
    lock = FileLock(folder / f"runbook-{hashlib.sha256(what.encode()).hexdigest()[:24]}.lock")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock.acquire(timeout=wait)
    except Timeout:
        which = "" if parameters is None else " with these parameters"
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
