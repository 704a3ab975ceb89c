"""A module that a thread imports while a flow waits."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import lcnb
from lcnb.api.flows import Flow, Pause, import_meanwhile
from lcnb.client import LetsCloud
from lcnb.deferred_imports import TURN_S, import_in_thread
from lcnb.errors import InputError
from lcnb.sandbox import start

MODULE = "lcnb_test_of_deferred_imports"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of a module that was not imported yet."""
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / f"{MODULE}.py"
    end_imports()
    sys.modules.pop(MODULE, None)


@pytest.fixture
def lc() -> Iterator[LetsCloud]:
    with lcnb.connect(sandbox=True) as client:
        yield client


def end_imports() -> None:
    """Wait until the threads that import have ended."""
    for each in threading.enumerate():
        if each.name.startswith("import "):
            each.join()


def until_imported() -> Flow[str]:
    """A flow that cannot end before the module is imported."""
    while not hasattr(sys.modules.get(MODULE), "VALUE"):
        yield Pause(0.001, "the module")
    return "flow"


def refused() -> Flow[str]:
    yield Pause(0.0, "the response")
    raise InputError("refused")


def test_while_the_flow_waits(module: Path, lc: LetsCloud) -> None:
    """The module is imported while the flow waits; the result is that of the flow. The second time nothing is started."""
    module.write_text("import gc\nVALUE = gc.isenabled()\n")
    assert lc._wire.run(import_meanwhile(until_imported(), MODULE)) == "flow"
    end_imports()
    assert sys.modules[MODULE].VALUE is False
    assert gc.isenabled()
    before = threading.active_count()
    import_in_thread(MODULE)
    assert threading.active_count() == before


def test_error_of_the_flow(module: Path, lc: LetsCloud) -> None:
    """An error of the flow comes as it is, whether or not the module can be imported."""
    module.write_text("raise RuntimeError('this module is broken')\n")
    with pytest.raises(InputError, match="refused"):
        lc._wire.run(import_meanwhile(refused(), MODULE))
    end_imports()
    with pytest.raises(RuntimeError, match="this module is broken"):
        __import__(MODULE)


@pytest.mark.parametrize("collects", [True, False])
def test_collector(module: Path, collects: bool) -> None:
    """The garbage collector is afterwards as it was before, and objects that somebody froze stay so."""
    module.write_text("VALUE = [[] for _ in range(10)]\n")
    (gc.enable if collects else gc.disable)()
    try:
        frozen = gc.get_freeze_count()
        import_in_thread(MODULE)
        end_imports()
        assert (gc.isenabled(), gc.get_freeze_count()) == (collects, frozen)
    finally:
        gc.enable()


@pytest.mark.parametrize("turns", [0.005, 0.0001])
def test_turns(module: Path, turns: float) -> None:
    """While a module is imported other threads do not wait for Python's 5 ms; afterwards the interval is as it was before."""
    module.write_text("import sys\nVALUE = sys.getswitchinterval()\n")
    usual = sys.getswitchinterval()
    sys.setswitchinterval(turns)
    try:
        import_in_thread(MODULE)
        end_imports()
        during = sys.modules[MODULE].VALUE
        assert during == pytest.approx(min(turns, TURN_S))
        assert sys.getswitchinterval() == pytest.approx(turns)
    finally:
        sys.setswitchinterval(usual)


@pytest.mark.fresh_python
@pytest.mark.parametrize("listing", ["inventory", "instances", "plans", "catalogue"])
def test_first_frame_of_a_process(listing: str, account_env: object) -> None:
    """A new Python makes its first frame, whose module pandas came meanwhile, with the accessor for changes."""
    code = f"""
import sys, lcnb, json
lc = lcnb.connect()
before = "pandas" in sys.modules
found = lc.{listing}()
frame = found if hasattr(found, "columns") else found.plans
print(json.dumps([before, len(frame) > 0, type(frame.lc).__name__]))
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout) == [False, True, "SelectedRows"]


@pytest.mark.fresh_python
def test_first_request_refused(tmp_path: Path) -> None:
    """A process whose first request fails ends with that error alone, although pandas is still being imported."""
    code = "import lcnb; lcnb.connect().inventory()"
    with start(speed=0) as server:
        wrong = server.token[:-4] + server.token[-4:].swapcase()
        env = {
            **os.environ,
            "LETSCLOUD_API_KEY": wrong,
            "LCNB_BASE_URL": server.base_url,
            "LCNB_STATE_DIR": str(tmp_path),
        }
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("lcnb.errors.AuthenticationError")
