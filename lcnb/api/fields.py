"""How models declare fields: `F` in an annotation, `Field` as it is read back, `Record` as the base of all models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, ClassVar, get_args, get_type_hints


@dataclass(frozen=True)
class F:
    """What a field means: help text, unit, and its path in the JSON or its derivation from other fields."""

    help: str
    unit: str = ""
    wire: str = ""
    #: Computes the value from the other fields; the JSON is not read for it.
    derive: Callable[[Mapping[str, Any]], Any] | None = None
    #: Computes the value from the other fields if the JSON has none.
    fallback: Callable[[Mapping[str, Any]], Any] | None = None


@dataclass(frozen=True)
class Drift:
    """One odd place in a response: its JSON path and what is wrong there."""

    path: str
    problem: str


@dataclass(frozen=True)
class Field:
    """A field of a model: its name, Python type (str, int, float, bool, tuple) and meaning."""

    name: str
    type: type
    about: F

    @cached_property
    def wire(self) -> tuple[str, ...]:
        """The path of the field in the JSON of a record."""
        return tuple((self.about.wire or self.name).split("."))


#: Renders a title, rows of (name, unit, value) and the plain text as HTML.
HtmlRenderer = Callable[[str, Iterable[tuple[str, str, Any]], str], str]
_html_renderer: HtmlRenderer | None = None


def set_html_renderer(renderer: HtmlRenderer) -> None:
    """Set the function that shows records in a notebook; without one a notebook shows their text.

    `lcnb.client` sets it, so that this module does not import the display.
    """
    global _html_renderer
    _html_renderer = renderer


@dataclass(frozen=True)
class Record:
    """The base of all models: `extra` keeps unknown fields, and a notebook shows a small table."""

    extra: dict[str, Any] = field(default_factory=dict, kw_only=True, repr=False, compare=False)
    TITLE: ClassVar[str] = "name"
    #: Names in the JSON by which a record is recognised: each has at least one of them. Empty for all names that the
    #: fields read.
    RECOGNISED_BY: ClassVar[tuple[str, ...]] = ()

    def _repr_html_(self) -> str | None:
        if _html_renderer is None:
            return None
        title = getattr(self, self.TITLE, None)
        rows = [(each.name, each.about.unit, value) for each, value in self.rows()]
        return _html_renderer(f"{type(self).__name__} {'–' if title is None else title}", rows, repr(self))

    def rows(self) -> Iterator[tuple[Field, Any]]:
        """Yield each field with its value, in the order of their declarations."""
        for each in fields_of(type(self)):
            yield each, getattr(self, each.name)


_FIELDS_BY_MODEL: dict[type[Record], tuple[Field, ...]] = {}


def fields_of(model: type[Record]) -> tuple[Field, ...]:
    """Return the fields of a model, in the order of their declarations."""
    if model not in _FIELDS_BY_MODEL:
        hints = get_type_hints(model, include_extras=True)
        _FIELDS_BY_MODEL[model] = tuple(
            _parse_field(each.name, hints[each.name]) for each in fields(model) if each.name != "extra"
        )
    return _FIELDS_BY_MODEL[model]


def identifying_names(model: type[Record]) -> tuple[str, ...]:
    """Return the names in the JSON of which each record of a model has at least one."""
    read = (each.wire[0] for each in fields_of(model) if each.about.derive is None)
    return model.RECOGNISED_BY or tuple(dict.fromkeys(read))


def _parse_field(name: str, hint: Any) -> Field:
    optional, about = get_args(hint)
    kind = next(arg for arg in get_args(optional) if arg is not type(None))
    return Field(name, getattr(kind, "__origin__", kind), about)
