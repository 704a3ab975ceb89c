"""Planned times: the same ones at which systemd and cron start runs, also when clocks change."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from lcnb.runbooks.schedule.cron import parse_cron
from lcnb.runbooks.schedule.machine_zone import find_zone, machine_zone
from lcnb.runbooks.schedule.planned import Timetable

ANALYZE = shutil.which("systemd-analyze")
SPRING, AUTUMN = datetime(2027, 3, 27, 12, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC)


def timetable(cron: str, system: str, zone: str = "Europe/Berlin") -> Timetable:
    return Timetable(parse_cron(cron), ZoneInfo(zone), system)


def starts(
    cron: str, system: str, since: datetime, hours: int = 30, zone: str = "Europe/Berlin"
) -> list[str]:
    found = timetable(cron, system, zone).between(since, since + timedelta(hours=hours))
    return [f"{each.at:%d %H:%M}" for each in found]


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "UTC"]
)
@pytest.mark.parametrize(
    "cron", ["30 2 * * *", "15 * * * *", "*/20 1-3 * * *", "0 0 * * 0", "59 1 25 10 *", "45 1 * * *"]
)
@pytest.mark.parametrize(
    "since", [SPRING, AUTUMN, datetime(2026, 10, 3, 6, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)]
)
def test_systemd_agrees(cron: str, zone: str, since: datetime) -> None:
    """systemd's own calculator names the same times, on the days on which clocks change too."""
    (line,) = parse_cron(cron).on_calendar(zone)
    done = subprocess.run(
        [str(ANALYZE), "calendar", "--iterations=8", f"--base-time={since:%Y-%m-%d %H:%M:%S} UTC", line],
        capture_output=True, text=True, check=True, env={"TZ": "UTC", "LC_ALL": "C"},
    )  # fmt: skip
    found = re.findall(r"(?:Next elapse|Iter\. #\d+): \w+ (\S+ \S+) UTC", done.stdout)
    expected = [datetime.fromisoformat(f"{each}+00:00") for each in found]
    assert expected
    own = timetable(cron, "systemd", zone).between(since, expected[-1])
    assert [each.at for each in own] == expected
    assert timetable(cron, "systemd", zone).next(since) == expected[0]


@pytest.mark.parametrize(
    ("cron", "since", "expected"),
    [
        ("30 2 * * *", SPRING, ["28 01:00"]),  # right after the change
        ("30 2 * * *", AUTUMN, ["25 00:30"]),  # the first time only
        ("30 4 * * *", SPRING, ["28 02:30"]),
        ("30 */1 28 3 *", SPRING, ["27 23:30", "28 00:30", "28 01:30", "28 02:30", "28 03:30", "28 04:30", "28 05:30", "28 06:30", "28 07:30", "28 08:30", "28 09:30", "28 10:30", "28 11:30", "28 12:30", "28 13:30", "28 14:30", "28 15:30", "28 16:30", "28 17:30"]),
        ("30 1-3 * * *", AUTUMN, ["24 23:30", "25 00:30", "25 02:30"]),
        ("0 3 * * *", SPRING, ["28 01:00"]),
    ],
)  # fmt: skip
def test_cron_on_days_of_change(cron: str, since: datetime, expected: list[str]) -> None:
    """Debian's cron: a fixed time that is skipped starts after the change, a repeated one only once."""
    assert starts(cron, "cron", since) == expected


def test_cron_follows_the_clock_each_hour() -> None:
    """Runs of each hour follow the clock on the wall: the repeated hour has two, and the skipped one none."""
    assert len(starts("15 * * * *", "cron", AUTUMN, 24)) == 24
    assert "25 00:15" in starts("15 * * * *", "cron", AUTUMN)
    assert "25 01:15" in starts("15 * * * *", "cron", AUTUMN)
    assert len(starts("15 * * * *", "cron", SPRING, 24)) == 24


def test_either_of_two_times() -> None:
    """A time that exists twice is planned for the first, and a start at the second is in time."""
    (planned,) = timetable("30 2 25 10 *", "systemd").between(AUTUMN, AUTUMN + timedelta(days=1))
    assert planned.latest - planned.at == timedelta(hours=1)


@pytest.mark.parametrize(
    ("cron", "system", "lines"),
    [
        ("30 2 * * *", "cron", [
            "2026-10-25 02:30 exists twice in Europe/Berlin: a run the first time only (cron).",
            "2027-03-28 02:30 does not exist in Europe/Berlin: the run starts at 03:00 (cron).",
        ]),
        ("30 2 * * *", "systemd", [
            "2026-10-25 02:30 exists twice in Europe/Berlin: a run the first time only (systemd).",
            "2027-03-28 02:30 does not exist in Europe/Berlin: no run (systemd).",
        ]),
        ("*/30 * * * *", "cron", [
            "2026-10-25 02:00 to 02:30 exist twice in Europe/Berlin: a run each time (cron).",
            "2027-03-28 02:00 to 02:30 do not exist in Europe/Berlin: no run (cron).",
        ]),
        ("30 6 * * *", "cron", []),
        ("30 2 * * 1", "cron", []),
    ],
)  # fmt: skip
def test_described(cron: str, system: str, lines: list[str]) -> None:
    """The times that do not exist or exist twice are named, with what happens then."""
    assert timetable(cron, system).describe_clock_changes(datetime(2026, 9, 1, tzinfo=UTC)) == lines


@pytest.mark.parametrize("cron", ["0 0 29 2 *", "0 0 1 1 *", "* * * * *", "0 12 31 * *"])
def test_next(cron: str) -> None:
    """The next time is the first one after the given time, however far away."""
    now = datetime(2026, 3, 1, 0, 0, 30, tzinfo=UTC)
    table = timetable(cron, "cron", "UTC")
    following = table.next(now)
    assert following is not None
    assert [each.at for each in table.between(now, following)] == [following]


def test_zone_of_the_machine(tmp_path: Path) -> None:
    """The zone is read from /etc/localtime: its target names it, a copied file is named by its path."""
    zones = tmp_path / "usr/share/zoneinfo/America"
    zones.mkdir(parents=True)
    real = Path("/usr/share/zoneinfo/America/Sao_Paulo")
    if not real.is_file():
        pytest.skip("this system has no time zone files")
    shutil.copy(real, zones / "Sao_Paulo")
    link = tmp_path / "localtime"
    link.symlink_to(zones / "Sao_Paulo")
    assert machine_zone(link) == "America/Sao_Paulo"
    assert machine_zone(tmp_path / "missing") == "UTC"
    copied = tmp_path / "copied"
    shutil.copy(real, copied)
    assert machine_zone(copied) == str(copied)
    at = datetime(2026, 1, 1, tzinfo=UTC)
    assert at.astimezone(find_zone(str(copied))).utcoffset() == timedelta(hours=-3)
    with pytest.raises(ValueError, match="no time zone"):
        find_zone("Nowhere/Nothing")
