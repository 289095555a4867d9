"""Whatever holds an image -> what the wire takes.

Format and soundness are told by content, not by name. A string is a URL or a `data:` URI; it is taken for
a local path only where the caller has named a folder, and then never leaves it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import os
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from langchain_nebula_video._urls import split_url, without_query
from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.schema import encodable

__all__ = ["ImageInfo", "WireImage", "image_in_block", "inspect_image", "wire_image"]


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What an image's own bytes say of it."""

    format: str
    """`"JPEG"` or `"PNG"`."""
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class WireImage:
    """An image ready to be sent."""

    text: str
    """The URL as it was given, or a `data:` URI."""
    digest: str
    """Names the image without holding it: a hash of its bytes, or its URL less the signature."""

    def __repr__(self) -> str:
        return f"WireImage({self.digest})"


_MIME = {"JPEG": "image/jpeg", "PNG": "image/png"}
_FORMS = "an https or http URL, a data: URI, bytes, a pathlib.Path, an open file, a PIL image or an image block"
# Formats that people do hand over, by their first bytes, so that the refusal can name them.
_OTHERS = ((b"GIF8", "GIF"), (b"RIFF", "WEBP"), (b"BM", "BMP"), (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"),
           (b"<svg", "SVG"), (b"<?xml", "SVG"), (b"%PDF", "PDF"), (b"<!DOC", "HTML"), (b"<html", "HTML"))  # fmt: skip


def wire_image(
    image: object, *, max_bytes: int, formats: tuple[str, ...] = ("JPEG", "PNG"), folder: Path | None = None
) -> WireImage:
    """The image as the gateway takes it.

    Args:
        image: A URL, `data:` URI, bytes, `Path`, open binary file, PIL image or LangChain image block.
        max_bytes: The image must be smaller than this.
        formats: The formats that the model reads.
        folder: Where a string may name a file; `None`: nowhere.

    Raises:
        InvalidRequestError: it holds no image, or none that the model takes; says what to do.
    """
    image = image_in_block(image) if isinstance(image, Mapping) else image
    if isinstance(image, str):
        text = image.strip()
        if split_url(text, ("https", "http")) is not None and encodable(text):
            return WireImage(text, f"url:{without_query(text)}")
        if text[:5].lower() == "data:":
            return _from_bytes(_data_uri_bytes(text, max_bytes), max_bytes, formats)
        image = _inside(text, folder)
    return _from_bytes(_read(image, max_bytes), max_bytes, formats)


_OTHER_BLOCKS = frozenset({"video", "audio", "text", "file"})


def image_in_block(block: Mapping[str, Any]) -> object:
    """What a LangChain or provider image block holds: a URL or a `data:` URI.

    Understands LangChain's v1 blocks, `image_url` (dict and bare string), OpenAI's `input_image`, Anthropic's
    `source` and data blocks with `source_type`.

    Raises:
        InvalidRequestError: the block holds no image that can be sent.
    """
    if str(block.get("type")) in _OTHER_BLOCKS:
        raise InvalidRequestError(
            f"The content block of type {block['type']!r} holds no image.", hint=f"Give {_FORMS}."
        )
    inner = block.get("source") if isinstance(block.get("source"), Mapping) else block
    assert isinstance(inner, Mapping)  # noqa: S101 for the type checker
    url = inner.get("image_url", inner.get("url"))
    if isinstance(url, Mapping):
        url = url.get("url")
    if isinstance(url, str) and url:
        return url
    data = inner.get("base64") or inner.get("data")
    if isinstance(data, str) and data:
        mime = inner.get("mime_type") or inner.get("media_type") or "image/png"
        return data if data[:5].lower() == "data:" else f"data:{mime};base64,{data}"
    if isinstance(data, bytes):
        return data
    named = "only a file id of its provider" if inner.get("file_id") or inner.get("id") else "no image"
    raise InvalidRequestError(f"The content block of type {block.get('type')!r} holds {named}.", hint=f"Give {_FORMS}.")


def _inside(text: str, folder: Path | None) -> Path:
    shown = text if len(text) <= 80 else f"{text[:77]}..."
    if folder is None:
        raise InvalidRequestError(
            f"The image {shown!r} is neither a URL nor a data: URI, and a string is not read as a local path.",
            hint="Give pathlib.Path(...) for a file of yours, or name a folder with image_folder=.",
        )
    root = folder.resolve()
    try:
        path = (root / text).resolve()
        inside = path.is_relative_to(root) and path.is_file()
    except (OSError, ValueError, RuntimeError):  # RuntimeError: links in a circle, before Python 3.13
        inside = False
    if not inside:
        raise InvalidRequestError(
            f"The image {shown!r} is no file inside the allowed folder.",
            hint="Name a file in that folder; '..' and links out of it are not followed.",
        )
    return path


def _data_uri_bytes(text: str, max_bytes: int) -> bytes:
    head, comma, body = text.partition(",")
    if not comma:
        raise InvalidRequestError("The data: URI has no data.", hint="It reads data:image/png;base64,....")
    if not head.lower().endswith(";base64"):
        if len(body) > max_bytes * 3:  # %FF: three characters a byte
            raise _too_large(len(body) // 3, max_bytes)
        return unquote_to_bytes(body.encode("utf-8", "replace"))
    if len(body) > max_bytes * 2:  # base64 takes 4/3; the rest is room for line breaks
        raise _too_large(len(body) * 3 // 4, max_bytes)
    try:
        return base64.b64decode("".join(body.split()), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequestError("The data: URI is not valid base64.", hint="Encode the image again.") from None


def _read(image: object, max_bytes: int) -> bytes:
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if isinstance(image, os.PathLike):
        return _read_path(Path(os.fsdecode(image)), max_bytes)
    if hasattr(image, "save") and hasattr(image, "mode"):  # a PIL image, told without importing PIL
        return _encode_pil(image, max_bytes)
    read = getattr(image, "read", None)
    if callable(read):
        try:
            data = read(max_bytes + 1)
        except UnicodeError:
            data = None  # a text file that is open on what is no text
        except (OSError, ValueError) as error:
            raise InvalidRequestError(
                f"The open file cannot be read: {error}.", hint="Open it again, with mode 'rb'."
            ) from None
        if isinstance(data, bytes):
            return data
        raise InvalidRequestError("The open file gives text, not bytes.", hint="Open it with mode 'rb'.")
    raise InvalidRequestError(f"A {type(image).__name__} holds no image.", hint=f"Give {_FORMS}.")


def _read_path(path: Path, max_bytes: int) -> bytes:
    try:
        if not path.is_file():
            raise InvalidRequestError(f"There is no file {str(path)!r}.", hint="Check the path.")
        with path.open("rb") as file:
            return file.read(max_bytes + 1)
    except OSError as error:
        raise InvalidRequestError(
            f"The file {str(path)!r} cannot be read: {error.strerror}.", hint="Check it."
        ) from None


def _encode_pil(image: Any, max_bytes: int) -> bytes:
    """PNG keeps every pixel; a picture too large for it goes as JPEG, at the quality that eyes cannot tell."""
    try:
        for form, options in (("PNG", {}), ("JPEG", {"quality": 95})):
            buffer = io.BytesIO()
            picture = image if form == "PNG" and image.mode in _PNG_MODES else image.convert("RGB")
            picture.save(buffer, format=form, **options)
            if buffer.tell() < max_bytes:
                break
    except (OSError, ValueError) as error:
        raise InvalidRequestError(f"The PIL image cannot be encoded: {error}.", hint="Load it again.") from None
    return buffer.getvalue()


_PNG_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I;16"})


def _from_bytes(data: bytes, max_bytes: int, formats: tuple[str, ...]) -> WireImage:
    if not data:
        raise InvalidRequestError("The image is empty.", hint=f"Give {' or '.join(formats)}.")
    if len(data) >= max_bytes:
        raise _too_large(len(data), max_bytes)
    info = inspect_image(data)
    if info.format not in formats:
        raise _wrong_format(info.format, formats)
    encoded = base64.b64encode(data).decode("ascii")
    return WireImage(f"data:{_MIME[info.format]};base64,{encoded}", f"sha256:{hashlib.sha256(data).hexdigest()}")


def _too_large(size: int, max_bytes: int) -> InvalidRequestError:
    limit = max_bytes / 1024 / 1024
    return InvalidRequestError(
        f"The image has {size / 1024 / 1024:.1f} MB or more; the gateway takes less than {limit:g} MB.",
        hint="Scale it down or save it as JPEG, or give the URL of a smaller one.",
    )


def _wrong_format(name: str, formats: tuple[str, ...]) -> InvalidRequestError:
    wanted = " or ".join(formats)
    return InvalidRequestError(
        f"The image is {name}; the model reads {wanted}.",
        hint=f"Convert it to {wanted}, with Pillow: Image.open(path).convert('RGB').save('image.jpg').",
    )


def inspect_image(data: bytes) -> ImageInfo:
    """Format and size of a JPEG or PNG whose structure is whole from its first byte to its end mark.

    Raises:
        InvalidRequestError: another format, or a damaged file.
    """
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return _inspect_png(data)
        if data.startswith(b"\xff\xd8\xff"):
            return _inspect_jpeg(data)
    except (struct.error, IndexError):
        raise _damaged("it ends too early") from None
    for head, name in _OTHERS:
        if data.lstrip()[: len(head)].lower() == head.lower():
            raise _wrong_format(name, ("JPEG", "PNG"))
    raise InvalidRequestError(
        "The bytes are no image that is known here.",
        hint="Give a JPEG or PNG; the name does not matter, the content does.",
    )


def _damaged(why: str) -> InvalidRequestError:
    return InvalidRequestError(f"The image is damaged: {why}.", hint="Save or download it again.")


def _sized(name: str, width: int, height: int) -> ImageInfo:
    if not width or not height:
        raise _damaged("it has no pixels")
    return ImageInfo(name, width, height)


def _inspect_png(data: bytes) -> ImageInfo:
    """Walk the chunks, each with its checksum, from IHDR to IEND (PNG specification, section 5)."""
    info: ImageInfo | None = None
    at, pixels = 8, False
    while True:
        length, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack_from(">I", data, at + 8 + length)
        if zlib.crc32(body, zlib.crc32(kind)) != checksum:
            raise _damaged(f"the checksum of its {kind.decode('latin-1')} part is wrong")
        if info is None:
            if kind != b"IHDR":
                raise _damaged("it does not begin with its header")
            info = _sized("PNG", *struct.unpack_from(">II", body))
        pixels = pixels or kind == b"IDAT"
        if kind == b"IEND":
            break
        at += 12 + length
    if not pixels:
        raise _damaged("it has no pixels")
    return info


_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def _inspect_jpeg(data: bytes) -> ImageInfo:
    """Walk the segments to the first scan, then look for the end mark (ITU T.81, annex B)."""
    info: ImageInfo | None = None
    at = 2
    while True:
        if data[at] != 0xFF:
            raise _damaged("a segment does not begin where it should")
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker in _FRAME_HEADERS:
            height, width = struct.unpack_from(">HH", data, at + 5)
            info = _sized("JPEG", width, height)
        if marker == 0xDA:
            break
        at += 2 if marker == 0x01 or 0xD0 <= marker <= 0xD8 else 2 + struct.unpack_from(">H", data, at + 2)[0]
    if info is None:
        raise _damaged("it has no frame header")
    if data.find(b"\xff\xd9", at) < 0:
        raise _damaged("it ends too early")
    return info
