"""The command `models`: what each gateway serves, without a network or a key."""

# Typer reads the annotations, so they are evaluated here.
from typing import Annotated

import typer

from langchain_nebula_video.catalog.gateways import GATEWAYS, find_gateway
from langchain_nebula_video.catalog.models import find_model
from langchain_nebula_video.catalog.offers import find_offer, offers
from langchain_nebula_video.cli import options as opt
from langchain_nebula_video.cli.model_tables import detail_table, model_tables, models_as_dicts
from langchain_nebula_video.cli.output import Output

__all__ = ["models"]


def models(
    model: Annotated[
        str | None, typer.Argument(help="Show everything about this model: inputs, options, limits.")
    ] = None,
    *,
    gateway: Annotated[str | None, typer.Option("--gateway", help="Only what this gateway serves.")] = None,
    as_json: opt.AsJson = False,
) -> None:
    """List the models by gateway, with their inputs, durations and prices per second."""
    output = Output(as_json=as_json)
    with output.report_errors():
        rows = list(GATEWAYS.values()) if gateway is None else [find_gateway(gateway)]
        if model is None:
            found = [offer for row in rows for offer in offers(row)]
        else:
            # A named gateway that does not serve the model is an error. Without a name, such gateways are left out.
            served = find_model(model).prices
            found = [find_offer(model, row) for row in rows if gateway is not None or row.name in served]
        text = model_tables(found, output.console.width) if model is None else detail_table(found)
        output.print_result({"models": models_as_dicts(found)}, text)
        if model is None:
            output.print_message("All of one: nebula-video models MODEL")
