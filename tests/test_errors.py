"""The error tree: as it is drawn, exported whole, and able to travel between processes."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import lcnb
from lcnb import errors

CLASSES = [
    each for each in vars(errors).values() if inspect.isclass(each) and each.__module__ == "lcnb.errors"
]
ERRORS = [each for each in CLASSES if issubclass(each, Exception) and not issubclass(each, Warning)]


def drawn() -> dict[str, tuple[str, set[str]]]:
    """Name → parent and builtin bases, as the module's docstring draws them; a parent of "" is none."""
    found: dict[str, tuple[str, set[str]]] = {}
    above: dict[int, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"    ([│├└─ ]*)([A-Z]\w+)(.*)", line)
        if not match:
            continue
        bars, name, rest = match.groups()
        depth = len(bars) // 4
        above[depth] = name
        builtin = set(re.findall(r"\((?:also a )?(\w+)\)", rest))
        found[name] = (above[depth - 1] if depth else "", builtin)
    return found


def test_tree_is_complete() -> None:
    """The tree names exactly the classes that exist, in their order."""
    names = [each.__name__ for each in CLASSES]
    assert list(drawn()) == names


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_tree_is_true(kind: type[Exception]) -> None:
    """Each class stands below its parent, and what it also is stands beside it."""
    parent, builtin = drawn()[kind.__name__]
    bases = {each.__name__ for each in kind.__bases__} - {"Exception"}
    assert bases == {parent} - {""} | builtin


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_exported(kind: type[Exception]) -> None:
    """Every error and the warning can be had from `lcnb` itself."""
    assert kind.__name__ in lcnb.__all__
    assert getattr(lcnb, kind.__name__) is kind


def test_one_root() -> None:
    """One `except lcnb.LcnbError` catches every error; the other four classes are warnings."""
    assert all(issubclass(each, lcnb.LcnbError) for each in ERRORS)
    warnings = {lcnb.DriftWarning, lcnb.ConfigWarning, lcnb.StoreWarning, lcnb.HistoryWarning}
    assert set(CLASSES) - set(ERRORS) == warnings
    assert issubclass(lcnb.DriftWarning, UserWarning)


FACTS = {
    "ApiError": {"method": "GET", "path": "/x", "status": 404, "provider_message": "no", "tries": 3},
    "TransportError": {"method": "GET", "path": "/x", "tries": 6},
    "RateLimited": {"retry_after": 12.5},
    "TokenMissing": {"looked_at": ("here", "there")},
    "ReadOnly": {"reason": "LCNB_READ_ONLY=1"},
    "Protected": {"machines": ("abc", "def")},
    "RunError": {"folder": Path("/runs/1")},
}


def facts_of(kind: type[Exception]) -> dict[str, object]:
    facts: dict[str, object] = {"anything": [1, {"a": None}]}
    for each in kind.__mro__:
        facts.update(FACTS.get(each.__name__, {}))
    return facts


@pytest.mark.parametrize(
    "travel", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy]
)
@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_travels(kind: type[errors.LcnbError], travel: Callable[[Exception], Exception]) -> None:
    """A pickled or copied error has its class, message, facts and notes."""
    facts = facts_of(kind)
    error = kind("what happened", **facts)
    error.add_note("a note")

    arrived = travel(error)

    assert type(arrived) is kind
    assert str(arrived) == "what happened"
    assert vars(arrived) == {"problem": "what happened", **facts, "__notes__": ["a note"]}


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_facts_are_optional(kind: type[errors.LcnbError]) -> None:
    """An error can be made of a message alone, and its documented facts can be read all the same."""
    error = kind("what happened")
    for name in facts_of(kind):
        if name != "anything":
            getattr(error, name)
    assert str(kind()) == ""


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({}, ""),
        ({"problem": "no such file"}, "no such file"),
        ({"problem": "no such file", "not_done": "started"}, "no such file. Nothing was started."),
        ({"problem": "No such file.", "not_done": "sent"}, "No such file. Nothing was sent."),
        (
            {"problem": "unknown", "field": "size", "cure": "Pass one of 1, 2"},
            "size: unknown. Pass one of 1, 2.",
        ),
        (
            {"expected": "a number", "value": "x", "field": "size", "cure": "Pass 1.", "not_done": "written"},
            "size: expected a number, got 'x'. Pass 1. Nothing was written.",
        ),
    ],
)
def test_message_is_built_from_facts(facts: dict[str, str], message: str) -> None:
    """Field, problem, cure and consequence follow each other, each ended as a sentence."""
    assert str(errors.InputError(**facts)) == message


def test_restated_error() -> None:
    """A caller replaces a fact and the message follows, after a journey between processes too."""
    error = errors.RunError("the folder is full", field="cwd", cure="Make room.", not_done="started")
    error = pickle.loads(pickle.dumps(error))

    restated = error.restate(not_done="written")

    assert restated is error
    assert str(error) == "cwd: the folder is full. Make room. Nothing was written."
    assert error.statement == "cwd: the folder is full. Make room."
    assert error.consequence == "Nothing was written."


def test_long_values_are_cut() -> None:
    """A message stays readable when the wrong value is long; the fact keeps the whole value."""
    error = errors.InputError(expected="a number", value="x" * 1000)
    assert len(str(error)) < 120
    assert error.value == "x" * 1000


@pytest.mark.parametrize(
    ("error", "sent"),
    [
        (errors.InputError("wrong"), False),
        (errors.ConnectionFailed("refused"), False),
        (errors.ConnectionLost("reset"), True),
        (errors.DeadlineExceeded("too late"), None),
        (errors.NotFound("no such machine"), True),
        (errors.RunError("died"), None),
        (errors.RunError("locked", not_done="started"), False),
        (errors.ChangeError("stopped", sent=True), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_sent(error: errors.LcnbError, sent: bool | None) -> None:
    """A program reads from `sent` whether the provider may have received something."""
    assert error.sent is sent


@pytest.mark.parametrize(
    ("kind", "also"),
    [
        (lcnb.InputError, ValueError),
        (lcnb.ParameterError, ValueError),
        (lcnb.DeadlineExceeded, TimeoutError),
        (lcnb.TokenMissing, lcnb.ConfigError),
        (lcnb.Refused, lcnb.ApiError),
        (lcnb.BadReply, lcnb.TransportError),
    ],
)
def test_caught_as(kind: type[Exception], also: type[Exception]) -> None:
    """Code that knows only the general kind of error catches the particular one."""
    with pytest.raises(also, match="what happened"):
        raise kind("what happened")


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_documented(kind: type[Exception]) -> None:
    """Each class says in words of its own when it is raised."""
    assert kind.__doc__
    assert kind.__doc__.strip().endswith(".")
