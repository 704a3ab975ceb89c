"""Parameters of a runbook: read from the cell tagged `parameters`, typed, checked before a kernel starts.

The cell's text is parsed, never run: `days: int = 30  # how far to look back`. Without a value (`days: int`) it must
be given. What is given (texts from a command line; Python, numpy or pandas values from code) is converted to the
declared type or refused with the parameter's name, value, type and help. What is left over is a misspelt name,
refused with a suggestion.

What arrives in the cell is what can be written into it: text, numbers, flags, None, lists, dicts. So a date, a
datetime and a path arrive as text, a tuple and a set as a list, a member of an Enum as its value. The keys of a dict
have their declared type; a tuple that is a key arrives as a tuple.

A parameter without a type, whose default says none either (`limit = None`, `wait_s = 60 * 60`), takes a text from a
command line or a CSV file as papermill does: `True`, `False` and `None` are these values, what `int()` or `float()`
takes is a number, the rest is text. A text that Python code passes stays a text.
"""

from __future__ import annotations

import ast
import io
import json
import keyword
import math
import os
import re
import sys
import tokenize
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from itertools import pairwise
from numbers import Real
from pathlib import Path
from typing import Any, cast

from lcnb.config import did_you_mean
from lcnb.errors import InputError, ParameterError
from lcnb.names import same_name

#: Given a kind ("location"), the values that the account knows; None when that kind is free text.
Choices = Callable[[str], Sequence[str] | None]

#: Parameters of this name, a text or a list of texts, are checked against the account: name → what it must be one of.
#: A label of a machine that is still to be created needs another name.
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
#: Known in either case of letters.
_SLUGS = ("location", "plan", "image")
#: A text that selects machines (`lcnb.frames.selection`).
SELECTION = "selection"
#: A path of this name is a file that is read: it must be there before anything starts.
READ_FILES = ("fleet",)

#: So many of the account's values are told beside one that is none of them.
KNOWN_SHOWN = 30

#: Characters of a value that an error tells.
SHOWN = 200

_MISSING = object()


class Written(str):
    """A text as somebody wrote it on a command line or in a CSV file: its type is only known by its looks."""

    __slots__ = ()


@dataclass(frozen=True)
class Type:
    """A declared type: a kind, and what it is made of.

    Kinds: any, str, int, float, bool, bytes, date, datetime, path, none, literal (of `values`, which may have
    `names`), union, list, set, dict and tuple (of `parts`), each with optional bounds, of its length where the sign
    says so.
    """

    kind: str
    parts: tuple[Type, ...] = ()
    values: tuple[Any, ...] = ()
    bounds: tuple[tuple[str, int | float], ...] = ()
    names: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        if self.kind == "literal":
            return "one of " + ", ".join(map(repr, self.values))
        if self.kind == "union":
            return " or ".join("None" if part.kind == "none" else str(part) for part in self.parts)
        text = {"any": "any value", "str": "text", "path": "path", "none": "None"}.get(self.kind, self.kind)
        if self.kind in ("list", "set", "tuple") and self.parts:
            text = f"{self.kind} of {', '.join(map(str, self.parts))}"
        return text + "".join(f" {sign} {limit}" for sign, limit in self.bounds)


@dataclass(frozen=True)
class Parameter:
    """One parameter: its name, type, default, and the comment behind it. One that is required has no default."""

    name: str
    type: Type
    default: Any
    default_text: str
    help: str
    required: bool = False

    @property
    def type_text(self) -> str:
        return str(self.type)


# --- names of secrets -----------------------------------------------------------------------------------

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SECRET_WORD = re.compile(r".*(?:passwo?r?d|passphrase|token|secret|credential|apikey|privatekey)s?")
#: Before `key`, as words of their own.
_SECRET_KEYS = ("api", "private", "secret")
#: A name with such a word is a number of something: `max_tokens`, `password_length`.
_AMOUNTS = frozenset(
    ("max", "min", "num", "number", "n", "count", "counts", "counter", "total", "length", "len", "size", "limit",
     "limits", "budget", "days", "hours", "minutes", "seconds", "s", "ms", "ttl", "age", "per", "rate", "index")
)  # fmt: skip
#: A name that ends with such a word says something about a secret, and is none: `secret_name`, `token_type`.
_ABOUT = frozenset(
    ("name", "names", "type", "types", "kind", "policy", "format", "env", "variable", "var", "provider", "backend",
     "store", "scope", "scopes", "url", "uri", "endpoint", "version", "label", "labels", "group", "field", "column",
     "header", "prefix", "rotation", "mode", "status", "state")
)  # fmt: skip


