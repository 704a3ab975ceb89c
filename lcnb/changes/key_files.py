"""Private keys on the disk of this machine: mode 0600, never overwriting a file, read back after writing."""

from __future__ import annotations

import os
from pathlib import Path

from lcnb.changes.change import Change
from lcnb.changes.key_material import same_key
from lcnb.secret import Secret

#: Longer than the private half of any key pair that the provider or lcnb generates.
_MAX_KEY_BYTES = 8192


def key_path(change: Change) -> Path:
    """Return the file that the private key of a change is written to."""
    return Path(str(change.key_file)).expanduser()


def write_key(change: Change, private_key: Secret | None) -> str | None:
    """Write a private key to its file, which must not exist, and read it back.

    Returns None when the file holds the key, else the reason why not; then the file does not exist.
    """
    path = key_path(change)
    data = _pem_lines(private_key.reveal() if private_key else "")
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        return f"the key file {path} cannot be written: {error.strerror}"
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        kept = path.read_bytes()
    except OSError as error:
        path.unlink(missing_ok=True)
        return f"the key file {path} cannot be written: {error.strerror}"
    if kept != data:
        path.unlink(missing_ok=True)
        return f"the key file {path} does not keep what is written: other bytes are read back"
    return None


def _pem_lines(text: str) -> bytes:
    """Return a private key with the line ends that ssh accepts.

    The provider sends CRLF, and no line end after the last line [node].
    """
    return "".join(f"{line.rstrip()}\n" for line in text.strip().splitlines()).encode(
        "utf-8", "surrogatepass"
    )


def try_key_file(change: Change) -> str | None:
    """Check that the private key of the provider could be stored, since only one response holds it.

    Returns None when it could, else the reason why not.
    """
    problem = write_key(change, Secret("0" * _MAX_KEY_BYTES))
    if problem is None:
        key_path(change).unlink()
    return problem


def read_key_file(change: Change) -> str | None:
    """Check that the key file holds the private half of the public key in the request.

    Plan files and the journal hold no private half, so a pair that an earlier process generated is lost unless that
    process has written it. Returns None when the file holds it, else the reason not to send the public half.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key

    path = key_path(change)
    try:
        key = load_ssh_private_key(path.read_bytes(), None).public_key()
        line = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    except (OSError, ValueError, UnsupportedAlgorithm):
        line = None
    if same_key(line, str((change.call.body or {}).get("key"))):
        return None
    return (
        f"the private half of this pair is not in {path}, and a plan does not hold it: it was lost with the process "
        "that generated it. Generate a new pair"
    )


def remove_key(change: Change) -> None:
    """Delete the key file of a change; a missing file is fine."""
    key_path(change).unlink(missing_ok=True)
