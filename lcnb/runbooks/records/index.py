"""The index of a runs folder: one line per ended run; each line contains the hash of the line before it.

Lines of `index.jsonl` are only appended. A line holds the run's id, the SHA-256 of its final `run.json` (which holds
the hashes of the run's other files), and the SHA-256 of the previous line; a pruned run gets a second line. So
`verify` finds every changed byte of a run's files, its record and the index, and names the place.

The limits: nothing is signed. A user who may write into the folder can write a new index that fits the changed files,
or delete the last runs together with their lines. To detect that, store the hash of the last line (`lcnb verify`
prints it) where that user cannot write, and compare. The index does not prove that a run's results are correct, and
it does not contain runs that have not ended.

Lines are appended and records are closed under one lock: the line first, then the record. A process that ends between
the two leaves an open record; when it is settled, a newer line replaces the older one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lcnb.files import write_atomically
from lcnb.folders import store_url
from lcnb.runbooks.records import artifacts
from lcnb.runbooks.records.artifacts import RECORD_FILE
from lcnb.runbooks.records.run_record import list_run_folders, parse_record

INDEX_FILE = "index.jsonl"
LOCK_FILE = ".index.lock"
#: Seconds to wait for other processes that write their lines; each line takes milliseconds.
LOCK_TIMEOUT_S = 20.0
ZERO_HASH = "0" * 64
ENDED, PRUNED = "ended", "pruned"


@dataclass(frozen=True)
class IndexLine:
    """One line of the index: the event (`ended` or `pruned`), the run, and the hashes that `verify` compares."""

    event: str
    run: str
    sha256: str
    previous: str

    @property
    def text(self) -> bytes:
        """The line as it is written in the file."""
        return json.dumps(self.__dict__, ensure_ascii=False).encode("utf-8", "replace")


@dataclass(frozen=True)
class IntegrityProblem:
    """A difference from what was written; `run` is empty for a problem of the index itself."""

    run: str
    file: str
    problem: str


@dataclass
class IntegrityReport:
    """The result of a verification: how much was compared, and the problems. `head` is the hash of the last line."""

    head: str
    runs: int = 0
    files: int = 0
    problems: list[IntegrityProblem] = field(default_factory=list)


@contextmanager
def lock_index(folder: Path, seconds: float = LOCK_TIMEOUT_S) -> Iterator[None]:
    """Hold the lock of a folder's index. OSError when it cannot be locked, TimeoutError after `seconds`."""
    from filelock import FileLock

    with FileLock(folder / LOCK_FILE, timeout=seconds, mode=0o600):
        yield


def close_record(folder: Path, text: str) -> None:
    """Append a run's line to the index and write its final run.json. OSError when one of them cannot be written."""
    with lock_index(folder.parent):
        close_record_locked(folder, text)


def close_record_locked(folder: Path, text: str) -> None:
    """Close a record as `close_record` does; the caller holds the lock.

    The run of a store gets its line when it is pushed: all machines share one index there.
    """
    content = encode_record(text)
    if store_url(folder.parent) is None:
        append_line(folder.parent, ENDED, folder.name, hashlib.sha256(content).hexdigest())
    write_atomically(folder / RECORD_FILE, content)


def encode_record(text: str) -> bytes:
    r"""Return the bytes of a record. The name of a file that is no UTF-8 stays the same name, as an escape of JSON.

    >>> encode_record('{"files": {"caf\udce9": 1}}')
    b'{"files": {"caf\\udce9": 1}}'
    """
    return text.encode("utf-8", "backslashreplace")


def append_line(folder: Path, event: str, run: str, sha256: str) -> None:
    """Append a line and sync it to the disk; the caller holds the lock. An incomplete last line is removed first."""
    path = folder / INDEX_FILE
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        with os.fdopen(os.dup(handle), "rb") as file:
            whole = file.read().rpartition(b"\n")[0]
        end = len(whole) + 1 if whole else 0
        os.ftruncate(handle, end)
        os.lseek(handle, end, os.SEEK_SET)
        line = next_line(whole, event, run, sha256)
        try:
            written = os.write(handle, line)
            os.fsync(handle)
        except OSError:
            os.ftruncate(handle, end)
            raise
        if written < len(line):
            os.ftruncate(handle, end)
            raise OSError(f"no space left to append a line to {path}")
    finally:
        os.close(handle)


def next_line(whole: bytes, event: str, run: str, sha256: str) -> bytes:
    """Return the line that continues an index; `whole` holds its complete lines, without the last line end.

    >>> next_line(b"", ENDED, "a", "0" * 64).count(ZERO_HASH.encode())
    2
    """
    previous = _hash_line(whole.rpartition(b"\n")[2]) if whole else ZERO_HASH
    return IndexLine(event, run, sha256, previous).text + b"\n"


