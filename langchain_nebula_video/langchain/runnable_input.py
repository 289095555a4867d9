"""Read what a chain hands over, in any LangChain form, into the fields of a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage, convert_to_messages

from langchain_nebula_video.catalog.offers import Offer, build_request
from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.langchain.conversation import newest_image
from langchain_nebula_video.langchain.image_search import text_without_images
from langchain_nebula_video.langchain.image_values import IMAGE_BLOCKS, is_url, truncate
from langchain_nebula_video.schema import VideoRequest

__all__ = ["InputReader", "split_key"]


def split_key(given: Any) -> tuple[Any, str | None]:
    """An input without its `key`, and that key. Only a dict of fields has one; a message or an image block does not.

    Raises:
        InvalidRequestError: the key is no text.
    """
    if not isinstance(given, Mapping) or "key" not in given or _is_message(given) or given.get("type") in IMAGE_BLOCKS:
        return given, None
    key = given["key"]
    if key is not None and not isinstance(key, str):
        raise InvalidRequestError(
            f"The input's key is a {type(key).__name__}, and no text.", hint="Give a text, or leave key out."
        )
    return {name: value for name, value in given.items() if name != "key"}, key


class InputReader:
    """Builds requests from inputs.

    Args:
        find_offer: The offer of a model by name; `None`: of the default model.
        defaults: Fields of a request that apply where an input does not set them.
        files_allowed: Whether a text may name a file of the image folder.
    """

    def __init__(
        self, find_offer: Callable[[str | None], Offer], defaults: Mapping[str, Any], *, files_allowed: bool
    ) -> None:
        self._find_offer = find_offer
        self._defaults = defaults
        self._files_allowed = files_allowed

    def request(self, given: Any, overrides: Mapping[str, Any]) -> VideoRequest:
        """The request of an input. Overrides win over the input, and the input over the defaults.

        Raises:
            InvalidRequestError: the input has no image or no prompt where the model needs one, or it cannot be read.
        """
        fields = self._read(given, {**self._defaults, **overrides})
        model = overrides.get("model") or fields.get("model")
        one_image = "image" in fields and "reference_images" not in fields
        if one_image and self._find_offer(model).requires("reference_images"):
            fields["reference_images"] = (fields.pop("image"),)
        return build_request({**self._defaults, **fields}, overrides)

    def _read(self, given: Any, known: Mapping[str, Any]) -> dict[str, Any]:
        """The fields that an input sets; `known` are those that are set elsewhere."""
        if isinstance(given, VideoRequest):
            return {name: getattr(given, name) for name in given.model_fields_set}
        if isinstance(given, Mapping) and "messages" in given:
            rest = {name: value for name, value in given.items() if name != "messages"}
            return {**self._read_messages(_convert(given["messages"]), {**known, **rest}), **rest}
        messages = _as_messages(given)
        if messages is not None:
            return self._read_messages(messages, known)
        if isinstance(given, Mapping) and given.get("type") not in IMAGE_BLOCKS:
            return dict(given)
        if isinstance(given, str) and not self._files_allowed and not is_url(given):
            raise InvalidRequestError(
                f"The input {truncate(given)!r} is a text, and neither the address nor the data: URI of an image.",
                hint='Give the image as the input, or both in a dict: {"image": …, "prompt": …}.',
            )
        return {"image": given}

    def _read_messages(self, messages: list[BaseMessage], known: Mapping[str, Any]) -> dict[str, Any]:
        """The newest image, and the user's last words if there is no other prompt."""
        offer = self._find_offer(known.get("model"))
        image = newest_image(messages, claims=True)
        if image is None and (offer.requires("image") or offer.requires("reference_images")):
            raise InvalidRequestError(
                "The message carries no image.",
                hint="Give a message with an image block, or an image's URL in a dict.",
            )
        fields = {} if image is None else {"image": image}
        if known.get("prompt") or known.get("template"):
            return fields
        texts = [text_without_images(message.text) for message in messages if isinstance(message, HumanMessage)]
        if not texts:
            raise InvalidRequestError(
                "There is no prompt: none is given, and no message is the user's.",
                hint="Give prompt= to the runnable or with the call; what a model or a tool says is taken for none.",
            )
        return {**fields, "prompt": next(filter(None, reversed(texts)), "")}


def _as_messages(given: Any) -> list[BaseMessage] | None:
    """The messages of a prompt value, a message or a list of them; `None` for other inputs."""
    if hasattr(given, "to_messages"):  # a prompt template's value
        return list(given.to_messages())
    items = [given] if _is_message(given) else given
    if not isinstance(items, list | tuple) or not items or not all(map(_is_message, items)):
        return None
    return _convert(items)


def _is_message(item: object) -> bool:
    return isinstance(item, BaseMessage) or (isinstance(item, Mapping) and {"role", "content"} <= item.keys())


def _convert(given: Any) -> list[BaseMessage]:
    """Anything that LangChain takes as messages, as message objects."""
    try:
        return convert_to_messages(given if isinstance(given, list | tuple) else [given])
    except (ValueError, TypeError, KeyError, NotImplementedError) as error:  # the last: for an unknown type
        raise InvalidRequestError(
            f"The messages cannot be read: {truncate(str(error))}", hint="Give LangChain messages, or dicts of them."
        ) from None
