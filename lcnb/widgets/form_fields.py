"""What a form consists of: its fields, their choices, and the client method that builds the ChangeSet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lcnb.changes.changeset import ChangeSet
from lcnb.secret import Secret

if TYPE_CHECKING:
    pass

FieldValues = Mapping[str, Any]


@dataclass(frozen=True)
class Choice:
    """One answer of a field with choices: its value, and how it is told."""

    value: str
    text: str
    #: Why it cannot be taken now, such as a location that is sold out.
    refusal: str = ""


@dataclass(frozen=True)
class FormField:
    """One question. `kind`: text, area (several lines), choice, suggest (a text with proposals), flag, secret, or
    rows (picked in a table)."""

    name: str
    label: str
    help: str = ""
    kind: str = "text"
    required: bool = True
    default: Any = ""
    #: Fields that must be answered before this one's choices can be read; when one changes they are read anew.
    needs: tuple[str, ...] = ()
    #: Reads the choices: (client, values) → choices.
    load: Callable[[Any, FieldValues], Sequence[Choice]] | None = None
    #: Raises InputError for a value that cannot be right: (value, values).
    check: Callable[[Any, FieldValues], object] | None = None
    #: Whether it is asked at all.
    when: Callable[[FieldValues], bool] = lambda values: True
    choices: tuple[Choice, ...] = ()
    #: A `suggest` takes several, with commas between.
    several: bool = False


@dataclass(frozen=True)
class FormSpec:
    """A form: its questions, and the client's method that makes a ChangeSet of the answers."""

    name: str
    title: str
    fields: tuple[FormField, ...]
    build: Callable[[Any, FieldValues, Mapping[str, Secret]], ChangeSet]
    intro: str = ""
    #: What the button says that begins.
    verb: str = "Review …"
