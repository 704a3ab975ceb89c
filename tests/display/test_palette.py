"""The palette is the only module with colors, and it has a color for each tone of a run's end."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

import lcnb
from lcnb.display.palette import TONE_COLORS, TONE_STYLES, css_variables, translucent
from lcnb.runbooks.ends import Tone

PACKAGE = Path(lcnb.__file__).parent
#: A hex color, a color function of CSS, and a color in rich's markup or as a style.
COLOR = re.compile(
    r"#[0-9a-fA-F]{3,8}\b|\b(?:rgb|hsl)a?\(|[\[\"'](?:bold )?(?:red|green|yellow|blue|magenta|cyan)[\]\"']"
)


def test_only_here() -> None:
    """No other module contains a color: to change one, edit the palette."""
    found = {
        f"{path.relative_to(PACKAGE)}: {color}"
        for path in PACKAGE.rglob("*.py")
        if path.name != "palette.py"
        for color in COLOR.findall(path.read_text(encoding="utf-8"))
    }
    assert found == set()


def test_tones() -> None:
    """Each tone of `lcnb.runbooks.ends` has a color for pages and a style for terminals."""
    assert set(TONE_COLORS) == set(TONE_STYLES) == set(get_args(Tone))


@pytest.mark.parametrize("opacity", [0.35, 0.2, 1])
def test_translucent(opacity: float) -> None:
    """A hex color becomes three numbers and an opacity, which CSS may write without a zero before the point."""
    numbers = re.fullmatch(r"rgba\(140,149,164,([\d.]+)\)", translucent("#8c95a4", opacity))
    assert numbers
    assert float(numbers[1]) == opacity


def test_variables() -> None:
    """Colors become declarations of CSS variables."""
    assert css_variables({"ink": "#1d2530", "page": "#fff"}) == "--ink:#1d2530;--page:#fff"


def luminance(color: str) -> float:
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("color", TONE_COLORS.values())
def test_white_text_is_readable(color: str) -> None:
    """White text on the color of each tone has a contrast of at least 4.5 to 1."""
    assert 1.05 / (luminance(color) + 0.05) >= 4.5
