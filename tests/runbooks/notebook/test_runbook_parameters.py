"""Parameters: what a cell declares, what may be given for it, and what becomes of the value."""

from __future__ import annotations

import ast
import json
import re
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from papermill.translators import PythonTranslator, translate_parameters

import lcnb.runbooks.engine.papermill_engine
from lcnb.errors import ParameterError
from lcnb.runbooks.notebook.conversion import convert_value
from lcnb.runbooks.notebook.declarations import read_parameters
from lcnb.runbooks.notebook.parameters import check_values, effective_values, resolve_paths, to_json_values
from lcnb.runbooks.notebook.types import Parameter, ParameterType, WrittenText

NAN, INF = float("nan"), float("inf")


def declared(declaration: str) -> Parameter:
    (parameter,) = read_parameters(declaration)
    return parameter


def taken(declaration: str, value: object) -> Any:
    return check_values([declared(declaration)], {"x": value})["x"]


# --- values ---------------------------------------------------------------------------------------------

# Declaration, what is given, what the cell gets.
TAKEN = [
    ("x: int = 1", "7", 7),
    ("x: int = 1", " -7 ", -7),
    ("x: int = 1", "007", 7),
    ("x: int = 1", 1.0, 1),
    ("x: int = 1", np.int64(5), 5),
    ("x: int = 1", np.float64(3.0), 3),
    ("x: int | None = None", "3", 3),
    ("x: int | None = None", "null", None),
    ("x: Optional[int] = None", "3", 3),
    ("x: typing.Optional[int] = None", "", None),
    ("x: Union[int, str] = 1", "3", 3),
    ("x: Union[int, str] = 1", "three", "three"),
    ("x: str | int = 1", "3", 3),
    ("x: int | bool = 1", "1", 1),
    ("x: int | bool = 1", "true", True),
    ("x: int | float = 1", "1.5", 1.5),
    ("x: float = 1.0", "1e3", 1000.0),
    ("x: float = 1.0", 2, 2.0),
    ("x: float = 1.0", np.float32(0.5), 0.5),
    ("x: float | None = None", NAN, None),
    ("x: bool = True", "false", False),
    ("x: bool = True", "No", False),
    ("x: bool = True", 0, False),
    ("x: bool = False", " YES ", True),
    ("x: bool = False", "1", True),
    ("x: bool = True", np.bool_(False), False),
    ("x: str = ''", "false", "false"),
    ("x: str = ''", "", ""),
    ("x: str = ''", 5, "5"),
    ("x: str | None = None", "MIA1", "MIA1"),
    ("x: str | None = None", "None", None),
    ("x: str | None = None", pd.NA, None),
    ("x: str | None = None", NAN, None),
    ("x: 'str | None' = None", "null", None),
    ("x: 'int' = 1", "4", 4),
    ("x: Literal['USD', 'BRL'] = 'USD'", "brl", "BRL"),
    ("x: Literal[1, 2] = 1", "2", 2),
    ("x: Literal['off'] | None = None", "", None),
    ("x: Literal['none', 'all'] | None = None", "none", "none"),
    ("x: date = date.today()", "2026-01-31", "2026-01-31"),
    ("x: datetime.date | None = None", date(2026, 1, 31), "2026-01-31"),
    ("x: date | None = None", pd.Timestamp("2026-01-31 14:00"), "2026-01-31"),
    ("x: date | None = None", pd.NaT, None),
    ("x: datetime | None = None", "2026-01-31 14:00", "2026-01-31T14:00:00"),
    ("x: datetime | None = None", datetime(2026, 1, 31, 14), "2026-01-31T14:00:00"),
    ("x: datetime | None = None", np.datetime64("2026-01-31T14:00", "ns"), "2026-01-31T14:00:00"),
    ("x: Annotated[int, Ge(1)] = 1", "1", 1),
    ("x: Annotated[float, annotated_types.Interval(gt=0, le=1)] = 1", "1", 1.0),
    ("x: Annotated[int | None, Ge(1)] = None", "", None),
    ("x: Annotated[str, Ge(1)] = ''", "a", "a"),
    ("x: list[str] = []", "a, b", ["a", "b"]),
    ("x: list[str] = []", '["a, b", "c"]', ["a, b", "c"]),
    ("x: list[str] = []", "", []),
    ("x: list[str] = []", ("a", "b"), ["a", "b"]),
    ("x: list[int] = []", "1,2", [1, 2]),
    ("x: list[int] = []", np.array([1, 2]), [1, 2]),
    ("x: list[str] | None = None", pd.Series(["a", "b"]), ["a", "b"]),
    ("x: list[str | None] = []", pd.Series(["a", None]), ["a", None]),
    ("x: dict = {}", '{"a": [1]}', {"a": [1]}),
    ("x: dict[str, int] = {}", {"a": "1", "b": np.int64(2)}, {"a": 1, "b": 2}),
    ("x: Path = Path('.')", "a b/{c}", "a b/{c}"),
    ("x: pathlib.Path = Path('.')", Path("a/b"), "a/b"),
    ("x = 30", "7", 7),
    ("x = -1", "7", 7),
    ("x = True", "off", False),
    ("x = 0.5", "1", 1.0),
    ("x = 'a'", "1", "1"),
    ("x = ['a']", "b,c", ["b", "c"]),
    ("x = [1]", "2,3", [2, 3]),
    ("x = None", "5", "5"),
    ("x = 7 * 24", "5", "5"),
    ("x: Any = None", (1, [2]), [1, [2]]),
    ("x: Fancy[int] = None", {"a": 1}, {"a": 1}),
    # the type of a default
    ("x = not False", "no", False),
    ("x = {1: 'one'}", {2: "two"}, {2: "two"}),
    ("x = {}", {"a": {"b": 1}}, {"a": {"b": 1}}),
    ("x: str = ''", "x=1; import os", "x=1; import os"),
    ("x = 'a'", "'; import os; '", "'; import os; '"),
    ("x = None", "__import__('os')", "__import__('os')"),
    ("x: list[str] = []", "__import__('os'),\\", ["__import__('os')", "\\"]),
]  # fmt: skip


