"""A real JupyterHub with two users and two accounts: each sees only their own account, journal and page."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import psutil
import pytest

pytest.importorskip("playwright")
pytest.importorskip("voila")
pytest.importorskip("jupyter_server_proxy")
pytest.importorskip("jupyterhub")

from browser.conftest import LIMIT_MS
from browser.test_admin import ended, fill_in, press
from conftest import LEAN_JUPYTER, MANY, wait_until
from lcnb.sandbox import SandboxProcess, start
from lcnb.widgets.admin_page import free_port

PROXY = shutil.which("configurable-http-proxy")
pytestmark = pytest.mark.skipif(
    PROXY is None,
    reason="no configurable-http-proxy on this machine (npm install -g configurable-http-proxy)",
)
USERS = ("alice", "bob")
TOKENS = {name: f"$2Y$10$CANARY-{name.upper()}-7F3E9A1C5BK4Q8W2Z6M0X3V7T1R5P9N4L8J" for name in USERS}
CONFIG = """
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_port = {hub_port}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api_port}"
c.JupyterHub.authenticator_class = "dummy"
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = "{folder}/homes/{{username}}"
c.Spawner.args = ["--allow-root"]
c.Spawner.http_timeout = c.Spawner.start_timeout = 600
accounts = {accounts}
def give_account(spawner):
    spawner.environment.update(accounts[spawner.user.name])
c.Spawner.pre_spawn_hook = give_account
"""


@dataclass
class Hub:
    """A running hub: its address, the homes of its users, and a sandbox for each of them."""

    address: str
    folder: Path
    process: subprocess.Popen[bytes]
    sandboxes: dict[str, SandboxProcess]
    #: One browser with cookies of its own for each user.
    contexts: dict[str, Any] = field(default_factory=dict)

    def page_of(self, user: str) -> str:
        return f"{self.address}/user/{user}/lcnb-admin/"

    def family(self, user: str) -> list[psutil.Process]:
        """The processes of a user: their server, page and kernels."""
        found = []
        for each in psutil.Process(self.process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if each.environ().get("JUPYTERHUB_USER") == user:
                    found.append(each)
        return found

    def labels(self, user: str) -> set[str]:
        sandbox = self.sandboxes[user]
        request = urllib_request(f"{sandbox.base_url}/instances", sandbox.token)
        with urlopen(request, timeout=600) as reply:
            return {each["label"] for each in json.load(reply)["data"]}


def urllib_request(address: str, token: str) -> Any:
    from urllib.request import Request

    return Request(address, headers={"api-token": token})


@pytest.fixture(scope="module")
def hub(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A JupyterHub on loopback ports, where both users are logged in."""
    folder = tmp_path_factory.mktemp("hub")
    with ExitStack() as ends:
        sandboxes = {
            name: ends.enter_context(start(speed=400, fleet=6, token=TOKENS[name], rate_limit=MANY))
            for name in USERS
        }
        accounts = {
            name: {"LETSCLOUD_API_KEY": each.token, "LCNB_BASE_URL": each.base_url, "LCNB_SETTLE": "3"}
            for name, each in sandboxes.items()
        }
        port = free_port()
        config = folder / "jupyterhub_config.py"
        config.touch(0o600)
        config.write_text(
            CONFIG.format(
                port=port, hub_port=free_port(), api_port=free_port(), folder=folder, accounts=accounts
            )
        )
        address = f"http://127.0.0.1:{port}"
        log = ends.enter_context((folder / "hub.log").open("wb"))
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "-f", str(config)],
            cwd=folder, env=hub_environment(folder), stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        ends.callback(end_family, process)
        wait_until(lambda: process.poll() is not None or answers(f"{address}/hub/health"))
        assert process.poll() is None, (folder / "hub.log").read_text()[-4000:]
        made = Hub(address, folder, process, sandboxes)
        for name in USERS:
            made.contexts[name] = ends.enter_context(
                closing(browser.new_context(viewport={"width": 1280, "height": 900}))
            )
            made.contexts[name].set_default_timeout(LIMIT_MS)
            log_in(made, name)
        yield made


def hub_environment(folder: Path) -> dict[str, str]:
    environment = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith(("LCNB_", "LETSCLOUD_", "JUPYTER", "XDG_", "CONFIGPROXY"))
    }
    programs = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    return environment | {"HOME": str(folder), "PATH": programs, "PYTHONPATH": LEAN_JUPYTER}


def end_family(process: subprocess.Popen[bytes]) -> None:
    """End the hub, which ends proxy and servers, and then what is left of them."""
    family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.terminate()
    try:
        process.wait(600)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for each in family:
        with suppress(psutil.NoSuchProcess):
            each.kill()


def answers(address: str) -> bool:
    try:
        with urlopen(address, timeout=600):
            return True
    except URLError:
        return False


