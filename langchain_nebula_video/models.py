"""MODELS: what each model can do and costs, a row a model; checking and pricing a request by its row."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from langchain_nebula_video._urls import split_url
from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.schema import Cost, VideoRequest, encodable

if TYPE_CHECKING:
    from langchain_nebula_video.gateways import Gateway

__all__ = [
    "MODELS",
    "Model",
    "as_request",
    "complete",
    "estimate",
    "find_model",
    "model_for",
    "price_cost",
    "request_problems",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One row: what the model takes, makes and costs."""

    name: str
    title: str
    """For people and for the descriptions that a language model reads."""
    required: frozenset[str]
    """The fields of a `VideoRequest` that must be there."""
    takes: frozenset[str]
    """The fields that may be there besides."""
    durations: tuple[int, ...]
    """Seconds of video that can be asked for; the first is the default."""
    resolutions: tuple[str, ...]
    default_resolution: str
    fps: int
    max_prompt: int
    """Characters."""
    max_image_bytes: int
    """An image must be smaller than this."""
    image_formats: tuple[str, ...]
    prices: Mapping[str, Mapping[str, Decimal]]
    """By gateway, by resolution: US dollars per second of video."""
    typical_seconds: Mapping[int, tuple[float, float]]
    """By duration: how long the generation usually takes, from and to."""
    timeout: float
    """Seconds that a generation is given unless the caller says otherwise."""

    def accepts(self, field: str) -> bool:
        """Whether a request may have this field."""
        return field in self.required or field in self.takes

    def typical(self, duration: int | None) -> tuple[float, float]:
        """How long a video of that duration usually takes, from and to."""
        return self.typical_seconds.get(duration or 0) or next(iter(self.typical_seconds.values()))


def _table(rows: dict[str, str]) -> Mapping[str, Decimal]:
    return MappingProxyType({resolution: Decimal(price) for resolution, price in rows.items()})


MODELS: dict[str, Model] = {
    row.name: row
    for row in [
        # The gateway's page for wan2.5-i2v-preview, 2025-11-04: parameters, prices, "a 5-second video usually
        # takes 1-2 minutes, a 10-second video 2-3", "wait for 5-10 minutes" when it is queued; 24 fps and the
        # prompt's 1500 characters (longer ones are cut off silently): Alibaba's image-to-video page.
        Model(
            name="wan2.5-i2v-preview",
            title="Wan 2.5 image-to-video",
            required=frozenset({"prompt", "image"}),
            takes=frozenset(
                {"duration", "resolution", "smart_rewrite", "generate_audio", "audio_url", "seed"},
            ),
            durations=(5, 10),
            resolutions=("480p", "720p", "1080p"),
            default_resolution="720p",
            fps=24,
            max_prompt=1500,
            max_image_bytes=5 * 1024 * 1024,
            image_formats=("JPEG", "PNG"),
            prices=MappingProxyType(
                {"nebula": _table({"480p": "0.0369", "720p": "0.0738", "1080p": "0.1233"})},
            ),
            typical_seconds=MappingProxyType({5: (60.0, 120.0), 10: (120.0, 180.0)}),
            timeout=900.0,
        ),
    ]
}


def find_model(name: str) -> Model:
    """The row of that name.

    Raises:
        InvalidRequestError: there is none.
    """
    try:
        return MODELS[name]
    except KeyError:
        raise InvalidRequestError(
            f"There is no model {name!r}.", hint=f"Choose one of: {', '.join(sorted(MODELS))}."
        ) from None


def model_for(name: str, gateway: Gateway) -> Model:
    """The row of that name, if the gateway serves it."""
    row = find_model(name)
    if gateway.name not in row.prices:
        served = ", ".join(sorted(m.name for m in MODELS.values() if gateway.name in m.prices))
        raise InvalidRequestError(
            f"The gateway {gateway.name!r} does not serve {name!r}.", hint=f"It serves: {served}."
        )
    return row


def as_request(request: VideoRequest | Mapping[str, Any] | None, fields: Mapping[str, Any]) -> VideoRequest:
    """A `VideoRequest` from one, from a dict, or from keywords; keywords win.

    Raises:
        InvalidRequestError: an unknown field, or a value of the wrong type.
    """
    if isinstance(request, VideoRequest):
        given: dict[str, Any] = {name: getattr(request, name) for name in request.model_fields_set}
    else:
        given = request or {}  # type: ignore[assignment]
    try:
        return VideoRequest(**{**given, **fields})
    except TypeError:
        raise InvalidRequestError(
            f"A {type(request).__name__} is no request.",
            hint="Give a VideoRequest, a dict of its fields, or keywords.",
        ) from None
    except ValidationError as error:
        raise InvalidRequestError(request_problems(error), hint="Correct it and call again.") from None


