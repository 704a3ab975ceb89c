"""`lcnb schedule install` and `remove`: what is written, what is refused, and that nobody else's line is touched."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from scheduler_programs import Schedulers, schedulers  # noqa: F401 - a fixture

from conftest import TOKEN, Call, record, wait_until, write_notebook
from lcnb.errors import ConfirmationMissing, InputError, LcnbError, RunError
from lcnb.runbooks.schedule import installed, user_crontab, user_units
from lcnb.runbooks.schedule.check import check_schedules
from lcnb.runbooks.schedule.export import export_schedule
from lcnb.runbooks.schedule.install import install_schedule, remove_schedule
from lcnb.runbooks.schedule.starts import read_starts

NOW = datetime(2026, 11, 30, 10, tzinfo=UTC)
ANALYZE = shutil.which("systemd-analyze")
SYSTEMS = ["cron", "systemd"]
PEOPLE = "MAILTO=me\n# my jobs\n5 5 * * * backup --all\n\n"


@pytest.fixture
def book(tmp_path: Path, schedulers: Schedulers, monkeypatch: pytest.MonkeyPatch) -> str:  # noqa: F811
    """A notebook of the user, and schedulers that belong to this test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LETSCLOUD_API_KEY", TOKEN)
    parameters = ("dry_run: bool = True\nname: str = 'x'", "parameters")
    return str(write_notebook(tmp_path / "night.ipynb", "# Night\n\nReads.", parameters, "print(1)"))


def install(book: str, to: str, cron: str = "30 2 * * *", **options: Any) -> Any:
    return install_schedule(book, cron, to, now=NOW, **options)


@pytest.mark.parametrize("to", SYSTEMS)
def test_installed_as_exported(to: str, book: str, schedulers: Schedulers) -> None:  # noqa: F811
    """What is installed runs the command that the export writes, with the name of the schedule in its environment."""
    options = {"parameters": {"name": "50% $x 'y'"}, "retries": 2, "timeout": 600}
    install(book, to, **options)
    exported = export_schedule(book, "30 2 * * *", to, **options)
    if to == "cron":
        (line,) = [each for each in schedulers.crontab.splitlines() if each and not each.startswith("#")]
        (own,) = [
            each for text in exported.values() for each in text.splitlines() if not each.startswith("#")
        ]
        assert line.replace(" LCNB_SCHEDULE=lcnb-night", "") == own
    else:
        assert {"enable lcnb-night.timer", "restart lcnb-night.timer"} <= set(schedulers.calls)
        for name, text in exported.items():
            written = schedulers.unit(name).read_text()
            assert user_units.OWN_MARK in written
            kept = [
                each
                for each in written.splitlines()
                if not each.startswith("#") and "LCNB_SCHEDULE" not in each
            ]
            assert kept == [each for each in text.splitlines() if not each.startswith("#")]
    assert TOKEN not in (installed.schedules_folder() / "lcnb-night.json").read_text()
    schedule = installed.require_schedule("lcnb-night")
    assert (schedule.timeout_s, schedule.cron, schedule.installed) == (600, "30 2 * * *", NOW)


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("cron", ["30 2 * * 1-5", "*/10 * * * *", "0 6 13 * 5", "@daily"])
@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_installed_units_verify(cron: str, zone: str | None, book: str, schedulers: Schedulers) -> None:  # noqa: F811
    """systemd's own verification has nothing to say about the installed units."""
    install(book, "systemd", cron, timezone=zone, parameters={"name": "a b"})
    paths = [str(schedulers.unit(f"lcnb-night.{kind}")) for kind in ("service", "timer")]
    done = subprocess.run(
        [str(ANALYZE), "--user", "verify", "--man=no", *paths], capture_output=True, text=True, timeout=600,
        env={**os.environ, "XDG_RUNTIME_DIR": str(Path(paths[0]).parent)},
    )  # fmt: skip
    assert (done.returncode, [line for line in done.stderr.splitlines() if "lcnb" in line]) == (0, [])
    text = Path(paths[1]).read_text()
    assert "Persistent=true" in text
    assert ("Europe/Berlin" in text) == (zone is not None)