def names_a_secret(name: str) -> bool:
    """Whether a parameter of this name holds a secret when it is a text. Whole words count: `tokenizer` is none.

    >>> [names_a_secret(name) for name in ("api_token", "rootPassword", "tokenizer", "max_tokens", "secret_name")]
    [True, True, False, False, False]
    """
    words = [word.lower() for word in _WORD.findall(name)]
    if not words or words[-1] in _ABOUT or _AMOUNTS.intersection(words):
        return False
    return any(map(_SECRET_WORD.fullmatch, words)) or any(
        word in _SECRET_KEYS and after in ("key", "keys") for word, after in pairwise(words)
    )


def _may_be_text(declared: Type) -> bool:
    """Whether a text that is not in the notebook already could be given: numbers, flags and choices are no secrets."""
    if declared.parts:
        return any(map(_may_be_text, declared.parts))
    return declared.kind not in ("int", "float", "bool", "date", "datetime", "none", "literal")


# --- reading the cell -----------------------------------------------------------------------------------


def read_parameters(source: str, where: str = "the runbook") -> tuple[Parameter, ...]:
    """The parameters that a cell declares, in order. ParameterError when the cell is no valid Python."""
    tree, source = _parsed(source, where)
    comments = _comments(source)
    types = _Types(tree)
    found: dict[str, Parameter] = {}
    for node in tree.body:
        for name, annotation, value in _assignments(node):
            if not types.alias(name, value):
                help_text = comments.get(node.end_lineno or 0, "")
                new = _parameter(name, annotation, value, help_text, where, types)
                found[name] = _again(found[name], new, annotation) if name in found else new
    return tuple(found.values())


#: Magics that run the rest of their cell in the notebook: what it assigns is there afterwards.
_RUNNING_MAGICS = ("time", "capture", "prun")
_CELL_MAGIC = re.compile(r"\s*%%(\w*).*\n?")


def _parsed(source: str, where: str) -> tuple[ast.Module, str]:
    """The cell as Python, and the text that was parsed: without magics and shell commands, as IPython reads them."""
    while magic := _CELL_MAGIC.match(source):
        if magic[1] not in _RUNNING_MAGICS:
            raise ParameterError(
                f"{where}: the cell tagged `parameters` begins with %%{magic[1]}, so it declares no parameters of the "
                "notebook. Put the parameters into a cell of their own, with the tag. Nothing was started."
            )
        source = source[magic.end() :]
    try:
        return ast.parse(source), source
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        wrong = error
    try:  # slow to import, and most cells are plain Python
        from IPython.core.inputtransformer2 import TransformerManager

        plain = TransformerManager().transform_cell(source)  # type: ignore[no-untyped-call]
        return ast.parse(plain), plain
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        if isinstance(
            error, SyntaxError
        ):  # the lines are those of the cell, but for what goes on over several
            wrong = error
    what = f"line {wrong.lineno}: {wrong.msg}" if isinstance(wrong, SyntaxError) else str(wrong)
    raise ParameterError(
        f"{where}: the cell tagged `parameters` is not valid Python ({what}; what is no parameter can go into another "
        "cell). Nothing was started."
    )


def _again(before: Parameter, after: Parameter, annotation: ast.expr | None) -> Parameter:
    """A name that is declared twice: `days: int` and then `days = 30` are one declaration in two lines."""
    if after.required:
        kept = before.default, before.default_text, before.required
        after = replace(after, default=kept[0], default_text=kept[1], required=kept[2])
    if annotation is None and before.type.kind != "any":
        after = replace(after, type=before.type)
    return replace(after, help=after.help or before.help)


