"""`%lcnb`: a listing by a line of a notebook."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

import lcnb
from lcnb.cli.magic import LISTINGS, complete_line
from lcnb.cli.magic import lcnb as magic
from lcnb.errors import InputError


@pytest.mark.parametrize("listing", [each for each in LISTINGS if each != "accounts"])
def test_listing(listing: str, account_env: Any) -> None:
    """Each listing is the frame that the client's method of the same name gives."""
    frame = magic(listing)
    with lcnb.connect() as lc:
        assert list(frame.columns) == list(getattr(lc, listing)().columns)


def test_options(account_env: Any) -> None:
    """Location and state choose rows, in whatever case they are typed."""
    frame = magic("instances --location mia1 --state running")
    assert set(frame.location) == {"MIA1"}
    assert set(frame.state) == {"running"}
    assert set(magic("plans --location MIA1").location) == {"MIA1"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("instnces", "instances"),
        ("", "usage"),
        ("instances --stat off", "unrecognized"),
        ("instances --state of", "running"),
        ("profile", "no such listing"),
        ("sql select state, count(*) from inventory where label = 'it", "starts with the line %%lcnb sql"),
        ("sshkeys --state off", "has no state"),
        ("accounts --location MIA1", "has no location"),
        ("instances --location MAI1", "did you mean 'MIA1'"),
    ],
)
def test_wrong(line: str, message: str, account_env: Any) -> None:
    """A line that cannot be right is refused with what there is, and no SystemExit ends the kernel."""
    with pytest.raises(InputError, match=message):
        magic(line)


def test_in_a_shell(account_env: Any) -> None:
    """`%load_ext lcnb` registers the magic, and its result can be assigned."""
    shell = InteractiveShell.instance()
    try:
        shell.run_line_magic("load_ext", "lcnb")
        done = shell.run_cell("frame = %lcnb locations")
        assert done.success
        assert "MIA1" in set(shell.user_ns["frame"].slug)
    finally:
        InteractiveShell.clear_instance()


@pytest.mark.parametrize(
    ("line", "symbol", "wanted"),
    [
        ("%lcnb ", "", "instances"),
        ("%lcnb inst", "inst", "instances"),
        ("%%lcnb ", "", "sql"),
        ("%%lcnb sql ", "", "--account"),
        ("%lcnb instances ", "", "--location"),
        ("%lcnb instances --state r", "r", "running"),
    ],
)
def test_completion(line: str, symbol: str, wanted: str) -> None:
    """Tab offers listings, then options, then states."""
    assert wanted in complete_line(None, SimpleNamespace(line=line, symbol=symbol))
