"""The parameters of a runbook as the fields of its form."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from lcnb.changes.changeset import ChangeSet
from lcnb.errors import InputError
from lcnb.runbooks.notebook import parameters as declared
from lcnb.runbooks.notebook import types
from lcnb.widgets.form_fields import Choice, Field, Spec, Values

if TYPE_CHECKING:
    from lcnb.client import LetsCloud
    from lcnb.runbooks.notebook.find import Runbook

#: Whose account it is says the client, and the form makes the dry run itself.
NOT_ASKED = ("account", "dry_run")


# --- parameters as fields -------------------------------------------------------------------------------


def spec_of(book: Runbook, verb: str) -> Spec:
    """The form's questions: each parameter but the account, and `dry_run`."""
    known: dict[str, list[str]] = {}
    fields = tuple(_field(each, known) for each in book.parameters if each.name not in NOT_ASKED)
    return Spec(f"run_{book.name}", book.title, fields, _builds_nothing, book.purpose, verb)


def _builds_nothing(client: Any, values: Values, secrets: Any) -> ChangeSet:
    raise InputError("a runbook's changes come from its dry run. Nothing was sent.")


def _field(parameter: types.Parameter, known: dict[str, list[str]]) -> Field:
    name, kind = parameter.name, declared.ACCOUNT_KINDS.get(parameter.name)
    default = _default(parameter)
    about: dict[str, Any] = {
        "name": name,
        "label": name.replace("_", " ").capitalize(),
        "help": _help(parameter),
        "default": default,
        "required": parameter.required or not _may_be_empty(parameter),
    }
    values = [str(value) for value in _literals(parameter.type)]
    if parameter.type.kind == "bool":
        return Field(kind="flag", **about)
    if values:
        none = [Choice("", "none")] if not about["required"] else []
        return Field(kind="choice", choices=(*none, *(Choice(each, each) for each in values)), **about)

    def check(value: Any, others: Values) -> None:
        if value == default:
            return
        try:
            declared.check((parameter,), {name: value}, known.get)
        except InputError as wrong:
            raise InputError(_short(name, str(wrong))) from None

    if kind is None:
        return Field(check=check, **about)

    def load(client: LetsCloud, others: Values) -> list[Choice]:
        from lcnb.runbooks.preflight import known_values

        known[kind] = known_values(client, kind)
        return [Choice(each, each) for each in known[kind]]

    several = any(part.kind in ("list", "set", "tuple") for part in (parameter.type, *parameter.type.parts))
    return Field(kind="suggest", check=check, load=load, several=several, **about)


def _literals(of: types.Type) -> tuple[Any, ...]:
    """The values of a type that has no others, None aside."""
    parts = of.parts if of.kind == "union" else (of,)
    if any(part.kind not in ("literal", "none") for part in parts):
        return ()
    return tuple(value for part in parts for value in part.values if value is not None)


def _default(parameter: types.Parameter) -> Any:
    """The default as a person would type it; empty where it is None, or told only by running the cell."""
    value = parameter.default
    if parameter.type.kind == "bool":
        return bool(value) if isinstance(value, bool) else False
    if isinstance(value, list) and all(isinstance(each, str) and "," not in each for each in value):
        return ", ".join(value)
    if isinstance(value, list | dict):
        return json.dumps(declared.recordable(value))
    return str(value) if isinstance(value, str | int | float) else ""


def _may_be_empty(parameter: types.Parameter) -> bool:
    if parameter.name == declared.SELECTION:
        return False  # no machine: nobody asks for that
    if parameter.type.kind == "bool" or _default(parameter) == "":
        return True
    with suppress(InputError):
        declared.check((parameter,), {parameter.name: ""})
        return True
    return False


def _help(parameter: types.Parameter) -> str:
    """What it means; its type too, where the control does not show it."""
    kinds = {each.kind for each in (parameter.type, *parameter.type.parts)}
    if kinds <= {"bool", "str", "any", "none", "union"} or _literals(parameter.type):
        return parameter.help
    return f"{parameter.help} ({parameter.type_text})".strip()


def _short(name: str, text: str) -> str:
    """A refusal as it stands below its field: without the field's name and help."""
    text = text.removeprefix(f"parameter {name}: ").removesuffix("Nothing was started.").strip()
    return text.partition(" It means: ")[0]
