"""The arguments of the tools: only what the offer takes, with its choices and limits."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from langchain_core.tools import InjectedToolArg
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    create_model,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import CoreSchema

from langchain_nebula_video.catalog.gateways import Gateway
from langchain_nebula_video.catalog.models import Model
from langchain_nebula_video.catalog.offers import Offer, format_choices
from langchain_nebula_video.schema import normalize_resolution

__all__ = ["Arguments", "InjectedRuntime", "args_schema", "is_left_out", "quote_schema"]


class Arguments(BaseModel):
    """Arguments of a tool: strict about values, lenient about how language models write them."""

    # Language models write an image's number, a task id, or a prompt such as 1984 as a JSON number.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, coerce_numbers_to_str=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_what_is_left_out(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        optional = {name for name, field in cls.model_fields.items() if not field.is_required()}
        return {
            name: value
            for name, value in given.items()
            if value is not None and not (name in optional and is_left_out(name, value))
        }


_NOTHING = frozenset({"", "none", "null"})


def is_left_out(name: str, value: object) -> bool:
    """Whether a value of an optional argument is that of a language model which has to fill in every field.

    `image="none"` says something: no image, also where the conversation has one.
    """
    if not isinstance(value, str):
        return value is None
    word = value.strip().lower()
    return word in _NOTHING and not (word == "none" and name == "image")


InjectedRuntime = Annotated[SkipJsonSchema[Any], InjectedToolArg]
"""A field that no language model should see. LangChain hides injected arguments; Gemini's package shows the whole JSON
schema, so the field is left out of that too."""


def _one_of(choices: tuple[Any, ...]) -> WrapValidator:
    """A choice, parsed as `VideoRequest` parses it, since quotes and budgets depend on the parsed value."""

    def read(given: Any, checked: ValidatorFunctionWrapHandler) -> Any:
        with contextlib.suppress(ValidationError):
            value = checked(given)
            if value in choices and not isinstance(given, bool):
                return value
        raise ValueError(f"Choose one of: {format_choices(choices)}")

    return WrapValidator(read)


class _EnumOfOne:
    """Writes a single choice as an `enum`: google-adk cannot read a `const`."""

    def __get_pydantic_json_schema__(self, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = dict(handler(core_schema))
        for one in (schema, *schema.get("anyOf", ())):
            if "const" in one:
                one["enum"] = [one.pop("const")]
        return schema


def _as_list(given: object) -> object:
    given = [given] if isinstance(given, str | int) else given
    return [item for item in given if not is_left_out("", item)] if isinstance(given, list) else given


def _describe_images(offer: Offer, *, conversation: bool) -> dict[str, str]:
    """What the model reads of each image field. Outside of a conversation there are no numbers and no newest image."""
    most = offer.model.max_references
    image = f"The https URL of the {' or '.join(offer.images.formats[:2])} image to animate"
    last = "The https URL of the image that the video ends with"
    references = f"The https URLs of up to {most} images that show who or what appears"
    instead = "with it, give no image"
    if not conversation:
        alone = "" if offer.requires("image") else " Leave it out for a video of the prompt alone."
        data = "; never copy base64 data here."
        only = "" if offer.requires("reference_images") else f" Leave it out to animate one image; {instead}."
        return {
            "image": f"{image}{data}{alone}",
            "last_image": f"{last}.",
            "reference_images": f"{references}{data}{only}",
        }
    alone = "" if offer.requires("image") else ' Write "none" for a video of the prompt alone.'
    newest = "of the conversation; never copy base64 data here."
    needed = offer.requires("reference_images")
    without = (
        f"use the newest image {newest}" if needed else f"animate one image; {instead}; never copy base64 data here."
    )
    return {
        "image": f"{image}, or the number of an image of the conversation, the oldest being 1. Leave it out to animate "
        f"the newest image {newest}{alone}",
        "last_image": f"{last}, or the number of an image of the conversation.",
        "reference_images": f"{references}, or the numbers of images of the conversation. Leave it out to {without}",
    }


def _all_fields(offer: Offer, *, conversation: bool) -> dict[str, tuple[Any, Any]]:
    """All fields, by name. `args_schema` drops those that the offer does not accept."""
    model = offer.model
    images = _describe_images(offer, conversation=conversation)
    needed = {name for name in images if offer.requires(name) and (name == "last_image" or not conversation)}
    references: Any = list[str] if "reference_images" in needed else list[str] | None
    limit = f"; at most {model.max_prompt} characters" if model.max_prompt else ""
    limit += f", of which a Chinese one counts as {model.cjk_weight}" if model.cjk_weight > 1 else ""
    named = " Name the reference images as @Image1, @Image2 and so on." if model.max_references else ""
    wish = (
        "What happens in the video: the subject's movement, the camera, the mood. One to three concrete sentences "
        f"work best{limit}.{named}"
    )
    sharper = "Higher is sharper and costs more." if len(offer.resolutions) > 1 else f"Only {offer.resolutions[0]}."
    grows = " The cost grows in proportion." if len(model.durations) > 1 else ""
    return {
        "prompt": (str, Field(description=wish))
        if offer.requires("prompt") or not model.templates
        else (str, Field(default="", description=f"{wish} Leave it out with a template, which decides instead.")),
        "image": (
            str if "image" in needed else str | None,
            Field(default=... if "image" in needed else None, description=images["image"]),
        ),
        "last_image": (
            str if "last_image" in needed else str | None,
            Field(default=... if "last_image" in needed else None, description=images["last_image"]),
        ),
        "reference_images": (
            Annotated[references, BeforeValidator(_as_list)],
            Field(
                default=... if "reference_images" in needed else None,
                max_length=model.max_references or None,
                description=images["reference_images"],
            ),
        ),
        # No enum: Gemini knows only enums of strings.
        "duration": (
            Annotated[int, _one_of(model.durations)],
            Field(
                default=model.default_duration,
                ge=min(model.durations),
                le=max(model.durations),
                description=f"Seconds of video: {format_choices(model.durations)}.{grows}",
            ),
        ),
        "resolution": (
            Annotated[
                Literal[offer.resolutions],
                BeforeValidator(normalize_resolution),
                _one_of(offer.resolutions),
                _EnumOfOne(),
            ],
            Field(default=offer.default_resolution, description=sharper),
        ),
        "template": (
            Annotated[Literal[model.templates] | None, _one_of(model.templates), _EnumOfOne()]
            if model.templates
            else None,
            Field(default=None, description="A ready-made effect; the prompt is ignored with one."),
        ),
        "negative_prompt": (
            str | None,
            Field(
                default=None,
                max_length=model.max_negative_prompt,
                description="What should not be seen in the video. Leave it out normally.",
            ),
        ),
        "aspect_ratio": (
            Annotated[Literal[model.aspect_ratios] | None, _one_of(model.aspect_ratios), _EnumOfOne()]
            if model.aspect_ratios
            else None,
            Field(default=None, description="The video's proportions, where no image decides them."),
        ),
        "smart_rewrite": (
            bool,
            Field(
                default=False,
                description="It has no effect here: the service rewrites every prompt."
                if "smart_rewrite" in offer.always_on
                else "Let the service enrich a short prompt. Off keeps strictly to the prompt.",
            ),
        ),
        "generate_audio": (
            bool,
            Field(default=False, description=_describe_sound(offer)),
        ),
        "audio_url": (
            str | None,
            Field(
                default=None,
                description="The https URL of an MP3 or WAV file to use as the sound, about as long as the video; "
                "then generate_audio is left off.",
            ),
        ),
        "watermark": (bool, Field(default=False, description="Put the vendor's mark on the video.")),
        "seed": (
            int | None,
            Field(
                default=None,
                ge=offer.gateway.min_seed,
                le=2147483647,
                description=f"Any number from {offer.gateway.min_seed}; the same seed, prompt and image give a similar "
                "video. Leave it out normally.",
            ),
        ),
    }


def _describe_sound(offer: Offer) -> str:
    if "generate_audio" in offer.always_on:
        return "It has no effect here: every video gets sound, and only an audio_url of your own replaces it."
    return "Add sound that fits the picture. Without it the video is silent."


def args_schema(offer: Offer, *, conversation: bool = True) -> type[BaseModel]:
    """The arguments of the tools that make videos: fields of a request.

    Args:
        offer: The model, as the gateway serves it.
        conversation: Whether the tool can read the conversation. If not, an image that the model needs is required.
    """
    return _build_args_schema(offer.model, offer.gateway, conversation=conversation)


def quote_schema(offer: Offer) -> type[BaseModel]:
    """The arguments of the quote tool: what a price depends on."""
    return _build_quote_schema(offer.model, offer.gateway, with_sound=bool(offer.silent_prices))


@functools.cache
def _build_quote_schema(model: Model, gateway: Gateway, *, with_sound: bool) -> type[BaseModel]:
    priced = {"duration", "resolution"} | ({"generate_audio"} if with_sound else set())
    every = _all_fields(Offer(model, gateway, {}), conversation=False)
    return _create("QuoteVideo", {name: field for name, field in every.items() if name in priced})


@functools.cache
def _build_args_schema(model: Model, gateway: Gateway, *, conversation: bool) -> type[BaseModel]:
    offer = Offer(model, gateway, {})
    every = _all_fields(offer, conversation=conversation)
    fields = {name: field for name, field in every.items() if offer.accepts(name)}
    if conversation:
        # LangGraph's ToolNode fills a field named `runtime`. Without `exclude`, each call would copy the state.
        fields["runtime"] = (InjectedRuntime, Field(default=None, exclude=True))
    return _create("AnimateImage", fields)


def _create(name: str, fields: dict[str, tuple[Any, Any]]) -> type[BaseModel]:
    arguments: type[BaseModel] = create_model(name, __base__=Arguments, **fields)  # type: ignore[call-overload]
    return arguments
