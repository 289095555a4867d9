"""The images in a conversation's messages, whoever made them.

An image that is in a message is told by its block or by how its bytes begin; one that is elsewhere, by its address
and by what names it. Nothing is fetched, and no pixel is decoded.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.media.formats import MIME_TYPES, detect_format
from langchain_nebula_video.media.images import image_from_block
from langchain_nebula_video.media.urls import split_url, url_fingerprint

__all__ = ["ConversationImage", "chosen", "images", "newest_image"]

IMAGE_BLOCKS = frozenset({"image", "image_url", "input_image"})
"""The types of content blocks that hold an image."""
_TEXT_BLOCKS = frozenset({"text", "input_text", "output_text"})
# What a model asks for or thinks, and other media: a picture that is named there is not one that was made there.
_NON_IMAGE_BLOCKS = frozenset(
    {"tool_call", "tool_call_chunk", "invalid_tool_call", "tool_use", "server_tool_call", "server_tool_use",
     "function_call", "custom_tool_call", "reasoning", "thinking", "video", "audio", "input_audio"}
)  # fmt: skip
_PIL_ATTRIBUTES = ("save", "mode", "width", "height")  # a PIL image's attributes: it is told without importing PIL
_MIME_TYPES = ("mime_type", "mimeType", "media_type", "content_type")
_SCHEMES = ("https", "http", "oss")
_FORMATS = frozenset({*MIME_TYPES, "GIF", "TIFF", "AVIF", "HEIC", "HEIF"})
_SUFFIX = re.compile(r"\.(\w+)/?$")
_IMAGE_SUFFIXES = frozenset({"png", "jpg", "jpeg", "webp", "bmp"})
# Addresses that are known to lead to no picture, or to one that no gateway reads.
_NON_IMAGE_SUFFIXES = frozenset(
    {"mp4", "mov", "webm", "mkv", "avi", "m4v", "m3u8", "mp3", "wav", "m4a", "ogg", "flac", "aac", "gif", "svg", "ico",
     "tif", "tiff", "heic", "avif", "pdf", "html", "htm", "json", "xml", "txt", "md", "csv", "zip", "gz", "js",
     "css", "doc", "docx", "xls", "xlsx", "ppt", "pptx"}
)  # fmt: skip

# The names in tools' answers. What is found beside a text is a page, and what has a duration is a video; an answer may
# repeat what was asked, and show small signs of what it is about.
_IMAGE_KEYS = re.compile(r"image|img|picture|photo")
_GENERIC_KEYS = frozenset(
    {"url", "urls", "uri", "output", "outputs", "result", "results", "data", "files", "content", "structured_content"}
)
_NON_IMAGE_KEYS = frozenset({"title", "snippet", "content", "page_content", "text", "duration", "video", "video_url"})
# What a search answers, as a whole and page by page: its pictures are other people's, and none was made.
_SEARCH_KEYS = frozenset(
    {"query", "snippet", "search_results", "searchparameters", "search_parameters", "search_metadata", "organic",
     "organic_results", "citations"}
)  # fmt: skip
_PAGE_KEYS = frozenset({"url", "link", "href", "source"})
_IGNORED_KEYS = re.compile(r"input|prompt|request|param|mask|thumb|preview|icon|logo|avatar")

_URL = r"https?://(?:[^\s<>\"'`\[\]{}|\\^()]|\([^\s()]*\))+"
_IMAGE_IN_TEXT = re.compile(rf"!\[[^\]]{{0,999}}\]\(\s*<?(?P<embedded>{_URL}|data:image/[^\s)>]+)|(?P<linked>{_URL})")
# What is left in prose of an image, of a link and of brackets when an address is taken out.
_EMPTY_MARKUP = re.compile(
    r"!\[[^\]]{0,999}\]\(\s*(?:\"[^\"]{0,999}\"\s*)?\)|\[(?P<label>[^\]]{0,999})\]\(\s*\)|<\s*>|\(\s*\)"
)
_WHITESPACE = re.compile(r"\s+")
_URL_SEPARATOR = re.compile(r"\s*[,;|]\s*(?=https?://)|\s+")
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]++={0,2}\s*+")
_MAX_PROSE = 2000  # characters: a tool's longer prose is something read, not something made
_MAX_DEPTH = 8  # steps down into a value, where an object's attributes take three: they may lead anywhere
_MAX_LISTED = 10

_OWN_TOOLS = "tool nebula_"  # what they made is a video
_TOOL_ROLES = frozenset({"tool", "function"})
_AUTHORS = {"human": "the user", "user": "the user", "ai": "the assistant", "assistant": "the assistant"}
_HANDLE = re.compile(
    r"(?:the\s+)?(?:(?P<last>last|newest|latest)(?:\s+(?:image|picture))?"
    r"|(?:(?:image|picture|img)[\s_-]*)?(?:#|no\.?\s*|number\s+)?(?P<number>[0-9]{1,6}))",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ConversationImage:
    """An image in a conversation."""

    handle: str
    """Its number: `"1"` is the oldest. It stays as messages are added; it moves if old ones are removed."""
    source: Any = field(repr=False)
    """What a request takes as an image: a content block, a URL, a `data:` URI, bytes or a PIL image."""
    made_by: str
    """`"the user"`, `"the assistant"`, `"tool …"` or `"the system"`."""

    def describe(self) -> str:
        """One short line, without the image and without signatures: `2: PNG, 84 kB, by tool draw`."""
        return f"{self.handle}: {_describe_source(_unwrap_block(self.source))}, by {self.made_by}"


def images(messages: Sequence[Any]) -> list[ConversationImage]:
    """The images in these messages, the oldest first; one that is repeated at once counts once.

    Args:
        messages: LangChain messages, or dicts with `role` and `content`.
    """
    found: list[ConversationImage] = []
    keys: list[object] = []
    tools: dict[str, str] = {}
    for message in messages:
        fields = _as_mapping(message)
        tools.update(_tool_names(fields.get("tool_calls")))
        author = _author(fields, tools)
        here = {_identity(source): source for source in _images_in_message(fields, author)}
        if list(here) == keys[len(keys) - len(here) :]:
            continue  # a tool's pictures, shown to the model once more
        for key, source in here.items():
            # What the assistant says of a picture makes no new one, and language models corrupt signed addresses.
            if key not in (keys if author == "the assistant" else keys[-1:]):
                keys.append(key)
                found.append(ConversationImage(str(len(found) + 1), source, author))
    return found


def newest_image(messages: Sequence[Any], *, besides: Sequence[Any] = ()) -> Any:
    """What `ConversationImage.source` is, of the image that came last; `None` if there is none.

    Args:
        messages: As for `images`.
        besides: Images, in any form, that are not meant: they have their place already.
    """
    taken = [_identity(source) for source in besides]
    return next((image.source for image in reversed(images(messages)) if _identity(image.source) not in taken), None)


def parse_handle(text: str) -> str | None:
    """The handle that a text gives - `2`, `#2`, `image 2`, `last`, `newest` - as a number or `last`; else `None`."""
    match = _HANDLE.fullmatch(text.strip())
    if match is None:
        return None
    return "last" if match["last"] else str(int(match["number"]))


def is_url(text: str) -> bool:
    """Whether a text says by itself where or what the image is."""
    return text.lstrip()[:5].lower() == "data:" or split_url(text.strip(), _SCHEMES) is not None


def chosen(handle: str, messages: Sequence[Any]) -> ConversationImage:
    """The image with that handle.

    Raises:
        InvalidRequestError: there is none; tells which there are, at most the newest ten.
    """
    found = images(messages)
    name = str(len(found)) if (given := parse_handle(handle)) == "last" else given
    for image in found:
        if image.handle == name:
            return image
    there_are = "; ".join(image.describe() for image in found[: -_MAX_LISTED - 1 : -1])
    raise InvalidRequestError(
        f"There is no image {truncate(handle)!r} in the conversation.",
        hint=f"Give the number of one that is there, newest first: {there_are}. Or give an https URL."
        if found
        else "There is none at all: give the image's https URL.",
    )


def text_without_images(text: str) -> str:
    """A text without the images that it names: what somebody wants done with them; `""` if nothing else is said."""
    if _as_data_uri(text.strip()) is not None:
        return ""
    bare = _IMAGE_IN_TEXT.sub(lambda found: found[0].replace(_image_in_match(found) or "", "", 1), text)
    words = _WHITESPACE.sub(" ", _EMPTY_MARKUP.sub(lambda found: found["label"] or "", bare)).strip()
    return words if any(map(str.isalnum, words)) else ""


def _image_in_match(match: re.Match[str]) -> str | None:
    named: str = match["embedded"] or match["linked"].rstrip(".,;:!?*_")
    return named if _as_data_uri(named) or _is_image_link(named, expect_image=bool(match["embedded"])) else None


def _tool_names(calls: object) -> Iterator[tuple[str, str]]:
    """The tools that a message calls, by the id of the call: in LangChain's form or in OpenAI's."""
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function", call) if isinstance(call, Mapping) else None
        if isinstance(function, Mapping):
            yield str(call.get("id")), str(function.get("name") or "")


def _author(fields: Mapping[str, Any], tools: Mapping[str, str]) -> str:
    role = str(fields.get("role") or fields.get("type")).lower().removesuffix("messagechunk")
    if role not in _TOOL_ROLES:
        return _AUTHORS.get(role, "the system")
    name = str(fields.get("name") or tools.get(str(fields.get("tool_call_id"))) or "")
    return f"tool {' '.join(name.split())[:60]}".strip()


def _images_in_message(fields: Mapping[str, Any], author: str) -> list[Any]:
    if author.split(maxsplit=1)[0] != "tool":
        extra = fields.get("additional_kwargs")
        outputs = extra.get("tool_outputs") if isinstance(extra, Mapping) else None  # where OpenAI's tools leave theirs
        return [
            *_images_in_content(fields.get("content"), expect_image=False),
            *_images_in_value(outputs, expect_image=False),
        ]
    if author.startswith(_OWN_TOOLS) or fields.get("status") == "error":
        return []
    # Tools hand over the same pictures twice: what holds more of them counts, then what is not merely an address.
    forms = [list(_images_in_content(fields.get(name), expect_image=True)) for name in ("content", "artifact")]
    return max(forms, key=lambda found: (len(found), not any(_is_remote(_unwrap_block(source)) for source in found)))


def _images_in_content(content: object, *, expect_image: bool) -> Iterator[Any]:
    for item in content if isinstance(content, list | tuple) else [content]:
        yield from (
            _images_in_text(item, expect_image=expect_image)
            if isinstance(item, str)
            else _images_in_value(item, expect_image=expect_image)
        )


def _images_in_text(text: str, *, expect_image: bool) -> Iterator[Any]:
    """The images that a text is or names; `said` for a tool's answer, which may be JSON or nothing but addresses."""
    text = text.strip()
    if expect_image and text[:1] in {"{", "[", '"'}:
        try:
            yield from _images_in_value(json.loads(text), expect_image=True)
        except (ValueError, RecursionError):
            pass  # prose after all
        else:
            return
    words = _URL_SEPARATOR.split(text) if expect_image and text[:4].lower() == "http" else []
    if words and all(map(is_url, words)):
        yield from (word for word in words if _is_image_link(word, expect_image=True))
    elif (inline := _as_data_uri(text)) is not None:
        yield inline
    elif not expect_image or len(text) < _MAX_PROSE:
        yield from (named for match in _IMAGE_IN_TEXT.finditer(text) if (named := _image_in_match(match)))