@pytest.mark.parametrize(("declaration", "value", "converted"), TAKEN)
def test_taken(declaration: str, value: object, converted: object) -> None:
    """A value is read as a person means it and arrives as plain Python of the declared type."""
    got = taken(declaration, value)
    assert (type(got), got) == (type(converted), converted)


# Declaration, what is given, what the error says of it.
REFUSED = [
    ("x: int = 1", "seven", "'seven' is not a whole number."),
    ("x: int = 1", "1e3", "'1e3' is not a whole number."),
    ("x: int = 1", "1.0", "'1.0' is not a whole number."),
    ("x: int = 1", "1_000", "'1_000' is not a whole number."),
    ("x: int = 1", "٣", "'٣' is not a whole number."),
    ("x: int = 1", "--1", "'--1' is not a whole number"),
    ("x: int = 1", "", "'' is not a whole number."),
    ("x: int = 1", 1.5, "1.5 is not a whole number."),
    ("x: int = 1", True, "True is not a whole number (a flag is not a number)."),
    ("x: int = 1", None, "None is not a whole number."),
    ("x: int = 1", NAN, "nan is not a whole number."),
    ("x: int = 1", INF, "inf is not a whole number."),
    ("x: int = 1", "__import__('os')", "is not a whole number."),
    ("x: int | None = None", "many", "'many' is not a whole number or None."),
    ("x: float = 1.0", "nan", "'nan' is not a number (it must be finite)."),
    ("x: float = 1.0", NAN, "nan is not a number (it must be finite)."),
    ("x: float = 1.0", "-inf", "'-inf' is not a number (it must be finite)."),
    ("x: float = 1.0", "1e999", "'1e999' is not a number (it must be finite)."),
    ("x: float = 1.0", 10**400, "is not a number (it is too large)."),
    ("x: float = 1.0", "1_0.5", "'1_0.5' is not a number."),
    ("x: float = 1.0", False, "False is not a number."),
    ("x: bool = True", "maybe", "'maybe' is not true or false."),
    ("x: bool = True", 2, "2 is not true or false."),
    ("x: bool = True", None, "None is not true or false."),
    ("x: str = ''", ["a"], "['a'] is not a text."),
    ("x: str = ''", True, "True is not a text."),
    ("x: str = ''", None, "None is not a text."),
    ("x: str = ''", NAN, "nan is not a text."),
    ("x: str | None = None", True, "True is not a text or None."),
    ("x: Literal['USD', 'BRL'] = 'USD'", "EUR", "'EUR' is not one of 'USD', 'BRL'."),
    ("x: Literal['running', 'off'] | None = None", "runing", "None (did you mean 'running'?)."),
    ("x: Literal[1, 2] = 1", 3, "3 is not one of 1, 2."),
    ("x: Literal[1, 2] = 1", True, "True is not one of 1, 2."),
    ("x: date | None = None", "31.01.2026", "'31.01.2026' is not a date or None."),
    ("x: date = None", 5, "5 is not a date (write it as 2026-01-31)."),
    ("x: datetime = None", "noon", "'noon' is not a datetime"),
    ("x: datetime = None", date(2026, 1, 31), "is not a datetime (write it as 2026-01-31T14:00:00+00:00)."),
    ("x: Annotated[int, Ge(1)] = 1", "0", "'0' is not a whole number, at least 1 (it must be >= 1)."),
    ("x: Annotated[int, Gt(1), Lt(9)] = 2", 9, "9 is not a whole number, more than 1 and less than 9 (it must be < 9)."),
    ("x: Annotated[float, Interval(ge=0.5, le=1)] = 1", "1.5", "(it must be <= 1)."),
    ("x: Annotated[int | None, Ge(1)] = None", "0", "'0' is not a whole number, at least 1 or None (it must be >= 1)."),
    ("x: Annotated[Annotated[int, Ge(1)], Le(9)] = 1", "0", "'0' is not a whole number from 1 to 9"),
    ("x: list[int] = []", "1,b", "'1,b' is not a list of int."),
    ("x: list[int] = []", "[1", "'[1' is not a list of int"),
    ("x: list[int] = []", 5, "5 is not a list of int."),
    ("x: list = []", "[" * 100_000, "is not a list (it is nested too deeply)."),
    ("x: dict = {}", "[1]", "'[1]' is not a dict (write it as JSON)."),
    ("x: dict = {}", "a=1", "'a=1' is not a dict"),
    ("x: dict = {}", '{"a": NaN}', "is not a dict"),
    ("x: dict = {}", {"a": object()}, "(a value of type object cannot be written into a cell)."),
    ("x: dict[str, int] = {}", '{"a": "b"}', "is not a dict."),
    ("x: Path = Path('.')", " ", "' ' is not a path."),
    ("x: Path = Path('.')", "a\0b", r"'a\x00b' is not a path."),
    ("x: Path = Path('.')", None, "None is not a path."),
    ("x: Any = None", object, "(a value of type type cannot be written into a cell)."),
    ("x = None", NAN, "nan is not any value (a value of type float cannot be written into a cell)."),
]  # fmt: skip


