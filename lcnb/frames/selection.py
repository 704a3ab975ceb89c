"""A selection of machines as a text: `state == 'running' and label.str.startswith('web-')`.

The text is what people write into `DataFrame.query`, and no more: columns, literals, comparisons, `and`, `or`,
`not`, `in`, and `.str.startswith`, `.str.endswith`, `.str.contains` with plain texts. It is parsed and walked,
never run. `all` selects every row; an empty text none. A value that is missing never selects: what is said of
it is neither true nor false, so `not` does not turn it into a match.
"""

from __future__ import annotations

import ast
import operator
import unicodedata
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from lcnb.errors import InputError
from lcnb.names import comparable_name
from lcnb.suggestions import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

SELECT_ALL = "all"
#: Longer or deeper texts are a slip, or meant to harm.
MAX_CHARACTERS, MAX_DEPTH = 4_000, 40
_COMPARISONS: dict[type, Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_TEXT_METHODS: dict[str, Callable[[str, str], bool]] = {
    "startswith": str.startswith,
    "endswith": str.endswith,
    "contains": operator.contains,
}
_REGEX_CHARACTERS = frozenset("\\^$*+?{}[]|()")
_DTYPE_KINDS = {"str": "text", "Int64": "number", "Float64": "number", "boolean": "flag"}
SELECTION_EXAMPLES = (
    "Such as: state == 'running' and location == 'MIA1', or label.str.startswith('web-'), or all"
)

#: A row → True, False, or None where a missing value decides.
RowTest = Callable[[Mapping[str, Any]], bool | None]
#: A row → a value, with the kind of the value: text, number, flag.
RowValue = tuple[Callable[[Mapping[str, Any]], Any], str]


class _SelectionProblem(Exception):
    """What is wrong with a part of the text."""


def select(frame: pd.DataFrame, selection: str) -> pd.DataFrame:
    """The rows that a selection names; columns, dtypes and `attrs` stay, so `frame.lc` works on them.

    Raises InputError for a text that is no selection, or names a column that the frame has not.

    >>> import lcnb
    >>> from lcnb.frames.selection import select
    >>> fleet = lcnb.connect(sandbox=True).inventory()
    >>> select(fleet, "location == 'MIA1' and label.str.startswith('web-')").label.tolist()
    ['web-01', 'web-03', 'web-07', 'web-08', 'web-09', 'web-10']
    >>> len(select(fleet, "")), len(select(fleet, "all"))
    (0, 60)
    """
    test = parse_selection(selection, {str(name): dtype_kind(dtype) for name, dtype in frame.dtypes.items()})
    missing = frame.isna().to_numpy()
    names = [str(name) for name in frame]
    chosen = []
    for row, gone in zip(frame.itertuples(index=False, name=None), missing, strict=True):
        values = {name: None if none else value for name, value, none in zip(names, row, gone, strict=True)}
        chosen.append(test(values) is True)
    return frame[chosen] if chosen else frame


def dtype_kind(dtype: object) -> str:
    """Of a dtype as lcnb's frames have them: text, number or flag; another one cannot be selected by."""
    return _DTYPE_KINDS.get(str(dtype), "other")


def parse_selection(selection: str, columns: Mapping[str, str] | None = None) -> RowTest:
    """The test that a selection stands for. InputError when it is none.

    `columns`: name → kind (text, number, flag); None: any name, of any kind, so that the form alone is checked.
    What passes with the columns of a frame cannot fail on its rows.
    """
    if not isinstance(selection, str):
        raise InputError(
            f"selection: expected a text, got {selection!r}. {SELECTION_EXAMPLES}", not_done="sent"
        )
    text = selection.strip()
    if text in ("", SELECT_ALL):
        return lambda row: text == SELECT_ALL
    try:
        return _ExpressionReader(columns).test(_parse_expression(text), 0)
    except _SelectionProblem as wrong:
        shown = text if len(text) <= 200 else f"{text[:200]}..."
        raise InputError(f"selection {shown!r}: {wrong}. {SELECTION_EXAMPLES}", not_done="sent") from None


def _parse_expression(text: str) -> ast.expr:
    if len(text) > MAX_CHARACTERS:
        raise _SelectionProblem(f"it has {len(text)} characters, more than {MAX_CHARACTERS}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # Python's remarks about odd literals, which are refused or kept as texts
            return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise _SelectionProblem(f"it cannot be read ({reason})") from None


class _ExpressionReader:
    """From a tree to a test. Everything that is not named here is refused."""

    def __init__(self, columns: Mapping[str, str] | None) -> None:
        self.columns = columns

    def test(self, node: ast.expr, depth: int) -> RowTest:
        if depth > MAX_DEPTH:
            raise _SelectionProblem("it is nested too deep")
        if isinstance(node, ast.BoolOp):
            parts = [self.test(each, depth + 1) for each in node.values]
            return _any_true(parts) if isinstance(node.op, ast.Or) else _all_true(parts)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            inner = self.test(node.operand, depth + 1)
            return lambda row: None if (found := inner(row)) is None else not found
        if isinstance(node, ast.Compare):
            return self.comparison(node)
        if isinstance(node, ast.Call):
            return self.method(node)
        if isinstance(node, ast.Name):
            value, kind = self.column(node)
            if kind not in ("flag", "any"):
                raise _SelectionProblem(
                    f"the column {node.id} alone is no condition: compare it with something"
                )
            return lambda row: None if (found := value(row)) is None else bool(found)
        raise _SelectionProblem(_unsupported_message(node))

    # --- comparisons ------------------------------------------------------------------------------------

    def comparison(self, node: ast.Compare) -> RowTest:
        """`a < b < c` is `a < b and b < c`."""
        operands = [node.left, *node.comparators]
        pairs = zip(operands, node.ops, operands[1:], strict=False)
        return _all_true([self.compared(left, sign, right) for left, sign, right in pairs])

    def compared(self, left: ast.expr, sign: ast.cmpop, right: ast.expr) -> RowTest:
        if not any(isinstance(each, ast.Name) for each in (left, right)):
            raise _SelectionProblem(f"{_shorten_source(left)} is compared with no column")
        if isinstance(sign, ast.In | ast.NotIn):
            return self.membership(left, right, inside=isinstance(sign, ast.In))
        compare = _COMPARISONS.get(type(sign))
        if compare is None:
            raise _SelectionProblem("`is` is not known here; use ==, or in [...]")
        (one, kind), (other, other_kind) = self.value(left), self.value(right)
        _check_same_kind(left, kind, right, other_kind)
        if "text" in (kind, other_kind) or "any" in (kind, other_kind):
            one, other = _comparable_value(one), _comparable_value(other)
        if "flag" in (kind, other_kind) and type(sign) not in (ast.Eq, ast.NotEq):
            raise _SelectionProblem("a flag is compared by == or != only")

        def test(row: Mapping[str, Any]) -> bool | None:
            a, b = one(row), other(row)
            return None if a is None or b is None else bool(compare(a, b))

        return test

    def membership(self, left: ast.expr, right: ast.expr, *, inside: bool) -> RowTest:
        if not isinstance(left, ast.Name) or not isinstance(right, ast.List | ast.Tuple | ast.Set):
            raise _SelectionProblem(
                "`in` takes a column at its left and a list at its right, as in label in ['web-01']"
            )
        value, kind = self.column(left)
        listed = []
        for each in right.elts:
            constant, constant_kind = _read_literal(each)
            _check_same_kind(left, kind, each, constant_kind)
            listed.append(comparable_name(constant) if isinstance(constant, str) else constant)
        value = _comparable_value(value)
        return lambda row: None if (found := value(row)) is None else (found in listed) is inside

    # --- texts ------------------------------------------------------------------------------------------

    def method(self, node: ast.Call) -> RowTest:
        """`column.str.startswith('text')`; the argument may be a tuple of texts."""
        function = node.func
        whose = function.value if isinstance(function, ast.Attribute) else None
        if not isinstance(function, ast.Attribute) or not (
            isinstance(whose, ast.Attribute) and whose.attr == "str" and isinstance(whose.value, ast.Name)
        ):
            raise _SelectionProblem(
                f"{_shorten_source(function)}(...) is not known here; column.str.startswith('...') is"
            )
        compare = _TEXT_METHODS.get(function.attr)
        if compare is None:
            raise _SelectionProblem(
                f".str.{function.attr} is not one of .str.{', .str.'.join(_TEXT_METHODS)}"
            )
        value, kind = self.column(whose.value)
        if kind not in ("text", "any"):
            raise _SelectionProblem(f"{whose.value.id} is a {kind}, not a text")
        texts = [unicodedata.normalize("NFC", each) for each in self.arguments(node, function.attr)]
        value = _comparable_value(value)
        return lambda row: (
            None if (found := value(row)) is None else any(compare(found, each) for each in texts)
        )

    def arguments(self, node: ast.Call, name: str) -> list[str]:
        if len(node.args) != 1 or node.keywords:
            raise _SelectionProblem(f".str.{name} takes one text and nothing else")
        (argument,) = node.args
        items = argument.elts if isinstance(argument, ast.Tuple) else [argument]
        texts = []
        for each in items:
            text, kind = _read_literal(each)
            if kind != "text":
                raise _SelectionProblem(f".str.{name} takes a text, not {_shorten_source(each)}")
            if name == "contains" and _REGEX_CHARACTERS & set(text):
                raise _SelectionProblem(
                    f".str.contains looks for a plain text here, not for the pattern {text!r}"
                )
            texts.append(text)
        return texts

    # --- operands ---------------------------------------------------------------------------------------

    def value(self, node: ast.expr) -> RowValue:
        if isinstance(node, ast.Name):
            return self.column(node)
        constant, kind = _read_literal(node)
        return (lambda row: constant), kind

    def column(self, node: ast.Name) -> RowValue:
        name, kind = node.id, "any"
        if self.columns is not None:
            if name not in self.columns:
                near = did_you_mean(name, self.columns)
                raise _SelectionProblem(
                    f"there is no column {name!r}{near}. Columns: {', '.join(self.columns)}"
                )
            kind = self.columns[name]
            if kind == "other":
                raise _SelectionProblem(f"the column {name} cannot be selected by")
        return (lambda row: row[name]), kind


def _comparable_value(value: Callable[[Mapping[str, Any]], Any]) -> Callable[[Mapping[str, Any]], Any]:
    """The same value; a text in the form in which names are compared."""
    return lambda row: comparable_name(found) if isinstance(found := value(row), str) else found


def _all_true(tests: list[RowTest]) -> RowTest:
    """False where one is false; else None where one is not known."""

    def test(row: Mapping[str, Any]) -> bool | None:
        found = [each(row) for each in tests]
        return False if False in found else None if None in found else True

    return test


def _any_true(tests: list[RowTest]) -> RowTest:
    def test(row: Mapping[str, Any]) -> bool | None:
        found = [each(row) for each in tests]
        return True if True in found else None if None in found else False

    return test


def _read_literal(node: ast.expr) -> tuple[Any, str]:
    """A literal, with its kind."""
    sign = -1 if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) else 1
    inner = node.operand if sign == -1 and isinstance(node, ast.UnaryOp) else node
    value = inner.value if isinstance(inner, ast.Constant) else None
    if isinstance(value, str) and sign == 1:
        return value, "text"
    if isinstance(value, bool) and sign == 1:
        return value, "flag"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return sign * value, "number"
    raise _SelectionProblem(_unsupported_message(node))


def _check_same_kind(left: ast.expr, kind: str, right: ast.expr, other: str) -> None:
    if "any" not in (kind, other) and kind != other:
        raise _SelectionProblem(
            f"{_shorten_source(left)} is a {kind}, and {_shorten_source(right)} is a {other}"
        )


def _unsupported_message(node: ast.expr) -> str:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd | ast.BitOr):
        return "& and | are not known here; use and, or"
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert):
        return "~ is not known here; use not"
    if isinstance(node, ast.Constant) and node.value is None:
        return "None is not known here; a missing value never selects"
    return f"{_shorten_source(node)} is not known here"


def _shorten_source(node: ast.expr) -> str:
    try:
        text = ast.unparse(node)
    except (RecursionError, ValueError):
        return "a part of it"
    return text if len(text) <= 60 else f"{text[:60]}..."
