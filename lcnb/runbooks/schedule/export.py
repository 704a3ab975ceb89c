"""Export the schedule of a runbook as a file for cron, systemd, Kubernetes, Airflow or GitHub.

The parameters, the cron expression, the files and the confirmation are checked before anything is written, as `lcnb run` would
check them. No file holds a secret: each says where that system keeps the token."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lcnb.config import Settings, load_settings
from lcnb.errors import ConfigError, ConfirmationMissing, InputError, LcnbError, ParameterError, TokenMissing
from lcnb.runbooks.engine.kernelspecs import choose_kernel
from lcnb.runbooks.notebook import parameters as declared
from lcnb.runbooks.notebook.find import Runbook, find_runbook
from lcnb.runbooks.preflight import account_choices, check_language, working_directory
from lcnb.runbooks.schedule import cron as crons
from lcnb.runbooks.schedule.airflow import airflow_files
from lcnb.runbooks.schedule.crontab import crontab_files
from lcnb.runbooks.schedule.entry import PLACEHOLDER_IMAGE, ScheduleEntry, check_printable, printable_text
from lcnb.runbooks.schedule.github import github_files
from lcnb.runbooks.schedule.job_environment import LOCAL_SYSTEMS, JobEnvironment
from lcnb.runbooks.schedule.kubernetes import kubernetes_files
from lcnb.runbooks.schedule.systemd import systemd_files
from lcnb.token_places import find_token_place

#: Kubernetes adds eleven characters to a CronJob's name and takes 63.
LABEL_PATTERN = re.compile(r"[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?")


@contextmanager
def say_nothing_written() -> Iterator[None]:
    """What is checked as for a run says that nothing was started; here nothing would have been."""
    try:
        yield
    except LcnbError as error:
        told = [each.replace("Nothing was started", "Nothing was written") for each in map(str, error.args)]
        error.args = tuple(told)
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
    """The files of a schedule, name → text.

    Args:
        to: cron, systemd, k8s, airflow or github.
        timezone: such as America/Sao_Paulo; without one, cron and systemd take the machine's, others UTC.
        label: how units, jobs and DAGs are called; by default `lcnb-` and the runbook's name.
        image: the container image for Kubernetes; it must have lcnb.
        kernel, cwd: as for `run_runbook`; for cron and systemd they are checked here.
        confirm: the changes that each run makes are confirmed (`dry_run=false` needs it).

    Raises InputError or ParameterError for what could not run, or could not be written for that system,
    ConfirmationMissing for changes that nobody confirmed.

    >>> print(export("inventory", "0 6 * * *", "github")["lcnb-inventory.yml"].splitlines()[0])
    # Inventory: `lcnb run inventory`
    """
    if to not in WRITERS:
        raise InputError(f"to: {to!r} is none of {', '.join(WRITERS)}")
    book = find_runbook(name)
    given = dict(parameters or {})
    check_language(book, given)
    if to in ("cron", "systemd"):
        choose_kernel(book, kernel)
        cwd = working_directory(cwd)
    account = account or (os.environ.get("LCNB_ACCOUNT") or None)
    settings = _check_account(book, given, account, to)
    checked = _check_parameters(book, given, settings)
    writes = declared.effective_values(book.parameters, checked).get("dry_run") is False
    if writes and not confirm:
        raise ConfirmationMissing(
            f"{book.name} with dry_run=false changes the account at each run, and nobody confirmed that. Nothing was "
            f"written. Look at what it would do (lcnb plan-run {book.name}), then export it with --yes."
        )
    job = JobEnvironment(book, name, to, account or given.get("account") or None, settings)
    argv = ["run", job.source]
    for key, value in {**given, **job.paths(given, checked)}.items():
        argv += ["-p", f"{key}={value}"]
    argv += [*(["--account", job.account] if job.account else []), *(["--yes"] if writes else [])]
    argv += ["--kernel", kernel] if kernel else []
    argv += ["--cwd", str(cwd)] if cwd else []
    argv += job.options()
    job_env = job.env()
    for each in (*argv, *job_env.values()):
        check_printable(each)
    label = label or f"lcnb-{re.sub(r'[^a-z0-9]+', '-', book.name.lower()).strip('-') or 'notebook'}"[
        :52
    ].strip("-")
    if not LABEL_PATTERN.fullmatch(label):
        raise InputError(f"label {label!r}: small letters, digits and - only, at most 52")
    if not re.fullmatch(r"[\w./:@+-]+", image, re.ASCII):
        raise InputError(f"image {image!r} is not the name of a container image")
    schedule = ScheduleEntry(
        label,
        printable_text(f"{book.title}: `lcnb run {book.name}`"),
        crons.parse_cron(cron),
        crons.checked_timezone(timezone),
        tuple(argv),
        find_executable(),
        image,
        job_env,
        job.variable,
        job.account,
        tuple(job.notes()),
    )
    return WRITERS[to](schedule)


def _check_account(book: Runbook, given: Mapping[str, str], account: str | None, to: str) -> Settings | None:
    """The settings of the account, if it can be asked now. An account that only another machine has cannot be."""
    by_parameter = given.get("account") if any(each.name == "account" for each in book.parameters) else None
    if account and by_parameter and account != by_parameter:
        raise ParameterError(f"parameter account: {by_parameter!r}, but the option says {account!r}.")
    named = account or by_parameter or None
    try:
        return load_settings(named)
    except TokenMissing:
        if named and to in LOCAL_SYSTEMS and (place := find_token_place(named)) and place.variable is None:
            raise  # a file or a keyring of this machine is the same at each run
        return None
    except ConfigError:
        if to in LOCAL_SYSTEMS:
            raise
        return None


def _check_parameters(book: Runbook, given: Mapping[str, str], settings: Settings | None) -> dict[str, Any]:
    """The parameters as `lcnb run` would check them."""
    known = account_choices(settings) if any(name in declared.ACCOUNT_KINDS for name in given) else None
    declared.check_required(book.parameters, given)
    return declared.check_values(book.parameters, given, known)


def find_executable() -> str:
    """The absolute path of the `lcnb` command that goes with this Python."""
    beside = Path(sys.executable).with_name("lcnb")
    return str(beside if beside.exists() else shutil.which("lcnb") or beside)


WRITERS: dict[str, Callable[[ScheduleEntry], dict[str, str]]] = {
    "cron": crontab_files,
    "systemd": systemd_files,
    "k8s": kubernetes_files,
    "airflow": airflow_files,
    "github": github_files,
}
