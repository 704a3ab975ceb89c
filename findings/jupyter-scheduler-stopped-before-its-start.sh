#!/bin/sh
# jupyter-scheduler 2.12.1: a new job is STOPPED before it starts, so a stop that has no effect looks like one that worked.
#
# The model of a job names CREATED and QUEUED, but a job is stored as STOPPED until its process says that it is in progress,
# seconds later. A stop in these seconds is accepted without an error and without a trace, the job reads as STOPPED
# afterwards, and then it runs to its end.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check jupyter-scheduler==2.12.1 ipykernel==7.4.0

cat > "$folder/stop.py" <<'PY'
import sys
import time
from importlib.metadata import version
from pathlib import Path

import nbformat
from jupyter_scheduler.environments import StaticEnvironmentManager
from jupyter_scheduler.models import CreateJob, Status
from jupyter_scheduler.orm import create_tables
from jupyter_scheduler.scheduler import Scheduler

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    effect = folder / "effect"
    cell = nbformat.v4.new_code_cell(f"open({str(effect)!r}, 'x').close()")
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel}), folder / "delete.ipynb")
    database = f"sqlite:///{folder}/jobs.sqlite"
    create_tables(database)
    scheduler = Scheduler(
        root_dir=str(folder), environments_manager=StaticEnvironmentManager(), db_url=database,
        staging_path=str(folder / "staging"), task_runner_class=None,
    )
    number = scheduler.create_job(
        CreateJob(input_uri="delete.ipynb", name="delete", runtime_environment_name="", output_formats=["ipynb"])
    )
    statuses = [scheduler.get_job(number).status]
    scheduler.stop_job(number)
    statuses.append(scheduler.get_job(number).status)
    made = effect.exists()
    while (last := scheduler.get_job(number).status) not in (Status.COMPLETED, Status.FAILED):
        time.sleep(0.2)
    print("jupyter-scheduler", version("jupyter-scheduler"))
    print("after its creation:", statuses[0].value, "| after stop_job:", statuses[1].value, "| effect made:", made)
    print("in the end:", last.value, "| effect made:", effect.exists())
    assert statuses == [Status.STOPPED, Status.STOPPED] and not made
    assert last == Status.COMPLETED and effect.exists()
PY
"$folder/venv/bin/python" "$folder/stop.py" "$folder" 2> "$folder/log" || { cat "$folder/log"; exit 1; }
