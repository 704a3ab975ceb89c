"""The time zone of this machine, in which cron and systemd read times that name no zone."""

from __future__ import annotations

from datetime import UTC, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

LOCALTIME = Path("/etc/localtime")


def machine_zone(localtime: Path = LOCALTIME) -> str:
    """Return the name of the machine's time zone, such as Europe/Berlin; UTC for a machine without one.

    `TZ` of this process does not count: the daemons that start runs do not see it. A zone file that is a copy, not a
    link, is named by its path.
    """
    try:
        target = localtime.resolve(strict=True)
    except OSError:
        return "UTC"
    _, found, name = target.as_posix().partition("/zoneinfo/")
    return name.removeprefix("posix/").removeprefix("right/") if found else str(target)


def find_zone(name: str) -> tzinfo:
    """Return the time zone with that name, or of that file. ValueError for an unknown one."""
    if name == "UTC":
        return UTC
    try:
        if name.startswith("/"):
            with Path(name).open("rb") as file:
                return ZoneInfo.from_file(file, key=name)
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError) as error:
        raise ValueError(f"no time zone {name!r}: {error}") from None
