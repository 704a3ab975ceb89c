"""Jobs of a real jupyter-scheduler, made by its REST API, as runs of lcnb."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import nbformat
import psutil
import pytest

import lcnb
from conftest import HANGS_S, LEAN_JUPYTER, MANY, TOKEN, CommandResult, record, wait_until, write_notebook
from lcnb.runbooks.notebook.find import find_runbook
from lcnb.sandbox import SandboxProcess, start
from lcnb.widgets.admin_page import free_port

pytestmark = [
    pytest.mark.fresh_python,  # jupyter-scheduler starts a new Python for each job
    # Only the processes import it, not each worker.
    pytest.mark.skipif(find_spec("jupyter_scheduler") is None, reason="needs jupyter-scheduler"),
]

MANAGER = "lcnb.jupyter.scheduler.RunbookExecutionManager"
ENDED = ("COMPLETED", "FAILED")
SERVER_TOKEN = "token-of-the-jupyter-server"

TYPED = """from datetime import date
from typing import Literal
day: date
count: int
names: list[str]
limits: dict[str, int]
power: Literal["on", "off"]
text: str
careful: bool = True
pair = None"""
SHOW = "print([day, count, names, limits, power, text, careful, pair])"
GIVEN = {
    "day": "2026-12-25", "count": "'7'", "names": "['web', \"db\"]", "limits": "{'web': 2}", "power": '"off"',
    "text": "a = [b", "careful": "False", "pair": "(1, 'a')",
}  # fmt: skip
SHOWN = "['2026-12-25', 7, ['web', 'db'], {'web': 2}, 'off', 'a = [b', False, [1, 'a']]"


@dataclass
class Server:
    """A Jupyter server with jupyter-scheduler, whose jobs lcnb executes."""

    address: str
    root: Path
    staging: Path
    sandbox: SandboxProcess

    def ask(self, path: str, body: object = None, method: str | None = None) -> Any:
        """The answer of the REST API."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"token {SERVER_TOKEN}", "Content-Type": "application/json"}
        request = Request(f"{self.address}/scheduler/{path}", data, headers, method=method)
        with urlopen(request, timeout=HANGS_S) as reply:
            text = reply.read()
        return json.loads(text) if text else None

    def create(self, notebook: str, parameters: dict[str, str] | None = None, **more: Any) -> str:
        """Create a job, as the dialog does."""
        body = {
            "input_uri": notebook, "name": notebook, "runtime_environment_name": "python",
            "output_formats": ["ipynb", "html"], "parameters": parameters or {},
        }  # fmt: skip
        return str(self.ask("jobs", body | more)["job_id"])

    def ended(self, job: str) -> dict[str, Any]:
        """The job, once it has ended."""
        wait_until(lambda: self.ask(f"jobs/{job}")["status"] in ENDED)
        found: dict[str, Any] = self.ask(f"jobs/{job}")
        return found

    def run_of(self, job: str) -> Path | None:
        """The folder of the run of a job."""
        runs = self.root / "runs"
        folders = [path.parent for path in runs.glob("*/run.json")]
        return next((each for each in folders if job in record(each)["notebook"]), None)

    def folder_of(self, job: str) -> Path:
        found = self.run_of(job)
        assert found is not None
        return found

    def power(self, label: str) -> str:
        """The state of a machine of the account."""
        with lcnb.connect(base_url=self.sandbox.base_url, token=TOKEN) as lc:
            return str(lc.instances().set_index("label").state[label])


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server, in a home of its own, and a sandbox as its account."""
    folder = tmp_path_factory.mktemp("jupyter")
    root = folder / "root"
    root.mkdir()
    environment = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith(("LCNB_", "LETSCLOUD_", "JUPYTER", "XDG_"))
    }
    with (
        start(speed=400, fleet=6, token=TOKEN, rate_limit=MANY) as sandbox,
        (folder / "server.log").open("wb") as log,
    ):
        environment |= {
            "HOME": str(folder), "LETSCLOUD_API_KEY": TOKEN, "LCNB_BASE_URL": sandbox.base_url, "LCNB_SETTLE": "3",
            "JUPYTER_CONFIG_DIR": str(folder / "config"), "JUPYTER_DATA_DIR": str(folder / "data"),
            "JUPYTER_RUNTIME_DIR": str(folder / "runtime"), "IPYTHONDIR": str(folder / "ipython"),
            "JUPYTER_TOKEN": SERVER_TOKEN, "PYTHONPATH": LEAN_JUPYTER,
        }  # fmt: skip
        port = free_port()
        command = [
            sys.executable, "-m", "jupyter_server", "--allow-root", "--no-browser", "--ServerApp.ip=127.0.0.1",
            f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={root}",
            f"--Scheduler.execution_manager_class={MANAGER}", "--TaskRunner.poll_interval=1",
        ]  # fmt: skip
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        server = Server(f"http://127.0.0.1:{port}", root, folder / "data" / "scheduler_staging_area", sandbox)
        try:
            wait_until(lambda: process.poll() is not None or answers(server))
            assert process.poll() is None, (folder / "server.log").read_text()[-4000:]
            yield server
        finally:
            family = (
                [process, *psutil.Process(process.pid).children(recursive=True)]
                if process.poll() is None
                else []
            )
            for each in family:
                with suppress(psutil.NoSuchProcess):
                    each.kill()
            process.wait()


def answers(server: Server) -> bool:
    try:
        server.ask("jobs")
    except URLError:
        return False
    return True


def text_outputs(notebook: Any) -> str:
    return "".join(each.get("text", "") for cell in notebook.cells for each in cell.get("outputs", ()))


def test_shipped_runbook(jupyter: Server) -> None:
    """A job is a run: its record has the values, its notebook and report are the job's downloads."""
    shutil.copy(find_runbook("inventory").path, jupyter.root)
    job = jupyter.create("inventory.ipynb", {"location": "mia1", "state": "'running'"})
    ended = jupyter.ended(job)
    assert (ended["status"], ended["status_message"]) == ("COMPLETED", None)
    folder = jupyter.folder_of(job)
    facts = record(folder)
    assert (facts["status"], facts["runbook"]) == ("done", "inventory")
    assert (facts["parameters"]["location"], facts["parameters"]["state"]) == ("MIA1", "running")
    assert list(folder.glob("*.parquet"))
    (page,) = (jupyter.staging / job).glob("*.html")
    assert page.read_bytes() == (folder / "report.html").read_bytes()
    (notebook,) = (jupyter.staging / job).glob("inventory-*.ipynb")
    assert notebook.read_bytes() == (folder / "inventory.ipynb").read_bytes()


