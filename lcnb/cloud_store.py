"""Buckets of S3, Google and Azure as object stores, by obstore (`pip install 'lcnb[store]'`)."""

from __future__ import annotations

import asyncio
import os
import re
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar
from urllib.parse import urlsplit

from lcnb.base_url import is_loopback
from lcnb.errors import ConfigError
from lcnb.stored_objects import (
    ABSENT,
    ANY,
    PART_BYTES,
    AttemptConflict,
    AttemptFailed,
    Expected,
    StoredEntry,
    StoredObject,
    StoreLimits,
)

T = TypeVar("T")

#: What a store answers when the bucket itself is missing. It must not be read as a missing object.
_NO_BUCKET = re.compile(">NoSuchBucket<|>ContainerNotFound<|specified bucket does not exist", re.IGNORECASE)
_STATUS = re.compile(r"status code: (\d{3})")
#: Statuses below 500 that a later attempt may not get again, and those above that it will.
_TRANSIENT_STATUSES = (408, 409, 425, 429)
_FINAL_STATUSES = (501, 505)
#: What obstore reports without a status: a redirect, as to the region of a bucket, and a store without versions.
_FINAL = re.compile("Received redirect|ETag (?:required|header missing)", re.IGNORECASE)
#: More than fit into the time limit of a part, which ends its retries.
MAX_PART_RETRIES = 1000
#: An object that nobody writes: every store answers that it has none.
_NO_OBJECT = ".lcnb-no-object"
#: The event loop of all requests of this process, which runs in a thread of its own.
_loop: asyncio.AbstractEventLoop | None = None
_loop_lock = threading.Lock()
#: The process that has used obstore first: its threads do not exist in a fork.
_first_process = 0


def bucket_client(
    scheme: str, name: str, prefix: str, limits: StoreLimits, *, retries_parts: bool = False
) -> Any:
    """Return obstore's client of a bucket. Its own retries are off: they cannot know a write that arrived.

    With `retries_parts` they are on: for the parts of an upload, which are the same in every attempt.
    """
    stores = import_obstore()
    options: dict[str, Any] = {
        "client_options": {
            "connect_timeout": timedelta(seconds=limits.connect_s),
            "read_timeout": timedelta(seconds=limits.read_s),
            "timeout": timedelta(seconds=limits.request_s),
        },
        "retry_config": {
            "max_retries": MAX_PART_RETRIES if retries_parts else 0,
            "retry_timeout": timedelta(seconds=limits.total_s if retries_parts else limits.request_s),
            "backoff": {"max_backoff": timedelta(seconds=limits.longest_wait_s)},
        },
        "prefix": prefix or None,
    }
    kind = {"s3": stores.S3Store, "gs": stores.GCSStore, "az": stores.AzureStore}[scheme]
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    if scheme == "s3" and is_loopback(urlsplit(endpoint).hostname or ""):
        options["client_options"]["allow_http"] = True
    try:
        return kind(name, **options)
    except Exception as error:
        raise ConfigError(
            f"the store {scheme}://{name} cannot be used: {_first_line(error)}",
            cure="Check the variables of its credentials.",
            not_done="started",
        ) from None


def import_obstore() -> Any:
    """Return the module of obstore's clients; ConfigError that says how to install it."""
    try:
        import obstore.store
    except ImportError:
        raise ConfigError(
            "a store for runs needs obstore, which is not installed",
            cure="Install it: pip install 'lcnb[store]'.",
            not_done="started",
        ) from None
    return obstore.store


def _request_loop() -> asyncio.AbstractEventLoop:
    """The loop of requests. AttemptFailed in a fork of the process that has used it first, which would wait forever."""
    global _loop, _first_process
    _first_process = _first_process or os.getpid()
    if _first_process != os.getpid():
        raise AttemptFailed("this process is a fork of one that has used a store", permanent=True)
    with _loop_lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name="lcnb-store", daemon=True).start()
    return _loop


def _begin(
    loop: asyncio.AbstractEventLoop, request: Callable[[], Coroutine[Any, Any, T]], outcome: Future[T]
) -> None:
    """Begin a request in the event loop. To cancel its outcome cancels the request."""
    task = loop.create_task(request())
    outcome.add_done_callback(lambda _: loop.call_soon_threadsafe(task.cancel))

    def finish(ended: asyncio.Task[T]) -> None:
        error = asyncio.CancelledError() if ended.cancelled() else ended.exception()
        with suppress(InvalidStateError):  # it was cancelled
            if error is None:
                outcome.set_result(ended.result())
            else:
                outcome.set_exception(error)

    task.add_done_callback(finish)


