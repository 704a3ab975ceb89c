"""Run the benchmarks: `python -m benchmarks` runs all and writes RESULTS.md, `python -m benchmarks NAME...` runs some.

Ratios go to stdout, progress to stderr. The exit code is 1 when a claim does not hold, and 2 for an unknown name.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import (
    budget,
    commands,
    creates,
    facts,
    frames,
    history,
    leases,
    many,
    measure,
    saves,
    sequences,
    start,
    store,
    sweep,
    warm,
)

#: Changes of the sequences; `python -m benchmarks.sequences` makes ten times as many.
SEQUENCE_CHANGES = 1_000
#: Creates under faults; `python -m benchmarks.creates` makes more than twice as many.
CREATES = 4_000
#: Rounds of two processes that edit facts; `python -m benchmarks.facts` makes ten times as many.
FACTS_ROUNDS = 100
#: Contended locks; `python -m benchmarks.leases` takes ten times as many.
LEASE_ATTEMPTS = 100
#: Runs of several machines in one bucket; `python -m benchmarks.store` makes twenty times as many.
STORE_RUNS = 10
BENCHMARKS: dict[str, Callable[[], Iterator[measure.Ratio]]] = {
    "start": start.run,
    "commands": commands.run,
    "frames": frames.run,
    "history": history.run,
    "sweep": sweep.run,
    "budget": budget.run,
    "creates": lambda: creates.run(CREATES),
    "facts": lambda: facts.run(FACTS_ROUNDS),
    "store": lambda: store.run(STORE_RUNS),
    "sequences": lambda: sequences.run(SEQUENCE_CHANGES),
    "saves": saves.run,
    "warm": warm.run,
    "many": many.run,
    "leases": lambda: leases.run(LEASE_ATTEMPTS),
}


def measure_ratios(names: Sequence[str]) -> list[measure.Ratio]:
    """Run benchmarks by name, print each ratio as soon as it is measured, and return all ratios."""
    ratios = []
    for number, name in enumerate(names, 1):
        began = time.monotonic()
        print(f"[{number}/{len(names)}] {name} ...", file=sys.stderr, flush=True)
        for ratio in BENCHMARKS[name]():
            print(table_row(ratio), flush=True)
            ratios.append(ratio)
        print(
            f"[{number}/{len(names)}] {name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True
        )
    return ratios


def table_row(ratio: measure.Ratio) -> str:
    """Return a ratio as a row of the table in RESULTS.md."""
    return f"| {ratio.name} | {ratio.ratio:.3f} | {ratio.claim} | {'yes' if ratio.holds else '**no**'} |"


def results_page(ratios: Sequence[measure.Ratio]) -> str:
    """Return the text of RESULTS.md."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`. Each ratio was measured in one run, in which both sides took turns. Times are",
        "medians unless the row says otherwise.",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}: {measure.machine()}",
        "",
        "| work | ratio | claim | holds |",
        "|---|---|---|---|",
        *map(table_row, ratios),
        "",
    ]
    return "\n".join(lines)


def main(names: Sequence[str]) -> int:
    """Run the named benchmarks, or all of them and write RESULTS.md; return the exit code."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"no benchmark {unknown[0]!r}. Benchmarks: {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    ratios = measure_ratios(names or list(BENCHMARKS))
    if not names:
        (Path(__file__).parent / "RESULTS.md").write_text(results_page(ratios), encoding="utf-8")
    return 0 if all(ratio.holds for ratio in ratios) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
