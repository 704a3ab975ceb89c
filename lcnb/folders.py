"""The folders of lcnb's own: of its configuration, of what it remembers, of runs."""

from __future__ import annotations

import os
from pathlib import Path


def config_dir() -> Path:
    """The folder of lcnb.toml: `LCNB_CONFIG_DIR`, or the platform's folder for user configuration."""
    return _folder("LCNB_CONFIG_DIR", "user_config_path")


def state_dir() -> Path:
    """The folder of what lcnb remembers: `LCNB_STATE_DIR`, or the platform's folder for user state."""
    return _folder("LCNB_STATE_DIR", "user_state_path")


def runs_dir() -> Path:
    """The folder where runs are kept: `LCNB_RUNS_DIR`, or `runs` in the working directory."""
    return Path(os.environ.get("LCNB_RUNS_DIR") or "runs").expanduser().absolute()


def _folder(variable: str, fallback: str) -> Path:
    if given := os.environ.get(variable):
        return Path(given).expanduser().absolute()
    import platformdirs

    return Path(getattr(platformdirs, fallback)("lcnb", appauthor=False))
