"""The folder of a batch: its rows (`batch.json`) and the result of each row (`rows/0001.json`).

A batch is resumed from these files. The name of the folder begins with `batch-`, which distinguishes it from a run's.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lcnb.errors import InputError, RunError
from lcnb.files import write_atomically
from lcnb.folders import resolve_runs_folder
from lcnb.rows import Rows
from lcnb.runbooks.batch.launcher import NOT_STARTED, RESULT_FIELDS
from lcnb.runbooks.batch.rows import BatchRow
from lcnb.runbooks.ends import ATTENTION, CELL_FAILED, COMPLETED_STATUSES, DONE, PARTLY
from lcnb.runbooks.notebook import parameters as declared
from lcnb.runbooks.records.notes import utc_timestamp
from lcnb.suggestions import did_you_mean


@dataclass(frozen=True)
class BatchPlan:
    """What a batch runs, and the folder that keeps the results of its rows."""

    folder: Path
    runbook: str
    source: str
    sha256: str
    runs_dir: str | None
    rows: Sequence[BatchRow]
    confirm: bool = False
    engine: str = "auto"
    kernel: str | None = None
    cwd: str | None = None
    retries: int = 0
    retry_wait: float | None = None

    def create_files(self) -> None:
        """Write `batch.json` into the new folder. RunError when that fails; then the folder is removed again."""
        facts = {
            "format": 1,
            "id": self.folder.name,
            "runbook": self.runbook,
            "source": self.source,
            "notebook_sha256": self.sha256,
            "runs_dir": self.runs_dir,
            "kernel": self.kernel,
            "cwd": self.cwd,
            "started": utc_timestamp("milliseconds"),
            "rows": [
                {
                    "row": row.number,
                    "account": row.account,
                    "parameters": declared.to_json_values(row.parameters),
                }
                for row in self.rows
            ],
        }
        try:
            (self.folder / "rows").mkdir()
            self._save("batch.json", facts)
        except OSError as error:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise RunError(
                f"the batch's folder {self.folder} cannot be written: {error.strerror or error}. Nothing was started."
            ) from None

    def _save(self, name: str, facts: Mapping[str, Any]) -> None:
        text = json.dumps(facts, ensure_ascii=False, indent=1)
        write_atomically(self.folder / name, text)

    def save_result(self, result: Mapping[str, Any]) -> None:
        """Save the result of a row; `earlier` lists the folders of its earlier runs."""
        before = self.read_result(result["row"])
        earlier = [*before.get("earlier", ()), *([before["folder"]] if before.get("folder") else [])]
        self._save(
            f"rows/{result['row']:04}.json",
            {**result, "ended": utc_timestamp("milliseconds"), "earlier": earlier},
        )

    def read_result(self, number: int) -> dict[str, Any]:
        """Read the saved result of a row; without one its status is `not started`."""
        try:
            kept = json.loads((self.folder / "rows" / f"{number:04}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            kept = None
        return kept if isinstance(kept, dict) and "status" in kept else {"row": number, "status": NOT_STARTED}

    def is_done(self, row: BatchRow) -> bool:
        """Return whether the row has completed, so that a resumed batch leaves it out."""
        return self.read_result(row.number).get("status") in COMPLETED_STATUSES

    def row_task(self, row: BatchRow) -> dict[str, Any]:
        """Return what `run_row` needs to run this row, as JSON values."""
        return {
            "row": row.number,
            "runbook": self.source,
            "sha256": self.sha256,
            "parameters": declared.to_json_values(row.parameters),
            "account": row.account,
            "runs_dir": self.runs_dir,
            "confirm": self.confirm,
            "engine": self.engine,
            "kernel": self.kernel,
            "cwd": self.cwd,
            "retries": self.retries,
            "retry_wait": self.retry_wait,
            "previous": self.read_result(row.number).get("folder"),
        }

    def results(self) -> Rows:
        """Return one row per run: number, account, parameters, and the columns of RESULT_DTYPES."""
        results = [self.read_result(row.number) for row in self.rows]
        columns: dict[str, TypedColumn] = {"row": ("Int64", [row.number for row in self.rows])}
        if any(row.account for row in self.rows):
            columns["account"] = "str", [row.account for row in self.rows]
        columns |= self._parameter_columns()
        for name, dtype in RESULT_DTYPES.items():
            columns[name] = dtype, [each.get(name) for each in results]
        dtypes = {name: dtype for name, (dtype, _) in columns.items()}
        values = list(zip(*(values for _, values in columns.values()), strict=True))
        code = batch_exit_code([each["status"] for each in results])
        return Rows("batch", dtypes, values, {"folder": str(self.folder), "exit_code": code})

    def _parameter_columns(self) -> dict[str, TypedColumn]:
        names = dict.fromkeys(name for row in self.rows for name in row.parameters if name != "account")
        return {
            f"{name} (parameter)" if name in RESULT_FIELDS else name: _parameter_column(
                [row.parameters.get(name) for row in self.rows]
            )
            for name in names
        }


RESULT_DTYPES = {"status": "str", "exit_code": "Int64", "seconds": "Float64", "folder": "str", "error": "str"}
#: The dtype of a column of results, and its values.
TypedColumn = tuple[str, list[Any]]


def _parameter_column(values: list[Any]) -> TypedColumn:
    """Return a parameter's values with their common dtype, else as texts; values that are not texts become JSON."""
    given = [value for value in values if value is not None]
    kinds = {type(value) for value in given}
    if kinds == {bool}:
        return "boolean", values
    if kinds and kinds <= {int, float} and _are_exact(given):
        if kinds == {int}:
            return "Int64", values
        return "Float64", [None if value is None else float(value) for value in values]
    return "str", [_value_text(value) for value in values]


def _value_text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _are_exact(numbers: list[Any]) -> bool:
    """Return whether a 64-bit float holds each number exactly; False for NaN."""
    return all(abs(number) < 2**53 for number in numbers)


def batch_exit_code(statuses: Sequence[str]) -> int:
    """Return 0 when all rows are done, 8 when some need attention, 7 when only some are done, 3 when none is done."""
    done = sum(status in COMPLETED_STATUSES for status in statuses)
    if done == len(statuses):
        return (DONE if all(status == DONE.status for status in statuses) else ATTENTION).exit_code
    return (PARTLY if done else CELL_FAILED).exit_code


def find_batch_folder(batch: str | Path, folder: str | Path | None) -> Path:
    """Return the folder of a batch, by its name in the runs folder `folder` or by its path. InputError otherwise."""
    parent = resolve_runs_folder(folder)
    for path in (parent / batch, Path(batch).expanduser()):
        if (path / "batch.json").is_file():
            return path.absolute()
    known = sorted(path.parent.name for path in parent.glob("batch-*/batch.json"))
    near = f". The newest batches: {', '.join(known[-5:])}" if known else ""
    raise InputError(
        f"no batch {str(batch)!r} in {parent}{did_you_mean(str(batch), known)}{near}. Nothing was started."
    )


def read_plan(folder: Path) -> BatchPlan:
    """Read `batch.json` of a batch's folder. InputError when it cannot be read or is not complete."""
    path = folder / "batch.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        rows = [BatchRow(each["row"], each["parameters"], each["account"]) for each in facts["rows"]]
        about = (facts["runbook"], facts["source"], facts["notebook_sha256"], facts["runs_dir"])
        return BatchPlan(folder, *about, rows, kernel=facts.get("kernel"), cwd=facts.get("cwd"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is not a batch that can be resumed: {error!r}. Nothing was started."
        ) from None
