"""The parameters that a notebook declares in its cell tagged `parameters`.

The text of the cell is parsed, never run: `days: int = 30  # how far to look back`. A parameter without a value
(`days: int`) is required.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from lcnb.errors import ParameterError
from lcnb.runbooks.notebook.annotations import CellTypes
from lcnb.runbooks.notebook.conversion import CONVERTERS
from lcnb.runbooks.notebook.secret_names import is_secret_name
from lcnb.runbooks.notebook.types import (
    MISSING,
    Parameter,
    ParameterType,
    accepts_text,
    is_path_type,
    union_type,
)


def read_parameters(source: str, where: str = "the runbook") -> tuple[Parameter, ...]:
    """Return the parameters that a cell declares, in order. ParameterError when the cell is not valid Python.

    >>> [(each.name, str(each.type), each.help) for each in read_parameters("days: int = 30  # to look back")]
    [('days', 'int', 'to look back')]
    >>> [each.help for each in read_parameters("days: int = (\\n    30  # to look back\\n)")]  # as formatters write it
    ['to look back']
    """
    tree, source = _parse_cell(source, where)
    comments = _line_comments(source)
    types = CellTypes(tree)
    found: dict[str, Parameter] = {}
    for node in tree.body:
        for name, annotation, value in _assigned_names(node):
            if not types.is_alias(name, value):
                help_text = _statement_comment(node, comments)
                new = _build_parameter(name, annotation, value, help_text, where, types)
                found[name] = _merge_declarations(found[name], new, annotation) if name in found else new
    return tuple(found.values())


#: Magics that run the rest of their cell in the notebook, so that its variables exist afterwards.
_RUNNING_MAGICS = ("time", "capture", "prun")
_FILE_NAME = re.compile(r"(_file|_path|_dir|_folder|File|Path|Dir|Folder)$")
_CELL_MAGIC = re.compile(r"\s*%%(\w*).*\n?")


def _parse_cell(source: str, where: str) -> tuple[ast.Module, str]:
    """Return the parsed cell, and its text without magics and shell commands, as IPython reads them."""
    while magic := _CELL_MAGIC.match(source):
        if magic[1] not in _RUNNING_MAGICS:
            raise ParameterError(
                f"{where}: the cell tagged `parameters` begins with %%{magic[1]}, so it declares no parameters of the "
                "notebook. Put the parameters into another cell with that tag. Nothing was started."
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
        if isinstance(error, SyntaxError):  # its line number is nearer to that of the cell
            wrong = error
    problem = f"line {wrong.lineno}: {wrong.msg}" if isinstance(wrong, SyntaxError) else str(wrong)
    raise ParameterError(
        f"{where}: the cell tagged `parameters` is not valid Python ({problem}). Code that is not a parameter can go "
        "into another cell. Nothing was started."
    )


def _merge_declarations(before: Parameter, after: Parameter, annotation: ast.expr | None) -> Parameter:
    """Merge two declarations of one name: `days: int` and then `days = 30` are one declaration in two lines."""
    if after.required:
        kept = before.default, before.default_text, before.required
        after = replace(after, default=kept[0], default_text=kept[1], required=kept[2])
    if annotation is None and before.type.kind != "any":
        after = replace(after, type=before.type)
    return replace(after, help=after.help or before.help)


def _statement_comment(node: ast.stmt, comments: Mapping[int, str]) -> str:
    """Return the comment at the end of a statement, or else the only one within it; empty when there is none."""
    last = node.end_lineno or node.lineno
    within = [comments[line] for line in range(node.lineno, last + 1) if line in comments]
    return comments.get(last, within[0] if len(within) == 1 else "")


def _line_comments(source: str) -> dict[int, str]:
    """Return line number → the comment at its end. Tokens are read, because a `#` in a string starts no comment."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {
        token.start[0]: _COLAB_FORM.sub("", token.string.lstrip("# ")).strip()
        for token in tokens
        if token.type == tokenize.COMMENT
    }


#: The form of a parameter in a comment, as Colab writes it.
_COLAB_FORM = re.compile(r"@(?:param|markdown|title)\b\s*(?:\[[^]]*\]|\{[^}]*\})?(?:\s*\{[^}]*\})?")


def _assigned_names(node: ast.stmt) -> list[tuple[str, ast.expr | None, ast.expr | None]]:
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [(node.target.id, node.annotation, node.value)]
    if isinstance(node, ast.Assign):
        return [(target.id, None, node.value) for target in node.targets if isinstance(target, ast.Name)]
    return []


def _build_parameter(
    name: str,
    annotation: ast.expr | None,
    value: ast.expr | None,
    help_text: str,
    where: str,
    types: CellTypes,
) -> Parameter:
    default = MISSING if value is None else types.default_value(value)
    declared = types.annotated_type(annotation) if annotation is not None else _infer_type(default)
    names_a_file = _FILE_NAME.search(name) and is_path_type(declared)  # the path of a secret is not a secret
    if is_secret_name(name) and accepts_text(declared) and not names_a_file:
        raise ParameterError(
            f"{where}: the parameter {name!r} looks like a secret. Parameters are saved with the notebook, so no "
            "secret may be one. Take a token or a password from the environment (os.environ), and pass the name of an "
            "account; a parameter whose name ends in `_file` and whose type is Path may name the file of a secret."
        )
    text = "" if value is None else ast.unparse(value)
    return Parameter(name, declared, default, text, help_text, value is None)


def _infer_type(default: Any) -> ParameterType:
    """The type that a default shows; `any` for None."""
    if default is None or default is MISSING:
        return ParameterType("any")
    if isinstance(default, list | tuple | set):
        kind = "set" if isinstance(default, set) else "list"
        return ParameterType(kind, (_infer_item_type(default),))
    if isinstance(default, dict):
        parts = (_infer_key_type(default), ParameterType("any")) if default else ()
        return ParameterType("dict", parts)
    return _named_type(type(default).__name__)


def _infer_item_type(items: Collection[Any]) -> ParameterType:
    """The type of all items; `any` where they have several."""
    kinds = {type(item).__name__ for item in items}
    return _named_type(kinds.pop() if len(kinds) == 1 else "any")


def _named_type(name: str) -> ParameterType:
    return ParameterType(name if name in CONVERTERS else "any")


def _infer_key_type(default: Mapping[Any, Any]) -> ParameterType:
    """The type of a default's keys: one type, or the union of several."""
    found = list(dict.fromkeys(_infer_type(key) for key in default))
    return found[0] if len(found) == 1 else union_type(found)
