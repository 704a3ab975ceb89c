"""A schedule as a GitHub Actions workflow."""

from __future__ import annotations

import shlex

from lcnb.errors import InputError
from lcnb.runbooks.schedule.entry import UTC_CLOCK_NOTE, ScheduleEntry, clock_note
from lcnb.runbooks.schedule.yaml_text import format_yaml

# --- GitHub ---------------------------------------------------------------------------------------------


def github_files(schedule: ScheduleEntry) -> dict[str, str]:
    command = shlex.join(["lcnb", *schedule.argv])
    if any("${{" in each for each in (command, *schedule.env.values())):
        raise InputError("GitHub would evaluate a value with '${{'; it cannot be written into a workflow")
    token = {schedule.variable: f"${{{{ secrets.{schedule.variable} }}}}"} if schedule.variable else {}
    steps = [
        {"uses": "actions/checkout@v4"},
        {"uses": "actions/setup-python@v5", "with": {"python-version": "3.12"}},
        {"run": "pip install lcnb"},
        {"run": command, "env": {**token, **schedule.env}},
        {
            "if": "always()",
            "uses": "actions/upload-artifact@v4",
            "with": {"name": schedule.label, "path": "runs"},
        },
    ]
    zone = {"timezone": schedule.timezone} if schedule.timezone not in (None, "UTC", "Etc/UTC") else {}
    workflow = {
        "name": schedule.label,
        "on": {"schedule": [{"cron": str(schedule.cron), **zone}], "workflow_dispatch": {}},
        "permissions": {"contents": "read"},
        "concurrency": {"group": schedule.label, "cancel-in-progress": False},
        "jobs": {"run": {"runs-on": "ubuntu-latest", "timeout-minutes": 60, "steps": steps}},
    }
    make = f"The token is the repository's secret {schedule.variable}, as it is, without quotes."
    clock = "a time in the skipped hour runs at the next time that exists."
    head = schedule.head(
        "For .github/workflows/.",
        *([make] if schedule.variable else []),
        clock_note(schedule, clock) if zone else UTC_CLOCK_NOTE,
    )
    return {f"{schedule.label}.yml": head + format_yaml(workflow)}
