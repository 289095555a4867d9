"""What a language model is shown: a tool's description and arguments, made from the model's row."""

from __future__ import annotations

import functools
from decimal import Decimal
from typing import Annotated, Any, Literal

from langchain_core.tools import InjectedToolArg
from pydantic import BaseModel, ConfigDict, Field, create_model

from langchain_nebula_video._offers import Offer
from langchain_nebula_video.gateways import Gateway
from langchain_nebula_video.models import Model
from langchain_nebula_video.schema import money

__all__ = ["args_schema", "description", "quote_schema", "submit_description"]


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


def _what_it_does(offer: Offer) -> str:
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


def _wait(offer: Offer) -> str:
    slowest = offer.model.slowest
    return f"{slowest / 60:.0f} minutes" if slowest < 7200 else f"{slowest / 3600:.0f} hours"


def submit_description(offer: Offer, group_ratio: Decimal, asks_with: str | None) -> str:
    """The same of the tool that does not wait."""
    then = f"Call {asks_with} with that task_id for the video" if asks_with else "The video can be had by it"
    return (
        f"{_what_it_does(offer)} {_price_list(offer, group_ratio)} It starts the video and returns at once with a "
        f"task_id; the video takes up to {_wait(offer)}. {then}. Call it once for each video that is wanted, and never "
        "again for one that was started: that would be paid for twice."
    )


def description(offer: Offer, group_ratio: Decimal, asks_with: str | None = None) -> str:
    """When to use the tool, what it costs, how long it takes, and what to do with its answers."""
    late = f" If the time is over first, go on with {asks_with}; never start it again." if asks_with else ""
    return (
        f"{_what_it_does(offer)} {_price_list(offer, group_ratio)} Call it once for each video "
        f"that is wanted. It returns when the video is ready, after up to {_wait(offer)}, with JSON: "
        f"url (works for 24 hours), cost_usd, duration, resolution, task_id.{late} If it answers with an error, do "
        "what the error says. When money may have been spent, do not call it again for the same video unless the "
        "error itself tells you to."
    )


def _fields(offer: Offer) -> dict[str, tuple[Any, Any]]:
    """Every field that a language model may be shown; those that are not accepted are left out below."""
    model = offer.model
    limit = f"; at most {model.max_prompt} characters" if model.max_prompt else ""
    named = " Name the reference images as @Image1, @Image2 and so on." if model.max_references else ""
    wish = (
        "What happens in the video: the subject's movement, the camera, the mood. One to three concrete sentences "
        f"work best{limit}.{named}"
    )
    formats = " or ".join(offer.gateway.images.formats[:2])
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
                "copy base64 data here.",
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
            list[str] | None,
            Field(
                default=None,
                max_length=model.max_references or None,
                description=f"The https URLs of up to {model.max_references} images that show who or what appears, or "
                "the numbers of images of the conversation. Leave it out to use the newest image of the conversation; "
                "never copy base64 data here.",
            ),
        ),
        "duration": (
            Literal[model.durations],
            Field(default=model.default_duration, description="Seconds of video. The cost grows in proportion."),
        ),
        "resolution": (
            Literal[offer.resolutions],
            Field(default=offer.default_resolution, description="Higher is sharper and costs more."),
        ),
        "template": (
            Literal[model.templates] | None if model.templates else None,
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
            Literal[model.aspect_ratios] | None if model.aspect_ratios else None,
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
    return _made(offer.model, offer.gateway)


# Language models write the number of an image, or a prompt such as 1984, as a number.
_CONFIG = ConfigDict(extra="forbid", hide_input_in_errors=True, coerce_numbers_to_str=True)


def quote_schema(offer: Offer) -> type[BaseModel]:
    """What a price depends on."""
    fields = {name: field for name, field in _fields(offer).items() if name in {"duration", "resolution"}}
    made: type[BaseModel] = create_model("QuoteVideo", __config__=_CONFIG, **fields)  # type: ignore[call-overload]
    return made


@functools.cache
def _made(model: Model, gateway: Gateway) -> type[BaseModel]:
    offer = Offer(model, gateway, {})
    fields = {name: field for name, field in _fields(offer).items() if offer.accepts(name)}
    # The name is the contract: LangGraph's ToolNode fills a field called `runtime`. Excluded, so that a call
    # does not copy the whole state along.
    fields["runtime"] = (Annotated[Any, InjectedToolArg], Field(default=None, exclude=True))
    made: type[BaseModel] = create_model("AnimateImage", __config__=_CONFIG, **fields)  # type: ignore[call-overload]
    return made
