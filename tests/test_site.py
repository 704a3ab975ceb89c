"""The documentation site: it is built once, read as files, and opened in a browser without a network."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag

import pytest
from browser.conftest import CHROMIUM, LIMIT_S, RUN_AXE, axe, browser  # noqa: F401

import lcnb
from conftest import LEAN_JUPYTER, ROOT
from lcnb.cli.main import MODULES
from lcnb.runbooks.notebook.find import find_runbook, shipped_names

pytestmark = pytest.mark.timeout(LIMIT_S)
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on this machine (apt-get install chromium)"
)
#: The runs of the gallery that the tests make: one that reads, one that changes its sandbox.
RUNS = ("tag_audit", "power_schedule")
#: What loads a file when a page opens.
LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. Every warning is an error, and so is a code cell or command of a page that fails."""
    folder = tmp_path_factory.mktemp("site")
    command = [
        sys.executable, "-m", "sphinx", "--nitpicky", "--fail-on-warning", "--keep-going", "--quiet",
        "--doctree-dir", folder / "doctrees", "-D", f"gallery_runs={','.join(RUNS)}", ROOT / "docs", folder / "html",
    ]  # fmt: skip
    given = {
        "LETSCLOUD_API_KEY": "a-token-of-the-person-who-builds", "LCNB_READ_ONLY": "1", "PYTHONPATH": LEAN_JUPYTER,
    }  # fmt: skip
    done = subprocess.run(command, env=os.environ | given, capture_output=True, text=True, timeout=LIMIT_S)
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "html"


class Page(HTMLParser):
    """The anchors of a page, what it links to, and what it loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if "id" in given:
            self.anchors.add(given["id"])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in LOADED and LOADED[tag] in given:
            self.loaded.append(given[LOADED[tag]])


def own_pages(site: Path) -> dict[Path, Page]:
    """The pages of the site, without the reports that it shows."""
    return {path: Page(path) for path in site.rglob("*.html") if path.parent.name != "reports"}


def text_of(path: Path) -> str:
    return unescape(re.sub(r"<[^>]+>", "", path.read_text(encoding="utf-8")))


def test_nothing_from_outside(site: Path) -> None:
    """No page, style sheet or report of the site loads anything from another host."""
    pages = own_pages(site) | {path: Page(path) for path in (site / "reports").glob("*.html")}
    assert len(pages) > 30
    for path, page in pages.items():
        assert [each for each in page.loaded if re.match(r"(https?:)?//", each)] == [], path
    for path in site.rglob("*.css"):
        assert (
            re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//[^)]*", path.read_text(encoding="utf-8"))
            == []
        )


def test_links(site: Path) -> None:
    """Each link inside the site leads to a file, and to an anchor that this file has."""
    pages = own_pages(site)
    checked = 0
    for path, page in pages.items():
        for link in page.links:
            if re.match(r"[a-z]+:", link) or link == "#":
                continue
            address, anchor = urldefrag(link)
            target = (path.parent / unquote(address)).resolve() if address else path
            assert target.is_file(), (path, link)
            if anchor and target in pages:
                assert unquote(anchor) in pages[target].anchors, (path, link)
            checked += 1
    assert checked > 1000


def test_public_names(site: Path) -> None:
    """The Python page has each public name with its docstring, and the methods of both clients with their signatures."""
    path = site / "reference" / "python.html"
    anchors = Page(path).anchors
    assert [name for name in lcnb.__all__ if f"lcnb.{name}" not in anchors] == []
    text = text_of(path)
    for client in (lcnb.LetsCloud, lcnb.AsyncLetsCloud):
        methods = [
            name for name in dir(client) if not name.startswith("_") and callable(getattr(client, name))
        ]
        assert len(methods) > 40
        assert [name for name in methods if f"lcnb.{client.__name__}.{name}" not in anchors] == []
    assert re.search(
        r"power_off\(\s*machines: MachineNames.*?skip_busy: bool.*?→ SyncChangeSet", text, re.DOTALL
    )
    assert "async power_off(" in text
    assert "Turn machines off, as pulling the plug does" in text


def test_commands(site: Path) -> None:
    """The page of commands has each command, subcommands included, with its options."""
    text = text_of(site / "reference" / "commands.html")
    for name in (name for names in MODULES.values() for name in names):
        assert f"lcnb {name} " in text, name
    assert "lcnb schedule export [OPTIONS]" in text
    assert "--skip-busy" in text


def test_gallery(site: Path) -> None:
    """The gallery has each shipped runbook with its parameters, and the report of each run, next to how it ended."""
    path = site / "gallery.html"
    text, page = text_of(path), Page(path)
    for book in map(find_runbook, shipped_names()):
        assert f"{book.name}: {book.purpose}" in text
        for parameter in book.parameters:
            assert parameter.name in text
    for name in RUNS:
        assert f"reports/{name}.html" in page.loaded
        assert f"reports/{name}.html" in page.links
        assert find_runbook(name).title in text_of(site / "reports" / f"{name}.html")
    assert "status attention and the exit code 8" in text  # tag_audit found untagged machines
    assert "Changes: 4 done" in text_of(site / "reports" / "power_schedule.html")


def test_pages_were_run(site: Path) -> None:
    """Tutorials show what their cells and commands printed, and nothing of the person who built the site."""
    assert "4vcpu-16gb-120ssd" in text_of(site / "tutorials" / "analyst.html")
    assert "was applied at" in text_of(site / "tutorials" / "operator.html")
    scheduler = text_of(site / "tutorials" / "scheduler.html")
    assert "no parameter 'loction' (did you mean 'location'?)" in scheduler
    assert "3 of 3 done" in scheduler
    for path in site.rglob("*.html"):
        assert "a-token-of-the-person" not in path.read_text(encoding="utf-8"), path
        if path.parent.name != "reports":
            assert str(ROOT) not in path.read_text(encoding="utf-8"), path


def test_generators(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each shipped runbook has a sample whose parameters exist; a command that fails is an error; examples are true."""
    monkeypatch.syspath_prepend(ROOT / "docs" / "_ext")
    import repository_text
    import runbook_gallery
    import terminal

    assert sorted(runbook_gallery.SAMPLES) == shipped_names()
    for name, sample in runbook_gallery.SAMPLES.items():
        given = set(re.findall(r"-p (\w+)=", sample.options))
        assert given <= {each.name for each in find_runbook(name).parameters}, name
    monkeypatch.setenv("LCNB_STATE_DIR", "/nowhere/state")
    with pytest.raises(ValueError, match=r"`echo no; exit 3` ended with 3, not 0: no"):
        terminal.run_line("echo no; exit 3", tmp_path)
    for module in (repository_text, runbook_gallery, terminal):
        assert doctest.testmod(module).failed == 0


