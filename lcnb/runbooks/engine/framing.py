"""Messages between the processes of a warm run: JSON after its length, and handles beside it where there are any."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Mapping, Sequence

TYPE_CHECKING = False  # as in `warm`: typing itself takes milliseconds
if TYPE_CHECKING:
    from typing import Any

LENGTH_PREFIX = struct.Struct("!I")
#: Handles that come with one message at most.
MAX_HANDLES = 16


def frame_message(packed: bytes) -> bytes:
    """What is sent for a message that is packed already."""
    return LENGTH_PREFIX.pack(len(packed)) + packed


def take_message(buffer: bytearray) -> bytes | None:
    """Take the first packed message out of what was read; None while it is not complete.

    >>> buffer = bytearray(framed(b"one") + b"rest")
    >>> cut(buffer), bytes(buffer), cut(buffer)
    (b'one', b'rest', None)
    """
    if len(buffer) < LENGTH_PREFIX.size:
        return None
    (size,) = LENGTH_PREFIX.unpack_from(buffer)
    end = LENGTH_PREFIX.size + size
    if len(buffer) < end:
        return None
    packed = bytes(buffer[LENGTH_PREFIX.size : end])
    del buffer[:end]
    return packed


def pack_message(message: Mapping[str, Any], buffers: Sequence[Any] = ()) -> bytes:
    """A message of the Jupyter protocol as JSON, as jupyter_client writes it; `buffers` as base64 within it.

    >>> unpack(pack({"header": {}, "parent_header": {}}, [b"0"]))["buffers"]
    [b'0']
    """
    from base64 import b64encode

    from jupyter_client.session import json_packer

    packed: bytes = json_packer({**message, "buffers": [b64encode(each).decode() for each in buffers]})
    return packed


def unpack_message(packed: bytes) -> dict[str, Any]:
    """The message, with its times as times."""
    from base64 import b64decode

    from jupyter_client.jsonutil import extract_dates
    from jupyter_client.session import json_unpacker

    message: dict[str, Any] = json_unpacker(packed)
    for name in ("header", "parent_header"):
        message[name] = extract_dates(message[name])
    message["buffers"] = [b64decode(each) for each in message["buffers"]]
    return message


def send_message(connection: socket.socket, message: Mapping[str, Any], handles: Sequence[int] = ()) -> None:
    """Send one message. OSError when the other side is gone."""
    body = json.dumps(message).encode()
    socket.send_fds(connection, [LENGTH_PREFIX.pack(len(body))], list(handles))
    connection.sendall(body)


def receive_message(connection: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """One message and the handles that came with it; None at the end of the connection."""
    head, handles, _, _ = socket.recv_fds(connection, LENGTH_PREFIX.size, MAX_HANDLES)
    buffer = bytearray(head)
    while (packed := take_message(buffer)) is None:
        wanted = LENGTH_PREFIX.size
        if len(buffer) >= LENGTH_PREFIX.size:
            wanted += LENGTH_PREFIX.unpack_from(buffer)[0]
        more = connection.recv(wanted - len(buffer))
        if not more:
            return None, handles
        buffer += more
    return json.loads(packed), handles
