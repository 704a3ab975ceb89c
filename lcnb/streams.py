r"""The standard streams of a command: writing to them does not fail, whatever they are connected to.

What was done is done, whether or not anybody can read about it. So a character that a stream's encoding does not have
is written as JSON writes it (`\u00e3`), which keeps `-o json` valid; and a stream that breaks (a closed pipe, a full
disk, a terminal that is gone) takes what comes and drops it. At its end a command looks whether output was lost, and
`finish` says what that means for the exit code. Only what is small is imported here: each command starts with it.
"""

from __future__ import annotations

import codecs
import io
import os
import select
import sys

TYPE_CHECKING = False  # typing itself takes milliseconds
if TYPE_CHECKING:
    from typing import IO, Any

ESCAPE_HANDLER = "lcnb.escaped"
#: Handlers of Python's own choice; another one was asked for by PYTHONIOENCODING.
_PYTHON_HANDLERS = ("strict", "surrogateescape", "backslashreplace")
#: Whether this process has done something that its exit code tells about.
_action_done = False


def _escape_unencodable(error: UnicodeError) -> tuple[str, int]:
    r"""A codec's error handler: `ã` becomes `\u00e3`, as JSON has it, a character beyond U+FFFF two of these."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{lost[at : at + 2].hex()}" for at in range(0, len(lost), 2)), error.end


codecs.register_error(ESCAPE_HANDLER, _escape_unencodable)


class TolerantOutput(io.RawIOBase):
    """A file descriptor that takes whatever is written; `problem` is why something was dropped."""

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self.problem: OSError | None = None

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.handle

    def isatty(self) -> bool:
        return os.isatty(self.handle)

    def write(self, data: Any) -> int:
        if self.problem is None:
            try:
                return self._written(data)
            except OSError as problem:
                self.problem = problem
        return len(data)

    def _written(self, data: Any) -> int:
        while True:
            try:
                return os.write(self.handle, data)
            except BlockingIOError:  # somebody who shares the stream has made it so
                select.select([], [self.handle], [])


def open_streams() -> None:
    """Make stdin, stdout and stderr of this process usable. One that is closed is opened on nothing."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            setattr(sys, name, _open_devnull(number, mode))
    for name in ("stdout", "stderr"):
        setattr(sys, name, _wrap_stream(getattr(sys, name)))


def _open_devnull(number: int, mode: str) -> IO[Any]:
    handle = os.open(os.devnull, os.O_RDWR)
    if handle != number:  # children inherit the three by their numbers
        os.dup2(handle, number)
        os.close(handle)
    return open(number, mode, encoding="utf-8", closefd=False)


def _wrap_stream(stream: Any) -> Any:
    """The stream with an Outlet below it; where it has no file descriptor, at least with ESCAPED."""
    if find_tolerant_output(stream) is not None:
        return stream
    errors = ESCAPE_HANDLER if stream.errors in _PYTHON_HANDLERS else stream.errors
    try:
        handle = stream.fileno()
        stream.flush()
    except (AttributeError, OSError, ValueError):
        handle = -1
    if handle < 0 or (os.name == "nt" and stream.isatty()):  # a Windows console is no file of bytes
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=errors)
        return stream
    return io.TextIOWrapper(
        io.BufferedWriter(TolerantOutput(handle)),
        encoding=stream.encoding,
        errors=errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def find_tolerant_output(stream: Any) -> TolerantOutput | None:
    """What is below a stream that `open_streams` has made."""
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw if isinstance(raw, TolerantOutput) else None


def print_line(text: str) -> None:
    """Print a line for people, from a library: a stream that cannot take it changes nothing about what was done."""
    try:
        try:
            print(text, flush=True)
        except UnicodeEncodeError:
            print(text.encode("ascii", ESCAPE_HANDLER).decode("ascii"), flush=True)
    except (OSError, ValueError):
        return


def mark_action_done() -> None:
    """From here on the exit code tells what this process has done, not whether that could be printed."""
    global _action_done
    _action_done = True


def finish_output(code: int) -> int:
    """The exit code, after all was written: 1 instead of 0 when a result was lost that is nowhere else."""
    try:
        sys.stdout.flush()
        problem = outlet.problem if (outlet := find_tolerant_output(sys.stdout)) else None
    except (OSError, ValueError) as error:
        problem = error if isinstance(error, OSError) else OSError(str(error))
    if problem is None or isinstance(problem, BrokenPipeError):
        return code  # the reader of a pipe, such as `head`, has enough
    print(f"error: the output could not be written: {problem}", file=sys.stderr)
    if _action_done:
        print(
            "What was done is not affected: the exit code says how it ended. Changes: lcnb journal; runs: lcnb runs",
            file=sys.stderr,
        )
        return code
    return code or 1
