"""Which images a tool call means: URLs, images of the conversation by number, or the newest one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_nebula_video.catalog.offers import Offer
from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.langchain.conversation import chosen, images, newest_image
from langchain_nebula_video.langchain.image_values import is_url, is_whole_picture, parse_handle, truncate
from langchain_nebula_video.langchain.tool_context import IMAGE_FIELDS

__all__ = ["resolve_images"]

_MAX_LISTED = 10
_NO_CONVERSATION = "this tool cannot see the conversation here"


def resolve_images(
    fields: Mapping[str, Any], messages: list[Any] | None, offer: Offer, *, files_allowed: bool
) -> dict[str, Any]:
    """The arguments of a call, with images instead of their numbers, and the newest image if none is given.

    Args:
        fields: What the language model gave. `"none"` means no image, where the model needs none.
        messages: The conversation; `None` if there is none to read.
        offer: Decides which field takes the newest image.
        files_allowed: Whether a name may also be that of a file in the image folder.

    Raises:
        InvalidRequestError: there is no image of that number, or the model needs an image and there is none.
    """
    declined = {name for name in IMAGE_FIELDS if _says_none(fields.get(name))}
    refused = {name for name in declined if not offer.requires(name)}
    unset = {"reference_images"} if fields.get("reference_images") is None else set()
    resolved = {name: given for name, given in fields.items() if name not in declined | unset}
    for name in IMAGE_FIELDS:
        if given := resolved.get(name):
            resolved[name] = _resolve(given, messages, files_allowed=files_allowed)
    main = "reference_images" if offer.requires("reference_images") else "image"
    if main in refused or not offer.accepts(main) or resolved.get(main):
        return resolved
    if resolved.get("reference_images") and not offer.requires(main):  # a video is made of frames or of references
        return resolved
    last = resolved.get("last_image")
    newest = newest_image(messages or (), besides=[] if last is None else [last])
    if newest is None and offer.requires(main):
        claimed = [image.handle for image in images(messages or ()) if image.claimed and image.source != last]
        if claimed:
            raise InvalidRequestError(
                f"No image was given, and the conversation has {_none(last)} but image {claimed[-1]}, of which only "
                "the assistant's own words speak.",
                hint=f"If it is real, give its number: {claimed[-1]}. Else give the image's https URL.",
            )
        missing = _NO_CONVERSATION if messages is None else f"there is {_none(last)} in the conversation"
        raise InvalidRequestError(f"No image was given, and {missing}.", hint="Give the image's https URL.")
    return {**resolved, main: newest if main == "image" else (newest,)}


def _says_none(given: Any) -> bool:
    return isinstance(given, str) and given.strip().lower() == "none"


def _none(last: Any) -> str:
    return "none" if last is None else "no other"


def _resolve(given: Any, messages: list[Any] | None, *, files_allowed: bool) -> Any:
    """The image that a number means; URLs unchanged. Other words raise an error that lists the images."""
    if isinstance(given, list | tuple):
        return [_resolve(item, messages, files_allowed=files_allowed) for item in given]
    if not isinstance(given, str) or is_url(given):
        return _not_made_up(given, messages or [])
    if parse_handle(given) and messages is None:
        raise InvalidRequestError(
            f"{truncate(given)!r} is no image's URL, and {_NO_CONVERSATION}.", hint="Give the image's https URL."
        )
    if parse_handle(given) or (not files_allowed and images(messages or ())):
        return chosen(given, messages or ()).source
    return given  # a file of the image folder, or an invalid image that is refused where images are read


def _not_made_up(given: Any, messages: list[Any]) -> Any:
    """An image as it was given, unless a language model made its data up while there are pictures."""
    if isinstance(given, str) and given.lstrip()[:5].lower() == "data:" and not is_whole_picture(given):
        real = [image.describe() for image in images(messages) if not image.claimed]
        if real:
            raise InvalidRequestError(
                "The inline image that was given is no picture.",
                hint=f"Give the number of one that is there: {'; '.join(real[-_MAX_LISTED:])}.",
            )
    return given.replace("&amp;", "&") if isinstance(given, str) and given[:4].lower() == "http" else given
