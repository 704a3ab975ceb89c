"""Write a schedule as an Airflow DAG."""

from __future__ import annotations

import re
import shlex

from lcnb.errors import InputError
from lcnb.runbooks.schedule.entry import UTC_CLOCK_NOTE, ScheduleEntry, ScheduleSystem


def airflow_files(schedule: ScheduleEntry) -> dict[str, str]:
    """Return one Python file with the DAG, for Airflow 2 and 3. InputError for a value that a template would change."""
    zone = schedule.timezone or "UTC"
    slug = re.sub(r"\W+", "_", schedule.account or "", flags=re.ASCII).strip("_").lower()
    connection = f"letscloud_{slug}" if slug else "letscloud"
    env = {name: _raw_template(value) for name, value in schedule.env.items()}
    token, lines = {}, []
    if schedule.token_variable:
        token = {schedule.token_variable: f"{{{{ conn.{connection}.password }}}}"}
        lines = [f"Store the token, without quotes, as the password of an Airflow connection `{connection}`."]
    command = _raw_template(f"exec {shlex.join([schedule.executable, *schedule.argv])}")
    if schedule.cron.hours:
        clock = (
            "a run in the skipped hour starts one hour later; a run in the repeated hour starts only once, "
            "the second time."
        )
    else:
        clock = "runs in the skipped hour do not happen; runs in the repeated hour start twice."
    header = schedule.header(*lines, schedule.clock_note(clock) if schedule.timezone else UTC_CLOCK_NOTE)
    text = f"""\
{header}\
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
        skip_on_exit_code=None,  # every exit code but 0 is a failure; by default 99 would mean "skipped"
        retries=0,
    )
"""
    return {f"{schedule.label.replace('-', '_')}.py": text}


def _raw_template(text: str) -> str:
    """Return a text that Airflow passes on unchanged: neither a template nor the file name of one."""
    if "endraw" in text:
        raise InputError("Airflow would read a value with 'endraw' as a template, so no DAG can hold it")
    return "{% raw %}" + text + "{% endraw %}"


SYSTEM = ScheduleSystem(
    "airflow",
    airflow_files,
    unreachable="an Airflow worker on another machine cannot reach it",
    notes=("The paths are those of the machine on which this file was exported.",),
)
