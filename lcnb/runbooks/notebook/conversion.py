"""Values converted to the declared type of a parameter, or refused with a ValueError.

A parameter without a type, whose default does not show one either (`limit = None`, `wait_s = 60 * 60`), reads a text
from a command line or a CSV file as papermill does: `True`, `False` and `None` are these values, what `int()` or
`float()` accepts is a number, the rest is text. A text that Python code passes stays a text.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from numbers import Real
from typing import Any, cast

from lcnb.runbooks.notebook.meanings import MEANINGS
from lcnb.runbooks.notebook.types import ParameterType, WrittenText, with_article

#: An error shows at most this many characters of a value.
MAX_SHOWN_CHARS = 200


class WrongContent(ValueError):
    """The value has the declared type, but its content is refused: out of bounds, or a key of another type."""


def short_repr(value: object) -> str:
    """Return a value as an error shows it: a long one is cut, and a repr that fails is replaced by the type."""
    try:
        text = repr(value)
    except Exception:
        return f"a value of type {type(value).__name__}"
    return (
        text if len(text) <= MAX_SHOWN_CHARS else f"{text[: MAX_SHOWN_CHARS - 20]}… ({len(text)} characters)"
    )


def unwrap_value(value: object) -> object:
    """Return the Python value inside a numpy or pandas value; an array as a list, a missing value as None.

    >>> import numpy as np
    >>> unwrap_value(np.int64(3))
    3
    """
    if isinstance(value, Enum):
        return unwrap_value(value.value)
    package = type(value).__module__.partition(".")[0]
    if package == "pyarrow" and hasattr(value, "as_py"):
        return value.as_py()
    if package in ("numpy", "pandas"):
        if type(value).__name__ in ("NAType", "NaTType"):
            return None
        if type(value).__name__ == "datetime64":
            return value.astype("datetime64[us]").item()  # type: ignore[attr-defined]  # in ns it is a number
        for method in ("to_pydatetime", "tolist"):
            if hasattr(value, method):
                return getattr(value, method)()
    return value


def _simplify_number(value: object) -> object:
    """Return a Decimal, Fraction or long double as an int where it is whole, else as a float."""
    if isinstance(value, int | float) or not isinstance(value, Real | Decimal):
        return value
    if isinstance(value, Decimal) and value.is_finite() and value.adjusted() > MAX_INT_DIGITS:
        raise ValueError("it is too large")
    try:
        whole = int(cast("Any", value))
    except (ValueError, OverflowError):  # nan, inf
        return float(value)
    return whole if whole == value else _parse_float(float(value))


def convert_value(declared: ParameterType, value: object) -> Any:
    """Return `value` as the declared type. A text is read as a person means it. ValueError when it does not fit.

    >>> convert_value(ParameterType("bool"), "yes")
    True
    """
    if declared.kind == "union":
        return _convert_union(declared, value)
    if declared.kind == "literal":
        return _convert_literal(declared, _simplify_number(value))
    converted = _convert_kind(declared, value)
    for sign, limit in declared.bounds:
        if not _is_within(len(converted) if sign.startswith("length") else converted, sign, limit):
            raise WrongContent(f"its {sign} {limit}" if "length" in sign else f"it must be {sign} {limit}")
    if declared.meaning and (problem := MEANINGS[declared.meaning](converted)):
        raise WrongContent(problem)
    return converted


def _convert_kind(declared: ParameterType, value: object) -> Any:
    if declared.kind in _COLLECTIONS:
        return _COLLECTIONS[declared.kind](declared, value)
    simple = value if declared.kind == "str" else _simplify_number(value)
    return CONVERTERS.get(declared.kind, _parse_any)(simple)


def _convert_list(declared: ParameterType, value: object) -> list[Any]:
    part = declared.parts[0] if declared.parts else ParameterType("any")
    return [convert_value(part, item) for item in _parse_items(value)]


def _convert_set(declared: ParameterType, value: object) -> list[Any]:
    """A set as a list without duplicates, in order."""
    items = _convert_list(declared, value)
    return [item for number, item in enumerate(items) if item not in items[:number]]


def _convert_tuple(declared: ParameterType, value: object) -> list[Any]:
    items = _parse_items(value)
    if len(items) != len(declared.parts):
        raise ValueError(f"it has {len(declared.parts)} values, this has {len(items)}")
    return [convert_value(part, item) for part, item in zip(declared.parts, items, strict=True)]


def _convert_dict(declared: ParameterType, value: object) -> dict[Any, Any]:
    """A dict with keys and values of the declared types. Keys that would become equal are refused."""
    unknown = ParameterType("any")
    key_type, value_type = declared.parts if len(declared.parts) == 2 else (unknown, unknown)
    found: dict[Any, Any] = {}
    for key, item in _parse_mapping(value).items():
        new = _convert_key(key_type, key)
        if new in found:
            raise WrongContent(f"two of its keys become {new!r}")
        found[new] = convert_value(value_type, unwrap_value(item))
    return found


def _convert_key(key_type: ParameterType, key: Any) -> Any:
    try:
        new = _hashable_key(convert_value(key_type, unwrap_value(key)))
    except ValueError as wrong:
        detail = f": {wrong}" if str(wrong) else ""
        raise WrongContent(f"the key {short_repr(key)} is not {with_article(key_type)}{detail}") from None
    if key_type.kind == "any" and not isinstance(new, str):
        raise WrongContent(_undeclared_key(key, new))
    return new


def _undeclared_key(key: Any, converted: Any) -> str:
    return (
        f"the key {short_repr(key)} is not a text, and the type of the keys is not declared: declare it, such as "
        f"dict[{type(converted).__name__}, str]"
    )


_COLLECTIONS: dict[str, Callable[[ParameterType, object], Any]] = {
    "list": _convert_list,
    "set": _convert_set,
    "tuple": _convert_tuple,
    "dict": _convert_dict,
}


def _hashable_key(key: Any) -> Any:
    """The key with tuples in place of lists, because a list cannot be a key."""
    if isinstance(key, dict):
        raise ValueError("a dict cannot be a key")
    return tuple(map(_hashable_key, key)) if isinstance(key, list) else key


def _is_within(value: Any, sign: str, limit: float) -> bool:
    kind = sign.removeprefix("length ")
    return bool({">=": value >= limit, ">": value > limit, "<=": value <= limit, "<": value < limit}[kind])


def _convert_union(declared: ParameterType, value: object) -> Any:
    """Convert to the first type that fits: the narrowest first, and text last, because every value fits it."""
    order = {"literal": 0, "none": 1, "int": 2, "float": 3, "bool": 4, "path": 8, "str": 9, "any": 10}
    problems: list[ValueError] = []
    for part in sorted(declared.parts, key=lambda each: order.get(each.kind, 5)):
        try:
            return convert_value(part, value)
        except ValueError as wrong:
            problems.append(wrong)
    raise next((each for each in problems if isinstance(each, WrongContent)), ValueError())


def _convert_literal(declared: ParameterType, value: object) -> Any:
    for allowed in declared.values:
        if type(value) is type(allowed) and value == allowed:
            return allowed
    if isinstance(value, str):
        for allowed in declared.values:
            if str(allowed).lower() == value.strip().lower():
                return allowed
        for name, allowed in declared.names:
            if name.lower() == value.strip().lower():
                return allowed
    raise ValueError


def _parse_items(value: object) -> list[object]:
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("["):
            return list(_parse_json(text))
        return [item.strip() for item in text.split(",")] if text else []
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes):
        return [unwrap_value(item) for item in value]
    raise ValueError


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _parse_text(value: object) -> str:
    if isinstance(value, str):
        return str.__str__(value)  # a subclass of str becomes plain text
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or value != value:
        raise ValueError  # a list, a flag or a missing number is a mistake, not a text
    return str(value)


#: Python reads and writes integers with at most this many digits.
MAX_INT_DIGITS = sys.int_info.default_max_str_digits
MAX_INT_BITS = int(MAX_INT_DIGITS / math.log10(2))


def _parse_int(value: object) -> int:
    if isinstance(value, bool):
        raise ValueError("a flag is not a number")
    if isinstance(value, int):
        if value.bit_length() > MAX_INT_BITS:
            raise ValueError("it is too large")
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        text = value.strip()
        if text.lstrip("+-").isdecimal() and text.isascii():
            if len(text) > MAX_INT_DIGITS:
                raise ValueError("it is too large")
            return int(text)
    raise ValueError


def _parse_float(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError
    if isinstance(value, str) and "_" in value:
        raise ValueError
    try:
        number = float(value)
    except OverflowError:
        raise ValueError("it is too large") from None
    if not math.isfinite(number):
        raise WrongContent("it must be finite")
    return number


_TRUE_WORDS = ("true", "yes", "on", "1")
_FALSE_WORDS = ("false", "no", "off", "0")


def _parse_bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower() if isinstance(value, int | str) else ""
    if text in _TRUE_WORDS:
        return True
    if text in _FALSE_WORDS:
        return False
    raise ValueError


def _parse_none(value: object) -> None:
    missing = isinstance(value, float) and math.isnan(value)  # a missing text or number of pandas
    if value is None or missing or (isinstance(value, str) and value.strip().lower() in ("", "none", "null")):
        return
    raise ValueError


def _parse_date(value: object) -> str:
    """A date as ISO text: papermill can write a text into a cell, but not a date."""
    if isinstance(value, datetime):
        return value.date().isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str):
        return date.fromisoformat(value.strip()).isoformat()
    raise ValueError("write it as 2026-01-31")


def _parse_datetime(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str):
        return datetime.fromisoformat(value.strip()).isoformat()
    raise ValueError("write it as 2026-01-31T14:00:00+00:00")


def _parse_mapping(value: object) -> Mapping[Any, Any]:
    parsed = _parse_json(value) if isinstance(value, str) else value
    if not isinstance(parsed, Mapping):
        raise ValueError("write it as JSON")
    return parsed


def _parse_path(value: object) -> str:
    if not isinstance(value, str | os.PathLike):
        raise ValueError
    text = os.fspath(value)
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise ValueError
    return str(text)


def _reject_bytes(value: object) -> Any:
    raise ValueError("bytes cannot be written into a cell: pass the path of a file")


def _guess_value(text: str) -> Any:
    """Read a written text as papermill's command line does. ValueError for a number that JSON cannot represent."""
    named = {"True": True, "False": False, "None": None}
    if text in named:
        return named[text]
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        if math.isfinite(number):
            return number
        raise ValueError("it would be read as a number that is not finite; declare it as str if it is a text")
    return str(text)


