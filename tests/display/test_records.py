"""One record as people read it, and the colors of its status."""

from __future__ import annotations

import pytest

from lcnb.display.palette import TONE_COLORS
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


def luminance(color: str) -> float:
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("color", sorted(set(TONE_COLORS.values())))
def test_white_text_is_readable(color: str) -> None:
    """White text on each color of a run's end has a contrast of at least 4.5 to 1."""
    assert 1.05 / (luminance(color) + 0.05) >= 4.5