def _comments(source: str) -> dict[int, str]:
    """Line number → the comment that ends it. Tokens, not text: a `#` in a string is no comment."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {
        token.start[0]: _FORM.sub("", token.string.lstrip("# ")).strip()
        for token in tokens
        if token.type == tokenize.COMMENT
    }


#: How Colab describes the form of a parameter, in a comment.
_FORM = re.compile(r"@(?:param|markdown|title)\b\s*(?:\[[^]]*\]|\{[^}]*\})?(?:\s*\{[^}]*\})?")


def _assignments(node: ast.stmt) -> list[tuple[str, ast.expr | None, ast.expr | None]]:
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [(node.target.id, node.annotation, node.value)]
    if isinstance(node, ast.Assign):
        return [(target.id, None, node.value) for target in node.targets if isinstance(target, ast.Name)]
    return []


def _parameter(
    name: str,
    annotation: ast.expr | None,
    value: ast.expr | None,
    help_text: str,
    where: str,
    types: _Types,
) -> Parameter:
    default = _MISSING if value is None else types.value(value)
    declared = types.of(annotation) if annotation is not None else _inferred(default)
    # Where a secret is kept is none.
    names_a_file = re.search(r"(_file|_path|_dir|_folder|File|Path|Dir|Folder)$", name) and _is_path(declared)
    if names_a_secret(name) and _may_be_text(declared) and not names_a_file:
        raise ParameterError(
            f"{where}: the parameter {name!r} looks like a secret. A parameter is saved with the notebook, so "
            "none may be one. Take a token or a password from the environment (os.environ), and pass the name of an "
            "account; a name that ends in `_file` with the type Path can be where it is kept."
        )
    text = "" if value is None else ast.unparse(value)
    return Parameter(name, declared, default, text, help_text, value is None)


def _literal(node: ast.expr) -> Any:
    """The value of a literal, or `_MISSING` for one that only running it would tell."""
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return _MISSING


def _inferred(default: Any) -> Type:
    if default is None or default is _MISSING:
        return Type("any")
    kind = type(default).__name__
    if kind in ("list", "tuple", "set"):
        kinds = {type(item).__name__ for item in default}
        same = kinds.pop() if len(kinds) == 1 else "any"
        return Type("set" if kind == "set" else "list", (Type(same if same in _CONVERT else "any"),))
    if kind == "dict":
        return Type("dict", (_inferred_keys(default), Type("any"))) if default else Type("dict")
    return Type(kind if kind in _CONVERT else "any")


def _inferred_keys(default: Mapping[Any, Any]) -> Type:
    """The type of a default's keys: that of all of them, or either of theirs."""
    found = list(dict.fromkeys(_inferred(key) for key in default))
    return found[0] if len(found) == 1 else _union(found)


_NAMES = {
    "str": "str",
    "int": "int",
    "float": "float",
    "bool": "bool",
    "None": "none",
    "date": "date",
    "datetime": "datetime",
    "Timestamp": "datetime",
    "Path": "path",
    "list": "list",
    "List": "list",
    "Sequence": "list",
    "Iterable": "list",
    "tuple": "tuple",
    "Tuple": "tuple",
    "set": "set",
    "Set": "set",
    "frozenset": "set",
    "FrozenSet": "set",
    "bytes": "bytes",
    "dict": "dict",
    "Dict": "dict",
    "Mapping": "dict",
    "MutableMapping": "dict",
    "OrderedDict": "dict",
    "defaultdict": "dict",
    "DefaultDict": "dict",
    "Any": "any",
    "object": "any",
}
_BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "min_length": "length >=", "max_length": "length <="}
#: What `Ge(1)`, `MinLen(1)`, `Len(1, 9)` call their arguments, in order.
_ARGUMENTS = {
    "Ge": ("ge",),
    "Gt": ("gt",),
    "Le": ("le",),
    "Lt": ("lt",),
    "MinLen": ("min_length",),
    "MaxLen": ("max_length",),
    "Len": ("min_length", "max_length"),
}
#: What an alias may be written as; `date = date.today()` is none, whatever else is called `date`.
_TYPE_NODES = (ast.Name, ast.Attribute, ast.Subscript, ast.BinOp)
_ENUMS = {"Enum", "StrEnum", "IntEnum"}


