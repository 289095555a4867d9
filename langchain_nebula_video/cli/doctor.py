"""The command `doctor`: checks a set-up with free calls, and says what to do."""

# Typer reads the annotations, so they are evaluated here.
import shlex
from collections.abc import Sequence
from decimal import Decimal
from functools import partial
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Column, Table
from rich.text import Text

from langchain_nebula_video.cli import options as opt
from langchain_nebula_video.cli.checkup import Checkup
from langchain_nebula_video.cli.client import ClientFactory
from langchain_nebula_video.cli.confirmation import confirm_price
from langchain_nebula_video.cli.exit_codes import Exit, exit_for
from langchain_nebula_video.cli.findings import Finding, Level
from langchain_nebula_video.cli.journal import VARIABLE, CommandJournal, interrupt_error, journal_url
from langchain_nebula_video.cli.output import Output, as_dict, format_cost, print_video
from langchain_nebula_video.cli.progress_bar import TaskProgressBar
from langchain_nebula_video.cli.request import parse_image
from langchain_nebula_video.cli.sample_image import make_sample_image
from langchain_nebula_video.errors import NebulaVideoError
from langchain_nebula_video.journal import SqlJournal
from langchain_nebula_video.lifecycle.orders import Order, make_order
from langchain_nebula_video.schema import VideoRequest

__all__ = ["doctor"]

_PATIENCE = 5.0
"""Seconds for a journal that is locked or unreachable."""
_PROMPT = "The sun rises behind the hill, and the light grows."
_WIDE = 120
"""From this width on, what to do has a column of its own."""
_STYLES = {Level.OK: "green", Level.WARNING: "yellow", Level.FAULT: "bold red", Level.UNKNOWN: "dim"}
_WORDS = {Level.OK: "ok", Level.WARNING: "warning", Level.FAULT: "fault", Level.UNKNOWN: "?"}

_KeyLog = Annotated[
    bool,
    typer.Option(
        "--key-log",
        help="Also read the key's log, for the group ratio. Older gateways want the key in the address for that, "
        "which servers on the way may log.",
    ),
]
_Journal = Annotated[
    str | None, typer.Option("--journal", metavar="URL", help=f"The journal to check. Default: that of {VARIABLE}.")
]


_Image = Annotated[
    str | None,
    typer.Option("--image", help="The first frame for --live: a file, an https URL. Default: a test image, as bytes."),
]
_Live = Annotated[
    bool, typer.Option("--live", help="Then make the cheapest video, which costs money. Asks first, without --yes.")
]


@opt.flatten_groups
def doctor(
    ctx: typer.Context,
    target: opt.GatewayOptions,
    payment: opt.PaymentOptions,
    *,
    out: opt.Out = opt.DEFAULT_OUT,
    image: _Image = None,
    image_store: opt.ImageStore = None,
    download_host: opt.DownloadHosts = None,
    journal: _Journal = None,
    key_log: _KeyLog = False,
    live: _Live = False,
    as_json: opt.AsJson = False,
) -> None:
    """Check options, key, network, journal and where videos are saved, and say what to do. Free, without --live."""
    output = Output(as_json=as_json)
    own_journal = CommandJournal(journal)
    factory = ClientFactory(
        target=target,
        payment=payment,
        out=out,
        download_hosts=download_host,
        settings={"image_store": image_store, **(ctx.obj or {})},
        journal=own_journal,
    )
    with output.report_errors(
        resume=factory.resume_command, interrupted=partial(_interruption, own_journal, live=live)
    ):
        offer = factory.offer()
        checkup = Checkup(
            offer=offer,
            base_url=target.base_url,
            allow_http=target.allow_http,
            settings={"download_hosts": download_host or (), **factory.settings},
            open_journal=lambda: SqlJournal(journal_url(journal), patience=_PATIENCE),
            group_ratio=payment.group_ratio,
            save_to=out,
            key_in_address=key_log,
        )
        found = list(checkup.run())
        faults = [each for each in found if each.level is Level.FAULT]
        order = _cheapest_order(factory, image)
        report = _to_data(found, order)
        if not (live and as_json and not faults):
            output.print_result(report, _table(found, output.console.width))
        _print_summary(output, found)
        if live and faults:
            output.print_message("No video was made: there are faults.")
        elif live:
            _make_video(output, factory, order, report)
        elif not faults:
            _print_offer(output, order, factory)
    if faults:
        raise typer.Exit(Exit.FAILURE if faults[0].error is None else exit_for(faults[0].error))


