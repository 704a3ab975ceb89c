"""Fifty declarations as people write them: what each is read as, takes, hands to the notebook, and refuses.

All of them stand in one cell and run in one kernel. Then ten thousand odd names and values: none becomes code.
"""

from __future__ import annotations

import ast
import json
import random
import string
from dataclasses import dataclass
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any

import nbformat
import pytest
from papermill.parameterize import parameterize_notebook

from conftest import write_notebook
from lcnb.errors import ParameterError
from lcnb.runbooks.notebook.declarations import read_parameters
from lcnb.runbooks.notebook.find import find_runbook
from lcnb.runbooks.notebook.help import describe_runbooks
from lcnb.runbooks.notebook.parameters import check_required, check_values, effective_values
from lcnb.runbooks.notebook.types import Parameter
from lcnb.runbooks.run import run_runbook

NAN = float("nan")
HEAD = """\
import datetime as dt
import enum
import os
import typing
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from enum import Enum, IntEnum, StrEnum, auto
from pathlib import Path
from typing import Annotated, Any, Dict, List, Literal, Optional, Tuple, TypeAlias, Union

import annotated_types
import pandas as pd
from annotated_types import Ge, Gt, Interval, Le, Len, Lt, MaxLen, MinLen

"""
REQUIRED = "(required)"


@dataclass(frozen=True)
class Case:
    """A declaration of NAME: its type in words, its default as a record holds it, what is given, what arrives, what
    is refused."""

    source: str
    type: str
    default: Any
    given: Any
    arrives: Any
    refused: Any
    help: str = ""


