"""The schedulers for which a schedule can be exported.

To add one, write a module with a `SYSTEM` (see `entry.ScheduleSystem`), add a line to `SYSTEMS`, and name it in
docs/schedulers.md. The table holds names of modules, so that the command line can list the schedulers without loading
their writers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lcnb.runbooks.schedule.entry import ScheduleSystem

#: Name of a scheduler, as `--to` accepts it → the module whose `SYSTEM` describes it.
SYSTEMS = {
    "cron": "lcnb.runbooks.schedule.crontab",
    "systemd": "lcnb.runbooks.schedule.systemd",
    "k8s": "lcnb.runbooks.schedule.kubernetes",
    "airflow": "lcnb.runbooks.schedule.airflow",
    "github": "lcnb.runbooks.schedule.github",
}


def load_system(name: str) -> ScheduleSystem:
    """Return the scheduler with this name. InputError when the name is not in `SYSTEMS`.

    >>> load_system("k8s").files
    'container'
    """
    from lcnb.errors import InputError

    if name not in SYSTEMS:
        raise InputError(f"{name!r} is not one of {', '.join(SYSTEMS)}", field="to", value=name)
    system: ScheduleSystem = import_module(SYSTEMS[name]).SYSTEM
    return system
