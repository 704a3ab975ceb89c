#!/bin/sh
# jupyter-scheduler 2.12.1: with `ArchivingScheduler`, a job whose notebook fails is COMPLETED.
#
# The class is documented as the scheduler that keeps all files of a job in one archive. Its executor catches the error of
# the cell and drops it, in order to write that archive: the job has no message, an end time, and the same status as a job
# that did all its work. The scheduler that is the default says FAILED, with the error as the message, for the same notebook.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check jupyter-scheduler==2.12.1 ipykernel==7.4.0

cat > "$folder/jobs.py" <<'PY'
import sys
import time
from importlib.metadata import version
from pathlib import Path

import nbformat
from jupyter_scheduler import scheduler as classes
from jupyter_scheduler.environments import StaticEnvironmentManager
from jupyter_scheduler.models import CreateJob
from jupyter_scheduler.orm import create_tables

ENDS = ("FAILED", "COMPLETED")


def end(name, folder):
    """The job of a notebook whose only cell raises, when it has ended."""
    folder.mkdir()
    cell = nbformat.v4.new_code_cell("raise RuntimeError('no backup was made')")
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book = nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel})
    nbformat.write(book, folder / "nightly.ipynb")
    database = f"sqlite:///{folder}/jobs.sqlite"
    create_tables(database)
    scheduler = getattr(classes, name)(
        root_dir=str(folder), environments_manager=StaticEnvironmentManager(), db_url=database,
        staging_path=str(folder / "staging"), task_runner_class=None,
    )
    number = scheduler.create_job(
        CreateJob(input_uri="nightly.ipynb", name="nightly", runtime_environment_name="", output_formats=["ipynb"])
    )
    while (job := scheduler.get_job(number)).status not in ENDS:
        time.sleep(0.2)
    return job


if __name__ == "__main__":
    print("jupyter-scheduler", version("jupyter-scheduler"))
    found = {}
    for name in ("Scheduler", "ArchivingScheduler"):
        job = end(name, Path(sys.argv[1]) / name)
        found[name] = job.status.value
        print(f"{name:18} {job.status.value:9} message: {'no backup was made' in (job.status_message or '')}")
        assert (job.status_message is None) == (name == "ArchivingScheduler")
    assert found == {"Scheduler": "FAILED", "ArchivingScheduler": "COMPLETED"}
PY
"$folder/venv/bin/python" "$folder/jobs.py" "$folder" 2> "$folder/log" || { cat "$folder/log"; exit 1; }
