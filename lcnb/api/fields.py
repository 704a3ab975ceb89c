"""How a field of the API is declared: `F` in an annotation, `Field` when it is read back, `Record` as the base of all models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, ClassVar, get_args, get_type_hints


@dataclass(frozen=True)
class F:
    """What a field means: help text, unit, wire path or derivation."""

    help: str
    unit: str = ""
    wire: str = ""
    derive: Callable[[Mapping[str, Any]], Any] | None = None


@dataclass(frozen=True)
class Drift:
    """One odd place in an answer: its JSON path and what was wrong there."""

    path: str
    problem: str


@dataclass(frozen=True)
class Field:
    """A field as read from its line: name, Python type (str, int, float, bool, tuple), meaning."""

    name: str
    type: type
    about: F

    @cached_property
    def wire(self) -> tuple[str, ...]:
        return tuple((self.about.wire or self.name).split("."))


# --- the resources --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Record:
    """What all resources share: unknown fields are kept in `extra`, and a notebook shows a small card."""

    extra: dict[str, Any] = field(default_factory=dict, kw_only=True, repr=False, compare=False)
    TITLE: ClassVar[str] = "name"

    def _repr_html_(self) -> str:
        from lcnb.display.records import record_html

        title = getattr(self, self.TITLE, None)
        rows = [(each.name, each.about.unit, value) for each, value in self.rows()]
        return record_html(f"{type(self).__name__} {'–' if title is None else title}", rows, repr(self))

    def rows(self) -> Iterator[tuple[Field, Any]]:
        """Each field with its value, in the order of the lines."""
        for each in fields_of(type(self)):
            yield each, getattr(self, each.name)


_FIELDS_BY_MODEL: dict[type[Record], tuple[Field, ...]] = {}


def fields_of(model: type[Record]) -> tuple[Field, ...]:
    """The fields of a model, in the order of their lines."""
    if model not in _FIELDS_BY_MODEL:
        hints = get_type_hints(model, include_extras=True)
        _FIELDS_BY_MODEL[model] = tuple(
            _parse_field(each.name, hints[each.name]) for each in fields(model) if each.name != "extra"
        )
    return _FIELDS_BY_MODEL[model]


def _parse_field(name: str, hint: Any) -> Field:
    optional, about = get_args(hint)
    kind = next(arg for arg in get_args(optional) if arg is not type(None))
    return Field(name, getattr(kind, "__origin__", kind), about)
