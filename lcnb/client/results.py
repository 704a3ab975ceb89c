"""What methods return besides frames: the catalogue, and records that a notebook shows as a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from lcnb.api.fields import set_html_renderer

if TYPE_CHECKING:
    import pandas as pd


class Catalogue(NamedTuple):
    """What the account can choose from, as frames. `CachedCatalogue` holds the listings that it is made of."""

    locations: pd.DataFrame
    plans: pd.DataFrame
    images: pd.DataFrame


def _render_record(title: str, rows: Iterable[tuple[str, str, Any]], text: str) -> str:
    from lcnb.display.records import record_html

    return record_html(title, rows, text)


#: Typed objects reach users only through a client, so a notebook always finds this renderer.
set_html_renderer(_render_record)
