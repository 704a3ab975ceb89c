"""Messages between the processes of a warm run: a length, then JSON, with file handles attached where needed."""

from __future__ import annotations

import _socket
import json
import struct
from collections.abc import Mapping, Sequence

TYPE_CHECKING = False  # as in `warm`: importing typing takes milliseconds
if TYPE_CHECKING:
    from typing import Any

LENGTH_PREFIX = struct.Struct("!I")
#: At most this many handles come with one message.
MAX_HANDLES = 16
HANDLE_BYTES = struct.calcsize("i")


def frame_message(packed: bytes) -> bytes:
    """Return the bytes to send for a packed message: its length and itself.

    >>> frame_message(b"one")
    b'\\x00\\x00\\x00\\x03one'
    """
    return LENGTH_PREFIX.pack(len(packed)) + packed


def take_message(buffer: bytearray) -> bytes | None:
    """Remove the first packed message from the buffer and return it; None while it is incomplete.

    >>> buffer = bytearray(frame_message(b"one") + b"rest")
    >>> take_message(buffer), bytes(buffer), take_message(buffer)
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
    """Pack a message of the Jupyter protocol as JSON, as jupyter_client does, with `buffers` as base64.

    >>> unpack_message(pack_message({"header": {}, "parent_header": {}}, [b"0"]))["buffers"]
    [b'0']
    """
    from base64 import b64encode

    from jupyter_client.session import json_packer

    packed: bytes = json_packer({**message, "buffers": [b64encode(each).decode() for each in buffers]})
    return packed


def unpack_message(packed: bytes) -> dict[str, Any]:
    """Return the message in packed bytes, with its times as datetimes."""
    from base64 import b64decode

    from jupyter_client.jsonutil import extract_dates
    from jupyter_client.session import json_unpacker

    message: dict[str, Any] = json_unpacker(packed)
    for name in ("header", "parent_header"):
        message[name] = extract_dates(message[name])
    message["buffers"] = [b64decode(each) for each in message["buffers"]]
    return message


def send_message(connection: _socket.socket, message: Mapping[str, Any], handles: Sequence[int] = ()) -> None:
    """Send one message. OSError when the other side has closed the connection.

    A short message is sent in one piece: two processes may send theirs on the same connection.
    """
    framed = frame_message(json.dumps(message).encode())
    rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack(f"{len(handles)}i", *handles))
    sent = connection.sendmsg([framed], [rights] if handles else [])
    if sent < len(framed):  # to send nothing would fail where the other side has received all, and closed
        connection.sendall(framed[sent:])


def receive_message(connection: _socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """Receive one message and its handles; the message is None at the end of the connection."""
    size = _socket.CMSG_SPACE(MAX_HANDLES * HANDLE_BYTES)
    head, ancillary, _, _ = connection.recvmsg(LENGTH_PREFIX.size, size, _socket.MSG_CMSG_CLOEXEC)
    handles = [handle for _, _, data in ancillary for (handle,) in struct.iter_unpack("i", data)]
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
