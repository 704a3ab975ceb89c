"""Runs as `lcnb run` records them, written without a kernel; notebooks, and commands in this process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nbformat

from conftest import lcnb_here
from lcnb.runbooks.records import artifacts, index, process

PYTHON3 = {"display_name": "Python 3", "language": "python", "name": "python3"}
LCNB = [sys.executable, "-c", "from lcnb.cli.main import main; main()"]
START = datetime(2026, 11, 24, 12, tzinfo=UTC)
ME = process.identify_process()


def make_run(place: Path, number: int, *, closed: bool = True, **facts: Any) -> Path:
    """Write the folder and the record of a run that started `number` minutes after START; return the folder."""
    at = START + timedelta(minutes=number)
    folder = place / f"{at:%Y%m%dT%H%M%SZ}-nightly-{number:06x}"
    folder.mkdir(parents=True)
    (folder / "nightly.ipynb").write_text('{"metadata": {}}')
    facts = {
        "id": folder.name, "runbook": "nightly", "status": "done", "exit_code": 0, "started": at.isoformat(),
        "duration_s": 1.5, "account": None, "user": "me", "host": "here", "attention": [], "checks": [],
        "parameters": {}, "given": {}, "closed": closed, **facts,
    }  # fmt: skip
    facts["files"] = artifacts.fingerprint_files(folder)
    if closed:
        index.close_record(folder, json.dumps(facts))
    else:
        (folder / "run.json").write_text(json.dumps(facts))
    return folder


def write_notebook(path: Path, *cells: str) -> Path:
    """A notebook: Markdown where a cell begins with `#`, the second one tagged as parameters."""
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": PYTHON3})
    for number, source in enumerate(cells):
        tags = {"tags": ["parameters"]} if number == 1 else {}
        kind = nbformat.v4.new_markdown_cell if source.startswith("#") else nbformat.v4.new_code_cell
        notebook.cells.append(kind(source.strip(), metadata=tags))
    path.parent.mkdir(exist_ok=True)
    path.write_text(nbformat.writes(notebook), encoding="utf-8")
    return path


def lcnb_command(*arguments: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    if not env:
        return lcnb_here(*arguments, stdin=stdin)
    return subprocess.run(  # what a process reads when it begins
        [*LCNB, *arguments], input=stdin, capture_output=True, text=True, env={**os.environ, **env}, timeout=600
    )  # fmt: skip


def gone_process() -> dict[str, Any]:
    return {**ME, "started": ME["started"] + 100}
