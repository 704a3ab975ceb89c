"""The card "LetsCloud admin" of JupyterLab's launcher, and a job of jupyter-scheduler, in a real browser."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import psutil
import pytest

pytest.importorskip("playwright")
pytest.importorskip("voila")
pytest.importorskip("jupyter_server_proxy")
pytest.importorskip("jupyter_scheduler")

from browser.conftest import LIMIT_MS, READY, Front, served
from browser.test_admin import act, ended, fill_in, press
from conftest import MANY, TOKEN, record, wait_until, write_notebook
from lcnb.sandbox import start

CONFIG = 'c.Scheduler.execution_manager_class = "lcnb.jupyter.scheduler.RunbookExecutionManager"\n'


@pytest.fixture(scope="module")
def front(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """JupyterLab with the settings that docs/schedulers.md gives, and a fast sandbox."""
    folder = tmp_path_factory.mktemp("card")
    (folder / "config").mkdir()
    (folder / "config" / "jupyter_server_config.py").write_text(CONFIG)
    with ExitStack() as ends:
        sandbox = ends.enter_context(start(speed=400, fleet=6, token=TOKEN, rate_limit=MANY))
        context = ends.enter_context(closing(browser.new_context(viewport={"width": 1280, "height": 900})))
        made = Front("lab", sandbox, folder, context.new_page)
        made.address = ends.enter_context(served(made))
        yield made


def page_process(front: Front) -> psutil.Process:
    """The process of the admin page that the card has started."""
    (found,) = [each for each in psutil.process_iter(["cmdline"]) if is_page(each, front.folder)]
    return found


def is_page(process: psutil.Process, folder: Path) -> bool:
    if "lcnb.jupyter.card_server" not in (process.info["cmdline"] or ()):
        return False
    return process.environ().get("HOME") == str(folder)


def test_card(front: Front) -> None:
    """A click on the card opens the page of the account; a machine is created and deleted with its label typed."""
    lab = front.blank()
    lab.goto(f"{front.address}/lab?reset")
    card = lab.locator(".jp-LauncherCard", has_text="LetsCloud admin")
    card.wait_for()
    card.scroll_into_view_if_needed()
    # An icon that could not be loaded has no size of its own.
    lab.wait_for_function(
        "each => each.complete && each.naturalWidth > 0", arg=card.locator("img").element_handle()
    )
    with lab.context.expect_page() as opened:
        card.click()
    page = opened.value
    front.pages.append(page)
    page.set_default_timeout(LIMIT_MS)
    page.locator(".lcnb-grid tbody tr").first.wait_for()
    assert page.url == f"{front.address}/lcnb-admin/"
    assert f"at {front.sandbox.base_url}" in page.locator(".lcnb-head").inner_text()

    form = fill_in(page, "card-01")
    press(form, "Review …")
    press(form, "Yes, create it")
    ended(form)
    assert front.writes() == ["POST instances"]
    form = act(page, "card-01", "Delete …")
    yes = form.get_by_role("button", name="Yes, delete it", exact=True)
    assert yes.is_disabled()
    form.get_by_label("Type to confirm", exact=True).fill("card-01")
    yes.click()
    ended(form)
    assert [each.split()[0] for each in front.writes()] == ["POST", "DELETE"]


def test_closed_to_others(front: Front) -> None:
    """The page listens on a socket in a folder of mode 0700, on no port; its token is in no list of processes."""
    process = page_process(front)
    place = Path(process.cmdline()[-1])
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert [each for each in process.net_connections("tcp") if each.status == psutil.CONN_LISTEN] == []
    secret = process.environ()["LCNB_CARD_TOKEN"]
    assert len(secret) > 30
    for each in psutil.process_iter(["cmdline"]):
        assert secret not in " ".join(each.info["cmdline"] or ())
    for kernel in process.children(recursive=True):
        assert "LCNB_CARD_TOKEN" not in kernel.environ()


def test_second_click(front: Front) -> None:
    """A page that was closed is shown again by another click, by the same process."""
    process = page_process(front)
    lab = front.pages[0]
    with lab.context.expect_page() as opened:
        lab.locator(".jp-LauncherCard", has_text="LetsCloud admin").click()
    front.pages.append(opened.value)
    opened.value.locator(".lcnb-grid tbody tr").first.wait_for(timeout=LIMIT_MS)
    assert page_process(front).pid == process.pid


def test_job(front: Front) -> None:
    """A job from the dialog, with a parameter typed as people type it, is in the list and is a run of lcnb."""
    cell = "import lcnb\nlen(lcnb.connect().instances())"
    write_notebook(front.folder / "fleet.ipynb", ("location: str = 'MIA1'", "parameters"), cell)
    lab = front.blank()
    lab.goto(f"{front.address}/lab/workspaces/job/tree/fleet.ipynb?reset")
    lab.wait_for_function("() => window.jupyterapp && window.jupyterapp.shell.currentWidget?.context")
    lab.evaluate(READY)
    lab.evaluate("() => { window.jupyterapp.commands.execute('scheduling:create-from-notebook'); }")
    lab.get_by_label("Job name").fill("fleet of today")
    lab.get_by_role("button", name="Add new parameter").click()
    lab.locator("[name=parameter-0-name]").fill("location")
    lab.locator("[name=parameter-0-value]").fill("DAL1")
    lab.locator("[name=parameter-0-value]").press("Tab")  # the dialog checks a value that is left
    lab.get_by_role("button", name="Create", exact=True).click()
    row = lab.get_by_role("row").filter(has_text="fleet of today")
    row.wait_for()  # it says "Stopped" until the process of the job begins, and the list is not renewed by itself
    wait_until(lambda: is_completed(lab, row))
    (run,) = (front.folder / "runs").glob("*/run.json")
    facts = record(run.parent)
    assert (facts["status"], facts["given"]) == ("done", {"location": "DAL1"})


def is_completed(lab: Any, row: Any) -> bool:
    with lab.expect_response(re.compile(r"/scheduler/jobs\?")):
        lab.get_by_role("button", name="Reload", exact=True).click()
    return bool(row.filter(has_text="Completed").count())
