"""The arguments of the MCP tools: those of the LangChain tools, for a caller without a conversation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from langchain_nebula_video.catalog.offers import Offer, format_validation_error
from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.langchain.tool_schema import Arguments, args_schema, quote_schema

__all__ = ["GetArguments", "ListArguments", "json_schema", "parse", "quote_schema", "video_arguments", "video_schema"]

_MAX_WAIT_SECONDS = 900
"""How long one call may wait. The client can call again."""


class GetArguments(Arguments):
    """Of the tool that looks at a task."""

    task_id: str = Field(description="The task_id that the tool that started the video returned.")
    wait_seconds: float = Field(
        default=0, ge=0, le=_MAX_WAIT_SECONDS, description="Wait up to so many seconds for the video; 0 looks once."
    )


class ListArguments(Arguments):
    """Of the tool that lists tasks."""

    limit: int = Field(default=10, ge=1, le=100, description="How many finished videos to list, newest first.")


def video_arguments(offer: Offer) -> type[BaseModel]:
    """Return the arguments of the tools that make videos. An image that the model needs is required."""
    return args_schema(offer, conversation=False)


def video_schema(offer: Offer, *, files: bool) -> dict[str, Any]:
    """Return the JSON schema of `video_arguments`, which says in which forms an image may come.

    Args:
        offer: The model, as the gateway serves it.
        files: Whether the server has an image folder.
    """
    formats = " or ".join(offer.images.formats[:2])
    forms = "its https URL, or a data: URI"
    if files:
        forms = "its https URL, a data: URI, or a file of the server's image folder by its name or resource:// URI"
    alone = "" if offer.requires("image") else " Leave it out for a video of the prompt alone."
    descriptions = {
        "image": f"The {formats} image to animate: {forms}.{alone}",
        "last_image": f"The image that the video ends with: {forms}.",
        "reference_images": f"Up to {offer.model.max_references} images that show who or what appears; each: {forms}.",
    }
    schema = json_schema(video_arguments(offer))
    for name, text in descriptions.items():
        if name in schema["properties"]:
            schema["properties"][name]["description"] = text
    return schema


def json_schema(arguments: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schema of arguments in the plainest form, which every client reads.

    An optional field has no `null` among its types: it is left out instead.
    """
    schema = arguments.model_json_schema()
    return {
        "type": "object",
        "properties": {name: _plain(field) for name, field in schema["properties"].items()},
        "required": schema.get("required", []),
        "additionalProperties": False,
    }


def _plain(field: Mapping[str, Any]) -> dict[str, Any]:
    plain = {name: value for name, value in field.items() if name not in {"title", "anyOf"}}
    kinds = [kind for kind in field.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) == 1:
        plain = {**kinds[0], **plain}
    elif kinds:
        plain["anyOf"] = kinds
    if plain.get("default", "") is None:
        del plain["default"]
    return plain


def parse(arguments: type[BaseModel], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that a client gave, checked; those that are left out are not among them.

    Raises:
        InvalidRequestError: they are not valid.
    """
    try:
        parsed = arguments.model_validate(given)
    except ValidationError as error:
        hint = "Correct the arguments and call again."
        raise InvalidRequestError(format_validation_error(error), hint=hint) from None
    found = {name: getattr(parsed, name) for name in parsed.model_fields_set if name != "runtime"}
    image = found.get("image")
    if isinstance(image, str) and image.strip().lower() == "none":  # to a tool in a conversation, this says something
        del found["image"]
    return found
