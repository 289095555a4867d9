"""What counts as one image: a block, a URL, a `data:` URI, base64 text, bytes or a PIL image.

Images are recognized by their type, by their first bytes or by the suffix of their URL. Nothing is fetched and no
pixel is decoded.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.media.formats import MIME_TYPES, detect_format
from langchain_nebula_video.media.images import decode_base64, image_from_block, is_pil_image
from langchain_nebula_video.media.inspection import inspect_image
from langchain_nebula_video.media.urls import split_url, url_fingerprint

__all__ = [
    "IMAGE_BLOCKS",
    "as_data_uri",
    "describe_source",
    "holds_image",
    "identity",
    "is_image_bytes",
    "is_image_link",
    "is_pil_image",
    "is_remote",
    "is_url",
    "is_whole_picture",
    "parse_handle",
    "truncate",
]

IMAGE_BLOCKS = frozenset({"image", "image_url", "input_image"})
"""The types of content blocks that hold an image."""
_HANDLE = re.compile(
    r"(?:the\s+)?(?:(?P<last>last|newest|latest)(?:\s+(?:image|picture))?"
    r"|(?:(?:image|picture|img)[\s_-]*)?(?:#|no\.?\s*|number\s+)?(?P<number>[0-9]{1,6}))",
    re.IGNORECASE,
)
_SCHEMES = ("https", "http", "oss")
_FORMATS = frozenset({*MIME_TYPES, "GIF", "TIFF", "AVIF", "HEIC", "HEIF"})
_SUFFIX = re.compile(r"\.(\w+)(?:[@!][\w!-]*)?/?$")
"""A suffix, also before the name of a style: object stores serve `cat.png@!w800` and `cat.png!small`."""
_IMAGE_SUFFIXES = frozenset({"png", "jpg", "jpeg", "webp", "bmp"})
# Suffixes of other files, and of images that no gateway reads.
_NON_IMAGE_SUFFIXES = frozenset(
    {"mp4", "mov", "webm", "mkv", "avi", "m4v", "m3u8", "mp3", "wav", "m4a", "ogg", "flac", "aac", "gif", "svg", "ico",
     "tif", "tiff", "heic", "avif", "pdf", "html", "htm", "json", "xml", "txt", "md", "csv", "zip", "gz", "js",
     "css", "doc", "docx", "xls", "xlsx", "ppt", "pptx"}
)  # fmt: skip
_BASE64 = re.compile(r"[A-Za-z0-9+/_\s-]++={0,2}\s*+")
_MAX_TEXT = 80
_MIN_SIDE = 32
"""Pixels."""


def is_url(text: str) -> bool:
    """Whether a text is a URL with a scheme that gateways read, or a `data:` URI."""
    return text.lstrip()[:5].lower() == "data:" or split_url(text.strip(), _SCHEMES) is not None


def is_image_link(text: str, *, expect_image: bool) -> bool:
    """Whether a text is the URL of an image.

    Args:
        text: Any text.
        expect_image: Whether the context says that it is an image. If so, a URL without a suffix counts too.
    """
    parts = split_url(text, _SCHEMES) if text[:4].lower() in {"http", "oss:"} else None  # cheap test first
    if parts is None:
        return False
    match = _SUFFIX.search(parts.path.lower())
    suffix = match[1] if match else ""
    return suffix in _IMAGE_SUFFIXES or (
        expect_image and suffix not in _NON_IMAGE_SUFFIXES and parts.path.strip("/") != ""
    )


def as_data_uri(text: str) -> str | None:
    """Return the `data:` URI of an image unchanged, wrap base64 that starts like an image, else return `None`."""
    head, comma, body = text.partition(",") if text[:5].lower() == "data:" else ("", "", text)
    name = detect_format(_first_bytes(body))
    if comma:
        return text if head[5:11].lower() == "image/" or name in _FORMATS else None
    if name not in _FORMATS or not _BASE64.fullmatch(text):
        return None
    return f"data:{MIME_TYPES.get(name or '', 'image/*')};base64,{text}"


def is_image_bytes(data: bytes) -> bool:
    """Whether the bytes start like an image file."""
    return detect_format(data[:64]) in _FORMATS


def is_whole_picture(source: Any) -> bool:
    """Whether inline data is a complete image of more than a few pixels. Language models make up small ones."""
    data = _unwrap_block(source)
    if isinstance(data, str):
        try:
            data = decode_base64(data.partition(",")[2])
        except ValueError:
            return False
    if not isinstance(data, bytes):
        return True
    try:
        info = inspect_image(data)
    except InvalidRequestError:
        return False
    return min(info.width, info.height) >= _MIN_SIDE


def holds_image(block: Mapping[str, Any]) -> bool:
    """Whether a content block has its image with it. A provider's file id does not count."""
    try:
        held = image_from_block(block)
    except InvalidRequestError:
        return False
    return not isinstance(held, str) or as_data_uri(held) is not None or (_is_remote(held) and is_url(held))


def is_remote(source: Any) -> bool:
    """Whether an image, in any form, is only a URL."""
    return _is_remote(_unwrap_block(source))


def identity(source: Any) -> object:
    """A value that is equal for the same image in any form, whatever signature its URL has."""
    data = _unwrap_block(source)
    if isinstance(data, bytes):
        return hash(base64.b64encode(data).decode())
    if isinstance(data, str):
        return url_fingerprint(data) if _is_remote(data) else hash(data.partition(",")[2])
    return id(data)


def describe_source(source: Any) -> str:
    """Format and size of an image, or its URL without the signature: `PNG, 84 kB`."""
    data = _unwrap_block(source)
    if _is_remote(data):
        return truncate(url_fingerprint(data.strip()))
    if not isinstance(data, str | bytes):
        return f"picture of {data.width} x {data.height} pixels"
    body = data.partition(",")[2] if isinstance(data, str) else data
    first, size = (_first_bytes(body), len(body) * 3 // 4) if isinstance(body, str) else (body[:64], len(body))
    amount = f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{max(1, round(size / 1e3))} kB"
    return f"{detect_format(first) or 'image'}, {amount}"


def truncate(text: str) -> str:
    """The first 80 characters of a text, for messages."""
    return text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 1]}…"


def _unwrap_block(source: Any) -> Any:
    """The content of a block; anything else unchanged."""
    return image_from_block(source) if isinstance(source, Mapping) else source


def _is_remote(data: object) -> bool:
    return isinstance(data, str) and data[:5].lower() != "data:"


def _first_bytes(text: str) -> bytes:
    """The first bytes of base64 text; empty if it is not base64."""
    try:
        return decode_base64("".join(unquote(text[:160]).split())[:64])
    except ValueError:
        return b""


def parse_handle(text: str) -> str | None:
    """Read a handle such as `2`, `#2`, `image 2`, `last` or `newest`: return the number or `last`, else `None`."""
    match = _HANDLE.fullmatch(text.strip())
    if match is None:
        return None
    return "last" if match["last"] else str(int(match["number"]))
