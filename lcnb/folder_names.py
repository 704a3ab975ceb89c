"""The folders of configuration and state as texts, where that takes no library: a warm run starts with little else."""

from __future__ import annotations

import os
import sys


def folder_name(variable: str, xdg_variable: str, default: str) -> str | None:
    """Return the absolute path of a folder of lcnb; None where platformdirs must find it.

    Args:
        variable: lcnb's own variable, which comes first, such as LCNB_STATE_DIR.
        xdg_variable: the variable for folders of this kind on Linux, such as XDG_STATE_HOME.
        default: the folder below the home folder that is used without this variable, such as `.local/state`.

    >>> os.environ["LCNB_STATE_DIR"] = "/srv/state"
    >>> folder_name("LCNB_STATE_DIR", "XDG_STATE_HOME", ".local/state")
    '/srv/state'
    """
    if given := os.environ.get(variable):
        path = os.path.expanduser(given)  # noqa: PTH111 - pathlib takes milliseconds
        return None if path.startswith("~") else os.path.join(os.getcwd(), path)  # noqa: PTH109, PTH118
    home, base = os.environ.get("HOME", ""), os.environ.get(xdg_variable, "")
    if sys.platform != "linux" or "ANDROID_ROOT" in os.environ or not home.startswith("/"):
        return None
    if base and not base.startswith("/"):
        return None
    return f"{base or os.path.join(home, default)}/lcnb"  # noqa: PTH118


def state_folder_name() -> str | None:
    """Return the folder of journals, locks and caches; None where platformdirs must find it."""
    return folder_name("LCNB_STATE_DIR", "XDG_STATE_HOME", ".local/state")
