"""A process is recognised by its number, its start and its computer."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from lcnb.runbooks.records import process
from recorded_runs import ME


@pytest.mark.parametrize(
    ("change", "gone"),
    [
        ({}, False),
        ({"started": ME["started"] + 5}, True),
        ({"started": ME["started"] - 0.01}, True),
        ({"pid": 2**22 + 7}, True),
        ({"boot": "before"}, True),
        ({"boot": "before", "host": "elsewhere"}, False),
        ({"space": "pid:[1]", "pid": 2**22 + 7}, False),
        ({"host": "renamed", "pid": 2**22 + 7}, True),
        ({"pid": "1"}, False),
        ({"pid": 0}, False),
        ({"started": None}, False),
    ],
)
@pytest.mark.skipif(ME["boot"] is None, reason="only Linux has a boot id")
def test_gone(change: dict[str, Any], gone: bool) -> None:
    """A process is gone when its number is free or reused; on another computer that is unknown."""
    assert process.is_gone({**ME, **change}) is gone


def test_zombie_is_gone() -> None:
    """A process that ended and was not waited for yet is gone."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        known = process.identify_process(child.pid)
        assert not process.is_gone(known)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert process.is_gone(known)
