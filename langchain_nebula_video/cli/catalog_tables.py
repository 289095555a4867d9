"""What models and gateways can do, as tables and as plain data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import Field, asdict, fields
from itertools import groupby
from typing import Any

from rich.console import Group
from rich.table import Column, Table
from rich.text import Text

from langchain_nebula_video.catalog.models import Model
from langchain_nebula_video.catalog.offers import Offer
from langchain_nebula_video.cli import options as opt
from langchain_nebula_video.media.formats import join_or
from langchain_nebula_video.media.limits import ImageLimits
from langchain_nebula_video.schema import money

__all__ = ["details", "listing", "plain_models"]

_CURRENCIES = {"USD": "US dollars", "CNY": "yuan"}
_TIER = "TIER"
_WIDE = 100
"""Columns from which on there is room for how long a generation takes."""
_PADDING = (0, 2, 0, 0)


# --- all of them ---


def listing(found: Sequence[Offer], width: int) -> Group:
    """A table for each gateway.

    Args:
        found: What is offered; what one gateway serves comes in one piece.
        width: The terminal's.
    """
    longest = max((len(name) for name, _ in _lines(found)), default=0)
    parts: list[Table | Text] = []
    for gateway, served in groupby(found, key=lambda offer: offer.gateway):
        lines = _lines(list(served))
        unit = f"{_CURRENCIES[gateway.currency]} per second"
        parts.append(Text.assemble((gateway.name, "bold"), f": {gateway.title}, in {unit}"))
        parts.append(_table(lines, longest, timed=width >= _WIDE))
        shared = [alike[0].model.name for _, alike in lines if len(alike) > 1]
        parts += [Text(f"{_TIER} is the head of a column, as in {name}.", style="dim") for name in shared[:1]]
        parts.append(Text())
    return Group(*parts[:-1])


def _lines(found: Sequence[Offer]) -> list[tuple[str, list[Offer]]]:
    """Names and offers; models that differ in nothing but their one resolution share a line."""
    lines: dict[tuple[object, ...], tuple[str, list[Offer]]] = {}
    for offer in found:
        model, tiers = offer.model, offer.resolutions
        name = model.name.replace(tiers[0], _TIER) if len(tiers) == 1 else model.name
        lines.setdefault((name, _made_of(model), model.durations), (name, []))[1].append(offer)
    return [(name if len(alike) > 1 else alike[0].model.name, alike) for name, alike in lines.values()]


def _table(lines: list[tuple[str, list[Offer]]], longest: int, *, timed: bool) -> Table:
    tiers = sorted({tier for _, alike in lines for offer in alike for tier in offer.resolutions}, key=_pixels)
    table = Table(
        Column("Model", no_wrap=True, min_width=longest),  # it is there to be copied
        Column("Made of", min_width=len("text, image")),
        Column("Seconds", min_width=len("Seconds")),
        *([Column("Usually takes", min_width=len("Usually takes"))] if timed else []),
        *(Column(tier, justify="right", min_width=len("unknown")) for tier in tiers),
        box=None,
        pad_edge=False,
        padding=_PADDING,
        header_style="dim",
    )
    for name, alike in lines:
        model = alike[0].model
        times = [_span(span for each in alike for span in each.model.typical_seconds.values())] if timed else []
        prices = {tier: _price(offer, tier) for offer in alike for tier in offer.resolutions}
        table.add_row(
            name, _made_of(model), _choices(model.durations), *times, *(prices.get(tier, "") for tier in tiers)
        )
    return table


def _pixels(tier: str) -> tuple[int, str]:
    """Sorts 720p before 1080p."""
    return len(tier), tier


def _price(offer: Offer, tier: str) -> str:
    price = offer.prices.get(tier)
    return "unknown" if price is None else money(price, offer.gateway.currency)


def _made_of(model: Model) -> str:
    if "reference_images" in model.requires:
        return "references"
    if "last_image" in model.requires:
        return "two images"
    if "image" in model.requires:
        return "image"
    return "text, image" if "image" in model.takes else "text"


def _choices(numbers: Sequence[int]) -> str:
    """A run of numbers by its ends."""
    run = len(numbers) > 2 and list(numbers) == list(range(numbers[0], numbers[-1] + 1))
    return f"{numbers[0]} to {numbers[-1]}" if run else ", ".join(map(str, numbers))


def _span(spans: Iterable[tuple[float, float]]) -> str:
    """From the shortest time to the longest."""
    lows, highs = zip(*spans, strict=True)
    (low, unit), last = _time(min(lows)).split(), _time(max(highs))
    return f"{low} to {last}" if last.endswith(unit) else f"{low} {unit} to {last}"


def _time(seconds: float) -> str:
    if seconds >= 3600:
        return f"{seconds / 3600:g} h"
    return f"{seconds / 60:g} min"


# --- one of them ---


def details(found: Sequence[Offer]) -> Table:
    """All there is to know of a model, and of each gateway that serves it."""
    table = Table.grid(Column(no_wrap=True, style="dim"), Column(overflow="fold"), padding=_PADDING)
    for name, told in [*_facts(found[0].model), *(fact for offer in found for fact in _terms(offer))]:
        table.add_row(name, told)
    return table


def _facts(model: Model) -> Iterator[tuple[str, str]]:
    yield "Model", f"{model.name}: {model.title}"
    yield "Made of", _made_of(model)
    yield "Seconds", _choices(model.durations) + _unless_said(model.default_duration, model.durations)
    spans = model.typical_seconds.items()
    each = [f"{_span([span])} for {seconds} s" if seconds else _span([span]) for seconds, span in spans]
    yield "Time", f"usually {', '.join(each)}; given up after {_time(model.timeout)}"
    yield "Frames", f"{model.fps} a second"
    yield "Proportions", ", ".join(model.aspect_ratios) or "those of the image"
    if model.max_prompt is not None:
        yield "Prompt", f"at most {model.max_prompt} characters"
    if "negative_prompt" in model.takes:
        yield "Negative", f"at most {model.max_negative_prompt} characters"
    if model.max_references:
        yield "References", f"at most {model.max_references}"
    if model.templates:
        yield "Templates", ", ".join(model.templates)


def _unless_said(default: object, choices: Sequence[object]) -> str:
    return f"; unless said {default}" if len(choices) > 1 else ""


def _terms(offer: Offer) -> Iterator[tuple[str, str]]:
    gateway = offer.gateway
    yield "", ""
    default = "; its default model" if gateway.default_model == offer.model.name else ""
    yield gateway.name, f"{gateway.title}{default}; key in {gateway.key_variable}"
    if offer.wire_name != offer.model.name:
        yield "  Name", f"{offer.wire_name} there; here {offer.model.name}"
    tiers = ", ".join(f"{_price(offer, tier)} at {tier}" for tier in offer.resolutions)
    yield "  Per second", tiers + _unless_said(offer.default_resolution, offer.resolutions)
    needs, takes = _fields(offer)
    yield "  Needs", ", ".join(map(opt.name_of, needs))
    yield "  Takes", ", ".join(map(opt.name_of, takes))
    yield "  Images", _limits(gateway.images)


def _fields(offer: Offer) -> tuple[list[Field[Any]], list[Field[Any]]]:
    """What a request must say, and what it may."""
    needs = [each for each in fields(opt.Wish) if offer.requires(each.name)]
    return needs, [each for each in fields(opt.Wish) if offer.accepts(each.name) and each not in needs]


def _limits(limits: ImageLimits) -> str:
    told = [join_or(limits.formats), f"at most {limits.max_bytes / 1024 / 1024:.3g} MB"]
    told += [f"sides of {limits.sides[0]} to {limits.sides[1]} pixels"] if limits.sides else []
    told += [] if limits.alpha else ["without transparency"]
    return ", ".join([*told, f"or an address ({join_or(limits.schemes)})"])


# --- for machines ---


def plain_models(found: Sequence[Offer]) -> list[dict[str, Any]]:
    """Each model once, with what each gateway makes of it."""
    by_model: dict[str, list[Offer]] = {}
    for offer in found:
        by_model.setdefault(offer.model.name, []).append(offer)
    return [
        {**_plain_model(served[0].model), "gateways": {offer.gateway.name: _plain_offer(offer) for offer in served}}
        for served in by_model.values()
    ]


def _plain_model(model: Model) -> dict[str, Any]:
    return {
        "model": model.name,
        "title": model.title,
        "durations": model.durations,
        "default_duration": model.default_duration,
        "fps": model.fps,
        "max_prompt": model.max_prompt,
        "max_negative_prompt": model.max_negative_prompt,
        "max_references": model.max_references,
        "templates": model.templates,
        "aspect_ratios": model.aspect_ratios,
        "typical_seconds": {str(seconds): times for seconds, times in model.typical_seconds.items()},
        "timeout": model.timeout,
    }


def _plain_offer(offer: Offer) -> dict[str, Any]:
    needs, takes = _fields(offer)
    prices = {tier: offer.prices.get(tier) for tier in offer.resolutions}
    return {
        "wire_name": offer.wire_name,
        "currency": offer.gateway.currency,
        "per_second": {tier: None if price is None else str(price) for tier, price in prices.items()},
        "resolutions": offer.resolutions,
        "default_resolution": offer.default_resolution,
        "requires": [each.name for each in needs],
        "takes": [each.name for each in takes],
        "images": asdict(offer.gateway.images),
        "key_variable": offer.gateway.key_variable,
        "default": offer.gateway.default_model == offer.model.name,
    }
