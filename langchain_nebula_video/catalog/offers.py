"""Offers: a model as one gateway serves it. An offer validates requests and estimates their cost."""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any

from pydantic import ValidationError

from langchain_nebula_video.catalog.gateways import Gateway
from langchain_nebula_video.catalog.models import MODELS, Model, find_model
from langchain_nebula_video.catalog.suggestions import did_you_mean
from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.media.limits import ImageLimits
from langchain_nebula_video.media.urls import split_url
from langchain_nebula_video.schema import Cost, VideoRequest, is_encodable

__all__ = [
    "CustomPrices",
    "Offer",
    "build_request",
    "catalog_name",
    "compute_cost",
    "find_offer",
    "format_choices",
    "format_validation_error",
    "offers",
    "parse_prices",
]

CustomPrices = Mapping[str, Mapping[str, Decimal]]
"""The caller's prices per second of video, by model and by resolution."""

_MAX_SEED = 2147483647
_MAX_SUGGESTIONS = 6
"""The most models that a message lists."""
_DEFAULTS = {name: field.get_default() for name, field in VideoRequest.model_fields.items()}
_CHECKED_SEPARATELY = frozenset({"model", "prompt"})
_IMAGE_REFERENCE = re.compile(r"@Image(\d+)")
_CJK = re.compile(r"[\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")
"""Chinese, Japanese and Korean characters, with their punctuation."""
_HINTS = {
    "image": "Give an https or http URL, a data: URI, bytes, a pathlib.Path, an open file or a PIL image.",
    "last_image": "Give the last frame, in any form that image has.",
    "reference_images": "Give a list of images that show who or what should appear.",
}


