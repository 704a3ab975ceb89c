"""Texts of jupyter-scheduler's dialog as values of declared types."""

from __future__ import annotations

from typing import Any

import pytest

from lcnb.errors import ParameterError
from lcnb.jupyter.dialog_values import read_job_values
from lcnb.runbooks.notebook.declarations import read_parameters


@pytest.mark.parametrize(
    ("kind", "typed", "value"),
    [
        ("str", "web-01", "web-01"),
        ("str", "'web-01'", "web-01"),
        ("str", '"it\'s"', "it's"),
        ("str", "1e3", "1e3"),
        ("str", "['a']", "['a']"),
        ("str", "(state == 'off')", "(state == 'off')"),
        ("str", "state == 'off'", "state == 'off'"),
        ("str", "'\"quoted\"'", '"quoted"'),
        ("int", "007", 7),
        ("int", "'7'", 7),
        ("float", " 0.5 ", 0.5),
        ("bool", "False", False),
        ("bool", "no", False),
        ("bool", "'no'", False),
        ("date", "2026-12-25", "2026-12-25"),
        ("date", "'2026-12-25'", "2026-12-25"),
        ("list[str]", "a, b", ["a", "b"]),
        ("list[str]", "['a', 'b']", ["a", "b"]),
        ("list[str]", '["a", "b"]', ["a", "b"]),
        ("list[str]", "('a', 'b')", ["a", "b"]),
        ("set[int]", "{1, 2, 1}", [1, 2]),
        ("tuple[str, int]", "('a', 1)", ["a", 1]),
        ("dict[str, int]", "{'a': 1}", {"a": 1}),
        ("dict[str, int]", '{"a": 1}', {"a": 1}),
        ("dict[int, str]", "{1: 'a'}", {"1": "a"}),
        ("str | None", "None", None),
        ("str | None", "'None'", None),
        ("list[int] | None", "[1]", [1]),
        ("Literal['on', 'off']", "'OFF'", "off"),
    ],
)
def test_declared(kind: str, typed: str, value: Any) -> None:
    """Quotes are optional, brackets are a collection where the type has one, and code is never executed."""
    known = read_parameters(f"from typing import Literal\nfrom datetime import date\nx: {kind}", "a.ipynb")
    assert read_job_values(known, {"x": typed}) == {"x": value}


@pytest.mark.parametrize(
    ("typed", "value"),
    [("5", 5), ("'5'", "5"), ("True", True), ("[1, 'a']", [1, "a"]), ("{'a': [None]}", {"a": [None]}), ("5 + 5", "5 + 5")],
)  # fmt: skip
def test_undeclared(typed: str, value: Any) -> None:
    """Without a declared type, a text is what it looks like."""
    assert read_job_values(read_parameters("x = None", "a.ipynb"), {"x": typed}) == {"x": value}


@pytest.mark.parametrize(
    ("kind", "typed", "problem"),
    [
        ("int", "2026-12-25", "parameter x: '2026-12-25' is not a whole number"),
        ("date", "2026 - 12 - 25", "parameter x: '2026 - 12 - 25' is not a date"),
        ("dict[str, int]", "dict(a=1)", "parameter x: 'dict(a=1)' is not a dict"),
        ("bool", "__import__('os')", "is not true or false"),
    ],
)
def test_refused(kind: str, typed: str, problem: str) -> None:
    """A text that is no value of the type is refused, with the text and the type."""
    with pytest.raises(ParameterError, match=r".") as caught:
        read_job_values(read_parameters(f"from datetime import date\nx: {kind}", "a.ipynb"), {"x": typed})
    assert problem in str(caught.value)


def test_secret_name() -> None:
    """A secret cannot be a parameter, and the message does not repeat its value."""
    with pytest.raises(ParameterError, match="A secret cannot be a parameter") as caught:
        read_job_values(read_parameters("x = 1", "a.ipynb"), {"api_token": "s3cr3t"})
    assert "s3cr3t" not in str(caught.value)
