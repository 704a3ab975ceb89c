"""Machines from bytes straight into columns: the fast way for what is plain, and only for that.

`machines` gives the very frame that `models.read` and `frames.frame_of` give, or None when there is anything
that only those can judge: a number as a text, a flag as a number, a location that is no object, bytes that are no
UTF-8. pyarrow reads a schema made from the model, so a field without a line there (`initial_root_password`) is
skipped in the bytes: it becomes neither a column nor an object. Records are read in pieces, two at a time, so
that little more than the frame is in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from lcnb.models import Field, Instance, fields_of, ip_version
from lcnb.rows import Rows

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
#: What the items of a list of texts may be, in documented answers: objects with an address, or plain texts.
_ITEMS = (pa.struct([("address", TEXT)]), TEXT)


class _Odd(Exception):
    """There is something that is for the careful way to judge."""


def machines(pages: Sequence[Rows]) -> pd.DataFrame | None:
    """The frame of these records, a row each; None when one of them is not plain."""
    pieces = list(_pieces(pages))
    if not pieces:
        return None
    try:
        if len(pieces) == 1:
            tables = [_table(pieces[0])]
        else:
            with ThreadPoolExecutor(WORKERS, thread_name_prefix="lcnb-columns") as pool:
                tables = list(pool.map(_table, pieces))  # the first that is odd ends the others
    except (_Odd, pa.ArrowInvalid):
        return None
    table = pa.concat_tables(tables)
    return pd.DataFrame(
        {each.name: _PANDAS[_shown(each)].__from_arrow__(table[each.name]) for each in fields_of(Instance)},
        index=pd.RangeIndex(table.num_rows),
        copy=False,
    )


def _pieces(pages: Sequence[Rows]) -> Iterator[list[Any]]:
    for page in pages:
        for start in range(0, len(page), PIECE):
            yield page.raw[start : start + PIECE]


def _shown(field: Field) -> type:
    return str if field.type is tuple else field.type


def _table(piece: list[Any]) -> pa.Table:
    """The columns of some records; _Odd or ArrowInvalid when they are not plain."""
    lines = b"\n".join(piece) + b"\n"
    try:
        read = _read(lines, _ITEMS[0])
    except pa.ArrowInvalid:
        read = _read(lines, _ITEMS[1])
    if read.num_rows != len(piece):
        raise _Odd
    if not lines.isascii():
        read.validate(full=True)  # that texts are UTF-8
    values = {each.name: _dug(read, each.wire) for each in fields_of(Instance) if each.about.derive is None}
    texts = _texts(values["ip_addresses"])
    values["ip_addresses"] = pc.binary_join(texts, _word(", "))
    values["state"] = _state(values)
    values["ipv4"], values["ipv6"] = _first_addresses(texts)
    return pa.table({each.name: _whole(values[each.name]) for each in fields_of(Instance)})


def _read(lines: bytes, item: pa.DataType) -> pa.Table:
    return pa.json.read_json(
        pa.BufferReader(lines),
        pa.json.ReadOptions(use_threads=False, block_size=len(lines) + 1),
        pa.json.ParseOptions(explicit_schema=_schema(item), unexpected_field_behavior="ignore"),
    )


@cache
def _schema(item: pa.DataType) -> pa.Schema:
    """What stands in a record, by the lines of the model."""
    inner: dict[str, list[tuple[str, pa.DataType]]] = {}
    for each in fields_of(Instance):
        if each.about.derive is None:
            kind = pa.list_(item) if each.type is tuple else _ARROW[each.type]
            inner.setdefault(each.wire[0], []).append((each.wire[-1], kind))
    return pa.schema(
        [(name, parts[0][1] if parts[0][0] == name else pa.struct(parts)) for name, parts in inner.items()]
    )


def _dug(table: pa.Table, wire: tuple[str, ...]) -> pa.Array:
    column = table[wire[0]].combine_chunks()
    return pc.struct_field(column, wire[1:]) if len(wire) > 1 else column


def _whole(column: pa.Array) -> pa.Array:
    """An empty text counts as missing."""
    if column.type != TEXT or not pc.any(empty := pc.equal(column, "")).as_py():
        return column
    return pc.if_else(empty, pa.scalar(None, TEXT), column)


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
