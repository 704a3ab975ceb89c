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
from lcnb.api.listing_reader import record_path
from lcnb.api.models import Instance, ip_version
from lcnb.api.raw_records import DECODE_ERRORS, RawRecords, decode_record
from lcnb.api.record_reader import read_record
from lcnb.frames.columns import cell_value

#: Records read at a time: some two megabytes.
PIECE_RECORDS = 4096
MAX_WORKERS = 2

ARROW_TEXT = pa.large_string()
_ARROW_TYPES: dict[type, pa.DataType] = {str: ARROW_TEXT, int: pa.int64(), bool: pa.bool_()}
_PANDAS_DTYPES: dict[type, Any] = {
    str: pd.StringDtype(na_value=float("nan")),
    int: pd.Int64Dtype(),
    bool: pd.BooleanDtype(),
}
#: What the items of a list of texts are; plain texts are read with care.
_ADDRESS_TYPE = pa.struct([("address", ARROW_TEXT)])

#: Records with the places where they stand in their answer.
RecordPiece = tuple[list[Any], Sequence[int]]


class _NotPlain(Exception):
    """There is something that is for the careful way to judge."""


def read_machines(pages: Sequence[RawRecords]) -> tuple[pd.DataFrame, list[Drift]]:
    """The frame of these records, a row each, at least one; and what was odd in them."""
    pieces = list(_split_pages(pages))
    if len(pieces) == 1:
        parts = [_read_piece(pieces[0])]
    else:
        with ThreadPoolExecutor(MAX_WORKERS, thread_name_prefix="lcnb-columns") as pool:
            parts = list(pool.map(_read_piece, pieces))
    table = pa.concat_tables([part for part, _ in parts])
    frame = pd.DataFrame(
        {
            each.name: _PANDAS_DTYPES[_column_type(each)].__from_arrow__(table[each.name])
            for each in fields_of(Instance)
        },
        index=pd.RangeIndex(table.num_rows),
        copy=False,
    )
    return frame, [each for _, drift in parts for each in drift]


def _split_pages(pages: Sequence[RawRecords]) -> Iterator[RecordPiece]:
    for page in pages:
        for start in range(0, len(page), PIECE_RECORDS):
            yield page.raw[start : start + PIECE_RECORDS], page.places[start : start + PIECE_RECORDS]


def _column_type(field: Field) -> type:
    return str if field.type is tuple else field.type


def _read_piece(piece: RecordPiece) -> tuple[pa.Table, list[Drift]]:
    raw, _ = piece
    try:
        return _machine_table(_read_plain(b"\n".join(raw), len(raw))), []
    except (_NotPlain, pa.ArrowInvalid):
        return _read_carefully(piece)


def _machine_table(values: dict[str, pa.Array]) -> pa.Table:
    """The columns of some records by what they tell; _Odd when that is not plain."""
    texts = _address_lists(values["ip_addresses"])
    values["ip_addresses"] = pc.binary_join(texts, _text_scalar(", "))
    values["state"] = _derive_state(values)
    values["ipv4"], values["ipv6"] = _first_addresses(texts)
    return pa.table({each.name: _empty_as_missing(values[each.name]) for each in fields_of(Instance)})


def _read_plain(lines: bytes, count: int) -> dict[str, pa.Array]:
    """What so many records tell, a line each; _Odd or ArrowInvalid when they are not plain."""
    table = pa.json.read_json(
        pa.BufferReader(lines),
        pa.json.ReadOptions(use_threads=False, block_size=len(lines) + 1),
        pa.json.ParseOptions(explicit_schema=_arrow_schema(), unexpected_field_behavior="ignore"),
        memory_pool=pa.system_memory_pool(),  # Arrow's own gives back less of what reading takes for a moment
    )
    if table.num_rows != count:
        raise _NotPlain
    if not lines.isascii():
        table.validate(full=True)  # that texts are UTF-8
    return {
        each.name: _nested_column(table, each.wire)
        for each in fields_of(Instance)
        if each.about.derive is None
    }


def _wire_fields() -> Iterator[tuple[str, list[Field]]]:
    """The names in a record, each with the fields that stand there: one of that name, or those of an object."""
    found: dict[str, list[Field]] = {}
    for each in fields_of(Instance):
        if each.about.derive is None:
            found.setdefault(each.wire[0], []).append(each)
    yield from found.items()


@cache
def _arrow_schema() -> pa.Schema:
    """What stands in a record, by the lines of the model."""
    record = []
    for name, inner in _wire_fields():
        parts = [
            (each.wire[-1], pa.list_(_ADDRESS_TYPE) if each.type is tuple else _ARROW_TYPES[each.type])
            for each in inner
        ]
        record.append(parts[0] if inner[0].wire == (name,) else (name, pa.struct(parts)))
    return pa.schema(record)


def _nested_column(table: pa.Table, wire: tuple[str, ...]) -> pa.Array:
    column = table[wire[0]].chunk(0)  # read in one block, it is the only one
    return pc.struct_field(column, wire[1:]) if len(wire) > 1 else column


def _empty_as_missing(column: pa.Array) -> pa.Array:
    """An empty text counts as missing."""
    if column.type != ARROW_TEXT or pc.min(pc.binary_length(column)).as_py() != 0:
        return column
    return pc.if_else(pc.equal(column, ""), pa.scalar(None, ARROW_TEXT), column)


def _derive_state(values: dict[str, pa.Array]) -> pa.Array:
    """As `models.state_of`: null conditions decide nothing, but for `built` and `booted`, which then leave it open."""
    power = pc.if_else(values["booted"], _text_scalar("running"), _text_scalar("off"))
    ready = pc.if_else(_is_true(values["locked"]), _text_scalar("busy"), power)
    known = pc.if_else(values["built"], ready, _text_scalar("building"))
    return pc.if_else(_is_true(values["suspended"]), _text_scalar("suspended"), known)


