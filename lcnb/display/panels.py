"""Key figures as cards, notes, warnings and details that open on a click, as HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from lcnb.display.formats import MISSING, is_missing
from lcnb.display.markup import Html


def cards(values: Mapping[str, object], *, warn: Sequence[str] = ()) -> Html:
    """Key figures next to each other.

    Args:
        values: Label and figure of each card. A missing figure is an en dash.
        warn: Labels of the cards that get a colored edge.
    """
    values = {label: MISSING if is_missing(value) else value for label, value in values.items()}
    boxes = "".join(
        f'<div class="lcnb-card{" warn" if label in warn else ""}"><b>{escape(str(value))}</b>'
        f"<span>{escape(label)}</span></div>"
        for label, value in values.items()
    )
    text = "\n".join(f"{label}: {value}" for label, value in values.items())
    return Html(f'<div class="lcnb-cards">{boxes}</div>', text)


def note(text: str) -> Html:
    """One or two sentences that explain the figures around them, such as what cannot be known."""
    return Html(f'<p class="lcnb-note">{escape(text)}</p>', text)


def attention(title: str, text: str) -> Html:
    """A box with a colored edge for something that needs a look."""
    html = f'<div class="lcnb-attention" role="note"><b>{escape(title)}</b> {escape(text)}</div>'
    return Html(html, f"{title}: {text}")


def details(title: str, lines: Sequence[str]) -> Html:
    """Lines behind a title that opens on a click or by the keyboard."""
    body = escape("\n".join(lines))
    html = f'<details class="lcnb-details"><summary>{escape(title)}</summary><pre>{body}</pre></details>'
    return Html(html, "\n".join([title, *lines]))
