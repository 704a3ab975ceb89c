"""The runs there are: listed, found by name, compared, run again, pruned.

A runs folder is read as it is: a record that cannot be read is a row with status `damaged` and the reason,
never an error. Who lists also settles what was abandoned.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcnb.config import did_you_mean, resolve
from lcnb.errors import InputError, ParameterError
from lcnb.folders import runs_dir
from lcnb.runbooks.records import abandoned, artifacts, index

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.config import Settings
    from lcnb.runbooks.run import RunResult

#: The columns of `lcnb.runs()` and their dtypes.
COLUMNS = {
    "id": "str", "runbook": "str", "status": "str", "exit_code": "Int64", "started": "datetime64[us, UTC]",
    "duration_s": "Float64", "account": "str", "user": "str", "host": "str", "attention": "Int64",
    "changes": "Int64", "problem": "str", "folder": "str",
}  # fmt: skip
DAMAGED, RUNNING = "damaged", "running"
EXAMPLES = 8


@dataclass(frozen=True)
class Kept:
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
            return DAMAGED
        return abandoned.STATUS if abandoned.is_abandoned(self.record) else str(self.record.get("status"))

    @property
    def finished(self) -> bool:
        """Whether it has ended: a running or damaged one has not, as far as can be told."""
        return self.record.get("closed") is True

    def value(self, name: str, kind: Any) -> Any:
        """A value of the record, None where it is missing, or not of that kind, or no frame could hold it."""
        value = self.record.get(name)
        if isinstance(value, str):
            value = _text(value)
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


def kept(folder: Path | None = None) -> list[Kept]:
    """The runs of a folder, the newest first. InputError when the folder is none or cannot be read."""
    folder = folder or runs_dir()
    try:
        found = [_kept(path) for path in index.run_folders(folder)]
    except OSError as error:
        raise InputError(f"the runs in {folder} cannot be read: {error.strerror or error}") from None
    found = [each for each in found if each.record or each.folder.exists()]  # pruned just now
    return sorted(
        found, key=lambda each: (each.started.timestamp() if each.started else 0.0, each.id), reverse=True
    )


def _kept(folder: Path) -> Kept:
    path = folder / artifacts.RECORD
    try:
        record = index.parsed(path.read_bytes())
    except FileNotFoundError:
        return Kept(folder, problem=f"no {artifacts.RECORD}")
    except OSError as error:
        return Kept(folder, problem=f"{artifacts.RECORD} cannot be read: {error.strerror}")
    if record is None:
        return Kept(folder, problem=f"{artifacts.RECORD} is damaged")
    if not isinstance(record.get("status"), str) or not isinstance(record.get("closed"), bool):
        return Kept(folder, problem=f"{artifacts.RECORD} is not a record of lcnb")
    problem = None if record.get("id") == folder.name else f"the record is that of {record.get('id')}"
    return Kept(folder, record, problem)


def runs(folder: str | Path | None = None) -> pd.DataFrame:
    """The runs that are kept, a row each, the newest first; always the same columns and dtypes.

    `folder` is where runs are kept (`LCNB_RUNS_DIR` or `./runs` by default). Times are in UTC, `duration_s` in
    seconds; `attention` counts notes and failed checks, `changes` the changes that a run made (missing where
    its record does not tell). `problem` says what is wrong with a record; its row has what could be read.
    Runs whose process is gone are settled as `abandoned`. InputError when the folder cannot be read.

    >>> import lcnb
    >>> list(lcnb.runs().columns[:5])
    ['id', 'runbook', 'status', 'exit_code', 'started']
    """
    place = _place(folder)
    abandoned.settle(place)
    return frame(kept(place))


def frame(found: Iterable[Kept]) -> pd.DataFrame:
    """Runs as the frame that `runs` gives."""
    import pandas as pd

    rows = [_row(each) for each in found]
    columns = {name: pd.Series([row[name] for row in rows], dtype=dtype) for name, dtype in COLUMNS.items()}
    table = pd.DataFrame(columns)
    table.attrs["lcnb"] = {"kind": "runs"}
    return table


def _row(each: Kept) -> dict[str, Any]:
    attention, changes = each.record.get("attention"), each.record.get("changes")
    return {
        "id": _text(each.id),
        "runbook": each.value("runbook", str),
        "status": _text(each.status),
        "exit_code": each.value("exit_code", int),
        "started": each.started,
        "duration_s": each.value("duration_s", int | float),
        "account": each.value("account", str),
        "user": each.value("user", str),
        "host": each.value("host", str),
        "attention": len(attention) if isinstance(attention, list) else None,
        "changes": len(changes) if isinstance(changes, list) else None,
        "problem": each.problem and _text(each.problem),
        "folder": _text(each.folder),
    }


def _text(value: object) -> str:
    """Without what UTF-8 cannot hold: a name of a file may have it, and JSON too."""
    return str(value).encode("utf-8", "replace").decode()


def _place(folder: str | Path | None) -> Path:
    return Path(folder).expanduser().absolute() if folder else runs_dir()


# --- one run --------------------------------------------------------------------------------------------


def find_run(name: str, folder: str | Path | None = None) -> Kept:
    """A run by its id, the beginning of its id, `last`, or the path of its folder.

    InputError when there is none, or more than one; then `candidates` has the ids of those that it could be.
    """
    if is_path(name):
        path = Path(name).expanduser().absolute()
        if not (path / artifacts.RECORD).is_file():
            raise InputError(f"no run in {path}: it has no {artifacts.RECORD}")
        abandoned.settle(path.parent)
        return _kept(path)
    place = _place(folder)
    abandoned.settle(place)
    found = kept(place)
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
        ids = ", ".join(each.id for each in hits[:EXAMPLES])
        more = ", …" if len(hits) > EXAMPLES else ""
        raise InputError(
            f"{name!r} begins {len(hits)} runs: {ids}{more}. Write more of its id.",
            candidates=[each.id for each in hits],
        )
    raise InputError(
        f"no run {name!r}{did_you_mean(name, [each.id for each in found])} in {place}. `lcnb runs` lists them."
    )


def is_path(name: str) -> bool:
    """Whether a RUN is the path of a folder: by a slash, or because the working directory has such a folder."""
    return "/" in name or "\\" in name or name in (".", "..") or (Path(name) / artifacts.RECORD).is_file()


def readable(run: Kept) -> Kept:
    """That run, when its record can be read. InputError otherwise."""
    if not run.record:
        raise InputError(f"the run {run.id} cannot be read: {run.problem}. What there is of it: {run.folder}")
    return run


def rerun(
    run: Kept,
    *,
    account: str | None = None,
    settings: Settings | None = None,
    folder: str | Path | None = None,
    kernel: str | None = None,
    cwd: str | Path | None = None,
    **how: Any,
) -> RunResult:
    """Run the same notebook again, with the parameters that were given then and the same account, kernel and `cwd`.

    `account` or `settings` choose another account. Without them it is refused when the account now leads to
    another base URL than it did: what was tried on a sandbox must not happen to real machines.

    `how` is passed to `run_runbook`, such as `confirm=True` for a run that changes something: that somebody confirmed
    it then does not confirm it now. Raises InputError when the record or the notebook is gone, and what
    `run_runbook` raises.
    """
    from lcnb.runbooks.run import run_runbook

    record = readable(run).record
    path = Path(str(record.get("notebook")))
    if not path.is_file():
        raise InputError(f"the notebook of the run {run.id} is gone: {path}. Nothing was started.")
    given = run.value("given", dict)
    if given is None:
        raise InputError(f"the record of the run {run.id} does not tell its parameters. Nothing was started.")
    if account is not None or settings is not None:
        given = {name: value for name, value in given.items() if name != "account"}
    else:
        account = run.value("account", str)
        _same_place(run, account)
    return run_runbook(
        str(path),
        given,
        account=account,
        settings=settings,
        folder=folder or run.folder.parent,
        kernel=kernel or run.value("kernel", str),
        cwd=cwd or run.value("cwd", str),
        **how,
    )


def _same_place(run: Kept, account: str | None) -> None:
    then = run.value("base_url", str)
    if then is not None and (now := resolve(account).base_url) != then:
        raise ParameterError(
            f"the run {run.id} asked {then}, and {account or 'the account of now'} is at {now}. Nothing was started. "
            "To run it there: --account NAME; on a new sandbox: --sandbox."
        )


def notebook_changed(run: Kept) -> bool:
    """Whether the notebook of a run is another one now."""
    path = Path(str(run.record.get("notebook")))
    return path.is_file() and artifacts.fingerprint(path)["sha256"] != run.record.get("notebook_sha256")


# --- retention ------------------------------------------------------------------------------------------


def to_prune(keep: int, folder: str | Path | None = None) -> list[Kept]:
    """The ended runs beyond the newest `keep`, the oldest first; never a running or damaged one."""
    place = _place(folder)
    abandoned.settle(place)
    return [each for each in kept(place) if each.finished][keep:][::-1]


def prune(found: Iterable[Kept]) -> tuple[list[Kept], list[tuple[Kept, str]]]:
    """Delete these runs, each with its line in the index; gives those deleted, and the others with the reason.

    The line comes first: a run that a power cut left half deleted is told by `verify`.
    """
    deleted, left = [], []
    for each in found:
        try:
            with index.locked(each.folder.parent):
                if not _kept(each.folder).finished:
                    left.append((each, "it is not there any more, or it has not ended"))
                    continue
                line = index.ended(each.folder.parent).get(each.id)
                if line is None or line.event != index.PRUNED:
                    index.append(
                        each.folder.parent, index.PRUNED, each.id, line.sha256 if line else index.FIRST
                    )
                shutil.rmtree(each.folder)
            deleted.append(each)
        except OSError as error:
            left.append((each, error.strerror or str(error)))
    return deleted, left
