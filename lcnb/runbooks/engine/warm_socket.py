"""The connection to the server for warm runs.

Each `lcnb run` begins here. The server compares its files while the client loads the rest, so the client connects
before it imports anything else: `_socket` is the part of `socket` that it needs, and loads in a tenth of the time.
"""

from __future__ import annotations

import _socket
import os
import sys

from lcnb.folder_names import state_folder_name

SOCKET_NAME = "warm.sock"


def is_supported() -> bool:
    """Whether this system can have warm runs: Linux with pidfd."""
    return sys.platform == "linux" and hasattr(os, "pidfd_open")


def user_server_folder() -> str:
    """Return the folder of the server that `lcnb warm` starts for all processes of this user."""
    folder = state_folder_name()
    if folder is None:
        from lcnb.folders import state_dir

        folder = str(state_dir())
    return f"{folder}/warm"


def connect_user_server() -> _socket.socket | None:
    """Connect to the server of `lcnb warm`. None where none is running, or where the user has no home folder."""
    if not is_supported():
        return None
    try:
        folder = user_server_folder()
    except Exception:  # a ConfigError, whose module is not loaded here; the command will report it
        return None
    return connect_server(folder)


def connect_server(folder: str) -> _socket.socket | None:
    """Connect to the server whose socket is in a folder. None when no server of this user is listening there.

    The address goes through the folder's handle: it has room for 100 bytes, and a path may be longer.
    """
    try:
        handle = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    except OSError:
        return None
    connection = _socket.socket(_socket.AF_UNIX)
    try:
        connection.connect(f"/proc/self/fd/{handle}/{SOCKET_NAME}")
        owner = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)[4:8]
        if int.from_bytes(owner, sys.byteorder) == os.getuid():  # another user's server would get the token
            return connection
    except OSError:
        pass
    finally:
        os.close(handle)
    connection.close()
    return None
