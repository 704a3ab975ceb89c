"""The folder of a batch: what was requested (`batch.json`) and how each row ended (`rows/0001.json`).

A batch is resumed from these files. The folder's name begins with `batch-`, so that it is not taken for a run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcnb.errors import InputError, RunError
from lcnb.files import write_atomically
from lcnb.folders import runs_dir
from lcnb.runbooks.batch.launcher import NOT_STARTED, RESULT_FIELDS
from lcnb.runbooks.batch.rows import BatchRow
from lcnb.runbooks.ends import ATTENTION, CELL_FAILED, COMPLETED_STATUSES, DONE, PARTLY
from lcnb.runbooks.notebook import parameters as declared
from lcnb.runbooks.records.notes import utc_timestamp
from lcnb.suggestions import did_you_mean

if TYPE_CHECKING:
    import pandas as pd


# --- the folder -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BatchPlan:
    """What a batch is to run, and the folder that knows how far it came."""

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

    def write(self, common: Mapping[str, Any]) -> None:
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

    def ended(self, result: Mapping[str, Any]) -> None:
        """Keep how a row ended; an earlier try's folder stays named."""
        before = self.result(result["row"])
        earlier = [*before.get("earlier", ()), *([before["folder"]] if before.get("folder") else [])]
        self._save(
            f"rows/{result['row']:04}.json",
            {**result, "ended": utc_timestamp("milliseconds"), "earlier": earlier},
        )

    def result(self, number: int) -> dict[str, Any]:
        try:
            kept = json.loads((self.folder / "rows" / f"{number:04}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            kept = None
        return kept if isinstance(kept, dict) else {"row": number, "status": NOT_STARTED}

    def is_done(self, row: BatchRow) -> bool:
        return self.result(row.number).get("status") in COMPLETED_STATUSES

    def task(self, row: BatchRow) -> dict[str, Any]:
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
            "previous": self.result(row.number).get("folder"),
        }

    def frame(self) -> pd.DataFrame:
        import pandas as pd

        results = [self.result(row.number) for row in self.rows]
        columns: dict[str, Any] = {"row": _typed_series([row.number for row in self.rows], dtype="Int64")}
        if any(row.account for row in self.rows):
            columns["account"] = _typed_series([row.account for row in self.rows], dtype="str")
        names = dict.fromkeys(name for row in self.rows for name in row.parameters if name != "account")
        for name in names:
            shown = f"{name} (parameter)" if name in (*RESULT_FIELDS, "account") else name
            columns[shown] = _parameter_column([row.parameters.get(name) for row in self.rows])
        for name, dtype in RESULT_DTYPES.items():
            columns[name] = _typed_series([each.get(name) for each in results], dtype=dtype)
        frame = pd.DataFrame(columns)
        frame.attrs["lcnb"] = {
            "kind": "batch",
            "folder": str(self.folder),
            "exit_code": batch_exit_code(frame),
        }
        return frame


RESULT_DTYPES = {"status": "str", "exit_code": "Int64", "seconds": "Float64", "folder": "str", "error": "str"}


def _typed_series(values: list[Any], dtype: str) -> Any:
    import pandas as pd

    series: Any = pd.Series  # its stubs know literal dtypes alone
    return series(values, dtype=dtype)


def _parameter_column(values: list[Any]) -> Any:
    """A parameter's values with the dtype that all of them have; texts, as JSON where they are no texts."""
    kinds = {type(value) for value in values if value is not None}
    for wanted, dtype in (({bool}, "boolean"), ({int}, "Int64"), ({int, float}, "Float64")):
        if kinds and kinds <= wanted and all(abs(value) < 2**53 for value in values if value is not None):
            return _typed_series(values, dtype=dtype)
    texts = [
        value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for value in values
    ]
    return _typed_series(texts, dtype="str")


def batch_exit_code(frame: pd.DataFrame) -> int:
    """0 when all rows are done, 8 when some of them ask for attention, 7 when some are not done, 3 when none is."""
    done = int(frame["status"].isin(COMPLETED_STATUSES).sum())
    if done == len(frame):
        return (DONE if (frame["status"] == DONE.status).all() else ATTENTION).exit_code
    return (PARTLY if done else CELL_FAILED).exit_code


def find_batch_folder(batch: str | Path, folder: str | Path | None) -> Path:
    parent = Path(folder).expanduser() if folder else runs_dir()
    for path in (parent / batch, Path(batch).expanduser()):
        if (path / "batch.json").is_file():
            return path.absolute()
    known = sorted(path.parent.name for path in parent.glob("batch-*/batch.json"))
    near = f". The last ones: {', '.join(known[-5:])}" if known else ""
    raise InputError(
        f"no batch {str(batch)!r} in {parent}{did_you_mean(str(batch), known)}{near}. Nothing was started."
    )


def read_plan(folder: Path) -> BatchPlan:
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
