"""Every way to end a run: exit code, record and notebook tell the same, and the truth."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from benchmarks.ends import WAYS, by_lcnb, environment, true
from lcnb.sandbox import start


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Any]]]:
    """How `lcnb run` told each way, two at a time."""
    place = tmp_path_factory.mktemp("ways")

    def one(number: int, name: str) -> dict[str, Any]:
        folder = Path(place, str(number))
        folder.mkdir()
        return by_lcnb(WAYS[name], folder, env)

    with start(fleet=3) as server, ThreadPoolExecutor(2) as pool:
        env = {**environment(server.base_url), "HOME": str(place), "LCNB_CONFIG_DIR": str(place)}
        found = dict(zip(WAYS, pool.map(one, range(len(WAYS)), WAYS), strict=True))
    yield found


@pytest.mark.parametrize("name", WAYS)
def test_told(name: str, ended: dict[str, dict[str, Any]]) -> None:
    """Exit code, record and notebook agree; what did not run is never called completed."""
    way, found = WAYS[name], ended[name]
    assert (found["code"], found["record"], found["notebook"]) == (way.code, way.status, way.status)
    assert true(way, found)
