"""Types of parameters in words: what a form says about them, and why it refuses a value."""

from __future__ import annotations

import pytest

from lcnb.runbooks.notebook.find import find_runbook, shipped_names
from lcnb.runbooks.notebook.types import ParameterType
from lcnb.widgets.plain_types import plain_refusal, plain_type_text
from lcnb.widgets.runbook_fields import runbook_spec

INT, FLOAT, NONE = ParameterType("int"), ParameterType("float"), ParameterType("none")


@pytest.mark.parametrize(
    ("declared", "text"),
    [
        (INT, "a whole number"),
        (ParameterType("float", bounds=((">", 0), ("<=", 60))), "a number, more than 0 and at most 60"),
        (ParameterType("float", bounds=((">=", 0),)), "a number, at least 0"),
        (ParameterType("int", bounds=((">=", 1), ("<=", 9))), "a whole number from 1 to 9"),
        (ParameterType("bool"), "yes or no"),
        (ParameterType("date"), "a date such as 2026-12-31"),
        (ParameterType("union", (NONE, ParameterType("path"))), "a file or folder, or empty"),
        (ParameterType("union", (INT, ParameterType("bool"))), "a whole number or yes or no"),
        (ParameterType("list", (ParameterType("str"),)), "one or more, separated by commas"),
        (ParameterType("list"), "one or more, separated by commas"),
        (ParameterType("set", (FLOAT,), bounds=(("length >=", 2),)), "numbers, separated by commas"),
        (ParameterType("tuple", (INT, ParameterType("date"))), "values (whole numbers, then dates such as"),
        (
            ParameterType("list", (ParameterType("literal", values=("a", "b")),)),
            "any of a or b, separated by",
        ),
        (ParameterType("literal", values=("a", "b", "c")), "a, b or c"),
        (ParameterType("dict"), "names with values"),
    ],
)
def test_words(declared: ParameterType, text: str) -> None:
    """A type is a phrase."""
    assert plain_type_text(declared).startswith(text)


@pytest.mark.parametrize(
    ("declared", "value", "text"),
    [
        (INT, "many", "Expected a whole number, got “many”."),
        (INT, "3", ""),
        (
            ParameterType("int", bounds=((">=", 1), ("<=", 9))),
            "0",
            "Expected a whole number from 1 to 9, got “0”.",
        ),
        (ParameterType("list", (INT,)), "1, x", "Expected whole numbers, separated by commas, got “1, x”."),
        (ParameterType("any"), "x", ""),
        (ParameterType("dict"), "x", ""),
    ],
)
def test_refusals(declared: ParameterType, value: str, text: str) -> None:
    """A wrong value is named with what is expected; a right one, and a type with errors of its own, gives nothing."""
    assert plain_refusal(declared, value) == text


@pytest.mark.parametrize("name", shipped_names())
def test_shipped_runbooks_have_no_jargon(name: str) -> None:
    """No help of a shipped runbook's field has a word of Python's types."""
    for field in runbook_spec(find_runbook(name), "Run").fields:
        words = field.help.replace("(", " ").replace(")", " ").replace(",", " ").split()
        assert not {"int", "float", "str", "bool", "list", "dict", "None", ">=", "<=", "path"} & set(words), (
            field.help
        )
