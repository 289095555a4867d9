"""The command `quote`: the price of a video, without a network or a key."""

# Typer reads the annotations, so they are evaluated here.
from decimal import Decimal

from langchain_nebula_video import client
from langchain_nebula_video.cli import options as opt
from langchain_nebula_video.cli.client import price_table
from langchain_nebula_video.cli.output import Output, format_cost
from langchain_nebula_video.schema import Cost, money

__all__ = ["quote"]


def quote(
    *,
    duration: opt.Duration = None,
    resolution: opt.Resolution = None,
    model: opt.ModelName = None,
    gateway: opt.GatewayName = opt.DEFAULT_GATEWAY,
    generate_audio: opt.Audio = False,
    price: opt.Price = None,
    group_ratio: opt.GroupRatio = None,
    as_json: opt.AsJson = False,
) -> None:
    """Show what a video would cost. Needs no network and no key."""
    output = Output(as_json=as_json)
    with output.report_errors():
        cost = client.quote(
            gateway=gateway,
            model=model,
            prices=price_table(opt.GatewayOptions(gateway=gateway, model=model), price),
            group_ratio=Decimal(1) if group_ratio is None else group_ratio,
            duration=duration,
            resolution=resolution,
            generate_audio=generate_audio,
        )
        output.print_result(cost.model_dump(mode="json"), _format_calculation(cost))
        if cost.usd is None:
            output.print_message("No page tells its price. If you know it: --price, what a second of video costs.")


def _format_calculation(cost: Cost) -> str:
    """Format the cost and its factors."""
    if cost.price_per_second is None or cost.cny is None:
        return "unknown"
    yuan = f" ({money(cost.cny, 'CNY')})" if cost.currency == "USD" else ""
    ratio = f" x {cost.group_ratio}" if cost.group_ratio != 1 else ""
    factors = f"{cost.seconds} s x {money(cost.price_per_second, cost.currency)}{ratio}"
    return f"{format_cost(cost)}{yuan}: {factors}, {cost.basis}"
