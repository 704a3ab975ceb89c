"""Runs whose process is gone without a word (SIGKILL, power, a reboot) are found, and told as what they are.

Who looks next settles them: the record and the saved notebook say `abandoned`, the record is closed, and the
index gets its line. One at a time, under the index's lock, so that several who look at once do it once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lcnb.config import Settings, load_settings
from lcnb.errors import LcnbError
from lcnb.files import write_atomically
from lcnb.runbooks.ends import ABANDONED, RUNNING
from lcnb.runbooks.outcomes import run_changes
from lcnb.runbooks.records import artifacts, index, notes, process
from lcnb.secret import Secret, mask_secrets
from lcnb.tokens import TOKEN_VARIABLES

#: Seconds for which somebody who only looks waits for others at the index.
READER_LOCK_TIMEOUT_S = 1.0


def settle_runs(folder: Path, *, thorough: bool = True) -> list[str]:
    """Settle the abandoned runs of a runs folder; gives their ids. Never raises: who looks must not fail by it.

    `thorough` reads every record; without it only those that the index does not name, which is quick with
    any number of runs (it leaves out one whose process ended between its line and its record).
    """
    try:
        closed = {} if thorough else index.last_lines(folder)
        return [
            path.name
            for path in index.list_run_folders(folder)
            if path.name not in closed and _settle_if_abandoned(path)
        ]
    except OSError:
        return []


def is_abandoned(record: Mapping[str, Any]) -> bool:
    """Whether a record was never closed, and the process that should have done so is gone."""
    known = record.get("process")
    return record.get("closed") is False and isinstance(known, dict) and process.is_gone(known)


def _read_record(folder: Path) -> dict[str, Any] | None:
    try:
        return index.parse_record((folder / artifacts.RECORD_FILE).read_bytes())
    except OSError:
        return None


def _settle_if_abandoned(folder: Path) -> bool:
    record = _read_record(folder)
    if record is None or not is_abandoned(record):
        return False
    try:
        with index.lock_index(folder.parent, READER_LOCK_TIMEOUT_S):
            record = _read_record(folder)  # another one may have been quicker
            if record is None or not is_abandoned(record):
                return False
            _settle_run(folder, record)
    except Exception:  # no permission, no space, no time, an odd record: the next one who looks tries again
        return False
    return True


def _settle_run(folder: Path, record: dict[str, Any]) -> None:
    kernel = record.get("kernel_process")
    if isinstance(kernel, dict):
        process.kill_process(kernel)  # nobody is left to tell what it does
    last = _last_write_time(folder)
    settings = _account_settings(record)
    redact = _build_redactor(settings)
    problems = _mark_notebooks(folder, redact)
    problems += artifacts.redact_files(folder, redact)
    record |= abandoned_facts(record, last)
    record |= notes.note_facts(folder)
    try:
        record["changes"] = run_changes(folder, settings)
    except Exception as error:  # whatever is wrong with the journal, the run is settled
        problems.append(f"what the run changed is not known: {type(error).__name__}: {error}")
    record["files"] = artifacts.fingerprint_files(folder)
    record["problems"] = problems
    index.close_record_locked(folder, redact(json.dumps(record, ensure_ascii=False, indent=2)))


def abandoned_facts(record: Mapping[str, Any], last: datetime) -> dict[str, Any]:
    """What a record says of a run that was abandoned; `last`, the last sign of it, counts as its end."""
    known, before = record["process"], record.get("status")
    reason = f"its process ({known.get('pid')} on {known.get('host')}) ended without a word"
    if before != RUNNING.status:
        reason += f", while it wrote its report; the notebook itself had ended: {before}"
    try:
        duration = round((last - datetime.fromisoformat(str(record.get("started")))).total_seconds(), 2)
    except (ValueError, TypeError):
        duration = None
    return {
        "status": ABANDONED.status,
        "exit_code": None,
        "reason": reason,
        "ended": last.isoformat(timespec="milliseconds"),
        "duration_s": duration,
        "closed": True,
        "settled": {**process.identify_process(), "at": notes.utc_timestamp()},
    }


def _last_write_time(folder: Path) -> datetime:
    """When anything was last written into a run's folder."""
    paths = [*artifacts.list_files(folder), folder / artifacts.RECORD_FILE]
    return datetime.fromtimestamp(max(path.stat().st_mtime for path in paths), UTC)


def _account_settings(record: Mapping[str, Any]) -> Settings | None:
    """The account of a run, as far as who settles it has it."""
    account = record.get("account")
    try:
        return load_settings(account if isinstance(account, str) else None)
    except (LcnbError, OSError):
        return None


def _build_redactor(settings: Settings | None) -> Callable[[str], str]:
    """As the run itself would have redacted, but for tokens that are not here (what a kernel saves is redacted)."""
    secrets = [Secret(os.environ[name]) for name in TOKEN_VARIABLES if os.environ.get(name)]
    if settings is not None:
        secrets.append(settings.token)
    return lambda text: mask_secrets(text, *secrets)


def _mark_notebooks(folder: Path, redact: Callable[[str], str]) -> list[str]:
    """The saved notebook says `abandoned`: the cell that ran has failed; of those after it nothing is known.

    Saves are rare while cells are quick, so a cell that was saved as waiting may have been begun since.
    """
    problems = []
    for path in folder.glob("*.ipynb"):
        try:
            notebook = json.loads(path.read_bytes())
            about = notebook["metadata"].get("lcnb")
            if about is None:
                continue  # a file of the notebook's own
            about |= {
                "status": ABANDONED.status,
                "exit_code": None,
                "reason": "its process ended without a word",
            }
            notebook["metadata"].setdefault("papermill", {})["exception"] = True
            for cell in notebook["cells"]:
                _mark_cell(cell["metadata"].get("papermill") or {})
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            problems.append(f"{path.name} cannot be read, and was left as it is")
            continue
        text = json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
        write_atomically(path, redact(text))
    return problems


def _mark_cell(about: dict[str, Any]) -> None:
    ends = {"running": "failed", "pending": "unknown"}
    about["status"] = ends.get(about.get("status", ""), about.get("status"))