@pytest.mark.parametrize(("declaration", "value", "told"), REFUSED)
def test_refused(declaration: str, value: object, told: str) -> None:
    """A value that cannot be meant is refused with the parameter, the value and its type; nothing is guessed."""
    with pytest.raises(ParameterError) as refused:
        taken(declaration, value)
    text = str(refused.value)
    assert text.startswith("parameter x: ")
    assert told in text
    assert text.endswith(" Nothing was started.")


NUMBERS = [
    ("x: float = 1.0", Decimal("1.25"), 1.25),
    ("x: float = 1.0", Fraction(1, 4), 0.25),
    ("x: float = 1.0", np.float16(0.5), 0.5),
    ("x: float = 1.0", np.longdouble(0.5), 0.5),
    ("x: float | None = None", Decimal("NaN"), None),
    ("x: float | None = None", pd.Series([1], dtype="Float64")[0], 1.0),
    ("x: int | float = 1", Decimal("2.0"), 2),
    ("x: int | float = 1", Decimal("2.5"), 2.5),
    ("x: int = 1", Decimal("1E+2"), 100),
    ("x: int = 1", Fraction(8, 4), 2),
    ("x: int | None = None", pd.Series([1, None], dtype="Int64")[1], None),
    ("x: Annotated[float, Gt(0), Le(1)] = 1", Decimal("0.1"), 0.1),
    ("x: str = ''", Decimal("1.50"), "1.50"),
    ("x: Literal[1, 2] = 1", Decimal("2"), 2),
    ("x: list[float] = []", [Decimal("0.5"), np.int8(1)], [0.5, 1.0]),
    ("x: dict[str, float] = {}", {"a": Decimal("0.5")}, {"a": 0.5}),
    ("x: Any = None", [Decimal("0.5"), {"a": Fraction(2, 1)}], [0.5, {"a": 2}]),
    ("x: float = 1.0", pa.scalar(Decimal("0.5")), 0.5),
    ("x: bool = False", np.bool_(True), True),
    ("x: date = None", pd.Timestamp("2026-01-31", tz="America/Sao_Paulo"), "2026-01-31"),
]  # fmt: skip
NUMBERS_REFUSED = [
    ("x: int = 1", Decimal("1.5"), "is not a whole number"),
    ("x: int = 1", Fraction(1, 3), "is not a whole number"),
    ("x: float = 1.0", Decimal("NaN"), "(it must be finite)"),
    ("x: int = 1", Decimal("1E+999999"), "(it is too large)"),
    ("x: bool = True", Decimal("2"), "Decimal('2') is not true or false"),
    ("x: str = ''", Decimal("NaN"), "is not a text"),
]  # fmt: skip


@pytest.mark.parametrize(("declaration", "value", "converted"), NUMBERS)
def test_c9_numbers(declaration: str, value: object, converted: object) -> None:
    """A number of another library or of a database is the number that it is."""
    got = taken(declaration, value)
    assert (type(got), got) == (type(converted), converted)


@pytest.mark.parametrize(("declaration", "value", "told"), NUMBERS_REFUSED)
def test_c9_refused(declaration: str, value: object, told: str) -> None:
    """One that is not of the type, or that no cell can hold, is refused."""
    with pytest.raises(ParameterError, match=re.escape(told)):
        taken(declaration, value)


