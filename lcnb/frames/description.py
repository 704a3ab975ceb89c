"""What each column of a listing means: `lcnb.describe`."""

from __future__ import annotations

import pandas as pd

from lcnb.api.fields import Field, fields_of
from lcnb.api.models import MODELS, Instance
from lcnb.errors import InputError
from lcnb.frames.columns import DTYPES
from lcnb.frames.facts_frame import FACTS_FRAME_COLUMNS
from lcnb.frames.inventory import ADDED_COLUMNS, INVENTORY_COLUMNS
from lcnb.suggestions import did_you_mean


def describe(name: str) -> pd.DataFrame:
    """Describe the columns of a listing.

    Args:
        name: `instances`, `inventory`, `locations`, `plans`, `images`, `sshkeys`, `snapshots`, `profile` or `facts`.

    Returns a frame with one row per column, all `str`: column, dtype, unit (MB, GB, currency), description, wire (the
    path of the value in the API's record; missing for a derived value). Raises InputError for another name.

    >>> import lcnb
    >>> lcnb.describe("plans").set_index("column").loc["memory", "unit"]
    'MB'
    """
    if name == "inventory":
        rows = [_inventory_row(column) for column in INVENTORY_COLUMNS]
    elif name == "facts":
        rows = [(column, *_derived_cells(each)) for column, each in FACTS_FRAME_COLUMNS.items()]
    elif name in MODELS:
        rows = [_field_row(each) for each in fields_of(MODELS[name])]
    else:
        known = [*MODELS, "inventory", "facts"]
        raise InputError(f"no listing {name!r}{did_you_mean(name, known)}. Listings: {', '.join(known)}")
    columns = ("column", "dtype", "unit", "description", "wire")
    frame = pd.DataFrame(rows, columns=list(columns)).astype("str")
    frame.attrs["lcnb"] = {"kind": "describe", "of": name}
    return frame


def _field_row(field: Field) -> tuple[str, str, str | None, str, str | None]:
    wire = None if field.about.derive else ".".join(field.wire)
    return field.name, DTYPES[field.type], field.about.unit or None, field.about.help, wire


def _inventory_row(column: str) -> tuple[str, str, str | None, str, str | None]:
    if column in ADDED_COLUMNS:
        return column, *_derived_cells(ADDED_COLUMNS[column])
    return _field_row(next(each for each in fields_of(Instance) if each.name == column))


def _derived_cells(about: tuple[str, str, str]) -> tuple[str, str | None, str, None]:
    """Return dtype, unit and meaning of a column that lcnb adds; the API's record has no path for it."""
    dtype, unit, meaning = about
    return dtype, unit or None, meaning, None
