"""Signals at the start and the end of a run: they must not interrupt a step that has to be complete."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

TYPE_CHECKING = False  # as in `warm`: importing typing takes milliseconds
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

#: The signals that end a run: Ctrl-C, and those that a supervisor or a closed terminal sends.
ENDING_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


@contextmanager
def hold_signals() -> Iterator[list[int]]:
    """Hold back signals that would end the process while the block runs; yield the list of those that arrived.

    >>> with hold_signals() as received:
    ...     received
    []
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {each: signal.getsignal(each) for each in ENDING_SIGNALS}
    for each, handler in before.items():
        if handler not in (signal.SIG_IGN, None):
            signal.signal(each, lambda number, frame: received.append(number))
    try:
        yield received
    finally:
        for each, handler in before.items():
            if handler not in (signal.SIG_IGN, None):
                signal.signal(each, handler)


@contextmanager
def exit_on_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block as Ctrl-C does: they raise SystemExit with their exit code (128 + n)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    numbers = [
        each for each in ENDING_SIGNALS if each != signal.SIGINT and signal.getsignal(each) != signal.SIG_IGN
    ]
    before = {each: signal.signal(each, stop) for each in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def resend_lost_signal(unraisable: Any) -> None:
    """Send an interrupt again that Python dropped because it arrived in a finalizer: a `sys.unraisablehook`."""
    number = _signal_number(unraisable.exc_value)
    if number is None:
        sys.__unraisablehook__(unraisable)
    else:
        threading.Timer(0.05, _send_to_main_thread, [number]).start()


def _send_to_main_thread(number: int) -> None:
    """Send a signal to the main thread: sent to another thread, it would not end what the main thread waits for.

    While the main thread is still in the hook, which takes long on a busy machine, Python would drop the signal again,
    and would not call the hook for it.
    """
    main = threading.main_thread().ident
    while _is_in_hook(main):
        time.sleep(0.01)
    if hasattr(signal, "pthread_kill") and main is not None:
        signal.pthread_kill(main, number)
    else:
        signal.raise_signal(number)


def _is_in_hook(thread: int | None) -> bool:
    """Whether a thread executes `resend_lost_signal`, or what that calls."""
    frame = sys._current_frames().get(thread or 0)
    while frame is not None:
        if frame.f_code is resend_lost_signal.__code__:
            return True
        frame = frame.f_back
    return False


def _signal_number(error: BaseException | None) -> int | None:
    if isinstance(error, KeyboardInterrupt):
        return signal.SIGINT
    if isinstance(error, SystemExit) and isinstance(error.code, int) and error.code - 128 in ENDING_SIGNALS:
        return error.code - 128
    return None
