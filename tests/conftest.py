"""What all tests share: a home of their own, sandboxes, and a client that is driven by hand.

No test reads the machine's own configuration, and none reaches further than 127.0.0.1.
"""

from __future__ import annotations

import gc
import io
import json
import os
import pwd
import random
import signal
import socketserver
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import hypothesis
import pytest

import lcnb
from lcnb import streams
from lcnb.cli.main import main
from lcnb.config import Settings
from lcnb.runbooks.notebook.deferred_imports import defer_iri_grammar
from lcnb.runbooks.result import RunResult
from lcnb.sandbox import Clock, Sandbox, World, serve_in_thread, start
from lcnb.secret import Secret
from lcnb.transport.effects import ExchangeContext
from preloaded import Preloaded

with defer_iri_grammar():  # the grammar takes 2 s of each worker, and tests do not need it
    import nbformat

TOKEN = "$2Y$10$CANARY7F3E9A1C5BK4Q8W2Z6M0X3V7T1R5P9N4L8J2H6G0D"  # of the real form, and looked for wherever it must not be
MANY = 50_000  # calls an hour: tests are in more of a hurry than the provider's limit allows
ROOT = Path(__file__).parent.parent
LCNB = str(Path(sys.executable).with_name("lcnb"))
#: PYTHONPATH of Jupyter servers that tests start.
LEAN_JUPYTER = os.pathsep.join([str(ROOT / "tests" / "lean_jupyter"), str(ROOT)])

# Where this variable forbids to keep compiled files, each of the hundreds of processes that the tests start compiles
# pandas, IPython and all else from source, which takes longer than what they do.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Fixtures of a module are made before `own_home`: their runs too look into no keyring. To find one loads every backend.
os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"

# A shell that runs the tests in its background has Ctrl-C ignored, and all that the tests start would inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

#: Files that take minutes. They are begun first, so that no worker is left alone with one when the others have ended.
LONG = (
    "browser/test_trouble", "changes/test_apply", "runbooks/toolkit/test_notebooks", "runbooks/engine/test_ends", "runbooks/engine/test_warm", "test_binder", "test_docs", "test_site", "runbooks/test_effects",
    "runbooks/toolkit/test_changing_runbooks", "runbooks/toolkit/test_provisioning", "runbooks/records/test_history", "runbooks/test_runbooks", "runbooks/notebook/test_runbook", "widgets/test_runbook", "cli/test_cli", "test_client", "test_leaks", "runbooks/toolkit/test_reading_runbooks",
)  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "fresh_python: how Python starts is what is tested, so no process is a fork"
    )


PYTHONS = Preloaded()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Python processes that a test starts are forks of one that has imported pandas, papermill and ipykernel.

    With FRESH_PYTHON=1 in the environment each of them is a new Python.
    """
    fresh = item.get_closest_marker("fresh_python") or os.environ.get("FRESH_PYTHON")
    if sys.platform != "linux" or fresh:
        return (yield)
    PYTHONS.install()
    try:
        return (yield)
    finally:
        PYTHONS.uninstall()


def pytest_unconfigure() -> None:
    PYTHONS.close()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[object]:
    """Collect tests without looking for garbage: what is imported and collected stays, so it is not looked through again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        return next((number for number, name in enumerate(LONG) if f"tests/{name}" in item.nodeid), len(LONG))

    items.sort(key=place)


# A busy machine is no failure: what an example takes says nothing of whether it is right.
hypothesis.settings.register_profile("lcnb", deadline=None)
hypothesis.settings.load_profile("lcnb")


# --- notebooks and runs ---------------------------------------------------------------------------------

PYTHON3 = {"display_name": "Python 3", "language": "python", "name": "python3"}

Cell = str | tuple[str, str]


def write_notebook(path: Path, *cells: Cell, kernel: dict[str, str] | None = PYTHON3) -> Path:
    """A notebook of code cells, each with a tag if it is a pair; a cell that begins with `#` is Markdown."""
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": kernel} if kernel else {})
    for cell in cells:
        source, *tags = (cell,) if isinstance(cell, str) else cell
        if source.startswith("#"):
            notebook.cells.append(nbformat.v4.new_markdown_cell(source))
        else:
            notebook.cells.append(nbformat.v4.new_code_cell(source, metadata={"tags": tags}))
    path.parent.mkdir(exist_ok=True)
    path.write_text(nbformat.writes(notebook), encoding="utf-8")
    return path


def record(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "run.json").read_text(encoding="utf-8")))


def saved(folder: Path) -> Any:
    (path,) = folder.glob("*.ipynb")
    return nbformat.read(path, as_version=4)


def statuses(folder: Path) -> list[str]:
    return [cell.metadata.papermill.status for cell in saved(folder).cells]


