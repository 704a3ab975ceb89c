"""The types that annotations in a parameters cell name, found without running the cell."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lcnb.runbooks.notebook.meanings import MEANINGS
from lcnb.runbooks.notebook.types import MISSING, ParameterType, union_type


def _literal_value(node: ast.expr) -> Any:
    """The value of a literal; `MISSING` for an expression that would have to run."""
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
#: The names of the arguments of `Ge(1)`, `MinLen(1)` and `Len(1, 9)`, in order.
_BOUND_ARGUMENTS = {
    "Ge": ("ge",),
    "Gt": ("gt",),
    "Le": ("le",),
    "Lt": ("lt",),
    "MinLen": ("min_length",),
    "MaxLen": ("max_length",),
    "Len": ("min_length", "max_length"),
}
#: The forms of a type alias. `date = date.today()` is no alias, even if `date` is also a type.
_ALIAS_NODES = (ast.Name, ast.Attribute, ast.Subscript, ast.BinOp)
_ENUM_BASES = {"Enum", "StrEnum", "IntEnum"}


class CellTypes:
    """The types that annotations of one cell name: known types, and those that the cell itself defines.

    A cell can define classes derived from Enum, and aliases: `Size = Literal["s", "m"]`, where an annotation says
    `Size`.

    >>> tree = ast.parse("days: int | None = None")
    >>> str(CellTypes(tree).annotated_type(tree.body[0].annotation))
    'int or None'
    """

    def __init__(self, tree: ast.Module) -> None:
        self._own: dict[str, ParameterType] = {}
        self._members: dict[str, dict[str, Any]] = {}
        self._annotating = _annotation_names(tree)
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and _base_names(node) & _ENUM_BASES:
                self._read_enum(node)
            else:
                self._read_aliases(node)

    def is_alias(self, name: str, value: ast.expr | None) -> bool:
        """Whether an assignment defines a type, and so declares no parameter."""
        return value is not None and name in self._own and name not in self._members

    def _read_aliases(self, node: ast.stmt) -> None:
        """Note the types that a statement names, if it does."""
        if isinstance(node, ast.AnnAssign) and _last_name(node.annotation) == "TypeAlias":
            named = self.annotated_type(node.value) if node.value else ParameterType("any")
            self._own[_last_name(node.target)] = named
        elif isinstance(node, ast.Assign) and isinstance(node.value, _ALIAS_NODES):
            for target in node.targets:
                if isinstance(target, ast.Name) and target.id in self._annotating:
                    self._own[target.id] = self.annotated_type(node.value)
        elif type(node).__name__ == "TypeAlias":  # `type Size = ...`, of Python 3.12
            name, value = getattr(node, "name"), getattr(node, "value")  # noqa: B009
            self._own[_last_name(name)] = self.annotated_type(value)

    def _read_enum(self, node: ast.ClassDef) -> None:
        members = _enum_members(node)
        if members and all(map(_is_scalar, members.values())):
            values = tuple(dict.fromkeys(members.values()))
            self._members[node.name] = members
            self._own[node.name] = ParameterType("literal", values=values, names=tuple(members.items()))
        else:
            self._members[node.name] = {}
            self._own[node.name] = ParameterType("any")

    def default_value(self, node: ast.expr) -> Any:
        """The value of a literal or of an Enum member (`Size.SMALL`, `Size("s")`); `MISSING` for any other."""
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            return self._members.get(node.value.id, {}).get(node.attr, MISSING)
        if isinstance(node, ast.Attribute) and node.attr == "value":
            return self.default_value(node.value)
        if isinstance(node, ast.Call) and _last_name(node.func) in self._members and len(node.args) == 1:
            return _literal_value(node.args[0])
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            value = _literal_value(node.operand)
            return value if value is MISSING else not value
        return _literal_value(node)

    def annotated_type(self, node: ast.expr) -> ParameterType:
        """The type that an annotation names. An unknown type accepts any value."""
        if isinstance(node, ast.Constant):
            if node.value is None:
                return ParameterType("none")
            if isinstance(node.value, str):
                return self._quoted_type(node.value)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return union_type([self.annotated_type(node.left), self.annotated_type(node.right)])
        if isinstance(node, ast.Subscript):
            items = list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]
            return self._generic_type(_last_name(node.value), items)
        name = _last_name(node)
        if isinstance(node, ast.Name) and name in self._own:
            return self._own[name]
        return _bare_type(_KIND_OF_NAME.get(name, "any"))

    def _quoted_type(self, text: str) -> ParameterType:
        """The type that a quoted annotation names."""
        try:
            return self.annotated_type(ast.parse(text, mode="eval").body)
        except (SyntaxError, ValueError):
            return ParameterType("any")

    def _generic_type(self, name: str, items: list[ast.expr]) -> ParameterType:
        """The type `name[items]`."""
        if name == "Literal":
            values = tuple(self.default_value(item) for item in items)
            known = all(map(_is_scalar, values))
            return ParameterType("literal", values=values) if known else ParameterType("any")
        if name == "Optional":
            return union_type([self.annotated_type(items[0]), ParameterType("none")])
        if name == "Union":
            return union_type([self.annotated_type(item) for item in items])
        if name == "Annotated":
            declared = _add_bounds(self.annotated_type(items[0]), tuple(_read_bounds(items[1:])))
            return _add_meaning(declared, _read_meaning(items[1:]))
        if name in ("Final", "ClassVar"):
            return self.annotated_type(items[0])
        return self._collection_type(_KIND_OF_NAME.get(name, "any"), items)

    def _collection_type(self, kind: str, items: list[ast.expr]) -> ParameterType:
        if kind == "tuple" and isinstance(items[-1], ast.Constant) and items[-1].value is Ellipsis:
            kind, items = "list", items[:1]
        if kind not in ("list", "set", "dict", "tuple"):
            return _bare_type(kind)
        return ParameterType(kind, tuple(self.annotated_type(item) for item in items))


def _bare_type(kind: str) -> ParameterType:
    """A type without parts. A tuple without parts is treated as a list."""
    return ParameterType("list" if kind == "tuple" else kind)


def _base_names(node: ast.ClassDef) -> set[str]:
    return {_last_name(base) for base in node.bases}


def _enum_members(node: ast.ClassDef) -> dict[str, Any]:
    """The members of an Enum: name → value, or `MISSING` for a value that would have to run."""
    members: dict[str, Any] = {}
    for each in node.body:
        if isinstance(each, ast.Assign):
            names = [target.id for target in each.targets if isinstance(target, ast.Name)]
            value = _enum_member_value(each.value, names, members, texts="StrEnum" in _base_names(node))
            members |= dict.fromkeys((name for name in names if not name.startswith("_")), value)
    return members


def _enum_member_value(
    node: ast.expr, names: Sequence[str], before: Mapping[str, Any], *, texts: bool
) -> Any:
    """The value of an Enum member. `auto()` is the name in lower case for texts, and the next number otherwise."""
    if not (isinstance(node, ast.Call) and _last_name(node.func) == "auto"):
        return _literal_value(node)
    if texts:
        return names[0].lower() if names else MISSING
    if not all(isinstance(value, int) for value in before.values()):
        return MISSING
    return max(before.values(), default=0) + 1


def _is_scalar(value: Any) -> bool:
    """Whether the value can be written into a cell."""
    return value is None or isinstance(value, str | int | float | bool)


def _annotation_names(tree: ast.Module) -> set[str]:
    """The names that annotations of the cell contain, also in quoted annotations."""
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
    """The last part of a name: `Literal` for both `Literal` and `typing.Literal`."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _add_bounds(declared: ParameterType, bounds: tuple[tuple[str, int | float], ...]) -> ParameterType:
    """Add the bounds to each part that they fit: in `Annotated[int | None, Ge(1)]` they belong to the int."""
    if declared.kind == "union":
        return replace(declared, parts=tuple(_add_bounds(part, bounds) for part in declared.parts))
    number = declared.kind in ("int", "float")
    long = declared.kind in ("str", "path", "list", "set", "dict", "any")
    fit = tuple(each for each in bounds if (long if each[0].startswith("length") else number))
    return replace(declared, bounds=declared.bounds + fit)


def _read_bounds(items: Sequence[ast.expr]) -> list[tuple[str, int | float]]:
    """Read bounds such as `Ge(1)` or `Interval(ge=1, le=9)`, as annotated-types writes them."""
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


def _add_meaning(declared: ParameterType, meaning: str) -> ParameterType:
    """Add what a text means to each part that is a text."""
    if declared.kind == "union":
        return replace(declared, parts=tuple(_add_meaning(part, meaning) for part in declared.parts))
    return replace(declared, meaning=meaning) if declared.kind == "str" and meaning else declared


def _read_meaning(items: Sequence[ast.expr]) -> str:
    """Return the meaning among the arguments of `Annotated[str, "past time"]`; "" for none that lcnb knows."""
    texts = [item.value for item in items if isinstance(item, ast.Constant)]
    return next((text for text in texts if isinstance(text, str) and text in MEANINGS), "")
