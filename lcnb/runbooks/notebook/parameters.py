"""The values given for a runbook's parameters, checked before a kernel starts.

Given values (texts from a command line; Python, numpy or pandas values from code) are converted to the declared type,
or refused with the parameter's name, value, type and help. An unknown name is refused with a suggestion.
"""

from __future__ import annotations

import json
import keyword
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lcnb.errors import InputError, ParameterError
from lcnb.names import same_name
from lcnb.runbooks.notebook.conversion import MAX_SHOWN_CHARS, convert_value, short_repr, unwrap_value
from lcnb.runbooks.notebook.secret_names import is_secret_name
from lcnb.runbooks.notebook.types import Parameter, ParameterType, is_path_type, with_article
from lcnb.shortening import name_first
from lcnb.suggestions import did_you_mean

#: A function from a kind ("location") to the values that the account knows; it returns None for free text.
AccountChoices = Callable[[str], Sequence[str] | None]

#: Parameters with these names (texts or lists of texts) are checked against the account: name → kind of value.
#: A parameter for the label of a machine that is still to be created needs another name.
ACCOUNT_KINDS = {
    "location": "location",
    "plan": "plan",
    "image": "image",
    "label": "label",
    "labels": "label",
    "apply_labels": "label",
    "instance": "label",
    "instances": "label",
}
#: Kinds whose values are compared without regard to upper and lower case.
_CASELESS_KINDS = ("location", "plan", "image")
#: The name of a parameter that selects machines (`lcnb.frames.selection`).
SELECTION_NAME = "selection"
#: Paths with these names are files that the runbook reads: they must exist before anything starts.
INPUT_FILE_NAMES = ("fleet",)

#: An error for an unknown value lists at most this many of the account's values.
MAX_SHOWN_VALUES = 30


def check_values(
    parameters: Sequence[Parameter], given: Mapping[str, object], choices: AccountChoices | None = None
) -> dict[str, Any]:
    """Return the given values, converted to their declared types: plain Python values that fit into a cell.

    Defaults are not included: `effective_values` adds them. ParameterError for an unknown name, a value of the wrong
    type or outside its bounds, or a value that the account does not know.
    """
    known = {each.name: each for each in parameters}
    checked: dict[str, Any] = {}
    for name, value in given.items():
        parameter = known.get(name) if isinstance(name, str) else None
        if parameter is None:
            raise ParameterError(_unknown_message(str(name), known), not_done="started")
        converted = _convert_given(parameter, value)
        if name == SELECTION_NAME and isinstance(converted, str):
            _check_selection(converted)
        elif choices is not None and name in ACCOUNT_KINDS and converted != parameter.default:
            converted = _check_account_values(parameter, converted, choices)
        checked[parameter.name] = converted
    return checked


def _check_selection(text: str) -> None:
    """Check a selection: its form first, which needs no pandas, then its columns. What passes cannot fail later."""
    from lcnb.frames.selection import dtype_kind, parse_selection

    try:
        parse_selection(text)
        from lcnb.frames.inventory import inventory_dtypes

        parse_selection(text, {name: dtype_kind(dtype) for name, dtype in inventory_dtypes().items()})
    except InputError as wrong:
        raise ParameterError(f"parameter {wrong.statement}", not_done="started") from None


