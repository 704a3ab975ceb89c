"""The synchronous driver: runs flows and waits for them.

A helper thread sends each request; the caller's thread waits for it until the deadline and does everything else, also
for flows that run together. So a deadline holds even against a server that sends one byte per second, and an
interrupt (Ctrl-C, a stopped cell) never hits httpx in the middle of its work: the pool of an interrupted or overdue
request is retired, and the next call opens a new one.
"""

from __future__ import annotations

import heapq
import itertools
import os
import queue
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic

from lcnb.api.flows import Flow, LocalWork, Pause, Together
from lcnb.config import Settings
from lcnb.transport import network
from lcnb.transport.effects import (
    LATE,
    ExchangeContext,
    LowEffect,
    LowFlow,
    Outcome,
    Raised,
    Returned,
    T,
    Transmit,
)
from lcnb.transport.httpx_client import (
    SEND_ERRORS,
    classify_failure,
    make_client,
    read_response,
    request_arguments,
)
from lcnb.transport.protocol import exchange_flow, next_step
from lcnb.transport.wire import BaseWire


class _SyncPool:
    """An httpx.Client that closes itself when it is retired and its last request has ended."""

    def __init__(self, settings: Settings, proxy: network.Proxy | None = None) -> None:
        self._client = make_client(settings, proxy)
        # For a wire that is dropped without close().
        self._finalizer = weakref.finalize(self, self._client.close)
        self._process = os.getpid()
        self._settings = settings
        self._lock = threading.Lock()
        self._users = 0
        self._retired = False

    def acquire(self) -> bool:
        """Keep the pool open for one `send`, whose thread may start after close(); return False if it cannot be used.

        A closed pool cannot, and in a fork that of the parent: on a shared connection one process would get the
        response of the other.
        """
        if self._is_inherited():
            return False
        with self._lock:
            if self._retired and not self._users:
                return False
            self._users += 1
            return True

    def _is_inherited(self) -> bool:
        """Whether this process is a fork of the one that opened the pool. It then leaves the pool as it is."""
        if self._process == os.getpid():
            return False
        self._finalizer.detach()  # a thread that the fork does not have may hold the locks that closing needs
        return True

    def send(self, effect: Transmit) -> Outcome:
        """Send a request and return its outcome; the pool must have been acquired for it."""
        try:
            return read_response(self._client.request(**request_arguments(self._settings, effect)))
        except SEND_ERRORS as error:
            return classify_failure(error)
        finally:
            with self._lock:
                self._users -= 1
                self._close_if_unused()

    def retire(self) -> None:
        """Close the pool after its last request."""
        if self._is_inherited():
            return
        with self._lock:
            self._retired = True
            self._close_if_unused()

    def _close_if_unused(self) -> None:
        if self._retired and not self._users:
            self._client.close()


