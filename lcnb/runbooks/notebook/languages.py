"""The languages of notebooks: by which name one is known, and which parameters a cell of another one assigns.

Only Python cells are parsed. In the cell of another language the assignments are found line by line: their names, the
text of their default and the comment behind it. Values for them are written by papermill, where it knows the language.
"""

from __future__ import annotations

import re
from typing import Any

from lcnb.runbooks.notebook.types import MISSING, Parameter, ParameterType

PYTHON = "python"
#: What kernels and programs call Python. A kernel of Sage, Spark or Pyodide runs Python cells.
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
#: Kernels that say another language than the one that papermill writes for them.
_LANGUAGE_OF_KERNEL = {
    "ir": "R", "sparkrkernel": "R", "sparkkernel": "scala", "pysparkkernel": PYTHON, "xpython": PYTHON,
    "pyodide": PYTHON, "gonb": "go", "bash": "bash", ".net-csharp": ".net-csharp", ".net-fsharp": ".net-fsharp",
    ".net-powershell": ".net-powershell",
}  # fmt: skip

_IDENTIFIER = r"[^\W\d]\w*"
#: A name may be followed by its type, and a default by a comment.
_TYPED_ASSIGNMENT = rf"(?P<names>{_IDENTIFIER})\s*(?::\s*[^=]+?)?\s*=(?!=)\s*(?P<value>.*)"
#: Language, as papermill names it → how a line assigns a parameter, and how a comment begins.
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
    """The language of a notebook: `python`, or as papermill names it; Python where nothing says another one."""
    kernel = str(kernelspec.get("name") or "").lower()
    if kernel in _LANGUAGE_OF_KERNEL:
        return _LANGUAGE_OF_KERNEL[kernel]
    return normalize_language(str(language_info.get("name") or kernelspec.get("language") or PYTHON))


def normalize_language(language: str) -> str:
    """One name for a language, whatever a kernel calls it."""
    small = language.strip().lower()
    return PYTHON if small in _PYTHON_NAMES else "R" if small == "r" else small


def read_assignments(source: str, language: str) -> tuple[Parameter, ...]:
    """The parameters that a cell of that language assigns; none where papermill could not write values for them.

    >>> [(each.name, each.default_text, each.help) for each in assigned("days <- 30  # to look back", "R")]
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
    """A default and the comment behind it, which does not begin within quotes."""
    quote = ""
    for place, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote and text[place - 1] != "\\" else quote
        elif sign in "\"'" and not (sign == "'" and comment == "%"):
            quote = sign
        elif text.startswith(comment, place):
            return text[:place].rstrip(" ;"), text[place + len(comment) :].strip(f"{comment[0]} ")
    return text.rstrip(" ;"), ""