def _interruption(journal: CommandJournal, *, live: bool) -> NebulaVideoError | None:
    return interrupt_error(journal) if live else None


def _cheapest_order(factory: ClientFactory, frame: str | None) -> Order:
    """Return the order of the cheapest video of the model, of a first frame or of a test image as bytes."""
    offer = factory.offer()
    image = make_sample_image() if frame is None else parse_image(frame)
    given: dict[str, Any] = {name: image for name in ("image", "last_image") if offer.requires(name)}
    if offer.requires("reference_images"):
        given["reference_images"] = (image,)
    resolution = min(offer.resolutions, key=lambda tier: offer.price_per_second(tier, sound=False) or 0)
    request = VideoRequest(
        model=offer.model.name,
        prompt=_PROMPT,
        duration=min(offer.model.durations),
        resolution=resolution,
        **given,
    )
    ratio = factory.payment.group_ratio
    return make_order(request, offer, Decimal(1) if ratio is None else ratio, None)


def _make_video(output: Output, factory: ClientFactory, order: Order, report: dict[str, Any]) -> None:
    """Pay for the cheapest video and save it."""
    if not confirm_price(output, order, factory.payment, factory.host()):
        output.print_message("Declined. Nothing was sent and nothing was spent.")
        raise typer.Exit(Exit.FAILURE)
    bar = TaskProgressBar(output, status="submitting", expected=order.offer.model.typical(order.request.duration)[1])
    with bar.show():
        video = factory.client().generate(order.request, on_progress=bar.on_progress)
    if output.as_json:
        output.print_result({**report, "video": as_dict(video)})
        return
    output.print_message("It works: the video was made and saved.", style="green")
    print_video(output, video)


def _table(found: Sequence[Finding], width: int) -> Table:
    """Return a table of the findings. On a narrow terminal, what to do stands below what was seen."""
    wide = width >= _WIDE
    columns = [Column("Check", no_wrap=True), Column("", no_wrap=True), Column("Seen", overflow="fold", ratio=3)]
    columns += [Column("What to do", overflow="fold", ratio=2)] if wide else []
    table = Table(*columns, box=SIMPLE_HEAD, pad_edge=False, expand=wide)
    for each in found:
        style = _STYLES[each.level]
        cells = [Text(each.check), Text(_WORDS[each.level], style=style)]
        if wide:
            cells += [Text(each.seen), Text(each.todo)]
        else:
            cells.append(Text.assemble(each.seen, *([("\n→ " + each.todo, style)] if each.todo else [])))
        table.add_row(*cells)
    return table


def _to_data(found: Sequence[Finding], order: Order) -> dict[str, Any]:
    return {
        "gateway": order.offer.gateway.name,
        "model": order.offer.model.name,
        "checks": [
            {"check": each.check, "level": each.level.value, "seen": each.seen, "todo": each.todo or None}
            for each in found
        ],
        "faults": sum(each.level is Level.FAULT for each in found),
        "warnings": sum(each.level is Level.WARNING for each in found),
        "live_cost": order.cost.model_dump(mode="json"),
        "video": None,
    }


def _print_summary(output: Output, found: Sequence[Finding]) -> None:
    counts = {level: sum(each.level is level for each in found) for level in (Level.FAULT, Level.WARNING)}
    worst = next((level for level in counts if counts[level]), Level.OK)
    told = ", ".join(f"{count} {level}{'' if count == 1 else 's'}" for level, count in counts.items())
    output.print_message(f"{told}. Nothing was submitted and nothing was spent.", style=_STYLES[worst])


def _print_offer(output: Output, order: Order, factory: ClientFactory) -> None:
    """Say what certainty costs."""
    price = f"about {format_cost(order.cost)}" if order.cost.usd is not None else "a price that is not known here"
    words = shlex.join(["nebula-video", "doctor", *factory.target_words(), "--live"])
    output.print_message(
        f"Only a video shows that everything works. The cheapest, {order.request.duration} s at "
        f"{order.request.resolution}, costs {price}:"
    )
    output.print_message(words, no_wrap=True)
