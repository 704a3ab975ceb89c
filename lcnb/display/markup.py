"""`Html`: escaped HTML for a notebook or a report, plain text elsewhere; and the stylesheet of all such pieces."""

from __future__ import annotations

from collections.abc import Sequence
from string import Template

from lcnb.display.palette import GREEN, NEUTRAL_COLOR, WARNING_COLOR, translucent

HTML_STYLE = Template(
    """
<style>
.lcnb{font:14px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
.lcnb-cards{display:flex;flex-wrap:wrap;gap:12px;margin:4px 0 12px}
.lcnb-card{flex:1 1 130px;padding:14px 18px;border:1px solid $line;border-radius:12px}
.lcnb-card b{display:block;font-size:26px;line-height:1.2;font-weight:650;font-variant-numeric:tabular-nums}
.lcnb-card span{opacity:.75;font-size:12.5px}
.lcnb-card.warn{border-color:$warning;box-shadow:inset 4px 0 0 $warning}
.lcnb-attention{margin:4px 0 12px;padding:10px 16px;border:1px solid $warning;border-left-width:6px;border-radius:10px;
 white-space:pre-wrap;overflow-wrap:anywhere}
.lcnb-note{margin:4px 0 12px;padding:8px 16px;border-left:4px solid $note_line;max-width:80ch}
.lcnb-scroll{overflow-x:auto;margin:4px 0 12px}
.lcnb table.lcnb-table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums;min-width:50%}
.lcnb table.lcnb-table th{font-weight:600;text-align:left;white-space:nowrap;opacity:.8;
 border-bottom:2px solid $head_line}
.lcnb table.lcnb-table th,.lcnb table.lcnb-table td{padding:5px 14px 5px 2px}
.lcnb table.lcnb-table td{border-bottom:1px solid $row_line;text-align:left;white-space:nowrap}
.lcnb table.lcnb-table td.w{white-space:normal;min-width:22ch}
.lcnb table.lcnb-table .n{text-align:right}
.lcnb table.lcnb-table th[scope=row]{border-bottom:1px solid $row_line}
.lcnb table.lcnb-table caption{caption-side:top;text-align:left;font-weight:650;padding:2px 0 6px;color:inherit}
.lcnb table.lcnb-table td.m{font-weight:700;background:$mark_background;box-shadow:inset 0 -2px 0 $mark}
.lcnb table.lcnb-record td.n{text-align:left}
.lcnb table.lcnb-table small{font-weight:400;opacity:.8}
.lcnb-none{opacity:.75}
.lcnb-details{margin:4px 0 12px}
.lcnb-details summary{cursor:pointer;opacity:.8}
.lcnb-details pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:12px;margin:6px 0}
.lcnb-pill{display:inline-block;white-space:nowrap}
.lcnb-pill::before{content:"";display:inline-block;width:9px;height:9px;border-radius:50%;margin-right:7px;
 background:var(--c)}
figure.lcnb-figure{margin:4px 0 12px}
figure.lcnb-figure svg{max-width:100%;height:auto}
figure.lcnb-figure svg text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif !important}
</style>
""".strip()
).substitute(
    warning=WARNING_COLOR,
    mark=GREEN,
    mark_background=translucent(GREEN, 0.2),
    line=translucent(NEUTRAL_COLOR, 0.35),
    note_line=translucent(NEUTRAL_COLOR, 0.6),
    head_line=translucent(NEUTRAL_COLOR, 0.5),
    row_line=translucent(NEUTRAL_COLOR, 0.25),
)


class Html:
    """A piece of a page: HTML in a notebook, plain text elsewhere.

    >>> Html("<p>2 machines</p>", "2 machines")
    2 machines
    """

    def __init__(self, html: str, text: str) -> None:
        self._html = html
        self._text = text

    @classmethod
    def joined(cls, parts: Sequence[Html], text: str) -> Html:
        """Join several pieces into one, with one plain text for all."""
        return cls("".join(part._html for part in parts), text)

    def _repr_html_(self) -> str:
        return f'{HTML_STYLE}<div class="lcnb">{self._html}</div>'

    def __repr__(self) -> str:
        return self._text


def class_attribute(names: str) -> str:
    """A `class` attribute with a space before it; "" for no names."""
    return f' class="{names.strip()}"' if names else ""
