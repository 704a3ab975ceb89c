"""`binder/`: what a visitor gets is the sandbox, running, and no question for a token."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from conftest import ROOT
from lcnb.widgets.admin_page import free_port

BINDER = ROOT / "binder"
PROGRAM = "import lcnb; lc = lcnb.connect(); print(len(lc.instances()), lc.settings.base_url)"


@contextmanager
def started(command: list[str], folder: Path, programs: Path, **more: str) -> Iterator[subprocess.Popen[str]]:
    """What `binder/start` of a folder starts; a session of its own, so that the sandbox ends with it."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LCNB_", "LETSCLOUD_", "JUPYTER", "PYTHON", "VIRTUAL_ENV"))
    }
    environment |= {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "TMPDIR": str(folder)} | more
    process = subprocess.Popen(
        [folder / "binder" / "start", *command], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        os.killpg(process.pid, 15)
        process.wait(600)
        if process.stdout is not None:
            process.stdout.close()


def test_start(tmp_path: Path) -> None:
    """The start script runs what it is given beside a sandbox, as the account of the environment."""
    shutil.copytree(BINDER, tmp_path / "binder")
    command = [sys.executable, "-c", PROGRAM]
    with started(command, tmp_path, Path(sys.executable).parent, PYTHONPATH=str(ROOT)) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert re.fullmatch(r"60 http://127\.0\.0\.1:\d+/api\n", line)


def answer(address: str, process: subprocess.Popen[str]) -> str:
    """What an address tells, once it does."""
    while process.poll() is None:
        try:
            with urlopen(address, timeout=600) as reply:
                return str(reply.read().decode())
        except URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError):
                raise
        time.sleep(0.2)
    raise AssertionError(f"it ended with {process.returncode}")


@pytest.mark.timeout(900)
def test_clean_environment(tmp_path: Path) -> None:
    """What `binder/`'s files make of an empty environment has JupyterLab, the admin page and runbooks, without a token."""
    folder, programs = tmp_path / "repository", tmp_path / "environment" / "bin"
    unwanted = shutil.ignore_patterns(".*", "__pycache__", "runs", "dist")
    shutil.copytree(ROOT, folder, ignore=unwanted)
    venv.create(programs.parent)
    # The pip of this environment installs into that one: to give it a pip of its own takes longer than some tests. What
    # pip would keep for a next time is in a home that ends with the test.
    pip = [sys.executable, "-m", "pip", "--python", programs / "python", "install", "--no-cache-dir"]
    quiet = ["--quiet", "--disable-pip-version-check", "--no-compile"]
    subprocess.run([*pip, *quiet, "-r", "binder/requirements.txt"], cwd=folder, check=True)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LCNB_", "PYTHON"))}
    clean["PATH"] = f"{programs}{os.pathsep}{clean['PATH']}"
    subprocess.run([folder / "binder" / "postBuild"], cwd=folder, env=clean, check=True)

    port = free_port()
    lab = [
        "jupyter",
        "lab",
        "--no-browser",
        "--allow-root",
        "--IdentityProvider.token=",
        f"--ServerApp.port={port}",
    ]
    with started(lab, folder, programs, HOME=str(tmp_path)) as process:
        here = f"http://127.0.0.1:{port}"
        assert "JupyterLab" in answer(f"{here}/lab", process)
        page = answer(f"{here}/voila/render/notebooks/admin/admin.ipynb", process)
        assert "application/vnd.jupyter.widget-view+json" in page
        assert "Traceback" not in page
    with started(["lcnb", "run", "inventory"], folder, programs, HOME=str(tmp_path)) as process:
        assert process.wait(600) == 0
    (report,) = (folder / "runs").rglob("report.html")
    assert "Inventory" in report.read_text()


def test_files() -> None:
    """The environment is this package with its page, for a Python that it takes; scripts can be run."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = (BINDER / "requirements.txt").read_text().split()
    assert asked[0] == ".[admin]"
    assert "admin" in project["optional-dependencies"]
    assert (BINDER / "runtime.txt").read_text().strip() == f"python-{project['requires-python'].strip('>=')}"
    for name in ("start", "postBuild"):
        assert os.access(BINDER / name, os.X_OK)
        assert (BINDER / name).read_text().startswith("#!/bin/bash")
    assert (BINDER / "start").read_text().rstrip().endswith('exec "$@"')


@pytest.mark.parametrize("name", ["start", "postBuild"])
def test_no_secret(name: str) -> None:
    """No script of the environment holds or asks for a token."""
    text = (BINDER / name).read_text()
    assert "read -r" not in text or "sandbox.txt" in text
    assert not re.search(r"API_(KEY|TOKEN)=\S", text)