@pytest.mark.parametrize("to", SYSTEMS)
def test_twice(to: str, book: str, schedulers: Schedulers) -> None:  # noqa: F811
    """A second installation of the same name is refused; --replace replaces it, in the same place."""
    schedulers.crontab = PEOPLE
    install(book, to)
    with pytest.raises(InputError, match=r"installed since 2026-11-30T10:00.*--replace.*Nothing was written"):
        install(book, to, "0 4 * * *")
    assert installed.require_schedule("lcnb-night").cron == "30 2 * * *"
    done = install(book, to, "0 4 * * *", replace_existing=True)
    assert done.replaced is not None
    assert done.replaced.cron == "30 2 * * *"
    if to == "cron":
        assert schedulers.crontab.count("LCNB_SCHEDULE") == 1
        assert schedulers.crontab.startswith(PEOPLE)
        assert "\n0 4 * * * " in schedulers.crontab
    else:
        assert "OnCalendar=*-*-* 04:00:00" in schedulers.unit("lcnb-night.timer").read_text()


@pytest.mark.parametrize("to", SYSTEMS)
def test_moved_to_another_scheduler(to: str, book: str, schedulers: Schedulers) -> None:  # noqa: F811
    """A replaced schedule of another scheduler is removed there: it never runs twice."""
    schedulers.crontab = PEOPLE
    other = next(each for each in SYSTEMS if each != to)
    install(book, other)
    install(book, to, replace_existing=True)
    in_crontab = "LCNB_SCHEDULE" in schedulers.crontab
    has_units = schedulers.unit("lcnb-night.timer").exists()
    assert (in_crontab, has_units) == ((to == "cron"), (to == "systemd"))


@pytest.mark.parametrize("to", SYSTEMS)
def test_removed(to: str, book: str, schedulers: Schedulers, call: Call) -> None:  # noqa: F811
    """`remove` takes out what was installed and nothing else; a second `remove` is refused."""
    schedulers.crontab = PEOPLE
    install(book, to)
    done = call("schedule", "remove", "lcnb-night")
    assert done.code == 0, done.err
    assert schedulers.crontab == PEOPLE
    assert not schedulers.unit("lcnb-night.timer").exists()
    again = call("schedule", "remove", "lcnb-night")
    assert again.code == 2
    assert "no schedule 'lcnb-night' is installed" in again.err


def test_no_session(book: str, schedulers: Schedulers, call: Call) -> None:  # noqa: F811
    """Without a session of systemd nothing is written, and the message names the cure."""
    schedulers.mark("no-session")
    done = call("schedule", "install", book, "--cron", "30 2 * * *", "--to", "systemd")
    assert done.code == 1
    assert "loginctl enable-linger" in done.err
    assert "Nothing was written" in done.err
    assert not schedulers.unit("lcnb-night.timer").exists()
    assert installed.read_schedules() == ([], [])