KEYS = [
    ("x: dict[int, str] = {}", {7: "seven"}, {7: "seven"}),
    ("x: dict[int, str] = {}", '{"7": "seven"}', {7: "seven"}),
    ("x: dict[int, str] = {}", {np.int64(7): "seven", Decimal(8): "eight"}, {7: "seven", 8: "eight"}),
    ("x: dict[str, list[int]] = {}", {"a": ("1", 2)}, {"a": [1, 2]}),
    ("x: Dict[date, float] = {}", {date(2026, 1, 31): 1, pd.Timestamp("2026-02-01"): 2}, {"2026-01-31": 1.0, "2026-02-01": 2.0}),
    ("x: dict[bool, str] = {}", {True: "on", False: "off"}, {True: "on", False: "off"}),
    ("x: dict[bool, str] = {}", '{"true": "on"}', {True: "on"}),
    ("x: dict[float, int] = {}", {1: 1, "0.5": 2}, {1.0: 1, 0.5: 2}),
    ("x: dict[tuple[int, str], float] = {}", {(1, "a"): 2}, {(1, "a"): 2.0}),
    ("x: dict[tuple[int, ...], float] = {}", '{"[1, 2]": 2, "3": 1}', {(1, 2): 2.0, (3,): 1.0}),
    ("x: dict[int, dict[str, dict[int, int]]] = {}", {1: {"a": {2: 3}}}, {1: {"a": {2: 3}}}),
    ("x: dict[Literal['cpu', 'ram'], int] = {}", {"CPU": 1}, {"cpu": 1}),
    ("x: dict[int | str, int] = {}", {1: 1, "a": 2}, {1: 1, "a": 2}),
    ("x: dict[int | None, int] = {}", {None: 1}, {None: 1}),
    ("x: list[dict[int, int]] = []", [{1: 2}], [{1: 2}]),
    ("x: Mapping[int, str] | None = None", {7: "seven"}, {7: "seven"}),
    ("x: defaultdict[int, int] = {}", {7: 1}, {7: 1}),
]  # fmt: skip
KEYS_REFUSED = [
    ("x: dict[int, str] = {}", {"x": "seven"}, "is not a dict (the key 'x' is not a whole number)."),
    ("x: dict[int, str] = {}", {1.5: "a"}, "the key 1.5 is not a whole number"),
    ("x: dict[int, str] = {}", {True: "a"}, "the key True is not a whole number: a flag is not a number"),
    ("x: dict[int, str] | None = None", {"x": "seven"}, "the key 'x' is not a whole number"),
    ("x: dict[str, list[int]] = {}", {("a",): [1]}, "the key ('a',) is not a text"),
    ("x: dict[date, float] = {}", {"31.01.2026": 1}, "the key '31.01.2026' is not a date"),
    ("x: dict[bool, str] = {}", {"maybe": "a"}, "the key 'maybe' is not true or false"),
    ("x: dict[tuple[int, str], int] = {}", {(1,): 2}, "the key (1,) is not a tuple of int, text: it has 2 values"),
    ("x: dict[int, dict[int, int]] = {}", {1: {"b": 2}}, "the key 'b' is not a whole number"),
    ("x: dict[Literal['cpu'], int] = {}", {"disk": 1}, "the key 'disk' is not one of 'cpu'"),
    ("x: dict[int, str] = {}", {1: "a", "1": "b"}, "two of its keys become 1"),
    ("x: dict = {}", {7: "seven"}, "the key 7 is not a text, and the type of the keys is not declared: declare it, such as dict[int"),
    ("x = {}", {(1, 2): "a"}, "the key (1, 2) is not a text"),
    ("x: Any = None", [{7: "seven"}], "the key 7 is not a text"),
]  # fmt: skip


@pytest.mark.parametrize(("declaration", "value", "converted"), KEYS)
def test_a10_keys(declaration: str, value: object, converted: object) -> None:
    """The keys of a dict are converted to their declared type."""
    got = taken(declaration, value)
    assert (got, repr(got)) == (converted, repr(converted))


@pytest.mark.parametrize(("declaration", "value", "told"), KEYS_REFUSED)
def test_a10_refused(declaration: str, value: object, told: str) -> None:
    """A key that is not of its type, or whose type nobody declared, is refused and named."""
    with pytest.raises(ParameterError, match=rf"^parameter x: .*{re.escape(told)}.* Nothing was started\.$"):
        taken(declaration, value)


def test_refusal_helps() -> None:
    """A refusal repeats the help that stands behind the parameter."""
    with pytest.raises(
        ParameterError, match=r"^parameter x: 'a' is not a whole number\. It means: days to keep\. N"
    ):
        taken("x: int = 30  # days to keep", "a")


