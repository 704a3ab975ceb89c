"""`public-errors`: every public error and warning of lcnb with its docstring, for a page of reStructuredText."""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import lcnb


class PublicErrors(SphinxDirective):
    """The errors, LcnbError first."""

    def run(self) -> list[nodes.Node]:
        """Return what autodoc makes of each."""
        public = [(name, getattr(lcnb, name)) for name in lcnb.__all__]
        names = [name for name, value in public if isinstance(value, type) and issubclass(value, Exception)]
        names.sort(key=lambda name: (name != "LcnbError", name))
        return self.parse_text_to_nodes("\n".join(f".. autoexception:: lcnb.{name}\n" for name in names))


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("public-errors", PublicErrors)
    return {"parallel_read_safe": True}
