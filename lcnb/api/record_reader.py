"""Read a JSON record of the API into its model.

Reading never fails on odd data: a value that does not fit becomes a missing value and a `Drift` with its JSON path."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from lcnb.api.fields import Drift, Record, fields_of

#: Matches the names of fields that hold a secret in the API's records: reading drops their values.
SECRET_NAME_PATTERN = re.compile(r"passw|secret|private_?key|token|credential|api_?key", re.IGNORECASE)

_INT64 = range(-(2**63), 2**63)

R = TypeVar("R", bound=Record)


def read_record(model: type[R], record: Mapping[str, Any], path: str, drift: list[Drift]) -> R:
    """Return the typed object of a JSON record; odd values become missing and are noted in `drift`."""
    layout = _model_layout(model)
    values: dict[str, Any] = {}
    for name, wire, convert in layout.converters:
        try:
            raw = record.get(name) if wire is None else _get_nested(record, wire)
            values[name] = None if raw is None else convert(raw)
        except ValueError as odd:
            values[name] = None
            drift.append(Drift(f"{path}.{'.'.join(wire or (name,))}", str(odd)))
    for name, derive in layout.derived:
        values[name] = derive(values)
    for name, fallback in layout.fallbacks:
        if not values[name]:
            values[name] = fallback(values)
    return model(**values, extra={} if record.keys() <= layout.known else _extra_fields(record, layout.known))


@dataclass(frozen=True)
class _ModelLayout:
    """The fields of a model, prepared for reading thousands of records."""

    #: Name, path in the JSON (None if it is the name), and the function that converts the value.
    converters: tuple[tuple[str, tuple[str, ...] | None, Callable[[Any], Any]], ...]
    derived: tuple[tuple[str, Callable[[Mapping[str, Any]], Any]], ...]
    fallbacks: tuple[tuple[str, Callable[[Mapping[str, Any]], Any]], ...]
    #: Names in the JSON that a field reads.
    known: frozenset[str]


_LAYOUTS: dict[type[Record], _ModelLayout] = {}


def _model_layout(model: type[Record]) -> _ModelLayout:
    if model not in _LAYOUTS:
        _LAYOUTS[model] = _build_layout(model)
    return _LAYOUTS[model]


def _build_layout(model: type[Record]) -> _ModelLayout:
    fields = fields_of(model)
    read = [each for each in fields if each.about.derive is None]
    return _ModelLayout(
        tuple(
            (each.name, each.wire if each.wire != (each.name,) else None, _CONVERTERS[each.type])
            for each in read
        ),
        tuple((each.name, each.about.derive) for each in fields if each.about.derive is not None),
        tuple((each.name, each.about.fallback) for each in fields if each.about.fallback is not None),
        frozenset(each.wire[0] for each in read),
    )


def _get_nested(record: Mapping[str, Any], wire: tuple[str, ...]) -> Any:
    value: Any = record
    for depth, key in enumerate(wire):
        if isinstance(value, Mapping):
            value = value.get(key)
        elif depth and key == "slug" and value not in (None, []):  # PHP writes an empty object as []
            if isinstance(value, str):
                return value  # `"location": "MIA1"` says the same as `"location": {"slug": "MIA1"}`
            raise ValueError(f"expected an object, got {_describe_value(value)}")
        else:
            return None
    return value


def _extra_fields(record: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """Return the fields that the model does not have, except those whose name suggests a secret."""
    return {
        key: drop_secret_fields(value)
        for key, value in record.items()
        if key not in known and not _is_secret_name(key)
    }


_SCALARS = frozenset({str, int, float, bool, type(None)})


@lru_cache(maxsize=1024)
def _is_secret_name(name: str) -> bool:
    return SECRET_NAME_PATTERN.search(name) is not None


def drop_secret_fields(value: Any, depth: int = 50) -> Any:
    """Return a JSON value without the fields whose name suggests a secret."""
    if not depth:
        return None  # no meaningful value is nested so deeply
    if type(value) in _SCALARS:
        return value
    if isinstance(value, Mapping):
        return {
            # Most values are scalars: a call for each would take most of the time of a large listing.
            k: v if type(v) in _SCALARS else drop_secret_fields(v, depth - 1)
            for k, v in value.items()
            if not _is_secret_name(str(k))
        }
    if isinstance(value, list):
        return [drop_secret_fields(item, depth - 1) for item in value]
    return value


def _describe_value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list):
        return "a list"
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _to_text(raw: Any) -> str | None:
    if type(raw) is str and raw.isascii():
        return raw or None
    if raw is None or raw == "":
        return None
    if isinstance(raw, bool) or not isinstance(raw, str | int | float):
        raise ValueError(f"expected a text, got {_describe_value(raw)}")
    # A lone surrogate is valid JSON but no UTF-8: no file, terminal or Arrow column could hold it.
    return str(raw).encode("utf-8", "replace").decode("utf-8")


def _to_float(raw: Any) -> float | None:
    if raw is None or (isinstance(raw, str) and not raw.strip()):
        return None
    if isinstance(raw, bool) or not isinstance(raw, str | int | float):
        raise ValueError(f"expected a number, got {_describe_value(raw)}")
    if isinstance(raw, str) and "_" in raw:
        raise ValueError(f"expected a number, got {_describe_value(raw)}")
    try:
        number = float(raw)
    except (ValueError, OverflowError):
        raise ValueError(f"expected a number, got {_describe_value(raw)}") from None
    if not math.isfinite(number):
        raise ValueError(f"expected a finite number, got {_describe_value(raw)}")
    return number


def _to_int(raw: Any) -> int | None:
    if isinstance(raw, int) and not isinstance(raw, bool):
        whole = raw  # exact: a float in between would round large ones
    else:
        number = _to_float(raw)
        if number is None:
            return None
        if not number.is_integer():
            raise ValueError(f"expected a whole number, got {_describe_value(raw)}")
        whole = int(number)
    if whole not in _INT64:
        raise ValueError(f"expected a 64-bit whole number, got {_describe_value(raw)}")
    return whole


_BOOL_WORDS = {"true": True, "false": False, "1": True, "0": False, "": None}


def _to_bool(raw: Any) -> bool | None:
    if raw is None or isinstance(raw, bool):
        return raw
    if isinstance(raw, int | str) and str(raw).strip().lower() in _BOOL_WORDS:
        return _BOOL_WORDS[str(raw).strip().lower()]
    raise ValueError(f"expected true or false, got {_describe_value(raw)}")


def _to_texts(raw: Any) -> tuple[str, ...] | None:
    """Return a list of texts; an item may also be an object with an `address` or a `slug` (instances, locations)."""
    if raw is None:
        return None
    if isinstance(raw, Mapping):
        raw = list(raw.values())
    if not isinstance(raw, list):
        raise ValueError(f"expected a list, got {_describe_value(raw)}")
    texts = [
        _to_text(item.get("address", item.get("slug")) if isinstance(item, Mapping) else item) for item in raw
    ]
    return tuple(text for text in texts if text is not None)


_CONVERTERS: dict[type, Callable[[Any], Any]] = {
    str: _to_text,
    int: _to_int,
    float: _to_float,
    bool: _to_bool,
    tuple: _to_texts,
}
