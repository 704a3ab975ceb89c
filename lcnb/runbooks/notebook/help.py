"""The documentation of runbooks: a table of them, and the help page of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lcnb.rows import Rows
from lcnb.runbooks.notebook.find import Runbook, find_runbook, shipped_names

if TYPE_CHECKING:
    import click


def describe_runbooks(name: str | None = None) -> Rows:
    """Return the shipped runbooks as rows (name, title, purpose), or the parameters of one runbook.

    The columns for one runbook are name, type, default and help, all `str`. InputError when there is no such runbook.

    >>> "inventory" in describe_runbooks().column("name")
    True
    """
    if name is None:
        books = [(each.name, each.title, each.purpose) for each in map(find_runbook, shipped_names())]
        return Rows("runbooks", dict.fromkeys(("name", "title", "purpose"), "str"), books)
    parameters = [
        (each.name, each.type_text, "(required)" if each.required else each.default_text, each.help)
        for each in find_runbook(name).parameters
    ]
    return Rows("parameters", dict.fromkeys(("name", "type", "default", "help"), "str"), parameters)


def help_text(book: Runbook, page: click.HelpFormatter | None = None, command: str = "lcnb run") -> str:
    """Return the help page of a runbook: its purpose, and each parameter with type, default and help."""
    if page is None:
        import click

        page = click.HelpFormatter(width=100)
    page.write_usage(command, f"{book.name} [-p NAME=VALUE]... [OPTIONS]")
    with page.indentation():
        page.write_paragraph()
        page.write_text(book.purpose or book.title)
    if book.parameters:
        with page.section("Parameters"):
            page.write_dl(
                [
                    (
                        f"{each.name}",
                        f"{each.help}{'. ' if each.help else ''}[{each.type_text}; "
                        f"{'required' if each.required else f'default {each.default_text}'}]",
                    )
                    for each in book.parameters
                ]
            )
    else:
        page.write_paragraph()
        page.write_text("It takes no parameters.")
    page.write_paragraph()
    page.write_text("`lcnb run --help` lists the options that all runbooks share.")
    return page.getvalue().rstrip("\n")
