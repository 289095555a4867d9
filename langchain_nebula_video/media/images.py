"""Convert every accepted form of an image into what a gateway accepts.

The format is detected from the content, not from the file name. A string is a URL or a `data:` URI. It is read as
a local path only if the caller has set a folder, and then only inside that folder.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, unquote_to_bytes

from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.media.fitting import MAX_INPUT_BYTES, encode_pil, fit_image
from langchain_nebula_video.media.formats import KINDS, MIME_TYPES, detect_format
from langchain_nebula_video.media.refusals import join_or, too_large, unusable
from langchain_nebula_video.media.urls import is_local_name, split_url, url_fingerprint
from langchain_nebula_video.media.validation import check_image
from langchain_nebula_video.schema import is_encodable

if TYPE_CHECKING:
    from langchain_nebula_video.media.limits import ImageLimits

__all__ = [
    "WireImage",
    "check_public_name",
    "decode_base64",
    "image_from_block",
    "is_pil_image",
    "prepare_image",
]


@dataclass(frozen=True, slots=True)
class WireImage:
    """An image, ready to be sent."""

    digest: str
    """Identifies the image: a hash of its bytes, or its URL without the signature."""
    url: str | None = None
    """The given URL, if the image is one."""
    data: bytes | None = None
    """The bytes of the image, if it is local."""
    mime: str | None = None
    """The MIME type of `data`."""
    changes: tuple[str, ...] = ()
    """What was done to make it fit, in words."""
    cautions: tuple[str, ...] = ()
    """What a gateway may read otherwise than people do, in words."""

    @property
    def uri(self) -> str:
        """The given URL, or a `data:` URI, which is encoded at each access."""
        if self.data is None:
            return self.url or ""
        return f"data:{self.mime};base64,{base64.b64encode(self.data).decode('ascii')}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to it, and what to know of it."""
        return self.changes + self.cautions

    def __repr__(self) -> str:
        return f"WireImage({self.digest})"


_ACCEPTED_INPUTS = (
    "an https or http URL, a data: URI, bytes, a pathlib.Path, an open file, a PIL image or an image block"
)


def prepare_image(
    image: object, limits: ImageLimits, *, folder: Path | None = None, local_names: bool = True, fit: bool = False
) -> WireImage:
    """Read and check an image.

    Args:
        image: A URL, `data:` URI, bytes, `Path`, open binary file, PIL image or LangChain image block.
        limits: What the gateway accepts.
        folder: A string may name a file inside this folder. `None`: a string is never a path.
        fit: Whether to make a local image fit the limits, instead of refusing it.
        local_names: Whether the gateway can fetch from this machine and its network, because it is there itself.

    Raises:
        InvalidRequestError: it is no image, or the gateway does not accept it. The hint says what to do.
    """
    image = image_from_block(image) if isinstance(image, Mapping) else image
    if isinstance(image, str):
        text = image.strip()
        parts = split_url(text, limits.schemes)
        if parts is not None and is_encodable(text):
            if not local_names:
                check_public_name(
                    text,
                    "Give a public https address, or the image itself: bytes, or a pathlib.Path.",
                    "Use an image with a public https URL, or ask the user to attach the image itself.",
                )
            return WireImage(f"url:{url_fingerprint(text)}", url=text)
        if text[:5].lower() == "data:":
            most = MAX_INPUT_BYTES if fit else limits.max_bytes
            return _finish(_decode_data_uri(text, most), limits, fit=fit)
        if text[:6].lower() == "oss://" and "oss" not in limits.schemes:
            raise InvalidRequestError(
                f"The gateway cannot read the address {_shorten(text)}: it fetches {join_or(limits.schemes)} ones.",
                hint="Only Alibaba's own gateways read oss:// addresses; give an https URL, or the image itself.",
                agent_hint="Use an image with an https URL, or ask the user to attach the image itself.",
            )
        _check_no_base64(text)
        image = _resolve_in_folder(text, folder)
    if fit and is_pil_image(image):
        return _finish(image, limits, fit=True)
    reading = replace(limits, max_bytes=MAX_INPUT_BYTES) if fit else limits
    return _finish(_read_bytes(image, reading), limits, fit=fit)


