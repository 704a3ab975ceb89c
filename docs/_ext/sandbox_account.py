"""The account of a build: a sandbox, so that no page or report can show or change a real account."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sphinx.application import Sphinx

from lcnb.sandbox import start

#: The clock of a sandbox runs so many times as fast: machines and snapshots are complete within a second.
SPEED = 400
_pages = ExitStack()


@contextmanager
def sandbox_environment() -> Iterator[dict[str, str]]:
    """Start a sandbox, and yield the environment of processes that use it: its account, and a home of their own."""
    with tempfile.TemporaryDirectory(prefix="lcnb-docs-") as home, start(speed=SPEED) as server:
        kept = {
            name: text for name, text in os.environ.items() if not name.startswith(("LCNB_", "LETSCLOUD_"))
        }
        yield kept | {
            "HOME": home,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}",
            "LETSCLOUD_API_KEY": server.token,
            "LCNB_BASE_URL": server.base_url,
            "LCNB_SETTLE": "3",
            "LCNB_STATE_DIR": f"{home}/state",
        }


def page_environment() -> Mapping[str, str]:
    """Return the environment of what pages run."""
    return os.environ


def start_account(app: Sphinx) -> None:
    """Make a sandbox the account of this process, whose environment the kernels of all pages inherit."""
    environment = _pages.enter_context(sandbox_environment())
    _pages.callback(os.environ.update, dict(os.environ))
    _pages.callback(os.environ.clear)
    os.environ.clear()
    os.environ.update(environment)
    profile = Path(environment["HOME"], ".ipython", "profile_default")
    profile.mkdir(parents=True)
    # Kernels of a build talk over this machine's own loopback, and warn of it.
    (profile / "ipython_kernel_config.py").write_text("c.IPKernelApp.log_level = 'ERROR'\n")


def end_account(app: Sphinx, exception: Exception | None) -> None:
    """End the sandbox of the pages, and remove what was kept of it."""
    _pages.close()


def setup(app: Sphinx) -> dict[str, bool]:
    """Start the account before a page is read, and end it when all are written."""
    app.connect("builder-inited", start_account)
    app.connect("build-finished", end_account)
    return {"parallel_read_safe": False}
