"""The types that annotations in a parameters cell name, without running the cell."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lcnb.runbooks.notebook.types import MISSING, ParameterType, union_type


def _literal_value(node: ast.expr) -> Any:
    """The value of a literal, or `_MISSING` for one that only running it would tell."""
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return MISSING


_KIND_OF_NAME = {
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
_BOUND_SIGNS = {
    "ge": ">=",
    "gt": ">",
    "le": "<=",
    "lt": "<",
    "min_length": "length >=",
    "max_length": "length <=",
}
#: What `Ge(1)`, `MinLen(1)`, `Len(1, 9)` call their arguments, in order.
_BOUND_ARGUMENTS = {
    "Ge": ("ge",),
    "Gt": ("gt",),
    "Le": ("le",),
    "Lt": ("lt",),
    "MinLen": ("min_length",),
    "MaxLen": ("max_length",),
    "Len": ("min_length", "max_length"),
}
#: What an alias may be written as; `date = date.today()` is none, whatever else is called `date`.
_ALIAS_NODES = (ast.Name, ast.Attribute, ast.Subscript, ast.BinOp)
_ENUM_BASES = {"Enum", "StrEnum", "IntEnum"}


class CellTypes:
    """The types that annotations of one cell name: known ones, and those that the cell itself makes.

    These are classes derived from Enum, and aliases: `Size = Literal["s", "m"]`, when an annotation says `Size`.
    """

    def __init__(self, tree: ast.Module) -> None:
        self._own: dict[str, ParameterType] = {}
        self._members: dict[str, dict[str, Any]] = {}
        self._annotating = _annotation_names(tree)
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                self._enum(node)
            elif isinstance(node, ast.AnnAssign) and _last_name(node.annotation) == "TypeAlias":
                self._own[_last_name(node.target)] = (
                    self.of(node.value) if node.value else ParameterType("any")
                )
            elif isinstance(node, ast.Assign) and isinstance(node.value, _ALIAS_NODES):
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
        if not bases & _ENUM_BASES:
            return
        members: dict[str, Any] = {}
        for each in node.body:
            if isinstance(each, ast.Assign):
                names = [target.id for target in each.targets if isinstance(target, ast.Name)]
                value = _enum_member_value(each.value, names, members, texts="StrEnum" in bases)
                members |= dict.fromkeys((name for name in names if not name.startswith("_")), value)
        plain = members and all(_is_scalar(value) for value in members.values())
        self._members[node.name] = members if plain else {}
        values = tuple(dict.fromkeys(members.values())) if plain else ()
        self._own[node.name] = (
            ParameterType("literal", values=values, names=tuple(members.items()))
            if plain
            else ParameterType("any")
        )

    def value(self, node: ast.expr) -> Any:
        """The value of a literal or of a member (`Size.SMALL`, `Size("s")`); `_MISSING` for any other."""
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            return self._members.get(node.value.id, {}).get(node.attr, MISSING)
        if isinstance(node, ast.Attribute) and node.attr == "value":
            return self.value(node.value)
        if isinstance(node, ast.Call) and _last_name(node.func) in self._members and len(node.args) == 1:
            return _literal_value(node.args[0])
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            value = _literal_value(node.operand)
            return value if value is MISSING else not value
        return _literal_value(node)

    def of(self, node: ast.expr) -> ParameterType:
        """The type that an annotation names; one that is not known accepts any value."""
        if isinstance(node, ast.Constant):
            if node.value is None:
                return ParameterType("none")
            if isinstance(node.value, str):  # a quoted annotation
                try:
                    return self.of(ast.parse(node.value, mode="eval").body)
                except (SyntaxError, ValueError):
                    return ParameterType("any")
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return union_type([self.of(node.left), self.of(node.right)])
        if isinstance(node, ast.Subscript):
            return self._generic(_last_name(node.value), node.slice)
        name = _last_name(node)
        if isinstance(node, ast.Name) and name in self._own:
            return self._own[name]
        return _bare_type(_KIND_OF_NAME.get(name, "any"))

    def _generic(self, name: str, inner: ast.expr) -> ParameterType:
        items = list(inner.elts) if isinstance(inner, ast.Tuple) else [inner]
        if name == "Literal":
            values = tuple(self.value(item) for item in items)
            return (
                ParameterType("literal", values=values)
                if all(map(_is_scalar, values))
                else ParameterType("any")
            )
        if name == "Optional":
            return union_type([self.of(items[0]), ParameterType("none")])
        if name == "Union":
            return union_type([self.of(item) for item in items])
        if name == "Annotated":
            return _add_bounds(self.of(items[0]), tuple(_read_bounds(items[1:])))
        if name in ("Final", "ClassVar"):
            return self.of(items[0])
        kind = _KIND_OF_NAME.get(name, "any")
        if kind == "tuple" and isinstance(items[-1], ast.Constant) and items[-1].value is Ellipsis:
            kind, items = "list", items[:1]
        takes = ("list", "set", "dict", "tuple")
        return (
            ParameterType(kind, tuple(self.of(item) for item in items)) if kind in takes else _bare_type(kind)
        )


def _bare_type(kind: str) -> ParameterType:
    """A tuple of which nothing more is said is as a list."""
    return ParameterType("list" if kind == "tuple" else kind)


def _enum_member_value(
    node: ast.expr, names: Sequence[str], before: Mapping[str, Any], *, texts: bool
) -> Any:
    """The value of an Enum's member. `auto()` is the name in small letters for texts, else it counts on."""
    if not (isinstance(node, ast.Call) and _last_name(node.func) == "auto"):
        return _literal_value(node)
    if texts:
        return names[0].lower() if names else MISSING
    if not all(isinstance(value, int) for value in before.values()):
        return MISSING
    return max(before.values(), default=0) + 1


def _is_scalar(value: Any) -> bool:
    """Whether a cell can be written with it."""
    return value is None or isinstance(value, str | int | float | bool)


def _annotation_names(tree: ast.Module) -> set[str]:
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


def _add_bounds(declared: ParameterType, bounds: tuple[tuple[str, int | float], ...]) -> ParameterType:
    """The type with the bounds that can be meant: in `Annotated[int | None, Ge(1)]` they are the int's."""
    if declared.kind == "union":
        return replace(declared, parts=tuple(_add_bounds(part, bounds) for part in declared.parts))
    number = declared.kind in ("int", "float")
    long = declared.kind in ("str", "path", "list", "set", "dict", "any")
    fit = tuple(each for each in bounds if (long if each[0].startswith("length") else number))
    return replace(declared, bounds=declared.bounds + fit)


def _read_bounds(items: Sequence[ast.expr]) -> list[tuple[str, int | float]]:
    """`Ge(1)`, or `Interval(ge=1, le=9)`, as annotated-types writes them."""
    found = []
    for item in items:
        if isinstance(item, ast.Call):
            named = [(word.arg or "", word.value) for word in item.keywords]
            named += list(zip(_BOUND_ARGUMENTS.get(_last_name(item.func), ()), item.args, strict=False))
            for name, value in named:
                sign, limit = _BOUND_SIGNS.get(name), _literal_value(value)
                if sign and isinstance(limit, int | float):
                    found.append((sign, limit))
    return found
