"""Show text with carriage returns and cursor moves, such as progress bars, as a terminal shows it at the end."""

from __future__ import annotations

import re

_CURSOR_MOVES = re.compile(r"\r\n|[\r\n\b]|\x1b\[(\d*)([A-DGJK])|\x1b\[\?25[lh]")
#: Moves without a number, as the letter of the escape sequence that does the same.
_PLAIN_MOVES = {"\n": "E", "\r\n": "E", "\r": "G", "\b": "D"}


def final_terminal_text(text: str) -> str:
    """Return a text as a terminal shows it at the end: a progress bar that was redrawn many times appears once.

    Carriage returns, backspaces and the cursor moves that progress bars use are followed; colours are kept.

    >>> final_terminal_text("  0%|    | 0/3\\r100%|####| 3/3\\n").strip()
    '100%|####| 3/3'
    """
    if not _CURSOR_MOVES.search(text.replace("\n", "")):
        return text
    screen = _Screen()
    start = 0
    for move in _CURSOR_MOVES.finditer(text):
        screen.write(text[start : move.start()])
        start = move.end()
        screen.move(_PLAIN_MOVES.get(move[0], move[2]), move[1])
    screen.write(text[start:])
    return "\n".join(screen.lines)


class _Screen:
    """The lines of a terminal and the position of its cursor."""

    def __init__(self) -> None:
        self.lines: list[str] = [""]
        self.row, self.column = 0, 0

    def write(self, piece: str) -> None:
        """Write over the text at the cursor. A piece that covers its whole line replaces it, colours included."""
        if not piece:
            return
        line = self.lines[self.row].ljust(self.column)
        if self.column == 0 and len(_strip_colors(piece)) >= len(_strip_colors(line)):
            self.lines[self.row] = piece
        elif self.column >= len(line):
            self.lines[self.row] = line + piece
        else:
            self.lines[self.row] = line[: self.column] + piece + line[self.column + len(piece) :]
        self.column += len(piece)

    def move(self, letter: str | None, number: str | None) -> None:
        """Follow one escape sequence: its letter, and its number (1 when it is missing)."""
        count = int(number or 1)
        if letter in ("A", "B", "E"):
            self.row = max(0, self.row - count) if letter == "A" else self.row + count
        if letter in ("C", "D"):
            self.column = max(0, self.column + (count if letter == "C" else -count))
        elif letter in ("E", "G"):
            self.column = 0 if letter == "E" else count - 1
        elif letter == "K":
            self.lines[self.row] = "" if number == "2" else self.lines[self.row][: self.column]
        self.lines.extend([""] * (self.row + 1 - len(self.lines)))


def _strip_colors(text: str) -> str:
    return re.sub(r"\x1b\[[\d;]*m", "", text)
