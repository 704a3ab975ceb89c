"""Settings of the documentation site: `make docs` builds it into dist/docs and needs no network."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import lcnb

project = "lcnb"
release = version = lcnb.__version__
author = "the authors of lcnb"
language = "en"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "sandbox_account",
    "runbook_gallery",
    "repository_text",
    "terminal",
    "public_errors",
]
exclude_patterns = ["_ext", "_static"]

# --- pages ------------------------------------------------------------------------------------------------

nitpicky = True
# Annotations name types of pandas, of the standard library, and of modules that users never import.
nitpick_ignore_regex = [
    ("py:.*", r"(?!lcnb\.).*"),
    (
        "py:.*",
        r"lcnb\.(config\.Settings|api\.calls\.Call|changes\.client_protocol\.ChangeClient|.*\.(ChangeSetT|R))",
    ),
]
suppress_warnings = ["config.cache"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
# A tutorial is run whenever it is built; its first failing cell fails the build.
nb_execution_mode = "auto"
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_execution_timeout = 600
nb_ipywidgets_js: dict[str, dict[str, str]] = {}  # a page must not load scripts of a CDN

# --- docstrings -------------------------------------------------------------------------------------------

autodoc_default_options = {"members": True}
autodoc_member_order = "groupwise"
autodoc_typehints_format = "short"

# --- HTML -------------------------------------------------------------------------------------------------

html_title = "lcnb"
html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 8,
    "show_prev_next": True,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "back_to_top_button": False,
    "footer_start": [],
    "footer_end": [],
}
#: The home page and the page of other tools are alone in their section: a bar of it would be empty.
html_sidebars: dict[str, list[str]] = {"index": [], "ecosystem": []}
