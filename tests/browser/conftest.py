"""A real browser, JupyterLab and the page of `lcnb admin`, and a sandbox that logs what was really written.

Waits are for conditions, never for a time. Playwright's loop belongs to a module, so that other tests can have
loops of their own. Where there is no Chromium the tests are skipped; `make test` installs Debian's.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psutil
import pytest

from conftest import LEAN_JUPYTER, MANY, ROOT, TOKEN
from lcnb.sandbox import SandboxProcess, start
from lcnb.widgets.admin_page import free_port

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
#: A condition that comes costs nothing; one that does not must not be taken for it on a machine that is busy.
LIMIT_MS = 300_000
LIMIT_S = 1800
#: How much output of a server is kept, and printed after a failure.
KEPT_LINES, KEPT_CHARS = 200, 4000
#: What JupyterLab would show or do by itself: news, updates, saving now and then. Widgets' state is saved.
SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True
    },
    "@jupyterlab/docmanager-extension:plugin": {"autosave": False},
    "@jupyter-widgets/jupyterlab-manager:plugin": {"saveState": True},
}  # fmt: skip
READY = """async () => {
  const app = window.jupyterapp; await app.restored;
  const panel = app.shell.currentWidget; await panel.context.ready; await panel.sessionContext.ready;
  await panel.sessionContext.session.kernel.info;
}"""
RUN = "() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }"
KERNEL = "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = pytest.mark.skip(reason="no Chromium on this machine (apt-get install chromium)")
    for item in items:
        if "/browser/" in item.nodeid:
            item.add_marker(pytest.mark.timeout(LIMIT_S))
            item.add_marker(pytest.mark.fresh_python)  # pages and kernels are started as people start them
            if CHROMIUM is None:
                item.add_marker(missing)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Report what the pages of a failed test showed, and what the browser's console and the server printed."""
    report = yield
    front = getattr(item, "funcargs", {}).get("front")
    if call.when == "call" and report.failed and isinstance(front, Front):
        report.sections += front.evidence(item.name)
    return report


@dataclass
class Front:
    """A front end that shows the admin notebook: its server, its sandbox, and how a page is opened."""

    kind: str
    sandbox: SandboxProcess
    folder: Path
    new_page: Callable[[], Any]
    address: str = ""
    #: Requests that left this machine.
    abroad: list[str] = field(default_factory=list)
    #: What the server said, line by line, and what went wrong in the pages.
    said: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))
    trouble: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))
    pages: list[Any] = field(default_factory=list)
    failed: bool = False

    def ask(self, path: str, body: object = None) -> Any:
        """The sandbox's control side."""
        data = None if body is None else json.dumps(body).encode()
        address = f"{self.sandbox.base_url.removesuffix('/api')}/_sandbox/{path}"
        with urlopen(Request(address, data, {"api-token": TOKEN}), timeout=600) as reply:
            return json.load(reply)

    def writes(self) -> list[str]:
        """What was written, as `PUT power-off`, in order."""
        return [
            f"{each['method']} {each['path'].removeprefix('/api/')}"
            for each in self.ask("log")
            if each["method"] != "GET"
        ]

    def machines(self) -> list[dict[str, Any]]:
        """The machines as the API lists them."""
        with urlopen(
            Request(f"{self.sandbox.base_url}/instances", headers={"api-token": TOKEN}), timeout=600
        ) as reply:
            found: list[dict[str, Any]] = json.load(reply)["data"]
        return found

    @property
    def page(self) -> Any:
        """A page with the app in it, which all tests of a front end share: each opening starts a kernel."""
        return self.pages[0] if self.pages else self.open()

    def open(self, notebook: str = "admin.ipynb") -> Any:
        """Another page, once it shows machines, or why it cannot."""
        page = self.blank()
        if self.kind == "lab":
            page.goto(f"{self.address}/lab/workspaces/w{id(page)}/tree/{notebook}?reset")
            page.wait_for_function(
                "() => window.jupyterapp && window.jupyterapp.shell.currentWidget?.context"
            )
            page.evaluate(READY)
            page.evaluate(RUN)
        else:
            page.goto(self.address)
        page.locator(".lcnb-grid tbody tr, [role=alert]").first.wait_for()
        return page

    def blank(self) -> Any:
        """A page without anything in it, whose troubles are kept."""
        page = self.new_page()
        self.pages.append(page)
        page.set_default_timeout(LIMIT_MS)
        name = f"page {len(self.pages)}"
        keep = self.trouble.append
        page.on("console", lambda each: keep(f"{name} console {each.type}: {each.text[:500]}"))
        page.on("pageerror", lambda error: keep(f"{name} raised {str(error)[:500]}"))
        page.on("requestfailed", lambda each: keep(f"{name} did not get {each.url}: {each.failure}"))
        page.on("websocket", lambda each: each.on("close", lambda _: keep(f"{name} lost {each.url[:120]}")))
        page.on("crash", lambda _: keep(f"{name} crashed"))
        return page

    def evidence(self, name: str) -> list[tuple[str, str]]:
        """What there is to see after a failure, as sections of its report; pictures are files."""
        self.failed = True
        found = []
        for number, page in enumerate(self.pages, 1):
            path = self.folder / f"{re.sub(r'[^A-Za-z0-9]+', '-', name)}-{number}.png"
            try:
                text = page.locator("body").inner_text(timeout=10_000)
                page.screenshot(path=path, timeout=10_000)
            except Exception as error:  # the page may be gone: that is evidence too
                text = f"cannot be seen: {error}"
            found.append((f"page {number}, {path}", text[-KEPT_CHARS:]))
        found.append(("the browser", "\n".join(self.trouble)[-KEPT_CHARS:]))
        found.append(("the server", "\n".join(self.said)[-KEPT_CHARS:]))
        return found

    def tidy(self) -> None:
        """What a test must not leave behind: pages of its own, faults, and after a failure the shared page too."""
        for page in self.pages[0 if self.failed else 1 :]:
            page.close()
        del self.pages[0 if self.failed else 1 :]
        self.failed = False
        self.trouble.clear()
        self.ask("faults", {})


