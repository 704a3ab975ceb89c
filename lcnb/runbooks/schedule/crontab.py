"""A schedule as a line for `crontab -e`."""

from __future__ import annotations

import shlex

from lcnb.errors import InputError
from lcnb.runbooks.schedule.entry import ScheduleEntry, check_printable, clock_note

#: Debian's cron reads no longer command.
MAX_COMMAND_LENGTH = 990


# --- cron -----------------------------------------------------------------------------------------------


def crontab_files(schedule: ScheduleEntry) -> dict[str, str]:
    if schedule.timezone:
        raise InputError(
            "cron runs in its machine's time zone, and Debian's ignores CRON_TZ: leave --timezone out, or use "
            "--to systemd"
        )
    env = [f"{name}={value}" for name, value in schedule.env.items()]
    command = f"exec {shlex.join(['env', *env, schedule.here, *schedule.argv])}".replace("%", r"\%")
    check_printable(command)
    if len(command) > MAX_COMMAND_LENGTH or r"\\%" in command:
        raise InputError(
            f"cron reads commands of at most {MAX_COMMAND_LENGTH} characters without a backslash before a percent "
            "sign; use --to systemd"
        )
    if schedule.cron.hours and schedule.cron.minutes:
        clock = "a time in the skipped hour runs soon after the change, one in the repeated hour runs once."
    else:
        clock = "runs go by the new time at once; those of the skipped hour are left out."
    head = schedule.head("A line for `crontab -e`.") + f"# {clock_note(schedule, clock)}\n"
    return {f"{schedule.label}.crontab": f"{head}{schedule.cron} {command}\n"}
