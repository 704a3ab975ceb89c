"""`lcnb schedule check`: each way in which a planned run does not happen is found and named.

Schedules are installed for real (see `scheduler_programs`), runs are real, and the time of the check is passed in.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from scheduler_programs import Schedulers, schedulers  # noqa: F401 - a fixture

from conftest import LCNB, ROOT, TOKEN, Call, lcnb_here, record, wait_until, write_notebook
from lcnb.runbooks.environment import SCHEDULE_VARIABLE
from lcnb.runbooks.locks import runbook_lock
from lcnb.runbooks.notebook.find import find_runbook
from lcnb.runbooks.schedule import export, installed
from lcnb.runbooks.schedule.check import ScheduleStatus, check_schedule, check_schedules
from lcnb.runbooks.schedule.cron import CronExpression
from lcnb.runbooks.schedule.install import install_schedule
from lcnb.runbooks.schedule.installed import InstalledSchedule
from lcnb.runbooks.schedule.machine_state import MachineState, observe_machine
from lcnb.runbooks.schedule.machine_zone import find_zone, machine_zone
from lcnb.runbooks.schedule.occurrences import Occurrence, read_occurrences, read_runs_of
from lcnb.runbooks.schedule.problems import PROBLEM_KINDS
from lcnb.runbooks.schedule.starts import read_starts, record_start, starts_file

#: The check is made one hour after the planned time.
CHECKED_AFTER = timedelta(hours=1)


@dataclass
class Watched:
    """One installed schedule whose run was planned for now, a day ago, and so on."""

    schedulers: Schedulers
    folder: Path
    schedule: InstalledSchedule
    notebook: Path
    #: The planned time that has just passed.
    planned: datetime
    monkeypatch: pytest.MonkeyPatch

    @property
    def checked_at(self) -> datetime:
        return self.planned + CHECKED_AFTER

    def check(self, now: datetime | None = None, **machine: Any) -> ScheduleStatus:
        """The status at that time, with other facts of the machine."""
        schedule = installed.require_schedule(self.schedule.name)
        observed: MachineState = replace(observe_machine([schedule]), **machine)
        runs = read_runs_of([schedule])[schedule.runs_dir]
        return check_schedule(schedule, now or self.checked_at, observed, read_occurrences(schedule, runs))

    def kinds(self, now: datetime | None = None, **machine: Any) -> list[str]:
        return [each.kind for each in self.check(now, **machine).problems]

    def run(self) -> subprocess.CompletedProcess[str]:
        """Start the run as its scheduler does, in this process."""
        return lcnb_here(*self.schedule.argv, **{SCHEDULE_VARIABLE: self.schedule.name})

    @contextmanager
    def started(self) -> Iterator[subprocess.Popen[bytes]]:
        """Start the run in another process; it runs until the file `go` exists."""
        env = {**os.environ, SCHEDULE_VARIABLE: self.schedule.name, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(
            [LCNB, *self.schedule.argv], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )  # fmt: skip
        wait_until((self.folder / "begun").exists)
        try:
            yield process
        finally:
            (self.folder / "go").touch()
            process.wait(600)


CELL = """
import pathlib, time
place = pathlib.Path(r"{folder}")
(place / "begun").touch()
while (place / "wait").exists() and not (place / "go").exists():
    time.sleep(0.02)
if (place / "fail").exists():
    1 / 0
