"""Register your own rows: a model or a gateway that the catalog does not have."""

from __future__ import annotations

from decimal import Decimal
from typing import get_args

from langchain_nebula_video.catalog.gateways import GATEWAYS, Gateway
from langchain_nebula_video.catalog.models import MODELS, Model
from langchain_nebula_video.catalog.regions import REGIONS
from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.media.limits import ImageLimits
from langchain_nebula_video.media.urls import split_url
from langchain_nebula_video.protocols import PROTOCOLS, FrameForm
from langchain_nebula_video.schema import Currency, VideoRequest

__all__ = ["register_gateway", "register_model"]

_AMOUNT_LIMIT = 1_000_000
_REQUEST_FIELDS = frozenset(VideoRequest.model_fields) - {"model"}
_SWITCHES = frozenset(name for name, field in VideoRequest.model_fields.items() if field.annotation is bool)
_MANDATORY_FIELDS = frozenset({"duration", "resolution"})
"""The fields of every request. If a protocol cannot express one, the model's name does."""


def register_gateway(row: Gateway, *, replace: bool = False) -> Gateway:
    """Register a gateway for every client, tool and runnable of this process.

    Args:
        row: The gateway. Register its models separately, with `register_model`.
        replace: Allow the row to replace one of the same name.

    Raises:
        InvalidRequestError: the name is taken, or the row is invalid.
    """
    _check(row.name not in GATEWAYS or replace, f"There is a gateway {row.name!r} already")
    _check(row.protocol in PROTOCOLS, f"There is no protocol {row.protocol!r}: there are {', '.join(PROTOCOLS)}")
    _check(
        row.base_url is None or _is_address(row.base_url), f"{row.base_url!r} is no web address that paths can follow"
    )
    _check(
        row.region is None or row.region in REGIONS,
        f"There is no region {row.region!r}: there are {', '.join(REGIONS)}",
    )
    for root in (row.api_root, *row.other_roots):
        _check(not root or root.startswith("/"), f"The path {root!r} must begin with a slash")
    _check(not row.prefix or row.prefix.startswith("/"), f"The prefix {row.prefix!r} must begin with a slash")
    _check_fields(row.carries | row.requires)
    _check(row.carries >= _MANDATORY_FIELDS, "A gateway carries duration and resolution: every request has them")
    _check_supported(row, row.carries - _MANDATORY_FIELDS)
    missing = ", ".join(sorted(row.requires - row.carries))
    _check(not missing, f"{row.name} requires {missing}, which it does not carry")
    unknown = ", ".join(sorted(row.always_on - _SWITCHES))
    _check(not unknown, f"{row.name} has {unknown} always on: the switches are {', '.join(sorted(_SWITCHES))}")
    _check(0 <= row.min_seed <= 2147483647, f"{row.name} has {row.min_seed!r} as its lowest seed")
    _check(
        row.bill_unit is None or (_is_amount(row.bill_unit) and row.bill_unit > 0),
        f"{row.name} has bills in units of {row.bill_unit!r}, which is no sensible Decimal",
    )
    _check_limits(row)
    known = get_args(Currency)
    _check(
        row.currency in known,
        f"{row.name} has prices in {row.currency!r}, which are converted from {' or '.join(known)} only",
    )
    _check(
        _is_amount(row.cny_per_usd) and row.cny_per_usd > 0,
        f"{row.name} has {row.cny_per_usd!r} yuan to the dollar, which is no sensible Decimal",
    )
    GATEWAYS[row.name] = row
    return row


def register_model(row: Model, *, replace: bool = False) -> Model:
    """Register a model for every client, tool and runnable of this process.

    Args:
        row: The model, with its prices on each gateway that serves it. Register new gateways first.
        replace: Allow the row to replace one of the same name, for example to change a price.

    Raises:
        InvalidRequestError: the name is taken, or the row is invalid.
    """
    _check(row.name not in MODELS or replace, f"There is a model {row.name!r} already")
    _check_fields(row.requires | row.takes)
    for gateway, prices in row.prices.items():
        _check(gateway in GATEWAYS, f"There is no gateway {gateway!r}; register it first")
        unsupported = ", ".join(sorted(row.requires - GATEWAYS[gateway].carries))
        _check(not unsupported, f"{row.name} requires {unsupported}, for which the gateway {gateway!r} has no place")
        choices = {"duration": row.durations, "resolution": tuple(prices) or row.resolutions}
        # A field with one choice only is implied by the model's name.
        variable = frozenset(name for name, values in choices.items() if len(values) > 1)
        _check_supported(GATEWAYS[gateway], variable)
        unknown = ", ".join(sorted(set(prices) - set(row.resolutions)))
        _check(not unknown, f"{row.name} has prices for {unknown}, which it does not make")
        _check(all(map(_is_amount, prices.values())), f"{row.name} has a price that is no Decimal, or no sensible one")
    protocols = {GATEWAYS[gateway].protocol for gateway in row.prices}
    forms = frozenset[str]().union(*(PROTOCOLS[protocol].frame_forms for protocol in protocols))
    _check(
        row.frames in (forms if row.prices else get_args(FrameForm)),
        f"{row.name} writes its frames as {row.frames!r}, which no protocol of its gateways can",
    )
    _check(
        not (row.always_sound and "generate_audio" in row.takes), f"{row.name} always has sound, and a switch for it"
    )
    _check(row.cjk_weight >= 1, f"{row.name} counts a Chinese character as {row.cjk_weight!r}")
    _check(row.images is None or _is_possible(row.images), f"{row.name} has limits that no image can meet")
    _check_silent_prices(row)
    _check_choices(row)
    _check(all(tier == tier.lower() for tier in row.resolutions), f"{row.name} has a resolution in capitals")
    _check(all(seconds > 0 for seconds in row.durations), f"{row.name} makes videos of no length")
    _check(row.default_duration in row.durations, f"{row.name} does not make {row.default_duration} seconds")
    _check(row.default_resolution in row.resolutions, f"{row.name} does not make {row.default_resolution}")
    _check(bool(row.typical_seconds), f"{row.name} says nothing of typical_seconds")
    _check(row.timeout > 0, f"{row.name} is given no time")
    MODELS[row.name] = row
    return row


