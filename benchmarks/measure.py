"""How a ratio is measured: both sides in one run, taking turns, medians compared."""

from __future__ import annotations

import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version


@dataclass(frozen=True)
class Ratio:
    """What was measured: `ours` and `theirs` in seconds (medians), and the bound that is claimed."""

    name: str
    ours: float
    theirs: float
    claim: str
    holds: bool

    @property
    def ratio(self) -> float:
        """How many times longer ours takes than theirs."""
        return self.ours / self.theirs


def medians(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Seconds of each, by turns, after one turn of each that does not count."""
    times: tuple[list[float], list[float]] = ([], [])
    for round_ in range(rounds + 1):
        for side, work in enumerate((ours, theirs)):
            started = time.perf_counter()
            work()
            if round_:
                times[side].append(time.perf_counter() - started)
    return statistics.median(times[0]), statistics.median(times[1])


def command(arguments: Sequence[str]) -> Callable[[], object]:
    """A command as work to be measured; it must succeed. Without a time-out, for which Python would look now and then
    whether it has ended, at last every 50 ms: times would be steps."""
    return lambda: subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)


def machine() -> str:
    """What it was measured on."""
    import os

    packages = ", ".join(
        f"{name} {version(name)}" for name in ("click", "pandas", "pyarrow", "msgspec", "httpx", "papermill")
    )
    system = f"{os.cpu_count()} CPUs, {platform.system()} {platform.machine()}"
    return f"{system}, Python {platform.python_version()}, {packages}"
