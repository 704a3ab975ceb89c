"""Write a schedule as a line for `crontab -e`."""

from __future__ import annotations

import shlex

from lcnb.errors import InputError
from lcnb.runbooks.schedule.entry import ScheduleEntry, ScheduleSystem, check_printable

#: Debian's cron cuts longer commands off.
MAX_COMMAND_LENGTH = 990


def crontab_files(schedule: ScheduleEntry) -> dict[str, str]:
    """Return one file with comments and the line. InputError for what cron would read differently."""
    if schedule.timezone:
        raise InputError(
            "cron runs in the time zone of its machine, and Debian's ignores CRON_TZ",
            cure="Leave --timezone out, or use --to systemd.",
        )
    env = [f"{name}={value}" for name, value in schedule.env.items()]
    command = f"exec {shlex.join(['env', *env, schedule.executable, *schedule.argv])}".replace("%", r"\%")
    check_printable(command)
    if len(command) > MAX_COMMAND_LENGTH or r"\\%" in command:
        raise InputError(
            f"cron reads commands of at most {MAX_COMMAND_LENGTH} characters without a backslash before a percent sign",
            cure="Use --to systemd.",
        )
    if schedule.cron.has_fixed_times:
        clock = "a run in the skipped hour starts soon after the change; a run in the repeated hour starts only once."
    else:
        clock = "runs follow the new time at once; runs in the skipped hour do not happen."
    header = (
        schedule.header(schedule.placing_note("Add this line with `crontab -e`."))
        + f"# {schedule.clock_note(clock)}\n"
    )
    return {f"{schedule.label}.crontab": f"{header}{schedule.cron} {command}\n"}


SYSTEM = ScheduleSystem("cron", crontab_files, is_local=True)
