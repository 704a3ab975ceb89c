"""What this machine knows of a run in a store: which version of its record, which files, and where the run worked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lcnb.files import write_atomically

#: The folder of these files below the folder of a store on this machine.
STATE_FOLDER = ".sync"


@dataclass
class SyncState:
    """The state of one run between this machine and the store."""

    #: The version of the record in the store that was last read or written here; "" when there is none yet.
    version: str = ""
    #: The run worked on another machine, and was read from the store.
    foreign: bool = False
    #: The final record and the line of the run are in the store.
    pushed: bool = False
    #: The keys of the files that were uploaded. Files with equal bytes have different keys.
    uploaded: list[str] = field(default_factory=list)


def read_state(folder: Path) -> SyncState:
    """Return the state of the run in `folder`; that of a run that nobody has uploaded when there is none."""
    try:
        return SyncState(**json.loads(_state_path(folder).read_bytes()))
    except (OSError, ValueError, TypeError):
        return SyncState()


def write_state(folder: Path, state: SyncState) -> None:
    """Write the state of the run in `folder`. OSError when that fails."""
    path = _state_path(folder)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomically(path, json.dumps(asdict(state)), sync=False)


def delete_state(folder: Path) -> None:
    """Forget the run in `folder`."""
    _state_path(folder).unlink(missing_ok=True)


def iter_known_runs(folder: Path) -> Iterator[str]:
    """Yield the ids of the runs of a store that this machine has a state of."""
    for path in sorted((folder / STATE_FOLDER).glob("*.json")):
        yield path.stem


def is_foreign(folder: Path) -> bool:
    """Whether the run in `folder` worked on another machine, whose journal and other files are not here."""
    return read_state(folder).foreign


def _state_path(folder: Path) -> Path:
    return folder.parent / STATE_FOLDER / f"{folder.name}.json"
