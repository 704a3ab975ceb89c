"""What each column of a listing means: `lcnb.describe`."""

from __future__ import annotations

import pandas as pd

from lcnb.api.fields import Field, fields_of
from lcnb.api.models import MODELS, Instance
from lcnb.errors import InputError
from lcnb.frames.columns import DTYPES
from lcnb.frames.inventory import INVENTORY_COLUMNS, PRICE_COLUMNS
from lcnb.suggestions import did_you_mean


def describe(name: str) -> pd.DataFrame:
    """Describe the columns of a listing.

    Args:
        name: `instances`, `inventory`, `locations`, `plans`, `images`, `sshkeys`, `snapshots` or `profile`.

    Returns a frame with one row per column, all `str`: column, dtype, unit (MB, GB, currency), description, wire (the
    path of the value in the API's record; missing for a derived value). Raises InputError for another name.

    >>> import lcnb
    >>> lcnb.describe("plans").set_index("column").loc["memory", "unit"]
    'MB'
    """
    if name == "inventory":
        rows = [_inventory_row(column) for column in INVENTORY_COLUMNS]
    elif name in MODELS:
        rows = [_field_row(each) for each in fields_of(MODELS[name])]
    else:
        known = [*MODELS, "inventory"]
        raise InputError(f"no listing {name!r}{did_you_mean(name, known)}. Listings: {', '.join(known)}")
    columns = ("column", "dtype", "unit", "description", "wire")
    frame = pd.DataFrame(rows, columns=list(columns)).astype("str")
    frame.attrs["lcnb"] = {"kind": "describe", "of": name}
    return frame


def _field_row(field: Field) -> tuple[str, str, str | None, str, str | None]:
    wire = None if field.about.derive else ".".join(field.wire)
    return field.name, DTYPES[field.type], field.about.unit or None, field.about.help, wire


def _inventory_row(column: str) -> tuple[str, str, str | None, str, str | None]:
    if column in PRICE_COLUMNS:
        dtype, unit, meaning = PRICE_COLUMNS[column]
        return column, dtype, unit or None, meaning, None
    return _field_row(next(each for each in fields_of(Instance) if each.name == column))
