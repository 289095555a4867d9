"""The commands that need neither network nor key: quote and models."""

# Typer reads the annotations, so they are evaluated here.
from decimal import Decimal
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Column, Table

from langchain_nebula_video.cli import options as opt
from langchain_nebula_video.cli.voice import Voice
from langchain_nebula_video.client import quote as price_of
from langchain_nebula_video.models import MODELS, Model
from langchain_nebula_video.schema import dollars

__all__ = ["models", "quote"]


def quote(
    *,
    duration: opt.Duration = None,
    resolution: opt.Resolution = None,
    model: opt.ModelName = opt.MODEL,
    gateway: opt.GatewayName = opt.GATEWAY,
    group_ratio: opt.GroupRatio = Decimal(1),
    as_json: opt.AsJson = False,
) -> None:
    """Say what a video would cost. Needs neither network nor key."""
    voice = Voice(as_json=as_json)
    with voice.reporting():
        cost = price_of(gateway=gateway, model=model, group_ratio=group_ratio, duration=duration, resolution=resolution)
        if cost.usd is None or cost.cny is None or cost.price_per_second is None:
            told = "unknown"
        else:
            factors = f"{cost.seconds} s x {dollars(cost.price_per_second)}"
            factors += f" x {cost.group_ratio}" if cost.group_ratio != 1 else ""
            told = f"{dollars(cost.usd)} (¥{cost.cny.normalize():f}): {factors}, {cost.basis}"
        voice.answer(cost.model_dump(mode="json"), told)


def models(*, as_json: opt.AsJson = False) -> None:
    """List the models: what each makes, what it costs, how long it takes."""
    name = Column("Model", no_wrap=True)  # it is there to be copied
    table = Table(name, "Seconds", "Takes", "Gateway", "Resolution", "Per second", box=SIMPLE_HEAD, pad_edge=False)
    for row in MODELS.values():
        times = "\n".join(f"{low / 60:g} to {high / 60:g} min" for low, high in row.typical_seconds.values())
        for gateway, prices in row.prices.items():
            each = "\n".join(dollars(price) for price in prices.values())
            seconds = "\n".join(map(str, row.durations))
            table.add_row(row.name, seconds, times, gateway, "\n".join(prices), each)
    Voice(as_json=as_json).answer({"models": [_plain(row) for row in MODELS.values()]}, table)


def _plain(row: Model) -> dict[str, Any]:
    return {
        "model": row.name,
        "title": row.title,
        "requires": sorted(row.required),
        "takes": sorted(row.takes),
        "durations": row.durations,
        "resolutions": row.resolutions,
        "default_resolution": row.default_resolution,
        "fps": row.fps,
        "usd_per_second": {
            gateway: {resolution: str(price) for resolution, price in prices.items()}
            for gateway, prices in row.prices.items()
        },
        "typical_seconds": {str(seconds): times for seconds, times in row.typical_seconds.items()},
    }
