"""The command `batch`: makes a video of each row of folders, globs and tables."""

# Typer reads the annotations, so they are evaluated here.
import asyncio
import sys
from contextlib import AbstractContextManager, nullcontext
from decimal import Decimal
from typing import Annotated, Any

import typer

from langchain_nebula_video.catalog.gateways import find_gateway
from langchain_nebula_video.cli import options as opt
from langchain_nebula_video.cli.batch.budget import budget_limit, fitting
from langchain_nebula_video.cli.batch.plan import Plan, Planner, Standing
from langchain_nebula_video.cli.batch.report import Report, describe_plan, interruption, plan_as_dict
from langchain_nebula_video.cli.batch.run import BatchRun
from langchain_nebula_video.cli.batch.sources import read_sources
from langchain_nebula_video.cli.batch.view import BatchView
from langchain_nebula_video.cli.client import ClientFactory
from langchain_nebula_video.cli.confirmation import ask, describe_place
from langchain_nebula_video.cli.exit_codes import Exit
from langchain_nebula_video.cli.output import Output, count_of, total_cost
from langchain_nebula_video.cli.request import row_defaults
from langchain_nebula_video.cli.sources.reading import TableFormat
from langchain_nebula_video.errors import InvalidRequestError, NebulaVideoError
from langchain_nebula_video.journal import Budget
from langchain_nebula_video.saving.targets import check_target

__all__ = ["batch"]

DEFAULT_OUT = "videos/{stem}.mp4"
_CONCURRENCY = 4

_Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE...",
        help="A folder, a glob in quotes, an image, or a table: .csv with a line of column names, or .jsonl, "
        "here or in a bucket (s3://…); - is a table on standard input.",
    ),
]
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
        help="Save to this folder or bucket (s3://…), under these names: {stem} is the image's, {key}, {date}, …",
    ),
]
_Budget = Annotated[
    Budget | None,
    typer.Option(
        "--budget",
        parser=opt.parse_budget,
        metavar="USD",
        help="The most that these rows may cost together, what earlier runs paid for them included.",
    ),
]
_Concurrency = Annotated[int, typer.Option("--concurrency", min=1, max=1000, help="How many are under way at once.")]
_Strict = Annotated[bool, typer.Option("--strict", help="Send nothing if a row is broken.")]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be paid, and send nothing. Needs no key.")]
_RetryFailed = Annotated[
    bool,
    typer.Option("--retry-failed", help="Submit again what failed in an earlier run. Failed tasks are not billed."),
]


