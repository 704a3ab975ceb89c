"""What makes a long report easy to read: a list of its sections, and tables that sort by a click.

The script is the only one of the page: the content policy names its hash, so nothing that a cell printed can run. It
sends no requests. Without scripts, as in an e-mail, the page is the same with tables that do not sort.
"""

from __future__ import annotations

import base64
import hashlib
import re
from html import unescape

#: A page with at least so many sections gets a list of them.
MIN_SECTIONS = 4
_SECTION = re.compile(r'<h2 id="([^"]+)">(.*?)(?:<a class="anchor-link"|</h2>)', re.DOTALL)

#: Sorts the rows of a table when a column title is clicked, or chosen by the keyboard. Missing values stay at the end.
SORT_SCRIPT = """
"use strict";
for (const table of document.querySelectorAll("table.lcnb-table:has(thead)")) {
  const body = table.tBodies[0];
  if (!body || body.rows.length < 3) continue;
  for (const head of table.tHead.rows[0].cells) {
    // No <button>: Chromium leaves it out where it repeats the titles on the next printed page.
    const button = document.createElement("span");
    button.className = "sort";
    button.role = "button";
    button.tabIndex = 0;
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("keydown", event => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      button.click();
    });
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending", at = head.cellIndex;
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const numeric = head.classList.contains("n");
      const value = row => {
        const text = row.cells[at].textContent.trim();
        if (text === "" || text === "\\u2013") return null;
        return numeric ? Number(text.replace(/,/g, "").replace("\\u2212", "-")) : text;
      };
      const order = new Intl.Collator(undefined, {numeric: true});
      const rows = [...body.rows].map(row => [value(row), row]);
      rows.sort(([a], [b]) => {
        if (a === null || b === null) return (a === null) - (b === null);
        const found = numeric ? a - b : order.compare(a, b);
        return down ? -found : found;
      });
      body.append(...rows.map(([, row]) => row));
    });
  }
}
"""
#: The script's hash, as a content policy names it.
SORT_SCRIPT_SOURCE = f"'sha256-{base64.b64encode(hashlib.sha256(SORT_SCRIPT.encode()).digest()).decode()}'"


def contents_html(body: str) -> str:
    """Return links to the sections of a page; "" for a short page."""
    sections = [(name, re.sub(r"<[^>]*>", "", title).strip()) for name, title in _SECTION.findall(body)]
    if len(sections) < MIN_SECTIONS:
        return ""
    items = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title in sections if unescape(title))
    return f'<nav class="contents" aria-label="Sections of this report"><ul>{items}</ul></nav>'
