"""Write a schedule as a GitHub Actions workflow."""

from __future__ import annotations

import shlex

from lcnb.errors import InputError
from lcnb.runbooks.schedule.entry import UTC_CLOCK_NOTE, ScheduleEntry, ScheduleSystem
from lcnb.runbooks.schedule.yaml_text import format_yaml


def github_files(schedule: ScheduleEntry) -> dict[str, str]:
    """Return one workflow, which can be started by hand too. InputError for a value that GitHub would evaluate."""
    command = shlex.join(["lcnb", *schedule.argv])
    if any("${{" in each for each in (command, *schedule.env.values())):
        raise InputError("GitHub would evaluate a value with '${{', so no workflow can hold it")
    token, lines = {}, ["Put this file into .github/workflows/."]
    if schedule.token_variable:
        token = {schedule.token_variable: f"${{{{ secrets.{schedule.token_variable} }}}}"}
        lines.append(
            f"Store the token, without quotes, as the repository's secret {schedule.token_variable}."
        )
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
    clock = "a run in the skipped hour starts at the next time that exists."
    lines.append(schedule.clock_note(clock) if zone else UTC_CLOCK_NOTE)
    return {f"{schedule.label}.yml": schedule.header(*lines) + format_yaml(workflow)}


SYSTEM = ScheduleSystem(
    "github",
    github_files,
    files="repository",
    runs_dir="runs",
    unreachable="no runner of GitHub can reach it",
)