class _Types:
    """The types that annotations of one cell name: known ones, and those that the cell itself makes.

    These are classes derived from Enum, and aliases: `Size = Literal["s", "m"]`, when an annotation says `Size`.
    """

    def __init__(self, tree: ast.Module) -> None:
        self._own: dict[str, Type] = {}
        self._members: dict[str, dict[str, Any]] = {}
        self._annotating = _names_in_annotations(tree)
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                self._enum(node)
            elif isinstance(node, ast.AnnAssign) and _last_name(node.annotation) == "TypeAlias":
                self._own[_last_name(node.target)] = self.of(node.value) if node.value else Type("any")
            elif isinstance(node, ast.Assign) and isinstance(node.value, _TYPE_NODES):
                for target in node.targets:
                    if isinstance(target, ast.Name) and target.id in self._annotating:
                        self._own[target.id] = self.of(node.value)
            elif type(node).__name__ == "TypeAlias":  # `type Size = ...`, of Python 3.12
                self._own[_last_name(getattr(node, "name"))] = self.of(getattr(node, "value"))  # noqa: B009

    def alias(self, name: str, value: ast.expr | None) -> bool:
        """Whether an assignment names a type and so is no parameter."""
        return value is not None and name in self._own and name not in self._members

    def _enum(self, node: ast.ClassDef) -> None:
        bases = {_last_name(base) for base in node.bases}
        if not bases & _ENUMS:
            return
        members: dict[str, Any] = {}
        for each in node.body:
            if isinstance(each, ast.Assign):
                names = [target.id for target in each.targets if isinstance(target, ast.Name)]
                value = _member(each.value, names, members, texts="StrEnum" in bases)
                members |= dict.fromkeys((name for name in names if not name.startswith("_")), value)
        plain = members and all(_scalar(value) for value in members.values())
        self._members[node.name] = members if plain else {}
        values = tuple(dict.fromkeys(members.values())) if plain else ()
        self._own[node.name] = (
            Type("literal", values=values, names=tuple(members.items())) if plain else Type("any")
        )

    def value(self, node: ast.expr) -> Any:
        """The value of a literal or of a member (`Size.SMALL`, `Size("s")`); `_MISSING` for any other."""
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            return self._members.get(node.value.id, {}).get(node.attr, _MISSING)
        if isinstance(node, ast.Attribute) and node.attr == "value":
            return self.value(node.value)
        if isinstance(node, ast.Call) and _last_name(node.func) in self._members and len(node.args) == 1:
            return _literal(node.args[0])
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            value = _literal(node.operand)
            return value if value is _MISSING else not value
        return _literal(node)

    def of(self, node: ast.expr) -> Type:
        """The type that an annotation names; one that is not known accepts any value."""
        if isinstance(node, ast.Constant):
            if node.value is None:
                return Type("none")
            if isinstance(node.value, str):  # a quoted annotation
                try:
                    return self.of(ast.parse(node.value, mode="eval").body)
                except (SyntaxError, ValueError):
                    return Type("any")
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return _union([self.of(node.left), self.of(node.right)])
        if isinstance(node, ast.Subscript):
            return self._generic(_last_name(node.value), node.slice)
        name = _last_name(node)
        if isinstance(node, ast.Name) and name in self._own:
            return self._own[name]
        return _bare(_NAMES.get(name, "any"))

    def _generic(self, name: str, inner: ast.expr) -> Type:
        items = list(inner.elts) if isinstance(inner, ast.Tuple) else [inner]
        if name == "Literal":
            values = tuple(self.value(item) for item in items)
            return Type("literal", values=values) if all(map(_scalar, values)) else Type("any")
        if name == "Optional":
            return _union([self.of(items[0]), Type("none")])
        if name == "Union":
            return _union([self.of(item) for item in items])
        if name == "Annotated":
            return _bounded(self.of(items[0]), tuple(_bounds(items[1:])))
        if name in ("Final", "ClassVar"):
            return self.of(items[0])
        kind = _NAMES.get(name, "any")
        if kind == "tuple" and isinstance(items[-1], ast.Constant) and items[-1].value is Ellipsis:
            kind, items = "list", items[:1]
        takes = ("list", "set", "dict", "tuple")
        return Type(kind, tuple(self.of(item) for item in items)) if kind in takes else _bare(kind)


def _bare(kind: str) -> Type:
    """A tuple of which nothing more is said is as a list."""
    return Type("list" if kind == "tuple" else kind)


def _member(node: ast.expr, names: Sequence[str], before: Mapping[str, Any], *, texts: bool) -> Any:
    """The value of an Enum's member. `auto()` is the name in small letters for texts, else it counts on."""
    if not (isinstance(node, ast.Call) and _last_name(node.func) == "auto"):
        return _literal(node)
    if texts:
        return names[0].lower() if names else _MISSING
    if not all(isinstance(value, int) for value in before.values()):
        return _MISSING
    return max(before.values(), default=0) + 1


def _scalar(value: Any) -> bool:
    """Whether a cell can be written with it."""
    return value is None or isinstance(value, str | int | float | bool)


