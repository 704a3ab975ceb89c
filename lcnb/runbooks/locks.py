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


# --- one at a time --------------------------------------------------------------------------------------


@contextmanager
def runbook_lock(
    book: Runbook, settings: Settings | None, parameters: Mapping[str, Any] | None, wait: float | None
) -> Iterator[None]:
    """Keep other processes of this machine from the same work; the lock ends with this process.

    `parameters` None: from any run of this runbook for this account; else from one with the same parameters.
    `wait`: seconds to wait for it; None: no lock.
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
            f"another process runs {book.name}{which} now. Nothing was started. Wait for its end "
            "(--lock-wait SECONDS), or look at it: lcnb runs."
        ) from None
    except OSError as error:
        raise RunError(
            f"the lock of {book.name} cannot be made in {folder}: {error.strerror or error}. Nothing was started. "
            "Another place: LCNB_STATE_DIR; without a lock: --no-lock."
        ) from None
    try:
        yield
    finally:
        lock.release()
