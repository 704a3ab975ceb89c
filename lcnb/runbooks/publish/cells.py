"""The cells of a run's notebook as HTML for the report: static outputs, embedded pictures, no scripts."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
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


def render_cells(facts: Mapping[str, Any], notebook: Any, pictures: PictureEmbedder) -> str:
    shown = copy.deepcopy(notebook)
    widgets = widget_states(shown)
    shown.metadata.pop("widgets", None)  # nbconvert would write it into the page, for a script
    failed = facts.get("failed_cell")
    _make_outputs_static(shown, failed["number"] - 1 if failed else None, widgets, _where_to_look(facts))
    _drop_title(shown)
    _drop_skipped_cells(shown)
    body, _ = html_exporter().from_notebook_node(shown)
    return remove_requests(str(body), pictures)


def _where_to_look(facts: Mapping[str, Any]) -> str:
    """Where what a page cannot show is seen."""
    name = Path(str(facts["notebook"])).name if facts.get("notebook") else "the executed notebook"
    return f"Open {name}, in the folder of this page, in JupyterLab to see it."


def _make_outputs_static(notebook: Any, failed: int | None, widgets: Mapping[str, Any], where: str) -> None:
    """Give each output, and each text with formulas, a form that needs no script."""
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            cell.source = _bracket_spaced_paths(cell.source)
            _repair_attachments(cell)
            cell.source += formula_note(cell.source)
        if cell.cell_type != "code":
            continue
        kept: list[Any] = []
        for output in cell.outputs:
            if output.output_type == "stream":
                if kept and kept[-1].output_type == "stream" and kept[-1].name == output.name:
                    kept[-1].text += output.text
                else:
                    kept.append(output)
            elif output.output_type == "error":
                if index != failed and output.ename != "SystemExit":  # those are above the cells, once
                    kept.append(_allowed_error_output(output))
            else:
                make_output_static(output, widgets, where)
                kept.append(output)
        for output in kept:
            if output.output_type == "stream":
                output.text = final_terminal_text(output.text)
        cell.outputs = kept


def _allowed_error_output(output: Any) -> Any:
    """An error that the cell was allowed to raise, and that ended nothing."""
    import nbformat

    trace = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(output.traceback))
    html = (
        f'<div class="allowed"><b>{escape(output.ename)}: {escape(output.evalue)}</b> This cell may raise errors; the '
        f"run went on.<details><summary>Traceback</summary><pre>{escape(trace)}</pre></details></div>"
    )
    new: Any = nbformat.v4
    return new.new_output("display_data", {"text/html": html})


def _repair_attachments(cell: Any) -> None:
    """nbconvert makes no page at all of a notebook where an attachment is missing, or is written percent-encoded."""
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
    """Markdown takes a path with spaces only in angle brackets; people write it without."""
    return _PATH_WITH_SPACES.sub(r"\1<\2>", markdown)


@cache
def html_exporter() -> Any:
    """nbconvert's exporter with its templates compiled, which takes longer than most pages."""
    with defer_iri_grammar():
        import nbformat
        from nbconvert import HTMLExporter

    made: Any = HTMLExporter(  # type: ignore[no-untyped-call]
        template_name="basic",
        exclude_input=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )
    new: Any = nbformat.v4
    made.from_notebook_node(new.new_notebook(cells=[new.new_markdown_cell("#"), new.new_code_cell("")]))
    return made


def _drop_title(notebook: Any) -> None:
    """Title and purpose stand in the header already."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            lines = cell.source.strip().split("\n\n")
            if lines[0].startswith("# "):
                _, _, rest = lines[0].partition("\n")
                cell.source = "\n\n".join(lines[1:] if rest.strip() else lines[2:])
            return


def _drop_skipped_cells(notebook: Any) -> None:
    """Headings without anything below them would look as if there were nothing to tell."""
    ran = [
        number
        for number, cell in enumerate(notebook.cells)
        if cell.cell_type == "code" and cell.metadata.get("papermill", {}).get("status") != "skipped"
    ]
    code = [number for number, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    if ran and ran[-1] != code[-1]:
        del notebook.cells[ran[-1] + 1 :]
