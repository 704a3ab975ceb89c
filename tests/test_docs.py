"""The documentation is run: code blocks of the pages, docstring examples, links, the wheel."""

from __future__ import annotations

import doctest
import importlib
import os
import pkgutil
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import lcnb
from conftest import ROOT, warm_server
from lcnb.client.settings import shared_sandbox
from lcnb.config import ENVIRONMENT_VARIABLES
from lcnb.widgets.auto_refresh import call_never

#: The pages whose code blocks are run, each as a session of its own.
PAGES = {
    path.name: path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    if path.name not in ("api.md", "decisions.md", "glossary.md")
}
BIN = Path(sys.executable).parent


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGES[page], re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    """Each line of a shell block, once."""
    lines = [line for page in PAGES for block in blocks(page, "sh") for line in block.splitlines()]
    found = [line.split("  #")[0].strip() for line in lines]
    return [line for line in dict.fromkeys(found) if line]


def run(command: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a line as bash does; one that has words only, and `&&` between them, needs no bash."""
    first, _, more = command.partition(" && ")
    if more:
        done = run(first, cwd, **env)
        return done if done.returncode else run(more, cwd, **env)
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    name, *words = shlex.split(command)
    simple = not set(command) & set("|&;<>()$`*?~")
    return subprocess.run(
        [str(BIN / name), *words] if simple else ["bash", "-ec", command], cwd=cwd, env={**os.environ, "PATH": path, **env}, capture_output=True, text=True, timeout=600
    )  # fmt: skip


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a home where warm runs are to be had: they take a fraction of the time."""
    home = str(tmp_path_factory.mktemp("warm"))
    env = {"HOME": home, "LCNB_STATE_DIR": f"{home}/state"}
    with warm_server({**os.environ, **env}):
        yield env


@pytest.mark.parametrize(
    "command", [each for each in commands() if each.startswith("lcnb") and " --port" not in each]
)
def test_command(command: str, account_env: Any, warm: dict[str, str], tmp_path: Path) -> None:
    """Each `lcnb` line of the pages ends well."""
    done = run(command, tmp_path, **warm)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_sandbox_command(tmp_path: Path) -> None:
    """The sandbox of the page stays, and its first line shows the base URL and the token."""
    (command,) = [each for each in commands() if "lcnb sandbox" in each]
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    with subprocess.Popen(
        ["bash", "-ec", f"exec {command.replace('8765', '0')}"],
        cwd=tmp_path, env={**os.environ, "PATH": path}, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
    assert re.fullmatch(r"LetsCloud sandbox: http://127\.0\.0\.1:\d+/api  token: \S+\n", line)
    assert (tmp_path / "account.json").exists()


def test_make_targets() -> None:
    """Each `make` line of the README is a target that runs what the README says."""
    targets = [each.split()[1] for each in commands() if each.startswith("make ")]
    assert targets == ["demo", "test"]
    for target, work in (("demo", "lcnb demo"), ("test", "-m pytest")):
        plan = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True)
        assert work in plan.stdout


@pytest.fixture(autouse=True)
def nothing_goes_on(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Apps of examples read their machines once: one that refreshes itself would do so during other tests."""
    monkeypatch.setattr("lcnb.widgets.runner.call_later", call_never)
    yield
    for thread in threading.enumerate():
        if thread.name == "lcnb-form":
            thread.join()


@pytest.mark.filterwarnings("ignore::lcnb.errors.HistoryWarning")  # the sandbox of a page was read once
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")])
def test_python_blocks(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python blocks of a page run in order, as the cells of a notebook would."""
    monkeypatch.chdir(tmp_path)
    shared_sandbox.cache_clear()  # a sandbox in which nothing was changed
    names: dict[str, Any] = {}
    for block in blocks(page, "python"):
        exec(compile(block, page, "exec"), names)
    if "password" in names:
        assert repr(names["password"]) == "*****"
    if "lc" in names:
        names["lc"].close()


def test_toml_block(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lcnb.toml of the page is valid, and both of its accounts can be used."""
    folder = own_home / "config"
    folder.mkdir()
    (folder / "lcnb.toml").write_text(blocks("configuration.md", "toml")[0])
    (own_home / "infra").mkdir()
    (folder / "prod.token").write_text("the-token-of-the-prod-account")
    (folder / "prod.token").chmod(0o600)
    monkeypatch.setenv("LAB_TOKEN", "the-token-of-the-lab-account")
    assert lcnb.connect().settings.account == "prod"
    assert lcnb.connect("lab").settings.base_url == "https://api.letscloud.io"


def test_variables() -> None:
    """The table of the page names each environment variable of lcnb, and no other."""
    page = PAGES["configuration.md"]
    table = page[page.index("| variable |") :].partition("\n\n")[0]
    assert set(re.findall(r"LCNB_[A-Z_]+", table)) == set(ENVIRONMENT_VARIABLES)


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
    ],
)
def test_links(page: str) -> None:
    """Each relative link leads to a file that is there."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert ((ROOT / page).parent / target).exists(), target


def test_contributing_paths() -> None:
    """Each file and folder that CONTRIBUTING names is there."""
    named = re.findall(
        r"`((?:lcnb|tests|docs)/[^`*<]*)`", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    )
    assert len(named) > 40
    assert [each for each in named if not (ROOT / each).exists()] == []


def modules() -> list[str]:
    found = pkgutil.walk_packages(lcnb.__path__, "lcnb.")
    return sorted(each.name for each in found if not each.name.endswith("__main__"))


@pytest.mark.parametrize("module", modules())
def test_examples(module: str, account_env: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each example in a docstring gives what it shows."""
    monkeypatch.chdir(tmp_path)
    shared_sandbox.cache_clear()  # a sandbox in which nothing was changed
    # An object without an example would be run too, and each run looks whether any source file has changed.
    found = doctest.testmod(importlib.import_module(module), exclude_empty=True)
    assert found.failed == 0


def test_wheel(tmp_path: Path) -> None:
    """Wheel and sdist pass the check of PyPI; the wheel, installed with no repository near, runs the demo."""
    source = tmp_path / "source"
    for name in ("lcnb", "notebooks", "docs"):
        shutil.copytree(ROOT / name, source / name)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = [sys.executable, "-m", "build", "--outdir", tmp_path / "dist", source]
    subprocess.run(build, check=True, capture_output=True, timeout=600)
    check = [sys.executable, "-m", "twine", "check", "--strict", *(tmp_path / "dist").glob("lcnb-*")]
    checked = subprocess.run(check, capture_output=True, text=True, timeout=600)
    assert (checked.returncode, checked.stdout.count("PASSED")) == (0, 2), checked.stdout + checked.stderr
    (wheel,) = (tmp_path / "dist").glob("lcnb-*.whl")
    assert [each for each in zipfile.ZipFile(wheel).namelist() if each.startswith("docs")] == []
    home = tmp_path / "venv"
    venv.create(home, symlinks=True)
    (place,) = (home / "lib").glob("python*/site-packages")
    target = [*pip, "install", "--no-deps", "--target", place, wheel]
    subprocess.run(target, check=True, timeout=600)
    # The dependencies are taken from this environment; lcnb itself must come from the wheel.
    (place / "dependencies.pth").write_text(next(each for each in sys.path if each.endswith("site-packages")))
    (home / "share").symlink_to(Path(sys.prefix) / "share")
    empty = tmp_path / "empty"
    empty.mkdir()
    code = (
        "import sys, lcnb, lcnb.cli.main; sys.argv[1:] = ['demo']; print(lcnb.__file__); lcnb.cli.main.main()"
    )
    done = subprocess.run(
        [home / "bin" / "python", "-c", code], cwd=empty, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(place))
    (report,) = (tmp_path / "runs").glob("*/report.html")
    assert "Inventory" in report.read_text(encoding="utf-8")
