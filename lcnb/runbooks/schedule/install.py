"""Install a schedule for cron or systemd of this machine, and remove it again.

The files are those of `export`, so an installed schedule does exactly what the exported one would. What is installed is
recorded before the scheduler knows it: whatever ends this process, a check notices what is missing.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from lcnb.changes.journal import user_name
from lcnb.errors import InputError, RunError
from lcnb.folders import runs_dir
from lcnb.runbooks.notebook.find import find_runbook
from lcnb.runbooks.schedule import crontab_block, installed, user_crontab, user_units
from lcnb.runbooks.schedule.entry import ScheduleEntry
from lcnb.runbooks.schedule.export import build_entry, say_nothing_written
from lcnb.runbooks.schedule.installed import InstalledSchedule
from lcnb.runbooks.schedule.machine_zone import machine_zone
from lcnb.runbooks.schedule.systems import SYSTEMS, load_system

#: The schedulers that `install` knows: those of this machine.
INSTALL_SYSTEMS = ("cron", "systemd")
BACKUP_FILE = "crontab.before"


@dataclass(frozen=True)
class Installation:
    """What was installed, what it replaced, and what the user should know, one line each."""

    schedule: InstalledSchedule
    replaced: InstalledSchedule | None
    notes: tuple[str, ...]


def install_schedule(
    name: str,
    cron: str,
    to: str,
    *,
    now: datetime,
    replace_existing: bool = False,
    grace: timedelta = timedelta(seconds=installed.DEFAULT_GRACE_S),
    timeout: float | None = None,
    **options: Any,
) -> Installation:
    """Make a scheduler of this machine run a runbook at set times.

    Args:
        name, cron, options: as for `export.build_entry`.
        to: "cron" or "systemd".
        now: the current time in UTC.
        replace_existing: replace the schedule that is installed under the same name (`label`).
        grace: how long after its planned time a run may start before `check` reports it.
        timeout: the limit of each run in seconds.

    Raises the errors of `build_entry`; InputError when a schedule of that name is installed; RunError when the
    scheduler cannot be reached or refuses the files. Nothing is installed then.
    """
    if to not in INSTALL_SYSTEMS:
        cure = f"Export a file for it: lcnb schedule export {name} --to {to}" if to in SYSTEMS else ""
        raise InputError(
            f"{to!r} is not one of {', '.join(INSTALL_SYSTEMS)}, which run on this machine",
            field="to",
            cure=cure,
            not_done="written",
        )
    with say_nothing_written():
        system = load_system(to)
        entry = build_entry(name, cron, system, timeout=timeout, managed=True, **options)
        files = system.write_files(entry)
    schedule = _describe(entry, name, cron, to, files, now, grace, timeout)
    with installed.lock_schedules() as folder:
        before = installed.find_schedule(schedule.name)
        if before is not None and not replace_existing:
            raise InputError(
                f"the schedule {before.name} is installed since {before.installed_at[:16]} UTC: {before.runbook} at "
                f"{before.cron} by {before.system}",
                cure="To replace it: --replace. To install another one: --label NAME.",
                not_done="written",
            )
        return _install_files(schedule, before, folder, replace_existing=replace_existing)


def _describe(
    entry: ScheduleEntry,
    name: str,
    cron: str,
    to: str,
    files: Mapping[str, str],
    now: datetime,
    grace: timedelta,
    timeout: float | None,
) -> InstalledSchedule:
    return InstalledSchedule(
        name=entry.label,
        system=to,
        runbook=find_runbook(name).name,
        cron=cron,
        timezone=entry.timezone,
        machine_zone=machine_zone(),
        executable=entry.executable,
        argv=entry.argv,
        runs_dir=str(runs_dir()),
        installed_at=now.isoformat(timespec="seconds"),
        user=user_name(),
        host=socket.gethostname(),
        grace_s=grace.total_seconds(),
        timeout_s=timeout,
        account=entry.account,
        confirms="--yes" in entry.argv,
        needs=entry.needs,
        files=dict(files),
    )


def _install_files(
    schedule: InstalledSchedule, before: InstalledSchedule | None, folder: Path, *, replace_existing: bool
) -> Installation:
    """Give the files to the scheduler; the caller holds the lock. On a failure everything is as it was."""
    known = before.lines if before and before.system == "cron" else []
    notes = list(_check_reachable(schedule, replace_existing=replace_existing))
    try:
        installed.save_schedule(schedule)
        if schedule.system == "systemd":
            user_units.install_units(schedule.name, schedule.files, replace=replace_existing)
        else:
            _write_block(schedule, known, folder)
    except BaseException as error:
        with suppress(OSError):
            if before is None:
                installed.forget_schedule(schedule.name)
            else:
                installed.save_schedule(before)
        if isinstance(error, OSError):
            raise RunError(
                f"the schedule cannot be recorded in {folder}: {error.strerror or error}"
            ) from None
        raise
    if before is not None and before.system != schedule.system:
        notes += _remove_files(before, folder)
    return Installation(schedule, before, tuple(notes))


def _check_reachable(schedule: InstalledSchedule, *, replace_existing: bool) -> Sequence[str]:
    """Raise an error when the scheduler could not take the files; return what the user should know."""
    if schedule.system == "systemd":
        user_units.check_user_manager()
        user_units.check_units(schedule.files)
        if user_units.is_lingering() is False:
            return [
                f"the session of {schedule.user} ends at logout, and the timer with it. To keep it: "
                f"loginctl enable-linger {schedule.user}"
            ]
        return []
    if crontab_block.has_block(user_crontab.read_crontab(), schedule.name) and not replace_existing:
        raise InputError(
            f"the crontab already has a block of the name {schedule.name}",
            cure="To replace it: --replace. To install another one: --label NAME.",
            not_done="written",
        )
    if not user_crontab.is_cron_running():
        return [
            "no cron daemon runs on this machine, so nothing starts the runs. Start it, as root: service cron start"
        ]
    return []


def _write_block(schedule: InstalledSchedule, known: Sequence[str], folder: Path) -> None:
    text = user_crontab.read_crontab()
    changed = crontab_block.put_block(text, schedule.name, schedule.lines, known)
    user_crontab.write_crontab(text, changed, folder / BACKUP_FILE)


def remove_schedule(name: str) -> list[str]:
    """Remove an installed schedule: its units or its block, then its record. Return what was removed, one line each.

    Runs and their records stay, and a run that is active goes on. Lines that people wrote into the block stay too.
    InputError when the schedule is not installed or was installed on another machine; RunError when the scheduler
    cannot be reached: then the schedule stays installed.
    """
    with installed.lock_schedules() as folder:
        schedule = installed.require_schedule(name)
        if schedule.host != socket.gethostname():
            raise InputError(
                f"the schedule {name} was installed on {schedule.host}",
                cure="Remove it there.",
                not_done="removed",
            )
        removed = _remove_files(schedule, folder)
        installed.forget_schedule(name)
    return removed


def _remove_files(schedule: InstalledSchedule, folder: Path) -> list[str]:
    if schedule.system == "systemd":
        paths = user_units.remove_units(schedule.name, tuple(schedule.files))
        return [f"removed {path}" for path in paths] or ["its units were removed before"]
    text = user_crontab.read_crontab()
    changed = crontab_block.remove_block(text, schedule.name, schedule.lines)
    user_crontab.write_crontab(text, changed, folder / BACKUP_FILE)
    if changed == text:
        return ["its lines were removed from the crontab before"]
    return [f"removed {text.count(chr(10)) - changed.count(chr(10))} lines from the crontab"]
