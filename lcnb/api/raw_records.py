"""The records of a listing as bytes; each is decoded when it is used.

`split_records` finds where each record of a response begins and ends, without decoding it, if `data` is a list.
`frames.columns` builds a frame from the bytes; other users get what `json.loads` returns for each record, so a listing
means the same either way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import Any, overload

import msgspec

from lcnb.errors import BadReply


class _ListingEnvelope(msgspec.Struct):
    """The records of a response and its fields about success, errors and paging; others are skipped."""

    data: list[msgspec.Raw]
    success: msgspec.Raw = msgspec.Raw()
    links: msgspec.Raw = msgspec.Raw()
    meta: msgspec.Raw = msgspec.Raw()
    pagination: msgspec.Raw = msgspec.Raw()
    next_page_url: msgspec.Raw = msgspec.Raw()
    current_page: msgspec.Raw = msgspec.Raw()
    last_page: msgspec.Raw = msgspec.Raw()
    total_pages: msgspec.Raw = msgspec.Raw()
    total: msgspec.Raw = msgspec.Raw()
    total_count: msgspec.Raw = msgspec.Raw()
    count: msgspec.Raw = msgspec.Raw()
    has_more: msgspec.Raw = msgspec.Raw()
    has_next: msgspec.Raw = msgspec.Raw()
    next_cursor: msgspec.Raw = msgspec.Raw()
    next: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()
    errors: msgspec.Raw = msgspec.Raw()


_ENVELOPE_DECODER = msgspec.json.Decoder(_ListingEnvelope)

#: Exceptions of msgspec for bytes that it cannot decode.
DECODE_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


@cache
def _fields_decoder(names: tuple[str, ...]) -> msgspec.json.Decoder[Any]:
    """Return a decoder that finds which of these fields an object has."""
    fields = [(name, msgspec.Raw | msgspec.UnsetType, msgspec.UNSET) for name in names]
    return msgspec.json.Decoder(msgspec.defstruct("Fields", fields))


class RawRecords(Sequence[Mapping[str, Any]]):
    """The records of one response. The repr shows none of them: they hold initial passwords.

    A record is an object. Other items of the list are in `others`, by their position.
    """

    def __init__(self, data: list[msgspec.Raw]) -> None:
        self.raw = data
        self.places: Sequence[int] = range(len(data))
        self.others: dict[int, Any] = {}
        firsts: set[int] = set(map(itemgetter(0), map(memoryview, data)))  # type: ignore[arg-type]
        if not firsts <= {_OBJECT_START}:
            self.places = [place for place, each in enumerate(data) if memoryview(each)[0] == _OBJECT_START]
            self.others = {
                place: decode_record(data[place]) for place in sorted({*range(len(data))} - {*self.places})
            }
            self.raw = [data[place] for place in self.places]

    @property
    def empty(self) -> bool:
        """Whether the list has no item at all, record or not."""
        return not self.raw and not self.others

    def __repr__(self) -> str:
        return f"RawRecords({len(self.raw)} records)"

    def __len__(self) -> int:
        return len(self.raw)

    def any_has(self, names: Sequence[str]) -> bool:
        """Whether one of the records has one of these fields; the values do not matter."""
        decoder = _fields_decoder(tuple(names))
        for each in self.raw:
            try:
                found = decoder.decode(each)
            except DECODE_ERRORS:
                found = None  # odd JSON, which `json` may be able to read
            if found is None or any(getattr(found, name) is not msgspec.UNSET for name in names):
                return True
        return False

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[Mapping[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [decode_record(each) for each in self.raw[index]]
        return decode_record(self.raw[index])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RawRecords):
            return NotImplemented
        return (len(self), self.others) == (len(other), other.others) and all(
            bytes(mine) == bytes(theirs) or decode_record(mine) == decode_record(theirs)
            for mine, theirs in zip(self.raw, other.raw, strict=True)
        )

    __hash__ = None  # type: ignore[assignment]


_OBJECT_START = ord("{")


def split_records(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object of a response with its `data` as RawRecords, or None if `data` is not a plain list.

    Decode the whole body with `json` if this returns None: it may still be valid. Of the other fields the object
    has only those about success, errors and paging.
    """
    try:
        envelope = _ENVELOPE_DECODER.decode(body)
        fields = {
            name: decode_record(getattr(envelope, name))
            for name in _ENVELOPE_FIELDS
            if bytes(getattr(envelope, name))
        }
        return {**fields, "data": RawRecords(envelope.data)}
    except (*DECODE_ERRORS, BadReply):
        return None


_ENVELOPE_FIELDS = tuple(name for name in _ListingEnvelope.__struct_fields__ if name != "data")


def decode_record(raw: msgspec.Raw) -> Any:
    """Return what `json` decodes; raise BadReply if it fails, for example on too deep nesting."""
    try:
        return json.loads(bytes(raw).decode("utf-8", "replace"))
    except (ValueError, RecursionError) as odd:
        kind = type(odd).__name__
    # Not in the `except`: the frames of `json`, whose variables hold the record, would be part of this error.
    raise BadReply(f"a record of a listing cannot be decoded ({kind}).", method="GET", path="")
