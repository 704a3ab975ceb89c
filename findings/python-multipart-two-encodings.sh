#!/bin/sh
# The same form, sent in its two standard encodings, reaches a caller of python-multipart's parse_form as two texts.
#
# Expected: a parser that is chosen by Content-Type gives the fields that the sender had, whichever encoding was used.
# Observed (python-multipart 0.0.34): the parts of multipart/form-data are given as they were, a base64 transfer encoding
# undone; the values of application/x-www-form-urlencoded are given as they stand on the wire, with `+` and `%2B`. A server
# that takes both kinds by parse_form stores another password than the one that was typed, without an error.
# What to do: decode names and values with urllib.parse.unquote_plus, or read urlencoded bodies with parse_qsl.
#
# Exits 0 while this is so, 1 when it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check python-multipart==0.0.34
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys
from importlib.metadata import version
from urllib.parse import parse_qsl, urlencode

from python_multipart import parse_form

FORM = {"password": "Tr1cky+pass word&50%"}


def parse(content_type: str, body: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    headers = {"Content-Type": content_type.encode(), "Content-Length": str(len(body)).encode()}
    parse_form(
        headers,
        io.BytesIO(body),
        lambda field: found.update({field.field_name.decode(): field.value.decode()}),
        lambda file: None,
    )
    return found


multipart = (
    '--edge\r\nContent-Disposition: form-data; name="password"\r\n\r\n' + FORM["password"] + "\r\n--edge--\r\n"
).encode()
urlencoded = urlencode(FORM).encode()
by_multipart = parse("multipart/form-data; boundary=edge", multipart)
by_urlencoded = parse("application/x-www-form-urlencoded", urlencoded)

print("python-multipart", version("python-multipart"))
print("sent in both encodings:    ", FORM)
print("parse_form, multipart:     ", by_multipart)
print("parse_form, urlencoded:    ", by_urlencoded)
print("urllib's parse_qsl of that:", dict(parse_qsl(urlencoded.decode())))
as_observed = by_multipart == FORM and by_urlencoded == {"password": "Tr1cky%2Bpass+word%2650%25"}
sys.exit(0 if as_observed else 1)
PYTHON
