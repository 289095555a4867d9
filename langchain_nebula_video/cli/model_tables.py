"""The tables of the command `models`, and the same as JSON data."""

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
from langchain_nebula_video.media.limits import ImageLimits
from langchain_nebula_video.media.refusals import join_or
from langchain_nebula_video.schema import money

__all__ = ["detail_table", "model_tables", "models_as_dicts"]

_CURRENCIES = {"USD": "US dollars", "CNY": "yuan"}
_TIER = "TIER"
_WIDE = 100
"""From this width on, the table has room for the usual times."""
_COMMON_NAME = 22
"""Characters of a name for which each table has room, so that columns align. A longer name widens its own table."""
_PADDING = (0, 2, 0, 0)


# --- all models ---


def model_tables(found: Sequence[Offer], width: int) -> Group:
    """Return a table for each gateway.

    Args:
        found: The offers, those of a gateway side by side.
        width: Columns of the terminal.
    """
    longest = min(max((len(name) for name, _ in _group_rows(found)), default=0), _COMMON_NAME)
    parts: list[Table | Text] = []
    for gateway, served in groupby(found, key=lambda offer: offer.gateway):
        rows = _group_rows(list(served))
        unit = f"{_CURRENCIES[gateway.currency]} per second"
        parts.append(Text.assemble((gateway.name, "bold"), f": {gateway.title}, in {unit}"))
        parts.append(_table(rows, longest, timed=width >= _WIDE))
        shared = [alike[0].model.name for _, alike in rows if len(alike) > 1]
        parts += [Text(f"{_TIER} is the head of a column, as in {name}.", style="dim") for name in shared[:1]]
        parts.append(Text())
    return Group(*parts[:-1])


def _group_rows(found: Sequence[Offer]) -> list[tuple[str, list[Offer]]]:
    """Return a name and its offers for each row. Models that differ in their only resolution alone share a row."""
    rows: dict[tuple[object, ...], tuple[str, list[Offer]]] = {}
    for offer in found:
        model, tiers = offer.model, offer.resolutions
        name = model.name.replace(tiers[0], _TIER) if len(tiers) == 1 else model.name
        rows.setdefault((name, _inputs(model), model.durations), (name, []))[1].append(offer)
    return [(name if len(alike) > 1 else alike[0].model.name, alike) for name, alike in rows.values()]


def _table(rows: list[tuple[str, list[Offer]]], longest: int, *, timed: bool) -> Table:
    tiers = sorted({tier for _, alike in rows for offer in alike for tier in offer.resolutions}, key=_pixels)
    table = Table(
        Column("Model", no_wrap=True, min_width=longest),  # never broken, so that it can be copied
        Column("Made of", min_width=len("text, image")),
        Column("Seconds", min_width=len("Seconds")),
        *([Column("Usually takes", min_width=len("Usually takes"))] if timed else []),
        *(Column(tier, justify="right", min_width=len("unknown")) for tier in tiers),
        box=None,
        pad_edge=False,
        padding=_PADDING,
        header_style="dim",
    )
    for name, alike in rows:
        model = alike[0].model
        times = [_time_range(span for each in alike for span in each.model.typical_seconds.values())] if timed else []
        prices = {tier: _price_lines(offer, tier) for offer in alike for tier in offer.resolutions}
        table.add_row(
            name, _inputs(model), _format_numbers(model.durations), *times, *(prices.get(tier, "") for tier in tiers)
        )
    return table


def _pixels(tier: str) -> tuple[int, str]:
    """Return a sort key that puts 720p before 1080p."""
    return len(tier), tier


def _price(offer: Offer, tier: str) -> str:
    price = offer.prices.get(tier)
    return "unknown" if price is None else money(price, offer.gateway.currency)


def _price_lines(offer: Offer, tier: str) -> str:
    """Return the price, and in a second line that of a video without sound, if it differs."""
    silent = offer.silent_prices.get(tier)
    return _price(offer, tier) + ("" if silent is None else f"\nsilent {money(silent, offer.gateway.currency)}")


def _inputs(model: Model) -> str:
    if "reference_images" in model.requires:
        return "references"
    if "last_image" in model.requires:
        return "two images"
    if "image" in model.requires:
        return "image"
    return "text, image" if "image" in model.takes else "text"


def _format_numbers(numbers: Sequence[int]) -> str:
    """Format consecutive numbers as a range, others as a list."""
    run = len(numbers) > 2 and list(numbers) == list(range(numbers[0], numbers[-1] + 1))
    return f"{numbers[0]} to {numbers[-1]}" if run else ", ".join(map(str, numbers))


def _time_range(spans: Iterable[tuple[float, float]]) -> str:
    """Format the shortest and the longest time."""
    lows, highs = zip(*spans, strict=True)
    (low, unit), last = _format_time(min(lows)).split(), _format_time(max(highs))
    return f"{low} to {last}" if last.endswith(unit) else f"{low} {unit} to {last}"


def _format_time(seconds: float) -> str:
    if seconds >= 3600:
        return f"{seconds / 3600:g} h"
    return f"{seconds / 60:g} min"


# --- one model ---


def detail_table(found: Sequence[Offer]) -> Table:
    """Return the facts about a model, and about each gateway that serves it."""
    table = Table.grid(Column(no_wrap=True, style="dim"), Column(overflow="fold"), padding=_PADDING)
    for name, value in [*_model_facts(found[0].model), *(fact for offer in found for fact in _offer_facts(offer))]:
        table.add_row(name, value)
    return table


