"""Runs as `lcnb run` records them, written without a kernel."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from lcnb.runbooks.records import artifacts, index

START = datetime(2026, 11, 24, 12, tzinfo=UTC)


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