"""


@pytest.fixture
def cron_daemon(tmp_path: Path) -> Iterator[None]:
    """A process with the name of the daemon: the real one would start what other crontabs list."""
    program = tmp_path / "cron"
    shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
    with subprocess.Popen([program, "6000"]) as process:
        yield
        process.kill()


@pytest.fixture(params=["cron", "systemd"])
def watched(
    request: pytest.FixtureRequest,
    schedulers: Schedulers,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cron_daemon: None,
) -> Watched:
    monkeypatch.chdir(tmp_path)
    notebook = write_notebook(tmp_path / "books" / "night.ipynb", CELL.format(folder=tmp_path))
    planned = datetime.now(UTC).replace(second=0, microsecond=0)
    local = planned.astimezone(find_zone(machine_zone()))
    command = tmp_path / "venv" / "lcnb"
    command.parent.mkdir()
    command.symlink_to(LCNB)
    monkeypatch.setattr(export, "find_executable", lambda: str(command))
    done = install_schedule(
        str(notebook), f"{local.minute} {local.hour} * * *", request.param, now=planned - timedelta(days=3)
    )
    return Watched(schedulers, tmp_path, done.schedule, notebook, planned, monkeypatch)


def test_all_is_well(watched: Watched) -> None:
    """A run that started in time and was done is no problem; the list shows it and the next one."""
    assert watched.run().returncode == 0
    status = watched.check()
    assert status.problems == ()
    assert status.last is not None
    assert (status.last.status, status.next_at) == ("done", watched.planned + timedelta(days=1))
    facts = record(Path(watched.schedule.runs_dir) / status.last.run)
    assert facts["schedule"] == watched.schedule.name


# --- the ways for a run not to happen ----------------------------------------------------------------------

CASES: list[tuple[str, str, Callable[[Watched], Any]]] = []
Way = Callable[[Watched], list[str]]


def case(kind: str, *systems: str) -> Callable[[Way], Way]:
    """Add a way: it breaks something and returns the kinds of problems that the check finds."""

    def add(way: Way) -> Way:
        CASES.extend((kind, system, way) for system in systems or ("cron", "systemd"))
        return way

    return add


def edit(watched: Watched, change: Callable[[str], str]) -> list[str]:
    watched.schedulers.crontab = change(watched.schedulers.crontab)
    watched.run()
    return watched.kinds()


def job(watched: Watched) -> str:
    return next(line for line in watched.schedule.lines if not line.startswith("#"))


@case("daemon not running", "cron")
def no_daemon(watched: Watched) -> list[str]:
    watched.monkeypatch.setattr("lcnb.runbooks.schedule.user_crontab.CRON_DAEMONS", ("no-such-daemon",))
    watched.run()
    return watched.kinds()


@case("scheduler not reachable", "systemd")
def no_session(watched: Watched) -> list[str]:
    watched.run()
    watched.schedulers.mark("no-session")
    return watched.kinds()


@case("scheduler not reachable", "cron")
def crontab_refused(watched: Watched) -> list[str]:
    watched.run()
    watched.schedulers.write(
        "crontab", "#!/bin/sh\necho 'You (me) are not allowed to use this program' >&2; exit 1\n"
    )
    return watched.kinds()


@case("unit disabled", "systemd")
def disabled(watched: Watched) -> list[str]:
    watched.run()
    subprocess.run(["systemctl", "--user", "disable", "--now", f"{watched.schedule.name}.timer"], check=True)
    return watched.kinds()


@case("unit removed", "systemd")
def deleted(watched: Watched) -> list[str]:
    watched.run()
    watched.schedulers.unit(f"{watched.schedule.name}.timer").unlink()
    return watched.kinds()


@case("unit removed", "systemd")
def not_loaded(watched: Watched) -> list[str]:
    watched.run()
    (watched.schedulers.state / "loaded" / f"{watched.schedule.name}.timer").unlink()
    return watched.kinds()


@case("unit changed", "systemd")
def edited_unit(watched: Watched) -> list[str]:
    watched.run()
    path = watched.schedulers.unit(f"{watched.schedule.name}.service")
    path.write_text(path.read_text().replace("KillMode=mixed", "KillMode=none"))
    return watched.kinds()


@case("line removed", "cron")
def removed(watched: Watched) -> list[str]:
    return edit(watched, lambda text: text.replace(job(watched) + "\n", ""))


@case("line commented out", "cron")
def commented(watched: Watched) -> list[str]:
    return edit(watched, lambda text: text.replace(job(watched), "#" + job(watched)))


@case("line changed", "cron")
def changed(watched: Watched) -> list[str]:
    return edit(watched, lambda text: text.replace(job(watched), job(watched).replace(" * * * ", " 1 * * ")))


@case("command gone")
def moved(watched: Watched) -> list[str]:
    watched.run()
    Path(watched.schedule.executable).parent.rename(watched.folder / "moved")
    return watched.kinds()


@case("file gone")
def no_notebook(watched: Watched) -> list[str]:
    watched.run()
    watched.notebook.unlink()
    return watched.kinds()


@case("disk full")
def full(watched: Watched) -> list[str]:
    watched.run()
    return watched.kinds(free_bytes={watched.schedule.runs_dir: 4096})


@case("time zone changed")
def other_zone(watched: Watched) -> list[str]:
    watched.run()
    return watched.kinds(zone="Asia/Tokyo")


@case("machine off")
def machine_off(watched: Watched) -> list[str]:
    return watched.kinds(booted=watched.planned + timedelta(minutes=10))


@case("missed")
def missed(watched: Watched) -> list[str]:
    return watched.kinds(booted=None)


@case("late")
def late(watched: Watched) -> list[str]:
    watched.monkeypatch.setenv(SCHEDULE_VARIABLE, watched.schedule.name)
    with record_start(watched.planned + timedelta(minutes=16)) as results:
        results.append(run_result())
    return watched.kinds()


def run_result() -> Any:
    from lcnb.runbooks.result import RunResult

    return RunResult("night", "done", 0, Path("/nowhere/run"))


@case("locked")
def locked(watched: Watched) -> list[str]:
    with runbook_lock(find_runbook(str(watched.notebook)), None, {}, 0, writes=False):
        assert watched.run().returncode == 75
    return watched.kinds()


@case("refused")
def refused(watched: Watched) -> list[str]:
    watched.monkeypatch.setenv("LETSCLOUD_API_KEY", "cut off")
    assert watched.run().returncode == 2
    return watched.kinds()


@case("failed")
def failed(watched: Watched) -> list[str]:
    (watched.folder / "fail").touch()
    assert watched.run().returncode == 3
    return watched.kinds()


@case("failed")
def no_record(watched: Watched) -> list[str]:
    """The folder of runs cannot be written, as on a full disk: there is no record, and the start is known."""
    (watched.folder / "runs").symlink_to("/proc/no such folder")
    assert watched.run().returncode == 1
    (watched.folder / "runs").unlink()
    return watched.kinds()


@case("refused")
def wrong_option(watched: Watched) -> list[str]:
    """The command line is refused before the command begins: here its folder of runs is a file."""
    (watched.folder / "runs").write_text("a file, not a folder")
    assert watched.run().returncode == 2
    (watched.folder / "runs").unlink()
    return watched.kinds()


@case("died")
def killed(watched: Watched) -> list[str]:
    (watched.folder / "wait").touch()
    with watched.started() as process:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(600)
    return watched.kinds()


@case("died")
def killed_before_its_record(watched: Watched) -> list[str]:
    program = "from lcnb.runbooks.schedule.starts import record_start\nimport os, signal\nwith record_start():\n    os.kill(os.getpid(), signal.SIGKILL)"
    env = {**os.environ, SCHEDULE_VARIABLE: watched.schedule.name, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", program], env=env)
    return watched.kinds()


@case("hanging")
def hanging(watched: Watched) -> list[str]:
    installed.save_schedule(replace(watched.schedule, timeout_s=60))
    (watched.folder / "wait").touch()
    with watched.started():
        return watched.kinds()


@case("overlap")
def overlap(watched: Watched) -> list[str]:
    (watched.folder / "wait").touch()
    with watched.started():
        kinds = watched.kinds(watched.checked_at + timedelta(days=1), booted=None)
    assert kinds == ["overlap", "hanging"]
    return kinds[:1]


@case("account gone")
def no_account(watched: Watched) -> list[str]:
    watched.run()
    installed.save_schedule(replace(watched.schedule, account="shop"))
    return watched.kinds()


@case("record damaged")
def damaged(watched: Watched) -> list[str]:
    path = installed.schedules_folder() / f"{watched.schedule.name}.json"
    path.write_text(path.read_text()[:-40])
    return [problem.kind for each in check_schedules(watched.checked_at) for problem in each.problems]


@pytest.mark.parametrize(
    ("kind", "watched", "way"),
    CASES,
    indirect=["watched"],
    ids=[f"{way.__name__}-{system}" for _, system, way in CASES],
)
def test_ways_for_a_run_not_to_happen(kind: str, watched: Watched, way: Way) -> None:
    """Each way is found, and nothing else is reported."""
    assert way(watched) == [kind]


def test_every_kind_has_a_way() -> None:
    """Each kind of problem is found in a test, and the documentation lists all of them."""
    assert {kind for kind, _, _ in CASES} == set(PROBLEM_KINDS)
    text = (ROOT / "docs" / "schedulers.md").read_text(encoding="utf-8")
    listed = dict(
        line.strip("| ").split(" | ")
        for line in text.splitlines()
        if line.startswith("| ") and line.count("|") == 3
    )
    assert {kind: listed.get(kind) for kind in PROBLEM_KINDS} == PROBLEM_KINDS


# --- when --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("watched", ["cron"], indirect=True)
def test_grace_time(watched: Watched) -> None:
    """A run is missed when its grace time is over, and not before."""
    before, after = (watched.planned + timedelta(seconds=seconds) for seconds in (899, 900))
    installed.save_schedule(
        replace(watched.schedule, installed_at=(watched.planned - timedelta(hours=1)).isoformat())
    )
    assert watched.kinds(before, booted=None) == []
    assert watched.kinds(after, booted=None) == ["missed"]


@pytest.mark.parametrize("watched", ["cron"], indirect=True)
def test_before_the_installation(watched: Watched) -> None:
    """No run is missed that was planned before the schedule was installed."""
    installed.save_schedule(
        replace(watched.schedule, installed_at=(watched.planned + timedelta(minutes=1)).isoformat())
    )
    assert watched.kinds(booted=None) == []


@pytest.mark.parametrize("watched", ["cron"], indirect=True)
def test_the_last_planned_run_is_always_checked(watched: Watched) -> None:
    """The last planned run counts however long ago it was; earlier ones as far as `since` reaches."""
    month = replace(
        watched.schedule, cron="0 6 1 * *", installed_at="2026-01-05T00:00:00+00:00", timezone="UTC"
    )
    machine = replace(observe_machine([month]), booted=None)
    now = datetime(2026, 5, 20, tzinfo=UTC)

    def texts(since: timedelta) -> list[str]:
        return [
            each.text
            for each in check_schedule(month, now, machine, [], since).problems
            if each.kind == "missed"
        ]

    assert texts(timedelta(days=1)) == ["the run of 2026-05-01 06:00 UTC did not start"]
    assert texts(timedelta(days=60)) == ["2 runs, the last at 2026-05-01 06:00 UTC, did not start"]


@pytest.mark.parametrize("watched", ["cron"], indirect=True)
def test_a_start_belongs_to_one_planned_time(watched: Watched) -> None:
    """The run of the next planned time does not count for the one before, also when only one is due."""
    hourly = replace(
        watched.schedule, cron="0 * * * *", installed_at="2026-05-01T05:30:00+00:00", timezone="UTC"
    )
    machine = replace(observe_machine([hourly]), booted=None)

    def missed_at(now: datetime, *hours: int) -> list[datetime | None]:
        starts = [Occurrence(datetime(2026, 5, 1, hour, 0, 3, tzinfo=UTC), "done", 0) for hour in hours]
        found = check_schedule(hourly, now, machine, starts).problems
        return [each.planned for each in found if each.planned]

    assert missed_at(datetime(2026, 5, 1, 7, 1, tzinfo=UTC), 7) == [datetime(2026, 5, 1, 6, tzinfo=UTC)]
    assert missed_at(datetime(2026, 5, 1, 7, 1, tzinfo=UTC), 6, 7) == []
    assert missed_at(datetime(2026, 5, 1, 9, 20, tzinfo=UTC), 6, 8, 9) == [
        datetime(2026, 5, 1, 7, tzinfo=UTC)
    ]


@pytest.mark.parametrize("watched", ["cron"], indirect=True)
def test_runs_of_each_minute(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each start is found among those of each minute, and the expression is not read again for each planned time."""
    readings: list[datetime] = []
    times = CronExpression.times

    def read(cron: CronExpression, after: datetime) -> Iterator[datetime]:
        readings.append(after)
        return times(cron, after)

    monkeypatch.setattr(CronExpression, "times", read)
    schedule = replace(
        watched.schedule, cron="* * * * *", installed_at="2026-05-01T00:00:00+00:00", timezone="UTC"
    )
    machine = replace(observe_machine([schedule]), booted=None)
    now, minute = datetime(2026, 5, 9, tzinfo=UTC), timedelta(minutes=1)
    starts = [Occurrence(now - number * minute, "done", 0) for number in range(1500, 0, -1)]
    lost = starts.pop(700)
    (problem,) = [each for each in check_schedule(schedule, now, machine, starts).problems if each.planned]
    assert (problem.kind, problem.planned) == ("missed", lost.at)
    assert len(readings) < 20


