"""Find the images in the content of a message: blocks, text, JSON, and whatever tools return.

Chat models, image tools and MCP servers each put images somewhere else. So this searches any value, and uses the
names of its fields to tell generated images from inputs, thumbnails and search results.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from langchain_nebula_video.langchain.image_values import (
    IMAGE_BLOCKS,
    as_data_uri,
    holds_image,
    is_image_bytes,
    is_image_link,
    is_pil_image,
    is_remote,
    is_url,
)

__all__ = ["as_mapping", "images_in_chat_message", "images_in_tool_message", "text_without_images"]

_TEXT_BLOCKS = frozenset({"text", "input_text", "output_text"})
# Tool calls, reasoning and other media. An image that these mention was not produced by the message.
_NON_IMAGE_BLOCKS = frozenset(
    {"tool_call", "tool_call_chunk", "invalid_tool_call", "tool_use", "server_tool_call", "server_tool_use",
     "function_call", "custom_tool_call", "reasoning", "thinking", "video", "audio", "input_audio"}
)  # fmt: skip
_MIME_TYPE_KEYS = ("mime_type", "mimeType", "media_type", "content_type")

# Field names in tool results.
_IMAGE_KEYS = re.compile(r"image|img|picture|photo")
_GENERIC_KEYS = re.compile(
    r"(outputs?|results?|response|data|files?|content|structured_content)|((outputs?|results?|response)_?)?(urls?|uris?|json)"
)
# A URL beside one of these belongs to a page or to a video.
_NON_IMAGE_KEYS = frozenset({"title", "snippet", "content", "page_content", "text", "duration", "video", "video_url"})
# What search tools return. Their images belong to other people: none was generated.
_SEARCH_KEYS = frozenset(
    {"query", "snippet", "search_results", "searchparameters", "search_parameters", "search_metadata", "organic",
     "organic_results", "citations"}
)  # fmt: skip
_PAGE_KEYS = frozenset({"url", "link", "href", "source"})
# Tools repeat their inputs, and add thumbnails and logos.
_IGNORED_KEYS = re.compile(r"input|prompt|request|param|mask|thumb|preview|icon|logo|avatar")

# Chinese, Japanese and Korean texts put no space around a URL. Their punctuation is never part of one.
_CJK_MARKS = (
    "\\u2018\\u2019\\u201c\\u201d\\u2026\\u3001-\\u3003\\u3008-\\u3011\\u3014-\\u301f"
    "\\uff01-\\uff0f\\uff1a-\\uff20\\uff3b-\\uff40\\uff5b-\\uff65"
)
_URL = rf"https?://(?:[^\s<>\"'`\[\]{{}}|\\^(){_CJK_MARKS}]|\([^\s()]*\))+"
_IMAGE_IN_TEXT = re.compile(
    rf"!\[[^\]]{{0,999}}\]\(\s*<?(?P<embedded>{_URL}|data:image/[^\s)>]+)|(?P<linked>{_URL})", re.IGNORECASE
)
# Words that follow a picture's name or its query without a space.
_GLUED_WORDS = re.compile(
    r"(?P<picture>.*?\.(?:png|jpe?g|webp|bmp)(?:[?#@!*_][\x21-\x7e]*)?)[^\x00-\x7f].*", re.IGNORECASE
)
_FENCED = re.compile(r"```(?:json)?\s*(?P<inside>.*?)\s*```", re.DOTALL | re.IGNORECASE)
_JSON_START = re.compile(r"[{\[]\s*[\"{\[]")
# What remains of Markdown images, links and brackets when their URL is removed.
_EMPTY_MARKUP = re.compile(
    r"!\[[^\]]{0,999}\]\(\s*(?:\"[^\"]{0,999}\"\s*)?\)|\[(?P<label>[^\]]{0,999})\]\(\s*\)|<\s*>|\(\s*\)"
)
_WHITESPACE = re.compile(r"\s+")
_URL_SEPARATOR = re.compile(r"\s*[,;|]\s*(?=https?://)|\s+")
_MAX_PROSE = 2000  # characters; longer prose from a tool is a document it read, not an image it made
_MAX_DEPTH = 8
_MAPPING_DEPTH, _OBJECT_DEPTH = 1, 3  # attributes of objects may lead anywhere, so they use up more of the depth


def images_in_chat_message(fields: Mapping[str, Any], *, words: bool = True) -> list[Any]:
    """The images in a message of a person, an assistant or the system; with `words=False`, not those in its text."""
    extra = fields.get("additional_kwargs")
    outputs = extra.get("tool_outputs") if isinstance(extra, Mapping) else None  # OpenAI's built-in tools
    content = fields.get("content")
    if not words:
        content = [item for item in content if not _is_text(item)] if isinstance(content, list | tuple) else None
    return [*_in_content(content, expect_image=False), *_in_value(outputs, expect_image=False)]


def _is_text(item: object) -> bool:
    return isinstance(item, str) or (isinstance(item, Mapping) and str(item.get("type")) in _TEXT_BLOCKS)


def images_in_tool_message(fields: Mapping[str, Any]) -> list[Any]:
    """The images in a tool's result, read from its content or from its artifact.

    Tools often give the same images in both. The one with more images counts; if equal, the one with the data.
    """
    forms = [list(_in_content(fields.get(name), expect_image=True)) for name in ("content", "artifact")]
    return max(forms, key=lambda found: (len(found), not any(is_remote(source) for source in found)))


def text_without_images(text: str) -> str:
    """A text without its image URLs and their markup; `""` if no words remain."""
    if as_data_uri(text.strip()) is not None:
        return ""
    bare = _IMAGE_IN_TEXT.sub(lambda match: match[0].replace(_written_in_match(match) or "", "", 1), text)
    words = _WHITESPACE.sub(" ", _EMPTY_MARKUP.sub(lambda match: match["label"] or "", bare)).strip()
    return words if any(map(str.isalnum, words)) else ""


def as_mapping(value: object) -> Mapping[Any, Any]:
    """A mapping unchanged; any other object as a dict of its public attributes."""
    try:
        if isinstance(value, Mapping):
            return dict(value)
        found = getattr(value, "__dict__", None)
    except Exception:  # noqa: BLE001 a foreign object may run its own code on attribute access
        return {}
    return {key: item for key, item in found.items() if key[:1] != "_"} if isinstance(found, dict) else {}


# In the functions below, `expect_image` says that the context promises an image: then a URL without a suffix counts.


def _in_content(content: object, *, expect_image: bool) -> Iterator[Any]:
    for item in content if isinstance(content, list | tuple) else [content]:
        if isinstance(item, str):
            yield from _in_text(item, expect_image=expect_image)
        else:
            yield from _in_value(item, expect_image=expect_image)


def _in_text(text: str, *, expect_image: bool) -> Iterator[Any]:
    """The images in a text. A tool's text (`expect_image`) may also be JSON, or a list of URLs."""
    text = text.strip()
    if expect_image:
        value, text = _split_json(text)
        yield from _in_value(value, expect_image=True)
    words = _URL_SEPARATOR.split(text) if expect_image and text[:4].lower() == "http" else []
    if words and all(map(is_url, words)):
        yield from (word for word in words if is_image_link(word, expect_image=True))
    elif (data_uri := as_data_uri(text)) is not None:
        yield data_uri
    elif not expect_image or len(text) < _MAX_PROSE:
        yield from (url for match in _IMAGE_IN_TEXT.finditer(text) if (url := _image_in_match(match)))


