"""Two processes edit one facts file at once, and one of them is killed in the middle: nothing may be lost or torn.

Each round forks two writers that tag five machines each, and kills one of them at a random moment. After the round the
file must be readable, hold every edit that a writer had reported, and all that it held before. Run alone:
`python -m benchmarks.facts [rounds]`; it prints the tally as JSON.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import filelock  # loaded here, so that no writer spends its time on it

from benchmarks.measure import Ratio
from lcnb.facts.edits import add_tags, protect
from lcnb.facts.facts_file import FactsFile

ROUNDS, EDITS = 1000, 5
#: A writer is killed at most so many seconds after its first edit.
MAX_DELAY_S = 0.1
#: Machines that nobody edits; the first one is protected.
UNTOUCHED = 200


@dataclass
class RaceTally:
    """What happened in all rounds."""

    rounds: int = 0
    #: Edits that a writer reported, and rounds in which the kill came before its last edit.
    reported: int = 0
    killed_in_time: int = 0
    #: Kills while an edit was being written: its temporary file was left.
    killed_while_writing: int = 0
    #: What must not happen.
    lost: int = 0
    torn: int = 0
    changed_others: int = 0
    failed_writers: int = 0
    seconds: float = 0.0

    @property
    def harm(self) -> int:
        """How often something went wrong."""
        return self.lost + self.torn + self.changed_others + self.failed_writers


def race(rounds: int, folder: Path, seed: int = 1) -> RaceTally:
    """Run the rounds on a file in `folder`. The process must have one thread, since it forks."""
    assert filelock
    file = FactsFile(folder / "facts.csv")
    file.edit(
        {f"u{number:03d}": f"other-{number}" for number in range(UNTOUCHED)}, add_tags({"project": "shop"})
    )
    file.edit({"u000": ""}, protect("ana@pc", datetime(2026, 12, 1, tzinfo=UTC)))
    others = {name: each for name, each in file.read().items() if name.startswith("u")}
    chance, tally, started = random.Random(seed), RaceTally(), time.perf_counter()
    for number in range(rounds):
        writers = {name: _start_writer(file, name, number) for name in "ab"}
        victim, survivor = writers["a"], writers["b"]
        first = os.read(victim[1], 1)
        time.sleep(chance.uniform(0, MAX_DELAY_S))
        os.kill(victim[0], signal.SIGKILL)
        reported = {"a": len(first) + _reports(victim), "b": _reports(survivor)}
        tally.rounds += 1
        tally.killed_in_time += reported["a"] < EDITS
        tally.failed_writers += reported["b"] < EDITS
        tally.reported += sum(reported.values())
        _check(file, others, number, reported, tally)
        left = [each for each in folder.iterdir() if each.name not in ("facts.csv", ".facts.csv.lock")]
        tally.killed_while_writing += bool(left)
        for each in left:
            each.unlink()
    tally.seconds = time.perf_counter() - started
    return tally


def _check(file: FactsFile, others: object, number: int, reported: dict[str, int], tally: RaceTally) -> None:
    """Compare the file with what the writers of this round have reported."""
    try:
        found = file.read()
    except ValueError as error:
        print(error, file=sys.stderr)
        tally.torn += 1
        return
    tally.changed_others += {name: each for name, each in found.items() if name.startswith("u")} != others
    for writer, count in reported.items():
        for edit in range(count):
            facts = found.get(f"{writer}{edit}")
            tally.lost += facts is None or facts.tags.get("round") != str(number)


def _start_writer(file: FactsFile, name: str, number: int) -> tuple[int, int]:
    """Fork a writer; return its process and the pipe into which it writes a byte after each edit."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reading)
            for edit in range(EDITS):
                file.edit({f"{name}{edit}": f"web-{edit}"}, add_tags({"round": str(number)}))
                os.write(writing, b".")
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    return pid, reading


def _reports(writer: tuple[int, int]) -> int:
    """Wait for a writer to end, and return how many edits it has reported that were not read yet."""
    pid, reading = writer
    count = 0
    while part := os.read(reading, 64):
        count += len(part)
    os.close(reading)
    os.waitpid(pid, 0)
    return count


def run(rounds: int = ROUNDS) -> Iterator[Ratio]:
    """Yield the number of lost, torn or changed facts per round."""
    folder = Path(tempfile.mkdtemp(prefix="lcnb-"))
    try:
        tally = race(rounds, folder)
    finally:
        shutil.rmtree(folder)
    print(json.dumps(asdict(tally)), flush=True)
    name = f"{rounds:,} rounds of two processes that edit facts, one killed: lost, torn or changed facts"
    yield Ratio(name, tally.harm, rounds, "0", tally.harm == 0)


if __name__ == "__main__":
    for ratio in run(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS):
        print(
            f"{ratio.name}: {ratio.ratio:.3f} ({'holds' if ratio.holds else 'does not hold'})",
            file=sys.stderr,
        )