def _finish(image: Any, limits: ImageLimits, *, fit: bool) -> WireImage:
    """Check an image that has been read, or make it fit. Its digest is that of what was given."""
    data = image
    changes: tuple[str, ...] = ()
    if fit and image != b"":
        fitted = fit_image(image, limits)
        data, changes = fitted.data, fitted.changes
    info = check_image(data, limits)
    digest = hashlib.sha256(image if isinstance(image, bytes) else data).hexdigest()
    return WireImage(
        f"sha256:{digest}", data=data, mime=MIME_TYPES[info.format], changes=changes, cautions=info.cautions
    )


def check_public_name(address: str, hint: str, agent_hint: str | None = None) -> None:
    """Check that an address is not one of this machine or its network, by its spelling.

    Raises:
        InvalidRequestError: it is, so a gateway on the internet cannot fetch it.
    """
    parts = split_url(address, ("https", "http"))
    if parts is not None and is_local_name(parts.hostname):
        raise InvalidRequestError(
            f"The gateway cannot fetch {_shorten(url_fingerprint(address))}: only this machine or its network can.",
            hint=hint,
            agent_hint=agent_hint,
        )


_NON_IMAGE_BLOCKS = frozenset({"video", "audio", "text", "file"})


def image_from_block(block: Mapping[str, Any]) -> object:
    """Return the URL, `data:` URI or bytes in a LangChain or provider image block.

    Supported: LangChain's v1 blocks, `image_url` (dict and plain string), OpenAI's `input_image`, Anthropic's
    `source`, and data blocks with `source_type`.

    Raises:
        InvalidRequestError: the block holds no image that can be sent.
    """
    if str(block.get("type")) in _NON_IMAGE_BLOCKS:
        raise InvalidRequestError(
            f"The content block of type {block['type']!r} holds no image.", hint=f"Give {_ACCEPTED_INPUTS}."
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
    content = "only a file id of its provider" if inner.get("file_id") or inner.get("id") else "no image"
    raise InvalidRequestError(
        f"The content block of type {block.get('type')!r} holds {content}.", hint=f"Give {_ACCEPTED_INPUTS}."
    )


def _shorten(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:77]}...")


_MIN_BASE64 = 100
"""Characters: no image is smaller, and hardly a path is longer."""


def _check_no_base64(text: str) -> None:
    """Tell bare base64 of an image for what it is. It is neither a URL nor a path."""
    if len(text) < _MIN_BASE64:
        return
    try:
        name = detect_format(decode_base64(text[:_MIN_BASE64]))
    except ValueError:
        return
    if name is not None and KINDS[name].is_image:
        mime = MIME_TYPES.get(name, "image/*")
        raise InvalidRequestError(
            f"The image is given as the bare base64 of a {name}.",
            hint=f"Put 'data:{mime};base64,' in front of it, or give base64.b64decode(text).",
        )


def _resolve_in_folder(text: str, folder: Path | None) -> Path:
    if folder is None:
        raise InvalidRequestError(
            f"The image {_shorten(text)} is neither a URL nor a data: URI, and a string is not read as a local path.",
            hint="Give pathlib.Path(...) for a file of yours, or name a folder with image_folder=.",
            agent_hint="Use an image with an https URL, or ask the user to attach the image itself.",
        )
    root = folder.resolve()
    try:
        path = (root / text).resolve()
        inside = path.is_relative_to(root) and path.is_file()
    except (OSError, ValueError, RuntimeError):  # RuntimeError: a loop of symbolic links, before Python 3.13
        inside = False
    if not inside:
        raise InvalidRequestError(
            f"The image {_shorten(text)} is no file inside the allowed folder.",
            hint="Name a file in that folder; '..' and links out of it are not followed.",
        )
    return path