CASES = [
    # numbers, flags, texts
    Case("NAME: int = 30  # days to look back", "int", 30, "7", 7, "seven", "days to look back"),
    Case("NAME: int  # which machine", "int", REQUIRED, "7", 7, "", "which machine"),
    Case("NAME: int = -1", "int", -1, "-20", -20, "- 20"),
    Case("NAME: float = 0.75", "float", 0.75, "1e-3", 0.001, "nan"),
    Case("NAME: float = -0.5", "float", -0.5, -2, -2.0, "1,5"),
    Case("NAME: bool = True", "bool", True, "false", False, "nope"),
    Case("NAME: bool = False", "bool", False, "on", True, "2"),
    Case("NAME: str = 'a = b # c'  # with = and #", "text", "a = b # c", "x=1 # y", "x=1 # y", True, "with = and #"),
    Case("NAME: str = \"it's \\\"so\\\"\"", "text", "it's \"so\"", "'); import os; ('", "'); import os; ('", None),
    Case("NAME: str = '''two\nlines # no help\n'''", "text", "two\nlines # no help\n", "a\nb\\n", "a\nb\\n", ["a"]),
    Case("NAME = 7", "int", 7, "8", 8, "8.5"),
    Case("NAME = 'MIA1'", "text", "MIA1", "{SAO1}", "{SAO1}", NAN),
    Case("NAME = 0.5", "float", 0.5, "2", 2.0, "half"),
    Case("NAME = False", "bool", False, "yes", True, "truthy"),
    # either, or
    Case("NAME: int | None = None", "int or None", None, "5", 5, "five"),
    Case("NAME: Optional[str] = None  # a label", "text or None", None, "web-01", "web-01", True, "a label"),
    Case("NAME: Union[int, str] = 'all'", "int or text", "all", "12", 12, [1]),
    Case("NAME: int | float | None = 1", "int or float or None", 1, "2.5", 2.5, "lots"),
    Case("NAME: 'int | None' = 3", "int or None", 3, "null", None, "x"),
    Case("NAME: Optional['Literal[1, 2]'] = None", "one of 1, 2 or None", None, "2", 2, "3"),
    # choices
    Case("NAME: Literal['USD', 'BRL'] = 'USD'", "one of 'USD', 'BRL'", "USD", "brl", "BRL", "EUR"),
    Case("NAME: typing.Literal['on', 'off'] | None = None", "one of 'on', 'off' or None", None, "OFF", "off", "of"),
    Case("NAME: Literal[-1, 0, 1] = 0", "one of -1, 0, 1", 0, "-1", -1, "2"),
    Case("class Size(Enum):\n    SMALL = 's'\n    LARGE = 'l'\nNAME: Size = Size.SMALL  # how big",
         "one of 's', 'l'", "s", "large", "l", "medium", "how big"),
    Case("class State(StrEnum):\n    'A machine.'\n    RUNNING = auto()\n    OFF = auto()\nNAME: State | None = None",
         "one of 'running', 'off' or None", None, "Off", "off", "gone"),
    Case("class Level(IntEnum):\n    LOW = 1\n    HIGH = 5\n    TOP = auto()\nNAME: Level = Level(5)",
         "one of 1, 5, 6", 5, "top", 6, "2"),
    Case("class Plan(str, enum.Enum):\n    A = '1vcpu'\n    B = '2vcpu'\nNAME: list[Plan] = [Plan.A]",
         "list of one of '1vcpu', '2vcpu'", "[Plan.A]", "A,2vcpu", ["1vcpu", "2vcpu"], "A,C"),
    Case("Zone = Literal['MIA1', 'SAO1']\nNAME: Zone = 'MIA1'", "one of 'MIA1', 'SAO1'", "MIA1", "sao1", "SAO1", "LON1"),
    Case("Days: TypeAlias = Annotated[int, Ge(1)]\nNAME: Days | None = None", "int >= 1 or None", None, "1", 1, "0"),
    # bounds
    Case("NAME: Annotated[int, Ge(1), Le(9)] = 3", "int >= 1 <= 9", 3, "9", 9, "10"),
    Case("NAME: Annotated[float, Gt(0), Lt(1)] = 0.5", "float > 0 < 1", 0.5, "0.999", 0.999, "1"),
    Case("NAME: Annotated[int, Interval(ge=0, le=1000000)] = 0", "int >= 0 <= 1000000", 0, "1000000", 1000000, "1000001"),
    Case("NAME: Annotated[str, MinLen(1), MaxLen(8)] = 'web'", "text length >= 1 length <= 8", "web", "a", "a", ""),
    Case("NAME: Annotated[list[int], annotated_types.Len(1, 2)] = [1]", "list of int length >= 1 length <= 2", [1],
         "5,6", [5, 6], "1,2,3"),
    Case("NAME: Annotated[int | None, Ge(-3)] = None  # steps", "int >= -3 or None", None, "-3", -3, "-4", "steps"),
    # many
    Case("NAME: list[int] = [\n    1,  # the first\n    2,\n]  # machines", "list of int", [1, 2], "[3, 4]", [3, 4], "3,x",
         "machines"),
    Case("NAME: List[Literal['a', 'b']] = ['a']", "list of one of 'a', 'b'", ["a"], "B, a", ["b", "a"], "a,c"),
    Case("NAME: Sequence[str] = ()", "list of text", (), '["a, b", "c"]', ["a, b", "c"], 5),
    Case("NAME: Tuple[int, str] = (1, 'a')", "tuple of int, text", (1, "a"), "2,b", [2, "b"], "2"),
    Case("NAME: tuple[float, ...] = (0.5, 1.0)", "list of float", (0.5, 1.0), "1,2", [1.0, 2.0], "1,inf"),
    Case("NAME: set[str] = {'a'}", "set of text", "{'a'}", "b,a,b", ["b", "a"], 7),
    Case("NAME: dict = {'a': 1}", "dict", {"a": 1}, '{"b": [1, null]}', {"b": [1, None]}, "b=1"),
    Case("NAME: Dict[str, int] = {}", "dict", {}, '{"x\\"}": "2"}', {'x"}': 2}, '{"a": "b"}'),
    # times and paths
    Case("NAME: date = date.today() - timedelta(days=30)", "date", "date.today() - timedelta(days=30)", "2026-01-31",
         "2026-01-31", "31.01.2026"),
    Case("NAME: dt.datetime | None = None", "datetime or None", None, "2026-01-31 14:00", "2026-01-31T14:00:00", "noon"),
    Case("NAME: pd.Timestamp = pd.Timestamp('2026-01-31')", "datetime", "pd.Timestamp('2026-01-31')", "2026-02-01",
         "2026-02-01T00:00:00", "2026-02-30"),
    Case("NAME: Path = Path('a b') / 'c'  # where to", "path", "Path('a b') / 'c'", "ü/{x}", "ü/{x}", " ", "where to"),
    # what only running it would tell, and what nothing can be given for
    Case("NAME: str = f'{os.sep}-{1 + 1}'", "text", "f'{os.sep}-{1 + 1}'", "5", "5", {"a": 1}),
    Case("# in hours\nNAME = OTHER = 7 * 24", "any value", "7 * 24", [1, "a"], [1, "a"], NAN),
    Case("NAME: bytes | None = b'a'", "bytes or None", "b'a'", "none", None, b"b"),
]  # fmt: skip


def declared(case: Case, name: str = "NAME") -> str:
    return case.source.replace("NAME", name).replace("OTHER", f"{name}_too")


