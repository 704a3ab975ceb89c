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
from lcnb.runbooks.environment import SCHEDULE_VARIABLE
from lcnb.runbooks.notebook import parameters as declared
from lcnb.runbooks.notebook.find import Runbook, find_runbook
from lcnb.runbooks.preflight import (
    account_choices,
    check_account_writable,
    check_language,
    check_seconds,
    find_approval,
    merge_account,
    working_directory,
)
from lcnb.runbooks.publish.notifications import check_targets
from lcnb.runbooks.retries import check_policy
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
def export_schedule(name: str, cron: str, to: str, **options: Any) -> dict[str, str]:
    """Return the files of a schedule: name → text.

    Args:
        name: a runbook, by name or by path.
        cron: a cron expression of five fields, or a word such as @daily.
        to: the name of a scheduler, such as "cron": a key of `lcnb.runbooks.schedule.systems.SYSTEMS`.
        options: as for `build_entry`.

    Raises the errors of `build_entry`, and InputError for what the scheduler would read differently.

    >>> print(export_schedule("inventory", "0 6 * * *", "github")["lcnb-inventory.yml"].splitlines()[0])
    # Inventory: `lcnb run inventory`
    """
    system = load_system(to)
    return system.write_files(build_entry(name, cron, system, **options))


def build_entry(
    name: str,
    cron: str,
    system: ScheduleSystem,
    *,
    parameters: Mapping[str, str] | None = None,
    account: str | None = None,
    timezone: str | None = None,
    label: str | None = None,
    image: str = PLACEHOLDER_IMAGE,
    kernel: str | None = None,
    cwd: str | Path | None = None,
    confirm: bool = False,
    timeout: float | None = None,
    retries: int = 0,
    retry_wait: float | None = None,
    managed: bool = False,
) -> ScheduleEntry:
    """Return a checked schedule, for the writers of files and for `install`.

    Args:
        name, cron: as for `export_schedule`.
        system: the scheduler that will start the runs.
        parameters: the parameters of each run, as texts.
        account: an account of the lcnb.toml on the machine that will run it.
        timezone: a name such as America/Sao_Paulo. By default cron and systemd use the time zone of their machine,
            the others UTC.
        label: the name of the unit, job or DAG; by default `lcnb-` and the name of the runbook.
        image: a container image with lcnb, for Kubernetes.
        kernel, cwd: as for `run_runbook`. For cron and systemd both are checked here.
        confirm: True confirms the changes that every run will make; `dry_run=false` needs it.
        timeout, retries, retry_wait: as for `run_runbook`, for each run.
        managed: True for a schedule that lcnb installs: its runs record its name.

    Raises InputError or ParameterError for a schedule that could not run, or that the scheduler would read
    differently, and ConfirmationMissing for changes that nobody confirmed, which includes ApprovalMissing.
    """
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
    effective = declared.effective_values(book.parameters, checked)
    changes_account = effective.get("dry_run") is False
    if changes_account:
        _check_changes(book, settings, confirm=confirm)
    job = JobEnvironment(book, name, system, account or given.get("account") or None, settings)
    argv = [
        "run",
        job.source,
        *_parameter_words({**given, **job.path_parameters(given, checked)}),
        *_option_words("--account", job.account),
        *(["--yes"] if changes_account else []),
        *_limit_words(timeout, retries, retry_wait),
        *_option_words("--kernel", kernel),
        *_option_words("--cwd", cwd),
        *job.options(),
    ]
    label = _check_label(label or _default_label(book))
    env = {**job.env(), **({SCHEDULE_VARIABLE: label} if managed else {})}
    check_printable(*argv, *env.values())
    return ScheduleEntry(
        label=label,
        title=printable_text(f"{book.title}: `lcnb run {book.name}`"),
        cron=parse_cron(cron),
        timezone=checked_timezone(timezone),
        argv=tuple(argv),
        executable=find_executable(),
        image=_check_image(image),
        env=env,
        token_variable=job.token_variable,
        account=job.account,
        notes=(
            *_time_notes(cron, timezone, system),
            *_change_notes(book, given, effective, confirm),
            *job.notes(),
        ),
        managed=managed,
        needs=(str(book.path), *job.needed_files()) if system.is_local else (),
    )


def _check_changes(book: Runbook, settings: Settings | None, *, confirm: bool) -> None:
    """Refuse a schedule that changes an account without a confirmation, or one that the settings do not let change."""
    if not confirm:
        raise ConfirmationMissing(
            f"{book.name} with dry_run=false changes the account at each run, and nobody confirmed that",
            cure=f"See what it would do (lcnb plan-run {book.name}), then export it with --yes.",
        )
    check_account_writable(settings)
    find_approval(settings, approved=None)


def _parameter_words(texts: Mapping[str, str]) -> list[str]:
    return [word for name, text in texts.items() for word in ("-p", f"{name}={text}")]


def _option_words(option: str, value: object) -> list[str]:
    return [option, str(value)] if value else []


def _limit_words(timeout: float | None, retries: int, retry_wait: float | None) -> list[str]:
    """Return the options of `lcnb run` for the limits of each run. InputError for values that make no sense."""
    check_seconds("timeout", timeout)
    policy = check_policy(retries, retry_wait)
    words = ["--timeout", f"{timeout:g}"] if timeout is not None else []
    if policy.retries:
        words += ["--retries", str(policy.retries), "--retry-wait", f"{policy.wait_s:g}"]
    return words


def _time_notes(cron: str, timezone: str | None, system: ScheduleSystem) -> list[str]:
    """Return the line that says when the runs start, and in which time zone."""
    zone = timezone or ("the time zone of the machine that runs them" if system.is_local else "UTC")
    return [printable_text(f"Runs start at: {cron} in {zone}.")]


def _change_notes(
    book: Runbook, given: Mapping[str, str], effective: Mapping[str, Any], confirm: bool
) -> Iterator[str]:
    """Yield what every run changes without asking, or that no run changes anything."""
    if "dry_run" not in effective:
        if confirm:
            yield f"The confirmation has no effect: {book.name} has no parameter dry_run."
    elif effective["dry_run"] is not False:
        yield "No run changes anything (dry_run=true)." + (
            " The confirmation has no effect." if confirm else ""
        )
    else:
        words = "".join(f" -p {name}={value}" for name, value in given.items() if name != "dry_run")
        yield "Every run makes its changes without asking (--yes). Nobody looks at them before."
        yield f"See what a run would change now: lcnb plan-run {printable_text(book.name + words)}"


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