@dataclass(frozen=True, slots=True)
class Offer:
    """A model as one gateway serves it."""

    model: Model
    gateway: Gateway
    prices: Mapping[str, Decimal]
    """Per second of video, by resolution, in the gateway's currency. Empty if no price is known."""

    @property
    def wire_name(self) -> str:
        """The gateway's name for the model."""
        return self.model.names.get(self.gateway.name, self.model.name)

    @property
    def resolutions(self) -> tuple[str, ...]:
        """The resolutions served: if there are prices, those with a price (Singapore has fewer than Beijing)."""
        served = self.model.prices.get(self.gateway.name)
        return tuple(tier for tier in self.model.resolutions if not served or tier in served)

    @property
    def default_resolution(self) -> str:
        """The model's default if it is served, otherwise the highest resolution."""
        served = self.resolutions
        return self.model.default_resolution if self.model.default_resolution in served else served[-1]

    @property
    def always_on(self) -> frozenset[str]:
        """The switches that the model gets as on at this gateway, whatever the request says."""
        return self.gateway.always_on & self.model.takes

    @property
    def silent_prices(self) -> Mapping[str, Decimal]:
        """The prices of a video without sound, by resolution, where it can be had for less."""
        if "generate_audio" in self.always_on:
            return {}
        silent = {tier: self.price_per_second(tier, sound=False) for tier in self.prices}
        return {tier: price for tier, price in silent.items() if price is not None and price != self.prices[tier]}

    @property
    def images(self) -> ImageLimits:
        """What is accepted as an image: the model's limits, if it has its own, with the gateway's schemes."""
        own, gateway = self.model.images, self.gateway.images
        return gateway if own is None else replace(own, schemes=gateway.schemes)

    def price_per_second(self, resolution: str | None, *, sound: bool) -> Decimal | None:
        """Return the price at a resolution; `None`: unknown. Own prices (`prices=`) hold with and without sound."""
        listed = self.model.prices.get(self.gateway.name, {}).get(resolution or "")
        price = self.prices.get(resolution or "")
        silent = self.model.silent_prices.get(self.gateway.name, {}).get(resolution or "")
        return silent if silent is not None and not sound and price == listed else price

    def requires(self, field: str) -> bool:
        """Whether the model or the gateway requires this field."""
        return field in self.model.requires or field in self.gateway.requires

    def accepts(self, field: str) -> bool:
        """Whether the model accepts this field on this gateway."""
        return field in self.gateway.carries and (field in self.model.takes or field in self.model.requires)

    def wire_fields(self, request: VideoRequest) -> dict[str, Any]:
        """Return the fields of a completed request that the gateway accepts, without images."""
        return {name: getattr(request, name) for name in _DEFAULTS
                if self.accepts(name) and name not in {"image", "last_image", "reference_images"}}  # fmt: skip

    def complete(self, request: VideoRequest) -> VideoRequest:
        """Fill in the model's defaults and check the request against the model and the gateway.

        Raises:
            InvalidRequestError: the model does not accept the request. The message says what it accepts.
        """
        model = self.model
        request = request.model_copy(
            update={
                "model": model.name,
                "duration": model.default_duration if request.duration is None else request.duration,
                "resolution": self.default_resolution if request.resolution is None else request.resolution,
            },
        )
        for name, default in _DEFAULTS.items():
            self._check_presence(name, getattr(request, name), default)
        self._check_prompt(request)
        self._check_choice("duration", request.duration, model.durations)
        self._check_choice("resolution", request.resolution, self.resolutions)
        self._check_choice("template", request.template, (None, *model.templates))
        self._check_choice("aspect_ratio", request.aspect_ratio, (None, *model.aspect_ratios))
        self._check_images(request)
        lowest = self.gateway.min_seed
        if request.seed is not None and not lowest <= request.seed <= _MAX_SEED:
            lost = f" {self.gateway.title} would replace it by a random one." if 0 <= request.seed < lowest else ""
            raise InvalidRequestError(
                f"seed is {request.seed}.{lost}", hint=f"Give a seed from {lowest} to {_MAX_SEED}, or none."
            )
        if request.audio_url is not None:
            _check_audio(request)
        return request

    def estimate(self, request: VideoRequest, group_ratio: Decimal) -> Cost:
        """Return the cost of a completed request, according to the price table."""
        sound = request.generate_audio or request.audio_url or self.model.always_sound
        sound = bool(sound or "generate_audio" in self.always_on)
        price = self.price_per_second(request.resolution, sound=sound)
        return compute_cost(price, request.duration, self.gateway, group_ratio=group_ratio)

    def quote(self, request: VideoRequest, group_ratio: Decimal) -> Cost:
        """Return the cost of a request. Prompt and images may be missing: they do not affect the cost.

        Raises:
            InvalidRequestError: the model cannot generate such a video.
        """
        dummies = {
            "prompt": "-",
            "image": "-",
            "last_image": "-",
            "reference_images": ("-",) * self.model.max_references,
        }
        needed = {name for name in dummies if self.requires(name)} | (set() if request.template else {"prompt"})
        missing = {name: value for name, value in dummies.items() if name in needed and not getattr(request, name)}
        return self.estimate(self.complete(request.model_copy(update=missing)), group_ratio)

    def _check_presence(self, name: str, value: Any, default: object) -> None:
        if isinstance(value, str) and not is_encodable(value):
            raise InvalidRequestError(f"{name} holds half a character.", hint="Take it out: an emoji was cut in two.")
        if name in _CHECKED_SEPARATELY:
            return
        missing = value is None or (isinstance(value, tuple) and not value)
        if not self.accepts(name) and not missing and value != default:
            by_model = "" if name in self.model.takes else f"{self.model.name} takes no {name}."
            raise InvalidRequestError(
                by_model or f"{self.gateway.title} has no place for {name}.",
                hint=f"Leave {name} out, or choose another model or gateway.",
            )
        if missing and self.requires(name):
            raise InvalidRequestError(f"There is no {name}.", hint=_HINTS.get(name, f"Give {name}."))

    def _check_prompt(self, request: VideoRequest) -> None:
        if self.requires("prompt") and not request.prompt.strip():
            raise InvalidRequestError("The prompt is empty.", hint="Say what should happen in the video.")
        limits = {"prompt": self.model.max_prompt, "negative_prompt": self.model.max_negative_prompt}
        for name, limit in limits.items():
            text = getattr(request, name) or ""
            length = len(text) + (self.model.cjk_weight - 1) * len(_CJK.findall(text) if name == "prompt" else ())
            if limit is not None and length > limit:
                label = name.replace("_", " ")
                counted = "" if length == len(text) else f", where a Chinese one counts as {self.model.cjk_weight}"
                what = f"The {label} has {length} characters{counted}; {self.model.name} reads {limit}"
                raise InvalidRequestError(f"{what} and drops the rest.", hint="Shorten it.")
        if not (request.prompt.strip() or request.template or request.image is not None or request.reference_images):
            raise InvalidRequestError("There is neither a prompt nor an image.", hint="Say what the video should show.")
        if request.template and request.prompt.strip():
            warnings.warn("template is given, so the model ignores the prompt.", UserWarning, stacklevel=2)

    def _check_choice(self, name: str, value: object, choices: tuple[object, ...]) -> None:
        if value not in choices:
            allowed = format_choices([choice for choice in choices if choice is not None])
            raise InvalidRequestError(
                f"{name} is {value or repr(value)}; {self.model.name} makes {allowed}.",
                hint=f"Choose one of: {allowed}.",
            )

    def _check_images(self, request: VideoRequest) -> None:
        if request.last_image is not None and request.image is None:
            raise InvalidRequestError(
                "There is a last_image and no image.", hint="Give the first frame too, or leave the last one out."
            )
        if request.reference_images and request.image is not None:
            raise InvalidRequestError(
                "There are frames and reference images.", hint="Give the one or the other: a video is made of either."
            )
        count = len(request.reference_images)
        if count > self.model.max_references:
            raise InvalidRequestError(
                f"reference_images holds {count}; {self.model.name} takes {self.model.max_references}.",
                hint="Leave some out.",
            )
        for number in _IMAGE_REFERENCE.findall(request.prompt) if self.model.max_references else ():
            if not 1 <= int(number[:4]) <= count:
                raise InvalidRequestError(
                    f"The prompt names @Image{number[:10]}; of reference images there are {count}.",
                    hint="They are counted from @Image1, in the order of reference_images.",
                )


