"""The version floors of pyproject.toml: they are installed here, and exclude releases with known vulnerabilities."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from conftest import ROOT

PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PYPROJECT["optional-dependencies"]
REQUIREMENTS = [
    Requirement(text)
    for text in [*PYPROJECT["dependencies"], *(text for extra in EXTRAS.values() for text in extra)]
]

#: Library → the last release that an advisory is about, and the advisory.
VULNERABLE = {
    "aiohttp": ("3.13.2", "CVE-2025-69223"),
    "cryptography": ("49.0.0", "CVE-2026-69247"),
    "distributed": ("2025.12.0", "CVE-2026-23528"),
    "filelock": ("3.20.2", "CVE-2026-22701"),
    "h11": ("0.14.0", "CVE-2025-43859"),
    "jaraco.context": ("6.0.2", "CVE-2026-23949"),
    "jupyter-server": ("2.20.0", "CVE-2026-86049"),
    "jupyterlab": ("4.6.1", "CVE-2026-73417"),
    "nbconvert": ("7.17.0", "CVE-2026-39377"),
    "pillow": ("12.2.0", "CVE-2026-42308"),
    "pyarrow": ("23.0.0", "CVE-2026-25087"),
    "python-multipart": ("0.0.30", "CVE-2026-53540"),
    "requests": ("2.32.5", "CVE-2026-25645"),
    "starlette": ("1.3.0", "CVE-2026-54283"),
    "tornado": ("6.5.5", "CVE-2026-49853"),
    "urllib3": ("2.6.3", "CVE-2026-44431"),
}


def test_floors_are_installed() -> None:
    """What is installed here satisfies every requirement of the project and of its extras."""
    assert len(REQUIREMENTS) > 30
    for requirement in REQUIREMENTS:
        assert requirement.specifier.contains(importlib.metadata.version(requirement.name)), requirement


@pytest.mark.parametrize("name", VULNERABLE)
def test_floors_exclude_known_vulnerabilities(name: str) -> None:
    """No requirement of such a library allows a release that the advisory is about, which stands beside the floor."""
    release, advisory = VULNERABLE[name]
    floors = [each for each in REQUIREMENTS if canonicalize_name(each.name) == canonicalize_name(name)]
    assert floors
    assert not any(each.specifier.contains(release) for each in floors)
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    assert any(re.match(rf".*\"{re.escape(name)}>=.*# .*{advisory}", line) for line in lines)


def test_binder_asks_for_the_same() -> None:
    """The page on mybinder.org takes no release that the project's own floors exclude."""
    for line in (ROOT / "binder" / "requirements.txt").read_text(encoding="utf-8").splitlines():
        name = line.partition(">=")[0]
        if name in VULNERABLE:
            assert not Requirement(line).specifier.contains(VULNERABLE[name][0])
