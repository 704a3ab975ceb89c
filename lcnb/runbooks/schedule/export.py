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

from lcnb.config import Settings, resolve
from lcnb.errors import ConfigError, ConfirmationMissing, InputError, LcnbError, ParameterError, TokenMissing
from lcnb.runbooks.engine.kernelspecs import chosen_kernel
from lcnb.runbooks.notebook import parameters as declared
from lcnb.runbooks.notebook.find import Runbook, find
from lcnb.runbooks.preflight import _choices, check_language, working_directory
from lcnb.runbooks.schedule import cron as crons
from lcnb.runbooks.schedule.airflow import _airflow
from lcnb.runbooks.schedule.crontab import _cron
from lcnb.runbooks.schedule.entry import IMAGE, Schedule, _check_text, _printable
from lcnb.runbooks.schedule.github import _github
from lcnb.runbooks.schedule.job_environment import LOCAL, _Job
from lcnb.runbooks.schedule.kubernetes import _k8s
from lcnb.runbooks.schedule.systemd import _systemd
from lcnb.token_places import place_of_token

#: Kubernetes adds eleven characters to a CronJob's name and takes 63.
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?")


@contextmanager
def nothing_written() -> Iterator[None]:
    """What is checked as for a run says that nothing was started; here nothing would have been."""
    try:
        yield
    except LcnbError as error:
        told = [each.replace("Nothing was started", "Nothing was written") for each in map(str, error.args)]
        error.args = tuple(told)
        raise


@nothing_written()
def export(
    name: str,
    cron: str,
    to: str,
    *,
    parameters: Mapping[str, str] | None = None,
    account: str | None = None,
    timezone: str | None = None,
    label: str | None = None,
    image: str = IMAGE,
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
    book = find(name)
    given = dict(parameters or {})
    check_language(book, given)
    if to in ("cron", "systemd"):
        chosen_kernel(book, kernel)
        cwd = working_directory(cwd)
    account = account or (os.environ.get("LCNB_ACCOUNT") or None)
    settings = _check_account(book, given, account, to)
    checked = _check(book, given, settings)
    writes = declared.effective(book.parameters, checked).get("dry_run") is False
    if writes and not confirm:
        raise ConfirmationMissing(
            f"{book.name} with dry_run=false changes the account at each run, and nobody confirmed that. Nothing was "
            f"written. Look at what it would do (lcnb plan-run {book.name}), then export it with --yes."
        )
    job = _Job(book, name, to, account or given.get("account") or None, settings)
    argv = ["run", job.source]
    for key, value in {**given, **job.paths(given, checked)}.items():
        argv += ["-p", f"{key}={value}"]
    argv += [*(["--account", job.account] if job.account else []), *(["--yes"] if writes else [])]
    argv += ["--kernel", kernel] if kernel else []
    argv += ["--cwd", str(cwd)] if cwd else []
    argv += job.options()
    job_env = job.env()
    for each in (*argv, *job_env.values()):
        _check_text(each)
    label = label or f"lcnb-{re.sub(r'[^a-z0-9]+', '-', book.name.lower()).strip('-') or 'notebook'}"[
        :52
    ].strip("-")
    if not LABEL.fullmatch(label):
        raise InputError(f"label {label!r}: small letters, digits and - only, at most 52")
    if not re.fullmatch(r"[\w./:@+-]+", image, re.ASCII):
        raise InputError(f"image {image!r} is not the name of a container image")
    schedule = Schedule(
        label,
        _printable(f"{book.title}: `lcnb run {book.name}`"),
        crons.parse(cron),
        crons.timezone(timezone),
        tuple(argv),
        executable(),
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
        return resolve(named)
    except TokenMissing:
        if named and to in LOCAL and (place := place_of_token(named)) and place.variable is None:
            raise  # a file or a keyring of this machine is the same at each run
        return None
    except ConfigError:
        if to in LOCAL:
            raise
        return None


def _check(book: Runbook, given: Mapping[str, str], settings: Settings | None) -> dict[str, Any]:
    """The parameters as `lcnb run` would check them."""
    known = _choices(settings) if any(name in declared.ACCOUNT_KINDS for name in given) else None
    declared.check_required(book.parameters, given)
    return declared.check(book.parameters, given, known)


def executable() -> str:
    """The absolute path of the `lcnb` command that goes with this Python."""
    beside = Path(sys.executable).with_name("lcnb")
    return str(beside if beside.exists() else shutil.which("lcnb") or beside)


WRITERS: dict[str, Callable[[Schedule], dict[str, str]]] = {
    "cron": _cron,
    "systemd": _systemd,
    "k8s": _k8s,
    "airflow": _airflow,
    "github": _github,
}
