"""The content of a request: API version, method, fields of the body and the query."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from lcnb.sandbox.http import MAX_BODY_BYTES, Json, Request
from lcnb.sandbox.refusals import Refusal

VERSION_PATTERN = re.compile(r"application/vnd\.letscloud\.v(\d+)\+json", re.IGNORECASE)
MASKED_FIELDS = ("password", "private_key", "key")


def check_version(headers: Mapping[str, str]) -> None:
    """Refuse every API version but v1. The version is in Accept [S] or Content-Type [node]; v1 by default."""
    for name in ("accept", "content-type"):
        match = VERSION_PATTERN.search(headers.get(name, ""))
        if match and match[1] != "1":
            raise Refusal(f"The version v{match[1]} does not exist, use v1.", 400)


def parse_fields(request: Request) -> Json:
    """Return the fields of the query and the body; those of the body win. A JSON `null` counts as an empty body [go].

    The examples of the API page send a form with the content type JSON: curl adds a boundary to that header [doc].
    """
    if len(request.body) > MAX_BODY_BYTES:
        raise Refusal("Payload Too Large", 413)
    query: Json = dict(parse_qsl(request.query))
    kind = request.headers.get("content-type", "").lower()
    try:
        if "multipart/form-data" in kind or "boundary=" in kind:
            return query | _parse_multipart(request)
        if "x-www-form-urlencoded" in kind:
            return query | dict(parse_qsl(request.body.decode(), keep_blank_values=True))
        document = json.loads(request.body.decode("utf-8-sig") or "null")
    except (ValueError, RecursionError):
        raise Refusal("The request body is malformed.", 400) from None
    if document is None:
        return query
    if not isinstance(document, dict):
        raise Refusal("The request body must be an object.", 400)
    return query | document


def _parse_multipart(request: Request) -> Json:
    from python_multipart import parse_form
    from python_multipart.exceptions import FormParserError

    fields: Json = {}

    def keep(part: Any) -> None:
        fields[part.field_name.decode()] = (part.value or b"").decode()

    _, _, parameters = request.headers["content-type"].partition(";")
    headers: dict[str, bytes] = {
        "Content-Type": f"multipart/form-data;{parameters}".encode(),
        "Content-Length": str(len(request.body)).encode(),
    }
    try:
        parse_form(headers, io.BytesIO(request.body), keep, lambda part: None)
    except FormParserError as error:
        raise ValueError(str(error)) from None
    return fields


def effective_method(request: Request, fields: Json) -> str:
    """Return the method of a request, or the `_method` in the body of a POST, as Laravel allows [doc]."""
    spoofed = str(fields.pop("_method", request.headers.get("x-http-method-override", ""))).upper()
    if request.method == "POST" and spoofed:
        if spoofed not in ("PUT", "DELETE", "PATCH"):
            raise Refusal("Method Not Allowed", 405)
        return spoofed
    return request.method


def record_intent(request: Request, entry: Json) -> None:
    """Record method and fields in the log entry of a request that is not executed now."""
    with contextlib.suppress(Refusal):
        fields = parse_fields(request)
        entry.update(method=effective_method(request, fields), body=mask_secrets(fields))


def mask_secrets(fields: Json) -> Json:
    """Return the fields with stars in place of passwords and keys."""
    return {name: "*****" if name in MASKED_FIELDS else value for name, value in fields.items()}
