"""Texts that were written for other readers than Sphinx: Markdown of the repository, docstrings and help texts.

Pages link to files of the repository that are not part of the site. Docstrings and help texts mark code with single
backticks, as Markdown does.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
#: Files of the repository → the page of the site that shows them.
PAGES = {
    "README.md": "project/readme",
    "CONTRIBUTING.md": "project/contributing",
    "CHANGELOG.md": "project/changelog",
    "benchmarks/RESULTS.md": "project/benchmarks",
}
_LINK = re.compile(r"(!?)\[([^\]]+)\]\(([^):#]+)(#[^)]*)?\)")
_CODE = re.compile(r"(?<![`\w])`([^`\n]+)`(?![`_])")


def load_page(app: Sphinx, page: str, source: list[str]) -> None:
    """Show a file of the repository on its page, and lead the links of every Markdown page to pages of the site."""
    shown = next((path for path, name in PAGES.items() if name == page), None)
    if shown is not None:
        app.env.note_dependency(str(ROOT / shown))
        source[0] = (ROOT / shown).read_text(encoding="utf-8")
    path = ROOT / shown if shown else Path(app.env.doc2path(page))
    if path.suffix == ".md":
        source[0] = site_links(source[0], path.parent)


def site_links(text: str, folder: Path) -> str:
    """Return Markdown whose links lead to pages of the site; one to a file without a page becomes its text.

    >>> site_links("[why](docs/decisions.md#layout), [terms](LICENSE)", ROOT)
    '[why](/decisions.md#layout), terms'
    """

    def link(match: re.Match[str]) -> str:
        picture, words, target, anchor = match.groups()
        path = Path(os.path.normpath(folder / target)).relative_to(ROOT).as_posix()
        if path.startswith("docs/"):
            return f"{picture}[{words}](/{path.removeprefix('docs/')}{anchor or ''})"
        return f"[{words}](/{PAGES[path]}.md{anchor or ''})" if path in PAGES else str(words)

    return _LINK.sub(link, text)


def mark_code(lines: list[str]) -> None:
    """Change `code` to ``code`` in lines of reStructuredText.

    >>> lines = ["Run `lcnb runs`."]
    >>> mark_code(lines)
    >>> lines
    ['Run ``lcnb runs``.']
    """
    lines[:] = [_CODE.sub(r"``\1``", line) for line in lines]


def fill_corners(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Make the corner of a frame above its index a cell: a header without text has no meaning to a screen reader."""
    for raw in doctree.findall(nodes.raw):
        if "dataframe" in raw.astext():
            raw.children = [nodes.Text(raw.astext().replace("<th></th>", "<td></td>"))]


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to the events at which Sphinx and its extensions read such texts."""
    app.connect("source-read", load_page)
    app.connect("doctree-resolved", fill_corners)
    # Before napoleon, which makes roles of single backticks.
    app.connect(
        "autodoc-process-docstring", lambda app, what, name, obj, options, lines: mark_code(lines), 100
    )
    for part in ("description", "options", "arguments", "epilog"):
        app.connect(f"sphinx-click-process-{part}", lambda app, ctx, lines: mark_code(lines))
    return {"parallel_read_safe": True}