def _images_in_value(value: object, *, expect_image: bool, depth: int = _MAX_DEPTH) -> Iterator[Any]:
    """The images in whatever this is; `said` if its name says that it may be one."""
    if isinstance(value, str):
        if (inline := _as_data_uri(value)) is not None:
            yield inline
        elif _is_image_link(value.strip(), expect_image=expect_image):
            yield value.strip()
    elif isinstance(value, bytes | bytearray | memoryview):
        if detect_format(bytes(value[:64])) in _FORMATS:
            yield bytes(value)
    elif _is_pil(value):
        yield value
    elif depth > 0 and isinstance(value, list | tuple):
        for item in value:
            yield from _images_in_value(item, expect_image=expect_image, depth=depth - 1)
    elif depth > 0:
        yield from _images_in_mapping(
            _as_mapping(value), expect_image=expect_image, depth=depth - (1 if isinstance(value, Mapping) else 3)
        )


def _images_in_mapping(fields: Mapping[Any, Any], *, expect_image: bool, depth: int) -> Iterator[Any]:
    kind = str(fields.get("type"))
    is_image = kind in IMAGE_BLOCKS or any(str(fields.get(name)).startswith("image/") for name in _MIME_TYPES)
    block = {**fields, "type": "image"}
    if kind in _TEXT_BLOCKS:
        yield from _images_in_text(str(fields.get("text")), expect_image=expect_image)
    elif is_image and _holds_image(block):
        yield block
    elif kind not in _NON_IMAGE_BLOCKS and not _is_search_result(fields):
        expect_image = is_image or (expect_image and _NON_IMAGE_KEYS.isdisjoint(fields))
        for key, item in fields.items():
            name = str(key).lower()
            if not _IGNORED_KEYS.search(name):
                named = _IMAGE_KEYS.search(name) or (expect_image and name in _GENERIC_KEYS)
                yield from _images_in_value(item, expect_image=bool(named), depth=depth)


