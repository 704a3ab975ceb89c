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
    ("folder", "resumes", "confirmed", "expected"),
    [
        ("", (), "", TODAY),
        ("20259999T000000Z-x-abc", (), "yes", TODAY),
        ("20250101T235959Z-x-abc", (), "", "2025-01-01"),
        ("20250103T000000Z-x-abc", (), "/runs/20250102T235959Z-x-abc", "2025-01-02"),
        ("20250104T000000Z-x-abc", ("20250103T000000Z-x-abc",), "yes", "2025-01-03"),
        ("20250105T000000Z-x-abc", ("20250103T000000Z-x-abc", "20250104T000000Z-x-abc"), "/runs/20250102T235959Z-x-abc", "2025-01-02"),
    ],
)  # fmt: skip
def test_day(folder: str, resumes: tuple[str, ...], confirmed: str, expected: str) -> None:
    """The day of a work is that of its plan, or of the run that is resumed, or of the run itself: midnight changes nothing."""
    assert earlier_runs.work_date(RunContext(Path(folder), confirmed, resumes)) == expected


def test_time() -> None:
    """The time of a work is that of its plan, to the second, with its offset."""
    at = earlier_runs.work_time(RunContext(Path("x"), "/runs/20250102T235959Z-x-abc"))
    assert at.isoformat() == "2025-01-02T23:59:59+00:00"
