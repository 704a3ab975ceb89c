"""Write a schedule as a systemd service and timer."""

from __future__ import annotations

import re

from lcnb.errors import InputError
from lcnb.runbooks.schedule.entry import ScheduleEntry, ScheduleSystem


def systemd_files(schedule: ScheduleEntry) -> dict[str, str]:
    """Return the service and the timer. InputError when a unit cannot hold the path of `lcnb`."""
    if not re.fullmatch(r"/[\w./@+-]+", schedule.executable):
        raise InputError(
            f"{schedule.executable!r} cannot be written into a unit: its path may have letters, digits and ./_@+- only"
        )
    command = " ".join([schedule.executable, *(_quote_word(each, dollar="$$") for each in schedule.argv)])
    title = schedule.title.replace("\\", "/").replace("%", "%%")
    calendar = "\n".join(f"OnCalendar={line}" for line in schedule.cron.on_calendar(schedule.timezone))
    env = "".join(f"Environment={_quote_word(f'{name}={value}')}\n" for name, value in schedule.env.items())
    clock = "a run in the skipped hour does not happen; a run in the repeated hour starts only once."
    if not schedule.cron.hours:
        clock += " Hourly runs then pause for two hours."
    place = schedule.placing_note(
        "Put both files into ~/.config/systemd/user/, or into /etc/systemd/system/ and add User=."
    )
    switch = schedule.placing_note(f"Switch it on: systemctl --user enable --now {schedule.label}.timer")
    service = f"""\
{schedule.header(place)}\
[Unit]
Description={title}

[Service]
Type=oneshot
{env}ExecStart={command}
KillMode=mixed
TimeoutStopSec=60
"""
    timer = f"""\
# {switch}
# {schedule.clock_note(clock)}
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
    """Quote a word of a unit. A dollar sign starts a variable in commands only, where it is doubled."""
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", dollar)
    return f'"{text}"'


SYSTEM = ScheduleSystem("systemd", systemd_files, is_local=True)
