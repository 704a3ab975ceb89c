"""Key figures as cards, notes, warnings and foldable details, as HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from lcnb.display.formats import is_missing
from lcnb.display.markup import Html

if TYPE_CHECKING:
    pass


# --- tables and cards -----------------------------------------------------------------------------------


def cards(values: Mapping[str, object], *, warn: Sequence[str] = ()) -> Html:
    """Key figures side by side: label → value. Labels in `warn` are marked; a missing value is an en dash."""
    values = {label: "–" if is_missing(value) else value for label, value in values.items()}
    boxes = "".join(
        f'<div class="lcnb-card{" warn" if label in warn else ""}"><b>{escape(str(value))}</b>'
        f"<span>{escape(label)}</span></div>"
        for label, value in values.items()
    )
    text = "\n".join(f"{label}: {value}" for label, value in values.items())
    return Html(f'<div class="lcnb-cards">{boxes}</div>', text)


def note(text: str) -> Html:
    """A sentence or two that explain what stands around them, such as what cannot be known."""
    return Html(f'<p class="lcnb-note">{escape(text)}</p>', text)


def attention(title: str, text: str) -> Html:
    """Something that needs a look, as a box with a coloured edge; the word is there too."""
    html = f'<div class="lcnb-attention" role="note"><b>{escape(title)}</b> {escape(text)}</div>'
    return Html(html, f"{title}: {text}")


def details(title: str, lines: Sequence[str]) -> Html:
    """Lines behind a title that opens on a click or by the keyboard."""
    body = escape("\n".join(lines))
    html = f'<details class="lcnb-details"><summary>{escape(title)}</summary><pre>{body}</pre></details>'
    return Html(html, "\n".join([title, *lines]))