@contextmanager
def warm_server(env: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """`lcnb warm` in that environment, ready."""
    process = subprocess.Popen([LCNB, "warm"], env=dict(env), stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        told = process.stdout.readline()
        try:
            assert told.startswith("warm runs: "), told
            yield process
        finally:
            process.terminate()


def without_account(home: Path) -> dict[str, str]:
    """This process's environment without an account; home and state folder are there."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("LCNB_", "LETSCLOUD_"))}
    return {**env, "HOME": str(home), "LCNB_STATE_DIR": str(home / "state"), "PYTHONPATH": str(ROOT)}


def warm_run(
    book: str, given: Mapping[str, object], env: Mapping[str, str], folder: Path, base_url: str, *more: str
) -> RunResult:
    """`lcnb run` against that sandbox, in the environment of a `warm_server`; `folder` is for this run alone."""
    words = [word for name, value in given.items() for word in ("-p", f"{name}={value}")]
    done = subprocess.run(
        [LCNB, "run", book, "--runs-dir", folder, *words, *more],
        env={**env, "LETSCLOUD_API_KEY": TOKEN, "LCNB_BASE_URL": base_url},
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    (kept,) = (path.parent for path in folder.glob("*/run.json"))
    told = record(kept)
    assert (told["engine"], told["exit_code"]) == ("shell", done.returncode), done.stderr
    files = [path for path in kept.iterdir() if path.is_file()]
    return RunResult(book, told["status"], done.returncode, kept, error=done.stderr, files=files)


# --- order without a clock ------------------------------------------------------------------------------

#: Seconds after which what a test waits for is taken to hang. No test needs them, on however slow a machine.
HANGS_S = 600


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until it holds; what never does is an error after HANGS_S."""
    over = time.monotonic() + HANGS_S
    while not condition():
        assert time.monotonic() < over, f"what was waited for did not come in {HANGS_S} s"
        time.sleep(0.02)


# --- what every test has --------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without accounts, tokens, a keyring or a kept catalogue; runs and state land in it."""
    home = tmp_path / "home"
    home.mkdir()
    for name in list(os.environ):
        if name.startswith(("LCNB_", "LETSCLOUD_", "XDG_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("LCNB_CONFIG_DIR", str(home / "config"))
    monkeypatch.setenv("LCNB_STATE_DIR", str(home / "state"))
    monkeypatch.setenv("LCNB_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.setenv("LCNB_CATALOGUE", "0")  # what is asked is seen by the sandbox
    return home


@dataclass
class CommandResult:
    """The exit code of a command, and both streams."""

    code: int
    data: bytes
    err: str

    @property
    def out(self) -> str:
        return self.data.decode("utf-8")


Call = Callable[..., CommandResult]


@pytest.fixture
def call(capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Runs `lcnb` with these arguments in this process."""

    def run(*arguments: str) -> CommandResult:
        monkeypatch.setattr(sys, "argv", ["lcnb", *arguments])
        monkeypatch.setattr(streams, "_action_done", False)  # as in a new process
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsysbinary.readouterr()
        assert isinstance(ended.value.code, int)
        return CommandResult(ended.value.code, out, err.decode("utf-8"))

    return run


def become(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let the operating system give the user of this process another name."""
    real = pwd.getpwuid(os.getuid())
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: pwd.struct_passwd((name, *real[1:])))


def lcnb_here(*arguments: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    """`lcnb` with these arguments in this process, told as `subprocess.run` tells it: no process imports pandas anew."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(sys, "argv", ["lcnb", *arguments])
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), "utf-8"))
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        for name, value in env.items():
            patch.setenv(name, value)
        main()
    code = ended.value.code
    assert isinstance(code, int)
    texts = (each.buffer.getvalue().decode() for each in (out, err))  # type: ignore[attr-defined]
    return subprocess.CompletedProcess(["lcnb", *arguments], code, *texts)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder that is no disk, where there is one: what a killed process has written is there without reaching a disk."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else tmp_path) as place:
        yield Path(place)


@pytest.fixture(scope="session")
def server() -> Iterator[lcnb.sandbox.SandboxProcess]:
    """The sandbox that tests which only read share: its own process, real HTTP, 60 machines."""
    with start(token=TOKEN, rate_limit=MANY) as sandbox:
        yield sandbox


@pytest.fixture
def lc(server: lcnb.sandbox.SandboxProcess) -> Iterator[lcnb.LetsCloud]:
    """A client of the shared sandbox."""
    with lcnb.connect(token=server.token, base_url=server.base_url) as client:
        yield client


@pytest.fixture
def account_env(
    server: lcnb.sandbox.SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> lcnb.sandbox.SandboxProcess:
    """The shared sandbox as the account of the environment."""
    monkeypatch.setenv("LETSCLOUD_API_KEY", server.token)
    monkeypatch.setenv("LCNB_BASE_URL", server.base_url)
    return server


class Thread(lcnb.sandbox.SandboxProcess):
    """A sandbox that a thread of this process serves: it takes a fraction of what a process of its own takes."""

    def __init__(self, base_url: str, token: str) -> None:
        self.base_url, self.token = base_url, token


@contextmanager
def in_thread(speed: float = 1.0, fleet: int = 60) -> Iterator[Thread]:
    """`start()`, served from a thread."""
    with serve_in_thread(Sandbox(World(Clock(speed), fleet=fleet), TOKEN, rate_limit=MANY)) as base_url:
        yield Thread(base_url, TOKEN)


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch) -> Iterator[lcnb.sandbox.SandboxProcess]:
    """A sandbox of its own, with a fast clock, as the account of the environment, reached over HTTP."""
    with in_thread(speed=50) as sandbox:
        monkeypatch.setenv("LETSCLOUD_API_KEY", sandbox.token)
        monkeypatch.setenv("LCNB_BASE_URL", sandbox.base_url)
        monkeypatch.setenv("LCNB_SETTLE", "5")
        yield sandbox


@pytest.fixture
def small_account(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Sandbox, lcnb.LetsCloud]]:
    """A sandbox of six machines, whose changes take no time, and a client of it."""
    monkeypatch.setattr("lcnb.changes.session.POLL_DELAYS_S", (0.02,))
    monkeypatch.setenv("LCNB_SETTLE", "1")
    sandbox = Sandbox(World(Clock(20_000), fleet=6), TOKEN, rate_limit=MANY)
    with serve_in_thread(sandbox) as base_url, lcnb.connect(token=TOKEN, base_url=base_url) as client:
        yield sandbox, client


@pytest.fixture
def still() -> Sandbox:
    """A sandbox whose clock is turned by hand, asked without a socket."""
    return Sandbox(World(Clock(0)), TOKEN)


@pytest.fixture
def served() -> Iterator[Callable[..., tuple[Sandbox, lcnb.LetsCloud]]]:
    """Makes a sandbox of its own, served from a thread, and a client of it: `served(shapes=..., fleet=...)`."""
    contexts = []

    def make(fleet: int = 60, timeout: float = 20, **options: object) -> tuple[Sandbox, lcnb.LetsCloud]:
        sandbox = Sandbox(World(Clock(0), fleet=fleet), TOKEN, **{"rate_limit": MANY, **options})
        context = serve_in_thread(sandbox)
        client = lcnb.connect(token=TOKEN, base_url=context.__enter__(), timeout=timeout)
        contexts.append((context, client))
        return sandbox, client

    yield make
    for context, client in contexts:
        client.close()
        context.__exit__(None, None, None)


class HandClock:
    """Seconds that only a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a client that nothing is sent by."""
    return Settings(
        account=None,
        token=Secret(TOKEN),
        token_source="the test",
        base_url="https://api.example.com/api",
        base_url_source="the test",
        timeout=60.0,
        state_dir=tmp_path / "state",
        runs_dir=tmp_path / "runs",
        facts_path=tmp_path / "facts.csv",
    )


@pytest.fixture
def context(settings: Settings) -> ExchangeContext:
    """What an exchange needs, with a clock turned by hand and chance that never varies."""
    clock = HandClock()
    return ExchangeContext(clock, clock.now + settings.timeout, random.Random(0), settings, {})


#: What goes wrong, as the sandbox does it, and what the alert says to do next.
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "401": ({"kind": "html", "status": 401}, "`lcnb doctor` tests it"),
    "403": ({"kind": "html", "status": 403}, "this account may not do that"),
    "404": ({"kind": "html", "status": 404}, "Check the base URL"),
    "409": ({"kind": "html", "status": 409}, "try again when the state has changed"),
    "422": ({"kind": "html", "status": 422}, "compare it with the listing"),
    "429": ({"kind": "throttle"}, "[Ww]ait, or pass a longer timeout"),
    "500": ({"kind": "error-before", "status": 500}, "try again later"),
    "bad JSON": ({"kind": "html", "status": 200}, "not the API's JSON.* try later"),
    "truncated": ({"kind": "truncate"}, "try later"),
    "no answer": ({"kind": "stall", "seconds": 30}, "To wait longer"),
    "reset": ({"kind": "reset"}, "try later"),
    "closed": ({"kind": "lose-before"}, "try later"),
}

# --- TLS ------------------------------------------------------------------------------------------------


@pytest.fixture
def self_signed(tmp_path: Path) -> ssl.SSLContext:
    """A server's TLS context whose certificate nobody trusts."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


@pytest.fixture
def untrusted(self_signed: ssl.SSLContext) -> Iterator[str]:
    """The base URL of a server with that certificate."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler) as server:
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # who does not trust it hangs up
        server.socket = self_signed.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield f"https://127.0.0.1:{server.server_address[1]}/api"
        server.shutdown()


class Hook:
    """A web hook that records the messages it receives."""

    def __init__(self, status: int = 200) -> None:
        self.messages: list[dict[str, Any]] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                hook.messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://user:hook-password@127.0.0.1:{self.server.server_port}/"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def hook() -> Iterator[Hook]:
    served = Hook()
    yield served
    served.close()