@pytest.mark.parametrize("watched", ["systemd"], indirect=True)
def test_time_that_exists_twice(watched: Watched) -> None:
    """A run at a time that exists twice may start either time; a time that does not exist is not missed."""
    berlin = replace(
        watched.schedule,
        cron="30 2 * * *",
        timezone="Europe/Berlin",
        installed_at="2026-10-01T00:00:00+00:00",
    )
    machine = replace(observe_machine([berlin]), booted=None)
    second = Occurrence(datetime(2026, 10, 25, 1, 30, 5, tzinfo=UTC), "done", 0)
    now = datetime(2026, 10, 25, 12, tzinfo=UTC)
    assert [
        each.kind for each in check_schedule(berlin, now, machine, [second]).problems if each.planned
    ] == []
    spring = replace(berlin, installed_at="2027-03-27T12:00:00+00:00")
    now = datetime(2027, 3, 28, 20, tzinfo=UTC)
    assert [each.kind for each in check_schedule(spring, now, machine, []).problems if each.planned] == []
    as_cron = replace(spring, system="cron", files=watched.schedule.files | {"x": "0 0 * * * x"})
    (problem,) = [each for each in check_schedule(as_cron, now, machine, []).problems if each.planned]
    assert problem.planned == datetime(2027, 3, 28, 1, 0, tzinfo=UTC)


