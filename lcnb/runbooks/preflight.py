"""Checks before a run starts: account, settings, language, limits and folders.

Every error that is raised here says that nothing was started. Batches and schedules use the same checks.
"""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from lcnb.config import Settings, check_approved, check_writable, load_settings
from lcnb.errors import InputError, ParameterError, RunError, TokenMissing
from lcnb.folders import resolve_runs_folder, store_url
from lcnb.object_store import open_store
from lcnb.runbooks.notebook import parameters as declared
from lcnb.runbooks.notebook.find import Runbook, notebooks_dir
from lcnb.runbooks.notebook.languages import ASSIGNMENT_PATTERNS, PYTHON
from lcnb.runbooks.records.approval import Approval, require_approval
from lcnb.runbooks.records.run_record import read_run
from lcnb.transport.network import checked_proxy

if TYPE_CHECKING:
    from lcnb.client import LetsCloud

ENGINES = ("auto", "kernel")


def check_engine(engine: str) -> None:
    """Raise InputError for an unknown engine."""
    if engine not in ENGINES:
        raise InputError(f"engine: {engine!r} is not one of {', '.join(ENGINES)}. Nothing was started.")


def check_seconds(name: str, seconds: float | None) -> float | None:
    """Return a time limit in seconds, or None for no limit. InputError for 0, a negative number or infinity.

    >>> check_seconds("timeout", 60)
    60
    """
    if seconds is not None and not (isinstance(seconds, int | float) and 0 < seconds < math.inf):
        raise InputError(f"{name}: expected seconds above 0, got {seconds!r}. Nothing was started.")
    return seconds


def merge_account(book: Runbook, given: dict[str, object], account: str | None) -> str | None:
    """Return the account that the option or the parameter names. ParameterError when they name two accounts."""
    by_parameter = given.get("account") or None
    if account and by_parameter and account != by_parameter:
        raise ParameterError(
            f"parameter account: {by_parameter!r}, but the option says {account!r}",
            not_done="started",
        )
    if account and any(each.name == "account" for each in book.parameters):
        given["account"] = account
    return account or (str(by_parameter) if by_parameter else None)


def needs_account(book: Runbook) -> bool:
    """Whether a runbook certainly reads an account: a shipped one with a parameter `account`."""
    shipped = book.path.is_relative_to(notebooks_dir() / "runbooks")
    return shipped and any(each.name == "account" for each in book.parameters)


def resolve_settings(book: Runbook, account: str | None) -> Settings | None:
    """Return the settings of the account. None where the user's own notebook runs without any token.

    TokenMissing when a shipped runbook that reads an account, or a named account, has no token.
    """
    required = needs_account(book)
    try:
        settings = load_settings(account)
    except TokenMissing:
        if account is None and not required:
            return None  # the user's own notebook may not need the API
        raise
    if required:
        checked_proxy(settings.base_url)
    return settings


def check_account_writable(settings: Settings | None) -> None:
    """Raise ReadOnly for a run that changes an account whose settings make it read-only."""
    if settings is not None:
        check_writable(settings, not_done="started")


def find_approval(settings: Settings | None, approved: Path | None) -> Approval | None:
    """Return the approval of a planned run that will be made, in an account that requires one; None elsewhere.

    Args:
        settings: the account that will be changed.
        approved: the folder of the planned run; None for changes that no run has planned.

    Raises ApprovalMissing when nobody has approved these changes, or the person who planned them.
    """
    if settings is None or not settings.approval:
        return None
    if approved is None:
        check_approved(settings, not_done="started")
    return require_approval(read_run(Path(str(approved))), not_done="started")


def account_choices(settings: Settings | None) -> declared.AccountChoices:
    """Return a function from a kind, such as "plan", to the values of the account. Each kind is read once."""

    @cache
    def known(kind: str) -> list[str] | None:
        if settings is None:
            return None
        from lcnb.client import LetsCloud

        with LetsCloud(settings) as lc:
            return account_values(lc, kind)

    return known


def account_values(lc: LetsCloud, kind: str) -> list[str]:
    """Return the account's values of a kind of `ACCOUNT_KINDS`, sorted.

    >>> import lcnb
    >>> "web-01" in account_values(lcnb.connect(sandbox=True), "label")
    True
    """
    read = {"location": lc.locations, "plan": lc.plans, "image": lc.images, "label": lc.instances}
    return sorted(set(read[kind]()["label" if kind == "label" else "slug"].dropna()))


def check_language(book: Runbook, given: Mapping[str, object]) -> None:
    """Raise ParameterError when papermill cannot write values into cells of the notebook's language."""
    if given and book.language not in (PYTHON, *ASSIGNMENT_PATTERNS):
        name = str(next(iter(given)))
        raise ParameterError(
            f"parameter {name}: papermill cannot write values into a cell of {book.language}. Nothing was started. "
            "Let the notebook read it from the environment, which it inherits from this command: "
            f"{name.upper()}=... lcnb run {book.path}"
        )


def working_directory(cwd: str | Path | None) -> Path | None:
    """Return the working directory of the cells as an absolute path. InputError when it is not a folder."""
    if cwd is None:
        return None
    path = Path(cwd).expanduser().absolute()
    if not path.is_dir():
        raise InputError(f"cwd: {str(path)!r} is not a folder", not_done="started")
    return path


def create_run_folder(book: Runbook, folder: str | Path | None, what: str = "run") -> Path:
    """Create the folder of a run or batch in the given folder, or in that for runs.

    RunError when that fails, ConfigError for a store that cannot be used; nothing is sent to the store.
    """
    parent = resolve_runs_folder(folder)
    name = re.sub(r"[^\w-]+", "-", book.name).strip("-") or "notebook"
    if (url := store_url(parent)) is not None:
        open_store(url)  # refuses wrong credentials and a missing library before anything starts
    prefix = "" if what == "run" else f"{what}-"
    path = parent / f"{prefix}{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{name[:60]}-{secrets.token_hex(3)}"
    try:
        path.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise RunError(
            f"the {what}'s folder {path} cannot be created: {error.strerror or error}. Nothing was started. "
            "Choose another folder with --runs-dir or LCNB_RUNS_DIR."
        ) from None
    return path
