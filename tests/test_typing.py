"""What type checkers see of lcnb in a user's program: mypy and pyright, both in strict mode."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import ROOT

EXAMPLES = ROOT / "tests" / "typing_example"
BIN = Path(sys.executable).parent
pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="the home of pyright's files is looked up by pwd"
)


#: Each file that is checked.
FILES = ("fleet_report.py", "mistakes.py")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs in a folder of their own, as a user has them."""
    folder = tmp_path_factory.mktemp("typing") / "project"
    shutil.copytree(EXAMPLES, folder)
    (folder / "mypy.ini").write_text("[mypy]\nstrict = true\n")
    (folder / "pyrightconfig.json").write_text(json.dumps({"typeCheckingMode": "strict"}))
    return folder


def run_tool(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A tool of this environment, with the user's own home: pyright keeps its files there."""
    env = {**os.environ, "HOME": pwd.getpwuid(os.getuid()).pw_dir, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=600)


#: File and line of an error.
Found = set[tuple[str, int]]


def mypy_errors(project: Path) -> Found:
    """Where mypy finds an error."""
    # What mypy finds out about pandas and lcnb is kept, with a hash of each file: only a change is looked at again.
    cache = ROOT / ".mypy_cache" / "typing_example"
    options = ("--no-error-summary", "--python-executable", sys.executable, "--cache-dir", str(cache))
    done = run_tool(BIN / "mypy", *options, *FILES, cwd=project)
    assert done.returncode in (0, 1), done.stderr
    return {(file, int(line)) for file, line in re.findall(r"^(\S+):(\d+): error", done.stdout, re.MULTILINE)}


def pyright_errors(project: Path) -> Found:
    """Where pyright finds an error; the test is skipped where pyright cannot be started."""
    if run_tool(BIN / "pyright", "--version", cwd=project).returncode:
        pytest.skip("pyright needs Node.js, and the network at its first start")
    done = run_tool(BIN / "pyright", "--outputjson", "--pythonpath", sys.executable, *FILES, cwd=project)
    assert done.returncode in (0, 1), done.stderr
    found = json.loads(done.stdout)["generalDiagnostics"]
    return {
        (Path(each["file"]).name, each["range"]["start"]["line"] + 1)
        for each in found
        if each["severity"] == "error"
    }


@pytest.mark.parametrize("find_errors", [mypy_errors, pyright_errors])
def test_user_programs(find_errors: Callable[[Path], Found], project: Path) -> None:
    """A user's program passes in strict mode; misspelt names, wrong arguments and a missing `await` are found."""
    lines = (project / "mistakes.py").read_text(encoding="utf-8").splitlines()
    wrong = {("mistakes.py", number) for number, line in enumerate(lines, 1) if line.endswith("# wrong")}
    assert len(wrong) == 12
    assert find_errors(project) == wrong


def test_program_runs(project: Path) -> None:
    """The program that the checkers accept does what it says, in the sandbox."""
    program = "import runpy; runpy.run_path('fleet_report.py', run_name='__main__')"
    done = run_tool(sys.executable, "-c", program, cwd=project)
    assert done.returncode == 0, done.stderr
    first, created, counts, rebooted, run = done.stdout.splitlines()[-5:]
    assert first.startswith("2 ")
    assert created.startswith("192.0.2.")
    assert "*****" in created
    assert counts.endswith(" 61")
    assert (rebooted, run) == ("1", "done report.html ['done']")
