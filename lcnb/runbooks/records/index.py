"""The index of a runs folder: a line for each run that ended, each tied to the one before it by its hash.

`index.jsonl` only grows. A line holds the run's id, the SHA-256 of its final `run.json` (which holds those of
its other files), and the SHA-256 of the line before; a run that was pruned gets a second line. So `verify`
finds each edited byte of a run's files, of its record and of the index, and names the place.

What it does not prove: nothing is signed. Whoever may write into the folder can make a whole new index that
fits what was changed, or take away the last runs together with their lines. Against that, keep the hash of
the last line (`lcnb verify` prints it) where they cannot write, and compare. Nor does it tell that what a run
wrote was true, and runs that have not ended yet are in no line.

Lines are appended and records closed under one lock: the line first, then the record. A process that ends in
between leaves a record that is not closed; when that is settled, a newer line replaces the older one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lcnb.files import write_atomically
from lcnb.runbooks.records import artifacts

INDEX_FILE = "index.jsonl"
LOCK_FILE = ".index.lock"
#: Seconds that a process waits for others to end their lines; each takes milliseconds.
LOCK_TIMEOUT_S = 20.0
ZERO_HASH = "0" * 64
ENDED, PRUNED = "ended", "pruned"


@dataclass(frozen=True)
class IndexLine:
    """One line of the index: `ended` or `pruned`, of which run, with which record, after which line."""

    event: str
    run: str
    sha256: str
    previous: str

    @property
    def text(self) -> bytes:
        """The line as it stands in the file."""
        return json.dumps(self.__dict__, ensure_ascii=False).encode("utf-8", "replace")


@dataclass(frozen=True)
class IntegrityProblem:
    """Something that is not as it was written: of which run (empty: the index itself), which file, and what."""

    run: str
    file: str
    problem: str


@dataclass
class IntegrityReport:
    """What was looked at, and what was found. `head` is the hash of the last line."""

    head: str
    runs: int = 0
    files: int = 0
    problems: list[IntegrityProblem] = field(default_factory=list)


@contextmanager
def lock_index(folder: Path, seconds: float = LOCK_TIMEOUT_S) -> Iterator[None]:
    """Alone with the index of a folder. OSError when it cannot be locked, TimeoutError when not in time."""
    from filelock import FileLock

    with FileLock(folder / LOCK_FILE, timeout=seconds, mode=0o600):
        yield


def close_record(folder: Path, text: str) -> None:
    """Write the final run.json of a run's folder and its line. OSError when that cannot be done."""
    with lock_index(folder.parent):
        close_record_locked(folder, text)


def close_record_locked(folder: Path, text: str) -> None:
    """The same for who has the lock."""
    content = text.encode("utf-8", "replace")
    append_line(folder.parent, ENDED, folder.name, hashlib.sha256(content).hexdigest())
    write_atomically(folder / artifacts.RECORD_FILE, content)


def append_line(folder: Path, event: str, run: str, sha256: str) -> None:
    """Add a line, synced to the disk; the caller has the lock. A line that was never whole is cut off before."""
    path = folder / INDEX_FILE
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        with os.fdopen(os.dup(handle), "rb") as file:
            whole = file.read().rpartition(b"\n")[0]
        end = len(whole) + 1 if whole else 0
        os.ftruncate(handle, end)
        os.lseek(handle, end, os.SEEK_SET)
        line = (
            IndexLine(event, run, sha256, _hash_line(whole.rpartition(b"\n")[2]) if whole else ZERO_HASH).text
            + b"\n"
        )
        try:
            written = os.write(handle, line)
            os.fsync(handle)
        except OSError:
            os.ftruncate(handle, end)
            raise
        if written < len(line):
            os.ftruncate(handle, end)
            raise OSError(f"no space for a line of {path}")
    finally:
        os.close(handle)


