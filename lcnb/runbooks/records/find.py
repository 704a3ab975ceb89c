"""Find a run by `last`, its id, a unique prefix of its id, or its folder, for every command and function alike."""

from __future__ import annotations

import os
from pathlib import Path

from lcnb.errors import InputError
from lcnb.folders import resolve_runs_folder
from lcnb.runbooks.records.artifacts import RECORD_FILE
from lcnb.runbooks.records.run_record import RunRecord, read_runs
from lcnb.runbooks.records.settled import fetch_run_files, read_settled_run, read_settled_runs
from lcnb.suggestions import did_you_mean

MAX_SHOWN_IDS = 8


def find_run(
    name: str | Path, folder: str | Path | None = None, *, noun: str = "run", consequence: str = ""
) -> RunRecord:
    """Return the one run that `name` identifies; its record may be damaged (see `require_readable`).

    The files of a run in a store are read into its folder on this machine.

    Args:
        name: `last`, an id, the beginning of an id, or the path of a run's folder.
        folder: the runs folder; by default `LCNB_RUNS_DIR` or `./runs`. A path as `name` does not need it.
        noun: what the caller accepts, for the message, such as "file or run".
        consequence: the last sentence of the message, such as "Nothing was sent."

    Raises InputError when no run has that name or several have; then `candidates` lists their ids.
    """
    found = match_runs(name, folder)
    if len(found) == 1:
        return fetch_run_files(found[0])
    message = _ambiguous_message(name, found) if found else f"no {noun} {_describe_missing(name, folder)}"
    raise InputError(f"{message} {consequence}".rstrip(), candidates=[run.id for run in found])


def match_runs(name: str | Path, folder: str | Path | None = None) -> list[RunRecord]:
    """Return every run that `name` may mean; an id that is equal to it wins over ids that begin with it.

    Abandoned runs of the folder are settled before.
    """
    if is_run_path(name):
        path = _absolute_path(name)
        if not (path / RECORD_FILE).is_file():
            return []
        return [read_settled_run(path)]
    runs = read_settled_runs(resolve_runs_folder(folder))
    if name == "last":
        return runs[:1]
    same = [run for run in runs if run.id == name]
    return same or [run for run in runs if name and run.id.startswith(str(name))]


def is_run_path(name: str | Path) -> bool:
    """Return whether `name` is a path: it has a slash, or the working directory holds a run of that name."""
    text = str(name)
    is_path = isinstance(name, Path) or "/" in text or "\\" in text or text in (".", "..")
    return is_path or (Path(name) / RECORD_FILE).is_file()


def _absolute_path(name: str | Path) -> Path:
    """Return a path without `..`, so that its last part is the id of the run."""
    return Path(os.path.abspath(Path(name).expanduser()))  # noqa: PTH100 - symbolic links stay


def no_runs_sentence(place: Path) -> str:
    """Return what people read about a folder without runs, and how to look elsewhere."""
    what = "holds no runs" if place.exists() else "does not exist, so it holds no runs"
    return f"{place} {what}. To look in another folder: --runs-dir, or LCNB_RUNS_DIR."


def _describe_missing(name: str | Path, folder: str | Path | None) -> str:
    if is_run_path(name):
        return f"in {_absolute_path(name)}: it has no {RECORD_FILE}."
    place = resolve_runs_folder(folder)
    runs = read_runs(place)
    if not runs:
        return f"{name!r}: {no_runs_sentence(place)}"
    return (
        f"{name!r}{did_you_mean(str(name), [run.id for run in runs])} in {place}. `lcnb runs` lists the runs."
    )


def _ambiguous_message(name: str | Path, found: list[RunRecord]) -> str:
    ids = ", ".join(run.id for run in found[:MAX_SHOWN_IDS])
    more = ", …" if len(found) > MAX_SHOWN_IDS else ""
    return f"the ids of {len(found)} runs begin with {name!r}: {ids}{more}. Type more of the id."
