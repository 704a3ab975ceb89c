"""The outputs of cells that are kept: which messages count, and how many bytes."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

#: Bytes of outputs that are kept of one cell, and of all; the rest is left out, and that is told.
MAX_CELL_BYTES, MAX_RUN_BYTES = 20_000_000, 100_000_000

OUTPUT_MESSAGES = ("stream", "display_data", "execute_result", "update_display_data")
#: All messages that change a notebook. Others, such as those for a debugger, are for nobody here.
NOTEBOOK_MESSAGES = (
    *OUTPUT_MESSAGES, "error", "clear_output", "status", "execute_input", "comm_open", "comm_msg", "comm_close"
)  # fmt: skip


class OutputLimits:
    """How many bytes of outputs each cell has given; what goes beyond the limits becomes one line that says so."""

    def __init__(self) -> None:
        self._of_cell: Counter[int] = Counter()
        self._told: set[int] = set()

    def take(self, cell: int, message: Any) -> bool:
        """Whether this message is kept; the first one that is not is turned into the line that tells it."""
        size = content_size(message["content"])
        if self._of_cell[cell] + size <= MAX_CELL_BYTES and self._of_cell.total() + size <= MAX_RUN_BYTES:
            self._of_cell[cell] += size
            return True
        if cell in self._told:
            return False
        self._told.add(cell)
        text = (
            f"\n[more output is left out: a notebook keeps {MAX_CELL_BYTES // 1_000_000} MB of a cell, "
            f"{MAX_RUN_BYTES // 1_000_000} MB in all]\n"
        )
        message["msg_type"] = message["header"]["msg_type"] = "stream"
        message["content"] = {"name": "stderr", "text": text}
        return True


def to_storable(mime: str, value: Any) -> Any:
    """A representation as a notebook may have it: text, or JSON where its type says so.

    >>> _storable("application/x-own", {"a": 1}), _storable("application/vnd.own+json", {"a": 1})
    ('{"a": 1}', {'a': 1})
    """
    structured = mime == "application/json" or mime.endswith("+json")
    return value if structured or isinstance(value, str) else json.dumps(value)


def content_size(content: Any) -> int:
    if isinstance(content, dict):
        return sum(content_size(each) for each in content.values())
    if isinstance(content, list | tuple):
        return sum(content_size(each) for each in content)
    return len(content) if isinstance(content, str | bytes) else 8