def _text_scalar(text: str) -> pa.Scalar:
    return pa.scalar(text, ARROW_TEXT)


def _is_true(flag: pa.Array) -> pa.Array:
    return pc.fill_null(flag, False)


# --- with care ------------------------------------------------------------------------------------------


def _read_carefully(piece: RecordPiece) -> tuple[pa.Table, list[Drift]]:
    """The columns of records of which some are not plain, and what is odd in those."""
    raw, places = piece
    plain: list[Any] = []
    odd: list[int] = []
    for number, each in enumerate(raw):
        try:
            plain.append(_strict_decoder().decode(each))
        except DECODE_ERRORS:
            plain.append(None)  # it keeps its row
            odd.append(number)
    table = _machine_table(_arrays_from_structs(plain))
    drift: list[Drift] = []
    records = [
        read_record(Instance, decode_record(raw[number]), record_path(places[number]), drift)
        for number in odd
    ]
    mask = np.zeros(len(raw), bool)
    mask[odd] = True
    columns = {}
    for each in fields_of(Instance):
        values = pa.array(
            [cell_value(getattr(record, each.name)) for record in records], _ARROW_TYPES[_column_type(each)]
        )
        columns[each.name] = pc.replace_with_mask(table[each.name].combine_chunks(), mask, values)
    return pa.table(columns), drift


def _arrays_from_structs(records: list[Any]) -> dict[str, pa.Array]:
    """What these records tell; nothing in the rows of those that are None."""
    values = {}
    for name, inner in _wire_fields():
        given = [getattr(record, name, None) for record in records]
        for each in inner:
            column = given if each.wire == (name,) else [getattr(part, each.wire[-1], None) for part in given]
            if each.type is tuple:
                texts = [items and [getattr(item, "address", item) for item in items] for items in column]
                values[each.name] = pa.array(texts, pa.list_(ARROW_TEXT))
            else:
                values[each.name] = pa.array(column, _ARROW_TYPES[each.type])
    return values


_NonEmptyText = Annotated[str, msgspec.Meta(min_length=1)]


class _AddressItem(msgspec.Struct, gc=False):
    address: _NonEmptyText


_STRICT_TYPES: dict[type, Any] = {
    str: str,
    int: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)],
    bool: bool,
    tuple: list[_AddressItem | _NonEmptyText],
}


@cache
def _strict_decoder() -> msgspec.json.Decoder[Any]:
    """Reads what `_schema` names, as strictly as `models.read` finds nothing odd.

    What it makes holds no cycles, so the collector need not walk it (`gc=False`).
    """
    record = []
    for name, inner in _wire_fields():
        parts = [(each.wire[-1], _STRICT_TYPES[each.type] | None, None) for each in inner]
        kind = parts[0][1] if inner[0].wire == (name,) else msgspec.defstruct(name, parts, gc=False) | None
        record.append((name, kind, None))
    return msgspec.json.Decoder(msgspec.defstruct("Plain", record, gc=False))


# --- addresses ------------------------------------------------------------------------------------------

_BYTE_PATTERN = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4_PATTERN = rf"^{_BYTE_PATTERN}(\.{_BYTE_PATTERN}){{3}}$"
#: What is an IPv6 address by the look of it; for anything else `models.ip_version` is asked.
_IPV6_GROUP = "[0-9A-Fa-f]{1,4}"
_IPV6_PATTERN = f"^({_IPV6_GROUP}(:{_IPV6_GROUP}){{0,3}}::({_IPV6_GROUP}(:{_IPV6_GROUP}){{0,2}})?|{_IPV6_GROUP}(:{_IPV6_GROUP}){{7}})$"


def _address_lists(lists: pa.Array) -> pa.Array:
    """The lists with plain texts as items; _Odd when an item is missing, since it would be left out."""
    items = lists.flatten()
    if pa.types.is_struct(items.type):
        items = pc.struct_field(items, "address")
    if items.null_count or pc.any(pc.equal(items, "")).as_py():
        raise _NotPlain
    lengths = pc.fill_null(pc.list_value_length(lists), 0)
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    mask = pc.is_null(lists) if lists.null_count else None
    return pa.ListArray.from_arrays(pa.array(ends), items, mask=mask)


def _first_addresses(lists: pa.Array) -> tuple[pa.Array, pa.Array]:
    """The first address of each version in each list."""
    items = lists.flatten()
    rows = pc.list_parent_indices(lists).to_numpy()
    fours = pc.match_substring_regex(items, _IPV4_PATTERN).to_numpy(zero_copy_only=False)
    others = np.flatnonzero(~fours)
    looks = pc.match_substring_regex(items.take(pa.array(others)), _IPV6_PATTERN).to_numpy(
        zero_copy_only=False
    )
    asked = [number for number in others[~looks] if ip_version(items[number].as_py()) == 6]
    sixes = np.sort(np.concatenate([others[looks], np.array(asked, np.int64)]))
    return _first_per_row(items, rows, np.flatnonzero(fours), len(lists)), _first_per_row(
        items, rows, sixes, len(lists)
    )


def _first_per_row(items: pa.Array, rows: Any, wanted: Any, size: int) -> pa.Array:
    """Of the items whose numbers are wanted the first one of each row; missing where a row has none."""
    if len(wanted) == size and np.array_equal(rows[wanted], np.arange(size)):
        return items.take(pa.array(wanted))
    found, where = np.unique(rows[wanted], return_index=True)
    first = np.zeros(size, np.int64)
    missing = np.ones(size, bool)
    first[found], missing[found] = wanted[where], False
    return items.take(pa.array(first, mask=missing))
