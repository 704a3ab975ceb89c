"""Machines from bytes straight into columns: a fast path for plain records, a careful path for all others.

`read_machines` returns the same frame and drift as `records_frame` does with the records of `read_record`. Records are
read in pieces, two at a time, so that memory holds little more than the frame. pyarrow reads a piece by a schema made
from the model, so a field that the model does not have (`initial_root_password`) is skipped in the bytes: it becomes
neither a column nor an object. When pyarrow refuses a piece (a number as text, a flag as number, a location that is not
an object, bytes that are not UTF-8), msgspec reads each record of that piece with the same types. Only a record that
msgspec refuses too becomes an object for `read_record`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Annotated, Any, NamedTuple

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
from lcnb.errors import InputError
from lcnb.frames.columns import cell_value

#: Records that are read at a time, about five megabytes: each call of pyarrow costs as much as a hundred records.
PIECE_RECORDS = 10_000
MAX_WORKERS = 2

ARROW_TEXT = pa.large_string()
_NonEmptyText = Annotated[str, msgspec.Meta(min_length=1)]


class _AddressItem(msgspec.Struct, gc=False):
    address: _NonEmptyText


class ColumnType(NamedTuple):
    """How both readers read the fields of one Python type, and how a frame holds them."""

    #: The type in the JSON of a record, for pyarrow.
    wire: pa.DataType
    #: The same for msgspec: it accepts exactly the values that `read_record` accepts without a conversion.
    strict: Any
    #: The type of the column in Arrow, and in pandas.
    arrow: pa.DataType
    pandas: Any


_TEXT_DTYPE = pd.StringDtype(na_value=float("nan"))
_INT64_NUMBER = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
#: Type of a field in lcnb.api.models → how it is read. Each type that a field may have has a line here.
COLUMN_TYPES: dict[type, ColumnType] = {
    str: ColumnType(ARROW_TEXT, str, ARROW_TEXT, _TEXT_DTYPE),
    int: ColumnType(pa.int64(), _INT64_NUMBER, pa.int64(), pd.Int64Dtype()),
    float: ColumnType(pa.float64(), float, pa.float64(), pd.Float64Dtype()),
    bool: ColumnType(pa.bool_(), bool, pa.bool_(), pd.BooleanDtype()),
    # A list of addresses, which becomes one text. pyarrow leaves a list of plain texts to the careful path.
    tuple: ColumnType(
        pa.list_(pa.struct([("address", ARROW_TEXT)])),
        list[_AddressItem | _NonEmptyText],
        ARROW_TEXT,
        _TEXT_DTYPE,
    ),
}

#: Records, and their positions in the response.
RecordPiece = tuple[list[Any], Sequence[int]]


class _NotPlain(Exception):
    """A piece has a value that needs the careful path."""


def read_machines(pages: Sequence[RawRecords]) -> tuple[pd.DataFrame, list[Drift]]:
    """Return the frame of at least one record, one row per record, and everything that was odd in them."""
    pieces = list(_split_pages(pages))
    if len(pieces) == 1:
        parts = [_read_piece(pieces[0])]
    else:
        with ThreadPoolExecutor(MAX_WORKERS, thread_name_prefix="lcnb-columns") as pool:
            parts = list(pool.map(_read_piece, pieces))
    table = pa.concat_tables([part for part, _ in parts])
    frame = pd.DataFrame(
        {
            each.name: COLUMN_TYPES[each.type].pandas.__from_arrow__(table[each.name])
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


def _read_piece(piece: RecordPiece) -> tuple[pa.Table, list[Drift]]:
    raw, _ = piece
    try:
        return _machine_table(_read_plain(b"\n".join(raw), len(raw))), []
    except (_NotPlain, pa.ArrowInvalid):
        pass  # not read here: the bytes of the records would be in the traceback of an error
    return _read_carefully(piece)


def _machine_table(values: dict[str, pa.Array]) -> pa.Table:
    """Build all columns from the fields of the records. _NotPlain when a value needs the careful path."""
    texts = _address_lists(values["ip_addresses"])
    values["ip_addresses"] = pc.binary_join(texts, _text_scalar(", "))
    values["state"] = _derive_state(values)
    values["ipv4"], values["ipv6"] = _first_addresses(texts)
    return pa.table({each.name: _empty_as_missing(values[each.name]) for each in fields_of(Instance)})


def _read_plain(lines: bytes, count: int) -> dict[str, pa.Array]:
    """Read `count` records, one per line. _NotPlain or ArrowInvalid when they need the careful path."""
    table = pa.json.read_json(
        pa.BufferReader(lines),
        pa.json.ReadOptions(use_threads=False, block_size=len(lines) + 1),
        pa.json.ParseOptions(explicit_schema=_arrow_schema(), unexpected_field_behavior="ignore"),
        memory_pool=pa.system_memory_pool(),  # Arrow's default pool returns less of the memory that reading needs
    )
    if table.num_rows != count:
        raise _NotPlain
    if not lines.isascii():
        table.validate(full=True)  # checks that texts are UTF-8
    return {
        each.name: _nested_column(table, each.wire)
        for each in fields_of(Instance)
        if each.about.derive is None
    }


def _wire_fields() -> Iterator[tuple[str, list[Field]]]:
    """Yield each name in a record with its fields: one field, or the fields inside an object."""
    found: dict[str, list[Field]] = {}
    for each in fields_of(Instance):
        if each.about.derive is None:
            found.setdefault(each.wire[0], []).append(each)
    yield from found.items()


@cache
def _arrow_schema() -> pa.Schema:
    """The schema of a record, made from the model."""
    record = []
    for name, inner in _wire_fields():
        parts = [(each.wire[-1], COLUMN_TYPES[each.type].wire) for each in inner]
        record.append(parts[0] if inner[0].wire == (name,) else (name, pa.struct(parts)))
    return pa.schema(record)


def _nested_column(table: pa.Table, wire: tuple[str, ...]) -> pa.Array:
    column = table[wire[0]].chunk(0)  # the table was read in one block, so it has one chunk
    return pc.struct_field(column, wire[1:]) if len(wire) > 1 else column


def _empty_as_missing(column: pa.Array) -> pa.Array:
    """Replace empty texts by missing values."""
    if column.type != ARROW_TEXT or pc.min(pc.binary_length(column)).as_py() != 0:
        return column
    return pc.if_else(pc.equal(column, ""), pa.scalar(None, ARROW_TEXT), column)


def _derive_state(values: dict[str, pa.Array]) -> pa.Array:
    """Derive the states as the model does: a missing flag decides nothing, and a missing `booted` leaves it unknown."""
    power = pc.if_else(values["booted"], _text_scalar("running"), _text_scalar("off"))
    ready = pc.if_else(_is_true(values["locked"]), _text_scalar("busy"), power)
    known = pc.if_else(values["built"], ready, _text_scalar("building"))
    return pc.if_else(_is_true(values["suspended"]), _text_scalar("suspended"), known)


def _text_scalar(text: str) -> pa.Scalar:
    return pa.scalar(text, ARROW_TEXT)


def _is_true(flag: pa.Array) -> pa.Array:
    return pc.fill_null(flag, False)


def _read_carefully(piece: RecordPiece) -> tuple[pa.Table, list[Drift]]:
    """Read records of which some are not plain. Returns their columns and what is odd in them."""
    raw, places = piece
    plain: list[Any] = []
    odd: list[int] = []
    for number, each in enumerate(raw):
        try:
            plain.append(_strict_decoder().decode(each))
        except DECODE_ERRORS:
            plain.append(None)  # keeps the row
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
            [cell_value(getattr(record, each.name)) for record in records], COLUMN_TYPES[each.type].arrow
        )
        columns[each.name] = pc.replace_with_mask(table[each.name].combine_chunks(), mask, values)
    return pa.table(columns), drift


def _arrays_from_structs(records: list[Any]) -> dict[str, pa.Array]:
    """The fields of the records as arrays; all values are missing in the row of a record that is None."""
    values = {}
    for name, inner in _wire_fields():
        given = [getattr(record, name, None) for record in records]
        for each in inner:
            column = given if each.wire == (name,) else [getattr(part, each.wire[-1], None) for part in given]
            if each.type is tuple:
                texts = [items and [getattr(item, "address", item) for item in items] for items in column]
                values[each.name] = pa.array(texts, pa.list_(ARROW_TEXT))
            else:
                values[each.name] = pa.array(column, COLUMN_TYPES[each.type].arrow)
    return values


@cache
def _strict_decoder() -> msgspec.json.Decoder[Any]:
    """A decoder of the fields in `_arrow_schema`. It accepts exactly the records that `read_record` accepts.

    The decoded records contain no cycles, so the garbage collector need not walk them (`gc=False`).
    """
    record = []
    for name, inner in _wire_fields():
        parts = [(each.wire[-1], COLUMN_TYPES[each.type].strict | None, None) for each in inner]
        kind = parts[0][1] if inner[0].wire == (name,) else msgspec.defstruct(name, parts, gc=False) | None
        record.append((name, kind, None))
    return msgspec.json.Decoder(msgspec.defstruct("Plain", record, gc=False))


_BYTE_PATTERN = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4_PATTERN = rf"^{_BYTE_PATTERN}(\.{_BYTE_PATTERN}){{3}}$"
#: The common form of an IPv6 address; `ip_version` decides about any other text.
_IPV6_GROUP = "[0-9A-Fa-f]{1,4}"
_IPV6_SHORT = f"{_IPV6_GROUP}(:{_IPV6_GROUP}){{0,3}}::({_IPV6_GROUP}(:{_IPV6_GROUP}){{0,2}})?"
_IPV6_PATTERN = f"^({_IPV6_SHORT}|{_IPV6_GROUP}(:{_IPV6_GROUP}){{7}})$"


def _address_lists(lists: pa.Array) -> pa.Array:
    """The lists with texts as items. _NotPlain when an item is missing, because it would be left out."""
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
    """The first IPv4 and the first IPv6 address of each list."""
    items = lists.flatten()
    rows = pc.list_parent_indices(lists).to_numpy()
    fours = pc.match_substring_regex(items, _IPV4_PATTERN).to_numpy(zero_copy_only=False)
    others = np.flatnonzero(~fours)
    looks = pc.match_substring_regex(items.take(pa.array(others)), _IPV6_PATTERN).to_numpy(
        zero_copy_only=False
    )
    odd_form = [number for number in others[~looks] if ip_version(items[number].as_py()) == 6]
    sixes = np.sort(np.concatenate([others[looks], np.array(odd_form, np.int64)]))
    return _first_per_row(items, rows, np.flatnonzero(fours), len(lists)), _first_per_row(
        items, rows, sixes, len(lists)
    )


def _first_per_row(items: pa.Array, rows: Any, wanted: Any, size: int) -> pa.Array:
    """The first of the wanted items of each row; missing where a row has none."""
    if len(wanted) == size and np.array_equal(rows[wanted], np.arange(size)):
        return items.take(pa.array(wanted))
    found, where = np.unique(rows[wanted], return_index=True)
    first = np.zeros(size, np.int64)
    missing = np.ones(size, bool)
    first[found], missing[found] = wanted[where], False
    return items.take(pa.array(first, mask=missing))


# --- results of queries -----------------------------------------------------------------------------------

_TIME = pd.DatetimeTZDtype("us", "UTC")
_ARROW_TIME = pa.timestamp("us", "UTC")
#: A month of an interval, as DuckDB counts it when it has to be a number of days.
DAYS_PER_MONTH = 30


def result_frame(table: pa.Table) -> pd.DataFrame:
    """Return an Arrow table as a frame with lcnb's dtypes; a repeated column name gets a number (`label_1`).

    Whole numbers become `Int64`, other numbers `Float64`, dates and times `datetime64[us, UTC]`, intervals
    `timedelta64[us]`, times of day texts, lists and structs Python objects. Raises InputError for a number that does
    not fit in `Int64`.
    """
    names = _distinct_names(table.column_names)
    columns = {name: _result_column(name, column) for name, column in zip(names, table.columns, strict=True)}
    return pd.DataFrame(columns, index=pd.RangeIndex(table.num_rows))


def _distinct_names(names: Sequence[str]) -> list[str]:
    found: dict[str, None] = {}
    for name in names:
        unique, number = name, 0
        while unique in found or (number and unique in names):
            number += 1
            unique = f"{name}_{number}"
        found[unique] = None
    return list(found)


def _result_column(name: str, column: pa.ChunkedArray) -> Any:
    kind = column.type
    if pa.types.is_interval(kind):
        return pd.array([_timedelta(each) for each in column.to_pylist()], dtype="timedelta64[us]")
    if pa.types.is_time(kind):
        return pd.array([None if each is None else str(each) for each in column.to_pylist()], _TEXT_DTYPE)
    if pa.types.is_nested(kind):
        values = np.empty(len(column), dtype=object)
        values[:] = column.to_pylist(maps_as_pydicts="strict")
        return values
    arrow, pandas = _scalar_types(kind)
    try:
        column = column.cast(arrow, safe=not pa.types.is_timestamp(kind))
    except pa.ArrowInvalid:
        raise InputError(
            f"the column {name!r} of the result has a value that is too large for {pandas}",
            field="query",
            cure="Cast it: (...)::double or (...)::varchar.",
        ) from None
    return pandas.__from_arrow__(column)


def _scalar_types(kind: pa.DataType) -> tuple[pa.DataType, Any]:
    """The type in Arrow and the dtype in pandas that hold the values of a type."""
    if pa.types.is_temporal(kind):
        return _ARROW_TIME, _TIME
    if pa.types.is_boolean(kind):
        own = COLUMN_TYPES[bool]
    elif pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0):
        own = COLUMN_TYPES[int]
    elif pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        own = COLUMN_TYPES[float]
    else:
        own = COLUMN_TYPES[str]
    return own.arrow, own.pandas


def _timedelta(interval: Any) -> Any:
    if interval is None:
        return pd.NaT
    days = interval.months * DAYS_PER_MONTH + interval.days
    return np.timedelta64(days * 86_400_000_000 + interval.nanoseconds // 1000, "us")
