"""The commands `generate` and `submit`, which pay."""

# Typer reads the annotations, so they are evaluated here.
import sys
from functools import partial

import typer

from langchain_nebula_video.cli import options as opt
from langchain_nebula_video.cli.client import ClientFactory
from langchain_nebula_video.cli.confirmation import confirm_price
from langchain_nebula_video.cli.exit_codes import Exit
from langchain_nebula_video.cli.journal import interrupt_error
from langchain_nebula_video.cli.output import JOINED, Output, as_dict, describe_cost, print_video
from langchain_nebula_video.cli.progress_bar import TaskProgressBar
from langchain_nebula_video.cli.request import build_order
from langchain_nebula_video.errors import printable
from langchain_nebula_video.saving.targets import check_target
from langchain_nebula_video.schema import VideoRequest

__all__ = ["generate", "submit"]


@opt.flatten_groups
def generate(
    ctx: typer.Context,
    request_options: opt.RequestOptions,
    payment: opt.PaymentOptions,
    target: opt.GatewayOptions,
    *,
    out: opt.Out = opt.DEFAULT_OUT,
    download_host: opt.DownloadHosts = None,
    fit: opt.Fit = False,
    image_store: opt.ImageStore = None,
    timeout: opt.Timeout = None,
    poll_interval: opt.PollInterval = None,
    sole_account: opt.SoleAccount = False,
    as_json: opt.AsJson = False,
) -> None:
    """Make a video of an image, wait for it, and save it."""
    output = Output(as_json=as_json)
    settings = {
        "fit": fit,
        "image_store": image_store,
        "timeout": timeout,
        "poll_interval": poll_interval,
        "sole_account": sole_account,
        **(ctx.obj or {}),
    }
    factory = ClientFactory(target=target, payment=payment, out=out, download_hosts=download_host, settings=settings)
    with output.report_errors(resume=factory.resume_command, interrupted=partial(interrupt_error, factory.journal)):
        check_target(out)
        client = factory.client()
        request = _confirmed_request(output, request_options, factory)
        expected = factory.offer().model.typical(request.duration)[1]
        bar = TaskProgressBar(output, status="submitting", expected=expected)
        with bar.show():
            video = client.generate(request, on_progress=bar.on_progress)
        print_video(output, video)


@opt.flatten_groups
def submit(
    ctx: typer.Context,
    request_options: opt.RequestOptions,
    payment: opt.PaymentOptions,
    target: opt.GatewayOptions,
    *,
    fit: opt.Fit = False,
    image_store: opt.ImageStore = None,
    timeout: opt.Timeout = None,
    sole_account: opt.SoleAccount = False,
    as_json: opt.AsJson = False,
) -> None:
    """Start a video and return at once, with the task's id."""
    output = Output(as_json=as_json)
    settings = {
        "fit": fit,
        "image_store": image_store,
        "timeout": timeout,
        "sole_account": sole_account,
        **(ctx.obj or {}),
    }
    factory = ClientFactory(target=target, payment=payment, settings=settings)
    with output.report_errors(resume=factory.resume_command, interrupted=partial(interrupt_error, factory.journal)):
        client = factory.client()
        task = client.submit(_confirmed_request(output, request_options, factory))
        resume = factory.resume_command(task.task_id)
        joined = JOINED if task.reused else None
        output.print_fields(
            {
                "Task": task.task_id,
                "Cost": describe_cost(task.cost),
                "Reused": joined,
                "Warning": task.warning,
                "Go on with": resume,
            }
        )
        output.print_result(as_dict(task), "" if sys.stdout.isatty() else printable(task.task_id))


def _confirmed_request(output: Output, options: opt.RequestOptions, factory: ClientFactory) -> VideoRequest:
    """Check the request and have its price accepted; if it is declined, the command ends."""
    order = build_order(output, options, factory)
    if confirm_price(output, order, factory.payment, factory.host()):
        return order.request
    output.print_message("Declined. Nothing was sent and nothing was spent.")
    raise typer.Exit(Exit.FAILURE)
