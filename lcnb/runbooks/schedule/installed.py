"""The schedules that `lcnb schedule install` has installed, each as a JSON file of the state folder.

The file says what was installed and how, so that a check notices what was changed or removed by hand. It holds no
secret: neither do the files of the schedule.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

from lcnb.errors import InputError, RunError
from lcnb.files import write_atomically
from lcnb.folders import make_state_folder, state_dir
from lcnb.runbooks.schedule.cron import parse_cron
from lcnb.runbooks.schedule.machine_zone import find_zone
from lcnb.runbooks.schedule.planned import Timetable
from lcnb.suggestions import did_you_mean

DEFAULT_GRACE_S = 900.0
#: Seconds to wait for another process that installs or removes a schedule.
LOCK_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class InstalledSchedule:
    """One installed schedule. Times are ISO texts in UTC, durations are seconds."""

    name: str
    system: str
    runbook: str
    cron: str
    #: The time zone of the schedule; None for that of the machine.
    timezone: str | None
    #: The time zone of the machine when it was installed.
    machine_zone: str
    executable: str
    argv: tuple[str, ...]
    runs_dir: str
    installed_at: str
    user: str
    host: str
    grace_s: float = DEFAULT_GRACE_S
    #: The limit of each run; None for no limit.
    timeout_s: float | None = None
    account: str | None = None
    #: Whether each run makes its changes without asking.
    confirms: bool = False
    #: Files without which no run can start.
    needs: tuple[str, ...] = ()
    #: What was installed: name → text; for cron the lines of the block.
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def zone_name(self) -> str:
        """The time zone in which the times are meant."""
        return self.timezone or self.machine_zone

    @property
    def zone(self) -> tzinfo:
        """The same, with its clock changes."""
        return find_zone(self.zone_name)

    @property
    def timetable(self) -> Timetable:
        """The planned times."""
        return Timetable(parse_cron(self.cron), self.zone, self.system)

    @property
    def installed(self) -> datetime:
        """When it was installed, in UTC."""
        return datetime.fromisoformat(self.installed_at)

    @property
    def lines(self) -> list[str]:
        """The lines of its files."""
        return [line for text in self.files.values() for line in text.splitlines()]


@dataclass(frozen=True)
class DamagedSchedule:
    """A file of the state folder that should describe a schedule and cannot be read."""

    name: str
    path: Path
    problem: str


def schedules_folder() -> Path:
    """Return the folder of the installed schedules."""
    return state_dir() / "schedules"


@contextmanager
def lock_schedules() -> Iterator[Path]:
    """Hold the lock of the installed schedules, and yield their folder. RunError when another process keeps it."""
    from filelock import FileLock, Timeout

    folder = make_state_folder(schedules_folder())
    try:
        with FileLock(folder / ".lock", timeout=LOCK_TIMEOUT_S, mode=0o600):
            yield folder
    except Timeout:
        raise RunError("another process installs or removes a schedule now", not_done="written") from None


def save_schedule(schedule: InstalledSchedule) -> Path:
    """Write the file of a schedule. OSError when that fails."""
    path = make_state_folder(schedules_folder()) / f"{schedule.name}.json"
    return write_atomically(path, json.dumps({"format": 1, **asdict(schedule)}, ensure_ascii=False, indent=1))


def forget_schedule(name: str) -> None:
    """Delete the file of a schedule, if there is one."""
    (schedules_folder() / f"{name}.json").unlink(missing_ok=True)


def read_schedules() -> tuple[list[InstalledSchedule], list[DamagedSchedule]]:
    """Return the installed schedules in the order of their names, and the files that cannot be read."""
    found: list[InstalledSchedule] = []
    damaged: list[DamagedSchedule] = []
    for path in sorted(schedules_folder().glob("*.json")):
        each = _read_schedule(path)
        if isinstance(each, InstalledSchedule):
            found.append(each)
        else:
            damaged.append(each)
    return found, damaged


def find_schedule(name: str) -> InstalledSchedule | None:
    """Return the schedule with that name, None if it is not installed. InputError when its file cannot be read."""
    path = schedules_folder() / f"{name}.json"
    if not path.is_file():
        return None
    found = _read_schedule(path)
    if isinstance(found, DamagedSchedule):
        raise InputError(
            f"{path} cannot be read: {found.problem}",
            cure="Install the schedule again (--replace), or delete the file.",
            not_done="written",
        )
    return found


def require_schedule(name: str) -> InstalledSchedule:
    """Return the schedule with that name. InputError when it is not installed."""
    found = find_schedule(name)
    if found is None:
        known = [each.name for each in read_schedules()[0]]
        raise InputError(
            f"no schedule {name!r}{did_you_mean(name, known)} is installed. `lcnb schedule list` lists them",
            not_done="written",
        )
    return found


def _read_schedule(path: Path) -> InstalledSchedule | DamagedSchedule:
    try:
        facts: dict[str, Any] = json.loads(path.read_bytes())
        names = {each.name for each in fields(InstalledSchedule)}
        values = {name: value for name, value in facts.items() if name in names}
        values |= {name: tuple(values.get(name, ())) for name in ("argv", "needs")}
        found = InstalledSchedule(**values)
        found.timetable.next(found.installed)  # a wrong expression, zone or time is found here
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        return DamagedSchedule(path.stem, path, f"{type(error).__name__}: {error}")
    return found if found.name == path.stem else DamagedSchedule(path.stem, path, f"it is of {found.name!r}")