def request_problems(error: ValidationError) -> str:
    """What pydantic found, as one sentence; values are left out: they may be secret, or megabytes."""
    found = []
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        where = ".".join(str(part) for part in item["loc"]) or "request"
        found.append(f"{where}: {item['msg'].removeprefix('Value error, ')}")
    return f"The request is not valid: {'; '.join(found)}."


_DEFAULTS = {name: field.get_default() for name, field in VideoRequest.model_fields.items()}
_MAX_SEED = 2147483647


def complete(request: VideoRequest, gateway: Gateway, default_model: str) -> tuple[VideoRequest, Model]:
    """The request with the model's defaults filled in, checked against its row; and the row.

    Raises:
        InvalidRequestError: the model does not take what was asked for; the message says what it takes.
    """
    model = model_for(request.model or default_model, gateway)
    request = request.model_copy(
        update={
            "model": model.name,
            "duration": model.durations[0] if request.duration is None else request.duration,
            "resolution": request.resolution or model.default_resolution,
        },
    )
    for name, default in _DEFAULTS.items():
        value = getattr(request, name)
        if isinstance(value, str) and not encodable(value):
            raise InvalidRequestError(f"{name} holds half a character.", hint="Take it out: an emoji was cut in two.")
        if name in {"model", "prompt"}:
            continue
        if not model.accepts(name) and value is not None and value != default:
            raise InvalidRequestError(
                f"{model.name} takes no {name}.", hint=f"Leave {name} out, or choose another model."
            )
        if name in model.required and value is None:
            raise InvalidRequestError(f"There is no {name}.", hint=_REMEDIES.get(name, f"Give {name}."))
    _check_prompt(request.prompt, model)
    _check_choice("duration", request.duration, model.durations, model)
    _check_choice("resolution", request.resolution, model.resolutions, model)
    if request.seed is not None and not 0 <= request.seed <= _MAX_SEED:
        raise InvalidRequestError(f"seed is {request.seed}.", hint=f"Give a seed from 0 to {_MAX_SEED}, or none.")
    if request.audio_url is not None:
        _check_audio(request)
    return request, model


_REMEDIES = {
    "image": "Give an https or http URL, a data: URI, bytes, a pathlib.Path, an open file or a PIL image.",
}


def _check_prompt(prompt: str, model: Model) -> None:
    if "prompt" in model.required and not prompt.strip():
        raise InvalidRequestError("The prompt is empty.", hint="Say what should happen in the video.")
    if len(prompt) > model.max_prompt:
        raise InvalidRequestError(
            f"The prompt has {len(prompt)} characters; {model.name} reads {model.max_prompt} and drops the rest.",
            hint="Shorten it.",
        )


def _check_choice(name: str, value: object, choices: tuple[object, ...], model: Model) -> None:
    if value not in choices:
        offered = ", ".join(str(choice) for choice in choices)
        raise InvalidRequestError(
            f"{name} is {value}; {model.name} makes {offered}.", hint=f"Choose one of: {offered}."
        )


def _check_audio(request: VideoRequest) -> None:
    if split_url(request.audio_url or "", ("https",)) is None:
        raise InvalidRequestError(
            "audio_url is not an https address.",
            hint="Give the https URL of a public MP3 or WAV file of at most 15 MB.",
        )
    if request.generate_audio:
        warnings.warn("audio_url is given, so the gateway ignores generate_audio.", UserWarning, stacklevel=2)


def price_cost(
    price_per_second: Decimal | None,
    seconds: int | None,
    gateway: Gateway,
    *,
    group_ratio: Decimal = Decimal(1),
    billed: bool = False,
) -> Cost:
    """Price x seconds x ratio, as the gateway's billing rules have it; unknown where a factor is."""
    usd = None if price_per_second is None or seconds is None else price_per_second * seconds * group_ratio
    return Cost(
        usd=usd,
        cny=None if usd is None else usd * gateway.cny_per_usd,
        price_per_second=price_per_second,
        seconds=seconds,
        group_ratio=group_ratio,
        basis="unknown" if usd is None else "billed" if billed else "estimated",
    )


def estimate(request: VideoRequest, model: Model, gateway: Gateway, group_ratio: Decimal) -> Cost:
    """What a completed request will cost by the price table."""
    price = model.prices.get(gateway.name, {}).get(request.resolution or "")
    return price_cost(price, request.duration, gateway, group_ratio=group_ratio)
