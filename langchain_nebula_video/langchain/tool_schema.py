"""What a language model is shown: a tool's description and arguments, made from the model's row."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping
from decimal import Decimal
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
from langchain_nebula_video.schema import money, normalize_resolution

__all__ = ["Arguments", "InjectedRuntime", "args_schema", "description", "quote_schema", "submit_description"]


def _price_list(offer: Offer, group_ratio: Decimal) -> str:
    if not offer.prices:
        return "It costs money; the price is not known here."
    seconds = offer.model.default_duration
    each = ", ".join(
        f"{money(price * seconds * group_ratio, offer.gateway.currency)} at {resolution}"
        for resolution, price in offer.prices.items()
    )
    longer = "; longer videos in proportion" if len(offer.model.durations) > 1 else ""
    return f"It costs money: {seconds} seconds cost {each}{longer}."


def _summary(offer: Offer) -> str:
    title = offer.model.title
    if offer.requires("reference_images"):
        return (
            f"Makes a short MP4 video with {title}: the reference images show who or what appears in it, the prompt "
            "says what happens."
        )
    if not offer.accepts("image"):
        return f"Makes a short MP4 video with {title}: the prompt says what is seen and what happens."
    frames = "the image is the first frame"
    if offer.requires("last_image"):
        frames = "image is the first frame, last_image the last"
    alone = ""
    if not offer.requires("image"):
        alone = " Where neither the call nor the conversation has an image, the video is made of the prompt alone."
    return (
        f"Animates one still image into a short MP4 video with {title}: {frames}, the prompt says what then "
        f"happens.{alone}"
    )


def _max_wait(offer: Offer) -> str:
    slowest = offer.model.slowest
    return f"{slowest / 60:.0f} minutes" if slowest < 7200 else f"{slowest / 3600:.0f} hours"


def submit_description(offer: Offer, group_ratio: Decimal, asks_with: str | None) -> str:
    """The same of the tool that does not wait."""
    then = f"Call {asks_with} with that task_id for the video" if asks_with else "The video can be had by it"
    return (
        f"{_summary(offer)} {_price_list(offer, group_ratio)} It starts the video and returns at once with a "
        f"task_id; the video takes up to {_max_wait(offer)}. {then}. Call it once for each video that is wanted, and "
        "never again for one that was started: that would be paid for twice."
    )


def description(offer: Offer, group_ratio: Decimal, asks_with: str | None = None) -> str:
    """When to use the tool, what it costs, how long it takes, and what to do with its answers."""
    late = f" If the time is over first, go on with {asks_with}; never start it again." if asks_with else ""
    return (
        f"{_summary(offer)} {_price_list(offer, group_ratio)} Call it once for each video "
        f"that is wanted. It returns when the video is ready, after up to {_max_wait(offer)}, with JSON: "
        f"url (works for 24 hours), cost_usd, duration, resolution, task_id.{late} If it answers with an error, do "
        "what the error says. When money may have been spent, do not call it again for the same video unless the "
        "error itself tells you to."
    )


class Arguments(BaseModel):
    """What a tool is called with: strict about what it means, lenient about how language models write it."""

    # They write the number of an image, a task's id or a prompt such as 1984 as a number.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, coerce_numbers_to_str=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        return {name: value for name, value in given.items() if value is not None}


InjectedRuntime = Annotated[SkipJsonSchema[Any], InjectedToolArg]
"""What no model is to see: LangChain leaves it out for most of them; Gemini's package shows the whole JSON schema."""


def _one_of(choices: tuple[Any, ...]) -> WrapValidator:
    """A choice, read as `VideoRequest` reads it: prices are told, and budgets kept, by what that makes of it."""

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
    """Every field that a language model may be shown; those that are not accepted are left out below."""
    model = offer.model
    limit = f"; at most {model.max_prompt} characters" if model.max_prompt else ""
    named = " Name the reference images as @Image1, @Image2 and so on." if model.max_references else ""
    wish = (
        "What happens in the video: the subject's movement, the camera, the mood. One to three concrete sentences "
        f"work best{limit}.{named}"
    )
    formats = " or ".join(offer.gateway.images.formats[:2])
    alone = "" if offer.requires("image") else ' Write "none" for a video of the prompt alone.'
    sharper = "Higher is sharper and costs more." if len(offer.resolutions) > 1 else f"Only {offer.resolutions[0]}."
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
                "the numbers of images of the conversation. Leave it out to use the newest image of the conversation; "
                "never copy base64 data here.",
            ),
        ),
        # No enumeration: Gemini knows only those of texts.
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
                description="Let the service enrich a short prompt. Off keeps strictly to the prompt.",
            ),
        ),
        "generate_audio": (
            bool,
            Field(default=False, description="Add sound that fits the picture. Without it the video is silent."),
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
                ge=0,
                le=2147483647,
                description="Any number; the same seed, prompt and image give a similar video. Leave it out normally.",
            ),
        ),
    }


def args_schema(offer: Offer) -> type[BaseModel]:
    """The arguments of the tool for this offer: only what is taken there, with its own choices and limits."""
    return _build_args_schema(offer.model, offer.gateway)


def quote_schema(offer: Offer) -> type[BaseModel]:
    """What a price depends on."""
    fields = {name: field for name, field in _all_fields(offer).items() if name in {"duration", "resolution"}}
    arguments: type[BaseModel] = create_model("QuoteVideo", __base__=Arguments, **fields)  # type: ignore[call-overload]
    return arguments


@functools.cache
def _build_args_schema(model: Model, gateway: Gateway) -> type[BaseModel]:
    offer = Offer(model, gateway, {})
    fields = {name: field for name, field in _all_fields(offer).items() if offer.accepts(name)}
    # The name is the contract: LangGraph's ToolNode fills a field called `runtime`. Excluded, so that a call
    # does not copy the whole state along.
    fields["runtime"] = (InjectedRuntime, Field(default=None, exclude=True))
    arguments: type[BaseModel] = create_model("AnimateImage", __base__=Arguments, **fields)  # type: ignore[call-overload]
    return arguments
