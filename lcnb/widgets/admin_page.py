"""`lcnb admin`: the admin notebook as a web page, served by Voila, on this machine only.

The page can change an account, so it must not be open to others: it listens on 127.0.0.1, and every request needs the
token in the printed address. Other addresses are refused, because others could read the traffic. To serve several
people use JupyterHub, which authenticates them (`lcnb.jupyter`). The page loads nothing from other hosts.
"""

from __future__ import annotations

import ipaddress
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

from lcnb.config import load_settings
from lcnb.errors import ConfigError, InputError
from lcnb.flags import checked_flag
from lcnb.folders import runs_dir, runs_location
from lcnb.runbooks.notebook.deferred_imports import defer_iri_grammar
from lcnb.runbooks.notebook.find import notebooks_folder
from lcnb.widgets.report_pages import REPORTS_ADDRESS, REPORTS_VARIABLE, report_handlers

#: The JupyterLab extensions that the page needs; without this list it would load all that are installed.
LAB_EXTENSIONS = ["@jupyter-widgets/jupyterlab-manager", "@voila-dashboards/widgets-manager8", "anywidget"]
#: The path of a socket may have about 100 bytes; Voila and jupyter_client add 70.
MAX_TEMP_PATH_BYTES = 30
HUB_ADVICE = (
    "To serve others, use JupyterHub, which authenticates them: install lcnb[admin] for its single-user "
    "servers; each user clicks the card 'LetsCloud admin' in JupyterLab (docs/admin.md)."
)


@dataclass(frozen=True)
class PageSettings:
    """The token, place and look of the page, and the environment of its kernels."""

    token: str
    #: The page listens on this port of 127.0.0.1, or instead on a socket that only this user can open.
    port: int = 0
    socket: Path | None = None
    #: The path of the page in its address, where another server forwards requests to it.
    base_url: str = "/"
    environment: Mapping[str, str] = field(default_factory=dict)
    theme: str = "light"
    #: Seconds after which the kernel of a closed page ends.
    idle_s: int = 600

    @property
    def address(self) -> str:
        """The URL of the page, with its token."""
        return f"http://127.0.0.1:{self.port}{self.base_url}?token={self.token}"


def check_host(host: str) -> None:
    """Raise InputError for an address that other machines can reach."""
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise InputError(
            f"--host {host}: this page can change an account, so it listens on this machine only. {HUB_ADVICE}"
        )


def find_admin_notebook() -> Path:
    """Return the path of admin.ipynb, in the package or in a checkout of the repository."""
    package = Path(__file__).parents[1]
    for folder in (package / "notebooks", package.parent / "notebooks"):
        if (path := folder / "admin" / "admin.ipynb").exists():
            return path
    raise ConfigError("admin.ipynb is missing from the installation of lcnb. Install lcnb again.")


@contextmanager
def account_environment(name: str | None, sandbox: bool) -> Iterator[dict[str, str]]:
    """Yield the environment variables that choose the account for the page's kernels; a sandbox ends with the page."""
    if not sandbox:
        load_settings(name)  # reports a missing token here instead of in the page
        yield {"LCNB_ACCOUNT": name} if name else {}
        return
    from lcnb.sandbox import start

    with start(speed=10) as server, TemporaryDirectory(prefix="lcnb-admin-") as folder:
        yield {
            "LETSCLOUD_API_KEY": server.token,
            "LCNB_BASE_URL": server.base_url,
            "LCNB_STATE_DIR": folder,
            "LCNB_FACTS": str(Path(folder) / "facts.csv"),
        }


def check_voila() -> None:
    """Raise ConfigError when Voila, which serves the page, is not installed."""
    if find_spec("voila") is None:
        raise ConfigError(
            f"the page is served by Voila, which is not installed. Cure: {sys.executable} -m pip install 'lcnb[admin]'"
        )