def split_torn_line(content: bytes) -> tuple[bytes, bytes]:
    r"""Return the complete lines of an index, without the last line end, and what is left of a last line that was cut.

    A line that only lost its line end, as by an editor, is complete.

    >>> line = next_line(b"", ENDED, "a", "0" * 64)
    >>> [split_torn_line(content) == (line[:-1], torn) for content, torn in ((line[:-1], b""), (line + b"{", b"{"))]
    [True, True]
    """
    whole, _, rest = content.rpartition(b"\n")
    return (content, b"") if rest and _parse_line(rest) else (whole, rest)


def read_torn_line(torn: bytes) -> tuple[str, str]:
    """Return the event and the run of a line that was cut; "" for what is not in it any more.

    >>> read_torn_line(b'{"event": "pruned", "run": "RUN", "sha2'), read_torn_line(b'{"event": "ended", "run": "RU')
    (('pruned', 'RUN'), ('', ''))
    """
    found = re.match(r'\{"event": "(\w+)", "run": "([^"\\]+)"', torn.decode("utf-8", "replace"))
    return (found[1], found[2]) if found else ("", "")


def _hash_line(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def read_index(folder: Path) -> tuple[list[IndexLine], list[IntegrityProblem], str]:
    """Read an index: its valid lines, its problems, and the hash of its last line."""
    path = folder / INDEX_FILE
    return parse_index(path.read_bytes() if path.is_file() else b"")


def parse_index(content: bytes) -> tuple[list[IndexLine], list[IntegrityProblem], str]:
    """Return the valid lines of an index, its problems, and the hash of its last line."""
    *whole, rest = content.split(b"\n")
    problems = [IntegrityProblem("", INDEX_FILE, "the last line is incomplete")] if rest else []
    lines, previous = [], ZERO_HASH
    for number, raw in enumerate(whole, 1):
        line = _parse_line(raw)
        if line is None:
            problems.append(
                IntegrityProblem(
                    "", INDEX_FILE, f"line {number} was changed: lcnb does not write such a line"
                )
            )
        else:
            lines.append(line)
            if line.previous != previous:
                found = f"line {number} does not contain the hash of the line before: one was changed, added or removed"
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
    """Return the last line of each run in the index. OSError when the index cannot be read."""
    return {line.run: line for line in read_index(folder)[0]}


def verify_runs(folder: Path, only: Iterable[str] | None = None) -> IntegrityReport:
    """Compare the files of runs (all, or the ids in `only`) with their records, and the records with the index."""
    with _lock_if_writable(folder):
        lines, problems, head = read_index(folder)
        report = IntegrityReport(head, problems=problems)
        last = {line.run: line for line in lines}
        wanted = sorted({*last, *(path.name for path in list_run_folders(folder))} if only is None else only)
        for run in wanted:
            try:
                _verify_run(folder / run, last.get(run), report)
            except OSError as error:
                report.problems.append(
                    IntegrityProblem(run, "", f"cannot be read: {error.strerror or error}")
                )
    return report


@contextmanager
def _lock_if_writable(folder: Path) -> Iterator[None]:
    """Hold the lock so that no record is closed meanwhile; a read-only folder needs none."""
    with lock_index(folder) if folder.is_dir() and os.access(folder, os.W_OK) else nullcontext():
        yield


def _verify_run(folder: Path, line: IndexLine | None, report: IntegrityReport) -> None:
    def add_problem(file: str, text: str) -> None:
        report.problems.append(IntegrityProblem(folder.name, file, text))

    exists = folder.is_dir() and not folder.is_symlink()
    if line is not None and line.event == PRUNED:
        if exists:
            add_problem("", "was pruned, but its folder still exists")
    elif not exists:
        add_problem("", "its folder is missing, and it was not pruned")
    else:
        _verify_record(folder, line, report, add_problem)


def _verify_record(
    folder: Path, line: IndexLine | None, report: IntegrityReport, add_problem: Callable[[str, str], None]
) -> None:
    path = folder / RECORD_FILE
    if not path.is_file() or path.is_symlink():
        add_problem(RECORD_FILE, "is missing")
        return
    content = path.read_bytes()
    facts = parse_record(content)
    if line is None and facts is not None and facts.get("closed") is False:
        return  # the run has not ended, so nothing is recorded about its files yet
    report.runs += 1
    report.files += 1
    if line is None:
        add_problem(RECORD_FILE, "has no line in the index")
    elif hashlib.sha256(content).hexdigest() != line.sha256:
        add_problem(RECORD_FILE, "was changed after the run ended")
    if facts is None:
        add_problem(RECORD_FILE, "cannot be read")
        return
    _verify_files(folder, facts, report, add_problem)


def _verify_files(
    folder: Path, facts: Mapping[str, Any], report: IntegrityReport, add_problem: Callable[[str, str], None]
) -> None:
    listed = facts.get("files")
    listed = listed if isinstance(listed, dict) else {}
    present = {path.relative_to(folder).as_posix(): path for path in artifacts.list_files(folder)}
    for name, known in listed.items():
        report.files += 1
        if name not in present:
            add_problem(name, "is missing")
        elif artifacts.fingerprint_file(present[name]) != known:
            add_problem(name, "was changed after the run ended")
    for name in present:
        if name not in listed and not any(part.startswith(".") for part in name.split("/")):
            add_problem(name, "was added after the run ended")
