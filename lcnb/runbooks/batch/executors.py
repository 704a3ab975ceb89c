"""Where the rows of a batch run: in threads of this process, in a given executor, or on a Dask cluster."""

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

from lcnb.config import Settings, load_settings
from lcnb.errors import ConfigError, InputError, TokenMissing
from lcnb.runbooks.batch.launcher import account_environment
from lcnb.runbooks.batch.stops import BatchStop, FolderStop, LocalStop
from lcnb.runbooks.notebook import parameters as declared
from lcnb.runbooks.notebook.find import Runbook
from lcnb.runbooks.preflight import account_choices, resolve_settings


@dataclass
class Placement:
    """The executor of a batch, the number of rows that run at the same time, and the settings that all rows use."""

    executor: Executor | None
    dask: str | None
    workers: int | None
    settings: Settings | None

    @classmethod
    def from_options(
        cls,
        executor: Executor | None,
        dask: str | None,
        workers: int | None,
        settings: Settings | None,
        max_errors: int | None,
    ) -> Placement:
        """Check the options of `lcnb.batch` that decide where rows run. InputError when they contradict each other."""
        if executor is not None and dask is not None:
            raise InputError("pass `executor` or `dask`, not both. Nothing was started.")
        if settings is not None and (executor is not None or dask is not None):
            raise InputError(
                "settings hold a token, which is not sent to other processes. Pass an account instead: each worker "
                "reads the settings of that account. Nothing was started."
            )
        for name, number in (("workers", workers), ("max_errors", max_errors)):
            if number is not None and number < 1:
                raise InputError(f"{name}: {number} is less than 1. Nothing was started.")
        return cls(executor, dask, workers, settings)

    @property
    def is_local(self) -> bool:
        """Whether the rows run in processes of this computer that this process starts."""
        return self.executor is None and self.dask is None

    def choices_of_account(self, book: Runbook, account: str | None) -> declared.AccountChoices:
        """Return a function that lists an account's values of a kind, such as its locations; each kind is read once.

        The list is None for an account that only the workers know.
        """
        cached_choices = cache(account_choices(self.resolve_settings(book, account)))

        def list_choices(kind: str) -> Sequence[str] | None:
            return cached_choices(kind)

        return list_choices

    def account_problem(self, book: Runbook, account: str | None) -> str:
        """Return why the account of a row cannot be used; ConfigError for the default account."""
        try:
            self.resolve_settings(book, account)
        except ConfigError as wrong:
            if account is None:
                raise
            return str(wrong)
        return ""

    def resolve_settings(self, book: Runbook, account: str | None) -> Settings | None:
        """Return the settings of the account of a row; None when only the workers have them. ConfigError if wrong."""
        if self.settings is not None:
            if account not in (None, self.settings.account):
                whose = self.settings.account or self.settings.base_url
                raise ConfigError(f"the row names {account!r}, but the settings are those of {whose}")
            return self.settings
        try:
            return resolve_settings(book, account) if self.is_local else load_settings(account)
        except (ConfigError, TokenMissing):
            if self.is_local:
                raise
            return None

    @contextmanager
    def open_executor(self, folder: Path) -> Iterator[tuple[Executor, int, BatchStop]]:
        """Yield the executor, the number of rows that run at the same time, and the stop flags."""
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

    def child_variables(self) -> dict[str, str | None]:
        """Return environment variables for the rows' processes: the token of `settings`, which no file holds."""
        if self.settings is None:
            return {}
        return account_environment(self.settings)


@contextmanager
def _create_stop_folder(folder: Path) -> Iterator[FolderStop]:
    """Yield stop flags in a new folder; a row that an executor starts after the end does not run."""
    flags = FolderStop(folder / f"begun-{secrets.token_hex(6)}")
    flags.folder.mkdir(mode=0o700)
    try:
        yield flags
    finally:
        if not flags.is_requested():
            shutil.rmtree(flags.folder, ignore_errors=True)


def _count_processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
