"""What a form consists of: its fields, their choices, and the client method that builds the ChangeSet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lcnb.changes.changeset import ChangeSet
from lcnb.secret import Secret

FieldValues = Mapping[str, Any]


@dataclass(frozen=True)
class Choice:
    """One choice of a field: its value and its text."""

    value: str
    text: str
    #: Why it cannot be chosen now, for example because a location is sold out.
    refusal: str = ""


@dataclass(frozen=True)
class FormField:
    """One field of a form.

    `kind` is text, area (several lines), choice, suggest (text with suggestions), flag, secret, or rows (picked in a
    table).
    """

    name: str
    label: str
    help: str = ""
    kind: str = "text"
    required: bool = True
    default: Any = ""
    #: Fields that the choices depend on; when one of them changes, the choices are read again.
    needs: tuple[str, ...] = ()
    #: Function that reads the choices: (client, values) → choices.
    load: Callable[[Any, FieldValues], Sequence[Choice]] | None = None
    #: Function (value, values) that raises InputError for a wrong value.
    check: Callable[[Any, FieldValues], object] | None = None
    #: Function of the values: whether the field is shown.
    when: Callable[[FieldValues], bool] = lambda values: True
    choices: tuple[Choice, ...] = ()
    #: Whether a `suggest` field accepts several values, and what separates them.
    several: bool = False
    separator: str = ","


@dataclass(frozen=True)
class FormSpec:
    """A form: its fields, and the function (client, values, secrets) that builds a ChangeSet from them."""

    name: str
    title: str
    fields: tuple[FormField, ...]
    build: Callable[[Any, FieldValues, Mapping[str, Secret]], ChangeSet]
    intro: str = ""
    #: Text of the button that starts the review.
    verb: str = "Review …"