ANNOTATIONS = st.recursive(
    st.sampled_from(
        ["int", "float", "bool", "str", "None", "date", "datetime", "Path", "Any", "list", "dict", "Unknown",
         "Literal['a', 'None', 1, True]", "Annotated[int, Ge(1), Le(9)]", "Annotated[float, Interval(gt=0)]"]
    ),
    lambda inner: st.one_of(
        st.builds("{} | {}".format, inner, inner),
        st.builds("Optional[{}]".format, inner),
        st.builds("list[{}]".format, inner),
        st.builds("dict[str, {}]".format, inner),
        st.builds("Annotated[{}, Ge(0), Lt(5)]".format, inner),
    ),
    max_leaves=4,
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
TEXTS = st.text() | st.sampled_from(
    ["1", "-0", "1e400", "true", "null", "nan", "2026-02-30", "2026-02-03", "a,b", "[1, null]", '{"a": {}}', "[", "[" * 9999]
)  # fmt: skip
VALUES = (
    TEXTS | JSON | st.sampled_from([10**400, b"a", (1,), {1}, object(), date(2026, 1, 2), {1: 2}, Path("a")])
)


def is_a(kind: ParameterType, value: Any) -> bool:
    """Whether a value is one of the type, after what the annotation says."""
    if kind.kind == "union":
        return any(is_a(part, value) for part in kind.parts)
    if kind.kind == "literal":
        return any(type(value) is type(each) and value == each for each in kind.values)
    if kind.kind == "list":
        return isinstance(value, list) and all(is_a(part, item) for part in kind.parts for item in value)
    if kind.kind == "dict":
        inner = kind.parts[1:]
        return isinstance(value, dict) and all(is_a(part, item) for part in inner for item in value.values())
    if kind.kind == "any":
        return True
    name = {"date": "str", "datetime": "str", "path": "str", "none": "NoneType"}.get(kind.kind, kind.kind)
    return type(value).__name__ == name and all(
        {">=": value >= limit, ">": value > limit, "<=": value <= limit, "<": value < limit}[sign]
        for sign, limit in kind.bounds
    )


@settings(max_examples=300, deadline=None)
@given(annotation=ANNOTATIONS, value=VALUES)
@example(annotation="Annotated[str, Ge(1)]", value="a")
@example(annotation="float", value=10**400)
def test_convert(annotation: str, value: object) -> None:
    """For any type and value `convert` gives a value of that type or a ValueError, and nothing else."""
    kind = declared(f"x: {annotation} = None").type
    try:
        converted = convert_value(kind, value)
    except ValueError:
        return
    assert is_a(kind, converted)
    assert PythonTranslator.codify({"x": converted}).count("\n") == 2


@settings(max_examples=150, deadline=None)
@given(value=st.text(st.characters()) | JSON)
@example(value='\\"; import os; "')
@example(value="line\nend\u2028\udc80")
def test_arrives(value: Any) -> None:
    """What is taken arrives in the cell as that very value: one assignment of a literal, no code."""
    try:
        converted = taken("x: Any = None", value)
    except ParameterError:
        return
    (statement,) = ast.parse(PythonTranslator.codify({"x": converted})).body
    assert isinstance(statement, ast.Assign)
    assert ast.literal_eval(statement.value) == converted


# --- names ----------------------------------------------------------------------------------------------

NAMES = "days: int = 30\nlocation: str | None = None"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("dys", "no parameter 'dys' (did you mean 'days'?). Parameters: days, location."),
        ("Days", "no parameter 'Days' (did you mean 'days'?)."),
        ("class", "no parameter 'class'. Parameters: days, location."),
        ("None", "no parameter 'None'. "),
        ("", "no parameter ''. "),
        (5, "no parameter '5'. "),
        ("x=1; import os", "no parameter 'x=1; import os'. "),
        ("__import__('os')", "no parameter \"__import__('os')\". "),
        ("token", "no parameter 'token'. A secret cannot be a parameter, because parameters are saved"),
        ("LETSCLOUD_API_KEY", "A secret cannot be a parameter"),
    ],
)
def test_unknown_name(name: Any, told: str) -> None:
    """A name that is not declared is refused with a near one and all there are, and its value is not told."""
    with pytest.raises(ParameterError) as refused:
        check_values(read_parameters(NAMES), {"days": 1, name: "hunter2"})
    text = str(refused.value)
    assert told in text
    assert "hunter2" not in text
    assert text.endswith("Nothing was started.")


def test_none_declared() -> None:
    """A runbook without parameters says so."""
    with pytest.raises(ParameterError, match=r"no parameter 'days'\. This notebook takes none: "):
        check_values(read_parameters(""), {"days": 1})


@pytest.mark.parametrize(
    "name", ["token", "API_KEY", "db_password", "client_secret", "privatekey", "credentials"]
)
def test_secret_declared(name: str) -> None:
    """A parameter that looks like a secret is refused where it is declared, without its default."""
    with pytest.raises(
        ParameterError, match=rf"nightly: the parameter '{name}' looks like a secret"
    ) as refused:
        read_parameters(f"{name}: str = 'hunter2'", "nightly")
    assert "hunter2" not in str(refused.value)


# --- the account's values -------------------------------------------------------------------------------


def asked(value: object, known: list[str] | None) -> Any:
    return check_values(read_parameters(NAMES), {"location": value, "days": 3}, lambda kind: known)[
        "location"
    ]


@pytest.mark.parametrize(
    ("given", "known", "taken"),
    [
        ("MIA1", ["MIA1", "SAO1"], "MIA1"),
        ("mia1", ["MIA1", "SAO1"], "MIA1"),
        ("anything", None, "anything"),
        (None, [], None),
    ],
)
def test_known_location(given: object, known: list[str] | None, taken: object) -> None:
    """A location is taken in any case, as the account writes it; without an account any text is."""
    assert asked(given, known) == taken


@pytest.mark.parametrize(
    ("known", "told"),
    [
        (
            ["SAO1", "MIA1"],
            r"'MAI1' is not one of the account's \(did you mean 'MIA1'\?\)\. Known: MIA1, SAO1\.",
        ),
        ([], r"'MAI1' is not one of the account's\. Known: none\. Nothing was started\."),
    ],
)
def test_unknown_location(known: list[str], told: str) -> None:
    """A location that the account does not know is refused with a near one and all there are."""
    with pytest.raises(ParameterError, match=told):
        asked("MAI1", known)


