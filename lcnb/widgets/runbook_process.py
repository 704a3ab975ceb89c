"""Runs a runbook for its form: starts the process, waits for its end, and reads its record."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcnb import python_process
from lcnb.changes.changeset import ChangeSet
from lcnb.config import load_settings
from lcnb.errors import LcnbError
from lcnb.folders import runs_dir
from lcnb.runbooks.batch import launcher
from lcnb.runbooks.ends import COMPLETED_STATUSES, NOT_CONFIRMED, RUN_FAILED, TERMINATED
from lcnb.runbooks.notebook import parameters as declared
from lcnb.runbooks.notebook import types
from lcnb.runbooks.outcomes import NOT_MADE, planned_changes, run_changes
from lcnb.runbooks.records.artifacts import hash_file
from lcnb.runbooks.records.run_record import read_run, read_runs, require_readable
from lcnb.secret import mask_secrets
from lcnb.widgets.form_effects import StartRun

if TYPE_CHECKING:
    from lcnb.client import LetsCloud
    from lcnb.config import Settings
    from lcnb.runbooks.notebook.find import Runbook


@dataclass(frozen=True)
class FinishedRun:
    """How a run ended, according to its record; `planned` holds the changes that a dry run planned."""

    status: str
    exit_code: int
    error: str = ""
    folder: Path | None = None
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False)
    planned: ChangeSet | None = None
    #: The changes that this run and the runs it resumes have begun, with their present outcomes in the journal.
    made: Sequence[Mapping[str, Any]] = ()

    @property
    def attention(self) -> list[str]:
        """The messages of the notebook that ask for attention."""
        return [str(each["text"]) for each in self.facts.get("attention", [])]

    @property
    def unconfirmed_error(self) -> tuple[str, str]:
        """The name and the text of the error that a change was not confirmed or approved; two empty texts without one.

        The exit code decides, because a run with a wrong parameter has the same status.
        """
        cell = self.facts.get("failed_cell")
        if self.exit_code != NOT_CONFIRMED.exit_code or not cell:
            return "", ""
        return str(cell["ename"]), str(cell["evalue"])

    @property
    def unknown_count(self) -> int:
        """The number of changes that were sent and have no outcome."""
        return sum(each["outcome"] == "unknown" for each in self.made)

    @property
    def report(self) -> Path | None:
        """The file of the report, if it exists."""
        path = self.folder / "report.html" if self.folder else None
        return path if path and path.is_file() else None


def run_and_wait(
    book: Runbook, run: StartRun, client: LetsCloud, progress: Callable[[int, int, str], object]
) -> FinishedRun:
    """Start the run as a separate process, wait for its end, and read its record."""
    account, env = _account_environment(client.settings)
    if run.resumes is not None:
        return _resume_broken(run.resumes, run.stop, client, env)
    task = {
        "row": 1,
        "runbook": str(book.path),
        "sha256": hash_file(book.path),
        "parameters": {name: _typed_value(book, name, value) for name, value in run.given.items()},
        "account": account,
        "runs_dir": str(runs_dir().absolute()),
        "confirm": False,
        "previous": None,
        "plan": str(run.plan) if run.plan else None,
        "lock_wait": 0,
    }
    result = launcher.run_row(task, env, run.stop, progress)
    if result["status"] == launcher.NOT_STARTED:
        return FinishedRun(TERMINATED.status, TERMINATED.exit_code, "stopped before it began")
    return _read_finished(result, client, dry=run.is_dry)


def _typed_value(book: Runbook, name: str, value: Any) -> Any:
    """Return the value of a parameter. Without a declared type, text gets the type it looks like, as after `-p`."""
    parameter = next((each for each in book.parameters if each.name == name), None)
    if parameter is None or parameter.type.kind != "any" or not isinstance(value, str):
        return value
    return declared.check_values((parameter,), {name: types.WrittenText(value)})[name]


def _resume_broken(broken: Path, stop: Any, client: LetsCloud, env: Mapping[str, str | None]) -> FinishedRun:
    """Call `lcnb resume RUN`: settle changes without an outcome, then run the notebook again for the rest."""
    variables = {**os.environ, **env, "LCNB_RUNS_DIR": str(runs_dir().absolute())}
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            python_process.module_command("lcnb", "resume", str(broken), "--yes"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=output,
            env={name: text for name, text in variables.items() if text is not None},
            start_new_session=True,
        )
        with process:
            launcher.wait_for_exit(process, stop, lambda: None)
        output.seek(0)
        error = mask_secrets(output.read()[-4000:].decode("utf-8", "replace"), client.settings.token).strip()
    found: dict[str, Any] = {"folder": broken, "status": RUN_FAILED.status, "error": error}
    if resumed := next((run for run in read_runs(runs_dir()) if broken.name in run.resumes), None):
        found = {"folder": resumed.folder, "status": resumed.status, "error": _failure_reason(resumed.facts)}
    return _read_finished(found | {"exit_code": process.returncode}, client, dry=False)


def _failure_reason(facts: Mapping[str, Any]) -> str:
    """Return why a run did not end well, according to its record."""
    cell = facts.get("failed_cell")
    failed = f"cell {cell['number']} failed: {cell['ename']}: {cell['evalue']}" if cell else ""
    return "; ".join(filter(None, (facts.get("reason"), failed)))


def _account_environment(settings: Settings) -> tuple[str | None, dict[str, str | None]]:
    """Return the account's name if lcnb.toml has the same settings; else the environment variables with the token."""
    if settings.account is not None:
        with suppress(LcnbError):
            same = load_settings(settings.account)
            if (same.base_url, same.token.reveal()) == (settings.base_url, settings.token.reveal()):
                return settings.account, {}
    return None, launcher.account_environment(settings)


def _read_finished(result: Mapping[str, Any], client: LetsCloud, dry: bool) -> FinishedRun:
    """Read the record of a run whose process has ended with this result."""
    folder = Path(result["folder"]) if result["folder"] else None
    if folder is None:
        return FinishedRun(result["status"], result["exit_code"], result["error"] or "")
    facts = dict(require_readable(read_run(folder)).facts)
    planned = planned_changes(folder, client) if dry and facts["status"] in COMPLETED_STATUSES else None
    made = [] if dry else _made_changes(folder, facts, client.settings)
    return FinishedRun(
        result["status"], result["exit_code"], result["error"] or "", folder, facts, planned, made
    )


def _made_changes(folder: Path, facts: Mapping[str, Any], settings: Settings) -> list[Mapping[str, Any]]:
    """Return the changes that a run and the runs it resumes have begun."""
    folders = [*(folder.parent / name for name in facts.get("resumes", [])), folder]
    return [each for run in folders for each in run_changes(run, settings) if each["outcome"] != NOT_MADE]
