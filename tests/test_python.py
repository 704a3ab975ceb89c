"""The processes that lcnb starts: none of them takes a file of the working folder for a module of Python."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import lcnb
from conftest import LCNB

pytestmark = pytest.mark.fresh_python
PACKAGE = Path(lcnb.__file__).parent
#: Names that people give to files beside their notebooks.
NAMES = (
    "secrets", "random", "json", "typing", "select", "queue", "calendar", "code", "test", "token", "platform",
    "statistics", "email", "http", "html", "logging", "decimal", "csv", "uuid", "glob", "sandbox", "httpx", "pandas",
    "numpy", "click", "uvicorn", "starlette", "lcnb_local",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder whose files are named as modules, none of which can be imported."""
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('{name}.py of the folder was imported')")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        [LCNB, "instances", "--sandbox", "-o", "csv"],
        [sys.executable, "-m", "lcnb", "locations", "--sandbox", "-o", "csv"],
        [sys.executable, "-m", "lcnb", "run", "key_audit", "--sandbox", "--engine", "kernel"],
        [sys.executable, "-m", "lcnb", "batch", "key_audit", "--over", "rows.csv", "--sandbox", "-o", "csv"],
    ],
    ids=["sandbox", "module", "run", "batch"],
)
def test_d10_files_named_as_modules(command: list[str], folder: Path) -> None:
    """Commands work in a folder with a secrets.py, a random.py, a json.py, and what they start works too."""
    (folder / "rows.csv").write_text("min_rsa_bits\n2048\n")
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert "of the folder was imported" not in done.stdout + done.stderr
    assert done.returncode in (0, 8), done.stderr  # 8: the made-up account has a weak key


def test_d10_one_place() -> None:
    """Only `lcnb.python_process`, and the sandbox that stands alone, name the Python that a process is started with."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.List) and node.elts and ast.unparse(node.elts[0]) == "sys.executable":
                if "'-m'" not in map(ast.unparse, node.elts):
                    continue  # no command
                found[path.relative_to(PACKAGE).as_posix()] = ast.unparse(node.elts[1])
    assert found == {"python_process.py": "'-P'", "sandbox/process.py": "'-P'"}
