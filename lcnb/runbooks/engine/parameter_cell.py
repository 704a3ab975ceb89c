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
    """Why papermill cannot write these values into a cell for that kernel or language; empty when it can."""
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
    """papermill's, with the keys of a dict as what they are: it writes each as a text."""

    @classmethod
    def translate(cls, value: Any) -> str:
        if isinstance(value, tuple):
            return f"({''.join(f'{cls.translate(each)}, ' for each in value)})"
        return str(super().translate(value))

    @classmethod
    def translate_dict(cls, value: Mapping[Any, Any]) -> str:
        pairs = (f"{cls.translate(key)}: {cls.translate(each)}" for key, each in value.items())
        return f"{{{', '.join(pairs)}}}"


class BashCellTranslator(BashTranslator):  # type: ignore[misc]
    """papermill's, without lists that an array cannot hold: it loses a None, and writes a list within one as code."""

    @classmethod
    def translate_list(cls, value: list[Any]) -> str:
        if not all(isinstance(each, str | int | float) for each in value):
            raise NotImplementedError
        return str(super().translate_list(value))


def with_text_literals(base: Any, literal: Callable[[str], str]) -> Any:
    """A translator of papermill with texts as that language writes them: papermill escapes all as Python does."""

    class WithTexts(base):  # type: ignore[misc]
        @classmethod
        def translate_escaped_str(cls, value: object) -> str:
            return literal(str(value))

    return WithTexts


def quote_json(text: str) -> str:
    """As JSON, which R, Scala, C# and F# read as it is meant."""
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
        lambda text: quote_json(text).replace("$", "\\$"),
    ),  # Julia puts in what follows
    (".net-powershell", PowershellTranslator, lambda text: "'" + text.replace("'", "''") + "'"),
):
    papermill_translators.register(_name, with_text_literals(_base, _literal))