def _names_in_annotations(tree: ast.Module) -> set[str]:
    """Each name that an annotation of the cell says, quoted ones too."""
    found: set[str] = set()
    open_ = [node.annotation for node in tree.body if isinstance(node, ast.AnnAssign)]
    while open_:
        for node in ast.walk(open_.pop()):
            if isinstance(node, ast.Name):
                found.add(node.id)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                try:
                    open_.append(ast.parse(node.value, mode="eval").body)
                except (SyntaxError, ValueError):
                    continue
    return found


def _last_name(node: ast.expr) -> str:
    """`Literal` for both `Literal` and `typing.Literal`."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _union(parts: Sequence[Type]) -> Type:
    flat: list[Type] = []
    for part in parts:
        flat.extend(part.parts if part.kind == "union" else [part])
    return Type("union", tuple(flat))


def _bounded(declared: Type, bounds: tuple[tuple[str, int | float], ...]) -> Type:
    """The type with the bounds that can be meant: in `Annotated[int | None, Ge(1)]` they are the int's."""
    if declared.kind == "union":
        return replace(declared, parts=tuple(_bounded(part, bounds) for part in declared.parts))
    number = declared.kind in ("int", "float")
    long = declared.kind in ("str", "path", "list", "set", "dict", "any")
    fit = tuple(each for each in bounds if (long if each[0].startswith("length") else number))
    return replace(declared, bounds=declared.bounds + fit)


def _bounds(items: Sequence[ast.expr]) -> list[tuple[str, int | float]]:
    """`Ge(1)`, or `Interval(ge=1, le=9)`, as annotated-types writes them."""
    found = []
    for item in items:
        if isinstance(item, ast.Call):
            named = [(word.arg or "", word.value) for word in item.keywords]
            named += list(zip(_ARGUMENTS.get(_last_name(item.func), ()), item.args, strict=False))
            for name, value in named:
                sign, limit = _BOUNDS.get(name), _literal(value)
                if sign and isinstance(limit, int | float):
                    found.append((sign, limit))
    return found


# --- checking what is given -----------------------------------------------------------------------------


def check(
    parameters: Sequence[Parameter], given: Mapping[str, object], choices: Choices | None = None
) -> dict[str, Any]:
    """The given values, converted to their declared types; plain Python that a cell can be written with.

    Raises ParameterError for an unknown name, a value of the wrong type or outside its bounds, or one that
    the account does not know. Defaults are not repeated: `effective` adds them.
    """
    known = {each.name: each for each in parameters}
    checked: dict[str, Any] = {}
    for name, value in given.items():
        parameter = known.get(name) if isinstance(name, str) else None
        if parameter is None:
            raise ParameterError(_unknown(str(name), known))
        converted = _converted(parameter, value)
        if name == SELECTION and isinstance(converted, str):
            _check_selection(converted)
        elif choices is not None and name in ACCOUNT_KINDS and converted != parameter.default:
            converted = _known_values(parameter, converted, choices)
        checked[parameter.name] = converted
    return checked


def _check_selection(text: str) -> None:
    """The form first, which needs no pandas; then the columns. What passes cannot fail on the machines."""
    from lcnb.frames.selection import kind_of, parse

    try:
        parse(text)
        from lcnb.frames.listings import inventory_dtypes

        parse(text, {name: kind_of(dtype) for name, dtype in inventory_dtypes().items()})
    except InputError as wrong:
        message = str(wrong).replace("Nothing was sent", "Nothing was started")
        raise ParameterError(f"parameter {message}") from None


def located(parameters: Sequence[Parameter], checked: Mapping[str, Any]) -> dict[str, Any]:
    """The values with every path made absolute, defaults too: the kernel has another working directory.

    ParameterError when a file that is to be read is not there.
    """
    found = dict(checked)
    for each in parameters:
        value = checked.get(each.name, each.default)
        texts = value if isinstance(value, list) else [value]
        if not texts or not all(isinstance(text, str) for text in texts) or not _is_path(each.type):
            continue
        paths = [Path(text).expanduser().absolute() for text in texts]
        for path in paths if each.name in READ_FILES else ():
            if not path.is_file():
                problem = "is a folder" if path.is_dir() else "is not there"
                raise ParameterError(
                    f"parameter {each.name}: the file {path} {problem}. Nothing was started."
                )
        found[each.name] = list(map(str, paths)) if isinstance(value, list) else str(paths[0])
    return found


