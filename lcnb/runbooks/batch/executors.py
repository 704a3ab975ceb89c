"""Where the processes of a batch run: threads of this process, a given executor, or a Dask cluster."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from lcnb.config import Settings, load_settings
from lcnb.errors import ConfigError, InputError, TokenMissing
from lcnb.runbooks.batch.launcher import account_environment
from lcnb.runbooks.batch.stops import BatchStop, FolderStop, LocalStop
from lcnb.runbooks.notebook import parameters as declared
from lcnb.runbooks.notebook.find import Runbook
from lcnb.runbooks.preflight import account_choices, resolve_settings

if TYPE_CHECKING:
    pass


# --- where the processes are ----------------------------------------------------------------------------


@dataclass
class Placement:
    """Who starts the processes, how many at a time, and with which account."""

    executor: Executor | None
    dask: str | None
    workers: int | None
    settings: Settings | None

    @classmethod
    def of(
        cls,
        executor: Executor | None,
        dask: str | None,
        workers: int | None,
        settings: Settings | None,
        max_errors: int | None,
    ) -> Placement:
        if executor is not None and dask is not None:
            raise InputError("say `executor` or `dask`, not both. Nothing was started.")
        if settings is not None and (executor is not None or dask is not None):
            raise InputError(
                "settings hold a token, which does not travel to other processes; name an account, which each "
                "worker resolves for itself. Nothing was started."
            )
        for name, number in (("workers", workers), ("max_errors", max_errors)):
            if number is not None and number < 1:
                raise InputError(f"{name}: {number} is below 1. Nothing was started.")
        return cls(executor, dask, workers, settings)

    @property
    def here(self) -> bool:
        return self.executor is None and self.dask is None

    def choices(self, book: Runbook, account: str | None) -> declared.AccountChoices:
        """What an account knows, asked once. Workers elsewhere may have accounts that are not known here."""
        settings = self._resolved(book, account)
        known = cache(account_choices(settings))

        def asked(kind: str) -> Sequence[str] | None:
            return known(kind)

        return asked

    def problem(self, book: Runbook, account: str | None) -> str:
        """Why an account that a row names cannot be used here. Raises ConfigError for the one that none names."""
        try:
            self._resolved(book, account)
        except ConfigError as wrong:
            if account is None:
                raise
            return str(wrong)
        return ""

    def _resolved(self, book: Runbook, account: str | None) -> Settings | None:
        if self.settings is not None:
            if account not in (None, self.settings.account):
                whose = self.settings.account or self.settings.base_url
                raise ConfigError(f"{account!r} is named, but the settings are those of {whose}")
            return self.settings
        try:
            return resolve_settings(book, account) if self.here else load_settings(account)
        except (ConfigError, TokenMissing):
            if self.here:
                raise
            return None

    @contextmanager
    def started(self, folder: Path) -> Iterator[tuple[Executor, int, BatchStop]]:
        """The executor, how many rows at a time, and which rows may begin and are to stop."""
        if self.dask is not None:
            from lcnb.runbooks.batch.cluster import connect_cluster

            with connect_cluster(self.dask, folder.name) as (executor, threads, stop):
                yield executor, self.workers or threads, stop
        elif self.executor is not None:
            from lcnb.runbooks.batch.cluster import find_executor_stop

            workers = self.workers or getattr(self.executor, "_max_workers", None) or _count_processors()
            if by_scheduler := find_executor_stop(self.executor, folder.name):
                yield self.executor, workers, by_scheduler
                return
            with _create_stop_folder(folder) as stop_by_files:
                yield self.executor, workers, stop_by_files
        else:
            workers = self.workers or _count_processors()
            with ThreadPoolExecutor(workers, thread_name_prefix="lcnb-batch") as pool:
                yield pool, workers, LocalStop()

    def env(self) -> dict[str, str | None]:
        """What the processes get beside this one's environment: the token of `settings`, never by a record."""
        if self.settings is None:
            return {}
        return account_environment(self.settings)


@contextmanager
def _create_stop_folder(folder: Path) -> Iterator[FolderStop]:
    """The flags of this attempt at a batch; a row that an executor starts after its end does not begin."""
    flags = FolderStop(folder / f"begun-{secrets.token_hex(6)}")
    flags.folder.mkdir(mode=0o700)
    try:
        yield flags
    finally:
        if not flags.asked():
            shutil.rmtree(flags.folder, ignore_errors=True)


def _count_processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
