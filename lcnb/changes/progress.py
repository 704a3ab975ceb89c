"""The progress line of `apply`, which disappears while a person is asked to confirm."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lcnb.display.previews import print_changes
from lcnb.display.terminal import escape_markup, stderr_console

if TYPE_CHECKING:
    from lcnb.changes.changeset import ChangeSet


class ChangeProgress:
    """One line on stderr with the current step of an apply; no line unless stderr is a terminal.

    It redraws itself many times a second, so it must not be there while somebody types an answer: it appears with the
    first step, and `confirm` removes it.
    """

    def __init__(self) -> None:
        self._status = stderr_console().status("") if sys.stderr.isatty() else None
        #: Somebody was asked and did not confirm.
        self.declined = False

    def __call__(self, ended: int, total: int, text: str) -> None:
        if self._status:
            self._status.update(f"{ended}/{total}  {escape_markup(text)}")
            self._status.start()

    def stop(self) -> None:
        """Remove the line."""
        if self._status:
            self._status.stop()

    def confirm(self, changes: ChangeSet) -> bool:
        """Ask whether to apply the changes.

        Where nobody can be asked, print the changes and raise ConfirmationMissing.
        """
        from lcnb.changes.changeset import can_prompt

        self.stop()
        if not can_prompt():
            print_changes(changes, stream=sys.stderr)
        confirmed = changes.confirmed(None)
        if not confirmed:
            self.declined = True
            print("not confirmed: nothing was sent", file=sys.stderr)
        return confirmed


@contextmanager
def change_progress() -> Iterator[ChangeProgress]:
    """Yield a progress line, and remove it at the end."""
    progress = ChangeProgress()
    try:
        yield progress
    finally:
        progress.stop()
