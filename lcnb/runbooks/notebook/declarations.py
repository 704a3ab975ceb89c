"""The parameters that a notebook declares in its cell tagged `parameters`.

The cell's text is parsed, never run: `days: int = 30 # how far to look back`. A parameter without a value (`days:
int`) is required.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Mapping
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

# --- reading the cell -----------------------------------------------------------------------------------


def read_parameters(source: str, where: str = "the runbook") -> tuple[Parameter, ...]:
    """The parameters that a cell declares, in order. ParameterError when the cell is no valid Python."""
    tree, source = _parse_cell(source, where)
    comments = _line_comments(source)
    types = CellTypes(tree)
    found: dict[str, Parameter] = {}
    for node in tree.body:
        for name, annotation, value in _assigned_names(node):
            if not types.alias(name, value):
                help_text = comments.get(node.end_lineno or 0, "")
                new = _build_parameter(name, annotation, value, help_text, where, types)
                found[name] = _merge_declarations(found[name], new, annotation) if name in found else new
    return tuple(found.values())


#: Magics that run the rest of their cell in the notebook: what it assigns is there afterwards.
_RUNNING_MAGICS = ("time", "capture", "prun")
_CELL_MAGIC = re.compile(r"\s*%%(\w*).*\n?")


def _parse_cell(source: str, where: str) -> tuple[ast.Module, str]:
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


def _merge_declarations(before: Parameter, after: Parameter, annotation: ast.expr | None) -> Parameter:
    """A name that is declared twice: `days: int` and then `days = 30` are one declaration in two lines."""
    if after.required:
        kept = before.default, before.default_text, before.required
        after = replace(after, default=kept[0], default_text=kept[1], required=kept[2])
    if annotation is None and before.type.kind != "any":
        after = replace(after, type=before.type)
    return replace(after, help=after.help or before.help)


def _line_comments(source: str) -> dict[int, str]:
    """Line number → the comment that ends it. Tokens, not text: a `#` in a string is no comment."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {
        token.start[0]: _COLAB_FORM.sub("", token.string.lstrip("# ")).strip()
        for token in tokens
        if token.type == tokenize.COMMENT
    }


#: How Colab describes the form of a parameter, in a comment.
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
    default = MISSING if value is None else types.value(value)
    declared = types.of(annotation) if annotation is not None else _infer_type(default)
    # Where a secret is kept is none.
    names_a_file = re.search(r"(_file|_path|_dir|_folder|File|Path|Dir|Folder)$", name) and is_path_type(
        declared
    )
    if is_secret_name(name) and accepts_text(declared) and not names_a_file:
        raise ParameterError(
            f"{where}: the parameter {name!r} looks like a secret. A parameter is saved with the notebook, so "
            "none may be one. Take a token or a password from the environment (os.environ), and pass the name of an "
            "account; a name that ends in `_file` with the type Path can be where it is kept."
        )
    text = "" if value is None else ast.unparse(value)
    return Parameter(name, declared, default, text, help_text, value is None)


def _infer_type(default: Any) -> ParameterType:
    if default is None or default is MISSING:
        return ParameterType("any")
    kind = type(default).__name__
    if kind in ("list", "tuple", "set"):
        kinds = {type(item).__name__ for item in default}
        same = kinds.pop() if len(kinds) == 1 else "any"
        return ParameterType(
            "set" if kind == "set" else "list", (ParameterType(same if same in CONVERTERS else "any"),)
        )
    if kind == "dict":
        return (
            ParameterType("dict", (_infer_key_type(default), ParameterType("any")))
            if default
            else ParameterType("dict")
        )
    return ParameterType(kind if kind in CONVERTERS else "any")


def _infer_key_type(default: Mapping[Any, Any]) -> ParameterType:
    """The type of a default's keys: that of all of them, or either of theirs."""
    found = list(dict.fromkeys(_infer_type(key) for key in default))
    return found[0] if len(found) == 1 else union_type(found)