def _model_facts(model: Model) -> Iterator[tuple[str, str]]:
    yield "Model", f"{model.name}: {model.title}"
    yield "Made of", _inputs(model)
    yield "Seconds", _format_numbers(model.durations) + _default_note(model.default_duration, model.durations)
    spans = model.typical_seconds.items()
    each = [f"{_time_range([span])} for {seconds} s" if seconds else _time_range([span]) for seconds, span in spans]
    yield "Time", f"usually {', '.join(each)}; given up after {_format_time(model.timeout)}"
    yield "Frames", f"{model.fps} a second"
    if model.always_sound:
        yield "Sound", "always"
    yield "Proportions", ", ".join(model.aspect_ratios) or "those of the image"
    if model.max_prompt is not None:
        counted = f"; a Chinese one counts as {model.cjk_weight}" if model.cjk_weight > 1 else ""
        yield "Prompt", f"at most {model.max_prompt} characters{counted}"
    if "negative_prompt" in model.takes:
        yield "Negative", f"at most {model.max_negative_prompt} characters"
    if model.max_references:
        yield "References", f"at most {model.max_references}"
    if model.templates:
        yield "Templates", ", ".join(model.templates)
    if model.source:
        yield "Source", model.source


def _default_note(default: object, choices: Sequence[object]) -> str:
    return f"; unless said {default}" if len(choices) > 1 else ""


def _offer_facts(offer: Offer) -> Iterator[tuple[str, str]]:
    gateway = offer.gateway
    yield "", ""
    default = "; its default model" if gateway.default_model == offer.model.name else ""
    yield gateway.name, f"{gateway.title}{default}; key in {gateway.key_variable}"
    if offer.wire_name != offer.model.name:
        yield "  Name", f"{offer.wire_name} there; here {offer.model.name}"
    tiers = ", ".join(f"{_price(offer, tier)} at {tier}" for tier in offer.resolutions)
    yield "  Per second", tiers + _default_note(offer.default_resolution, offer.resolutions)
    silent = [f"{money(price, gateway.currency)} at {tier}" for tier, price in offer.silent_prices.items()]
    if silent:
        yield "  Silent", ", ".join(silent)
    needs, takes = _fields(offer)
    yield "  Needs", ", ".join(map(opt.option_name, needs))
    yield "  Takes", ", ".join(map(opt.option_name, takes))
    always = [each for each in fields(opt.RequestOptions) if each.name in offer.always_on]
    if always:
        yield "  Always on", f"{', '.join(map(opt.option_name, always))}: said or not"
    if gateway.min_seed and offer.accepts("seed"):
        yield "  Seeds", f"from {gateway.min_seed}"
    yield "  Images", _image_limits(offer.images)


def _fields(offer: Offer) -> tuple[list[Field[Any]], list[Field[Any]]]:
    """Return the fields that a request must have, and those that it may have."""
    needs = [each for each in fields(opt.RequestOptions) if offer.requires(each.name)]
    return needs, [each for each in fields(opt.RequestOptions) if offer.accepts(each.name) and each not in needs]


def _image_limits(limits: ImageLimits) -> str:
    parts = [join_or(limits.formats), f"at most {limits.max_bytes / 1024 / 1024:.3g} MB"]
    parts += list(filter(None, [limits.dimensions]))
    parts += [] if limits.alpha else ["without transparency"]
    return ", ".join([*parts, f"or an address ({join_or(limits.schemes)})"])


# --- JSON ---


def models_as_dicts(found: Sequence[Offer]) -> list[dict[str, Any]]:
    """Return each model once, with the offer of each gateway."""
    by_model: dict[str, list[Offer]] = {}
    for offer in found:
        by_model.setdefault(offer.model.name, []).append(offer)
    return [
        {**_model_as_dict(served[0].model), "gateways": {offer.gateway.name: _offer_as_dict(offer) for offer in served}}
        for served in by_model.values()
    ]


def _model_as_dict(model: Model) -> dict[str, Any]:
    return {
        "model": model.name,
        "title": model.title,
        "durations": model.durations,
        "default_duration": model.default_duration,
        "fps": model.fps,
        "max_prompt": model.max_prompt,
        "max_negative_prompt": model.max_negative_prompt,
        "max_references": model.max_references,
        "cjk_weight": model.cjk_weight,
        "always_sound": model.always_sound,
        "templates": model.templates,
        "aspect_ratios": model.aspect_ratios,
        "typical_seconds": {str(seconds): times for seconds, times in model.typical_seconds.items()},
        "timeout": model.timeout,
        "source": model.source,
    }


def _offer_as_dict(offer: Offer) -> dict[str, Any]:
    needs, takes = _fields(offer)
    prices = {tier: offer.prices.get(tier) for tier in offer.resolutions}
    return {
        "wire_name": offer.wire_name,
        "currency": offer.gateway.currency,
        "per_second": {tier: None if price is None else str(price) for tier, price in prices.items()},
        "silent_per_second": {tier: str(price) for tier, price in offer.silent_prices.items()},
        "resolutions": offer.resolutions,
        "default_resolution": offer.default_resolution,
        "requires": [each.name for each in needs],
        "takes": [each.name for each in takes],
        "always_on": sorted(offer.always_on),
        "min_seed": offer.gateway.min_seed,
        "images": asdict(offer.images),
        "key_variable": offer.gateway.key_variable,
        "default": offer.gateway.default_model == offer.model.name,
    }
