"""Read the runs of a runs folder, and find one by id, unique prefix, `last` or path.

A record that cannot be read is returned with status `damaged` and the reason, never raised as an error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcnb.errors import InputError
from lcnb.folders import runs_dir
from lcnb.runbooks.ends import ABANDONED, DAMAGED
from lcnb.runbooks.records import abandoned, artifacts, index
from lcnb.suggestions import did_you_mean

if TYPE_CHECKING:
    pass
MAX_CANDIDATES = 8


@dataclass(frozen=True)
class RunRecord:
    """A run's folder and what its record says; `problem` tells why that is not all."""

    folder: Path
    record: Mapping[str, Any] = field(default_factory=dict, repr=False)
    problem: str | None = None

    @property
    def id(self) -> str:
        """The name of its folder."""
        return self.folder.name

    @property
    def status(self) -> str:
        """As its record says; `damaged` for one that cannot be read, `abandoned` when its process is gone."""
        if self.problem is not None and not self.record:
            return DAMAGED.status
        return ABANDONED.status if abandoned.is_abandoned(self.record) else str(self.record.get("status"))

    @property
    def finished(self) -> bool:
        """Whether it has ended: a running or damaged one has not, as far as can be told."""
        return self.record.get("closed") is True

    def value(self, name: str, kind: Any) -> Any:
        """A value of the record, None where it is missing, or not of that kind, or no frame could hold it."""
        value = self.record.get(name)
        if isinstance(value, str):
            value = encodable_text(value)
        if isinstance(value, int | float) and not abs(value) < 2**53:
            return None
        return value if isinstance(value, kind) and not isinstance(value, bool) else None

    @property
    def started(self) -> datetime | None:
        """When it started, in UTC; by its id where the record does not tell."""
        for text, form in ((self.value("started", str), None), (self.id[:16], "%Y%m%dT%H%M%S%z")):
            try:
                at = datetime.strptime(text or "", form) if form else datetime.fromisoformat(text or "")
            except ValueError:
                continue
            if at.tzinfo and 1970 <= at.year < 9999:
                return at
        return None


def read_runs(folder: Path | None = None) -> list[RunRecord]:
    """The runs of a folder, the newest first. InputError when the folder is none or cannot be read."""
    folder = folder or runs_dir()
    try:
        found = [read_run(path) for path in index.list_run_folders(folder)]
    except OSError as error:
        raise InputError(f"the runs in {folder} cannot be read: {error.strerror or error}") from None
    found = [each for each in found if each.record or each.folder.exists()]  # pruned just now
    return sorted(
        found, key=lambda each: (each.started.timestamp() if each.started else 0.0, each.id), reverse=True
    )


def read_run(folder: Path) -> RunRecord:
    path = folder / artifacts.RECORD_FILE
    try:
        record = index.parse_record(path.read_bytes())
    except FileNotFoundError:
        return RunRecord(folder, problem=f"no {artifacts.RECORD_FILE}")
    except OSError as error:
        return RunRecord(folder, problem=f"{artifacts.RECORD_FILE} cannot be read: {error.strerror}")
    if record is None:
        return RunRecord(folder, problem=f"{artifacts.RECORD_FILE} is damaged")
    if not isinstance(record.get("status"), str) or not isinstance(record.get("closed"), bool):
        return RunRecord(folder, problem=f"{artifacts.RECORD_FILE} is not a record of lcnb")
    problem = None if record.get("id") == folder.name else f"the record is that of {record.get('id')}"
    return RunRecord(folder, record, problem)


def encodable_text(value: object) -> str:
    """Without what UTF-8 cannot hold: a name of a file may have it, and JSON too."""
    return str(value).encode("utf-8", "replace").decode()


def find_runs_folder(folder: str | Path | None) -> Path:
    return Path(folder).expanduser().absolute() if folder else runs_dir()


# --- one run --------------------------------------------------------------------------------------------


def find_run(name: str, folder: str | Path | None = None) -> RunRecord:
    """A run by its id, the beginning of its id, `last`, or the path of its folder.

    InputError when there is none, or more than one; then `candidates` has the ids of those that it could be.
    """
    if is_run_path(name):
        path = Path(name).expanduser().absolute()
        if not (path / artifacts.RECORD_FILE).is_file():
            raise InputError(f"no run in {path}: it has no {artifacts.RECORD_FILE}")
        abandoned.settle_runs(path.parent)
        return read_run(path)
    place = find_runs_folder(folder)
    abandoned.settle_runs(place)
    found = read_runs(place)
    if not found:
        raise InputError(
            f"no run {name!r}: there are none in {place}. Another place: --runs-dir, or LCNB_RUNS_DIR."
        )
    if name == "last":
        return found[0]
    hits = [each for each in found if each.id == name] or [
        each for each in found if name and each.id.startswith(name)
    ]
    if len(hits) == 1:
        return hits[0]
    if hits:
        ids = ", ".join(each.id for each in hits[:MAX_CANDIDATES])
        more = ", …" if len(hits) > MAX_CANDIDATES else ""
        raise InputError(
            f"{name!r} begins {len(hits)} runs: {ids}{more}. Write more of its id.",
            candidates=[each.id for each in hits],
        )
    raise InputError(
        f"no run {name!r}{did_you_mean(name, [each.id for each in found])} in {place}. `lcnb runs` lists them."
    )


def is_run_path(name: str) -> bool:
    """Whether a RUN is the path of a folder: by a slash, or because the working directory has such a folder."""
    return (
        "/" in name or "\\" in name or name in (".", "..") or (Path(name) / artifacts.RECORD_FILE).is_file()
    )


def require_readable(run: RunRecord) -> RunRecord:
    """That run, when its record can be read. InputError otherwise."""
    if not run.record:
        raise InputError(f"the run {run.id} cannot be read: {run.problem}. What there is of it: {run.folder}")
    return run
