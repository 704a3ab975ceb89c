"""Render the cells of an executed notebook as HTML for the report: static outputs, embedded pictures, no scripts."""

from __future__ import annotations

import copy
import re
from collections.abc import Collection, Mapping
from functools import cache
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from lcnb.runbooks.notebook.deferred_imports import defer_iri_grammar
from lcnb.runbooks.publish.outputs import formula_note, make_output_static, widget_states
from lcnb.runbooks.publish.pictures import PictureEmbedder
from lcnb.runbooks.publish.sanitizer import remove_requests
from lcnb.runbooks.publish.terminal_text import final_terminal_text
from lcnb.runbooks.records.notes import OUTPUT_MARK


def render_cells(facts: Mapping[str, Any], notebook: Any, pictures: PictureEmbedder) -> str:
    """Return the HTML of a run's notebook. `facts` is the record of the run; the notebook itself is not changed."""
    shown = copy.deepcopy(notebook)
    widgets = widget_states(shown)
    shown.metadata.pop("widgets", None)  # nbconvert would write it into the page, for a script
    _drop_listed_notes(shown, {str(each["text"]) for each in facts.get("attention") or ()})
    failed = facts.get("failed_cell")
    _make_outputs_static(shown, failed["number"] - 1 if failed else None, widgets, _where_to_look(facts))
    _drop_title(shown)
    _drop_skipped_cells(shown)
    body, _ = html_exporter().from_notebook_node(shown)
    return remove_requests(str(body), pictures)


def _where_to_look(facts: Mapping[str, Any]) -> str:
    """Return the sentence that says where to see what a page cannot show."""
    name = Path(str(facts["notebook"])).name if facts.get("notebook") else "the executed notebook"
    return f"Open {name}, in the folder of this page, in JupyterLab to see it."


def _make_outputs_static(notebook: Any, failed: int | None, widgets: Mapping[str, Any], where: str) -> None:
    """Give each output, and each text with formulas, a form that needs no script.

    `failed` is the position of the cell whose error the page shows above the cells; `where` says where to see the rest.
    """
    for position, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            cell.source = _bracket_spaced_paths(cell.source)
            _repair_attachments(cell)
            cell.source += formula_note(cell.source)
        elif cell.cell_type == "code":
            cell.outputs = _static_outputs(cell.outputs, position == failed, widgets, where)


def _static_outputs(outputs: list[Any], failed: bool, widgets: Mapping[str, Any], where: str) -> list[Any]:
    """Return the outputs of a cell as the page shows them: adjacent texts of a stream are joined."""
    kept: list[Any] = []
    for output in outputs:
        if output.output_type == "error":
            if not failed and output.ename != "SystemExit":  # the page shows these once, above the cells
                kept.append(_allowed_error_output(output))
            continue
        if output.output_type != "stream":
            make_output_static(output, widgets, where)
        elif kept and kept[-1].output_type == "stream" and kept[-1].name == output.name:
            kept[-1].text += output.text
            continue
        kept.append(output)
    for output in kept:
        if output.output_type == "stream":
            output.text = final_terminal_text(output.text)
    return kept


def _allowed_error_output(output: Any) -> Any:
    """Return an error that the cell was allowed to raise, and that did not end the run, as HTML."""
    import nbformat

    trace = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(output.traceback))
    html = (
        f'<div class="allowed"><b>{escape(output.ename)}: {escape(output.evalue)}</b> This cell may raise errors; '
        f"the run continued.<details><summary>Traceback</summary><pre>{escape(trace)}</pre></details></div>"
    )
    new: Any = nbformat.v4
    return new.new_output("display_data", {"text/html": html})


def _repair_attachments(cell: Any) -> None:
    """Mark missing attachments and decode percent-encoded names; otherwise nbconvert fails on the whole notebook."""
    attachments = dict(cell.get("attachments", {}))

    def found(match: re.Match[str]) -> str:
        name = match[1]
        if name not in attachments and unquote(name) in attachments:
            attachments[name] = attachments[unquote(name)]
        return match[0] if name in attachments else f"missing-attachment:{name}"

    cell.source = re.sub(r"""\battachment:([^\s)>"']+)""", found, cell.source)
    if attachments:
        cell.attachments = attachments


_PATH_WITH_SPACES = re.compile(
    r"(!\[[^\]\n]*\]\()(?!<)([^()<>\n\"]*? [^()<>\n\"]*?\.(?:png|jpe?g|gif|svg|webp|bmp|avif))(?=[)\s])", re.I
)


def _bracket_spaced_paths(markdown: str) -> str:
    """Put paths with spaces into angle brackets: Markdown requires them, and people leave them out."""
    return _PATH_WITH_SPACES.sub(r"\1<\2>", markdown)


@cache
def html_exporter() -> Any:
    """Return nbconvert's exporter with compiled templates. Compiling takes longer than most pages, so it is cached."""
    with defer_iri_grammar():
        import nbformat
        from nbconvert import HTMLExporter

    exporter: Any = HTMLExporter(  # type: ignore[no-untyped-call]
        template_name="basic",
        exclude_input=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )
    new: Any = nbformat.v4
    exporter.from_notebook_node(new.new_notebook(cells=[new.new_markdown_cell("#"), new.new_code_cell("")]))
    return exporter


def _drop_title(notebook: Any) -> None:
    """Remove title and purpose from the first text cell: the header of the page shows them."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            lines = cell.source.strip().split("\n\n")
            if lines[0].startswith("# "):
                _, _, rest = lines[0].partition("\n")
                cell.source = "\n\n".join(lines[1:] if rest.strip() else lines[2:])
            return


def _drop_listed_notes(notebook: Any, listed: Collection[str]) -> None:
    """Remove the boxes of notes that the page lists above the cells."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [
                each for each in cell.outputs if each.get("metadata", {}).get(OUTPUT_MARK) not in listed
            ]


def _drop_skipped_cells(notebook: Any) -> None:
    """Remove the cells after the last one that ran: their headings would have nothing below them."""
    ran = [
        number
        for number, cell in enumerate(notebook.cells)
        if cell.cell_type == "code" and cell.metadata.get("papermill", {}).get("status") != "skipped"
    ]
    code = [number for number, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    if ran and ran[-1] != code[-1]:
        del notebook.cells[ran[-1] + 1 :]