def _is_search_result(fields: Mapping[Any, Any]) -> bool:
    """Whether this is a search's answer, or a page that it found: a title with an address that is no picture's."""
    names = {str(key).lower(): item for key, item in fields.items()}
    if not _SEARCH_KEYS.isdisjoint(names) or {"images", "results"} <= names.keys():
        return True
    pages = [names[name] for name in _PAGE_KEYS & names.keys()] if "title" in names else []
    return any(
        isinstance(page, str) and is_url(page) and not _is_image_link(page, expect_image=False) for page in pages
    )


def _as_mapping(value: object) -> Mapping[Any, Any]:
    """A mapping as it is, any other object as that of its attributes."""
    try:
        if isinstance(value, Mapping):
            return dict(value)
        found = getattr(value, "__dict__", None)
    except Exception:  # noqa: BLE001 a stranger's object, which runs its own code when it is looked at
        return {}
    return {key: item for key, item in found.items() if key[:1] != "_"} if isinstance(found, dict) else {}


def _is_pil(value: object) -> bool:
    try:
        return all(hasattr(value, name) for name in _PIL_ATTRIBUTES)
    except Exception:  # noqa: BLE001 as in _fields
        return False


def _holds_image(block: Mapping[str, Any]) -> bool:
    """Whether the block has its image with it; a provider's file id is of no use here."""
    try:
        held = image_from_block(block)
    except InvalidRequestError:
        return False
    return not isinstance(held, str) or _as_data_uri(held) is not None or (_is_remote(held) and is_url(held))


