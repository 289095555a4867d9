"""The images of a conversation: numbered, oldest first, each with who made it.

An image in a message is found by its content block or by its first bytes. An image elsewhere is found by its URL and
by the name of the field that holds the URL. Nothing is fetched and no pixel is decoded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.langchain.image_search import as_mapping, images_in_chat_message, images_in_tool_message
from langchain_nebula_video.langchain.image_values import (
    describe_source,
    identity,
    is_remote,
    is_whole_picture,
    parse_handle,
    truncate,
)

__all__ = ["ConversationImage", "chosen", "images", "newest_image"]

_MAX_LISTED = 10
_OWN_TOOLS = "tool nebula_"  # their results are videos
_REPEATERS = frozenset({"the assistant", "a summary"})
_TOOL_ROLES = frozenset({"tool", "function"})
_AUTHORS = {"human": "the user", "user": "the user", "ai": "the assistant", "assistant": "the assistant"}


@dataclass(frozen=True, slots=True)
class ConversationImage:
    """An image in a conversation."""

    handle: str
    """Its number as text: `"1"` is the oldest. New messages do not change it; removing old ones does."""
    source: Any = field(repr=False)
    """What a request takes as an image: a content block, a URL, a `data:` URI, bytes or a PIL image."""
    made_by: str
    """`"the user"`, `"the assistant"`, `"tool …"`, `"a summary"` or `"the system"`."""
    claimed: bool = False
    """Whether nothing but the words of an assistant or of a summary names it. Language models make up addresses."""

    def describe(self) -> str:
        """One short line, without the image and without signatures: `2: PNG, 84 kB, by tool draw`."""
        words = "the words of " if self.claimed else ""
        return f"{self.handle}: {describe_source(self.source)}, by {words}{self.made_by}"


def images(messages: Sequence[Any]) -> list[ConversationImage]:
    """The images in these messages, oldest first. An image that is repeated at once counts once.

    Args:
        messages: LangChain messages, or dicts with `role` and `content`.
    """
    found: list[ConversationImage] = []
    keys: list[object] = []
    tools: dict[str, str] = {}
    for message in messages:
        fields = as_mapping(message)
        tools.update(_tool_names(fields.get("tool_calls")))
        author = _author(fields, tools)
        shown = {identity(source): source for source in _images_in_message(fields, author)}
        here = shown | {
            key: said for said in _claims_in_message(fields, author) if (key := identity(said)) not in shown
        }
        if list(here) == keys[len(keys) - len(here) :]:
            continue  # a tool's images, repeated for the model
        for key, source in here.items():
            # The assistant repeats images instead of making them, and language models corrupt signed URLs.
            if key not in (keys if author in _REPEATERS else keys[-1:]):
                keys.append(key)
                found.append(ConversationImage(str(len(found) + 1), source, author, key not in shown))
    return found


def newest_image(messages: Sequence[Any], *, besides: Sequence[Any] = (), claims: bool = False) -> Any:
    """The `ConversationImage.source` of the newest image; `None` if there is no image.

    Args:
        messages: As for `images`.
        besides: Images, in any form, to leave out.
        claims: Whether images count that only an assistant's words name.
    """
    excluded = [identity(source) for source in besides]
    found = (image for image in reversed(images(messages)) if claims or not image.claimed)
    return next((image.source for image in found if identity(image.source) not in excluded), None)


def chosen(handle: str, messages: Sequence[Any]) -> ConversationImage:
    """The image with that handle.

    Raises:
        InvalidRequestError: there is no such image; the message lists the newest ten.
    """
    found = images(messages)
    name = str(len(found)) if (number := parse_handle(handle)) == "last" else number
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


def _tool_names(calls: object) -> Iterator[tuple[str, str]]:
    """The call id and the tool name of each call in a message, in LangChain's form or in OpenAI's."""
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function", call) if isinstance(call, Mapping) else None
        if isinstance(function, Mapping):
            yield str(call.get("id")), str(function.get("name") or "")


def _author(fields: Mapping[str, Any], tools: Mapping[str, str]) -> str:
    extra = fields.get("additional_kwargs")
    if isinstance(extra, Mapping) and extra.get("lc_source") == "summarization":
        return "a summary"
    role = str(fields.get("role") or fields.get("type")).lower().removesuffix("messagechunk")
    if role not in _TOOL_ROLES:
        return _AUTHORS.get(role, "the system")
    name = str(fields.get("name") or tools.get(str(fields.get("tool_call_id"))) or "")
    return f"tool {' '.join(name.split())[:60]}".strip()


def _images_in_message(fields: Mapping[str, Any], author: str) -> list[Any]:
    if author.split(maxsplit=1)[0] != "tool":
        return images_in_chat_message(fields, words=author not in _REPEATERS)
    if author.startswith(_OWN_TOOLS) or fields.get("status") == "error":
        return []
    return images_in_tool_message(fields)


def _claims_in_message(fields: Mapping[str, Any], author: str) -> list[Any]:
    """The images that an assistant's or a summary's words name. Inline data counts if it is a picture, as it seems."""
    if author not in _REPEATERS:
        return []
    return [source for source in images_in_chat_message(fields) if is_remote(source) or is_whole_picture(source)]
