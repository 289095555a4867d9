"""What a graph of videos takes and returns, with types: for Studio, servers and MCP clients, which read JSON schemas.

The values stay plain dicts. The schemas say what is in them.
"""

from __future__ import annotations

import functools
from typing import Annotated, Any, Required, cast, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, create_model
from pydantic_core import CoreSchema
from typing_extensions import TypedDict, is_typeddict  # of Python's own before 3.12, pydantic makes no schema

from langchain_nebula_video.catalog.offers import Offer
from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.langchain.tool_context import IMAGE_FIELDS
from langchain_nebula_video.langchain.tool_schema import args_schema
from langchain_nebula_video.schema import Task, Video

__all__ = ["check_input_schema", "row_schemas"]

_RESULTS = ("task", "video", "declined")


class _FieldsOf:
    """The JSON schema of a plain dict: that of a model with the same fields."""

    def __init__(self, model: type[BaseModel]) -> None:
        self.model = model

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return handler(self.model)


def row_schemas(offer: Offer, description: str | None) -> tuple[type[Any], type[Any]]:
    """The input and the output of a graph. A request has the fields that the offer takes, with choices and limits.

    LangGraph does not hold anybody to it: a request for another model, and images in other forms, pass as well.

    Args:
        offer: The client's default.
        description: What the graph is for.
    """
    request = Annotated[dict[str, Any], _FieldsOf(_request(offer)), Field(description="The video to make.")]
    named = "Your own name for the video: the same key never pays twice. Leave it out normally."
    key = Annotated[str, Field(description=named)]
    about = description or f"Makes a video with {offer.model.name}, which costs money. Returns its URL and its cost."
    given = _typed_dict("VideoInput", about, request=Required[request], key=key)
    task, video = (Annotated[dict[str, Any], _FieldsOf(_without_raw(model))] for model in (Task, Video))
    reason = Annotated[str, Field(description="Why a person said no. Then nothing was paid.")]
    results = {"task": task, "video": video, "declined": reason}
    return given, _typed_dict("VideoOutput", "What was made, or why nothing was.", request=request, key=key, **results)


def check_input_schema(schema: Any) -> Any:
    """Return an input schema of the caller's own, if a graph can work with it.

    Raises:
        InvalidRequestError: it is no `TypedDict`, has no `request`, or has a key that is a result.
    """
    name = getattr(schema, "__name__", repr(schema))
    if not is_typeddict(schema):
        raise InvalidRequestError(
            f"The input_schema {name} is no TypedDict.",
            hint="Give a TypedDict with the key request. From a pydantic model or a dataclass, LangGraph would put "
            "objects into the state, which checkpointers may not keep.",
        )
    keys = get_type_hints(schema)
    results = [key for key in _RESULTS if key in keys]
    if results or "request" not in keys:
        why = f"has {' and '.join(results)}, which the graph writes" if results else "has no request"
        raise InvalidRequestError(f"The input_schema {name} {why}.", hint="It needs request, and may have key.")
    return schema


def _typed_dict(name: str, description: str, **keys: Any) -> type[Any]:
    made = cast("type[Any]", TypedDict(name, keys, total=False))  # type: ignore[operator]
    made.__doc__ = description  # becomes the description in the JSON schema
    return made


def _request(offer: Offer) -> type[BaseModel]:
    """The fields of a request as a program writes them: images are data, and no numbers of a conversation."""
    formats = " or ".join(offer.images.formats[:2])
    many = offer.model.max_references
    of_images = {
        "image": (str, f"The {formats} image to animate: its https URL, or a data: URI."),
        "last_image": (str, f"The {formats} image that the video ends with: its https URL, or a data: URI."),
        "reference_images": (
            list[str],
            f"Up to {many} images that show who or what appears: https URLs or data: URIs.",
        ),
    }
    fields: dict[str, Any] = {}
    for name, field in args_schema(offer).model_fields.items():
        if name in IMAGE_FIELDS:
            kind, description = of_images[name]
            default: Any = ... if offer.requires(name) else None
            fields[name] = (kind, Field(default=default, description=description))
        elif name != "runtime":
            fields[name] = (field.annotation, field)
    return cast("type[BaseModel]", create_model("VideoRequestFields", __config__=_LATE, **fields))


@functools.cache
def _without_raw(model: type[BaseModel]) -> type[BaseModel]:
    """What the state keeps of a task or a video: all but the gateway's own answer."""
    fields: Any = {name: (field.annotation, field) for name, field in model.model_fields.items() if name != "raw"}
    made = create_model(model.__name__, __config__=_LATE, __doc__=model.__doc__, **fields)
    return cast("type[BaseModel]", made)


_LATE = ConfigDict(defer_build=True)
