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
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    create_model,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema

from langchain_nebula_video.catalog.gateways import Gateway
from langchain_nebula_video.catalog.models import Model
from langchain_nebula_video.catalog.offers import Offer, format_choices
from langchain_nebula_video.schema import normalize_resolution

__all__ = ["Arguments", "InjectedRuntime", "args_schema", "quote_schema"]


class Arguments(BaseModel):
    """Arguments of a tool: strict about values, lenient about how language models write them."""

    # Language models write an image's number, a task id, or a prompt such as 1984 as a JSON number.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, coerce_numbers_to_str=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        return {name: value for name, value in given.items() if value is not None}


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


def _as_list(given: object) -> object:
    return [given] if isinstance(given, str | int) else given


def _all_fields(offer: Offer) -> dict[str, tuple[Any, Any]]:
    """All fields, by name. `args_schema` drops those that the offer does not accept."""
    model = offer.model
    limit = f"; at most {model.max_prompt} characters" if model.max_prompt else ""
    limit += f", of which a Chinese one counts as {model.cjk_weight}" if model.cjk_weight > 1 else ""
    named = " Name the reference images as @Image1, @Image2 and so on." if model.max_references else ""
    wish = (
        "What happens in the video: the subject's movement, the camera, the mood. One to three concrete sentences "
        f"work best{limit}.{named}"
    )
    formats = " or ".join(offer.images.formats[:2])
    alone = "" if offer.requires("image") else ' Write "none" for a video of the prompt alone.'
    sharper = "Higher is sharper and costs more." if len(offer.resolutions) > 1 else f"Only {offer.resolutions[0]}."
    needed = offer.requires("reference_images")
    without = "use the newest image of the conversation" if needed else "animate one image; with it, give no image"
    grows = " The cost grows in proportion." if len(model.durations) > 1 else ""
    return {
        "prompt": (str, Field(description=wish))
        if offer.requires("prompt") or not model.templates
        else (str, Field(default="", description=f"{wish} Leave it out with a template, which decides instead.")),
        "image": (
            str | None,
            Field(
                default=None,
                description=f"The https URL of the {formats} image to animate, or the number of an image of the "
                "conversation, the oldest being 1. Leave it out to animate the newest image of the conversation; never "
                f"copy base64 data here.{alone}",
            ),
        ),
        "last_image": (
            str if offer.requires("last_image") else str | None,
            Field(
                default=... if offer.requires("last_image") else None,
                description="The https URL of the image that the video ends with, or the number of an image of the "
                "conversation.",
            ),
        ),
        "reference_images": (
            Annotated[list[str] | None, BeforeValidator(_as_list)],
            Field(
                default=None,
                max_length=model.max_references or None,
                description=f"The https URLs of up to {model.max_references} images that show who or what appears, or "
                f"the numbers of images of the conversation. Leave it out to {without}; never copy base64 data here.",
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
            Annotated[Literal[offer.resolutions], BeforeValidator(normalize_resolution), _one_of(offer.resolutions)],
            Field(default=offer.default_resolution, description=sharper),
        ),
        "template": (
            Annotated[Literal[model.templates] | None, _one_of(model.templates)] if model.templates else None,
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
            Annotated[Literal[model.aspect_ratios] | None, _one_of(model.aspect_ratios)]
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


def args_schema(offer: Offer) -> type[BaseModel]:
    """The arguments of the tools that make videos: fields of a request."""
    return _build_args_schema(offer.model, offer.gateway)


def quote_schema(offer: Offer) -> type[BaseModel]:
    """The arguments of the quote tool: what a price depends on."""
    priced = {"duration", "resolution"} | ({"generate_audio"} if offer.silent_prices else set())
    fields = {name: field for name, field in _all_fields(offer).items() if name in priced}
    arguments: type[BaseModel] = create_model("QuoteVideo", __base__=Arguments, **fields)  # type: ignore[call-overload]
    return arguments


@functools.cache
def _build_args_schema(model: Model, gateway: Gateway) -> type[BaseModel]:
    offer = Offer(model, gateway, {})
    fields = {name: field for name, field in _all_fields(offer).items() if offer.accepts(name)}
    # LangGraph's ToolNode fills a field named `runtime`. It is excluded from dumps: else each call copies the state.
    fields["runtime"] = (InjectedRuntime, Field(default=None, exclude=True))
    arguments: type[BaseModel] = create_model("AnimateImage", __base__=Arguments, **fields)  # type: ignore[call-overload]
    return arguments
