"""The account of a build: a sandbox, so that no page or report can show or change a real account."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sphinx.application import Sphinx

from lcnb.sandbox import start

#: The clock of a sandbox runs so many times as fast: machines and snapshots are complete within a second.
SPEED = 400
#: The folder of `lcnb`.
BIN = Path(sys.executable).parent
#: Variables of the person who builds: an account, and what would be shown on pages.
_LEFT_OUT = ("LCNB_", "LETSCLOUD_", "SSL_CERT_")
_pages = ExitStack()
#: The folder of the server for warm runs, while it runs.
_serving: list[Path] = []


@contextmanager
def sandbox_environment() -> Iterator[dict[str, str]]:
    """Start a sandbox and a server of warm runs, and yield the environment of processes that use them.

    It names the account, and folders that are removed at the end.
    """
    with tempfile.TemporaryDirectory(prefix="lcnb-docs-") as folder, start(speed=SPEED) as server:
        environment = {name: text for name, text in os.environ.items() if not name.startswith(_LEFT_OUT)} | {
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "IPYTHONDIR": f"{folder}/ipython",
            "LETSCLOUD_API_KEY": server.token,
            "LCNB_BASE_URL": server.base_url,
            "LCNB_SETTLE": "3",
            "LCNB_CONFIG_DIR": f"{folder}/config",
            "LCNB_STATE_DIR": f"{folder}/state",
        }
        with _warm_server(environment):
            yield environment


@contextmanager
def _warm_server(environment: dict[str, str]) -> Iterator[None]:
    """Serve warm runs: one server for all accounts of a build. Where they do not exist, each run starts a kernel."""
    folder = Path(environment["LCNB_STATE_DIR"], "warm")
    if _serving:
        folder.parent.mkdir(parents=True)
        folder.symlink_to(_serving[0])
        yield
        return
    server = subprocess.Popen([BIN / "lcnb", "warm"], env=environment, stdout=subprocess.PIPE, text=True)
    try:
        if server.stdout is not None:
            server.stdout.readline()  # printed once it serves
        _serving.append(folder)
        yield
    finally:
        _serving.clear()
        server.terminate()
        server.communicate()


def build_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder of an environment; it is removed at the end."""
    return Path(environment["LCNB_STATE_DIR"]).parent


def start_account(app: Sphinx) -> None:
    """Make a sandbox the account of this process, whose environment the kernels of all pages inherit."""
    atexit.register(_pages.close)  # a build that fails before its first page does not report its end
    environment = _pages.enter_context(sandbox_environment())
    _pages.callback(os.environ.update, dict(os.environ))
    _pages.callback(os.environ.clear)
    os.environ.clear()
    os.environ.update(environment)
    profile = Path(environment["IPYTHONDIR"], "profile_default")
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
