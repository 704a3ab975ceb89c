"""A schedule as a systemd service and timer."""

from __future__ import annotations

import re

from lcnb.errors import InputError
from lcnb.runbooks.schedule.entry import ScheduleEntry, clock_note

# --- systemd --------------------------------------------------------------------------------------------


def systemd_files(schedule: ScheduleEntry) -> dict[str, str]:
    if not re.fullmatch(r"/[\w./@+-]+", schedule.here):
        raise InputError(
            f"{schedule.here!r} cannot be written into a unit: a path of letters, digits and ./_@+- only"
        )
    command = " ".join([schedule.here, *(_quote_word(each, dollar="$$") for each in schedule.argv)])
    title = schedule.title.replace("\\", "/").replace("%", "%%")
    calendar = "\n".join(f"OnCalendar={line}" for line in schedule.cron.on_calendar(schedule.timezone))
    env = "".join(f"Environment={_quote_word(f'{name}={value}')}\n" for name, value in schedule.env.items())
    clock = "a time in the skipped hour is left out, one in the repeated hour runs once"
    clock += "." if schedule.cron.hours else "; hourly runs pause for two hours then."
    service = f"""\
{schedule.head("For ~/.config/systemd/user/ or /etc/systemd/system/ (there with User=).")}\
[Unit]
Description={title}

[Service]
Type=oneshot
{env}ExecStart={command}
KillMode=mixed
TimeoutStopSec=60
"""
    timer = f"""\
# systemctl --user enable --now {schedule.label}.timer
# {clock_note(schedule, clock)}
[Unit]
Description=When {schedule.label} runs

[Timer]
{calendar}
AccuracySec=1s
Persistent=true

[Install]
WantedBy=timers.target
"""
    return {f"{schedule.label}.service": service, f"{schedule.label}.timer": timer}


def _quote_word(text: str, dollar: str = "$") -> str:
    """A quoted word of a unit. A dollar sign begins a variable in commands alone, where it is doubled."""
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", dollar)
    return f'"{text}"'
