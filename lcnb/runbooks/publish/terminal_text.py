"""Text with carriage returns and cursor moves, such as progress bars, as a terminal shows it at the end."""

from __future__ import annotations

import re

# --- text -----------------------------------------------------------------------------------------------

_CURSOR_MOVES = re.compile(r"\r\n|[\r\n\b]|\x1b\[(\d*)([A-DGJK])|\x1b\[\?25[lh]")


def final_terminal_text(text: str) -> str:
    """A text as a terminal shows it at its end: a progress bar that was drawn over itself is there once.

    Carriage returns, backspaces and the moves of a cursor that progress bars use are followed; colours stay.

    >>> last_state("  0%|    | 0/3\\r100%|####| 3/3\\n").strip()
    '100%|####| 3/3'
    """
    if not _CURSOR_MOVES.search(text.replace("\n", "")):
        return text
    lines: list[str] = [""]
    row, column, start = 0, 0, 0

    def write(piece: str) -> None:
        nonlocal column
        if piece:
            line = lines[row].ljust(column)
            if column == 0 and len(_strip_colors(piece)) >= len(_strip_colors(line)):
                lines[row] = piece
            elif column >= len(line):
                lines[row] = line + piece
            else:
                lines[row] = line[:column] + piece + line[column + len(piece) :]
            column += len(piece)

    for move in _CURSOR_MOVES.finditer(text):
        write(text[start : move.start()])
        start = move.end()
        count = int(move[1] or 1) if move[2] else 1
        if move[0] in ("\n", "\r\n"):
            row, column = row + 1, 0
        elif move[0] == "\r":
            column = 0
        elif move[0] == "\b":
            column = max(0, column - 1)
        elif move[2] == "A":
            row = max(0, row - count)
        elif move[2] == "B":
            row += count
        elif move[2] == "C":
            column += count
        elif move[2] == "D":
            column = max(0, column - count)
        elif move[2] == "G":
            column = count - 1
        elif move[2] == "K":
            lines[row] = "" if move[1] == "2" else lines[row][:column]
        lines.extend([""] * (row + 1 - len(lines)))
    write(text[start:])
    return "\n".join(lines)


def _strip_colors(text: str) -> str:
    return re.sub(r"\x1b\[[\d;]*m", "", text)
