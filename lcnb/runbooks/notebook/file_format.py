"""Notebook files, as many programs write them, read into one shape: format 4.5.

What a program left out, or wrote in its own way, is repaired in what is read, never in the file: ids of cells, tags,
sources, data of widgets, outputs of an earlier run. A file that cannot be read is refused with a hint. Formats 1 to 3
are converted by nbformat; all others are read without it, because listing must not wait for it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from lcnb.errors import InputError

FORMAT_MAJOR = 4
FORMAT_MINOR = 5
CELL_TYPES = ("code", "markdown", "raw")
_CELL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_HALF_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")
#: Checks of a cell's metadata and of `language_info`: with other values, programs that show the notebook fail.
_CELL_METADATA_CHECKS: dict[str, Callable[[Any], bool]] = {
    "jupyter": lambda value: _is_dict_of(value, bool, ("source_hidden", "outputs_hidden")),
    "execution": lambda value: _is_dict_of(value, str, value),
    "slideshow": lambda value: isinstance(value, dict),
    "collapsed": lambda value: isinstance(value, bool),
    "scrolled": lambda value: isinstance(value, bool) or value == "auto",
    "name": lambda value: isinstance(value, str) and value != "",
    "format": lambda value: isinstance(value, str),
}
_LANGUAGE_METADATA: dict[str, type | tuple[type, ...]] = {
    "codemirror_mode": (str, dict),
    **dict.fromkeys(("file_extension", "mimetype", "pygments_lexer", "nbconvert_exporter", "version"), str),
}
#: Metadata of an earlier run, by papermill and by lcnb.
_STALE_METADATA = ("papermill", "lcnb")
#: Other files that people pass as a notebook: how the file starts, what it is, and what to do.
_OTHER_FILES = [
    (r"version https://git-lfs", "a pointer of Git LFS: run `git lfs pull`"),
    (r"\s*<(?:!doctype|html|\?xml)", "a web page, not the notebook itself: download the raw notebook"),
    (r"# Databricks notebook source", "source code of Databricks: export it there as IPython Notebook"),
    (
        r"(?:---\n|# ---|# %%|\"\"\"|#|import |from )",
        "text: `jupytext --to ipynb FILE` makes a notebook of a script or of Markdown",
    ),
]


def read_notebook(path: Path) -> dict[str, Any]:
    """Return the notebook in a file, in format 4.5, without outputs. InputError when the file is not a notebook."""
    try:
        data = path.read_bytes()
        text = data.decode(json.detect_encoding(data), "surrogatepass").rstrip("\0 \r\n\t")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}. Nothing was started.") from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not a notebook: it is not UTF-8 ({error}). Save it as UTF-8. Nothing was started."
        ) from None
    try:
        notebook = json.loads(text.removeprefix("\ufeff"))
        if _HALF_CHARACTER.search(text):  # half a character, which cannot be saved in UTF-8
            notebook = json.loads(json.dumps(notebook, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path} is not a notebook: {_describe_other(text) or error}. Nothing was started."
        ) from None
    try:
        return _mend_notebook(_to_format_4(notebook))
    except _NotebookProblem as problem:
        raise InputError(f"{path} is not a notebook of format 4: {problem}. Nothing was started.") from None


class _NotebookProblem(Exception):
    """Why a notebook cannot be read, and what to do."""


def _describe_other(text: str) -> str:
    """What the file is instead of a notebook; "" when that is not known."""
    if not text.strip():
        return "the file is empty"
    if re.search(r"^(?:<{7}|={7}|>{7})", text, re.MULTILINE):
        return "it has conflict markers of an unfinished Git merge (<<<<<<<): resolve it, for example with `nbdime`"
    return next((f"it is {what}" for begin, what in _OTHER_FILES if re.match(begin, text, re.IGNORECASE)), "")


def _to_format_4(notebook: Any) -> dict[str, Any]:
    """Return the notebook as an object of format 4. Older formats are converted."""
    if isinstance(notebook, dict) and "paragraphs" in notebook:
        raise _NotebookProblem("it is a note of Zeppelin: export it there as .ipynb")
    major = _parse_integer(notebook.get("nbformat")) if isinstance(notebook, dict) else None
    if major is None or major < 1:
        raise _NotebookProblem(
            'it does not say nbformat 4; if its cells have that format, add `"nbformat": 4`'
        )
    if major > FORMAT_MAJOR:
        raise _NotebookProblem(
            f"it says nbformat {major}, but the newest format that lcnb knows is 4. Save it as format 4 in the program "
            'that wrote it; if its cells have format 4, it is enough to set `"nbformat": 4`'
        )
    return dict(notebook) if major == FORMAT_MAJOR else _convert_old(notebook, major)


def _parse_integer(value: Any) -> int | None:
    try:
        return None if value is None or isinstance(value, bool) else int(float(value))
    except (TypeError, ValueError, OverflowError):
        return None


def _convert_old(notebook: dict[str, Any], major: int) -> dict[str, Any]:
    """Convert a notebook of formats 1 to 3 with nbformat."""
    import logging

    import nbformat

    sheets = notebook.get("worksheets") if major > 1 else [notebook]
    for sheet in sheets if isinstance(sheets, list) else ():
        for cell in (sheet.get("cells") or ()) if isinstance(sheet, dict) else ():
            if isinstance(cell, dict):
                _complete_old_cell(cell)
    whole = {**notebook, "nbformat": major, "metadata": notebook.get("metadata") or {}}
    whole["nbformat_minor"] = _parse_integer(notebook.get("nbformat_minor")) or 0
    log = logging.getLogger("traitlets")  # nbformat logs there what it repairs
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        new = nbformat.convert(nbformat.from_dict(whole), FORMAT_MAJOR)  # type: ignore[no-untyped-call]
    except Exception as error:
        raise _NotebookProblem(
            f"it has format {major} and cannot be converted ({type(error).__name__}: {error}); open it in JupyterLab "
            "and save it"
        ) from None
    finally:
        log.setLevel(level)
    return dict(json.loads(json.dumps(new)))


def _complete_old_cell(cell: dict[str, Any]) -> None:
    """Add what the conversion of a cell of formats 1 to 3 needs."""
    cell["metadata"] = cell.get("metadata") or {}
    if cell.get("cell_type") == "code":
        # Outputs are removed anyway, and those of old programs often lack fields that the conversion needs.
        cell |= {"outputs": [], "collapsed": bool(cell.get("collapsed"))}
        cell.setdefault("input", cell.pop("source", ""))
    for name in ("input", "source"):
        if isinstance(cell.get(name), list):
            cell[name] = "".join(map(str, cell[name]))
    if cell.get("cell_type") != "code":
        cell.setdefault("source", "")


def _mend_notebook(notebook: dict[str, Any]) -> dict[str, Any]:
    cells = notebook.get("cells")
    if not isinstance(cells, list):
        raise _NotebookProblem("its cells are not a list; save it again in the program that wrote it")
    ids: set[str] = set()
    return {
        "nbformat": FORMAT_MAJOR,
        "nbformat_minor": FORMAT_MINOR,
        "metadata": _mend_metadata(notebook.get("metadata")),
        "cells": [_mend_cell(cell, number, ids) for number, cell in enumerate(cells, 1)],
    }


def _mend_metadata(value: Any) -> dict[str, Any]:
    metadata = _clean_metadata(value, "its metadata is")
    metadata.pop("widgets", None)
    for name in ("kernelspec", "language_info"):
        if metadata.get(name) is not None and not isinstance(metadata[name], dict):
            raise _NotebookProblem(f"its {name} is not an object; without it the notebook can be read")
    _mend_kernel(metadata)
    authors = metadata.get("authors", [])
    if not isinstance(authors, list) or not all(isinstance(each, dict) for each in authors):
        del metadata["authors"]
    if not isinstance(metadata.get("title", ""), str):
        del metadata["title"]
    return metadata


def _mend_kernel(metadata: dict[str, Any]) -> None:
    """Complete `kernelspec` and `language_info` with the names that the format requires, or remove them."""
    spec, language = metadata.pop("kernelspec", None), metadata.pop("language_info", None)
    kernel_info = metadata.get("kernel_info")
    if not spec and isinstance(kernel_info, dict):
        spec = {"name": kernel_info.get("name")}  # as nteract and Azure write it
    if spec and not _is_name(spec.get("name")) and not language:
        language = {"name": spec.get("language")}  # so that the language stays known
    if spec and _is_name(spec.get("name")):
        shown = spec.get("display_name")
        metadata["kernelspec"] = {
            **spec,
            "display_name": shown if shown and isinstance(shown, str) else spec["name"],
        }
    if language and _is_name(language.get("name")):
        metadata["language_info"] = {
            key: value
            for key, value in language.items()
            if isinstance(value, _LANGUAGE_METADATA.get(key, object))
        }


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _clean_metadata(value: Any, what: str) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise _NotebookProblem(f"{what} not an object: write {{}} there")
    return {name: each for name, each in (value or {}).items() if name not in _STALE_METADATA}


def _mend_cell(cell: Any, number: int, ids: set[str]) -> dict[str, Any]:
    if not isinstance(cell, dict):
        raise _NotebookProblem(f"cell {number} has no metadata and no source: remove it")
    kind = cell.get("cell_type")
    heading = kind == "heading"  # a type of format 3 that some programs still write
    if (kind not in CELL_TYPES and not heading) or "source" not in cell:
        raise _NotebookProblem(
            f"cell {number} has no type or no source; its cell_type is {kind!r}, but must be code, markdown or "
            "raw. Remove or repair the cell"
        )
    source = _mend_source(cell["source"], number)
    if heading:
        kind, source = (
            "markdown",
            f"{'#' * min(_parse_integer(cell.get('level')) or 1, 6)} {' '.join(source.split())}",
        )
    made: dict[str, Any] = {
        "id": _unique_id(cell.get("id"), number, source, ids),
        "cell_type": kind,
        "metadata": _mend_cell_metadata(cell.get("metadata"), number),
        "source": source,
    }
    if kind == "code":
        return made | {"outputs": [], "execution_count": None}
    if files := _mend_attachments(cell.get("attachments")):
        made["attachments"] = files
    return made


def _mend_attachments(value: Any) -> dict[str, dict[str, str]]:
    """Return the attached files of a cell: name → MIME type → text."""
    found: dict[str, dict[str, str]] = {}
    for name, data in value.items() if isinstance(value, dict) else ():
        for mime, text in data.items() if isinstance(data, dict) else ():
            lines = text if isinstance(text, list) else [text]
            if all(isinstance(line, str) for line in lines):
                found.setdefault(name, {})[mime] = "".join(lines)
    return found


def _mend_source(source: Any, number: int) -> str:
    if source is None:
        return ""
    lines = source if isinstance(source, list) else [source]
    if not all(isinstance(line, str) for line in lines):
        raise _NotebookProblem(
            f"cell {number} has no type or no source; its source is not a text: write a text or a list of lines there"
        )
    return "".join(lines).replace("\r\n", "\n").replace("\r", "\n")


def _mend_cell_metadata(value: Any, number: int) -> dict[str, Any]:
    metadata = _clean_metadata(value, f"cell {number}: its metadata is")
    metadata = {
        name: each for name, each in metadata.items() if _CELL_METADATA_CHECKS.get(name, _accept_any)(each)
    }
    if "tags" in metadata:
        metadata["tags"] = split_tags(metadata["tags"])
    return metadata


def _accept_any(value: Any) -> bool:
    return True


def _is_dict_of(value: Any, kind: type, names: Iterable[str]) -> bool:
    """Whether the value is a dict whose values for these names have that type."""
    return isinstance(value, dict) and all(isinstance(value[name], kind) for name in names if name in value)


def split_tags(value: Any) -> list[str]:
    """Return the tags of a cell without duplicates. Commas in a text, or inside a tag, separate tags.

    >>> split_tags("parameters, slow")
    ['parameters', 'slow']
    """
    given = value if isinstance(value, list) else [value]
    parts = [part.strip() for each in given if isinstance(each, str) for part in each.split(",")]
    return list(dict.fromkeys(part for part in parts if part))


def _unique_id(value: Any, number: int, source: str, ids: set[str]) -> str:
    """Return the id of a cell if it is valid and not taken; else an id that is the same each time."""
    if not (isinstance(value, str) and _CELL_ID.fullmatch(value)) or value in ids:
        value = hashlib.sha256(f"{number} {source}".encode()).hexdigest()[:12]
        while value in ids:
            value = hashlib.sha256(value.encode()).hexdigest()[:12]
    ids.add(value)
    return str(value)
