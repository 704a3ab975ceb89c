"""Every way to end a run, cold and warm: exit code, record and notebook tell the same, and the truth."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from benchmarks.ends import WAYS, by_lcnb, environment, true
from conftest import warm_server
from lcnb.sandbox import start

pytestmark = pytest.mark.timeout(900)  # many whole runs in one fixture, on a machine that may be busy


@pytest.fixture(scope="module", params=["kernel", "shell"])
def ended(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
    """How `lcnb run` told each way, two at a time: with a kernel of its own, and warm."""
    place = tmp_path_factory.mktemp("ways")

    def one(number: int, name: str) -> dict[str, Any]:
        folder = Path(place, str(number))
        folder.mkdir()
        return by_lcnb(WAYS[name], folder, env)

    with ExitStack() as ends:
        server = ends.enter_context(start(fleet=3))
        env = {**environment(server.base_url), "HOME": str(place), "LCNB_CONFIG_DIR": str(place)}
        env["LCNB_STATE_DIR"] = str(place / "state")
        if request.param == "shell":
            ends.enter_context(warm_server(env))
        pool = ends.enter_context(ThreadPoolExecutor(2))
        found = dict(zip(WAYS, pool.map(one, range(len(WAYS)), WAYS), strict=True))
    yield request.param, found


@pytest.mark.parametrize("name", WAYS)
def test_told(name: str, ended: tuple[str, dict[str, dict[str, Any]]]) -> None:
    """Exit code, record and notebook agree; what did not run is never called completed."""
    engine, all_ways = ended
    way, found = WAYS[name], all_ways[name]
    assert (found["code"], found["record"], found["notebook"]) == (way.code, way.status, way.status)
    assert found["engine"] in (engine, None)
    assert true(way, found)