def _decode_data_uri(text: str, max_bytes: int) -> bytes:
    head, comma, body = text.partition(",")
    if not comma:
        raise unusable("The data: URI has no data.", "It reads data:image/png;base64,....")
    if not head.lower().endswith(";base64"):
        if len(body) > max_bytes * 3:  # %FF: three characters per byte
            raise _too_large(max_bytes)
        return unquote_to_bytes(body.encode("utf-8", "replace"))
    if len(body) > max_bytes * 2:  # base64 takes 4/3; the rest allows for line breaks
        raise _too_large(max_bytes)
    try:
        return decode_base64(body)
    except ValueError:
        raise unusable("The data: URI is not valid base64.", "Encode the image again.") from None


def decode_base64(text: str) -> bytes:
    """Decode base64 in the forms that programs write: with line breaks, URL-safe, percent-encoded, without padding.

    Raises:
        ValueError: it is no base64.
    """
    letters = "".join((unquote(text) if "%" in text else text).split()).rstrip("=").translate(_URL_SAFE)
    return base64.b64decode(letters + "=" * (-len(letters) % 4), validate=True)


_URL_SAFE = str.maketrans("-_", "+/")


def _too_large(max_bytes: int, size: int | None = None) -> InvalidRequestError:
    return too_large(max_bytes, size, fit_helps=max_bytes < MAX_INPUT_BYTES)


def _read_bytes(image: object, limits: ImageLimits) -> bytes:
    max_bytes = limits.max_bytes
    if isinstance(image, bytes | bytearray | memoryview):
        if (size := memoryview(image).nbytes) > max_bytes:
            raise _too_large(max_bytes, size)
        return bytes(image)
    if isinstance(image, os.PathLike):
        return _read_path(Path(os.fsdecode(image)), max_bytes)
    if is_pil_image(image):
        return encode_pil(image, limits)
    if callable(getattr(image, "read", None)):
        return _read_open_file(image, max_bytes)
    raise InvalidRequestError(f"A {type(image).__name__} holds no image.", hint=f"Give {_ACCEPTED_INPUTS}.")


def _read_open_file(file: Any, max_bytes: int) -> bytes:
    try:
        data = file.read(max_bytes + 1)
    except UnicodeError:
        data = None  # binary content, opened in text mode
    except (OSError, ValueError) as error:
        raise InvalidRequestError(
            f"The open file cannot be read: {error}.", hint="Open it again, with mode 'rb'."
        ) from None
    if not isinstance(data, bytes):
        raise InvalidRequestError("The open file gives text, not bytes.", hint="Open it with mode 'rb'.")
    if len(data) > max_bytes:
        raise _too_large(max_bytes)
    if not data and _position(file):
        raise InvalidRequestError("The open file is at its end.", hint="Rewind it: file.seek(0).")
    return data


def _position(file: Any) -> int:
    try:
        return int(file.tell())
    except (AttributeError, OSError, ValueError):  # a pipe has none
        return 0


def _read_path(path: Path, max_bytes: int) -> bytes:
    try:
        if not path.is_file():
            raise InvalidRequestError(f"There is no file {str(path)!r}.", hint="Check the path.")
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
            if len(data) > max_bytes:
                raise _too_large(max_bytes, max(len(data), os.fstat(file.fileno()).st_size))
    except OSError as error:
        raise InvalidRequestError(
            f"The file {str(path)!r} cannot be read: {error.strerror}.", hint="Check it."
        ) from None
    return data


_PIL_ATTRIBUTES = ("save", "mode", "width", "height")  # recognizes a PIL image without importing PIL


def is_pil_image(value: object) -> bool:
    """Whether this is a PIL image, without importing PIL."""
    try:
        return all(hasattr(value, name) for name in _PIL_ATTRIBUTES)
    except Exception:  # noqa: BLE001 a foreign object may run its own code on attribute access
        return False
