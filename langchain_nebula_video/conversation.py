"""The images in a conversation's messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.images import image_in_block

__all__ = ["IMAGE_BLOCKS", "newest_image"]

IMAGE_BLOCKS = frozenset({"image", "image_url", "input_image"})
"""The types of content blocks that hold an image."""


def newest_image(messages: Sequence[Any]) -> Mapping[str, Any] | None:
    """The image block that came last: last message first, in it the last block first; `None` if there is none.

    Args:
        messages: LangChain messages.
    """
    for message in reversed(messages):
        for block in reversed(_blocks(message)):
            # What LangChain cannot normalise it hands on as the provider wrote it.
            found = block.get("value") if block.get("type") == "non_standard" else block
            if isinstance(found, Mapping) and str(found.get("type")) in IMAGE_BLOCKS and _holds_one(found):
                return found
    return None


def _blocks(message: Any) -> list[Mapping[str, Any]]:
    try:
        found = getattr(message, "content_blocks", None) or []
    except (KeyError, TypeError, ValueError):  # a malformed block: what else the message holds is out of reach
        return []
    return [block for block in found if isinstance(block, Mapping)]


def _holds_one(block: Mapping[str, Any]) -> bool:
    """Whether the block has its image with it; a provider's file id is of no use here."""
    try:
        image_in_block(block)
    except InvalidRequestError:
        return False
    return True
