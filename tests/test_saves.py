"""What a run saves can be read at any moment, and is not written over and over."""

from __future__ import annotations

import sys

import pytest

from benchmarks.saves import measure


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the bytes are counted by Linux")
def test_saves() -> None:
    """No read of a notebook, record or report that is being saved is torn, and at most five times its size is written."""
    found = measure("lcnb", reads=1, rounds=1, cells=5, size=420_000)
    assert found.torn == 0
    assert found.contents >= 6  # each reader has seen a notebook, a record and a report
    assert found.kinds.keys() == {".ipynb", ".json", ".html"}
    assert found.notebook > 2_000_000
    assert found.written <= 5 * found.notebook
