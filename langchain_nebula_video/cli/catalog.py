"""The commands that need neither network nor key: quote and models."""

# Typer reads the annotations, so they are evaluated here.
from decimal import Decimal
from typing import Annotated

import typer

from langchain_nebula_video.catalog.gateways import GATEWAYS, find_gateway
from langchain_nebula_video.catalog.models import find_model
from langchain_nebula_video.catalog.offers import find_offer, offers
from langchain_nebula_video.cli import options as opt
from langchain_nebula_video.cli.catalog_tables import details, listing, plain_models
from langchain_nebula_video.cli.output import Voice, priced
from langchain_nebula_video.cli.prepare import price_table
from langchain_nebula_video.client import quote as price_of
from langchain_nebula_video.schema import Cost, money

__all__ = ["models", "quote"]


def quote(
    *,
    duration: opt.Duration = None,
    resolution: opt.Resolution = None,
    model: opt.ModelName = None,
    gateway: opt.GatewayName = opt.GATEWAY,
    price: opt.Price = None,
    group_ratio: opt.GroupRatio = Decimal(1),
    as_json: opt.AsJson = False,
) -> None:
    """Say what a video would cost. Needs neither network nor key."""
    voice = Voice(as_json=as_json)
    with voice.reporting():
        cost = price_of(
            gateway=gateway,
            model=model,
            prices=price_table(opt.Place(gateway=gateway, model=model), price),
            group_ratio=group_ratio,
            duration=duration,
            resolution=resolution,
        )
        voice.answer(cost.model_dump(mode="json"), _factors(cost))
        if cost.usd is None:
            voice.say("No page tells its price. If you know it: --price, what a second of video costs.")


def _factors(cost: Cost) -> str:
    """What the cost is, and what it is made of."""
    if cost.price_per_second is None or cost.cny is None:
        return "unknown"
    yuan = f" ({money(cost.cny, 'CNY')})" if cost.currency == "USD" else ""
    ratio = f" x {cost.group_ratio}" if cost.group_ratio != 1 else ""
    factors = f"{cost.seconds} s x {money(cost.price_per_second, cost.currency)}{ratio}"
    return f"{priced(cost)}{yuan}: {factors}, {cost.basis}"


def models(
    model: Annotated[str | None, typer.Argument(help="Tell all of this one: what it needs and takes, limits.")] = None,
    *,
    gateway: Annotated[str | None, typer.Option("--gateway", help="Only what this gateway serves.")] = None,
    as_json: opt.AsJson = False,
) -> None:
    """List the models by gateway: what each makes a video of, how long, and what a second costs."""
    voice = Voice(as_json=as_json)
    with voice.reporting():
        rows = list(GATEWAYS.values()) if gateway is None else [find_gateway(gateway)]
        if model is None:
            found = [offer for row in rows for offer in offers(row)]
        else:
            # Where a gateway is named, that it does not serve the model is an answer; else it is not asked.
            served = find_model(model).prices
            found = [find_offer(model, row) for row in rows if gateway is not None or row.name in served]
        shown = listing(found, voice.people.width) if model is None else details(found)
        voice.answer({"models": plain_models(found)}, shown)
        if model is None:
            voice.say("All of one: nebula-video models MODEL")