@pytest.mark.parametrize("watched", ["cron"], indirect=True)
def test_schedule_of_another_machine(watched: Watched) -> None:
    """A schedule of another machine, which shares the state folder, is listed and not judged."""
    installed.save_schedule(replace(watched.schedule, host="elsewhere"))
    assert watched.kinds(booted=None) == []


# --- the commands ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("watched", ["cron"], indirect=True)
def test_command(watched: Watched, call: Call) -> None:
    """`check` prints each problem with its cure and exits with 8; with -o json it prints data."""
    watched.notebook.unlink()
    found = call("schedule", "check")
    assert found.code == 8
    assert f"lcnb-night: file gone: {watched.notebook} does not exist" in found.out
    rows = json.loads(call("schedule", "check", "lcnb-night", "-o", "json").out)
    assert {"schedule", "kind", "planned", "text", "cure"} == set(rows[0])
    missing = call("schedule", "check", "lcnb-nigth")
    assert missing.code == 2
    assert "did you mean 'lcnb-night'?" in missing.err


@pytest.mark.parametrize("watched", ["cron"], indirect=True)
def test_notification(watched: Watched, call: Call) -> None:
    """`check --notify` sends the problems to LCNB_NOTIFY; without problems nothing is sent."""
    sent: list[Any] = []
    watched.monkeypatch.setattr("lcnb.runbooks.publish.notifications.send_message", sent.append)
    installed.save_schedule(replace(watched.schedule, installed_at=datetime.now(UTC).isoformat()))
    assert call("schedule", "check", "--notify").code == 0
    assert sent == []
    watched.notebook.unlink()
    assert call("schedule", "check", "--notify").code == 8
    (message,) = sent
    assert message.text.startswith("! lcnb-night: file gone")


