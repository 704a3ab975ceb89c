"""A schedule as an Airflow DAG."""

from __future__ import annotations

import re
import shlex

from lcnb.errors import InputError
from lcnb.runbooks.schedule.entry import UTC_CLOCK_NOTE, ScheduleEntry, clock_note

# --- Airflow --------------------------------------------------------------------------------------------


def airflow_files(schedule: ScheduleEntry) -> dict[str, str]:
    zone = schedule.timezone or "UTC"
    slug = re.sub(r"\W+", "_", schedule.account or "", flags=re.ASCII).strip("_").lower()
    connection = f"letscloud_{slug}" if slug else "letscloud"
    env = {name: _raw_template(value) for name, value in schedule.env.items()}
    token = {schedule.variable: f"{{{{ conn.{connection}.password }}}}"} if schedule.variable else {}
    command = _raw_template(f"exec {shlex.join([schedule.here, *schedule.argv])}")
    if schedule.cron.hours:
        clock = "a time in the skipped hour runs an hour later, one in the repeated hour runs once, the second time."
    else:
        clock = "the skipped hour is left out, the repeated hour runs twice."
    make = (
        f"The token is the password of an Airflow connection called `{connection}`, as it is, without quotes."
    )
    head = schedule.head(
        *([make] if schedule.variable else []),
        UTC_CLOCK_NOTE if not schedule.timezone else clock_note(schedule, clock),
    )
    text = f"""\
{head}\
import pendulum

try:
    from airflow.providers.standard.operators.bash import BashOperator
    from airflow.sdk import DAG
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.operators.bash import BashOperator
from airflow.timetables.trigger import CronTriggerTimetable

with DAG(
    dag_id={schedule.label!r},
    schedule=CronTriggerTimetable({str(schedule.cron)!r}, timezone={zone!r}),
    start_date=pendulum.datetime(2026, 1, 1, tz={zone!r}),
    catchup=False,
    max_active_runs=1,
) as dag:
    BashOperator(
        task_id="run",
        bash_command={command!r},
        env={token | env!r},
        append_env=True,
        skip_on_exit_code=None,  # each code but 0 is a failure; 99 would be "skipped"
        retries=0,
    )
"""
    return {f"{schedule.label.replace('-', '_')}.py": text}


def _raw_template(text: str) -> str:
    """A text that Airflow hands on as it is: it is no template, and no name of a file of one."""
    if "endraw" in text:
        raise InputError("a value with 'endraw' cannot be kept from Airflow's templates")
    return "{% raw %}" + text + "{% endraw %}"
