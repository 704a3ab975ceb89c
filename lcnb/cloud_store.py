"""Buckets of S3, Google and Azure as object stores, by obstore (`pip install 'lcnb[store]'`)."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from lcnb.base_url import is_loopback
from lcnb.errors import ConfigError
from lcnb.stored_objects import (
    ABSENT,
    ANY,
    AttemptConflict,
    AttemptFailed,
    Expected,
    StoredEntry,
    StoredObject,
    StoreLimits,
)

#: What a store answers when the bucket itself is missing. It must not be read as a missing object.
_NO_BUCKET = re.compile(">NoSuchBucket<|>ContainerNotFound<|specified bucket does not exist", re.IGNORECASE)
_STATUS = re.compile(r"status code: (\d{3})")
#: Statuses below 500 that a later attempt may not get again.
_TRANSIENT_STATUSES = (408, 409, 425, 429)
#: An object that nobody writes: every store answers that it has none.
_NO_OBJECT = ".lcnb-no-object"
#: The process that has used obstore first: its threads do not exist in a fork.
_first_process = 0


def bucket_client(scheme: str, name: str, prefix: str, limits: StoreLimits) -> Any:
    """Return obstore's client of a bucket. Its own retries are off: they cannot know a write that arrived."""
    stores = import_obstore()
    options: dict[str, Any] = {
        "client_options": {
            "connect_timeout": timedelta(seconds=limits.connect_s),
            "read_timeout": timedelta(seconds=limits.read_s),
            "timeout": timedelta(seconds=limits.request_s),
        },
        "retry_config": {"max_retries": 0, "retry_timeout": timedelta(seconds=limits.request_s)},
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


class CloudBackend:
    """One attempt each, by obstore."""

    def __init__(self, client: Any) -> None:
        self._bucket = client

    @property
    def _client(self) -> Any:
        """The client of obstore, which would wait forever in a fork of the process that has used it first."""
        global _first_process
        _first_process = _first_process or os.getpid()
        if _first_process != os.getpid():
            raise AttemptFailed("this process is a fork of one that has used a store", permanent=True)
        return self._bucket

    def read(self, key: str) -> StoredObject | None:
        """The object, or None."""
        try:
            found = self._client.get(key)
            data = bytes(found.bytes())
        except FileNotFoundError as error:
            _check_bucket(error)
            return None
        except Exception as error:
            raise _attempt_error(error) from None
        if not (found.meta["e_tag"] or found.meta["version"]):
            raise AttemptFailed(
                "what answers is no store, because its objects have no version; it may be a proxy, or the page of a "
                "network that asks to sign in",
                permanent=True,
            )
        return StoredObject(data, _version(found.meta), found.meta["last_modified"])

    def write(self, key: str, data: bytes, expected: Expected) -> str:
        """The new version. AttemptConflict when the object is another one than expected."""
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        try:
            return _version(self._client.put(key, data, mode=_put_mode(expected), use_multipart=False))
        except (AlreadyExistsError, PreconditionError, FileNotFoundError) as error:
            _check_bucket(error)
            raise AttemptConflict from None
        except Exception as error:
            raise _attempt_error(error) from None

    def delete(self, key: str) -> None:
        """Delete it, if it is there."""
        try:
            self._client.delete(key)
        except FileNotFoundError as error:
            _check_bucket(error)
        except Exception as error:
            raise _attempt_error(error) from None

    def list(self, prefix: str) -> list[StoredEntry]:
        """All objects below the folder."""
        try:
            found = [
                StoredEntry(each["path"], each["size"], _version(each), each["last_modified"])
                for batch in self._client.list(prefix or None)
                for each in batch
            ]
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

    _check_bucket(error)
    text = str(error)
    status = int(found[1]) if (found := _STATUS.search(text)) else 0
    refused = (kinds.PermissionDeniedError, kinds.UnauthenticatedError, kinds.NotSupportedError)
    permanent = isinstance(error, refused) or (400 <= status < 500 and status not in _TRANSIENT_STATUSES)
    return AttemptFailed(_first_line(error), permanent=permanent or not isinstance(error, kinds.BaseError))


def _first_line(error: Exception) -> str:
    """The first line of a message, without the response and without the query of the URL: it can hold a signature."""
    lines = str(error).splitlines() or [type(error).__name__]
    problem = re.sub(r"Error performing \w+ \S+ in \S+ - ", "", lines[0].partition("<?xml")[0])
    without_query = re.sub(r"\?[^\s<>]*=\S*", "", problem)
    return without_query[:200].strip(": ")
