"""What a language model is shown: a tool's description and arguments, made from the model's row."""

from __future__ import annotations

import functools
from decimal import Decimal
from typing import Annotated, Any, Literal

from langchain_core.tools import InjectedToolArg
from pydantic import BaseModel, ConfigDict, Field, create_model

from langchain_nebula_video.models import MODELS, Model
from langchain_nebula_video.schema import dollars

__all__ = ["args_schema", "description"]


def _price_list(model: Model, gateway: str, group_ratio: Decimal) -> str:
    prices = model.prices.get(gateway)
    if not prices:
        return "It costs money; the price is not known here."
    shortest = model.durations[0]
    each = ", ".join(
        f"{dollars(price * shortest * group_ratio)} at {resolution}" for resolution, price in prices.items()
    )
    return f"It costs money: {shortest} seconds cost {each}; longer videos in proportion."


def description(model: Model, gateway: str, group_ratio: Decimal) -> str:
    """When to use the tool, what it costs, how long it takes, and what to do with its answers."""
    slowest = max(latest for _, latest in model.typical_seconds.values())
    return (
        f"Animates one still image into a short MP4 video with {model.title}: the image is the first frame, the "
        f"prompt says what then happens. {_price_list(model, gateway, group_ratio)} Call it once for each video "
        f"that is wanted. It returns when the video is ready, after up to {slowest / 60:.0f} minutes, with JSON: "
        "url (works for 24 hours), cost_usd, duration, resolution, task_id. If it answers with an error, do what "
        "the error says; when the error says that money may have been spent, do not call it again for the same video."
    )


def _fields(model: Model) -> dict[str, tuple[Any, Any]]:
    """Every field that a language model may be shown; those that the row does not accept are left out below."""
    default = model.durations[0]
    return {
        "prompt": (
            str,
            Field(
                description="What happens in the video: the subject's movement, the camera, the mood. One to three "
                f"concrete sentences work best; at most {model.max_prompt} characters."
            ),
        ),
        "image": (
            str | None,
            Field(
                default=None,
                description="The https URL of the JPEG or PNG image to animate. Leave it out to animate the newest "
                "image of the conversation; never copy base64 data here.",
            ),
        ),
        "duration": (
            Literal[model.durations],
            Field(default=default, description="Seconds of video. The cost grows in proportion."),
        ),
        "resolution": (
            Literal[model.resolutions],
            Field(default=model.default_resolution, description="Higher is sharper and costs more."),
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


@functools.cache
def args_schema(model_name: str) -> type[BaseModel]:
    """The arguments of the tool for this model: only what the model takes, with its own choices and limits."""
    model = MODELS[model_name]
    fields = {name: field for name, field in _fields(model).items() if model.accepts(name)}
    # The name is the contract: LangGraph's ToolNode fills a field called `runtime`. Excluded, so that a call
    # does not copy the whole state along.
    fields["runtime"] = (Annotated[Any, InjectedToolArg], Field(default=None, exclude=True))
    made: type[BaseModel] = create_model(
        "AnimateImage", __config__=ConfigDict(extra="forbid", hide_input_in_errors=True), **fields
    )  # type: ignore[call-overload]
    return made
