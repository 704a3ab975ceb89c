"""How jobs end that are not done: the message of each. Each job is executed as jupyter-scheduler does it, in this process.

That jupyter-scheduler executes its jobs so, in processes of their own, is in `test_scheduler.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from conftest import record, write_notebook
from lcnb.runbooks.engine import warm_server

# Only the worker of this file imports it.
pytestmark = pytest.mark.skipif(find_spec("jupyter_scheduler") is None, reason="needs jupyter-scheduler")

ATTENTION = "import lcnb\nlcnb.run().attention('web-03 has no snapshot')"


@pytest.fixture(scope="module", autouse=True)
def one_server() -> Iterator[None]:
    """One server for warm runs forks the runs of all jobs; it ends with the last of them."""
    yield
    warm_server.close_shared_server()


def execute_job(source: Path, given: dict[str, str]) -> Any:
    """Execute a job with these parameters, and return it as the database has it then."""
    from jupyter_scheduler.orm import Job, create_session, create_tables

    from lcnb.jupyter.scheduler import RunbookExecutionManager

    folder = source.parent
    database = f"sqlite:///{folder / 'jobs.sqlite'}"
    create_tables(database)
    facts = {
        "runtime_environment_name": "python", "input_filename": source.name, "name": source.name,
        "output_formats": ["ipynb", "html"], "parameters": given,
    }  # fmt: skip
    with create_session(database)() as session:
        job = Job(**facts)
        session.add(job)
        session.commit()
        staging = {"input": str(source), "ipynb": str(folder / "out.ipynb"), "html": str(folder / "out.html")}
        RunbookExecutionManager(
            job_id=job.job_id, root_dir=str(folder), db_url=database, staging_paths=staging
        ).process()
        session.refresh(job)
        session.expunge(job)
    return job


@pytest.mark.parametrize(
    ("declared", "cell", "given", "status", "message"),
    [
        ("days: int = 1", ATTENTION, {}, "attention", "attention (exit code 8): web-03 has no snapshot Run: "),
        ("days: int = 1", "1 / 0", {}, "failed", "failed (exit code 3): cell 2: ZeroDivisionError: division by zero Run: "),
        ("days: int = 1", "import sys\nsys.exit(9)", {}, "failed", "failed (exit code 9): cell 2: SystemExit: 9 Run: "),
        ("days: int = 1", "1", {"days": "many"}, None, "parameter days: 'many' is not a whole number"),
        ("days: int = 1", "1", {"day": "2"}, None, "no parameter 'day' (did you mean 'days'?)"),
        ("days: int", "1", {}, None, "refused (exit code 2): parameter days is required (a whole number)"),
        ("dry_run: bool = True", "1", {"dry_run": "False"}, None, "nobody confirmed that. Nothing was started."),
        ("dry_run: bool = False", "1", {}, None, "add the parameter LCNB_RUN_CONFIRM with the value yes"),
        ("dry_run: bool = True", "1", {"LCNB_RUN_CONFIRM": "no"}, None, "parameter LCNB_RUN_CONFIRM: 'no' is not yes"),
    ],
    ids=["attention", "cell", "exit", "type", "name", "required", "unconfirmed", "default", "not-yes"],
)  # fmt: skip
def test_failed_jobs(
    tmp_path: Path, declared: str, cell: str, given: dict[str, str], status: str | None, message: str
) -> None:
    """Every end but `done` is a failed job whose message says why; a refused job started nothing."""
    source = write_notebook(tmp_path / "job.ipynb", (declared, "parameters"), cell)
    ended = execute_job(source, given)
    assert ended.status == "FAILED"
    assert message in ended.status_message
    assert ended.end_time >= ended.start_time
    folders = [path.parent for path in tmp_path.glob("runs/*/run.json")]
    assert [record(each)["status"] for each in folders] == ([status] if status else [])
    for folder in folders:
        assert ended.status_message.endswith(f"Run: {folder.name}")
        assert (tmp_path / "out.html").read_bytes() == (folder / "report.html").read_bytes()