def _parse_any(value: object) -> Any:
    """Convert a value of an undeclared type to types of JSON, because papermill writes all others as text."""
    if isinstance(value, WrittenText):
        return _guess_value(value)
    value = _simplify_numbers(value)
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        raise ValueError(f"a value of type {type(value).__name__} cannot be written into a cell") from None


def _simplify_numbers(value: object, depth: int = 100) -> object:
    """The value with its numbers as JSON has them. ValueError for a key that is not a text."""
    if isinstance(value, dict) and depth:
        for key in value:
            if not isinstance(key, str):
                raise WrongContent(_undeclared_key(key, key))
        return {key: _simplify_numbers(item, depth - 1) for key, item in value.items()}
    if isinstance(value, list | tuple) and depth:
        return [_simplify_numbers(item, depth - 1) for item in value]
    return _simplify_number(unwrap_value(value))


CONVERTERS: dict[str, Callable[[object], Any]] = {
    "str": _parse_text,
    "int": _parse_int,
    "float": _parse_float,
    "bool": _parse_bool,
    "none": _parse_none,
    "date": _parse_date,
    "datetime": _parse_datetime,
    "dict": lambda value: _parse_mapping(value),
    "path": _parse_path,
    "bytes": _reject_bytes,
    "any": _parse_any,
    "list": lambda value: _parse_items(value),
    "tuple": lambda value: _parse_items(value),
    "set": lambda value: _parse_items(value),
}
