"""Signals while a run begins and ends: what must be whole is not cut in two by them."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

TYPE_CHECKING = False  # as in `warm`: typing itself takes milliseconds
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

#: What ends a run: Ctrl-C, and what a supervisor or a terminal that closes sends.
ENDING_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


@contextmanager
def hold_signals() -> Iterator[list[int]]:
    """Signals that would end the process do nothing inside; gives the list of those that came."""
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    before = {each: signal.getsignal(each) for each in ENDING_SIGNALS}
    for each, handler in before.items():
        if handler not in (signal.SIG_IGN, None):
            signal.signal(each, lambda number, frame: came.append(number))
    try:
        yield came
    finally:
        for each, handler in before.items():
            if handler not in (signal.SIG_IGN, None):
                signal.signal(each, handler)


@contextmanager
def exit_on_signals() -> Iterator[None]:
    """SIGTERM, and a terminal that is closed, end what is inside as Ctrl-C does: by SystemExit with their exit code."""
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
    """A `sys.unraisablehook`: an interrupt that met Python in a finaliser, where it ends nothing, is sent again."""
    number = _signal_number(unraisable.exc_value)
    if number is None:
        sys.__unraisablehook__(unraisable)
    else:  # not from here: this is still inside of that finaliser
        threading.Timer(0.05, _send_to_main_thread, [number]).start()


def _send_to_main_thread(number: int) -> None:
    """Sent to another thread, a signal would not end what the main thread waits for."""
    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:
        signal.pthread_kill(main, number)
    else:
        signal.raise_signal(number)


def _signal_number(error: BaseException | None) -> int | None:
    if isinstance(error, KeyboardInterrupt):
        return signal.SIGINT
    if isinstance(error, SystemExit) and isinstance(error.code, int) and error.code - 128 in ENDING_SIGNALS:
        return error.code - 128
    return None
