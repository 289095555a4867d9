"""Find the address of a finished video, and tell when it expires."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, unquote, unquote_to_bytes, urlsplit

from langchain_nebula_video.media.mp4 import is_video_start
from langchain_nebula_video.media.urls import split_url
from langchain_nebula_video.protocols.shapes import ENVELOPES
from langchain_nebula_video.protocols.values import find_time, get_object
from langchain_nebula_video.schema import is_encodable

__all__ = ["find_url", "url_expiry"]

_NAMES = ("url", "video_url", "result_url", "urls", "unsigned_urls", *ENVELOPES)
"""Where a video's address may be: first beside what is read, then in the envelopes. `cover_url` and `thumbnail_url` are
pictures, and are not here. `unsigned_urls`: OpenRouter, which wants the key there."""
_LAST_NAMES = (
    "fail_reason",  # older new-api versions put the video's URL here on success
    "watermark_video_url",  # Kling: the same video with the vendor's mark
)
_MAX_DEPTH = 8
_MAX_ITEMS = 20
_PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp")
_MAX_PATH = 2000
_PATH = re.compile(r"/(?![/\\])[^\s\\\x00-\x1f\x7f]*")
_HEAD = 400
"""Characters of a `data:` URI that hold its header and the start of the video."""
_URL_SAFE = str.maketrans("-_", "+/")

_URL_LIFETIME = timedelta(hours=24)
_CLOCK_SKEW = timedelta(minutes=10)


def find_url(body: Mapping[str, Any]) -> str | None:
    """Return the first URL or `data:` URI of a video. Without one: the first path on the gateway, beginning with `/`.

    Values that are no URL are skipped, and so are pictures and `data:` URIs without a video.
    """
    path = None
    for names in (_NAMES, (*_NAMES, *_LAST_NAMES)):
        for text in _find_texts(body, names, _MAX_DEPTH):
            url = _encode_spaces(text.strip())
            if _is_video_url(url):
                return url
            if path is None and len(url) < _MAX_PATH and _PATH.fullmatch(url) and is_encodable(url):
                path = url
    return path


def _find_texts(value: object, names: tuple[str, ...], depth: int) -> Iterator[str]:
    """Return the texts under these names, at any depth."""
    fields = get_object(value)
    if depth == 0:
        return
    if fields is not None:
        for name in names:
            if fields.get(name):
                yield from _find_texts(fields[name], names, depth - 1)
    elif isinstance(value, list):
        for item in value[:_MAX_ITEMS]:
            yield from _find_texts(item, names, depth - 1)
    elif isinstance(value, str):
        yield value


def _is_video_url(url: str) -> bool:
    if url[:11].lower() == "data:video/":
        return _holds_video(url) and is_encodable(url)
    parts = split_url(url, ("https", "http"))
    return parts is not None and not parts.path.lower().endswith(_PICTURES) and is_encodable(url)


def _holds_video(uri: str) -> bool:
    """Whether the content of a `data:` URI begins as a video does. Some gateways give empty ones."""
    head, _, content = uri[:_HEAD].partition(",")
    if not head.lower().endswith(";base64"):
        return is_video_start(unquote_to_bytes(content))
    plain = "".join(unquote(content).split()).translate(_URL_SAFE).rstrip("=")
    try:
        return is_video_start(base64.b64decode(plain[: len(plain) // 4 * 4], validate=True))
    except (binascii.Error, ValueError):
        return False


def _encode_spaces(url: str) -> str:
    """Percent-encode spaces in the path. Some gateways sign URLs that they have not encoded."""
    if url[:5].lower() == "data:":
        return url
    scheme, slashes, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{slashes}{host}{slash}{path.replace(' ', '%20')}"


def url_expiry(url: str, finished_at: datetime | None, received_at: datetime) -> datetime:
    """Return when a signed URL expires: its own parameter, otherwise 24 hours after the task finished."""
    if split_url(url, ("https", "http")) is not None:
        query = parse_qs(urlsplit(url).query)
        signed = find_time({name: _parse_epoch(values[0]) for name, values in query.items()}, "Expires", "expires")
        if signed is not None:
            return signed
    # A finish time in the future, or more than 24 hours ago, was misread. Then the time of the response counts.
    earliest, latest = received_at - _URL_LIFETIME - _CLOCK_SKEW, received_at + _CLOCK_SKEW
    since = finished_at if finished_at and earliest <= finished_at <= latest else received_at
    return since + _URL_LIFETIME


def _parse_epoch(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 14 else None
