"""A simulated account over weeks: the past is what it was, and the true cost lies within the bounds."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.history import HOURS, MAX_FILE_BYTES, count_outside_bounds, count_wrong_states, read_year
from lcnb.history.store import HistoryFile

SIMULATED_HOURS, SIMULATED_MACHINES = 24 * 40, 25


@pytest.mark.parametrize("seed", [1, 2])
def test_simulated_account(seed: int, memory: Path) -> None:
    """With changes, failed, partial, missing and late readings, every state and every amount is right."""
    file = HistoryFile(memory)
    account = read_year(file, SIMULATED_HOURS, SIMULATED_MACHINES, seed)
    compared, wrong = count_wrong_states(file, SIMULATED_HOURS, SIMULATED_MACHINES, seed, frame_every=50)
    assert (compared > 800, wrong) == (True, 0)
    count, outside, width = count_outside_bounds(file, account)
    assert (count > 10, outside) == (True, 0)
    assert 0 < width < 0.05
    assert file.path.stat().st_size * HOURS / SIMULATED_HOURS < MAX_FILE_BYTES
