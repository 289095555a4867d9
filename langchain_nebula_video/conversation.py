"""The images in a conversation's messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

__all__ = ["newest_image"]

_TYPES = frozenset({"image", "image_url", "input_image"})


def newest_image(messages: Sequence[Any]) -> Mapping[str, Any] | None:
    """The image block that came last: last message first, in it the last block first; `None` if there is none.

    Args:
        messages: LangChain messages.
    """
    for message in reversed(messages):
        for block in _blocks_backwards(message):
            if block.get("type") in _TYPES:
                return block
    return None


def _blocks_backwards(message: Any) -> Iterator[Mapping[str, Any]]:
    """The message's blocks as LangChain normalises them, then as the provider wrote them."""
    for blocks in (getattr(message, "content_blocks", None), getattr(message, "content", None)):
        if isinstance(blocks, Iterable) and not isinstance(blocks, str):
            yield from (block for block in reversed(list(blocks)) if isinstance(block, Mapping))
