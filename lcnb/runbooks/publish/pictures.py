"""Embed the pictures of a report. A picture that cannot be embedded is replaced by a sentence that names it.

Only files in the given folders are read, whatever a path or link says, and no request is ever sent.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import unquote, urlsplit

#: Limits in bytes, for one picture and for all pictures of a page, so that the page can still be opened and mailed.
MAX_PICTURE_BYTES, MAX_PAGE_PICTURE_BYTES = 5_000_000, 20_000_000
#: The first bytes of a file, and the type by which a browser knows it.
MAGIC_NUMBERS = (
    (rb"\x89PNG\r\n\x1a\n", "image/png"),
    (rb"\xff\xd8\xff", "image/jpeg"),
    (rb"GIF8[79]a", "image/gif"),
    (rb"RIFF....WEBP", "image/webp"),
    (rb"BM", "image/bmp"),
    (rb"\x00\x00\x01\x00", "image/x-icon"),
    (rb"....ftypavi[fs]", "image/avif"),
    (rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml.*?\?>\s*|<!--.*?-->\s*|<!DOCTYPE.*?>\s*)*<svg\b", "image/svg+xml"),
)  # fmt: skip


class PictureEmbedder:
    """Reads the pictures of one page. The folders, with all folders below them, are searched in their order."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = [each.resolve() for each in folders]
        self._left = MAX_PAGE_PICTURE_BYTES

    def source(self, address: str) -> tuple[str | None, str]:
        """Return a `data:` address for the picture, or None and the reason why it is not shown."""
        address = address.strip()
        if address.lower().startswith("data:"):
            return address, ""
        try:
            parts = urlsplit(address)
        except ValueError:
            return None, f"{address[:200]!r} is not an address"
        if parts.scheme.lower() in ("attachment", "missing-attachment"):
            return None, f"the cell has no attachment {unquote(parts.path)}"
        if parts.netloc or (parts.scheme and parts.scheme.lower() != "file" and len(parts.scheme) > 1):
            return None, f"{_describe_server(address)}, and this page sends no requests"
        return self._read(parts.path if parts.scheme.lower() == "file" else address)

    def _read(self, address: str) -> tuple[str | None, str]:
        plain = unquote(address)
        cut = unquote(re.split("[?#]", address, maxsplit=1)[0])
        outside = False
        for name in dict.fromkeys([plain, cut, address, cut.replace("\\", "/")]):
            for folder in self._folders:
                try:
                    path = (folder / name).resolve()
                    if not path.is_relative_to(folder):
                        outside = True
                    elif path.is_file():
                        return self._embedded(path, cut)
                except (OSError, ValueError, RuntimeError):  # a name that no file can have, a loop of links
                    continue
        if outside:
            return None, f"{cut[:200]} is outside the notebook's folder"
        return None, f"the file {cut[:200] or address[:200]!s} was not found"

    def _embedded(self, path: Path, name: str) -> tuple[str | None, str]:
        try:
            size = path.stat().st_size
            if size > MAX_PICTURE_BYTES:
                return (
                    None,
                    f"{name} has {size / 1e6:,.1f} MB; at most {MAX_PICTURE_BYTES / 1e6:g} MB are embedded",
                )
            if size > self._left:
                return (
                    None,
                    f"{name}: the pictures of this page together exceed {MAX_PAGE_PICTURE_BYTES / 1e6:g} MB",
                )
            content = path.read_bytes()
        except OSError as error:
            return None, f"{name} cannot be read: {error.strerror or error}"
        kind = next((kind for magic, kind in MAGIC_NUMBERS if re.match(magic, content, re.DOTALL)), None)
        if kind is None:
            return None, f"{name} is not a picture that browsers show" if content else f"{name} is empty"
        self._left -= size
        return f"data:{kind};base64,{base64.b64encode(content).decode()}", ""


def _describe_server(address: str) -> str:
    """Return the name of a picture and its server, without query, user and password, which may be secret."""
    parts = urlsplit(address)
    name = unquote(parts.path).strip("/") or "the picture"
    return f"{name[:150]} is on the server {parts.netloc.rpartition('@')[2] or parts.scheme}"


def left_out_note(sentence: str) -> str:
    """Return the HTML of a sentence that replaces something which the page does not show."""
    return f'<span class="left-out" role="note">{escape(sentence)}</span>'
