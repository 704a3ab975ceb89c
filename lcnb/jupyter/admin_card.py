"""The card "LetsCloud admin" in the launcher of JupyterLab, by jupyter-server-proxy.

A click starts the admin page as a process of the user's own Jupyter server, which forwards requests to it only for that
user. The process listens on a socket in a folder that other users of the machine cannot open; Windows, which has none,
uses a port of this machine. In both cases each request needs a token that only the two processes know.
"""

from __future__ import annotations

import os
import secrets
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lcnb import python_process
from lcnb.jupyter.card_server import TOKEN_VARIABLE

#: The name in the page's address, `/user/NAME/lcnb-admin/`; that of the entry point in pyproject.toml.
CARD_NAME = "lcnb-admin"
#: Seconds in which the page must answer; importing Voila takes some on a busy machine.
START_TIMEOUT_S = 120.0


def admin_card() -> dict[str, Any]:
    """Return the settings of the card, in the form of jupyter-server-proxy's `ServerProxy.servers`.

    >>> admin_card()["launcher_entry"]["title"]
    'LetsCloud admin'
    """
    token = secrets.token_urlsafe(24)
    place = "{unix_socket}" if os.name == "posix" else "{port}"
    return {
        "command": python_process.module_command(
            "lcnb.jupyter.card_server", f"{{base_url}}{CARD_NAME}/", place
        ),
        "environment": {TOKEN_VARIABLE: token},
        "request_headers_override": {"Authorization": f"token {token}"},
        "unix_socket": os.name == "posix",
        "absolute_url": True,
        "timeout": START_TIMEOUT_S,
        "launcher_entry": {
            "title": "LetsCloud admin",
            "icon_path": str(Path(__file__).with_name("letscloud-admin.svg")),
            "category": "Notebook",  # JupyterLab shows the icon in this category and in "Console" only
            "enabled": find_spec("voila") is not None,
        },
    }