def log_in(hub: Hub, user: str) -> None:
    """Log in as people do; the hub then starts the user's server and shows JupyterLab."""
    page = hub.contexts[user].new_page()
    page.goto(f"{hub.address}/hub/login")
    page.get_by_label("Username").fill(user)
    page.get_by_label("Password").fill("any")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(re.compile(rf"/user/{user}/lab"))
    page.locator(".jp-LauncherCard", has_text="LetsCloud admin").wait_for()


def test_two_users(hub: Hub) -> None:
    """Each user's card opens the page of their own account, and each creates a machine there."""
    for user in USERS:
        (lab,) = hub.contexts[user].pages
        with lab.context.expect_page() as opened:
            lab.locator(".jp-LauncherCard", has_text="LetsCloud admin").click()
        page = opened.value
        page.locator(".lcnb-grid tbody tr").first.wait_for()
        assert page.url == hub.page_of(user)
        assert f"at {hub.sandboxes[user].base_url}" in page.locator(".lcnb-head").inner_text()
        form = fill_in(page, f"{user}-01")
        press(form, "Review …")
        press(form, "Yes, create it")
        ended(form)
    assert [{"alice-01", "bob-01"} & hub.labels(user) for user in USERS] == [{"alice-01"}, {"bob-01"}]


@pytest.mark.parametrize(("user", "other"), [USERS, USERS[::-1]])
def test_other_page(hub: Hub, user: str, other: str) -> None:
    """Another user's page, its kernel and its files answer 403; without a login the hub asks for one."""
    request = hub.contexts[user].request
    assert request.get(hub.page_of(user) + "voila/static/favicon.ico").status in (200, 404)
    for path in ("", "voila/static/voila.js", "api/kernels/00000000-0000-0000-0000-000000000000"):
        assert request.get(hub.page_of(other) + path).status == 403, path
    with urlopen(hub.page_of(other), timeout=600) as reply:
        assert "/hub/login" in reply.url


@pytest.mark.parametrize(("user", "other"), [USERS, USERS[::-1]])
def test_other_token(hub: Hub, user: str, other: str) -> None:
    """The token and journal of a user are in no process, command line, file or page of the other."""
    family = hub.family(user)
    pages = [each for each in family if "lcnb.jupyter.card_server" in each.cmdline()]
    assert len(pages) == 1
    assert pages[0].children()  # a kernel
    for each in family:
        assert TOKENS[other] not in each.environ().values()
        assert hub.sandboxes[other].base_url not in each.environ().values()
    secrets = [*TOKENS.values(), pages[0].environ()["LCNB_CARD_TOKEN"]]
    for each in psutil.process_iter(["cmdline"]):
        line = " ".join(each.info["cmdline"] or ())
        # The sandboxes of this test are started with a token of their own, in their environment.
        assert not [secret for secret in secrets if secret in line], line[:80]

    home = hub.folder / "homes" / user
    journals = [path for path in home.rglob("*") if path.is_file() and b"create" in path.read_bytes()]
    assert any(home / ".local" / "state" / "lcnb" in path.parents for path in journals)
    mine = [path.read_bytes() for path in home.rglob("*") if path.is_file()]
    assert any(f"{user}-01".encode() in each for each in mine)
    assert not [each for each in mine if f"{other}-01".encode() in each]
    assert not [each for each in mine if TOKENS[other].encode() in each or TOKENS[user].encode() in each]

    page = hub.contexts[user].pages[-1]
    page.get_by_role("button", name="Journal", exact=True).click()
    page.locator(f"text={user}-01 >> visible=true").first.wait_for()
    assert f"{other}-01" not in page.content()


def test_websocket(hub: Hub) -> None:
    """The page of a user works through the hub's proxy: its kernel's messages pass in both directions."""
    page = hub.contexts["alice"].pages[-1]
    page.get_by_role("button", name="Machines", exact=True).click()
    page.get_by_label("tick alice-01", exact=True).check()
    page.get_by_role("button", name="Power off", exact=True).wait_for()


#: The hub's page shows the button before its script knows what a click on it does.
STOP_IS_READY = """() => window.require?.defined?.("jquery")
  && require("jquery")._data(document.querySelector("#stop"), "events")?.click"""


def test_end(hub: Hub) -> None:
    """When a user's server is stopped in the hub, their page and its kernels end too, and the other's stay."""
    family = hub.family("alice")
    page = hub.contexts["alice"].new_page()
    page.goto(f"{hub.address}/hub/home")
    page.wait_for_function(STOP_IS_READY)
    page.locator("#stop").click()
    wait_until(
        lambda: not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in family)
    )
    assert [each for each in hub.family("bob") if "lcnb.jupyter.card_server" in each.cmdline()]
