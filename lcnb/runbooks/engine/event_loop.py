"""The asyncio event loop that jupyter_client keeps in a thread between calls."""

from __future__ import annotations

import asyncio
import threading

from lcnb.runbooks.engine.papermill_imports import ensure_event_loop


def idle_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that jupyter_client runs in this thread from call to call; None where one runs already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return ensure_event_loop()
    return None


def close_loop() -> None:
    """jupyter_client makes an event loop for a thread that has none, and leaves it open when that ends."""
    if threading.current_thread() is not threading.main_thread() and (loop := idle_loop()):
        loop.close()


def drop_tasks() -> None:
    """What an interrupt left in the event loop would go on when the kernel is shut down, and complain of that."""
    loop = idle_loop()
    tasks = asyncio.all_tasks(loop) if loop else set()
    if loop and tasks:
        for task in tasks:
            task.cancel()
        done, _ = loop.run_until_complete(asyncio.wait(tasks, timeout=2))
        for task in done:
            if not task.cancelled():
                task.exception()  # looked at, so that nobody logs it