def test_typed_values(jupyter: Server) -> None:
    """Dates, numbers, lists and texts of the dialog arrive with their declared types, with and without quotes."""
    write_notebook(jupyter.root / "typed.ipynb", (TYPED, "parameters"), SHOW)
    job = jupyter.create("typed.ipynb", GIVEN)
    ended = jupyter.ended(job)
    assert (ended["status"], ended["status_message"]) == ("COMPLETED", None)
    assert text_outputs(nbformat.read(jupyter.folder_of(job) / "typed.ipynb", 4)).strip() == SHOWN


ATTENTION = "import lcnb\nlcnb.run().attention('web-03 has no snapshot')"


def test_failed_job(jupyter: Server) -> None:
    """A run that asks for attention is a failed job whose message says why; `test_job_ends.py` has the other ends."""
    write_notebook(jupyter.root / "attention.ipynb", ("days: int = 1", "parameters"), ATTENTION)
    job = jupyter.create("attention.ipynb")
    ended, folder = jupyter.ended(job), jupyter.folder_of(job)
    assert ended["status"] == "FAILED"
    assert ended["status_message"] == f"attention (exit code 8): web-03 has no snapshot Run: {folder.name}"
    assert ended["end_time"] >= ended["start_time"]
    assert record(folder)["status"] == "attention"
    assert list((jupyter.staging / job).glob("*.html"))


def test_confirmed_change(jupyter: Server) -> None:
    """A job that changes something needs its own confirmation, and its record has the change."""
    shutil.copy(find_runbook("power_schedule").path, jupyter.root)
    with lcnb.connect(base_url=jupyter.sandbox.base_url, token=TOKEN) as lc:
        label = str(lc.instances().query("state == 'running'").label.iloc[0])
    given = {"selection": f"label == '{label}'", "power": "off", "dry_run": "False"}
    refused = jupyter.ended(jupyter.create("power_schedule.ipynb", given))
    assert (refused["status"], jupyter.power(label)) == ("FAILED", "running")
    assert "nobody confirmed that. Nothing was started." in refused["status_message"]
    job = jupyter.create("power_schedule.ipynb", given | {"LCNB_RUN_CONFIRM": "yes"})
    ended = jupyter.ended(job)
    assert (ended["status"], ended["status_message"]) == ("COMPLETED", None)
    assert jupyter.power(label) == "off"
    (change,) = record(jupyter.folder_of(job))["changes"]
    assert change["outcome"] == "done"


def test_no_runbook(jupyter: Server) -> None:
    """A notebook without a cell tagged `parameters` runs as jupyter-scheduler runs it: values are code, no run is kept."""
    write_notebook(jupyter.root / "plain.ipynb", "print('n is', n)\nopen('side.txt', 'w').close()")
    job = jupyter.create("plain.ipynb", {"n": "3 * 4"})
    assert jupyter.ended(job)["status"] == "COMPLETED"
    (done,) = (jupyter.staging / job).glob("plain-*.ipynb")
    assert text_outputs(nbformat.read(done, 4)) == "n is 12\n"
    assert (jupyter.staging / job / "side.txt").exists()
    assert jupyter.run_of(job) is None