def _split_json(text: str) -> tuple[Any, str]:
    """Return the JSON value in a tool's text, or `None`, and the text around it. It may be fenced, or follow words."""
    fenced = _FENCED.search(text)
    inside = fenced["inside"] if fenced else text
    start = 0 if inside[:1] in {"{", "[", '"'} else -1
    if start < 0 and len(inside) < _MAX_PROSE and (match := _JSON_START.search(inside)):
        start = match.start()
    if start >= 0:
        try:
            value, end = json.JSONDecoder().raw_decode(inside, start)
        except (ValueError, RecursionError):
            pass  # it is prose
        else:
            return value, f"{text[: fenced.start()]} {text[fenced.end() :]}" if fenced else inside[:start] + inside[
                end:
            ]
    return None, text


def _image_in_match(match: re.Match[str]) -> str | None:
    written = _written_in_match(match)
    return None if written is None else written.replace("&amp;", "&")  # summaries are written as XML


def _written_in_match(match: re.Match[str]) -> str | None:
    """The image's address as the text has it."""
    embedded, linked = match["embedded"], match["linked"]
    if embedded is not None:
        url = embedded
    else:
        emphasis = match.string[match.start() - 1 : match.start()]  # a signature too may end with an underscore
        behind = ".,;:!?" + (emphasis if emphasis in {"*", "_"} else "")
        glued = _GLUED_WORDS.fullmatch(linked)
        url = (glued["picture"] if glued else linked).rstrip(behind)
    return url if as_data_uri(url) or is_image_link(url, expect_image=embedded is not None) else None


