"""The images in a conversation's messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["IMAGE_BLOCKS", "newest_image"]

IMAGE_BLOCKS = frozenset({"image", "image_url", "input_image"})
"""The types of content blocks that hold an image."""


def newest_image(messages: Sequence[Any]) -> Mapping[str, Any] | None:
    """The image block that came last: last message first, in it the last block first; `None` if there is none.

    Args:
        messages: LangChain messages.
    """
    for message in reversed(messages):
        for block in reversed(getattr(message, "content_blocks", None) or []):
            # What LangChain cannot normalise it hands on as the provider wrote it.
            found = block.get("value") if block.get("type") == "non_standard" else block
            if isinstance(found, Mapping) and found.get("type") in IMAGE_BLOCKS:
                return found
    return None