def parameter(case: Case) -> Parameter:
    return next(each for each in read_parameters(HEAD + declared(case)) if each.name == "NAME")


def ids(case: Case) -> str:
    return case.source.splitlines()[-1][:60]


def test_fifty() -> None:
    """There are fifty."""
    assert len(CASES) == 50


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_declaration(case: Case) -> None:
    """A declaration is read with its type, default and help; it takes what is meant and refuses what cannot be."""
    read = parameter(case)
    assert (str(read.type), read.help) == (case.type, case.help)
    assert (REQUIRED if read.required else effective_values([read], {})["NAME"]) == case.default
    taken = check_values([read], {"NAME": case.given})["NAME"]
    assert (type(taken), taken) == (type(case.arrives), case.arrives)
    with pytest.raises(ParameterError, match=r"^parameter NAME: (?s:.*) Nothing was started\.$"):
        check_values([read], {"NAME": case.refused})


def test_in_a_kernel(tmp_path: Path) -> None:
    """All fifty given at once arrive in a kernel as they were checked; a path as it is seen from here."""
    names = [f"p{number:02}" for number in range(len(CASES))]
    cell = HEAD + "\n".join(declared(case, name) for case, name in zip(CASES, names, strict=True))
    tell = f"import json\nopen('told.json', 'w').write(json.dumps({{name: globals()[name] for name in {names}}}))"
    path = write_notebook(tmp_path / "fifty.ipynb", (cell, "parameters"), tell)
    given = {name: case.given for case, name in zip(CASES, names, strict=True)}
    run = run_runbook(str(path), given, folder=tmp_path / "runs").check()
    told = json.loads((run.folder / "told.json").read_text(encoding="utf-8"))
    arrive = [str(Path.cwd() / case.arrives) if case.type == "path" else case.arrives for case in CASES]
    assert told == dict(zip(names, arrive, strict=True))