@pytest.mark.skipif(shutil.which("systemctl") is None, reason="systemd is not installed")
def test_no_session_of_the_real_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real systemctl without a session gives the same message."""
    for name in ("DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, "/nowhere")
    with pytest.raises(RunError, match="loginctl enable-linger"):
        user_units.check_user_manager()


def test_refused_by_systemd(book: str, schedulers: Schedulers) -> None:  # noqa: F811
    """When systemd refuses to enable the timer, the files are as before: gone, or the earlier ones."""
    schedulers.mark("refuse")
    with pytest.raises(RunError, match="Access denied"):
        install(book, "systemd")
    assert not schedulers.unit("lcnb-night.timer").exists()
    assert installed.read_schedules() == ([], [])
    (schedulers.state / "refuse").unlink()
    install(book, "systemd")
    before = schedulers.unit("lcnb-night.timer").read_text()
    schedulers.mark("refuse")
    with pytest.raises(RunError, match="Access denied"):
        install(book, "systemd", "0 4 * * *", replace_existing=True)
    assert schedulers.unit("lcnb-night.timer").read_text() == before
    assert installed.require_schedule("lcnb-night").cron == "30 2 * * *"


def test_units_of_somebody_else(book: str, schedulers: Schedulers) -> None:  # noqa: F811
    """A unit of that name that lcnb did not write is never replaced, with --replace neither."""
    path = schedulers.unit("lcnb-night.service")
    path.parent.mkdir(parents=True)
    path.write_text("[Service]\nExecStart=/bin/true\n")
    with pytest.raises(InputError, match=r"lcnb did not write it.*--label lcnb-night-2"):
        install(book, "systemd", replace_existing=True)
    assert path.read_text() == "[Service]\nExecStart=/bin/true\n"


@pytest.mark.parametrize(("linger", "noted"), [("no", True), ("yes", False), ("", False)])
def test_lingering(linger: str, noted: bool, book: str, schedulers: Schedulers) -> None:  # noqa: F811
    """Where timers end at logout, the installation says so."""
    schedulers.mark("linger", f"{linger}\n")
    assert any("enable-linger" in note for note in install(book, "systemd").notes) is noted


# --- the crontab --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        PEOPLE,
        "5 5 * * * backup\r\n# windows\r\n",
        "0 1 * * * grep -v 'a\\b' | sed 's/\\r//' # literally\n",
        "0 1 * * * x '\\r'\r\n# both\b\n",
        "# latin-1: \udce9\udce8\n5 5 * * * backup\n",
        "# >>> lcnb schedule lcnb-night >>>\n5 5 * * * backup\n",
        "# >>> lcnb schedule lcnb-night >>>\n# mine\n0 1 * * * mine\n# <<< lcnb schedule lcnb-night <<<\n# after\n",
        "".join(f"{number % 60} 5 * * * job-{number}\n" for number in range(9000)),
    ],
    ids=[
        "people",
        "CRLF",
        "backslashes",
        "both",
        "bytes",
        "unterminated",
        "lines in the block",
        "9,000 lines",
    ],
)
def test_lines_of_people(text: str, book: str, schedulers: Schedulers) -> None:  # noqa: F811
    """Every line that people wrote is there after the installation and after the removal."""
    schedulers.crontab = text
    own = [line for line in text.split("\n") if "lcnb schedule" not in line]
    install(book, "cron", replace_existing=True)
    assert [line for line in schedulers.crontab.split("\n") if line in own and line] == [
        line for line in own if line
    ]
    remove_schedule("lcnb-night")
    assert [line for line in schedulers.crontab.split("\n") if line] == [line for line in own if line]


def test_first_crontab(book: str, schedulers: Schedulers) -> None:  # noqa: F811
    """A user without a crontab gets one with the block alone."""
    install(book, "cron")
    lines = schedulers.crontab.splitlines()
    assert (lines[0], lines[-1]) == (
        "# >>> lcnb schedule lcnb-night >>>",
        "# <<< lcnb schedule lcnb-night <<<",
    )


def test_too_long_crontab(book: str, schedulers: Schedulers) -> None:  # noqa: F811
    """A crontab that would be too long for cron is refused by cron; it and the record are as before."""
    text = "".join(f"# line {number}\n" for number in range(9998))
    schedulers.crontab = text
    with pytest.raises(RunError, match=r"cron refuses the new crontab.*too long"):
        install(book, "cron")
    assert schedulers.crontab == text
    assert installed.read_schedules() == ([], [])


def test_changed_meanwhile(
    book: str,
    schedulers: Schedulers,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A crontab that somebody saves while the command runs is not overwritten."""
    schedulers.crontab = PEOPLE
    write = user_crontab.write_crontab

    def write_late(before: str, after: str, backup: Path) -> None:
        schedulers.crontab = PEOPLE + "7 7 * * * new\n"
        write(before, after, backup)

    monkeypatch.setattr(user_crontab, "write_crontab", write_late)
    with pytest.raises(RunError, match=r"changed by somebody else.*Nothing was written"):
        install(book, "cron")
    assert schedulers.crontab == PEOPLE + "7 7 * * * new\n"
    assert installed.read_schedules() == ([], [])


def test_unreadable_crontab(book: str, schedulers: Schedulers) -> None:  # noqa: F811
    """A user whom cron refuses gets no crontab: an error is not an empty crontab."""
    schedulers.write(
        "crontab",
        "#!/bin/sh\ncat > /dev/null\necho 'You (me) are not allowed to use this program' >&2\nexit 1\n",
    )
    with pytest.raises(RunError, match=r"not allowed.*Nothing was written"):
        install(book, "cron")


