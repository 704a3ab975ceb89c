"""`binder/`: what a visitor gets is the sandbox, running, and no question for a token."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from conftest import ROOT

BINDER = ROOT / "binder"
PROGRAM = "import lcnb; lc = lcnb.connect(); print(len(lc.instances()), lc.settings.base_url)"


def test_start(tmp_path: Path) -> None:
    """The start script runs what it is given beside a sandbox, as the account of the environment."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # A session leader of its own, so that the sandbox it leaves running ends with it.
    process = subprocess.Popen(
        [BINDER / "start", sys.executable, "-c", PROGRAM], cwd=tmp_path, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}, start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert re.fullmatch(r"60 http://127\.0\.0\.1:\d+/api\n", line)
    finally:
        os.killpg(process.pid, 15)
        process.wait(10)
        if process.stdout is not None:
            process.stdout.close()


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
