"""The languages of notebooks: their names, and the parameters that a cell in a language other than Python assigns.

Only Python cells are parsed. In another language the assignments are found line by line: their names, the text of the
default and the comment after it. papermill writes values for them where it knows the language.
"""

from __future__ import annotations

import re
from typing import Any

from lcnb.runbooks.notebook.types import MISSING, Parameter, ParameterType

PYTHON = "python"
#: Names of Python in kernelspecs and files. Kernels of Sage, Spark and Pyodide run Python cells.
_PYTHON_NAMES = (
    "python",
    "python2",
    "python3",
    "ipython",
    "ipython2",
    "ipython3",
    "pyspark",
    "pyspark3",
    "sage",
    "pyodide",
)
#: Kernels whose spec names another language than the one that papermill writes for them.
_LANGUAGE_OF_KERNEL = {
    "ir": "R", "sparkrkernel": "R", "sparkkernel": "scala", "pysparkkernel": PYTHON, "xpython": PYTHON,
    "pyodide": PYTHON, "gonb": "go", "bash": "bash", ".net-csharp": ".net-csharp", ".net-fsharp": ".net-fsharp",
    ".net-powershell": ".net-powershell",
}  # fmt: skip

_IDENTIFIER = r"[^\W\d]\w*"
#: An assignment whose name may be followed by a type, and whose default may be followed by a comment.
_TYPED_ASSIGNMENT = rf"(?P<names>{_IDENTIFIER})\s*(?::\s*[^=]+?)?\s*=(?!=)\s*(?P<value>.*)"
#: papermill's name of a language → the pattern of a line that assigns a parameter, and the start of a comment.
ASSIGNMENT_PATTERNS = {
    "R": (r"(?P<names>[^\W\d_][\w.]*)\s*(?:<<?-|=(?!=))\s*(?P<value>.*)", "#"),
    "julia": (
        rf"(?:(?:const|global)\s+)?(?P<names>{_IDENTIFIER}!?)\s*(?:::\s*[^=]+?)?\s*=(?!=)\s*(?P<value>.*)",
        "#",
    ),
    "scala": (rf"(?:(?:final|implicit|lazy)\s+)*(?:val|var)\s+{_TYPED_ASSIGNMENT}", "//"),
    "matlab": (rf"(?P<names>{_IDENTIFIER})\s*=(?!=)\s*(?P<value>.*)", "%"),
    "bash": (
        rf"(?:(?:export|declare|readonly|local)\s+(?:-\w+\s+)*)?(?P<names>{_IDENTIFIER})=(?P<value>.*)",
        "#",
    ),
    ".net-csharp": (
        rf"(?:const\s+)?[\w<>\[\]?,.]+\s+(?P<names>{_IDENTIFIER})\s*=(?!=)\s*(?P<value>.*)",
        "//",
    ),
    ".net-fsharp": (rf"let\s+(?:mutable\s+)?{_TYPED_ASSIGNMENT}", "//"),
    ".net-powershell": (rf"(?:\[[\w\[\].]+\]\s*)?\$(?P<names>{_IDENTIFIER})\s*=\s*(?P<value>.*)", "#"),
}


def notebook_language(kernelspec: dict[str, Any], language_info: dict[str, Any]) -> str:
    """Return papermill's name of a notebook's language; `python` where the metadata names none.

    >>> notebook_language({"name": "ir"}, {})
    'R'
    """
    kernel = str(kernelspec.get("name") or "").lower()
    if kernel in _LANGUAGE_OF_KERNEL:
        return _LANGUAGE_OF_KERNEL[kernel]
    return normalize_language(str(language_info.get("name") or kernelspec.get("language") or PYTHON))


def normalize_language(language: str) -> str:
    """Return one name for a language, whatever a kernel calls it.

    >>> normalize_language("IPython3")
    'python'
    """
    small = language.strip().lower()
    return PYTHON if small in _PYTHON_NAMES else "R" if small == "r" else small


def read_assignments(source: str, language: str) -> tuple[Parameter, ...]:
    """Return the parameters that a cell assigns; () for a language that papermill cannot write values in.

    >>> [(each.name, each.default_text, each.help) for each in read_assignments("days <- 30  # to look back", "R")]
    [('days', '30', 'to look back')]
    """
    if language not in ASSIGNMENT_PATTERNS:
        return ()
    pattern, comment = ASSIGNMENT_PATTERNS[language]
    found: dict[str, Parameter] = {}
    for line in source.splitlines():
        match = re.fullmatch(pattern, line.strip())
        if match:
            value, help_text = _split_comment(match["value"], comment)
            found[match["names"]] = Parameter(match["names"], ParameterType("any"), MISSING, value, help_text)
    return tuple(found.values())


def _split_comment(text: str, comment: str) -> tuple[str, str]:
    """Split a default from the comment after it. A comment sign inside quotes does not start a comment."""
    quote = ""
    for place, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote and text[place - 1] != "\\" else quote
        elif sign in "\"'" and not (sign == "'" and comment == "%"):
            quote = sign
        elif text.startswith(comment, place):
            return text[:place].rstrip(" ;"), text[place + len(comment) :].strip(f"{comment[0]} ")
    return text.rstrip(" ;"), ""
