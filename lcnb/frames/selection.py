"""A selection of machines as a text: `state == 'running' and label.str.startswith('web-')`.

The language is a part of what `DataFrame.query` accepts: columns, literals, comparisons, `and`, `or`, `not`, `in`, and
`.str.startswith`, `.str.endswith`, `.str.contains` with plain texts. The text is parsed and walked, never run. `all`
selects every row; an empty text selects none. A missing value never selects: a condition on it is neither true nor
false, so `not` does not turn it into a match.

Tags are written `tag.project == 'shop'` or `tag['cost-center'] == '12'`; `tag.legacy` alone is true for machines that
have the tag, and `not tag.legacy` for those that do not. A time is compared with `now` or with a text such as
`'2026-12-01'`, in UTC: `expires < now`.

A state that no machine can have is refused. `lcnb.frames.unmatched` describes values that no row has.
"""

from __future__ import annotations

import ast
import operator
import re
import unicodedata
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lcnb.api.models import INSTANCE_STATES
from lcnb.errors import InputError
from lcnb.facts.machine_facts import checked_tag_key, tag_values
from lcnb.names import comparable_name
from lcnb.suggestions import did_you_mean
from lcnb.times import to_utc

if TYPE_CHECKING:
    import pandas as pd

SELECT_ALL = "all"
#: Longer or deeper texts are a mistake or an attack.
MAX_CHARACTERS, MAX_DEPTH = 4_000, 40
MAX_SHOWN_CHARACTERS = 200
_COMPARISONS: dict[type, Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
TEXT_METHODS: dict[str, Callable[[str, str], bool]] = {
    "startswith": str.startswith,
    "endswith": str.endswith,
    "contains": operator.contains,
}
#: An = that is no part of ==, !=, <=, >= or :=.
_SINGLE_EQUALS = re.compile(r"(?<![=!<>:])=(?!=)")
_QUOTED_TEXT = re.compile(r"'[^']*'|\"[^\"]*\"")
_REGEX_CHARACTERS = frozenset("\\^$*+?{}[]|()")
_DTYPE_KINDS = {
    "str": "text",
    "Int64": "number",
    "Float64": "number",
    "boolean": "flag",
    "datetime64[us, UTC]": "time",
}
SELECTION_EXAMPLES = (
    "Examples: state == 'running' and location == 'MIA1'; label.str.startswith('web-'); "
    "tag.project == 'shop'; all"
)
#: The names that are no columns: `tag.project` is the value of a tag, `now` the time of the selection.
TAG_NAME, NOW_NAME = "tag", "now"
#: The column whose values are a closed set: INSTANCE_STATES.
STATE_NAME = "state"
_TIME_EXAMPLES = "'2026-12-01', '2026-12-01T18:00-03:00' or now"

#: Maps a row to True, False, or None when a missing value decides.
RowTest = Callable[[Mapping[str, Any]], bool | None]
#: Maps a row to a value, together with the kind of the value: text, number, flag, time.
RowValue = tuple[Callable[[Mapping[str, Any]], Any], str]


@dataclass(frozen=True)
class ComparedValue:
    """A text or number of a selection, and the column or tag that it is compared with.

    `compare` is "==" (also for !=, in, not in) or one of TEXT_METHODS. A text has the form in which names are compared.
    """

    column: str
    read: Callable[[Mapping[str, Any]], Any]
    compare: str
    value: str | float

    def matches(self, found: object) -> bool:
        """Whether a value of the column equals, begins with, ends with or contains this one."""
        if self.compare == "==":
            return found == self.value
        return TEXT_METHODS[self.compare](str(found), str(self.value))


@dataclass(frozen=True)
class Selection:
    """A selection that was read: its test, and the values that it compares columns with."""

    test: RowTest
    compared: tuple[ComparedValue, ...] = ()


class _SelectionProblem(Exception):
    """The problem with a part of the text."""


def select(frame: pd.DataFrame, selection: str) -> pd.DataFrame:
    """Return the rows that a selection selects. Columns, dtypes and `attrs` are kept, so `frame.lc` works.

    Raises InputError for a text that is not a selection, or names a column that the frame or a tag that no row has.

    >>> import lcnb
    >>> from lcnb.frames.selection import select
    >>> fleet = lcnb.connect(sandbox=True).inventory()
    >>> select(fleet, "location == 'MIA1' and label.str.startswith('web-')").label.tolist()
    ['web-01', 'web-03', 'web-07', 'web-08', 'web-09', 'web-10']
    >>> len(select(fleet, "")), len(select(fleet, "all"))
    (0, 60)
    """
    test = selection_of_frame(frame, selection).test
    chosen = [test(row) is True for row in selectable_rows(frame)]
    return frame[chosen] if chosen else frame


def selection_of_frame(frame: pd.DataFrame, selection: str) -> Selection:
    """Read a selection with the columns, tags and states of a frame. Raises InputError as `select` does."""
    kinds = {str(name): dtype_kind(dtype) for name, dtype in frame.dtypes.items()}
    keys = _tag_keys(frame["tags"]) if "tags" in frame and len(frame) else None
    states = [each for each in frame["state"] if isinstance(each, str)] if "state" in frame else ()
    return _read_selection(selection, kinds, keys, states)


def selectable_rows(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield each row as column → value, with None for a missing value, as a RowTest takes it."""
    missing = frame.isna().to_numpy()
    names = [str(name) for name in frame]
    for row, gone in zip(frame.itertuples(index=False, name=None), missing, strict=True):
        yield {name: None if none else value for name, value, none in zip(names, row, gone, strict=True)}


def dtype_kind(dtype: object) -> str:
    """Return "text", "number", "flag" or "time" for a dtype of lcnb, and "other" for any other dtype."""
    return _DTYPE_KINDS.get(str(dtype), "other")


def _tag_keys(tags: Iterable[Any]) -> set[str]:
    """Return the keys of all tags in a column `tags`."""
    return {key for text in tags if isinstance(text, str) for key in tag_values(text)}


def parse_selection(
    selection: str, columns: Mapping[str, str] | None = None, tag_keys: Collection[str] | None = None
) -> RowTest:
    """Return the test that a selection describes. Raises InputError for a text that is not a selection.

    Args:
        selection: The text.
        columns: Names and kinds (text, number, flag, time) of the columns. None accepts every name, to check only the
            form. A test that is accepted with the columns of a frame cannot fail on its rows.
        tag_keys: The keys of the tags of all rows; None accepts every key.
    """
    return _read_selection(selection, columns, tag_keys).test


def _read_selection(
    selection: str,
    columns: Mapping[str, str] | None,
    tag_keys: Collection[str] | None,
    states: Iterable[str] = (),
) -> Selection:
    """Read a selection; `states` are states of rows that may be none of a machine."""
    if not isinstance(selection, str):
        raise InputError(
            field="selection", expected="a text", value=selection, cure=SELECTION_EXAMPLES, not_done="sent"
        )
    text = selection.strip()
    if text in ("", SELECT_ALL):
        return Selection(lambda row: text == SELECT_ALL)
    reader = _ExpressionReader(columns, tag_keys)
    try:
        test = reader.build_test(_parse_expression(text), 0)
        _check_states(reader.compared, {*INSTANCE_STATES, *states})
        return Selection(test, tuple(reader.compared))
    except _SelectionProblem as problem:
        raise InputError(
            str(problem),
            field=f"selection {shorten_selection(text)!r}",
            value=selection,
            cure=SELECTION_EXAMPLES,
            not_done="sent",
        ) from None


def shorten_selection(text: str) -> str:
    """Return a selection as messages show it: without surrounding spaces, and cut when it is long."""
    text = text.strip()
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}..."


def _check_states(compared: Iterable[ComparedValue], states: Collection[str]) -> None:
    """Raise _SelectionProblem for a state that no machine can have. A misspelled one would select nothing, or all."""
    for each in compared:
        if each.column == STATE_NAME and not any(map(each.matches, states)):
            problem = f"no machine can have the state {each.value!r}"
            if each.compare != "==":
                problem = f"no state matches .str.{each.compare}({each.value!r})"
            known = ", ".join(sorted(states, key=[*INSTANCE_STATES, *states].index))
            raise _SelectionProblem(f"{problem}{did_you_mean(str(each.value), states)}. States: {known}")


def _parse_expression(text: str) -> ast.expr:
    if len(text) > MAX_CHARACTERS:
        raise _SelectionProblem(f"it has {len(text)} characters, more than {MAX_CHARACTERS}")
    try:
        with warnings.catch_warnings():
            # Python warns about odd literals, which are refused or kept as texts.
            warnings.simplefilter("ignore")
            return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        if _SINGLE_EQUALS.search(_QUOTED_TEXT.sub("''", text)):
            raise _SelectionProblem("it compares with one =; write ==") from None
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise _SelectionProblem(f"it cannot be read ({reason})") from None


class _ExpressionReader:
    """Builds a test from a syntax tree. Everything that it does not know is refused."""

    def __init__(self, columns: Mapping[str, str] | None, tag_keys: Collection[str] | None) -> None:
        self.columns = columns
        self.tag_keys = tag_keys
        self.now = datetime.now(UTC)
        self.compared: list[ComparedValue] = []

    def build_test(self, node: ast.expr, depth: int) -> RowTest:
        """Build the test of a condition. `depth` counts how deep it is nested."""
        if depth > MAX_DEPTH:
            raise _SelectionProblem("it is nested too deep")
        if isinstance(node, ast.BoolOp):
            parts = [self.build_test(each, depth + 1) for each in node.values]
            return _any_true(parts) if isinstance(node.op, ast.Or) else _all_true(parts)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return _negate(self.build_test(node.operand, depth + 1))
        if isinstance(node, ast.Compare):
            return self.build_comparison(node)
        if isinstance(node, ast.Call):
            return self.build_text_test(node)
        if _is_tag(node):
            return self.build_tag_test(node)
        if isinstance(node, ast.Name):
            return self.build_flag_test(node)
        raise _SelectionProblem(_unsupported_message(node))

    def build_flag_test(self, node: ast.Name) -> RowTest:
        """Build the test of a flag column that is not compared with anything."""
        value, kind = self.read_column(node)
        if kind not in ("flag", "any"):
            raise _SelectionProblem(
                f"the column {node.id} alone is not a condition: compare it with something"
            )
        return lambda row: None if (found := value(row)) is None else bool(found)

    def build_tag_test(self, node: ast.expr) -> RowTest:
        """Build the test whether a machine has a tag. Of one without an identifier, tags are not known."""
        value, _ = self.read_tag(node)
        return lambda row: None if row.get("identifier", "") is None else value(row) is not None

    def build_comparison(self, node: ast.Compare) -> RowTest:
        """Build the test of a comparison; `a < b < c` means `a < b and b < c`."""
        operands = [node.left, *node.comparators]
        pairs = zip(operands, node.ops, operands[1:], strict=False)
        return _all_true([self.compare_pair(left, sign, right) for left, sign, right in pairs])

    def compare_pair(self, left: ast.expr, sign: ast.cmpop, right: ast.expr) -> RowTest:
        """Build the test of two operands and the sign between them."""
        if not any(map(self.is_column, (left, right))):
            raise _SelectionProblem(f"{_shorten_source(left)} is not compared with a column")
        if isinstance(sign, ast.In | ast.NotIn):
            return self.build_membership(left, right, inside=isinstance(sign, ast.In))
        compare = _COMPARISONS.get(type(sign))
        if compare is None:
            raise _SelectionProblem("`is` is not supported here; use ==, or in [...]")
        (one, kind), (other, other_kind) = self.read_operands(left, right)
        if isinstance(sign, ast.Eq | ast.NotEq):
            self.note_equality(left, right)
            self.note_equality(right, left)
        _check_same_kind(left, kind, right, other_kind)
        if "text" in (kind, other_kind) or "any" in (kind, other_kind):
            one, other = _comparable_value(one), _comparable_value(other)
        if "flag" in (kind, other_kind) and type(sign) not in (ast.Eq, ast.NotEq):
            raise _SelectionProblem("a flag is compared by == or != only")

        def test(row: Mapping[str, Any]) -> bool | None:
            a, b = one(row), other(row)
            return None if a is None or b is None else bool(compare(a, b))

        return test

    def build_membership(self, left: ast.expr, right: ast.expr, *, inside: bool) -> RowTest:
        """Build the test of `column in [...]`, or of `not in` for `inside=False`."""
        if not self.is_column(left) or not isinstance(right, ast.List | ast.Tuple | ast.Set):
            raise _SelectionProblem(
                "`in` needs a column on its left and a list on its right, as in: label in ['web-01']"
            )
        value, kind = self.read_column(left)
        listed = []
        for each in right.elts:
            constant, constant_kind = _read_time(each) if kind == "time" else _read_literal(each)
            _check_same_kind(left, kind, each, constant_kind)
            listed.append(comparable_name(constant) if isinstance(constant, str) else constant)
            self.note_equality(left, each)
        value = _comparable_value(value)
        return lambda row: None if (found := value(row)) is None else (found in listed) is inside

    def build_text_test(self, node: ast.Call) -> RowTest:
        """Build the test of `column.str.startswith('text')`; the argument may be a tuple of texts."""
        column, name = _split_text_call(node)
        compare = TEXT_METHODS.get(name)
        if compare is None:
            raise _SelectionProblem(f".str.{name} is not one of .str.{', .str.'.join(TEXT_METHODS)}")
        value, kind = self.read_column(column)
        if kind not in ("text", "any"):
            raise _SelectionProblem(f"{_shorten_source(column)} is a {kind}, not a text")
        texts = [unicodedata.normalize("NFC", each) for each in _text_arguments(node, name)]
        value = _comparable_value(value)
        self.compared += [ComparedValue(_shorten_source(column), value, name, each) for each in texts]
        return lambda row: (
            None if (found := value(row)) is None else any(compare(found, each) for each in texts)
        )

    def note_equality(self, column: ast.expr, other: ast.expr) -> None:
        """Remember that a column is compared with a literal; flags, times and other columns are not remembered."""
        if not self.is_column(column) or self.is_column(other) or self.is_now(other):
            return
        (value, kind), (constant, constant_kind) = self.read_column(column), _read_literal(other)
        if kind in ("text", "number", "any") and constant_kind in ("text", "number"):
            constant = comparable_name(constant) if isinstance(constant, str) else constant
            name = _shorten_source(column)
            self.compared.append(ComparedValue(name, _comparable_value(value), "==", constant))

    def is_column(self, node: ast.expr) -> bool:
        """Whether a node is a column or a tag."""
        return _is_tag(node) or (isinstance(node, ast.Name) and not self.is_now(node))

    def is_now(self, node: ast.expr) -> bool:
        """Whether a node is the time of the selection: `now`, unless the frame has a column of this name."""
        return isinstance(node, ast.Name) and node.id == NOW_NAME and NOW_NAME not in (self.columns or ())

    def read_operands(self, left: ast.expr, right: ast.expr) -> tuple[RowValue, RowValue]:
        """Return values and kinds of two operands; a text that is compared with a time is one."""
        columns = [self.read_column(each) if self.is_column(each) else None for each in (left, right)]
        with_time = any(each is not None and each[1] == "time" for each in columns)
        one, other = (
            column or self.read_constant(node, with_time=with_time)
            for column, node in zip(columns, (left, right), strict=True)
        )
        return one, other

    def read_constant(self, node: ast.expr, *, with_time: bool) -> RowValue:
        """Return the value of a literal or of `now`, and its kind."""
        if self.is_now(node):
            return (lambda row: self.now), "time"
        constant, kind = _read_time(node) if with_time else _read_literal(node)
        return (lambda row: constant), kind

    def read_tag(self, node: ast.expr) -> RowValue:
        """Return the value of `tag.KEY` or `tag['KEY']`. Raises _SelectionProblem for a key that no row has."""
        key = _tag_key(node)
        if self.columns is not None and "tags" not in self.columns:
            raise _SelectionProblem("these rows have no tags; the rows of inventory() have")
        if self.tag_keys is not None and key not in self.tag_keys:
            known = sorted(self.tag_keys)
            raise _SelectionProblem(
                f"no machine has a tag {key!r}{did_you_mean(key, known)}. Tags: {', '.join(known) or 'none'}"
            )

        def value(row: Mapping[str, Any]) -> str | None:
            tags = row["tags"]
            return tag_values(tags).get(key) if isinstance(tags, str) else None

        return value, "text"

    def read_column(self, node: ast.expr) -> RowValue:
        """Return the value of a column or tag, and its kind. Raises _SelectionProblem for an unknown one."""
        if not isinstance(node, ast.Name):
            return self.read_tag(node)
        name, kind = node.id, "any"
        if self.columns is not None:
            if name not in self.columns:
                near = " (write tag.KEY)" if name == TAG_NAME else did_you_mean(name, self.columns)
                near = near or f" (a text needs quotes: '{name}')"
                raise _SelectionProblem(
                    f"there is no column {name!r}{near}. Columns: {', '.join(self.columns)}"
                )
            kind = self.columns[name]
            if kind == "other":
                raise _SelectionProblem(f"the column {name} cannot be selected by")
        return (lambda row: row[name]), kind


def _is_tag(node: ast.expr) -> bool:
    """Whether a node is `tag.KEY` or `tag[...]`."""
    return (
        isinstance(node, ast.Attribute | ast.Subscript)
        and isinstance(node.value, ast.Name)
        and node.value.id == TAG_NAME
    )


def _tag_key(node: ast.expr) -> str:
    """Return the key of `tag.KEY` or `tag['KEY']`."""
    key = node.attr if isinstance(node, ast.Attribute) else None
    if isinstance(node, ast.Subscript):
        key, kind = _read_literal(node.slice)
        if kind != "text":
            raise _SelectionProblem(f"{_shorten_source(node)}: the key of a tag is a text, as in tag['KEY']")
    try:
        return checked_tag_key(key)  # type: ignore[arg-type]  # anything but a key raises
    except InputError as error:
        raise _SelectionProblem(error.problem) from None


def _split_text_call(node: ast.Call) -> tuple[ast.expr, str]:
    """The column and the method of `column.str.method(...)`. Raises _SelectionProblem for another call."""
    function = node.func
    owner = function.value if isinstance(function, ast.Attribute) else None
    if (
        isinstance(function, ast.Attribute)
        and isinstance(owner, ast.Attribute)
        and owner.attr == "str"
        and (isinstance(owner.value, ast.Name) or _is_tag(owner.value))
    ):
        return owner.value, function.attr
    raise _SelectionProblem(
        f"{_shorten_source(function)}(...) is not supported here; column.str.startswith('...') is"
    )


def _text_arguments(node: ast.Call, name: str) -> list[str]:
    """The texts in the argument of a text method."""
    if len(node.args) != 1 or node.keywords:
        raise _SelectionProblem(f".str.{name} takes one text and no other argument")
    (argument,) = node.args
    items = argument.elts if isinstance(argument, ast.Tuple) else [argument]
    texts = []
    for each in items:
        text, kind = _read_literal(each)
        if kind != "text":
            raise _SelectionProblem(f".str.{name} takes a text, not {_shorten_source(each)}")
        if not text:  # an empty value in a template must not select every machine
            raise _SelectionProblem(f".str.{name}({text!r}) is true for every text: write {SELECT_ALL}")
        if name == "contains" and _REGEX_CHARACTERS & set(text):
            raise _SelectionProblem(
                f".str.contains looks for a plain text here, not for the pattern {text!r}"
            )
        texts.append(text)
    return texts


def _negate(test: RowTest) -> RowTest:
    return lambda row: None if (found := test(row)) is None else not found


def _comparable_value(value: Callable[[Mapping[str, Any]], Any]) -> Callable[[Mapping[str, Any]], Any]:
    """The same value, with a text in the form in which names are compared."""
    return lambda row: comparable_name(found) if isinstance(found := value(row), str) else found


def _all_true(tests: list[RowTest]) -> RowTest:
    """False when one test is false, otherwise None when one is unknown, otherwise True."""

    def test(row: Mapping[str, Any]) -> bool | None:
        found = [each(row) for each in tests]
        return False if False in found else None if None in found else True

    return test


def _any_true(tests: list[RowTest]) -> RowTest:
    """True when one test is true, otherwise None when one is unknown, otherwise False."""

    def test(row: Mapping[str, Any]) -> bool | None:
        found = [each(row) for each in tests]
        return True if True in found else None if None in found else False

    return test


def _read_literal(node: ast.expr) -> tuple[Any, str]:
    """Return the value of a literal, and its kind."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        operand = node.operand.value if isinstance(node.operand, ast.Constant) else None
        if isinstance(operand, int | float) and not isinstance(operand, bool):
            return -operand, "number"
    elif isinstance(node, ast.Constant):
        for types, kind in ((str, "text"), (bool, "flag"), (int | float, "number")):
            if isinstance(node.value, types):
                return node.value, kind
    raise _SelectionProblem(_unsupported_message(node))


def _read_time(node: ast.expr) -> tuple[Any, str]:
    """Return the time of a literal that is compared with a time; another value as it is."""
    constant, kind = _read_literal(node)
    if kind != "text":
        return constant, kind
    found = to_utc(constant)
    if found is None:
        raise _SelectionProblem(f"{_shorten_source(node)} is not a time; write {_TIME_EXAMPLES}")
    return found, "time"


def _check_same_kind(left: ast.expr, kind: str, right: ast.expr, other: str) -> None:
    if "any" not in (kind, other) and kind != other:
        raise _SelectionProblem(
            f"{_shorten_source(left)} is a {kind}, and {_shorten_source(right)} is a {other}"
        )


def _unsupported_message(node: ast.expr) -> str:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd | ast.BitOr):
        return "& and | are not supported here; use and, or"
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert):
        return "~ is not supported here; use not"
    if isinstance(node, ast.Constant) and node.value is None:
        return "None is not supported here; a missing value never selects"
    return f"{_shorten_source(node)} is not supported here"


def _shorten_source(node: ast.expr) -> str:
    try:
        text = ast.unparse(node)
    except (RecursionError, ValueError):
        return "a part of it"
    return text if len(text) <= 60 else f"{text[:60]}..."
