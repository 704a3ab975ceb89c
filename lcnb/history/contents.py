"""The content of a version: a record as bytes, without secrets and in a fixed order of fields.

Two records have the same content if they say the same: the order of their fields does not matter, nor do unknown
fields that only measure or say when something was updated (`is_meter`). Such a field is kept with the version that it
came with, but a new value of it alone makes no new version: otherwise every reading would make one of every machine.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from lcnb.api.record_reader import drop_secret_fields

#: Matches the names of unknown fields that change by themselves: counters, loads, times of an update.
METER_NAME_PATTERN = re.compile(
    r"uptime|usage|(^|_)(used|load|metrics?|stats?|statistics|now|timestamp)(_|$)"
    r"|(^|_)(updated|modified|checked|seen|polled|synced|refreshed)(_?(at|on))?$",
    re.IGNORECASE,
)
#: Text that records of machines share. A compressed content refers to it, so it must never change: stored contents
#: could not be read any more. Another text needs another SCHEMA_VERSION of the store.
COMPRESSION_TEXT = (
    b'{"monthly_value":"17.70","currencycode":"USD","shortcode":"$","core":2,"disk":30,"bandwidth":3000,'
    b'"slug":"2vcpu-4gb-30ssd","available":true,'
    b'"booted":false,"built":true,"cpus":1,"domain":null,"hostname":"web-01.example.com",'
    b'"identifier":"0123456789abcdef","ip_addresses":[{"address":"198.51.100.10"},{"address":"2001:db8::10"}],'
    b'"label":"web-01","location":{"available":true,"city":"S\\u00e3o Paulo","country":"Brazil","slug":"SAO1"},'
    b'"location":{"city":"Miami","country":"United States","slug":"MIA1"},"locked":false,"memory":1024,'
    b'"suspended":false,"template_label":"Debian 12 x86_64","template_label":"Ubuntu 24.04 x86_64",'
    b'"total_disk_size":10}'
)


class Content(NamedTuple):
    """A record in its stored form. Records with the same `digest` say the same."""

    digest: bytes
    text: bytes


def make_content(record: Mapping[str, Any], known: frozenset[str] = frozenset()) -> Content:
    """Return the content of a record. Fields in `known` always count, whatever their names suggest.

    >>> one = make_content({"label": "web", "cpus": 2, "password": "x", "uptime": 5})
    >>> one.digest == make_content({"cpus": 2, "label": "web", "uptime": 6}).digest
    True
    >>> read_content(one.text)
    {'cpus': 2, 'label': 'web', 'uptime': 5}
    """
    kept = drop_secret_fields(record)
    text = _encode(kept)
    meters = [name for name in kept if name not in known and is_meter(str(name))]
    counted = _encode({name: value for name, value in kept.items() if name not in meters}) if meters else text
    return Content(hashlib.blake2b(counted, digest_size=16).digest(), text)


@lru_cache(maxsize=1024)
def is_meter(name: str) -> bool:
    """Whether the name of an unknown field says that its value changes by itself.

    >>> is_meter("updated_at"), is_meter("bandwidth_used"), is_meter("created_at"), is_meter("reserved")
    (True, True, False, False)
    """
    return METER_NAME_PATTERN.search(name) is not None


#: ASCII, because a lone surrogate, which is valid JSON, has no UTF-8.
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def _encode(value: Any) -> bytes:
    return _ENCODER.encode(value).encode("ascii")


def read_content(text: bytes) -> Any:
    """Return the record of a content."""
    return json.loads(text)


def compress(text: bytes) -> bytes:
    """Return a content as it is stored: about a third of its bytes."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, zdict=COMPRESSION_TEXT)
    return packer.compress(text) + packer.flush()


def decompress(data: bytes) -> bytes:
    """Return the content that was stored."""
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS, zdict=COMPRESSION_TEXT)
    return unpacker.decompress(data) + unpacker.flush()