def _in_value(value: object, *, expect_image: bool, depth: int = _MAX_DEPTH) -> Iterator[Any]:
    """The images in any value, searched to a depth."""
    if isinstance(value, str):
        yield from _in_string(value, expect_image=expect_image, depth=depth)
    elif isinstance(value, bytes | bytearray | memoryview):
        if is_image_bytes(bytes(value[:64])):
            yield bytes(value)
    elif is_pil_image(value):
        yield value
    elif depth > 0 and isinstance(value, list | tuple):
        for item in value:
            yield from _in_value(item, expect_image=expect_image, depth=depth - 1)
    elif depth > 0:
        used = _MAPPING_DEPTH if isinstance(value, Mapping) else _OBJECT_DEPTH
        yield from _in_mapping(as_mapping(value), expect_image=expect_image, depth=depth - used)


def _in_string(value: str, *, expect_image: bool, depth: int) -> Iterator[Any]:
    if (data_uri := as_data_uri(value)) is not None:
        yield data_uri
    elif is_image_link(value.strip(), expect_image=expect_image):
        yield value.strip()
    elif depth > 0 and expect_image and _JSON_START.match(value):  # JSON within JSON
        yield from _in_value(_split_json(value)[0], expect_image=True, depth=depth - 1)


def _in_mapping(fields: Mapping[Any, Any], *, expect_image: bool, depth: int) -> Iterator[Any]:
    kind = str(fields.get("type"))
    is_image = kind in IMAGE_BLOCKS or any(str(fields.get(name)).startswith("image/") for name in _MIME_TYPE_KEYS)
    block = {**fields, "type": "image"}
    if kind in _TEXT_BLOCKS:
        yield from _in_text(str(fields.get("text")), expect_image=expect_image)
    elif is_image and holds_image(block):
        yield block
    elif kind not in _NON_IMAGE_BLOCKS and not _is_search_result(fields):
        expect_image = is_image or (expect_image and _NON_IMAGE_KEYS.isdisjoint(fields))
        for key, item in fields.items():
            name = str(key).lower()
            if not _IGNORED_KEYS.search(name):
                named = _IMAGE_KEYS.search(name) or (expect_image and _GENERIC_KEYS.fullmatch(name))
                yield from _in_value(item, expect_image=bool(named), depth=depth)


def _is_search_result(fields: Mapping[Any, Any]) -> bool:
    """Whether this is a search tool's answer, or a page in it: a title with a URL that is not an image's."""
    names = {str(key).lower(): item for key, item in fields.items()}
    if not _SEARCH_KEYS.isdisjoint(names) or {"images", "results"} <= names.keys():
        return True
    pages = [names[name] for name in _PAGE_KEYS & names.keys()] if "title" in names else []
    return any(isinstance(page, str) and is_url(page) and not is_image_link(page, expect_image=False) for page in pages)
