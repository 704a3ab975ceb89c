"""Notebook files, as all kinds of programs write them, in one shape: format 4.5.

What a program has left out, or written in a way of its own, is mended in what is read, never in the file: ids of cells,
tags, sources, the data of widgets and outputs of an earlier run. What cannot be read is refused with what helps.
Formats 1 to 3 are converted by nbformat; all others are read without it, for listing must not wait for it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from lcnb.errors import InputError

FORMAT_MAJOR, FORMAT_MINOR = 4, 5
CELL_TYPES = ("code", "markdown", "raw")
_CELL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_HALF_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")
#: Of a cell's metadata and of the language's: what must be of this kind, or programs that show the notebook fail.
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
#: Of an earlier run: the record of papermill, and of lcnb.
_STALE_METADATA = ("papermill", "lcnb")
#: What the file may be instead of a notebook: how it begins, what it is, and what helps.
_OTHER_FILES = [
    (r"version https://git-lfs", "a pointer of Git LFS: run `git lfs pull`"),
    (r"\s*<(?:!doctype|html|\?xml)", "a page, not the file itself: download the raw notebook"),
    (r"# Databricks notebook source", "source code of Databricks: export it there as IPython Notebook"),
    (
        r"(?:---\n|# ---|# %%|\"\"\"|#|import |from )",
        "text: `jupytext --to ipynb FILE` makes a notebook of a script or of Markdown",
    ),
]


def read_notebook(path: Path) -> dict[str, Any]:
    """The notebook in that file, in format 4.5, without outputs. InputError when there is none in it."""
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
        if _HALF_CHARACTER.search(text):  # half a character, which no file can hold
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
    """What keeps a notebook from being read, and what helps."""


def _describe_other(text: str) -> str:
    """What the file is instead, if that can be seen."""
    if not text.strip():
        return "the file is empty"
    if re.search(r"^(?:<{7}|={7}|>{7})", text, re.MULTILINE):
        return (
            "it has marks of a merge in Git that was not finished (<<<<<<<): settle it, such as by `nbdime`"
        )
    return next((f"it is {what}" for begin, what in _OTHER_FILES if re.match(begin, text, re.IGNORECASE)), "")


def _to_format_4(notebook: Any) -> dict[str, Any]:
    """The notebook as an object of format 4, as it is there; an older one converted."""
    if isinstance(notebook, dict) and "paragraphs" in notebook:
        raise _NotebookProblem("it is a note of Zeppelin: export it there as .ipynb")
    major = _parse_integer(notebook.get("nbformat")) if isinstance(notebook, dict) else None
    if major is None or major < 1:
        raise _NotebookProblem(
            'it does not say nbformat 4; when its cells are as in that format, write `"nbformat": 4`'
        )
    if major > FORMAT_MAJOR:
        raise _NotebookProblem(
            f"it says nbformat {major}, and 4 is the newest that is known here. Save it as format 4 where it was "
            'written; when its cells are as in format 4, it is enough to write `"nbformat": 4`'
        )
    return dict(notebook) if major == FORMAT_MAJOR else _convert_old(notebook, major)


def _parse_integer(value: Any) -> int | None:
    try:
        return None if value is None or isinstance(value, bool) else int(float(value))
    except (TypeError, ValueError, OverflowError):
        return None


def _convert_old(notebook: dict[str, Any], major: int) -> dict[str, Any]:
    """A notebook of formats 1 to 3, by nbformat."""
    import logging

    import nbformat

    sheets = notebook.get("worksheets") if major > 1 else [notebook]
    for sheet in sheets if isinstance(sheets, list) else ():
        for cell in (sheet.get("cells") or ()) if isinstance(sheet, dict) else ():
            if not isinstance(cell, dict):
                continue
            cell["metadata"] = cell.get("metadata") or {}
            if cell.get("cell_type") == "code":
                # Outputs are left out anyway, and those of old programs often lack what the conversion wants.
                cell |= {"outputs": [], "collapsed": bool(cell.get("collapsed"))}
                cell.setdefault("input", cell.pop("source", ""))
            for name in ("input", "source"):
                if isinstance(cell.get(name), list):
                    cell[name] = "".join(map(str, cell[name]))
            if cell.get("cell_type") != "code":
                cell.setdefault("source", "")
    whole = {**notebook, "nbformat": major, "metadata": notebook.get("metadata") or {}}
    whole["nbformat_minor"] = _parse_integer(notebook.get("nbformat_minor")) or 0
    log = logging.getLogger("traitlets")  # nbformat tells there what it mends
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        new = nbformat.convert(nbformat.from_dict(whole), FORMAT_MAJOR)  # type: ignore[no-untyped-call]
    except Exception as error:
        raise _NotebookProblem(
            f"it is of format {major} and cannot be converted ({type(error).__name__}: {error}); open it in JupyterLab "
            "and save it"
        ) from None
    finally:
        log.setLevel(level)
    return dict(json.loads(json.dumps(new)))


def _mend_notebook(notebook: dict[str, Any]) -> dict[str, Any]:
    cells = notebook.get("cells")
    if not isinstance(cells, list):
        raise _NotebookProblem("its cells are no list; save it again where it was written")
    metadata = _clean_metadata(notebook.get("metadata"), "its metadata is")
    metadata.pop("widgets", None)
    for name in ("kernelspec", "language_info"):
        about = metadata.get(name)
        if about is not None and not isinstance(about, dict):
            raise _NotebookProblem(f"its {name} is no object; without it the notebook can be read")
        if not about:
            metadata.pop(name, None)
    _mend_kernel(metadata)
    authors = metadata.get("authors", [])
    if not isinstance(authors, list) or not all(isinstance(each, dict) for each in authors):
        del metadata["authors"]
    if not isinstance(metadata.get("title", ""), str):
        del metadata["title"]
    ids: set[str] = set()
    return {
        "nbformat": FORMAT_MAJOR,
        "nbformat_minor": FORMAT_MINOR,
        "metadata": metadata,
        "cells": [_mend_cell(cell, number, ids) for number, cell in enumerate(cells, 1)],
    }


def _mend_kernel(metadata: dict[str, Any]) -> None:
    """Both objects with the names that the format wants, or not at all: the language stays known."""
    spec, language = metadata.get("kernelspec"), metadata.get("language_info")
    kernel_info = metadata.get("kernel_info")
    if not spec and isinstance(kernel_info, dict) and isinstance(kernel_info.get("name"), str):
        spec = {"name": kernel_info["name"]}  # as nteract and Azure write it
    if spec:
        name = spec.get("name")
        if not isinstance(name, str) or not name.strip():
            if isinstance(spec.get("language"), str) and not language:
                language = {"name": spec["language"]}
            spec = None
        else:
            shown = spec.get("display_name")
            spec = {**spec, "name": name, "display_name": shown if isinstance(shown, str) and shown else name}
    if language and not (isinstance(language.get("name"), str) and language["name"].strip()):
        language = None
    if language:
        language = {
            key: value
            for key, value in language.items()
            if isinstance(value, _LANGUAGE_METADATA.get(key, object))
        }
    for key, value in (("kernelspec", spec), ("language_info", language)):
        metadata.pop(key, None)
        if value:
            metadata[key] = value


def _clean_metadata(value: Any, what: str) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise _NotebookProblem(f"{what} no object: write {{}} there")
    return {name: each for name, each in (value or {}).items() if name not in _STALE_METADATA}


def _mend_cell(cell: Any, number: int, ids: set[str]) -> dict[str, Any]:
    if not isinstance(cell, dict):
        raise _NotebookProblem(f"cell {number} has no metadata and no source: take it away")
    kind = cell.get("cell_type")
    heading = kind == "heading"  # of format 3, kept by some programs
    if (kind not in CELL_TYPES and not heading) or "source" not in cell:
        raise _NotebookProblem(
            f"cell {number} has no type or no source; its cell_type is {kind!r}, which has to be code, markdown or "
            "raw. Take that cell away, or mend it"
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
    """The files of a cell, by name and MIME type, each as one text."""
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
            f"cell {number} has no type or no source; its source is no text: write a text or a list of lines there"
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
    """Whether it is a dict, with values of that type for these names."""
    return isinstance(value, dict) and all(isinstance(value[name], kind) for name in names if name in value)


def split_tags(value: Any) -> list[str]:
    """A cell's tags, each once; in a text, or within a tag, commas part them."""
    given = value if isinstance(value, list) else [value]
    parts = [part.strip() for each in given if isinstance(each, str) for part in each.split(",")]
    return list(dict.fromkeys(part for part in parts if part))


def _unique_id(value: Any, number: int, source: str, ids: set[str]) -> str:
    """The cell's id if it is one, and the first cell's with it; else one that is the same each time."""
    if not (isinstance(value, str) and _CELL_ID.fullmatch(value)) or value in ids:
        value = hashlib.sha256(f"{number} {source}".encode()).hexdigest()[:12]
        while value in ids:
            value = hashlib.sha256(value.encode()).hexdigest()[:12]
    ids.add(value)
    return str(value)
