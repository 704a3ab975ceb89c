"""The asyncio event loop that jupyter_client keeps in a thread between calls."""

from __future__ import annotations

import asyncio
import threading

from lcnb.runbooks.engine.papermill_imports import ensure_event_loop


def idle_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that jupyter_client uses in this thread between calls; None while a loop is running."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return ensure_event_loop()
    return None


def close_loop() -> None:
    """Close the event loop that jupyter_client created for a thread other than the main one, and would leave open."""
    if threading.current_thread() is not threading.main_thread() and (loop := idle_loop()):
        loop.close()


def drop_tasks() -> None:
    """Cancel tasks that an interrupt left in the event loop: they would continue during the kernel's shutdown."""
    loop = idle_loop()
    tasks = asyncio.all_tasks(loop) if loop else set()
    if loop and tasks:
        for task in tasks:
            task.cancel()
        done, _ = loop.run_until_complete(asyncio.wait(tasks, timeout=2))
        for task in done:
            if not task.cancelled():
                task.exception()  # retrieved, so that asyncio does not log it
