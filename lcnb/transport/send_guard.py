"""`SendGuard`: a request that needs a lock is checked after its connection is open, immediately before its first byte.

A process can be stopped between that check and the first byte, and continue after its lock was given to another one. On
Linux a timer of the system therefore ends the process if it has not handed over the request in time: it runs while the
process is stopped, and its SIGKILL comes before the next instruction. It is armed for the moment of sending only, which
takes about a tenth of a millisecond. Elsewhere this moment stays unguarded.
"""

from __future__ import annotations

import ctypes
import signal
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

#: Clock of the timer: unlike CLOCK_MONOTONIC it also runs while the computer is suspended (linux/time.h).
_CLOCK_BOOTTIME = 7
#: `sigev_notify`: send a signal to the process (asm-generic/siginfo.h).
_SIGEV_SIGNAL = 0


class SendGuard:
    """The trace function of httpx for one request; `check` is that of a `GuardedCall`."""

    def __init__(self, check: Callable[[], float]) -> None:
        self._check = check
        self._timer: KillTimer | None = None

    def trace(self, event: str, info: object) -> None:
        """Take an event of httpcore, such as `http11.send_request_headers.started`."""
        _, _, step = event.partition(".")
        if step == "send_request_headers.started":
            self._timer = start_kill_timer(self._check())
        elif step in _SENDING_ENDS and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def trace_async(self, event: str, info: object) -> None:
        """Take an event of httpcore's asynchronous interface."""
        self.trace(event, info)


_SENDING_ENDS = (
    "send_request_headers.failed",
    "send_request_body.complete",
    "send_request_body.failed",
    "response_closed.started",
)


class KillTimer:
    """A timer that ends this process by SIGKILL, also while it is stopped, unless it is cancelled."""

    def __init__(self, functions: Any, timer: ctypes.c_void_p) -> None:
        self._functions, self._timer = functions, timer

    def cancel(self) -> None:
        """Let the process live."""
        self._functions.timer_delete(self._timer)


def start_kill_timer(seconds: float) -> KillTimer | None:
    """Start the timer; None where the system has no such timer, or refuses another one."""
    functions = _timer_functions()
    if functions is None:
        return None
    timer = ctypes.c_void_p()
    event = _SignalEvent(None, signal.SIGKILL, _SIGEV_SIGNAL)
    if functions.timer_create(_CLOCK_BOOTTIME, ctypes.byref(event), ctypes.byref(timer)):
        return None
    whole = int(seconds)
    left = _Time(whole, max(1, int((seconds - whole) * 1e9)))  # 0 would disarm it
    started = KillTimer(functions, timer)
    if functions.timer_settime(timer, 0, ctypes.byref(_TimerLength(_Time(0, 0), left)), None):
        started.cancel()
        return None
    return started


class _SignalEvent(ctypes.Structure):
    """`struct sigevent`, 64 bytes."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signo", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("rest", ctypes.c_byte * 48),
    )


class _Time(ctypes.Structure):
    """`struct timespec`."""

    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _TimerLength(ctypes.Structure):
    """`struct itimerspec`."""

    _fields_ = (("interval", _Time), ("value", _Time))


@cache
def _timer_functions() -> Any:
    """Return the C library, or None where it has no timers of this kind."""
    if sys.platform != "linux" or ctypes.sizeof(ctypes.c_void_p) != 8:
        return None
    for name in (None, "librt.so.1"):  # before glibc 2.34 they are in librt
        try:
            library = ctypes.CDLL(name, use_errno=True)
        except OSError:
            continue
        if hasattr(library, "timer_create"):
            return library
    return None
