"""Remove everything from a page's HTML that would send a request: scripts, frames, remote pictures and styles."""

from __future__ import annotations

import re
from html import escape, unescape

from lcnb.runbooks.publish.outputs import NOTED_MARKERS, script_kind
from lcnb.runbooks.publish.pictures import PictureEmbedder, left_out_note

_SCRIPT = re.compile(r"<script\b.*?(?:</script[^>]*>|\Z)", re.DOTALL | re.IGNORECASE)
_EMBEDDED = re.compile(
    r"<(iframe|frame|object|embed|video|audio|applet|canvas)\b[^>]*>(?:.*?</\1\s*>)?",
    re.DOTALL | re.IGNORECASE,
)
_LOADING_TAG = re.compile(
    r"</?(?:link|meta|base|iframe|frame|frameset|object|embed|applet|video|audio|canvas)\b[^>]*>",
    re.IGNORECASE,
)
_STYLE_BLOCK = re.compile(r"<style\b.*?(?:</style[^>]*>|\Z)", re.DOTALL | re.IGNORECASE)
_CSS_REQUEST = re.compile(
    r"@import[^;}<]*;?|url\(\s*(?![\"'\s]*(?:data:|#))(?:\"[^\"]*\"|'[^']*'|&quot;.*?&quot;|[^)]*)\s*\)",
    re.IGNORECASE,
)
_TAG = re.compile(r"""<[a-z](?:[^"'<>]|"[^"]*"|'[^']*')*>""", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""\s([\w:-]+)\s*=\s*("[^"]*"|'[^']*'|[^\s"'>]+)""")
_LOADING_ATTRIBUTES = (
    "src",
    "srcset",
    "href",
    "poster",
    "data",
    "background",
    "action",
    "formaction",
    "ping",
)


def remove_requests(body: str, pictures: PictureEmbedder) -> str:
    """Return the body of a page without anything that would send a request, even when it is opened years later.

    `report.CONTENT_POLICY` forbids requests to every browser, which would leave gaps and error messages. Here a
    sentence replaces them, and pictures in the folder of the notebook are embedded. Links that a person may click
    stay.
    """
    named: set[str] = set()  # kinds that a sentence on this page has named already

    def name(match: re.Match[str]) -> str:
        kind = script_kind(match[0])
        if kind in named and match[0].lower().startswith("<script"):
            return ""
        named.add(kind)
        return left_out_note(f"Left out: {kind}; a report runs no scripts and sends no requests.")

    body = _strip_noted_outputs(body)
    body = _EMBEDDED.sub(name, _SCRIPT.sub(name, body))
    body = _LOADING_TAG.sub("", body)
    body = _STYLE_BLOCK.sub(lambda style: _CSS_REQUEST.sub("", style[0]), body)
    return _TAG.sub(lambda tag: _safe_tag(tag[0], pictures), body)


def _strip_noted_outputs(body: str) -> str:
    """Remove the scripts and frames of outputs that have their own sentence."""

    def cleaned(match: re.Match[str]) -> str:
        return _LOADING_TAG.sub("", _EMBEDDED.sub("", _SCRIPT.sub("", match[1])))

    return re.sub(
        re.escape(NOTED_MARKERS[0]) + "(.*?)" + re.escape(NOTED_MARKERS[1]), cleaned, body, flags=re.DOTALL
    )


def _safe_tag(tag: str, pictures: PictureEmbedder) -> str:
    """Return a tag without attributes that send a request; a picture is embedded or replaced by a sentence."""
    if not re.match(r"<(?:img|image|input|source)\b", tag, re.IGNORECASE):
        return _ATTRIBUTE.sub(lambda each: _safe_attribute(tag, each), tag)
    found = {each[1].lower(): unescape(each[2].strip("\"'")) for each in _ATTRIBUTE.finditer(tag)}
    address = found.get("src") or found.get("href") or found.get("xlink:href")
    if address is None:
        return (
            ""
            if tag[1:7].lower() == "source"
            else _ATTRIBUTE.sub(lambda each: _safe_attribute(tag, each), tag)
        )
    source, problem = pictures.source(address)
    if source is None:
        alt = f" ({found['alt']})" if found.get("alt") else ""
        return left_out_note(f"Picture left out{alt}: {problem}.")
    return _ATTRIBUTE.sub(lambda each: _safe_picture_attribute(tag, each, source), tag)


def _safe_picture_attribute(tag: str, attribute: re.Match[str], source: str) -> str:
    name = attribute[1].lower()
    if name in ("src", "href", "xlink:href"):
        return f' {attribute[1]}="{escape(source)}"'
    return "" if name == "srcset" else _safe_attribute(tag, attribute)


def _safe_attribute(tag: str, attribute: re.Match[str]) -> str:
    name, value = attribute[1].lower(), unescape(attribute[2].strip("\"'"))
    if name == "style":
        return _CSS_REQUEST.sub("", attribute[0])
    link = name == "href" and re.match(r"<a\s", tag, re.IGNORECASE)
    loaded = (
        name.rpartition(":")[2] in _LOADING_ATTRIBUTES and "//" in value and not value.startswith("data:")
    )
    return "" if name.startswith("on") or (loaded and not link) else attribute[0]