def _is_path(declared: Type) -> bool:
    return declared.kind == "path" or any(part.kind == "path" for part in declared.parts)


def check_required(parameters: Sequence[Parameter], given: Mapping[str, object]) -> None:
    """ParameterError when a parameter that has no default is not among what is given."""
    missing = [each for each in parameters if each.required and each.name not in given]
    if missing:
        told = "; ".join(
            f"parameter {each.name} must be given, {_article(each.type)}{f': {each.help}' if each.help else ''}"
            for each in missing
        )
        raise ParameterError(f"{told}. Nothing was started.")


def effective(parameters: Sequence[Parameter], checked: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters with their values: the given ones, else the defaults (as text where JSON has no such value)."""
    given = recordable(checked)
    return {
        each.name: given[each.name] if each.name in given else _shown_default(each) for each in parameters
    }


def recordable(checked: Any) -> Any:
    """Checked values as JSON has them, from which `check` makes the same again: each key of a dict is a text.

    >>> recordable({"m": {7: "seven", True: "yes", (1, "a"): "pair"}})
    {'m': {'7': 'seven', 'true': 'yes', '[1, "a"]': 'pair'}}
    """
    if isinstance(checked, Mapping):
        return {
            key if isinstance(key, str) else json.dumps(key): recordable(value)
            for key, value in checked.items()
        }
    if isinstance(checked, list | tuple):
        return [recordable(value) for value in checked]
    return checked


def _shown_default(parameter: Parameter) -> Any:
    try:
        json.dumps(parameter.default, allow_nan=False)
    except (TypeError, ValueError):  # such as a set, or what only running the cell would tell
        return parameter.default_text
    return parameter.default


def _unknown(name: str, known: Mapping[str, Parameter]) -> str:
    if names_a_secret(name):
        hint = ". A secret cannot be a parameter: parameters are saved with the notebook; name an account"
    else:
        hint = did_you_mean(name, known)
    if not known:
        return f"no parameter {name!r}{hint}. This runbook takes none. Nothing was started."
    return f"no parameter {name!r}{hint}. Parameters: {', '.join(known)}. Nothing was started."


def _converted(parameter: Parameter, value: object) -> Any:
    if not parameter.name.isidentifier() or keyword.iskeyword(parameter.name):
        raise ParameterError(f"{parameter.name!r} cannot be a parameter's name. Nothing was started.")
    try:
        return convert(parameter.type, _plain(value))
    except ValueError as wrong:
        detail = f" ({wrong})" if str(wrong) else ""
        near = did_you_mean(value[:SHOWN], _literals(parameter.type)) if isinstance(value, str) else ""
        about = f" It means: {parameter.help}." if parameter.help else ""
        raise ParameterError(
            f"parameter {parameter.name}: {_shown(value)} is not {_article(parameter.type)}{detail}{near}.{about} "
            "Nothing was started."
        ) from None


def _article(declared: Type) -> str:
    text = str(declared)
    return text if text.startswith(("one of", "any")) else f"{'an' if text[0] in 'aeiou' else 'a'} {text}"


def _literals(declared: Type) -> tuple[Any, ...]:
    own = (*declared.values, *(name for name, _ in declared.names))
    return (*own, *(value for part in declared.parts for value in _literals(part)))


def _shown(value: object) -> str:
    """A value as an error tells it: not all of a long one, and nothing that fails itself (such as a huge number)."""
    try:
        text = repr(value)
    except Exception:
        return f"a value of type {type(value).__name__}"
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 20]}… ({len(text)} characters)"


def _known_values(parameter: Parameter, value: Any, choices: Choices) -> Any:
    """A text, or each of a list of texts, as the account has it; anything else as it is."""
    kind = ACCOUNT_KINDS[parameter.name]
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(each, str) for each in texts):
        return value
    known = choices(kind)
    if known is None:
        return value
    found = [_known_value(parameter, each, kind, known) for each in texts]
    return found if isinstance(value, list) else found[0]


def _known_value(parameter: Parameter, value: str, kind: str, known: Sequence[str]) -> str:
    if value in known:
        return value
    for each in known if kind not in _SLUGS else ():
        if same_name(each, value):
            return each
    for each in known if kind in _SLUGS else ():
        if each.lower() == value.lower():
            return each
    names = sorted(set(known))
    more = f" and {len(names) - KNOWN_SHOWN} more" if len(names) > KNOWN_SHOWN else ""
    raise ParameterError(
        f"parameter {parameter.name}: {value!r} is not one of the account's{did_you_mean(value, known)}. "
        f"Known: {', '.join(names[:KNOWN_SHOWN]) or 'none'}{more}. Nothing was started."
    )


def _plain(value: object) -> object:
    """A numpy or pandas value as the Python value inside, an array as a list; a missing one as None."""
    if isinstance(value, Enum):
        return _plain(value.value)
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


def _number(value: object) -> object:
    """A number of another kind (Decimal, Fraction, a long double) as an int if it is whole, else as a float."""
    if isinstance(value, int | float) or not isinstance(value, Real | Decimal):
        return value
    if isinstance(value, Decimal) and value.is_finite() and value.adjusted() > MAX_DIGITS:
        raise ValueError("it is too large")
    try:
        whole = int(cast("Any", value))
    except (ValueError, OverflowError):  # nan, inf
        return float(value)
    return whole if whole == value else _float(float(value))


def convert(declared: Type, value: object) -> Any:
    """`value` as the declared type. ValueError when it is not one; a text is read as a person means it."""
    if declared.kind == "union":
        return _convert_union(declared, value)
    if declared.kind == "literal":
        return _convert_literal(declared, _number(value))
    converted = _convert_kind(declared, value)
    for sign, limit in declared.bounds:
        if not _within(len(converted) if sign.startswith("length") else converted, sign, limit):
            raise ValueError(f"it must be {sign} {limit}" if "length" not in sign else f"its {sign} {limit}")
    return converted


def _convert_kind(declared: Type, value: object) -> Any:
    if declared.kind == "list":
        return [convert(declared.parts[0] if declared.parts else Type("any"), item) for item in _items(value)]
    if declared.kind == "set":
        part = declared.parts[0] if declared.parts else Type("any")
        items = [convert(part, item) for item in _items(value)]
        return [item for number, item in enumerate(items) if item not in items[:number]]
    if declared.kind == "tuple":
        items = _items(value)
        if len(items) != len(declared.parts):
            raise ValueError(f"it has {len(declared.parts)} values, this has {len(items)}")
        return [convert(part, item) for part, item in zip(declared.parts, items, strict=True)]
    if declared.kind == "dict":
        return _dict(declared, _pairs(value))
    return _CONVERT.get(declared.kind, _any)(value if declared.kind == "str" else _number(value))


def _dict(declared: Type, pairs: Mapping[Any, Any]) -> dict[Any, Any]:
    """A dict with keys and values of the declared types. Keys that would become the same one are refused."""
    of_keys, of_values = declared.parts if len(declared.parts) == 2 else (Type("any"), Type("any"))
    found: dict[Any, Any] = {}
    for key, item in pairs.items():
        try:
            new = _hashable(convert(of_keys, _plain(key)))
        except ValueError as wrong:
            told = f": {wrong}" if str(wrong) else ""
            raise ValueError(f"the key {_shown(key)} is not {_article(of_keys)}{told}") from None
        if of_keys.kind == "any" and not isinstance(new, str):
            raise ValueError(
                f"the key {_shown(key)} is no text, and the type of the keys is not declared: declare it, such as "
                f"dict[{type(new).__name__}, str]"
            )
        if new in found:
            raise ValueError(f"two of its keys become {new!r}")
        found[new] = convert(of_values, _plain(item))
    return found


def _hashable(key: Any) -> Any:
    """A tuple in place of a list: only that can be a key."""
    if isinstance(key, dict):
        raise ValueError("a dict cannot be a key")
    return tuple(map(_hashable, key)) if isinstance(key, list) else key


def _within(value: Any, sign: str, limit: float) -> bool:
    kind = sign.removeprefix("length ")
    return bool({">=": value >= limit, ">": value > limit, "<=": value <= limit, "<": value < limit}[kind])


def _convert_union(declared: Type, value: object) -> Any:
    """The first part that takes the value: the narrowest first, and text last, for it takes all."""
    order = {"literal": 0, "none": 1, "int": 2, "float": 3, "bool": 4, "path": 8, "str": 9, "any": 10}
    problems = []
    for part in sorted(declared.parts, key=lambda each: order.get(each.kind, 5)):
        try:
            return convert(part, value)
        except ValueError as wrong:
            problems.append(str(wrong))
    raise ValueError(
        next(
            (
                each
                for each in problems
                if each.startswith(("it must", "its length", "the key", "two of its"))
            ),
            "",
        )
    )


def _convert_literal(declared: Type, value: object) -> Any:
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


def _items(value: object) -> list[object]:
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("["):
            return list(_json(text))
        return [item.strip() for item in text.split(",")] if text else []
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes):
        return [_plain(item) for item in value]
    raise ValueError


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _str(value: object) -> str:
    if isinstance(value, str):
        return str.__str__(value)  # of a class of its own: as plain text
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or value != value:
        raise ValueError  # a list, a flag or a missing number for a text is a slip, not a text
    return str(value)


#: Python writes and reads integers up to this size.
MAX_DIGITS = sys.int_info.default_max_str_digits
MAX_BITS = int(MAX_DIGITS / math.log10(2))


def _int(value: object) -> int:
    if isinstance(value, bool):
        raise ValueError("a flag is no number")
    if isinstance(value, int):
        if value.bit_length() > MAX_BITS:
            raise ValueError("it is too large")
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        text = value.strip()
        if text.lstrip("+-").isdecimal() and text.isascii():
            if len(text) > MAX_DIGITS:
                raise ValueError("it is too large")
            return int(text)
    raise ValueError


def _float(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError
    if isinstance(value, str) and "_" in value:
        raise ValueError
    try:
        number = float(value)
    except OverflowError:
        raise ValueError("it is too large") from None
    if not math.isfinite(number):
        raise ValueError("it must be finite")
    return number


_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def _bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower() if isinstance(value, int | str) else ""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError("say true or false")


def _none(value: object) -> None:
    missing = isinstance(value, float) and math.isnan(value)  # as pandas has a missing text or number
    if value is None or missing or (isinstance(value, str) and value.strip().lower() in ("", "none", "null")):
        return
    raise ValueError


def _date(value: object) -> str:
    """A date as its ISO text: papermill can write a text into a cell, not a date."""
    if isinstance(value, datetime):
        return value.date().isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str):
        return date.fromisoformat(value.strip()).isoformat()
    raise ValueError("say it as 2026-01-31")


def _datetime(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str):
        return datetime.fromisoformat(value.strip()).isoformat()
    raise ValueError("say it as 2026-01-31T14:00:00+00:00")


def _pairs(value: object) -> Mapping[Any, Any]:
    parsed = _json(value) if isinstance(value, str) else value
    if not isinstance(parsed, Mapping):
        raise ValueError("say it as JSON")
    return parsed


def _path(value: object) -> str:
    if not isinstance(value, str | os.PathLike):
        raise ValueError
    text = os.fspath(value)
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise ValueError
    return str(text)


def _bytes(value: object) -> Any:
    raise ValueError("bytes cannot be written into a cell: pass the path of a file")


def _by_looks(text: str) -> Any:
    """A written text as papermill's command line reads it. ValueError for a number that JSON does not have."""
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
        raise ValueError("it would be read as a number that is not finite; for a text declare it: str")
    return str(text)


def _any(value: object) -> Any:
    """For an undeclared type: what JSON can hold, in JSON's types, for papermill writes others as text."""
    if isinstance(value, Written):
        return _by_looks(value)
    value = _with_plain_numbers(value)
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        raise ValueError(f"a value of type {type(value).__name__} cannot be written into a cell") from None


def _with_plain_numbers(value: object, depth: int = 100) -> object:
    """The value with its numbers as JSON has them, and with texts for keys. ValueError for other keys."""
    if isinstance(value, dict) and depth:
        for key in value:
            if not isinstance(key, str):
                raise ValueError(
                    f"the key {_shown(key)} is no text, and the type of the keys is not declared: declare it, such as "
                    f"dict[{type(key).__name__}, str]"
                )
        return {key: _with_plain_numbers(item, depth - 1) for key, item in value.items()}
    if isinstance(value, list | tuple) and depth:
        return [_with_plain_numbers(item, depth - 1) for item in value]
    return _number(_plain(value))


_CONVERT: dict[str, Callable[[object], Any]] = {
    "str": _str,
    "int": _int,
    "float": _float,
    "bool": _bool,
    "none": _none,
    "date": _date,
    "datetime": _datetime,
    "dict": lambda value: _pairs(value),
    "path": _path,
    "bytes": _bytes,
    "any": _any,
    "list": lambda value: _items(value),
    "tuple": lambda value: _items(value),
    "set": lambda value: _items(value),
}