# --- in a browser ---------------------------------------------------------------------------------------

LOOKED_AT = (
    "index", "tutorials/analyst", "tutorials/operator", "tutorials/scheduler", "gallery", "reference/commands",
    "reference/python", "explanations/exactly-once", "schedulers",
)  # fmt: skip


@pytest.fixture(params=["light", "dark"])
def page(request: pytest.FixtureRequest, browser: Any) -> Iterator[Any]:  # noqa: F811
    """A page without a network; its width is that of a phone in the dark theme."""
    width = {"light": 1280, "dark": 390}[request.param]
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=request.param, offline=True
    )
    opened = context.new_page()
    opened.set_default_timeout(LIMIT_S * 1000)
    yield opened
    context.close()


#: Leaves a few descriptions of names and commands: all of them look the same.
THIN_OUT = """() => [...document.querySelectorAll("dl.py, article section section section")].forEach(
  (each, number) => { if (number % 20) each.remove(); })"""


@needs_chromium
def test_accessible(site: Path, page: Any, axe: Path, request: pytest.FixtureRequest) -> None:  # noqa: F811
    """axe-core finds nothing on the main pages, wide and light, narrow and dark; no page is wider than its window.

    What a theme changes is the same in each description of a name or a command: of those, the dark pages keep a few.
    """
    for name in LOOKED_AT:
        page.goto((site / f"{name}.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, name
        if "dark" in request.node.callspec.id and name.startswith("reference/"):
            page.evaluate(THIN_OUT)
            assert page.locator("dl.py, dl.option, dl.std, section").count() > 5, name
        page.add_script_tag(path=str(axe))
        assert page.evaluate(RUN_AXE, None) == [], name


@needs_chromium
def test_search(site: Path, page: Any) -> None:
    """The search finds a method, a command and words of a page without a network."""
    for query, found in (
        ("power_off", "LetsCloud.power_off"),
        ("idempotency", "Exactly once"),
        ("skip-busy", "Commands"),
    ):
        page.goto((site / "search.html").as_uri() + f"?q={query}")
        page.locator("#search-results li", has_text=found).first.wait_for()