# --- the cell -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("", []),
        ("import os\nfrom typing import Literal", []),
        ("x = 1\ny: int = 2", ["x", "y"]),
        ("x = y = 1", ["x", "y"]),
        ("x = 1; y = 2", ["x", "y"]),
        ("a, b = 1, 2\nx += 1\nc.d = 1\ne[0] = 1", []),
        ("if True:\n    x = 1", []),
        ("x = 1\nx: str = 'later'", ["x"]),
        ("x: int", ["x"]),
        ("date = date.today()\nstart: date = date", ["date", "start"]),
        ("path: Path = Path('.')\nPath = 'a'\nx: Path = 1", ["path", "Path", "x"]),
        ("x: int\nx = 1", ["x"]),
        ("from typing import Literal\nSize = Literal['s']\nx: Size = 's'", ["x"]),
        ("Size: TypeAlias = int\nx: 'Size' = 1\nSpare = 2", ["x", "Spare"]),
        ("ünïcode = 1", ["ünïcode"]),
    ],
)
def test_declarations(source: str, names: list[str]) -> None:
    """Each plain assignment of the cell is a parameter, in order; nothing else is."""
    assert [each.name for each in read_parameters(source)] == names


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("x = 1  # how many", "how many"),
        ("x = 1  ## how # many #", "how # many #"),
        ("x = '# no help'", ""),
        ("x = '#1'  # which one", "which one"),
        ("x = '''\n# no help\n'''", ""),
        ("x = [\n    1,  # not this\n]  # this", "this"),
        ("# above\nx = 1\n# below", ""),
    ],
)
def test_help(source: str, text: str) -> None:
    """The comment that ends a declaration is its help; a `#` inside of a text is none."""
    assert declared(source).help == text


@pytest.mark.parametrize(
    ("declaration", "text"),
    [
        ("x: int | None = None", "int or None"),
        ("x: Optional[str] = None", "text or None"),
        ("x: Literal['a', 2] = 'a'", "one of 'a', 2"),
        ("x: Annotated[int, Interval(ge=1, le=9)] = 1", "int >= 1 <= 9"),
        ("x: Annotated[list[int], Ge(1)] = 1", "list of int"),
        ("x: list[str] = []", "list of text"),
        ("x: Mapping[str, int] = {}", "dict"),
        ("x: pd.Timestamp = None", "datetime"),
        ("x: 'not a [type' = None", "any value"),
        ("x = [1, 'a']", "list of any value"),
        ("x = (1, 2)", "list of int"),
        ("x: Annotated[int, Le(1234567)] = 1", "int <= 1234567"),
    ],
)
def test_type_text(declaration: str, text: str) -> None:
    """A type is told in words."""
    assert declared(declaration).type_text == text


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("x = (", r"nightly: .* is not valid Python \(line 1: .*\)\. .* Nothing was started\."),
        ("x = 1\n  y = 2", "line 2: unexpected indent"),
        ("%matplotlib inline\nx = = 1", "line 2: invalid syntax"),
        ("x = 1\0", "is not valid Python"),
        ("x = " + "(" * 5000, "is not valid Python"),
    ],
)
def test_broken_cell(source: str, told: str) -> None:
    """A cell that is no valid Python is refused with its runbook, line and problem."""
    with pytest.raises(ParameterError, match=told):
        read_parameters(source, "nightly")


@pytest.mark.parametrize(
    ("declaration", "value"),
    [
        ("x = None", None),
        ("x = [1]", [1]),
        ("x = date.today()", "date.today()"),
        ("x = {1, 2}", "{1, 2}"),
        ("x = {(1, 2): 3}", "{(1, 2): 3}"),
        ("x = 1e999", "1e309"),
        ("x = b'a'", "b'a'"),
    ],
)
def test_effective(declaration: str, value: object) -> None:
    """A run is written down with all its parameters: the given ones, else the defaults, as JSON can hold them."""
    parameters = read_parameters(f"{declaration}\ny: int = 1")
    assert effective_values(parameters, check_values(parameters, {"y": "5"})) == {"x": value, "y": 5}


# --- the account ----------------------------------------------------------------------------------------

ACCOUNT: dict[str, list[str]] = {
    "location": ["MIA1", "SAO1"],
    "plan": ["1vcpu-1gb-10ssd"],
    "image": ["debian-12-x86_64"],
    "label": ["web-01", "Web-02"],
}


@pytest.mark.parametrize(
    ("source", "value", "expected"),
    [
        ("location: str = ''", "mia1", "MIA1"),
        ("location: str | None = None", "none", None),
        ("location: str = ''", "", ""),
        ("plan: str = ''", "1VCPU-1gb-10ssd", "1vcpu-1gb-10ssd"),
        ("image: str = ''", "debian-12-x86_64", "debian-12-x86_64"),
        ("label: str = ''", "web-01", "web-01"),
        ("instance: str | None = None", "Web-02", "Web-02"),
        ("labels: list[str] = []", "web-01,Web-02", ["web-01", "Web-02"]),
        ("instances: list[str] = []", [], []),
        ("new_label: str = ''", "web-99", "web-99"),
        ("labels: list[int] = []", [1], [1]),
        ("selection: str = ''", "state == 'off'", "state == 'off'"),
        ("selection: str = ''", "", ""),
    ],
)
def test_of_the_account(source: str, value: Any, expected: Any) -> None:
    """A parameter whose name says what it is of the account is taken as the account has it."""
    (parameter,) = read_parameters(source)
    assert check_values([parameter], {parameter.name: value}, ACCOUNT.get) == {parameter.name: expected}


