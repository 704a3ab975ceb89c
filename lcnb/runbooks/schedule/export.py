"""Export a schedule: the files that make a scheduler (`systems.SYSTEMS`) run a runbook at set times.

The parameters, the cron expression, the files and the confirmation are checked before anything is written, just as
`lcnb run` checks them. No file holds a secret: each says where its scheduler keeps the token.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lcnb.config import Settings, load_settings
from lcnb.errors import ConfigError, ConfirmationMissing, InputError, LcnbError, TokenMissing
from lcnb.runbooks.engine.kernelspecs import choose_kernel
from lcnb.runbooks.notebook import parameters as declared
from lcnb.runbooks.notebook.find import Runbook, find_runbook
from lcnb.runbooks.preflight import (
    account_choices,
    check_account_writable,
    check_language,
    find_approval,
    merge_account,
    working_directory,
)
from lcnb.runbooks.publish.notifications import check_targets
from lcnb.runbooks.schedule.cron import checked_timezone, parse_cron
from lcnb.runbooks.schedule.entry import (
    PLACEHOLDER_IMAGE,
    ScheduleEntry,
    ScheduleSystem,
    check_printable,
    printable_text,
)
from lcnb.runbooks.schedule.job_environment import JobEnvironment
from lcnb.runbooks.schedule.systems import load_system
from lcnb.token_places import find_token_place

#: Kubernetes adds eleven characters to the name of a CronJob and allows 63.
MAX_LABEL_LENGTH = 52
LABEL_PATTERN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


@contextmanager
def say_nothing_written() -> Iterator[None]:
    """Make every error say that nothing was written, also those of checks that are made before a run as well."""
    try:
        yield
    except LcnbError as error:
        error.restate(not_done="written")
        raise


@say_nothing_written()
def export_schedule(
    name: str,
    cron: str,
    to: str,
    *,
    parameters: Mapping[str, str] | None = None,
    account: str | None = None,
    timezone: str | None = None,
    label: str | None = None,
    image: str = PLACEHOLDER_IMAGE,
    kernel: str | None = None,
    cwd: str | Path | None = None,
    confirm: bool = False,
) -> dict[str, str]:
    """Return the files of a schedule: name → text.

    Args:
        name: a runbook, by name or by path.
        cron: a cron expression of five fields, or a word such as @daily.
        to: the name of a scheduler, such as "cron": a key of `lcnb.runbooks.schedule.systems.SYSTEMS`.
        parameters: the parameters of each run, as texts.
        account: an account of the lcnb.toml on the machine that will run it.
        timezone: a name such as America/Sao_Paulo. By default cron and systemd use the time zone of their machine,
            the others UTC.
        label: the name of the unit, job or DAG; by default `lcnb-` and the name of the runbook.
        image: a container image with lcnb, for Kubernetes.
        kernel, cwd: as for `run_runbook`. For cron and systemd both are checked here.
        confirm: True confirms the changes that every run will make; `dry_run=false` needs it.

    Raises InputError or ParameterError for a schedule that could not run, or that the scheduler would read
    differently, and ConfirmationMissing for changes that nobody confirmed, which
    includes ApprovalMissing.

    >>> print(export_schedule("inventory", "0 6 * * *", "github")["lcnb-inventory.yml"].splitlines()[0])
    # Inventory: `lcnb run inventory`
    """
    system = load_system(to)
    book = find_runbook(name)
    given = dict(parameters or {})
    check_language(book, given)
    if system.is_local:
        choose_kernel(book, kernel)
        cwd = working_directory(cwd)
        check_targets()
    account = account or os.environ.get("LCNB_ACCOUNT") or None
    settings = _load_account(book, given, account, system)
    checked = _check_parameters(book, given, settings)
    changes_account = declared.effective_values(book.parameters, checked).get("dry_run") is False
    if changes_account and not confirm:
        raise ConfirmationMissing(
            f"{book.name} with dry_run=false changes the account at each run, and nobody confirmed that",
            cure=f"See what it would do (lcnb plan-run {book.name}), then export it with --yes.",
        )
    if changes_account:
        check_account_writable(settings)
        find_approval(settings, approved=None)
    job = JobEnvironment(book, name, system, account or given.get("account") or None, settings)
    pairs = {**given, **job.path_parameters(given, checked)}
    argv = [
        "run",
        job.source,
        *(word for key, value in pairs.items() for word in ("-p", f"{key}={value}")),
        *(["--account", job.account] if job.account else []),
        *(["--yes"] if changes_account else []),
        *(["--kernel", kernel] if kernel else []),
        *(["--cwd", str(cwd)] if cwd else []),
        *job.options(),
    ]
    env = job.env()
    for text in (*argv, *env.values()):
        check_printable(text)
    return system.write_files(
        ScheduleEntry(
            label=_check_label(label or _default_label(book)),
            title=printable_text(f"{book.title}: `lcnb run {book.name}`"),
            cron=parse_cron(cron),
            timezone=checked_timezone(timezone),
            argv=tuple(argv),
            executable=find_executable(),
            image=_check_image(image),
            env=env,
            token_variable=job.token_variable,
            account=job.account,
            notes=tuple(job.notes()),
        )
    )


def _load_account(
    book: Runbook, given: Mapping[str, str], account: str | None, system: ScheduleSystem
) -> Settings | None:
    """Return the settings of the account; None when only the machine that will run the schedule has them."""
    names = {each.name for each in book.parameters}
    named = merge_account(book, {name: text for name, text in given.items() if name in names}, account)
    try:
        return load_settings(named)
    except TokenMissing:
        if system.is_local and _token_is_stored_here(named):
            raise
        return None
    except ConfigError:
        if system.is_local:
            raise
        return None


def _token_is_stored_here(account: str | None) -> bool:
    """Whether a named account reads its token from a file or a keyring, which every local run finds unchanged."""
    place = find_token_place(account) if account else None
    return place is not None and place.variable is None


def _check_parameters(book: Runbook, given: Mapping[str, str], settings: Settings | None) -> dict[str, Any]:
    """Return the parameters as values. ParameterError for what `lcnb run` would refuse."""
    known = account_choices(settings) if any(name in declared.ACCOUNT_KINDS for name in given) else None
    declared.check_required(book.parameters, given)
    return declared.check_values(book.parameters, given, known)


def _default_label(book: Runbook) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", book.name.lower()).strip("-") or "notebook"
    return f"lcnb-{slug}"[:MAX_LABEL_LENGTH].strip("-")


def _check_label(label: str) -> str:
    if len(label) > MAX_LABEL_LENGTH or not LABEL_PATTERN.fullmatch(label):
        raise InputError(
            f"{label!r} may have small letters, digits and hyphens only, and at most {MAX_LABEL_LENGTH} characters",
            field="label",
            value=label,
        )
    return label


def _check_image(image: str) -> str:
    if not re.fullmatch(r"[\w./:@+-]+", image, re.ASCII):
        raise InputError(f"{image!r} is not the name of a container image", field="image", value=image)
    return image


def find_executable() -> str:
    """Return the absolute path of the `lcnb` command that belongs to this Python."""
    installed = Path(sys.executable).with_name("lcnb")
    return str(installed if installed.exists() else shutil.which("lcnb") or installed)
