"""One record as people read it."""

from __future__ import annotations

import pytest

from lcnb.display.records import print_record, record_html

ROWS = [("label", "", "<b>web</b>"), ("memory", "MB", 2048), ("price", "currency", 5.4), ("city", "", None)]


def test_record_is_escaped() -> None:
    """Title, names and values are escaped; memory and disk have a unit, money has none."""
    html = record_html("Machine <web>", ROWS, "text")

    assert "<caption>Machine &lt;web&gt;</caption>" in html
    assert "&lt;b&gt;web" in html
    assert "memory <small>MB</small>" in html
    assert "currency" not in html


@pytest.mark.parametrize(("output", "text"), [("table", "2048"), ("json", '"memory": 2048')])
def test_printed_record(output: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A record is printed as one line per field, or as JSON."""
    print_record(ROWS, output)
    assert text in capsys.readouterr().out
