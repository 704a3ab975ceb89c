"""What keeps the next runs of installed schedules from starting on this machine, as far as that can be seen now."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from lcnb.config_file import account_entry, read_config
from lcnb.errors import ConfigError, LcnbError
from lcnb.folders import state_dir
from lcnb.runbooks.schedule import crontab_block, user_crontab, user_units
from lcnb.runbooks.schedule.installed import InstalledSchedule
from lcnb.runbooks.schedule.machine_zone import machine_zone
from lcnb.runbooks.schedule.problems import ScheduleProblem
from lcnb.runbooks.schedule.user_units import UnitState

#: A run needs at least this room for its notebook, report and record.
MIN_FREE_BYTES = 1_000_000


@dataclass(frozen=True)
class MachineState:
    """What was observed on this machine at one time."""

    host: str
    zone: str
    #: When the machine was started; None when that is not known.
    booted: datetime | None = None
    #: The crontab of this user; None when it could not be read, for the reason in `crontab_problem`.
    crontab: str | None = None
    crontab_problem: str = ""
    cron_running: bool = True
    #: Unit → its state; empty when systemd could not be asked, for the reason in `systemd_problem`.
    units: Mapping[str, UnitState] = field(default_factory=dict)
    systemd_problem: str = ""
    lingering: bool | None = None
    #: Folder → free bytes of its disk.
    free_bytes: Mapping[str, int] = field(default_factory=dict)


def observe_machine(schedules: Iterable[InstalledSchedule]) -> MachineState:
    """Observe what these schedules need of this machine. A scheduler that cannot be asked is part of the result."""
    here = [each for each in schedules if each.host == socket.gethostname()]
    systems = {each.system for each in here}
    crontab, crontab_problem = _read_crontab() if "cron" in systems else ("", "")
    units, systemd_problem = _read_units(here) if "systemd" in systems else ({}, "")
    return MachineState(
        host=socket.gethostname(),
        zone=machine_zone(),
        booted=_boot_time(),
        crontab=crontab,
        crontab_problem=crontab_problem,
        cron_running="cron" not in systems or user_crontab.is_cron_running(),
        units=units,
        systemd_problem=systemd_problem,
        lingering=user_units.is_lingering() if "systemd" in systems else None,
        free_bytes=_free_bytes([str(state_dir()), *(each.runs_dir for each in here)]),
    )


def _read_crontab() -> tuple[str | None, str]:
    try:
        return user_crontab.read_crontab(), ""
    except LcnbError as error:
        return None, error.problem


def _read_units(schedules: Iterable[InstalledSchedule]) -> tuple[dict[str, UnitState], str]:
    units: dict[str, UnitState] = {}
    try:
        for each in schedules:
            if each.system == "systemd":
                units |= {name: user_units.read_unit(name) for name in each.files}
    except LcnbError as error:
        return {}, error.problem
    return units, ""


def _boot_time() -> datetime | None:
    import psutil

    try:
        return datetime.fromtimestamp(psutil.boot_time(), UTC)
    except (OSError, RuntimeError):
        return None


def _free_bytes(folders: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for folder in folders:
        nearest = next((each for each in (Path(folder), *Path(folder).parents) if each.exists()), None)
        if nearest is not None:
            found[folder] = shutil.disk_usage(nearest).free
    return found


def standing_problems(schedule: InstalledSchedule, machine: MachineState) -> Iterator[ScheduleProblem]:
    """Yield what keeps the next run from starting, or changes when it starts."""
    name = schedule.name
    again = f"lcnb schedule install ... --label {name} --replace"
    if schedule.system == "cron":
        yield from _cron_problems(schedule, machine, again)
    else:
        yield from _systemd_problems(schedule, machine, again)
    yield from _file_problems(schedule, again)
    for folder in dict.fromkeys([str(state_dir()), schedule.runs_dir]):
        free = machine.free_bytes.get(folder)
        if free is not None and free < MIN_FREE_BYTES:
            yield ScheduleProblem(
                name,
                "disk full",
                f"{free:,} bytes are free for {folder}",
                "Delete files: lcnb runs prune --keep 100",
            )
    if schedule.timezone is None and machine.zone != schedule.machine_zone:
        yield ScheduleProblem(
            name,
            "time zone changed",
            f"the machine was in {schedule.machine_zone} when it was installed, and is in {machine.zone} now",
            f"Install it again: {again}",
        )


def _cron_problems(
    schedule: InstalledSchedule, machine: MachineState, again: str
) -> Iterator[ScheduleProblem]:
    if not machine.cron_running:
        yield ScheduleProblem(
            schedule.name, "daemon not running", "no cron daemon runs", "As root: service cron start"
        )
    if machine.crontab is None:
        yield ScheduleProblem(schedule.name, "scheduler not reachable", machine.crontab_problem)
        return
    job = crontab_block.job_line(schedule.lines)
    state = crontab_block.find_line(machine.crontab, schedule.name, job)
    kinds = {"missing": "line removed", "commented out": "line commented out", "changed": "line changed"}
    if state in kinds:
        text = f"its line in the crontab is {state}"
        yield ScheduleProblem(schedule.name, kinds[state], text, f"Restore it: {again}")


def _systemd_problems(
    schedule: InstalledSchedule, machine: MachineState, again: str
) -> Iterator[ScheduleProblem]:
    name = schedule.name
    changed = list(_changed_units(schedule))
    for kind, text in changed:
        yield ScheduleProblem(name, kind, text, f"Restore it: {again}")
    if machine.systemd_problem:
        cure = f"loginctl enable-linger {schedule.user}"
        yield ScheduleProblem(name, "scheduler not reachable", machine.systemd_problem, cure)
        return
    timer = machine.units.get(f"{name}.timer", UnitState())
    if timer.load in ("", "not-found", "masked", "error", "bad-setting") and not changed:
        yield ScheduleProblem(
            name, "unit removed", f"systemd has not loaded {name}.timer ({timer.load})", again
        )
    elif timer.active != "active" or timer.enabled != "enabled":
        text = f"{name}.timer is {timer.active or 'not active'} and {timer.enabled or 'not enabled'}"
        cure = f"systemctl --user enable --now {name}.timer"
        yield ScheduleProblem(name, "unit disabled", text, cure)


def _changed_units(schedule: InstalledSchedule) -> Iterator[tuple[str, str]]:
    for name, text in schedule.files.items():
        path = user_units.units_folder() / name
        try:
            now = path.read_text(encoding="utf-8", errors="surrogateescape")
        except FileNotFoundError:
            yield "unit removed", f"{path} does not exist"
        except OSError as error:
            yield "unit removed", f"{path} cannot be read: {error.strerror or error}"
        else:
            if now != text:
                yield "unit changed", f"{path} was changed after it was installed"


def _file_problems(schedule: InstalledSchedule, again: str) -> Iterator[ScheduleProblem]:
    if not os.access(schedule.executable, os.X_OK):
        yield ScheduleProblem(
            schedule.name,
            "command gone",
            f"{schedule.executable} does not exist or cannot be executed",
            f"Install it again with the lcnb that exists now: {again}",
        )
    for file in schedule.needs:
        if not os.access(file, os.R_OK):
            yield ScheduleProblem(
                schedule.name,
                "file gone",
                f"{file} does not exist or cannot be read",
                f"Restore it, or {again}",
            )
    if schedule.account is not None:
        try:
            account_entry(schedule.account, read_config())
        except ConfigError as error:
            yield ScheduleProblem(schedule.name, "account gone", error.problem)
