"""Where runbooks are found: shipped ones by name, the user's own by path.

A notebook is read as plain JSON (`file_format`): lists and errors must not wait for nbformat or papermill.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcnb.errors import InputError
from lcnb.folders import own_notebooks_dir
from lcnb.runbooks.notebook.declarations import read_parameters
from lcnb.runbooks.notebook.file_format import read_notebook
from lcnb.runbooks.notebook.languages import PYTHON, notebook_language, read_assignments
from lcnb.runbooks.notebook.types import Parameter
from lcnb.suggestions import did_you_mean

if TYPE_CHECKING:
    pass


#: Notebooks of a folder that an error lists.
MAX_SHOWN_NOTEBOOKS = 8


@dataclass(frozen=True)
class Runbook:
    """A notebook that can be run: its path, its purpose, and the parameters that it takes."""

    name: str
    path: Path
    title: str
    purpose: str
    parameters: tuple[Parameter, ...]
    #: The name of its Jupyter kernel; empty when the notebook names only a language other than Python.
    kernel: str = "python3"
    #: `python`, or papermill's name of another language.
    language: str = PYTHON


def notebooks_dir() -> Path:
    """Return the folder of the shipped notebooks: inside an installed package, or next to it in a checkout.

    >>> (notebooks_dir() / "runbooks").is_dir()
    True
    """
    package = Path(__file__).parents[2]
    installed = package / "notebooks"
    return installed if installed.is_dir() else package.parent / "notebooks"


def shipped_names() -> list[str]:
    """Return the names of the shipped runbooks.

    >>> "inventory" in shipped_names()
    True
    """
    return sorted(path.stem for path in (notebooks_dir() / "runbooks").glob("*.ipynb"))


def find_runbook(name: str) -> Runbook:
    """Return the shipped runbook of that name, or the notebook file at that path. InputError when it does not exist.

    >>> find_runbook("inventory").name
    'inventory'
    """
    if name.endswith(".ipynb") or "/" in name or "\\" in name:
        path = Path(name).expanduser()
        if not path.is_file():
            raise _missing_file_error(name, path)
    elif name in shipped_names():
        path = notebooks_dir() / "runbooks" / f"{name}.ipynb"
    elif name and Path(name).exists():
        raise _not_a_notebook_error(name)
    else:
        raise InputError(
            f"no runbook {name!r}{did_you_mean(name, shipped_names())}. Shipped: {', '.join(shipped_names())}; "
            f"a file of your own: ./{name.removesuffix('.ipynb')}.ipynb",
            not_done="started",
        )
    return _load_runbook(path)


def notebooks_folder(given: str | Path | None = None) -> Path | None:
    """Return the folder of your own runbooks: the given one, or that of `LCNB_NOTEBOOKS`; None without either.

    Raises InputError for a folder that does not exist.
    """
    folder = Path(given).expanduser().absolute() if given else own_notebooks_dir()
    if folder is None:
        return None
    if not folder.is_dir():
        raise InputError(
            f"{folder} is no folder", field="notebooks", value=str(folder), cure="Pass a folder of notebooks.",
            not_done="started",
        )  # fmt: skip
    return folder


def own_runbooks(folder: Path) -> tuple[list[Runbook], list[str]]:
    """Return the runbooks in a folder, by name, and for each notebook that cannot be used what is wrong with it."""
    books, problems = [], []
    for path in sorted(folder.glob("*.ipynb")):
        try:
            books.append(find_runbook(str(path)))
        except InputError as error:
            problems.append(error.statement)
    return books, problems


def has_parameter_cell(path: Path) -> bool:
    """Whether a notebook file declares parameters: a cell has the tag `parameters`. InputError for no notebook.

    >>> has_parameter_cell(notebooks_dir() / "runbooks" / "inventory.ipynb")
    True
    """
    return any("parameters" in _cell_tags(cell) for cell in read_notebook(path)["cells"])


def _missing_file_error(name: str, path: Path) -> InputError:
    """The error for a notebook that does not exist. It names a similar one, or those of the same folder."""
    if path.exists():
        return _not_a_notebook_error(name)
    there = sorted(each.name for each in path.parent.glob("*.ipynb"))
    shown = f"{', '.join(there[:MAX_SHOWN_NOTEBOOKS])}{', ...' if len(there) > MAX_SHOWN_NOTEBOOKS else ''}"
    shipped = path.stem in shipped_names()
    return InputError(
        f"no runbook file {name}{did_you_mean(path.name, there)}: looked at {path.absolute()}",
        value=name,
        cure=f"The shipped runbook has no path: lcnb run {path.stem}."
        if shipped
        else f"Notebooks in that folder: {shown or 'none'}.",
        not_done="started",
    )


def _not_a_notebook_error(name: str) -> InputError:
    kind = "a folder" if Path(name).is_dir() else "not a notebook"
    return InputError(
        f"{name!r} is {kind}",
        value=name,
        cure="Name a notebook, as in `lcnb run ./FILE.ipynb`, or a shipped runbook (`lcnb runbooks` lists them).",
        not_done="started",
    )


def _load_runbook(path: Path) -> Runbook:
    notebook = read_notebook(path)
    cells, metadata = notebook["cells"], notebook["metadata"]
    title, purpose = _title_and_purpose(cells)
    problem = _tag_problem(cells)
    if problem:
        raise InputError(f"{path}: {problem}", not_done="started")
    source = next((cell["source"] for cell in cells if "parameters" in _code_tags(cell)), "")
    spec = metadata.get("kernelspec", {})
    language = notebook_language(spec, metadata.get("language_info", {}))
    python = language == PYTHON
    return Runbook(
        path.stem,
        path.absolute(),
        title or path.stem,
        purpose,
        read_parameters(source, path.name) if python else read_assignments(source, language),
        spec.get("name") or (Runbook.kernel if python else ""),
        language,
    )


def _tag_problem(cells: list[dict[str, Any]]) -> str:
    """Why it is not clear which values a run would have; "" when it is clear.

    papermill injects the given values after the first cell that has the tag, of any type, and a later cell with the tag
    would overwrite them. A cell that papermill injected in an earlier run stays when no values are given.
    """
    for number, cell in enumerate(cells, 1):
        if "parameters" in _cell_tags(cell) and cell["cell_type"] != "code":
            return f"cell {number} is tagged `parameters` but is no code cell: values would be in the wrong place."
        if "injected-parameters" in _cell_tags(cell):
            return (
                f"cell {number} holds the parameters of an earlier run (its tag is `injected-parameters`). Run the "
                "original notebook, or remove that cell."
            )
    tagged = [number for number, cell in enumerate(cells, 1) if "parameters" in _code_tags(cell)]
    if len(tagged) > 1:
        return f"cells {tagged[0]} and {tagged[1]} are both tagged `parameters`: only one can be."
    return ""


def _code_tags(cell: dict[str, Any]) -> list[str]:
    return _cell_tags(cell) if cell["cell_type"] == "code" else []


def _cell_tags(cell: dict[str, Any]) -> list[str]:
    return list(cell["metadata"].get("tags", ()))


def _title_and_purpose(cells: list[dict[str, Any]]) -> tuple[str, str]:
    """Return the first heading, and the first paragraph after it."""
    text = next((cell["source"] for cell in cells if cell["cell_type"] == "markdown"), "")
    heading, _, rest = text.strip().partition("\n")
    if not heading.startswith("#"):
        return "", heading.strip()
    return heading.lstrip("# ").strip(), " ".join(rest.strip().partition("\n\n")[0].split())