def test_kept_copy(book: str, schedulers: Schedulers) -> None:  # noqa: F811
    """The crontab before the last change is kept in the state folder, readable by its owner alone."""
    schedulers.crontab = PEOPLE
    install(book, "cron")
    kept = installed.schedules_folder() / "crontab.before"
    assert kept.read_text() == PEOPLE
    assert kept.stat().st_mode & 0o777 == 0o600


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (lambda how: how | {"cron": "61 * * * *"}, InputError, "minute"),
        (lambda how: how | {"to": "k8s"}, InputError, "schedule export"),
        (lambda how: how | {"to": "at"}, InputError, "not one of cron, systemd"),
        (lambda how: how | {"label": "My Night"}, InputError, "label"),
        (lambda how: how | {"timezone": "Berlin"}, InputError, "time zone"),
        (
            lambda how: how | {"to": "cron", "timezone": "Europe/Berlin"},
            InputError,
            "cron runs in the time zone",
        ),
        (lambda how: how | {"parameters": {"nam": "x"}}, InputError, "nam"),
        (lambda how: how | {"parameters": {"dry_run": "false"}}, ConfirmationMissing, "--yes"),
        (lambda how: how | {"retries": 99}, InputError, "retries"),
        (lambda how: how | {"timeout": -1}, InputError, "timeout"),
        (lambda how: how | {"name": "no such book"}, InputError, "no such book"),
    ],
)
def test_refused(
    change: Callable[[dict[str, Any]], dict[str, Any]],
    error: type[LcnbError],
    text: str,
    book: str,
    schedulers: Schedulers,  # noqa: F811
) -> None:
    """What could not run is refused before anything is written."""
    how = change({"name": book, "cron": "30 2 * * *", "to": "systemd"})
    with pytest.raises(error, match=text) as caught:
        install_schedule(how.pop("name"), how.pop("cron"), how.pop("to"), now=NOW, **how)
    assert "Nothing was written" in str(caught.value)
    assert schedulers.crontab == ""
    assert schedulers.calls == []
    assert installed.read_schedules() == ([], [])


@pytest.mark.parametrize("to", SYSTEMS)
def test_says_what_is_confirmed(to: str, book: str, schedulers: Schedulers) -> None:  # noqa: F811
    """The installed files say that every run changes the account without asking, and how to look before."""
    install(book, to, parameters={"dry_run": "false", "name": "shop"}, confirm=True)
    text = schedulers.crontab + "".join(path.read_text() for path in schedulers.unit("x").parent.glob("*"))
    assert "Every run makes its changes without asking (--yes)" in text
    assert "lcnb plan-run night -p name=shop" in text
    assert installed.require_schedule("lcnb-night").confirms


def test_command(book: str, schedulers: Schedulers, call: Call) -> None:  # noqa: F811
    """The command says what was installed, when the next run is, where the token belongs, and what is missing."""
    done = call(
        "schedule",
        "install",
        book,
        "--cron",
        "30 2 * * *",
        "--to",
        "cron",
        "--label",
        "night",
        "--grace",
        "1h",
    )
    assert done.code == 0, done.err
    assert done.out.startswith("installed night (cron, 30 2 * * * ")
    assert "next run " in done.out
    assert "schedule.env" in done.out
    schedule = installed.require_schedule("night")
    assert schedule.grace_s == timedelta(hours=1).total_seconds()
    assert os.access(schedule.executable, os.X_OK)


def test_files_that_runs_need(book: str, schedulers: Schedulers, own_home: Path) -> None:  # noqa: F811
    """The notebook and the file with the token are recorded, so that a check notices when one is gone."""
    install(book, "cron")
    wanted = (book, str(own_home / "config" / "schedule.env"))
    assert installed.require_schedule("lcnb-night").needs == wanted
    (status,) = check_schedules(NOW)
    texts = [each.text for each in status.problems if each.kind == "file gone"]
    assert texts == [f"{wanted[1]} does not exist or cannot be read"]


#: cron in a mount namespace: its crontabs are those of the test, and nothing else that the machine runs at set times.
DAEMON = """
mount --bind "$TEST_SPOOL" /var/spool/cron/crontabs && mount -t tmpfs none /run &&
mount --bind "$1" /etc/cron.d && mount --bind /dev/null /etc/crontab && exec /usr/sbin/cron -f
"""


def test_real_cron_starts_the_run(book: str, schedulers: Schedulers, tmp_path: Path) -> None:  # noqa: F811
    """Debian's cron starts the installed line at the next minute, and the check finds the run in time."""
    if not (schedulers.is_real and Path("/usr/sbin/cron").exists()):
        pytest.skip("no cron that a test may start")
    os.environ.pop("LETSCLOUD_API_KEY")  # the notebook needs no token
    now = datetime.now(UTC)
    schedule = install_schedule(book, "* * * * *", "cron", now=now).schedule
    empty = tmp_path / "cron.d"
    empty.mkdir()
    command = ["unshare", "-m", "sh", "-c", DAEMON, "cron", str(empty)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as daemon:
        try:
            wait_until(lambda: any(each.end for each in read_starts(schedule.name)))
        finally:
            daemon.kill()
    first = next(each for each in read_starts(schedule.name) if each.end)
    assert first.end is not None
    assert first.end.status == "done", first.end.reason
    planned = first.at.replace(second=0, microsecond=0)
    (status,) = check_schedules(planned + timedelta(minutes=16))
    assert [each.kind for each in status.problems if each.planned == planned] == []
    assert record(Path(str(first.folder)))["schedule"] == schedule.name