@pytest.fixture(autouse=True)
def tidied(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test leaves its front end as the next one expects it."""
    front: Front | None = request.getfixturevalue("front") if "front" in request.fixturenames else None
    yield
    if front is not None:
        front.tidy()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, for one module."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module", params=["page", "lab"])
def front(request: Any, browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """JupyterLab and the web page, one after the other, each with a fast sandbox of its own."""
    folder = tmp_path_factory.mktemp(request.param)
    with ExitStack() as ends:
        account = getattr(request.module, "ACCOUNT", {"fleet": 6})
        sandbox = ends.enter_context(start(speed=400, token=TOKEN, rate_limit=MANY, **account))
        context = ends.enter_context(closing(browser.new_context(viewport={"width": 1280, "height": 1000})))
        made = Front(request.param, sandbox, folder, context.new_page)
        context.route("**/*", lambda route: _stay(route, made.abroad))
        made.address = ends.enter_context(served(made, **getattr(request.module, "ENVIRONMENT", {})))
        yield made


def _stay(route: Any, abroad: list[str]) -> None:
    """Where a request goes abroad it is never answered: as behind a wall that drops it, where pages wait for ever."""
    if route.request.url.startswith(("http://127.0.0.1", "data:", "blob:")):
        route.continue_()
    else:
        abroad.append(route.request.url)


@contextmanager
def served(front: Front, **more: str) -> Iterator[str]:
    """Start the server of a front end in a separate home folder; yield the address it prints. `more`: its environment."""
    folder = front.folder
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LCNB_", "LETSCLOUD_", "JUPYTER", "XDG_"))
    }
    environment |= {
        "HOME": str(folder), "LETSCLOUD_API_KEY": TOKEN, "LCNB_BASE_URL": front.sandbox.base_url,
        "LCNB_STATE_DIR": str(folder / "state"), "LCNB_SETTLE": "3", "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"), "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "IPYTHONDIR": str(folder / "ipython"), "PYTHONPATH": LEAN_JUPYTER, "PYTHONUNBUFFERED": "1",
    } | more  # fmt: skip
    if notebooks := more.get("LCNB_NOTEBOOKS"):
        (folder / notebooks).mkdir()
    command, first = _lab(folder) if front.kind == "lab" else PAGE
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    output = process.stdout
    # What it says later must not fill the pipe.
    reader = threading.Thread(target=lambda: front.said.extend(map(str.rstrip, output)), daemon=True)
    try:
        for line in output:
            front.said.append(line.rstrip())
            if found := re.search(first, line):
                break
        else:
            raise AssertionError("the server did not begin: " + "\n".join(front.said))
        reader.start()
        yield found.group(1)
    finally:
        family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for each in family:  # JupyterLab leaves a kernel behind when it ends while the kernel is busy
            with suppress(psutil.NoSuchProcess):
                each.kill()
        if reader.ident:
            reader.join(5)
        output.close()


PAGE = (
    [sys.executable, "-c", "from lcnb.cli.main import main; main()", "admin", "--idle", "15"],
    r"^admin of .*: (http://\S+)",
)


def _lab(folder: Path) -> tuple[list[str], str]:
    (folder / "config" / "labconfig").mkdir(parents=True)
    (folder / "config" / "labconfig" / "default_setting_overrides.json").write_text(json.dumps(SETTINGS))
    shutil.copy(ROOT / "notebooks" / "admin" / "admin.ipynb", folder)
    command = [
        sys.executable, "-m", "jupyterlab", "--expose-app-in-browser", "--no-browser", "--allow-root",
        "--IdentityProvider.token=", "--ServerApp.password=", "--LabApp.extension_manager=readonly",
        "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={free_port()}", "--ServerApp.port_retries=0",
    ]  # fmt: skip
    return command, r"(http://127\.0\.0\.1:\d+)/lab"


AXE = "4.14.1"
RUN_AXE = """async (root) => {
  const found = await axe.run(root ? document.querySelector(root) : document);
  return found.violations.map((each) => `${each.id}: ${each.nodes[0].html.slice(0, 200)}`);
}"""


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script of axe-core, as npm gives it; nothing of it is kept in this repository."""
    folder = tmp_path_factory.mktemp("axe")
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm on this machine, which would fetch axe-core")
    command = [npm, "pack", "--silent", f"axe-core@{AXE}"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=600)
    except subprocess.TimeoutExpired:
        pytest.skip("npm did not answer within ten minutes")
    if done.returncode:
        pytest.skip(f"npm could not fetch axe-core: {done.stderr.decode()[-200:]}")
    with tarfile.open(folder / f"axe-core-{AXE}.tgz") as archive:
        archive.extract("package/axe.min.js", folder, filter="data")
    return folder / "package" / "axe.min.js"