class CloudBackend:
    """One attempt each, by obstore.

    The requests are asynchronous because obstore's blocking calls notice no signal until they end: here Ctrl-C ends the
    wait, and cancels the request.
    """

    def __init__(self, client: Any, parts_client: Any) -> None:
        self._client = client
        self._parts_client = parts_client
        #: What threads wait for.
        self._outcomes: set[Future[Any]] = set()

    def cancel_requests(self) -> None:
        """Cancel the requests for which threads wait; each of these gets AttemptFailed."""
        for each in tuple(self._outcomes):
            each.cancel()

    def _wait_for(self, request: Callable[[], Coroutine[Any, Any, T]]) -> T:
        loop = _request_loop()
        # It is here before the request begins, so that an interrupt at any moment can cancel that.
        outcome: Future[T] = Future()
        self._outcomes.add(outcome)
        try:
            loop.call_soon_threadsafe(_begin, loop, request, outcome)
            return outcome.result()
        except CancelledError:
            raise AttemptFailed("the request was interrupted") from None
        except (KeyboardInterrupt, SystemExit):
            outcome.cancel()
            raise
        finally:
            self._outcomes.discard(outcome)

    def read(self, key: str) -> StoredObject | None:
        """The object, or None."""
        try:
            meta, data = self._wait_for(lambda: self._get(key))
        except FileNotFoundError as error:
            _check_bucket(error)
            return None
        except Exception as error:
            raise _attempt_error(error) from None
        if not (meta["e_tag"] or meta["version"]):
            raise AttemptFailed(
                "what answers is no store, because its objects have no version; it may be a proxy, or the page of a "
                "network that asks to sign in",
                permanent=True,
            )
        return StoredObject(data, _version(meta), meta["last_modified"])

    async def _get(self, key: str) -> tuple[Any, bytes]:
        found = await self._client.get_async(key)
        return found.meta, bytes(await found.bytes_async())

    def write(self, key: str, data: bytes, expected: Expected) -> str:
        """The new version. AttemptConflict when the object is another one than expected."""
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        try:
            return _version(self._wait_for(lambda: self._put(key, data, _put_mode(expected))))
        except FileNotFoundError as error:
            _check_bucket(error)
            if expected in (ANY, ABSENT):  # no object was expected, so something else is missing
                # The parts of an upload are gone after a last request whose response was lost.
                parts_are_gone = "NoSuchUpload" in str(error)
                raise AttemptFailed(_first_line(error), permanent=not parts_are_gone) from None
            raise AttemptConflict from None
        except (AlreadyExistsError, PreconditionError):
            raise AttemptConflict from None
        except Exception as error:
            raise _attempt_error(error) from None

    async def _put(self, key: str, data: bytes, mode: Any) -> Any:
        if mode != "overwrite" or len(data) <= PART_BYTES:
            return await self._client.put_async(key, data, mode=mode, use_multipart=False)
        # One part after the other: on a slow link, parts at the same time would all reach their limit. The object
        # appears with the last request.
        return await self._parts_client.put_async(
            key, data, use_multipart=True, chunk_size=PART_BYTES, max_concurrency=1
        )

    def delete(self, key: str) -> None:
        """Delete it, if it is there."""
        try:
            self._wait_for(lambda: self._delete(key))
        except FileNotFoundError as error:
            _check_bucket(error)
        except Exception as error:
            raise _attempt_error(error) from None

    async def _delete(self, key: str) -> None:
        await self._client.delete_async(key)

    async def _list(self, prefix: str) -> list[StoredEntry]:
        return [
            StoredEntry(each["path"], each["size"], _version(each), each["last_modified"])
            async for batch in self._client.list(prefix or None)
            for each in batch
        ]

    def list(self, prefix: str) -> list[StoredEntry]:
        """All objects below the folder."""
        try:
            found = self._wait_for(lambda: self._list(prefix))
        except FileNotFoundError as error:
            _check_bucket(error)
            found = []
        except Exception as error:
            raise _attempt_error(error) from None
        if not found:
            # obstore 0.12.1 takes any page for an empty listing (findings/obstore-lists-any-page-as-empty.sh).
            self.read(_NO_OBJECT)
        return found


def _put_mode(expected: Expected) -> Any:
    if expected is ANY:
        return "overwrite"
    if expected is ABSENT:
        return "create"
    tag, _, version = str(expected).partition("\n")
    facts = {"e_tag": tag, "version": version}
    # obstore 0.12.1 refuses None, which its types allow (findings/obstore-put-result-is-no-condition.sh).
    return {name: value for name, value in facts.items() if value}


def _version(facts: Any) -> str:
    """The version of an object: S3 and Azure compare its tag, Google its generation."""
    return f"{facts.get('e_tag') or ''}\n{facts.get('version') or ''}"


def _check_bucket(error: Exception) -> None:
    if _NO_BUCKET.search(str(error)):
        raise AttemptFailed("there is no such bucket", permanent=True) from None


def _attempt_error(error: Exception) -> AttemptFailed:
    """What an error of obstore means for the next attempt."""
    import obstore.exceptions as kinds

    if isinstance(error, AttemptFailed):
        return error
    _check_bucket(error)
    problem = _first_line(error)
    status = int(found[1]) if (found := _STATUS.search(str(error))) else 0
    refused = (kinds.PermissionDeniedError, kinds.UnauthenticatedError, kinds.NotSupportedError)
    permanent = (
        isinstance(error, refused)
        or not isinstance(error, kinds.BaseError)
        or (400 <= status < 500 and status not in _TRANSIENT_STATUSES)
        or status in _FINAL_STATUSES
        or (not status and bool(_FINAL.search(problem)))
    )
    return AttemptFailed(problem, permanent=permanent, may_have_arrived="missing from response" in problem)


def _first_line(error: Exception) -> str:
    """The first line of a message, without the response and without the query of the URL: it can hold a signature."""
    lines = str(error).splitlines() or [type(error).__name__]
    problem = re.sub(r"Error performing \w+ \S+ in \S+ - ", "", lines[0].partition("<?xml")[0])
    without_query = re.sub(r"\?[^\s<>]*=\S*", "", problem)
    return without_query[:200].strip(": ")