class SyncWire(BaseWire):
    """Runs flows and waits for them; safe to use from several threads and inside a running event loop."""

    _pool: _SyncPool | None = None

    def run(self, flow: Flow[T], *, each_call: bool = False) -> T:
        """Return the result of a flow. With `each_call` each call gets the whole timeout, not the flow."""
        return _FlowScheduler[T](self, self._context(each_call)).run(flow)

    def close(self) -> None:
        """Close the connections. The wire can still be used: it then opens new ones."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.retire()

    def perform(self, effect: LowEffect, scheduler: _FlowScheduler[Any]) -> Any:
        """Return the answer to an effect, or PENDING if the scheduler will receive it later."""
        if isinstance(effect, LocalWork):
            return effect.work()
        if isinstance(effect, Together):
            scheduler.start_children(effect)
            return PENDING
        if isinstance(effect, Pause):
            scheduler.await_reply(effect.seconds, None)
            return PENDING
        pool = self._pool
        if pool is None or not pool.acquire():
            pool = _SyncPool(self.settings, self.proxy)
            pool.acquire()
            self._pool = pool
        reply_id = scheduler.await_reply(effect.limit_s, LATE, partial(self._retire, pool))
        _start_thread(scheduler.responses, reply_id, pool.send, effect)
        return PENDING

    def _retire(self, pool: _SyncPool) -> None:
        if self._pool is pool:
            self._pool = None
        pool.retire()


#: `perform` returns this when the answer to an effect comes later.
PENDING = object()


@dataclass(eq=False)
class _FlowTask:
    """A running flow. Flows that run together share a parent, which waits for all of them."""

    flow: LowFlow[Any]
    parent: _FlowTask | None = None
    position: int = 0
    children: list[_FlowTask] = field(default_factory=list)
    results: list[Any] = field(default_factory=list)
    running_children: int = 0
    is_over: bool = False


class _FlowScheduler(Generic[T]):
    """Runs a flow, and the flows that it starts together, in the caller's thread.

    Only requests have threads; these put their outcomes into `responses`. So flows need no locks, and an interrupt
    hits the caller's wait.
    """

    def __init__(self, wire: SyncWire, context: ExchangeContext) -> None:
        self._wire, self._context = wire, context
        #: Pairs of reply id and outcome, from the threads.
        self.responses: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
        self._reply_ids = itertools.count()
        #: Reply id → the task that waits for it, and the function to call when the wait is abandoned.
        self._waiters: dict[int, tuple[_FlowTask, Callable[[], None] | None]] = {}
        #: Heap of (time at which the wait ends, reply id, reply on timeout).
        self._deadlines: list[tuple[float, int, Any]] = []
        #: Tasks that can be resumed, each with the answer to its effect.
        self._ready: deque[tuple[_FlowTask, Any]] = deque()

    def run(self, flow: Flow[T]) -> T:
        """Return the result of a flow. The first error of flows that run together ends the others."""
        root = self._task = _FlowTask(exchange_flow(flow, self._context))
        self._ready.append((root, None))
        try:
            while not root.is_over:
                task, answer = self._ready.popleft() if self._ready else self._next_reply()
                if not task.is_over:
                    self._resume(task, answer)
            return root.results[0]  # type: ignore[no-any-return]
        except Exception:
            raise  # other requests in flight may end normally: their pool stays in use
        except BaseException:
            for _, abandon in self._waiters.values():
                if abandon is not None:
                    abandon()
            raise
        finally:
            self._end(root)

    def await_reply(self, seconds: float, on_timeout: Any, abandon: Callable[[], None] | None = None) -> int:
        """Register the current task as a waiter and return its reply id.

        After `seconds` the task receives `on_timeout` instead, and `abandon` is called.
        """
        reply_id = next(self._reply_ids)
        self._waiters[reply_id] = self._task, abandon
        heapq.heappush(self._deadlines, (time.monotonic() + seconds, reply_id, on_timeout))
        return reply_id

    def _next_reply(self) -> tuple[_FlowTask, Any]:
        """Wait until a reply arrives or a wait ends; return the task and its answer."""
        while True:
            while self._deadlines[0][1] not in self._waiters:
                heapq.heappop(self._deadlines)
            try:
                reply_id, answer = self.responses.get(
                    timeout=max(0.0, self._deadlines[0][0] - time.monotonic())
                )
            except queue.Empty:
                _, reply_id, answer = heapq.heappop(self._deadlines)
                abandon = self._waiters[reply_id][1]
                if abandon is not None:
                    abandon()
            if reply_id not in self._waiters:
                continue  # the wait was abandoned before the reply came
            task, _ = self._waiters.pop(reply_id)
            if not isinstance(answer, BaseException):
                return task, answer
            # Frames of httpx hold the request's headers: a traceback with locals would print the token.
            answer.__cause__ = answer.__context__ = answer.__traceback__ = None
            if isinstance(answer, Exception):
                return task, Raised(answer)
            raise answer

    def _resume(self, task: _FlowTask, answer: Any) -> None:
        """Resume a task until it has to wait or ends."""
        self._task = task
        while answer is not PENDING:
            try:
                step = next_step(task.flow, answer)
            except Exception as error:
                self._fail(task, error)
                return
            if isinstance(step, Returned):
                self._complete(task, step.result)
                return
            try:
                answer = self._wire.perform(step, self)
            except Exception as error:
                answer = Raised(error)

    def start_children(self, effect: Together) -> None:
        """Start flows together; the list of their results is the answer to the current task."""
        task = self._task
        task.children = [
            _FlowTask(exchange_flow(flow, self._context), task, position)
            for position, flow in enumerate(effect.flows)
        ]
        task.running_children = len(task.children)
        task.results = [None] * task.running_children
        self._ready.extend([(child, None) for child in task.children] or [(task, [])])

    def _complete(self, task: _FlowTask, result: Any) -> None:
        task.is_over = True
        parent = task.parent
        if parent is None:
            task.results = [result]
            return
        parent.results[task.position] = result
        parent.running_children -= 1
        if not parent.running_children:
            self._ready.append((parent, parent.results))

    def _fail(self, task: _FlowTask, error: Exception) -> None:
        task.is_over = True
        if task.parent is None:
            raise error
        for child in task.parent.children:
            self._end(child)
        self._ready.append((task.parent, Raised(error)))

    def _end(self, task: _FlowTask) -> None:
        for child in task.children:
            self._end(child)
        task.is_over = True
        task.flow.close()


def _start_thread(
    responses: queue.SimpleQueue[tuple[int, Any]], reply_id: int, work: Callable[..., Any], *args: Any
) -> None:
    """Run `work` in a new thread, which puts the reply id and the result or error into `responses`."""

    def post_result() -> None:
        try:
            responses.put((reply_id, work(*args)))
        except BaseException as error:
            responses.put((reply_id, error))

    try:
        threading.Thread(target=post_result, daemon=True).start()
    except RuntimeError as error:  # CPython: an interrupt in start() may come out as "release unlocked lock"
        if isinstance(error.__context__, KeyboardInterrupt):
            raise error.__context__ from None
        raise
