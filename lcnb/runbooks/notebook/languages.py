"""The languages of notebooks: by which name one is known, and which parameters a cell of another one assigns.

Only Python cells are parsed. In the cell of another language the assignments are found line by line: their names, the
text of their default and the comment behind it. Values for them are written by papermill, where it knows the language.
"""

from __future__ import annotations

import re
from typing import Any

from lcnb.runbooks.notebook.types import _MISSING, Parameter, Type

PYTHON = "python"
#: What kernels and programs call Python. A kernel of Sage, Spark or Pyodide runs Python cells.
_PYTHONS = (
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
_KERNELS = {
    "ir": "R", "sparkrkernel": "R", "sparkkernel": "scala", "pysparkkernel": PYTHON, "xpython": PYTHON,
    "pyodide": PYTHON, "gonb": "go", "bash": "bash", ".net-csharp": ".net-csharp", ".net-fsharp": ".net-fsharp",
    ".net-powershell": ".net-powershell",
}  # fmt: skip

_WORD = r"[^\W\d]\w*"
#: A name may be followed by its type, and a default by a comment.
_TYPED = rf"(?P<names>{_WORD})\s*(?::\s*[^=]+?)?\s*=(?!=)\s*(?P<value>.*)"
#: Language, as papermill names it → how a line assigns a parameter, and how a comment begins.
ASSIGNMENTS = {
    "R": (r"(?P<names>[^\W\d_][\w.]*)\s*(?:<<?-|=(?!=))\s*(?P<value>.*)", "#"),
    "julia": (
        rf"(?:(?:const|global)\s+)?(?P<names>{_WORD}!?)\s*(?:::\s*[^=]+?)?\s*=(?!=)\s*(?P<value>.*)",
        "#",
    ),
    "scala": (rf"(?:(?:final|implicit|lazy)\s+)*(?:val|var)\s+{_TYPED}", "//"),
    "matlab": (rf"(?P<names>{_WORD})\s*=(?!=)\s*(?P<value>.*)", "%"),
    "bash": (rf"(?:(?:export|declare|readonly|local)\s+(?:-\w+\s+)*)?(?P<names>{_WORD})=(?P<value>.*)", "#"),
    ".net-csharp": (rf"(?:const\s+)?[\w<>\[\]?,.]+\s+(?P<names>{_WORD})\s*=(?!=)\s*(?P<value>.*)", "//"),
    ".net-fsharp": (rf"let\s+(?:mutable\s+)?{_TYPED}", "//"),
    ".net-powershell": (rf"(?:\[[\w\[\].]+\]\s*)?\$(?P<names>{_WORD})\s*=\s*(?P<value>.*)", "#"),
}


def language_of(kernelspec: dict[str, Any], language_info: dict[str, Any]) -> str:
    """The language of a notebook: `python`, or as papermill names it; Python where nothing says another one."""
    kernel = str(kernelspec.get("name") or "").lower()
    if kernel in _KERNELS:
        return _KERNELS[kernel]
    return normalized(str(language_info.get("name") or kernelspec.get("language") or PYTHON))


def normalized(language: str) -> str:
    """One name for a language, whatever a kernel calls it."""
    small = language.strip().lower()
    return PYTHON if small in _PYTHONS else "R" if small == "r" else small


def assigned(source: str, language: str) -> tuple[Parameter, ...]:
    """The parameters that a cell of that language assigns; none where papermill could not write values for them.

    >>> [(each.name, each.default_text, each.help) for each in assigned("days <- 30  # to look back", "R")]
    [('days', '30', 'to look back')]
    """
    if language not in ASSIGNMENTS:
        return ()
    pattern, comment = ASSIGNMENTS[language]
    found: dict[str, Parameter] = {}
    for line in source.splitlines():
        match = re.fullmatch(pattern, line.strip())
        if match:
            value, help_text = _split(match["value"], comment)
            found[match["names"]] = Parameter(match["names"], Type("any"), _MISSING, value, help_text)
    return tuple(found.values())


def _split(text: str, comment: str) -> tuple[str, str]:
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