def format_choices(choices: Sequence[object]) -> str:
    """Join choices for a message. More than five consecutive numbers become `1 to 16`."""
    numbers: list[Any] = [choice for choice in choices if isinstance(choice, int)]
    if len(numbers) > 5 and numbers == list(range(numbers[0], numbers[0] + len(choices))):
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(str(choice) for choice in choices)


def _check_audio(request: VideoRequest) -> None:
    if split_url(request.audio_url or "", ("https",)) is None:
        raise InvalidRequestError(
            "audio_url is not an https address.",
            hint="Give the https URL of a public MP3 or WAV file of at most 15 MB.",
        )
    if request.generate_audio:
        warnings.warn("audio_url is given, so the gateway ignores generate_audio.", UserWarning, stacklevel=2)


def find_offer(name: str, gateway: Gateway, custom_prices: CustomPrices | None = None) -> Offer:
    """Return a model as a gateway serves it.

    Args:
        name: The model.
        gateway: The gateway.
        custom_prices: Override the prices of the model's row.

    Raises:
        InvalidRequestError: there is no such model, or the gateway does not serve it.
    """
    model = find_model(name)
    if gateway.name not in model.prices:
        served = [row.name for row in MODELS.values() if gateway.name in row.prices]
        more = f" and {len(served) - _MAX_SUGGESTIONS} more" if len(served) > _MAX_SUGGESTIONS else ""
        listed = ", ".join(served[:_MAX_SUGGESTIONS])
        elsewhere = ", ".join(repr(other) for other in model.prices)
        raise InvalidRequestError(
            f"The gateway {gateway.name!r} does not serve {name!r}.",
            hint=f"It serves {listed or 'none'}{more}; {name!r} is served by {elsewhere or 'none'}.",
        )
    table = model.prices[gateway.name]
    custom = (custom_prices or {}).get(name, {})
    overrides = {tier: price for tier, price in custom.items() if not table or tier in table}
    return Offer(model, gateway, {**table, **overrides})


_PRICE_LIMIT = 1_000_000


