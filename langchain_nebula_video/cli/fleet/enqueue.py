"""The command `fleet enqueue`: reads lists as streams into a batch, and asks before anything is paid."""

# Typer reads the annotations, so they are evaluated here.
from typing import Annotated, Any

import typer

from langchain_nebula_video.catalog.gateways import find_gateway
from langchain_nebula_video.cli import options as opt
from langchain_nebula_video.cli.client import ClientFactory
from langchain_nebula_video.cli.confirmation import describe_place
from langchain_nebula_video.cli.exit_codes import Exit
from langchain_nebula_video.cli.fleet.feed import Feed
from langchain_nebula_video.cli.fleet.intake import Intake
from langchain_nebula_video.cli.fleet.options import Budget, Hours, NotBefore, Priority
from langchain_nebula_video.cli.fleet.place import DatabaseUrl, open_fleet
from langchain_nebula_video.cli.output import Output
from langchain_nebula_video.cli.request import row_defaults
from langchain_nebula_video.cli.sources.reading import TableFormat
from langchain_nebula_video.saving.names import is_url, to_name_part
from langchain_nebula_video.saving.targets import absolute_name, check_target

__all__ = ["enqueue"]

DEFAULT_OUT = "videos/{stem}.mp4"

_Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE...",
        help="A folder, a glob in quotes, an image, or a table (.csv, .jsonl, also .gz or .zst), here or in a bucket "
        "(s3://…); - is a table on standard input.",
    ),
]
_Batch = Annotated[str, typer.Option("--batch", metavar="NAME", help="The batch: a new one, or one to add to.")]
_Format = Annotated[
    TableFormat | None,
    typer.Option("--format", help="How the table on standard input is written. Default: its first character tells."),
]
_Prompt = Annotated[str, typer.Option("--prompt", help="The prompt of every row that has none of its own.")]
_Out = Annotated[
    str,
    typer.Option(
        "--out",
        metavar="PLACE",
        help="Where workers save: a bucket (s3://…), or a folder on the disk of each worker; {stem} is the image's "
        "name, {batch} the batch's.",
    ),
]
_ByPath = Annotated[
    bool,
    typer.Option(
        "--by-path",
        help="Leave local images where they are: every worker reads them under the same path. Otherwise their bytes go "
        "into the database.",
    ),
]
_Paused = Annotated[bool, typer.Option("--paused", help="Leave the batch paused, and ask nothing: resume begins it.")]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Count and price what is new, and write nothing.")]


@opt.flatten_groups
def enqueue(
    sources: _Sources,
    look: opt.LookOptions,
    target: opt.GatewayOptions,
    *,
    batch: _Batch,
    prompt: _Prompt = "",
    table_format: _Format = None,
    out: _Out = DEFAULT_OUT,
    budget: Budget = None,
    priority: Priority = None,
    not_before: NotBefore = None,
    hours: Hours = None,
    by_path: _ByPath = False,
    paused: _Paused = False,
    dry_run: _DryRun = False,
    price: opt.Price = None,
    group_ratio: opt.GroupRatio = None,
    yes: opt.Yes = False,
    download_host: opt.DownloadHosts = None,
    fit: opt.Fit = False,
    image_store: opt.ImageStore = None,
    timeout: opt.Timeout = None,
    sole_account: opt.SoleAccount = False,
    database: DatabaseUrl = None,
    as_json: opt.AsJson = False,
) -> None:
    """Put a list of videos into a batch: folders, globs, tables of any length. A second run adds no row again.

    A table may have the columns of batch, and tag: anything to be handed back with the video. The batch stays paused
    until its price is accepted; with --yes, workers begin while the rest is still read.
    """
    output = Output(as_json=as_json)
    out = out.replace("{batch}", to_name_part(batch))
    payment = opt.PaymentOptions(price=price, group_ratio=group_ratio, yes=yes)
    settings = {"fit": fit, "image_store": image_store, "timeout": timeout, "sole_account": sole_account}
    factory = ClientFactory(target=target, payment=payment, out=out, download_hosts=download_host, settings=settings)
    begun: list[Intake] = []
    with output.report_errors(interrupted=lambda: begun[0].interruption if begun else None):
        check_target(out)
        fleet = open_fleet(output, database)
        intake = Intake(
            output,
            fleet,
            Feed(sources, table_format),
            batch,
            place=describe_place(find_gateway(target.gateway), factory.host()),
            yes=yes,
            paused=paused,
            request={"defaults": row_defaults(look, prompt), "by_path": by_path, **_set(factory.client_options())},
            limits={
                "budget": None if budget is None else budget.usd,
                "priority": priority,
                "not_before": not_before,
                "hours": hours,
            },
        )
        begun.append(intake)
        if dry_run:
            code = intake.preview()
        else:
            if not is_url(out) and intake.is_new:
                output.print_message(
                    f"Each worker saves on its own disk: {absolute_name(out)}. A bucket collects the videos: "
                    "--out s3://bucket/videos"
                )
            code = intake.run()
    if code is not Exit.OK:
        raise typer.Exit(code)


def _set(options: Any) -> dict[str, Any]:
    """Return the client's options that are set. The journal is the workers' own."""
    unset = {name for name, value in options.items() if value is None or value is False or value == ()}
    return {name: value for name, value in options.items() if name not in {*unset, "journal"}}
