"""Parameter values written as source code of the notebook's language: papermill's translators, corrected."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from lcnb.runbooks.engine.papermill_imports import (
    BashTranslator,
    CSharpTranslator,
    FSharpTranslator,
    JuliaTranslator,
    PapermillException,
    PowershellTranslator,
    PythonTranslator,
    RTranslator,
    ScalaTranslator,
    papermill_translators,
)
from lcnb.runbooks.notebook.languages import PYTHON


def why_unwritable(kernel: str, language: str, parameters: Mapping[str, Any]) -> str:
    """Return why papermill cannot write these values into a cell of that kernel or language; "" when it can.

    >>> why_unwritable("python3", "python", {"days": 30})
    ''
    """
    try:
        translator = papermill_translators.find_translator(kernel, language)
    except PapermillException:
        return f"papermill cannot write values into a cell of {language}"
    for name, value in parameters.items():
        try:
            translator.assign(name, translator.translate(value))
        except NotImplementedError:
            return f"papermill cannot write {value!r} into a cell of {language}"
    return ""


class PythonCellTranslator(PythonTranslator):  # type: ignore[misc]
    """papermill's translator, which would write each key of a dict as a text; this one keeps their types."""

    @classmethod
    def translate(cls, value: Any) -> str:
        """Return a value as Python source; a tuple stays a tuple."""
        if isinstance(value, tuple):
            return f"({''.join(f'{cls.translate(each)}, ' for each in value)})"
        return str(super().translate(value))

    @classmethod
    def translate_dict(cls, value: Mapping[Any, Any]) -> str:
        """Return a dict as Python source."""
        pairs = (f"{cls.translate(key)}: {cls.translate(each)}" for key, each in value.items())
        return f"{{{', '.join(pairs)}}}"


class BashCellTranslator(BashTranslator):  # type: ignore[misc]
    """papermill's translator, without lists that an array cannot hold: None would be lost, inner lists become code."""

    @classmethod
    def translate_list(cls, value: list[Any]) -> str:
        """Return a list as a bash array. NotImplementedError for items that an array cannot hold."""
        if not all(isinstance(each, str | int | float) for each in value):
            raise NotImplementedError
        return str(super().translate_list(value))


def with_text_literals(base: Any, literal: Callable[[str], str]) -> Any:
    """Return papermill's translator with text literals of its language, which papermill would write as Python does."""

    class WithTexts(base):  # type: ignore[misc]
        """papermill's translator with its language's own text literals."""

        @classmethod
        def translate_escaped_str(cls, value: object) -> str:
            """Return a text as a literal."""
            return literal(str(value))

    return WithTexts


def quote_json(text: str) -> str:
    """Return the text as a JSON string, which R, Scala, C# and F# read correctly.

    >>> quote_json("café")
    '"café"'
    """
    return json.dumps(text, ensure_ascii=False)


for _name in (PYTHON, "pysparkkernel"):
    papermill_translators.register(_name, PythonCellTranslator)
papermill_translators.register("bash", BashCellTranslator)
for _name, _base, _literal in (
    ("R", RTranslator, quote_json),
    ("sparkrkernel", RTranslator, quote_json),
    ("scala", ScalaTranslator, quote_json),
    ("sparkkernel", ScalaTranslator, quote_json),
    (".net-csharp", CSharpTranslator, quote_json),
    (".net-fsharp", FSharpTranslator, quote_json),
    (
        "julia",
        JuliaTranslator,
        lambda text: quote_json(text).replace("$", "\\$"),  # Julia replaces `$name` by its value
    ),
    (".net-powershell", PowershellTranslator, lambda text: "'" + text.replace("'", "''") + "'"),
):
    papermill_translators.register(_name, with_text_literals(_base, _literal))
