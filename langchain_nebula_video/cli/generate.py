"""The commands that pay: generate and submit."""

# Typer reads the annotations, so they are evaluated here.
import sys
from functools import partial

import typer

from langchain_nebula_video.cli import options as opt
from langchain_nebula_video.cli.exit_codes import Exit
from langchain_nebula_video.cli.output import Voice, plain, tell_video, told_cost
from langchain_nebula_video.cli.prepare import Access, agree, interrupted, ordered
from langchain_nebula_video.cli.progress_bar import Bar
from langchain_nebula_video.saving.storage import check_target
from langchain_nebula_video.schema import VideoRequest

__all__ = ["generate", "submit"]


@opt.spread
def generate(
    ctx: typer.Context,
    wish: opt.Wish,
    terms: opt.Terms,
    place: opt.Place,
    *,
    out: opt.Out = opt.HERE,
    download_host: opt.DownloadHosts = None,
    timeout: opt.Timeout = None,
    poll_interval: opt.PollInterval = None,
    as_json: opt.AsJson = False,
) -> None:
    """Make a video of an image, wait for it, and save it."""
    voice = Voice(as_json=as_json)
    settings = {"timeout": timeout, "poll_interval": poll_interval, **(ctx.obj or {})}
    access = Access(place=place, terms=terms, out=out, download_hosts=download_host, settings=settings)
    with voice.reporting(resume=access.resume, interrupted=partial(interrupted, access.journal)):
        check_target(out)
        client = access.client()
        request = _agreed(voice, wish, access)
        bar = Bar(voice, status="submitting", expected=access.offer().model.typical(request.duration)[1])
        with bar.shown():
            video = client.generate(request, on_progress=bar.told)
        tell_video(voice, video)


@opt.spread
def submit(
    ctx: typer.Context,
    wish: opt.Wish,
    terms: opt.Terms,
    place: opt.Place,
    *,
    timeout: opt.Timeout = None,
    as_json: opt.AsJson = False,
) -> None:
    """Start a video and return at once, with the task's id."""
    voice = Voice(as_json=as_json)
    access = Access(place=place, terms=terms, settings={"timeout": timeout, **(ctx.obj or {})})
    with voice.reporting(resume=access.resume, interrupted=partial(interrupted, access.journal)):
        client = access.client()
        task = client.submit(_agreed(voice, wish, access))
        voice.facts({"Task": task.task_id, "Cost": told_cost(task.cost), "Go on with": access.resume(task.task_id)})
        voice.answer(plain(task), "" if sys.stdout.isatty() else task.task_id)


def _agreed(voice: Voice, wish: opt.Wish, access: Access) -> VideoRequest:
    """The request, once it is checked and its price accepted."""
    order = ordered(voice, wish, access)
    if agree(voice, order, access.terms):
        return order.request
    voice.say("Declined. Nothing was sent and nothing was spent.")
    raise typer.Exit(Exit.FAILURE)
