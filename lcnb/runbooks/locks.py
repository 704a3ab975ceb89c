"""The lock of a runbook: which runs exclude each other, on this machine and across machines."""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcnb.changes.machine_locks import account_names, lease_times, lock_name, this_process
from lcnb.config import Settings
from lcnb.errors import Locked, RunError, StoreWarning
from lcnb.folders import state_dir
from lcnb.leases.place import shared_place

if TYPE_CHECKING:
    from lcnb.leases.holding import HeldLocks
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
) -> Iterator[HeldLocks | None]:
    """Hold the lock of a run, which excludes similar runs; yield its lease, None where no store or Redis is configured.

    A lock file excludes runs on this machine, and ends with this process. A lease excludes those of other machines.

    A run that changes the account excludes every other such run of the runbook for this account. A run that only reads
    excludes reading runs with the same parameters. A reading and a changing run do not exclude each other.

    Args:
        book: the runbook.
        settings: the account that it runs for; None for a notebook without an account.
        parameters: the values of all parameters; they do not matter if the run writes.
        wait: seconds to wait for the lock; None takes no lock.
        writes: the run changes the account.
        name: identifies the runbook; by default its path does.

    Locked when another process holds the lock, or when that is not known; RunError when the lock file cannot be
    created.
    """
    if wait is None:
        yield None
        return
    from filelock import FileLock, Timeout

    whose = (settings.account, settings.base_url) if settings else ()
    which = None if writes else parameters
    what = json.dumps([name or str(book.path), whose, which], sort_keys=True, default=str)
    started = time.monotonic()
    folder = (settings.state_dir if settings else state_dir()) / "locks"
    lock = FileLock(folder / f"runbook-{hashlib.sha256(what.encode()).hexdigest()[:24]}.lock")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock.acquire(timeout=wait)
    except Timeout:
        raise Locked(
            f"another process runs {_describe_run(book, settings, writes)} now. Nothing was started. Wait until it "
            "ends (--lock-wait SECONDS), or look at it: lcnb runs."
        ) from None
    except OSError as error:
        raise RunError(
            f"the lock of {book.name} cannot be created in {folder}: {error.strerror or error}. Nothing was started. "
            "Set LCNB_STATE_DIR to another folder, or use --no-lock to run without a lock."
        ) from None
    try:
        left_s = max(0.0, wait - (time.monotonic() - started))
        with _lock_across_machines(book, settings, which, left_s, folder, writes=writes) as held:
            yield held
    finally:
        lock.release()


def _describe_run(book: Runbook, settings: Settings | None, writes: bool) -> str:
    how = "with dry_run=False" if writes else "with these parameters"
    whose = f" for {settings.account or settings.base_url}" if settings else ""
    return f"{book.name} {how}{whose}"


@contextmanager
def _lock_across_machines(
    book: Runbook,
    settings: Settings | None,
    parameters: Mapping[str, Any] | None,
    wait_s: float,
    folder: Path,
    *,
    writes: bool,
) -> Iterator[HeldLocks | None]:
    """Hold the lease of a run. A runbook is recognised by its name: its path may differ between machines."""
    place = shared_place()
    if place is None:
        yield None
        return
    from lcnb.leases.holding import hold_locks

    text = _describe_run(book, settings, writes)
    names = [
        lock_name("runbook", json.dumps([book.name, whose, parameters], sort_keys=True, default=str), text)
        for whose in (account_names(settings) if settings else [""])
    ]
    with ExitStack() as stack:
        held = None
        try:
            held = stack.enter_context(
                hold_locks(
                    place, names, this_process("started"), lease_times(settings), folder, wait_s=wait_s
                )
            )
        except Locked as error:
            if writes or not error.is_unknown:
                raise
            warnings.warn(  # a store that is away stops no run that only reads
                f"{text}: the locks across machines did not answer, so another machine may run the same",
                StoreWarning,
                stacklevel=2,
            )
        yield held
