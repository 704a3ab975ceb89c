"""Run every benchmark, print its ratios, write RESULTS.md; exit 1 when a claim does not hold."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import budget, creates, frames, many, measure, saves, sequences, start, sweep, warm

BENCHMARKS = (start, frames, sweep, budget, creates, sequences, saves, warm, many)


def main() -> int:
    rows = []
    for benchmark in BENCHMARKS:
        for found in benchmark.run():
            row = (
                f"| {found.name} | {found.ratio:.3f} | {found.claim} | {'yes' if found.holds else '**no**'} |"
            )
            print(row, flush=True)
            rows.append((row, found.holds))
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`. Each ratio is from one run in which both sides took turns; times are medians,",
        "unless the work says otherwise.",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}: {measure.machine()}",
        "",
        "| work | ratio | claim | holds |",
        "|---|---|---|---|",
        *(row for row, _ in rows),
        "",
    ]
    (Path(__file__).parent / "RESULTS.md").write_text("\n".join(lines), encoding="utf-8")
    return 0 if all(holds for _, holds in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
