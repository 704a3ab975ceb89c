"""A schedule as a line for `crontab -e`."""

from __future__ import annotations

import shlex

from lcnb.errors import InputError
from lcnb.runbooks.schedule.entry import Schedule, _check_text, _clock

#: Debian's cron reads no longer command.
CRON_COMMAND_MAX = 990


# --- cron -----------------------------------------------------------------------------------------------


def _cron(schedule: Schedule) -> dict[str, str]:
    if schedule.timezone:
        raise InputError(
            "cron runs in its machine's time zone, and Debian's ignores CRON_TZ: leave --timezone out, or use "
            "--to systemd"
        )
    env = [f"{name}={value}" for name, value in schedule.env.items()]
    command = f"exec {shlex.join(['env', *env, schedule.here, *schedule.argv])}".replace("%", r"\%")
    _check_text(command)
    if len(command) > CRON_COMMAND_MAX or r"\\%" in command:
        raise InputError(
            f"cron reads commands of at most {CRON_COMMAND_MAX} characters without a backslash before a percent "
            "sign; use --to systemd"
        )
    if schedule.cron.hours and schedule.cron.minutes:
        clock = "a time in the skipped hour runs soon after the change, one in the repeated hour runs once."
    else:
        clock = "runs go by the new time at once; those of the skipped hour are left out."
    head = schedule.head("A line for `crontab -e`.") + f"# {_clock(schedule, clock)}\n"
    return {f"{schedule.label}.crontab": f"{head}{schedule.cron} {command}\n"}
