"""Machines from bytes straight into columns: the fast way for what is plain, with care for the rest alone.

`machines` gives the very frame and drift that `models.read` and `frames.frame_of` give. Records are read in pieces,
two at a time, so that little more than the frame is in memory. pyarrow reads a piece by a schema made from the model,
so a field without a line there (`initial_root_password`) is skipped in the bytes: it becomes neither a column nor an
object. When it refuses a piece (a number as a text, a flag as a number, a location that is no object, bytes that are
no UTF-8), each record of that piece is read by msgspec with the same types, and only what that refuses too becomes
an object of all its parts, for `models.read`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Annotated, Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from lcnb.api.fields import Drift, Field, fields_of
from lcnb.api.listing_reader import path_of
from lcnb.api.models import Instance, ip_version
from lcnb.api.raw_records import UNREADABLE, Rows, decoded
from lcnb.api.record_reader import read
from lcnb.frames.columns import cell

#: Records read at a time: some two megabytes.
PIECE = 4096
WORKERS = 2

TEXT = pa.large_string()
_ARROW: dict[type, pa.DataType] = {str: TEXT, int: pa.int64(), bool: pa.bool_()}
_PANDAS: dict[type, Any] = {
    str: pd.StringDtype(na_value=float("nan")),
    int: pd.Int64Dtype(),
    bool: pd.BooleanDtype(),
}
#: What the items of a list of texts are; plain texts are read with care.
_ITEM = pa.struct([("address", TEXT)])

#: Records with the places where they stand in their answer.
Piece = tuple[list[Any], Sequence[int]]


class _Odd(Exception):
    """There is something that is for the careful way to judge."""


def machines(pages: Sequence[Rows]) -> tuple[pd.DataFrame, list[Drift]]:
    """The frame of these records, a row each, at least one; and what was odd in them."""
    pieces = list(_pieces(pages))
    if len(pieces) == 1:
        parts = [_part(pieces[0])]
    else:
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="lcnb-columns") as pool:
            parts = list(pool.map(_part, pieces))
    table = pa.concat_tables([part for part, _ in parts])
    frame = pd.DataFrame(
        {each.name: _PANDAS[_shown(each)].__from_arrow__(table[each.name]) for each in fields_of(Instance)},
        index=pd.RangeIndex(table.num_rows),
        copy=False,
    )
    return frame, [each for _, drift in parts for each in drift]


def _pieces(pages: Sequence[Rows]) -> Iterator[Piece]:
    for page in pages:
        for start in range(0, len(page), PIECE):
            yield page.raw[start : start + PIECE], page.places[start : start + PIECE]


def _shown(field: Field) -> type:
    return str if field.type is tuple else field.type


def _part(piece: Piece) -> tuple[pa.Table, list[Drift]]:
    raw, _ = piece
    try:
        return _table(_read(b"\n".join(raw), len(raw))), []
    except (_Odd, pa.ArrowInvalid):
        return _part_with_care(piece)


def _table(values: dict[str, pa.Array]) -> pa.Table:
    """The columns of some records by what they tell; _Odd when that is not plain."""
    texts = _texts(values["ip_addresses"])
    values["ip_addresses"] = pc.binary_join(texts, _word(", "))
    values["state"] = _state(values)
    values["ipv4"], values["ipv6"] = _first_addresses(texts)
    return pa.table({each.name: _whole(values[each.name]) for each in fields_of(Instance)})


def _read(lines: bytes, count: int) -> dict[str, pa.Array]:
    """What so many records tell, a line each; _Odd or ArrowInvalid when they are not plain."""
    table = pa.json.read_json(
        pa.BufferReader(lines),
        pa.json.ReadOptions(use_threads=False, block_size=len(lines) + 1),
        pa.json.ParseOptions(explicit_schema=_schema(), unexpected_field_behavior="ignore"),
        memory_pool=pa.system_memory_pool(),  # Arrow's own gives back less of what reading takes for a moment
    )
    if table.num_rows != count:
        raise _Odd
    if not lines.isascii():
        table.validate(full=True)  # that texts are UTF-8
    return {each.name: _dug(table, each.wire) for each in fields_of(Instance) if each.about.derive is None}


def _wires() -> Iterator[tuple[str, list[Field]]]:
    """The names in a record, each with the fields that stand there: one of that name, or those of an object."""
    found: dict[str, list[Field]] = {}
    for each in fields_of(Instance):
        if each.about.derive is None:
            found.setdefault(each.wire[0], []).append(each)
    yield from found.items()


@cache
def _schema() -> pa.Schema:
    """What stands in a record, by the lines of the model."""
    record = []
    for name, inner in _wires():
        parts = [
            (each.wire[-1], pa.list_(_ITEM) if each.type is tuple else _ARROW[each.type]) for each in inner
        ]
        record.append(parts[0] if inner[0].wire == (name,) else (name, pa.struct(parts)))
    return pa.schema(record)


def _dug(table: pa.Table, wire: tuple[str, ...]) -> pa.Array:
    column = table[wire[0]].chunk(0)  # read in one block, it is the only one
    return pc.struct_field(column, wire[1:]) if len(wire) > 1 else column


def _whole(column: pa.Array) -> pa.Array:
    """An empty text counts as missing."""
    if column.type != TEXT or pc.min(pc.binary_length(column)).as_py() != 0:
        return column
    return pc.if_else(pc.equal(column, ""), pa.scalar(None, TEXT), column)


def _state(values: dict[str, pa.Array]) -> pa.Array:
    """As `models.state_of`: null conditions decide nothing, but for `built` and `booted`, which then leave it open."""
    power = pc.if_else(values["booted"], _word("running"), _word("off"))
    ready = pc.if_else(_is(values["locked"]), _word("busy"), power)
    known = pc.if_else(values["built"], ready, _word("building"))
    return pc.if_else(_is(values["suspended"]), _word("suspended"), known)


def _word(text: str) -> pa.Scalar:
    return pa.scalar(text, TEXT)


def _is(flag: pa.Array) -> pa.Array:
    return pc.fill_null(flag, False)


# --- with care ------------------------------------------------------------------------------------------


def _part_with_care(piece: Piece) -> tuple[pa.Table, list[Drift]]:
    """The columns of records of which some are not plain, and what is odd in those."""
    raw, places = piece
    plain: list[Any] = []
    odd: list[int] = []
    for number, each in enumerate(raw):
        try:
            plain.append(_strict().decode(each))
        except UNREADABLE:
            plain.append(None)  # it keeps its row
            odd.append(number)
    table = _table(_told(plain))
    drift: list[Drift] = []
    records = [read(Instance, decoded(raw[number]), path_of(places[number]), drift) for number in odd]
    mask = np.zeros(len(raw), bool)
    mask[odd] = True
    columns = {}
    for each in fields_of(Instance):
        values = pa.array([cell(getattr(record, each.name)) for record in records], _ARROW[_shown(each)])
        columns[each.name] = pc.replace_with_mask(table[each.name].combine_chunks(), mask, values)
    return pa.table(columns), drift


def _told(records: list[Any]) -> dict[str, pa.Array]:
    """What these records tell; nothing in the rows of those that are None."""
    values = {}
    for name, inner in _wires():
        given = [getattr(record, name, None) for record in records]
        for each in inner:
            column = given if each.wire == (name,) else [getattr(part, each.wire[-1], None) for part in given]
            if each.type is tuple:
                texts = [items and [getattr(item, "address", item) for item in items] for items in column]
                values[each.name] = pa.array(texts, pa.list_(TEXT))
            else:
                values[each.name] = pa.array(column, _ARROW[each.type])
    return values


_Text = Annotated[str, msgspec.Meta(min_length=1)]


class _Item(msgspec.Struct, gc=False):
    address: _Text


_STRICT: dict[type, Any] = {
    str: str,
    int: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)],
    bool: bool,
    tuple: list[_Item | _Text],
}


@cache
def _strict() -> msgspec.json.Decoder[Any]:
    """Reads what `_schema` names, as strictly as `models.read` finds nothing odd.

    What it makes holds no cycles, so the collector need not walk it (`gc=False`).
    """
    record = []
    for name, inner in _wires():
        parts = [(each.wire[-1], _STRICT[each.type] | None, None) for each in inner]
        kind = parts[0][1] if inner[0].wire == (name,) else msgspec.defstruct(name, parts, gc=False) | None
        record.append((name, kind, None))
    return msgspec.json.Decoder(msgspec.defstruct("Plain", record, gc=False))


# --- addresses ------------------------------------------------------------------------------------------

_BYTE = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_V4 = rf"^{_BYTE}(\.{_BYTE}){{3}}$"
#: What is an IPv6 address by the look of it; for anything else `models.ip_version` is asked.
_GROUP = "[0-9A-Fa-f]{1,4}"
_V6 = f"^({_GROUP}(:{_GROUP}){{0,3}}::({_GROUP}(:{_GROUP}){{0,2}})?|{_GROUP}(:{_GROUP}){{7}})$"


def _texts(lists: pa.Array) -> pa.Array:
    """The lists with plain texts as items; _Odd when an item is missing, since it would be left out."""
    items = lists.flatten()
    if pa.types.is_struct(items.type):
        items = pc.struct_field(items, "address")
    if items.null_count or pc.any(pc.equal(items, "")).as_py():
        raise _Odd
    lengths = pc.fill_null(pc.list_value_length(lists), 0)
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    mask = pc.is_null(lists) if lists.null_count else None
    return pa.ListArray.from_arrays(pa.array(ends), items, mask=mask)


def _first_addresses(lists: pa.Array) -> tuple[pa.Array, pa.Array]:
    """The first address of each version in each list."""
    items = lists.flatten()
    rows = pc.list_parent_indices(lists).to_numpy()
    fours = pc.match_substring_regex(items, _V4).to_numpy(zero_copy_only=False)
    others = np.flatnonzero(~fours)
    looks = pc.match_substring_regex(items.take(pa.array(others)), _V6).to_numpy(zero_copy_only=False)
    asked = [number for number in others[~looks] if ip_version(items[number].as_py()) == 6]
    sixes = np.sort(np.concatenate([others[looks], np.array(asked, np.int64)]))
    return _first(items, rows, np.flatnonzero(fours), len(lists)), _first(items, rows, sixes, len(lists))


def _first(items: pa.Array, rows: Any, wanted: Any, size: int) -> pa.Array:
    """Of the items whose numbers are wanted the first one of each row; missing where a row has none."""
    if len(wanted) == size and np.array_equal(rows[wanted], np.arange(size)):
        return items.take(pa.array(wanted))
    found, where = np.unique(rows[wanted], return_index=True)
    first = np.zeros(size, np.int64)
    missing = np.ones(size, bool)
    first[found], missing[found] = wanted[where], False
    return items.take(pa.array(first, mask=missing))
