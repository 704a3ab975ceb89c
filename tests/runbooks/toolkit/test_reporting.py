"""Sentences and charts that several runbooks share."""

from __future__ import annotations

from lcnb.runbooks.toolkit import (
    reporting,
)


def test_named() -> None:
    """Names in a sentence are counted, and only some are listed."""
    assert reporting.summarize_labels(["a", None, "c"], most=2) == "3: a, (no label) and 1 more"