@opt.flatten_groups
def batch(
    ctx: typer.Context,
    sources: _Sources,
    look: opt.LookOptions,
    target: opt.GatewayOptions,
    *,
    prompt: _Prompt = "",
    table_format: _Format = None,
    budget: _Budget = None,
    concurrency: _Concurrency = _CONCURRENCY,
    strict: _Strict = False,
    dry_run: _DryRun = False,
    retry_failed: _RetryFailed = False,
    price: opt.Price = None,
    group_ratio: opt.GroupRatio = None,
    yes: opt.Yes = False,
    out: _Out = DEFAULT_OUT,
    download_host: opt.DownloadHosts = None,
    fit: opt.Fit = False,
    image_store: opt.ImageStore = None,
    timeout: opt.Timeout = None,
    poll_interval: opt.PollInterval = None,
    sole_account: opt.SoleAccount = False,
    as_json: opt.AsJson = False,
) -> None:
    """Make many videos: of a folder, a glob, or a table of images and prompts. A second run pays for no row again.

    The key of a row is made of the image's content, the prompt and the other options. A table may have these columns:
    the fields of a request (image, prompt, duration, resolution, …) and key.
    """
    output = Output(as_json=as_json)
    settings = {
        "fit": fit,
        "image_store": image_store,
        "timeout": timeout,
        "poll_interval": poll_interval,
        "sole_account": sole_account,
        **(ctx.obj or {}),
    }
    payment = opt.PaymentOptions(price=price, group_ratio=group_ratio, yes=yes)
    factory = ClientFactory(target=target, payment=payment, out=out, download_hosts=download_host, settings=settings)
    done: list[Report] = []

    def interrupted() -> NebulaVideoError:
        return interruption(output, done[0] if done else None)

    with output.report_errors(interrupted=interrupted):
        check_target(out)
        client = None if dry_run else factory.async_client()
        planner = Planner(factory, row_defaults(look, prompt), fit=fit, retry_failed=retry_failed)
        with output.console.status("Reading the rows and their images"):  # on a terminal alone
            found = read_sources(sources, table_format)
            plan = planner.plan(found.rows, found.broken)
        if found.left_out:
            output.print_message(f"Left out: {count_of(found.left_out, 'file')} of no image suffix.")
        for row in plan.broken:
            output.print_message(f"Broken: {row.where}: {row.reason}", style="yellow")
        if strict and plan.broken:
            raise InvalidRequestError(
                f"{len(plan.broken)} of {len(plan.items) + len(plan.broken)} rows are broken.",
                hint="Correct them, or leave --strict out: then the other rows run.",
            )
        report = Report(plan, factory)
        place = describe_place(find_gateway(target.gateway), planner.host)
        if dry_run:
            output.print_result(plan_as_dict(plan), describe_plan(plan, place, report.spent_before))
        else:
            assert client is not None  # noqa: S101 for the type checker
            _check_budget(output, plan, budget, report.spent_before)
            if not _confirmed(output, plan, place, payment):
                output.print_message("Declined. Nothing was sent and nothing was spent.")
                raise typer.Exit(Exit.FAILURE)
            view = BatchView(output, len(plan.to_run), concurrency)
            run = BatchRun(client, plan.to_run, concurrency, view)
            report.run = run
            done.append(report)
            limit: AbstractContextManager[Any] = nullcontext()
            if budget is not None:
                limit = budget_limit(budget, report.spent_before)
            with view.show(), limit:
                asyncio.run(run.run())
            report.print_to(output)
    code = Exit.FAILURE if dry_run and plan.broken else Exit.OK if dry_run else report.exit_code()
    if code is not Exit.OK:
        raise typer.Exit(code)


def _check_budget(output: Output, plan: Plan, budget: Budget | None, spent: Decimal) -> None:
    if budget is None:
        return
    unknown = next((item for item in plan.items if item.standing is Standing.NEW and item.cost.usd is None), None)
    if unknown is not None:
        raise InvalidRequestError(
            f"There is a --budget, and no price of {unknown.request.model} is known here.",
            hint="Say with --price what a second of video costs you, or leave --budget out.",
        )
    count, fit = len(plan.new_costs), fitting(plan, budget, spent)
    if fit < count:
        output.print_message(
            f"Of {count} new videos, about {fit} fit into the budget of {budget}; the rest is left for another run.",
            style="yellow",
        )


def _confirmed(output: Output, plan: Plan, place: str, payment: opt.PaymentOptions) -> bool:
    """Tell the price of all new rows, and have it accepted. Without a new row nobody is asked."""
    counts = plan.counts
    told = {"paid for before": counts[Standing.PAID], "made before": counts[Standing.MADE],
            "failed before": counts[Standing.FAILED], "repeated": counts[Standing.SAME]}  # fmt: skip
    rest = "".join(f", {count} {what}" for what, count in told.items() if count)
    price = total_cost(plan.new_costs)
    output.print_message(f"{count_of(len(plan.items), 'video')}: {counts[Standing.NEW]} to pay for{rest}.")
    if not counts[Standing.NEW]:
        return True
    output.print_message(f"At {place}: about {price}.")
    if payment.yes:
        return True
    sys.stderr.flush()
    return ask(
        output,
        f"Pay about {price} for {count_of(counts[Standing.NEW], 'video')} at {place}?",
        "this costs money",
        "to pay",
    )
