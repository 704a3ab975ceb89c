"""Listings on the screen: a table of records that is read in the background, such as those of keys and snapshots."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from lcnb.display import palette
from lcnb.errors import DriftWarning
from lcnb.widgets.choices import has_value
from lcnb.widgets.elements import make_button, status_html
from lcnb.widgets.form_messages import error_message
from lcnb.widgets.grid import Grid
from lcnb.widgets.runner import OneAtATime, Runner

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.client import LetsCloud

logger = logging.getLogger("lcnb.widgets")


@dataclass(frozen=True)
class TableColumn:
    """A column of a table on the screen, as `Grid` describes it."""

    name: str
    title: str
    kind: str = ""
    unit: str = ""
    per: str = ""
    optional: bool = False
    mark: Mapping[str, str] | None = None

    def spec(self, number: bool) -> dict[str, Any]:
        """Return the column as the grid takes it."""
        return {**asdict(self), "number": number}


KEY_COLUMNS = (
    TableColumn("slug", "slug"),
    TableColumn("title", "title"),
    TableColumn("public_key", "public key"),
)
SNAPSHOT_COLUMNS = (
    TableColumn("label", "label"),
    TableColumn("size", "size GB"),
    TableColumn("os_reference", "system"),
    TableColumn("build", "ready"),
    TableColumn("slug", "slug"),
)


class ListingTable:
    """A listing that is read in a thread of the runner; `refresh` keeps ticked rows ticked."""

    #: Columns of the frame that rows carry without showing them as a column of their own.
    extra_names: tuple[str, ...] = ()

    def __init__(
        self,
        name: str,
        columns: Sequence[TableColumn],
        read: Callable[[LetsCloud], pd.DataFrame],
        runner: Runner,
        *,
        key: str = "slug",
        ticks: bool = False,
        **grid: Any,
    ) -> None:
        self.runner, self._read, self._columns = runner, read, columns
        self.grid = Grid(name=name, key=key, ticks=ticks, colors=palette.STATE_COLORS, **grid)
        self.reload = make_button("Refresh")
        self.reload.on_click(lambda _: self.refresh())
        self.status = widgets.HTML(status_html(""))
        self.head = widgets.HTML()
        self.tools = widgets.HBox([self.reload, self.status])
        self.tools.add_class("lcnb-tools")
        self.widget = widgets.VBox([self.head, self.tools, self.grid])
        self._reading = OneAtATime(runner.spawn, self._read_frame)
        self._read_once = self._quiet = False

    def start(self) -> None:
        """Read the listing, the first time only."""
        if not self._read_once:
            self.refresh()

    def refresh(self) -> None:
        """Read the listing again, in the background."""
        self._read_once, self._quiet = True, False
        self._reading()

    def refresh_quietly(self) -> None:
        """Read the listing again without saying so: nothing on the page moves unless something is different."""
        self._quiet = True
        self._reading()

    def _read_frame(self) -> None:
        quiet, self._quiet = self._quiet, False
        if not quiet:
            self.status.value = status_html("reading …")
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", DriftWarning)
                frame = self._read(self.runner.client)
            self.show(frame)
            self._report_reading(self.after_reading(frame))
            odd = [str(each.message) for each in caught if issubclass(each.category, DriftWarning)]
            self.status.value = status_html(odd[0] if odd else "", alert=bool(odd))
        except BaseException as error:
            logger.info("a listing could not be read: %s", type(error).__name__)
            text = " ".join(filter(None, (error_message(error), self.after_error())))
            self.status.value = status_html(text, alert=True)

    def _report_reading(self, note: str) -> None:
        self.grid.reading = {"at": datetime.now(UTC).isoformat(), "note": note}

    def after_reading(self, frame: pd.DataFrame) -> str:
        """Return what is said about the reading, besides its time."""
        return ""

    def after_error(self) -> str:
        """Return what is said after the error."""
        return ""

    def show(self, frame: pd.DataFrame) -> None:
        """Show a frame, and untick rows that no longer exist."""
        columns = [each.spec(bool(frame[each.name].dtype.kind in "iuf")) for each in self._columns]
        cells = dict.fromkeys(self.extra_names, json_cell)
        cells |= {each.name: tag_list if each.kind == "tags" else json_cell for each in self._columns}
        rows = [
            {name: read(row[name]) for name, read in cells.items()}
            for row in frame[list(cells)].to_dict("records")
        ]
        keys = {row[self.grid.key] for row in rows}
        self.grid.columns, self.grid.rows = columns, rows
        self.grid.selected = [each for each in self.grid.selected if each in keys]


def json_cell(value: Any) -> Any:
    """Return a cell as a JSON value; a missing one is null, and a time is in ISO format."""
    if not has_value(value):
        return None
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float | str):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def tag_list(value: Any) -> list[str]:
    """Return a cell of tags, such as `legacy; project=shop`, as a list of tags."""
    return [each.strip() for each in str(value).split(";")] if has_value(value) else []
