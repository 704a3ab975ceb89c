"""The records of a listing as they came: bytes, each decoded when somebody looks at it.

`split` finds where the records of an answer begin and end without making objects of them, and only in an answer
of the plainest shape. `columns` makes a frame of the bytes; whoever wants the records themselves gets what
`json.loads` makes of each, so a listing means the same either way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, overload

import msgspec


class _Answer(msgspec.Struct):
    """What a listing's answer says besides its records; all else in it is passed over."""

    data: list[msgspec.Raw]
    success: msgspec.Raw = msgspec.Raw()
    links: msgspec.Raw = msgspec.Raw()
    meta: msgspec.Raw = msgspec.Raw()
    next_page_url: msgspec.Raw = msgspec.Raw()


_DECODER = msgspec.json.Decoder(_Answer)


class Rows(Sequence[Mapping[str, Any]]):
    """The records of one answer. Its repr shows none of them: they hold initial passwords."""

    def __init__(self, raw: list[msgspec.Raw]) -> None:
        self.raw = raw

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
            return [_decoded(each) for each in self.raw[index]]
        return _decoded(self.raw[index])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Rows):
            return NotImplemented
        return len(self) == len(other) and all(
            bytes(mine) == bytes(theirs) or _decoded(mine) == _decoded(theirs)
            for mine, theirs in zip(self.raw, other.raw, strict=True)
        )

    __hash__ = None  # type: ignore[assignment]


def split(body: bytes) -> dict[str, Any] | None:
    """The JSON object of an answer with its `data` as Rows; None when `data` is not a plain list of objects.

    What is None here may still be good: then the whole of it is to be decoded with care. Of the other fields
    those are there that tell success and paging.
    """
    try:
        answer = _DECODER.decode(body)
        told = {name: _decoded(getattr(answer, name)) for name in _TOLD if bytes(getattr(answer, name))}
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    # pyarrow's reader must never meet a null for a record: as the first one it ends the process (26.0).
    firsts: set[int] = set(map(itemgetter(0), map(memoryview, answer.data)))  # type: ignore[arg-type]
    if not firsts <= {ord("{")}:
        return None
    return {**told, "data": Rows(answer.data)}


_TOLD = ("success", "links", "meta", "next_page_url")


def _decoded(raw: msgspec.Raw) -> Any:
    return json.loads(bytes(raw).decode("utf-8", "replace"))