def free_port() -> int:
    """Return a port that is free now."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serve_page(
    name: str | None,
    *,
    sandbox: bool = False,
    host: str = "127.0.0.1",
    port: int = 0,
    dark: bool = False,
    idle_s: int = 600,
    notebooks: str | None = None,
    show_address: Callable[[str], None] = print,
) -> None:
    """Serve the page until interrupted, and call `show_address` with its address once it listens.

    `notebooks` is a folder whose notebooks the page offers as runbooks, besides the shipped ones.

    Raises InputError for a host other than this machine or a folder that does not exist, ConfigError for a missing
    token or Voila.
    """
    check_host(host)
    sandbox, dark = (
        checked_flag(name, flag, not_done="started") for name, flag in (("sandbox", sandbox), ("dark", dark))
    )
    own = notebooks_folder(notebooks)
    check_voila()
    with account_environment(name, sandbox) as environment:
        environment |= {"LCNB_NOTEBOOKS": str(own)} if own else {}
        page = PageSettings(
            secrets.token_urlsafe(24),
            port or free_port(),
            environment=environment,
            theme="dark" if dark else "light",
            idle_s=idle_s,
        )
        what = "a sandbox" if sandbox else name or "the default account"
        run_voila(page, lambda: show_address(f"admin of {what}: {page.address}"))


def import_server() -> tuple[Any, Any]:
    """Import Jupyter's manager of kernels and Voila's application, without a grammar that takes most of the time."""
    with defer_iri_grammar():
        from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
        from voila.app import Voila
    return AsyncMappingKernelManager, Voila


def run_voila(page: PageSettings, ready: Callable[[], None]) -> None:
    """Run Voila in this process, so that no list of processes shows the token; call `ready` once it listens."""
    from jupyter_core.utils import run_sync
    from tornado.httpserver import HTTPServer
    from tornado.ioloop import IOLoop
    from tornado.netutil import bind_unix_socket
    from traitlets.config import Config

    kernel_manager, voila = import_server()
    os.environ.update(page.environment)
    os.environ["LCNB_RUNS_DIR"] = runs_location()
    os.environ[REPORTS_VARIABLE] = page.base_url.rstrip("/") + REPORTS_ADDRESS
    start_folder = str(Path.cwd())
    shared = str(Path(__file__).parent / "jupyter")
    os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, [shared, os.environ.get("JUPYTER_PATH")]))
    served = {
        "ip": "127.0.0.1",
        "open_browser": False,
        "token": page.token,
        "base_url": page.base_url,
        "port_retries": 0,
        "log_level": "WARN",
    }

    class StartFolderKernels(kernel_manager):  # type: ignore[misc, valid-type]
        """Kernels that find files from the folder in which the page was started, not from that of the notebook."""

        def cwd_for_path(self, path: str, **more: Any) -> str:
            """Return the folder in which a kernel starts."""
            return start_folder

    config = Config(
        Voila=served,
        VoilaConfiguration={
            "template": "lcnb",
            "theme": page.theme,
            "show_tracebacks": True,
            "extension_allowlist": LAB_EXTENSIONS,
            "multi_kernel_manager_class": StartFolderKernels,
        },
        MappingKernelManager={"cull_idle_timeout": page.idle_s, "cull_interval": max(1, page.idle_s // 5)},
    )
    if os.name == "posix":
        # Sockets in a folder of mode 0700: other processes could take free ports first, and other users could connect.
        config.KernelManager.transport = "ipc"
        temporary = gettempdir()
        fits = len(os.fsencode(temporary)) <= MAX_TEMP_PATH_BYTES
        config.Voila.connection_dir_root = temporary if fits else "/tmp"  # noqa: S108  # only its parent

    class AdminServer(voila):  # type: ignore[misc, valid-type]
        """Voila with reports, which can listen on a socket, and ends its kernels before it removes their folder."""

        def init_handlers(self) -> list[Any]:
            """Return the handlers of the page; Voila's own last one takes every address."""
            return [*report_handlers(runs_dir(), page.base_url), *super().init_handlers()]

        def listen(self) -> None:
            """Serve on the port or socket until the process is interrupted."""
            if page.socket is None:
                super().listen()
                return
            HTTPServer(self.app).add_socket(bind_unix_socket(str(page.socket), mode=0o600))
            self.ioloop = IOLoop.current()
            try:
                self.ioloop.start()
            except KeyboardInterrupt:
                pass  # Ctrl-C in the terminal of the Jupyter server ends both
            finally:
                self.stop()

        def stop(self) -> None:
            """End all kernels, then remove the folder of their sockets."""
            run_sync(self.kernel_manager.shutdown_all)()
            shutil.rmtree(self.connection_dir, ignore_errors=True)

    app = AdminServer(config=config, port=page.port)
    app.initialize([str(find_admin_notebook()), "--no-browser"])
    IOLoop.current().add_callback(ready)
    app.start()