def resolve_paths(parameters: Sequence[Parameter], checked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values with absolute paths, defaults included: the kernel has another working directory.

    ParameterError when a file that the runbook reads does not exist.
    """
    found = dict(checked)
    for each in parameters:
        value = checked.get(each.name, each.default)
        texts = value if isinstance(value, list) else [value]
        if texts and all(isinstance(text, str) for text in texts) and is_path_type(each.type):
            paths = [Path(text).expanduser().absolute() for text in texts]
            if each.name in INPUT_FILE_NAMES:
                _check_files(each.name, paths)
            found[each.name] = list(map(str, paths)) if isinstance(value, list) else str(paths[0])
    return found


def _check_files(name: str, paths: Sequence[Path]) -> None:
    for path in paths:
        if not path.is_file():
            problem = "is a folder" if path.is_dir() else "does not exist"
            raise ParameterError(f"parameter {name}: the file {path} {problem}", not_done="started")


def check_required(parameters: Sequence[Parameter], given: Mapping[str, object]) -> None:
    """Raise ParameterError when a parameter without a default was not given."""
    missing = [each for each in parameters if each.required and each.name not in given]
    if missing:
        message = "; ".join(
            f"parameter {each.name} is required ({with_article(each.type)}{f': {each.help}' if each.help else ''})"
            for each in missing
        )
        cure = f"Add {' '.join(f'-p {each.name}=VALUE' for each in missing)}."
        raise ParameterError(message, cure=cure, not_done="started")


def effective_values(parameters: Sequence[Parameter], checked: Mapping[str, Any]) -> dict[str, Any]:
    """Return all parameters with their values: given ones, else defaults (as text where JSON has no such value)."""
    given = to_json_values(checked)
    return {
        each.name: given[each.name] if each.name in given else _default_value(each) for each in parameters
    }


def to_json_values(checked: Any) -> Any:
    """Return checked values as JSON values, from which `check_values` makes the same again: each dict key is a text.

    >>> to_json_values({"m": {7: "seven", True: "yes", (1, "a"): "pair"}})
    {'m': {'7': 'seven', 'true': 'yes', '[1, "a"]': 'pair'}}
    """
    if isinstance(checked, Mapping):
        return {
            key if isinstance(key, str) else json.dumps(key): to_json_values(value)
            for key, value in checked.items()
        }
    if isinstance(checked, list | tuple):
        return [to_json_values(value) for value in checked]
    return checked


def _default_value(parameter: Parameter) -> Any:
    try:
        json.dumps(parameter.default, allow_nan=False)
    except (TypeError, ValueError):  # such as a set, or a value that is only known when the cell runs
        return parameter.default_text
    return parameter.default


def _unknown_message(name: str, known: Mapping[str, Parameter]) -> str:
    if is_secret_name(name):
        hint = ". A secret cannot be a parameter, because parameters are saved with the notebook; name an account"
    else:
        hint = did_you_mean(name, known)
    if not known:
        return (
            f"no parameter {name!r}{hint}. This notebook takes none: a cell with the tag `parameters` declares them "
            f"(in JupyterLab: select the cell; Property Inspector, Cell Tags)"
        )
    return f"no parameter {name!r}{hint}. Parameters: {', '.join(known)}"


def _convert_given(parameter: Parameter, value: object) -> Any:
    if not parameter.name.isidentifier() or keyword.iskeyword(parameter.name):
        raise ParameterError(f"{parameter.name!r} cannot be a parameter's name", not_done="started")
    try:
        return convert_value(parameter.type, unwrap_value(value))
    except ValueError as wrong:
        detail = f" ({wrong})" if str(wrong) else ""
        near = (
            did_you_mean(value[:MAX_SHOWN_CHARS], _allowed_values(parameter.type))
            if isinstance(value, str)
            else ""
        )
        about = f" It means: {parameter.help}." if parameter.help else ""
        wanted = with_article(parameter.type)
        raise ParameterError(
            f"parameter {parameter.name}: {short_repr(value)} is not {wanted}{detail}{near}.{about}",
            not_done="started",
        ) from None


def _allowed_values(declared: ParameterType) -> tuple[Any, ...]:
    """The values of a Literal or an Enum, the names of its members included."""
    own = (*declared.values, *(name for name, _ in declared.names))
    return (*own, *(value for part in declared.parts for value in _allowed_values(part)))


def _check_account_values(parameter: Parameter, value: Any, choices: AccountChoices) -> Any:
    """Return a text, or each text of a list, as the account spells it; other values unchanged."""
    kind = ACCOUNT_KINDS[parameter.name]
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(each, str) for each in texts):
        return value
    known = choices(kind)
    if known is None:
        return value
    found = [_check_account_value(parameter, each, kind, known) for each in texts]
    return found if isinstance(value, list) else found[0]


def _check_account_value(parameter: Parameter, value: str, kind: str, known: Sequence[str]) -> str:
    if value in known:
        return value
    for each in known if kind not in _CASELESS_KINDS else ():
        if same_name(each, value):
            return each
    for each in known if kind in _CASELESS_KINDS else ():
        if each.lower() == value.lower():
            return each
    names = sorted(set(known))
    raise ParameterError(
        f"parameter {parameter.name}: {value!r} is not one of the account's{did_you_mean(value, known)}. "
        f"Known: {name_first(names, MAX_SHOWN_VALUES) or 'none'}",
        not_done="started",
    )
