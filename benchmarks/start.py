"""How soon the command answers, against Python itself and against papermill's own shortest answer."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.measure import Ratio, command, medians

ROUNDS = 11
#: A token, so that none is looked for elsewhere; nothing is sent.
ENV = {
    **os.environ,
    "LETSCLOUD_API_KEY": "a-token-of-the-benchmark",
    "LCNB_BASE_URL": "http://127.0.0.1:9/api",
}


def run() -> Iterator[Ratio]:
    """Yield the ratios of start times: commands and imports against Python and papermill."""
    folder = Path(sys.executable).parent
    lcnb = [sys.executable, "-m", "lcnb"]  # as its script does
    nothing = command([sys.executable, "-c", "pass"])
    papermill = command([str(folder / "papermill"), "--version"])
    misspelt = refused([*lcnb, "run", "inventory", "-p", "locaton=MIA1"])
    for name, ours, theirs, bound, rounds in (
        ("lcnb --help / python -c pass", command([*lcnb, "--help"]), nothing, 9.0, ROUNDS),
        ("lcnb --version / python -c pass", command([*lcnb, "--version"]), nothing, 4.0, ROUNDS),
        (
            "import lcnb / python -c pass",
            command([sys.executable, "-c", "import lcnb"]),
            nothing,
            3.0,
            ROUNDS,
        ),
        ("lcnb --help / papermill --version", command([*lcnb, "--help"]), papermill, 1 / 12, 7),
        ("a misspelt parameter refused / papermill --version", misspelt, papermill, 1 / 4, 7),
    ):
        mine, other = medians(ours, theirs, rounds)
        claim = f"at most {bound:g}" if bound >= 1 else f"at most 1/{1 / bound:g}"
        yield Ratio(name, mine, other, claim, mine / other <= bound)


def refused(arguments: list[str]) -> Callable[[], object]:
    """A command that must end with exit code 2."""

    def work() -> None:
        done = subprocess.run(arguments, env=ENV, capture_output=True)
        assert done.returncode == 2, done.stderr

    return work


if __name__ == "__main__":
    for found in run():
        print(
            f"{found.name}: {found.ratio:.3f}, {found.claim}: {'holds' if found.holds else 'does NOT hold'}"
        )
