"""The date of resumed work is that of its plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from changing_cases import (
    TODAY,
)
from lcnb.runbooks.current import RunContext
from lcnb.runbooks.toolkit import earlier_runs


@pytest.mark.parametrize(
    ("resumes", "confirmed", "expected"),
    [
        ((), "", TODAY),
        ((), "yes", TODAY),
        ((), "/runs/20250102T235959Z-x-abc", "2025-01-02"),
        (("20250103T000000Z-x-abc", "20250104T000000Z-x-abc"), "/runs/20250102T235959Z-x-abc", "2025-01-03"),
    ],
)
def test_day(resumes: tuple[str, ...], confirmed: str, expected: str) -> None:
    """The day of a work is that of its plan, or of the run that is resumed: midnight changes nothing."""
    assert earlier_runs.work_date(RunContext(Path(), confirmed, resumes)) == expected
