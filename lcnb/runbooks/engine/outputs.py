"""Which outputs of cells are kept: the kinds of messages, and limits in bytes."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

#: Bytes of outputs that are kept of one cell. More is left out, and the notebook says so.
MAX_CELL_BYTES = 20_000_000
#: Bytes of outputs that are kept of all cells.
MAX_RUN_BYTES = 100_000_000

OUTPUT_MESSAGES = ("stream", "display_data", "execute_result", "update_display_data")
#: All messages that change a notebook. Others, such as those for a debugger, are ignored.
NOTEBOOK_MESSAGES = (
    *OUTPUT_MESSAGES, "error", "clear_output", "status", "execute_input", "comm_open", "comm_msg", "comm_close"
)  # fmt: skip


class OutputLimits:
    """Counts the bytes of each cell's outputs. Outputs beyond the limits are replaced by one line that says so."""

    def __init__(self) -> None:
        self._of_cell: Counter[int] = Counter()
        self._cut_cells: set[int] = set()

    def take(self, cell: int, message: Any) -> bool:
        """Whether this message is kept. The first one beyond a limit is turned into the line that says so, and kept."""
        size = content_size(message["content"])
        if self._of_cell[cell] + size <= MAX_CELL_BYTES and self._of_cell.total() + size <= MAX_RUN_BYTES:
            self._of_cell[cell] += size
            return True
        if cell in self._cut_cells:
            return False
        self._cut_cells.add(cell)
        text = (
            f"\n[more output is left out: a notebook keeps {MAX_CELL_BYTES // 1_000_000} MB of a cell, "
            f"{MAX_RUN_BYTES // 1_000_000} MB in all]\n"
        )
        message["msg_type"] = message["header"]["msg_type"] = "stream"
        message["content"] = {"name": "stderr", "text": text}
        return True


def to_storable(mime: str, value: Any) -> Any:
    """Return an output in the form that a notebook may contain: text, or JSON where its MIME type says so.

    >>> to_storable("application/x-own", {"a": 1}), to_storable("application/vnd.own+json", {"a": 1})
    ('{"a": 1}', {'a': 1})
    """
    structured = mime == "application/json" or mime.endswith("+json")
    return value if structured or isinstance(value, str) else json.dumps(value)


def content_size(content: Any) -> int:
    """Return the approximate size of a message's content in bytes.

    >>> content_size({"text": "four"})
    4
    """
    if isinstance(content, dict):
        return sum(content_size(each) for each in content.values())
    if isinstance(content, list | tuple):
        return sum(content_size(each) for each in content)
    return len(content) if isinstance(content, str | bytes) else 8