@pytest.mark.parametrize(
    ("source", "value", "told"),
    [
        ("location: str = ''", "MIA9", "parameter location: 'MIA9' is not one of the account's .did you mean 'MIA1'"),
        ("plan: str = ''", "9vcpu", "parameter plan: '9vcpu'"),
        ("image: str = ''", "debian-13-x86_64", "did you mean 'debian-12-x86_64'"),
        ("label: str = ''", "WEB-01", "parameter label: 'WEB-01' is not one"),
        ("instance: str = ''", "web-03", "Known: Web-02, web-01. Nothing was started."),
        ("labels: list[str] = []", ["web-01", "web-03"], "parameter labels: 'web-03'"),
        ("instances: list[str] = []", "x", "parameter instances: 'x'"),
        ("selection: str = ''", "stat == 'off'", "parameter selection .*there is no column 'stat'.*Nothing was started"),
        ("selection: str = ''", "state == 'runing'", "no machine can have the state 'runing'.*did you mean 'running'.*Nothing was started"),
        ("selection: str = ''", "state = 'off'", "parameter selection .*write =="),
        ("selection: str = ''", "cpus == 'many'", "cpus is a number"),
    ],
)  # fmt: skip
def test_not_of_the_account(source: str, value: Any, told: str) -> None:
    """What the account has not, and what selects nothing sensible, is refused before anything starts."""
    (parameter,) = read_parameters(source)
    with pytest.raises(ParameterError, match=told):
        check_values([parameter], {parameter.name: value}, ACCOUNT.get)


def test_only_what_is_needed() -> None:
    """The account is asked for what a given parameter needs, and for nothing else."""
    asked: list[str] = []

    def known(kind: str) -> list[str]:
        asked.append(kind)
        return ACCOUNT[kind]

    parameters = read_parameters("location: str = ''\nlabels: list[str] = []\nplan: str = ''\nfree: str = ''")
    check_values(parameters, {"labels": ["web-01"], "free": "x", "plan": ""}, known)
    assert asked == ["label"]


def test_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths, defaults too, are seen from the caller's folder; a file that is to be read must be there."""
    monkeypatch.chdir(tmp_path)
    parameters = read_parameters("fleet: Path = 'fleet.csv'\nout: Path | None = None\ndays: int = 1")
    with pytest.raises(
        ParameterError, match=rf"parameter fleet: the file {tmp_path}/fleet.csv does not exist"
    ):
        resolve_paths(parameters, {})
    (tmp_path / "fleet.csv").mkdir()
    with pytest.raises(ParameterError, match="is a folder"):
        resolve_paths(parameters, {})
    (tmp_path / "mine.csv").touch()
    assert resolve_paths(parameters, {"fleet": "mine.csv", "days": 2}) == {
        "fleet": f"{tmp_path}/mine.csv",
        "days": 2,
    }
    assert (
        resolve_paths(parameters, {"fleet": "mine.csv", "out": "new.json"})["out"] == f"{tmp_path}/new.json"
    )


def test_where_a_secret_is_kept() -> None:
    """The path of a file with secrets can be a parameter; a text of that name cannot."""
    assert declared("credentials_file: Path | None = None").name == "credentials_file"
    with pytest.raises(ParameterError, match="looks like a secret"):
        declared("credentials_file: str = ''")


# --- without a type -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        "limit = None",
        "wait_s = 60 * 60",
        "x = int('5')",
        "a = b = 7 * 24",
        "when = date.today()",
        "x: Any = 5",
    ],
)
@pytest.mark.parametrize(
    "text", ["10", "-3", "+7", "1_0", " 7 ", "007", "1e-3", ".5", "1.0", "True", "False", "None", "true", "none", "abc", "", "2026-01-31", "[1]", "0x10"]
)  # fmt: skip
def test_c4_by_looks(source: str, text: str) -> None:
    """What is written for a parameter without a type is read as papermill's command line reads it."""
    from papermill.cli import _resolve_type

    parameters = read_parameters(source)
    got = check_values(parameters, {parameters[0].name: WrittenText(text)})[parameters[0].name]
    assert (type(got), got) == (type(_resolve_type(text)), _resolve_type(text))


@pytest.mark.parametrize("text", ["nan", "inf", "-Infinity", "1e999", "9" * 5000])
def test_c4_not_finite(text: str) -> None:
    """A text that papermill would read as a number that JSON does not have is refused with what helps."""
    with pytest.raises(ParameterError, match=r"not finite; declare it as str if it is a text\)"):
        taken("x = None", WrittenText(text))


@pytest.mark.parametrize(
    ("source", "text", "converted"),
    [
        ("rate = 1e-3", "2", 2.0),
        ("names = []", "a, 7", ["a", "7"]),
        ("names = []", '[7, "7"]', [7, "7"]),
        ("flag = not False", "false", False),
        ("x = 'a'", "10", "10"),
        ("x: str | None = None", "10", "10"),
        ("x: list[str] = []", "1,2", ["1", "2"]),
        ("x: dict = {}", '{"a": "1"}', {"a": "1"}),
        ("x = None", "{'a': 1}", "{'a': 1}"),
    ],
)
def test_c4_with_a_type(source: str, text: str, converted: object) -> None:
    """With a type, by declaration or by its default, the same text is of that type; what is within JSON stays as it is."""
    (parameter,) = read_parameters(source)
    got = check_values([parameter], {parameter.name: WrittenText(text)})[parameter.name]
    assert (type(got), got) == (type(converted), converted)