def _check_limits(row: Gateway) -> None:
    """Check the facts of a gateway that are no fields of a request."""
    path = row.content_path
    _check(
        path is None
        or (path[:1] == "/" and path.count("{task_id}") == 1 and not {*"{}"} & {*path.replace("{task_id}", "")}),
        f"{row.name} serves videos at {path!r}, which is no path with one {{task_id}}",
    )
    _check(
        not row.stores_images or PROTOCOLS[row.protocol].extensions is not None,
        f"{row.name} stores images, and its protocol {row.protocol!r} has no upload",
    )
    _check(_is_possible(row.images), f"{row.name} has limits that no image can meet")
    low, high = row.steps
    _check(0 < low <= high, f"{row.name} has looks every {low} to {high} seconds, which is no interval")
    _check(row.task_hours is None or row.task_hours > 0, f"{row.name} keeps tasks for {row.task_hours} hours")
    _check(row.max_hold >= 0, f"{row.name} holds a submit for {row.max_hold} seconds")


def _check_choices(row: Model) -> None:
    """Check that each field with a list of choices has some, and that no list is out of reach."""
    lists = {
        "template": bool(row.templates),
        "aspect_ratio": bool(row.aspect_ratios),
        "reference_images": row.max_references > 0,
    }
    known = row.requires | row.takes
    for name, has_choices in lists.items():
        _check(name not in known or has_choices, f"{row.name} takes {name}, and has none to choose from")
        _check(name in known or not has_choices, f"{row.name} has choices of {name}, which it does not take")
    _check(
        "last_image" not in known or "image" in known,
        f"{row.name} takes last_image, which comes with an image, and takes no image",
    )


def _check_silent_prices(row: Model) -> None:
    """Check that a video without sound can be asked for, and costs no more than one with sound."""
    for gateway, silent in row.silent_prices.items():
        prices = row.prices.get(gateway)
        _check(prices is not None, f"{row.name} has silent prices for {gateway!r}, and no prices there")
        unpriced = ", ".join(sorted(set(silent) - set(prices or ())))
        _check(not unpriced, f"{row.name} has a silent price for {unpriced} at {gateway!r}, and no price with sound")
        chosen = "generate_audio" in row.takes & GATEWAYS[gateway].carries
        _check(chosen, f"{row.name} has silent prices for {gateway!r}, where generate_audio cannot be chosen")
        _check(all(map(_is_amount, silent.values())), f"{row.name} has a silent price that is no sensible Decimal")
        dearer = ", ".join(tier for tier, price in silent.items() if price > (prices or {})[tier])
        _check(not dearer, f"{row.name} costs more without sound than with it: {dearer} at {gateway!r}")


def _is_address(url: str) -> bool:
    """Whether paths can follow the URL. Plain http is for a client to allow, since only it has a key: `allow_http`."""
    parts = split_url(url, ("https", "http"))
    return parts is not None and "@" not in parts.netloc and not any(char in url for char in "?#") and url[-1] != "/"


def _is_possible(limits: ImageLimits) -> bool:
    low, high = limits.sides or (1, None)
    fits = (limits.max_ratio is None or limits.max_ratio >= 1) and low > 0 and (high is None or low <= high)
    return fits and bool(limits.formats) and limits.max_bytes > 0


def _is_amount(value: object) -> bool:
    return isinstance(value, Decimal) and value.is_finite() and 0 <= value < _AMOUNT_LIMIT


def _check_fields(fields: frozenset[str]) -> None:
    unknown = ", ".join(sorted(fields - _REQUEST_FIELDS))
    _check(not unknown, f"A request has no field {unknown}: it has {', '.join(sorted(_REQUEST_FIELDS))}")


def _check_supported(row: Gateway, fields: frozenset[str]) -> None:
    """Check that the gateway's protocol can express the fields. Otherwise they would be paid for and ignored."""
    unsupported = sorted(fields - PROTOCOLS[row.protocol].supported_fields)
    others = [name for name, protocol in PROTOCOLS.items() if fields <= protocol.supported_fields]
    _check(
        not unsupported,
        f"The protocol {row.protocol!r} of {row.name!r} has no place for {', '.join(unsupported)}",
        f"Leave it out of the row, or choose a protocol that has: {', '.join(others) or 'none'}.",
    )


def _check(valid: bool, problem: str, hint: str = "Correct the row.") -> None:
    if not valid:
        raise InvalidRequestError(f"{problem}.", hint=hint)