def _is_image_link(text: str, *, expect_image: bool) -> bool:
    """Whether a text is an address of a picture by its suffix; `said`: an address with no other suffix will do."""
    parts = split_url(text, _SCHEMES) if text[:4].lower() in {"http", "oss:"} else None  # most texts are long and none
    if parts is None:
        return False
    match = _SUFFIX.search(parts.path.lower())
    suffix = match[1] if match else ""
    return suffix in _IMAGE_SUFFIXES or (
        expect_image and suffix not in _NON_IMAGE_SUFFIXES and parts.path.strip("/") != ""
    )


def _as_data_uri(text: str) -> str | None:
    """A `data:` URI of an image as it is, or one made of base64 that begins as an image."""
    head, comma, body = text.partition(",") if text[:5].lower() == "data:" else ("", "", text)
    name = detect_format(_first_bytes(body))
    if comma:
        return text if head[5:11].lower() == "image/" or name in _FORMATS else None
    if name not in _FORMATS or not _BASE64.fullmatch(text):
        return None
    return f"data:{MIME_TYPES.get(name or '', 'image/*')};base64,{text}"


def _first_bytes(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text[:120].split())[:64], validate=True)
    except (binascii.Error, ValueError):
        return b""


def _unwrap_block(source: Any) -> Any:
    """What a block holds; anything else as it is."""
    return image_from_block(source) if isinstance(source, Mapping) else source


def _is_remote(data: object) -> bool:
    return isinstance(data, str) and data[:5].lower() != "data:"


def _identity(source: Any) -> object:
    """Equal for the same image, in whatever form and however signed."""
    data = _unwrap_block(source)
    if isinstance(data, bytes):
        return hash(base64.b64encode(data).decode())
    if isinstance(data, str):
        return url_fingerprint(data) if _is_remote(data) else hash(data.partition(",")[2])
    return id(data)


def truncate(text: str) -> str:
    """The beginning of a text, for messages."""
    return text if len(text) <= 80 else f"{text[:79]}…"


def _describe_source(data: Any) -> str:
    if _is_remote(data):
        return truncate(url_fingerprint(data.strip()))
    if not isinstance(data, str | bytes):
        return f"picture of {data.width} x {data.height} pixels"
    body = data.partition(",")[2] if isinstance(data, str) else data
    first, size = (_first_bytes(body), len(body) * 3 // 4) if isinstance(body, str) else (body[:64], len(body))
    amount = f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{max(1, round(size / 1e3))} kB"
    return f"{detect_format(first) or 'image'}, {amount}"