def test_c4_as_given_by_code() -> None:
    """A text that code passes stays one."""
    assert taken("x = None", "10") == "10"


@pytest.mark.parametrize(
    "source",
    ["max_tokens: int = 5", "max_tokens = None", "tokenizer: str = 'gpt'", "secret_name: str = 'db'", "password_length = 12",
     "keyboard = 'us'", "passport = ''", "token_count = 3", "nTokens: int", "tokens_per_minute = None", "passwordless: bool = True",
     "use_token = False", "rotate_secret: bool", "token: Literal['none', 'basic'] = 'none'", "password_expires: date | None = None",
     "secretName = ''", "api_key_name = ''", "tokenize = 'yes'", "secretary = ''", "TOKEN_TTL = '1h'", "credential_type: str = 'ssh'",
     "compass = ''", "token_file: Path", "privateKeyPath: Path | None = None", "password_policy = 'strong'", "key = 'a'", "private = True", "api = ''", "ssh_key: str = 'ops'"],
)  # fmt: skip
def test_c8_no_secret(source: str) -> None:
    """Part of a word, a number, a flag, a choice, or what is said about a secret is none."""
    read_parameters(source)


@pytest.mark.parametrize(
    "source",
    ["api_token: str = ''", "rootPassword = ''", "DB_PASSWD: str", "private_key: str | None = None", "token = None", "dbpassword = ''",
     "APIKey = ''", "apiKey: str", "authToken = ''", "clientsecret = ''", "PASSWORD: Any = None", "tokens: list[str] = []",
     "passwords: dict[str, str] = {}", "token2 = ''", "github_token_ci = ''", "secret_key = ''", "credentials = ''", "passphrase = ''",
     "new_password: str | int = ''", "root_passwords: list = []", "privateKey = ''", "x_api_key = ''", "token: Fancy = None"],
)  # fmt: skip
def test_c8_secret(source: str) -> None:
    """A text with such a name, however the words are joined, is a secret."""
    with pytest.raises(ParameterError, match=r"looks like a secret\. .*os\.environ"):
        read_parameters(source)


# --- keys arrive ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declaration", "value"),
    [
        ("dict[int, str]", {7: "seven", -1: 'it\'s "so"'}),
        ("dict[str, list[int]]", {"a": [1, 2], "": []}),
        ("dict[date, float]", {"2026-01-31": 0.5}),
        ("dict[bool, dict[float, None]]", {True: {0.5: None}, False: {}}),
        ("dict[tuple[int, str], int]", {(1, "a"): 1, (2, "b'"): 2}),
        ("dict[tuple[int, ...], int]", {(1,): 1, (): 2}),
        ("dict[tuple[tuple[int, int], str], int]", {((1, 2), "a"): 1}),
        ("dict[int | str | None, int]", {1: 1, "one": 2, None: 3}),
        ("list[dict[int, str]]", [{1: "a"}]),
    ],
)
def test_a10_arrives(declaration: str, value: Any) -> None:
    """Keys are written into the cell with their type; from the record of a run the same values are made again."""
    assert not lcnb.runbooks.engine.parameter_cell.why_unwritable("python3", "python", {"m": value})
    parameters = read_parameters(f"m: {declaration}")
    checked = check_values(parameters, {"m": value})
    assert checked == {"m": value}
    (statement,) = ast.parse(translate_parameters("python3", "python", checked)).body
    assert isinstance(statement, ast.Assign)
    arrived = ast.literal_eval(statement.value)
    assert (arrived, repr(arrived)) == (value, repr(value))
    again = check_values(parameters, json.loads(json.dumps(to_json_values(checked))))
    assert (again, repr(again)) == (checked, repr(checked))


# --- magics ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "magic",
    ["%load_ext autoreload", "!pip install pandas", "?int", "int?", "%%time", "%%capture out", "%matplotlib inline", "!!ls",
     "files = !ls", "a = %env HOME", "%%time\n%%capture", "!pip install \\\n    pandas", "if True:\n    !ls", "%pip install -q 'a==1'",
     "!{sys.executable} -m pip", "%timeit 1 + 1", ",print a"],
)  # fmt: skip
def test_c13_skipped(magic: str) -> None:
    """Magics, shell commands and questions in the cell declare nothing; the parameters around them are found."""
    source = (
        f"{magic}\ndays: int = 30  # back\n"
        if magic.startswith("%%")
        else f"a_ = 1\n{magic}\ndays: int = 30  # back\n"
    )
    found = {each.name: (each.type_text, each.default, each.help) for each in read_parameters(source)}
    assert found["days"] == ("int", 30, "back")


@pytest.mark.parametrize(
    "magic", ["%%bash", "%%R", "%%writefile a.py", "%%sql", "\n%%html", "%%timeit", "%%time\n%%bash"]
)
def test_c13_refused(magic: str) -> None:
    """A cell that is not run in the notebook has no parameters: that is told, with what helps."""
    with pytest.raises(
        ParameterError, match=r"begins with %%\w+, so .* into another cell with that tag\. Nothing was"
    ):
        read_parameters(f"{magic}\ndays = 30", "nightly")