def parse_prices(prices: Mapping[str, Any] | None) -> dict[str, dict[str, Decimal]]:
    """Parse the `prices` option.

    Args:
        prices: By model, one amount for all resolutions, or amounts by resolution.

    Raises:
        InvalidRequestError: there is no such model or resolution, or an amount is invalid.
    """
    if prices is not None and not isinstance(prices, Mapping):
        raise InvalidRequestError("prices is no table.", hint="Give it as {model: price per second}.")
    parsed = {}
    for name, value in (prices or {}).items():
        resolutions = find_model(name).resolutions
        table = value if isinstance(value, Mapping) else dict.fromkeys(resolutions, value)
        unknown = ", ".join(sorted(map(str, set(table) - set(resolutions))))
        if unknown:
            raise InvalidRequestError(f"{name} does not make {unknown}.", hint=f"It makes {', '.join(resolutions)}.")
        parsed[name] = {tier: _parse_price(name, price) for tier, price in table.items()}
    return parsed


def _parse_price(name: str, price: object) -> Decimal:
    try:
        amount = Decimal("NaN") if isinstance(price, bool) else Decimal(str(price))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or not 0 <= amount < _PRICE_LIMIT:
        raise InvalidRequestError(
            f"The price of {name} is {price!r}.", hint="Give an amount per second of video, like '0.10'."
        )
    return amount


def catalog_name(wire_name: str, gateway: Gateway) -> str:
    """Return the name in `MODELS` for a gateway's own name of a model; an unknown name unchanged."""
    return next((name for name, row in MODELS.items() if row.names.get(gateway.name, name) == wire_name), wire_name)


def offers(gateway: Gateway) -> list[Offer]:
    """Return the offers of all models that a gateway serves."""
    return [find_offer(name, gateway) for name, row in MODELS.items() if gateway.name in row.prices]


def build_request(request: VideoRequest | Mapping[str, Any] | None, fields: Mapping[str, Any]) -> VideoRequest:
    """Build a `VideoRequest` from a request or a dict, and from keywords, which override it.

    Raises:
        InvalidRequestError: a field is unknown, or a value has the wrong type.
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
        unknown = [str(each["loc"][0]) for each in error.errors() if each["type"] == "extra_forbidden"]
        nearest = "".join(did_you_mean(name, VideoRequest.model_fields) for name in unknown)
        hint = f"{nearest} Correct it and call again.".lstrip()
        raise InvalidRequestError(format_validation_error(error), hint=hint) from None


def format_validation_error(error: ValidationError, describe_value: Callable[[Any], str] = lambda _: "") -> str:
    """Format pydantic's errors as one sentence, without the values: they may be secret, or very large.

    Args:
        error: From pydantic.
        describe_value: Returns a text to append for a value.
    """
    problems = []
    for item in error.errors(include_url=False, include_context=False):
        where = ".".join(str(part) for part in item["loc"]) or "request"
        problems.append(f"{where}: {item['msg'].removeprefix('Value error, ')}{describe_value(item['input'])}")
    return f"The request is not valid: {'; '.join(problems)}."


_MICRO = Decimal("0.000001")


def compute_cost(
    price_per_second: Decimal | None,
    seconds: float | Decimal | None,
    gateway: Gateway,
    *,
    group_ratio: Decimal = Decimal(1),
    billed: bool = False,
) -> Cost:
    """Return price x seconds x group ratio, the gateways' billing rule. Unknown if a factor is unknown.

    Thousands of tasks of the same kind share one cost.
    """
    # As text: 0.50 is 0.5 to a cache, and is shown otherwise.
    price, counted = (None if figure is None else str(figure) for figure in (price_per_second, seconds))
    return _compute_cost(price, counted, gateway, str(group_ratio), billed)


@functools.lru_cache(maxsize=256)
def _compute_cost(price: str | None, seconds: str | None, gateway: Gateway, ratio: str, billed: bool) -> Cost:
    price_per_second = None if price is None else Decimal(price)
    counted = None if seconds is None else Decimal(seconds)
    group_ratio = Decimal(ratio)
    amount = None if price_per_second is None or counted is None else price_per_second * counted * group_ratio
    usd = cny = amount
    if amount is not None and gateway.currency == "CNY":
        usd = (amount / gateway.cny_per_usd).quantize(_MICRO)
    elif amount is not None:
        cny = amount * gateway.cny_per_usd
    return Cost(
        usd=usd,
        cny=cny,
        currency=gateway.currency,
        price_per_second=price_per_second,
        seconds=int(counted) if counted is not None and counted == counted.to_integral_value() else counted,
        group_ratio=group_ratio,
        basis="unknown" if amount is None else "billed" if billed else "estimated",
    )
