"""Settle abandoned runs: runs whose process was killed (SIGKILL, power cut, reboot) before it closed the record.

Any later command that reads the runs settles them: it sets the status `abandoned` in the record and the saved
notebook, closes the record, and appends the run's line to the index. The index's lock makes sure that only one
process settles a run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcnb.config import Settings, load_settings
from lcnb.errors import LcnbError
from lcnb.files import write_atomically
from lcnb.runbooks.ends import ABANDONED, RUNNING
from lcnb.runbooks.outcomes import run_changes
from lcnb.runbooks.records import artifacts, index, notes, process
from lcnb.runbooks.records.run_record import RunRecord, list_run_folders, read_run
from lcnb.runbooks.records.sync_state import is_foreign
from lcnb.secret import Secret, mask_secrets
from lcnb.tokens import TOKEN_VARIABLES

if TYPE_CHECKING:
    from lcnb.runbooks.records.mirror import Mirror

#: Seconds that a reading command waits for the lock of the index.
READER_LOCK_TIMEOUT_S = 1.0


def settle_runs(folder: Path, *, thorough: bool = True) -> list[str]:
    """Settle the abandoned runs of a runs folder and return their ids. Raises nothing, so that reading never fails.

    Runs of other machines in the folder of a store are not looked at: `settle_silent_run` settles them.

    `thorough` reads every record. Without it only the runs without a line in the index are read, which is fast with
    any number of runs, but misses a run whose process was killed between its line and its record.
    """
    try:
        closed = {} if thorough else index.last_lines(folder)
        return [
            path.name
            for path in list_run_folders(folder, closed)
            if not is_foreign(path) and _settle_if_abandoned(path)
        ]
    except OSError:
        return []


def _settle_if_abandoned(folder: Path) -> bool:
    if not read_run(folder).is_abandoned:
        return False
    try:
        with index.lock_index(folder.parent, READER_LOCK_TIMEOUT_S):
            run = read_run(folder)
            if not run.is_abandoned:  # another process has settled it meanwhile
                return False
            _settle_run(run)
    except Exception:  # no permission, no space, a busy lock, an odd record: the next command tries again
        return False
    return True


def settle_silent_run(mirror: Mirror, run_id: str, last: datetime) -> bool:
    """Settle a run of another machine whose heartbeat has stopped; return whether this machine closed its record.

    Args:
        mirror: The store of the run, and its folder here.
        run_id: The id of the run.
        last: The time of its last heartbeat.

    Its kernel and its journal are on that machine, so what it changed is not known here. Raises StoreUnavailable.
    """
    mirror.pull_files(run_id)
    run = read_run(mirror.folder / run_id)
    if run.facts.get("closed") is not False:
        return False
    redact = _build_redactor(_account_settings(run))
    problems = _mark_notebooks(run.folder, redact)
    facts = {**run.facts, **abandoned_facts(run, last, "has sent no heartbeat since then")}
    if run.facts.get("confirmed"):
        host = (run.typed_fact("process", dict) or {}).get("host")
        problems.append(f"what the run changed is only in the journal of {host}: lcnb resume {run_id} there")
    facts["files"] = artifacts.fingerprint_files(run.folder)
    facts["problems"] = problems
    content = index.encode_record(redact(json.dumps(facts, ensure_ascii=False, indent=2)))
    closed = mirror.close_silent_run(run_id, content)
    if not closed:
        mirror.pull_record(run_id)
    return closed


def _settle_run(run: RunRecord) -> None:
    folder, facts = run.folder, dict(run.facts)
    kernel = facts.get("kernel_process")
    if isinstance(kernel, dict):
        process.kill_process(kernel)  # its work can no longer be recorded
    last = _last_write_time(folder)
    settings = _account_settings(run)
    redact = _build_redactor(settings)
    problems = _mark_notebooks(folder, redact)
    problems += artifacts.redact_files(folder, redact)
    facts |= abandoned_facts(run, last)
    facts |= notes.note_facts(folder)
    try:
        facts["changes"] = run_changes(folder, settings)
    except Exception as error:  # the run is settled in any case
        problems.append(f"the changes of the run are unknown: {type(error).__name__}: {error}")
    facts["files"] = artifacts.fingerprint_files(folder)
    facts["problems"] = problems
    index.close_record_locked(folder, redact(json.dumps(facts, ensure_ascii=False, indent=2)))


def abandoned_facts(run: RunRecord, last: datetime, cause: str = "was killed or crashed") -> dict[str, Any]:
    """Return the facts that close the record of an abandoned run; the time of its last file, `last`, is its end."""
    known, before = run.typed_fact("process", dict), run.facts["status"]
    process_name = f"its process ({known.get('pid')} on {known.get('host')})" if known else "its process"
    reason = f"{process_name} {cause}"
    if before != RUNNING.status:
        reason += f" while it wrote its report; the notebook itself had ended: {before}"
    try:
        duration = round((last - datetime.fromisoformat(str(run.facts.get("started")))).total_seconds(), 2)
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
    """Return the time of the newest file in a run's folder."""
    paths = [*artifacts.list_files(folder), folder / artifacts.RECORD_FILE]
    return datetime.fromtimestamp(max(path.stat().st_mtime for path in paths), UTC)


def _account_settings(run: RunRecord) -> Settings | None:
    """Return the settings of the run's account, or None when this user has no token for it."""
    account = run.facts.get("account")
    try:
        return load_settings(account if isinstance(account, str) else None)
    except (LcnbError, OSError):
        return None


def _build_redactor(settings: Settings | None) -> Callable[[str], str]:
    """Return a function that masks the tokens known here; the kernel has masked the others in what it saved."""
    secrets = [Secret(os.environ[name]) for name in TOKEN_VARIABLES if os.environ.get(name)]
    if settings is not None:
        secrets.append(settings.token)
    return lambda text: mask_secrets(text, *secrets)


def _mark_notebooks(folder: Path, redact: Callable[[str], str]) -> list[str]:
    """Set the status `abandoned` in the saved notebooks: the running cell has failed, later cells are `unknown`.

    The notebook is saved only now and then, so a cell that was saved as pending may have run since.
    """
    problems = []
    for path in folder.glob("*.ipynb"):
        try:
            notebook = json.loads(path.read_bytes())
            about = notebook["metadata"].get("lcnb")
            if about is None:
                continue  # a notebook that the run wrote, not the executed one
            about |= {
                "status": ABANDONED.status,
                "exit_code": None,
                "reason": "its process was killed or crashed",
            }
            notebook["metadata"].setdefault("papermill", {})["exception"] = True
            for cell in notebook["cells"]:
                _mark_cell(cell["metadata"].get("papermill") or {})
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            problems.append(f"{path.name} cannot be read and was not changed")
            continue
        text = json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
        write_atomically(path, redact(text))
    return problems


def _mark_cell(about: dict[str, Any]) -> None:
    ends = {"running": "failed", "pending": "unknown"}
    about["status"] = ends.get(about.get("status", ""), about.get("status"))