@pytest.mark.parametrize("watched", ["cron"], indirect=True)
def test_list_fits_a_terminal(watched: Watched, call: Call) -> None:
    """The list fits into 80 columns and says when the next run comes and how the last one ended."""
    installed.save_schedule(
        replace(watched.schedule, installed_at=(watched.planned - timedelta(minutes=1)).isoformat())
    )
    watched.run()
    listed = call("schedule", "list")
    assert listed.code == 0
    assert max(map(len, listed.out.splitlines())) <= 80
    assert "done" in listed.out
    (row,) = json.loads(call("schedule", "list", "-o", "json").out)
    assert (row["name"], row["status"], row["system"], row["problems"]) == ("lcnb-night", "done", "cron", 0)


# --- starts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("watched", ["cron"], indirect=True)
def test_starts_hold_no_token(watched: Watched) -> None:
    """A start that was refused is recorded with its reason and without the token."""
    watched.monkeypatch.setenv("LETSCLOUD_API_KEY", TOKEN)
    watched.monkeypatch.setenv("LCNB_BASE_URL", "ftp://nowhere")
    assert watched.run().returncode == 2
    (start,) = read_starts(watched.schedule.name)
    assert start.end is not None
    assert start.end.exit_code == 2
    assert TOKEN not in starts_file(watched.schedule.name).read_text()
    assert starts_file(watched.schedule.name).stat().st_mode & 0o777 == 0o600


def test_starts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of starts that has become large is replaced; the one before is still read. Odd lines are left out."""
    monkeypatch.setenv(SCHEDULE_VARIABLE, "night")
    monkeypatch.setattr("lcnb.runbooks.schedule.starts.MAX_FILE_BYTES", 900)
    for _ in range(4):
        with record_start() as results:
            results.append(run_result())
    with starts_file("night").open("a") as file:
        file.write('{"event": "started"}\n[1]\nnot json\n{"event": "ended", "at": "x"')
    assert 1 < len(read_starts("night")) <= 4
    assert starts_file("night").stat().st_size < 2000
