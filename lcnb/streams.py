r"""The standard streams of a command: writing to them does not fail, whatever they are connected to.

A change that was made stays made, whether or not its result can be printed. So a character that the stream's encoding
lacks is written as JSON writes it (`\u00e3`), which keeps `-o json` valid. A stream that breaks (a closed pipe, a full
disk, a terminal that is gone) drops what is written. At the end, `finish_output` checks whether output was lost and
returns the exit code. This module imports only what is small, because each command starts with it.
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
#: Error handlers that Python chooses by default; any other was set by PYTHONIOENCODING.
_PYTHON_HANDLERS = ("strict", "surrogateescape", "backslashreplace")
#: Whether this process has done something whose outcome its exit code reports.
_action_done = False


def _escape_unencodable(error: UnicodeError) -> tuple[str, int]:
    r"""Handle a codec's error: `ã` becomes `\u00e3` as in JSON, a character beyond U+FFFF becomes two of these."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{lost[at : at + 2].hex()}" for at in range(0, len(lost), 2)), error.end


codecs.register_error(ESCAPE_HANDLER, _escape_unencodable)


class TolerantOutput(io.RawIOBase):
    """A file descriptor that accepts everything; `problem` is the error for which output was dropped, or None."""

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self.problem: OSError | None = None

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the file descriptor."""
        return self.handle

    def isatty(self) -> bool:
        """Whether the file descriptor is a terminal."""
        return os.isatty(self.handle)

    def write(self, data: Any) -> int:
        """Write, or drop the data once the stream is broken. Returns the number of accepted bytes."""
        if self.problem is None:
            try:
                return self._write_when_ready(data)
            except OSError as problem:
                self.problem = problem
        return len(data)

    def _write_when_ready(self, data: Any) -> int:
        while True:
            try:
                return os.write(self.handle, data)
            except BlockingIOError:  # another process that shares the stream has made it non-blocking
                select.select([], [self.handle], [])


def open_streams() -> None:
    """Make stdin, stdout and stderr of this process usable. A closed one is opened on the null device."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            setattr(sys, name, _open_devnull(number, mode))
    for name in ("stdout", "stderr"):
        setattr(sys, name, _wrap_stream(getattr(sys, name)))


def _open_devnull(number: int, mode: str) -> IO[Any]:
    handle = os.open(os.devnull, os.O_RDWR)
    if handle != number:  # child processes inherit the three streams by their numbers
        os.dup2(handle, number)
        os.close(handle)
    return open(number, mode, encoding="utf-8", closefd=False)


def _wrap_stream(stream: Any) -> Any:
    """Return the stream on top of a TolerantOutput. A stream without a file descriptor only gets ESCAPE_HANDLER."""
    if find_tolerant_output(stream) is not None:
        return stream
    errors = ESCAPE_HANDLER if stream.errors in _PYTHON_HANDLERS else stream.errors
    try:
        handle = stream.fileno()
        stream.flush()
    except (AttributeError, OSError, ValueError):
        handle = -1
    if handle < 0 or (os.name == "nt" and stream.isatty()):  # a Windows console does not accept bytes
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
    """Return the TolerantOutput below a stream that `open_streams` made; None for any other stream."""
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw if isinstance(raw, TolerantOutput) else None


def print_line(text: str) -> None:
    """Print a line for people. A stream that cannot show it raises no error, because the action is done already."""
    try:
        try:
            print(text, flush=True)
        except UnicodeEncodeError:
            print(text.encode("ascii", ESCAPE_HANDLER).decode("ascii"), flush=True)
    except (OSError, ValueError):
        return


def mark_action_done() -> None:
    """From now on, the exit code reports what this process has done, not whether its output could be printed."""
    global _action_done
    _action_done = True


def is_action_done() -> bool:
    """Whether `mark_action_done` was called."""
    return _action_done


def finish_output(code: int) -> int:
    """Flush stdout and return the exit code: 1 instead of 0 when a result was lost that is stored nowhere."""
    try:
        sys.stdout.flush()
        problem = outlet.problem if (outlet := find_tolerant_output(sys.stdout)) else None
    except (OSError, ValueError) as error:
        problem = error if isinstance(error, OSError) else OSError(str(error))
    if problem is None or isinstance(problem, BrokenPipeError):
        return code  # the reader of a pipe, such as `head`, has read enough
    reason = problem.strerror or str(problem)
    print(
        f"error: the output could not be written: {reason}. Is the disk full? Write to another place.",
        file=sys.stderr,
    )
    if _action_done:
        print(
            "What was done is not affected: the exit code reports its outcome. `lcnb journal` lists changes, "
            "`lcnb runs` lists runs.",
            file=sys.stderr,
        )
        return code
    return code or 1
