"""An object store with conditional writes: `open_store(url)` for s3://, gs://, az:// and file://.

The cloud stores are reached through obstore (`pip install 'lcnb[store]'`), a file:// store is a folder. Both have the
same rules:

- A write is whole or absent. A reader never sees a part.
- `write(key, data, expected=ABSENT)` creates, `expected=version` replaces exactly that version, and StoreConflict says
  that another write was first.
- An attempt whose response was lost is never taken for a conflict with itself: the object is read, and the write
  succeeded when the object holds its bytes. So two writers that must exclude each other write different bytes.
- A version represents the content. Where content A, then B, then A again must be three versions, put a counter in it.
- An unconditional write (`expected=ANY`) that was given up may still arrive later and replace a newer one. Use it only
  for a key that always gets the same bytes.

Every operation ends before its deadline (`StoreLimits`), with StoreUnavailable when the store did not answer. Ctrl-C
ends it at once. In an unconditional write of more than PART_BYTES to a cloud store, each part has this deadline.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from lcnb.errors import ConfigError, StoreConflict, StoreUnavailable
from lcnb.stored_objects import ABSENT as ABSENT
from lcnb.stored_objects import ANY as ANY
from lcnb.stored_objects import PART_BYTES as PART_BYTES
from lcnb.stored_objects import (
    AttemptConflict,
    AttemptFailed,
    Backend,
    Expected,
    is_key,
)
from lcnb.stored_objects import StoredEntry as StoredEntry
from lcnb.stored_objects import StoredObject as StoredObject
from lcnb.stored_objects import StoreLimits as StoreLimits

T = TypeVar("T")

SCHEMES = ("s3", "gs", "az", "file")
_EXAMPLE = "Example: s3://bucket/lcnb, gs://bucket/lcnb, az://container/lcnb or file:///srv/lcnb."


class ObjectStore:
    """A store of objects below one URL. Keys are relative to it, such as `runs/20261101/run.json`.

    >>> import tempfile
    >>> store = open_store(f"file://{tempfile.mkdtemp()}")
    >>> first = store.write("a/b.txt", b"one", expected=ABSENT)
    >>> second = store.write("a/b.txt", b"two", expected=first)
    >>> store.read("a/b.txt").data
    b'two'
    >>> store.write("a/b.txt", b"three", expected=first)
    Traceback (most recent call last):
    ...
    lcnb.errors.StoreConflict: a/b.txt: another write was first. Nothing was written.
    """

    def __init__(
        self,
        url: str,
        backend: Backend,
        limits: StoreLimits,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self.url = url
        self.limits = limits
        self._backend = backend
        self._clock = clock
        self._sleep = sleep
        #: Called with the reason before each pause between two attempts.
        self.on_wait: Callable[[str], None] = lambda problem: None
        #: Of the operations that go on now.
        self._cancelled = threading.Event()

    def __repr__(self) -> str:
        return f"ObjectStore({self.url!r})"

    def read(self, key: str) -> StoredObject | None:
        """Return the object, or None when there is none. StoreUnavailable when the store did not answer in time."""
        checked = checked_key(key)
        return self._retry(key, "read", lambda: self._backend.read(checked))

    def write(self, key: str, data: bytes, *, expected: Expected = ANY) -> str:
        """Write an object whole, and return its new version.

        Args:
            key: The key below the URL of the store.
            data: All bytes of the object.
            expected: ANY, ABSENT, or the version that is to be replaced.

        Raises StoreConflict when the object is another one than expected; its `current` is the object that was found
        (None when there is none), and nothing was written. Raises StoreUnavailable when the store did not answer in
        time; its `sent` is None when the write may have arrived or may still arrive.
        """
        checked = checked_key(key)
        pending = _PendingWrite(self._backend, checked, data, expected)
        try:
            return self._retry(key, "write", pending.attempt)
        except StoreUnavailable as error:
            raise error.restate(sent=None if pending.is_unsure else False) from None

    def delete(self, key: str) -> None:
        """Delete an object; a missing one is no error. StoreUnavailable when the store did not answer in time."""
        checked = checked_key(key)
        self._retry(key, "delete", lambda: self._backend.delete(checked))

    def list(self, prefix: str = "") -> list[StoredEntry]:
        """Return the objects below a folder (not of `runs/xy` for `runs/x`), sorted. StoreUnavailable as in `read`."""
        checked = checked_key(prefix.rstrip("/")) if prefix else ""
        return sorted(
            self._retry(prefix, "list", lambda: self._backend.list(checked)), key=lambda each: each.key
        )

    def cancel_requests(self) -> None:
        """End the operations that go on in any thread, with StoreUnavailable. A write may have arrived.

        Ctrl-C in the main thread cancels its own request without this.
        """
        cancelled, self._cancelled = self._cancelled, threading.Event()
        cancelled.set()
        self._backend.cancel_requests()

    def _retry(self, key: str, what: str, attempt: Callable[[], T]) -> T:
        """Return the result of the first attempt that has one, within the deadline."""
        limits, end, tries = self.limits, self._clock() + self.limits.total_s, 0
        cancelled = self._cancelled
        sleep = self._sleep or cancelled.wait
        while True:
            tries += 1
            try:
                return attempt()
            except AttemptFailed as error:
                ceiling = min(limits.longest_wait_s, limits.first_wait_s * 2 ** min(tries - 1, 16))
                wait = ceiling * random.uniform(0.5, 1)  # noqa: S311 - spreads the retries of many processes
                is_last = error.permanent or self._clock() + wait >= end
                if not is_last:
                    self.on_wait(str(error))
                    sleep(wait)
                if is_last or cancelled.is_set():
                    raise self._unavailable(key, what, error, tries) from None

    def _unavailable(self, key: str, what: str, error: AttemptFailed, tries: int) -> StoreUnavailable:
        attempts = "1 attempt" if tries == 1 else f"{tries} attempts"
        where = f"{what} {key} in {self.url}" if key else f"{what} {self.url}"
        return StoreUnavailable(
            f"the store did not {where} ({attempts}): {error}",
            cure="Check its URL, its credentials and the network.",
            url=self.url,
            tries=tries,
            refused=error.permanent,
        )


@dataclass
class _PendingWrite:
    """One write with all its attempts. `is_unsure` means that an earlier attempt may have arrived."""

    backend: Backend
    key: str
    data: bytes
    expected: Expected
    is_unsure: bool = False

    def attempt(self) -> str:
        try:
            return self.backend.write(self.key, self.data, self.expected)
        except AttemptConflict:
            return self._settle_conflict()
        except AttemptFailed as error:
            self.is_unsure |= error.may_have_arrived
            raise

    def _settle_conflict(self) -> str:
        """Return the version when the conflict is with an earlier attempt of this same write."""
        current = self.backend.read(self.key)
        if self.is_unsure and current is not None and current.data == self.data:
            return current.version
        if self.expected == (ABSENT if current is None else current.version):
            # A race in the store.
            raise AttemptFailed("the store reported a conflict, and no other write was there")
        raise StoreConflict("another write was first", field=self.key, current=current, not_done="written")


def open_store(
    url: str,
    limits: StoreLimits | None = None,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] | None = None,
) -> ObjectStore:
    """Return the store of a URL; nothing is sent yet.

    Args:
        url: `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix` or `file:///folder`.
        limits: The time limits.
        clock: Seconds that only grow.
        sleep: Waits for some seconds between two attempts.

    Endpoint and credentials come from the variables that other programs use: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
    AWS_SESSION_TOKEN, AWS_REGION, AWS_ENDPOINT_URL; GOOGLE_APPLICATION_CREDENTIALS; AZURE_STORAGE_ACCOUNT_NAME,
    AZURE_STORAGE_ACCOUNT_KEY. Raises ConfigError for a wrong URL or setting, and when obstore is not installed.
    """
    scheme, name, prefix = split_store_url(url)
    limits = limits or StoreLimits()
    if scheme == "file":
        from lcnb.folder_store import FolderBackend

        backend: Backend = FolderBackend(prefix, limits.total_s)
    else:
        from lcnb.cloud_store import CloudBackend, bucket_client

        backend = CloudBackend(
            bucket_client(scheme, name, prefix, limits),
            bucket_client(scheme, name, prefix, limits, retries_parts=True),
        )
    return ObjectStore(f"{scheme}://{name}/{prefix}".rstrip("/"), backend, limits, clock=clock, sleep=sleep)


def is_store_url(text: str) -> bool:
    """Whether a setting is the URL of a store rather than the path of a folder.

    >>> is_store_url("s3://bucket/lcnb"), is_store_url("/srv/runs"), is_store_url("C:/runs")
    (True, False, False)
    """
    return "://" in text


def split_store_url(url: str) -> tuple[str, str, str]:
    """Return scheme, bucket and prefix of a URL. ConfigError when it is no URL of a store.

    >>> split_store_url("s3://bucket/a/b/")
    ('s3', 'bucket', 'a/b')
    """
    text = url.strip()
    if any(mark in text for mark in "@?#"):  # it is not shown, because it may contain a password
        raise ConfigError(
            "the URL of the store has more than a bucket and a prefix: a user, a password, a query or a fragment. "
            "It is not shown, because it may contain a secret",
            cure=f"Credentials come from the environment. {_EXAMPLE}",
            not_done="started",
        )
    scheme, found, rest = text.partition("://")
    name, _, prefix = rest.partition("/")
    scheme, prefix = scheme.lower(), prefix.rstrip("/")
    right_name = not name if scheme == "file" else re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}", name)
    right_prefix = is_key(prefix) or (not prefix and scheme != "file")
    if not found or scheme not in SCHEMES or not right_name or not right_prefix:
        raise ConfigError(f"{url!r} is not the URL of a store", value=url, cure=_EXAMPLE, not_done="started")
    return scheme, name, prefix


def checked_key(key: str) -> str:
    """Return the key. ValueError when it could leave its folder: such a key is a mistake of lcnb, not of a user."""
    if not is_key(key):
        raise ValueError(f"{key!r} is not a key of an object")
    return key
