"""The parameters of a runbook as the fields of its form."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from lcnb.changes.changeset import ChangeSet
from lcnb.errors import InputError
from lcnb.runbooks.notebook import parameters as declared
from lcnb.runbooks.notebook import types
from lcnb.widgets.form_fields import Choice, FieldValues, FormField, FormSpec
from lcnb.widgets.plain_types import plain_refusal, plain_type_text

if TYPE_CHECKING:
    from lcnb.client import LetsCloud
    from lcnb.runbooks.notebook.find import Runbook

#: Parameters without a field: the client fixes the account, and the form makes the dry run itself.
HIDDEN_PARAMETERS = ("account", "dry_run")


def runbook_spec(book: Runbook, verb: str) -> FormSpec:
    """Return the form of a runbook: one field per parameter, except `account` and `dry_run`."""
    known: dict[str, list[str]] = {}
    fields = tuple(
        _parameter_field(each, known) for each in book.parameters if each.name not in HIDDEN_PARAMETERS
    )
    return FormSpec(f"run_{book.name}", book.title, fields, _refuse_build, book.purpose, verb)


def _refuse_build(client: Any, values: FieldValues, secrets: Any) -> ChangeSet:
    raise InputError("a runbook's changes come from its dry run. Nothing was sent.")


def _parameter_field(parameter: types.Parameter, known: dict[str, list[str]]) -> FormField:
    name, kind = parameter.name, declared.ACCOUNT_KINDS.get(parameter.name)
    default = _default_text(parameter)
    about: dict[str, Any] = {
        "name": name,
        "label": name.replace("_", " ").capitalize(),
        "help": _help_text(parameter),
        "default": default,
        "required": parameter.required or not _may_be_empty(parameter),
    }
    values = [str(value) for value in _fixed_values(parameter.type)]
    if parameter.type.kind == "bool":
        return FormField(kind="flag", **about)
    if values:
        none = [Choice("", "none")] if not about["required"] else []
        return FormField(kind="choice", choices=(*none, *(Choice(each, each) for each in values)), **about)

    def check(value: Any, others: FieldValues) -> None:
        if value == default:
            return
        if refusal := plain_refusal(parameter.type, value):
            raise InputError(refusal)
        try:
            declared.check_values((parameter,), {name: value}, known.get)
        except InputError as wrong:
            raise InputError(short_refusal(name, str(wrong))) from None

    if kind is None:
        return FormField(check=check, **about)

    def load(client: LetsCloud, others: FieldValues) -> list[Choice]:
        from lcnb.runbooks.preflight import account_values

        known[kind] = account_values(client, kind)
        return [Choice(each, each) for each in known[kind]]

    several = any(part.kind in ("list", "set", "tuple") for part in (parameter.type, *parameter.type.parts))
    return FormField(kind="suggest", check=check, load=load, several=several, **about)


def _fixed_values(of: types.ParameterType) -> tuple[Any, ...]:
    """Return the values of a type with a fixed set of values, without None; empty for other types."""
    parts = of.parts if of.kind == "union" else (of,)
    if any(part.kind not in ("literal", "none") for part in parts):
        return ()
    return tuple(value for part in parts for value in part.values if value is not None)


def _default_text(parameter: types.Parameter) -> Any:
    """Return the default as a person would type it; empty for None, or if only running the cell computes it."""
    value = parameter.default
    if parameter.type.kind == "bool":
        return bool(value) if isinstance(value, bool) else False
    if isinstance(value, list) and _can_be_typed(value):
        return ", ".join(map(str, value))
    if isinstance(value, list | dict):
        return json.dumps(declared.to_json_values(value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, str | int | float) else ""


def _can_be_typed(values: Iterable[Any]) -> bool:
    """Whether commas can separate the values as a person would type them."""
    return all(isinstance(each, str | int) and "," not in str(each) for each in values)


def _may_be_empty(parameter: types.Parameter) -> bool:
    if parameter.name == declared.SELECTION_NAME:
        return False  # an empty selection selects no machine, which nobody wants
    if parameter.type.kind == "bool" or _default_text(parameter) == "":
        return True
    with suppress(InputError):
        declared.check_values((parameter,), {parameter.name: ""})
        return True
    return False


def _help_text(parameter: types.Parameter) -> str:
    """Return the help of a parameter, with its type in words and an example if the control does not show it."""
    kinds = {each.kind for each in (parameter.type, *parameter.type.parts)}
    if kinds <= {"bool", "str", "any", "none", "union"} or _fixed_values(parameter.type):
        return parameter.help
    text, example = plain_type_text(parameter.type), _default_text(parameter)
    if example and "such as" not in f"{parameter.help} {text}":
        text += f", such as {example}"
    if parameter.help.endswith(")"):
        return f"{parameter.help.removesuffix(')')}; {text})"
    return f"{parameter.help} ({text})".strip()


def short_refusal(name: str, text: str) -> str:
    """Return an error as the message below its field: without the field's name and help."""
    text = text.removeprefix(f"parameter {name}: ").removesuffix("Nothing was started.").strip()
    return text.partition(" It means: ")[0]