def _hash_line(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def read_index(folder: Path) -> tuple[list[IndexLine], list[IntegrityProblem], str]:
    """The lines of an index that can be read, what is wrong with it, and the hash of its last line."""
    path = folder / INDEX_FILE
    content = path.read_bytes() if path.is_file() else b""
    *whole, rest = content.split(b"\n")
    problems = [IntegrityProblem("", INDEX_FILE, "the last line is not whole")] if rest else []
    lines, previous = [], ZERO_HASH
    for number, raw in enumerate(whole, 1):
        line = _parse_line(raw)
        if line is None:
            problems.append(
                IntegrityProblem("", INDEX_FILE, f"line {number} was changed: it is not as lcnb writes one")
            )
        else:
            lines.append(line)
            if line.previous != previous:
                found = (
                    f"line {number} does not follow from the one before: one was changed, added or removed"
                )
                problems.append(IntegrityProblem("", INDEX_FILE, found))
        previous = _hash_line(raw)
    return lines, problems, previous


def _parse_line(raw: bytes) -> IndexLine | None:
    try:
        line = IndexLine(**json.loads(raw))
        texts = all(isinstance(value, str) for value in line.__dict__.values())
        return line if texts and line.text == raw and line.event in (ENDED, PRUNED) else None
    except (ValueError, TypeError, RecursionError):
        return None


def last_lines(folder: Path) -> dict[str, IndexLine]:
    """The last line of each run in the index; {} without one. OSError when it cannot be read."""
    return {line.run: line for line in read_index(folder)[0]}


def verify_runs(folder: Path, only: Iterable[str] | None = None) -> IntegrityReport:
    """Compare the runs of a folder (all, or those ids in `only`) and its index with what was written down."""
    with _lock_if_writable(folder):
        lines, problems, head = read_index(folder)
        found = IntegrityReport(head, problems=problems)
        last = {line.run: line for line in lines}
        wanted = sorted({*last, *(path.name for path in list_run_folders(folder))} if only is None else only)
        for run in wanted:
            try:
                _verify_run(folder / run, last.get(run), found)
            except OSError as error:
                found.problems.append(IntegrityProblem(run, "", f"cannot be read: {error.strerror or error}"))
    return found


@contextmanager
def _lock_if_writable(folder: Path) -> Iterator[None]:
    """Nobody closes a record meanwhile. In a folder that nothing can be written into, nobody does anyway."""
    with lock_index(folder) if folder.is_dir() and os.access(folder, os.W_OK) else nullcontext():
        yield


def list_run_folders(folder: Path) -> list[Path]:
    """The folders that hold a run.json, or look as if they should: a time first in their name, and files.

    Hidden files do not count: a run that is just beginning has one, which becomes its record.
    """
    if not folder.is_dir():
        return []
    return sorted(
        path for path in folder.iterdir() if path.is_dir() and not path.is_symlink() and _is_run_folder(path)
    )


def _is_run_folder(path: Path) -> bool:
    try:
        if (path / artifacts.RECORD_FILE).is_file():
            return True
        return bool(re.match(r"\d{8}T\d{6}Z-", path.name)) and any(
            not each.name.startswith(".") for each in path.iterdir()
        )
    except OSError:
        return True  # somebody else's; it is shown as one that cannot be read


def _verify_run(folder: Path, line: IndexLine | None, found: IntegrityReport) -> None:
    def problem(file: str, text: str) -> None:
        found.problems.append(IntegrityProblem(folder.name, file, text))

    there = folder.is_dir() and not folder.is_symlink()
    if line is not None and line.event == PRUNED:
        if there:
            problem("", "was pruned, but its folder is there")
        return
    if not there:
        problem("", "its folder is gone, and it was not pruned")
        return
    path = folder / artifacts.RECORD_FILE
    if not path.is_file() or path.is_symlink():
        problem(artifacts.RECORD_FILE, "is missing")
        return
    content = path.read_bytes()
    record = parse_record(content)
    if line is None and record is not None and record.get("closed") is False:
        return  # it has not ended, and nothing was promised about it
    found.runs += 1
    found.files += 1
    if line is None:
        problem(artifacts.RECORD_FILE, "is in no line of the index")
    elif hashlib.sha256(content).hexdigest() != line.sha256:
        problem(artifacts.RECORD_FILE, "was changed after the run ended")
    if record is None:
        problem(artifacts.RECORD_FILE, "cannot be read")
        return
    _verify_files(folder, record, found, problem)


def _verify_files(folder: Path, record: Mapping[str, Any], found: IntegrityReport, problem: Any) -> None:
    listed = record.get("files")
    listed = listed if isinstance(listed, dict) else {}
    there = {path.relative_to(folder).as_posix(): path for path in artifacts.list_files(folder)}
    for name, known in listed.items():
        found.files += 1
        if name not in there:
            problem(name, "is missing")
        elif artifacts.fingerprint_file(there[name]) != known:
            problem(name, "was changed after the run ended")
    for name in there:
        if name not in listed and not any(part.startswith(".") for part in name.split("/")):
            problem(name, "was added after the run ended")


def parse_record(content: bytes) -> dict[str, Any] | None:
    """A run.json as an object; None for what is none."""
    try:
        record = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None