def test_required(tmp_path: Path) -> None:
    """A parameter without a default is required: nothing is started without it, and the list says so."""
    cell = "days: int  # to look back\nlabel: str\nhours: int = 1\nlater: int\nlater = 5"
    path = write_notebook(tmp_path / "asks.ipynb", (cell, "parameters"))
    with pytest.raises(
        ParameterError,
        match=r"^parameter days is required \(a whole number: to look back\); parameter label ",
    ):
        run_runbook(str(path), folder=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
    check_required(find_runbook(str(path)).parameters, {"days": 1, "label": ""})
    assert describe_runbooks(str(path)).column("default") == ["(required)", "(required)", "1", "5"]


class Size(Enum):
    """An Enum of the caller's."""

    SMALL = "s"


class Level(IntEnum):
    """A number of the caller's."""

    TOP = 6


class Text(str):
    """A text that formats itself as something else."""

    def __format__(self, how: str) -> str:
        return "__import__('os')"


@pytest.mark.parametrize(
    ("source", "value", "arrives"),
    [
        ("x: Literal['s'] = 's'", Size.SMALL, "s"),
        ("x: int = 1", Level.TOP, 6),
        ("x: list[int] = []", [Level.TOP], [6]),
        ("x: str = ''", Text("a"), "a"),
        ("x: set[int] = set()", {1}, [1]),
        ("x: Any = None", {"a": Text("b")}, {"a": "b"}),
    ],
)
def test_objects(source: str, value: object, arrives: object) -> None:
    """Members of Enums, sets and texts of a class of their own arrive as plain values."""
    got = check_values(read_parameters(source), {"x": value})["x"]
    assert (type(got), got) == (type(arrives), arrives)


@pytest.mark.parametrize(
    "value", [10**5000, "9" * 5000, [10**5000], "x" * 100_000], ids=["int", "digits", "list", "text"]
)
def test_huge(value: object) -> None:
    """What is too long to be told is refused too, in a short text."""
    with pytest.raises(ParameterError) as refused:
        check_values(read_parameters("x: Annotated[list[int], MinLen(1)] | int = 1"), {"x": value})
    assert len(str(refused.value)) < 600


@pytest.mark.parametrize(
    "source", ["token: str = ''", "api_key: str | None = None", "db_password: str", "x = client_secret = ''"]
)
def test_secret(source: str) -> None:
    """A parameter that looks like a secret is refused where it is declared, one without a value too."""
    with pytest.raises(ParameterError, match="looks like a secret"):
        read_parameters(HEAD + source)


# --- ten thousand odd names and values ------------------------------------------------------------------

FUZZED = 10_000
EVIL = [
    "'", '"', "'''", '"""', "\\", "\\'", '\\"', "\n", "\r\n", "\0", "\u2028", "\x85", "\ud800", "\udcff", "{", "}", "{0}", "%s",
    "__import__('os').system('x')", "#", ";", "\\N{BULLET}", "\\x27", "\\u0022", "${x}", "`x`", "ß", "😀", "\u202e", "\ufeff",
    "false", "False", "FALSE", "0", "no", "null", "None", "nan", "-inf", "1e999", "[", "]", '["a"]', '{"a": {"b": [null]}}', "1_0",
    "٣", "٣.٥", "-0", "+7", "9" * 300, "2026-02-30", "2026-01-31", "exec", "lambda: 0", "\\\n", "*", "x", ",", " ",
]  # fmt: skip
NAMES = [
    "flag", "Flag", "flag ", "flаg", "flag=1", "flag\nimport os", "__import__('os')", "__builtins__", "class", "None", "x;y",
    "", "\ud800", "print", "count", "ratio", "word", "choice", "words", "table", "thing", "day", "place", "many", "ﬂag",
]  # fmt: skip
DECLARATIONS = """\
flag: bool = True
count: int | None = 1
ratio: float = 0.5
word: str = ''
choice: Literal['false', 'a', 0] = 'a'
words: list[str] = []
many: set[int | str] = set()
table: dict = {}
thing = None
day: date | None = None
place: Path = Path('.')
"""


def fuzz_text(dice: random.Random) -> str:
    if dice.random() < 0.3:
        return dice.choice(EVIL)
    pieces = [
        dice.choice(EVIL) if dice.random() < 0.5 else dice.choice(string.printable)
        for _ in range(dice.randrange(8))
    ]
    return "".join(pieces)


def fuzz_value(dice: random.Random, depth: int = 0) -> Any:
    kind = dice.randrange(14 if depth < 3 else 8)
    if kind < 6:
        return fuzz_text(dice)
    if kind < 8:
        simple = [
            None,
            True,
            False,
            0,
            1,
            -1,
            10**400,
            2**64,
            1.5,
            -0.0,
            NAN,
            float("inf"),
            -1e308,
            b"x",
            10**5000,
            object(),
        ]
        return dice.choice(simple)
    if kind < 10:
        return [fuzz_value(dice, depth + 1) for _ in range(dice.randrange(4))]
    if kind < 12:
        return {fuzz_text(dice): fuzz_value(dice, depth + 1) for _ in range(dice.randrange(3))}
    try:
        return json.dumps([fuzz_value(dice, depth + 1)])
    except (TypeError, ValueError):
        return fuzz_text(dice)


def injected(checked: dict[str, Any]) -> str:
    """The cell that papermill writes for them, as it comes back from a saved notebook."""
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(DECLARATIONS, metadata={"tags": ["parameters"]})],
        metadata={"papermill": {}},
    )
    done = parameterize_notebook(notebook, checked, kernel_name="python3", language="python")
    (source,) = [cell.source for cell in done.cells if "injected-parameters" in cell.metadata.tags]
    return str(json.loads(json.dumps(source)))


def test_fuzzed() -> None:
    """Of 10,000 odd names and values each is refused, or arrives as a literal equal to what was checked: none is code.

    `false` in any writing is False or refused, never something that is taken for true.
    """
    parameters = read_parameters(DECLARATIONS)
    known = {each.name for each in parameters}
    dice = random.Random(20261124)
    taken: dict[str, int] = dict.fromkeys(known, 0)
    batch: list[tuple[str, Any]] = []
    for _ in range(FUZZED):
        name = dice.choice(NAMES) if dice.random() < 0.95 else fuzz_text(dice)
        value = fuzz_value(dice)
        try:
            checked = check_values(parameters, {name: value})
        except ParameterError as refused:
            assert len(str(refused)) < 2000
            continue
        assert set(checked) == {name} <= known
        if name == "flag":
            meant = str(value).strip().lower() if isinstance(value, str | int) else ""
            assert checked[name] is (meant in ("true", "yes", "on", "1"))
        taken[name] += 1
        batch.append((name, checked[name]))
    assert min(taken.values()) > 10
    while batch:
        now = {}
        while batch and batch[-1][0] not in now:
            name, value = batch.pop()
            now[name] = value
        tree = ast.parse(injected(now))
        found = {}
        for statement in tree.body:
            assert isinstance(statement, ast.Assign)
            (target,) = statement.targets
            assert isinstance(target, ast.Name)
            found[target.id] = ast.literal_eval(statement.value)
        assert repr(found) == repr(now)  # by repr: True is not 1, and -0.0 is not 0.0
