"""The records of a listing as they came: bytes, each decoded when somebody looks at it.

`split` finds where the records of an answer begin and end without making objects of them, and only in an answer
whose `data` is a list. `columns` makes a frame of the bytes; whoever wants the records themselves gets what
`json.loads` makes of each, so a listing means the same either way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, overload

import msgspec

from lcnb.errors import BadReply


class _Answer(msgspec.Struct):
    """What a listing's answer says besides its records; all else in it is passed over."""

    data: list[msgspec.Raw]
    success: msgspec.Raw = msgspec.Raw()
    links: msgspec.Raw = msgspec.Raw()
    meta: msgspec.Raw = msgspec.Raw()
    next_page_url: msgspec.Raw = msgspec.Raw()


_DECODER = msgspec.json.Decoder(_Answer)

#: What msgspec raises for bytes that it cannot read.
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Rows(Sequence[Mapping[str, Any]]):
    """The records of one answer. Its repr shows none of them: they hold initial passwords.

    A record is an object. What stands in the list besides is in `others`, by its place.
    """

    def __init__(self, body: bytes, data: list[msgspec.Raw]) -> None:
        self.raw = data
        self.places: Sequence[int] = range(len(data))
        self.others: dict[int, Any] = {}
        if not _all_objects(body, data):
            self.places = [place for place, each in enumerate(data) if memoryview(each)[0] == _OBJECT]
            self.others = {
                place: decoded(data[place]) for place in sorted({*range(len(data))} - {*self.places})
            }
            self.raw = [data[place] for place in self.places]

    def __repr__(self) -> str:
        return f"Rows({len(self.raw)} records)"

    def __len__(self) -> int:
        return len(self.raw)

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[Mapping[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [decoded(each) for each in self.raw[index]]
        return decoded(self.raw[index])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Rows):
            return NotImplemented
        return (len(self), self.others) == (len(other), other.others) and all(
            bytes(mine) == bytes(theirs) or decoded(mine) == decoded(theirs)
            for mine, theirs in zip(self.raw, other.raw, strict=True)
        )

    __hash__ = None  # type: ignore[assignment]


_OBJECT = ord("{")
#: Bytes between records, at most: each is a pass over all records.
_WIDEST = 16


def _all_objects(body: bytes, data: list[msgspec.Raw]) -> bool:
    """Whether all are objects, with the same between any two; False when that is not sure.

    To look at each record for itself takes half as long as splitting. So the ends are reckoned from the lengths, and
    each is proven by what stands there: a comma, and the next object, for the body is sound JSON.
    """
    if not data:
        return True
    import numpy as np

    text = np.frombuffer(body, np.uint8)
    lengths = np.fromiter(map(len, data), np.int64, len(data))

    def start(number: int) -> int:
        """Where it stands: msgspec gives views of the body, not copies."""
        return np.frombuffer(data[number], np.uint8).ctypes.data - text.ctypes.data

    between = body[start(0) + len(data[0]) : start(1)] if len(data) > 1 else b","
    ends = start(0) + lengths.cumsum() + len(between) * np.arange(len(data))
    return bool(
        between.startswith(b",")
        and len(between) <= _WIDEST
        and ends[-1] <= len(body)
        and (text[ends - lengths] == _OBJECT).all()
        and all((text[ends[:-1] + place] == byte).all() for place, byte in enumerate(between))
    )


def split(body: bytes) -> dict[str, Any] | None:
    """The JSON object of an answer with its `data` as Rows; None when `data` is not a plain list.

    What is None here may still be good: then the whole of it is to be decoded with care. Of the other fields
    those are there that tell success and paging.
    """
    try:
        answer = _DECODER.decode(body)
        told = {name: decoded(getattr(answer, name)) for name in _TOLD if bytes(getattr(answer, name))}
        return {**told, "data": Rows(body, answer.data)}
    except (*UNREADABLE, BadReply):
        return None


_TOLD = ("success", "links", "meta", "next_page_url")


def decoded(raw: msgspec.Raw) -> Any:
    """What `json` makes of it; a BadReply where that cannot be, such as for what is nested too deeply."""
    try:
        return json.loads(bytes(raw).decode("utf-8", "replace"))
    except (ValueError, RecursionError) as odd:
        text = f"a record of a listing cannot be decoded ({type(odd).__name__})."
        raise BadReply(text, method="GET", path="") from None