def test_input_folder(jupyter: Server) -> None:
    """A job with its input folder opens the files next to the notebook; what its cells write there is downloaded too."""
    folder = jupyter.root / "with-files"
    folder.mkdir()
    (folder / "hosts.csv").write_text("label\nweb\n")
    write_notebook(
        folder / "files.ipynb",
        ("n: int = 1", "parameters"),
        "open('copy.csv', 'w').write(open('hosts.csv').read())",
    )
    job = jupyter.create("with-files/files.ipynb", {"n": "2"}, package_input_folder=True)
    ended = jupyter.ended(job)
    assert (ended["status"], ended["status_message"]) == ("COMPLETED", None)
    assert {"hosts.csv", "copy.csv"} <= set(ended["packaged_files"])
    assert record(jupyter.folder_of(job))["given"] == {"n": 2}


def has_ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_stop(jupyter: Server) -> None:
    """Stopping a job interrupts its run as SIGTERM does: its record says `interrupted`, its kernel is gone."""
    began = jupyter.root / "began"
    write_notebook(
        jupyter.root / "long.ipynb",
        ("n: int = 1", "parameters"),
        f"import time\nfrom pathlib import Path\nPath({str(began)!r}).touch()\ntime.sleep(3600)",
    )
    job = jupyter.create("long.ipynb")
    wait_until(began.exists)
    assert record(jupyter.folder_of(job))["status"] == "running"
    locked = jupyter.ended(jupyter.create("long.ipynb"))
    assert locked["status_message"].startswith("locked (exit code 75): another process runs long")
    jupyter.ask(f"jobs/{job}", {"status": "STOPPED"}, "PATCH")
    wait_until(lambda: record(jupyter.folder_of(job))["closed"])
    assert jupyter.ask(f"jobs/{job}")["status"] == "STOPPED"
    facts = record(jupyter.folder_of(job))
    assert (facts["status"], facts["exit_code"]) == ("interrupted", 143)
    wait_until(lambda: has_ended(facts["kernel_process"]["pid"]))
    assert (jupyter.folder_of(job) / "report.html").exists()


def test_stop_at_once(jupyter: Server) -> None:
    """A job that is stopped before its process has started does not run."""
    began = jupyter.root / "began-at-once"
    write_notebook(
        jupyter.root / "soon.ipynb", ("n: int = 1", "parameters"), f"open({str(began)!r}, 'x').close()"
    )
    job = jupyter.create("soon.ipynb")
    created = jupyter.ask(f"jobs/{job}")
    jupyter.ask(f"jobs/{job}", {"status": "STOPPED"}, "PATCH")
    assert (created["status"], created["start_time"]) == ("IN_PROGRESS", None)
    # A job whose stop was ignored would hold the lock of the notebook, or have run, before the next one ends.
    assert jupyter.ended(jupyter.create("soon.ipynb"))["status"] == "COMPLETED"
    assert (jupyter.ask(f"jobs/{job}")["status"], jupyter.run_of(job)) == ("STOPPED", None)


def test_schedule(jupyter: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job definition with a schedule starts runs by itself; `lcnb runs` lists them; no file of a job has the token."""
    write_notebook(
        jupyter.root / "every.ipynb",
        ("n: int = 1", "parameters"),
        "import os\nprint(os.environ['LETSCLOUD_API_KEY'])",
    )
    body = {
        "input_uri": "every.ipynb", "name": "every", "runtime_environment_name": "python", "schedule": "* * * * *",
        "timezone": "UTC", "output_formats": ["ipynb", "html"], "parameters": {"n": "5"},
    }  # fmt: skip
    definition = jupyter.ask("job_definitions", body)["job_definition_id"]
    found: list[Any] = []
    wait_until(lambda: found.extend(jupyter.ask(f"jobs?job_definition_id={definition}")["jobs"]) or found)
    jupyter.ask(
        f"job_definitions/{definition}",
        {"active": False, "schedule": "* * * * *", "timezone": "UTC"},
        "PATCH",
    )
    job = found[0]["job_id"]
    assert jupyter.ended(job)["status"] == "COMPLETED"
    assert record(jupyter.folder_of(job))["given"] == {"n": 5}
    files = [path for path in jupyter.staging.rglob("*") if path.is_file()]
    files += [path for path in jupyter.staging.parent.glob("*") if path.is_file()]
    assert any(path.name.startswith("every-") for path in files)
    assert [path for path in files if TOKEN.encode() in path.read_bytes()] == []


def test_listed(jupyter: Server, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`lcnb runs` in the folder of JupyterLab lists the runs of jobs, and `lcnb verify` accepts their files."""
    monkeypatch.delenv("LCNB_RUNS_DIR")
    monkeypatch.chdir(jupyter.root)
    listed: CommandResult = call("runs", "-o", "json")
    found = {each["runbook"]: each["status"] for each in json.loads(listed.out)}
    assert {"inventory": "done", "attention": "attention", "long": "interrupted"}.items() <= found.items()
    assert call("verify").code == 0
